//! From the configuration to lookup tables to the memories' bytes.
//!
//! The way is one: [`Config::parse`] reads a file and checks it, [`Config::image`] builds the tables as the hardware
//! holds them, [`TableFile`] carries them with the names of what is in them. This crate knows nothing of
//! packets, and of cards only the geometry. Its unit of work is one configuration.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod audit;
pub mod balance;
pub mod config;
pub mod diff;
pub mod file;
pub mod fill;
pub mod ids;
mod image;
pub mod place;
pub mod prime;
pub mod study;
mod tables;

pub use config::{Config, ConfigError, Mac};
pub use file::{FileError, TableFile};
pub use ids::Ids;
pub use image::NO_NEXT_HOP;
pub use tables::Tables;
