//! Goal: the driver loads, tests and reads the gateware that ships; what it writes is what differs; when it dies, or the
//! card does, frames go on by one generation, and it says so in time.
//!
//! Method: driver and emitted Verilog in lockstep: time passes for the card while it is accessed and while frames run.
//! That a load may be cut after every single write is gone through in the driver's own tests, on a small model of the
//! card; here it is cut at some places of a real load, with frames after each.

use std::time::{Duration, Instant};

use maglane_driver::bar::BarIo;
use maglane_driver::bar::fault::{Fault, FaultyBar};
use maglane_driver::card::{CardError, Mode};
use maglane_driver::counters::Counters;
use maglane_driver::flows::FlowTableState;
use maglane_driver::load::LoadError;
use maglane_driver::selftest::{Extent, SelfTestReport};
use maglane_driver::{Card, Loader};
use maglane_hw::profile::Profile;
use maglane_sim::Stimulus;
use maglane_sim::device::SimulatedCard;
use maglane_sim::shared::Shared;
use maglane_spec::{FlowOutcome, Geometry, TableImage, register, window};
use maglane_sw::Pipeline;
use maglane_sw::engine::{Engine, FlowState, Frame};

use crate::bench::{self, Random, Transport};
use crate::flows::{ACK, SYN, TARGETS, image};
use crate::lab;

type Simulated = Card<FaultyBar<SimulatedCard>>;

fn card() -> Option<Simulated> {
    match SimulatedCard::start(Profile::Lab, Stimulus::SMOOTH) {
        Ok(card) => Some(Card::open(FaultyBar::new(card)).unwrap()),
        Err(error) => {
            bench::skipped(&format!("simulated card: {error}"));
            None
        }
    }
}

fn segments(random: &mut Random, count: usize) -> Vec<Vec<u8>> {
    let flags = [SYN, ACK, ACK];
    let segment = |random: &mut Random| {
        Transport::to(TARGETS[random.below(6)]).from(random.next() % 300).frame(flags[random.below(3)])
    };
    (0..count).map(|_| segment(random)).collect()
}

fn at_once(bytes: &[Vec<u8>]) -> Vec<Frame<'_>> {
    bytes.iter().map(|bytes| Frame { time_ns: 0, bytes }).collect()
}

fn quiet(_: maglane_driver::load::Progress) {}

fn differing(old: &TableImage, new: &TableImage) -> u64 {
    old.words().zip(new.words()).filter(|(old, new)| old != new).count() as u64
}

#[test]
fn tables_that_the_driver_loads_are_those_that_serve_and_a_delta_is_what_differs() {
    let Some(mut card) = card() else { return };
    let mut software = Pipeline::new(Profile::Lab.geometry());
    let mut loader = Loader::new();
    let mut random = Random(bench::seed(51));
    let mut before = image(Profile::Lab, 1);
    let first = loader.load(&mut card, &before, &mut quiet).unwrap();
    let all = before.words().count() as u64;
    assert_eq!((first.generation, first.words_written), (1, 2 * all - 24), "both sides, and the settings once");
    card.set_mode(Mode::Serve).unwrap();
    software.load(&before).unwrap();
    let mut older = before.clone();
    for number in 2..8 {
        let bytes = segments(&mut random, 200);
        let expected = software.process(&at_once(&bytes)).unwrap();
        assert_eq!(card.bar().inner().frames(&at_once(&bytes)).unwrap(), expected, "generation {number}");
        // What the driver reads is what software counts.
        let counters = Counters::read(&mut card).unwrap();
        let own = software.counters().unwrap();
        assert_eq!((&counters.verdicts, &counters.backends), (&own.verdicts, &own.backends));
        assert_eq!((&counters.flows, &counters.services), (&own.flows, &own.services));
        let state = FlowTableState::export(&mut card).unwrap();
        assert_eq!(state.entries, software.flow_state().unwrap().entries);
        let new = TableImage { datapath: before.datapath, ..image(Profile::Lab, number) };
        // Frames have voided nothing: the raw way to the card was only used for them.
        let mut loader_again = Loader::new();
        let report = if number % 3 == 0 {
            loader_again.load(&mut card, &new, &mut quiet)
        } else {
            loader.load(&mut card, &new, &mut quiet)
        };
        assert_eq!(report.unwrap().generation, u32::try_from(number).unwrap());
        software.update(&new).unwrap();
        older = std::mem::replace(&mut before, new);
    }
    // Two loads in a row: the staged side has what was served before.
    let mut loader = Loader::new();
    loader.load(&mut card, &older, &mut quiet).unwrap();
    loader.load(&mut card, &before, &mut quiet).unwrap();
    let one_less = image(Profile::Lab, 60);
    let one_less = TableImage { datapath: before.datapath, ..one_less };
    let report = loader.load(&mut card, &one_less, &mut quiet).unwrap();
    assert_eq!(report.words_written, differing(&older, &one_less));
}

