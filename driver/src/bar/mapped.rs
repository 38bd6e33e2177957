//! A BAR in this process's memory, whoever handed it out.
//!
//! The one place of the crate where `unsafe` may be found. Registers are no memory: a reference or a slice to them would
//! let the compiler read twice, or not at all, or a byte at a time. So every access is one volatile load or store of
//! four aligned bytes.

use std::io;
use std::os::fd::AsRawFd;

use memmap2::{MmapOptions, MmapRaw};

use super::{BarError, BarIo, check};

/// Smallest page of a machine, in bytes.
pub const PAGE_BYTES: u64 = 4_096;

/// A mapped window of a BAR.
///
/// A card that is gone reads as all ones and takes writes without effect. Where the kernel withdraws the mapping instead
/// (the device is being removed, or its memory decoding was switched off), the process gets `SIGBUS`.
#[derive(Debug)]
pub struct MappedBar {
    map: MmapRaw,
    bytes: u32,
}

impl MappedBar {
    /// Maps `bytes` of a file from `offset` on.
    ///
    /// # Errors
    /// When `offset` is not a multiple of [`PAGE_BYTES`]; otherwise as `mmap`: the file is not open for reading and writing,
    /// or it cannot be mapped there.
    pub fn new(file: &impl AsRawFd, offset: u64, bytes: u32) -> io::Result<Self> {
        // The crate would map from the page's begin and point into it, at any byte.
        if !offset.is_multiple_of(PAGE_BYTES) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a BAR is mapped from the begin of a page on"));
        }
        let len = usize::try_from(bytes).map_err(io::Error::other)?;
        let map = MmapOptions::new().offset(offset).len(len).map_raw(file.as_raw_fd())?;
        Ok(Self { map, bytes })
    }
}

impl BarIo for MappedBar {
    fn bytes(&self) -> u32 {
        self.bytes
    }

    #[allow(unsafe_code)]
    fn read(&mut self, offset: u32) -> Result<u32, BarError> {
        check(offset, self.bytes)?;
        let pointer = self.map.as_ptr().wrapping_add(offset as usize).cast::<u32>();
        debug_assert!(pointer.is_aligned());
        // SAFETY: the mapping begins at a page (`new`) and lives as long as `self`; `check` has shown that the four bytes at
        // `offset` lie within it and that `offset`, hence the pointer, is a multiple of four.
        let word = unsafe { pointer.read_volatile() };
        Ok(u32::from_le(word))
    }

    #[allow(unsafe_code)]
    fn write(&mut self, offset: u32, word: u32) -> Result<(), BarError> {
        check(offset, self.bytes)?;
        let pointer = self.map.as_mut_ptr().wrapping_add(offset as usize).cast::<u32>();
        debug_assert!(pointer.is_aligned());
        // SAFETY: as in `read`; the mapping is writable, and no reference to its bytes exists anywhere.
        unsafe { pointer.write_volatile(word.to_le()) };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom};

    use super::*;

    #[test]
    fn words_land_where_they_belong_in_little_endian() {
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(3 * 65_536).unwrap();
        let mut bar = MappedBar::new(&file, 65_536, 65_536).unwrap();
        bar.write(0, 0x0403_0201).unwrap();
        bar.write(65_532, 0xaabb_ccdd).unwrap();
        assert_eq!(bar.read(0).unwrap(), 0x0403_0201);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes[65_536..65_540], [1, 2, 3, 4]);
        assert_eq!(bytes[2 * 65_536 - 4..2 * 65_536], [0xdd, 0xcc, 0xbb, 0xaa]);
        assert!(bytes[..65_536].iter().chain(&bytes[2 * 65_536..]).all(|&byte| byte == 0));
    }

    #[test]
    fn window_that_does_not_begin_at_a_page_is_refused() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(65_536).unwrap();
        for offset in [2, 100, 4_095, 8_193] {
            assert!(MappedBar::new(&file, offset, 4_096).is_err(), "{offset}");
        }
        MappedBar::new(&file, 8_192, 4_096).unwrap();
    }

    #[test]
    fn an_offset_outside_or_between_words_is_an_error_and_no_access() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4_096).unwrap();
        let mut bar = MappedBar::new(&file, 0, 4_096).unwrap();
        assert!(matches!(bar.read(4_096), Err(BarError::Outside { .. })));
        assert!(matches!(bar.write(u32::MAX - 3, 0), Err(BarError::Outside { .. })));
        assert!(matches!(bar.write(2, 0), Err(BarError::Unaligned { .. })));
        assert!(matches!(bar.write_all(&[(0, 7), (4_096, 0)]), Err(BarError::Outside { .. })));
        let mut words = Vec::new();
        bar.read_all(&[0, 4], &mut words).unwrap();
        assert_eq!(words, [7, 0]);
    }
}
