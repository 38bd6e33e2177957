//! Goal: the whole core's emitted Verilog does in Icarus Verilog what rust-hdl's simulation does, clock for clock, and
//! nothing that leaves it depends on memory that was never written.
//!
//! Method: the engine `rtl` records a core: reset, load through the table port, frames of the captures with pauses and
//! backpressure, other tables between two frames, and what the read port yields. In Icarus the memories start unknown.
//! Icarus interprets some hundred clocks a second, so the memories of these cores are small; all else is that of the
//! builds. Software must agree with the recorded core, or the run is worth nothing.

use std::path::Path;

use maglane_sim::Stimulus;
use maglane_sim::replay::{ReplayError, Simulator};
use maglane_sim::rtl::Rtl;
use maglane_spec::{FlowOutcome, Geometry, TableImage, Verdict, window};
use maglane_sw::Pipeline;
use maglane_sw::engine::{Engine, Frame, Outcome};
use maglane_sw::io::capture::Capture;
use maglane_table::Config;

/// The captures, all of client to director.
const CAPTURES: [&str; 7] = ["dns", "fragments", "icmp", "ipv6", "tcp", "udp", "vlan"];

/// Pairs of frames of each capture: neighbours mostly are of one flow.
const PAIRS: usize = 5;

/// Sizes of both cores, but for the bus; the exponents are parameters of [`Rtl`].
const GEOMETRY: Geometry =
    Geometry { bus_bytes: 32, services: 1 << 4, backends: 1 << 4, lookup_entries: 4 << 9, flow_sets: 1 << 4 };

/// What the example has not: services of all ports, and one that selects in turn.
const ALL_PORTS: &str = r#"
[[service]]
name = "all-ports"
address = "192.0.2.20"
protocol = "udp"
scheduler = "round-robin"
backend = [{ name = "four", address = "10.1.0.20" }, { name = "six", address = "fd00:1::20" }]

[[service]]
name = "all-ports-6"
address = "2001:db8::20"
protocol = "udp"
scheduler = "source-hash"
table_size = 31
backend = [{ name = "four", address = "10.1.0.20" }, { name = "six", address = "fd00:1::20" }]
"#;

#[test]
fn the_core_and_its_verilog_agree_in_icarus_on_32_bytes() {
    agree(Rtl::<256, 32, 4, 9, 4, 4>::recorded(GEOMETRY, Stimulus::from_seed(1)));
}

#[test]
fn the_core_and_its_verilog_agree_in_icarus_on_64_bytes() {
    let geometry = Geometry { bus_bytes: 64, ..GEOMETRY };
    agree(Rtl::<512, 64, 4, 9, 4, 4>::recorded(geometry, Stimulus::from_seed(2)));
}

fn agree<const D: usize, const K: usize>(mut card: Rtl<D, K, 4, 9, 4, 4>) {
    let bytes = frames();
    // A flow that is met again in time, and one that is not.
    let times = (0..).map(|number| number * 40_000_000);
    let frames: Vec<Frame<'_>> = times.zip(&bytes).map(|(time_ns, bytes)| Frame { time_ns, bytes }).collect();
    let (before, after) = frames.split_at(frames.len() / 2);
    let mut software = Pipeline::new(GEOMETRY);
    let mut outcomes = Vec::new();
    for (web_2, frames) in [("10.1.0.2", before), ("10.1.0.3", after)] {
        let image = image(web_2);
        if outcomes.is_empty() {
            card.load(&image).unwrap();
            software.load(&image).unwrap();
        } else {
            card.update(&image).unwrap();
            software.update(&image).unwrap();
        }
        let expected = software.process(frames).unwrap();
        assert_eq!(card.process(frames).unwrap(), expected);
        outcomes.extend(expected);
    }
    assert_eq!(card.counters().unwrap(), software.counters().unwrap());
    assert_eq!(card.flow_state().unwrap(), software.flow_state().unwrap());
    card.read_words(window::FLOW_TABLE, GEOMETRY.flow_sets * window::FLOW_SET_WORDS);
    card.read_words(window::SEQUENCE, GEOMETRY.services);
    assert_worth_it(&frames, &outcomes);

    let recording = card.into_recording().unwrap();
    println!("{} frames, {} clocks", frames.len(), recording.clocks());
    match Simulator::Icarus.replay(&[recording]) {
        Ok(differences) => assert!(differences.is_empty(), "{}", differences.join("\n")),
        Err(error @ ReplayError::Missing(..)) => {
            assert!(std::env::var_os("MAGLANE_NO_SKIP").is_none(), "nothing may be skipped here: {error}");
            println!("skipped: the core in Icarus: {error}");
        }
        Err(error) => panic!("{error}"),
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The tables of an example and [`ALL_PORTS`], as small as the cores, with another address for one of the backends.
fn image(web_2: &str) -> TableImage {
    let Geometry { bus_bytes, services, backends, lookup_entries, flow_sets } = GEOMETRY;
    let geometry = format!(
        "geometry = {{ bus_bytes = {bus_bytes}, services = {services}, backends = {backends}, \
         lookup_entries = {lookup_entries}, flow_sets = {flow_sets} }}"
    );
    let text = std::fs::read_to_string(root().join("examples/dual-stack.toml")).unwrap();
    let text = text.replace("geometry = \"lab\"", &geometry).replace("\"10.1.0.2\"", &format!("\"{web_2}\""));
    let text = [("1021", "127"), ("509", "61"), ("251", "31")]
        .iter()
        .fold(text, |text, (from, to)| text.replace(&format!("table_size = {from}"), &format!("table_size = {to}")));
    Config::parse("dual-stack.toml", &(text + ALL_PORTS)).unwrap().image().unwrap()
}

fn frames() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for name in CAPTURES {
        let capture = Capture::open(&root().join(format!("tests/captures/{name}.pcap"))).unwrap();
        let all: Vec<Vec<u8>> = capture.frames().map(|frame| frame.unwrap().bytes.to_vec()).collect();
        frames.extend(all.chunks(all.len() / PAIRS).flat_map(|part| part.iter().take(2).cloned()));
    }
    frames
}

/// Services of each family on backends of each, new flows and known ones, and frames that the card leaves to the host.
fn assert_worth_it(frames: &[Frame<'_>], outcomes: &[Outcome]) {
    for verdict in [Verdict::PassIcmp, Verdict::PassFragment, Verdict::PassNoService] {
        assert!(outcomes.iter().any(|outcome| outcome.verdict == verdict), "{} never occurs", verdict.name());
    }
    for flow in [FlowOutcome::Inserted, FlowOutcome::Hit] {
        assert!(outcomes.iter().any(|outcome| outcome.flow == flow), "{} never occurs", flow.name());
    }
    for (inner, outer) in [(4, 4), (4, 6), (6, 4), (6, 6)] {
        let mut forwarded = frames.iter().zip(outcomes).filter(|(_, outcome)| outcome.verdict == Verdict::Forward);
        let is = |frame: &[u8], version: u8| frame[12] != 0x81 && frame[14] >> 4 == version;
        let met = forwarded.any(|(frame, outcome)| is(frame.bytes, inner) && is(&outcome.output, outer));
        assert!(met, "IPv{inner} in IPv{outer} never occurs");
    }
}