/// One of a thousand equal backends leaves: some 450 slots of 65,521 change, and so do as many words.
#[test]
fn one_backend_of_a_thousand_is_some_hundred_words() {
    let tables = |down: bool| {
        let mut text = String::from(
            "[datapath]\nhash_key = \"000102030405060708090a0b0c0d0e0f\"\nmac = \"02:00:00:00:00:01\"\n\
             next_hop_mac = \"02:00:00:00:00:02\"\ntunnel_source_v4 = \"10.0.0.1\"\ngeometry = \"sume\"\n\
             [[service]]\nname = \"web\"\naddress = \"192.0.2.10\"\nport = 80\nprotocol = \"tcp\"\n",
        );
        for backend in 0..1_000 {
            let state = if down && backend == 500 { "down" } else { "up" };
            text += &format!(
                "[[service.backend]]\naddress = \"10.1.{}.{}\"\nstate = \"{state}\"\n",
                backend / 250,
                backend % 250 + 1
            );
        }
        bench::tables(&text)
    };
    let words = differing(&tables(false), &tables(true));
    println!("{words} words");
    assert!((66..=1_000).contains(&words), "{words}");
}

#[test]
fn a_load_that_is_cut_anywhere_leaves_one_generation_whole() {
    let Some(mut card) = card() else { return };
    let [old, new] = [image(Profile::Lab, 4), image(Profile::Lab, 9)];
    let new = TableImage { datapath: old.datapath, ..new };
    let mut random = Random(bench::seed(52));
    Loader::new().load(&mut card, &old, &mut quiet).unwrap();
    card.set_mode(Mode::Serve).unwrap();
    let words = new.words().count() as u64;
    let mut served_new = 0;
    // All words are written, then read back page by page, then comes the commit.
    let cuts = [0, 1, 2, 30, 1_100, words / 2, words - 1, words + 9, words + 20, words + 60, words + 1_000];
    for cut in cuts {
        // The driver that dies knows nothing of the card, and writes every word.
        card.bar().plant(Fault::Cut { after: cut });
        let result = Loader::new().load(&mut card, &new, &mut quiet);
        card.bar().plant(Fault::None);
        let bytes = segments(&mut random, 60);
        let outcomes = card.bar().inner().frames(&at_once(&bytes)).unwrap();
        let state = FlowTableState::export(&mut card).unwrap();
        let whole = |image: &TableImage| {
            // Every flow is new to it: the card's flow table is emptied below.
            let mut software = Pipeline::new(Profile::Lab.geometry());
            software.load(image).unwrap();
            software.process(&at_once(&bytes)).unwrap() == outcomes
        };
        let (by_old, by_new) = (whole(&old), whole(&new));
        assert!(by_old != by_new, "cut after {cut}: neither the old nor the new tables, whole");
        assert!(by_old || cut >= words, "cut after {cut}: the new tables serve, and they were not committed");
        assert!(result.is_err() || by_new);
        served_new += usize::from(by_new);
        // The next one succeeds, and all begins anew.
        Loader::new().load(&mut card, &old, &mut quiet).unwrap();
        card.set_mode(Mode::Bypass).unwrap();
        let empty =
            FlowTableState { entries: vec![0; state.entries.len()], sequence: vec![0; state.sequence.len()], ..state };
        empty.import(&mut card).unwrap();
        card.set_mode(Mode::Serve).unwrap();
    }
    assert!((2..cuts.len()).contains(&served_new), "{served_new}");
}

#[test]
fn a_card_that_dies_is_told_in_time() {
    let Some(mut card) = card() else { return };
    card.set_deadline(Duration::from_millis(500));
    let tables = image(Profile::Lab, 4);
    let begin = Instant::now();
    card.bar().plant(Fault::Gone { after: 40_000 });
    let gone = Loader::new().load(&mut card, &tables, &mut quiet).unwrap_err();
    assert!(matches!(gone, LoadError::Card(CardError::Gone { .. })), "{gone}");
    let gone = Counters::read(&mut card).unwrap_err();
    assert!(matches!(gone, CardError::Gone { .. }), "{gone}");
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    // It comes back, reset or not: a load succeeds.
    card.bar().plant(Fault::None);
    Loader::new().load(&mut card, &tables, &mut quiet).unwrap();
    // A commit that the wire holds up for ever: no frame can leave, and the deadline ends the wait.
    card.bar().plant(Fault::DropWrites { after: 0, count: u64::MAX });
    let begin = Instant::now();
    assert!(Loader::new().load(&mut card, &image(Profile::Lab, 5), &mut quiet).is_err());
    assert!(begin.elapsed() < Duration::from_secs(60));
}

