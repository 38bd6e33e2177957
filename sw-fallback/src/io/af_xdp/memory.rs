//! The memory that frames lie in: chunks of one length, each of which is the kernel's or ours.
//!
//! A chunk that is ours is a [`Chunk`], which nobody can copy: who has it may read and write it. The kernel's are only known
//! by number, and become ours again when it hands them back, once each.

use std::io;
use std::slice;

use memmap2::{MmapOptions, MmapRaw};

/// Bytes of a chunk. A page of most machines: the kernel takes nothing longer, and half of it would have no room for an MTU
/// above 1,500 and what is before and behind a frame.
pub(super) const CHUNK_LEN: usize = CHUNK_BYTES as usize;
/// The same for the kernel.
pub(super) const CHUNK_BYTES: u32 = 4_096;

/// Bytes of a chunk before a frame that comes in, at least (linux/bpf.h, `XDP_PACKET_HEADROOM`).
pub(super) const ROOM: usize = 256;

/// So many chunks that a kernel shares.
#[derive(Debug)]
pub(super) struct Memory {
    map: MmapRaw,
    /// By number, whether a chunk is the kernel's.
    is_lent: Box<[bool]>,
}

/// A chunk that is ours.
#[derive(Debug)]
pub(super) struct Chunk(usize);

impl Memory {
    /// So many chunks, all of them ours.
    pub(super) fn new(count: usize) -> io::Result<(Self, Vec<Chunk>)> {
        let len = count.max(1).checked_mul(CHUNK_LEN).ok_or(io::ErrorKind::OutOfMemory)?;
        let map = MmapOptions::new().len(len).map_anon()?.into();
        Ok((Self { map, is_lent: vec![false; count].into() }, (0..count).map(Chunk).collect()))
    }

    /// Where it is, for the kernel.
    pub(super) fn address(&self) -> u64 {
        self.map.as_ptr().expose_provenance() as u64
    }

    /// Its bytes.
    pub(super) const fn len(&self) -> u64 {
        (self.is_lent.len() * CHUNK_LEN) as u64
    }

    /// Gives a chunk to the kernel, which knows it by the number that is returned.
    pub(super) fn lend(&mut self, chunk: Chunk) -> u64 {
        let Chunk(number) = chunk;
        self.is_lent[number] = true;
        (number * CHUNK_LEN) as u64
    }

    /// Takes back a chunk that the kernel tells any byte of. None if it had no such chunk.
    pub(super) fn take_back(&mut self, address: u64) -> Option<Chunk> {
        let number = usize::try_from(address).ok()? / CHUNK_LEN;
        let is_lent = self.is_lent.get_mut(number)?;
        std::mem::take(is_lent).then_some(Chunk(number))
    }

    /// The bytes of a chunk.
    pub(super) fn bytes<'m>(&'m self, chunk: &'m mut Chunk) -> &'m mut [u8] {
        let at = chunk.0 * CHUNK_LEN;
        assert!(at < self.map.len(), "a chunk is its memory's");
        // SAFETY: the bytes are within the map, and borrowed as long as it and the chunk. There is one `Chunk` of a number
        // while it is not the kernel's, which therefore neither reads nor writes them.
        unsafe { slice::from_raw_parts_mut(self.map.as_mut_ptr().add(at), CHUNK_LEN) }
    }
}

/// Where a frame is in the chunk that the kernel tells a byte of.
pub(super) const fn offset_of(address: u64) -> usize {
    // Below the length of a chunk, so that nothing is cut off.
    #[expect(clippy::cast_possible_truncation, reason = "masked")]
    let offset = address as usize % CHUNK_LEN;
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_is_handed_back_once_by_any_byte_of_it() {
        let (mut memory, mut chunks) = Memory::new(3).unwrap();
        let last = chunks.pop().unwrap();
        let address = memory.lend(last);
        assert_eq!(address, 8_192);
        assert_eq!(offset_of(address + 300), 300);
        assert!(memory.take_back(4_096).is_none(), "never lent");
        assert!(memory.take_back(12_288).is_none() && memory.take_back(u64::MAX).is_none(), "beyond the last");
        let mut last = memory.take_back(address + 4_095).unwrap();
        assert!(memory.take_back(address).is_none(), "twice");
        memory.bytes(&mut last).fill(7);
        assert!(memory.bytes(&mut chunks[1]).iter().all(|&byte| byte == 0), "its neighbour");
        assert!(memory.bytes(&mut last).iter().all(|&byte| byte == 7));
    }
}
