//! Loading into a card that does what the contract says, and into ones that do not.
//!
//! Every test asks what frames would be served by: the side that is active in the model.

use std::time::Duration;

use maglane_spec::endian::U32Le;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::bar::fault::{Fault, FaultyBar};
use crate::card::{AccessErrors, Mode};
use crate::fixture::{Model, Stuck, TINY, image, words};

type Faulty = Card<FaultyBar<Model>>;

fn open() -> Faulty {
    let mut card = Card::open(FaultyBar::new(Model::new(TINY))).unwrap();
    card.set_deadline(Duration::from_millis(2));
    card
}

fn model(card: &mut Faulty) -> &mut Model {
    card.bar_unnoticed().inner()
}

fn load(loader: &mut Loader, card: &mut Faulty, image: &TableImage) -> Result<LoadReport, LoadError> {
    loader.load(card, image, &mut |_| {})
}

/// A card that serves image 1 and a loader that knows it, or, on request, one that does not.
fn loaded(knows: bool) -> (Faulty, Loader) {
    let (mut card, mut loader) = (open(), Loader::new());
    load(&mut loader, &mut card, &image(TINY, 1)).unwrap();
    card.set_mode(Mode::Serve).unwrap();
    (card, if knows { loader } else { Loader::new() })
}

#[test]
fn first_load_writes_both_sides_and_the_next_only_what_differs() {
    let (mut card, mut loader) = (open(), Loader::new());
    let (first, mut second) = (image(TINY, 1), image(TINY, 1));
    let all = words(&first).len() as u64;
    let report = load(&mut loader, &mut card, &first).unwrap();
    let datapath = u64::from(window::DATAPATH_WORDS);
    assert_eq!((report.generation, report.words_written), (1, 2 * all - datapath));
    // Copies: all of the service rows once, of each backend row one word nine times and one once.
    let read = all + 64 + 16 * (9 + 1);
    assert_eq!(report.words_read, 2 * read - datapath);
    assert_eq!(model(&mut card).served(), words(&first));
    assert_eq!(model(&mut card).staged(), words(&first));

    second.backends[5].load = 77;
    second.backends[5].address[0] ^= 0xff;
    let before = model(&mut card).table_writes;
    let report = load(&mut loader, &mut card, &second).unwrap();
    // Copy 1 has the load besides.
    assert_eq!((report.generation, report.words_written, report.words_read), (2, 2, 3));
    assert_eq!(model(&mut card).table_writes - before, 2);
    assert_eq!(model(&mut card).served(), words(&second));

    // The other side is one generation behind: it lacks the last difference too.
    let mut third = second.clone();
    third.backends[6].load = 3;
    let report = load(&mut loader, &mut card, &third).unwrap();
    assert_eq!((report.generation, report.words_written), (3, 3));
    assert_eq!(model(&mut card).served(), words(&third));
}

#[test]
fn datapath_words_are_copied_by_a_commit_and_not_written_twice() {
    let (mut card, mut loader) = loaded(true);
    let mut second = image(TINY, 1);
    second.datapath.ttl = 9;
    assert_eq!(load(&mut loader, &mut card, &second).unwrap().words_written, 1);
    assert_eq!(load(&mut loader, &mut card, &second).unwrap().words_written, 0, "staged words stay staged");
    let report = load(&mut loader, &mut card, &image(TINY, 1)).unwrap();
    assert_eq!(report.words_written, 1, "and the way back has to be written too");
    assert_eq!(model(&mut card).served(), words(&image(TINY, 1)));
}

#[test]
fn many_deltas_in_a_row_are_each_served_in_full() {
    let (mut card, mut loader) = loaded(true);
    let mut next = image(TINY, 1);
    for round in 0..40_u8 {
        next.backends[usize::from(round) % 16].mtu = maglane_spec::endian::U16Le::new(u16::from(round));
        next.lookup[usize::from(round) * 3] = maglane_spec::endian::U16Le::new(u16::from(round));
        next.datapath.ttl = round / 4;
        let report = load(&mut loader, &mut card, &next).unwrap();
        assert_eq!(model(&mut card).served(), words(&next), "round {round}");
        assert!(report.words_written <= 6, "round {round}: {report:?}");
    }
}

