//! The laboratory: simulated gateware as engines, and the lockstep comparison of engines.
//!
//! `rtl` clocks the rust-hdl description itself, `verilog` runs the emitted Verilog in Verilator, as a process of its
//! own. Both are driven by the same stimulus, clock for clock. Icarus Verilog, too slow to be an engine, replays
//! recordings of the description. This room decides nothing about packets.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod assemble;
pub mod bus;
pub mod crosscheck;
pub mod device;
pub mod difference;
pub mod lineup;
pub mod model;
pub mod module;
pub mod mpqemu;
pub mod pci;
pub mod replay;
pub mod rtl;
pub mod shared;
pub mod shrink;
pub mod stimulus;
mod tables;
mod ticks;
pub mod verilog;
pub mod vfio_user;

pub use stimulus::Stimulus;
