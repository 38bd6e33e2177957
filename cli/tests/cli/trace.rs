//! Goal: `maglane replay --trace` tells each frame's way, for a person and for a script, and never another way than the
//! pipeline's.
//!
//! Method: made frames whose trace is committed, read by a person once; and all frames of all committed captures, whose
//! traces are held against the pipeline, the configuration and the contract's page.

mod frames;

use std::fs;
use std::path::{Path, PathBuf};

use maglane_spec::limit::{NO_BACKEND, NO_SERVICE};
use maglane_spec::verdict::Egress;
use maglane_sw::Pipeline;
use maglane_sw::engine::{Engine, Frame};
use maglane_sw::io::capture::{Capture, CaptureWriter};
use maglane_table::Config;
use serde_json::Value;

use super::{Folder, bad_captures, project, web};

const TRACE: [&str; 6] = ["replay", "--config", "web.toml", "--in", "web.pcap", "--trace"];

/// A directory with `site.toml` and `made.pcap`.
fn made(frames: &[(u64, Vec<u8>)]) -> Folder {
    let folder = Folder::new();
    folder.put("site.toml", include_str!("trace/site.toml"));
    let mut writer = CaptureWriter::create(&folder.path("made.pcap")).unwrap();
    for (time_ns, bytes) in frames {
        writer.write(&Frame { time_ns: *time_ns, bytes }).unwrap();
    }
    writer.finish().unwrap();
    folder
}

/// Compares a text with a committed one; with `MAGLANE_WRITE_GOLDEN` set, commits it.
#[track_caller]
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/trace").join(name);
    if std::env::var_os("MAGLANE_WRITE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap();
    for (number, (line, expected)) in (1..).zip(text.lines().zip(expected.lines())) {
        assert_eq!(line, expected, "{name}:{number}");
    }
    assert_eq!(text, expected, "{name}");
}

#[test]
fn ways_of_made_frames_are_told() {
    let words = ["replay", "--config", "site.toml", "--in", "made.pcap", "--trace"];
    let ran = made(&frames::ways()).run(&words).ended(0);
    assert_eq!(ran.stderr, "");
    golden("ways.txt", &ran.stdout);
}

#[test]
fn ends_of_refused_frames_are_told() {
    let words = ["replay", "--config", "site.toml", "--in", "made.pcap", "--trace"];
    let ran = made(&frames::refused()).run(&words).ended(0);
    golden("refused.txt", &ran.stdout);
}

#[test]
fn script_gets_the_same_in_stable_fields() {
    let words = ["replay", "--config", "site.toml", "--in", "made.pcap", "--trace", "--json"];
    let ran = made(&frames::ways()).run(&words).ended(0);
    // What a script reads, field by field: a hit, IPv6 with tag and key, a steered error, two candidates, a steered
    // error about a flow that is not known.
    let chosen: Vec<&str> =
        ran.stdout.lines().enumerate().filter(|(at, _)| [1, 2, 3, 6, 19].contains(at)).map(|(_, line)| line).collect();
    let pretty = chosen.iter().map(|line| {
        let value: Value = serde_json::from_str(line).unwrap();
        serde_json::to_string_pretty(&value).unwrap() + "\n"
    });
    golden("ways.json", &pretty.collect::<String>());
    assert_eq!(ran.stdout.lines().count(), frames::ways().len());
}

/// Stage and verdict of each row of the table in docs/wire-contract.md, by its number.
fn checks() -> Vec<(String, String)> {
    let page = fs::read_to_string(project("docs/wire-contract.md")).unwrap();
    let mut checks = vec![(String::new(), String::new())];
    for line in page.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let [_, number, stage, verdict, ..] = cells[..]
            && number.parse() == Ok(checks.len())
        {
            checks.push((stage.to_owned(), verdict.trim_matches('`').to_owned()));
        }
    }
    checks
}

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(project(folder)).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|found| found == ending)).collect()
}

