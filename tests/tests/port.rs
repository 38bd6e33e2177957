//! Goal: the host sees the card as it is while it works: counters of one moment, tables where they are written, and a
//! flow table that can be taken away and put back; another mode holds from one frame on.
//!
//! Method: the emitted Verilog, through its registers. Software runs the same frames. What the ways and probes keep as
//! copies is made out from the rows here, by the documented layout.

use maglane_hw::profile::Profile;
use maglane_sim::Stimulus;
use maglane_sim::bus::Access;
use maglane_sim::verilog::{COMMIT, Verilog};
use maglane_spec::row::BackendRow;
use maglane_spec::{FlowOutcome, TableImage, Verdict, flow, register, window};
use maglane_sw::Pipeline;
use maglane_sw::engine::{Engine, FlowState, Frame, Outcome};

use crate::bench::{self, Random, Transport};
use crate::flows::{ACK, SYN, TARGETS, image};

const MODE: u32 = window::CONTROL << window::REGION_SHIFT | window::CONTROL_MODE;

/// Clocks of a frame from begin to end, at most.
const LATENCY_MAX: u64 = 100;
/// Clocks that a read waits before it holds the input.
const WAIT_CLOCKS: u32 = 32;
/// Clocks of a question and its answer, at most.
const ANSWER_CLOCKS_MAX: u32 = 16;

fn card(profile: Profile, stimulus: Stimulus) -> Option<Verilog> {
    match Verilog::start(profile, stimulus, None, false) {
        Ok(card) => Some(card),
        Err(error) => {
            bench::skipped(&format!("engine verilog: {error}"));
            None
        }
    }
}

/// What was wrong with accesses since the last call.
fn errors(card: &mut Verilog) -> u32 {
    let at = |word| Access { after: 0, offset: register::IDENTITY_ERROR, word };
    card.access(&[at(None), at(Some(u32::MAX))]).unwrap()[0]
}

fn segments(random: &mut Random, count: usize) -> Vec<Vec<u8>> {
    let segment = |random: &mut Random| {
        let flags = [SYN, ACK, ACK, ACK][random.below(4)];
        Transport::to(TARGETS[random.below(TARGETS.len() as u64)]).from(random.next() % 400).frame(flags)
    };
    (0..count).map(|_| segment(random)).collect()
}

fn at(time_ns: u64, bytes: &[Vec<u8>]) -> Vec<Frame<'_>> {
    bytes.iter().map(|bytes| Frame { time_ns, bytes }).collect()
}

/// All frames are as long and of one verdict: bytes must be the packets' in every answer, and both grow; another verdict's
/// counter stays at zero, whatever is being counted when it is read.
#[test]
fn counters_are_read_whole_while_frames_run() {
    let cases = [(Profile::Lab64, Stimulus::SMOOTH), (Profile::Lab, Stimulus::from_seed(bench::seed(31)))];
    for (profile, stimulus) in cases {
        let Some(mut card) = card(profile, stimulus) else { return };
        card.load(&image(profile, 2)).unwrap();
        // One beat of 64 bytes each, all passed: a frame may be done in every clock.
        let bytes = vec![vec![0x33; 60]; 1_200];
        let [counted, other] = [Verdict::PassOtherMac, Verdict::PassNotIp].map(|verdict| u32::from(verdict.code()));
        let address = |verdict| (window::COUNTER_VERDICT << window::REGION_SHIFT) + window::COUNTER_WORDS * verdict;
        let words = |number: u32, verdict: u32| (0..4).map(move |word| (20 * number, address(verdict) + word));
        let asked: Vec<(u32, u32)> =
            (1..60).flat_map(|number| words(number, counted).chain(words(number, other))).collect();
        card.ask(&asked).unwrap();
        card.process(&at(0, &bytes)).unwrap();
        let (answers, _) = card.answers().as_chunks::<8>();
        let whole = |&[packets, high, bytes, bytes_high, rest @ ..]: &[u32; 8]| {
            assert_eq!([high, bytes, bytes_high], [0, 60 * packets, 0], "{}: {answers:?}", profile.name());
            assert_eq!(rest, [0; 4], "{}: {answers:?}", profile.name());
            packets
        };
        let packets: Vec<u32> = answers.iter().map(whole).collect();
        assert_eq!(packets.len(), 59);
        assert!(packets.is_sorted() && packets[0] < 200 && packets[58] > 1_000, "{packets:?}");
        assert_eq!(card.read_words(window::COUNTER_VERDICT, 128).unwrap()[4 * counted as usize], 1_200);
    }
}

