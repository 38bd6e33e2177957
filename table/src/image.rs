//! From the configuration to the memories' bytes.

use std::net::IpAddr;

use maglane_spec::TableImage;
use maglane_spec::endian::{U16Be, U16Le, U32Be, U32Le};
use maglane_spec::limit::NO_BACKEND;
use maglane_spec::row::{BackendRow, DatapathRow, ServiceRow};

use crate::config::{Backend, Config, ConfigError, Mac, Problem, Problems, Scheduler, Service, State};
use crate::fill::{self, Share};
use crate::ids::Ids;
use crate::place;

impl Config {
    /// Builds the tables.
    ///
    /// # Errors
    /// As [`Self::image_by`], which this is without anybody to ask.
    pub fn image(&self) -> Result<TableImage, ConfigError> {
        self.image_by(|_| None)
    }

    /// Builds the tables with fresh ids, and asks for the next hops of backends for which none is named.
    ///
    /// # Errors
    /// As [`Self::image_as`].
    pub fn image_by(&self, next_hop: impl Fn(IpAddr) -> Option<Mac>) -> Result<TableImage, ConfigError> {
        self.image_as(&Ids::fresh(self), next_hop)
    }

    /// Addresses of backends for which the file names no next hop.
    pub fn without_next_hop(&self) -> impl Iterator<Item = IpAddr> {
        let backends = self.services().iter().flat_map(|service| &service.backends);
        backends.filter(|backend| self.next_hop(backend).is_none()).map(|backend| backend.address)
    }

    /// The next hop that is named for a backend, if one is.
    #[must_use]
    pub fn next_hop(&self, backend: &Backend) -> Option<Mac> {
        backend.next_hop_mac.or(self.datapath().next_hop_mac)
    }

    /// Builds the tables with ids of this configuration, and asks for the next hops of backends for which none is named.
    ///
    /// # Shape
    /// The lookup slice of a service follows those of the services before it in the file, each of an even number of
    /// entries. Backends that are gone have rows, and are in no slice.
    ///
    /// # Errors
    /// A backend without next hop, and the unlikely set of services that cuckoo hashing cannot place.
    ///
    /// # Panics
    /// When the ids are another configuration's.
    pub fn image_as(&self, ids: &Ids, next_hop: impl Fn(IpAddr) -> Option<Mac>) -> Result<TableImage, ConfigError> {
        let mut image = TableImage::empty(self.geometry());
        let keys: Vec<place::Key> = self.services().iter().map(place::Key::of).collect();
        let Some(placement) = place::place(&keys, self.geometry().services) else {
            let problem = Problem::nowhere("the services' addresses and ports collide in the service table")
                .help("change some addresses or ports, or choose a geometry with room for more services");
            return Err(self.error(problem.into()));
        };
        image.datapath = self.datapath_row(placement.seeds);

        let mut problems = Problems::default();
        let mut rows = Vec::new();
        let mut lookup_base = 0usize;
        for (index, service) in self.services().iter().enumerate() {
            let id = ids.service(index);
            image.services[placement.rows[index]] = service_row(service, &keys[index], id, lookup_base);
            let slice = &mut image.lookup[lookup_base..][..usize::from(service.table_size)];
            let owners = service.slice();
            debug_assert_eq!(owners.len(), slice.len());
            for (entry, owner) in slice.iter_mut().zip(owners) {
                if owner != NO_BACKEND {
                    *entry = U16Le::new(ids.backend(index, usize::from(owner)));
                }
            }
            let backends = service.backends.iter().enumerate();
            rows.extend(backends.map(|(own, backend)| (ids.backend(index, own), id, backend, Some(&backend.place))));
            lookup_base += service.slice_entries() as usize;
        }
        // Where they stood is a place in another file.
        rows.extend(ids.gone().map(|(id, gone)| (id, gone.service(), &gone.backend, None)));
        for (id, service, backend, place) in rows {
            match self.next_hop(backend).or_else(|| next_hop(backend.address)) {
                Some(mac) => image.backends[usize::from(id)] = backend_row(backend, service, mac),
                None => {
                    let message = format!("the backend {:?} has no next hop", backend.identity);
                    let problem = match place {
                        Some(place) => Problem::at(place.clone(), message),
                        None => Problem::nowhere(message),
                    };
                    problems.push(problem.help(
                        "give it a next_hop_mac, or give [datapath] one for all backends: a table file and a card need \
                         them, and only `maglane run` asks its machine's neighbour table",
                    ));
                }
            }
        }
        if problems.found() == 0 { Ok(image) } else { Err(self.error(problems)) }
    }

