//! The flow table as a reader of the contract would write it down, held against the real one.
//!
//! The model packs no bits, counts ticks from the beginning instead of modulo 64, and takes its hashes from another
//! implementation. `select` is run with hashes made up so that tags and sets meet; the whole pipeline with frames.

use std::collections::HashMap;
use std::env;
use std::hash::Hasher;
use std::sync::Arc;

use maglane_spec::counter::PacketsBytes;
use maglane_spec::endian::{U16Le, U32Le};
use maglane_spec::row::{BackendRow, ServiceRow};
use maglane_spec::{FlowOutcome, Geometry, TableImage, Verdict};
use maglane_sw::Pipeline;
use maglane_sw::engine::{Engine, FlowState};
use maglane_sw::flow_table::FlowTable;
use maglane_sw::stage::flow_hash::FlowHash;
use maglane_sw::stage::parse::TcpFlags;
use maglane_sw::stage::select::select;
use siphasher::sip::SipHasher13;

use super::fixture::{CLIENT, VIP, datapath, icmp_error, image, reply, tcp, udp};
use super::{Lab, Random, from_port, with_flags};

/// Frames that a seed of the pipeline's run stands for; `MAGLANE_FRAMES` sets how many there are in all.
const FRAMES_OF_A_SEED: u64 = 200_000;

/// Ways of a set.
const WAYS: u64 = 8;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Established,
    Closing,
}

/// What the model knows of a flow. `seen` is a tick, counted from the beginning.
#[derive(Clone, Copy)]
struct Flow {
    tag: u64,
    backend: u16,
    seen: u64,
    state: State,
}

#[derive(Clone)]
struct Model {
    sets: u64,
    services: u16,
    now: u64,
    ways: Vec<Option<Flow>>,
    turns: HashMap<u16, u16>,
    /// How often a flow made room for another: closing, new.
    evicted: [u32; 2],
}

impl Model {
    fn new(geometry: Geometry) -> Self {
        let sets = u64::from(geometry.flow_sets);
        let services = u16::try_from(geometry.services).unwrap();
        let ways = (0..sets * WAYS).map(|_| None).collect();
        Self { sets, services, now: 0, ways, turns: HashMap::new(), evicted: [0; 2] }
    }

    /// Timeouts have a say when the tick moves, and only then.
    fn tick(&mut self, ticks: u64, image: &TableImage) {
        if ticks == 0 {
            return;
        }
        self.now += ticks;
        for way in &mut self.ways {
            way.take_if(|flow| {
                let timeout = image.datapath.timeout_ticks[flow.state as usize];
                self.now - flow.seen > timeout.min(62).into()
            });
        }
    }

    fn frame(&mut self, image: &TableImage, row: &ServiceRow, flags: TcpFlags, hash: FlowHash) -> (FlowOutcome, u16) {
        if row.selection > 2 || row.flags >> 5 & 3 == 3 {
            return (FlowOutcome::NotReached, 0xffff);
        }
        let first = usize::try_from(hash.h % self.sets * WAYS).unwrap();
        let tag = hash.h >> 24;
        let found = (first..first + 8).find(|&way| self.ways[way].is_some_and(|flow| flow.tag == tag));
        if let Some(flow) = found.and_then(|way| self.ways[way].as_mut()) {
            let backend = &image.backends[usize::from(flow.backend)];
            let reopened = flow.state == State::Closing && flags.syn;
            if backend.service == row.id && (backend.state == 1 || backend.state == 2) && !reopened {
                flow.seen = self.now;
                if !flags.rst && flags.fin {
                    flow.state = State::Closing;
                } else if !flags.rst && !flags.syn && flow.state == State::New {
                    flow.state = State::Established;
                }
                return (FlowOutcome::Hit, flow.backend);
            }
        }
        let Some(backend) = self.look_up(image, row, hash.g) else { return (FlowOutcome::NoBackend, 0xffff) };
        if flags.fin || flags.rst {
            return (FlowOutcome::Stateless, backend);
        }
        let Some(way) = found.or_else(|| self.room(first)) else { return (FlowOutcome::TableFull, backend) };
        self.ways[way] = Some(Flow { tag, backend, seen: self.now, state: State::New });
        (FlowOutcome::Inserted, backend)
    }

    /// An ICMP error goes where a segment without flags would, and nothing has happened.
    fn steer(&self, image: &TableImage, row: &ServiceRow, hash: FlowHash) -> (FlowOutcome, u16) {
        (FlowOutcome::NotReached, self.clone().frame(image, row, TcpFlags::default(), hash).1)
    }