/// A frame is done in every clock, and so there is none in which a counter could be read. After 32 clocks the read holds the
/// input; when what is inside has left it has its turn, and all goes on.
#[test]
fn a_counter_is_read_in_time_though_a_frame_is_counted_in_every_clock() {
    let Some(mut card) = card(Profile::Lab64, Stimulus::SMOOTH) else { return };
    card.load(&image(Profile::Lab64, 2)).unwrap();
    let (count, after) = (1_200, 400);
    let bytes = vec![vec![0x33; 60]; count as usize];
    let clocks = |card: &mut Verilog| {
        let before = card.clocks().unwrap();
        assert_eq!(card.process(&at(0, &bytes)).unwrap().len(), bytes.len());
        card.clocks().unwrap() - before
    };
    let undisturbed = clocks(&mut card);
    assert!(undisturbed < u64::from(count) + LATENCY_MAX, "not a frame a clock: {undisturbed} clocks");
    let word = window::COUNTER_WORDS * u32::from(Verdict::PassOtherMac.code());
    card.ask(&[(after, (window::COUNTER_VERDICT << window::REGION_SHIFT) + word)]).unwrap();
    let held = clocks(&mut card) - undisturbed;
    let counted = card.answers()[0] - count;
    println!("asked when {after} of {count} frames were in: {counted} counted, {held} clocks longer");
    // Those that were in, those of the wait, and those of the way to the port and back.
    assert!((after..after + WAIT_CLOCKS + ANSWER_CLOCKS_MAX).contains(&counted), "{counted}");
    assert!((1..=LATENCY_MAX).contains(&held), "{held}");
}

#[test]
fn tables_are_read_where_they_are_written() {
    let Some(mut card) = card(Profile::Lab, Stimulus::from_seed(bench::seed(32))) else { return };
    let [first, second] = [3, 5].map(|number| image(Profile::Lab, number));
    card.load(&first).unwrap();
    let words = card.stage(&second).unwrap();
    card.write_words(&words).unwrap();
    // The side that is staged, then what was served before.
    for (expected, told) in [(&second, "staged"), (&first, "served before")] {
        for (region, bytes) in expected.memories() {
            let (words, _) = bytes.as_chunks();
            let words: Vec<u32> = words.iter().map(|&word| u32::from_le_bytes(word)).collect();
            // The settings keep what was staged.
            let words = if region == window::DATAPATH { second_datapath(&second) } else { words };
            let read = card.read_words(region, u32::try_from(words.len()).unwrap()).unwrap();
            let differ = (0..words.len()).find(|&word| words[word] != read[word]);
            assert_eq!(differ, None, "{told}: {}", window::REGIONS[region as usize].0);
        }
        copies_are_right(&mut card, expected);
        card.write_words(&[COMMIT]).unwrap();
    }
    assert_eq!(errors(&mut card), 0);
}

fn second_datapath(image: &TableImage) -> Vec<u32> {
    let words = image.words().take_while(|(address, _)| address >> window::REGION_SHIFT == window::DATAPATH);
    words.map(|(_, word)| word).collect()
}

/// What the probes for all ports, the lookup table and the ways of the flow table have of the rows.
fn copies_are_right(card: &mut Verilog, image: &TableImage) {
    let geometry = image.geometry;
    let copy = |card: &mut Verilog, region: u32, copy: u32| {
        let first = region << window::REGION_SHIFT | copy << window::COPY_SHIFT;
        card.read_at(first, window::words(region, &geometry)).unwrap()
    };
    let services = card.read_words(window::SERVICE, window::words(window::SERVICE, &geometry)).unwrap();
    assert_eq!(copy(card, window::SERVICE, 1), services);
    for number in 1..window::BACKEND_COPIES {
        let mut expected = Vec::new();
        for row in &image.backends {
            let takes = matches!(row.state, BackendRow::STATE_UP | BackendRow::STATE_DRAINING);
            let attributes = u32::from(row.service.value()) | u32::from(takes) << 16;
            let load = if number == 1 { u32::from(row.load) } else { 0 };
            expected.extend([0, 0, 0, 0, 0, 0, attributes, load]);
        }
        assert_eq!(copy(card, window::BACKEND, number), expected, "copy {number}");
    }
}

