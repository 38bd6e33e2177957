//! One receive queue of an interface: its socket, its rings, and the memory of its frames.
//!
//! A chunk is in one place at a time: free, with the kernel for a frame to come, being worked on, or with the kernel to be
//! sent. There are enough of them for all places at once, so that none waits for another.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use maglane_spec::Egress;
use maglane_spec::wire::ethernet;

use super::super::interface::Interface;
use super::super::port::{Mishaps, PortError, Work};
use super::error::XdpError;
use super::host::Host;
use super::memory::{CHUNK_LEN, Chunk, Memory, offset_of};
use super::ring::{Consumer, Producer};
use super::socket::{Rings, Sizes, Socket};
use crate::fast::{BURST, HEADROOM, Packet};

/// What a worker has of a queue.
#[derive(Debug)]
pub(super) struct Queue {
    memory: Memory,
    free: Vec<Chunk>,
    rings: Rings,
    socket: Socket,
    /// Frames that the kernel has to send, and has not sent yet.
    sending: u32,
    /// Bytes of a frame at most that the interface takes, without a tag.
    frame_len_max: usize,
    /// Frames that were not where a frame can be.
    misplaced: u64,
}

/// Frames that may have come before a worker looks: at a million a second it may be kept from its processor for 4 ms. Each
/// ring has room for all of them.
const RECEIVE: u32 = 4_096;
/// Frames that may wait to be sent.
const TRANSMIT: u32 = 1_024;
/// Chunks for all places: 20 MiB. For frames that come or have come, that leave, and that are worked on.
const CHUNKS: usize = RECEIVE as usize + TRANSMIT as usize + BURST;
/// Bytes that the copies of waiting frames may have, with what the kernel adds to each, where frames are copied.
const SEND_BYTES: libc::c_int = 8 << 20;
/// How often the kernel is woken for a burst. A call sends 32 frames at least where frames are copied, so that this is
/// enough for a ring, unless the interface has no room.
const WAKEUPS_MAX: u32 = TRANSMIT / 32;

/// A frame that is worked on.
struct Held {
    chunk: Chunk,
    start: usize,
    len: usize,
    leaves: bool,
}

impl Queue {
    /// Opens one. No frames come before the steering program knows the socket.
    pub(super) fn open(interface: &Interface, queue: u32, copy: bool) -> Result<Self, PortError> {
        let fail = |action| move |source: io::Error| XdpError::of(interface, action, source);
        let (memory, free) = Memory::new(CHUNKS).map_err(fail("make memory for frames"))?;
        let socket = Socket::new().map_err(fail("open an AF_XDP socket"))?;
        socket.register(&memory).map_err(|source| match source.raw_os_error() {
            Some(libc::ENOBUFS) => {
                XdpError::Locked { name: interface.name().to_owned(), kbytes: memory.len() / 1_024 }.into()
            }
            _ => XdpError::of(interface, "share memory with the kernel", source),
        })?;
        let sizes = Sizes { receive: RECEIVE, transmit: TRANSMIT };
        let rings = socket.rings(sizes).map_err(fail("make the rings of frames"))?;
        socket.reserve_send_buffer(SEND_BYTES).map_err(fail("make room for frames to send"))?;
        let frame_len_max = interface.mtu() + ethernet::HEADER_LEN;
        let mut opened = Self { memory, free, rings, socket, sending: 0, frame_len_max, misplaced: 0 };
        // Before it is bound: a driver without copies takes chunks there and then.
        opened.refill();
        opened.socket.bind(interface.index(), queue, copy).map_err(|source| match source.raw_os_error() {
            Some(libc::EBUSY) => XdpError::QueueTaken { name: interface.name().to_owned(), queue }.into(),
            _ => XdpError::of(interface, "serve a queue", source),
        })?;
        Ok(opened)
    }

    /// Whether frames have come.
    pub(super) fn has_frames(&mut self) -> bool {
        self.rings.received.has_entries()
    }

    /// Whether there is something to send that the kernel has not taken.
    pub(super) fn is_sending(&self) -> bool {
        self.rings.transmit.pending() > 0
    }

    pub(super) const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Frames that came and were not handed over, or not as they must be.
    pub(super) fn unreceived(&self) -> u64 {
        self.socket.drops() + self.misplaced
    }

    /// Has a burst of frames worked on, and sends them to where they go.
    pub(super) fn exchange(
        &mut self,
        work: &mut Work<'_>,
        host: &Host,
        lost: &mut Mishaps,
    ) -> Result<usize, PortError> {
        self.reclaim();
        let mut held: [Option<Held>; BURST] = std::array::from_fn(|_| None);
        let mut count = 0;
        while count < BURST
            && let Some(descriptor) = self.rings.received.take()
        {
            let (start, len) = (offset_of(descriptor.addr), descriptor.len as usize);
            let Some(chunk) = self.memory.take_back(descriptor.addr) else {
                self.misplaced += 1;
                continue;
            };
            if start < HEADROOM || len > CHUNK_LEN - start {
                self.misplaced += 1;
                self.free.push(chunk);
                continue;
            }
            lost.merged += u64::from(len > self.frame_len_max + ethernet::TAG_LEN);
            held[count] = Some(Held { chunk, start, len, leaves: false });
            count += 1;
        }
        self.rings.received.release();
        let served = if count > 0 { self.serve(&mut held[..count], work, host, lost) } else { Ok(()) };
        for held in held.into_iter().flatten() {
            if held.leaves {
                lost.unsent += u64::from(!self.transmit(held));
            } else {
                self.free.push(held.chunk);
            }
        }
        self.flush();
        self.refill();
        served.map(|()| count)
    }

