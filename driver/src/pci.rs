//! Cards on the PCI bus, as sysfs tells of them: which there are, who drives them, and how `vfio-pci` comes to do it.
//!
//! It reads attributes and writes a few; it touches no BAR. Its unit is the device.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

mod address;

pub use address::PciAddress;

/// The driver that hands a device to a program.
pub const VFIO_DRIVER: &str = "vfio-pci";

/// Where the kernel tells of the bus.
const ROOT: &str = "/sys/bus/pci";

/// A device, as it was when it was listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PciDevice {
    /// Its address.
    pub address: PciAddress,
    /// Its directory in sysfs.
    pub path: PathBuf,
    /// Vendor.
    pub vendor: u16,
    /// Device id, within the vendor's.
    pub device: u16,
    /// Name of the driver that is bound to it.
    pub driver: Option<String>,
    /// Number of its IOMMU group; none without an IOMMU.
    pub iommu_group: Option<u32>,
}

/// What binding a device to another driver has changed, for [`PciBus::undo`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    address: PciAddress,
    driver: Option<String>,
    driver_override: Option<String>,
    changed: bool,
}

/// The bus.
#[derive(Debug)]
pub struct PciBus {
    root: PathBuf,
    write: fn(&Path, &str) -> io::Result<()>,
}

/// Why a device is not there, or not bound.
#[derive(Debug, thiserror::Error)]
pub enum PciError {
    /// Text that is no address.
    #[error("`{text}` is no PCI address; write it as 0000:03:00.0 or 03:00.0")]
    Address {
        /// The text.
        text: String,
    },
    /// No such device.
    #[error("there is no PCI device {address}; `maglane card list` shows those there are")]
    NoDevice {
        /// The address.
        address: PciAddress,
    },
    /// An attribute could not be read or written.
    #[error("{path}: {source}; drivers are bound and unbound by root", path = path.display())]
    Attribute {
        /// The attribute.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// An attribute's content is not what the kernel writes.
    #[error("{path}: `{content}` was not expected there", path = path.display())]
    Content {
        /// The attribute.
        path: PathBuf,
        /// Its content.
        content: String,
    },
    /// The kernel did not bind the driver.
    #[error(
        "{address} is driven by {found}, not by {wanted}; is the module loaded (modprobe {wanted}), and the group free?"
    )]
    NotBound {
        /// The device.
        address: PciAddress,
        /// The driver that was wanted.
        wanted: String,
        /// The driver that is bound.
        found: String,
    },
}

impl Binding {
    /// The driver that was bound before, if there was one.
    #[must_use]
    pub fn driver_before(&self) -> Option<&str> {
        self.driver.as_deref()
    }
}

impl PciBus {
    /// The bus of this machine.
    #[must_use]
    pub fn system() -> Self {
        Self::at(Path::new(ROOT))
    }

