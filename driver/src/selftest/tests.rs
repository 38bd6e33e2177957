//! A sound card is sound, a broken one is broken where it is, and nobody's frames see the test.

use std::time::Duration;

use maglane_spec::register;

use super::*;
use crate::bar::fault::{Fault as BusFault, FaultyBar};
use crate::fixture::{Coupled, Model, Stuck, TINY, image, words};
use crate::load::Loader;

const ALL: Extent = Extent { march: true, flow_table: true };
const QUICK: Extent = Extent { march: false, flow_table: false };

fn run(card: &mut Card<Model>, extent: Extent) -> SelfTestReport {
    SelfTestReport::run(card, extent, &mut |_| {}).unwrap()
}

fn open(plant: impl FnOnce(&mut Model)) -> Card<Model> {
    let mut card = Card::open(Model::new(TINY)).unwrap();
    card.set_deadline(Duration::from_millis(20));
    plant(card.bar());
    card
}

#[test]
fn sound_card_is_sound_and_every_copy_was_read() {
    let report = run(&mut open(|_| {}), ALL);
    assert!(report.is_sound(), "{:?}", report.faults);
    let backend = 16 * (8 + 9 + 1);
    let tested = [
        ("DATAPATH", 24),
        ("SERVICE", 2 * 64),
        ("LOOKUP", 64),
        ("BACKEND", backend),
        ("FLOW_TABLE", 256),
        ("SEQUENCE", 4),
    ];
    assert_eq!(report.tested, tested);
    assert_eq!(run(&mut open(|_| {}), QUICK).skipped, ["FLOW_TABLE", "SEQUENCE"]);
}

#[test]
fn stuck_bit_anywhere_is_found_in_both_values_and_named() {
    for (region, copy, index, bit, text) in [
        (window::DATAPATH, 0, 23, 20, "DATAPATH word 23"),
        (window::SERVICE, 0, 63, 31, "SERVICE row 7 word 7"),
        (window::SERVICE, 1, 0, 0, "SERVICE row 0 word 0, copy 1"),
        (window::LOOKUP, 0, 33, 15, "LOOKUP word 33 (entries 66 and 67)"),
        (window::BACKEND, 0, 8 * 2 + 6, 25, "BACKEND row 2 word 6"),
        (window::BACKEND, 1, 8 * 2 + 7, 7, "BACKEND row 2 word 7, copy 1"),
        (window::BACKEND, 4, 8 * 2 + 6, 16, "BACKEND row 2 word 6, copy 4"),
        (window::BACKEND, 9, 8 * 15 + 6, 0, "BACKEND row 15 word 6, copy 9"),
        (window::FLOW_TABLE, 0, 255, 9, "FLOW_TABLE set 15 way 7 word 1"),
        (window::SEQUENCE, 0, 2, 3, "SEQUENCE word 2"),
    ] {
        for value in [false, true] {
            for march in [false, true] {
                let mut card = open(|model| model.stuck = vec![Stuck { region, copy, index, bit, value }]);
                let report = run(&mut card, Extent { march, flow_table: true });
                assert!(!report.is_sound(), "{text} stuck at {value}");
                for fault in &report.faults {
                    assert_eq!(fault.place.to_string(), text);
                    assert_eq!(fault.expected ^ fault.found, 1 << bit, "{fault}");
                }
            }
        }
    }
}

#[test]
fn bit_of_an_address_that_does_not_arrive_is_found() {
    for (region, bits) in [(window::SERVICE, 6), (window::LOOKUP, 6), (window::BACKEND, 7)] {
        for bit in 0..bits {
            let report = run(&mut open(|model| model.alias = Some((region, bit))), QUICK);
            assert!(!report.is_sound(), "{} bit {bit}", region_name(region));
        }
    }
}

#[test]
fn word_that_changes_with_another_one_is_found_by_the_march_in_both_directions() {
    for (aggressor, victim) in [(5, 40), (40, 5), (0, 1), (63, 62)] {
        let plant = |model: &mut Model| model.coupled = Some(Coupled { region: window::LOOKUP, aggressor, victim });
        let report = run(&mut open(plant), Extent { march: true, flow_table: false });
        assert!(!report.is_sound(), "{aggressor} changes {victim}");
        assert!(report.faults.iter().all(|fault| fault.place.index() == victim), "{:?}", report.faults);
    }
}

