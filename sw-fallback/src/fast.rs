//! The software pipeline for speed: the same five stages over bursts of frames, in place, by any number of workers.
//!
//! What it does to a frame is what [`crate::pipeline`] does, bit for bit; whether a frame is refused that is not plain TCP
//! or UDP, it has the scalar parse say. Memory that the frames of a burst need is asked for while others are hashed; hashes
//! are computed [`LANES`](crate::simd::LANES) at a time; the encapsulated frame is written around the packet where it lies.
//! Frames of one flow should come to one worker, as receive-side scaling and fanout do it: two that insert the same flow in
//! the same moment make two entries. It neither receives nor transmits, and per frame it does not allocate, lock, log or
//! panic; a burst may find that it is its turn to move the tick. Its unit of work is a burst.
//!
//! Functions that a burst's kernel calls are always inlined: what is not is compiled without the kernel's instructions.

#![allow(clippy::inline_always)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use maglane_spec::limit::NO_SERVICE;
use maglane_spec::{Egress, FlowOutcome, Stage, Verdict};

mod burst;
mod counters;
mod datapath;
mod engine;
mod fault;
mod flow_hash;
mod flow_table;
mod host;
mod packet;
mod parse;
mod rewrite;
mod room;
mod select;
mod services;
mod tables;

pub use datapath::Datapath;
pub use engine::FastEngine;
pub use host::Placer;
pub use packet::{HEADROOM, LOOK, Packet};

use self::burst::Burst;
use self::counters::WorkerCounters;
use self::flow_hash::Key;
use self::flow_table::Ages;
use self::room::Room;
use self::select::Memory;
use crate::pipeline::Trace;
use crate::simd::{Level, run};
use crate::stage::parse::parse as parse_any;

/// Frames of a burst at most.
pub const BURST: usize = 32;

/// One thread's part in a [`Datapath`]: its counters, and room for a burst.
#[derive(Debug)]
pub struct Worker {
    datapath: Arc<Datapath>,
    counters: Arc<WorkerCounters>,
    level: Level,
    room: Box<Room>,
    /// None without the feature `fault`.
    fault: Option<Stage>,
}

impl Worker {
    /// A worker at the best level that the processor has.
    #[must_use]
    pub fn new(datapath: Arc<Datapath>) -> Self {
        Self::at_level(datapath, Level::best())
    }

    /// A worker that uses no other instructions than a level's.
    #[must_use]
    pub fn at_level(datapath: Arc<Datapath>, level: Level) -> Self {
        let counters = datapath.join();
        Self::counting(datapath, level, counters)
    }

    /// One that counts where it is told to.
    fn counting(datapath: Arc<Datapath>, level: Level, counters: Arc<WorkerCounters>) -> Self {
        Self { datapath, counters, level, room: Box::new(Room::new()), fault: None }
    }

    /// What it works at.
    #[must_use]
    pub fn datapath(&self) -> &Arc<Datapath> {
        &self.datapath
    }

    /// Processes a burst of frames that came in at a time, in nanoseconds since any epoch, and says where they go. A frame
    /// that is forwarded is where its packet is, encapsulated; others stay as they were.
    ///
    /// Of the packets, no more than [`BURST`] are looked at.
    pub fn process(&mut self, time_ns: u64, packets: &mut [Packet<'_>]) -> Egresses {
        let count = packets.len().min(BURST);
        let packets = &mut packets[..count];
        self.datapath.advance(time_ns);
        self.room.begin();
        let tables = self.datapath.tables.load();
        let Some(tables) = tables.as_deref() else {
            for (at, packet) in packets.iter().enumerate() {
                let verdict = parse_any(None, packet.bytes()).err().unwrap_or(Verdict::PassBypass);
                self.room.refuse(at, verdict, NO_SERVICE);
                self.counters.verdict(verdict, 1, packet.len() as u64);
                self.counters.flow(FlowOutcome::NotReached, 1, packet.len() as u64);
            }
            return self.room.egresses();
        };
        let finalisation = maglane_spec::siphash::FINAL ^ fault::of_flow_hash(self.fault);
        let key = Key::new(&tables.image.datapath.hash_key, finalisation);
        let memory = Memory {
            tables,
            flows: &self.datapath.flows,
            turns: &self.datapath.turns,
            tick: Ages::from_word(self.datapath.ages.load(Ordering::Relaxed)).tick,
            clock: &self.datapath.ages,
            key,
        };
        let (counters, room) = (&*self.counters, &mut *self.room);
        run(self.level, Burst { memory, key, counters, room, packets, fault: self.fault });
        self.room.egresses()
    }

    /// What became of the frame at a position of the last burst, if it had one there.
    #[must_use]
    pub fn trace(&self, at: usize) -> Trace {
        self.room.trace(at % BURST)
    }
}

/// Where the frames of a burst go, bit by position; those that are in neither go nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Egresses {
    /// Forwarded.
    pub wire: u32,
    /// As they were, to the host.
    pub host: u32,
}

impl Egresses {
    /// That of the frame at a position.
    #[must_use]
    pub const fn of(self, at: usize) -> Egress {
        match (self.wire >> (at % BURST) & 1, self.host >> (at % BURST) & 1) {
            (1, _) => Egress::Wire,
            (_, 1) => Egress::Host,
            _ => Egress::Nowhere,
        }
    }
}

/// The low 16 bits of a number: all of it, where they are used.
#[inline(always)]
const fn low_16(number: usize) -> u16 {
    let [low, high, ..] = number.to_le_bytes();
    u16::from_le_bytes([low, high])
}
