//! Wall clock a packet: the whole pipeline, and each stage alone.
//!
//! An iteration is one packet, so the time that criterion prints is nanoseconds a packet. Packets come from 4,096
//! distinct flows prepared in memory, in turn, so that branch predictors and caches do not learn one packet; where the
//! id ends in `flows_1m` from 2^20, whose entries are no longer in the cache. Flows are known to the flow table before
//! the clock starts, unless the id ends in `miss`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use maglane_spec::flow::TAG_SHIFT;
use maglane_spec::{Geometry, TableImage};
use maglane_sw::Pipeline;
use maglane_sw::engine::Engine;
use maglane_sw::flow_table::FlowTable;
use maglane_sw::stage::classify::classify;
use maglane_sw::stage::flow_hash::{FlowHash, flow_hash};
use maglane_sw::stage::parse::{Parsed, parse};
use maglane_sw::stage::rewrite::rewrite;
use maglane_sw::stage::select::select;

#[allow(dead_code)]
#[path = "../src/fixture.rs"]
mod fixture;

use fixture::{OWN_MAC, VIP, image, tcp, udp, with_ipv4};

const FLOWS: u32 = 4_096;
const FLOWS_1M: u32 = 1 << 20;
/// Twice as many entries as there are flows, so that fewer than one in a hundred finds its set full.
const FLOW_SETS_1M: u32 = 1 << 18;

/// The frame once a flow: another source address and port each time.
fn flows(frame: &[u8], count: u32) -> Vec<Vec<u8>> {
    (0..count)
        .map(|flow| {
            // Multiplied by an odd number, addresses stay distinct and look nothing like a sequence.
            let source = flow.wrapping_mul(0x9e37_79b1).to_be_bytes();
            let mut frame = with_ipv4(frame, 12, &source);
            frame[34..36].copy_from_slice(&source[1..3]);
            frame
        })
        .collect()
}

fn arp() -> Vec<Vec<u8>> {
    flows(&udp(VIP, 53, 18), FLOWS)
        .into_iter()
        .map(|mut frame| {
            frame[12..14].copy_from_slice(&[0x08, 0x06]);
            frame[..6].copy_from_slice(&OWN_MAC);
            frame
        })
        .collect()
}

fn whole(criterion: &mut Criterion) {
    // 14 + 20 + 8 + 22 = 64 bytes; 1,460 bytes of payload are a full segment, encapsulated over a jumbo path.
    let (small, large) = (udp(VIP, 53, 22), tcp(VIP, 80, 1_460));
    let large_table = Geometry { flow_sets: FLOW_SETS_1M, ..Geometry::LAB };
    bench_whole(criterion, "wallclock/pipeline/ipv4_udp_64", Geometry::LAB, flows(&small, FLOWS));
    bench_whole(criterion, "wallclock/pipeline/ipv4_tcp_1460", Geometry::LAB, flows(&large, FLOWS));
    bench_whole(criterion, "wallclock/pipeline/ipv4_udp_64_flows_1m", large_table, flows(&small, FLOWS_1M));
    bench_whole(criterion, "wallclock/pass/arp", Geometry::LAB, arp());
}

fn bench_whole(criterion: &mut Criterion, id: &str, geometry: Geometry, frames: Vec<Vec<u8>>) {
    let mut image = TableImage { geometry, ..image() };
    for backend in &mut image.backends {
        backend.mtu = 9_000.into();
    }
    let mut pipeline = Pipeline::new(geometry);
    pipeline.load(&image).expect("the image has the geometry of the pipeline");
    let mut out = Vec::new();
    // Twice: a flow is established by its second frame.
    for frame in frames.iter().chain(&frames) {
        pipeline.process_frame(0, frame, &mut out);
    }
    let mut frames = frames.iter().cycle();
    criterion.bench_function(id, |bencher| {
        bencher.iter(|| pipeline.process_frame(0, black_box(frames.next().expect("a cycle")), &mut out));
    });
}

/// What the stages before found for a frame.
struct Prepared<'a> {
    frame: Vec<u8>,
    parsed: Parsed,
    hash: FlowHash,
    image: &'a TableImage,
}

fn stages(criterion: &mut Criterion) {
    let image = image();
    let service = classify(&image, &parse(Some(&image.datapath), &tcp(VIP, 80, 64)).expect("valid")).expect("there");
    let prepared: Vec<_> = flows(&tcp(VIP, 80, 64), FLOWS)
        .into_iter()
        .map(|frame| {
            let parsed = parse(Some(&image.datapath), &frame).expect("valid");
            Prepared { parsed, hash: flow_hash(&image.datapath, service, &parsed), image: &image, frame }
        })
        .collect();

    let mut bench = |id: &str, stage: &mut dyn FnMut(&Prepared<'_>)| {
        let mut packets = prepared.iter().cycle();
        criterion.bench_function(id, |bencher| bencher.iter(|| stage(packets.next().expect("a cycle"))));
    };
    bench("wallclock/parse/ipv4_tcp", &mut |packet| {
        black_box(parse(Some(&packet.image.datapath), black_box(&packet.frame))).expect("valid");
    });
    bench("wallclock/classify/ipv4_tcp", &mut |packet| {
        black_box(classify(packet.image, black_box(&packet.parsed))).expect("there");
    });
    bench("wallclock/flow_hash/ipv4_tcp", &mut |packet| {
        black_box(flow_hash(&packet.image.datapath, service, black_box(&packet.parsed)));
    });
    let table = || (FlowTable::new(Geometry::LAB.flow_sets as usize), vec![0; Geometry::LAB.services as usize]);
    let (mut known, mut turns) = table();
    bench("wallclock/select/ipv4_tcp", &mut |packet| {
        let hash = black_box(packet.hash);
        let selection = select(packet.image, &mut known, &mut turns, service, packet.parsed.flags, hash);
        black_box(selection).backend.expect("there");
    });
    // As in a flood: another tag each time, so the table is soon full of new flows, and each has to evict one.
    let (mut flooded, mut turns) = table();
    let mut tag = 0;
    bench("wallclock/select/ipv4_tcp_miss", &mut |packet| {
        tag += 1;
        let hash = FlowHash { h: black_box(packet.hash).h ^ tag << TAG_SHIFT, ..packet.hash };
        let selection = select(packet.image, &mut flooded, &mut turns, service, packet.parsed.flags, hash);
        black_box(selection).backend.expect("there");
    });
    let mut out = Vec::new();
    bench("wallclock/rewrite/ipv4_tcp", &mut |packet| {
        out.clear();
        let (datapath, backend) = (&packet.image.datapath, &packet.image.backends[0]);
        let h = packet.hash.h;
        rewrite(datapath, service, backend, &packet.parsed, h, black_box(&packet.frame), &mut out).expect("fits");
        black_box(&out);
    });
}

criterion_group!(benches, whole, stages);
criterion_main!(benches);
