//! Classify: finds the service that the frame is addressed to.
//!
//! # Source
//! Pagh and Rodler, "Cuckoo hashing", 2004; the key's words and the hash are documented on [`ServiceRow`].

use maglane_spec::limit::NO_SERVICE;
use maglane_spec::row::ServiceRow;
use maglane_spec::{TableImage, Verdict};

use super::parse::Parsed;

/// Why classify ended a frame's way, and on account of which service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The verdict.
    pub verdict: Verdict,
    /// Id of the service that matched, [`NO_SERVICE`] when none did.
    pub service: u16,
}

/// A place where classify looks for a service, as someone who watches reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The key that is asked for is that of all ports, not the exact one.
    pub all_ports: bool,
    /// Sub-table, 0 or 1.
    pub sub_table: usize,
    /// Row of the sub-table.
    pub row: usize,
    /// The row has the key.
    pub matches: bool,
}

/// The key fields of a service row, as a frame asks for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    address: [u8; 16],
    port: u16,
    protocol: u8,
    flags: u8,
}

/// Finds the service: exact port first, then all ports. The first match decides, even when it is disabled.
///
/// # Errors
/// When no service matches, or the one that does takes no frames.
pub fn classify<'a>(image: &'a TableImage, parsed: &Parsed) -> Result<&'a ServiceRow, Refused> {
    let (exact, all_ports) = (Key::exact(parsed), Key::all_ports(parsed));
    let service = probe(image, &exact, 0)
        .or_else(|| probe(image, &exact, 1))
        .or_else(|| probe(image, &all_ports, 0))
        .or_else(|| probe(image, &all_ports, 1))
        .ok_or(Refused { verdict: Verdict::PassNoService, service: NO_SERVICE })?;
    if service.flags & ServiceRow::FLAG_ENABLED == 0 {
        return Err(Refused { verdict: Verdict::DropServiceDisabled, service: service.id.value() });
    }
    Ok(service)
}

/// Where [`classify`] looks for a frame's service, in its order; the first that matches is its answer.
#[inline]
#[must_use]
pub fn probes(image: &TableImage, parsed: &Parsed) -> [Probe; 4] {
    [(false, 0), (false, 1), (true, 0), (true, 1)].map(|(all_ports, sub_table)| {
        let key = if all_ports { Key::all_ports(parsed) } else { Key::exact(parsed) };
        let matches = probe(image, &key, sub_table).is_some();
        Probe { all_ports, sub_table, row: key.row(image, sub_table), matches }
    })
}

/// The row of a sub-table that the key hashes to, if its key is equal.
fn probe<'a>(image: &'a TableImage, key: &Key, sub_table: usize) -> Option<&'a ServiceRow> {
    let row = &image.services[sub_table * image.geometry.services as usize + key.row(image, sub_table)];
    key.matches(row).then_some(row)
}

impl Key {
    fn exact(parsed: &Parsed) -> Self {
        Self::new(parsed, parsed.tuple.destination_port, ServiceRow::FLAG_VALID)
    }

    fn all_ports(parsed: &Parsed) -> Self {
        Self::new(parsed, 0, ServiceRow::FLAG_VALID | ServiceRow::FLAG_ALL_PORTS)
    }

    fn new(parsed: &Parsed, port: u16, flags: u8) -> Self {
        let flags = flags | if parsed.ipv6 { ServiceRow::FLAG_IPV6 } else { 0 };
        Self { address: parsed.tuple.destination, port, protocol: parsed.tuple.protocol, flags }
    }

    fn words(&self) -> [u16; ServiceRow::KEY_WORDS] {
        let mut words = [0; ServiceRow::KEY_WORDS];
        for (word, &pair) in words.iter_mut().zip(self.address.as_chunks::<2>().0) {
            *word = u16::from_be_bytes(pair);
        }
        words[ServiceRow::KEY_WORD_PORT] = self.port;
        let family = if self.flags & ServiceRow::FLAG_IPV6 == 0 { 0 } else { ServiceRow::KEY_IPV6 };
        words[ServiceRow::KEY_WORD_PROTOCOL] = u16::from(self.protocol) | family;
        words
    }

    /// The row of a sub-table that the key hashes to.
    fn row(&self, image: &TableImage, sub_table: usize) -> usize {
        // The high bits of the hash are the good ones: shift, do not mask.
        let sum = self.hash(image, sub_table);
        let fold = (sum >> 16) ^ (sum & 0xffff);
        (fold >> (16 - image.geometry.services.ilog2())) as usize
    }

    fn hash(&self, image: &TableImage, sub_table: usize) -> u32 {
        let seeds = &image.datapath.service_seed[sub_table];
        let products =
            self.words().into_iter().zip(seeds).map(|(word, seed)| u32::from(word) * u32::from(seed.value()));
        products.fold(0, u32::wrapping_add)
    }