#[test]
fn test_of_a_card_that_serves_leaves_what_is_served_and_the_loader_starts_afresh() {
    let (mut card, mut loader) = (open(|_| {}), Loader::new());
    loader.load(&mut card, &image(TINY, 1), &mut |_| {}).unwrap();
    card.set_mode(Mode::Serve).unwrap();
    card.set_clocks_per_ms(200_000).unwrap();
    let flow = card.bar().flow.clone();
    assert!(matches!(SelfTestReport::run(&mut card, ALL, &mut |_| {}), Err(SelfTestError::FlowTableInUse)));
    assert!(run(&mut card, Extent { march: true, flow_table: false }).is_sound());
    assert_eq!(card.bar().served(), words(&image(TINY, 1)));
    assert_eq!((card.bar().generation, &card.bar().flow), (1, &flow));
    let staged = card.bar().staged();
    assert_eq!(staged[..24], words(&image(TINY, 1))[..24], "the datapath row is put back");
    assert_eq!(staged[24..], words(&TableImage::empty(TINY))[24..], "the rest is void");

    // Another process, which has never seen the card, knows the length of the tick by that row.
    for loader in [&mut loader, &mut Loader::new()] {
        let report = loader.load(&mut card, &image(TINY, 2), &mut |_| {}).unwrap();
        assert!(report.words_written >= words(&image(TINY, 2)).len() as u64, "{report:?}");
        assert_eq!(card.bar().served(), words(&image(TINY, 2)));
    }
}

#[test]
fn flow_table_and_turns_are_empty_after_their_test() {
    let mut card = open(|model| {
        model.flow.fill(7);
        model.sequence.fill(7);
    });
    assert!(run(&mut card, QUICK).is_sound());
    assert_eq!(card.bar().flow[3], 7, "not asked for, not touched");
    assert!(run(&mut card, ALL).is_sound());
    assert!(card.bar().flow.iter().all(|&entry| entry == 0) && card.bar().sequence.iter().all(|&turn| turn == 0));
}

#[test]
fn register_that_is_wrong_is_named_before_memories_are_touched() {
    for (offset, text) in [
        (register::IDENTITY_FLIP, "IDENTITY FLIP"),
        (register::TABLE_PAGE, "TABLE PAGE"),
        (register::IDENTITY_BACKENDS, "IDENTITY BACKENDS"),
        (register::CONTROL_VERSION, "CONTROL VERSION"),
        (register::IDENTITY_ERROR, "IDENTITY ERROR"),
    ] {
        let mut card = open(|model| model.override_register(offset, 0));
        let refused = SelfTestReport::run(&mut card, QUICK, &mut |_| {}).unwrap_err();
        assert!(refused.to_string().contains(text), "{text}: {refused}");
        assert_eq!(card.bar().table_writes, 0);
    }
}

#[test]
fn faults_beyond_the_limit_are_counted_only() {
    let report = run(&mut open(|model| model.alias = Some((window::LOOKUP, 0))), ALL);
    assert_eq!(report.faults.len(), FAULTS_MAX);
    assert!(report.faults_total > FAULTS_MAX as u64);
}

#[test]
fn flipped_reads_are_never_taken_for_a_sound_card() {
    let mut faults = 0;
    for every in (1..1_500).step_by(3) {
        let mut card = Card::open(FaultyBar::new(Model::new(TINY))).unwrap();
        card.set_deadline(Duration::ZERO);
        card.bar_unnoticed().plant(BusFault::FlipReads { bit: 4, every });
        if let Ok(report) = SelfTestReport::run(&mut card, QUICK, &mut |_| {}) {
            assert!(!report.is_sound(), "every {every}");
            assert!(report.faults.iter().all(|fault| fault.expected ^ fault.found == 16), "every {every}");
            faults += report.faults_total;
        }
    }
    assert!(faults > 0, "some of them hit memories only");
}

#[test]
fn card_that_goes_during_the_test_is_gone() {
    let mut card = Card::open(FaultyBar::new(Model::new(TINY))).unwrap();
    for after in (0..2_000).step_by(7) {
        card.bar_unnoticed().plant(BusFault::Gone { after });
        let refused = SelfTestReport::run(&mut card, QUICK, &mut |_| {}).unwrap_err();
        assert!(matches!(refused, SelfTestError::Card(CardError::Gone { .. })), "{after}: {refused}");
    }
}
