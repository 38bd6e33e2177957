//! A burst on its way through the stages, as one kernel.

use maglane_spec::limit::NO_SERVICE;
use maglane_spec::{FlowOutcome, Stage, Verdict};

use super::counters::WorkerCounters;
use super::flow_hash::Key;
use super::packet::Packet;
use super::parse::{self, Fields, Message, Packed};
use super::rewrite::Wrapping;
use super::select::{Memory, Selected};
use super::tables::{DISABLED, KeyV4, KeyV6, TAGGED, Tables, UNTAGGED};
use super::{BURST, fault, low_16};
use crate::pipeline::Trace;
use crate::simd::{Kernel, LANES, Vectors, prefetch};
use crate::stage::parse::parse as parse_any;

/// A burst that is under way.
pub(super) struct Burst<'a, 'p> {
    pub(super) memory: Memory<'a>,
    pub(super) key: Key,
    pub(super) counters: &'a WorkerCounters,
    pub(super) room: &'a mut Room,
    /// No more than [`BURST`].
    pub(super) packets: &'a mut [Packet<'p>],
    /// As many.
    pub(super) traces: &'a mut [Trace],
    pub(super) fault: Option<Stage>,
}

/// What is known of the frames of a burst, by their position.
///
/// Field by field: what is written in one size and read in another, a processor waits for.
#[derive(Debug)]
pub(super) struct Room {
    ip_offset: [u8; BURST],
    dscp_ecn: [u8; BURST],
    flags: [u8; BURST],
    total_length: [u16; BURST],
    /// Row of the service; [`NO_ROW`] when the frame has none.
    row: [u16; BURST],
    hash: [u64; BURST],
    /// Messages of IPv4 and of IPv6 frames, word by word.
    v4: [[u64; BURST]; 2],
    v6: [[u64; BURST]; 5],
    /// Bit by position: the frame has a service, and is IPv6.
    known_v6: u32,
}

/// No row is that: there are 2^11 at most.
const NO_ROW: u16 = 0xffff;

const _: () = assert!(BURST == 32 && BURST.is_multiple_of(LANES));

impl Kernel for Burst<'_, '_> {
    #[inline(always)]
    fn run<V: Vectors>(mut self) {
        for packet in &*self.packets {
            prefetch(packet.buffer, packet.start);
        }
        self.parse_and_classify();
        self.hash::<V>();
        self.select::<V>();
        self.rewrite();
    }
}

impl Burst<'_, '_> {
    /// The first two stages; those that go on are in the room afterwards.
    #[inline(always)]
    fn parse_and_classify(&mut self) {
        let tables = self.memory.tables;
        self.room.known_v6 = 0;
        for at in 0..self.packets.len().min(BURST) {
            if let Some((fields, message)) = parse::plain_v4::<UNTAGGED>(&tables.untagged, &self.packets[at])
                && let Some(row) = tables.services_v4.find(KeyV4::of_message(message))
                && row & DISABLED == 0
                && !fault::is_in(Stage::Classify, self.fault)
            {
                self.room.add_v4(at, fields, message, row);
            } else {
                self.parse_and_classify_any(at);
            }
        }
    }

    /// The same of a frame that is not a plain untagged IPv4 packet to a service.
    #[inline(never)]
    fn parse_and_classify_any(&mut self, at: usize) {
        let (packet, tables) = (&self.packets[at], self.memory.tables);
        let Err((verdict, service)) = any(self.room, tables, self.fault, at, packet) else { return };
        self.room.row[at] = NO_ROW;
        self.traces[at] = Trace { verdict, service, ..Trace::BEFORE_PARSE };
        self.counters.flow(FlowOutcome::NotReached, 1, packet.len as u64);
    }

