//! Address map of the table write port and the counter read port.
//!
//! # Shape
//! An address is 32 bits: the region in bits 31..28, the index of a 32-bit little-endian word in bits 27..0. Words
//! hold the memories' bytes in order, so that a [`crate::TableImage`] is written word by word as it is.
//!
//! # Sides
//! Every table has two sides. Frames are served from the active one, and what is written goes to the other, the staged
//! side, whatever the writer does. [`CONTROL_COMMIT`] changes the sides between two frames and raises [`GENERATION`]:
//! frames wait until none is inside, so each sees one generation only, and the old side is free when it is done. The
//! staged side then holds what was served before, but for [`DATAPATH`], which keeps what was staged. After reset neither
//! side is of use: everything is to be staged and committed before [`CONTROL_SERVE`] is set.
//!
//! Two settings do not change in the clock of a commit: timeouts hold from the next step of the tick on, and another
//! length of a tick only counts right while the prescaler is stopped ([`CONTROL_CLOCKS_PER_MS`] 0).

/// Bit position of the region in an address.
pub const REGION_SHIFT: u32 = 28;

/// Control words.
pub const CONTROL: u32 = 0;
/// [`crate::row::DatapathRow`].
pub const DATAPATH: u32 = 1;
/// Service memory: sub-table 0, then sub-table 1.
pub const SERVICE: u32 = 2;
/// Lookup memory: two entries a word, the even one low.
pub const LOOKUP: u32 = 3;
/// Backend memory.
pub const BACKEND: u32 = 4;

/// Control word 0. Bit 0 set: the pipeline serves. Clear, as after reset: bypass.
pub const CONTROL_MODE: u32 = 0;
/// Control word 1: sets the tick (modulo 64) and starts a round of the sweeper, by the timeouts of the last step.
/// To be written while no frame is inside, [`STATUS_SWEPT`] is set and the prescaler is stopped
/// ([`CONTROL_CLOCKS_PER_MS`] 0); otherwise it may be lost.
pub const CONTROL_TICK: u32 = 1;
/// Control word 2: clocks per millisecond, so that the card advances the tick. 0, as after reset: the tick advances
/// only as the frames' sidebands say.
pub const CONTROL_CLOCKS_PER_MS: u32 = 2;

/// Control word 3: a write of any value commits the staged side. Until [`STATUS_COMMITTING`] is clear again, what is
/// written to tables is lost, and so is another commit.
pub const CONTROL_COMMIT: u32 = 3;

/// Bit 0 of [`CONTROL_MODE`]: serve.
pub const CONTROL_SERVE: u32 = 1;

/// Counters per verdict code (read port).
pub const COUNTER_VERDICT: u32 = 0;
/// Entries of [`COUNTER_VERDICT`].
pub const COUNTER_VERDICT_ENTRIES: u32 = 32;
/// Counters per service id (read port).
pub const COUNTER_SERVICE: u32 = 1;
/// Counters per backend id (read port).
pub const COUNTER_BACKEND: u32 = 2;
/// Word 0: frames lost by the full host queue (read port).
pub const COUNTER_OVERRUN_HOST: u32 = 3;

/// Counters per code of [`crate::FlowOutcome`] (read port).
pub const COUNTER_FLOW: u32 = 4;
/// Entries of [`COUNTER_FLOW`].
pub const COUNTER_FLOW_ENTRIES: u32 = 8;
/// Flow table: two words an entry, the low one first, eight entries a set (read port, while no frame is inside and the
/// sweeper rests).
pub const FLOW_TABLE: u32 = 5;
/// Next turn of the services with selection by sequence, a word per service id (read port, while no frame is inside).
pub const SEQUENCE: u32 = 6;
/// Word 0: status (read port).
pub const STATUS: u32 = 7;

/// Live flows of the backends as the sweeper counted them in its last complete round, a word per backend id (read
/// port, at any time; they are of one round if the number of rounds ([`STATUS_ROUNDS_SHIFT`]) is the same before and
/// after them).
pub const LIVE_FLOWS: u32 = 8;

/// Word 0: commits since reset, modulo 2^32 (read port). Its lowest bit is the side that is active.
pub const GENERATION: u32 = 9;

/// Bit of the status word: memories have been cleared after reset; frames are accepted.
pub const STATUS_READY: u32 = 1;
/// Bit of the status word: the sweeper rests, what it counted is put away, and no step of the tick is under way.
pub const STATUS_SWEPT: u32 = 2;
/// Bit of the status word: a commit waits for the frames that are inside.
pub const STATUS_COMMITTING: u32 = 4;
/// Position of the tick, six bits, in the status word.
pub const STATUS_TICK_SHIFT: u32 = 8;
/// Position of the number of rounds that the sweeper has completed, modulo 2^16, in the status word.
pub const STATUS_ROUNDS_SHIFT: u32 = 16;

/// Clocks from an address on the read port to its word. Addresses may follow one another in every clock.
pub const READ_CLOCKS: u32 = 5;

/// Words of an entry of a counter set: packets low, packets high, bytes low, bytes high.
pub const COUNTER_WORDS: u32 = 4;

/// Words of a set of the flow table: two an entry.
pub const FLOW_SET_WORDS: u32 = 16;

/// Position of the tick step in the input stream's sideband: how many ticks have passed before this frame; seven
/// bits. From 64 on, when nothing in the flow table is left, 64 + ticks modulo 64. A card that counts time itself leaves
/// them zero.
pub const TUSER_TICK_STEP_SHIFT: u32 = 16;

const _: () = {
    assert!(COUNTER_VERDICT_ENTRIES as usize == crate::Verdict::CODES);
    assert!(COUNTER_FLOW_ENTRIES as usize == crate::FlowOutcome::CODES);
    assert!(FLOW_SET_WORDS as usize == crate::flow::WAYS * 2);
};
