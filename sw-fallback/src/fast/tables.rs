//! The tables of a generation in the shape in which a burst reads them.
//!
//! Nothing here decides anything: which key finds which row says the scalar classify, what a header holds says the row.
//! What is the same for all frames of a backend or of a service is worked out once, when the tables are loaded. Its unit
//! of work is a table image.

use std::num::NonZero;
use std::sync::Arc;

use maglane_spec::TableImage;
use maglane_spec::limit::SOURCE_ENTROPY_BITS_MAX;
use maglane_spec::row::{BackendRow, DatapathRow, ServiceRow};
use maglane_spec::wire::{ethernet, gre, ipv4, ipv6};

use super::parse::{Message, Pattern};
use crate::stage::classify::probes;
use crate::stage::flow_hash::affinity;
use crate::stage::ones_complement_sum;
use crate::stage::parse::{Parsed, TcpFlags, Tuple};

/// Bytes of the longest outer header without tag and GRE: Ethernet and IPv6.
pub(super) const OUTER_LEN_MAX: usize = ethernet::HEADER_LEN + ipv6::HEADER_LEN;
/// The same for IPv4.
pub(super) const OUTER_LEN_V4: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN;

/// Where the packet of an untagged frame starts.
pub(super) const UNTAGGED: usize = ethernet::HEADER_LEN;
/// The same, tagged.
pub(super) const TAGGED: usize = ethernet::HEADER_LEN + ethernet::TAG_LEN;

/// The tables of a generation.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) image: Arc<TableImage>,
    /// Our MAC as the first six bytes of a little-endian word, and the bits of it that a frame must have.
    pub(super) mac: u64,
    pub(super) mac_mask: u64,
    /// Frames with IPv4, untagged and tagged.
    pub(super) untagged: Pattern,
    pub(super) tagged: Pattern,
    /// Bits of the outer IPv4 source that the flow hash gives.
    pub(super) entropy_mask: u16,
    pub(super) services_v4: KeyMap<KeyV4>,
    pub(super) services_v6: KeyMap<KeyV6>,
    pub(super) plans: Vec<ServicePlan>,
    pub(super) backends: Vec<BackendPlan>,
}

/// A service's row, read.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub(super) struct ServicePlan {
    /// What the backend of a flow must have to be a hit: the id; nothing that one has when the service is not supported.
    pub(super) owner: u32,
    pub(super) id: u16,
    /// Selection and affinity are known here.
    pub(super) supported: bool,
    pub(super) affinity: u8,
    pub(super) keyed: bool,
    /// The GRE header: flags, protocol type, key.
    pub(super) gre: [u8; gre::HEADER_LEN + gre::KEY_LEN],
}

/// [`ServicePlan::owner`] of a service that is not supported.
const OWNER_UNSUPPORTED: u32 = 1 << 16;
/// [`BackendPlan::owner`] of a backend that takes no frames.
const OWNER_DOWN: u32 = 1 << 17;

/// A backend's row, and the outer header of its frames as far as it is the same for all: a line of the cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct BackendPlan {
    /// The service's id; nothing that a service has when the backend takes no frames.
    pub(super) owner: u32,
    pub(super) mtu: u16,
    /// One's complement sum of the outer IPv4 header's words, those that differ by frame left out.
    pub(super) sum: u16,
    pub(super) encapsulation: u8,
    /// Ethernet and IP.
    pub(super) header: [u8; OUTER_LEN_MAX],
}

const _: () = assert!(size_of::<BackendPlan>() == 64);

impl Tables {
    /// Works out the tables of an image whose sizes have been checked.
    pub(crate) fn new(image: Arc<TableImage>) -> Self {
        let datapath = &image.datapath;
        let [m0, m1, m2, m3, m4, m5] = datapath.mac;
        let checked = datapath.flags & DatapathRow::FLAG_CHECK_MAC != 0;
        let mac = checked.then_some(datapath.mac);
        let bits = datapath.source_entropy_bits.min(SOURCE_ENTROPY_BITS_MAX);
        Self {
            mac: u64::from_le_bytes([m0, m1, m2, m3, m4, m5, 0, 0]),
            mac_mask: if checked { (1 << 48) - 1 } else { 0 },
            untagged: Pattern::new(mac, UNTAGGED),
            tagged: Pattern::new(mac, TAGGED),
            entropy_mask: (((1_u32 << bits) - 1) & 0xffff) as u16,
            services_v4: KeyMap::of(&image, false, |row, service| KeyV4::new(&row.address, service)),
            services_v6: KeyMap::of(&image, true, |row, service| KeyV6::new(&row.address, service)),
            plans: image.services.iter().map(ServicePlan::of).collect(),
            backends: image.backends.iter().map(|row| BackendPlan::of(datapath, row)).collect(),
            image,
        }
    }
}

