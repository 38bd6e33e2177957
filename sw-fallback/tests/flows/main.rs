//! Goal: flows keep their backends as `docs/wire-contract.md` says, section Select: no more, and no less.
//!
//! Method: `contract` checks its sentences one by one with frames through the whole pipeline, as far as the unit tests
//! of the flow table and of select cannot. `model` holds the pipeline against a model that a reader can check against
//! the page, over millions of random frames. `flood` attacks flows that are under way.

// Helpers of tests panic as tests do.
#![allow(clippy::unwrap_used)]

mod contract;
#[allow(dead_code)]
#[path = "../../src/fixture.rs"]
mod fixture;
mod flood;
mod model;
#[path = "../random/mod.rs"]
mod random;

use maglane_spec::wire::transport::{TCP_FLAG_FIN, TCP_FLAG_RST, TCP_FLAG_SYN, TCP_FLAGS};
use maglane_spec::{FlowOutcome, TableImage};
use maglane_sw::engine::{Engine, FlowState};
use maglane_sw::{Pipeline, Trace};
use random::Random;

const ACK: u8 = 0x10;
const SYN: u8 = TCP_FLAG_SYN;
const FIN: u8 = TCP_FLAG_FIN | ACK;
const RST: u8 = TCP_FLAG_RST;
/// The fixture's tick.
const TICK_NS: u64 = 1_000_000 * fixture::TICK_MS as u64;

/// A pipeline that serves, and a buffer for its frames.
struct Lab {
    pipeline: Pipeline,
    out: Vec<u8>,
}

impl Lab {
    fn new(image: &TableImage) -> Self {
        let mut pipeline = Pipeline::new(image.geometry);
        pipeline.load(image).unwrap();
        Self { pipeline, out: Vec::new() }
    }

    /// Processes a frame that comes in during a tick.
    fn send(&mut self, tick: u64, frame: &[u8]) -> Trace {
        self.pipeline.process_frame(tick * TICK_NS + TICK_NS / 3, frame, &mut self.out)
    }

    /// What the frame met in the flow table.
    fn flow(&mut self, tick: u64, frame: &[u8]) -> FlowOutcome {
        self.send(tick, frame).flow
    }

    fn update(&mut self, image: &TableImage) {
        self.pipeline.update(image).unwrap();
    }

    fn state(&mut self) -> FlowState {
        self.pipeline.flow_state().unwrap()
    }

    /// The entries that are there: epoch and state.
    fn entries(&mut self) -> Vec<(u64, u64)> {
        let entries = self.state().entries.into_iter().filter(|&entry| entry != 0);
        entries.map(|entry| (entry >> 2 & 63, entry & 3)).collect()
    }
}

/// The untagged TCP segment with these flags.
fn with_flags(segment: &[u8], flags: u8) -> Vec<u8> {
    let mut segment = segment.to_vec();
    segment[14 + 20 + TCP_FLAGS] = flags;
    segment
}

/// The untagged packet from another port of the client.
fn from_port(packet: &[u8], port: u16) -> Vec<u8> {
    let mut packet = packet.to_vec();
    packet[14 + 20..14 + 22].copy_from_slice(&port.to_be_bytes());
    packet
}
