//! Goal: a host that does not drain stops nothing: the wire goes on at its rate, frames to the host are lost whole
//! and counted, and what had found room arrives untouched once the host drains.
//!
//! Method: the core under rust-hdl's simulation, with the host's ready held low. (The Verilog of the queue is compared
//! with the simulation in `modules.rs`.)

use maglane_hw::profile::LabCore;
use maglane_spec::{TableImage, Verdict, window};
use rust_hdl::prelude::*;

const HOST_QUEUE_BEATS: usize = 511;

struct Bench {
    core: Box<LabCore>,
    wire: usize,
    host: Vec<usize>,
    host_beats: usize,
}

impl Bench {
    fn new() -> Self {
        let mut core = LabCore::boxed();
        core.connect_all();
        let mut bench = Self { core, wire: 0, host: Vec::new(), host_beats: 0 };
        bench.core.reset.next = true;
        bench.clock();
        bench.core.reset.next = false;
        // Counters and flow table clear themselves; nothing is served before.
        for _ in 0..1_100 {
            bench.clock();
        }
        bench
    }

    /// One clock; counts the frames that leave.
    fn clock(&mut self) {
        self.core.clock.next = Clock { clk: false };
        assert!(simulate(self.core.as_mut(), 200));
        if self.core.m_axis_wire.tvalid.val() && self.core.m_axis_wire.tready.val() && self.core.m_axis_wire.tlast.val()
        {
            self.wire += 1;
        }
        if self.core.m_axis_host.tvalid.val() && self.core.m_axis_host.tready.val() {
            self.host_beats += 1;
            if self.core.m_axis_host.tlast.val() {
                self.host.push(std::mem::take(&mut self.host_beats));
            }
        }
        self.core.clock.next = Clock { clk: true };
        assert!(simulate(self.core.as_mut(), 200));
    }

    /// Writes a word through the table port.
    fn write(&mut self, address: u32, data: u32) {
        self.core.write_address.next = u64::from(address).into();
        self.core.write_data.next = u64::from(data).into();
        self.core.write_enable.next = true;
        self.clock();
        self.core.write_enable.next = false;
        self.clock();
    }

    fn load(&mut self, image: &TableImage) {
        for (address, word) in image.words() {
            if !self.core.backdoor(address, word) {
                self.write(address, word);
            }
        }
        self.write((window::CONTROL << window::REGION_SHIFT) | window::CONTROL_COMMIT, 1);
        self.write(window::CONTROL << window::REGION_SHIFT, window::CONTROL_SERVE);
    }

    /// Offers a frame, waiting at most a thousand clocks for each beat.
    fn offer(&mut self, frame: &[u8]) {
        for (beat, bytes) in frame.chunks(32).enumerate() {
            self.core.s_axis.tvalid.next = true;
            self.core.s_axis.tdata.next = num_bigint::BigUint::from_bytes_le(bytes).into();
            self.core.s_axis.tkeep.next = (u64::from(u32::MAX) >> (32 - bytes.len())).into();
            self.core.s_axis.tlast.next = 32 * (beat + 1) >= frame.len();
            self.core.s_axis.tuser.next = (frame.len() as u64).into();
            let mut clocks = 0;
            while !self.core.s_axis.tready.val() {
                self.clock();
                clocks += 1;
                assert!(clocks < 1_000, "the host has stopped the input");
            }
            self.clock();
        }
        self.core.s_axis.tvalid.next = false;
    }

    fn read(&mut self, address: u32) -> u32 {
        self.core.read_address.next = u64::from(address).into();
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
}

/// A UDP datagram in 60 bytes, to the all-ports service of `examples/web.toml`.
fn to_service() -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend([0x45, 0, 0, 46, 0, 1, 0x40, 0, 64, 17, 0, 0, 203, 0, 113, 9, 192, 0, 2, 20]);
    let sum: u32 = frame[14..34].chunks(2).map(|pair| (u32::from(pair[0]) << 8) | u32::from(pair[1])).sum();
    let checksum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    frame.resize(60, 0);
    frame
}

#[test]
fn host_that_does_not_drain_loses_whole_frames_and_stops_nothing() {
    let mut bench = Bench::new();
    let text = include_str!("../../examples/web.toml");
    bench.load(&maglane_table::Config::parse("web.toml", text).unwrap().image().unwrap());
    bench.core.m_axis_wire.tready.next = true;
    bench.core.m_axis_host.tready.next = false;
    let (beats, offered) = (7, 120);
    let passed = vec![0x55; 32 * beats];
    for _ in 0..offered {
        bench.offer(&passed);
        bench.offer(&to_service());
    }
    // Ten beats leave for nine that come, so up to 120 are left, and the way through.
    for _ in 0..300 {
        bench.clock();
    }
    assert_eq!(bench.wire, offered, "the wire goes on");
    let lost = bench.read(window::COUNTER_OVERRUN_HOST << window::REGION_SHIFT) as usize;
    // Two beats more than the queue holds may wait in the register slice behind it.
    let fitting = HOST_QUEUE_BEATS / beats..=(HOST_QUEUE_BEATS + 2) / beats;
    assert!(fitting.contains(&(offered - lost)), "{lost} of {offered} lost");
    let counted = bench.read(
        (window::COUNTER_VERDICT << window::REGION_SHIFT)
            | (u32::from(Verdict::PassOtherMac.code()) * window::COUNTER_WORDS),
    ) as usize;
    assert_eq!(counted, offered, "lost frames have a verdict too");
    bench.core.m_axis_host.tready.next = true;
    for _ in 0..1_000 {
        bench.clock();
    }
    assert_eq!(bench.host, vec![beats; offered - lost], "what found room arrives whole");
    // And the queue is usable again.
    bench.offer(&passed);
    for _ in 0..200 {
        bench.clock();
    }
    assert_eq!(bench.host.len(), offered - lost + 1);
}
