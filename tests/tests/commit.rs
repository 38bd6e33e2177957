//! Goal: new tables take over between two frames at full traffic. Each frame is served from one generation, whole; no
//! frame is lost; what is written to the tables before, during and after a commit does not show; none counts twice.
//!
//! Method: the emitted Verilog gets tables through its port while frames run back to back, the commit in their midst,
//! right behind it garbage for every table: it is lost, or lands on the side that is staged now. Software runs the same
//! frames with the old tables up to the first frame that left by the new ones, then with those: both must agree on every
//! frame and on the flow table.

use std::collections::{BTreeSet, HashMap};

use maglane_hw::profile::Profile;
use maglane_sim::Stimulus;
use maglane_sim::verilog::{COMMIT, Verilog};
use maglane_spec::{TableImage, Verdict, window};
use maglane_sw::Pipeline;
use maglane_sw::engine::{Engine, Frame};

use crate::bench::{self, Random, Transport};
use crate::flows::{ACK, SYN, TARGETS, config};

/// Frames of a run; the commit falls somewhere into its middle half.
const FRAMES: usize = 1_500;

/// Commits with each stimulus.
const ROUNDS: u64 = 24;

/// Commits in a run whose clocks are counted.
const COMMITS: u32 = 30;

/// The tables of a generation: other states, weights and loads each time, one service less in every third, which moves
/// all backends; other timeouts and settings of all frames, and a tunnel source that names it in every frame.
fn generation(profile: Profile, number: u64) -> TableImage {
    let mut text = config(number);
    if number.is_multiple_of(3) {
        let [head, _first, rest @ ..] = &*text.split("[[service]]\n").collect::<Vec<_>>() else { unreachable!() };
        text = format!("{head}[[service]]\n{}", rest.join("[[service]]\n"));
    }
    let mut image = TableImage { geometry: profile.geometry(), ..bench::tables(&text) };
    let byte = number.to_le_bytes()[0];
    let datapath = &mut image.datapath;
    datapath.tunnel_source_v4[1] = byte;
    datapath.ttl = 60 + byte;
    datapath.source_entropy_bits = 4 + byte % 4;
    datapath.hash_key[0] ^= byte / 8;
    datapath.timeout_ticks = [2 + byte % 3, 10 + byte % 7, 3 + byte % 5];
    image
}

fn traffic(random: &mut Random) -> Vec<Vec<u8>> {
    let segment = |random: &mut Random| {
        let flags = [SYN, ACK, ACK, ACK][random.below(4)];
        Transport::to(TARGETS[random.below(TARGETS.len() as u64)]).from(random.next() % 300).frame(flags)
    };
    (0..FRAMES).map(|_| segment(random)).collect()
}

/// Garbage for a word of the part of a table that is in use.
fn some_word(random: &mut Random) -> (u32, u32) {
    let tables = [(window::DATAPATH, 24), (window::SERVICE, 1_024), (window::LOOKUP, 756), (window::BACKEND, 288)];
    let (region, used) = tables[random.below(4)];
    let index = u32::try_from(random.below(used)).unwrap();
    (region << window::REGION_SHIFT | index, u32::try_from(random.below(1 << 32)).unwrap())
}