#[test]
fn stream_cut_after_any_write_leaves_one_generation_whole_and_the_next_load_succeeds() {
    for knows in [false, true] {
        let (mut card, mut loader) = loaded(knows);
        let (old, new) = (image(TINY, 1), image(TINY, 2));
        card.bar_unnoticed().plant(Fault::None);
        load(&mut loader, &mut card, &new).unwrap();
        let writes = card.bar_unnoticed().writes();
        assert!(writes > 200);
        for after in 0..=writes {
            for fault in [
                Fault::Cut { after },
                Fault::DropWrites { after, count: u64::MAX },
                Fault::DropWrites { after, count: 1 },
            ] {
                let (mut card, mut loader) = loaded(knows);
                card.bar_unnoticed().plant(fault);
                let result = load(&mut loader, &mut card, &new);
                let what = format!("{fault:?}, loader knows the card: {knows}, {:?}", result.as_ref().err());
                card.bar_unnoticed().plant(Fault::None);
                let served = model(&mut card).served();
                match result {
                    Ok(_) | Err(LoadError::Other { .. }) => assert_eq!(served, words(&new), "{what}"),
                    Err(LoadError::Commit { .. }) => assert!([words(&old), words(&new)].contains(&served), "{what}"),
                    Err(_) => assert_eq!(served, words(&old), "{what}"),
                }
                // A lost write of what was there already is none.
                let is_lossless = after >= writes || (result.is_ok() && matches!(fault, Fault::DropWrites { .. }));
                assert_eq!(result.is_ok(), is_lossless, "{what}");
                assert!(model(&mut card).serves, "{what}");
                // Whoever comes next, this process or another one, ends with the new tables.
                if after % 2 == 0 {
                    loader = Loader::new();
                }
                load(&mut loader, &mut card, &new).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(model(&mut card).served(), words(&new), "{what}");
                load(&mut loader, &mut card, &old).unwrap();
                assert_eq!(model(&mut card).served(), words(&old), "{what}");
            }
        }
    }
}

#[test]
fn card_that_goes_at_any_access_is_gone_and_no_wait_lasts() {
    let (mut card, mut loader) = loaded(true);
    card.bar_unnoticed().plant(Fault::None);
    load(&mut loader, &mut card, &image(TINY, 2)).unwrap();
    let accesses = card.bar_unnoticed().writes() + card.bar_unnoticed().reads();
    for after in 0..accesses {
        let (mut card, mut loader) = loaded(true);
        card.bar_unnoticed().plant(Fault::Gone { after });
        match load(&mut loader, &mut card, &image(TINY, 2)) {
            Err(LoadError::Card(CardError::Gone { .. }) | LoadError::Commit { source: CardError::Gone { .. } }) => {}
            Err(LoadError::Other { source, .. }) if matches!(*source, LoadError::Card(CardError::Gone { .. })) => {}
            other => panic!("after {after}: {other:?}"),
        }
    }
}

#[test]
fn flipped_bit_in_any_read_ends_in_no_commit_of_something_else() {
    for every in 1..200 {
        let (mut card, mut loader) = loaded(true);
        card.bar_unnoticed().plant(Fault::FlipReads { bit: 9, every });
        let _ = load(&mut loader, &mut card, &image(TINY, 2));
        let served = model(&mut card).served();
        assert!([words(&image(TINY, 1)), words(&image(TINY, 2))].contains(&served), "every {every}");
    }
}

