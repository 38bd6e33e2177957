//! Why a card is refused, or did not do what it was asked to; each variant names the place and what to do.

use std::time::Duration;

use maglane_spec::register;

use super::{AccessErrors, Status};
use crate::bar::BarError;

/// Why a card is refused, or did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// The BAR did not do it.
    #[error(transparent)]
    Bar(#[from] BarError),
    /// All ones, even where the card's name should be.
    #[error(
        "the card is gone: offset {at:#x} and its name read all ones; see that it has power and is not being flashed, \
        then open it again"
    )]
    Gone {
        /// Offset that was read.
        at: u32,
    },
    /// Something else answers.
    #[error(
        "there is no card of this project behind the BAR: its name reads {found:#010x}; is it the right BAR and base?"
    )]
    NotACard {
        /// What was read.
        found: u32,
    },
    /// The window is too short.
    #[error("the BAR's window has {bytes:#x} bytes, the registers need {:#x}", register::BYTES)]
    WindowSize {
        /// Its length.
        bytes: u32,
    },
    /// A block of registers is of another version.
    #[error(
        "block {block} has version {found}, this program knows {known}; use the program that came with the bitstream"
    )]
    Version {
        /// The block.
        block: &'static str,
        /// The card's version.
        found: u32,
        /// The version in the contract.
        known: u32,
    },
    /// The chain of blocks comes back to where it was.
    #[error("the chain of register blocks comes back to {offset:#x}; flash the card again")]
    ChainLoop {
        /// The block that is met twice.
        offset: u32,
    },
    /// The chain of blocks leads out of the registers.
    #[error("the register block at {offset:#x} leads to {next:#x}, where none can be; flash the card again")]
    ChainPlace {
        /// The block.
        offset: u32,
        /// What it names as the next.
        next: u32,
    },
    /// The chain of blocks has no end.
    #[error("the chain of register blocks has more than {max}; flash the card again")]
    ChainLength {
        /// Blocks that are looked at.
        max: usize,
    },
    /// A block is not in the chain.
    #[error("register block {block} is missing; use the program that came with the bitstream")]
    BlockMissing {
        /// The block.
        block: &'static str,
    },
    /// A block is elsewhere.
    #[error("register block {block} is at {found:#x}, not at {known:#x}; use the program that came with the bitstream")]
    BlockPlace {
        /// The block.
        block: &'static str,
        /// Its offset.
        found: u32,
        /// Its offset in the contract.
        known: u32,
    },
    /// The paged window is elsewhere.
    #[error("register {name} is {found:#x}, not {known:#x}; use the program that came with the bitstream")]
    TableWindow {
        /// The register.
        name: &'static str,
        /// Its content.
        found: u32,
        /// Its content in the contract.
        known: u32,
    },
    /// What is around the core is unknown.
    #[error("wrapper {code} is none that this program knows; use the program that came with the bitstream")]
    Wrapper {
        /// Its code.
        code: u32,
    },
    /// A size that no build has.
    #[error("{name} is {found}, which no build has: {low} to {high}, a power of two; flash the card again")]
    Geometry {
        /// The size.
        name: &'static str,
        /// The card's number.
        found: u32,
        /// The smallest.
        low: u32,
        /// The largest.
        high: u32,
    },
    /// A word does not come back as it was written.
    #[error(
        "the bus changes words: wrote {wrote:#010x}, SCRATCH reads {scratch:#010x}, FLIP {flip:#010x}; reseat the card"
    )]
    Bus {
        /// What was written to SCRATCH.
        wrote: u32,
        /// What it reads as.
        scratch: u32,
        /// What FLIP, its complement, reads as.
        flip: u32,
    },
    /// The window did not turn to another page.
    #[error("PAGE was set to {wrote:#x} and reads {found:#x}: a write was lost; reset the card")]
    Page {
        /// The page.
        wrote: u32,
        /// What the register reads as.
        found: u32,
    },
    /// The card did not come to an end.
    #[error("{what}: not within {:.1} s (STATUS {status:?}); {remedy}", waited.as_secs_f64())]
    Deadline {
        /// What was waited for.
        what: &'static str,
        /// The status at the end.
        status: Status,
        /// How long.
        waited: Duration,
        /// What to look at.
        remedy: &'static str,
    },
    /// A register took no effect.
    #[error("{name} was set to {wrote:#x} and reads {found:#x}: the write was lost; reset the card")]
    Lost {
        /// The register.
        name: &'static str,
        /// What was written.
        wrote: u32,
        /// What it reads as.
        found: u32,
    },
    /// A commit did not raise the generation by one.
    #[error(
        "after the commit the generation is {after}, and it was {before}; load again, and see that nobody else writes"
    )]
    Commit {
        /// The generation before.
        before: u32,
        /// The generation after.
        after: u32,
    },
    /// The card says that accesses were wrong.
    #[error("the card refused accesses while {doing}: {errors}; load again, and see that nobody else writes")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// What the card says.
        errors: AccessErrors,
    },
}
