//! A network interface of this machine, as far as a port must know it before it takes frames from it.
//!
//! Asked by ioctl and not read from files, whose directory may be that of another network namespace. It changes nothing:
//! what is not as it must be is an error that says how an administrator mends it.

// An ioctl has no safe form in the standard library.
#![allow(unsafe_code)]

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use super::port::PortError;

/// An Ethernet interface that is up and leaves frames as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    name: String,
    index: libc::c_int,
    mac: [u8; 6],
    mtu: usize,
}

/// What this machine's kernel would do with a packet to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Take it: the address is its own.
    Own,
    /// Drop it, because a route says so.
    Dropped,
    /// Something else, by its routes, if it forwards at all.
    Elsewhere,
}

impl Interface {
    /// Looks at the interface of a name.
    ///
    /// # Errors
    /// When there is none, or it is not one that a port can serve.
    pub fn find(name: &str) -> Result<Self, PortError> {
        let own = || name.to_owned();
        let io = |action| move |source| PortError::Io { name: name.to_owned(), action, source };
        let socket = UdpSocket::bind(("0.0.0.0", 0)).map_err(io("open a socket"))?;
        let mut request = request(name).ok_or_else(|| PortError::Unknown { name: own() })?;
        ask(&socket, libc::SIOCGIFINDEX, &mut request).map_err(|_| PortError::Unknown { name: own() })?;
        // SAFETY: the kernel has written this field, of which every bit pattern is a number.
        let index = unsafe { request.ifr_ifru.ifru_ifindex };
        ask(&socket, libc::SIOCGIFHWADDR, &mut request).map_err(io("read its address"))?;
        // SAFETY: as above.
        let address = unsafe { request.ifr_ifru.ifru_hwaddr };
        if address.sa_family != libc::ARPHRD_ETHER {
            return Err(PortError::NotEthernet { name: own() });
        }
        let mut mac = [0; 6];
        for (to, from) in mac.iter_mut().zip(address.sa_data) {
            *to = u8::from_ne_bytes(from.to_ne_bytes());
        }
        ask(&socket, libc::SIOCGIFFLAGS, &mut request).map_err(io("read its state"))?;
        // SAFETY: as above.
        let flags = unsafe { request.ifr_ifru.ifru_flags };
        if libc::c_int::from(flags) & libc::IFF_UP == 0 {
            return Err(PortError::Down { name: own() });
        }
        ask(&socket, libc::SIOCGIFMTU, &mut request).map_err(io("read its MTU"))?;
        // SAFETY: as above.
        let mtu = usize::try_from(unsafe { request.ifr_ifru.ifru_mtu }).unwrap_or_default();
        for (command, mask, what) in [
            (ETHTOOL_GGRO, u32::MAX, "GRO (generic receive offload)"),
            (ETHTOOL_GFLAGS, ETH_FLAG_LRO, "LRO (large receive offload)"),
        ] {
            if ethtool(&socket, &mut request, command) & mask != 0 {
                return Err(PortError::Merging { name: own(), what });
            }
        }
        Ok(Self { name: own(), index, mac, mtu })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kernel's number for it.
    #[must_use]
    pub const fn index(&self) -> libc::c_int {
        self.index
    }

    /// Its MAC address.
    #[must_use]
    pub const fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Its MTU in bytes, Ethernet header not included.
    #[must_use]
    pub const fn mtu(&self) -> usize {
        self.mtu
    }

    /// Whether the kernel sends on what comes in here for others, by family.
    #[must_use]
    pub fn is_router_for(&self, address: IpAddr) -> bool {
        let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        let path = format!("/proc/sys/net/{family}/conf/{}/forwarding", self.name);
        // Without the file there is nothing of the family, so nothing is sent on.
        std::fs::read_to_string(path).is_ok_and(|text| text.trim() != "0")
    }

    /// Whether it is still there.
    pub(super) fn is_there(&self) -> bool {
        let Some(mut request) = request(&self.name) else { return false };
        let Ok(socket) = UdpSocket::bind(("0.0.0.0", 0)) else { return true };
        ask(&socket, libc::SIOCGIFINDEX, &mut request).is_ok()
            // SAFETY: the kernel has written this field, of which every bit pattern is a number.
            && unsafe { request.ifr_ifru.ifru_ifindex } == self.index
    }
}

impl Destination {
    /// Asks the kernel's routes. Nothing is sent.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let Ok(socket) = UdpSocket::bind(any) else { return Self::Elsewhere };
        // A machine speaks to its own address from that address; the port, that of `discard`, is never spoken to.
        match socket.connect(SocketAddr::new(address, 9)) {
            Ok(()) if socket.local_addr().is_ok_and(|own| own.ip() == address) => Self::Own,
            // What the kernel says of a route of the type `blackhole`.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Self::Dropped,
            _ => Self::Elsewhere,
        }
    }
}

/// A request about an interface; none when no interface can have the name.
fn request(name: &str) -> Option<libc::ifreq> {
    // The last byte ends the name.
    if !(1..libc::IFNAMSIZ).contains(&name.len()) || name.bytes().any(|byte| byte == 0) {
        return None;
    }
    let mut ifr_name = [0; libc::IFNAMSIZ];
    for (to, from) in ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    Some(libc::ifreq { ifr_name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_ifindex: 0 } })
}

/// One of the requests that write into the request itself.
fn ask(socket: &UdpSocket, which: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: the descriptor is open, and the request is one whole `ifreq`, which is all that these requests touch.
    match unsafe { libc::ioctl(socket.as_raw_fd(), which as _, std::ptr::from_mut(request)) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A number that `ethtool` shows; 0 when the interface does not know of it.
fn ethtool(socket: &UdpSocket, request: &mut libc::ifreq, command: u32) -> u32 {
    // `struct ethtool_value` of linux/ethtool.h: the command, then the answer.
    let mut value = [command, 0_u32];
    request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
    // SAFETY: the descriptor is open, the request is one whole `ifreq`, and its pointer is that of two words, which is what
    // these commands read and write.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, std::ptr::from_mut(request)) };
    if result == 0 { value[1] } else { 0 }
}

/// linux/ethtool.h: is GRO on?
const ETHTOOL_GGRO: u32 = 0x2b;
/// linux/ethtool.h: flags, of which one is whether LRO is on.
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETH_FLAG_LRO: u32 = 1 << 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_interface_has_are_unknown() {
        for name in ["", "sixteen-letters-", "a\0b", "no-such-one"] {
            let error = Interface::find(name).unwrap_err();
            assert!(matches!(&error, PortError::Unknown { name: told } if told == name), "{error}");
        }
    }

    #[test]
    fn loopback_is_not_ethernet_and_its_addresses_are_own() {
        assert!(matches!(Interface::find("lo"), Err(PortError::NotEthernet { .. })));
        assert_eq!(Destination::of("127.0.0.1".parse().unwrap()), Destination::Own);
        // Of a network that is for documentation, so that it is nobody's.
        assert_ne!(Destination::of("192.0.2.10".parse().unwrap()), Destination::Own);
    }
}
