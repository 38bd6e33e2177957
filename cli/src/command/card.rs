//! `maglane card`: the card from the command line. What a card is and does is the driver's knowledge.

mod device;
mod flows;
mod load;
mod selftest;
#[cfg(feature = "lab")]
mod serve;
mod state;

use std::io::Write;

use anyhow::Result;
use maglane_driver::pci::{PciBus, PciDevice, VFIO_DRIVER};
use serde::Serialize;

use crate::args::{CardArgs, CardCommand, Switch};
use crate::output::{Columns, Console};

/// Vendors of FPGAs on cards: Xilinx, Altera, Lattice.
const FPGA_VENDORS: [u16; 3] = [0x10ee, 0x1172, 0x1204];

/// Runs the command.
pub(crate) fn run(args: &CardArgs) -> Result<bool> {
    match &args.command {
        CardCommand::List { all, json } => list(*all, *json),
        CardCommand::Bind { address } => {
            let binding = PciBus::system().bind(*address, VFIO_DRIVER)?;
            let before = binding.driver_before().unwrap_or("no driver");
            writeln!(Console::new(), "{address}: {VFIO_DRIVER}, before {before}")?;
            Ok(true)
        }
        CardCommand::Unbind { address } => {
            PciBus::system().release(*address)?;
            let driver = PciBus::system().device(*address)?.driver;
            writeln!(Console::new(), "{address}: {}", driver.as_deref().unwrap_or("no driver"))?;
            Ok(true)
        }
        CardCommand::Info(device) => state::info(device),
        CardCommand::Load { device, source, serve } => load::run(device, source, *serve),
        CardCommand::Counters(device) => state::counters(device),
        CardCommand::Flows(device) => flows::run(device),
        CardCommand::SelfTest { device, march } => selftest::run(device, *march),
        #[cfg(feature = "lab")]
        CardCommand::Serve(args) => serve::run(args),
        CardCommand::Bypass { device, state } => state::bypass(device, *state == Switch::On),
    }
}

/// A PCI device, as `list --json` tells it.
#[derive(Debug, Serialize)]
struct Listed {
    address: String,
    vendor: String,
    device: String,
    driver: Option<String>,
    iommu_group: Option<u32>,
}

fn list(all: bool, json: bool) -> Result<bool> {
    let is_candidate = |device: &PciDevice| {
        all || FPGA_VENDORS.contains(&device.vendor) || device.driver.as_deref() == Some(VFIO_DRIVER)
    };
    let devices: Vec<Listed> = PciBus::system()
        .devices()?
        .into_iter()
        .filter(is_candidate)
        .map(|device| Listed {
            address: device.address.to_string(),
            vendor: format!("{:04x}", device.vendor),
            device: format!("{:04x}", device.device),
            driver: device.driver,
            iommu_group: device.iommu_group,
        })
        .collect();
    let mut console = Console::new();
    if json {
        console.json(&devices)?;
        return Ok(true);
    }
    if devices.is_empty() {
        let which = if all { "PCI device" } else { "PCI device of an FPGA vendor or bound to vfio-pci" };
        writeln!(console, "no {which}")?;
        return Ok(true);
    }
    let mut columns = Columns::new([false, false, false, true]);
    columns.row(["address", "vendor:device", "driver", "IOMMU group"].map(str::to_owned));
    for device in devices {
        let group = device.iommu_group.map_or_else(|| "none".to_owned(), |group| group.to_string());
        let ids = format!("{}:{}", device.vendor, device.device);
        columns.row([device.address, ids, device.driver.unwrap_or_else(|| "none".to_owned()), group]);
    }
    write!(console, "{}", columns.text())?;
    Ok(true)
}
