//! A BAR that fails on purpose, so that tests see what becomes of a card then. Only with the feature `fault`.
//!
//! The faults are those of a bus and of a process: lost, late, cut off, wrong. They hang on the number of accesses alone,
//! so the same calls fail in the same way. Its unit of work is the access.

use std::thread;
use std::time::Duration;

use super::{BarError, BarIo, check};

/// What goes wrong. Numbers count from the moment at which the fault was planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// So many writes arrive; of those behind them `count` are lost without a word.
    DropWrites {
        /// Writes that arrive.
        after: u64,
        /// Writes that do not; [`u64::MAX`] for all the rest.
        count: u64,
    },
    /// So many accesses are answered; then reads are all ones and writes vanish, as with a card that is gone.
    Gone {
        /// Accesses that are answered.
        after: u64,
    },
    /// Every access takes so much longer.
    Delay {
        /// By how much.
        each: Duration,
    },
    /// So many writes arrive; then every access is an error, as if this process had died there.
    Cut {
        /// Writes that arrive.
        after: u64,
    },
    /// Every `every`-th read has a bit flipped.
    FlipReads {
        /// Number of the bit, 0 to 31.
        bit: u32,
        /// 1 for every read.
        every: u64,
    },
}

/// A BAR with at most one fault.
#[derive(Debug)]
pub struct FaultyBar<B> {
    inner: B,
    fault: Fault,
    writes: u64,
    reads: u64,
}

/// The process that a [`Fault::Cut`] stands for is no more.
#[derive(Debug, thiserror::Error)]
#[error("cut off on purpose")]
pub struct CutOff;

impl<B> FaultyBar<B> {
    /// A BAR without a fault.
    pub const fn new(inner: B) -> Self {
        Self { inner, fault: Fault::None, writes: 0, reads: 0 }
    }

    /// Plants a fault in the place of the one before, and counts from here.
    pub const fn plant(&mut self, fault: Fault) {
        self.fault = fault;
        self.writes = 0;
        self.reads = 0;
    }

    /// Writes since the fault was planted, whether or not they arrived.
    pub const fn writes(&self) -> u64 {
        self.writes
    }

    /// Reads since the fault was planted.
    pub const fn reads(&self) -> u64 {
        self.reads
    }

    /// The BAR behind the fault.
    pub const fn inner(&mut self) -> &mut B {
        &mut self.inner
    }

    fn begin(&self, offset: u32) -> Result<(), BarError> {
        match self.fault {
            Fault::Delay { each } => thread::sleep(each),
            Fault::Cut { after } if self.writes > after => {
                return Err(BarError::Transport { transport: "a planted fault", offset, source: Box::new(CutOff) });
            }
            _ => {}
        }
        Ok(())
    }

    /// How many of the next reads the fault leaves alone, if nothing is written.
    const fn sound_reads(&self) -> u64 {
        match self.fault {
            Fault::None | Fault::DropWrites { .. } => u64::MAX,
            Fault::Cut { after } => {
                if self.writes > after {
                    0
                } else {
                    u64::MAX
                }
            }
            Fault::Gone { after } => after.saturating_sub(self.reads + self.writes),
            Fault::Delay { .. } | Fault::FlipReads { .. } => 0,
        }
    }

    /// How many of the next writes the fault leaves alone, if nothing is read.
    const fn sound_writes(&self) -> u64 {
        match self.fault {
            Fault::None | Fault::FlipReads { .. } => u64::MAX,
            Fault::Cut { after } | Fault::DropWrites { after, .. } => after.saturating_sub(self.writes),
            Fault::Gone { after } => after.saturating_sub(self.reads + self.writes),
            Fault::Delay { .. } => 0,
        }
    }

    const fn is_gone(&self) -> bool {
        matches!(self.fault, Fault::Gone { after } if self.reads + self.writes > after)
    }
}

impl<B: BarIo> BarIo for FaultyBar<B> {
    fn bytes(&self) -> u32 {
        self.inner.bytes()
    }

    fn read(&mut self, offset: u32) -> Result<u32, BarError> {
        check(offset, self.bytes())?;
        self.begin(offset)?;
        self.reads += 1;
        if self.is_gone() {
            return Ok(u32::MAX);
        }
        let word = self.inner.read(offset)?;
        match self.fault {
            Fault::FlipReads { bit, every } if self.reads.is_multiple_of(every) => Ok(word ^ 1 << (bit % u32::BITS)),
            _ => Ok(word),
        }
    }

