//! The pipeline as gateware.
//!
//! Described with `rust-hdl`, simulated by it, and emitted as Verilog, which is what ships. This room holds the
//! blocks and their emission; it neither drives clocks (`maglane-sim`) nor loads tables. Its unit of work is a
//! beat of an AXI4-Stream.

// rust-hdl's derives generate public methods without documentation; everything written here has its own.
#![allow(missing_docs)]
#![forbid(unsafe_code)]
// `#[hdl_gen]` reads the statements as they stand: parentheses and `.into()` are part of the language.
#![allow(clippy::useless_conversion)]

pub mod axis;
pub mod card;
pub mod census;
pub mod control;
pub mod core;
pub mod counter;
pub mod emit;
pub mod fifo;
pub mod flow_table;
pub mod frame;
pub mod host_queue;
pub mod lint;
pub mod lookup;
pub mod prescaler;
pub mod profile;
pub mod ram;
pub mod registers;
pub mod siphash;
pub mod stage;
pub mod transmit;
pub mod verdict;
