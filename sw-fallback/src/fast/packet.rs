//! A frame where it lies in memory, with room before it for outer headers.

use maglane_spec::wire::{ethernet, gre, ipv6};

/// Bytes that encapsulation adds at most: an outer IPv6 header and GRE with a key.
pub const HEADROOM: usize = ipv6::HEADER_LEN + gre::HEADER_LEN + gre::KEY_LEN;

/// Bytes that are looked at, at most: Ethernet with a tag, IPv6, TCP without options, and two more.
pub const LOOK: usize = ethernet::HEADER_LEN + ethernet::TAG_LEN + ipv6::HEADER_LEN + 22;

/// A frame in a buffer.
#[derive(Debug)]
pub struct Packet<'a> {
    pub(super) buffer: &'a mut [u8],
    pub(super) start: usize,
    pub(super) len: usize,
}

impl<'a> Packet<'a> {
    /// The frame of `len` bytes that starts at `start` of a buffer.
    ///
    /// It is processed more slowly when the buffer ends within [`LOOK`] bytes of its start.
    ///
    /// None when there is less than [`HEADROOM`] before it, or it ends beyond the buffer.
    #[must_use]
    pub fn new(buffer: &'a mut [u8], start: usize, len: usize) -> Option<Self> {
        (start >= HEADROOM && start.checked_add(len)? <= buffer.len()).then_some(Self { buffer, start, len })
    }

    /// A place for a packet that has none.
    pub(crate) const fn none() -> Self {
        Self { buffer: &mut [], start: 0, len: 0 }
    }

    /// The frame: as it came in, or, after it was forwarded, as it leaves.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.len]
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
    #[must_use]
    pub const fn start(&self) -> usize {
        self.start
    }

    /// The frame's length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "an empty frame is nothing special")]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The first bytes of the frame and what follows it, if the buffer goes so far.
    #[inline(always)]
    pub(super) fn look(&self) -> Option<&[u8; LOOK]> {
        self.buffer.get(self.start..)?.first_chunk()
    }
}