/// The stage at which a record ends.
fn last_stage(record: &Value) -> &'static str {
    let stages = ["parse", "classify", "flow_hash", "select", "rewrite"];
    let reached: Vec<&str> = stages.into_iter().filter(|stage| !record[stage].is_null()).collect();
    assert_eq!(reached, stages[..reached.len()], "{record}");
    stages[reached.len() - 1]
}

#[track_caller]
fn is_named(named: &Value, id: u16, names: &[&str]) {
    assert_eq!(named["id"], id, "{named}");
    assert_eq!(named["name"], names[usize::from(id)], "{named}");
}

/// The sum of the wire contract, redone with the numbers that the trace shows.
fn check_lookup(lookup: &Value) {
    let m = lookup["table_size"].as_u64().unwrap();
    for slot in lookup["slots"].as_array().unwrap() {
        let index = slot["index"].as_u64().unwrap();
        match slot["bits"].as_u64() {
            Some(bits) => assert_eq!(index, (bits * m) >> 32, "{lookup}"),
            None => {
                let (turn, next) =
                    (lookup["turn"]["before"].as_u64().unwrap(), lookup["turn"]["after"].as_u64().unwrap());
                assert_eq!(index, if turn < m { turn } else { 0 }, "{lookup}");
                assert!(next == index + 1 || next == turn, "{lookup}");
            }
        }
    }
}

/// Holds the trace of a capture against the pipeline; yields how many frames reached rewrite.
fn check_trace(config: &Path, capture: &Path, checks: &[(String, String)]) -> usize {
    let parsed = Config::parse("config", &fs::read_to_string(config).unwrap()).unwrap();
    let services: Vec<&str> = parsed.services().iter().map(|service| service.name.as_str()).collect();
    let backends = parsed.services().iter().flat_map(|service| &service.backends);
    let backends: Vec<&str> = backends.map(|backend| backend.identity.as_str()).collect();
    let image = parsed.image_by(|_| Some(maglane_table::NO_NEXT_HOP)).unwrap();
    let mut pipeline = Pipeline::new(image.geometry);
    pipeline.load(&image).unwrap();

    let [config, input] = [config, capture].map(|path| path.to_str().unwrap());
    let ran = Folder::new().run(&["replay", "--config", config, "--in", input, "--trace", "--json"]).ended(0);
    let mut lines = ran.stdout.lines();
    let (mut out, mut rewritten) = (Vec::new(), 0);
    for (number, frame) in (1_u64..).zip(Capture::open(capture).unwrap().frames()) {
        let frame = frame.unwrap();
        let record: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        let done = pipeline.process_frame(frame.time_ns, frame.bytes, &mut out);
        let place = format!("{input}: frame {number}: {record}");
        assert_eq!(record["frame"], number, "{place}");
        assert_eq!((&record["time_ns"], &record["bytes"]), (&frame.time_ns.into(), &frame.bytes.len().into()));
        let end = &record["verdict"];
        assert_eq!((&end["name"], &end["bytes"]), (&done.verdict.name().into(), &out.len().into()), "{place}");
        let egress = match done.verdict.egress() {
            Egress::Wire => "wire",
            Egress::Host => "host",
            Egress::Nowhere => "nowhere",
        };
        assert_eq!(end["egress"], egress, "{place}");
        let (stage, verdict) = &checks[usize::try_from(end["check"].as_u64().unwrap()).unwrap()];
        assert_eq!((stage.as_str(), verdict.as_str()), (last_stage(&record), done.verdict.name()), "{place}");

        match done.service {
            NO_SERVICE => assert!(record["classify"]["service"].is_null(), "{place}"),
            id => is_named(&record["classify"]["service"], id, &services),
        }
        let hash = record["flow_hash"]["h"].as_str().map_or(0, |hash| u64::from_str_radix(hash, 16).unwrap());
        assert_eq!(hash, done.hash, "{place}");
        // An error about a flow reads only, which the pipeline counts as not reached.
        let steered = !record["parse"]["read"]["steered"].is_null() && !record["select"].is_null();
        let outcome = if steered { "read_only" } else { done.flow.name() };
        assert_eq!(record["select"]["outcome"].as_str().unwrap_or("not_reached"), outcome, "{place}");
        assert_eq!(record["select"]["found"].is_null(), !steered, "{place}");
        match done.backend {
            NO_BACKEND => assert!(record["select"]["backend"].is_null(), "{place}"),
            id => is_named(&record["select"]["backend"], id, &backends),
        }
        let select = &record["select"];
        if !select.is_null() {
            assert_eq!(select["entry"]["hit"] == true, select["lookup"].is_null(), "{place}");
            assert_eq!(select["written"].is_null(), !["hit", "inserted"].contains(&done.flow.name()), "{place}");
            assert_ne!(select["written"].is_null(), select["unwritten"].is_null(), "{place}");
        }
        if !select["lookup"].is_null() {
            check_lookup(&select["lookup"]);
            let taken = select["lookup"]["taken"].as_u64().map(|at| usize::try_from(at).unwrap());
            let backend = taken.map_or(&Value::Null, |at| &select["lookup"]["slots"][at]["backend"]);
            assert_eq!(backend, &select["backend"], "{place}");
        }
        rewritten += usize::from(!record["rewrite"].is_null());
    }
    assert_eq!(lines.next(), None);
    rewritten
}

