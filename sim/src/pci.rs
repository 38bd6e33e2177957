//! A simulated card as a PCI device: its configuration space, and its registers as BAR 0.
//!
//! It has neither interrupts nor capabilities and does no DMA. How accesses come here is not known: by [`crate::vfio_user`]
//! or by [`crate::mpqemu`]. Its unit of work is the access.

use maglane_driver::bar::{BarError, BarIo};
use maglane_spec::register;

/// Vendor id that belongs to nobody; QEMU's own test devices have it too. Flashed cards have their shell's.
pub const VENDOR: u16 = 0x1234;
/// Device id: "MG".
pub const DEVICE: u16 = 0x4d47;
/// The BAR with the registers.
pub const BAR: u8 = 0;
/// Length of the configuration space.
pub const CONFIG_BYTES: usize = 256;

/// Class, subclass and programming interface: network controller, Ethernet.
const CLASS: [u8; 3] = [0, 0, 2];
const REVISION: u8 = 1;

// Offsets of a header of type 0; PCI Local Bus Specification 3.0, section 6.1.
const CONFIG_COMMAND: usize = 0x04;
const CONFIG_REVISION: usize = 0x08;
const CONFIG_CACHE_LINE: usize = 0x0c;
const CONFIG_BAR: usize = 0x10;
const CONFIG_SUBSYSTEM: usize = 0x2c;
const CONFIG_INTERRUPT_LINE: usize = 0x3c;
/// Bits of the command register: the device answers memory accesses, and may make some itself.
const COMMAND: u8 = 6;
const COMMAND_MEMORY: u8 = 2;

/// A device that a host can reset.
pub trait Device: BarIo {
    /// Resets it: no tables, no flows, bypass.
    ///
    /// # Errors
    /// When the device cannot be reached.
    fn reset(&mut self) -> Result<(), BarError>;
}

impl<D: Device + ?Sized> Device for Box<D> {
    fn reset(&mut self) -> Result<(), BarError> {
        (**self).reset()
    }
}

/// A device on the bus.
#[derive(Debug)]
pub struct PciFunction<D> {
    device: D,
    config: [u8; CONFIG_BYTES],
    reads: u64,
    writes: u64,
}

/// Why an access did nothing.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Registers are words.
    #[error("an access of {len} bytes at {offset:#x} is not one of words within the window")]
    Shape {
        /// Its offset.
        offset: u64,
        /// Its length.
        len: usize,
    },
    /// The device is broken.
    #[error(transparent)]
    Device(#[from] BarError),
}

impl<D: Device> PciFunction<D> {
    /// A device as it is after power-on.
    pub fn new(device: D) -> Self {
        Self { device, config: power_on(), reads: 0, writes: 0 }
    }

    /// The device behind.
    pub const fn device(&mut self) -> &mut D {
        &mut self.device
    }

    /// Words that have been read from the BAR.
    pub const fn reads(&self) -> u64 {
        self.reads
    }

    /// Words that have been written to the BAR.
    pub const fn writes(&self) -> u64 {
        self.writes
    }

    /// Where on the bus the BAR begins; none while the device answers no memory accesses.
    pub fn bar_address(&self) -> Option<u64> {
        let address = word(&self.config, CONFIG_BAR);
        (self.config[CONFIG_COMMAND] & COMMAND_MEMORY != 0).then_some(address.into())
    }

    /// Reads bytes of the configuration space.
    ///
    /// # Errors
    /// [`AccessError::Shape`] outside of it.
    pub fn read_config(&self, offset: u64, out: &mut [u8]) -> Result<(), AccessError> {
        let begin = place(offset, out.len(), CONFIG_BYTES)?;
        out.copy_from_slice(&self.config[begin..begin + out.len()]);
        Ok(())
    }

    /// Writes bytes of the configuration space; those that are fixed stay.
    ///
    /// # Errors
    /// [`AccessError::Shape`] outside of it.
    pub fn write_config(&mut self, offset: u64, bytes: &[u8]) -> Result<(), AccessError> {
        let begin = place(offset, bytes.len(), CONFIG_BYTES)?;
        for (at, &byte) in (begin..).zip(bytes) {
            let mask = writable(at);
            self.config[at] = self.config[at] & !mask | byte & mask;
        }
        Ok(())
    }

    /// Reads words of the BAR in ascending order.
    ///
    /// # Errors
    /// [`AccessError::Shape`] when they are no words, or outside the window; [`AccessError::Device`] when it is broken.
    pub fn read_bar(&mut self, offset: u64, out: &mut [u8]) -> Result<(), AccessError> {
        let offsets: Vec<u32> = offsets(offset, out.len())?.collect();
        let mut words = Vec::new();
        self.device.read_all(&offsets, &mut words)?;
        self.reads += offsets.len() as u64;
        for (bytes, word) in out.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Ok(())
    }

    /// Writes words of the BAR in ascending order.
    ///
    /// # Errors
    /// As [`Self::read_bar`].
    pub fn write_bar(&mut self, offset: u64, bytes: &[u8]) -> Result<(), AccessError> {
        let words = bytes.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word));
        let writes: Vec<(u32, u32)> = offsets(offset, bytes.len())?.zip(words).collect();
        self.device.write_all(&writes)?;
        self.writes += writes.len() as u64;
        Ok(())
    }

    /// Resets the device and its configuration space.
    ///
    /// # Errors
    /// When the device cannot be reached.
    pub fn reset(&mut self) -> Result<(), BarError> {
        self.config = power_on();
        self.device.reset()
    }
}

