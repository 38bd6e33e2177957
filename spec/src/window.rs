//! Address map of the core's port: what the host writes and reads, word by word.
//!
//! # Shape
//! An address is 32 bits: the region in bits 31..28, the copy in bits 27..24, the index of a 32-bit little-endian word
//! in bits 23..0. Words hold the memories' bytes in order, so that a [`crate::TableImage`] is written word by word as it
//! is. The copy is 0, but for reads of memories that the gateware has several times ([`copies`]).
//!
//! # Sides
//! Every table has two sides. Frames are served from the active one; what is written goes to the other, the staged
//! side, and what is read comes from there. [`CONTROL_COMMIT`] changes the sides between two frames and raises
//! [`GENERATION`]: frames wait until none is inside, so each sees one generation only, and the old side is free when it
//! is done. The staged side then holds what was served before, but for [`DATAPATH`], which keeps what was staged. After
//! reset neither side is of use: everything is to be staged and committed before [`CONTROL_SERVE`] is set.
//!
//! Two settings do not change in the clock of a commit: timeouts hold from the next step of the tick on, and another
//! length of a tick only counts right while the prescaler is stopped ([`CONTROL_CLOCKS_PER_MS`] 0).
//!
//! # Reads
//! At any time, in order. A counter's four words are of one moment, that in which word 0 was read: it takes the others
//! along. So does the low word of a flow-table entry with the high one.

use crate::Geometry;
use crate::flow::WAYS;
use crate::row::{BackendRow, DatapathRow, ServiceRow};

/// Bit position of the region in an address.
pub const REGION_SHIFT: u32 = 28;

/// Position of the copy in an address.
pub const COPY_SHIFT: u32 = 24;

/// Control words.
pub const CONTROL: u32 = 0;
/// [`crate::row::DatapathRow`].
pub const DATAPATH: u32 = 1;
/// Service memory: sub-table 0, then sub-table 1. Copy 1 is that of the probes for all ports.
pub const SERVICE: u32 = 2;
/// Lookup memory: two entries a word, the even one low.
pub const LOOKUP: u32 = 3;
/// Backend memory. Other copies hold, at word 6 of a row, its service in bits 15..0 and in bit 16 whether it takes frames
/// of existing flows: copy 1 that of the lookup table, which has the load besides, at word 7; copies 2 to 9 those of the
/// flow table's ways.
pub const BACKEND: u32 = 4;
/// Flow table: two words an entry, the low one first, eight entries a set. The high word of an entry writes both, while
/// the card is in bypass, frames are not held, and [`STATUS_SWEPT`] is set; otherwise it is lost.
pub const FLOW_TABLE: u32 = 5;
/// Next turn of the services with selection by sequence, a word per service id. Written as [`FLOW_TABLE`] is.
pub const SEQUENCE: u32 = 6;
/// Word 0: status. Read only, as all that follow.
pub const STATUS: u32 = 7;
/// Live flows of the backends as the sweeper counted them in its last complete round, a word per backend id. They are of
/// one round if the number of rounds ([`STATUS_ROUNDS_SHIFT`]) is the same before and after them.
pub const LIVE_FLOWS: u32 = 8;
/// Word 0: commits since reset, modulo 2^32. Its lowest bit is the side that is active.
pub const GENERATION: u32 = 9;
/// Counters per verdict code.
pub const COUNTER_VERDICT: u32 = 10;
/// Counters per service id.
pub const COUNTER_SERVICE: u32 = 11;
/// Counters per backend id.
pub const COUNTER_BACKEND: u32 = 12;
/// Counters per code of [`crate::FlowOutcome`].
pub const COUNTER_FLOW: u32 = 13;
/// Word 0: frames lost by the full host queue.
pub const COUNTER_OVERRUN_HOST: u32 = 14;

/// Entries of [`COUNTER_VERDICT`].
pub const COUNTER_VERDICT_ENTRIES: u32 = 32;
/// Entries of [`COUNTER_FLOW`].
pub const COUNTER_FLOW_ENTRIES: u32 = 8;

/// Control word 0. Bit 0 set: the pipeline serves. Clear, as after reset: bypass. Another mode holds, like a commit, when
/// no frame is inside; until then [`STATUS_HOLDING`] is set.
pub const CONTROL_MODE: u32 = 0;
/// Control word 1: sets the tick (modulo 64) and starts a round of the sweeper, by the timeouts of the last step or, with
/// [`CONTROL_TICK_TIMEOUTS`], by those that are served. To be written while no frame is inside, [`STATUS_SWEPT`] is set
/// and the prescaler is stopped ([`CONTROL_CLOCKS_PER_MS`] 0); otherwise it may be lost.
pub const CONTROL_TICK: u32 = 1;
/// Control word 2: clocks per millisecond, so that the card advances the tick. 0, as after reset: the tick advances
/// only as the frames' sidebands say.
pub const CONTROL_CLOCKS_PER_MS: u32 = 2;
/// Control word 3: a write of any value commits the staged side. Until [`STATUS_HOLDING`] is clear again, what is
/// written to tables is lost, and so is another commit.
pub const CONTROL_COMMIT: u32 = 3;
/// Control words.
pub const CONTROL_WORDS: u32 = 4;

