//! What card this is: the chain of blocks at the begin of its registers, and what the first of them says.
//!
//! It refuses whatever it does not know by name, before anything is written but the register that is there for it. Its
//! unit of work is the card.

use maglane_spec::Geometry;
use maglane_spec::register::{self, BLOCKS, Block};

use crate::bar::BarIo;
use crate::card::CardError;

/// Blocks that are looked at; the chain has three, and wrappers may add some of their own.
const BLOCKS_MAX: usize = 16;

/// What a card says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What is around the core; one of [`register::WRAPPERS`].
    pub wrapper: &'static str,
    /// The core's clock in kHz, which is also its clocks per millisecond.
    pub clock_khz: u32,
    /// Sizes of the tables.
    pub geometry: Geometry,
    /// When the bitstream was built, in seconds since 1970, if that is known.
    pub build_time: Option<u32>,
    /// The commit that it was built from, if that is known.
    pub git_hash: Option<[u8; 4 * register::GIT_HASH_WORDS as usize]>,
}

impl Identity {
    /// Walks the chain, reads what the card says of itself, and tests the bus.
    ///
    /// # Errors
    /// [`CardError::Gone`] when nothing answers; otherwise the first thing that is not as the contract says, by name.
    pub fn read(bar: &mut impl BarIo) -> Result<Self, CardError> {
        if bar.bytes() < register::BYTES {
            return Err(CardError::WindowSize { bytes: bar.bytes() });
        }
        walk(bar)?;
        for (name, offset, known) in [
            ("WINDOW", register::TABLE_WINDOW, register::WINDOW),
            ("WINDOW_WORDS", register::TABLE_WINDOW_WORDS, register::WINDOW_WORDS),
        ] {
            let found = read_alive(bar, offset)?;
            if found != known {
                return Err(CardError::TableWindow { name, found, known });
            }
        }
        let code = read_alive(bar, register::IDENTITY_WRAPPER)?;
        let wrapper = register::WRAPPERS.get(code as usize).ok_or(CardError::Wrapper { code })?;
        let known = |word| (word != 0).then_some(word);
        let mut git_hash = [0; 4 * register::GIT_HASH_WORDS as usize];
        for (offset, bytes) in (register::IDENTITY_GIT_HASH..).step_by(4).zip(git_hash.chunks_exact_mut(4)) {
            bytes.copy_from_slice(&bar.read(offset)?.to_le_bytes());
        }
        let identity = Self {
            wrapper,
            clock_khz: bar.read(register::IDENTITY_CLOCK_KHZ)?,
            geometry: read_geometry(bar)?,
            build_time: known(bar.read(register::IDENTITY_BUILD_TIME)?),
            git_hash: (git_hash != [0; _]).then_some(git_hash),
        };
        test_bus(bar)?;
        // Whatever was read above may have been all ones by then.
        expect_alive(bar, register::IDENTITY_KIND)?;
        Ok(identity)
    }
}

/// Reads who is there: nobody, when the card is gone.
///
/// # Errors
/// [`CardError::Gone`] and [`CardError::NotACard`]; `at` is the offset that made somebody ask.
pub(crate) fn expect_alive(bar: &mut impl BarIo, at: u32) -> Result<(), CardError> {
    match bar.read(register::IDENTITY_KIND)? {
        register::KIND_IDENTITY => Ok(()),
        u32::MAX => Err(CardError::Gone { at }),
        found => Err(CardError::NotACard { found }),
    }
}