fn commits_under_traffic(profile: Profile, stimulus: Stimulus) {
    let mut card = match Verilog::start(profile, stimulus, None, false) {
        Ok(card) => card,
        Err(error) => return bench::skipped(&format!("engine verilog: {error}")),
    };
    let mut software = Pipeline::new(profile.geometry());
    let mut random = Random(stimulus.seed + 7);
    card.load(&generation(profile, 0)).unwrap();
    software.load(&generation(profile, 0)).unwrap();
    let mut took_over = BTreeSet::new();
    let mut garbage: Vec<(u32, u32)> = Vec::new();
    for number in 1..=ROUNDS {
        let new = generation(profile, number);
        let at = u32::try_from(FRAMES / 4 + random.below(FRAMES as u64 / 2)).unwrap();
        // What differs, and what the garbage of the round before has overwritten.
        let mut staged = card.stage(&new).unwrap();
        let all: HashMap<u32, u32> = new.words().collect();
        staged.extend(garbage.iter().map(|(address, _)| (*address, all[address])));
        // In order, so that the window stays where it is.
        staged.sort_unstable();
        garbage = (0..600).map(|_| some_word(&mut random)).collect();
        // The first of the commits waits for frames, and so the others are lost.
        let posted = staged.into_iter().map(|word| (0, word)).chain([(at, COMMIT); 8]);
        let posted: Vec<(u32, (u32, u32))> = posted.chain(garbage.iter().map(|&word| (at, word))).collect();
        // Sides that have never been written take longer than the frames.
        let early = posted.len().saturating_sub(1_500);
        card.post(&posted[..early]).unwrap();
        card.process(&[]).unwrap();
        card.post(&posted[early..]).unwrap();
        let bytes = traffic(&mut random);
        let time_ns = number * 1_000_000;
        let frames: Vec<Frame<'_>> = bytes.iter().map(|bytes| Frame { time_ns, bytes }).collect();
        let ours = card.process(&frames).unwrap();
        let served = |frame: usize, number: u64| {
            ours[frame].verdict == Verdict::Forward && ours[frame].output[27] == number.to_le_bytes()[0]
        };
        let first = (0..FRAMES).find(|&frame| served(frame, number)).expect("the new tables never served");
        let last = (0..FRAMES).rev().find(|&frame| served(frame, number - 1)).expect("the old tables never served");
        // A frame that has left its sender may still wait before the core, where it is of no generation yet.
        assert!(first + 2 >= at as usize, "frame {first} was served before the commit at {at}");
        // Frames that are not forwarded do not tell whose they are, but there must be one place for the change.
        let outcomes = (last + 1..=first).find_map(|change| {
            let mut software = software.clone();
            let mut outcomes = software.process(&frames[..change]).unwrap();
            software.update(&new).unwrap();
            outcomes.extend(software.process(&frames[change..]).unwrap());
            (outcomes == ours).then_some((software, change))
        });
        let Some((after, change)) = outcomes else {
            panic!(
                "{}, commit {number} at {at}: a frame at {last} to {first} or later is of neither generation",
                profile.name()
            )
        };
        software = after;
        assert_eq!(card.flow_state().unwrap(), software.flow_state().unwrap(), "commit {number}");
        assert_eq!(card.counters().unwrap(), software.counters().unwrap(), "a frame was lost at commit {number}");
        assert_eq!(card.generation().unwrap(), u32::try_from(number).unwrap() + 1);
        took_over.insert(change as i64 - i64::from(at));
    }
    println!("{}: the new tables served from so many frames from the commit on: {took_over:?}", profile.name());
}

#[test]
fn every_frame_is_served_from_one_generation() {
    commits_under_traffic(Profile::Lab, Stimulus::from_seed(bench::seed(201)));
    commits_under_traffic(Profile::Lab64, Stimulus::SMOOTH);
}

#[test]
fn commit_holds_frames_for_no_longer_than_the_pipeline_takes_to_drain() {
    for profile in [Profile::Lab, Profile::Lab64] {
        let mut card = match Verilog::start(profile, Stimulus::SMOOTH, None, false) {
            Ok(card) => card,
            Err(error) => return bench::skipped(&format!("engine verilog: {error}")),
        };
        let image = generation(profile, 1);
        card.load(&image).unwrap();
        // The same on the other side.
        card.update(&image).unwrap();
        assert_eq!(card.generation().unwrap(), 2);
        // Without frames the sides change in the clock after the commit, in which another one is lost.
        card.post(&[(0, COMMIT); 2]).unwrap();
        card.process(&[]).unwrap();
        assert_eq!(card.generation().unwrap(), 3);
        let bytes = traffic(&mut Random(3));
        let frames: Vec<Frame<'_>> = bytes.iter().map(|bytes| Frame { time_ns: 0, bytes }).collect();
        let mut clocks = [0, COMMITS].map(|commits| {
            let words: Vec<(u32, (u32, u32))> = (1..=commits).map(|number| (40 * number, COMMIT)).collect();
            card.post(&words).unwrap();
            let before = card.clocks().unwrap();
            card.process(&frames).unwrap();
            card.clocks().unwrap() - before
        });
        clocks[1] -= clocks[0];
        let each = clocks[1] / u64::from(COMMITS);
        println!("{}: a commit holds frames for {each} clocks", profile.name());
        assert!((60..=100).contains(&each), "{}: {each} clocks", profile.name());
    }
}
