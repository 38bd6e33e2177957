//! The site that a study measures: one service of many backends, described as an operator would.

use std::fmt::Write;
use std::sync::Arc;

use anyhow::Result;
use maglane_spec::{Geometry, TableImage};
use maglane_table::Config;
use maglane_table::config::Scheduler;
use maglane_table::study::Outage;

/// Sizes of the tables, by which also the flow table: those of a card.
pub(super) const GEOMETRY: Geometry = Geometry::SUME;

/// Our MAC.
pub(super) const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// The service's address.
pub(super) const VIP: [u8; 4] = [192, 0, 2, 10];
/// The service's port.
pub(super) const PORT: u16 = 80;

/// One service of many backends.
#[derive(Debug)]
pub(super) struct Site {
    identities: Vec<String>,
    /// Key of the flow hash.
    hash_key: [u8; 16],
}

impl Site {
    pub(super) fn new(backends: u16, seed: u64) -> Self {
        let mut hash_key = [0; 16];
        hash_key[..8].copy_from_slice(&seed.to_le_bytes());
        Self { identities: (0..backends).map(|index| format!("backend-{index}")).collect(), hash_key }
    }

    /// Names of the backends, by id.
    pub(super) fn identities(&self) -> &[String] {
        &self.identities
    }

    /// The tables, with all backends up or with those of an outage down.
    pub(super) fn image(&self, scheduler: Scheduler, size: u16, outage: Option<&Outage>) -> Result<Arc<TableImage>> {
        let text = self.config(scheduler, size, outage)?;
        Ok(Arc::new(Config::parse("the configuration of the study", &text)?.image()?))
    }

    fn config(&self, scheduler: Scheduler, size: u16, outage: Option<&Outage>) -> Result<String> {
        let hash_key: String = self.hash_key.iter().map(|byte| format!("{byte:02x}")).collect();
        let mac: Vec<String> = MAC.iter().map(|byte| format!("{byte:02x}")).collect();
        let geometry = Geometry::PROFILES.iter().find(|(_, geometry)| *geometry == GEOMETRY);
        let mut text = format!(
            "[datapath]\n\
             hash_key = {hash_key:?}\n\
             mac = {:?}\n\
             next_hop_mac = \"02:00:00:00:00:fe\"\n\
             tunnel_source_v4 = \"10.0.0.1\"\n\
             geometry = {:?}\n\
             [[service]]\n\
             name = \"study\"\n\
             address = \"{}\"\n\
             port = {PORT}\n\
             protocol = \"tcp\"\n\
             scheduler = {:?}\n\
             table_size = {size}\n",
            mac.join(":"),
            geometry.map_or("sume", |(name, _)| name),
            std::net::Ipv4Addr::from(VIP),
            scheduler.word(),
        );
        for (index, identity) in (0_u16..).zip(&self.identities) {
            let [high, low] = index.to_be_bytes();
            writeln!(text, "[[service.backend]]\nname = {identity:?}\naddress = \"10.1.{high}.{low}\"")?;
            if outage.is_some_and(|outage| outage.has_failed(index)) {
                writeln!(text, "state = \"down\"")?;
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use maglane_table::study::Method;

    use super::*;

    #[test]
    fn tables_are_the_fill_of_those_who_are_left() {
        let site = Site::new(30, 7);
        let outage = Outage::draw(30, 9, 1, 1);
        for (scheduler, method) in [(Scheduler::Maglev, Method::Maglev), (Scheduler::Ring, Method::Ring)] {
            let slice = |outage| {
                let image = site.image(scheduler, 251, outage).unwrap();
                image.lookup.iter().take(251).map(|entry| entry.value()).collect::<Vec<_>>()
            };
            assert_eq!(slice(None), method.fill(site.identities(), 251));
            assert_eq!(slice(Some(&outage)), outage.fill(method, site.identities(), 251));
            assert_ne!(slice(None), slice(Some(&outage)));
        }
    }

    #[test]
    fn seed_is_the_hash_key() {
        let key = |seed| Site::new(2, seed).image(Scheduler::Maglev, 7, None).unwrap().datapath.hash_key;
        assert_eq!(key(0x0102), [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_ne!(key(1), key(1 << 63));
    }

    #[test]
    fn as_many_backends_as_there_is_room_for() {
        let most = u16::try_from(GEOMETRY.backends).unwrap();
        assert!(Site::new(most, 1).image(Scheduler::Maglev, 65_521, None).is_ok());
    }
}
