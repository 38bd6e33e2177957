//! What the registers lie behind: a base address register (BAR) of a card, or whatever stands in for it.
//!
//! Its unit of work is an access of 32 bits. It knows nothing of what a register means, and it does not wait.

use std::io;
use std::path::PathBuf;

#[cfg(any(test, feature = "fault"))]
pub mod fault;
pub mod mapped;
pub mod sysfs;
pub mod vfio;
#[cfg(feature = "vfio-user")]
pub mod vfio_user;

/// Access to the window of a card's registers.
///
/// # Shape
/// Offsets are in bytes from the begin of the window, and multiples of four; words are numbers in the host's order, little
/// endian on the bus. Accesses take effect in the order of the calls, and within a call in the order of its slice: a
/// counter's words belong together only in that order. A write may still be under way when its call returns; a read waits
/// for all writes before it.
pub trait BarIo: Send {
    /// Length of the window in bytes.
    fn bytes(&self) -> u32;

    /// Reads a word.
    ///
    /// # Errors
    /// [`BarError::Unaligned`] and [`BarError::Outside`] for such offsets; [`BarError::Transport`] when the way to the card
    /// is broken. A mapped BAR whose card is gone makes no error: it reads all ones.
    fn read(&mut self, offset: u32) -> Result<u32, BarError>;

    /// Writes a word.
    ///
    /// # Errors
    /// As [`Self::read`]. A mapped BAR whose card is gone takes the write, and nothing happens.
    fn write(&mut self, offset: u32, word: u32) -> Result<(), BarError>;

    /// Writes many words, (offset, word), in order.
    ///
    /// # Errors
    /// As [`Self::write`]; how many words were written before is not known.
    fn write_all(&mut self, writes: &[(u32, u32)]) -> Result<(), BarError> {
        writes.iter().try_for_each(|&(offset, word)| self.write(offset, word))
    }

    /// Reads many words in order and appends them to `out`.
    ///
    /// # Errors
    /// As [`Self::read`]; how many words were appended is not known.
    fn read_all(&mut self, offsets: &[u32], out: &mut Vec<u32>) -> Result<(), BarError> {
        out.reserve(offsets.len());
        for &offset in offsets {
            out.push(self.read(offset)?);
        }
        Ok(())
    }
}

impl<B: BarIo + ?Sized> BarIo for Box<B> {
    fn bytes(&self) -> u32 {
        (**self).bytes()
    }

    fn read(&mut self, offset: u32) -> Result<u32, BarError> {
        (**self).read(offset)
    }

    fn write(&mut self, offset: u32, word: u32) -> Result<(), BarError> {
        (**self).write(offset, word)
    }

    fn write_all(&mut self, writes: &[(u32, u32)]) -> Result<(), BarError> {
        (**self).write_all(writes)
    }

    fn read_all(&mut self, offsets: &[u32], out: &mut Vec<u32>) -> Result<(), BarError> {
        (**self).read_all(offsets, out)
    }
}

/// Where in a card's BARs the registers begin: shells that carry other things besides leave the core a part of a BAR.
///
/// # Shape
/// The window is [`maglane_spec::register::BYTES`] long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BarWindow {
    /// Number of the BAR, 0 to 5.
    pub index: u8,
    /// First byte of the window in the BAR; a multiple of the machine's page size.
    pub base: u64,
}

/// Why a BAR could not be opened, or did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum BarError {
    /// Accesses are of whole words.
    #[error("offset {offset:#x} of the BAR is not a multiple of four")]
    Unaligned {
        /// The offset.
        offset: u32,
    },
    /// The window ends before.
    #[error("offset {offset:#x} is outside the BAR, whose window has {bytes:#x} bytes")]
    Outside {
        /// The offset.
        offset: u32,
        /// Length of the window.
        bytes: u32,
    },
    /// The way to the card is broken: a socket was closed, a simulator stopped.
    #[error("access to offset {offset:#x} by {transport}: {source}; open the card again")]
    Transport {
        /// What carries the accesses.
        transport: &'static str,
        /// The offset.
        offset: u32,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The device has no such BAR, or a smaller one.
    #[error(
        "BAR {index} has {bytes:#x} bytes, and the registers should be at {base:#x}: is this the card, and its shell?"
    )]
    Small {
        /// Number of the BAR.
        index: u8,
        /// Its length.
        bytes: u64,
        /// Where the registers should begin.
        base: u64,
    },
    /// A file of the system could not be used.
    #[error("{path}: cannot {doing}: {source}{remedy}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was to be done with it.
        doing: &'static str,
        /// What happened.
        source: io::Error,
        /// What to do, after a separator; or nothing.
        remedy: &'static str,
    },
    /// VFIO did not hand out the device.
    #[error("{path}: {source}; bind it to vfio-pci, and see that this user may open /dev/vfio", path = path.display())]
    Vfio {
        /// The device's directory.
        path: PathBuf,
        /// What happened.
        source: vfio_ioctls::VfioError,
    },
    /// VFIO lets no program map this part of the BAR.
    #[error("{path}: the kernel does not let BAR {index} be mapped at {base:#x}", path = path.display())]
    NotMappable {
        /// The device's directory.
        path: PathBuf,
        /// Number of the BAR.
        index: u8,
        /// Where the registers should begin.
        base: u64,
    },
    /// The device does not answer memory accesses, and could not be made to.
    #[error("{path}: memory decoding is off and could not be switched on; reset the device or load its driver once",
        path = path.display())]
    NotDecoding {
        /// The device's directory.
        path: PathBuf,
    },
}

/// Checks an offset against a window, for those who implement [`BarIo`].
///
/// # Errors
/// [`BarError::Unaligned`] and [`BarError::Outside`].
pub const fn check(offset: u32, bytes: u32) -> Result<(), BarError> {
    if !offset.is_multiple_of(4) {
        return Err(BarError::Unaligned { offset });
    }
    if bytes < 4 || offset > bytes - 4 {
        return Err(BarError::Outside { offset, bytes });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_at_the_edges_refuses_what_is_outside_or_between() {
        assert!(check(0, 8).is_ok() && check(4, 8).is_ok());
        for offset in [8, u32::MAX - 3] {
            assert!(matches!(check(offset, 8), Err(BarError::Outside { bytes: 8, .. })), "{offset}");
        }
        assert!(matches!(check(0, 0), Err(BarError::Outside { .. })));
        assert!(matches!(check(0, 3), Err(BarError::Outside { .. })));
        for offset in [1, 2, 3, u32::MAX] {
            assert!(matches!(check(offset, 8), Err(BarError::Unaligned { .. })), "{offset}");
        }
    }
}
