//! The ring that the kernel writes received frames into, block by block.
//!
//! A block is the kernel's or ours, as its status word says. In a block that is ours, each frame has a header of the
//! kernel's before it, then as much room as was asked for. The headers of a burst are read before its frames are lent, so
//! that the room behind a frame may reach over the next one's header.

use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::AsRawFd;
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};

use maglane_spec::wire::ethernet;
use memmap2::{MmapOptions, MmapRaw};

use super::socket::Socket;
use crate::fast::{BURST, HEADROOM, Packet};

/// Received frames, in shared memory.
#[derive(Debug)]
pub(super) struct Ring {
    map: MmapRaw,
    /// The block that is read, or waited for.
    block: usize,
    /// Frames of it that have not been lent.
    left: u32,
    /// Where the header of the next one is in it.
    next: usize,
    /// Frames that were longer than a block.
    cut: u64,
}

/// What was lent.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) count: usize,
    /// Frames without a transport checksum, of these.
    pub(super) unfinished: u64,
}

/// A frame in a block, after its tag is back.
#[derive(Clone, Copy, Default)]
struct Place {
    start: usize,
    len: usize,
}

/// Bytes of a block, which a frame must fit into.
const BLOCK_LEN: usize = 1 << 16;
/// Blocks: 16 MiB, and a quarter of a second in which a worker may be kept from its processor. Many small ones, because a
/// block is handed over every millisecond however few frames are in it.
const BLOCKS: usize = 256;
/// Bytes before a frame: for outer headers, and for a tag that is put back.
const ROOM: usize = HEADROOM + ethernet::TAG_LEN;
/// Both MAC addresses, behind which a tag is.
const ADDRESSES_LEN: usize = 12;
/// What the kernel writes before a frame's room: header and address.
const HEADER_LEN: usize = ADDRESS_AT + size_of::<libc::sockaddr_ll>();
/// Where the address is behind the header: at the next multiple of 16 bytes (linux/if_packet.h, TPACKET_ALIGN).
const ADDRESS_AT: usize = size_of::<libc::tpacket3_hdr>().next_multiple_of(16);
/// Where the words of a block's header are.
const STATUS_AT: usize = BLOCK_HEADER_AT + offset_of!(libc::tpacket_hdr_v1, block_status);
const COUNT_AT: usize = BLOCK_HEADER_AT + offset_of!(libc::tpacket_hdr_v1, num_pkts);
const FIRST_AT: usize = BLOCK_HEADER_AT + offset_of!(libc::tpacket_hdr_v1, offset_to_first_pkt);
const BLOCK_HEADER_AT: usize = offset_of!(libc::tpacket_block_desc, hdr);
/// Frames have their own length in this version; the kernel only checks that length and number fit the blocks.
const FRAME_LEN: usize = 2_048;

