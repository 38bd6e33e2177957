//! Goal: `software-fast` is the scalar pipeline, bit for bit: bytes, verdicts, what is told of each frame, counters, flow
//! table.
//!
//! Method: random frames, many of them damaged, to every service of the fixture; few clients and a small flow table, so that
//! flows come again, collide and are evicted; time that stands, ticks and jumps; tables that change meanwhile. Bursts of
//! every size, at every level that the processor has. `MAGLANE_FRAMES` sets how many frames, `MAGLANE_SEED` shifts the
//! seeds.

// Helpers of tests panic as tests do.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../src/fixture.rs"]
mod fixture;
#[allow(dead_code)]
#[path = "random/mod.rs"]
mod random;

use std::env;
use std::sync::Arc;

use maglane_spec::{FlowOutcome, Geometry, TableImage, Verdict};
use maglane_sw::Pipeline;
use maglane_sw::engine::{Engine, Frame};
use maglane_sw::fast::{BURST, Datapath, FastEngine, HEADROOM, LOOK, Packet, Worker};
use maglane_sw::simd::Level;

use fixture::{
    CLIENT, VIP, VIP_ALL_TCP, VIP_ALL_UDP, VIP_V6, icmp_error, reply, tagged, tcp, tcp_v6, udp, udp_v6, with_ipv4,
};
use random::Random;

/// Frames of a run when the environment says nothing.
const FRAMES: u64 = 400_000;
/// Port of the service whose backends take turns.
const SEQUENCE_PORT: u16 = 8086;
/// Frames between two changes of the tables.
const CHANGE: usize = 3_000;

/// Frames and tables by chance.
struct Maker {
    random: Random,
    few: bool,
}

impl Maker {
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.random.below(bound as u64)).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.random.u8()
    }

    /// A frame; one in three damaged.
    fn frame(&mut self) -> Vec<u8> {
        let payload = [0, 1, 22, 300, 1_400, 1_460][self.below(6)];
        let port = [80, 443, 8080, 8081, 8082, 8083, 8084, 8085, 8086, 8087, 81][self.below(11)];
        let mut frame = match self.below(8) {
            0 => udp(VIP, 53, payload),
            1 => tcp(VIP_ALL_TCP, port, payload),
            2 => udp(VIP_ALL_UDP, port, payload),
            3 => tcp_v6(VIP_V6, 8091, payload),
            4 => udp_v6(VIP_V6, 8092, payload),
            _ => tcp(VIP, port, payload),
        };
        let ports = if frame[14] >> 4 == 6 { 54 } else { 34 };
        // Every second run has few flows, so that most are established and fill their sets.
        let few = if self.few { 0x0f } else { 0x3f };
        frame[ports..ports + 2].copy_from_slice(&[4, self.byte() & few]);
        if frame[14] >> 4 == 4 {
            let [a, b, c, _] = CLIENT;
            frame = with_ipv4(&frame, 12, &[a, b, c, self.byte() & 3]);
            frame = with_ipv4(&frame, 1, &[self.byte()]);
            if frame[23] == 6 {
                frame[47] = [0x10, 0x02, 0x11, 0x04, 0x12, 0x18, 0x10, 0x10][self.below(8)];
            }
        }
        if self.below(8) == 0 {
            let back = reply(&frame);
            let quoted = (back.len() - 14).min([28, 60, 48][self.below(3)]);
            let (kind, code) = if back[14] >> 4 == 6 { (2, 0) } else { (3, 4) };
            frame = icmp_error(kind, code, &back, quoted);
        }
        if self.below(4) == 0 {
            frame = tagged(&frame, 0x2123);
        }
        match self.below(12) {
            // Any byte of the headers, any length, padding, a word of the IPv4 header with the right checksum, too long.
            0 => {
                let at = self.below(frame.len().min(64));
                frame[at] ^= 1 << self.below(8);
            }
            1 => frame.truncate(self.below(frame.len())),
            2 => frame.resize(frame.len() + self.below(60), 0x77),
            3 if frame[12..14] == [8, 0] => {
                let at = [1, 2, 4, 6, 8][self.below(5)];
                frame = with_ipv4(&frame, at, &[self.byte(), self.byte()]);
            }
            4 => frame.resize([9_600, 9_601, 2_000][self.below(3)], 0),
            _ => {}
        }
        frame
    }

    /// Other tables with the same services.
    fn tables(&mut self, geometry: Geometry) -> TableImage {
        let mut image = TableImage { geometry, ..fixture::image() };
        image.datapath.source_entropy_bits = [0, 5, 16, 200][self.below(4)];
        image.datapath.flags = u8::from(self.below(8) != 0);
        image.datapath.timeout_ticks = std::array::from_fn(|_| [1, 4, 60, 62, 255][self.below(5)]);
        for backend in &mut image.backends {
            backend.state = [0, 1, 2, 2, 2, 3][self.below(6)];
            backend.load = self.byte();
        }
        for row in &mut image.services {
            if row.flags & 1 != 0 {
                // Affinities 0 to 2, or another one now and then.
                let affinity = [0, 0, 1, 2, 3][self.below(5)];
                row.flags = row.flags & 0x1f | affinity << 5;
            }
        }
        // A second row with the key of a first: it is found only where the first one is not.
        image.services[64 + 6].flags &= if self.below(4) == 0 { !1 } else { !0 };
        image
    }
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// What has been met, so that a run is worth something.
#[derive(Default)]
struct Met {
    verdicts: [u64; Verdict::CODES],
    flows: [u64; FlowOutcome::CODES],
}

