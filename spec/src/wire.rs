//! Wire formats: field offsets, sizes and code points, by protocol.

pub mod ethernet;
pub mod gre;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod transport;
