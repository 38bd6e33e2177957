//! The arguments of `maglane card`.

use std::fmt;
#[cfg(feature = "lab")]
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use maglane_driver::bar::BarWindow;
use maglane_driver::pci::PciAddress;
#[cfg(feature = "lab")]
use maglane_hw::profile::Profile;

use super::TableSource;

/// Find a card, load its tables, read what it counts, test it
#[derive(Debug, Args)]
#[command(after_help = "\
Devices:
  vfio:0000:03:00.0         a card on PCIe, through VFIO: needs an IOMMU and
                            `card bind`
  sysfs:0000:03:00.0        the same without an IOMMU: needs root, and nothing
                            keeps the card from memory it should not touch
  sim:lab                   the gateware of a profile under Verilator, reset:
                            lab, lab64, sume, alveo, ecp5; it lives as long as
                            the command
  vfio-user:PATH            one that `maglane card serve` plays behind a socket
  ...,bar=2,base=0x100000   where the shell around the core has its registers")]
pub(crate) struct CardArgs {
    #[command(subcommand)]
    pub(crate) command: CardCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CardCommand {
    /// List PCI devices that may be a card, with driver and IOMMU group
    List {
        /// All PCI devices, not only those of FPGA vendors or bound to vfio-pci
        #[arg(long)]
        all: bool,
        /// One JSON object instead of text
        #[arg(long)]
        json: bool,
    },
    /// Hand a PCI device to vfio-pci (root)
    Bind {
        /// PCI address, 0000:03:00.0
        address: PciAddress,
    },
    /// Give a PCI device back to whoever drives it by default (root)
    Unbind {
        /// PCI address, 0000:03:00.0
        address: PciAddress,
    },
    /// Show what a card is: gateware, sizes, clock, state
    Info(DeviceArgs),
    /// Load tables: write what differs, read it back, commit between two frames
    #[command(after_help = "\
Example:
  maglane card load --device sim:lab --config examples/web.toml
  maglane card load --device vfio:0000:03:00.0 --config web.toml --serve")]
    Load {
        #[command(flatten)]
        device: DeviceArgs,
        #[command(flatten)]
        source: TableSource,
        /// Then let the card serve, and count time
        #[arg(long)]
        serve: bool,
    },
    /// Show what a card has counted
    Counters(DeviceArgs),
    /// Show how full the flow table is, and how many live flows each backend has
    Flows(DeviceArgs),
    /// Test bus and memories of a card in bypass; a simulated one gets frames too
    ///
    /// What is staged is void afterwards, and so is the flow table: load tables again.
    #[command(name = "selftest")]
    SelfTest {
        #[command(flatten)]
        device: DeviceArgs,
        /// March C- over every word of every memory, ten accesses each [default: every memory as a whole, twice]
        #[arg(long)]
        march: bool,
    },
    /// Play a simulated card behind a socket, by the vfio-user protocol, for other commands or a virtual machine
    ///
    /// With --in it waits until the card serves, gives it the capture's frames, and stays. With --tap it has frames of this
    /// machine's kernel as long as it runs; what comes faster than the simulation can take it is lost, as on a wire.
    #[cfg(feature = "lab")]
    #[command(after_help = "\
Example, in two terminals:
  maglane card serve --socket /tmp/card --in in.pcap --out out.pcap
  maglane card load --device vfio-user:/tmp/card --config web.toml --serve

Example of live frames, as root; tests/lab/curl.sh has a network around it:
  maglane card serve --socket /tmp/card --tap wire --host-tap host")]
    Serve(ServeArgs),
    /// Pass every frame to the host, or serve again
    Bypass {
        #[command(flatten)]
        device: DeviceArgs,
        /// on: pass every frame to the host; off: serve
        state: Switch,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

#[cfg(feature = "lab")]
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Socket to make
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: PathBuf,
    /// Build of the gateware: lab, lab64, sume, alveo, ecp5
    #[arg(long, value_name = "PROFILE", value_parser = super::profile, default_value = "lab")]
    pub(crate) profile: Profile,
    /// Frames for the card: a capture, pcap or pcapng
    #[arg(long = "in", value_name = "FILE", group = "frames")]
    pub(crate) input: Option<PathBuf>,
    /// Frames for the card: what the kernel sends out of this TAP device, made if it is not there; what the card forwards
    /// comes in at it
    #[arg(long, value_name = "DEVICE", group = "frames")]
    pub(crate) tap: Option<String>,
    /// The host's side: what the card passes comes in at this TAP device, and what the kernel sends out of it leaves on
    /// the wire as it is; without it, passed frames are only counted
    #[arg(long, value_name = "DEVICE", requires = "tap")]
    pub(crate) host_tap: Option<String>,
    /// Write what the card forwards to this capture
    #[arg(long, value_name = "FILE", requires = "frames")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DeviceArgs {
    /// The card: vfio:ADDRESS, sysfs:ADDRESS, sim:PROFILE or vfio-user:PATH, see `maglane card --help`
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: DeviceName,
    /// One JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which card, and by which way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeviceName {
    Vfio(PciAddress, BarWindow),
    Sysfs(PciAddress, BarWindow),
    #[cfg(feature = "lab")]
    Simulated(Profile),
    #[cfg(feature = "lab")]
    Socket(PathBuf, BarWindow),
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vfio(address, _) => write!(f, "vfio:{address}"),
            Self::Sysfs(address, _) => write!(f, "sysfs:{address}"),
            #[cfg(feature = "lab")]
            Self::Simulated(profile) => write!(f, "sim:{}", profile.name()),
            #[cfg(feature = "lab")]
            Self::Socket(path, _) => write!(f, "vfio-user:{}", path.display()),
        }
    }
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = "a device is vfio:0000:03:00.0, sysfs:0000:03:00.0 or sim:lab";
        let (kind, rest) = text.split_once(':').ok_or(form)?;
        match kind {
            "vfio" | "sysfs" => {
                let mut parts = rest.split(',');
                let address = parts.next().unwrap_or_default().parse().map_err(|error| format!("{error}"))?;
                let window = window(parts)?;
                Ok(if kind == "vfio" { Self::Vfio(address, window) } else { Self::Sysfs(address, window) })
            }
            #[cfg(feature = "lab")]
            "sim" => super::profile(rest).map(Self::Simulated),
            #[cfg(feature = "lab")]
            "vfio-user" => {
                let mut parts = rest.split(',');
                let path = parts.next().unwrap_or_default();
                if path.is_empty() {
                    return Err("after vfio-user: comes the path of a socket".to_owned());
                }
                Ok(Self::Socket(path.into(), window(parts)?))
            }
            #[cfg(not(feature = "lab"))]
            "sim" | "vfio-user" => {
                Err("this program was built without the feature `lab`: it has no simulated cards".to_owned())
            }
            _ => Err(form.to_owned()),
        }
    }
}

