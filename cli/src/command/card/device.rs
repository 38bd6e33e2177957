//! The cards that the command line can name, opened.

use anyhow::{Context, Result};
use maglane_driver::Card;
use maglane_driver::bar::sysfs::SysfsBar;
use maglane_driver::bar::vfio::VfioBar;
#[cfg(feature = "lab")]
use maglane_driver::bar::vfio_user::VfioUserBar;
use maglane_driver::bar::{BarError, BarIo};
use maglane_driver::lock::CardLock;
use maglane_driver::pci::PciBus;
#[cfg(feature = "lab")]
use maglane_hw::profile::Profile;
#[cfg(feature = "lab")]
use maglane_sim::{Stimulus, device::SimulatedCard};
#[cfg(feature = "lab")]
use maglane_sw::engine::{EngineError, Frame, Outcome};

use crate::args::DeviceName;
#[cfg(feature = "lab")]
use crate::progress;

/// A way to a card.
pub(super) enum Device {
    Vfio(Box<VfioBar>),
    Sysfs(Box<SysfsBar>),
    #[cfg(feature = "lab")]
    Simulated(Box<SimulatedCard>),
    #[cfg(feature = "lab")]
    Socket(Box<VfioUserBar>),
}

/// Opens a card.
pub(super) fn open(name: &DeviceName) -> Result<Card<Device>> {
    let device = match name {
        DeviceName::Vfio(address, window) => {
            let device = PciBus::system().device(*address)?;
            Device::Vfio(Box::new(VfioBar::open(&device, *window, CardLock::of_card(*address)?)?))
        }
        DeviceName::Sysfs(address, window) => {
            let device = PciBus::system().device(*address)?;
            Device::Sysfs(Box::new(SysfsBar::open(&device, *window, CardLock::of_card(*address)?)?))
        }
        #[cfg(feature = "lab")]
        DeviceName::Simulated(profile) => Device::Simulated(Box::new(simulated(*profile)?)),
        #[cfg(feature = "lab")]
        DeviceName::Socket(path, window) => {
            Device::Socket(Box::new(VfioUserBar::open(path, *window, CardLock::beside(path)?)?))
        }
    };
    Card::open(device).with_context(|| name.to_string())
}

#[cfg(feature = "lab")]
pub(super) fn simulated(profile: Profile) -> Result<SimulatedCard> {
    let _line = progress::spinner("starting the simulated card; the first time it is built, which takes a minute");
    Ok(SimulatedCard::start(profile, Stimulus::SMOOTH)?)
}

#[cfg(feature = "lab")]
impl Device {
    /// Gives a simulated card frames; a real one has its own.
    pub(super) fn frames(&mut self, frames: &[Frame<'_>]) -> Option<Result<Vec<Outcome>, EngineError>> {
        match self {
            Self::Simulated(card) => Some(card.frames(frames)),
            Self::Vfio(_) | Self::Sysfs(_) | Self::Socket(_) => None,
        }
    }
}

impl Device {
    fn bar(&mut self) -> &mut dyn BarIo {
        match self {
            Self::Vfio(bar) => bar.as_mut(),
            Self::Sysfs(bar) => bar.as_mut(),
            #[cfg(feature = "lab")]
            Self::Simulated(card) => card.as_mut(),
            #[cfg(feature = "lab")]
            Self::Socket(bar) => bar.as_mut(),
        }
    }
}

impl BarIo for Device {
    fn bytes(&self) -> u32 {
        match self {
            Self::Vfio(bar) => bar.bytes(),
            Self::Sysfs(bar) => bar.bytes(),
            #[cfg(feature = "lab")]
            Self::Simulated(card) => card.bytes(),
            #[cfg(feature = "lab")]
            Self::Socket(bar) => bar.bytes(),
        }
    }

    fn read(&mut self, offset: u32) -> Result<u32, BarError> {
        self.bar().read(offset)
    }

    fn write(&mut self, offset: u32, word: u32) -> Result<(), BarError> {
        self.bar().write(offset, word)
    }

    fn write_all(&mut self, writes: &[(u32, u32)]) -> Result<(), BarError> {
        self.bar().write_all(writes)
    }

    fn read_all(&mut self, offsets: &[u32], out: &mut Vec<u32>) -> Result<(), BarError> {
        self.bar().read_all(offsets, out)
    }
}
