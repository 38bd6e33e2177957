//! Goal: all engines agree on every committed capture, whatever the bus, the pauses and the backpressure.
//!
//! Method: lockstep of software, rust-hdl simulation and Verilated Verilog; each stimulus must give what software
//! gives, so stimuli cannot differ among themselves either.

use maglane_hw::profile::Profile;
use maglane_sim::Stimulus;
use maglane_sim::lineup::Kind;
use maglane_spec::{TableImage, Verdict};
use maglane_sw::engine::Counters;

use crate::bench;

fn agree(profile: Profile, stimulus: Stimulus, kinds: &[Kind], image: &TableImage) -> Counters {
    let mut all = Vec::new();
    for path in bench::captures() {
        all.extend(bench::frames(&path));
    }
    let engines = bench::lineup(kinds, profile, stimulus);
    match bench::crosscheck(engines, image, &all) {
        Ok((_, counters)) => counters,
        Err(difference) => panic!("{} with {stimulus:?} over all captures: {difference}", profile.name()),
    }
}

#[test]
fn captures_agree_on_both_buses() {
    let image = bench::example("web.toml");
    let counters = agree(Profile::Lab, Stimulus::SMOOTH, &[Kind::Rtl, Kind::Verilog], &image);
    let other = agree(Profile::Lab64, Stimulus::from_seed(2), &[Kind::Rtl, Kind::Verilog], &image);
    assert_eq!(counters, other);
    // The captures are worth something only if they reach what they were made for.
    for verdict in [
        Verdict::Forward,
        Verdict::PassNotIp,
        Verdict::PassOtherMac,
        Verdict::PassIpv4Options,
        Verdict::PassFragment,
        Verdict::PassIcmp,
        Verdict::PassNoService,
        Verdict::PassTooBig,
    ] {
        assert!(counters.verdicts[usize::from(verdict.code())].packets > 0, "{} never occurs", verdict.name());
    }
}

#[test]
fn captures_agree_under_pauses_and_backpressure() {
    let image = bench::example("web.toml");
    for seed in 3..11 {
        agree(Profile::Lab, Stimulus::from_seed(seed), &[Kind::Verilog], &image);
        agree(Profile::Lab64, Stimulus::from_seed(seed), &[Kind::Verilog], &image);
    }
}

#[test]
fn captures_agree_with_every_example() {
    for name in ["dual-stack.toml", "many-services.toml"] {
        agree(Profile::Lab, Stimulus::SMOOTH, &[Kind::Verilog], &bench::example(name));
    }
}

#[test]
fn simulation_and_verilog_take_the_same_clocks() {
    if let Some(error) = Kind::Verilog.missing() {
        return bench::skipped(&format!("simulation_and_verilog_take_the_same_clocks: {error}"));
    }
    let image = bench::example("web.toml");
    let frames = bench::frames(&bench::root().join("tests/captures/vlan.pcap"));
    for profile in [Profile::Lab, Profile::Lab64] {
        let clocks = [Kind::Rtl, Kind::Verilog].map(|kind| {
            let mut engine = bench::start(kind, profile, Stimulus::from_seed(5), None);
            engine.load(&image).unwrap();
            engine.process(&bench::views(&frames)).unwrap();
            engine.clocks().unwrap()
        });
        assert_eq!(clocks[0], clocks[1], "{}", profile.name());
    }
}
