//! A card as the contract describes it, for tests: registers, paged window, two sides, holding, lost writes, error bits,
//! counters that move under the reader. It knows no packets.
//!
//! It is written from `maglane_spec::window` and `register` alone and shares no code with the driver.

#![allow(clippy::cast_possible_truncation)] // rows and moments of a small card

use std::collections::HashMap;

use maglane_spec::endian::{U16Le, U32Le};
use maglane_spec::limit::NO_BACKEND;
use maglane_spec::row::{BackendRow, ServiceRow};
use maglane_spec::{Geometry, TableImage, register, window};

use crate::bar::{BarError, BarIo, check};

/// The smallest geometry.
pub(crate) const TINY: Geometry =
    Geometry { bus_bytes: 32, services: 4, backends: 16, lookup_entries: 256, flow_sets: 16 };

/// Regions with two sides.
const SIDED: [u32; 3] = [window::SERVICE, window::LOOKUP, window::BACKEND];

/// A bit of a memory that is broken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stuck {
    pub(crate) region: u32,
    pub(crate) copy: u32,
    pub(crate) index: u32,
    pub(crate) bit: u32,
    pub(crate) value: bool,
}

/// Writing one word changes a bit of another one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coupled {
    pub(crate) region: u32,
    pub(crate) aggressor: u32,
    pub(crate) victim: u32,
}

/// The card.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) geometry: Geometry,
    sides: [HashMap<u32, Vec<u32>>; 2],
    datapath_staged: Vec<u32>,
    datapath_served: Vec<u32>,
    pub(crate) generation: u32,
    pending: Option<Pending>,
    /// Looks at STATUS that a commit, a mode or a round takes; [`u32::MAX`] for ever.
    pub(crate) looks: u32,
    looks_left: u32,
    /// The next commits are forgotten.
    pub(crate) loses_commit: bool,
    pub(crate) serves: bool,
    /// Memories have been cleared.
    pub(crate) ready: bool,
    pub(crate) clocks_per_ms: u32,
    pub(crate) tick: u8,
    pub(crate) timeouts_taken: u32,
    pub(crate) rounds: u16,
    round_left: Option<u32>,
    /// TICKs that are lost.
    pub(crate) loses_ticks: u32,
    /// Accesses to a page after which a tick passes, and rounds too; 0 for never.
    pub(crate) tick_every: u64,
    pub(crate) flow: Vec<u64>,
    flow_high: u32,
    flow_low: u32,
    pub(crate) sequence: Vec<u32>,
    /// Counters move at every access if this is set.
    pub(crate) counting: bool,
    latch: [u32; 3],
    pub(crate) error: u32,
    scratch: u32,
    page: u32,
    overrides: HashMap<u32, u32>,
    pub(crate) stuck: Vec<Stuck>,
    pub(crate) coupled: Option<Coupled>,
    /// Bit of a word's index that does not reach this region's memory.
    pub(crate) alias: Option<(u32, u32)>,
    pub(crate) accesses: u64,
    /// Writes to the memories' words.
    pub(crate) table_writes: u64,
}

#[derive(Clone, Copy, Debug)]
enum Pending {
    Commit,
    Mode(bool),
}

impl Model {
    pub(crate) fn new(geometry: Geometry) -> Self {
        // What memories hold after reset is of no use, and not zero.
        let side = |seed: u32| {
            let words = |region| (0..window::words(region, &geometry)).map(|word| word ^ seed ^ 0xdead_0000).collect();
            SIDED.map(|region| (region, words(region))).into()
        };
        Self {
            geometry,
            sides: [side(1), side(2)],
            datapath_staged: vec![0; window::DATAPATH_WORDS as usize],
            datapath_served: vec![0; window::DATAPATH_WORDS as usize],
            generation: 0,
            pending: None,
            looks: 1,
            looks_left: 0,
            loses_commit: false,
            serves: false,
            ready: true,
            clocks_per_ms: 0,
            tick: 0,
            timeouts_taken: 0,
            rounds: 0,
            round_left: None,
            loses_ticks: 0,
            tick_every: 0,
            flow: vec![0; geometry.flow_sets as usize * 8],
            flow_high: 0,
            flow_low: 0,
            sequence: vec![0; geometry.services as usize],
            counting: false,
            latch: [0; 3],
            error: 0,
            scratch: 0,
            page: 0,
            overrides: HashMap::new(),
            stuck: Vec::new(),
            coupled: None,
            alias: None,
            accesses: 0,
            table_writes: 0,
        }
    }