fn window<'a>(parts: impl Iterator<Item = &'a str>) -> Result<BarWindow, String> {
    let mut window = BarWindow::default();
    for part in parts {
        let number = |text: &str| match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => text.parse(),
        };
        match part.split_once('=').map(|(name, value)| (name, number(value))) {
            Some(("bar", Ok(index @ 0..=5))) => window.index = index.to_le_bytes()[0],
            Some(("base", Ok(base))) => window.base = base,
            _ => return Err(format!("`{part}`: after the address come bar=0 to bar=5 and base=BYTES")),
        }
    }
    Ok(window)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_the_help_says() {
        let window = BarWindow { index: 2, base: 0x10_0000 };
        let address: PciAddress = "0000:03:00.0".parse().expect("an address");
        let parsed = |text: &str| text.parse::<DeviceName>();
        assert_eq!(parsed("vfio:0000:03:00.0"), Ok(DeviceName::Vfio(address, BarWindow::default())));
        assert_eq!(parsed("sysfs:03:00.0,bar=2,base=0x100000"), Ok(DeviceName::Sysfs(address, window)));
        for wrong in ["", "lab", "vfio:", "vfio:03:00.0,bar=6", "vfio:03:00.0,bas=1", "vfio:03:00.0,base=x", "usb:1"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
        #[cfg(feature = "lab")]
        {
            assert_eq!(parsed("sim:lab"), Ok(DeviceName::Simulated(Profile::Lab)));
            assert!(parsed("sim:labs").is_err());
        }
    }
}
