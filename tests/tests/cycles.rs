//! Goal: the gateware keeps its rates and its latency; the figures are those of the README.
//!
//! Method: cycles are counted in the simulated core, so they are exact and the same everywhere. A rate is the
//! difference between a long and a short run, which leaves the pipeline's fill out.

use maglane_hw::profile::Profile;
use maglane_sim::Stimulus;
use maglane_sim::lineup::Kind;
use maglane_spec::limit::NO_BACKEND;
use maglane_spec::row::BackendRow;
use maglane_spec::{TableImage, Verdict};
use maglane_sw::engine::Frame;

use crate::bench::{self, Random, Transport};
use crate::flows;
use crate::generator;

/// A frame of 60 bytes to a service of `examples/web.toml`, or to nobody.
fn minimum_frame(to_service: bool) -> Vec<u8> {
    Transport::to(([192, 0, 2, if to_service { 20 } else { 99 }], 17, 4000)).frame(0)
}

fn clocks(profile: Profile, frame: &[u8], count: usize, verdict: Verdict) -> u64 {
    let kind = if Kind::Verilog.missing().is_none() { Kind::Verilog } else { Kind::Rtl };
    let mut engine = bench::start(kind, profile, Stimulus::SMOOTH, None);
    engine.load(&bench::example("web.toml")).unwrap();
    let frames = vec![frame.to_vec(); count];
    let outcomes = engine.process(&bench::views(&frames)).unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.verdict == verdict), "{:?}", outcomes[0].verdict);
    engine.clocks().unwrap()
}

fn clocks_a_frame(profile: Profile, frame: &[u8], verdict: Verdict) -> f64 {
    let (short, long) = (200, 700);
    let extra = clocks(profile, frame, long, verdict) - clocks(profile, frame, short, verdict);
    f64::from(u32::try_from(extra).unwrap()) / 500.0
}

/// Clocks from the first beat in to the first beat out: a run of one frame lasts until its last beat is out.
fn latency(profile: Profile, frame: &[u8]) -> u64 {
    let beats_out = (frame.len() as u64 + 24).div_ceil(u64::from(profile.geometry().bus_bytes));
    clocks(profile, frame, 1, Verdict::Forward) - beats_out
}

#[test]
fn cycles_of_minimum_frames() {
    let frame = minimum_frame(true);
    let stranger = minimum_frame(false);
    let mut arp = stranger.clone();
    arp[12..14].copy_from_slice(&[8, 6]);
    let measured: Vec<(f64, f64, f64, u64)> = [Profile::Lab, Profile::Lab64]
        .into_iter()
        .map(|profile| {
            (
                clocks_a_frame(profile, &frame, Verdict::Forward),
                clocks_a_frame(profile, &stranger, Verdict::PassNoService),
                clocks_a_frame(profile, &arp, Verdict::PassNotIp),
                latency(profile, &frame),
            )
        })
        .collect();
    println!("bus 32, 64: clocks a forwarded, unknown, ARP frame of 60 bytes, latency in clocks: {measured:?}");
    // 60 bytes become 84: three beats of 32 bytes, two of 64. What is passed takes as long as it came.
    assert!((measured[0].0 - 3.0).abs() < 0.01 && (measured[1].0 - 2.0).abs() < 0.01, "{measured:?}");
    for (passed, beats) in [(measured[0].1, 2.0), (measured[0].2, 2.0), (measured[1].1, 1.0), (measured[1].2, 1.0)] {
        assert!((passed - beats).abs() < 0.02, "{measured:?}");
    }
    assert!(measured.iter().all(|figures| figures.3 <= 96), "{measured:?}");
}

