//! Goal: no flow changes its backend when another engine takes over, planned or not.
//!
//! Method: thousands of flows, new ones all the time, tables that change under them. Planned: the card and software take
//! turns at random frames, and every outcome, the flow table and the turns are those of one engine that ran all the way.
//! Unplanned: the card is gone, and software goes on from its last mirror. Then only flows may move that the mirror does
//! not know, and of these only those whose slot has changed since they began.

use std::collections::{HashMap, HashSet};

use maglane_hw::profile::Profile;
use maglane_sim::Stimulus;
use maglane_sim::lineup::Kind;
use maglane_sim::verilog::Verilog;
use maglane_spec::{TableImage, Verdict};
use maglane_sw::Pipeline;
use maglane_sw::engine::{Engine, Frame, Outcome};

use crate::bench::{self, Random, Transport};
use crate::flows::{ACK, SYN, TARGETS, image};

/// Nanoseconds between frames: 25 to a tick of a millisecond.
const PACE_NS: u64 = 40_000;

/// Tables of the same timeouts with backends that come, go and drain.
fn tables(number: u64) -> TableImage {
    image(Profile::Lab, number)
}

/// A flow's frames: SYN first, then others; and new flows all the time.
fn traffic(
    random: &mut Random,
    frames: usize,
    flows: &mut Vec<Transport>,
    seen: &mut HashSet<usize>,
) -> Vec<(usize, Vec<u8>)> {
    (0..frames)
        .map(|_| {
            if random.one_in(3) {
                flows.push(Transport::to(TARGETS[random.below(6)]).from(random.next()));
            }
            let recent = flows.len().saturating_sub(600) as u64;
            let flow = usize::try_from(recent + random.next() % (flows.len() as u64 - recent)).unwrap();
            let flags = if seen.insert(flow) { SYN } else { ACK };
            (flow, flows[flow].frame(flags))
        })
        .collect()
}

fn at(first: usize, bytes: &[(usize, Vec<u8>)]) -> Vec<Frame<'_>> {
    (first as u64..).zip(bytes).map(|(number, (_, bytes))| Frame { time_ns: number * PACE_NS, bytes }).collect()
}

#[test]
fn card_and_software_take_turns_and_no_flow_moves() {
    let seed = bench::seed(41);
    let mut card = match Verilog::start(Profile::Lab, Stimulus::from_seed(seed), None, false) {
        Ok(card) => card,
        Err(error) => return bench::skipped(&format!("engine verilog: {error}")),
    };
    let geometry = Profile::Lab.geometry();
    let mut random = Random(seed);
    let (mut alone, mut software) = (Pipeline::new(geometry), Pipeline::new(geometry));
    for engine in [&mut alone as &mut dyn Engine, &mut software, &mut card] {
        engine.load(&tables(0)).unwrap();
    }
    let (mut flows, mut seen) = (vec![Transport::to(TARGETS[0]).from(1)], HashSet::new());
    let (mut done, mut switches, mut hits) = (0, 0, 0);
    let mut on_card = true;
    for number in 1..=40_u64 {
        let frames = traffic(&mut random, 50 + random_below(seed, number, 250), &mut flows, &mut seen);
        let frames = at(done, &frames);
        done += frames.len();
        let expected = alone.process(&frames).unwrap();
        let engine: &mut dyn Engine = if on_card { &mut card } else { &mut software };
        assert_eq!(engine.process(&frames).unwrap(), expected, "part {number}");
        hits += expected.iter().filter(|outcome| outcome.flow == maglane_spec::FlowOutcome::Hit).count();
        let state = engine.flow_state().unwrap();
        assert_eq!(state, alone.flow_state().unwrap(), "part {number}");
        // Tables change between some parts, in both engines: the one that waits has them before it takes over.
        if number % 4 == 0 {
            let new = tables(number);
            for engine in [&mut alone as &mut dyn Engine, &mut software, &mut card] {
                engine.update(&new).unwrap();
            }
        }
        if random.one_in(2) {
            on_card = !on_card;
            switches += 1;
            let engine: &mut dyn Engine = if on_card { &mut card } else { &mut software };
            engine.resume(&state, (done as u64 - 1) * PACE_NS).unwrap();
        }
    }
    // And the simulation of the description, once.
    let mut rtl = bench::start(Kind::Rtl, Profile::Lab, Stimulus::SMOOTH, None);
    rtl.load(&tables(40)).unwrap();
    rtl.resume(&alone.flow_state().unwrap(), (done as u64 - 1) * PACE_NS).unwrap();
    let frames = traffic(&mut random, 80, &mut flows, &mut seen);
    let frames = at(done, &frames);
    assert_eq!(rtl.process(&frames).unwrap(), alone.process(&frames).unwrap());
    assert_eq!(rtl.flow_state().unwrap(), alone.flow_state().unwrap());
    println!("{done} frames of {} flows, {switches} switches, {hits} hits", flows.len());
    assert!(switches > 10 && flows.len() > 1_000 && hits > done / 6, "{switches} {} {hits}", flows.len());
}

