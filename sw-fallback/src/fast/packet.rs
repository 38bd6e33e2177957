//! A frame where it lies in memory, with room before it for outer headers.

use maglane_spec::wire::{ethernet, gre, ipv6};

use crate::simd::LANES;

/// Bytes that encapsulation adds at most: an outer IPv6 header and GRE with a key.
pub const HEADROOM: usize = ipv6::HEADER_LEN + gre::HEADER_LEN + gre::KEY_LEN;

/// Bytes that are looked at, at most: Ethernet with a tag, IPv6 with TCP, and what follows in the words that are read.
pub const LOOK: usize = ethernet::HEADER_LEN + ethernet::TAG_LEN + BLOCKS - IP_IN_BLOCK;

/// Bytes of a block: eight words, as many as there are lanes.
const BLOCK: usize = 8 * LANES;
/// Where in a frame's first block its packet starts: there what IPv4 has of addresses and ports is at words' starts.
pub(super) const IP_IN_BLOCK: usize = 20;
/// Where the second block starts in the first: there the same is so for IPv6.
const SECOND: usize = IP_IN_BLOCK + ipv6::SOURCE;
/// Bytes of both together.
const BLOCKS: usize = SECOND + BLOCK;

/// The headers of a frame whose packet starts at [`IP_IN_BLOCK`]: both blocks.
pub(super) type Headers = [u8; BLOCKS];

/// Those of no frame.
pub(super) const NO_HEADERS: &Headers = &[0; BLOCKS];

/// The first block of headers.
#[inline(always)]
pub(super) fn first_block(headers: &Headers) -> &[u8; BLOCK] {
    headers.first_chunk().unwrap_or(&[0; BLOCK])
}

/// The second one.
#[inline(always)]
pub(super) fn second_block(headers: &Headers) -> &[u8; BLOCK] {
    headers.last_chunk().unwrap_or(&[0; BLOCK])
}

/// A frame in a buffer.
///
/// Where it starts and how long it is are short numbers, of which the compiler knows that sums of them do not wrap.
#[derive(Debug)]
pub struct Packet<'a> {
    pub(super) buffer: &'a mut [u8],
    start: u32,
    len: u32,
}

impl<'a> Packet<'a> {
    /// The frame of `len` bytes that starts at `start` of a buffer.
    ///
    /// It is processed more slowly when the buffer ends within [`LOOK`] bytes of its start.
    ///
    /// None when there is less than [`HEADROOM`] before it, or it ends beyond the buffer.
    #[must_use]
    pub fn new(buffer: &'a mut [u8], start: usize, len: usize) -> Option<Self> {
        let end = start.checked_add(len)?;
        let (start_32, len_32) = (u32::try_from(start).ok()?, u32::try_from(len).ok()?);
        (start >= HEADROOM && end <= buffer.len()).then_some(Self { buffer, start: start_32, len: len_32 })
    }

    /// A place for a packet that has none.
    pub(crate) const fn none() -> Self {
        Self { buffer: &mut [], start: 0, len: 0 }
    }

    /// The frame: as it came in, or, after it was forwarded, as it leaves.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start()..self.start() + self.len()]
    }

    /// The whole buffer.
    #[must_use]
    pub fn buffer(&self) -> &[u8] {
        self.buffer
    }

    /// The whole buffer.
    #[must_use]
    pub fn buffer_mut(&mut self) -> &mut [u8] {
        self.buffer
    }

    /// Where the frame starts in its buffer.
    #[inline(always)]
    #[must_use]
    pub const fn start(&self) -> usize {
        self.start as usize
    }

    /// The frame's length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "an empty frame is nothing special")]
    #[inline(always)]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// The headers of the frame if its packet starts at an offset, and what follows them, if the buffer goes so far.
    #[inline(always)]
    pub(super) fn headers(&self, ip_offset: usize) -> Option<&Headers> {
        // No frame starts so near to its buffer's start that this would wrap.
        let at = self.start.wrapping_add(low_32(ip_offset)).wrapping_sub(low_32(IP_IN_BLOCK)) as usize;
        self.buffer.get(at..at + BLOCKS)?.first_chunk()
    }

    /// Makes it a longer frame, of so many bytes, with others before its packet, which is now at an offset; those bytes, if
    /// there is room before it.
    #[inline(always)]
    pub(super) fn grow<const LEN: usize>(&mut self, ip_offset: usize, total: usize) -> Option<&mut [u8; LEN]> {
        let start = self.start.checked_sub(low_32(LEN - ip_offset))?;
        let (at, len) = (start as usize, low_32(total));
        let room = self.buffer.get_mut(at..at + LEN)?.first_chunk_mut()?;
        (self.start, self.len) = (start, len);
        Some(room)
    }

    /// Has the frame start so many bytes later, or earlier when the number is negative.
    #[inline(always)]
    pub(super) const fn shift(&mut self, bytes: i32) {
        self.start = self.start.wrapping_add_signed(bytes);
        self.len = self.len.wrapping_add_signed(bytes.wrapping_neg());
    }
}

/// The low 32 bits of a number: all of it, where they are used.
#[inline(always)]
const fn low_32(number: usize) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
