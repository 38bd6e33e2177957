//! Goal: the committed captures of made frames agree in all engines, and are what their generators make.
//!
//! Method: `collisions.pcap` with its configuration, and `families.pcap`, follow from a seed; `make corpus` writes them
//! again.
//! The simulation takes part too, which is slow, so the captures are short.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use maglane_hw::profile::Profile;
use maglane_sim::Stimulus;
use maglane_sim::crosscheck::{BATCH, Lockstep};
use maglane_sim::lineup::Kind;
use maglane_spec::{FlowOutcome, TableImage};
use maglane_sw::engine::{Counters, Frame};
use maglane_sw::io::capture::{Capture, CaptureWriter};

use crate::bench::{self, Random};
use crate::flows::{self, Traffic};
use crate::generator;

const SEED: u64 = 22;
const FRAMES: usize = 1_000;

/// A capture as bytes.
fn pcap(frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let made = std::env::temp_dir().join(format!("maglane-corpus-{}-{number}.pcap", std::process::id()));
    let mut writer = CaptureWriter::create(&made).unwrap();
    for (time_ns, bytes) in frames {
        writer.write(&Frame { time_ns: *time_ns, bytes }).unwrap();
    }
    writer.finish().unwrap();
    let capture = fs::read(&made).unwrap();
    fs::remove_file(&made).unwrap();
    capture
}

/// That a committed file is what has just been made; writes it where that is asked for.
fn check(name: &str, made: &[u8]) {
    let path = bench::root().join("tests/corpus").join(name);
    if std::env::var_os("MAGLANE_WRITE_CORPUS").is_some() {
        fs::write(&path, made).unwrap();
    }
    assert!(fs::read(&path).unwrap() == made, "{name} is out of date: run make corpus");
}

#[test]
fn corpus_is_what_its_seed_makes() {
    let header = "# Services of every selection, for collisions.pcap. Made by `make corpus`.\n\n";
    check("collisions.toml", (header.to_owned() + &flows::config(SEED)).as_bytes());
    let mut traffic = Traffic::new(Random(SEED), &flows::image(Profile::Lab, SEED), 100);
    let collisions: Vec<_> = (0..FRAMES).map(|_| traffic.next()).collect();
    check("collisions.pcap", &pcap(&collisions));
    let mut random = Random(SEED);
    let mut families = Vec::new();
    while families.len() < FRAMES {
        let frame = generator::frame(&mut random);
        // What a capture file of normal size would hold.
        if frame.len() <= 1_600 {
            families.push((families.len() as u64 * 100_000, frame));
        }
    }
    check("families.pcap", &pcap(&families));
}

/// A configuration and a capture of the corpus, by name.
fn load(name: &str) -> (TableImage, Capture<'static>) {
    let folder = bench::root().join("tests/corpus");
    let text = fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap();
    (bench::tables(&text), Capture::open(&folder.join(format!("{name}.pcap"))).unwrap())
}

/// Runs a capture of the corpus through engines; the counters.
fn agree(name: &str, profile: Profile, stimulus: Stimulus, kinds: &[Kind]) -> Counters {
    let (image, capture) = load(name);
    let frames: Vec<Frame<'_>> = capture.frames().map(|frame| frame.unwrap()).collect();
    let mut lockstep = Lockstep::new(bench::lineup(kinds, profile, stimulus), &image).unwrap();
    for batch in frames.chunks(BATCH) {
        if let Err(difference) = lockstep.process(batch).unwrap() {
            panic!("{name}, {}: {difference}", profile.name());
        }
    }
    match lockstep.remembered().unwrap() {
        Ok((counters, _)) => counters,
        Err(difference) => panic!("{name}, {}: {difference}", profile.name()),
    }
}

#[test]
fn corpus_agrees_in_all_engines() {
    for (profile, stimulus, kinds) in [
        (Profile::Lab, Stimulus::SMOOTH, &[Kind::Verilog][..]),
        (Profile::Lab64, Stimulus::from_seed(1), &[Kind::Rtl, Kind::Verilog]),
    ] {
        let counters = agree("collisions", profile, stimulus, kinds);
        for outcome in FlowOutcome::ALL {
            assert!(counters.flows[usize::from(outcome.code())].packets > 0, "{} is never met", outcome.name());
        }
    }
    for (profile, stimulus, kinds) in [
        (Profile::Lab, Stimulus::from_seed(2), &[Kind::Rtl, Kind::Verilog][..]),
        (Profile::Lab64, Stimulus::SMOOTH, &[Kind::Verilog]),
    ] {
        let counters = agree("families", profile, stimulus, kinds);
        assert!(counters.verdicts[0].packets > 300, "hardly anything is forwarded");
    }
}
