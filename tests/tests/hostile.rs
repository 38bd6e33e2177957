//! Goal: no frame of any content and any length from 1 to 65,535 bytes upsets the gateware, and it says of each what
//! software says.
//!
//! Method: generated frames (`generator.rs`) of both families and every length class, back to back on both
//! buses. The seed of a run is printed with a difference; `MAGLANE_FRAMES` sets how many frames, `MAGLANE_SEED` shifts
//! the seeds.

use maglane_hw::profile::Profile;
use maglane_sim::Stimulus;
use maglane_sim::lineup::Kind;
use maglane_sim::shrink::shrink;
use maglane_spec::{Stage, Verdict};

use crate::bench::{self, Random};
use crate::coverage::{FrameCoverage, Points};
use crate::generator::{self, frame};

fn run(profile: Profile, kind: Kind, seed: u64, frames: usize) -> Points {
    let mut random = Random(seed);
    let frames: Vec<Vec<u8>> = (0..frames).map(|_| frame(&mut random)).collect();
    let engines = bench::lineup(&[kind], profile, Stimulus::from_seed(seed));
    let image = generator::image();
    match bench::crosscheck(engines, &image, &frames) {
        Ok((outcomes, _)) => {
            let mut coverage = FrameCoverage::new(profile.geometry().bus_bytes as usize);
            for (frame, outcome) in frames.iter().zip(&outcomes) {
                coverage.observe(&image, frame, outcome);
            }
            coverage.points
        }
        Err(difference) => {
            let number = usize::try_from(difference.frame.unwrap_or(frames.len() as u64)).unwrap();
            let fresh = || bench::lineup(&[kind], profile, Stimulus::from_seed(seed));
            let few = shrink(&frames[..number], |frames| bench::crosscheck(fresh(), &image, frames).is_err());
            let capture = bench::keep(&format!("seed-{seed}-{}", profile.name()), &few);
            panic!(
                "seed {seed}, {}: {difference}\nshrunk from {number} frames to {}: {}, with tests/corpus/families.toml; \
                 it belongs into tests/corpus once the difference is mended",
                profile.name(),
                few.len(),
                capture.display(),
            )
        }
    }
}

#[test]
fn a_run_with_a_fault_shrinks_to_the_frames_that_show_it() {
    let image = generator::image();
    let mut random = Random(bench::seed(110));
    let frames: Vec<Vec<u8>> = (0..2_000).map(|_| frame(&mut random)).collect();
    for stage in Stage::ALL {
        let differs = |frames: &[Vec<u8>]| {
            let engines =
                [None, Some(stage)].map(|fault| bench::start(Kind::Software, Profile::Lab, Stimulus::SMOOTH, fault));
            bench::crosscheck(engines.into(), &image, frames).is_err()
        };
        assert!(differs(&frames), "{}", stage.name());
        let few = shrink(&frames, differs);
        // Each of the planted faults shows in a frame by itself.
        assert_eq!(few.len(), 1, "{}", stage.name());
        let capture = bench::keep(&format!("planted-{}", stage.name()), &few);
        assert_eq!(bench::frames(&capture), few, "{}", stage.name());
    }
}

#[test]
fn hostile_frames_agree_in_verilog() {
    for (profile, seed) in [(Profile::Lab, 101), (Profile::Lab64, 102)] {
        let points = run(profile, Kind::Verilog, bench::seed(seed), bench::count(50_000));
        // The generator is worth something only if it reaches the corners.
        points.check(FrameCoverage::wanted(profile.geometry().bus_bytes as usize));
    }
}

#[test]
fn hostile_frames_agree_in_the_simulation() {
    run(Profile::Lab, Kind::Rtl, bench::seed(103), bench::count(1_000));
    run(Profile::Lab64, Kind::Rtl, bench::seed(104), bench::count(1_000));
}

#[test]
fn every_length_from_one_byte_up_agrees() {
    // Packets to both families, forwarded over both, plain and keyed, with and without a tag, and errors about them: cut and
    // padded to every length around the beats of both buses and the end of the window, then the long classes.
    let image = generator::image();
    let mut frames = Vec::new();
    let mut bases = 0;
    for (ipv6, keyed, tagged, error) in (0..16).map(|bits| (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0, bits & 8 != 0))
    {
        let base = generator::valid(ipv6, keyed, tagged, error);
        bases += 1;
        for length in (1..200).chain([9_599, 9_600, 9_601, 16_384, 65_535]) {
            let mut frame = base.clone();
            frame.resize(length, 9);
            frames.push(frame);
        }
    }
    // Short behind long and the other way round: what the window keeps of one frame must not show in another.
    let mut random = Random(3);
    for at in (1..frames.len()).rev() {
        frames.swap(at, random.below(at as u64 + 1));
    }
    for (profile, seed) in [(Profile::Lab, 1), (Profile::Lab64, 2), (Profile::Lab, 3), (Profile::Lab64, 4)] {
        let engines = bench::lineup(&[Kind::Verilog], profile, Stimulus::from_seed(seed));
        match bench::crosscheck(engines, &image, &frames) {
            Ok((outcomes, _)) => {
                let forwarded = outcomes.iter().filter(|outcome| outcome.verdict == Verdict::Forward).count();
                // From the packet's end, byte 112 at most, to 199, and two of the long ones.
                assert!(forwarded > bases * 85, "{forwarded} of {} frames", frames.len());
            }
            Err(difference) => panic!("{} seed {seed}: {difference}", profile.name()),
        }
    }
}

