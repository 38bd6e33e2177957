//! The way of passed frames to the kernel: a TAP device that they come in at, as they came from the wire.
//!
//! The device has the interface's MAC address, so that a frame for this machine is one there too. To the kernel it is
//! another interface: what is bound to the first does not see these frames (a VLAN device on it, a rule of a firewall that
//! names it, a capture at it). The check of sources by route (`rp_filter`) is off at the device, because the way back to a
//! client is not through it; it has no address and no route, and what the kernel sends out of it goes nowhere.

use std::fs;

use super::super::interface::{self, Interface};
use super::super::port::PortError;
use super::super::tap::{Layer, Tap, TapError};
use super::error::XdpError;

/// A device, gone with this.
#[derive(Debug)]
pub(super) struct Host(Tap);

impl Host {
    /// Makes it, for an interface.
    pub(super) fn open(interface: &Interface) -> Result<Self, PortError> {
        let tap = Tap::open(&device(interface), Layer::Frames).map_err(|error| match error {
            // Whoever may not make the device lacks what the rest needs too.
            TapError::Denied { .. } => XdpError::Denied { name: interface.name().to_owned() },
            error => error.into(),
        })?;
        let fail = |action| {
            let name = tap.name().to_owned();
            move |source| PortError::from(XdpError::from(TapError::Io { name, action, source }))
        };
        // Before it is up, so that the kernel says nothing by itself: it would look for routers and neighbours.
        let name = tap.name();
        for (path, value) in [
            (format!("ipv6/conf/{name}/addr_gen_mode"), "1".to_owned()),
            (format!("ipv6/conf/{name}/accept_ra"), "0".to_owned()),
            (format!("ipv4/conf/{name}/rp_filter"), "0".to_owned()),
        ]
        .into_iter()
        .chain(["ipv4", "ipv6"].map(|family| {
            // What the interface is for others, the device is too.
            let path = |name| format!("{family}/conf/{name}/forwarding");
            (path(name), read(&path(interface.name())).unwrap_or_default())
        })) {
            // A family that the kernel does not have has no such files.
            if read(&path).is_some_and(|now| now != value) {
                fs::write(format!("{SETTINGS}/{path}"), &value).map_err(fail("set the device up"))?;
            }
        }
        interface::bring_up(name, interface.mac()).map_err(fail("bring the device up"))?;
        Ok(Self(tap))
    }

    pub(super) fn name(&self) -> &str {
        self.0.name()
    }

    /// Why the kernel will not take what it is given, if that is known.
    pub(super) fn note(&self) -> Option<String> {
        let all = read("ipv4/conf/all/rp_filter").filter(|value| value != "0")?;
        Some(format!(
            "net.ipv4.conf.all.rp_filter is {all}, so that the kernel drops IPv4 packets that are passed to it at {}: \
             sysctl -w net.ipv4.conf.all.rp_filter=0, and set it for each interface instead",
            self.name()
        ))
    }

    /// Gives the kernel a frame; whether it took it.
    pub(super) fn give(&self, frame: &[u8]) -> Result<bool, TapError> {
        self.0.send(frame)
    }
}

/// The device's name: that of the interface, or its number, when that is too long for a name.
fn device(interface: &Interface) -> String {
    let name = format!("{PREFIX}{}", interface.name());
    if name.len() < libc::IFNAMSIZ { name } else { format!("{PREFIX}{}", interface.index()) }
}

/// A setting of the kernel, in the network that this process is in.
fn read(path: &str) -> Option<String> {
    fs::read_to_string(format!("{SETTINGS}/{path}")).ok().map(|text| text.trim().to_owned())
}

const PREFIX: &str = "maglane-";
const SETTINGS: &str = "/proc/sys/net";
