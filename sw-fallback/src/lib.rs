//! The pipeline in plain Rust, for servers without the card, with capture files and live interfaces for it, and what the
//! host does about frames that it passes.
//!
//! It is the software twin of the gateware: same frames and tables in, same frames, verdicts, counters
//! and flow table out. It
//! knows the contract (`maglane-spec`) and nothing of configuration files, of backends' health, or of `rust-hdl`. Its
//! unit of work is a frame.

#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod engine;
pub mod fast;
#[cfg(feature = "fault")]
mod fault;
#[cfg(test)]
mod fixture;
pub mod flow_table;
pub mod io;
pub mod pipeline;
pub mod simd;
pub mod slow;
pub mod stage;
mod tick;

pub use pipeline::{Pipeline, Trace};