#[test]
fn hostile_table_rows_agree() {
    // Rows no configuration makes: unknown codes, entries out of range, tiny and huge slices, services that point
    // past the end of the lookup memory.
    let image = generator::image();
    let mut random = Random(77);
    let frames: Vec<Vec<u8>> = (0..3_000).map(|_| frame(&mut random)).collect();
    let mut seen = [false; Verdict::CODES];
    for round in 0..12 {
        let mut hostile = image.clone();
        for row in hostile.services.iter_mut().filter(|row| row.flags != 0) {
            match random.below(6) {
                0 => row.selection = random.next().to_le_bytes()[0] % 4,
                1 => row.flags ^= 1 << random.below(8),
                2 => row.lookup_base = random.next().to_le_bytes()[..3].try_into().unwrap(),
                3 => row.table_size = u16::try_from(random.below(65_536)).unwrap().into(),
                4 => row.id = u16::try_from(random.below(65_536)).unwrap().into(),
                _ => {}
            }
        }
        for row in &mut hostile.backends[..26] {
            row.state = random.next().to_le_bytes()[0] % 5;
            row.load = random.next().to_le_bytes()[0] % 3;
            match random.below(6) {
                0 => row.encapsulation = random.next().to_le_bytes()[0] % 4,
                1 => row.mtu = u16::try_from(random.below(65_536)).unwrap().into(),
                2 => row.address = random.next().to_le_bytes().repeat(2).try_into().unwrap(),
                3 => row.service = u16::try_from(random.below(65_536)).unwrap().into(),
                _ => {}
            }
        }
        for _ in 0..2_000 {
            let at = random.below(hostile.lookup.len() as u64);
            hostile.lookup[at] = u16::try_from(random.below(65_536)).unwrap().into();
        }
        hostile.datapath.source_entropy_bits = random.next().to_le_bytes()[0] % 40;
        // Timeouts of any length; ticks of none, and of 1 to 50 ms, which is 10 to 500 frames.
        hostile.datapath.timeout_ticks = random.next().to_le_bytes()[..3].try_into().unwrap();
        hostile.datapath.tick_ms = u32::try_from(random.below(51)).unwrap().into();
        hostile.datapath.flags = random.next().to_le_bytes()[0];
        let profile = if round % 2 == 0 { Profile::Lab } else { Profile::Lab64 };
        let engines = bench::lineup(&[Kind::Verilog], profile, Stimulus::SMOOTH);
        match bench::crosscheck(engines, &hostile, &frames) {
            Ok((_, counters)) => {
                for (seen, counter) in seen.iter_mut().zip(&counters.verdicts) {
                    *seen |= counter.packets > 0;
                }
            }
            Err(difference) => panic!("round {round}, {}: {difference}", profile.name()),
        }
    }
    for verdict in [Verdict::PassUnsupported, Verdict::DropNoBackend, Verdict::PassTooBig] {
        assert!(seen[usize::from(verdict.code())], "{} was never reached", verdict.name());
    }
}

#[test]
fn card_builds_agree() {
    // The sizes that ship: tables filled to their upper index bits, so that every address bit is looked at.
    for (name, profile) in [("sume", Profile::Sume), ("alveo", Profile::Alveo)] {
        let text = generator::config().replace("geometry = \"lab\"", &format!("geometry = \"{name}\""));
        let mut image = bench::tables(&text);
        let mut random = Random(500);
        let rows = [image.backends[0], image.backends[1]];
        for (index, backend) in image.backends.iter_mut().enumerate() {
            *backend = rows[index % 2];
            backend.address[2..4].copy_from_slice(&u16::try_from(index).unwrap().to_be_bytes());
        }
        for entry in &mut image.lookup {
            *entry = u16::try_from(random.below(65_536)).unwrap().into();
        }
        for service in image.services.iter_mut().filter(|row| row.flags != 0) {
            service.lookup_base = random.next().to_le_bytes()[..3].try_into().unwrap();
        }
        let frames: Vec<Vec<u8>> = (0..6_000).map(|_| frame(&mut random)).collect();
        let engines = bench::lineup(&[Kind::Verilog], profile, Stimulus::from_seed(500));
        match bench::crosscheck(engines, &image, &frames) {
            Ok((outcomes, _)) => {
                let reached = outcomes.iter().filter(|outcome| outcome.verdict == Verdict::Forward);
                let bits = reached.fold(0, |bits, outcome| bits | outcome.backend);
                assert_eq!(u32::from(bits), profile.geometry().backends - 1, "{name}: every bit of a backend id");
            }
            Err(difference) => panic!("{name}: {difference}"),
        }
    }
}