    /// A bus whose `devices`, `drivers` and `drivers_probe` lie in this directory.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_path_buf(), write: write_attribute }
    }

    /// All devices, by address.
    ///
    /// # Errors
    /// When the directory of devices, or an attribute of one, cannot be read. One that is removed meanwhile is left out.
    pub fn devices(&self) -> Result<Vec<PciDevice>, PciError> {
        let path = self.root.join("devices");
        let entries = fs::read_dir(&path).map_err(attribute(&path))?;
        let mut devices = Vec::new();
        for entry in entries {
            let name = entry.map_err(attribute(&path))?.file_name();
            let address = name.to_string_lossy().parse()?;
            match self.device(address) {
                Ok(device) => devices.push(device),
                Err(PciError::NoDevice { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        devices.sort_by_key(|device| device.address);
        Ok(devices)
    }

    /// A device.
    ///
    /// # Errors
    /// [`PciError::NoDevice`] when there is none; when an attribute cannot be read.
    pub fn device(&self, address: PciAddress) -> Result<PciDevice, PciError> {
        let path = self.device_path(address);
        let id = |name: &str| {
            let path = path.join(name);
            let content = match fs::read_to_string(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(PciError::NoDevice { address }),
                read => read.map_err(attribute(&path))?,
            };
            let digits = content.trim().strip_prefix("0x").unwrap_or_default();
            u16::from_str_radix(digits, 16).map_err(|_| PciError::Content { path, content })
        };
        let (vendor, device) = (id("vendor")?, id("device")?);
        let iommu_group = link_name(&path.join("iommu_group"))?.and_then(|name| name.parse().ok());
        let driver = link_name(&path.join("driver"))?;
        Ok(PciDevice { address, vendor, device, driver, iommu_group, path })
    }

    /// Binds a device to a driver, [`VFIO_DRIVER`] as a rule, in the place of the one that it has. The device's
    /// `driver_override` keeps other drivers from it until [`Self::undo`] or [`Self::release`].
    ///
    /// # Errors
    /// When this is not root, or the driver does not take the device: then all is put back as it was.
    pub fn bind(&self, address: PciAddress, driver: &str) -> Result<Binding, PciError> {
        let device = self.device(address)?;
        let path = device.path.join("driver_override");
        let content = fs::read_to_string(&path).map_err(attribute(&path))?;
        let driver_override = Some(content.trim()).filter(|name| !["", "(null)"].contains(name)).map(str::to_owned);
        let changed = device.driver.as_deref() != Some(driver);
        let binding = Binding { address, driver: device.driver, driver_override, changed };
        if changed && let Err(error) = self.rebind(address, binding.driver.is_some(), Some(driver)) {
            // What went wrong first is what is told.
            let _ = self.undo(&binding);
            return Err(error);
        }
        Ok(binding)
    }

    /// Puts back the driver, and the preference for one, that a device had before [`Self::bind`].
    ///
    /// # Errors
    /// When this is not root, or the former driver does not take the device any more.
    pub fn undo(&self, binding: &Binding) -> Result<(), PciError> {
        if !binding.changed {
            return Ok(());
        }
        let address = binding.address;
        let is_bound = self.device(address)?.driver.is_some();
        // The former driver is asked for by name, since others might take the device too, and then the preference put back.
        let wanted = binding.driver.as_deref();
        self.rebind(address, is_bound, wanted)?;
        self.prefer(address, binding.driver_override.as_deref())
    }

    /// Takes a device from its driver and from any preference for one, and lets the kernel choose, as after a boot.
    ///
    /// # Errors
    /// When this is not root.
    pub fn release(&self, address: PciAddress) -> Result<(), PciError> {
        let is_bound = self.device(address)?.driver.is_some();
        self.prefer(address, None)?;
        self.unbind(address, is_bound)?;
        self.probe(address)
    }

    /// Unbinds the driver and binds `wanted`; without one, none is left.
    fn rebind(&self, address: PciAddress, is_bound: bool, wanted: Option<&str>) -> Result<(), PciError> {
        self.prefer(address, wanted)?;
        self.unbind(address, is_bound)?;
        let Some(wanted) = wanted else { return Ok(()) };
        self.probe(address)?;
        let found = self.device(address)?.driver;
        if found.as_deref() == Some(wanted) {
            return Ok(());
        }
        let found = found.unwrap_or_else(|| "nobody".to_owned());
        Err(PciError::NotBound { address, wanted: wanted.to_owned(), found })
    }

    fn prefer(&self, address: PciAddress, driver: Option<&str>) -> Result<(), PciError> {
        self.write(&self.device_path(address).join("driver_override"), &format!("{}\n", driver.unwrap_or_default()))
    }

    fn unbind(&self, address: PciAddress, is_bound: bool) -> Result<(), PciError> {
        if !is_bound {
            return Ok(());
        }
        self.write(&self.device_path(address).join("driver/unbind"), &address.to_string())
    }

    fn probe(&self, address: PciAddress) -> Result<(), PciError> {
        self.write(&self.root.join("drivers_probe"), &address.to_string())
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), PciError> {
        (self.write)(path, text).map_err(attribute(path))
    }

    fn device_path(&self, address: PciAddress) -> PathBuf {
        self.root.join("devices").join(address.to_string())
    }
}

/// Name of what a link points to; none if there is no link.
fn link_name(path: &Path) -> Result<Option<String>, PciError> {
    match fs::read_link(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        link => {
            let link = link.map_err(attribute(path))?;
            Ok(link.file_name().map(|name| name.to_string_lossy().into_owned()))
        }
    }
}

/// Writes an attribute in one call, as the kernel wants it. The file must be there.
fn write_attribute(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

fn attribute(path: &Path) -> impl FnOnce(io::Error) -> PciError {
    let path = path.to_path_buf();
    move |source| PciError::Attribute { path, source }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const CARD: &str = "0000:03:00.0";

    /// A directory that looks like the bus, with the drivers `vfio-pci` and `other`.
    pub(crate) struct Tree(tempfile::TempDir);

    impl Tree {
        pub(crate) fn new() -> Self {
            let tree = Self(tempfile::tempdir().unwrap());
            for driver in [VFIO_DRIVER, "other"] {
                fs::create_dir_all(tree.root().join("drivers").join(driver)).unwrap();
                fs::write(tree.root().join("drivers").join(driver).join("unbind"), "").unwrap();
            }
            fs::create_dir(tree.root().join("devices")).unwrap();
            fs::write(tree.root().join("drivers_probe"), "").unwrap();
            tree
        }

        pub(crate) fn root(&self) -> &Path {
            self.0.path()
        }

        /// Adds a device without a driver; its directory.
        pub(crate) fn device(&self, address: &str, vendor: u16, device: u16) -> PathBuf {
            let path = self.root().join("devices").join(address);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("vendor"), format!("{vendor:#06x}\n")).unwrap();
            fs::write(path.join("device"), format!("{device:#06x}\n")).unwrap();
            fs::write(path.join("driver_override"), "(null)\n").unwrap();
            path
        }

        fn bind(&self, address: &str, driver: &str) {
            let path = self.root().join("devices").join(address).join("driver");
            symlink(self.root().join("drivers").join(driver), path).unwrap();
        }

        fn bus(&self) -> PciBus {
            PciBus { root: self.root().to_path_buf(), write: kernel }
        }

        fn card(&self) -> (Option<String>, String) {
            let path = self.root().join("devices").join(CARD);
            (link_name(&path.join("driver")).unwrap(), fs::read_to_string(path.join("driver_override")).unwrap())
        }
    }

    /// Does what the kernel does on a write. `other` takes any device that prefers nobody, and a driver that does not
    /// exist takes none.
    fn kernel(path: &Path, text: &str) -> io::Result<()> {
        let root = path.ancestors().find(|path| path.join("drivers_probe").exists()).unwrap();
        match path.file_name().unwrap().to_str().unwrap() {
            "driver_override" => fs::write(path, if text == "\n" { "(null)\n" } else { text }),
            "unbind" => fs::remove_file(root.join("devices").join(text).join("driver")),
            "drivers_probe" => {
                let device = root.join("devices").join(text);
                assert!(!device.join("driver").exists(), "only a device without a driver is probed");
                let preferred = fs::read_to_string(device.join("driver_override"))?;
                let name = if preferred == "(null)\n" { "other" } else { preferred.trim() };
                let driver = root.join("drivers").join(name);
                if driver.exists() { symlink(driver, device.join("driver")) } else { Ok(()) }
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn devices_are_listed_by_address_with_driver_and_group() {
        let tree = Tree::new();
        tree.device("0000:0a:00.0", 0x8086, 0x1572);
        let card = tree.device(CARD, 0x10ee, 0x903f);
        tree.bind(CARD, VFIO_DRIVER);
        symlink("../../../../kernel/iommu_groups/17", card.join("iommu_group")).unwrap();
        let devices = PciBus::at(tree.root()).devices().unwrap();
        assert_eq!(devices.iter().map(|device| device.address.bus).collect::<Vec<_>>(), [3, 10]);
        assert_eq!((devices[0].vendor, devices[0].device, devices[0].iommu_group), (0x10ee, 0x903f, Some(17)));
        assert_eq!(devices[0].driver.as_deref(), Some(VFIO_DRIVER));
        assert_eq!((devices[1].driver.as_deref(), devices[1].iommu_group), (None, None));
        let missing = PciBus::at(tree.root()).device("04:00.0".parse().unwrap()).unwrap_err();
        assert!(matches!(missing, PciError::NoDevice { .. }), "{missing}");
    }

    #[test]
    fn bind_and_undo_leave_a_device_as_it_was() {
        for (driver, preferred) in [(Some("other"), "(null)\n"), (None, "(null)\n"), (Some("other"), "other\n")] {
            let tree = Tree::new();
            let path = tree.device(CARD, 0x10ee, 0x903f);
            fs::write(path.join("driver_override"), preferred).unwrap();
            if let Some(driver) = driver {
                tree.bind(CARD, driver);
            }
            let before = tree.card();
            let binding = tree.bus().bind(CARD.parse().unwrap(), VFIO_DRIVER).unwrap();
            assert_eq!(tree.card(), (Some(VFIO_DRIVER.to_owned()), "vfio-pci\n".to_owned()));
            tree.bus().undo(&binding).unwrap();
            assert_eq!(tree.card(), before);
        }
    }

    #[test]
    fn device_that_is_bound_already_is_left_alone_by_bind_and_undo() {
        let tree = Tree::new();
        tree.device(CARD, 0x10ee, 0x903f);
        tree.bind(CARD, VFIO_DRIVER);
        let before = tree.card();
        let binding = tree.bus().bind(CARD.parse().unwrap(), VFIO_DRIVER).unwrap();
        tree.bus().undo(&binding).unwrap();
        assert_eq!(tree.card(), before);
    }

    #[test]
    fn driver_that_is_not_there_is_named_and_the_device_put_back() {
        let tree = Tree::new();
        tree.device(CARD, 0x10ee, 0x903f);
        tree.bind(CARD, "other");
        let before = tree.card();
        fs::remove_dir_all(tree.root().join("drivers").join(VFIO_DRIVER)).unwrap();
        let refused = tree.bus().bind(CARD.parse().unwrap(), VFIO_DRIVER).unwrap_err();
        assert!(refused.to_string().contains("driven by nobody, not by vfio-pci"), "{refused}");
        assert_eq!(tree.card(), before);
    }

    #[test]
    fn release_lets_the_kernel_choose() {
        let tree = Tree::new();
        tree.device(CARD, 0x10ee, 0x903f);
        tree.bus().bind(CARD.parse().unwrap(), VFIO_DRIVER).unwrap();
        tree.bus().release(CARD.parse().unwrap()).unwrap();
        assert_eq!(tree.card(), (Some("other".to_owned()), "(null)\n".to_owned()));
    }

    #[test]
    fn attribute_that_cannot_be_written_is_named() {
        let tree = Tree::new();
        let path = tree.device(CARD, 0x10ee, 0x903f);
        fs::remove_file(path.join("driver_override")).unwrap();
        let refused = PciBus::at(tree.root()).bind(CARD.parse().unwrap(), VFIO_DRIVER).unwrap_err();
        assert!(refused.to_string().contains("driver_override: "), "{refused}");
    }
}
