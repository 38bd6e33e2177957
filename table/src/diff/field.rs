//! The fields of rows by name, in the configuration's words, and those that differ.
//!
//! What the configuration has no word for is named as in [`maglane_spec::row`]. Left out are fields that say again what
//! another one says: the service of a backend, flags that announce a value.

use std::fmt;
use std::fmt::Write as _;

use maglane_spec::Geometry;
use maglane_spec::row::{BackendRow, DatapathRow, ServiceRow};
use serde::{Serialize, Serializer};

use crate::audit::address;
use crate::balance::{selection, state};
use crate::config::{Affinity, Protocol};
use crate::image::NO_NEXT_HOP;

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its name.
    pub field: &'static str,
    /// What it was.
    pub old: Value,
    /// What it is.
    pub new: Value,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(u32),
    /// A switch.
    Switch(bool),
    /// A word, an address, bytes in hexadecimal.
    Text(String),
    /// Bytes that are not for everybody to read: told as changed, never shown.
    Secret([u8; 16]),
    /// No restriction: all ports.
    All,
    /// What the configuration leaves to the neighbour table of the machine that runs it.
    Neighbour,
    /// Nothing.
    None,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Switch(on) => write!(f, "{on}"),
            Self::Text(text) => f.write_str(text),
            Self::Secret(_) => f.write_str("(secret)"),
            Self::All => f.write_str("all"),
            Self::Neighbour => f.write_str("from the neighbour table"),
            Self::None => f.write_str("none"),
        }
    }
}

/// A number, a boolean, a text, or null where there is nothing or no restriction.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_u32(*number),
            Self::Switch(on) => serializer.serialize_bool(*on),
            Self::Text(_) | Self::Secret(_) => serializer.collect_str(self),
            Self::All | Self::Neighbour | Self::None => serializer.serialize_none(),
        }
    }
}

/// A field's name and value.
pub(super) type Field = (&'static str, Value);

/// Those of the same fields that differ.
pub(super) fn changes(old: impl IntoIterator<Item = Field>, new: impl IntoIterator<Item = Field>) -> Vec<Change> {
    let both = old.into_iter().zip(new).inspect(|((old, _), (new, _))| debug_assert_eq!(old, new));
    both.filter(|((_, old), (_, new))| old != new).map(|((field, old), (_, new))| Change { field, old, new }).collect()
}

/// The fields of a geometry.
pub(super) fn of_geometry(geometry: &Geometry) -> [Field; 5] {
    let Geometry { bus_bytes, services, backends, lookup_entries, flow_sets } = *geometry;
    [
        ("bus_bytes", Value::Number(bus_bytes)),
        ("services", Value::Number(services)),
        ("backends", Value::Number(backends)),
        ("lookup_entries", Value::Number(lookup_entries)),
        ("flow_sets", Value::Number(flow_sets)),
    ]
}

/// The fields of the datapath row.
pub(super) fn of_datapath(row: &DatapathRow) -> [Field; 13] {
    let source = |octets: &[u8], is_ipv6| {
        if octets.iter().all(|&octet| octet == 0) {
            return Value::None;
        }
        let mut bytes = [0; 16];
        bytes[..octets.len()].copy_from_slice(octets);
        Value::Text(address(bytes, is_ipv6).to_string())
    };
    let seeds = row.service_seed.map(|seeds| seeds.map(|seed| seed.value()));
    let [seed_0, seed_1] = seeds.map(|seeds| {
        Value::Text(seeds.iter().fold(String::new(), |mut text, seed| {
            // Writing to a string cannot fail.
            let _infallible = write!(text, "{seed:04x}");
            text
        }))
    });
    let [new, established, closing] = row.timeout_ticks.map(|ticks| Value::Number(ticks.into()));
    [
        ("hash_key", Value::Secret(row.hash_key)),
        ("mac", mac(row.mac)),
        ("check_mac", Value::Switch(row.flags & DatapathRow::FLAG_CHECK_MAC != 0)),
        ("ttl", Value::Number(row.ttl.into())),
        ("tunnel_source_v4", source(&row.tunnel_source_v4, false)),
        ("source_entropy_bits", Value::Number(row.source_entropy_bits.into())),
        ("tunnel_source_v6", source(&row.tunnel_source_v6, true)),
        ("tick_ms", Value::Number(row.tick_ms.value())),
        ("timeout_new", new),
        ("timeout_established", established),
        ("timeout_closing", closing),
        ("service_seed 0", seed_0),
        ("service_seed 1", seed_1),
    ]
}

/// The fields of a service's row.
pub(super) fn of_service(row: &ServiceRow) -> [Field; 10] {
    let is_set = |flag: u8| row.flags & flag != 0;
    let affinity = row.flags >> ServiceRow::AFFINITY_SHIFT;
    [
        ("address", Value::Text(address(row.address, is_set(ServiceRow::FLAG_IPV6)).to_string())),
        ("port", if is_set(ServiceRow::FLAG_ALL_PORTS) { Value::All } else { Value::Number(row.port.value().into()) }),
        ("protocol", word(Protocol::WORDS, |protocol| protocol.number() == row.protocol, row.protocol)),
        ("enabled", Value::Switch(is_set(ServiceRow::FLAG_ENABLED))),
        ("selection", Value::Text(selection(row).to_owned())),
        ("affinity", word(Affinity::WORDS, |one| one.code() == affinity, affinity)),
        ("table_size", Value::Number(row.table_size.value().into())),
        ("gre_key", if is_set(ServiceRow::FLAG_GRE_KEY) { Value::Number(row.gre_key.value()) } else { Value::None }),
        ("id", Value::Number(row.id.value().into())),
        ("lookup_base", Value::Number(row.lookup_base_value())),
    ]
}

/// The fields of a backend's row of an id.
pub(super) fn of_backend(id: u16, row: &BackendRow) -> [Field; 7] {
    let is_ipv6 = row.encapsulation == BackendRow::ENCAPSULATION_GRE_IPV6;
    [
        ("address", Value::Text(address(row.address, is_ipv6).to_string())),
        ("state", Value::Text(state(row).to_owned())),
        ("load", Value::Number(row.load.into())),
        ("mtu", Value::Number(row.mtu.value().into())),
        ("next_hop_mac", if row.next_hop_mac == NO_NEXT_HOP { Value::Neighbour } else { mac(row.next_hop_mac) }),
        ("encapsulation", Value::Text(if is_ipv6 { "gre_ipv6" } else { "gre_ipv4" }.to_owned())),
        ("id", Value::Number(id.into())),
    ]
}

fn mac(bytes: [u8; 6]) -> Value {
    Value::Text(bytes.map(|byte| format!("{byte:02x}")).join(":"))
}

/// The configuration's word for a code; the code where there is none.
fn word<T: Copy>(words: &[(&'static str, T)], is_it: impl Fn(T) -> bool, code: u8) -> Value {
    let found = words.iter().find(|&&(_, one)| is_it(one));
    found.map_or(Value::Number(code.into()), |(word, _)| Value::Text((*word).to_owned()))
}