    fn room(&mut self, first: usize) -> Option<usize> {
        if let Some(way) = (first..first + 8).find(|&way| self.ways[way].is_none()) {
            return Some(way);
        }
        // Seen first of all, and of those the lowest way.
        let mut flows: Vec<(u64, usize, State)> =
            (first..first + 8).filter_map(|way| self.ways[way].map(|flow| (flow.seen, way, flow.state))).collect();
        flows.sort_by_key(|&(seen, way, _)| (seen, way));
        let closing = flows.iter().find(|&&(seen, _, state)| state == State::Closing && seen + 1 < self.now);
        let new = flows.iter().find(|&&(_, _, state)| state == State::New);
        let &(_, way, state) = closing.or(new)?;
        self.evicted[usize::from(state == State::New)] += 1;
        Some(way)
    }

    fn look_up(&mut self, image: &TableImage, row: &ServiceRow, g: u64) -> Option<u16> {
        let size = u128::from(row.table_size.value());
        let entry = |index: u128| {
            let index = (u128::from(row.lookup_base_value()) + index) % (1 << 24) % image.lookup.len() as u128;
            image.lookup[usize::try_from(index).unwrap()].value()
        };
        let modulo = |entry: u16| (entry != 0xffff).then_some(entry % u16::try_from(image.backends.len()).unwrap());
        let load = |backend: u16| image.backends[usize::from(backend)].load;
        let candidates = [u128::from(g) / (1 << 32) * size / (1 << 32), u128::from(g) % (1 << 32) * size / (1 << 32)];
        let [first, second] = candidates.map(|index| modulo(entry(index)));
        match (row.selection, first, second) {
            (0, first, _) => first,
            (1, first, None) => first,
            (1, None, second) => second,
            (1, Some(first), Some(second)) => Some(if load(second) < load(first) { second } else { first }),
            _ => {
                let turn = self.turns.entry(row.id.value() % self.services).or_default();
                let index = if u128::from(*turn) < size { *turn } else { 0 };
                *turn = index + 1;
                modulo(entry(index.into()))
            }
        }
    }

    /// The model's flows as the engine tells its own.
    fn state(&self) -> FlowState {
        let entry = |flow: &Option<Flow>| match flow {
            None => 0,
            Some(flow) => {
                flow.tag << 24 | u64::from(flow.backend) << 8 | (flow.seen % 64) << 2 | (flow.state as u64 + 1)
            }
        };
        FlowState {
            tick: u8::try_from(self.now % 64).unwrap(),
            entries: self.ways.iter().map(entry).collect(),
            sequence: (0..self.services).map(|id| self.turns.get(&id).copied().unwrap_or(0)).collect(),
        }
    }
}

/// Ticks until the next frame: mostly none, sometimes about as many as an epoch can count, or many more.
fn ticks(random: &mut Random) -> u64 {
    match random.below(1_000) {
        0 => 61 + random.below(10),
        1 => random.pick(&[1_000, 64, 128]),
        2..=30 => 1 + random.below(3),
        _ => 0,
    }
}

/// Changes a few things in the tables: backends, entries, timeouts, services' rows.
fn change(random: &mut Random, image: &mut TableImage, ids: &[u16], rows: &[usize], backends: u64) {
    for _ in 0..random.below(4) {
        let backend = &mut image.backends[usize::try_from(random.below(backends)).unwrap()];
        backend.state = if random.one_in(8) { random.pick(&[0, 3, 255]) } else { random.pick(&[1, 2]) };
        // Mostly the first service's, which most frames are for.
        let id = if random.one_in(4) { random.pick(ids) } else { ids[0] };
        backend.service = U16Le::new(id);
        backend.load = random.pick(&[0, 1, 2, 255]);
    }
    for entry in &mut image.lookup[..256] {
        if random.one_in(8) {
            let any = random.u16();
            *entry =
                U16Le::new(random.pick(&[0xffff, any, any % 16, any % 16, any % 16, any % 16, any % 16, any % 16]));
        }
    }
    for &row in rows {
        let row = &mut image.services[row];
        // All lookup entries are in the first 256, but a base may be beyond them, and wraps.
        let base = random.pick(&[0, 3, 250, 0x00ff_fffe]);
        row.lookup_base = ServiceRow::lookup_base_bytes(base);
        row.table_size = U16Le::new(random.pick(&[0, 1, 2, 5, 7, 200, 65_535]));
        if random.one_in(4) {
            row.selection = if random.one_in(16) { random.u8() } else { random.pick(&[0, 1, 2]) };
            row.flags = row.flags & 0x1f | if random.one_in(16) { 3 } else { random.pick(&[0, 1, 2]) } << 5;
        }
    }
    if random.one_in(4) {
        image.datapath.timeout_ticks =
            random.pick(&[[4, 60, 8], [4, 60, 8], [4, 60, 8], [1, 3, 2], [62, 62, 62], [255, 63, 0], [0, 2, 1]]);
    }
}