    /// The third stage; and what the fourth one will read is asked for. Lanes of other frames hash what was there before.
    #[inline(always)]
    fn hash<V: Vectors>(&mut self) {
        let Room { hash, v4, v6, known_v6, .. } = &mut *self.room;
        for (at, lanes) in hash.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let bits = |mask: u32| mask >> (at * LANES) & 0xff;
            if bits(*known_v6) != 0xff {
                *lanes = self.key.hash::<V, 2>(&v4.each_ref().map(|words| &words.as_chunks().0[at]));
            }
            if bits(*known_v6) != 0 {
                let hashes = self.key.hash::<V, 5>(&v6.each_ref().map(|words| &words.as_chunks().0[at]));
                for (lane, hash) in hashes.into_iter().enumerate() {
                    if bits(*known_v6) >> lane & 1 == 1 {
                        lanes[lane] = hash;
                    }
                }
            }
            for &mut hash in lanes {
                self.memory.flows.prefetch(hash);
            }
        }
    }

    /// The fourth stage, frame by frame, because each must meet what the one before has left in the flow table.
    #[inline(always)]
    fn select<V: Vectors>(&mut self) {
        let mut hits = Sum::default();
        for at in 0..self.packets.len().min(self.traces.len()).min(BURST) {
            if self.room.row[at] == NO_ROW {
                continue;
            }
            let (h, flags) = (self.room.hash[at], self.room.flags[at]);
            let service = &self.memory.tables.plans[usize::from(self.room.row[at])];
            let quick = self.memory.quick_hit::<V>(service, flags, h).filter(|&id| !fault::hits(self.fault, id));
            let trace = &mut self.traces[at];
            trace.service = service.id;
            trace.hash = h;
            if let Some(backend) = quick {
                hits.add(self.packets[at].len);
                trace.verdict = Verdict::Forward;
                trace.flow = FlowOutcome::Hit;
                trace.backend = backend;
            } else {
                self.select_any(at);
            }
        }
        self.counters.flow(FlowOutcome::Hit, hits.packets, hits.bytes);
    }

    /// The same of a frame that is not a quick hit.
    #[inline(never)]
    fn select_any(&mut self, at: usize) {
        let room = &*self.room;
        let message = if room.known_v6 >> at & 1 == 1 {
            Packed::V6(room.v6.each_ref().map(|words| words[at]))
        } else {
            Packed::V4(room.v4.each_ref().map(|words| words[at]))
        };
        let selected = self.memory.select(usize::from(room.row[at]), room.flags[at], room.hash[at], message);
        let Selected { flow, verdict, backend } = fault::after_select(self.fault, selected);
        self.counters.flow(flow, 1, self.packets[at].len as u64);
        let trace = &mut self.traces[at];
        (trace.verdict, trace.flow, trace.backend) = (verdict, flow, backend);
    }

    /// The last stage; and frames are counted.
    #[inline(always)]
    fn rewrite(&mut self) {
        let (tables, room, counters) = (self.memory.tables, &*self.room, self.counters);
        let count = self.packets.len().min(BURST);
        let (packets, traces) = (&mut self.packets[..count], &mut self.traces[..count]);
        let mut forwarded = Sum::default();
        for at in 0..count {
            let (packet, trace) = (&mut packets[at], &mut traces[at]);
            let len = packet.len;
            if trace.verdict == Verdict::Forward {
                trace.verdict = if usize::from(room.ip_offset[at]) == UNTAGGED {
                    Wrapping::of(tables, room, at, trace).untagged(packet)
                } else {
                    rewrite_tagged(tables, room, at, trace, packet)
                };
            }
            if trace.verdict == Verdict::Forward {
                fault::after_rewrite(self.fault, room.ip_offset[at], packet);
                counters.forwarded(trace.service, trace.backend, len as u64);
                forwarded.add(len);
            } else {
                counters.verdict(trace.verdict, 1, len as u64);
            }
        }
        counters.verdict(Verdict::Forward, forwarded.packets, forwarded.bytes);
    }
}

