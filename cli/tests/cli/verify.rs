//! Goal: `maglane verify` says yes when engines agree, and when they do not, where, and how to see it again.

use std::process::Command;

use maglane_spec::Stage;
use serde_json::Value;

use super::{Folder, bad_captures, bad_configs, capture, example, web};

const TWO: [&str; 5] = ["verify", "--engines", "software,rtl", "--bus", "32"];

pub(crate) fn two(more: &[&str]) -> Vec<&'static str> {
    // Test programs are short-lived: leaking a few words keeps the calls readable.
    TWO.into_iter().chain(more.iter().map(|&word| &*Box::leak(word.to_owned().into_boxed_str()))).collect()
}

pub(crate) fn verilator_is_missing(what: &str) -> bool {
    let missing = Command::new("verilator").arg("--version").output().is_err();
    if missing {
        assert!(std::env::var_os("MAGLANE_NO_SKIP").is_none(), "skipped: {what}: Verilator is not installed");
        eprintln!("skipped: {what}: Verilator is not installed");
    }
    missing
}

#[test]
fn all_engines_agree_on_the_built_in_capture() {
    if verilator_is_missing("verify with all engines") {
        return;
    }
    let folder = Folder::new();
    let ran = folder.run(&["verify", "--frames", "1-100", "--bus", "both"]).ended(0);
    let ran = ran.says("bus of 32 bytes").says("bus of 64 bytes").says("clocks/frame");
    assert!(ran.stdout.ends_with(
        "software, software-fast, rtl, verilog agree on 100 frames: bytes, verdicts, counters, flow table\n"
    ));
    assert_eq!(ran.stderr, "", "no progress when nobody looks");
    assert!(folder.files().is_empty());
}

#[test]
fn engines_that_the_machine_lacks_are_skipped_by_default_and_an_error_by_name() {
    let folder = Folder::new();
    let run = |words: &[&str]| folder.command(words).env("PATH", "").output().unwrap();
    let output = run(&["verify", "--frames", "1-10", "--bus", "32"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("skipped verilog: Verilator is not installed"), "{text}");
    assert!(text.contains("software, software-fast, rtl agree on 10 frames"), "{text}");
    for words in [&["verify", "--engines", "software,verilog"][..], &["verify", "--plant", "verilog:parse"]] {
        let output = run(words);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("apt-get install verilator"), "{text}");
    }
}

#[test]
fn own_files_are_verified_and_forwarded_frames_written() {
    let folder = web();
    folder.put("dns.pcap", capture("dns.pcap"));
    let words = ["--config", "web.toml", "--capture", "dns.pcap", "--seed", "3", "--out", "verified.pcap"];
    folder.run(&two(&words)).ended(0).says("seed 3").says("verified.pcap").says("agree on");
    folder.run(&["replay", "--config", "web.toml", "--in", "dns.pcap", "--out", "replayed.pcap"]).ended(0);
    let read = |name| std::fs::read(folder.path(name)).unwrap();
    assert_eq!(read("verified.pcap"), read("replayed.pcap"));
}

#[test]
fn frames_are_chosen_by_open_ranges_too() {
    let folder = Folder::new();
    folder.run(&two(&["--frames", "-7"])).ended(0).says("agree on 7 frames");
    folder.run(&two(&["--frames", "1840-"])).ended(0).says("agree on 4 frames");
}

#[test]
fn report_for_a_script_has_all_its_parts() {
    let folder = Folder::new();
    let report = folder.run(&two(&["--frames", "1-40", "--json"])).ended(0).json();
    assert_eq!(report["agree"], true);
    let run = &report["runs"][0];
    assert_eq!((&run["bus_bytes"], &run["frames"]), (&32.into(), &40.into()));
    assert_eq!(run["seed"], Value::Null);
    assert_eq!(run["engines"][1]["name"], "rtl");
    assert!(run["engines"][1]["clocks"].as_u64().unwrap() > 40);
    assert_eq!(run["engines"][0]["clocks"], Value::Null);
    assert_eq!(run["skipped"], Value::Array(Vec::new()));
    let packets: u64 = run["verdicts"].as_object().unwrap().values().map(|one| one["packets"].as_u64().unwrap()).sum();
    assert_eq!(packets, 40);
    let packets: u64 = run["flows"].as_object().unwrap().values().map(|one| one["packets"].as_u64().unwrap()).sum();
    assert_eq!(packets, 40, "what frames met in the flow table");
    for key in ["difference", "replay", "waveform"] {
        assert_eq!(run.get(key), Some(&Value::Null), "{key}");
    }
}