fn power_on() -> [u8; CONFIG_BYTES] {
    let mut config = [0; CONFIG_BYTES];
    for base in [0, CONFIG_SUBSYSTEM] {
        config[base..base + 2].copy_from_slice(&VENDOR.to_le_bytes());
        config[base + 2..base + 4].copy_from_slice(&DEVICE.to_le_bytes());
    }
    config[CONFIG_REVISION] = REVISION;
    config[CONFIG_REVISION + 1..CONFIG_REVISION + 4].copy_from_slice(&CLASS);
    config
}

/// Bits of a byte of the configuration space that can be written. Those of the BAR are what tells its length.
const fn writable(at: usize) -> u8 {
    match at {
        CONFIG_COMMAND => COMMAND,
        CONFIG_CACHE_LINE | CONFIG_INTERRUPT_LINE => u8::MAX,
        _ if at >= CONFIG_BAR && at < CONFIG_BAR + 4 => (!(register::BYTES - 1)).to_le_bytes()[at - CONFIG_BAR],
        _ => 0,
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Where so many bytes begin in a space of this length.
fn place(offset: u64, len: usize, space: usize) -> Result<usize, AccessError> {
    let begin = usize::try_from(offset).ok();
    let fits = begin.filter(|begin| begin.checked_add(len).is_some_and(|end| end <= space));
    fits.ok_or(AccessError::Shape { offset, len })
}

/// Offsets of the words of an access; there is at least one.
fn offsets(offset: u64, len: usize) -> Result<impl Iterator<Item = u32>, AccessError> {
    let shape = AccessError::Shape { offset, len };
    place(offset, len, register::BYTES as usize)?;
    let (Ok(first), Ok(bytes)) = (u32::try_from(offset), u32::try_from(len)) else { return Err(shape) };
    if !first.is_multiple_of(4) || !bytes.is_multiple_of(4) || bytes == 0 {
        return Err(shape);
    }
    Ok((first..first + bytes).step_by(4))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Registers that remember what is written, in which order.
    #[derive(Debug, Default)]
    pub(crate) struct Memory {
        pub(crate) log: Vec<(u32, u32)>,
        pub(crate) broken: bool,
    }

    impl BarIo for Memory {
        fn bytes(&self) -> u32 {
            register::BYTES
        }

        fn read(&mut self, offset: u32) -> Result<u32, BarError> {
            if self.broken {
                return Err(BarError::Transport { transport: "a test", offset, source: "broken".into() });
            }
            Ok(self.log.iter().rev().find(|(at, _)| *at == offset).map_or(0, |(_, word)| *word))
        }

        fn write(&mut self, offset: u32, word: u32) -> Result<(), BarError> {
            self.read(offset)?;
            self.log.push((offset, word));
            Ok(())
        }
    }

    impl Device for Memory {
        fn reset(&mut self) -> Result<(), BarError> {
            self.log.clear();
            Ok(())
        }
    }

    #[test]
    fn bar_is_sized_placed_and_enabled_as_a_bus_does_it() {
        let mut function = PciFunction::new(Memory::default());
        let mut bytes = [0; 12];
        function.read_config(0, &mut bytes).unwrap();
        assert_eq!(bytes, [0x34, 0x12, 0x47, 0x4d, 0, 0, 0, 0, 1, 0, 0, 2]);
        function.write_config(0x10, &[0xff; 4]).unwrap();
        let mut bar = [0; 4];
        function.read_config(0x10, &mut bar).unwrap();
        assert_eq!(u32::from_le_bytes(bar), 0xffff_0000);
        function.write_config(0x10, &0xfe12_3000_u32.to_le_bytes()).unwrap();
        assert_eq!(function.bar_address(), None);
        function.write_config(0, &[0xff; 8]).unwrap();
        assert_eq!(function.bar_address(), Some(0xfe12_0000));
        function.read_config(0, &mut bytes).unwrap();
        assert_eq!(bytes[..8], [0x34, 0x12, 0x47, 0x4d, 6, 0, 0, 0]);
        function.reset().unwrap();
        assert_eq!(function.bar_address(), None);
    }

    #[test]
    fn words_go_in_order_and_all_else_is_refused() {
        let mut function = PciFunction::new(Memory::default());
        function.write_bar(8, &[1, 0, 0, 0, 2, 0, 0, 0]).unwrap();
        assert_eq!(function.device().log, [(8, 1), (12, 2)]);
        let mut bytes = [0; 8];
        function.read_bar(12, &mut bytes).unwrap();
        assert_eq!((bytes, function.reads(), function.writes()), ([2, 0, 0, 0, 0, 0, 0, 0], 2, 2));
        for (offset, len) in
            [(0, 0), (0, 2), (0, 6), (2, 4), (0xfffc, 8), (1 << 16, 4), (u64::MAX - 3, 4), (1 << 32, 4)]
        {
            let mut bytes = vec![0; len];
            assert!(matches!(function.read_bar(offset, &mut bytes), Err(AccessError::Shape { .. })), "{offset} {len}");
            assert!(matches!(function.write_bar(offset, &bytes), Err(AccessError::Shape { .. })), "{offset} {len}");
        }
        for (offset, len) in [(256, 1), (255, 2), (u64::MAX, 1)] {
            assert!(function.read_config(offset, &mut vec![0; len]).is_err(), "{offset} {len}");
            assert!(function.write_config(offset, &vec![0; len]).is_err(), "{offset} {len}");
        }
        assert_eq!(function.device().log.len(), 2);
    }
}
