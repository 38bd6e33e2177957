//! Tests of the gateware under simulation, in one binary: whoever names a core compiles its simulation, which takes a while.

#![allow(missing_docs, clippy::unwrap_used)]

mod card_time;
mod gateware;
mod host_overrun;
mod modules;
