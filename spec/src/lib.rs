//! The contract between the rooms: wire formats, verdicts, counters, table rows, geometry and limits.
//!
//! This crate holds data, never behaviour: the gateware and the software pipeline both read it, and neither may
//! find a shared function here, because a cross-check of two callers of one function proves nothing. Its unit is
//! the constant. It knows nothing of configuration files (`maglane-table`) or of packets in flight.

#![no_std]
#![deny(missing_docs)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod counter;
pub mod endian;
pub mod flow;
pub mod geometry;
pub mod image;
pub mod limit;
pub mod register;
pub mod row;
pub mod siphash;
pub mod stage;
pub mod verdict;
pub mod window;
pub mod wire;

pub use flow::FlowOutcome;
pub use geometry::Geometry;
pub use image::TableImage;
pub use stage::Stage;
pub use verdict::{Egress, Verdict};
