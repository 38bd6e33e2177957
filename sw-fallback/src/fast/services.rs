//! Services by what frames ask for: address, protocol, port.
//!
//! Which key finds which row says the scalar classify, when the tables are loaded; here it is only looked up. Its unit of
//! work is a key.

use maglane_spec::TableImage;
use maglane_spec::limit::NO_SERVICE;
use maglane_spec::row::ServiceRow;

use super::low_16;
use super::parse::Message;
use super::tables::ServicePlan;
use crate::simd::Vectors;
use crate::stage::classify::probes;
use crate::stage::parse::{Parsed, TcpFlags, Tuple};

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
    pub(super) fn new(address: &[u8; 16], service: u32) -> Self {
        let [a, b, c, d, ..] = *address;
        Self::of(u32::from_le_bytes([a, b, c, d]), service)
    }

    fn of(address: u32, service: u32) -> Self {
        Self(u64::from(address) | u64::from(service) << 32)
    }

    /// One of [`Self::words_of`].
    #[inline(always)]
    pub(super) const fn of_word(word: u64) -> Self {
        Self(word)
    }

    /// That a frame asks for first, as words.
    #[inline(always)]
    pub(super) fn words_of<V: Vectors>([addresses, last]: [V::Words; 2]) -> V::Words {
        let service = V::and(V::shift_left::<16>(last), V::splat(0xff_ffff << 32));
        V::or(V::shift_right::<32>(addresses), service)
    }

    /// That a frame asks for first.
    pub(super) fn of_message([addresses, last]: Message<2>) -> Self {
        Self(addresses >> 32 | (last >> 16 & 0xff_ffff) << 32)
    }
}

impl KeyV6 {
    pub(super) fn new(address: &[u8; 16], service: u32) -> Self {
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

/// Rows of the service memory by key: open addressing, a quarter full at most.
#[derive(Debug)]
pub(super) struct KeyMap<K> {
    slots: Vec<Slot<K>>,
    /// Those of them whose service takes frames and whose key is in its first place; the others are empty.
    first: Vec<Slot<K>>,
    /// Some row takes all ports.
    any_all_ports: bool,
}

/// The service for a key, if it takes frames and is in the key's first place. Most are.
#[inline(always)]
pub(super) fn first<K: Key>(slots: &[Slot<K>], key: K) -> Option<Found> {
    let slot = &slots[key.place() & (slots.len() - 1)];
    (slot.key == key).then_some(slot.found)
}

/// A slot; in an empty one the key is zero, which no frame asks for: its protocol is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot<K> {
    key: K,
    found: Found,
}

/// The service that has a key: one word, so that eight are looked at at once.
///
/// # Shape
/// From the lowest bit: 32 of [`ServicePlan::owner`], or [`Self::DISABLED`]; 16 of the row; 16 of the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found(pub(super) u64);

impl Found {
    /// The owner of nothing, of a service that takes no frames.
    const DISABLED: u32 = 1 << 18;
    /// That of a frame without a service.
    pub(super) const NONE: Self = Self::without_row(NO_SERVICE);

    fn new(owner: u32, row: usize, id: u16) -> Self {
        Self(u64::from(owner) | u64::from(low_16(row)) << 32 | u64::from(id) << 48)
    }

    /// That of a frame whose service, with an id, does not take it.
    pub(super) const fn without_row(id: u16) -> Self {
        Self(Self::DISABLED as u64 | (id as u64) << 48)
    }

    #[inline(always)]
    pub(super) const fn owner(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }

    #[inline(always)]
    pub(super) const fn row(self) -> usize {
        (self.0 >> 32 & 0xffff) as usize
    }

    #[inline(always)]
    pub(super) const fn id(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// Whether the service takes frames.
    pub(super) const fn is_enabled(self) -> bool {
        self.owner() != Self::DISABLED
    }
}

impl Default for Found {
    fn default() -> Self {
        Self::NONE
    }
}

impl<K: Key> KeyMap<K> {
    /// Every key that a row of the family has, with the row that classify finds for it.
    pub(super) fn of(image: &TableImage, ipv6: bool, key: impl Fn(&ServiceRow, u32) -> K) -> Self {
        let slots = (4 * image.services.len()).next_power_of_two();
        let mut map = Self { slots: vec![Slot::default(); slots], first: Vec::new(), any_all_ports: false };
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
            let service = &image.services[row];
            let enabled = service.flags & ServiceRow::FLAG_ENABLED != 0;
            let owner = if enabled { ServicePlan::of(service).owner } else { Found::DISABLED };
            map.insert(key, Found::new(owner, row, service.id.value()));
        }
        let is_first =
            |&(place, slot): &(usize, &Slot<K>)| slot.found.is_enabled() && slot.key.place() & (slots - 1) == place;
        let of_place = |place| if is_first(&place) { *place.1 } else { Slot::default() };
        map.first = map.slots.iter().enumerate().map(of_place).collect();
        map
    }

    /// Where [`first`] looks. Who looks at many asks once: of what is behind two pointers the compiler does not know that it
    /// stays.
    #[inline(always)]
    pub(super) fn first_places(&self) -> &[Slot<K>] {
        &self.first
    }

    /// The service for a key, that of the exact port first.
    pub(super) fn find(&self, key: K) -> Option<Found> {
        match self.probe(key) {
            None if self.any_all_ports => self.probe(key.all_ports()),
            found => found,
        }
    }

    fn probe(&self, key: K) -> Option<Found> {
        let slot = &self.slots[self.place(key)];
        (slot.key == key).then_some(slot.found)
    }

    fn insert(&mut self, key: K, found: Found) {
        let at = self.place(key);
        if self.slots[at].key != key {
            self.slots[at] = Slot { key, found };
        }
    }

    /// Where a key is, or where it would go.
    fn place(&self, key: K) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = key.place() & mask;
        while self.slots[at].key != key && self.slots[at].key != K::default() {
            at = (at + 1) & mask;
        }
        at
    }
}
