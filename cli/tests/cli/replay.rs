//! Goal: `maglane replay` writes what is forwarded, whole or not at all.

use maglane_sw::io::capture::Capture;

use super::{bad_captures, bad_configs, example, web};

const REPLAY: [&str; 7] = ["replay", "--config", "web.toml", "--in", "web.pcap", "--out", "out.pcap"];

#[test]
fn replay_writes_forwarded_frames_with_their_times() {
    let folder = web();
    folder.run(&REPLAY).ended(0).says("1,843 frames").says("out.pcap: 881 forwarded frames");
    let input = Capture::open(&folder.path("web.pcap")).unwrap();
    let times: Vec<u64> = input.frames().map(|frame| frame.unwrap().time_ns).collect();
    let out = Capture::open(&folder.path("out.pcap")).unwrap();
    let frames: Vec<_> = out.frames().map(Result::unwrap).collect();
    assert_eq!(frames.len(), 881);
    assert!(frames.iter().all(|frame| times.contains(&frame.time_ns)));
    assert_eq!(folder.files(), ["out.pcap", "web.pcap", "web.toml"]);
}

#[test]
fn replay_tells_a_script_the_verdicts() {
    let folder = web();
    let report = folder.run(&[&REPLAY[..], &["--json"]].concat()).ended(0).json();
    assert_eq!(report["engine"], "software");
    assert_eq!(report["frames"], 1_843);
    assert_eq!(report["forwarded"], 881);
    assert_eq!(report["verdicts"]["forward"]["packets"], 881);
    assert!(report["verdicts"].get("drop_too_long").is_none(), "verdicts that did not occur are left out");
}

#[test]
fn what_frames_met_in_the_flow_table_adds_up_to_all_frames() {
    let folder = web();
    let report = folder.run(&[&REPLAY[..], &["--json"]].concat()).ended(0).json();
    let sum = |key: &str, of: &str| -> u64 {
        report[key].as_object().unwrap().values().map(|count| count[of].as_u64().unwrap()).sum()
    };
    assert_eq!(sum("flows", "packets"), 1_843);
    for of in ["packets", "bytes"] {
        assert_eq!(sum("flows", of), sum("verdicts", of), "{of}");
    }
    // Who comes to the flow table is forwarded or too big, errors about flows too, which only read there.
    let packets = |key: &str, name: &str| report[key][name]["packets"].as_u64().unwrap_or(0);
    let reached: u64 = ["hit", "inserted", "stateless", "read_only"].map(|name| packets("flows", name)).iter().sum();
    assert_eq!(reached, packets("verdicts", "forward") + packets("verdicts", "pass_too_big"));
    assert!(packets("flows", "read_only") > 0);
    folder.run(&REPLAY).ended(0).says("  read_only  ").says("  not_reached  ");
}

#[cfg(feature = "lab")]
#[test]
fn replay_through_the_simulation_writes_the_same() {
    let folder = web();
    folder.put("web.pcap", super::capture("dns.pcap"));
    folder.run(&REPLAY).ended(0);
    let software = std::fs::read(folder.path("out.pcap")).unwrap();
    folder.run(&[&REPLAY[..], &["--engine", "rtl", "--seed", "5"]].concat()).ended(0).says("clocks");
    assert_eq!(std::fs::read(folder.path("out.pcap")).unwrap(), software);
}

#[cfg(not(feature = "lab"))]
#[test]
fn simulated_engines_need_the_laboratory() {
    web().refused(&[&REPLAY[..], &["--engine", "rtl"]].concat(), "feature `lab`");
}

#[test]
fn bad_captures_are_refused() {
    for (name, bytes, place) in bad_captures() {
        let folder = web();
        folder.put(name, bytes);
        folder.refused(&["replay", "--config", "web.toml", "--in", name, "--out", "out.pcap"], place);
    }
}

#[test]
fn bad_configurations_are_refused() {
    for (name, bytes, place) in bad_configs() {
        let folder = web();
        folder.put(name, bytes);
        folder.refused(&["replay", "--config", name, "--in", "web.pcap", "--out", "out.pcap"], place);
    }
}

#[test]
fn missing_files_are_refused() {
    let folder = web();
    folder.refused(&["replay", "--config", "no.toml", "--in", "web.pcap", "--out", "out.pcap"], "no.toml: cannot open");
    folder.refused(&["replay", "--config", "web.toml", "--in", "no.pcap", "--out", "out.pcap"], "no.pcap: cannot open");
}

