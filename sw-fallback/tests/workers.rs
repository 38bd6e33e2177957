//! Goal: workers share a flow table and tables without a lock, and no frame sees half of anything: new tables come a
//! thousand times during traffic, and every frame that leaves is of one generation; no flow changes its backend, whichever
//! worker meets it; no frame is counted twice or not at all.
//!
//! Method: each generation writes its number into every field that rewrite copies: both MACs, TTL, outer source and
//! destination, GRE key. Two workers process the same flows in different orders. Frames of a flow may come to both, since
//! each flow has one backend here; what two workers insert in the same moment is two entries.
//!
//! And time: a flood on one worker while another moves the tick must not take what is established for expired.

// Helpers of tests panic as tests do.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../src/fixture.rs"]
mod fixture;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use maglane_spec::endian::U32Le;
use maglane_spec::{FlowOutcome, TableImage, Verdict};
use maglane_sw::Trace;
use maglane_sw::fast::{BURST, Datapath, Egresses, HEADROOM, LOOK, Packet, Worker};

use fixture::{VIP, image, tagged, tcp, udp, with_ipv4};

/// Times that the tables are replaced.
const GENERATIONS: u32 = 1_000;
/// Flows, each met by both workers.
const FLOWS: u16 = 2_048;
const WORKERS: usize = 2;

/// Tables that say everywhere of which generation they are: every field of 8 bits is its number modulo 251.
fn generation(number: u32) -> TableImage {
    let mark = u8::try_from(number % 251).unwrap() + 1;
    let mut image = image();
    image.datapath.ttl = mark;
    image.datapath.mac[5] = mark;
    image.datapath.flags = 0;
    image.datapath.tunnel_source_v4 = [10, 9, mark, mark];
    for backend in &mut image.backends {
        backend.next_hop_mac[5] = mark;
        backend.address[2] = mark;
    }
    for service in &mut image.services {
        service.gre_key = u32::from(mark).into();
    }
    image
}

/// The mark of a frame that left: the same in every field, and the checksum right.
fn mark(frame: &[u8]) -> u8 {
    let ip = if frame[12..14] == [0x81, 0] { 18 } else { 14 };
    let outer = &frame[ip..];
    let marks = [frame[5], frame[11], outer[8], outer[14], outer[15], outer[18]];
    assert!(marks.iter().all(|mark| *mark == marks[0]), "{frame:02x?}");
    if outer[20] & 0x20 != 0 {
        assert_eq!(outer[24..28], [0, 0, 0, marks[0]], "{frame:02x?}");
    }
    let sum: u32 = outer[..20].chunks(2).map(|pair| u32::from(pair[0]) * 256 + u32::from(pair[1])).sum();
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "{frame:02x?}");
    marks[0]
}

/// The frame of a flow.
fn frame(flow: u16) -> Vec<u8> {
    let mut frame = if flow.is_multiple_of(3) { udp(VIP, 53, 20) } else { tcp(VIP, 80, 20) };
    frame[34..36].copy_from_slice(&flow.to_be_bytes());
    if flow.is_multiple_of(5) { tagged(&frame, 7) } else { frame }
}

