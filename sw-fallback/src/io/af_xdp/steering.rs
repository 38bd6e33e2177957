//! Which frames come to us: the steering program at an interface, and what it looks up.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use super::super::interface::Interface;
use super::super::port::PortError;
use super::bpf::{Hook, Link, Map, Program};
use super::error::XdpError;
use super::program::{self, KEY_LEN};
use super::socket::Socket;

/// Where the program is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// Here and nowhere else.
    At(Hook),
    /// In the driver, and in the kernel if that does not.
    Best,
}

/// A program that is attached; it goes when this is dropped, and when the process dies.
#[derive(Debug)]
pub struct Steering {
    interface: String,
    hook: Hook,
    /// Why not in the driver.
    refusal: Option<String>,
    addresses: Map,
    sockets: Map,
    /// What is in the map of addresses.
    steered: BTreeSet<IpAddr>,
    _link: Link,
}

/// Virtual addresses that the program can know: more than any geometry has services.
const ADDRESSES_MAX: u32 = 1 << 16;

impl Steering {
    /// Attaches the program, which leaves every frame to the kernel as long as it knows no address.
    pub(super) fn attach(interface: &Interface, queues: u32, attach: Attach) -> Result<Self, PortError> {
        let fail = |action| move |source: io::Error| XdpError::of(interface, action, source);
        let addresses = Map::hash(KEY_LEN, VALUE.len(), ADDRESSES_MAX).map_err(fail("make the map of addresses"))?;
        let sockets = Map::sockets(queues).map_err(fail("make the map of sockets"))?;
        let instructions = program::steer(addresses.as_raw_fd(), sockets.as_raw_fd());
        let program = Program::load(&instructions).map_err(fail("load the XDP program"))?;
        let at = |hook| program.attach(interface.index(), hook).map_err(|source| refused(interface, hook, source));
        let (link, hook, refusal) = match attach {
            Attach::At(hook) => (at(hook)?, hook, None),
            Attach::Best => match at(Hook::Native) {
                Ok(link) => (link, Hook::Native, None),
                Err(PortError::Xdp(error @ XdpError::NoNative { .. })) => {
                    (at(Hook::Generic)?, Hook::Generic, Some(error.to_string()))
                }
                Err(error) => return Err(error),
            },
        };
        let (interface, steered) = (interface.name().to_owned(), BTreeSet::new());
        Ok(Self { interface, hook, refusal, addresses, sockets, steered, _link: link })
    }

    /// Has frames of a queue go to a socket.
    pub(super) fn add(&self, interface: &Interface, queue: u32, socket: &Socket) -> Result<(), PortError> {
        let socket = u32::try_from(socket.as_raw_fd()).unwrap_or(u32::MAX);
        let added = self.sockets.insert(&queue.to_ne_bytes(), &socket.to_ne_bytes());
        added.map_err(|source| XdpError::of(interface, "steer frames to a socket", source))
    }

    /// Where it runs.
    #[must_use]
    pub const fn hook(&self) -> Hook {
        self.hook
    }

    /// Why it does not run in the driver, though it was to if possible.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// Has frames to these addresses come to us, and no others. Those that are in both sets come without a gap.
    ///
    /// # Errors
    /// When there are too many of them; then those that were before go on, and some of the new ones come too.
    pub fn steer(&mut self, addresses: &BTreeSet<IpAddr>) -> Result<(), PortError> {
        let count_max = ADDRESSES_MAX as usize;
        if addresses.len() > count_max {
            let (name, count) = (self.interface.clone(), addresses.len());
            return Err(XdpError::Addresses { name, count, count_max }.into());
        }
        let name = &self.interface;
        let fail = |source| PortError::Io { name: name.clone(), action: "steer frames to an address", source };
        let [old, new] = [self.steered.difference(addresses), addresses.difference(&self.steered)];
        let (old, new): (Vec<IpAddr>, Vec<IpAddr>) = (old.copied().collect(), new.copied().collect());
        // The gone ones first, so that there is room.
        for address in old {
            self.addresses.remove(&program::key(address)).map_err(&fail)?;
            self.steered.remove(&address);
        }
        for address in new {
            self.addresses.insert(&program::key(address), &VALUE).map_err(&fail)?;
            self.steered.insert(address);
        }
        Ok(())
    }
}

/// What the operating system's error means when a program is attached.
fn refused(interface: &Interface, hook: Hook, source: io::Error) -> PortError {
    let name = interface.name().to_owned();
    match source.raw_os_error() {
        // The first at the same hook, the second at the other one.
        Some(libc::EBUSY | libc::EEXIST) => XdpError::Attached { name }.into(),
        Some(libc::EPERM | libc::EACCES | libc::ENODEV | libc::ENXIO) => XdpError::of(interface, ATTACH, source),
        _ if hook == Hook::Native => XdpError::NoNative { name, source }.into(),
        _ => XdpError::of(interface, ATTACH, source),
    }
}

const ATTACH: &str = "attach the XDP program";
/// An address is in the map or not; the value says nothing.
const VALUE: [u8; 4] = [0; 4];