    /// A register that reads as this, whatever it is.
    pub(crate) fn override_register(&mut self, offset: u32, word: u32) {
        self.overrides.insert(offset, word);
    }

    /// All words of what is served, in the order of an image's.
    pub(crate) fn served(&self) -> Vec<u32> {
        self.image(&self.datapath_served, self.generation & 1)
    }

    /// All words of what is staged, in the order of an image's.
    pub(crate) fn staged(&self) -> Vec<u32> {
        self.image(&self.datapath_staged, !self.generation & 1)
    }

    /// A counter's number at a moment: it grows by one at every access, and its words depend on it.
    pub(crate) fn counter(region: u32, entry: u32, accesses: u64) -> [u32; 4] {
        let moment = accesses as u32;
        [moment, region << 24 | entry, moment.wrapping_mul(3), moment ^ entry]
    }

    /// As after power on, in the midst of whatever was going on.
    pub(crate) fn reset(&mut self) {
        let (looks, accesses) = (self.looks, self.accesses);
        *self = Self { looks, accesses, ..Self::new(self.geometry) };
    }

    fn image(&self, datapath: &[u32], side: u32) -> Vec<u32> {
        let side = &self.sides[side as usize];
        datapath.iter().chain(SIDED.iter().flat_map(|region| &side[region])).copied().collect()
    }

    fn register(&mut self, offset: u32) -> u32 {
        let known = register::BLOCKS.iter().flat_map(|block| block.registers).find(|known| known.offset == offset);
        let Some(known) = known else {
            self.error |= register::ERROR_ADDRESS;
            return 0;
        };
        match known.content {
            register::Content::Fixed(value) => value,
            register::Content::Geometry(register::Size::BusBytes) => self.geometry.bus_bytes,
            register::Content::Geometry(register::Size::Services) => self.geometry.services,
            register::Content::Geometry(register::Size::Backends) => self.geometry.backends,
            register::Content::Geometry(register::Size::LookupEntries) => self.geometry.lookup_entries,
            register::Content::Geometry(register::Size::FlowSets) => self.geometry.flow_sets,
            register::Content::Wrapper if offset == register::IDENTITY_CLOCK_KHZ => 200_000,
            register::Content::Wrapper => 0,
            register::Content::Held(_) => match offset {
                register::IDENTITY_SCRATCH => self.scratch,
                register::IDENTITY_FLIP => !self.scratch,
                register::IDENTITY_ERROR => self.error,
                _ => self.page,
            },
            register::Content::Port(address, _) => self.port_read(address),
        }
    }

    fn port_read(&mut self, address: u32) -> u32 {
        let (region, copy, index) = (address >> 28, address >> 24 & 15, address & 0xff_ffff);
        if index >= window::words(region, &self.geometry) || copy >= window::copies(region) {
            self.error |= register::ERROR_ADDRESS;
            return 0;
        }
        match region {
            window::CONTROL => match index {
                window::CONTROL_MODE => u32::from(self.serves),
                window::CONTROL_CLOCKS_PER_MS => self.clocks_per_ms,
                _ => 0,
            },
            window::STATUS => self.status(),
            window::GENERATION => self.generation,
            window::DATAPATH => self.break_bits(region, copy, index, self.datapath_staged[index as usize]),
            window::SERVICE | window::LOOKUP | window::BACKEND => {
                let index = self.aliased(region, index);
                let word = self.sides[!self.generation as usize & 1][&region][index as usize];
                self.break_bits(region, copy, index, Self::in_copy(region, copy, index, word))
            }
            window::FLOW_TABLE => {
                let entry = self.flow[index as usize / 2];
                if index & 1 == 0 {
                    self.flow_high = (entry >> 32) as u32;
                    return self.break_bits(region, copy, index, entry as u32);
                }
                self.break_bits(region, copy, index, self.flow_high)
            }
            window::SEQUENCE => self.break_bits(region, copy, index, self.sequence[index as usize]),
            window::LIVE_FLOWS => index << 16 | u32::from(self.rounds),
            window::COUNTER_OVERRUN_HOST => 99,
            _ if index & 3 == 0 => {
                let moment = if self.counting { self.accesses } else { 7 };
                let [first, rest @ ..] = Self::counter(region, index / 4, moment);
                self.latch = rest;
                first
            }
            _ => self.latch[index as usize % 4 - 1],
        }
    }

