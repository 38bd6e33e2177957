//! What must be read where a word was written: the word itself, and what the other copies of its memory make of it.

use maglane_spec::row::BackendRow;
use maglane_spec::window;

use super::LoadError;
use crate::place::{Place, word_and_shift};

/// Word of a backend row with its service, encapsulation and state.
const SERVICE_STATE_WORD: u32 = word_and_shift(BackendRow::SERVICE_OFFSET).0;
/// Word of a backend row with its load.
const LOAD_WORD: u32 = word_and_shift(BackendRow::LOAD_OFFSET).0;
/// Position of the state in its word.
const STATE_SHIFT: u32 = word_and_shift(BackendRow::STATE_OFFSET).1;
/// Copy of the backend memory that belongs to the lookup table, and has the load besides.
const LOOKUP_COPY: u32 = 1;
/// Position of the bit, in a copy, that says whether a backend takes frames of existing flows.
const TAKES_SHIFT: u32 = 16;

/// A word that is to be read, and what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) address: u32,
    /// Bits that are compared.
    pub(crate) mask: u32,
    pub(crate) expected: u32,
}

impl Check {
    /// What a written word must lead to.
    pub(crate) fn of_write(address: u32, word: u32) -> impl Iterator<Item = Self> {
        let region = Place::of(address).region();
        (0..window::copies(region)).filter_map(move |copy| {
            let (mask, expected) = in_copy(region, copy, Place::of(address).row_and_word().1, word)?;
            Some(Self { address: address | copy << window::COPY_SHIFT, mask, expected })
        })
    }

    /// Compares it with what was read.
    pub(crate) fn compare(self, found: u32) -> Result<(), LoadError> {
        let (expected, found) = (self.expected & self.mask, found & self.mask);
        if expected == found {
            return Ok(());
        }
        Err(LoadError::Verify { place: Place::of(self.address), expected, found })
    }
}

/// Bits of a row's word that a copy shows, and their values; none when it shows nothing of it.
const fn in_copy(region: u32, copy: u32, row_word: u32, word: u32) -> Option<(u32, u32)> {
    if copy == 0 || region != window::BACKEND {
        return Some((u32::MAX, word));
    }
    if row_word == SERVICE_STATE_WORD {
        let state = (word >> STATE_SHIFT).to_le_bytes()[0];
        let takes = matches!(state, BackendRow::STATE_DRAINING | BackendRow::STATE_UP) as u32;
        let service = word & u16::MAX as u32;
        return Some((u16::MAX as u32 | 1 << TAKES_SHIFT, service | takes << TAKES_SHIFT));
    }
    if row_word == LOAD_WORD && copy == LOOKUP_COPY {
        return Some((u8::MAX as u32, word & u8::MAX as u32));
    }
    None
}

const _: () = {
    assert!(BackendRow::SERVICE_OFFSET.is_multiple_of(4) && BackendRow::LOAD_OFFSET.is_multiple_of(4));
    assert!(BackendRow::STATE_OFFSET / 4 == BackendRow::SERVICE_OFFSET / 4);
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::address;

    #[test]
    fn every_copy_is_looked_at_where_it_shows_something() {
        let reads = |region, index| Check::of_write(address(region, 0, index), 0x0200_0007).collect::<Vec<_>>();
        assert_eq!(reads(window::LOOKUP, 5).len(), 1);
        assert_eq!(reads(window::DATAPATH, 5).len(), 1);
        assert_eq!(reads(window::SERVICE, 5).len(), 2);
        assert_eq!(reads(window::BACKEND, 8 + 5).len(), 1);
        assert_eq!(reads(window::BACKEND, 8 + 6).len(), 10);
        assert_eq!(reads(window::BACKEND, 8 + 7).len(), 2);
        let last = reads(window::BACKEND, 8 + 6)[9];
        assert_eq!(last.address, address(window::BACKEND, 9, 8 + 6));
        assert_eq!((last.mask, last.expected), (0x1_ffff, 0x1_0007));
    }

    #[test]
    fn backend_that_is_down_takes_no_existing_flows_in_the_copies() {
        for (state, takes) in [(0, 0), (1, 1), (2, 1), (3, 0)] {
            let check = Check::of_write(address(window::BACKEND, 0, 6), state << 24 | 0x9_0001).nth(1).unwrap();
            assert_eq!(check.expected, takes << 16 | 1, "state {state}");
        }
    }
}