#[test]
fn slow_bus_changes_nothing() {
    let (mut card, mut loader) = loaded(true);
    card.bar_unnoticed().plant(Fault::Delay { each: Duration::from_micros(20) });
    assert_eq!(load(&mut loader, &mut card, &image(TINY, 2)).unwrap().generation, 2);
}

#[test]
fn stuck_bit_in_any_copy_is_named_and_nothing_committed() {
    for (region, copy, index, bit, text) in [
        (window::DATAPATH, 0, 5, 16, "DATAPATH word 5:"),
        (window::SERVICE, 0, 9, 3, "SERVICE row 1 word 1:"),
        (window::SERVICE, 1, 9, 3, "SERVICE row 1 word 1, copy 1:"),
        (window::LOOKUP, 0, 41, 1, "LOOKUP word 41 (entries 82 and 83):"),
        (window::BACKEND, 0, 8 * 3 + 6, 0, "BACKEND row 3 word 6:"),
        (window::BACKEND, 1, 8 * 3 + 7, 1, "BACKEND row 3 word 7, copy 1:"),
        (window::BACKEND, 9, 8 * 3 + 6, 1, "BACKEND row 3 word 6, copy 9:"),
    ] {
        let mut refused = Vec::new();
        for value in [false, true] {
            let (mut card, mut loader) = loaded(true);
            model(&mut card).stuck = vec![Stuck { region, copy, index, bit, value }];
            // The image differs from the one that is served in every bit's word, in one way or the other.
            for seed in [2, 253] {
                if let Err(error) = load(&mut loader, &mut card, &image(TINY, seed)) {
                    assert!(matches!(error, LoadError::Verify { .. }), "{error}");
                    refused.push(error.to_string());
                } else {
                    assert_eq!(model(&mut card).served(), words(&image(TINY, seed)));
                }
            }
        }
        assert!(refused.iter().any(|error| error.starts_with(text)), "{text} {refused:?}");
    }
}

#[test]
fn aliased_address_is_found_by_reading_back_after_all_was_written() {
    let (mut card, mut loader) = (open(), Loader::new());
    model(&mut card).alias = Some((window::LOOKUP, 4));
    let refused = load(&mut loader, &mut card, &image(TINY, 1)).unwrap_err();
    assert!(matches!(refused, LoadError::Verify { place, .. } if place.region() == window::LOOKUP), "{refused}");
    assert_eq!(model(&mut card).generation, 0);
}

#[test]
fn commit_that_holds_for_ever_ends_at_the_deadline_and_may_still_happen() {
    let (mut card, mut loader) = loaded(true);
    let (old, new) = (image(TINY, 1), image(TINY, 2));
    model(&mut card).looks = u32::MAX;
    let refused = load(&mut loader, &mut card, &new).unwrap_err();
    assert!(matches!(refused, LoadError::Commit { source: CardError::Deadline { .. } }), "{refused}");
    assert_eq!(model(&mut card).served(), words(&old));
    let refused = load(&mut loader, &mut card, &new).unwrap_err();
    assert!(matches!(refused, LoadError::Card(CardError::Deadline { .. })), "nothing is written meanwhile: {refused}");
    assert_eq!(model(&mut card).error, 0);
    // The frames leave: the commit happens, and the next load finds the sides changed.
    model(&mut card).looks = 1;
    let report = load(&mut loader, &mut card, &old).unwrap();
    assert_eq!(report.generation, 3);
    assert_eq!(model(&mut card).served(), words(&old));
}

#[test]
fn lost_commit_is_an_error_and_the_next_load_writes_all() {
    let (mut card, mut loader) = loaded(true);
    model(&mut card).loses_commit = true;
    let refused = load(&mut loader, &mut card, &image(TINY, 2)).unwrap_err();
    assert!(matches!(refused, LoadError::Commit { source: CardError::Commit { before: 1, after: 1 } }), "{refused}");
    model(&mut card).loses_commit = false;
    let report = load(&mut loader, &mut card, &image(TINY, 2)).unwrap();
    assert!(report.words_written >= words(&image(TINY, 2)).len() as u64, "{report:?}");
}

