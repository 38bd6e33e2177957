//! Instructions a packet of `software-fast`, for callgrind: runs so many bursts of a kind of traffic, and nothing else that
//! depends on their number.
//!
//!     instructions KIND BURSTS
//!
//! The difference of two runs with different numbers is what the bursts took: `cargo run -p xtask -- instructions`.

use std::sync::Arc;

use maglane_sw::fast::{BURST, Datapath, Worker};
use maglane_sw::simd::Level;

#[allow(dead_code)]
#[path = "../src/fixture.rs"]
mod fixture;
#[allow(dead_code)]
#[path = "traffic.rs"]
mod traffic;

use fixture::{VIP, VIP_V6, icmp_error, image, reply, tcp, udp, udp_v6};
use traffic::Source;

/// Flows of each kind; a round of them is 8 bursts.
const FLOWS: u32 = 256;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, bursts] = &arguments[..] else {
        eprintln!(
            "usage: instructions harness|hit_ipv4|hit_ipv4_portable|refresh_ipv4|hit_ipv6|syn_flood|icmp_error BURSTS"
        );
        std::process::exit(2);
    };
    let bursts: u32 = bursts.parse().expect("a number of bursts");
    let mut syn = tcp(VIP, 80, 10);
    syn[47] = 2;
    let (frame, flows) = match kind.as_str() {
        "harness" | "hit_ipv4" | "hit_ipv4_portable" => (udp(VIP, 53, 22), FLOWS),
        "refresh_ipv4" => (udp(VIP, 53, 22), 1 << 12),
        "hit_ipv6" => (udp_v6(VIP_V6, 8092, 2), FLOWS),
        "syn_flood" => (syn, 1 << 20),
        "icmp_error" => (icmp_error(3, 4, &reply(&udp(VIP, 53, 22)), 28), FLOWS),
        _ => panic!("no such kind of traffic"),
    };
    let level = if kind.ends_with("portable") { Level::Portable } else { Level::best() };
    let tables = image();
    let datapath = Datapath::new(tables.geometry).expect("memory");
    datapath.load(Arc::new(tables)).expect("the sizes are the same");
    let mut worker = Worker::at_level(Arc::new(datapath), level);
    let mut source = Source::new(&frame, flows);
    // Each flow once a tick, or time stands.
    let tick_ns = u64::from(fixture::TICK_MS) * 1_000_000;
    let step_ns = if kind == "refresh_ipv4" { tick_ns * BURST as u64 / source.tuples.len() as u64 } else { 0 };
    let mut time_ns = 0;
    // Two rounds until every flow is established; a flood needs none.
    let warm = 2 * source.tuples.len().min(1 << 12) / BURST;
    for _ in 0..warm {
        worker.process(0, &mut source.burst());
    }
    for _ in 0..bursts {
        let mut packets = source.burst();
        if kind == "harness" {
            std::hint::black_box(&mut packets);
        } else {
            time_ns += step_ns;
            worker.process(time_ns, &mut packets);
        }
    }
    println!("{kind}: {:?}", worker.trace(0));
}
