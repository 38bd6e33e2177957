//! Names of the counters. All are 64 bits wide and wrap.
//!
//! # Units
//! Bytes are always those of the frame as it came in.

/// Counters of one index of a counter set.
///
/// The sets are: one entry per verdict code (all frames), one per code of [`crate::FlowOutcome`] (all frames), one per
/// service id and one per backend id (forwarded frames only).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PacketsBytes {
    /// Frames.
    pub packets: u64,
    /// Bytes of these frames as they came in.
    pub bytes: u64,
}

/// Frames that found their flow in the flow table: outcome hit.
pub const FLOW_HIT: &str = "flow_hit";
/// Frames that reached the flow table and did not: outcomes inserted, stateless, table full and no backend.
pub const FLOW_MISS: &str = "flow_miss";
/// Flow-table entries written for a new flow: outcome inserted.
pub const FLOW_INSERT: &str = "flow_insert";
/// Frames that go on without a flow-table entry because no way could be taken: outcome table full.
pub const FLOW_TABLE_FULL: &str = "flow_table_full";
/// Frames to the host that its full queue lost. Outside the comparison of engines.
pub const OVERRUN_HOST: &str = "overrun_host";
/// Frames that a card's input lost. Outside the comparison of engines.
pub const OVERRUN_INPUT: &str = "overrun_input";