#[test]
fn the_flow_table_moves_through_the_driver_and_memories_are_sound() {
    let Some(mut card) = card() else { return };
    let geometry = Profile::Lab.geometry();
    let sound = SelfTestReport::run(&mut card, Extent { march: false, flow_table: true }, &mut |_| {}).unwrap();
    assert!(sound.is_sound(), "{:?}", sound.faults);
    let words: u64 = sound.tested.iter().map(|(_, words)| words).sum();
    let least: u32 = [window::SERVICE, window::LOOKUP, window::FLOW_TABLE]
        .map(|region| window::words(region, &geometry))
        .iter()
        .sum();
    assert!(words > u64::from(least), "{words}");
    let tables = image(Profile::Lab, 2);
    Loader::new().load(&mut card, &tables, &mut quiet).unwrap();
    let mut software = Pipeline::new(geometry);
    software.load(&tables).unwrap();
    let mut random = Random(bench::seed(53));
    let bytes = segments(&mut random, 600);
    software.process(&at_once(&bytes)).unwrap();
    let FlowState { tick, entries, sequence } = software.flow_state().unwrap();
    let state = FlowTableState { geometry: Geometry { bus_bytes: 64, ..geometry }, tick, entries, sequence };
    state.import(&mut card).unwrap();
    card.set_mode(Mode::Serve).unwrap();
    let back = FlowTableState::export(&mut card).unwrap();
    assert_eq!((back.tick, &back.entries, &back.sequence), (state.tick, &state.entries, &state.sequence));
    let bytes = segments(&mut random, 300);
    let expected = software.process(&at_once(&bytes)).unwrap();
    assert_eq!(card.bar().inner().frames(&at_once(&bytes)).unwrap(), expected);
}

/// Frames that come when they come leave the simulated clock hardly any clocks, so a card that has such ones takes its time
/// from them, once the driver lets it count time. Ticks are of 15 s, and a flow that is new is given four.
#[test]
fn flows_age_by_the_time_of_live_frames_while_the_driver_lets_the_card_count_it() {
    let Some(simulated) = lab::card() else { return };
    let shared = Shared::new(simulated);
    let mut card = Card::open(shared.clone()).unwrap();
    Loader::new().load(&mut card, &lab::tables(None), &mut quiet).unwrap();
    card.set_mode(Mode::Serve).unwrap();
    let bytes = Transport::to(([192, 0, 2, 10], 6, 80)).frame(SYN);
    let seen = |time_s: u64| {
        let time_ns = time_s * 1_000_000_000;
        let mut simulated = shared.lock();
        let page = simulated.read(register::TABLE_PAGE).unwrap();
        simulated.follow_time(time_ns).unwrap();
        assert_eq!(simulated.read(register::TABLE_PAGE).unwrap(), page, "the page is the driver's");
        simulated.frames(&[Frame { time_ns, bytes: &bytes }]).unwrap()[0].flow
    };
    assert_eq!([1_000, 5_000].map(&seen), [FlowOutcome::Inserted, FlowOutcome::Hit], "no time is counted");
    let clock_khz = card.identity().clock_khz;
    card.set_clocks_per_ms(clock_khz).unwrap();
    assert_eq!([9_000, 9_050, 9_140].map(&seen), [FlowOutcome::Hit, FlowOutcome::Hit, FlowOutcome::Inserted]);
    // Other tables take no time away: 90 s are more than four ticks, whoever has loaded meanwhile.
    Loader::new().load(&mut card, &lab::tables(Some(0)), &mut quiet).unwrap();
    assert_eq!(seen(9_230), FlowOutcome::Inserted);
    // In bypass time stands still, and goes on from there.
    card.set_clocks_per_ms(0).unwrap();
    shared.lock().follow_time(9_240_000_000_000).unwrap();
    card.set_clocks_per_ms(clock_khz).unwrap();
    assert_eq!(seen(12_000), FlowOutcome::Hit);
}