#[test]
fn trace_is_the_way_of_the_pipeline_for_every_committed_frame() {
    let checks = checks();
    assert_eq!(checks.last().unwrap(), &("rewrite".to_owned(), "forward".to_owned()));
    let configs = [files("examples", "toml"), files("tests/corpus", "toml")].concat();
    let captures = [files("tests/captures", "pcap"), files("tests/corpus", "pcap")].concat();
    assert!(configs.len() >= 6 && captures.len() >= 9, "{configs:?} {captures:?}");
    let mut rewritten = 0;
    for config in &configs {
        rewritten += captures.iter().map(|capture| check_trace(config, capture, &checks)).sum::<usize>();
    }
    assert!(rewritten > 5_000, "{rewritten}: the captures hardly reach the last stage");
}

#[test]
fn made_frames_are_the_way_of_the_pipeline_too() {
    for frames in [frames::ways(), frames::refused()] {
        let folder = made(&frames);
        check_trace(&folder.path("site.toml"), &folder.path("made.pcap"), &checks());
    }
}

#[test]
fn chosen_frames_are_told_as_they_are_among_all() {
    let folder = web();
    let run = |words: &[&str]| folder.run(&[&TRACE[..], words].concat()).ended(0).stdout;
    let all = run(&[]);
    assert_eq!(all.split("\n\n").filter(|text| !text.is_empty()).count(), 1_843);
    assert!(!all.contains('\u{1b}'), "colours are for terminals");
    let (one, four) = (run(&["--frames", "22"]), run(&["--frames", "22-25"]));
    assert!(one.starts_with("frame 22, ") && all.contains(&one) && four.starts_with(&one), "{one}");
    assert!(all.contains(&four) && four.contains("\nframe 25, ") && !four.contains("\nframe 26, "), "{four}");
    assert!(one.contains("hit") && one.contains("frame 18, "), "the frames before it count too: {one}");
    assert_eq!(run(&["--frames", "1843-9999"]).matches("\nframe ").count(), 0);
    // Ranges without one of the ends.
    let last = run(&["--frames", "1842-"]);
    assert!(last.starts_with("frame 1842, ") && all.ends_with(&last) && last.contains("\nframe 1843, "), "{last}");
    let first = run(&["--frames", "-2"]);
    assert!(all.starts_with(&first) && first.contains("\nframe 2, ") && !first.contains("\nframe 3, "), "{first}");
    assert_eq!(folder.files(), ["web.pcap", "web.toml"], "nothing is written");
}

#[test]
fn readme_shows_what_the_command_says() {
    let readme = fs::read_to_string(project("README.md")).unwrap();
    let mut blocks = readme.split("## Look inside").nth(1).unwrap().split("```\n").skip(1).step_by(2);
    let words: Vec<&str> = blocks.next().unwrap().split_whitespace().skip(1).collect();
    let output = web().command(&words).current_dir(project(".")).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let mut lines = told.lines();
    for shown in blocks.next().unwrap().lines().filter(|line| line.trim() != "...") {
        assert!(lines.any(|line| line == shown), "{shown:?} is not in\n{told}");
    }
}