    fn datapath_row(&self, service_seed: [[u16; ServiceRow::KEY_WORDS]; 2]) -> DatapathRow {
        let datapath = self.datapath();
        DatapathRow {
            hash_key: datapath.hash_key,
            mac: datapath.mac,
            ttl: datapath.ttl,
            flags: if datapath.check_mac { DatapathRow::FLAG_CHECK_MAC } else { 0 },
            tunnel_source_v4: datapath.tunnel_source_v4.map_or([0; 4], |address| address.octets()),
            source_entropy_bits: datapath.source_entropy_bits,
            tunnel_source_v6: datapath.tunnel_source_v6.map_or([0; 16], |address| address.octets()),
            service_seed: service_seed.map(|seeds| seeds.map(U16Le::new)),
            tick_ms: U32Le::new(datapath.tick_ms),
            timeout_ticks: datapath.timeout_ticks,
            ..DatapathRow::default()
        }
    }
}

impl Service {
    /// The service's lookup slice.
    ///
    /// # Shape
    /// `table_size` entries, each an index into `backends` or [`NO_BACKEND`].
    #[must_use]
    pub fn slice(&self) -> Vec<u16> {
        let shares: Vec<Share<'_>> = self
            .backends
            .iter()
            .map(|backend| Share { identity: &backend.identity, weight: backend.fill_weight() })
            .collect();
        match self.scheduler {
            Scheduler::Maglev | Scheduler::SourceHash | Scheduler::LeastConnections | Scheduler::TwoChoice => {
                fill::maglev(&shares, self.table_size)
            }
            Scheduler::Ring => fill::ring(&shares, self.table_size),
            Scheduler::RoundRobin => fill::round_robin(&shares),
        }
    }

    /// The lookup slice as identities; none where nobody takes new flows.
    #[must_use]
    pub fn slice_identities(&self) -> Vec<Option<&str>> {
        let identity = |index: u16| self.backends.get(usize::from(index)).map(|backend| backend.identity.as_str());
        self.slice().into_iter().map(identity).collect()
    }
}

impl Backend {
    /// The weight with which it takes part in a fill: only who is up takes new flows.
    #[must_use]
    pub fn fill_weight(&self) -> u16 {
        if self.state == State::Up { self.weight } else { 0 }
    }
}

fn service_row(service: &Service, key: &place::Key, id: u16, lookup_base: usize) -> ServiceRow {
    let mut flags = key.flags | service.affinity.code() << ServiceRow::AFFINITY_SHIFT;
    if service.enabled {
        flags |= ServiceRow::FLAG_ENABLED;
    }
    if service.gre_key.is_some() {
        flags |= ServiceRow::FLAG_GRE_KEY;
    }
    ServiceRow {
        address: key.address,
        port: U16Be::new(key.port),
        protocol: key.protocol,
        flags,
        lookup_base: ServiceRow::lookup_base_bytes(narrow(lookup_base)),
        selection: service.scheduler.selection(),
        gre_key: U32Be::new(service.gre_key.unwrap_or(0)),
        table_size: U16Le::new(service.table_size),
        id: U16Le::new(id),
    }
}

fn backend_row(backend: &Backend, service: u16, next_hop_mac: [u8; 6]) -> BackendRow {
    BackendRow {
        address: address_bytes(backend.address),
        next_hop_mac,
        mtu: U16Le::new(backend.mtu),
        service: U16Le::new(service),
        encapsulation: match backend.address {
            IpAddr::V4(_) => BackendRow::ENCAPSULATION_GRE_IPV4,
            IpAddr::V6(_) => BackendRow::ENCAPSULATION_GRE_IPV6,
        },
        state: backend.state.code(),
        load: backend.load,
        ..BackendRow::default()
    }
}

/// An address as rows hold it: network order, IPv4 in the first four bytes.
pub(crate) fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            bytes
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The next hop of a backend for which the configuration names none, in tables that are only looked at: no interface has it.
pub const NO_NEXT_HOP: Mac = [0; 6];

