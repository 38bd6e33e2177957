//! What a server must be so that frames leave it as the tables say, and only so; looked at while it serves, too.
//!
//! A start is refused where it is not so, and a file with addresses of which it is not so. What becomes wrong later is told
//! once, with what mends it, and once when it has been mended. Its unit of work is a look, every few seconds.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use maglane_sw::io::af_xdp::XdpError;
use maglane_sw::io::interface::{Destination, Interface};
use maglane_sw::io::port::PortError;
use maglane_table::Mac;

use super::inlet::Inlet;
use super::site::Site;
use crate::args::Mode;
use crate::output;

/// How often it is looked.
const PAUSE: Duration = Duration::from_secs(2);

/// Something about this machine that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// In short, as it is said when it is mended.
    what: String,
    /// What comes of it, and what mends it.
    then: String,
    /// The virtual address that it is about.
    address: Option<IpAddr>,
}

/// What is wrong with this machine, as far as it has been told.
#[derive(Debug)]
pub(super) struct Machine {
    interface: String,
    mode: Mode,
    /// By what they are in short.
    told: BTreeMap<String, Trouble>,
    next: Instant,
}

impl Machine {
    /// One of which all has been told.
    pub(super) fn new(interface: &Interface, mode: Mode, site: &Site, inlet: &Inlet) -> Self {
        let next = Instant::now() + PAUSE;
        let mut machine = Self { interface: interface.name().to_owned(), mode, told: BTreeMap::new(), next };
        machine.told = machine.troubles(site, inlet);
        machine
    }

    /// Looks at it, if it is time, and tells what is wrong and was not before; and what was, and is not any more. Whether
    /// there was something to tell is returned.
    pub(super) fn look(&mut self, site: &Site, inlet: &Inlet) -> bool {
        if Instant::now() < self.next {
            return false;
        }
        self.next = Instant::now() + PAUSE;
        let now = self.troubles(site, inlet);
        let new = now.iter().filter(|&(what, _)| !self.told.contains_key(what));
        let new = texts(new.map(|(_, trouble)| (trouble.address, trouble.to_string())));
        let mended = self.told.iter().filter(|&(what, _)| !now.contains_key(what));
        let mended = texts(mended.map(|(what, trouble)| (trouble.address, format!("no longer so: {what}"))));
        new.iter().for_each(|text| output::warning(text));
        mended.iter().for_each(|text| output::note(text));
        self.told = now;
        !(new.is_empty() && mended.is_empty())
    }

    fn troubles(&self, site: &Site, inlet: &Inlet) -> BTreeMap<String, Trouble> {
        let troubles: Vec<_> = match Interface::find(&self.interface) {
            Ok(interface) => {
                let addresses = site.addresses.iter().filter_map(|&address| of_address(address, &interface, self.mode));
                let refused = inlet.check(&interface).err().and_then(|error| of_port(&error));
                let macs = [of_mac(site.mac(), &interface), inlet.host().and_then(|host| of_host(host, &interface))];
                addresses.chain(refused).chain(macs.into_iter().flatten()).collect()
            }
            // Down, which says nothing of the rest; or gone, of which the workers say more.
            Err(error) => of_port(&error).into_iter().chain(self.told.values().cloned()).collect(),
        };
        troubles.into_iter().map(|trouble| (trouble.what.clone(), trouble)).collect()
    }
}

/// All that are not of an address, and the first of those that are: there may be very many.
fn texts(troubles: impl Iterator<Item = (Option<IpAddr>, String)>) -> Vec<String> {
    let (others, of_addresses): (Vec<_>, Vec<_>) = troubles.partition(|(address, _)| address.is_none());
    let of_addresses = output::first_of(of_addresses.into_iter().map(|(_, text)| text), "other address");
    others.into_iter().map(|(_, text)| text).chain(of_addresses).collect()
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.what, self.then)
    }
}

