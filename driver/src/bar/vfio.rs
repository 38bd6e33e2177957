//! A BAR by way of VFIO: the kernel hands a program one device, behind the IOMMU, without root.
//!
//! Bus mastering stays off, as `vfio-pci` leaves it: the driver asks for no DMA and no interrupt. The device must be bound
//! to `vfio-pci` ([`crate::pci::PciBus::bind`]), and this user must own its group in `/dev/vfio`.

use std::mem;
use std::path::PathBuf;
use std::sync::Arc;

use maglane_spec::register;
use vfio_ioctls::{VfioContainer, VfioDevice, VfioError, VfioOps, VfioRegionInfoCap};

use super::mapped::MappedBar;
use super::sysfs::COMMAND_MEMORY;
use super::{BarError, BarIo, BarWindow};
use crate::lock::CardLock;
use crate::pci::PciDevice;

/// A region can be read, written and mapped.
///
/// # Source
/// `linux/vfio.h`: `VFIO_REGION_INFO_FLAG_READ`, `_WRITE`, `_MMAP`.
const REGION_FLAGS: u32 = 7;
/// Number of the region that is the configuration space.
///
/// # Source
/// `linux/vfio.h`: `VFIO_PCI_CONFIG_REGION_INDEX`.
const CONFIG_REGION: u32 = 7;
/// Number of BARs; regions have the numbers of the BARs.
const BARS: u8 = 6;
/// Offset of the command register; see [`super::sysfs`].
const CONFIG_COMMAND: u64 = 4;

/// A mapped BAR, the device that it belongs to, and the lock that keeps others from it.
pub struct VfioBar {
    /// Always there but in `drop`: the kernel keeps the group busy as long as anything of the device is mapped, so this
    /// goes first.
    map: Option<MappedBar>,
    device: Option<VfioDevice>,
    path: PathBuf,
    _lock: CardLock,
}

impl VfioBar {
    /// Takes a device from VFIO and maps its registers.
    ///
    /// # Errors
    /// When the device is not bound to `vfio-pci`, its group is in use or belongs to somebody else, or the kernel does not
    /// let the BAR be mapped; when the BAR has no room for the registers there.
    pub fn open(device: &PciDevice, window: BarWindow, lock: CardLock) -> Result<Self, BarError> {
        let path = device.path.clone();
        let failed = |source: VfioError| BarError::Vfio { path: path.clone(), source };
        let container: Arc<dyn VfioOps> = Arc::new(VfioContainer::new(None).map_err(failed)?);
        let vfio = VfioDevice::new(&path, container, false).map_err(failed)?;
        // From here on an error drops it as it ought to be.
        let mut bar = Self { map: None, device: None, path: path.clone(), _lock: lock };
        let vfio = bar.device.insert(vfio);
        switch_on(vfio).map_err(|()| BarError::NotDecoding { path: path.clone() })?;
        let index = u32::from(window.index);
        let bytes = if window.index < BARS { vfio.get_region_size(index) } else { 0 };
        let end = window.base.checked_add(u64::from(register::BYTES)).filter(|&end| end <= bytes);
        let end = end.ok_or(BarError::Small { index: window.index, bytes, base: window.base })?;
        let mappable = vfio.get_region_flags(index) & REGION_FLAGS == REGION_FLAGS
            && vfio.get_region_caps(index).iter().all(|cap| match cap {
                VfioRegionInfoCap::SparseMmap(sparse) => sparse
                    .areas
                    .iter()
                    .any(|area| area.offset <= window.base && area.offset.saturating_add(area.size) >= end),
                _ => true,
            });
        if !mappable {
            return Err(BarError::NotMappable { path, index: window.index, base: window.base });
        }
        let offset = vfio.get_region_offset(index) + window.base;
        let map = MappedBar::new(vfio, offset, register::BYTES);
        bar.map = Some(map.map_err(|source| BarError::File { path, doing: "map a BAR of", source, remedy: "" })?);
        Ok(bar)
    }

    fn map(&mut self, offset: u32) -> Result<&mut MappedBar, BarError> {
        self.map.as_mut().ok_or(BarError::Outside { offset, bytes: 0 })
    }
}

impl BarIo for VfioBar {
    fn bytes(&self) -> u32 {
        self.map.as_ref().map_or(0, MappedBar::bytes)
    }

    fn read(&mut self, offset: u32) -> Result<u32, BarError> {
        self.map(offset)?.read(offset)
    }

    fn write(&mut self, offset: u32, word: u32) -> Result<(), BarError> {
        self.map(offset)?.write(offset, word)
    }
}

impl Drop for VfioBar {
    fn drop(&mut self) {
        self.map = None;
        // To put the group back, the device is looked up in sysfs, and panics if it is not there any more. Then it is
        // better leaked: the kernel closes it with the process.
        if !self.path.join("iommu_group").exists() {
            mem::forget(self.device.take());
        }
    }
}

/// Switches memory decoding on if it is off. The crate's accesses to regions tell of no error, so it is read again.
fn switch_on(device: &VfioDevice) -> Result<(), ()> {
    let is_on = || {
        let mut command = [0; 2];
        device.region_read(CONFIG_REGION, &mut command, CONFIG_COMMAND);
        (command[0] & COMMAND_MEMORY != 0, command)
    };
    let (on, [low, high]) = is_on();
    if !on {
        device.region_write(CONFIG_REGION, &[low | COMMAND_MEMORY, high], CONFIG_COMMAND);
    }
    if on || is_on().0 { Ok(()) } else { Err(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pci::PciBus;
    use crate::pci::tests::Tree;

    #[test]
    fn device_without_a_group_is_an_error_that_says_what_to_do() {
        let tree = Tree::new();
        tree.device("0000:03:00.0", 0x10ee, 0x903f);
        let device = PciBus::at(tree.root()).device("03:00.0".parse().unwrap()).unwrap();
        let lock = CardLock::beside(&tree.root().join("card")).unwrap();
        let refused = VfioBar::open(&device, BarWindow { index: 2, base: 0 }, lock).err().unwrap();
        assert!(matches!(refused, BarError::Vfio { .. }), "{refused}");
        assert!(refused.to_string().contains("bind it to vfio-pci"), "{refused}");
    }
}