    fn matches(&self, row: &ServiceRow) -> bool {
        row.flags & ServiceRow::KEY_FLAGS == self.flags
            && row.address == self.address
            && row.port.value() == self.port
            && row.protocol == self.protocol
    }
}

#[cfg(test)]
mod tests {
    use maglane_spec::endian::{U16Be, U16Le};
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{CLIENT, TCP, UDP, VIP, VIP_ALL_TCP, VIP_ALL_UDP, VIP_V6, image, ipv4_in_16};
    use crate::stage::parse::{TcpFlags, Tuple};

    fn to(destination: [u8; 4], destination_port: u16, protocol: u8) -> Parsed {
        Parsed {
            tag: None,
            ip_offset: 14,
            ipv6: false,
            total_length: 40,
            dscp_ecn: 0,
            tuple: Tuple {
                source: ipv4_in_16(CLIENT),
                destination: ipv4_in_16(destination),
                source_port: 1,
                destination_port,
                protocol,
            },
            flags: TcpFlags::default(),
            steered: false,
        }
    }

    fn id(image: &TableImage, parsed: &Parsed) -> Result<u16, Refused> {
        classify(image, parsed).map(|service| service.id.value())
    }

    const NOBODY: Result<u16, Refused> = Err(Refused { verdict: Verdict::PassNoService, service: NO_SERVICE });

    #[test]
    fn services_are_found_in_both_sub_tables() {
        let image = image();
        assert_eq!(id(&image, &to(VIP, 80, TCP)), Ok(1));
        assert_eq!(id(&image, &to(VIP, 53, UDP)), Ok(2));
        assert_eq!(id(&image, &to(VIP, 8080, TCP)), Ok(6));
        for port in [0, 1, 80, 65_535] {
            assert_eq!(id(&image, &to(VIP_ALL_TCP, port, TCP)), Ok(3), "{port}");
            assert_eq!(id(&image, &to(VIP_ALL_UDP, port, UDP)), Ok(4), "{port}");
        }
    }

    #[test]
    fn every_field_of_the_key_counts() {
        let image = image();
        assert_eq!(id(&image, &to(VIP, 80, UDP)), NOBODY);
        assert_eq!(id(&image, &to(VIP, 81, TCP)), NOBODY);
        // The same row in sub-table 0, another port.
        assert_eq!(id(&image, &to(VIP, 80 + 64, TCP)), NOBODY);
        for byte in 0..4 {
            let mut address = VIP;
            address[byte] ^= 0x80;
            assert_eq!(id(&image, &to(address, 80, TCP)), NOBODY, "{byte}");
        }
        for byte in 4..16 {
            let mut image = image.clone();
            image.services[16].address[byte] = 1;
            assert_eq!(id(&image, &to(VIP, 80, TCP)), NOBODY, "{byte}");
        }
    }

    #[test]
    fn key_flags_must_be_equal_and_others_do_not_count() {
        let mut image = image();
        let flags = image.services[16].flags;
        for wrong in
            [flags & !ServiceRow::FLAG_VALID, flags | ServiceRow::FLAG_IPV6, flags | ServiceRow::FLAG_ALL_PORTS]
        {
            image.services[16].flags = wrong;
            assert_eq!(id(&image, &to(VIP, 80, TCP)), NOBODY, "{wrong:#x}");
        }
        image.services[16].flags = flags | ServiceRow::FLAG_GRE_KEY | 3 << ServiceRow::AFFINITY_SHIFT;
        assert_eq!(id(&image, &to(VIP, 80, TCP)), Ok(1));
    }

    fn to_v6(destination: [u8; 16], destination_port: u16, protocol: u8) -> Parsed {
        let parsed = to(VIP, destination_port, protocol);
        Parsed { ipv6: true, tuple: Tuple { destination, ..parsed.tuple }, ..parsed }
    }

    #[test]
    fn ipv6_services_are_found_by_all_of_their_address_and_their_family() {
        let mut image = image();
        assert_eq!(id(&image, &to_v6(VIP_V6, 8091, TCP)), Ok(14));
        assert_eq!(id(&image, &to_v6(VIP_V6, 8092, UDP)), Ok(15));
        for byte in 0..16 {
            let mut address = VIP_V6;
            address[byte] ^= 1;
            assert_eq!(id(&image, &to_v6(address, 8091, TCP)), NOBODY, "{byte}");
        }
        // The bytes of an IPv4 service, with zeros behind them, are another address in IPv6; and the other way round.
        assert_eq!(id(&image, &to_v6(ipv4_in_16(VIP), 80, TCP)), NOBODY);
        image.services[27].address = ipv4_in_16(VIP);
        assert_eq!(id(&image, &to_v6(ipv4_in_16(VIP), 8091, TCP)), Ok(14));
        assert_eq!(id(&image, &to(VIP, 8091, TCP)), NOBODY);
    }

