//! The faults of [`crate::fault`], for bursts: one a stage, on purpose.
//!
//! Without the feature `fault` none of them is compiled, and all functions give back what they are given.

use maglane_spec::row::DatapathRow;
use maglane_spec::{Stage, Verdict};

use super::packet::Packet;
use super::select::Selected;
use super::services::Found;
use super::tables::Tables;
#[cfg(feature = "fault")]
use crate::fault::Fault;
use crate::stage::parse::Parsed;

/// Whether a stage is at fault.
#[inline(always)]
pub(super) fn is_in(stage: Stage, fault: Option<Stage>) -> bool {
    cfg!(feature = "fault") && fault == Some(stage)
}

/// As [`Fault::after_parse`]; frames with that fault are never plain.
pub(super) fn after_parse(
    fault: Option<Stage>,
    parsed: Result<Parsed, Verdict>,
    datapath: Option<&DatapathRow>,
    frame: &[u8],
) -> Result<Parsed, Verdict> {
    #[cfg(feature = "fault")]
    if fault == Some(Stage::Parse) {
        return Fault::in_stage(Stage::Parse).after_parse(parsed, datapath, frame);
    }
    let _ = (fault, datapath, frame);
    parsed
}

/// Services that take all ports are never found.
#[inline(always)]
pub(super) fn after_classify(fault: Option<Stage>, tables: &Tables, found: Option<Found>) -> Option<Found> {
    #[cfg(feature = "fault")]
    if fault == Some(Stage::Classify) {
        use maglane_spec::row::ServiceRow;
        return found.filter(|found| tables.image.services[found.row()].flags & ServiceRow::FLAG_ALL_PORTS == 0);
    }
    let _ = (fault, tables);
    found
}

/// A wrong bit of the hash's finalisation constant.
pub(super) fn of_flow_hash(fault: Option<Stage>) -> u64 {
    u64::from(is_in(Stage::FlowHash, fault))
}

/// Whether a hit is one that the fault of select makes another thing of.
#[inline(always)]
pub(super) fn hits(fault: Option<Stage>, backend: u16) -> bool {
    is_in(Stage::Select, fault) && backend == 0
}

/// Backend 0 is taken for nobody.
#[inline(always)]
pub(super) fn after_select(fault: Option<Stage>, selected: Selected) -> Selected {
    #[cfg(feature = "fault")]
    if fault == Some(Stage::Select) && selected.backend == 0 {
        return Selected {
            flow: maglane_spec::FlowOutcome::NoBackend,
            verdict: Verdict::DropNoBackend,
            backend: maglane_spec::limit::NO_BACKEND,
        };
    }
    let _ = fault;
    selected
}

/// As [`Fault::after_rewrite`].
#[inline(always)]
pub(super) fn after_rewrite(fault: Option<Stage>, ip_offset: usize, packet: &mut Packet<'_>) {
    #[cfg(feature = "fault")]
    if fault == Some(Stage::Rewrite) {
        let (start, end) = (packet.start(), packet.start() + packet.len());
        let frame = &mut packet.buffer[start..end];
        Fault::in_stage(Stage::Rewrite).after_rewrite(ip_offset, frame);
    }
    let _ = (fault, ip_offset, packet);
}