/// Clocks a frame, of frames that repeat, in a long run less a short one.
fn clocks_of(profile: Profile, image: &TableImage, frames: &[Vec<u8>]) -> f64 {
    let kind = if Kind::Verilog.missing().is_none() { Kind::Verilog } else { Kind::Rtl };
    let run = |count: usize| {
        let mut engine = bench::start(kind, profile, Stimulus::SMOOTH, None);
        engine.load(image).unwrap();
        let all: Vec<Vec<u8>> = frames.iter().cycle().take(count).cloned().collect();
        // All at one time: no tick moves.
        let views: Vec<Frame<'_>> = all.iter().map(|bytes| Frame { time_ns: 0, bytes }).collect();
        let outcomes = engine.process(&views).unwrap();
        assert!(outcomes.iter().all(|outcome| outcome.verdict == Verdict::Forward));
        engine.clocks().unwrap()
    };
    f64::from(u32::try_from(run(700) - run(200)).unwrap()) / 500.0
}

#[test]
fn cycles_of_both_families_inside_and_outside() {
    for (profile, bus) in [(Profile::Lab, 32), (Profile::Lab64, 64)] {
        for (inner_v6, outer_v6) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut image = generator::image();
            let wanted = if outer_v6 { BackendRow::ENCAPSULATION_GRE_IPV6 } else { BackendRow::ENCAPSULATION_GRE_IPV4 };
            let id = image.backends.iter().position(|row| row.encapsulation == wanted).unwrap();
            image.lookup.fill(u16::try_from(id).unwrap().into());
            let frame = generator::shortest(inner_v6);
            // The IP packet of 40 or 60 bytes, GRE, the outer header, Ethernet.
            let leaves: u32 = if inner_v6 { 60 } else { 40 } + 4 + if outer_v6 { 40 } else { 20 } + 14;
            let beats = leaves.max(u32::try_from(frame.len()).unwrap()).div_ceil(bus).max(2);
            let measured = clocks_of(profile, &image, &[frame]);
            println!(
                "{}: IPv{} in IPv{}: {measured} clocks a frame",
                profile.name(),
                4 + 2 * u8::from(inner_v6),
                4 + 2 * u8::from(outer_v6)
            );
            assert!((measured - f64::from(beats)).abs() < 0.01, "{measured}, not {beats}");
        }
    }
}

#[test]
fn cycles_of_colliding_flows() {
    // Tables in which every service has a backend.
    let open = |image: &TableImage| {
        let services = image.services.iter().filter(|row| row.flags != 0);
        services.map(|row| image.lookup[row.lookup_base_value() as usize]).all(|entry| entry.value() != NO_BACKEND)
    };
    let number = (0..).find(|&number| open(&flows::image(Profile::Lab, number))).unwrap();
    for (profile, clocks) in [(Profile::Lab, 3.0), (Profile::Lab64, 2.0)] {
        let mut image = flows::image(profile, number);
        for row in &mut image.backends {
            row.state = BackendRow::STATE_UP;
        }
        let flows = flows::colliding(image.geometry, &image, &mut Random(number), 1, 20);
        let by_hash: Vec<&Transport> = flows.iter().filter(|flow| !flow.in_turn()).collect();
        assert!(by_hash.len() > 10, "more flows than the set has ways");
        // One flow that opens and closes; two that alternate; more SYNs than ways, each of which evicts another.
        let one = [2, 0x10, 0x11].map(|flags| by_hash[0].frame(flags)).to_vec();
        let two = by_hash[..2].iter().map(|flow| flow.frame(flows::ACK)).collect();
        let many = by_hash.iter().map(|flow| flow.frame(flows::SYN)).collect();
        for (name, frames) in [("one flow", one), ("two flows", two), ("eviction", many)] {
            let measured = clocks_of(profile, &image, &frames);
            println!("{}: {name} in one set: {measured} clocks a frame", profile.name());
            assert!((measured - clocks).abs() < 0.01, "{name}: {measured}");
        }
        let in_turn: Vec<Vec<u8>> = flows.iter().filter(|flow| flow.in_turn()).map(|flow| flow.frame(0)).collect();
        let measured = clocks_of(profile, &image, &in_turn);
        println!("{}: selection in turn: {measured} clocks a frame", profile.name());
        assert!((measured - 16.0).abs() < 0.01, "{measured}");
    }
}
