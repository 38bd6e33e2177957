//! Wall clock a packet: the whole pipeline, and each stage alone.
//!
//! An iteration is one packet, so the time that criterion prints is nanoseconds a packet. Packets come from 4,096
//! distinct flows prepared in memory, in turn, so that branch predictors and caches do not learn one packet.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use maglane_spec::{Geometry, TableImage};
use maglane_sw::Pipeline;
use maglane_sw::engine::Engine;
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

/// The frame once a flow: another source address and port each time.
fn flows(frame: &[u8]) -> Vec<Vec<u8>> {
    (0..FLOWS)
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
    flows(&udp(VIP, 53, 18))
        .into_iter()
        .map(|mut frame| {
            frame[12..14].copy_from_slice(&[0x08, 0x06]);
            frame[..6].copy_from_slice(&OWN_MAC);
            frame
        })
        .collect()
}

fn whole(criterion: &mut Criterion) {
    let cases = [
        // 14 + 20 + 8 + 22 = 64 bytes; 1,460 bytes of payload are a full segment, encapsulated over a jumbo path.
        ("wallclock/pipeline/ipv4_udp_64", flows(&udp(VIP, 53, 22))),
        ("wallclock/pipeline/ipv4_tcp_1460", flows(&tcp(VIP, 80, 1_460))),
        ("wallclock/pass/arp", arp()),
    ];
    let mut image = image();
    for backend in &mut image.backends {
        backend.mtu = 9_000.into();
    }
    for (id, frames) in cases {
        let mut pipeline = Pipeline::new(Geometry::LAB);
        pipeline.load(&image).expect("the image has the geometry of the pipeline");
        let mut out = Vec::new();
        let mut frames = frames.iter().cycle();
        criterion.bench_function(id, |bencher| {
            bencher.iter(|| pipeline.process_frame(black_box(frames.next().expect("a cycle")), &mut out));
        });
    }
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
    let prepared: Vec<_> = flows(&tcp(VIP, 80, 64))
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
    bench("wallclock/select/ipv4_tcp", &mut |packet| {
        black_box(select(packet.image, service, black_box(packet.hash))).expect("there");
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
