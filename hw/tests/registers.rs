//! Goal: the registers are those of the map, nothing else answers or takes anything, what was wrong with an access is
//! kept, and answers come in the order of the questions, whoever is slow.

use std::collections::{BTreeMap, VecDeque};

use maglane_hw::registers::{Registers, Straps};
use maglane_spec::register::{self, Access, BLOCKS, Content, Size};
use maglane_spec::{Geometry, window};
use rust_hdl::prelude::*;

const GEOMETRY: Geometry = Geometry::ECP5;

/// The registers, and in place of the core a memory whose words are there some clocks after they were asked for.
struct Bench {
    block: Box<Registers>,
    memory: BTreeMap<u32, u32>,
    due: VecDeque<(usize, u32)>,
    clocks: usize,
    /// What the block said in the last clock: it takes an address to read, it has an answer.
    takes: bool,
    answer: Option<u32>,
}

impl Bench {
    fn new() -> Self {
        let mut block = Box::new(Registers::new(&GEOMETRY));
        block.connect_all();
        block.straps.next = Straps {
            wrapper: 0x10_u64.into(),
            clock_khz: 0x11_u64.into(),
            build_time: 0x12_u64.into(),
            git_hash_0: 0x13_u64.into(),
            git_hash_1: 0x14_u64.into(),
            git_hash_2: 0x15_u64.into(),
            git_hash_3: 0x16_u64.into(),
            git_hash_4: 0x17_u64.into(),
        };
        let mut bench =
            Self { block, memory: BTreeMap::new(), due: VecDeque::new(), clocks: 0, takes: false, answer: None };
        bench.block.reset.next = true;
        bench.clock();
        bench.block.reset.next = false;
        bench.block.s_axil.bready.next = true;
        bench.block.s_axil.rready.next = true;
        bench.clock();
        bench
    }

    fn settle(&mut self, clk: bool) {
        self.block.clock.next = Clock { clk };
        assert!(simulate(self.block.as_mut(), 100));
    }

    fn clock(&mut self) {
        let answer = self.due.front().filter(|(at, _)| *at <= self.clocks).map(|(_, word)| *word);
        self.block.read_valid.next = answer.is_some();
        self.block.read_data.next = u64::from(answer.unwrap_or(0xdead_beef)).into();
        // The port is busy in every third clock.
        self.block.read_ready.next = !self.clocks.is_multiple_of(3);
        self.settle(false);
        if answer.is_some() {
            self.due.pop_front();
        }
        if self.block.read_enable.val() && self.block.read_ready.val() {
            let word = self.memory.get(&self.block.read_address.val().to_u32()).copied();
            self.due.push_back((self.clocks + 7, word.unwrap_or_default()));
        }
        if self.block.write_enable.val() {
            self.memory.insert(self.block.write_address.val().to_u32(), self.block.write_data.val().to_u32());
        }
        self.takes = self.block.s_axil.arready.val();
        self.answer = self.block.s_axil.rvalid.val().then(|| self.block.s_axil.rdata.val().to_u32());
        self.settle(true);
        self.clocks += 1;
    }

    fn write_lanes(&mut self, offset: u32, word: u32, lanes: u64) {
        self.block.s_axil.awaddr.next = u64::from(offset).into();
        self.block.s_axil.awvalid.next = true;
        self.block.s_axil.wdata.next = u64::from(word).into();
        self.block.s_axil.wstrb.next = lanes.into();
        self.block.s_axil.wvalid.next = true;
        self.clock();
        self.block.s_axil.awvalid.next = false;
        self.block.s_axil.wvalid.next = false;
        for _ in 0..4 {
            if self.block.s_axil.bvalid.val() {
                break;
            }
            self.clock();
        }
        assert!(self.block.s_axil.bvalid.val(), "a write to {offset:#x} is not answered");
        for _ in 0..3 {
            self.clock();
        }
    }

    fn write(&mut self, offset: u32, word: u32) {
        self.write_lanes(offset, word, 15);
    }

    /// Asks for registers one after the other, as close as the block takes them, and takes answers in clocks that `ready`
    /// allows.
    fn read_all(&mut self, offsets: &[u32], ready: impl Fn(usize) -> bool) -> Vec<u32> {
        let mut words = Vec::new();
        let (mut asked, start) = (0, self.clocks);
        while words.len() < offsets.len() {
            assert!(self.clocks - start < 1_000, "{words:x?}");
            self.block.s_axil.arvalid.next = asked < offsets.len();
            self.block.s_axil.araddr.next = u64::from(offsets.get(asked).copied().unwrap_or_default()).into();
            let takes = ready(self.clocks);
            self.block.s_axil.rready.next = takes;
            self.clock();
            asked += usize::from(asked < offsets.len() && self.takes);
            words.extend(self.answer.filter(|_| takes));
        }
        self.block.s_axil.arvalid.next = false;
        self.block.s_axil.rready.next = true;
        words
    }