fn random_below(seed: u64, number: u64, bound: u64) -> usize {
    Random(seed * 1_000 + number).below(bound)
}

#[test]
fn when_the_card_is_lost_only_flows_move_that_its_mirror_does_not_know() {
    let seed = bench::seed(42);
    let mut card = match Verilog::start(Profile::Lab, Stimulus::SMOOTH, None, false) {
        Ok(card) => card,
        Err(error) => return bench::skipped(&format!("engine verilog: {error}")),
    };
    let geometry = Profile::Lab.geometry();
    let mut random = Random(seed);
    let (mut moved, mut kept) = (0, 0);
    for round in 0..6_u64 {
        // Nothing expires in the time that passes here: what has been refreshed since is older in the mirror.
        let lasting = |number| {
            let mut tables = tables(number);
            tables.datapath.timeout_ticks = [60; 3];
            tables
        };
        card.load(&lasting(round)).unwrap();
        let mut software = Pipeline::new(geometry);
        software.load(&lasting(round)).unwrap();
        let (mut flows, mut seen) = (vec![Transport::to(TARGETS[0]).from(1)], HashSet::new());
        let mut backend_of: HashMap<usize, u16> = HashMap::new();
        // Up to the mirror; then some more that it does not know, with other tables in the midst.
        let first = traffic(&mut random, 500, &mut flows, &mut seen);
        note(&mut backend_of, &first, &card.process(&at(0, &first)).unwrap());
        let known = backend_of.clone();
        let mirror = card.flow_state().unwrap();
        let mut after = traffic(&mut random, 120, &mut flows, &mut seen);
        note(&mut backend_of, &after, &card.process(&at(500, &after)).unwrap());
        let new = lasting(round + 100);
        card.update(&new).unwrap();
        software.update(&new).unwrap();
        let last = traffic(&mut random, 120, &mut flows, &mut seen);
        note(&mut backend_of, &last, &card.process(&at(620, &last)).unwrap());
        after.extend(last);
        // Gone. Frames of flows that it had go on in software.
        software.resume(&mirror, 499 * PACE_NS).unwrap();
        let mut fresh = Pipeline::new(geometry);
        fresh.load(&new).unwrap();
        for (&flow, &backend) in &backend_of {
            let bytes = flows[flow].frame(ACK);
            let frame = [Frame { time_ns: 740 * PACE_NS, bytes: &bytes }];
            let answers = |engine: &mut Pipeline| engine.process(&frame).unwrap().remove(0);
            let ours = answers(&mut software.clone());
            let by_table = answers(&mut fresh.clone());
            // A backend that is down now, or whose service has changed, loses its flows on every engine.
            let serves = new.backends[usize::from(backend)].state != maglane_spec::row::BackendRow::STATE_DOWN;
            if ours.verdict != Verdict::Forward || ours.backend == backend || !serves {
                kept += 1;
                continue;
            }
            moved += 1;
            // A flow of the mirror whose backend has gone since began anew then.
            assert_ne!(known.get(&flow), Some(&backend), "round {round}: flow {flow} is in the mirror, and moved");
            let sequence = matches!(by_table.service, 3 | 4);
            assert!(sequence || by_table.backend != backend, "round {round}: flow {flow} moved, and its slot has not");
        }
    }
    println!("{kept} flows kept their backend, {moved} younger than the mirror moved");
    assert!(kept > 600 && moved > 10, "{kept} {moved}");
}

/// The backends that flows have been given last.
fn note(backend_of: &mut HashMap<usize, u16>, frames: &[(usize, Vec<u8>)], outcomes: &[Outcome]) {
    for ((flow, _), outcome) in frames.iter().zip(outcomes) {
        if outcome.verdict == Verdict::Forward {
            backend_of.insert(*flow, outcome.backend);
        }
    }
}