#[test]
fn another_mode_holds_from_one_frame_on() {
    let seed = bench::seed(33);
    let Some(mut card) = card(Profile::Lab, Stimulus::from_seed(seed)) else { return };
    let mut software = Pipeline::new(Profile::Lab.geometry());
    let tables = image(Profile::Lab, 2);
    card.load(&tables).unwrap();
    software.load(&tables).unwrap();
    let mut random = Random(seed);
    for round in 1..=12 {
        let bytes = segments(&mut random, 600);
        let frames = at(round * 1_000_000, &bytes);
        let [off, on] = [100 + random.below(100), 350 + random.below(100)];
        card.post(&[(u32::try_from(off).unwrap(), (MODE, 0)), (u32::try_from(on).unwrap(), (MODE, 1))]).unwrap();
        let ours = card.process(&frames).unwrap();
        let bypassed = |outcome: &Outcome| outcome.verdict == Verdict::PassBypass;
        let first = ours.iter().position(bypassed).expect("nothing was in bypass");
        let last = ours.iter().rposition(bypassed).unwrap();
        assert!(ours[first..=last].iter().all(bypassed), "round {round}: a frame was served in between");
        assert!(first + 2 >= off && last + 2 >= on && last - first > 100, "round {round}: {first} {off} {last} {on}");
        // What was served was served as if the others had not been there.
        let served: Vec<Frame<'_>> = frames[..first].iter().chain(&frames[last + 1..]).copied().collect();
        let expected = software.process(&served).unwrap();
        assert!(ours[..first].iter().chain(&ours[last + 1..]).eq(&expected), "round {round}");
        assert_eq!(card.flow_state().unwrap(), software.flow_state().unwrap(), "round {round}");
    }
    assert_eq!(errors(&mut card), 0);
}

#[test]
fn a_flow_table_that_is_put_back_goes_on_as_if_nothing_had_been() {
    let seed = bench::seed(34);
    let Some(mut card) = card(Profile::Lab, Stimulus::from_seed(seed)) else { return };
    let mut software = Pipeline::new(Profile::Lab.geometry());
    let tables = image(Profile::Lab, 2);
    software.load(&tables).unwrap();
    let mut random = Random(seed);
    // Ages of all kinds, at a tick that is not the first.
    for step in 0..9 {
        let bytes = segments(&mut random, 300);
        software.process(&at(70_000_000 + step * 1_000_000, &bytes)).unwrap();
    }
    let state = software.flow_state().unwrap();
    assert!(
        state.entries.iter().filter(|entry| **entry != 0).count() > 200 && state.sequence.iter().any(|turn| *turn > 0)
    );

    card.load(&tables).unwrap();
    assert_eq!(errors(&mut card), 0);
    // While it serves nothing is taken.
    card.write_words(&words_of(&state)).unwrap();
    assert_eq!(errors(&mut card), register::ERROR_BUSY);
    let now = card.flow_state().unwrap();
    assert!(now.entries.iter().all(|entry| *entry == 0) && now.sequence.iter().all(|turn| *turn == 0));
    // In bypass it is, at the tick and with the timeouts of where it comes from.
    card.resume(&state, 78_000_000).unwrap();
    assert_eq!(errors(&mut card), 0);
    assert_eq!(card.flow_state().unwrap(), state);
    let mut hits = 0;
    for step in 0..30 {
        let bytes = segments(&mut random, 150);
        let frames = at(78_000_000 + step * 1_000_000, &bytes);
        let expected = software.process(&frames).unwrap();
        hits += expected.iter().filter(|outcome| outcome.flow == FlowOutcome::Hit).count();
        assert_eq!(card.process(&frames).unwrap(), expected, "step {step}");
        assert_eq!(card.flow_state().unwrap(), software.flow_state().unwrap(), "step {step}");
    }
    assert!(hits > 1_000, "{hits}");
}

fn words_of(state: &FlowState) -> Vec<(u32, u32)> {
    let entries = state.entries.iter().flat_map(|entry| {
        let [a, b, c, d, e, f, g, h] = entry.to_le_bytes();
        [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
    });
    let entries = (window::FLOW_TABLE << window::REGION_SHIFT..).zip(entries);
    let turns = (window::SEQUENCE << window::REGION_SHIFT..).zip(state.sequence.iter().map(|turn| u32::from(*turn)));
    assert_eq!(flow::WAYS * 2, window::FLOW_SET_WORDS as usize);
    entries.chain(turns).collect()
}
