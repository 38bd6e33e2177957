//! How large the tables of a build are.

use core::fmt;

use crate::flow::WAYS;

/// Sizes of one build of the pipeline. All but `bus_bytes` concern both twins.
///
/// # Shape
/// Every size is a power of two. `bus_bytes` is 32 or 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Width of the AXI4-Stream data bus in bytes.
    pub bus_bytes: u32,
    /// Services that fit. The service memory has two sub-tables of this many rows.
    pub services: u32,
    /// Backend rows.
    pub backends: u32,
    /// Lookup entries of 16 bits of the lookup memory, over all services and both its sides: every service takes twice
    /// its table size.
    pub lookup_entries: u32,
    /// Sets of eight flow-table entries.
    pub flow_sets: u32,
}

impl Geometry {
    /// Small tables for the laboratory and continuous integration.
    pub const LAB: Self =
        Self { bus_bytes: 32, services: 64, backends: 256, lookup_entries: 1 << 18, flow_sets: 1 << 10 };
    /// NetFPGA-SUME class card: 256-bit bus.
    pub const SUME: Self =
        Self { bus_bytes: 32, services: 256, backends: 4_096, lookup_entries: 1 << 19, flow_sets: 1 << 15 };
    /// Alveo class card: 512-bit bus.
    pub const ALVEO: Self =
        Self { bus_bytes: 64, services: 1_024, backends: 4_096, lookup_entries: 1 << 20, flow_sets: 1 << 17 };
    /// Lattice ECP5, for the open toolchain.
    pub const ECP5: Self =
        Self { bus_bytes: 32, services: 16, backends: 64, lookup_entries: 1 << 13, flow_sets: 1 << 6 };

    /// The named profiles.
    pub const PROFILES: [(&'static str, Self); 4] =
        [("lab", Self::LAB), ("sume", Self::SUME), ("alveo", Self::ALVEO), ("ecp5", Self::ECP5)];

    /// Bounds of a custom geometry: smallest and largest services, backends, lookup entries, flow sets.
    pub const BOUNDS: [(&'static str, u32, u32); 4] = [
        ("services", 4, 1 << 10),
        ("backends", 16, 1 << 15),
        ("lookup_entries", 1 << 8, 1 << 22),
        ("flow_sets", 1 << 4, 1 << 20),
    ];

    /// Lookup entries of a side: what an image has.
    #[must_use]
    pub const fn lookup_side_entries(&self) -> u32 {
        self.lookup_entries / 2
    }

    /// Flows that the flow table has room for, if they spread evenly.
    #[must_use]
    pub const fn flows(&self) -> u64 {
        self.flow_sets as u64 * WAYS as u64
    }

    /// Rows of the service memory: two sub-tables.
    #[must_use]
    pub const fn service_rows(&self) -> usize {
        self.services as usize * 2
    }
}

/// As the value of `geometry` in a configuration: a name, or all sizes.
impl fmt::Display for Geometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = Self::PROFILES.iter().find(|(_, named)| named == self) {
            return write!(f, "\"{name}\"");
        }
        let Self { bus_bytes, services, backends, lookup_entries, flow_sets } = self;
        write!(f, "{{ bus_bytes = {bus_bytes}, services = {services}, backends = {backends}, ")?;
        write!(f, "lookup_entries = {lookup_entries}, flow_sets = {flow_sets} }}")
    }
}
