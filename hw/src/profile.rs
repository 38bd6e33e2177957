//! The geometries that the gateware is built for.

use maglane_spec::{Geometry, Stage};

use crate::card::Card;
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
pub type LabCore = Core<256, 32, 6, 16, 8, 10>;
/// The core of [`Profile::Lab64`].
pub type Lab64Core = Core<512, 64, 6, 16, 8, 10>;
/// The core of [`Profile::Sume`].
pub type SumeCore = Core<256, 32, 8, 17, 12, 15>;
/// The core of [`Profile::Alveo`].
pub type AlveoCore = Core<512, 64, 10, 18, 12, 17>;
/// The core of [`Profile::Ecp5`].
pub type Ecp5Core = Core<256, 32, 4, 11, 6, 6>;

/// The card of [`Profile::Lab`].
pub type LabCard = Card<256, 32, 6, 16, 8, 10>;
/// The card of [`Profile::Lab64`].
pub type Lab64Card = Card<512, 64, 6, 16, 8, 10>;
/// The card of [`Profile::Sume`].
pub type SumeCard = Card<256, 32, 8, 17, 12, 15>;
/// The card of [`Profile::Alveo`].
pub type AlveoCard = Card<512, 64, 10, 18, 12, 17>;
/// The card of [`Profile::Ecp5`].
pub type Ecp5Card = Card<256, 32, 4, 11, 6, 6>;

// The turns are cleared along with the flow table, and so are no more than its sets.
const _: () = {
    same(&LabCore::GEOMETRY, &Profile::Lab.geometry());
    same(&Lab64Core::GEOMETRY, &Profile::Lab64.geometry());
    same(&SumeCore::GEOMETRY, &Profile::Sume.geometry());
    same(&AlveoCore::GEOMETRY, &Profile::Alveo.geometry());
    same(&Ecp5Core::GEOMETRY, &Profile::Ecp5.geometry());
};

const fn same(core: &Geometry, profile: &Geometry) {
    let Geometry { bus_bytes, services, backends, lookup_entries, flow_sets } = *profile;
    assert!(core.bus_bytes == bus_bytes && core.services == services && core.backends == backends);
    assert!(core.lookup_entries == lookup_entries && core.flow_sets == flow_sets && flow_sets >= services);
}

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

    /// Emits the build's card as Verilog, with a fault in a stage if one is asked for.
    #[must_use]
    pub fn verilog(self, fault: Option<Stage>) -> String {
        match self {
            Self::Lab => text(LabCard::boxed(), fault),
            Self::Lab64 => text(Lab64Card::boxed(), fault),
            Self::Sume => text(SumeCard::boxed(), fault),
            Self::Alveo => text(AlveoCard::boxed(), fault),
            Self::Ecp5 => text(Ecp5Card::boxed(), fault),
        }
    }
}

fn text<const D: usize, const K: usize, const S: usize, const L: usize, const B: usize, const F: usize>(
    mut card: Box<Card<D, K, S, L, B, F>>,
    fault: Option<Stage>,
) -> String {
    if let Some(stage) = fault {
        card.plant_fault(stage);
    }
    emit::verilog(card, emit::TOP)
}