#[test]
fn trace_can_write_what_is_forwarded_too() {
    let folder = web();
    let plain = ["replay", "--config", "web.toml", "--in", "web.pcap", "--out", "plain.pcap", "--json"];
    let forwarded = &folder.run(&plain).ended(0).json()["forwarded"];
    let words = [&TRACE[..], &["--frames", "3", "--out", "traced.pcap"]].concat();
    let ran = folder.run(&words).ended(0).says("frame 3, ").says(&format!("traced.pcap: {forwarded} forwarded frames"));
    assert!(!ran.stdout.contains("frame 4, "));
    let read = |name: &str| fs::read(folder.path(name)).unwrap();
    assert_eq!(read("plain.pcap"), read("traced.pcap"));
    folder.refused(&[&TRACE[..], &["--out", "web.pcap"]].concat(), "web.pcap: the output would overwrite an input");
}

#[test]
fn wrong_choices_are_refused_before_anything_is_told() {
    let folder = web();
    folder
        .refused(&[&TRACE[..], &["--frames", "1844"]].concat(), "--frames begins at 1,844, but there are 1,843 frames");
    folder.refused(&[&TRACE[..], &["--frames", "0"]].concat(), "frames are counted from 1");
    folder.refused(&["replay", "--config", "web.toml", "--in", "web.pcap", "--frames", "1"], "--trace");
    let aimless = folder.refused(&["replay", "--config", "web.toml", "--in", "web.pcap"], "<--out <FILE>|--trace>");
    assert!(aimless.stderr.contains("required"), "{}", aimless.stderr);
    folder.refused(&[&TRACE[..], &["--frames", "-"]].concat(), "17- to the end, or -20 from the beginning");
    for (name, bytes, place) in bad_captures() {
        folder.put(name, bytes);
        folder.refused(&["replay", "--config", "web.toml", "--in", name, "--trace"], place);
    }
    // The capture is cut behind the frames that are asked for.
    folder.run(&["replay", "--config", "web.toml", "--in", "cut.pcap", "--trace", "--frames", "50"]).ended(0);
    folder.put("none.pcap", &super::capture("web.pcap")[..24]);
    let none = ["replay", "--config", "web.toml", "--in", "none.pcap", "--trace"];
    assert_eq!(folder.run(&none).ended(0).stdout, "");
    folder.refused(&[&none[..], &["--frames", "1-2"]].concat(), "there are 0 frames");
}

#[test]
fn hostile_names_do_not_reach_the_terminal() {
    let folder = made(&frames::ways());
    let trace = |config| ["replay", "--config", config, "--in", "made.pcap", "--trace", "--frames", "1"];
    for hostile in [r"web\u001b[2J", r"web\u202e", r"web\u009b31m", r"web\r"] {
        let config = include_str!("trace/site.toml").replacen("\"web-1\"", &format!("\"{hostile}\""), 1);
        folder.put("hostile.toml", config);
        let ran = folder.refused(&trace("hostile.toml"), "character");
        let obeyed = |char: char| char.is_control() && char != '\n' || char == '\u{202e}';
        assert!(!ran.stderr.contains(obeyed), "{:?}", ran.stderr);
    }
    // What a name may have and a terminal does not obey is shown as it is; a backslash is told from an escape.
    let config = include_str!("trace/site.toml").replacen("\"web-1\"", r"'ä \u{1b}'", 1);
    folder.put("odd.toml", config);
    folder.run(&trace("odd.toml")).ended(0).says(r"ä \\u{1b} (id 0)");
    let record = folder.run(&[&trace("odd.toml")[..], &["--json"]].concat()).ended(0).json();
    assert_eq!(record["select"]["backend"]["name"], r"ä \u{1b}");
}

#[cfg(feature = "lab")]
#[test]
fn trace_looks_into_software_only() {
    web().refused(&[&TRACE[..], &["--engine", "rtl"]].concat(), "engine `software`");
}