#[test]
fn a_thousand_new_tables_during_traffic_tear_no_frame_and_move_no_flow() {
    let datapath = Arc::new(Datapath::new(image().geometry).unwrap());
    datapath.load(Arc::new(generation(0))).unwrap();
    let ended = AtomicBool::new(false);
    let forwarded: [AtomicU64; WORKERS] = std::array::from_fn(|_| AtomicU64::new(0));
    let backends: Vec<HashMap<u16, u16>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|number| {
                let (mut worker, ended, forwarded) = (Worker::new(Arc::clone(&datapath)), &ended, &forwarded[number]);
                scope.spawn(move || {
                    let frames: Vec<Vec<u8>> = (0..FLOWS).map(frame).collect();
                    let mut buffers = vec![vec![0; HEADROOM + 128 + LOOK]; BURST];
                    let (mut backends, mut seen) = (HashMap::new(), [false; 256]);
                    let mut next = number * 777;
                    while !ended.load(Ordering::Relaxed) || backends.len() < usize::from(FLOWS) {
                        // One forwards, the other backwards.
                        let flows: Vec<u16> = (0..BURST)
                            .map(|at| {
                                let flow = u16::try_from((next + at) % usize::from(FLOWS)).unwrap();
                                if number == 0 { flow } else { FLOWS - 1 - flow }
                            })
                            .collect();
                        next += BURST;
                        let mut packets: Vec<Packet<'_>> = buffers
                            .iter_mut()
                            .zip(&flows)
                            .map(|(buffer, &flow)| {
                                let frame = &frames[usize::from(flow)];
                                buffer[HEADROOM..HEADROOM + frame.len()].copy_from_slice(frame);
                                Packet::new(buffer, HEADROOM, frame.len()).unwrap()
                            })
                            .collect();
                        assert_eq!(worker.process(0, &mut packets), Egresses { wire: u32::MAX, host: 0 });
                        for (at, (packet, flow)) in packets.iter().zip(flows).enumerate() {
                            let trace = worker.trace(at);
                            assert_eq!(trace.verdict, Verdict::Forward);
                            seen[usize::from(mark(packet.bytes()))] = true;
                            let before = *backends.entry(flow).or_insert(trace.backend);
                            assert_eq!(trace.backend, before, "flow {flow} moved");
                        }
                        forwarded.fetch_add(BURST as u64, Ordering::Relaxed);
                    }
                    assert!(seen.iter().filter(|seen| **seen).count() > 50, "hardly any generation was met");
                    backends
                })
            })
            .collect();
        for number in 1..=GENERATIONS {
            // Each serves both workers for some bursts, however they are scheduled.
            let now = || forwarded.each_ref().map(|forwarded| forwarded.load(Ordering::Relaxed));
            let enough = now().map(|before| before + 2 * BURST as u64);
            while now().iter().zip(&enough).any(|(now, enough)| now < enough) {
                assert!(!workers.iter().any(|worker| worker.is_finished()), "a worker failed");
                thread::yield_now();
            }
            datapath.update(Arc::new(generation(number))).unwrap();
        }
        ended.store(true, Ordering::Relaxed);
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!(backends[0], backends[1], "both workers know the same flows");

    let counters = datapath.counters();
    let forwarded: u64 = forwarded.into_iter().map(AtomicU64::into_inner).sum();
    assert_eq!(counters.verdicts[usize::from(Verdict::Forward.code())].packets, forwarded);
    for set in [&counters.services, &counters.backends, &counters.flows] {
        assert_eq!(set.iter().map(|counter| counter.packets).sum::<u64>(), forwarded);
    }
    // A flow may be inserted by both in the same moment, in two ways; then the lower one counts for ever.
    let inserted = counters.flows[usize::from(FlowOutcome::Inserted.code())].packets;
    assert!((u64::from(FLOWS)..2 * u64::from(FLOWS)).contains(&inserted), "{inserted}");
}

/// Gives a worker a burst of frames at a time.
fn burst(worker: &mut Worker, time_ns: u64, frames: &[Vec<u8>], buffers: &mut [Vec<u8>], traces: &mut [Trace]) {
    let mut packets: Vec<Packet<'_>> = buffers
        .iter_mut()
        .zip(frames)
        .map(|(buffer, frame)| {
            buffer[HEADROOM..HEADROOM + frame.len()].copy_from_slice(frame);
            Packet::new(buffer, HEADROOM, frame.len()).unwrap()
        })
        .collect();
    worker.process(time_ns, &mut packets);
    for (at, trace) in traces.iter_mut().enumerate() {
        *trace = worker.trace(at);
    }
}

