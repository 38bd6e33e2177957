//! Rows of the tables. Byte 0 of a row is the lowest byte of the hardware's memory word.
//!
//! Fields that are compared with or copied into packets are in network order, numbers that the pipeline computes
//! with are little endian.

mod backend;
mod datapath;
mod service;

pub use backend::BackendRow;
pub use datapath::DatapathRow;
pub use service::ServiceRow;

/// Bytes of a service row and of a backend row.
pub const ROW_BYTES: usize = 32;