impl Ring {
    /// Makes a socket's ring.
    pub(super) fn new(socket: &Socket) -> io::Result<Self> {
        let version = libc::tpacket_versions::TPACKET_V3 as libc::c_int;
        socket.set(libc::SOL_PACKET, libc::PACKET_VERSION, &version)?;
        socket.set(libc::SOL_PACKET, libc::PACKET_RESERVE, &number(ROOM))?;
        let request = libc::tpacket_req3 {
            tp_block_size: number(BLOCK_LEN),
            tp_block_nr: number(BLOCKS),
            tp_frame_size: number(FRAME_LEN),
            tp_frame_nr: number(BLOCK_LEN * BLOCKS / FRAME_LEN),
            // Milliseconds after which a block is handed over that is not full.
            tp_retire_blk_tov: 1,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        socket.set(libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let map = MmapOptions::new().len(BLOCK_LEN * BLOCKS).map_raw(socket.as_raw_fd())?;
        Ok(Self { map, block: 0, left: 0, next: 0, cut: 0 })
    }

    /// Whether there is something to lend.
    pub(super) fn has_frames(&mut self) -> bool {
        while self.left == 0 {
            if self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                return false;
            }
            let block = self.bytes();
            (self.left, self.next) = (word(block, COUNT_AT), word(block, FIRST_AT) as usize);
            if self.left == 0 {
                self.release();
            }
        }
        true
    }

    /// Lends a burst of frames, when there are some; [`Self::release`] takes them back.
    pub(super) fn lend<'r>(&'r mut self, packets: &mut [Packet<'r>; BURST]) -> Arrived {
        let (mut left, mut at, mut cut) = (self.left, self.next, 0);
        let mut arrived = Arrived { count: 0, unfinished: 0 };
        let mut places = [Place::default(); BURST];
        let block = self.bytes();
        while left > 0 && arrived.count < BURST {
            let header = Header::read(block, at);
            let next = if left > 1 { at.saturating_add(header.to_next) } else { BLOCK_LEN };
            if !header.is_outgoing {
                match header.place(block, at, next) {
                    Some(place) => {
                        places[arrived.count] = place;
                        arrived.count += 1;
                        arrived.unfinished += u64::from(header.status & libc::TP_STATUS_CSUMNOTREADY != 0);
                    }
                    None => cut += 1,
                }
            }
            (left, at) = (left - 1, next);
        }
        (self.left, self.next, self.cut) = (left, at, self.cut + cut);
        // Behind the last one's room is the next one's header, which is still to be read.
        let end = at.min(BLOCK_LEN);
        let floors = places.map(|place| place.start.saturating_sub(HEADROOM));
        let (mut rest, mut base) = (self.bytes(), 0);
        for (index, packet) in packets.iter_mut().enumerate().take(arrived.count) {
            let ceiling = if index + 1 < arrived.count { floors[index + 1] } else { end };
            let (own, behind) = rest.split_at_mut(ceiling - base);
            let buffer = &mut own[floors[index] - base..];
            (rest, base) = (behind, ceiling);
            *packet = Packet::new(buffer, HEADROOM, places[index].len).expect("its place was checked");
        }
        arrived
    }

    /// Gives the block back to the kernel when all of its frames have been lent.
    pub(super) fn release(&mut self) {
        if self.left == 0 {
            self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.block = (self.block + 1) % BLOCKS;
        }
    }

    /// Frames that were longer than a block, so that their end is missing.
    pub(super) const fn cut(&self) -> u64 {
        self.cut
    }

    /// The word that says whose the block is.
    fn status(&self) -> &AtomicU32 {
        // SAFETY: the block's header is in the map, which lives as long as this, and blocks and word are aligned. The kernel
        // and this thread access it as one word; the block's bytes are not borrowed meanwhile, since both borrow the ring.
        unsafe { AtomicU32::from_ptr(self.map.as_mut_ptr().add(self.block * BLOCK_LEN + STATUS_AT).cast()) }
    }

    /// The block's bytes; only to be asked for while it is ours.
    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the block is in the map, which lives as long as this. Its status was found to be ours, so the kernel does
        // not write to it before `release`, which needs the ring back that is borrowed here.
        unsafe { slice::from_raw_parts_mut(self.map.as_mut_ptr().add(self.block * BLOCK_LEN), BLOCK_LEN) }
    }
}

/// What the kernel says of a frame.
#[derive(Clone, Copy)]
struct Header {
    to_next: usize,
    /// Bytes that are in the ring, and that the frame had.
    captured: u32,
    len: u32,
    status: u32,
    to_frame: usize,
    tag_control: u16,
    tag_protocol: u16,
    is_outgoing: bool,
}

impl Header {
    fn read(block: &[u8], at: usize) -> Self {
        let word = |field: usize| word(block, at.saturating_add(field));
        let half = |field: usize| half(block, at.saturating_add(field));
        let variant = offset_of!(libc::tpacket3_hdr, hv1);
        let control = word(variant + offset_of!(libc::tpacket_hdr_variant1, tp_vlan_tci)).to_ne_bytes();
        let kind = at.saturating_add(ADDRESS_AT + offset_of!(libc::sockaddr_ll, sll_pkttype));
        Self {
            to_next: word(offset_of!(libc::tpacket3_hdr, tp_next_offset)) as usize,
            captured: word(offset_of!(libc::tpacket3_hdr, tp_snaplen)),
            len: word(offset_of!(libc::tpacket3_hdr, tp_len)),
            status: word(offset_of!(libc::tpacket3_hdr, tp_status)),
            to_frame: usize::from(half(offset_of!(libc::tpacket3_hdr, tp_mac))),
            // The tag's sixteen bits are a word here.
            tag_control: u16::try_from(u32::from_ne_bytes(control)).unwrap_or_default(),
            tag_protocol: half(variant + offset_of!(libc::tpacket_hdr_variant1, tp_vlan_tpid)),
            // A group's socket gets what this machine sends from kernels that do not know the group's flag against it.
            is_outgoing: block.get(kind) == Some(&libc::PACKET_OUTGOING),
        }
    }

