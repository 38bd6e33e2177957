//! Goal: pieces of a datagram reach the backend that the whole would reach, in whatever order they come; what is too big is
//! cut or answered; pings are answered; nobody can make the host keep, send or answer more than its limits say; every frame
//! is counted once.
//!
//! Method: frames go through a worker and the slow path as `maglane run` has them go. What leaves is read by `etherparse`,
//! other people's code, which also puts the pieces together again; what it must be is the scalar pipeline's work on the
//! whole packet, or written down from the RFCs.

// Helpers of tests panic as tests do.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../../src/fixture.rs"]
mod fixture;

mod answers;
mod bounds;
mod fragments;
mod host;
mod hostile;
