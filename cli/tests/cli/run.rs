//! Goal: `maglane run` does to live frames what `maglane replay` does to the same in a capture, byte for byte, and beside
//! that what the host does about frames that are passed; it refuses a machine where more than that would happen.
//!
//! Method: two network namespaces and a veth pair. The program runs in one, the other end of the wire is here.

mod frames;
mod host;
mod machine;
mod network;
mod next_hop;
mod reload;
mod tracing;
mod xdp;

use std::collections::BTreeMap;

use maglane_sw::engine::Frame;
use maglane_sw::io::capture::{Capture, CaptureWriter};
use serde_json::Value;

use self::frames::{VIP, segment, traffic};
use self::network::{Machine, Wire, is_inside};
use super::Folder;

const SITE: &str = include_str!("run/site.toml");
/// Frames of which 100,000 are forwarded.
const MANY: usize = 170_000;
/// Where the outer destination of an untagged frame in an IPv4 tunnel is.
const OUTER_DESTINATION: std::ops::Range<usize> = 30..34;

/// A directory with a configuration.
fn site() -> Folder {
    let folder = Folder::new();
    folder.put("site.toml", SITE);
    folder
}

/// Writes frames as a capture.
fn record(folder: &Folder, name: &str, frames: &[Vec<u8>]) {
    let mut writer = CaptureWriter::create(&folder.path(name)).unwrap();
    for (time_ns, bytes) in (0..).zip(frames) {
        writer.write(&Frame { time_ns, bytes }).unwrap();
    }
    writer.finish().unwrap();
}

/// What `replay` forwards of frames, and what it counts.
fn replayed(frames: &[Vec<u8>]) -> (Vec<Vec<u8>>, Value) {
    let folder = site();
    record(&folder, "in.pcap", frames);
    let words = ["replay", "--config", "site.toml", "--in", "in.pcap", "--out", "out.pcap", "--engine", "software"];
    let report = folder.run(&[&words[..], &["--json"]].concat()).ended(0).json();
    let out = Capture::open(&folder.path("out.pcap")).unwrap();
    (out.frames().map(|frame| frame.unwrap().bytes.to_vec()).collect(), report)
}

/// Live, the few frames that read the flow table only are counted with those that do not reach it.
fn with_read_only(mut flows: Value) -> Value {
    let flows = flows.as_object_mut().unwrap();
    let read_only = flows.remove("read_only").unwrap();
    for what in ["packets", "bytes"] {
        let sum = flows["not_reached"][what].as_u64().unwrap() + read_only[what].as_u64().unwrap();
        flows["not_reached"][what] = sum.into();
    }
    Value::Object(flows.clone())
}

/// Nothing has gone wrong.
#[track_caller]
fn no_mishaps(total: &Value) {
    let mishaps = total["mishaps"].as_object().unwrap();
    assert!(mishaps.len() == 5 && mishaps.values().all(|count| count == 0), "{mishaps:?}");
}

fn live_frames_leave_as_replayed(frames: &[Vec<u8>], workers: usize) {
    let (mut expected, report) = replayed(frames);
    assert!(frames.len() < MANY || expected.len() >= 100_000, "{}", expected.len());
    let verdicts = &report["verdicts"];
    let others = ["pass_not_ip", "pass_fragment", "pass_no_service", "pass_other_mac", "pass_too_big", "pass_icmp"];
    for verdict in ["forward"].into_iter().chain(others) {
        assert!(verdicts[verdict]["packets"].as_u64() > Some(50), "{verdict}: {verdicts}");
    }
    let folder = site();
    let machine = Machine::running(&folder, 1, &format!("--workers {workers}"));
    let pieces = usize::try_from(verdicts["pass_fragment"]["packets"].as_u64().unwrap()).unwrap();
    let back = Wire::new().exchange(frames, expected.len() + pieces);
    let (of_host, mut back): (Vec<_>, Vec<_>) = back.into_iter().partition(|frame| host::is_of_host(frame));
    machine.signal("-TERM");
    let ran = machine.ended().ended(0);
    assert_eq!((&*ran.stderr, folder.files()), ("", vec!["site.toml".to_owned()]));
    if workers > 1 {
        // Each flow's frames stay in order, but not those of flows of two workers.
        back.sort();
        expected.sort();
    }
    let differs = back.iter().zip(&expected).position(|(back, expected)| back != expected);
    if let Some(at) = differs {
        panic!("frame {at} of those that came back is\n{:02x?}, not\n{:02x?}", back[at], expected[at]);
    }
    assert_eq!(back.len(), expected.len(), "frames that came back");
    let news: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (total, live) = news.split_last().unwrap();
    assert!(total["end"] == true && live.iter().all(|news| news["end"] == false));
    assert_eq!(total["verdicts"], *verdicts);
    assert_eq!(total["flows"], with_read_only(report["flows"].clone()));
    assert_eq!(
        (total["frames"].as_u64(), total["forwarded"].as_u64()),
        (Some(frames.len() as u64), Some(expected.len() as u64))
    );
    host::check_traffic(&total["host"], verdicts, &of_host);
    no_mishaps(total);
}