impl<'a> Wrapping<'a> {
    /// That of a frame in the room whose backend is in its trace.
    #[inline(always)]
    fn of(tables: &'a Tables, room: &Room, at: usize, trace: &Trace) -> Self {
        Self {
            entropy_mask: tables.entropy_mask,
            service: &tables.plans[usize::from(room.row[at])],
            backend: &tables.backends[usize::from(trace.backend)],
            h: trace.hash,
            total_length: usize::from(room.total_length[at]),
            dscp_ecn: room.dscp_ecn[at],
        }
    }
}

/// The last stage of a tagged frame.
#[inline(never)]
fn rewrite_tagged(tables: &Tables, room: &Room, at: usize, trace: &Trace, packet: &mut Packet<'_>) -> Verdict {
    Wrapping::of(tables, room, at, trace).tagged(packet)
}

/// Frames of a burst that are counted together.
#[derive(Clone, Copy, Default)]
struct Sum {
    packets: u64,
    bytes: u64,
}

impl Sum {
    #[inline(always)]
    const fn add(&mut self, len: usize) {
        self.packets += 1;
        self.bytes += len as u64;
    }
}

/// The first two stages of any frame: it is in the room, or refused with a verdict on account of a service.
fn any(
    room: &mut Room,
    tables: &Tables,
    fault: Option<Stage>,
    at: usize,
    packet: &Packet<'_>,
) -> Result<(), (Verdict, u16)> {
    let v4 = parse::plain_v4::<TAGGED>(&tables.tagged, packet).map(|(fields, message)| (fields, Packed::V4(message)));
    let v6 = || parse::plain_v6(tables, packet).map(|(fields, message)| (fields, Packed::V6(message)));
    let (fields, packed) = match v4.or_else(v6) {
        Some(packed) => packed,
        None => {
            let (frame, datapath) = (packet.bytes(), Some(&tables.image.datapath));
            let parsed = fault::after_parse(fault, parse_any(datapath, frame), datapath, frame);
            parse::packed_of(&parsed.map_err(|verdict| (verdict, NO_SERVICE))?)
        }
    };
    let row = match packed {
        Packed::V4(message) => tables.services_v4.find(KeyV4::of_message(message)),
        Packed::V6(message) => tables.services_v6.find(KeyV6::of_message(message)),
    };
    let row = fault::after_classify(fault, tables, row).ok_or((Verdict::PassNoService, NO_SERVICE))?;
    if row & DISABLED != 0 {
        return Err((Verdict::DropServiceDisabled, tables.plans[row & !DISABLED].id));
    }
    match packed {
        Packed::V4(message) => room.add_v4(at, fields, message, row),
        Packed::V6(message) => room.add_v6(at, fields, message, row),
    }
    Ok(())
}

impl Room {
    pub(super) const fn new() -> Self {
        Self {
            ip_offset: [0; BURST],
            dscp_ecn: [0; BURST],
            flags: [0; BURST],
            total_length: [0; BURST],
            row: [0; BURST],
            hash: [0; BURST],
            v4: [[0; BURST]; 2],
            v6: [[0; BURST]; 5],
            known_v6: 0,
        }
    }

    /// Adds an IPv4 frame that has a service.
    #[inline(always)]
    fn add_v4(&mut self, at: usize, fields: Fields, message: Message<2>, row: usize) {
        let at = self.add(at, fields, row);
        for (words, word) in self.v4.iter_mut().zip(message) {
            words[at] = word;
        }
    }

    /// The same for IPv6.
    fn add_v6(&mut self, at: usize, fields: Fields, message: Message<5>, row: usize) {
        let at = self.add(at, fields, row);
        self.known_v6 |= 1 << at;
        for (words, word) in self.v6.iter_mut().zip(message) {
            words[at] = word;
        }
    }

    #[inline(always)]
    fn add(&mut self, at: usize, fields: Fields, row: usize) -> usize {
        let at = at % BURST;
        self.ip_offset[at] = fields.ip_offset;
        self.dscp_ecn[at] = fields.dscp_ecn;
        self.flags[at] = fields.flags;
        self.total_length[at] = fields.total_length;
        self.row[at] = low_16(row);
        at
    }
}
