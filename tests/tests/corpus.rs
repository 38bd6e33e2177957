//! Goal: the committed capture of colliding flows agrees in all engines, and is what its generator makes.
//!
//! Method: `tests/corpus/collisions.pcap` and its configuration follow from a seed; `make corpus` writes them again.
//! The simulation takes part too, which is slow, so the capture is short.

use std::fs;

use maglane_hw::profile::Profile;
use maglane_sim::Stimulus;
use maglane_sim::crosscheck::{BATCH, Lockstep};
use maglane_sim::lineup::Kind;
use maglane_spec::FlowOutcome;
use maglane_sw::engine::Frame;
use maglane_sw::io::capture::{Capture, CaptureWriter};

use crate::bench::{self, Random};
use crate::flows::{self, Traffic};

const SEED: u64 = 20;
const FRAMES: usize = 1_000;

#[test]
fn corpus_is_what_its_seed_makes() {
    let folder = bench::root().join("tests/corpus");
    let header = "# Services of every selection, for collisions.pcap. Made by `make corpus`.\n\n";
    let config = header.to_owned() + &flows::config(SEED);
    let made = std::env::temp_dir().join(format!("maglane-corpus-{}.pcap", std::process::id()));
    let mut writer = CaptureWriter::create(&made).unwrap();
    let mut traffic = Traffic::new(Random(SEED), &flows::image(Profile::Lab, SEED), 100);
    for _ in 0..FRAMES {
        let (time_ns, bytes) = traffic.next();
        writer.write(&Frame { time_ns, bytes: &bytes }).unwrap();
    }
    writer.finish().unwrap();
    let capture = fs::read(&made).unwrap();
    fs::remove_file(&made).unwrap();
    if std::env::var_os("MAGLANE_WRITE_CORPUS").is_some() {
        fs::write(folder.join("collisions.toml"), &config).unwrap();
        fs::write(folder.join("collisions.pcap"), &capture).unwrap();
    }
    assert_eq!(fs::read_to_string(folder.join("collisions.toml")).unwrap(), config, "run make corpus");
    assert!(fs::read(folder.join("collisions.pcap")).unwrap() == capture, "run make corpus");
}

#[test]
fn corpus_agrees_in_all_engines() {
    let folder = bench::root().join("tests/corpus");
    let image = bench::tables(&fs::read_to_string(folder.join("collisions.toml")).unwrap());
    let capture = Capture::open(&folder.join("collisions.pcap")).unwrap();
    let frames: Vec<Frame<'_>> = capture.frames().map(|frame| frame.unwrap()).collect();
    let runs = [
        (Profile::Lab, Stimulus::SMOOTH, &[Kind::Verilog][..]),
        (Profile::Lab64, Stimulus::from_seed(1), &[Kind::Rtl, Kind::Verilog]),
    ];
    for (profile, stimulus, kinds) in runs {
        let mut lockstep = Lockstep::new(bench::lineup(kinds, profile, stimulus), &image).unwrap();
        for batch in frames.chunks(BATCH) {
            if let Err(difference) = lockstep.process(batch).unwrap() {
                panic!("{}: {difference}", profile.name());
            }
        }
        match lockstep.remembered().unwrap() {
            Ok((counters, _)) => {
                for outcome in FlowOutcome::ALL {
                    let packets = counters.flows[usize::from(outcome.code())].packets;
                    assert!(packets > 0, "{} is never met", outcome.name());
                }
            }
            Err(difference) => panic!("{}: {difference}", profile.name()),
        }
    }
}
