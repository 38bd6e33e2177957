//! Registers and pages of a card that does what the contract says, and of ones that do not.

use super::*;
use crate::bar::fault::{Fault, FaultyBar};
use crate::fixture::{Model, TINY};
use crate::place::address;

fn open() -> Card<FaultyBar<Model>> {
    let mut card = Card::open(FaultyBar::new(Model::new(TINY))).unwrap();
    card.set_deadline(Duration::from_millis(5));
    card
}

#[test]
fn boxed_bar_is_a_card_like_any_other() {
    let bar: Box<dyn BarIo> = Box::new(Model::new(TINY));
    assert_eq!(Card::open(bar).unwrap().geometry(), &TINY);
}

#[test]
fn mode_waits_for_the_frames_inside_and_reads_what_is_in_force() {
    let mut card = open();
    assert_eq!(card.mode().unwrap(), Mode::Bypass);
    card.bar().inner().looks = 30;
    card.set_mode(Mode::Serve).unwrap();
    assert_eq!(card.mode().unwrap(), Mode::Serve);
    card.bar().inner().looks = u32::MAX;
    let begin = Instant::now();
    let refused = card.set_mode(Mode::Bypass).unwrap_err();
    assert!(matches!(refused, CardError::Deadline { status: Status { holding: true, .. }, .. }), "{refused}");
    assert!(begin.elapsed() < Duration::from_secs(2));
    assert_eq!(card.mode().unwrap(), Mode::Serve);
}

#[test]
fn register_that_takes_nothing_is_named() {
    let mut card = open();
    card.bar().plant(Fault::DropWrites { after: 0, count: u64::MAX });
    assert!(matches!(card.set_clocks_per_ms(9), Err(CardError::Lost { name: "CLOCKS_PER_MS", wrote: 9, found: 0 })));
    assert!(matches!(card.set_mode(Mode::Serve), Err(CardError::Lost { name: "MODE", .. })));
    card.bar().inner().error = register::ERROR_BUSY;
    assert!(matches!(card.clear_errors(), Err(CardError::Lost { name: "ERROR", .. })));
    card.bar().plant(Fault::None);
    assert_eq!(card.clear_errors().unwrap(), AccessErrors(register::ERROR_BUSY));
    assert_eq!(card.errors().unwrap(), AccessErrors(0));
}

#[test]
fn page_is_turned_once_for_neighbours_and_never_assumed_after_an_error() {
    let mut card = open();
    let (lookup, backend) = (address(window::LOOKUP, 0, 1), address(window::BACKEND, 0, 1));
    card.write_words(&[(lookup, 1), (lookup + 1, 2), (backend, 3)]).unwrap();
    card.bar_unnoticed().plant(Fault::None);
    let mut words = Vec::new();
    card.read_words(&[backend, lookup, lookup + 1], &mut words).unwrap();
    assert_eq!((words, card.bar_unnoticed().writes()), (vec![3, 1, 2], 1));
    card.bar_unnoticed().plant(Fault::Cut { after: 1 });
    assert!(card.write_words(&[(backend, 4), (lookup, 5)]).is_err());
    card.bar_unnoticed().plant(Fault::None);
    assert_eq!(card.read_word(backend).unwrap(), 3, "the write was cut off behind the page");
    assert_eq!(card.bar_unnoticed().writes(), 1, "and the page written again");
}

#[test]
fn lost_page_is_an_error_before_a_word_lands_elsewhere() {
    let mut card = open();
    card.bar_unnoticed().plant(Fault::DropWrites { after: 0, count: 1 });
    let refused = card.write_words(&[(address(window::LOOKUP, 0, 3), 1)]).unwrap_err();
    assert!(matches!(refused, CardError::Page { found: 0, .. }), "{refused}");
    assert_eq!(card.bar_unnoticed().inner().table_writes, 0);
    assert_eq!(card.generation().unwrap(), 0, "word 3 of page 0 is a commit");
}

#[test]
fn reset_behind_our_back_makes_no_write_a_command() {
    let mut card = open();
    let word = address(window::LOOKUP, 0, window::CONTROL_COMMIT);
    card.write_words(&[(word, 1)]).unwrap();
    card.bar_unnoticed().inner().reset();
    card.write_words(&[(word, 2)]).unwrap();
    card.status().unwrap();
    assert_eq!(card.generation().unwrap(), 0);
    assert_eq!(card.read_word(word).unwrap(), 2);
    card.bar_unnoticed().inner().reset();
    assert_ne!(card.read_word(word).unwrap(), 0, "what a memory holds after a reset, and no word of page 0");
}

#[test]
fn all_ones_are_believed_only_of_a_card_that_is_there() {
    let mut card = open();
    let word = address(window::LOOKUP, 0, 7);
    card.write_words(&[(word, u32::MAX)]).unwrap();
    assert_eq!(card.read_word(word).unwrap(), u32::MAX);
    card.bar_unnoticed().plant(Fault::Gone { after: 0 });
    assert!(matches!(card.read_word(word), Err(CardError::Gone { .. })));
    assert!(matches!(card.status(), Err(CardError::Gone { at: register::CONTROL_STATUS })));
    let refused = card.read_words(&[word], &mut Vec::new()).unwrap_err();
    assert!(refused.to_string().contains("the card is gone"), "{refused}");
}
