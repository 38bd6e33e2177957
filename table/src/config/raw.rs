//! The shape of the file: every key of every table, each value with its place, nothing checked but types.
//!
//! Everything is optional here, because a missing value is reported better by the checks than by the parser, and
//! numbers are wide, because their ranges are.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use toml::Spanned;

/// A value that may be missing.
pub(super) type Maybe<T> = Option<Spanned<T>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) datapath: Maybe<Datapath>,
    pub(super) geometry: Maybe<CustomGeometry>,
    #[serde(default)]
    pub(super) service: Vec<Spanned<Service>>,
}

impl File {
    /// Whether there is a geometry, in either place.
    pub(super) fn names_geometry(&self) -> bool {
        self.geometry.is_some() || self.datapath.as_ref().is_some_and(|datapath| datapath.get_ref().geometry.is_some())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Datapath {
    pub(super) hash_key: Maybe<String>,
    pub(super) mac: Maybe<String>,
    pub(super) next_hop_mac: Maybe<String>,
    pub(super) tunnel_source_v4: Maybe<String>,
    pub(super) tunnel_source_v6: Maybe<String>,
    pub(super) ttl: Maybe<i64>,
    pub(super) source_entropy_bits: Maybe<i64>,
    pub(super) mtu: Maybe<i64>,
    pub(super) check_mac: Maybe<bool>,
    pub(super) tick_ms: Maybe<i64>,
    pub(super) timeout_new: Maybe<i64>,
    pub(super) timeout_established: Maybe<i64>,
    pub(super) timeout_closing: Maybe<i64>,
    pub(super) geometry: Maybe<Geometry>,
}

/// A profile's name, or a table of sizes.
pub(super) enum Geometry {
    Profile(String),
    Custom(CustomGeometry),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomGeometry {
    pub(super) bus_bytes: Maybe<i64>,
    pub(super) services: Maybe<i64>,
    pub(super) backends: Maybe<i64>,
    pub(super) lookup_entries: Maybe<i64>,
    pub(super) flow_sets: Maybe<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    pub(super) name: Maybe<String>,
    pub(super) address: Maybe<String>,
    pub(super) port: Maybe<i64>,
    pub(super) protocol: Maybe<String>,
    pub(super) scheduler: Maybe<String>,
    pub(super) affinity: Maybe<String>,
    pub(super) table_size: Maybe<i64>,
    pub(super) gre_key: Maybe<i64>,
    pub(super) enabled: Maybe<bool>,
    #[serde(default)]
    pub(super) backend: Vec<Spanned<Backend>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Backend {
    pub(super) name: Maybe<String>,
    pub(super) address: Maybe<String>,
    pub(super) weight: Maybe<i64>,
    pub(super) state: Maybe<String>,
    pub(super) load: Maybe<i64>,
    pub(super) mtu: Maybe<i64>,
    pub(super) next_hop_mac: Maybe<String>,
}

// By hand, because an untagged enum would lose the places of the values inside.
impl<'de> Deserialize<'de> for Geometry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Geometry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a profile's name or a table of sizes")
            }

            fn visit_str<E>(self, name: &str) -> Result<Geometry, E> {
                Ok(Geometry::Profile(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Geometry, A::Error> {
                CustomGeometry::deserialize(MapAccessDeserializer::new(map)).map(Geometry::Custom)
            }
        }

        deserializer.deserialize_any(Either)
    }
}