    fn write(&mut self, offset: u32, word: u32) -> Result<(), BarError> {
        check(offset, self.bytes())?;
        self.writes += 1;
        self.begin(offset)?;
        let lost = match self.fault {
            Fault::DropWrites { after, count } => self.writes > after && self.writes - after <= count,
            _ => self.is_gone(),
        };
        if lost { Ok(()) } else { self.inner.write(offset, word) }
    }

    fn write_all(&mut self, writes: &[(u32, u32)]) -> Result<(), BarError> {
        let sound = usize::try_from(self.sound_writes()).unwrap_or(usize::MAX).min(writes.len());
        let (sound, rest) = writes.split_at(sound);
        self.writes += sound.len() as u64;
        self.inner.write_all(sound)?;
        rest.iter().try_for_each(|&(offset, word)| self.write(offset, word))
    }

    fn read_all(&mut self, offsets: &[u32], out: &mut Vec<u32>) -> Result<(), BarError> {
        let sound = usize::try_from(self.sound_reads()).unwrap_or(usize::MAX).min(offsets.len());
        let (sound, rest) = offsets.split_at(sound);
        self.reads += sound.len() as u64;
        self.inner.read_all(sound, out)?;
        for &offset in rest {
            let word = self.read(offset)?;
            out.push(word);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words that remember what is written.
    struct Memory(Vec<u32>);

    impl BarIo for Memory {
        fn bytes(&self) -> u32 {
            16
        }

        fn read(&mut self, offset: u32) -> Result<u32, BarError> {
            Ok(self.0[offset as usize / 4])
        }

        fn write(&mut self, offset: u32, word: u32) -> Result<(), BarError> {
            self.0[offset as usize / 4] = word;
            Ok(())
        }
    }

    fn after_four_writes(fault: Fault) -> (Vec<u32>, Result<(), BarError>) {
        let mut bar = FaultyBar::new(Memory(vec![0; 4]));
        bar.plant(fault);
        let written = bar.write_all(&[(0, 1), (4, 2), (8, 3), (12, 4)]);
        (bar.inner.0, written)
    }

    #[test]
    fn dropped_writes_are_those_that_were_named() {
        assert_eq!(after_four_writes(Fault::None).0, [1, 2, 3, 4]);
        assert_eq!(after_four_writes(Fault::DropWrites { after: 1, count: 2 }).0, [1, 0, 0, 4]);
        assert_eq!(after_four_writes(Fault::DropWrites { after: 1, count: u64::MAX }).0, [1, 0, 0, 0]);
        assert_eq!(after_four_writes(Fault::DropWrites { after: 0, count: 1 }).0, [0, 2, 3, 4]);
    }

    #[test]
    fn cut_is_an_error_and_stays_one_for_reads_too() {
        let (words, written) = after_four_writes(Fault::Cut { after: 3 });
        assert_eq!(words, [1, 2, 3, 0]);
        assert!(matches!(written, Err(BarError::Transport { offset: 12, .. })));
        let mut bar = FaultyBar::new(Memory(vec![0; 4]));
        bar.plant(Fault::Cut { after: 0 });
        assert!(bar.read(0).is_ok(), "nothing has been written yet");
        assert!(bar.write(0, 1).is_err() && bar.read(0).is_err());
    }

    #[test]
    fn gone_counts_reads_and_writes() {
        let mut bar = FaultyBar::new(Memory(vec![7; 4]));
        bar.plant(Fault::Gone { after: 2 });
        bar.write(0, 5).unwrap();
        assert_eq!(bar.read(0).unwrap(), 5);
        assert_eq!(bar.read(0).unwrap(), u32::MAX);
        bar.write(4, 5).unwrap();
        assert_eq!(bar.inner.0, [5, 7, 7, 7]);
    }

    #[test]
    fn flipped_reads_are_every_nth() {
        let mut bar = FaultyBar::new(Memory(vec![0; 4]));
        bar.plant(Fault::FlipReads { bit: 3, every: 2 });
        let mut words = Vec::new();
        bar.read_all(&[0, 0, 0, 0], &mut words).unwrap();
        assert_eq!(words, [0, 8, 0, 8]);
    }
}
