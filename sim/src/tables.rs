//! The tables that a simulated card has on both sides, and which words stage others.

use maglane_spec::counter::PacketsBytes;
use maglane_spec::{Geometry, TableImage, flow, window};
use maglane_sw::engine::{EngineError, FlowState};

use crate::ticks::Ticks;

/// What a simulated card has been given.
pub(crate) struct Tables {
    /// Sizes of the card.
    pub(crate) geometry: Geometry,
    /// Time of the replay.
    pub(crate) ticks: Ticks,
    /// What is served, since the last commit.
    image: Option<TableImage>,
    /// What the staged side has, when it has ever been served.
    staged: Option<TableImage>,
}

impl Tables {
    pub(crate) fn new(geometry: Geometry) -> Self {
        Self { geometry, ticks: Ticks::new(0), image: None, staged: None }
    }

    /// Takes a first image after a reset; yields address and content of all its words.
    pub(crate) fn load(&mut self, engine: &str, image: &TableImage) -> Result<Vec<(u32, u32)>, EngineError> {
        self.check(engine, image)?;
        self.ticks = Ticks::new(image.datapath.tick_ms.value());
        self.image = Some(image.clone());
        self.staged = None;
        Ok(image.words().collect())
    }

    /// Takes another image; yields address and content of the words that differ from what the staged side has.
    pub(crate) fn update(&mut self, engine: &str, image: &TableImage) -> Result<Vec<(u32, u32)>, EngineError> {
        let Some(old) = &self.image else { return self.load(engine, image) };
        self.check(engine, image)?;
        let [own, new] = [old, image].map(|image| image.datapath.tick_ms.value());
        if own != new {
            return Err(EngineError::TickLength { engine: engine.to_owned(), image: new, own });
        }
        // Of the datapath row it has what was staged last, which is what is served.
        let staged = self.staged.take().map(|staged| TableImage { datapath: old.datapath, ..staged });
        let differ = match &staged {
            Some(staged) => {
                staged.words().zip(image.words()).filter_map(|(old, new)| (old != new).then_some(new)).collect()
            }
            None => image.words().collect(),
        };
        self.staged = self.image.replace(image.clone());
        Ok(differ)
    }

    fn check(&self, engine: &str, image: &TableImage) -> Result<(), EngineError> {
        if (Geometry { bus_bytes: self.geometry.bus_bytes, ..image.geometry }) == self.geometry {
            return Ok(());
        }
        Err(EngineError::Geometry {
            engine: engine.to_owned(),
            image: Box::new(image.geometry),
            own: Box::new(self.geometry),
        })
    }
}

/// The control word that sets a tick, with or without taking the timeouts over.
pub(crate) const TICK: u32 = window::CONTROL << window::REGION_SHIFT | window::CONTROL_TICK;
/// The control word of the mode.
pub(crate) const MODE: u32 = window::CONTROL << window::REGION_SHIFT | window::CONTROL_MODE;

/// Address and content of the words that put a flow table and turns into a card.
pub(crate) fn flow_words(state: &FlowState) -> Vec<(u32, u32)> {
    let entries = state.entries.iter().flat_map(|entry| [*entry, entry >> 32].map(|word| (word & 0xffff_ffff) as u32));
    let turns = state.sequence.iter().map(|turn| u32::from(*turn));
    let entries = (window::FLOW_TABLE << window::REGION_SHIFT..).zip(entries);
    entries.chain((window::SEQUENCE << window::REGION_SHIFT..).zip(turns)).collect()
}

/// The counters of a region of the read port, from its words.
pub(crate) fn packets_bytes(words: &[u32]) -> Vec<PacketsBytes> {
    let wide = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let (entries, _) = words.as_chunks::<{ window::COUNTER_WORDS as usize }>();
    entries.iter().map(|&[a, b, c, d]| PacketsBytes { packets: wide(a, b), bytes: wide(c, d) }).collect()
}

/// The tick in a status word.
pub(crate) fn tick(status: u32) -> u8 {
    (status >> window::STATUS_TICK_SHIFT).to_le_bytes()[0] % flow::TICKS
}