    fn in_copy(region: u32, copy: u32, index: u32, word: u32) -> u32 {
        match (region, copy, index % 8) {
            (window::BACKEND, 1.., 6) => word & 0xffff | u32::from([1, 2].contains(&(word >> 24))) << 16,
            (window::BACKEND, 1, 7) => word & 0xff,
            (window::BACKEND, 1.., _) => 0,
            _ => word,
        }
    }

    fn break_bits(&self, region: u32, copy: u32, index: u32, word: u32) -> u32 {
        let mut word = word;
        for stuck in &self.stuck {
            if (stuck.region, stuck.copy, stuck.index) == (region, copy, index) {
                word = if stuck.value { word | 1 << stuck.bit } else { word & !(1 << stuck.bit) };
            }
        }
        word
    }

    fn aliased(&self, region: u32, index: u32) -> u32 {
        match self.alias {
            Some((at, bit)) if at == region => index & !(1 << bit),
            _ => index,
        }
    }

    fn status(&mut self) -> u32 {
        if self.pending.is_some() && self.looks != u32::MAX {
            self.looks_left = self.looks_left.min(self.looks).saturating_sub(1);
            if self.looks_left == 0 {
                match self.pending.take() {
                    Some(Pending::Commit) => {
                        self.generation = self.generation.wrapping_add(1);
                        self.datapath_served = self.datapath_staged.clone();
                    }
                    Some(Pending::Mode(serves)) => self.serves = serves,
                    None => {}
                }
            }
        }
        if let Some(left) = self.round_left {
            self.round_left = left.checked_sub(1);
            if self.round_left.is_none() {
                self.rounds = self.rounds.wrapping_add(1);
            }
        }
        (if self.ready { window::STATUS_READY } else { 0 })
            | if self.round_left.is_none() { window::STATUS_SWEPT } else { 0 }
            | if self.pending.is_some() { window::STATUS_HOLDING } else { 0 }
            | u32::from(self.tick) << window::STATUS_TICK_SHIFT
            | u32::from(self.rounds) << window::STATUS_ROUNDS_SHIFT
    }

    fn hold(&mut self, pending: Pending) {
        self.pending = Some(pending);
        self.looks_left = self.looks;
    }

    fn port_write(&mut self, address: u32, word: u32) {
        let (region, copy, index) = (address >> 28, address >> 24 & 15, address & 0xff_ffff);
        if index >= window::words(region, &self.geometry) || copy >= window::copies(region) {
            self.error |= register::ERROR_ADDRESS;
            return;
        }
        if copy != 0 || region >= window::STATUS {
            self.error |= register::ERROR_READ_ONLY;
            return;
        }
        let held = self.pending.is_some();
        match region {
            window::CONTROL => match index {
                window::CONTROL_COMMIT if held => self.error |= register::ERROR_HELD,
                window::CONTROL_COMMIT if self.loses_commit => {}
                window::CONTROL_COMMIT => self.hold(Pending::Commit),
                window::CONTROL_MODE if word & 1 != u32::from(self.serves) => self.hold(Pending::Mode(word & 1 != 0)),
                window::CONTROL_TICK if self.loses_ticks > 0 => self.loses_ticks -= 1,
                window::CONTROL_TICK => {
                    self.tick = word as u8 & 63;
                    self.timeouts_taken += word >> 8 & 1;
                    self.round_left = Some(2);
                }
                window::CONTROL_CLOCKS_PER_MS => self.clocks_per_ms = word & 0xf_ffff,
                _ => {}
            },
            window::FLOW_TABLE | window::SEQUENCE => {
                self.table_writes += 1;
                if self.serves || held || self.round_left.is_some() {
                    self.error |= register::ERROR_BUSY;
                } else if region == window::SEQUENCE {
                    self.sequence[index as usize] = word & 0xffff;
                } else if index & 1 == 0 {
                    self.flow_low = word;
                } else {
                    self.flow[index as usize / 2] = u64::from(word) << 32 | u64::from(self.flow_low);
                }
            }
            _ if held => self.error |= register::ERROR_HELD,
            window::DATAPATH => {
                self.table_writes += 1;
                self.datapath_staged[index as usize] = word;
            }
            _ => {
                self.table_writes += 1;
                let index = self.aliased(region, index);
                let coupled = self.coupled.filter(|coupled| (coupled.region, coupled.aggressor) == (region, index));
                let side = &mut self.sides[!self.generation as usize & 1];
                if let (Some(words), Some(coupled)) = (side.get_mut(&region), coupled)
                    && words[index as usize] & 1 != word & 1
                {
                    words[coupled.victim as usize] ^= 0x100;
                }
                side.get_mut(&region).unwrap()[index as usize] = word;
            }
        }
    }