#[test]
fn outputs_that_cannot_be_or_would_overwrite_are_refused() {
    let folder = web();
    let out = |out| ["replay", "--config", "web.toml", "--in", "web.pcap", "--out", out];
    folder.refused(&out("none/out.pcap"), "none/out.pcap: there is no directory none");
    folder.refused(&out("."), ".: not a regular file");
    folder.refused(&out("web.pcap"), "web.pcap: the output would overwrite an input");
    folder.refused(&out("./web.toml"), "./web.toml: the output would overwrite an input");
    assert_eq!(std::fs::read(folder.path("web.pcap")).unwrap(), super::capture("web.pcap"));
}

#[test]
fn failed_replay_keeps_what_was_there() {
    let folder = web();
    folder.put("cut.pcap", &super::capture("web.pcap")[..20_000]).put("out.pcap", "before");
    folder.refused(&["replay", "--config", "web.toml", "--in", "cut.pcap", "--out", "out.pcap"], "packet 51");
    assert_eq!(std::fs::read(folder.path("out.pcap")).unwrap(), b"before");
}

#[test]
fn capture_without_packets_gives_a_capture_without_packets() {
    let folder = web();
    folder.put("none.pcap", &super::capture("web.pcap")[..24]);
    let words = ["replay", "--config", "web.toml", "--in", "none.pcap", "--out", "out.pcap"];
    folder.run(&words).ended(0).says("0 frames").says("0 forwarded frames");
    assert_eq!(Capture::open(&folder.path("out.pcap")).unwrap().frames().count(), 0);
}

#[test]
fn next_hops_that_the_neighbour_table_has_are_taken_from_the_command_line() {
    let folder = web();
    folder.run(&REPLAY).ended(0);
    let macs = |expected: &[[u8; 6]]| {
        let (named, other) = (Capture::open(&folder.path("out.pcap")).unwrap(), "server.pcap");
        let other = Capture::open(&folder.path(other)).unwrap();
        let mut macs: Vec<[u8; 6]> = Vec::new();
        for (named, other) in named.frames().zip(other.frames()).map(|(named, other)| (named.unwrap(), other.unwrap()))
        {
            assert_eq!(named.bytes[6..], other.bytes[6..], "nothing else differs");
            macs.push(other.bytes[..6].try_into().unwrap());
        }
        assert_eq!(macs.len(), 881);
        macs.sort_unstable();
        macs.dedup();
        assert_eq!(macs, expected);
    };
    folder.put("server.toml", example("web.toml").replace("next_hop_mac = \"02:00:00:00:00:fe\"\n", ""));
    let replay = ["replay", "--config", "server.toml", "--in", "web.pcap", "--out", "server.pcap"];
    let own = [2, 0, 0, 0, 0, 0xfd];
    let ran = folder.run(&replay).ended(0);
    assert!(
        ran.stderr.starts_with("note: the configuration names no next_hop_mac for 14 backends: "),
        "{}",
        ran.stderr
    );
    macs(&[[0; 6], own]);
    let ran = folder.run(&[&replay[..], &["--next-hop-mac", "02:00:00:00:00:77"]].concat()).ended(0);
    assert_eq!(ran.stderr, "");
    macs(&[[2, 0, 0, 0, 0, 0x77], own]);
    folder.refused(&[&replay[..], &["--next-hop-mac", "ff:ff:ff:ff:ff:ff"]].concat(), "is a group MAC address");

    let trace = ["replay", "--config", "server.toml", "--in", "web.pcap", "--trace", "--frames", "22"];
    let ran = folder.run(&trace).ended(0).says("as the neighbour table says where this runs, from 02:00:00:00:00:01");
    assert_eq!(ran.stderr, "");
    let record = folder.run(&[&trace[..], &["--json"]].concat()).ended(0).json();
    assert_eq!((&record["verdict"]["name"], record["rewrite"]["next_hop_mac"].is_null()), (&"forward".into(), true));
    let words = [&trace[..], &["--next-hop-mac", "02:00:00:00:00:77"]].concat();
    folder.run(&words).ended(0).says("02:00:00:00:00:77, from 02:00:00:00:00:01");
}