#[test]
fn error_bit_that_comes_up_while_staging_is_named() {
    let (mut card, mut loader) = loaded(true);
    let staged = loader.stage(&mut card, &image(TINY, 2), &mut |_| {}).unwrap();
    model(&mut card).error = maglane_spec::register::ERROR_HELD;
    let refused = loader.verify(&mut card, staged, &mut |_| {}).unwrap_err();
    assert!(refused.to_string().contains("HELD"), "{refused}");
    // What was there before a load is none of its errors.
    model(&mut card).error = maglane_spec::register::ERROR_ADDRESS;
    load(&mut loader, &mut card, &image(TINY, 2)).unwrap();
    assert_eq!(card.errors().unwrap(), AccessErrors(0));
}

#[test]
fn image_of_other_sizes_is_refused_before_anything_is_written() {
    let (mut card, mut loader) = loaded(true);
    let writes = model(&mut card).table_writes;
    let refused = load(&mut loader, &mut card, &image(Geometry { backends: 32, ..TINY }, 1)).unwrap_err();
    assert!(matches!(refused, LoadError::Geometry { .. }), "{refused}");
    assert_eq!(model(&mut card).table_writes, writes);
    load(&mut loader, &mut card, &image(Geometry { bus_bytes: 64, ..TINY }, 1)).unwrap();
}

#[test]
fn card_that_is_not_ready_is_waited_for_and_not_written() {
    let (mut card, mut loader) = (open(), Loader::new());
    model(&mut card).ready = false;
    let refused = load(&mut loader, &mut card, &image(TINY, 1)).unwrap_err();
    assert!(matches!(refused, LoadError::Card(CardError::Deadline { .. })), "{refused}");
    assert_eq!(model(&mut card).table_writes, 0);
}

#[test]
fn another_tick_is_refused_only_while_the_card_counts() {
    let mut other = image(TINY, 2);
    other.datapath.tick_ms = U32Le::new(2_000);
    for knows in [false, true] {
        let (mut card, mut loader) = loaded(knows);
        card.set_clocks_per_ms(200_000).unwrap();
        for _ in 0..2 {
            load(&mut loader, &mut card, &image(TINY, 3)).unwrap();
        }
        let refused = load(&mut loader, &mut card, &other).unwrap_err();
        assert!(matches!(refused, LoadError::TickLength { image: 2_000, card: 1_000 }), "{refused}");
        assert_eq!(load(&mut loader, &mut card, &image(TINY, 3)).unwrap().words_written, 0, "nothing was forgotten");
        card.set_clocks_per_ms(0).unwrap();
        load(&mut loader, &mut card, &other).unwrap();
    }
}

#[test]
fn shadow_is_forgotten_when_the_card_was_reset_or_written_by_others() {
    let all = words(&image(TINY, 1)).len() as u64;
    let (mut card, mut loader) = loaded(true);
    model(&mut card).reset();
    let report = load(&mut loader, &mut card, &image(TINY, 1)).unwrap();
    assert!(report.words_written >= all, "after a reset: {report:?}");
    assert_eq!(model(&mut card).served(), words(&image(TINY, 1)));

    card.write_words(&[(address(window::LOOKUP, 0, 3), 0)]).unwrap();
    assert!(load(&mut loader, &mut card, &image(TINY, 1)).unwrap().words_written >= all, "after a stranger's write");
    card.bar();
    assert!(load(&mut loader, &mut card, &image(TINY, 1)).unwrap().words_written >= all, "after the BAR was lent");

    let (mut another, _) = loaded(true);
    assert!(load(&mut loader, &mut another, &image(TINY, 1)).unwrap().words_written >= all, "on another card");
}

