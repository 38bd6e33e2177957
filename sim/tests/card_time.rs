//! Goal: a card that counts time itself moves its tick in time, idle and at full rate, and flows age and are counted by
//! it.
//!
//! Method: the rust-hdl core of the smallest build, a prescaler set to few clocks, the tick read from the status word.

use maglane_hw::profile::Ecp5Core;
use maglane_spec::{FlowOutcome, Geometry, flow, window};
use rust_hdl::prelude::*;

const CLOCKS_PER_MS: u32 = 50;
const TICK_MS: u32 = 4;

struct Bench {
    core: Box<Ecp5Core>,
    clocks: u32,
    hits: u32,
    inserted: u32,
}

impl Bench {
    fn new() -> Self {
        let mut core = Ecp5Core::boxed();
        core.connect_all();
        let mut bench = Self { core, clocks: 0, hits: 0, inserted: 0 };
        bench.core.m_axis_wire.tready.next = true;
        bench.core.m_axis_host.tready.next = true;
        bench.core.reset.next = true;
        bench.clock();
        bench.core.reset.next = false;
        let text = include_str!("../../examples/web.toml").replace("geometry = \"lab\"", "geometry = \"ecp5\"");
        let text =
            text.replace("table_size = 4093", "table_size = 251").replace("table_size = 1021", "table_size = 251");
        let mut image = maglane_table::Config::parse("web.toml", &text).unwrap().image().unwrap();
        image.datapath.tick_ms = TICK_MS.into();
        image.datapath.timeout_ticks = [2, 2, 2];
        for (address, word) in image.words() {
            if !bench.core.backdoor(address, word) {
                bench.write(address, word);
            }
        }
        bench.write((window::CONTROL << window::REGION_SHIFT) | window::CONTROL_COMMIT, 1);
        bench.write(window::CONTROL << window::REGION_SHIFT, window::CONTROL_SERVE);
        bench
    }

    fn clock(&mut self) {
        self.clocks += 1;
        self.core.clock.next = Clock { clk: false };
        assert!(simulate(self.core.as_mut(), 200));
        if self.core.trace_valid.val() {
            let flow = self.core.trace_flow.val().to_u8();
            self.hits += u32::from(flow == FlowOutcome::Hit.code());
            self.inserted += u32::from(flow == FlowOutcome::Inserted.code());
        }
        self.core.clock.next = Clock { clk: true };
        assert!(simulate(self.core.as_mut(), 200));
    }

    fn write(&mut self, address: u32, data: u32) {
        self.core.write_address.next = u64::from(address).into();
        self.core.write_data.next = u64::from(data).into();
        self.core.write_enable.next = true;
        self.clock();
        self.core.write_enable.next = false;
        self.clock();
    }

    fn start(&mut self) {
        self.write((window::CONTROL << window::REGION_SHIFT) | window::CONTROL_CLOCKS_PER_MS, CLOCKS_PER_MS);
    }

    fn read(&mut self, region: u32, word: u32) -> u32 {
        self.core.read_address.next = u64::from((region << window::REGION_SHIFT) | word).into();
        self.core.read_enable.next = true;
        while !self.core.read_ready.val() {
            self.clock();
        }
        self.clock();
        self.core.read_enable.next = false;
        while !self.core.read_valid.val() {
            self.clock();
        }
        self.core.read_data.val().to_u32()
    }

    fn tick(&mut self) -> u32 {
        (self.read(window::STATUS, 0) >> window::STATUS_TICK_SHIFT) % u32::from(flow::TICKS)
    }

    /// Live flows, of all backends in a row.
    fn live_flows(&mut self) -> Vec<u32> {
        (0..Geometry::ECP5.backends).map(|backend| self.read(window::LIVE_FLOWS, backend)).collect()
    }

    /// Offers a minimum frame to the all-ports service of `examples/web.toml`, as fast as it is taken.
    fn offer(&mut self) {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        frame.extend([0x45, 0, 0, 46, 0, 1, 0x40, 0, 64, 17, 0, 0, 203, 0, 113, 9, 192, 0, 2, 20]);
        let sum: u32 = frame[14..34].chunks(2).map(|pair| (u32::from(pair[0]) << 8) | u32::from(pair[1])).sum();
        let checksum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
        frame[24..26].copy_from_slice(&checksum.to_be_bytes());
        frame.resize(60, 0);
        for (beat, bytes) in frame.chunks(32).enumerate() {
            self.core.s_axis.tvalid.next = true;
            self.core.s_axis.tdata.next = num_bigint::BigUint::from_bytes_le(bytes).into();
            self.core.s_axis.tkeep.next = (u64::from(u32::MAX) >> (32 - bytes.len())).into();
            self.core.s_axis.tlast.next = beat == 1;
            self.core.s_axis.tuser.next = 60_u64.into();
            while !self.core.s_axis.tready.val() {
                self.clock();
            }
            self.clock();
        }
        self.core.s_axis.tvalid.next = false;
    }
}

#[test]
fn tick_moves_in_time_idle_and_at_full_rate() {
    let mut bench = Bench::new();
    for _ in 0..300 {
        bench.clock();
    }
    assert_eq!(bench.tick(), 0, "a card whose prescaler is off counts nothing");
    bench.start();
    let period = CLOCKS_PER_MS * TICK_MS;
    for _ in 0..10 * period + period / 2 {
        bench.clock();
    }
    assert_eq!(bench.tick(), 10, "idle");

    // At full rate the tick takes its turn between frames, and the flow that is under way stays.
    let clocks = bench.clocks;
    while bench.clocks - clocks < 10 * period {
        bench.offer();
    }
    assert_eq!(bench.tick(), 20, "at full rate");
    let live = bench.live_flows();
    assert_eq!((live.iter().sum::<u32>(), live.iter().max()), (1, Some(&1)), "the flow is counted, whatever passes");
    for _ in 0..100 {
        bench.clock();
    }
    assert_eq!(bench.inserted, 1, "the flow never expired");
    assert!(bench.hits > 600, "{} hits", bench.hits);

    // And one that pauses for longer than its timeout of two ticks does not.
    for _ in 0..4 * period {
        bench.clock();
    }
    assert_eq!(bench.live_flows().iter().sum::<u32>(), 0, "an expired flow is counted no more");
    bench.offer();
    for _ in 0..100 {
        bench.clock();
    }
    assert_eq!(bench.inserted, 2, "the flow expired");
}