    /// Has frames worked on, where they lie, and gives the host its own.
    fn serve(
        &self,
        held: &mut [Option<Held>],
        work: &mut Work<'_>,
        host: &Host,
        lost: &mut Mishaps,
    ) -> Result<(), PortError> {
        let mut packets: [Packet<'_>; BURST] = std::array::from_fn(|_| Packet::none());
        let mut egresses = [Egress::Host; BURST];
        let count = held.len();
        for (packet, held) in packets.iter_mut().zip(held.iter_mut().flatten()) {
            let lent = Packet::new(self.memory.bytes(&mut held.chunk), held.start, held.len);
            *packet = lent.expect("its place was checked");
        }
        work(&mut packets[..count], &mut egresses[..count]);
        let mut places = [(0, 0); BURST];
        let mut result = Ok(());
        for ((packet, egress), place) in packets[..count].iter().zip(egresses).zip(&mut places) {
            *place = (packet.start(), packet.len());
            if egress == Egress::Host {
                match host.give(packet.bytes()) {
                    Ok(is_taken) => lost.unpassed += u64::from(!is_taken),
                    Err(error) => result = Err(XdpError::from(error).into()),
                }
            }
        }
        for ((held, egress), (start, len)) in held.iter_mut().flatten().zip(egresses).zip(places) {
            (held.start, held.len, held.leaves) = (start, len, egress == Egress::Wire);
        }
        result
    }

    /// Sends a copy of a frame; whether there was room.
    pub(super) fn send(&mut self, frame: &[u8]) -> bool {
        if self.free.is_empty() {
            self.flush();
            self.reclaim();
        }
        let Some(mut chunk) = self.free.pop() else { return false };
        let Some(place) = self.memory.bytes(&mut chunk).get_mut(..frame.len()) else {
            self.free.push(chunk);
            return false;
        };
        place.copy_from_slice(frame);
        self.transmit(Held { chunk, start: 0, len: frame.len(), leaves: true })
    }

    /// Gives a frame to the kernel to send, once it is told by [`Self::flush`]; whether there was room.
    fn transmit(&mut self, held: Held) -> bool {
        let Held { mut chunk, start, len, .. } = held;
        let frame = &self.memory.bytes(&mut chunk)[start..start + len];
        let is_tagged = frame.get(ethernet::ETHERTYPE..ethernet::TCI) == Some(&ethernet::TPID.to_be_bytes());
        // Where frames are copied, what is too long would vanish without a trace.
        let len_max = self.frame_len_max + if is_tagged { ethernet::TAG_LEN } else { 0 };
        if self.sending == TRANSMIT {
            self.flush();
            self.reclaim();
        }
        // The ring of what has been sent has as many entries, so that all have room there too.
        let has_room = self.sending < TRANSMIT && self.rings.transmit.has_room();
        match u32::try_from(len) {
            Ok(bytes) if len <= len_max && has_room => {
                let addr = self.memory.lend(chunk) + start as u64;
                self.sending += 1;
                self.rings.transmit.put(libc::xdp_desc { addr, len: bytes, options: 0 })
            }
            _ => {
                self.free.push(chunk);
                false
            }
        }
    }

    /// Has the kernel send what it was given.
    pub(super) fn flush(&mut self) {
        let ring: &Producer<_> = &self.rings.transmit;
        ring.publish();
        let mut pending = ring.pending();
        let mut wakeups = WAKEUPS_MAX;
        while pending > 0 && wakeups > 0 && ring.needs_wakeup() {
            let woken = self.socket.wake_to_send();
            let left = ring.pending();
            // It sends some in a call, and says when there are more. Without any the interface has no room: they wait.
            if woken.is_ok() || left == pending {
                break;
            }
            (pending, wakeups) = (left, wakeups - 1);
        }
    }

    /// Takes back chunks of frames that have been sent.
    fn reclaim(&mut self) {
        let completed: &mut Consumer<u64> = &mut self.rings.completed;
        while let Some(address) = completed.take() {
            self.sending = self.sending.saturating_sub(1);
            self.free.extend(self.memory.take_back(address));
        }
        completed.release();
    }

    /// Gives the kernel chunks for frames that will come.
    fn refill(&mut self) {
        while self.rings.fill.has_room()
            && let Some(chunk) = self.free.pop()
        {
            let _there_is_room = self.rings.fill.put(self.memory.lend(chunk));
        }
        self.rings.fill.publish();
        if self.rings.fill.needs_wakeup() {
            self.socket.wake_to_receive();
        }
    }
}

impl AsRawFd for Queue {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
