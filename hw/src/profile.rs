//! The geometries that the gateware is built for.

use maglane_spec::{Geometry, Stage};

use crate::core::Core;
use crate::emit;

/// A build of the gateware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Laboratory sizes on a 32-byte bus.
    Lab,
    /// Laboratory sizes on a 64-byte bus.
    Lab64,
    /// NetFPGA-SUME class.
    Sume,
    /// Alveo class.
    Alveo,
    /// Lattice ECP5.
    Ecp5,
}

/// The core of [`Profile::Lab`].
pub type LabCore = Core<256, 32, 6, 17, 8, 10>;
/// The core of [`Profile::Lab64`].
pub type Lab64Core = Core<512, 64, 6, 17, 8, 10>;
/// The core of [`Profile::Sume`].
pub type SumeCore = Core<256, 32, 8, 18, 12, 15>;
/// The core of [`Profile::Alveo`].
pub type AlveoCore = Core<512, 64, 10, 19, 12, 17>;
/// The core of [`Profile::Ecp5`].
pub type Ecp5Core = Core<256, 32, 4, 12, 6, 6>;

impl Profile {
    /// All builds.
    pub const ALL: [Self; 5] = [Self::Lab, Self::Lab64, Self::Sume, Self::Alveo, Self::Ecp5];

    /// The build's name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lab => "lab",
            Self::Lab64 => "lab64",
            Self::Sume => "sume",
            Self::Alveo => "alveo",
            Self::Ecp5 => "ecp5",
        }
    }

    /// The build's sizes.
    #[must_use]
    pub const fn geometry(self) -> Geometry {
        match self {
            Self::Lab => Geometry::LAB,
            Self::Lab64 => Geometry { bus_bytes: 64, ..Geometry::LAB },
            Self::Sume => Geometry::SUME,
            Self::Alveo => Geometry::ALVEO,
            Self::Ecp5 => Geometry::ECP5,
        }
    }

    /// The build of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// The build with these sizes, if there is one.
    #[must_use]
    pub fn from_geometry(geometry: &Geometry) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.geometry() == *geometry)
    }

    /// Emits the build as Verilog, with a fault in a stage if one is asked for.
    #[must_use]
    pub fn verilog(self, fault: Option<Stage>) -> String {
        match self {
            Self::Lab => text(LabCore::default(), fault),
            Self::Lab64 => text(Lab64Core::default(), fault),
            Self::Sume => text(SumeCore::default(), fault),
            Self::Alveo => text(AlveoCore::default(), fault),
            Self::Ecp5 => text(Ecp5Core::default(), fault),
        }
    }
}

fn text<const D: usize, const K: usize, const S: usize, const L: usize, const B: usize, const F: usize>(
    core: Core<D, K, S, L, B, F>,
    fault: Option<Stage>,
) -> String {
    let mut core = Box::new(core);
    if let Some(stage) = fault {
        core.plant_fault(stage);
    }
    emit::verilog(core, emit::TOP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_the_cores_are_those_of_the_geometries() {
        fn check<const D: usize, const K: usize, const S: usize, const L: usize, const B: usize, const F: usize>(
            geometry: Geometry,
            _: fn() -> Core<D, K, S, L, B, F>,
        ) {
            assert_eq!(geometry.bus_bytes as usize, K);
            assert_eq!(K * 8, D);
            assert_eq!(geometry.services, 1 << S);
            assert_eq!(geometry.lookup_entries, 2 << L);
            assert_eq!(geometry.backends, 1 << B);
            assert_eq!(geometry.flow_sets, 1 << F);
            // The turns are cleared along with the flow table.
            assert!(F >= S);
        }
        check(Profile::Lab.geometry(), LabCore::default);
        check(Profile::Lab64.geometry(), Lab64Core::default);
        check(Profile::Sume.geometry(), SumeCore::default);
        check(Profile::Alveo.geometry(), AlveoCore::default);
        check(Profile::Ecp5.geometry(), Ecp5Core::default);
    }
}