/// Walks the chain of blocks; each that the contract knows must be there once, where the contract says, in its version.
fn walk(bar: &mut impl BarIo) -> Result<(), CardError> {
    expect_alive(bar, register::IDENTITY_KIND)?;
    let mut offset = 0;
    let mut seen = Vec::new();
    loop {
        if seen.len() == BLOCKS_MAX {
            return Err(CardError::ChainLength { max: BLOCKS_MAX });
        }
        if seen.iter().any(|&(known, _)| known == offset) {
            return Err(CardError::ChainLoop { offset });
        }
        let kind = read_alive(bar, offset)?;
        let version = read_alive(bar, offset + 4)?;
        if let Some(block) = BLOCKS.iter().find(|block| fixed(block, 0) == kind) {
            let (place, known) = (block.registers[0].offset, fixed(block, 1));
            if place != offset {
                return Err(CardError::BlockPlace { block: block.name, found: offset, known: place });
            }
            if version != known {
                return Err(CardError::Version { block: block.name, found: version, known });
            }
        }
        seen.push((offset, kind));
        let next = read_alive(bar, offset + 8)?;
        if next == 0 {
            break;
        }
        // The header of a block has three words, and the window begins behind the registers.
        if !next.is_multiple_of(4) || next > register::WINDOW - 12 {
            return Err(CardError::ChainPlace { offset, next });
        }
        offset = next;
    }
    match BLOCKS.iter().find(|block| seen.iter().all(|&(_, kind)| kind != fixed(block, 0))) {
        Some(block) => Err(CardError::BlockMissing { block: block.name }),
        None => Ok(()),
    }
}

/// Reads a register, after which the card is known to be there.
fn read_alive(bar: &mut impl BarIo, offset: u32) -> Result<u32, CardError> {
    let word = bar.read(offset)?;
    if word == u32::MAX {
        expect_alive(bar, offset)?;
    }
    Ok(word)
}

/// Value of a block's register that never changes.
const fn fixed(block: &Block, index: usize) -> u32 {
    match block.registers[index].content {
        register::Content::Fixed(value) => value,
        _ => panic!("kind and version of a block are fixed"),
    }
}

fn read_geometry(bar: &mut impl BarIo) -> Result<Geometry, CardError> {
    let bus_bytes = read_alive(bar, register::IDENTITY_BUS_BYTES)?;
    if ![32, 64].contains(&bus_bytes) {
        return Err(CardError::Geometry { name: "bus_bytes", found: bus_bytes, low: 32, high: 64 });
    }
    let mut sizes = [0; Geometry::BOUNDS.len()];
    let offsets = [
        register::IDENTITY_SERVICES,
        register::IDENTITY_BACKENDS,
        register::IDENTITY_LOOKUP_ENTRIES,
        register::IDENTITY_FLOW_SETS,
    ];
    for ((size, offset), (name, low, high)) in sizes.iter_mut().zip(offsets).zip(Geometry::BOUNDS) {
        let found = read_alive(bar, offset)?;
        if !found.is_power_of_two() || !(low..=high).contains(&found) {
            return Err(CardError::Geometry { name, found, low, high });
        }
        *size = found;
    }
    let [services, backends, lookup_entries, flow_sets] = sizes;
    Ok(Geometry { bus_bytes, services, backends, lookup_entries, flow_sets })
}

