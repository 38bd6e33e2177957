//! A memory of a card as something to be tested: cells that are written at once, and what is read of them where.

use maglane_spec::row::{BackendRow, DatapathRow};
use maglane_spec::{Geometry, register, window};

use super::SelfTestReport;
use crate::bar::BarIo;
use crate::card::{Card, CardError};
use crate::load::Check;
use crate::place::{address, word_and_shift};

/// Cells that are written, or words that are read, in one call to the BAR.
const CHUNK: usize = register::WINDOW_WORDS as usize;
/// Rounds with another number for every cell: bits that are equal in one are not in the other.
const ROUNDS: u32 = 2;

/// A memory. A cell is what one write changes: a word, or an entry of the flow table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// Region of the address space.
    pub(super) region: u32,
    words: u32,
    cell_words: u32,
}

/// What is done to a cell in an element of the march.
#[derive(Clone, Copy)]
struct Element {
    down: bool,
    /// The cell holds its number, or with `true` the complement; `None`: it is not read.
    read: Option<bool>,
    write: Option<bool>,
}

/// March C-: up w0; up r0 w1; up r1 w0; down r0 w1; down r1 w0; up r0.
const MARCH: [Element; 6] = [
    Element { down: false, read: None, write: Some(false) },
    Element { down: false, read: Some(false), write: Some(true) },
    Element { down: false, read: Some(true), write: Some(false) },
    Element { down: true, read: Some(false), write: Some(true) },
    Element { down: true, read: Some(true), write: Some(false) },
    Element { down: false, read: Some(false), write: None },
];

impl Memory {
    /// All memories that can be written.
    pub(super) fn all(geometry: &Geometry) -> [Self; 6] {
        let of = |region| {
            let cell_words = if region == window::FLOW_TABLE { 2 } else { 1 };
            Self { region, words: window::words(region, geometry), cell_words }
        };
        [window::DATAPATH, window::SERVICE, window::LOOKUP, window::BACKEND, window::FLOW_TABLE, window::SEQUENCE]
            .map(of)
    }

    /// It is written only in bypass, and has one side.
    pub(super) const fn is_flow_table(self) -> bool {
        matches!(self.region, window::FLOW_TABLE | window::SEQUENCE)
    }

    /// Words that are read of it, in all copies.
    pub(super) fn words_seen(self) -> u64 {
        (0..self.cells()).map(|cell| self.checks(cell, 0, false).count() as u64).sum()
    }

    /// Writes every cell and reads all of it, with two numbers for each and their complements.
    pub(super) fn test_whole<B: BarIo>(self, card: &mut Card<B>, report: &mut SelfTestReport) -> Result<(), CardError> {
        for (round, complement) in (0..ROUNDS).flat_map(|round| [(round, false), (round, true)]) {
            let writes: Vec<_> = (0..self.cells()).flat_map(|cell| self.writes(cell, round, complement)).collect();
            for chunk in writes.chunks(CHUNK) {
                card.write_words(chunk)?;
            }
            let checks: Vec<_> = (0..self.cells()).flat_map(|cell| self.checks(cell, round, complement)).collect();
            for chunk in checks.chunks(CHUNK) {
                read(card, chunk, report)?;
            }
        }
        Ok(())
    }

    /// March C-, cell by cell.
    pub(super) fn march<B: BarIo>(self, card: &mut Card<B>, report: &mut SelfTestReport) -> Result<(), CardError> {
        for element in MARCH {
            for step in 0..self.cells() {
                let cell = if element.down { self.cells() - 1 - step } else { step };
                if let Some(complement) = element.read {
                    let checks: Vec<_> = self.checks(cell, 0, complement).collect();
                    read(card, &checks, report)?;
                }
                if let Some(complement) = element.write {
                    let writes: Vec<_> = self.writes(cell, 0, complement).collect();
                    card.write_words(&writes)?;
                }
            }
        }
        Ok(())
    }

    const fn cells(self) -> u32 {
        self.words / self.cell_words
    }

    /// Words to write so that a cell holds its number or the complement.
    fn writes(self, cell: u32, round: u32, complement: bool) -> impl Iterator<Item = (u32, u32)> {
        let indices = cell * self.cell_words..(cell + 1) * self.cell_words;
        indices.map(move |index| (address(self.region, 0, index), self.word(index, round, complement)))
    }

    /// What must be read of a cell, in all copies.
    fn checks(self, cell: u32, round: u32, complement: bool) -> impl Iterator<Item = Check> {
        self.writes(cell, round, complement).flat_map(|(address, word)| Check::of_write(address, word))
    }

    /// The number that belongs to a word's address, in the bits that the contract gives a meaning. Multiplication by an
    /// odd number is a bijection, so no two addresses have the same number, the mask aside.
    fn word(self, index: u32, round: u32, complement: bool) -> u32 {
        const ODD: [u32; ROUNDS as usize] = [0x9e37_79b1, 0x85eb_ca77];
        let number = (index + 1).wrapping_mul(ODD[round as usize]) ^ self.region;
        let word = if complement { !number } else { number };
        if self.region == window::BACKEND && index % window::ROW_WORDS == STATE_WORD {
            // Copies show whether a backend takes frames; what they make of states that there are not is their affair.
            let state = if word >> STATE_SHIFT & 1 != 0 { BackendRow::STATE_UP } else { BackendRow::STATE_DOWN };
            return word & !(u32::from(u8::MAX) << STATE_SHIFT) | u32::from(state) << STATE_SHIFT;
        }
        word & mask(self.region, index)
    }
}

/// Word of a backend row with its state.
const STATE_WORD: u32 = word_and_shift(BackendRow::STATE_OFFSET).0;
/// Position of the state in its word.
const STATE_SHIFT: u32 = word_and_shift(BackendRow::STATE_OFFSET).1;

/// Bits of a word that mean something; the others are zero by contract, and no card needs to have them.
const fn mask(region: u32, index: u32) -> u32 {
    const ENTROPY_WORD: u32 = word_and_shift(DatapathRow::SOURCE_ENTROPY_BITS_OFFSET).0;
    const TIMEOUT_WORD: u32 = word_and_shift(DatapathRow::TIMEOUT_TICKS_OFFSET).0;
    const LOAD_WORD: u32 = word_and_shift(BackendRow::LOAD_OFFSET).0;
    match region {
        window::DATAPATH if index == ENTROPY_WORD => 0xff,
        window::DATAPATH if index == TIMEOUT_WORD => 0xff_ffff,
        window::BACKEND if index % window::ROW_WORDS == LOAD_WORD => 0xff,
        window::SEQUENCE => 0xffff,
        _ => u32::MAX,
    }
}

fn read<B: BarIo>(card: &mut Card<B>, checks: &[Check], report: &mut SelfTestReport) -> Result<(), CardError> {
    let addresses: Vec<_> = checks.iter().map(|check| check.address).collect();
    let mut words = Vec::with_capacity(checks.len());
    card.read_words(&addresses, &mut words)?;
    for (check, word) in checks.iter().zip(words) {
        let (expected, found) = (check.expected & check.mask, word & check.mask);
        if expected != found {
            report.fault(check.address, expected, found);
        }
    }
    Ok(())
}