#[test]
fn live_frames_of_one_worker_leave_in_order_and_byte_for_byte_as_replayed() {
    if is_inside("run::live_frames_of_one_worker_leave_in_order_and_byte_for_byte_as_replayed") {
        live_frames_leave_as_replayed(&traffic(MANY), 1);
    }
}

#[test]
fn live_frames_of_three_workers_leave_once_and_byte_for_byte_as_replayed() {
    if is_inside("run::live_frames_of_three_workers_leave_once_and_byte_for_byte_as_replayed") {
        live_frames_leave_as_replayed(&traffic(12_000), 3);
    }
}

/// To which backend the flows of ports go, of which each frame comes back once.
fn backends(wire: &mut Wire, ports: std::ops::Range<u16>, syn: bool) -> BTreeMap<u16, [u8; 4]> {
    let flags = |step: etherparse::PacketBuilderStep<etherparse::TcpHeader>| step.ack(1);
    let frames: Vec<Vec<u8>> = ports
        .clone()
        .map(|port| if syn { segment(VIP, port, &[], |step| step.syn()) } else { segment(VIP, port, &[], flags) })
        .collect();
    let back = wire.exchange(&frames, frames.len());
    assert_eq!(back.len(), frames.len());
    let backend = |frame: &Vec<u8>| frame[OUTER_DESTINATION].try_into().unwrap();
    ports.zip(back.iter().map(backend)).collect()
}

#[test]
fn machine_where_frames_would_not_leave_as_they_should_is_refused() {
    let folder = site();
    let words = ["run", "--config", "site.toml", "--interface"];
    folder.refused(&[&words[..], &["no-such-one"]].concat(), "no-such-one: there is no such network interface here");
    folder.refused(&[&words[..], &["lo"]].concat(), "lo: its frames are not Ethernet");
    folder.refused(&[&words[..], &["lo", "--mode", "xdp"]].concat(), "af-packet");
    if !is_inside("run::machine_where_frames_would_not_leave_as_they_should_is_refused") {
        return;
    }
    // The kernel gives an IPv6 address its route some time after it has been told to.
    let routed = "ip -6 route get 2001:db8::10 2>&1 | grep -q ^local";
    let own_v6 = format!("ip link set lo up; ip addr add 2001:db8::10/128 dev lo; until {routed}; do sleep 0.01; done");
    let unrouted = "ip addr add fd00::9/64 dev near nodad; ip -6 route del blackhole 2001:db8::10/128";
    for (prepare, wrapper, says) in [
        ("ip link set near down", "", "near: the interface is down: ip link set near up"),
        (":", "setpriv --bounding-set=-net_raw --inh-caps=-net_raw", "run this as root"),
        ("ip addr add 192.0.2.20/24 dev near", "", "error: site.toml: 192.0.2.20 is an address of this machine"),
        ("ip addr add 192.0.2.20/24 dev near", "", "ip addr del 192.0.2.20/32 dev DEVICE"),
        (&own_v6, "", "2001:db8::10 is an address of this machine"),
        (
            "echo 1 >/proc/sys/net/ipv4/conf/near/forwarding",
            "",
            "ip -4 route add blackhole 192.0.2.10/32\n  this machine",
        ),
        ("echo 1 >/proc/sys/net/ipv4/conf/near/forwarding", "", "ip -4 route add blackhole 192.0.2.20/32\n"),
        (
            "echo 1 >/proc/sys/net/ipv4/conf/near/forwarding",
            "",
            "site.toml: 2 of its addresses cannot be served here:\n",
        ),
        (unrouted, "", "no route to 2001:db8::10, so its kernel would tell clients"),
    ] {
        let script = format!("{prepare}; exec {wrapper} \"$0\" run --config site.toml --interface near");
        let ran = Machine::new(&folder, &script).ended();
        assert!(ran.code == 2 && ran.stderr.starts_with("error: ") && ran.stderr.contains(says), "{says:?}: {ran:?}");
        assert_eq!(ran.stdout, "", "{says:?}");
    }
    // What the last was told to do, and it runs, as long as there is an interface.
    let routes = [10, 20].map(|host| format!("ip route add blackhole 192.0.2.{host}/32; ")).concat();
    let script = format!(
        "echo 1 >/proc/sys/net/ipv4/conf/near/forwarding; {routes} exec \"$0\" run --config site.toml --interface near"
    );
    let mut machine = Machine::new(&folder, &script);
    assert!(machine.line().contains("site.toml serves, 1 worker"));
    network::remove_wire();
    let ran = machine.ended().ended(2).says("near: 0 frames in ");
    assert_eq!(ran.stderr, "error: near: the interface has been removed; start again when it is back\n");
    assert!(!ran.stdout.contains("verdict"), "a table of nothing: {}", ran.stdout);
}