/// Words go there and back unchanged: each bit in both values, and neighbours in different ones.
fn test_bus(bar: &mut impl BarIo) -> Result<(), CardError> {
    for wrote in [u32::MAX, 0x5555_5555, 0xaaaa_aaaa, 0x0ff0_1234, 0] {
        bar.write(register::IDENTITY_SCRATCH, wrote)?;
        let (scratch, flip) = (bar.read(register::IDENTITY_SCRATCH)?, bar.read(register::IDENTITY_FLIP)?);
        if (scratch, flip) != (wrote, !wrote) {
            expect_alive(bar, register::IDENTITY_SCRATCH)?;
            return Err(CardError::Bus { wrote, scratch, flip });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bar::fault::{Fault, FaultyBar};
    use crate::fixture::{Model, TINY};

    fn with(offset: u32, word: u32) -> Result<Identity, CardError> {
        let mut model = Model::new(TINY);
        model.override_register(offset, word);
        Identity::read(&mut model)
    }

    #[test]
    fn card_says_what_it_is() {
        let identity = Identity::read(&mut Model::new(TINY)).unwrap();
        assert_eq!((identity.wrapper, identity.clock_khz, identity.geometry), ("simulation", 200_000, TINY));
        assert_eq!((identity.build_time, identity.git_hash), (None, None));
        let identity = with(register::IDENTITY_GIT_HASH + 4, 0x0403_0201).unwrap();
        assert_eq!(identity.git_hash.unwrap()[4..8], [1, 2, 3, 4]);
        assert_eq!(with(register::IDENTITY_BUILD_TIME, 9).unwrap().build_time, Some(9));
    }

    #[test]
    fn whatever_is_not_as_the_contract_says_is_refused_by_name() {
        use register as r;
        for (offset, word, text) in [
            (r::IDENTITY_KIND, u32::MAX, "the card is gone"),
            (r::IDENTITY_KIND, 0, "no card of this project"),
            (r::IDENTITY_VERSION, 2, "block IDENTITY has version 2"),
            (r::CONTROL_VERSION, 0, "block CONTROL has version 0"),
            (r::TABLE_VERSION, 9, "block TABLE has version 9"),
            (r::IDENTITY_NEXT, r::TABLE_KIND, "block CONTROL is missing"),
            (r::IDENTITY_NEXT, 0, "block CONTROL is missing"),
            (r::CONTROL_NEXT, 0, "block TABLE is missing"),
            (r::TABLE_NEXT, r::CONTROL_KIND, "comes back to 0x100"),
            (r::IDENTITY_NEXT, 0x102, "leads to 0x102"),
            (r::IDENTITY_NEXT, r::WINDOW - 8, "leads to 0x7ff8"),
            (r::IDENTITY_NEXT, 0xffff_fff0, "leads to 0xfffffff0"),
            (r::CONTROL_KIND, r::KIND_TABLE, "block TABLE is at 0x100"),
            (r::IDENTITY_WRAPPER, 77, "wrapper 77"),
            (r::IDENTITY_BUS_BYTES, 48, "bus_bytes is 48"),
            (r::IDENTITY_SERVICES, 2, "services is 2"),
            (r::IDENTITY_BACKENDS, 48, "backends is 48"),
            (r::IDENTITY_LOOKUP_ENTRIES, 1 << 23, "lookup_entries is 8388608"),
            (r::IDENTITY_FLOW_SETS, 0, "flow_sets is 0"),
            (r::TABLE_WINDOW, 0x4000, "WINDOW is 0x4000"),
            (r::TABLE_WINDOW_WORDS, 1, "WINDOW_WORDS is 0x1"),
            (r::IDENTITY_FLIP, 5, "the bus changes words"),
            (r::IDENTITY_SCRATCH, 0, "the bus changes words"),
        ] {
            let refused = with(offset, word).unwrap_err().to_string();
            assert!(refused.contains(text), "{offset:#x} = {word:#x}: {refused}");
        }
    }

    #[test]
    fn chain_without_end_is_left() {
        let mut model = Model::new(TINY);
        for block in 0..100 {
            model.override_register(0x300 + 16 * block, 1);
            model.override_register(0x304 + 16 * block, 1);
            model.override_register(0x308 + 16 * block, 0x310 + 16 * block);
        }
        model.override_register(register::TABLE_NEXT, 0x300);
        assert!(matches!(Identity::read(&mut model), Err(CardError::ChainLength { max: BLOCKS_MAX })));
    }

    #[test]
    fn unknown_block_in_the_chain_is_passed_by() {
        let mut model = Model::new(TINY);
        for (offset, word) in [(register::TABLE_NEXT, 0x300), (0x300, 0x1234), (0x304, 7), (0x308, 0)] {
            model.override_register(offset, word);
        }
        assert_eq!(Identity::read(&mut model).unwrap().geometry, TINY);
    }

    #[test]
    fn card_that_goes_at_any_access_is_gone_and_never_something_else() {
        let mut bar = FaultyBar::new(Model::new(TINY));
        bar.plant(Fault::None);
        Identity::read(&mut bar).unwrap();
        for after in 0..bar.reads() + bar.writes() {
            let mut bar = FaultyBar::new(Model::new(TINY));
            bar.plant(Fault::Gone { after });
            let refused = Identity::read(&mut bar).unwrap_err();
            assert!(matches!(refused, CardError::Gone { .. }), "after {after}: {refused}");
        }
    }

    #[test]
    fn window_that_is_too_short_is_refused_without_an_access() {
        struct Short;
        impl BarIo for Short {
            fn bytes(&self) -> u32 {
                register::BYTES - 4
            }
            fn read(&mut self, _: u32) -> Result<u32, crate::BarError> {
                unreachable!()
            }
            fn write(&mut self, _: u32, _: u32) -> Result<(), crate::BarError> {
                unreachable!()
            }
        }
        assert!(matches!(Identity::read(&mut Short), Err(CardError::WindowSize { .. })));
    }
}