/// First frame of the built-in capture that shows the fault planted in a stage, and frames to look at.
const SHOWS: [(Stage, u64, &str); 5] = [
    (Stage::Parse, 26, "20-30"),
    (Stage::Classify, 1_169, "1165-1170"),
    (Stage::FlowHash, 18, "10-20"),
    (Stage::Select, 119, "110-120"),
    (Stage::Rewrite, 18, "10-20"),
];

#[track_caller]
fn planted(engine: &str) {
    for (stage, number, frames) in SHOWS {
        let folder = Folder::new();
        let plant = format!("{engine}:{}", stage.name());
        let ran = folder.run(&two(&["--plant", &plant, "--frames", frames])).ended(1);
        let first = frames.split('-').next().unwrap();
        let waveform = format!("maglane-frame-{number}.vcd");
        let ran = ran.says("engines differ").says(&format!("frame {number}: "));
        let ran = ran.says(&format!("(stage {})", stage.name())).says(&waveform);
        ran.says(&format!(
            "maglane verify --engines software,rtl --bus 32 --plant {plant} --frames {first}-{number}\n"
        ));
        assert_eq!(folder.files(), std::slice::from_ref(&waveform));
        let text = std::fs::read_to_string(folder.path(&waveform)).unwrap();
        assert!(text.starts_with("$timescale") && text.contains("$enddefinitions"));
    }
}

#[test]
fn fault_planted_in_any_stage_of_the_simulation_is_caught() {
    planted("rtl");
}

#[test]
fn fault_planted_in_any_stage_of_software_is_caught() {
    planted("software");
}

#[test]
fn difference_for_a_script_can_be_replayed_and_seen() {
    let folder = web();
    folder.put("vlan.pcap", capture("vlan.pcap"));
    let words = ["--capture", "vlan.pcap", "web.pcap", "--plant", "rtl:rewrite", "--waveform", "wave.vcd", "--seed=9"];
    let out = ["--config", "web.toml", "--out", "out.pcap", "--json"];
    let ran = folder.run(&two(&[&words[..], &out[..]].concat())).ended(1);
    let report = ran.json();
    let run = &report["runs"][0];
    assert_eq!(report["agree"], false);
    assert_eq!(run["difference"]["stage"], "rewrite");
    assert_eq!(run["difference"]["expected"]["engine"], "software");
    assert_eq!(run["difference"]["found"]["engine"], "rtl");
    assert_eq!(run["waveform"], "wave.vcd");
    assert!(run["place"].as_str().unwrap().ends_with("of vlan.pcap"));
    assert!(folder.path("wave.vcd").exists());
    assert!(!folder.path("out.pcap").exists(), "nothing is forwarded that is not agreed on");
    let replay = run["replay"].as_str().unwrap();
    let words: Vec<&str> = replay.split(' ').skip(1).collect();
    let frame = format!("frame {}: ", run["difference"]["frame"]);
    folder.run(&words).ended(1).says(&frame).says("(stage rewrite)");
}

#[test]
fn fault_in_the_verilog_is_caught_with_a_waveform() {
    if verilator_is_missing("a fault in the Verilog") {
        return;
    }
    let folder = Folder::new();
    let words = ["verify", "--engines", "software,verilog", "--bus", "32", "--plant", "verilog:rewrite"];
    folder.run(&words).ended(1).says("(stage rewrite)").says("maglane-frame-18.vcd");
    assert_eq!(folder.files(), ["maglane-frame-18.vcd"]);
}