    fn read(&mut self, offset: u32) -> u32 {
        self.read_all(&[offset], |_| true)[0]
    }

    /// The errors since the last call.
    fn errors(&mut self) -> u32 {
        let errors = self.read(register::IDENTITY_ERROR);
        self.write(register::IDENTITY_ERROR, errors);
        assert_eq!(self.read(register::IDENTITY_ERROR), 0);
        errors
    }
}

#[test]
fn every_register_of_the_map_is_there_and_no_other() {
    let mut bench = Bench::new();
    let mut straps = 0x10..;
    let mut known = BTreeMap::new();
    for block in &BLOCKS {
        for register in block.registers {
            let content = match register.content {
                Content::Fixed(value) | Content::Held(value) => value,
                Content::Geometry(Size::BusBytes) => GEOMETRY.bus_bytes,
                Content::Geometry(Size::Services) => GEOMETRY.services,
                Content::Geometry(Size::Backends) => GEOMETRY.backends,
                Content::Geometry(Size::LookupEntries) => GEOMETRY.lookup_entries,
                Content::Geometry(Size::FlowSets) => GEOMETRY.flow_sets,
                Content::Wrapper => straps.next().unwrap(),
                Content::Port(address, _) => {
                    bench.memory.insert(address, 0xabcd_0000 | address);
                    if register.access.reads() { 0xabcd_0000 | address } else { 0 }
                }
            };
            known.insert(register.offset, (content, register.access));
        }
    }
    let offsets: Vec<u32> = (0..0x400).map(|word| 4 * word).collect();
    for chunk in offsets.chunks(16) {
        let words = bench.read_all(chunk, |_| true);
        let expected = chunk.iter().map(|offset| known.get(offset).map_or(0, |(content, _)| *content));
        assert_eq!(words, expected.collect::<Vec<_>>(), "from {:#x}", chunk[0]);
        let all_known = chunk.iter().all(|offset| known.contains_key(offset));
        assert_eq!(bench.errors(), if all_known { 0 } else { register::ERROR_ADDRESS }, "from {:#x}", chunk[0]);
    }
    // Writes: what cannot be written says so, and what is not there.
    for offset in offsets.into_iter().filter(|offset| *offset != register::IDENTITY_ERROR) {
        bench.memory.clear();
        bench.write(offset, 0x0007_1234);
        let access = known.get(&offset).map(|(_, access)| *access);
        let expected = match access {
            None => register::ERROR_ADDRESS,
            Some(Access::Read) => register::ERROR_READ_ONLY,
            Some(_) => 0,
        };
        assert_eq!(bench.errors(), expected, "{offset:#x}");
        let port = BLOCKS.iter().flat_map(|block| block.registers).find_map(|register| match register.content {
            Content::Port(address, _) if register.offset == offset && register.access.writes() => Some(address),
            _ => None,
        });
        assert_eq!(
            bench.memory.into_iter().collect::<Vec<_>>(),
            port.map(|port| (port, 0x0007_1234)).into_iter().collect::<Vec<_>>()
        );
        bench.memory = BTreeMap::new();
    }
    assert_eq!(bench.read(register::IDENTITY_SCRATCH), 0x0007_1234);
    assert_eq!(bench.read(register::IDENTITY_FLIP), !0x0007_1234);
    assert_eq!(bench.read(register::TABLE_PAGE), 0x0007_1234);
}

#[test]
fn the_window_shows_the_words_of_its_page_and_none_past_their_end() {
    let mut bench = Bench::new();
    for region in 0..16 {
        let (words, copies) = (window::words(region, &GEOMETRY), window::copies(region));
        for copy in 0..16 {
            let page = region << (window::REGION_SHIFT - register::PAGE_SHIFT)
                | copy << (window::COPY_SHIFT - register::PAGE_SHIFT);
            bench.write(register::TABLE_PAGE, page);
            for index in [0, 1, words.wrapping_sub(1), words, words + 1, register::WINDOW_WORDS - 1] {
                if index >= register::WINDOW_WORDS {
                    continue;
                }
                let address = page << register::PAGE_SHIFT | index;
                let offset = register::WINDOW + 4 * index;
                bench.memory.insert(address, !address);
                let there = index < words && copy < copies;
                assert_eq!(bench.read(offset), if there { !address } else { 0 }, "{region} {copy} {index}");
                assert_eq!(bench.errors(), if there { 0 } else { register::ERROR_ADDRESS }, "{region} {copy} {index}");
                bench.write(offset, address ^ 1);
                let written = there && copy == 0 && region <= window::SEQUENCE;
                let errors = match (there, written) {
                    (true, true) => 0,
                    (true, false) => register::ERROR_READ_ONLY,
                    (false, _) => register::ERROR_ADDRESS,
                };
                assert_eq!(bench.errors(), errors, "{region} {copy} {index}");
                assert_eq!(bench.memory[&address], if written { address ^ 1 } else { !address });
            }
        }
    }
    // A page far past the end of a region.
    bench.write(register::TABLE_PAGE, window::LOOKUP << 15 | 0x700);
    assert_eq!(bench.read(register::WINDOW), 0);
    assert_eq!(bench.errors(), register::ERROR_ADDRESS);
}

