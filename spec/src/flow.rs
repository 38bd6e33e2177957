//! The flow table: which backend a flow has been given.
//!
//! # Shape
//! 8-way set-associative. A set is the low bits of h, as many as there are sets; an entry is 64 bits:
//!
//! | bits | field |
//! |---|---|
//! | 63..24 | tag: bits 63..24 of h |
//! | 23..8 | backend id |
//! | 7..2 | epoch: the tick of the last frame, modulo [`TICKS`] |
//! | 1..0 | state, one of the `STATE_` codes |
//!
//! # Source
//! The idea of a connection table in front of the lookup table is Maglev's (NSDI 2016, section 3.2); sets, ages and
//! the order of eviction are this project's, see `docs/wire-contract.md`.

/// Entries of a set.
pub const WAYS: usize = 8;

/// Position of the tag in an entry, and in h.
pub const TAG_SHIFT: u32 = 24;
/// Bits of the tag.
pub const TAG_BITS: u32 = 40;
/// Position of the backend id in an entry.
pub const BACKEND_SHIFT: u32 = 8;
/// Position of the epoch in an entry.
pub const EPOCH_SHIFT: u32 = 2;

/// No entry; the rest of it is zero.
pub const STATE_EMPTY: u8 = 0;
/// One frame seen, or only segments with SYN.
pub const STATE_NEW: u8 = 1;
/// A frame without SYN followed.
pub const STATE_ESTABLISHED: u8 = 2;
/// A segment with FIN was seen.
pub const STATE_CLOSING: u8 = 3;

/// Ticks are counted modulo this, and an age is below it.
pub const TICKS: u8 = 64;

/// A step of the tick by this much or more empties the table: no timeout is as long.
pub const TICK_STEP_MAX: u8 = TICKS;

/// What a frame met in the flow table.
///
/// # Shape
/// Three bits in the gateware; the index of the flow counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum FlowOutcome {
    /// The frame was decided before the flow table, or is an ICMP error, which only looks there.
    NotReached = 0,
    /// The flow has an entry, and its backend takes the frame.
    Hit = 1,
    /// None, so the lookup table chose, and an entry was written.
    Inserted = 2,
    /// None, and the segment, a FIN or RST, makes none.
    Stateless = 3,
    /// None, and no way of the set could be taken.
    TableFull = 4,
    /// None, and the lookup table had no backend either.
    NoBackend = 5,
}

impl FlowOutcome {
    /// All outcomes, by ascending code.
    pub const ALL: [Self; 6] =
        [Self::NotReached, Self::Hit, Self::Inserted, Self::Stateless, Self::TableFull, Self::NoBackend];

    /// Codes, used or not, that counters have room for.
    pub const CODES: usize = 8;

    /// The outcome's code.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The outcome of a code, if the code is in use.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::NotReached),
            1 => Some(Self::Hit),
            2 => Some(Self::Inserted),
            3 => Some(Self::Stateless),
            4 => Some(Self::TableFull),
            5 => Some(Self::NoBackend),
            _ => None,
        }
    }

    /// The outcome's name in reports and `--json`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotReached => "not_reached",
            Self::Hit => "hit",
            Self::Inserted => "inserted",
            Self::Stateless => "stateless",
            Self::TableFull => "table_full",
            Self::NoBackend => "no_backend",
        }
    }
}

const _: () = {
    assert!(TAG_SHIFT + TAG_BITS == u64::BITS);
    assert!(BACKEND_SHIFT + u16::BITS == TAG_SHIFT);
    assert!(1 << (BACKEND_SHIFT - EPOCH_SHIFT) == TICKS as u32);
    assert!(crate::limit::TIMEOUT_TICKS_MAX + 1 < TICKS);
};