fn agree(seed: u64, level: Level, frames: u64, met: &mut Met) {
    let geometry = Geometry { flow_sets: 16, ..Geometry::LAB };
    let mut random = Maker { random: Random(seed), few: seed.is_multiple_of(2) };
    let mut scalar = Pipeline::new(geometry);
    let mut fast = FastEngine::at_level(geometry, level, 1 + random.below(BURST)).unwrap();
    let mut time_ns = 0;
    let tables = random.tables(geometry);
    scalar.load(&tables).unwrap();
    fast.load(&tables).unwrap();
    let mut left = usize::try_from(frames).unwrap();
    while left > 0 {
        let count = left.min(CHANGE);
        left -= count;
        let frames: Vec<(u64, Vec<u8>)> = (0..count)
            .map(|_| {
                // Mostly within a tick; some stand, go back, or jump far.
                time_ns += [0, 1_000_000, 5_000_000, 40_000_000][random.below(4)];
                time_ns += if random.below(500) == 0 { random.random.below(70_000_000_000) } else { 0 };
                (time_ns - u64::from(random.below(20) == 0) * time_ns.min(3_000_000), random.frame())
            })
            .collect();
        let frames: Vec<Frame<'_>> = frames.iter().map(|(time_ns, bytes)| Frame { time_ns: *time_ns, bytes }).collect();
        let (expected, found) = (scalar.process(&frames).unwrap(), fast.process(&frames).unwrap());
        for (at, (expected, found)) in expected.iter().zip(&found).enumerate() {
            assert_eq!(found, expected, "seed {seed}, {level:?}, {:02x?}", frames[at].bytes);
            met.verdicts[usize::from(expected.verdict.code())] += 1;
            met.flows[usize::from(expected.flow.code())] += 1;
        }
        assert_eq!(found.len(), expected.len());
        assert_eq!(fast.counters().unwrap(), scalar.counters().unwrap(), "seed {seed}");
        assert_eq!(fast.flow_state().unwrap(), scalar.flow_state().unwrap(), "seed {seed}");
        assert_eq!(fast.live_flows().unwrap(), scalar.live_flows().unwrap(), "seed {seed}");
        let tables = random.tables(geometry);
        scalar.update(&tables).unwrap();
        fast.update(&tables).unwrap();
        if random.below(3) == 0 {
            // Each goes on with what the other remembers.
            let (of_scalar, of_fast) = (scalar.flow_state().unwrap(), fast.flow_state().unwrap());
            scalar.resume(&of_fast, time_ns).unwrap();
            fast.resume(&of_scalar, time_ns).unwrap();
        }
    }
}

#[test]
fn bursts_are_the_scalar_pipeline() {
    let frames = number("MAGLANE_FRAMES", FRAMES);
    let shift = number("MAGLANE_SEED", 0);
    let mut met = Met::default();
    for (seed, level) in (1 + shift..).zip(Level::available().cycle()).take(8) {
        agree(seed, level, frames / 8, &mut met);
    }
    for verdict in Verdict::ALL.iter().filter(|&&verdict| verdict != Verdict::PassBypass) {
        assert!(met.verdicts[usize::from(verdict.code())] > 0, "{}", verdict.name());
    }
    for flow in FlowOutcome::ALL {
        assert!(met.flows[usize::from(flow.code())] > 0, "{}", flow.name());
    }
}