impl ServicePlan {
    fn of(row: &ServiceRow) -> Self {
        let keyed = row.flags & ServiceRow::FLAG_GRE_KEY != 0;
        let [f0, f1] = if keyed { gre::FLAG_KEY } else { 0 }.to_be_bytes();
        // What is in the tunnel has the family of what was matched.
        let ipv6 = row.flags & ServiceRow::FLAG_IPV6 != 0;
        let [p0, p1] = if ipv6 { ethernet::ETHERTYPE_IPV6 } else { ethernet::ETHERTYPE_IPV4 }.to_be_bytes();
        let [k0, k1, k2, k3] = row.gre_key.0;
        let affinity = affinity(row);
        let supported = row.selection <= ServiceRow::SELECTION_SEQUENCE && affinity <= ServiceRow::AFFINITY_CLIENT;
        Self {
            owner: if supported { u32::from(row.id.value()) } else { OWNER_UNSUPPORTED },
            id: row.id.value(),
            supported,
            affinity,
            gre: [f0, f1, p0, p1, k0, k1, k2, k3],
            keyed,
        }
    }
}

impl BackendPlan {
    fn of(datapath: &DatapathRow, row: &BackendRow) -> Self {
        let mut header = [0; OUTER_LEN_MAX];
        header[ethernet::DESTINATION..][..6].copy_from_slice(&row.next_hop_mac);
        header[ethernet::SOURCE..][..6].copy_from_slice(&datapath.mac);
        let (link, ip) = header.split_at_mut(ethernet::HEADER_LEN);
        let mut sum = 0;
        if row.encapsulation == BackendRow::ENCAPSULATION_GRE_IPV6 {
            link[ethernet::ETHERTYPE..].copy_from_slice(&ethernet::ETHERTYPE_IPV6.to_be_bytes());
            ip[ipv6::VERSION_CLASS_LABEL] = ipv6::VERSION << 4;
            ip[ipv6::NEXT_HEADER] = ipv4::PROTOCOL_GRE;
            ip[ipv6::HOP_LIMIT] = datapath.ttl;
            ip[ipv6::SOURCE..][..16].copy_from_slice(&datapath.tunnel_source_v6);
            ip[ipv6::DESTINATION..][..16].copy_from_slice(&row.address);
        } else {
            link[ethernet::ETHERTYPE..].copy_from_slice(&ethernet::ETHERTYPE_IPV4.to_be_bytes());
            ip[ipv4::VERSION_IHL] = ipv4::VERSION_IHL_PLAIN;
            ip[ipv4::FRAGMENT..][..2].copy_from_slice(&ipv4::FRAGMENT_DF.to_be_bytes());
            ip[ipv4::TTL] = datapath.ttl;
            ip[ipv4::PROTOCOL] = ipv4::PROTOCOL_GRE;
            let bits = datapath.source_entropy_bits.min(SOURCE_ENTROPY_BITS_MAX);
            let fixed = u32::from_be_bytes(datapath.tunnel_source_v4) & !((1 << bits) - 1);
            ip[ipv4::SOURCE..][..4].copy_from_slice(&fixed.to_be_bytes());
            ip[ipv4::DESTINATION..][..4].copy_from_slice(&row.address[..4]);
            sum = ones_complement_sum(&ip[..ipv4::HEADER_LEN]);
        }
        let takes_flows = matches!(row.state, BackendRow::STATE_UP | BackendRow::STATE_DRAINING);
        Self {
            owner: if takes_flows { u32::from(row.service.value()) } else { OWNER_DOWN },
            mtu: row.mtu.value(),
            sum,
            encapsulation: row.encapsulation,
            header,
        }
    }
}

/// The key of a service, IPv4: address, protocol, port; bit 56 for all ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyV4(u64);

/// The key of a service, IPv6: both halves of the address; protocol, port; bit 24 for all ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyV6(u64, u64, u32);

/// Bit of a service's word that says "all ports". Below it are the port, its first byte lowest, and the protocol.
const ALL_PORTS: u32 = 1 << 24;
/// The part of a service's word that stays when all ports are asked for.
const PROTOCOL: u32 = 0xff << 16;

/// Fractional bits of the golden ratio (Knuth, The Art of Computer Programming, volume 3, section 6.4).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// What services are found by.
pub(super) trait Key: Copy + Default + PartialEq {
    /// The same with all ports.
    fn all_ports(self) -> Self;
    /// Its place in a table, before the mask.
    fn place(self) -> usize;
}

impl KeyV4 {
    fn new(address: &[u8; 16], service: u32) -> Self {
        let [a, b, c, d, ..] = *address;
        Self::of(u32::from_le_bytes([a, b, c, d]), service)
    }

    fn of(address: u32, service: u32) -> Self {
        Self(u64::from(address) | u64::from(service) << 32)
    }

    /// That a frame asks for first.
    #[inline(always)]
    pub(super) fn of_message([addresses, last]: Message<2>) -> Self {
        Self(addresses >> 32 | (last >> 16 & 0xff_ffff) << 32)
    }
}