#[test]
fn what_was_verified_is_not_committed_after_something_else_was_written() {
    let (mut card, mut loader) = loaded(true);
    let staged = loader.stage(&mut card, &image(TINY, 2), &mut |_| {}).unwrap();
    let verified = loader.verify(&mut card, staged, &mut |_| {}).unwrap();
    card.write_words(&[(address(window::LOOKUP, 0, 3), 0)]).unwrap();
    assert!(matches!(loader.commit(&mut card, verified), Err(LoadError::Stale)));
    let staged = loader.stage(&mut card, &image(TINY, 2), &mut |_| {}).unwrap();
    let verified = loader.verify(&mut card, staged, &mut |_| {}).unwrap();
    model(&mut card).reset();
    assert!(matches!(loader.commit(&mut card, verified), Err(LoadError::Stale)));
    assert_eq!(model(&mut card).generation, 0);
}

#[test]
fn progress_goes_from_nothing_to_all_in_every_step() {
    let (mut card, mut loader) = (open(), Loader::new());
    let mut seen = Vec::new();
    loader.load(&mut card, &image(TINY, 1), &mut |progress| seen.push(progress)).unwrap();
    for step in [Step::Stage, Step::Verify, Step::StageOther, Step::VerifyOther] {
        let last = seen.iter().rfind(|progress| progress.step == step).unwrap();
        assert_eq!(last.done, last.total, "{step:?}");
        assert!(last.total > 200, "{step:?}");
    }
}

/// A thing that happens to a card or its loader.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A load of the image of this seed, with a fault that is planted before and healed behind.
    Load(u8, Fault),
    /// The process starts anew.
    Restart,
    /// Power goes and comes.
    Reset,
    /// Somebody else writes a word of the staged side.
    Stranger(u32),
}

fn event() -> impl Strategy<Value = Event> {
    let fault = prop_oneof![
        3 => Just(Fault::None),
        1 => (0..600_u64, 1..4_u64).prop_map(|(after, count)| Fault::DropWrites { after, count }),
        1 => (0..600_u64).prop_map(|after| Fault::Cut { after }),
        1 => (0..1_500_u64).prop_map(|after| Fault::Gone { after }),
        1 => (0..32_u32, 1..900_u64).prop_map(|(bit, every)| Fault::FlipReads { bit, every }),
    ];
    prop_oneof![
        8 => (1..5_u8, fault).prop_map(|(seed, fault)| Event::Load(seed, fault)),
        1 => Just(Event::Restart),
        1 => Just(Event::Reset),
        1 => (0..64_u32).prop_map(Event::Stranger),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_frames_meet_one_whole_image(events in vec(event(), 1..12)) {
        let (mut card, mut loader) = (open(), Loader::new());
        // What may be served: the image of the last commit, and those of commits whose end nobody saw.
        let mut may_be: Vec<Option<u8>> = vec![None];
        for event in events {
            match event {
                Event::Load(seed, fault) => {
                    card.bar_unnoticed().plant(fault);
                    let result = load(&mut loader, &mut card, &image(TINY, seed));
                    card.bar_unnoticed().plant(Fault::None);
                    match result {
                        Ok(_) | Err(LoadError::Other { .. }) => may_be = vec![Some(seed)],
                        Err(LoadError::Commit { .. }) => may_be.push(Some(seed)),
                        Err(error) => prop_assert!(fault != Fault::None, "{error}"),
                    }
                }
                Event::Restart => loader = Loader::new(),
                Event::Reset => {
                    model(&mut card).reset();
                    may_be = vec![None];
                }
                Event::Stranger(index) => card.write_words(&[(address(window::LOOKUP, 0, index), 0)]).unwrap(),
            }
            let served = model(&mut card).served();
            let is_whole = may_be.iter().flatten().any(|&seed| served == words(&image(TINY, seed)));
            // Nothing was committed since the reset, so nothing is of use, and nobody serves by it.
            prop_assert!(is_whole || (may_be.contains(&None) && model(&mut card).generation == 0), "{event:?}");
        }
    }
}
