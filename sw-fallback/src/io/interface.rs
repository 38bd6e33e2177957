//! A network interface of this machine, as far as a port must know it before it takes frames from it.
//!
//! Asked by ioctl and not read from files, whose directory may be that of another network namespace. It changes nothing:
//! what is not as it must be is an error that says how an administrator mends it.

// An ioctl has no safe form in the standard library.
#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;

use super::port::PortError;

/// An Ethernet interface that is up.
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
    /// Tell the sender that there is no way, if the family is IPv6 or it forwards: there is no route, or one that says so.
    Unreachable,
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

    /// Refuses one that merges frames before the kernel hands them on.
    ///
    /// # Errors
    /// When it does, or is set up to.
    pub fn refuse_merging(&self) -> Result<(), PortError> {
        for (command, mask, what) in [
            (ETHTOOL_GGRO, u32::MAX, "GRO (generic receive offload)"),
            (ETHTOOL_GFLAGS, ETH_FLAG_LRO, "LRO (large receive offload)"),
        ] {
            if self.ethtool([command, 0]).is_some_and(|[_, value]| value & mask != 0) {
                return Err(PortError::Merging { name: self.name.clone(), what });
            }
        }
        Ok(())
    }

    /// How many queues it receives at, one at least.
    #[must_use]
    pub fn receive_queues(&self) -> u32 {
        let told = self.ethtool([ETHTOOL_GCHANNELS, 0, 0, 0, 0, 0, 0, 0, 0]);
        let told = told.map(|[_, _, _, _, _, receive, _, _, combined]| receive.saturating_add(combined));
        told.or_else(|| self.listed_queues()).unwrap_or(1).max(1)
    }

    /// The same of a driver that does not tell, if what files list is of this network.
    fn listed_queues(&self) -> Option<u32> {
        let files = Path::new("/sys/class/net").join(&self.name);
        let index = fs::read_to_string(files.join("ifindex")).ok()?;
        if index.trim().parse() != Ok(self.index) {
            return None;
        }
        let queues = fs::read_dir(files.join("queues")).ok()?.filter_map(Result::ok);
        u32::try_from(queues.filter(|queue| queue.file_name().as_encoded_bytes().starts_with(b"rx-")).count()).ok()
    }

    /// Whether its hardware takes VLAN tags off what comes in.
    #[must_use]
    pub fn strips_tags(&self) -> bool {
        let is_on = self.ethtool([ETHTOOL_GFLAGS, 0]).is_some_and(|[_, flags]| flags & ETH_FLAG_RXVLAN != 0);
        // A veth pair always says so, and has no hardware: a tag is where the sender has put it.
        is_on && self.driver() != *b"veth"
    }

    /// What its driver is called.
    fn driver(&self) -> Vec<u8> {
        let mut information = [0; DRIVER_INFORMATION_LEN / 4];
        information[0] = ETHTOOL_GDRVINFO;
        let information = self.ethtool(information).unwrap_or([0; _]);
        let name = information[1..].iter().flat_map(|word| word.to_ne_bytes());
        name.take(32).take_while(|&byte| byte != 0).collect()
    }

    /// What `ethtool` asks and shows; none when the interface does not know of it.
    fn ethtool<const N: usize>(&self, mut words: [u32; N]) -> Option<[u32; N]> {
        let mut request = request(&self.name)?;
        let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
        request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
        // SAFETY: the descriptor is open, the request is one whole `ifreq`, and its pointer is that of as many words as the
        // command in the first of them reads and writes.
        let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
        (result == 0).then_some(words)
    }

    /// Whether the kernel sends on what comes in here for others, by family.
    #[must_use]
    pub fn is_router_for(&self, address: IpAddr) -> bool {
        let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        let path = format!("/proc/sys/net/{family}/conf/{}/forwarding", self.name);
        // Without the file there is nothing of the family, so nothing is sent on.
        fs::read_to_string(path).is_ok_and(|text| text.trim() != "0")
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
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EACCES)) =>
            {
                Self::Unreachable
            }
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

/// Gives an interface of ours a MAC address, and has it receive.
pub(super) fn bring_up(name: &str, mac: [u8; 6]) -> io::Result<()> {
    let mut request = request(name).ok_or(io::ErrorKind::InvalidInput)?;
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    let mut address = libc::sockaddr { sa_family: libc::ARPHRD_ETHER, sa_data: [0; 14] };
    for (to, from) in address.sa_data.iter_mut().zip(mac) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_hwaddr = address;
    ask(&socket, libc::SIOCSIFHWADDR, &mut request)?;
    ask(&socket, libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: the kernel has written this field, of which every bit pattern is a number.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | UP;
    ask(&socket, libc::SIOCSIFFLAGS, &mut request)
}

/// linux/if.h: it receives.
const UP: libc::c_short = 1;
const _: () = assert!(UP as libc::c_int == libc::IFF_UP);
/// linux/ethtool.h: is GRO on?
const ETHTOOL_GGRO: u32 = 0x2b;
/// linux/ethtool.h: flags, of which one is whether LRO is on.
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETH_FLAG_LRO: u32 = 1 << 15;
/// The same: whether it takes tags off.
const ETH_FLAG_RXVLAN: u32 = 1 << 8;
/// The same: numbers of queues, in nine words, of which the sixth and the last count those that receive.
const ETHTOOL_GCHANNELS: u32 = 0x3c;
/// The same: the driver's name, in the first 32 bytes behind the command.
const ETHTOOL_GDRVINFO: u32 = 0x03;
const DRIVER_INFORMATION_LEN: usize = 196;

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