    /// Where the frame is, once a tag that the kernel has taken off is back; none when it is not whole.
    fn place(&self, block: &mut [u8], at: usize, ceiling: usize) -> Option<Place> {
        let mut place = Place { start: at.checked_add(self.to_frame)?, len: self.captured as usize };
        let is_whole = self.captured == self.len && place.start.checked_add(place.len)? <= ceiling.min(block.len());
        if !is_whole || place.start < at + HEADER_LEN + ROOM {
            return None;
        }
        if self.status & libc::TP_STATUS_VLAN_VALID != 0 && place.len >= ADDRESSES_LEN {
            let addresses = place.start..place.start + ADDRESSES_LEN;
            place = Place { start: place.start - ethernet::TAG_LEN, len: place.len + ethernet::TAG_LEN };
            block.copy_within(addresses, place.start);
            let is_told = self.status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
            let protocol = if is_told { self.tag_protocol } else { ethernet::TPID };
            let [[a, b], [c, d]] = [protocol.to_be_bytes(), self.tag_control.to_be_bytes()];
            block[place.start + ADDRESSES_LEN..][..ethernet::TAG_LEN].copy_from_slice(&[a, b, c, d]);
        }
        Some(place)
    }
}

/// A word as the kernel writes it; 0 beyond the block.
fn word(block: &[u8], at: usize) -> u32 {
    block.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |&bytes| u32::from_ne_bytes(bytes))
}

/// The same of half a word.
fn half(block: &[u8], at: usize) -> u16 {
    block.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |&bytes| u16::from_ne_bytes(bytes))
}

/// A size as system calls want it.
const fn number(size: usize) -> libc::c_uint {
    assert!(size <= 1 << 24, "sizes of the ring are small");
    #[expect(clippy::cast_possible_truncation, reason = "asserted")]
    let number = size as libc::c_uint;
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block with one frame at 0x100, 0x80 bytes behind its header, as the kernel would leave it.
    fn block(frame: &[u8], captured: usize, status: u32) -> Vec<u8> {
        let mut block = vec![0; 0x400];
        let mut put = |field: usize, bytes: &[u8]| block[0x100 + field..][..bytes.len()].copy_from_slice(bytes);
        put(offset_of!(libc::tpacket3_hdr, tp_snaplen), &number(captured).to_ne_bytes());
        put(offset_of!(libc::tpacket3_hdr, tp_len), &number(frame.len()).to_ne_bytes());
        put(offset_of!(libc::tpacket3_hdr, tp_status), &status.to_ne_bytes());
        put(offset_of!(libc::tpacket3_hdr, tp_mac), &0x80_u16.to_ne_bytes());
        let variant = offset_of!(libc::tpacket3_hdr, hv1);
        put(variant + offset_of!(libc::tpacket_hdr_variant1, tp_vlan_tci), &0xa123_u32.to_ne_bytes());
        put(variant + offset_of!(libc::tpacket_hdr_variant1, tp_vlan_tpid), &0x88a8_u16.to_ne_bytes());
        put(0x80, frame);
        block
    }

    #[test]
    fn tag_that_the_kernel_took_off_is_put_back_with_its_protocol() {
        let frame: Vec<u8> = (0..60).collect();
        let told = libc::TP_STATUS_VLAN_VALID | libc::TP_STATUS_VLAN_TPID_VALID;
        for (status, tag) in
            [(0, &[][..]), (libc::TP_STATUS_VLAN_VALID, &[0x81, 0x00, 0xa1, 0x23]), (told, &[0x88, 0xa8, 0xa1, 0x23])]
        {
            let mut block = block(&frame, 60, status);
            let place = Header::read(&block, 0x100).place(&mut block, 0x100, 0x400).unwrap();
            assert_eq!(block[place.start..][..place.len], [&frame[..12], tag, &frame[12..]].concat(), "{status:#x}");
        }
    }

    #[test]
    fn frames_that_are_not_whole_have_no_place() {
        let frame = [7; 60];
        let place = |captured, ceiling| {
            let mut block = block(&frame, captured, 0);
            Header::read(&block, 0x100).place(&mut block, 0x100, ceiling)
        };
        assert!(place(60, 0x400).is_some() && place(60, 0x100 + 0x80 + 60).is_some());
        assert!(place(59, 0x400).is_none(), "cut");
        assert!(place(60, 0x100 + 0x80 + 59).is_none(), "over the next one");
        let mut block = block(&frame, 60, 0);
        assert!(Header::read(&block, 0x3f0).place(&mut block, 0x3f0, 0x400).is_none(), "at the block's end");
    }
}