/// What happened in all runs of a test.
#[derive(Default)]
struct Coverage {
    outcomes: [u64; FlowOutcome::CODES],
    evicted: [u32; 2],
}

impl Coverage {
    fn end_of_run(&mut self, model: &Model) {
        self.evicted = [0, 1].map(|state| self.evicted[state] + model.evicted[state]);
    }

    /// That the runs did see everything that there is to see.
    fn check(&self) {
        assert!(self.outcomes[..FlowOutcome::ALL.len()].iter().all(|&frames| frames > 1_000), "{:?}", self.outcomes);
        assert!(self.evicted.iter().all(|&flows| flows > 1_000), "{:?}", self.evicted);
    }
}

#[test]
fn select_with_hashes_that_meet_is_the_models() {
    let geometry = Geometry { flow_sets: 4, services: 4, backends: 16, lookup_entries: 512, ..Geometry::LAB };
    // Two that are the same modulo the services, and one more.
    let ids = [1, 5, 2];
    // Tags that differ in one bit, at either end too.
    let tags = [0, 1, 2, 1 << 39, 1 << 39 | 1, 0x55_5555_5555, 0x55_5555_5554, 7, 8, 9, 10, 11, 12];
    let mut coverage = Coverage::default();
    for seed in 0..8 {
        let random = &mut Random(seed);
        let mut image = TableImage::empty(geometry);
        for (row, id) in image.services.iter_mut().zip(ids) {
            row.id = U16Le::new(id);
        }
        let (mut flows, mut turns, mut model) = (FlowTable::new(4), vec![0; 4], Model::new(geometry));
        for frame in 0..500_000 {
            if frame % 500 == 0 {
                change(random, &mut image, &ids, &[0, 1, 2], 16);
            }
            let ticks = ticks(random);
            flows.step(ticks, image.datapath.timeout_ticks);
            model.tick(ticks, &image);

            let service = image.services[random.pick(&[0, 0, 0, 0, 0, 0, 1, 2])];
            let bits = if random.one_in(5) { random.below(8) } else { random.pick(&[0, 0, 2]) };
            let flags = TcpFlags { fin: bits & 1 != 0, syn: bits & 2 != 0, rst: bits & 4 != 0 };
            // The bits between set and tag are nobody's.
            let h = random.pick(&tags) << 24 | random.next() & 0xff_ffff;
            let hash = FlowHash { h, g: random.next() };
            let selection = select(&image, &mut flows, &mut turns, &service, flags, hash);
            let (outcome, backend) = model.frame(&image, &service, flags, hash);
            let backend_ours = selection.backend.map_or(0xffff, |selected| selected.id);
            let ours = FlowState { tick: flows.tick(), entries: flows.entries().collect(), sequence: turns.clone() };
            assert_eq!((selection.flow, backend_ours), (outcome, backend), "seed {seed}, frame {frame}");
            assert_eq!(ours, model.state(), "seed {seed}, frame {frame}");
            assert!(
                selection.backend.is_ok_and(|ours| *ours.row == image.backends[usize::from(ours.id)])
                    || backend == 0xffff
            );
            coverage.outcomes[usize::from(outcome.code())] += 1;
        }
        coverage.end_of_run(&model);
    }
    coverage.check();
}

/// The flow hashes of the client's packet to a VIP, by another implementation of SipHash.
fn hashes(row: &ServiceRow, source_port: u16, destination_port: u16, protocol: u8) -> FlowHash {
    let hash = |parts: [&[u8]; 5]| {
        let mut hasher = SipHasher13::new_with_key(&datapath().hash_key);
        hasher.write(&parts.concat());
        hasher.finish()
    };
    let ports = [source_port.to_be_bytes(), destination_port.to_be_bytes()];
    let h = hash([&CLIENT, &VIP, &ports[0], &ports[1], &[protocol]]);
    let g = match row.flags >> 5 & 3 {
        1 => hash([&CLIENT, &VIP, &[0; 2], &[0; 2], &[protocol]]),
        2 => hash([&CLIENT, &[0; 4], &[0; 2], &[0; 2], &[0]]),
        _ => h,
    };
    FlowHash { h, g }
}

