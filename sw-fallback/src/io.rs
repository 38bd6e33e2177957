//! Where frames come from and where they go.
//!
//! The pipeline itself does no input or output. This module is the one place of the crate where `unsafe` may be
//! found.

#[cfg(target_os = "linux")]
pub mod af_packet;
#[cfg(target_os = "linux")]
pub mod af_xdp;
pub mod capture;
#[cfg(target_os = "linux")]
pub mod cpu;
#[cfg(target_os = "linux")]
pub mod interface;
#[cfg(target_os = "linux")]
pub mod next_hop;
mod option;
pub mod pages;
pub mod port;
#[cfg(target_os = "linux")]
pub mod signals;
#[cfg(target_os = "linux")]
pub mod tap;
