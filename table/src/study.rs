//! The evaluation of lookup tables: how even a fill is, and what moves when backends fail.
//!
//! It redoes the mathematics of the paper's evaluation for the fills of this room, with rendezvous hashing beside
//! them. Flow tables are not in it: that takes a pipeline. Its unit of work is one table, or two of the same size.
//!
//! # Source
//! Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 5.3.

mod method;
mod outage;
mod spread;

pub use method::Method;
pub use outage::{Moved, Outage};
pub use spread::Spread;
