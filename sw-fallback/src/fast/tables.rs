//! The tables of a generation in the shape in which a burst reads them.
//!
//! Nothing here decides anything: what a header holds says the row.
//! What is the same for all frames of a backend or of a service is worked out once, when the tables are loaded. Its unit
//! of work is a table image.

use std::sync::Arc;

use maglane_spec::TableImage;
use maglane_spec::limit::SOURCE_ENTROPY_BITS_MAX;
use maglane_spec::row::{BackendRow, DatapathRow, ServiceRow};
use maglane_spec::wire::{ethernet, gre, ipv4, ipv6};

use super::parse::Patterns;
use super::services::{KeyMap, KeyV4, KeyV6};
use crate::stage::flow_hash::affinity;
use crate::stage::ones_complement_sum;

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
    /// Frames with plain packets, untagged and tagged.
    pub(super) untagged: Patterns,
    pub(super) tagged: Patterns,
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
        let checked = datapath.flags & DatapathRow::FLAG_CHECK_MAC != 0;
        let mac = checked.then_some(datapath.mac);
        let bits = datapath.source_entropy_bits.min(SOURCE_ENTROPY_BITS_MAX);
        Self {
            untagged: Patterns::new(mac, UNTAGGED),
            tagged: Patterns::new(mac, TAGGED),
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
    pub(super) fn of(row: &ServiceRow) -> Self {
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