/// With packet sockets the kernel sees every frame as well: it must neither answer nor send on what is forwarded here. With
/// AF_XDP it sees what is passed only: it may answer that, and must not send it on, for it would come in again.
pub(super) fn of_address(address: IpAddr, interface: &Interface, mode: Mode) -> Option<Trouble> {
    let (flag, bits) = if address.is_ipv4() { ("-4", 32) } else { ("-6", 128) };
    let name = interface.name();
    let (what, then) = match Destination::of(address) {
        Destination::Own if mode == Mode::AfXdp => return None,
        Destination::Own => (
            format!("{address} is an address of this machine"),
            format!(
                ", whose kernel would answer what is forwarded to backends; take it away (`ip addr` shows where it is: \
                 ip addr del {address}/{bits} dev DEVICE) and route it here instead"
            ),
        ),
        Destination::Elsewhere | Destination::Unreachable if interface.is_router_for(address) => (
            format!("this machine routes what comes in at {name} for {address}"),
            format!(
                ", so what is forwarded to backends would leave a second time; \
                 have the kernel drop it: ip {flag} route add blackhole {address}/{bits}"
            ),
        ),
        Destination::Unreachable if mode == Mode::AfPacket && address.is_ipv6() => (
            format!("this machine has no route to {address}"),
            format!(
                ", so its kernel would tell clients that what is forwarded to backends is unreachable; \
                 have it drop that: ip {flag} route add blackhole {address}/{bits}"
            ),
        ),
        Destination::Elsewhere | Destination::Unreachable | Destination::Dropped => return None,
    };
    Some(Trouble { what, then, address: Some(address) })
}

/// Frames to another MAC address than the interface's do not come in by themselves.
pub(super) fn of_mac(ours: Mac, interface: &Interface) -> Option<Trouble> {
    let (name, mac) = (interface.name(), mac_text(interface.mac()));
    (ours != interface.mac()).then(|| Trouble {
        what: format!("the configuration's mac is {}, that of {name} is {mac}", mac_text(ours)),
        then: format!(
            ": what comes to the latter is passed as pass_other_mac; set mac = \"{mac}\" in [datapath], or have the \
             interface take frames to the former (ip link set {name} promisc on)"
        ),
        address: None,
    })
}

/// The device by which passed frames reach the kernel was given the interface's MAC address.
fn of_host(host: &str, interface: &Interface) -> Option<Trouble> {
    let (name, mac) = (interface.name(), mac_text(interface.mac()));
    let own = match Interface::find(host) {
        Ok(host) => host.mac(),
        Err(PortError::Unknown { .. }) => {
            let then = ", so what is passed does not reach the kernel; start again".to_owned();
            return Some(Trouble { what: format!("{host} has been removed"), then, address: None });
        }
        Err(error) => return of_port(&error),
    };
    (own != interface.mac()).then(|| Trouble {
        what: format!("the MAC address of {host} is {}, that of {name} is {mac}", mac_text(own)),
        then: format!(", so the kernel does not take what is passed to it: ip link set {host} address {mac}"),
        address: None,
    })
}

/// What keeps an interface from being opened.
fn of_port(error: &PortError) -> Option<Trouble> {
    let text = error.to_string();
    let what = match error {
        PortError::Down { name } => format!("{name}: the interface is down"),
        PortError::Merging { name, what } => format!("{name}: {what} is on"),
        PortError::Xdp(XdpError::Mtu { name, mtu, .. }) => format!("{name}: the MTU is {mtu}"),
        PortError::Xdp(XdpError::Tags { name }) => format!("{name}: its driver takes VLAN tags off frames"),
        _ => return None,
    };
    let then = text.strip_prefix(&what).unwrap_or_default().to_owned();
    Some(Trouble { what, then, address: None })
}

pub(super) fn mac_text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_an_interface_from_being_opened_is_told_whole_and_in_short() {
        let own = || "near".to_owned();
        for (error, what) in [
            (PortError::Down { name: own() }, "near: the interface is down"),
            (PortError::Merging { name: own(), what: "GRO" }, "near: GRO is on"),
            (XdpError::Mtu { name: own(), mtu: 9_000, mtu_max: 3_822 }.into(), "near: the MTU is 9000"),
            (XdpError::Tags { name: own() }.into(), "near: its driver takes VLAN tags off frames"),
        ] {
            let trouble = of_port(&error).unwrap();
            assert_eq!((trouble.what.as_str(), trouble.to_string()), (what, error.to_string()));
        }
        // The workers end with it.
        assert_eq!(of_port(&PortError::Gone { name: own() }), None);
    }
}
