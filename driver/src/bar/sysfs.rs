//! A BAR by way of `resourceN` in sysfs, for machines without an IOMMU.
//!
//! This needs root, and a kernel that is not locked down: whoever maps a BAR this way can make the card read and write
//! all of the machine's memory. Where there is an IOMMU, [`super::vfio`] is the way. No driver may hold the device.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use maglane_spec::register;

use super::mapped::MappedBar;
use super::{BarError, BarIo, BarWindow};
use crate::lock::CardLock;
use crate::pci::PciDevice;

/// Offset of the command register in configuration space.
///
/// # Source
/// PCI Local Bus Specification 3.0, section 6.2.2.
const CONFIG_COMMAND: u64 = 4;
/// Bit of the command register: the device answers memory accesses.
pub(super) const COMMAND_MEMORY: u8 = 2;

/// A mapped BAR, and the lock that keeps others from it.
#[derive(Debug)]
pub struct SysfsBar {
    map: MappedBar,
    /// `enable`, if the device was switched on here.
    enable: Option<PathBuf>,
    _lock: CardLock,
}

impl SysfsBar {
    /// Maps a card's registers. A device that is switched off is switched on, and off again when this is dropped.
    ///
    /// # Errors
    /// When this is not root, or the kernel keeps the BAR to itself; when the BAR has no room for the registers there;
    /// when the device does not answer memory accesses and cannot be made to.
    pub fn open(device: &PciDevice, window: BarWindow, lock: CardLock) -> Result<Self, BarError> {
        let path = device.path.join(format!("resource{}", window.index));
        let remedy = "; this way needs root, no driver at the device, and a kernel without lockdown: prefer vfio-pci";
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.map_err(|source| BarError::File { path: path.clone(), doing: "open", source, remedy })?;
        let length = file.metadata();
        let bytes = length.map_err(file_error(&path, "measure"))?.len();
        if window.base.checked_add(u64::from(register::BYTES)).is_none_or(|end| end > bytes) {
            return Err(BarError::Small { index: window.index, bytes, base: window.base });
        }
        let mut bar = Self {
            map: MappedBar::new(&file, window.base, register::BYTES).map_err(|source| BarError::File {
                path,
                doing: "map",
                source,
                remedy,
            })?,
            enable: None,
            _lock: lock,
        };
        if !is_decoding(&device.path)? {
            let enable = device.path.join("enable");
            write(&enable, "1").map_err(file_error(&enable, "switch on the device by"))?;
            bar.enable = Some(enable);
            if !is_decoding(&device.path)? {
                return Err(BarError::NotDecoding { path: device.path.clone() });
            }
        }
        Ok(bar)
    }
}

impl BarIo for SysfsBar {
    fn bytes(&self) -> u32 {
        self.map.bytes()
    }

    fn read(&mut self, offset: u32) -> Result<u32, BarError> {
        self.map.read(offset)
    }

    fn write(&mut self, offset: u32, word: u32) -> Result<(), BarError> {
        self.map.write(offset, word)
    }
}

impl Drop for SysfsBar {
    fn drop(&mut self) {
        // The kernel counts who switched a device on. Nobody is left to be told when this fails.
        if let Some(enable) = &self.enable {
            let _ = write(enable, "0");
        }
    }
}

fn is_decoding(device: &Path) -> Result<bool, BarError> {
    let path = device.join("config");
    let mut command = [0];
    let read = File::open(&path).and_then(|file| file.read_exact_at(&mut command, CONFIG_COMMAND));
    read.map_err(file_error(&path, "read"))?;
    Ok(command[0] & COMMAND_MEMORY != 0)
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

fn file_error(path: &Path, doing: &'static str) -> impl FnOnce(std::io::Error) -> BarError {
    let path = path.to_path_buf();
    move |source| BarError::File { path, doing, source, remedy: "" }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::pci::PciBus;
    use crate::pci::tests::Tree;

    fn device(tree: &Tree, command: u8, bar_bytes: u64) -> PciDevice {
        let path = tree.device("0000:03:00.0", 0x10ee, 0x903f);
        fs::write(path.join("config"), [0xee, 0x10, 0x3f, 0x90, command, 0]).unwrap();
        fs::write(path.join("enable"), "0").unwrap();
        File::create(path.join("resource2")).unwrap().set_len(bar_bytes).unwrap();
        PciBus::at(tree.root()).device("03:00.0".parse().unwrap()).unwrap()
    }

    fn lock(tree: &Tree) -> CardLock {
        CardLock::beside(&tree.root().join("card")).unwrap()
    }

    #[test]
    fn registers_are_those_at_the_base_of_the_bar() {
        let tree = Tree::new();
        let device = device(&tree, COMMAND_MEMORY, 1 << 20);
        let window = BarWindow { index: 2, base: 0x2_0000 };
        let mut bar = SysfsBar::open(&device, window, lock(&tree)).unwrap();
        bar.write(8, 0x1234_5678).unwrap();
        assert_eq!(bar.bytes(), register::BYTES);
        assert!(matches!(bar.read(register::BYTES), Err(BarError::Outside { .. })));
        drop(bar);
        let bytes = fs::read(device.path.join("resource2")).unwrap();
        assert_eq!(bytes[0x2_0008..0x2_000c], [0x78, 0x56, 0x34, 0x12]);
        assert_eq!(fs::read(device.path.join("enable")).unwrap(), b"0", "it was on, so it is left alone");
    }

    #[test]
    fn bar_without_room_for_the_registers_is_refused() {
        let tree = Tree::new();
        let device = device(&tree, COMMAND_MEMORY, 1 << 16);
        for base in [4_096, u64::MAX - 4_095] {
            let refused = SysfsBar::open(&device, BarWindow { index: 2, base }, lock(&tree)).unwrap_err();
            assert!(matches!(refused, BarError::Small { index: 2, bytes: 0x1_0000, .. }), "{refused}");
        }
        let refused = SysfsBar::open(&device, BarWindow { index: 0, base: 0 }, lock(&tree)).unwrap_err();
        assert!(refused.to_string().contains("resource0: cannot open"), "{refused}");
    }

    #[test]
    fn device_that_stays_off_is_refused_and_the_switch_put_back() {
        let tree = Tree::new();
        let device = device(&tree, 0, 1 << 16);
        let refused = SysfsBar::open(&device, BarWindow { index: 2, base: 0 }, lock(&tree)).unwrap_err();
        assert!(matches!(refused, BarError::NotDecoding { .. }), "{refused}");
        assert_eq!(fs::read(device.path.join("enable")).unwrap(), b"0");
    }
}