    #[test]
    fn all_ports_row_is_not_an_exact_row_for_port_0() {
        let mut image = image();
        image.services[0].flags &= !ServiceRow::FLAG_ALL_PORTS;
        assert_eq!(id(&image, &to(VIP_ALL_TCP, 0, TCP)), Ok(3));
        assert_eq!(id(&image, &to(VIP_ALL_TCP, 1, TCP)), NOBODY);
    }

    #[test]
    fn probes_go_exact_0_exact_1_all_ports_0_all_ports_1() {
        let mut image = image();
        let exact = ServiceRow {
            address: ipv4_in_16([203, 0, 113, 1]),
            port: U16Be::new(5),
            protocol: UDP,
            flags: ServiceRow::FLAG_VALID | ServiceRow::FLAG_ENABLED,
            ..ServiceRow::default()
        };
        let all_ports = ServiceRow { port: U16Be::new(0), flags: exact.flags | ServiceRow::FLAG_ALL_PORTS, ..exact };
        // Sub-table 1 has one row for both: the protocol's.
        let frame = to([203, 0, 113, 1], 5, UDP);
        let with_id = |row: ServiceRow, id| ServiceRow { id: U16Le::new(id), ..row };
        let told = |image: &TableImage| probes(image, &frame).map(|probe| probe.matches);
        assert_eq!(
            probes(&image, &frame).map(|probe| (probe.all_ports, probe.sub_table, probe.row, probe.matches)),
            [(false, 0, 5, false), (false, 1, 17, false), (true, 0, 0, false), (true, 1, 17, false)]
        );
        image.services[64 + 17] = with_id(all_ports, 23);
        assert_eq!((id(&image, &frame), told(&image)), (Ok(23), [false, false, false, true]));
        image.services[0] = with_id(all_ports, 22);
        assert_eq!((id(&image, &frame), told(&image)), (Ok(22), [false, false, true, true]));
        image.services[64 + 17] = with_id(exact, 21);
        assert_eq!((id(&image, &frame), told(&image)), (Ok(21), [false, true, true, false]));
        image.services[5] = with_id(exact, 20);
        assert_eq!((id(&image, &frame), told(&image)), (Ok(20), [true, true, true, false]));
    }

    #[test]
    fn first_match_decides_even_when_disabled() {
        let mut image = image();
        let refused = Err(Refused { verdict: Verdict::DropServiceDisabled, service: 5 });
        assert_eq!(id(&image, &to(VIP, 443, TCP)), refused);
        // An enabled service on all ports of the same address does not take over.
        image.services[0].address = ipv4_in_16(VIP);
        assert_eq!(id(&image, &to(VIP, 444, TCP)), Ok(3));
        assert_eq!(id(&image, &to(VIP, 443, TCP)), refused);
    }

    proptest! {
        /// The row as the documentation of the service row spells it, in numbers too wide to wrap.
        #[test]
        fn row_is_the_high_bits_of_the_folded_sum(
            seeds: [[u16; 10]; 2], any_address: [u8; 16], ipv6: bool, port: u16, tcp: bool, sub_table in 0_usize..2,
            log2_services in 2_u32..=10,
        ) {
            let services = 1 << log2_services;
            let geometry = maglane_spec::Geometry { services, ..maglane_spec::Geometry::LAB };
            let mut image = TableImage::empty(geometry);
            image.datapath.service_seed = seeds.map(|seeds| seeds.map(U16Le::new));
            let protocol = if tcp { TCP } else { UDP };
            let mut address = any_address;
            if !ipv6 {
                address[4..].fill(0);
            }
            let mut words: Vec<_> = address.chunks(2).map(|pair| u64::from(pair[0]) * 256 + u64::from(pair[1])).collect();
            words.extend([u64::from(port), u64::from(protocol) + if ipv6 { 256 } else { 0 }]);
            let sum: u64 = words.iter().zip(seeds[sub_table]).map(|(word, seed)| word * u64::from(seed)).sum();
            let fold = (sum / 65_536 % 65_536) ^ (sum % 65_536);
            let row = fold / (65_536 >> log2_services);
            let index = sub_table * services as usize + usize::try_from(row).unwrap();
            image.services[index] = ServiceRow {
                address,
                port: U16Be::new(port),
                protocol,
                flags: ServiceRow::FLAG_VALID | ServiceRow::FLAG_ENABLED | if ipv6 { ServiceRow::FLAG_IPV6 } else { 0 },
                id: U16Le::new(77),
                ..ServiceRow::default()
            };
            let frame = Parsed { ipv6, ..to_v6(address, port, protocol) };
            prop_assert_eq!(id(&image, &frame), Ok(77));
        }
    }
}