#[test]
fn what_lies_around_a_frame_never_counts() {
    const BURSTS: usize = 1_500;
    for (seed, level) in (11..).zip(Level::available()) {
        let mut random = Maker { random: Random(seed), few: true };
        let tables = fixture::image();
        let mut scalar = Pipeline::new(tables.geometry);
        scalar.load(&tables).unwrap();
        let datapath = Datapath::new(tables.geometry).unwrap();
        datapath.load(Arc::new(tables)).unwrap();
        let mut worker = Worker::at_level(Arc::new(datapath), level);
        for _ in 0..BURSTS {
            let frames: Vec<Vec<u8>> = (0..1 + random.below(BURST)).map(|_| random.frame()).collect();
            // Of a frame that is cut off, what follows is what would have followed; of others it is anything. Some buffers
            // end with the frame, or soon after.
            let places: Vec<(usize, usize)> = frames
                .iter()
                .map(|frame| {
                    let cut = if random.below(3) == 0 { random.below(frame.len() + 1) } else { frame.len() };
                    (HEADROOM + random.below(40), cut)
                })
                .collect();
            let mut buffers: Vec<Vec<u8>> = frames
                .iter()
                .zip(&places)
                .map(|(frame, &(start, _))| {
                    let behind = [0, 7, LOOK, 2 * LOOK][random.below(4)];
                    let mut around = |len: usize| (0..len).map(|_| random.byte()).collect::<Vec<u8>>();
                    [around(start), frame.clone(), around(behind)].concat()
                })
                .collect();
            let before = buffers.clone();
            let mut packets: Vec<Packet<'_>> = buffers
                .iter_mut()
                .zip(&places)
                .map(|(buffer, &(start, len))| Packet::new(buffer, start, len).unwrap())
                .collect();
            let egresses = worker.process(0, &mut packets);
            for (at, (packet, &(start, len))) in packets.iter().zip(&places).enumerate() {
                let (frame, mut out) = (&before[at][start..start + len], Vec::new());
                let expected = scalar.process_frame(0, frame, &mut out);
                assert_eq!(worker.trace(at), expected, "{level:?} {frame:02x?}");
                assert_eq!(egresses.of(at), expected.verdict.egress());
                if expected.verdict == Verdict::Forward {
                    assert_eq!(packet.bytes(), out, "{level:?} {frame:02x?}");
                } else {
                    assert_eq!(packet.buffer(), before[at], "{level:?} {frame:02x?}");
                }
            }
        }
        assert_eq!(worker.datapath().counters(), scalar.counters().unwrap());
        assert_eq!(worker.datapath().flow_state(), scalar.flow_state().unwrap());
    }
}

#[test]
fn frames_meet_what_those_before_them_in_the_burst_have_changed() {
    const FRAMES_OF_A_RUN: usize = 20_000;
    let geometry = Geometry { flow_sets: 2, ..Geometry::LAB };
    for (seed, level) in (1..).zip(Level::available()) {
        let mut random = Random(seed);
        let mut below = |bound: u64| usize::try_from(random.below(bound)).unwrap();
        // Three flows of a service whose backends take turns: each new beginning of a flow shows.
        let frames: Vec<Vec<u8>> = (0..FRAMES_OF_A_RUN)
            .map(|_| {
                let mut frame = tcp(VIP, SEQUENCE_PORT, 0);
                frame[35] = [1, 2, 3][below(3)];
                frame[47] = [0x10, 0x10, 0x10, 0x02, 0x11, 0x04][below(6)];
                frame
            })
            .collect();
        let frames: Vec<Frame<'_>> =
            (0..).zip(&frames).map(|(at, bytes)| Frame { time_ns: at * 100_000, bytes }).collect();
        let mut scalar = Pipeline::new(geometry);
        let mut fast = FastEngine::at_level(geometry, level, BURST).unwrap();
        let tables = TableImage { geometry, ..fixture::image() };
        scalar.load(&tables).unwrap();
        fast.load(&tables).unwrap();
        for frames in frames.chunks(BURST) {
            let (found, expected) = (fast.process(frames).unwrap(), scalar.process(frames).unwrap());
            for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert_eq!(found, expected, "{level:?}, frame {at} of a burst");
            }
            assert_eq!(fast.flow_state().unwrap(), scalar.flow_state().unwrap(), "{level:?}");
        }
        let inserted = scalar.counters().unwrap().flows[usize::from(FlowOutcome::Inserted.code())].packets;
        assert!(inserted > FRAMES_OF_A_RUN as u64 / 20, "{inserted}");
    }
}

#[test]
fn without_tables_every_frame_passes() {
    let mut scalar = Pipeline::new(Geometry::LAB);
    let mut fast = FastEngine::new(Geometry::LAB).unwrap();
    let frames = [tcp(VIP, 80, 5), vec![], vec![0; 9_600], vec![0; 9_601]];
    let frames: Vec<Frame<'_>> = frames.iter().map(|bytes| Frame { time_ns: 7, bytes }).collect();
    assert_eq!(fast.process(&frames).unwrap(), scalar.process(&frames).unwrap());
    assert_eq!(fast.counters().unwrap(), scalar.counters().unwrap());
}

#[test]
fn tables_of_other_sizes_or_ticks_are_refused() {
    let mut fast = FastEngine::new(Geometry::LAB).unwrap();
    assert!(fast.load(&TableImage::empty(Geometry::ECP5)).is_err());
    fast.load(&fixture::image()).unwrap();
    let mut other = fixture::image();
    other.datapath.tick_ms = 7.into();
    assert!(fast.update(&other).is_err());
    let mut state = fast.flow_state().unwrap();
    state.entries.pop();
    assert!(fast.resume(&state, 0).is_err());
}