#[test]
fn a_flood_takes_no_established_flow_while_the_tick_moves() {
    const TICK_MS: u64 = 1;
    let mut tables = image();
    // Few sets, so that the flood meets every flow all the time.
    tables.geometry.flow_sets = 16;
    tables.datapath.tick_ms = U32Le::new(u32::try_from(TICK_MS).unwrap());
    tables.datapath.timeout_ticks = [62; 3];
    let datapath = Arc::new(Datapath::new(tables.geometry).unwrap());
    datapath.load(Arc::new(tables)).unwrap();
    let segment = |client: u8, flow: u32, flags: u8| {
        let [a, b, c, d] = flow.to_be_bytes();
        let mut frame = with_ipv4(&tcp(VIP, 80, 0), 12, &[client, a, b, 7]);
        frame[34..36].copy_from_slice(&[c, d]);
        frame[47] = flags;
        frame
    };
    let own: Vec<Vec<u8>> = (0..32).map(|flow| segment(1, flow, 0x10)).collect();
    let buffers = || vec![vec![0; HEADROOM + 128 + LOOK]; BURST];
    let ended = AtomicBool::new(false);
    let (mut worker, mut room, mut traces) =
        (Worker::new(Arc::clone(&datapath)), buffers(), [Trace::BEFORE_PARSE; BURST]);
    for _ in 0..3 {
        burst(&mut worker, 0, &own, &mut room, &mut traces);
    }
    assert!(traces.iter().all(|trace| trace.flow == FlowOutcome::Hit), "established before the flood");
    thread::scope(|scope| {
        let flooding = scope.spawn(|| {
            let mut worker = Worker::new(Arc::clone(&datapath));
            let (mut room, mut traces) = (buffers(), [Trace::BEFORE_PARSE; BURST]);
            let mut next = 0;
            while !ended.load(Ordering::Relaxed) {
                let syns: Vec<Vec<u8>> = (next..next + 32).map(|flow| segment(2, flow, 2)).collect();
                next += 32;
                burst(&mut worker, 0, &syns, &mut room, &mut traces);
            }
            next
        });
        let start = Instant::now();
        let (mut lost, mut ticks, mut before) = (0, 0, 0);
        while start.elapsed() < Duration::from_secs(2) {
            // A tick at a time, even if this thread has slept: not seen for longer than the timeout is another thing than
            // evicted.
            let now = before + u64::from(start.elapsed().as_millis() / u128::from(TICK_MS) > u128::from(before));
            ticks += u32::from(now != before);
            before = now;
            burst(&mut worker, now * TICK_MS * 1_000_000, &own, &mut room, &mut traces);
            lost += traces.iter().filter(|trace| trace.flow != FlowOutcome::Hit).count();
            assert!(!flooding.is_finished());
        }
        ended.store(true, Ordering::Relaxed);
        let flood = flooding.join().unwrap();
        assert!(ticks > 20 && flood > 1_000, "{ticks} ticks, {flood} frames of flood");
        assert_eq!(lost, 0, "in {ticks} ticks and {flood} frames of flood");
    });
}

#[test]
fn steady_traffic_writes_the_flow_table_once_a_flow_and_tick() {
    const FLOWS: u32 = 1_024;
    const FRAMES_A_TICK: u32 = 50;
    let tables = image();
    let tick_ns = u64::from(tables.datapath.tick_ms.value()) * 1_000_000;
    let datapath = Arc::new(Datapath::new(tables.geometry).unwrap());
    datapath.load(Arc::new(tables)).unwrap();
    let mut worker = Worker::new(Arc::clone(&datapath));
    let frames: Vec<Vec<u8>> = (0..FLOWS)
        .map(|flow| {
            let [a, b, c, d] = flow.to_be_bytes();
            with_ipv4(&tcp(VIP, 80, 0), 12, &[a, b, c, d])
        })
        .collect();
    let mut room = vec![vec![0; HEADROOM + 128 + LOOK]; BURST];
    let mut traces = [Trace::BEFORE_PARSE; BURST];
    let mut round = |time_ns: u64| {
        let before = datapath.flow_state().entries;
        for frames in frames.chunks(BURST) {
            burst(&mut worker, time_ns, frames, &mut room, &mut traces);
        }
        let after = datapath.flow_state().entries;
        before.iter().zip(&after).filter(|(before, after)| before != after).count()
    };
    // Each flow becomes established.
    let (inserted, established) = (round(0), round(0));
    assert_eq!([inserted, established], [FLOWS as usize; 2]);
    let (mut written, mut sent) = (0, 0);
    for tick in 1..5 {
        for frame in 0..FRAMES_A_TICK {
            written += round(tick * tick_ns + u64::from(frame));
            sent += FLOWS;
        }
    }
    // 0.02 a frame, where a frame of a flow comes 50 times a tick.
    assert_eq!(written, 4 * FLOWS as usize, "writes for {sent} frames");
}
