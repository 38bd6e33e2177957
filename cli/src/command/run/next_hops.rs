//! MAC addresses of next hops that the configuration leaves to this machine's neighbour table.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use maglane_sw::io::interface::Interface;
use maglane_sw::io::next_hop::{NextHop, NextHops};
use maglane_table::{Config, Mac};

/// How long a next hop has to answer at the start: the kernel asks once a second, and what is there answers at once.
const PATIENCE: Duration = Duration::from_millis(2_500);
const PAUSE: Duration = Duration::from_millis(20);

/// Next hops by backend address, as they were known last.
pub(super) struct Neighbours {
    kernel: NextHops,
    interface: String,
    known: BTreeMap<IpAddr, Mac>,
}

impl Neighbours {
    pub(super) fn new(interface: &Interface) -> Result<Self> {
        Ok(Self { kernel: NextHops::new(interface)?, interface: interface.name().to_owned(), known: BTreeMap::new() })
    }

    /// Finds the next hops that a configuration does not name, and waits for those that are being asked.
    pub(super) fn find(&mut self, config: &Config) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut silent = None;
            for address in config.without_next_hop().collect::<BTreeSet<_>>() {
                match self.kernel.find(address)? {
                    NextHop::Known(mac) => _ = self.known.insert(address, mac),
                    NextHop::Unanswered(_) if self.known.contains_key(&address) => {}
                    NextHop::Unanswered(next) => silent = silent.or(Some((address, next))),
                    NextHop::NoRoute => bail!(
                        "no next_hop_mac is configured for the backend {address}, and {} has no route to it: add one \
                         (ip route add {address} via ROUTER dev {}), or give it a next_hop_mac",
                        self.interface,
                        self.interface
                    ),
                }
            }
            match silent {
                None => return Ok(()),
                Some((address, next)) if Instant::now() >= until => bail!(
                    "no next_hop_mac is configured for the backend {address}, and its next hop {next} does not answer at \
                     {}: see that it is there (ip neigh show {next} dev {}), or give the backend a next_hop_mac",
                    self.interface,
                    self.interface
                ),
                Some(_) => thread::sleep(PAUSE),
            }
        }
    }

    /// Looks again; the addresses whose next hop has changed. One that is silent stays as it was.
    pub(super) fn refresh(&mut self, config: &Config) -> Result<Vec<(IpAddr, Mac)>> {
        let mut changed = Vec::new();
        for address in config.without_next_hop().collect::<BTreeSet<_>>() {
            if let NextHop::Known(mac) = self.kernel.find(address)?
                && self.known.insert(address, mac) != Some(mac)
            {
                changed.push((address, mac));
            }
        }
        Ok(changed)
    }

    /// That of a backend.
    pub(super) fn of(&self, address: IpAddr) -> Option<Mac> {
        self.known.get(&address).copied()
    }
}
