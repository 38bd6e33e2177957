//! Wall clock a packet of `software-fast`: one worker, the complete datapath with counters and ageing, 64-byte frames in
//! memory.
//!
//! An iteration is a burst, and criterion's throughput is packets a second. Before each burst its frames are made anew in
//! 512 buffers that are used in turn, as a NIC would: Ethernet header, source address and port, checksum. `harness` is the
//! time for that alone, which all others include. `floor` is the least that a balancer can do, written without generality:
//! no check of any header, a hash of two multiplications in place of SipHash, one family, one service, no states, no ages,
//! no counters; the same flow table with the same prefetch. Flows are known to the flow table before the clock starts,
//! unless the id says otherwise, and come in random order. Time stands, except where the id ends in `once_a_tick`: there
//! each flow has one frame a tick, so that every frame refreshes its entry, and the table is swept meanwhile. Frames lie in
//! the caches of the core, 128 KiB of them; behind a NIC they come from a farther one.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use maglane_spec::{FlowOutcome, Geometry, TableImage, Verdict};
use maglane_sw::Trace;
use maglane_sw::fast::{BURST, Datapath, Packet, Worker};
use maglane_sw::io::pages::Lines;
use maglane_sw::simd::{Level, prefetch};

#[allow(dead_code)]
#[path = "../src/fixture.rs"]
mod fixture;
#[path = "traffic.rs"]
mod traffic;

use fixture::{VIP, VIP_V6, icmp_error, image, reply, tcp, udp, udp_v6};
use traffic::{START, Source};

fn tables(sets: u32) -> TableImage {
    let mut tables = image();
    tables.geometry = Geometry { flow_sets: sets, ..Geometry::LAB };
    tables
}

/// Runs bursts of a source through a worker whose flow table has so many sets; every frame must be forwarded.
fn worker(group: &mut BenchmarkGroup<'_, WallTime>, id: &str, sets: u32, level: Level, mut source: Source, warm: bool) {
    let tables = tables(sets);
    let tick_ns = u64::from(tables.datapath.tick_ms.value()) * 1_000_000;
    // Of a burst's time.
    let step_ns = if id.ends_with("once_a_tick") { tick_ns * BURST as u64 / source.tuples.len() as u64 } else { 0 };
    let mut time_ns = 0;
    let datapath = Datapath::new(tables.geometry).expect("memory");
    datapath.load(Arc::new(tables)).expect("the sizes are the same");
    let mut worker = Worker::at_level(Arc::new(datapath), level);
    let bursts = if warm { 2 * source.tuples.len() / BURST } else { 0 };
    for _ in 0..bursts {
        worker.process(0, &mut source.burst());
    }
    group.bench_function(id, |bencher| {
        bencher.iter(|| {
            time_ns += step_ns;
            black_box(worker.process(time_ns, black_box(&mut source.burst())));
        });
    });
    let traces: Vec<Trace> = (0..BURST).map(|at| worker.trace(at)).collect();
    assert!(traces.iter().all(|trace| trace.verdict == Verdict::Forward));
    // Where more flows meet in a set than it has ways, some of them take turns: of 8M flows one in three.
    let hits = traces.iter().filter(|trace| trace.flow == FlowOutcome::Hit).count();
    assert!(!warm || hits > BURST / 4, "{hits}");
}

/// The least that a balancer can do.
struct Floor {
    flows: Lines,
    header: [u8; 38],
    h: [u64; BURST],
}

impl Floor {
    fn new(sets: usize) -> Self {
        let mut header = [0; 38];
        header[12..16].copy_from_slice(&[8, 0, 0x45, 0]);
        header[36..38].copy_from_slice(&[8, 0]);
        Self { flows: Lines::new(sets).expect("memory"), header, h: [0; BURST] }
    }