    fn access(&mut self) {
        self.accesses += 1;
        if self.tick_every != 0 && self.accesses.is_multiple_of(self.tick_every) {
            self.tick = (self.tick + 1) % 64;
            self.rounds = self.rounds.wrapping_add(1);
        }
    }

    const fn address(&self, offset: u32) -> u32 {
        (self.page << register::PAGE_SHIFT) + (offset - register::WINDOW) / 4
    }
}

impl BarIo for Model {
    fn bytes(&self) -> u32 {
        register::BYTES
    }

    fn read(&mut self, offset: u32) -> Result<u32, BarError> {
        check(offset, register::BYTES)?;
        self.access();
        if let Some(&word) = self.overrides.get(&offset) {
            return Ok(word);
        }
        Ok(if offset >= register::WINDOW { self.port_read(self.address(offset)) } else { self.register(offset) })
    }

    fn write(&mut self, offset: u32, word: u32) -> Result<(), BarError> {
        check(offset, register::BYTES)?;
        self.access();
        if offset >= register::WINDOW {
            self.port_write(self.address(offset), word);
            return Ok(());
        }
        let known = register::BLOCKS.iter().flat_map(|block| block.registers).find(|known| known.offset == offset);
        match known {
            None => self.error |= register::ERROR_ADDRESS,
            Some(known) if !known.access.writes() => self.error |= register::ERROR_READ_ONLY,
            Some(_) if offset == register::IDENTITY_SCRATCH => self.scratch = word,
            Some(_) if offset == register::IDENTITY_ERROR => self.error &= !word,
            Some(known) => match known.content {
                register::Content::Port(address, _) => self.port_write(address, word),
                _ => self.page = word & u32::MAX >> register::PAGE_SHIFT,
            },
        }
        Ok(())
    }
}

/// An image that differs from those of other seeds in nearly every word.
pub(crate) fn image(geometry: Geometry, seed: u8) -> TableImage {
    let mut image = TableImage::empty(geometry);
    image.datapath.hash_key = [seed; 16];
    image.datapath.ttl = seed;
    image.datapath.tick_ms = U32Le::new(1_000);
    image.datapath.timeout_ticks = [4, 60, 8];
    for (row, service) in image.services.iter_mut().enumerate() {
        *service = ServiceRow { address: [seed ^ row as u8; 16], protocol: 6, flags: seed, ..ServiceRow::default() };
        service.id = U16Le::new(row as u16);
    }
    for (index, entry) in image.lookup.iter_mut().enumerate() {
        let id = (index as u32).wrapping_mul(u32::from(seed) + 3) % geometry.backends;
        *entry = U16Le::new(if index % 9 == 0 { NO_BACKEND } else { id as u16 });
    }
    for (row, backend) in image.backends.iter_mut().enumerate() {
        *backend = BackendRow { address: [seed ^ row as u8; 16], load: seed, ..BackendRow::default() };
        backend.service = U16Le::new(u16::from(seed));
        backend.state = (row as u8 ^ seed) % 3;
    }
    image
}

/// An image's words.
pub(crate) fn words(image: &TableImage) -> Vec<u32> {
    image.words().map(|(_, word)| word).collect()
}