/// A number that the geometry keeps small enough for its field.
fn narrow<T: TryFrom<usize>>(value: usize) -> T {
    T::try_from(value).unwrap_or_else(|_| unreachable!("{value} is beyond every geometry"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: &str = include_str!("../../examples/web.toml");
    const DUAL_STACK: &str = include_str!("../../examples/dual-stack.toml");
    const MANY_SERVICES: &str = include_str!("../../examples/many-services.toml");
    const SCHEDULERS: &str = include_str!("../../examples/schedulers.toml");

    fn config(text: &str) -> Config {
        Config::parse("example.toml", text).unwrap_or_else(|error| panic!("{error}"))
    }

    fn image(text: &str) -> TableImage {
        config(text).image().unwrap_or_else(|error| panic!("{error}"))
    }

    fn row_of(image: &TableImage, id: u16) -> ServiceRow {
        let mut rows = image.services.iter().filter(|row| row.flags & 1 == 1 && row.id.value() == id);
        *rows.next().unwrap()
    }

    #[test]
    fn datapath_row_is_as_written() {
        let row = image(WEB).datapath;
        assert_eq!(row.hash_key, std::array::from_fn(|index| u8::try_from(index).unwrap()));
        assert_eq!(row.mac, [2, 0, 0, 0, 0, 1]);
        assert_eq!((row.ttl, row.flags, row.source_entropy_bits), (64, 1, 8));
        assert_eq!((row.tunnel_source_v4, row.tunnel_source_v6), ([10, 0, 0, 1], [0; 16]));
        assert_eq!((row.tick_ms.value(), row.timeout_ticks), (15_000, [4, 60, 8]));
    }

    #[test]
    fn service_rows_are_as_written() {
        let image = image(WEB);
        let web = row_of(&image, 0);
        assert_eq!((web.address[..4].to_vec(), web.port.0, web.protocol), (vec![192, 0, 2, 10], [0, 80], 6));
        assert_eq!((web.flags, web.selection, web.gre_key.value()), (0b11, 0, 0));
        assert_eq!((web.lookup_base_value(), web.table_size.value()), (0, 4_093));
        let tls = row_of(&image, 1);
        assert_eq!((tls.flags, tls.gre_key.0), (0b1_0011, [0, 0, 1, 0xbb]));
        // A slice of 4,094 entries before it.
        assert_eq!((tls.lookup_base_value(), tls.table_size.value()), (4_094, 1_021));
        assert_eq!(row_of(&image, 2).flags, 0b10_0011, "client-protocol");
        let game = row_of(&image, 4);
        assert_eq!((game.flags, game.port.value(), game.protocol), (0b100_1011, 0, 17));
        assert_eq!(row_of(&image, 5).flags, 0b1, "disabled");
        assert_eq!(image.services.iter().filter(|row| **row != ServiceRow::default()).count(), 6);
    }

    #[test]
    fn backend_rows_are_as_written() {
        let image = image(WEB);
        let draining = image.backends[3];
        assert_eq!((draining.address[..5].to_vec(), draining.state), (vec![10, 1, 0, 4, 0], 1));
        assert_eq!((draining.encapsulation, draining.service.value(), draining.mtu.value()), (1, 0, 1_500));
        assert_eq!(draining.next_hop_mac, [2, 0, 0, 0, 0, 0xfe]);
        // Four of web, four of web-tls, two each of the name services, then game-1 and game-2.
        let game_2 = image.backends[13];
        assert_eq!((game_2.service.value(), game_2.mtu.value()), (4, 1_400));
        assert_eq!(game_2.next_hop_mac, [2, 0, 0, 0, 0, 0xfd]);
        assert_eq!((image.backends[14].service.value(), image.backends[15]), (5, BackendRow::default()));
    }

    #[test]
    fn families_cross() {
        let image = image(DUAL_STACK);
        assert_eq!(image.datapath.tunnel_source_v6[..2], [0xfd, 0]);
        let v6_to_v4 = row_of(&image, 2);
        assert_eq!((v6_to_v4.flags, v6_to_v4.address[15], v6_to_v4.address[0]), (0b1_0111, 0x10, 0x20));
        assert_eq!((image.backends[4].encapsulation, image.backends[6].encapsulation), (1, 2));
        assert_eq!((row_of(&image, 3).flags, image.backends[6].address[15]), (0b11, 1));
    }

    #[test]
    fn slices_point_at_their_own_backends_only() {
        for text in [WEB, DUAL_STACK, MANY_SERVICES, SCHEDULERS] {
            let (config, image) = (config(text), image(text));
            let ids = Ids::fresh(&config);
            let mut expected = vec![NO_BACKEND; image.lookup.len()];
            for (id, service) in config.services().iter().enumerate() {
                let row = row_of(&image, u16::try_from(id).unwrap());
                let base = row.lookup_base_value() as usize;
                for (slot, identity) in service.slice_identities().into_iter().enumerate() {
                    let index = service.backends.iter().position(|backend| Some(backend.identity.as_str()) == identity);
                    expected[base + slot] = ids.backend(id, index.unwrap());
                }
            }
            let lookup: Vec<u16> = image.lookup.iter().map(|entry| entry.value()).collect();
            assert_eq!(lookup, expected);
        }
    }

    #[test]
    fn draining_down_and_weightless_backends_get_no_slots() {
        let image = image(WEB);
        for (id, backend) in [(3, "web-4, draining"), (7, "web-5, weight 0")] {
            assert!(image.lookup.iter().all(|entry| entry.value() != id), "{backend}");
        }
        let down = config(&WEB.replace("draining", "down"));
        assert!(down.services()[0].slice_identities().iter().all(|identity| *identity != Some("web-4")));
        assert_eq!(down.image().unwrap().backends[3].state, BackendRow::STATE_DOWN);
    }

    #[test]
    fn order_of_backends_does_not_move_a_slot() {
        let before = config(WEB);
        let (head, tail) = WEB.split_once("[[service.backend]]\nname = \"web-1\"\n").unwrap();
        let (first, rest) = tail.split_once("[[service.backend]]").unwrap();
        let (second, rest) = rest.split_once("# A machine").unwrap();
        let swapped =
            format!("{head}[[service.backend]]{second}[[service.backend]]\nname = \"web-1\"\n{first}# A machine{rest}");
        let after = config(&swapped);
        assert_eq!(after.services()[0].backends[0].identity, "web-2");
        for (before, after) in before.services().iter().zip(after.services()) {
            assert_eq!(before.slice_identities(), after.slice_identities());
        }
    }

    #[test]
    fn schedulers_are_as_the_example_says() {
        let (config, image) = (config(SCHEDULERS), image(SCHEDULERS));
        let row = |name: &str| {
            let id = config.services().iter().position(|service| service.name == name).unwrap();
            (row_of(&image, u16::try_from(id).unwrap()), &config.services()[id])
        };
        for (name, selection, size, affinity) in [
            ("shop", ServiceRow::SELECTION_HASH, 1_021, ServiceRow::AFFINITY_FIVE_TUPLE),
            ("cache", ServiceRow::SELECTION_HASH, 2_000, ServiceRow::AFFINITY_FIVE_TUPLE),
            ("game-control", ServiceRow::SELECTION_HASH, 251, ServiceRow::AFFINITY_CLIENT),
            ("game-stream", ServiceRow::SELECTION_HASH, 251, ServiceRow::AFFINITY_CLIENT),
            ("portal", ServiceRow::SELECTION_HASH, 251, ServiceRow::AFFINITY_CLIENT_PROTOCOL),
            ("batch", ServiceRow::SELECTION_SEQUENCE, 7, ServiceRow::AFFINITY_FIVE_TUPLE),
            ("upload", ServiceRow::SELECTION_HASH, 509, ServiceRow::AFFINITY_FIVE_TUPLE),
            ("search", ServiceRow::SELECTION_TWO_CHOICE, 509, ServiceRow::AFFINITY_FIVE_TUPLE),
        ] {
            let (row, _) = row(name);
            let found = (row.selection, row.table_size.value(), row.flags >> ServiceRow::AFFINITY_SHIFT);
            assert_eq!(found, (selection, size, affinity), "{name}");
        }
        assert_eq!(row("game-control").1.slice_identities(), row("game-stream").1.slice_identities());
        let batch: Vec<u8> =
            row("batch").1.slice_identities().into_iter().map(|identity| identity.unwrap().as_bytes()[6]).collect();
        assert_eq!(batch, b"1121311");
        let shop = row("shop").1.slice_identities();
        assert!(shop.iter().all(|identity| matches!(identity, Some("shop-1" | "shop-2" | "shop-3"))));
        let loads: Vec<u8> =
            image.backends.iter().rev().skip_while(|row| row.load == 0).take(3).map(|row| row.load).collect();
        assert_eq!(loads, [45, 200, 40]);
    }

    #[test]
    fn many_services_fill_the_lab() {
        let image = image(MANY_SERVICES);
        let used = image.services.iter().filter(|row| row.flags & ServiceRow::FLAG_VALID != 0).count();
        assert_eq!(used, image.geometry.services as usize);
    }
}
