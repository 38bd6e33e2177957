//! The registers: does every bit go there and back, and does each register answer for itself only?

use maglane_spec::register::{self, BLOCKS, Content};

use super::SelfTestError;
use crate::bar::BarIo;
use crate::card::{Card, CardError};

/// Tests the bus by registers alone. No memory is touched, and nothing that has an effect on frames.
pub(super) fn test<B: BarIo>(card: &mut Card<B>) -> Result<(), SelfTestError> {
    let walking = (0..u32::BITS).map(|bit| 1 << bit);
    for word in walking.clone().chain(walking.map(|word: u32| !word)).chain([0, u32::MAX]) {
        write(card, register::IDENTITY_SCRATCH, word)?;
        expect(card, register::IDENTITY_SCRATCH, word, "after a word walked through SCRATCH")?;
        expect(card, register::IDENTITY_FLIP, !word, "after a word walked through SCRATCH")?;
    }
    // As wide as the page is.
    for bit in 0..u32::BITS - register::PAGE_SHIFT {
        write(card, register::TABLE_PAGE, 1 << bit)?;
        expect(card, register::TABLE_PAGE, 1 << bit, "after a bit walked through PAGE")?;
    }
    // Each holds its own address; then nothing else may have changed.
    write(card, register::IDENTITY_SCRATCH, register::IDENTITY_SCRATCH)?;
    write(card, register::TABLE_PAGE, register::TABLE_PAGE)?;
    let when = "after SCRATCH and PAGE were given their own addresses";
    expect(card, register::IDENTITY_SCRATCH, register::IDENTITY_SCRATCH, when)?;
    expect(card, register::TABLE_PAGE, register::TABLE_PAGE, when)?;
    let geometry = *card.geometry();
    for known in BLOCKS.iter().flat_map(|block| block.registers) {
        let value = match known.content {
            Content::Fixed(value) => value,
            Content::Geometry(register::Size::BusBytes) => geometry.bus_bytes,
            Content::Geometry(register::Size::Services) => geometry.services,
            Content::Geometry(register::Size::Backends) => geometry.backends,
            Content::Geometry(register::Size::LookupEntries) => geometry.lookup_entries,
            Content::Geometry(register::Size::FlowSets) => geometry.flow_sets,
            Content::Wrapper | Content::Held(_) | Content::Port(..) => continue,
        };
        expect(card, known.offset, value, when)?;
    }
    // A register of errors that never shows one would hide lost writes.
    card.clear_errors()?;
    write(card, register::IDENTITY_KIND, 0)?;
    expect(card, register::IDENTITY_ERROR, register::ERROR_READ_ONLY, "after a write to KIND")?;
    card.clear_errors()?;
    write(card, register::IDENTITY_SCRATCH, 0)?;
    Ok(write(card, register::TABLE_PAGE, 0)?)
}

fn write<B: BarIo>(card: &mut Card<B>, offset: u32, word: u32) -> Result<(), CardError> {
    card.write_register(offset, word)
}

fn expect<B: BarIo>(card: &mut Card<B>, offset: u32, expected: u32, when: &'static str) -> Result<(), SelfTestError> {
    let found = card.read_register(offset)?;
    if found == expected {
        return Ok(());
    }
    let of = |block: &register::Block| {
        let known = block.registers.iter().find(|known| known.offset == offset)?;
        Some(format!("{} {}", block.name, known.name))
    };
    let name = BLOCKS.iter().find_map(of).unwrap_or_else(|| format!("at {offset:#x}"));
    Err(SelfTestError::Register { name, expected, found, when })
}
