//! What a card does with frames, and what it says of itself meanwhile: registers of a few bits each, taken apart.

use std::fmt;

use maglane_spec::flow::TICKS;
use maglane_spec::{register, window};

/// What a card does with frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Passes every frame to the host.
    Bypass,
    /// Serves by its tables.
    Serve,
}

/// The status word, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Memories have been cleared after reset; frames are accepted.
    pub ready: bool,
    /// The sweeper rests and no step of the tick is under way.
    pub swept: bool,
    /// A commit or another mode waits for the frames inside.
    pub holding: bool,
    /// The tick, modulo [`TICKS`].
    pub tick: u8,
    /// Rounds that the sweeper has completed, modulo 2^16.
    pub rounds: u16,
}

/// Bits of the register ERROR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessErrors(pub u32);

impl Status {
    /// Takes a status word apart.
    #[must_use]
    pub const fn of(word: u32) -> Self {
        let [_, tick, rounds @ ..] = word.to_le_bytes();
        Self {
            ready: word & window::STATUS_READY != 0,
            swept: word & window::STATUS_SWEPT != 0,
            holding: word & window::STATUS_HOLDING != 0,
            tick: tick % TICKS,
            rounds: u16::from_le_bytes(rounds),
        }
    }
}

impl AccessErrors {
    /// Names and meanings of the bits that are set; those that the contract does not know are named by number.
    pub fn names(self) -> impl Iterator<Item = (String, &'static str)> {
        (0..u32::BITS).filter(move |bit| self.0 >> bit & 1 != 0).map(|bit| match register::ERRORS.get(bit as usize) {
            Some(&(name, meaning)) => (name.to_owned(), meaning),
            None => (format!("bit {bit}"), "not known to this program"),
        })
    }
}

impl fmt::Display for AccessErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.names().map(|(name, meaning)| format!("{name} ({meaning})")).collect();
        write!(formatter, "{}", if names.is_empty() { "nothing".to_owned() } else { names.join(", ") })
    }
}

const _: () = {
    assert!(window::STATUS_TICK_SHIFT == 8 && window::STATUS_ROUNDS_SHIFT == 16);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_taken_apart_at_the_contracts_positions() {
        let status = Status::of(0xabcd_2a06);
        assert_eq!((status.ready, status.swept, status.holding), (false, true, true));
        assert_eq!((status.tick, status.rounds), (42, 0xabcd));
        assert!(Status::of(1).ready);
    }

    #[test]
    fn errors_are_named_and_unknown_ones_numbered() {
        assert_eq!(AccessErrors(0).to_string(), "nothing");
        let text = AccessErrors(register::ERROR_HELD | 1 << 9).to_string();
        assert!(text.starts_with("HELD (") && text.contains("bit 9 ("), "{text}");
    }
}
