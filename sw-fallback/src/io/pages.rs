//! Memory for large tables: zeroed, aligned to a page, and of huge pages where the system has some.
//!
//! A flow table of a million flows is 8 MiB: with pages of 4 KiB nearly every frame would miss the translation cache too.

#![allow(unsafe_code)]

use std::ops::Deref;
use std::slice;
use std::sync::atomic::AtomicU64;

use maglane_spec::flow::WAYS;
use memmap2::{MmapOptions, MmapRaw};

/// Log of the size of a huge page: 2 MiB.
const HUGE_PAGE_BITS: u8 = 21;
const HUGE_PAGE: usize = 1 << HUGE_PAGE_BITS;

/// A line of the cache as eight words that threads share.
#[derive(Debug)]
#[repr(align(64))]
pub struct Line(pub [AtomicU64; WAYS]);

/// Lines that start as zeros.
#[derive(Debug)]
pub struct Lines {
    map: MmapRaw,
    count: usize,
    huge: bool,
}

impl Lines {
    /// So many lines, of which there is one at least.
    ///
    /// # Errors
    /// When the system has no memory left.
    pub fn new(count: usize) -> std::io::Result<Self> {
        let len = count.max(1).checked_mul(size_of::<Line>()).filter(|&len| len <= isize::MAX as usize / 2);
        let len = len.ok_or(std::io::ErrorKind::OutOfMemory)?;
        if len < HUGE_PAGE {
            return Ok(Self { map: MmapOptions::new().len(len).map_anon()?.into(), count, huge: false });
        }
        // A map of huge pages has whole ones.
        let len = len.next_multiple_of(HUGE_PAGE);
        // Only what an administrator has set aside is sure to be huge, and only what has been touched is sure to be there:
        // a limit may forbid what the map has promised. Where there is none, the kernel is asked to make huge pages of
        // ordinary ones, and may.
        #[cfg(target_os = "linux")]
        if let Ok(map) = MmapOptions::new().len(len).huge(Some(HUGE_PAGE_BITS)).map_anon()
            && map.advise(memmap2::Advice::PopulateWrite).is_ok()
        {
            return Ok(Self { map: map.into(), count, huge: true });
        }
        let map = MmapOptions::new().len(len).map_anon()?;
        #[cfg(target_os = "linux")]
        let huge = map.advise(memmap2::Advice::HugePage).is_ok();
        #[cfg(not(target_os = "linux"))]
        let huge = false;
        Ok(Self { map: map.into(), count, huge })
    }

    /// The memory has huge pages, or the kernel has been asked to make some.
    #[must_use]
    pub const fn huge(&self) -> bool {
        self.huge
    }
}

impl Deref for Lines {
    type Target = [Line];

    fn deref(&self) -> &[Line] {
        // SAFETY: the map is as long as `count` lines, starts at a page and lives as long as `self`. All bits are valid for
        // an atomic word. Nobody else has the map, and `self` gives it away only in this shape.
        unsafe { slice::from_raw_parts(self.map.as_ptr().cast(), self.count) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn lines_are_zero_aligned_and_apart() {
        for count in [1, 3, 1 << 16] {
            let lines = Lines::new(count).unwrap();
            assert_eq!(lines.len(), count);
            assert_eq!(std::ptr::from_ref(&lines[0]).addr() % 64, 0);
            for (number, line) in lines.iter().enumerate() {
                assert!(line.0.iter().all(|word| word.load(Ordering::Relaxed) == 0));
                line.0[7].store(number as u64, Ordering::Relaxed);
            }
            assert!(lines.iter().enumerate().all(|(number, line)| line.0[7].load(Ordering::Relaxed) == number as u64));
        }
    }
}