#[test]
fn pipeline_with_frames_changes_and_time_stamps_is_the_models() {
    // Service rows of the fixture, and the port and protocol that lead to them.
    let services = [(16, 80, 6), (53, 53, 17), (18, 8082, 6), (22, 8086, 6)];
    let ids = [1, 2, 8, 12, 64 + 1];
    let mut coverage = Coverage::default();
    let frames = env::var("MAGLANE_FRAMES").map_or(1_000_000, |frames| frames.parse().unwrap());
    for seed in 0..u64::div_ceil(frames, FRAMES_OF_A_SEED) {
        let random = &mut Random(0x1_0000 + seed);
        let mut image = image();
        image.geometry.flow_sets = 4;
        image.datapath.tick_ms = U32Le::new(1);
        let mut model = Model::new(image.geometry);
        let mut lab = Lab { pipeline: Pipeline::new(image.geometry), out: Vec::new() };
        lab.pipeline.load(&image).unwrap();
        let mut counters = [PacketsBytes::default(); FlowOutcome::CODES];
        let mut time_ns = random.next() >> 8;
        for number in 0..FRAMES_OF_A_SEED {
            if number % 1_000 == 0 {
                change(random, &mut image, &ids, &services.map(|(row, ..)| row), 16);
                lab.pipeline.update_shared(Arc::new(image.clone())).unwrap();
            }
            time_ns += ticks(random) * 1_000_000 + random.below(10_000);
            let early = random.pick(&[0, 0, 0, 1, 3_000_000, u64::MAX]);
            let time_ns = time_ns.saturating_sub(early);
            model.tick((time_ns / 1_000_000).saturating_sub(model.now), &image);

            let (row, port, protocol) = if random.one_in(3) { random.pick(&services) } else { services[0] };
            let source_port = 1_000 + u16::from(random.u8() % 40);
            let bits = if random.one_in(5) { random.u8() } else { random.pick(&[0x10, 0x10, 0x18, 0x02, 0x12]) };
            let mut frame = if protocol == 6 { with_flags(&tcp(VIP, port, 9), bits) } else { udp(VIP, port, 30) };
            frame = from_port(&frame, source_port);
            let row = image.services[row];
            let mut hash = hashes(&row, source_port, port, protocol);
            let is_tcp = |mask| protocol == 6 && bits & mask != 0;
            let flags = TcpFlags { fin: is_tcp(1), syn: is_tcp(2), rst: is_tcp(4) };
            let mut steered = false;
            let (outcome, backend) = if random.one_in(50) {
                // Not for the flow table, but time passes all the same.
                frame[random.pick(&[0, 12, 14])] ^= 0x80;
                hash.h = 0;
                (FlowOutcome::NotReached, 0xffff)
            } else if random.one_in(15) {
                frame = icmp_error(3, 4, &reply(&frame), 28 + usize::from(random.u8() % 9));
                steered = row.selection <= 2 && row.flags >> 5 & 3 != 3;
                model.steer(&image, &row, hash)
            } else {
                model.frame(&image, &row, flags, hash)
            };
            let trace = lab.pipeline.process_frame(time_ns, &frame, &mut lab.out);
            let place = format!("seed {seed}, frame {number}");
            assert_eq!((trace.hash, trace.flow, trace.backend), (hash.h, outcome, backend), "{place}");
            assert_eq!(lab.state(), model.state(), "{place}");
            let nobody = outcome == FlowOutcome::NoBackend || (steered && backend == 0xffff);
            assert_eq!(trace.verdict == Verdict::DropNoBackend, nobody, "{place}");
            let known = [BackendRow::ENCAPSULATION_GRE_IPV4, BackendRow::ENCAPSULATION_GRE_IPV6];
            let forwards = usize::from(backend) < image.backends.len()
                && known.contains(&image.backends[usize::from(backend)].encapsulation);
            assert_eq!(trace.verdict == Verdict::Forward, forwards, "{place}");
            let counter = &mut counters[usize::from(outcome.code())];
            *counter = PacketsBytes { packets: counter.packets + 1, bytes: counter.bytes + frame.len() as u64 };
        }
        assert_eq!(lab.pipeline.totals().flows, counters);
        for (outcome, counter) in coverage.outcomes.iter_mut().zip(counters) {
            *outcome += counter.packets;
        }
        coverage.end_of_run(&model);
    }
    coverage.check();
}