#[test]
fn capture_without_packets_agrees_on_nothing() {
    let folder = Folder::new();
    folder.put("none.pcap", &capture("web.pcap")[..24]);
    folder.run(&two(&["--capture", "none.pcap"])).ended(0).says("software, rtl agree on 0 frames: bytes");
}

#[test]
fn frame_of_no_bytes_is_refused_where_a_card_takes_part() {
    let folder = Folder::new();
    let mut bytes = capture("web.pcap")[..24].to_vec();
    bytes.extend([0; 16]);
    folder.put("empty.pcap", &bytes);
    folder.refused(&two(&["--capture", "empty.pcap"]), "frame 1 has 0 bytes");
}

#[test]
fn bad_captures_are_refused() {
    for (name, bytes, place) in bad_captures() {
        let folder = web();
        folder.put(name, bytes);
        folder.refused(&two(&["--capture", "web.pcap", name, "--out", "out.pcap"]), place);
    }
}

#[test]
fn configuration_without_next_hops_is_verified_all_the_same() {
    let folder = web();
    let config: String = example("web.toml")
        .lines()
        .filter(|line| !line.starts_with("next_hop_mac"))
        .fold(String::new(), |text, line| text + line + "\n");
    folder.put("web.toml", config);
    let words = ["verify", "--config", "web.toml", "--capture", "web.pcap", "--engines", "software,software-fast"];
    folder.run(&words).ended(0).says("software, software-fast agree on 1,843 frames");
}

#[test]
fn bad_configurations_are_refused() {
    for (name, bytes, place) in bad_configs() {
        let folder = web();
        folder.put(name, bytes);
        folder.refused(&two(&["--config", name, "--out", "out.pcap"]), place);
    }
}

#[test]
fn bad_requests_are_refused() {
    let folder = web();
    folder.put("sume.toml", example("web.toml").replace("\"lab\"", "\"sume\""));
    for (words, place) in [
        (&["--capture", "no.pcap"][..], "no.pcap: cannot open"),
        (&["--config", "no.toml"], "no.toml: cannot open"),
        (&["--out", "none/out.pcap"], "none/out.pcap: there is no directory none"),
        (&["--report", "none/out.html"], "none/out.html: there is no directory none"),
        (&["--report", "."], ".: not a regular file"),
        (&["--config", "web.toml", "--report", "web.toml"], "web.toml: the output would overwrite an input"),
        (&["--out", "a", "--report", "a"], "a: --out and --report name the same file"),
        (&["--report", "a", "--waveform", "a"], "a: --report and --waveform name the same file"),
        (&["--waveform", "none/wave.vcd"], "none/wave.vcd: there is no directory none"),
        (&["--capture", "web.pcap", "--out", "web.pcap"], "web.pcap: the output would overwrite an input"),
        (&["--config", "web.toml", "--waveform", "web.toml"], "web.toml: the output would overwrite an input"),
        (&["--out", "same", "--waveform", "same"], "same: --out and --waveform"),
        (&["--frames", "1844-2000"], "--frames begins at 1,844, but there are 1,843 frames"),
        (&["--frames", "0-3"], "frames are counted from 1"),
        (&["--frames", "3-2"], "the first number is greater"),
        (&["--plant", "verilog:parse"], "engine `verilog` does not take part"),
        (&["--plant", "rtl:hash"], "flow_hash"),
    ] {
        folder.refused(&two(words), place);
    }
    for (words, place) in [
        (&["verify", "--engines", "software"][..], "it takes two at least"),
        (&["verify", "--engines", "rtl,rtl"], "`rtl` twice"),
        (&["verify", "--engines", "software,vhdl"], "software, software-fast, rtl, verilog"),
        (&["verify", "--bus", "16"], "32 or 64"),
        (
            &["verify", "--config", "sume.toml", "--bus", "64", "--engines", "software,rtl"],
            "no gateware is built for bus_bytes 64",
        ),
    ] {
        folder.refused(words, place);
    }
}