    #[inline(always)]
    fn process(&mut self, packets: &mut [Packet<'_>]) {
        let mask = self.flows.len() - 1;
        for packet in &*packets {
            prefetch(packet.buffer(), START);
        }
        for (h, packet) in self.h.iter_mut().zip(&*packets) {
            let words: &[u8; 12] = packet.buffer()[START + 26..].first_chunk().expect("room behind");
            let [a, b] = [0, 4].map(|at| u64::from_le_bytes(*words[at..].first_chunk().expect("eight")));
            *h = (a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.rotate_left(29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            *h ^= *h >> 32;
            prefetch(&self.flows, (*h & 0xffff_ffff) as usize & mask);
        }
        for (&h, packet) in self.h.iter().zip(packets) {
            let set: &[AtomicU64; 8] = &self.flows[(h & 0xffff_ffff) as usize & mask].0;
            let found = set.iter().position(|entry| (entry.load(Ordering::Relaxed) ^ h) >> 24 == 0);
            let backend = match found {
                Some(way) => (set[way].load(Ordering::Relaxed) >> 8 & 0xff) as u8,
                None => {
                    let free = set.iter().position(|entry| entry.load(Ordering::Relaxed) == 0).unwrap_or(7);
                    set[free].store(h >> 24 << 24 | 1, Ordering::Relaxed);
                    0
                }
            };
            let total = 24 + 50_u16;
            let sum = u32::from(total) + 0x4500 + u32::from(backend);
            let outer: &mut [u8; 38] = packet.buffer_mut()[START + 14 - 38..].first_chunk_mut().expect("room before");
            *outer = self.header;
            outer[16..18].copy_from_slice(&total.to_be_bytes());
            outer[24..26].copy_from_slice(&((!((sum & 0xffff) + (sum >> 16)) & 0xffff) as u16).to_be_bytes());
            outer[33] = backend;
        }
    }
}

fn floor(group: &mut BenchmarkGroup<'_, WallTime>, id: &str, sets: u32, mut source: Source) {
    let mut floor = Floor::new(sets as usize);
    for _ in 0..2 * source.tuples.len() / BURST {
        floor.process(&mut source.burst());
    }
    group.bench_function(id, |bencher| bencher.iter(|| floor.process(black_box(&mut source.burst()))));
}

/// So many workers at once, each with as many bursts as an iteration has, on one flow table. What is measured is until the
/// last one is through; with a processor for each it would be what one takes.
fn workers(group: &mut BenchmarkGroup<'_, WallTime>, workers: u32) {
    const FLOWS: u32 = 1 << 20;
    let tables = tables(FLOWS / 2);
    let datapath = Arc::new(Datapath::new(tables.geometry).expect("memory"));
    datapath.load(Arc::new(tables)).expect("the sizes are the same");
    let frame = udp(VIP, 53, 22);
    let mut lanes: Vec<(Worker, Source)> =
        (0..workers).map(|_| (Worker::new(Arc::clone(&datapath)), Source::new(&frame, FLOWS))).collect();
    for (worker, source) in &mut lanes {
        for _ in 0..2 * FLOWS as usize / BURST {
            worker.process(0, &mut source.burst());
        }
    }
    group.throughput(Throughput::Elements(u64::from(workers) * BURST as u64));
    group.bench_function(format!("workers_{workers}/ipv4_flows_1m"), |bencher| {
        bencher.iter_custom(|iterations| {
            let ready = Barrier::new(lanes.len() + 1);
            thread::scope(|scope| {
                let lanes: Vec<_> = lanes
                    .iter_mut()
                    .map(|(worker, source)| {
                        scope.spawn(|| {
                            ready.wait();
                            for _ in 0..iterations {
                                black_box(worker.process(0, black_box(&mut source.burst())));
                            }
                        })
                    })
                    .collect();
                ready.wait();
                let start = Instant::now();
                lanes.into_iter().for_each(|lane| lane.join().expect("a worker does not panic"));
                start.elapsed()
            })
        });
    });
}

fn fast(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wallclock/fast");
    group.throughput(Throughput::Elements(BURST as u64));
    // 14 + 20 + 8 + 22 = 64 bytes; over IPv6 the shortest is 62.
    let (v4, v6) = (udp(VIP, 53, 22), udp_v6(VIP_V6, 8092, 2));
    let mut source = Source::new(&v4, 4_096);
    group.bench_function("harness/ipv4", |bencher| {
        bencher.iter(|| {
            black_box(&mut source.burst());
        });
    });
    let best = Level::best();
    // Four times as many entries as flows, so that hardly any finds its set full. A flow table has
    // no more than 8M entries: of 8M flows many do.
    for (name, flows) in
        [("flows_4k", 1_u32 << 12), ("flows_512k", 1 << 19), ("flows_1m", 1 << 20), ("flows_8m", 1 << 23)]
    {
        let sets = (flows / 2).min(1 << 20);
        floor(&mut group, &format!("floor/ipv4_{name}"), sets, Source::new(&v4, flows));
        worker(&mut group, &format!("whole/ipv4_{name}"), sets, best, Source::new(&v4, flows), true);
    }
    worker(&mut group, "whole/ipv4_flows_4k_once_a_tick", 1 << 11, best, Source::new(&v4, 1 << 12), true);
    worker(&mut group, "whole/ipv4_flows_1m_once_a_tick", 1 << 19, best, Source::new(&v4, 1 << 20), true);
    worker(&mut group, "whole/ipv6_flows_4k", 1 << 11, best, Source::new(&v6, 1 << 12), true);
    worker(&mut group, "whole/ipv6_flows_1m", 1 << 19, best, Source::new(&v6, 1 << 20), true);
    worker(&mut group, "portable/ipv4_flows_4k", 1 << 11, Level::Portable, Source::new(&v4, 1 << 12), true);
    // Each SYN is a new flow to the end: 8M of them on a table for 1M, so that each one has to evict another.
    let mut syn = tcp(VIP, 80, 10);
    syn[47] = 2;
    worker(&mut group, "whole/ipv4_syn_flood", 1 << 17, best, Source::new(&syn, 1 << 23), false);
    let error = icmp_error(3, 4, &reply(&udp(VIP, 53, 22)), 28);
    worker(&mut group, "whole/ipv4_icmp_error", 1 << 10, best, Source::new(&error, 1 << 12), false);
    for count in [1, 2] {
        workers(&mut group, count);
    }
    group.finish();
}

criterion_group!(benches, fast);
criterion_main!(benches);
