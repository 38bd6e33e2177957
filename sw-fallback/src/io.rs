//! Where frames come from and where they go.
//!
//! The pipeline itself does no input or output. This module is the one place of the crate where `unsafe` may be
//! found.

pub mod capture;
pub mod pages;
#[cfg(target_os = "linux")]
pub mod tap;
