//! Goal: real TCP connections pass the simulated gateware and reach their backends, and stay with them when tables change;
//! what the card counts is what was sent.
//!
//! Method: `tests/lab/curl.sh`, which makes a network of namespaces around `maglane card serve`. The kernels of its machines
//! are the judges: they answer only packets that are right in every byte, and count what they have sent and received. Here
//! it is bounded in time, and what it tells is looked at.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::bench;
use crate::lab;

/// How long the lab may take when others are on the same processors; alone it takes ten seconds.
const DEADLINE: Duration = Duration::from_secs(120);
/// What the script ends with where it cannot be run.
const LACKING: i32 = 77;
/// Connections behind each line of answers.
const REQUESTS: u64 = 24;
/// Of a connection, the least: SYN, acknowledgement, request, FIN.
const SEGMENTS_MIN: u64 = 4;

#[test]
fn curl_meets_both_backends_through_the_card_and_a_drained_one_keeps_its_connection() {
    // Builds the model if need be, which takes longer than the lab itself.
    if lab::card().is_none() {
        return;
    }
    let programs = Path::new(env!("CARGO_BIN_EXE_decapsulate")).parent().unwrap();
    build_maglane();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("output");
    let output = File::create(&path).unwrap();
    let lab = Command::new("bash")
        .arg(bench::root().join("tests/lab/curl.sh"))
        .arg(programs)
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn();
    let lab = match lab {
        Ok(lab) => Running(lab),
        Err(error) => return bench::skipped(&format!("curl through the card: bash: {error}")),
    };
    let status = lab.wait(Instant::now() + DEADLINE);
    let told = std::fs::read_to_string(path).unwrap();
    match status {
        Some(0) => judge(&told),
        Some(LACKING) => bench::skipped(&format!("curl through the card: {}", told.trim())),
        status => panic!("the lab ended with {status:?}:\n{told}"),
    }
}

/// The lab says what happened; this is what should have.
fn judge(told: &str) {
    println!("{told}");
    let part = |begin: &str, end: &str| {
        let rest = told.lines().find_map(|line| line.strip_prefix(begin)).expect(begin);
        rest.split(end).next().unwrap().to_owned()
    };
    let drained = part("a connection to ", " is open");
    let other = if drained == "web-1" { "web-2" } else { "web-1" };
    for address in ["http://192.0.2.10/", "http://[2001:db8::10]/"] {
        let [before, after] = answers(told, address);
        assert!(before.len() == 2, "{address}: only one backend answers: {before:?}");
        assert_eq!(after, [(REQUESTS, other.to_owned())], "{address}: new connections go to who is not drained");
    }
    assert_eq!(part("the open connection: ", "\n"), format!("{drained} begins, {drained} goes on, {drained} ends"));

    // What the client's kernel sent, what the card counted, what came out of the tunnels, and what the server saw.
    let sent = number(&part("the client sent ", " "));
    let forwarded = number(part("  forward ", "\n").trim_start());
    let tunnelled = ["web-1 got ", "web-2 got "].map(|name| number(told.split(name).nth(1).unwrap()));
    let seen = number(told.split(" in: ").nth(1).unwrap());
    assert!(sent >= 5 * REQUESTS * SEGMENTS_MIN, "{sent}");
    assert_eq!([forwarded, tunnelled[0] + tunnelled[1], seen], [sent; 3]);
}

/// Who answered how often, before and after a backend was drained.
fn answers(told: &str, address: &str) -> [Vec<(u64, String)>; 2] {
    let lines = told.lines().filter_map(|line| line.strip_prefix(address)?.split_once("answers: "));
    let lines: Vec<Vec<(u64, String)>> = lines
        .map(|(_, names)| {
            let named = names.split(", ").map(|name| name.split_once(" from ").unwrap());
            named.map(|(count, name)| (number(count), name.to_owned())).collect()
        })
        .collect();
    for line in &lines {
        assert_eq!(line.iter().map(|(count, _)| count).sum::<u64>(), REQUESTS, "{address}: {line:?}");
        assert!(line.iter().all(|(_, name)| ["web-1", "web-2"].contains(&&**name)), "{address}: {line:?}");
    }
    lines.try_into().unwrap()
}

/// A number as a person reads it, at the begin of a text.
fn number(text: &str) -> u64 {
    let digits = text.chars().take_while(|char| char.is_ascii_digit() || *char == ',').filter(|char| *char != ',');
    digits.collect::<String>().parse().unwrap()
}

/// Builds the program as the build of all tests does, so that nothing is built twice; mostly it is there already.
fn build_maglane() {
    let status = Command::new(env!("CARGO"))
        .args(["test", "--locked", "--quiet", "--workspace", "--features", "maglane-sw/fault", "--no-run"])
        .args(["--test", "cli"])
        .current_dir(bench::root())
        .status();
    assert!(status.unwrap().success(), "maglane does not build");
}

/// The script under way; it cleans up when it is told to end.
struct Running(Child);

impl Running {
    /// Its exit code, if it ends in time.
    fn wait(mut self, until: Instant) -> Option<i32> {
        while Instant::now() < until {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            thread::sleep(Duration::from_millis(50));
        }
        None
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ended = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
            let _ended = self.0.wait();
        }
    }
}