/// Two frames of each flow, after which it is established.
fn flows(ports: std::ops::Range<u16>) -> Vec<Vec<u8>> {
    let both = |port| [segment(VIP, port, &[], |step| step.syn()), segment(VIP, port, &[], |step| step.ack(1))];
    ports.flat_map(both).collect()
}

#[test]
fn flow_table_that_is_full_is_said_once_and_counted() {
    if !is_inside("run::flow_table_that_is_full_is_said_once_and_counted") {
        return;
    }
    let folder = site();
    let small = "[geometry]\nbus_bytes = 32\nservices = 16\nbackends = 64\nlookup_entries = 8192\nflow_sets = 16\n";
    folder.put("site.toml", format!("{small}{}", SITE.replace("geometry = \"lab\"\n", "")));
    let mut machine = Machine::new(&folder, "exec \"$0\" run --config site.toml --interface near");
    assert!(
        machine
            .line()
            .ends_with("site.toml serves, 1 worker, room for 128 flows; SIGHUP reads it again, Ctrl-C ends it")
    );
    let mut stderr = machine.stderr();
    // 16 sets of 8: far more flows than that, and then a few more.
    let wire = &mut Wire::new();
    assert_eq!(wire.exchange(&flows(10_000..11_000), 2_000).len(), 2_000);
    assert_eq!(wire.exchange(&flows(11_000..11_010), 20).len(), 20, "all are forwarded");
    let live = loop {
        let line = machine.line();
        if line.contains(", 128 flows, ") {
            break line;
        }
    };
    assert!(live.starts_with("20") && live[19..].starts_with(" UTC: ") && live.ends_with(" table_full"), "{live}");
    machine.signal("-TERM");
    let ran = machine.ended().ended(0);
    let mut rows = ran.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let count = rows.find(|row| row.first() == Some(&"table_full")).unwrap()[1];
    assert!(ran.stdout.ends_with(&format!(", 128 flows, {count} table_full\n")), "{}", ran.stdout);
    let told = stderr.rest();
    assert!(
        told.starts_with("note: flow table full: no room for the flows of ") && told.lines().count() == 1,
        "{told}"
    );
    assert!(
        told.contains("only for 128 flows in all") && told.contains("(\"alveo\" has room for 1,048,576)"),
        "{told}"
    );
}

#[test]
fn quiet_run_says_what_is_wrong_and_what_there_was() {
    if !is_inside("run::quiet_run_says_what_is_wrong_and_what_there_was") {
        return;
    }
    let folder = site();
    folder.put("site.toml", SITE.replace("geometry = \"lab\"\n", ""));
    let run = "timeout -s INT 3 \"$0\" run --config site.toml --interface near --quiet";
    let ran = Machine::new(&folder, run).ended().ended(124);
    assert_eq!(ran.stdout.lines().count(), 3, "{}", ran.stdout);
    let says =
        "note: the configuration names no geometry, so the flow table has room for 8,192 flows; geometry = \"alveo\"";
    assert!(ran.stderr.starts_with(says), "{}", ran.stderr);
    let ran = Machine::new(&folder, &format!("{run} --json")).ended().ended(124);
    let total: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&total["end"], &total["flows_max"]), (&true.into(), &8_192.into()));
    assert!(total["time_ns"].as_u64() > Some(1_700_000_000_000_000_000));
}
