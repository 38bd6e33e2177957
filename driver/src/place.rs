//! Places in a card's memories, as people say them: region, copy, row, word.
//!
//! It names addresses of the core's port ([`maglane_spec::window`]) and does nothing with them.

use std::fmt;
use std::ops::Range;

use maglane_spec::flow::WAYS;
use maglane_spec::{Geometry, window};

/// A word of a card's memories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Its address.
    pub address: u32,
}

impl Place {
    /// The place of an address.
    #[must_use]
    pub const fn of(address: u32) -> Self {
        Self { address }
    }

    /// Region of the address space.
    #[must_use]
    pub const fn region(self) -> u32 {
        self.address >> window::REGION_SHIFT
    }

    /// Copy of the memory; 0 is the one that is written.
    #[must_use]
    pub const fn copy(self) -> u32 {
        self.address >> window::COPY_SHIFT & ((1 << (window::REGION_SHIFT - window::COPY_SHIFT)) - 1)
    }

    /// Index of the word in its region.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.address & ((1 << window::COPY_SHIFT) - 1)
    }

    /// Row of the region, and word of the row; the row is 0 where there is only one.
    #[must_use]
    pub const fn row_and_word(self) -> (u32, u32) {
        let words = row_words(self.region());
        (self.index() / words, self.index() % words)
    }

    /// The region's name in the contract.
    #[must_use]
    pub fn region_name(self) -> &'static str {
        region_name(self.region())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (row, word) = self.row_and_word();
        write!(formatter, "{}", self.region_name())?;
        match self.region() {
            window::FLOW_TABLE => {
                let ways = window::FLOW_SET_WORDS / FLOW_ENTRY_WORDS;
                write!(formatter, " set {} way {} word {word}", row / ways, row % ways)?;
            }
            window::LOOKUP => write!(formatter, " word {row} (entries {} and {})", 2 * row, 2 * row + 1)?,
            region if row_words(region) == 1 => write!(formatter, " word {row}")?,
            window::DATAPATH | window::CONTROL => write!(formatter, " word {word}")?,
            _ => write!(formatter, " row {row} word {word}")?,
        }
        if self.copy() != 0 {
            write!(formatter, ", copy {}", self.copy())?;
        }
        Ok(())
    }
}

/// A region's name in the contract.
#[must_use]
pub fn region_name(region: u32) -> &'static str {
    window::REGIONS.get(region as usize).map_or("nowhere", |(name, _)| name)
}

/// Address of a word.
pub(crate) const fn address(region: u32, copy: u32, index: u32) -> u32 {
    region << window::REGION_SHIFT | copy << window::COPY_SHIFT | index
}

/// Addresses of all words of a region, of copy 0.
pub(crate) const fn addresses(region: u32, geometry: &Geometry) -> Range<u32> {
    let first = address(region, 0, 0);
    first..first + window::words(region, geometry)
}

/// Word of a row in which a byte lies, and the byte's position in it, in bits.
#[allow(clippy::cast_possible_truncation)] // rows are shorter than a hundred bytes
pub(crate) const fn word_and_shift(byte_offset: usize) -> (u32, u32) {
    (byte_offset as u32 / 4, byte_offset as u32 % 4 * 8)
}

/// Words of an entry of the flow table.
const FLOW_ENTRY_WORDS: u32 = 2;

/// Words of a row of a region; of an entry in the flow table.
const fn row_words(region: u32) -> u32 {
    match region {
        window::CONTROL => window::CONTROL_WORDS,
        window::DATAPATH => window::DATAPATH_WORDS,
        window::SERVICE | window::BACKEND => window::ROW_WORDS,
        window::FLOW_TABLE => FLOW_ENTRY_WORDS,
        window::COUNTER_VERDICT | window::COUNTER_SERVICE | window::COUNTER_BACKEND | window::COUNTER_FLOW => {
            window::COUNTER_WORDS
        }
        _ => 1,
    }
}

const _: () = assert!(window::FLOW_SET_WORDS as usize == WAYS * FLOW_ENTRY_WORDS as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_said_by_region_row_word_and_copy() {
        for (region, copy, index, text) in [
            (window::DATAPATH, 0, 22, "DATAPATH word 22"),
            (window::SERVICE, 1, 8 * 5 + 3, "SERVICE row 5 word 3, copy 1"),
            (window::LOOKUP, 0, 17, "LOOKUP word 17 (entries 34 and 35)"),
            (window::BACKEND, 9, 8 * 4_095 + 6, "BACKEND row 4095 word 6, copy 9"),
            (window::FLOW_TABLE, 0, 16 * 3 + 2 * 7 + 1, "FLOW_TABLE set 3 way 7 word 1"),
            (window::SEQUENCE, 0, 3, "SEQUENCE word 3"),
            (window::COUNTER_FLOW, 0, 4, "COUNTER_FLOW row 1 word 0"),
        ] {
            let place = Place::of(address(region, copy, index));
            assert_eq!((place.region(), place.copy(), place.index()), (region, copy, index));
            assert_eq!(place.to_string(), text);
        }
    }
}