#[test]
fn partial_and_misaligned_accesses_do_nothing_and_say_so() {
    let mut bench = Bench::new();
    for lanes in 0..15 {
        bench.write_lanes(register::IDENTITY_SCRATCH, 0xffff_ffff, lanes);
        assert_eq!(bench.errors(), register::ERROR_PARTIAL);
        bench.write_lanes(register::CONTROL_COMMIT, 1, lanes);
        assert_eq!(bench.errors(), register::ERROR_PARTIAL);
    }
    for offset in [register::IDENTITY_SCRATCH, register::WINDOW, register::CONTROL_COMMIT] {
        for by in 1..4 {
            bench.write(offset + by, 0xffff_ffff);
            assert_eq!(bench.errors(), register::ERROR_ADDRESS);
            assert_eq!(bench.read(offset + by), 0);
            assert_eq!(bench.errors(), register::ERROR_ADDRESS);
        }
    }
    assert_eq!(bench.read(register::IDENTITY_SCRATCH), 0);
    assert!(bench.memory.is_empty());
}

#[test]
fn what_the_core_loses_is_kept_until_it_is_cleared() {
    let mut bench = Bench::new();
    bench.block.lost_held.next = true;
    bench.clock();
    bench.block.lost_held.next = false;
    bench.block.lost_busy.next = true;
    bench.clock();
    bench.block.lost_busy.next = false;
    bench.clock();
    assert_eq!(bench.read(register::IDENTITY_ERROR), register::ERROR_HELD | register::ERROR_BUSY);
    bench.write(register::IDENTITY_ERROR, register::ERROR_HELD);
    assert_eq!(bench.read(register::IDENTITY_ERROR), register::ERROR_BUSY, "one bit is cleared by itself");
    assert_eq!(bench.errors(), register::ERROR_BUSY);
}

#[test]
fn answers_keep_their_order_whoever_is_slow() {
    let mut bench = Bench::new();
    for index in 0..24 {
        bench.memory.insert(window::DATAPATH << window::REGION_SHIFT | index, 0x100 + index);
    }
    bench.write(register::TABLE_PAGE, window::DATAPATH << 15);
    bench.write(register::IDENTITY_SCRATCH, 0x77);
    let mut offsets = Vec::new();
    let mut expected = Vec::new();
    for index in 0..24 {
        offsets.push(register::WINDOW + 4 * index);
        expected.push(0x100 + index);
        if index % 3 == 1 {
            offsets.extend([register::IDENTITY_SCRATCH, register::IDENTITY_BUS_BYTES]);
            expected.extend([0x77, GEOMETRY.bus_bytes]);
        }
    }
    let paces: [fn(usize) -> bool; 4] =
        [|_| true, |clock| clock.is_multiple_of(2), |clock| clock.is_multiple_of(7), |clock| clock % 61 > 40];
    for (number, pace) in paces.into_iter().enumerate() {
        assert_eq!(bench.read_all(&offsets, pace), expected, "pace {number}");
    }
    assert_eq!(bench.errors(), 0);
}

#[test]
fn address_and_data_of_a_write_come_in_any_order() {
    let mut bench = Bench::new();
    for (address_at, word_at) in [(0, 0), (0, 5), (5, 0), (1, 0), (0, 1)] {
        let value = 100 + address_at * 10 + word_at;
        for clock in 0..8 {
            bench.block.s_axil.awvalid.next = clock == address_at;
            bench.block.s_axil.awaddr.next = u64::from(register::IDENTITY_SCRATCH).into();
            bench.block.s_axil.wvalid.next = clock == word_at;
            bench.block.s_axil.wdata.next = u64::from(value).into();
            bench.block.s_axil.wstrb.next = 15_u64.into();
            bench.clock();
        }
        assert_eq!(bench.read(register::IDENTITY_SCRATCH), value);
    }
}