impl KeyV6 {
    fn new(address: &[u8; 16], service: u32) -> Self {
        let ([high, low], _) = address.as_chunks::<8>() else { unreachable!("16 bytes are two chunks of 8") };
        Self(u64::from_le_bytes(*high), u64::from_le_bytes(*low), service)
    }

    /// That a frame asks for first.
    #[inline(always)]
    pub(super) fn of_message([_, _, high, low, last]: Message<5>) -> Self {
        Self(high, low, (last >> 16 & 0xff_ffff) as u32)
    }
}

impl Key for KeyV4 {
    #[inline(always)]
    fn all_ports(self) -> Self {
        Self(self.0 & (u64::from(PROTOCOL) << 32 | 0xffff_ffff) | u64::from(ALL_PORTS) << 32)
    }

    #[inline(always)]
    fn place(self) -> usize {
        (self.0.wrapping_mul(GOLDEN) >> 40) as usize
    }
}

impl Key for KeyV6 {
    #[inline(always)]
    fn all_ports(self) -> Self {
        Self(self.0, self.1, self.2 & PROTOCOL | ALL_PORTS)
    }

    #[inline(always)]
    fn place(self) -> usize {
        let mixed = self.0 ^ self.1.rotate_left(32) ^ u64::from(self.2) << 32;
        (mixed.wrapping_mul(GOLDEN) >> 40) as usize
    }
}

/// Bit of a row that says that its service takes no frames.
pub(super) const DISABLED: usize = 1 << 16;

/// Rows of the service memory by key: open addressing, a quarter full at most.
#[derive(Debug)]
pub(super) struct KeyMap<K> {
    slots: Vec<Slot<K>>,
    /// Some row takes all ports.
    any_all_ports: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot<K> {
    key: K,
    /// Plus one; none in an empty slot.
    row: Option<NonZero<u32>>,
}

impl<K: Key> KeyMap<K> {
    /// Every key that a row of the family has, with the row that classify finds for it.
    fn of(image: &TableImage, ipv6: bool, key: impl Fn(&ServiceRow, u32) -> K) -> Self {
        let slots = (4 * image.services.len()).next_power_of_two();
        let mut map = Self { slots: vec![Slot::default(); slots], any_all_ports: false };
        let per_sub_table = image.geometry.services as usize;
        let of_family = |row: &&ServiceRow| {
            row.flags & ServiceRow::FLAG_VALID != 0 && (row.flags & ServiceRow::FLAG_IPV6 != 0) == ipv6
        };
        for row in image.services.iter().filter(of_family) {
            let all_ports = row.flags & ServiceRow::FLAG_ALL_PORTS != 0;
            let tuple = Tuple {
                source: [0; 16],
                destination: row.address,
                source_port: 0,
                destination_port: row.port.value(),
                protocol: row.protocol,
            };
            let asked = Parsed {
                tag: None,
                ip_offset: 0,
                ipv6,
                total_length: 0,
                dscp_ecn: 0,
                tuple,
                flags: TcpFlags::default(),
                steered: false,
            };
            let found = probes(image, &asked).into_iter().find(|probe| probe.matches && probe.all_ports == all_ports);
            // A row that is not where its key belongs is never found, nor is one with an address that no frame has.
            let Some(found) = found.filter(|_| ipv6 || row.address[4..] == [0; 12]) else { continue };
            let service = u32::from(row.protocol) << 16 | u32::from(row.port.value().swap_bytes());
            let key = if all_ports { key(row, service).all_ports() } else { key(row, service) };
            map.any_all_ports |= all_ports;
            let row = found.sub_table * per_sub_table + found.row;
            let enabled = image.services[row].flags & ServiceRow::FLAG_ENABLED != 0;
            map.insert(key, if enabled { row } else { row | DISABLED });
        }
        map
    }

    /// The row for a key, exact port first, with [`DISABLED`] where that is so.
    #[inline(always)]
    pub(super) fn find(&self, key: K) -> Option<usize> {
        match self.probe(key) {
            None if self.any_all_ports => self.probe(key.all_ports()),
            found => found,
        }
    }

    #[inline(always)]
    fn probe(&self, key: K) -> Option<usize> {
        let mask = self.slots.len() - 1;
        let mut at = key.place();
        loop {
            let slot = &self.slots[at & mask];
            let row = slot.row?;
            if slot.key == key {
                return Some(row.get() as usize - 1);
            }
            at += 1;
        }
    }

    fn insert(&mut self, key: K, row: usize) {
        let mask = self.slots.len() - 1;
        let mut at = key.place() & mask;
        while self.slots[at].row.is_some() {
            if self.slots[at].key == key {
                return;
            }
            at = (at + 1) & mask;
        }
        self.slots[at] = Slot { key, row: u32::try_from(row + 1).ok().and_then(NonZero::new) };
    }
}