/// Bit 0 of [`CONTROL_MODE`]: serve.
pub const CONTROL_SERVE: u32 = 1;
/// Bit of [`CONTROL_TICK`]: the timeouts that are served hold from this round on.
pub const CONTROL_TICK_TIMEOUTS: u32 = 1 << 8;

/// Bit of the status word: memories have been cleared after reset; frames are accepted.
pub const STATUS_READY: u32 = 1;
/// Bit of the status word: the sweeper rests, what it counted is put away, and no step of the tick is under way.
pub const STATUS_SWEPT: u32 = 2;
/// Bit of the status word: a commit or another mode waits for the frames that are inside, and others wait for it.
pub const STATUS_HOLDING: u32 = 4;
/// Position of the tick, six bits, in the status word.
pub const STATUS_TICK_SHIFT: u32 = 8;
/// Position of the number of rounds that the sweeper has completed, modulo 2^16, in the status word.
pub const STATUS_ROUNDS_SHIFT: u32 = 16;

/// Words of an entry of a counter set: packets low, packets high, bytes low, bytes high.
pub const COUNTER_WORDS: u32 = 4;

/// Words of a row of a table.
pub const ROW_WORDS: u32 = 8;
/// Words of [`crate::row::DatapathRow`].
pub const DATAPATH_WORDS: u32 = 24;

/// Words of a set of the flow table: two an entry.
pub const FLOW_SET_WORDS: u32 = 16;

/// Position of the tick step in the input stream's sideband: how many ticks have passed before this frame; seven
/// bits. From 64 on, when nothing in the flow table is left, 64 + ticks modulo 64. A card that counts time itself leaves
/// them zero.
pub const TUSER_TICK_STEP_SHIFT: u32 = 16;

/// Names and meanings of the regions, by number.
pub const REGIONS: [(&str, &str); 15] = [
    ("CONTROL", "control words: MODE, TICK, CLOCKS_PER_MS, COMMIT"),
    ("DATAPATH", "the row of settings that all frames share"),
    ("SERVICE", "service rows, eight words each: sub-table 0, then sub-table 1"),
    ("LOOKUP", "lookup entries, two a word, the even one low"),
    ("BACKEND", "backend rows, eight words each"),
    ("FLOW_TABLE", "flow-table entries, two words each, the low one first, eight entries a set"),
    ("SEQUENCE", "next turn of the services with selection by sequence"),
    ("STATUS", "the status word"),
    ("LIVE_FLOWS", "live flows of the backends in the sweeper's last complete round"),
    ("GENERATION", "commits since reset"),
    ("COUNTER_VERDICT", "packets and bytes by verdict code, four words each: packets low, high, bytes low, high"),
    ("COUNTER_SERVICE", "packets and bytes forwarded, by service id"),
    ("COUNTER_BACKEND", "packets and bytes forwarded, by backend id"),
    ("COUNTER_FLOW", "packets and bytes by what they met in the flow table"),
    ("COUNTER_OVERRUN_HOST", "frames lost by the full host queue"),
];

/// Copies of [`BACKEND`]: the row, what the lookup table has, and what each way of the flow table has.
pub const BACKEND_COPIES: u32 = 10;

/// Words of a region of a card of these sizes; 0 when there is no such region.
#[must_use]
pub const fn words(region: u32, geometry: &Geometry) -> u32 {
    match region {
        CONTROL => CONTROL_WORDS,
        DATAPATH => DATAPATH_WORDS,
        SERVICE => 2 * geometry.services * ROW_WORDS,
        LOOKUP => geometry.lookup_side_entries() / 2,
        BACKEND => geometry.backends * ROW_WORDS,
        FLOW_TABLE => geometry.flow_sets * FLOW_SET_WORDS,
        SEQUENCE => geometry.services,
        STATUS | GENERATION | COUNTER_OVERRUN_HOST => 1,
        LIVE_FLOWS => geometry.backends,
        COUNTER_VERDICT => COUNTER_VERDICT_ENTRIES * COUNTER_WORDS,
        COUNTER_SERVICE => geometry.services * COUNTER_WORDS,
        COUNTER_BACKEND => geometry.backends * COUNTER_WORDS,
        COUNTER_FLOW => COUNTER_FLOW_ENTRIES * COUNTER_WORDS,
        _ => 0,
    }
}

/// Copies of a region that can be read. Copy 0 is written, and the others with it.
#[must_use]
pub const fn copies(region: u32) -> u32 {
    match region {
        SERVICE => 2,
        BACKEND => BACKEND_COPIES,
        _ => 1,
    }
}

const _: () = {
    assert!(COUNTER_VERDICT_ENTRIES as usize == crate::Verdict::CODES);
    assert!(COUNTER_FLOW_ENTRIES as usize == crate::FlowOutcome::CODES);
    assert!(FLOW_SET_WORDS as usize == WAYS * 2 && BACKEND_COPIES as usize == 2 + WAYS);
    assert!(size_of::<ServiceRow>() == 4 * ROW_WORDS as usize && size_of::<BackendRow>() == 4 * ROW_WORDS as usize);
    assert!(size_of::<DatapathRow>() == 4 * DATAPATH_WORDS as usize);
};
