//! MAC addresses of next hops that the configuration leaves to this machine's neighbour table.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use maglane_sw::io::interface::Interface;
use maglane_sw::io::next_hop::{NextHop, NextHops};
use maglane_sw::io::port::PortError;
use maglane_table::Mac;

/// How long a next hop has to answer at the start: the kernel asks once a second, and what is there answers at once.
const PATIENCE: Duration = Duration::from_millis(2_500);
const PAUSE: Duration = Duration::from_millis(20);
/// A locally administered address that no machine should have.
const NOBODY: Mac = [2, 0, 0, 0, 0, 0];

/// Next hops by backend address, as they were known last.
pub(super) struct Neighbours {
    kernel: NextHops,
    interface: String,
    known: BTreeMap<IpAddr, Mac>,
}

impl Neighbours {
    /// Those out of an interface, of which some are known already.
    pub(super) fn new(interface: &Interface, known: BTreeMap<IpAddr, Mac>) -> Result<Self> {
        Ok(Self { kernel: NextHops::new(interface)?, interface: interface.name().to_owned(), known })
    }

    /// Finds the next hops of backends, and waits for those that are being asked. What is to be said of those that are not
    /// there is returned: a backend that is gone keeps no other from being served.
    pub(super) fn find(&mut self, addresses: &BTreeSet<IpAddr>) -> Result<Vec<String>> {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut silent = Vec::new();
            for &address in addresses {
                match self.kernel.find(address)? {
                    NextHop::Known(mac) => _ = self.known.insert(address, mac),
                    _ if self.known.contains_key(&address) => {}
                    other => silent.push((address, other)),
                }
            }
            let is_asked = |(_, next): &(IpAddr, NextHop)| matches!(next, NextHop::Unanswered(_));
            if !silent.iter().any(is_asked) || Instant::now() >= until {
                return Ok(silent.into_iter().map(|(address, next)| self.lost(address, next)).collect());
            }
            thread::sleep(PAUSE);
        }
    }

    /// What is to be said of a backend without a next hop.
    fn lost(&self, address: IpAddr, next: NextHop) -> String {
        let name = &self.interface;
        let why = match next {
            NextHop::Unanswered(next) => format!(
                "its next hop {next} does not answer at {name} (ip neigh show {next} dev {name}; ip route get {address})"
            ),
            NextHop::Unasked(next) => format!(
                "its next hop {next} is not in {name}'s neighbour table, and this process may not have the kernel ask for \
                 it: run it as root, or give the program the right too (setcap cap_net_admin,cap_net_raw+ep maglane)"
            ),
            _ => format!("{name} has no route to it (ip route add {address} via ROUTER dev {name})"),
        };
        format!("frames to the backend {address} are lost for now: no next_hop_mac is configured for it, and {why}")
    }

    /// Looks again; the addresses whose next hop has changed, and why one could not be asked for. One that is silent, or
    /// could not be asked for, stays as it was.
    pub(super) fn refresh(&mut self, addresses: &BTreeSet<IpAddr>) -> (Vec<(IpAddr, Mac)>, Option<PortError>) {
        let (mut changed, mut failed) = (Vec::new(), None);
        for &address in addresses {
            match self.kernel.find(address) {
                Ok(NextHop::Known(mac)) if self.known.insert(address, mac) != Some(mac) => changed.push((address, mac)),
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
        (changed, failed)
    }

    /// That of a backend; nobody's as long as there is none.
    pub(super) fn of(&self, address: IpAddr) -> Mac {
        self.known.get(&address).copied().unwrap_or(NOBODY)
    }

    /// Those that are known.
    pub(super) fn known(&self) -> &BTreeMap<IpAddr, Mac> {
        &self.known
    }
}
