//! Goal: rust-hdl's simulation of every block and its emitted Verilog do the same, clock for clock, bit for bit.
//!
//! Method: random input, biased so that queues fill and drain, addresses repeat and keys match; Verilator and Icarus
//! Verilog each replay all blocks in one testbench. The whole core is compared by the engines of the cross-check, and
//! on a short run in `gateware.rs`.

use maglane_hw::axis::Skid;
use maglane_hw::census::{Census, Tally, Visit};
use maglane_hw::control::{Control, Settings};
use maglane_hw::counter::{CounterHalf, CounterSet};
use maglane_hw::fifo::Fifo;

use maglane_hw::flow_table::sweeper::Timeouts;

use maglane_hw::frame::{Classified, Parsed, Selected, Tuple};
use maglane_hw::host_queue::HostQueue;
use maglane_hw::ram::{Ram, Row, RowRam, SidedRam};
use maglane_hw::siphash::{Absorb, FirstHalf, SecondHalf, SipState};
use maglane_hw::stage::classify::Classify;
use maglane_hw::stage::flow_hash::{FlowHash, Hashes};
use maglane_hw::stage::parse::Parse;
use maglane_hw::stage::rewrite::{Egress, Rewrite};
use maglane_hw::stage::select::Select;
use maglane_hw::transmit::Transmit;
use maglane_sim::module::{Inputs, Memories, Recording, record};
use maglane_sim::replay::{ReplayError, Simulator};
use rust_hdl::prelude::*;

mod registers;

#[test]
fn every_block_and_its_verilog_agree() {
    let recordings = [
        skid::<256, 32>("skid_256"),
        skid::<512, 64>("skid_512"),
        ram(),
        sided_ram(),
        row_ram(),
        fifo(),
        counter_half(),
        counter_set(),
        tally(),
        census(),
        record("first_half", FirstHalf::default, |b| &mut b.clock, |b, _, r| b.s_state.next = sip_state(r)),
        record("second_half", SecondHalf::default, |b| &mut b.clock, |b, _, r| b.s_state.next = sip_state(r)),
        absorb(),
        control(),
        registers::registers(),
        parse::<256>("parse_256"),
        parse::<512>("parse_512"),
        classify(),
        flow_hash(),
        select(),
        rewrite(),
        transmit::<256, 32>("transmit_256"),
        transmit::<512, 64>("transmit_512"),
        host_queue::<256, 32>("host_queue_256"),
        host_queue::<512, 64>("host_queue_512"),
    ];
    for simulator in Simulator::ALL {
        if let Some(differences) = replay("every_block_and_its_verilog_agree", simulator, &recordings) {
            assert!(differences.is_empty(), "{}", differences.join("\n"));
        }
    }
}

#[test]
fn a_block_whose_verilog_differs_is_named() {
    let recording = [wrapping()];
    let found = Simulator::ALL.map(|simulator| {
        let differences = replay("a_block_whose_verilog_differs_is_named", simulator, &recording)?;
        assert_eq!(differences.len(), 1, "{differences:?}");
        let said = format!(": rust-hdl 1, {simulator} 0");
        let place = differences[0].strip_suffix(&said).unwrap_or_else(|| panic!("{differences:?}"));
        Some(place.to_owned())
    });
    let [verilator, icarus] = found;
    for place in [&verilator, &icarus].into_iter().flatten() {
        assert!(place.starts_with("DIFFERENT wrapping.equal in clock "), "{place}");
    }
    if verilator.is_some() && icarus.is_some() {
        assert_eq!(verilator, icarus);
    }
}

#[test]
fn a_block_that_shows_what_was_never_written_is_named_by_icarus() {
    let recording = [ram().with_memories(Memories::Unknown)];
    let name = "a_block_that_shows_what_was_never_written_is_named_by_icarus";
    if let Some(differences) = replay(name, Simulator::Icarus, &recording) {
        assert_eq!(differences.len(), 1, "{differences:?}");
        assert!(differences[0].starts_with("DIFFERENT ram.rdata in clock "), "{differences:?}");
        assert!(differences[0].ends_with(": rust-hdl 00000000, Icarus Verilog xxxxxxxx"), "{differences:?}");
    }
}

#[test]
fn an_output_counts_only_while_it_is_valid() {
    let name = "an_output_counts_only_while_it_is_valid";
    let while_set = |valid| [wrapping().with_valid(valid)];
    if let Some(differences) = replay(name, Simulator::Icarus, &while_set(&[("equal", "wraps")])) {
        assert_eq!(differences.len(), 1, "{differences:?}");
    }
    if let Some(differences) = replay(name, Simulator::Icarus, &while_set(&[("equal", "starts")])) {
        assert!(differences.is_empty(), "{differences:?}");
    }
}

/// The differences; none when the simulator is missing, and then it is told.
fn replay(test: &str, simulator: Simulator, recordings: &[Recording]) -> Option<Vec<String>> {
    match simulator.replay(recordings) {
        Ok(differences) => Some(differences),
        Err(error @ ReplayError::Missing(..)) => {
            skipped(&format!("{test}: {error}"));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Says what was not tested; where nothing may be skipped, that is a failure.
fn skipped(what: &str) {
    assert!(std::env::var_os("MAGLANE_NO_SKIP").is_none(), "nothing may be skipped here: {what}");
    println!("skipped: {what}");
}

/// A block whose Verilog differs when `a` wraps to `b`.
fn wrapping() -> Recording {
    /// Breaks the rule `compare`: rust-hdl wraps the sum, Verilog does not.
    #[derive(LogicBlock, Default)]
    struct Wrapping {
        clock: Signal<In, Clock>,
        a: Signal<In, Bits<4>>,
        b: Signal<In, Bits<4>>,
        equal: Signal<Out, Bit>,
        wraps: Signal<Out, Bit>,
        starts: Signal<Out, Bit>,
    }
    impl Logic for Wrapping {
        #[hdl_gen]
        fn update(&mut self) {
            self.equal.next = (self.a.val() + 1) == self.b.val();
            self.wraps.next = self.a.val() == 15;
            self.starts.next = self.a.val() == 0;
        }
    }
    record(
        "wrapping",
        Wrapping::default,
        |b| &mut b.clock,
        |b, _, r| {
            b.a.next = r.bits();
            b.b.next = r.bits();
        },
    )
}

fn skid<const D: usize, const K: usize>(name: &str) -> Recording {
    record(
        name,
        Skid::<D, K, 16>::default,
        |b| &mut b.clock,
        |b, clock, r| {
            b.reset.next = clock < 2;
            b.s_axis.tdata.next = r.wide();
            b.s_axis.tkeep.next = r.bits();
            b.s_axis.tlast.next = r.chance(4);
            b.s_axis.tuser.next = r.bits();
            b.s_axis.tvalid.next = r.chance(10);
            b.m_axis.tready.next = r.chance(9);
        },
    )
}

fn ram() -> Recording {
    record(
        "ram",
        Ram::<Bits<32>, 4>::default,
        |b| &mut b.clock,
        |b, _, r| {
            b.raddr.next = r.bits();
            b.waddr.next = r.bits();
            b.wdata.next = r.bits();
            b.we.next = r.chance(8);
        },
    )
}

fn sided_ram() -> Recording {
    record(
        "sided_ram",
        SidedRam::<Bits<32>, 4>::default,
        |b| &mut b.clock,
        |b, clock, r| {
            b.side.next = clock / 50 % 2 == 1;
            b.raddr.next = r.bits();
            b.waddr.next = r.bits();
            b.wdata.next = r.bits();
            b.we.next = r.chance(8);
        },
    )
}

fn row_ram() -> Recording {
    record(
        "row_ram",
        RowRam::<3>::default,
        |b| &mut b.clock,
        |b, clock, r| {
            b.side.next = clock / 50 % 2 == 1;
            b.raddr.next = r.bits();
            b.waddr.next = r.bits();
            b.wword.next = r.bits();
            b.wdata.next = r.bits();
            b.we.next = r.chance(12);
        },
    )
}

fn fifo() -> Recording {
    record(
        "fifo",
        Fifo::<Bits<32>, 3>::default,
        |b| &mut b.clock,
        |b, clock, r| {
            // Phases of mostly pushing and mostly popping, so that both ends are reached.
            let filling = clock / 40 % 2 == 0;
            b.reset.next = clock < 2 || r.below(400) == 0;
            b.din.next = r.bits();
            b.push.next = r.chance(if filling { 13 } else { 4 });
            b.pop.next = r.chance(if filling { 4 } else { 13 });
        },
    )
}

fn counter_half() -> Recording {
    record(
        "counter_half",
        CounterHalf::<2>::default,
        |b| &mut b.clock,
        |b, clock, r| {
            b.reset.next = clock < 2;
            b.add.next = clock > 10 && r.chance(12);
            b.index.next = r.bits();
            b.amount.next = 0xffff_u64.into();
            b.read_index.next = r.bits();
        },
    )
}

fn tally() -> Recording {
    record(
        "tally",
        Tally::<2>::default,
        |b| &mut b.clock,
        |b, clock, r| {
            // Banks change places once the last flow has been counted.
            let clearing = clock % 64 < 8;
            if clock % 64 == 1 {
                b.second.next = clock % 128 < 64;
            }
            b.count.next = !clearing && r.chance(12);
            b.backend.next = r.bits();
            b.clear.next = (2..8).contains(&(clock % 64));
            b.clear_backend.next = (clock as u64 % 4).into();
            b.read_backend.next = r.bits();
        },
    )
}

fn census() -> Recording {
    record(
        "census",
        Census::<2>::default,
        |b| &mut b.clock,
        |b, clock, r| {
            b.reset.next = clock < 2;
            let round = b.ready.val() || !b.rests.val();
            b.rests.next = !(round && clock % 32 < 20);
            b.visit.next = Visit {
                live: if b.rests.val() { Bits::default() } else { r.bits() },
                backend0: r.bits(),
                backend1: r.bits(),
                backend2: r.bits(),
                backend3: r.bits(),
                backend4: r.bits(),
                backend5: r.bits(),
                backend6: r.bits(),
                backend7: r.bits(),
            };
            b.read_backend.next = r.bits();
        },
    )
}

fn counter_set() -> Recording {
    record(
        "counter_set",
        CounterSet::<3>::default,
        |b| &mut b.clock,
        |b, clock, r| {
            b.reset.next = clock < 2;
            b.add.next = clock > 16 && r.chance(10);
            b.index.next = r.bits();
            b.length.next = r.bits();
            b.read_index.next = r.bits();
        },
    )
}

fn sip_state(r: &mut Inputs) -> SipState {
    // Lanes of all ones now and then: carries that run through.
    let mut lane = || if r.chance(4) { 0xffff_u64.into() } else { r.bits() };
    SipState {
        v0a: lane(),
        v0b: lane(),
        v0c: lane(),
        v0d: lane(),
        v1a: lane(),
        v1b: lane(),
        v1c: lane(),
        v1d: lane(),
        v2a: lane(),
        v2b: lane(),
        v2c: lane(),
        v2d: lane(),
        v3a: lane(),
        v3b: lane(),
        v3c: lane(),
        v3d: lane(),
    }
}

fn absorb() -> Recording {
    // It has no clock of its own; the bench's is not connected.
    #[derive(LogicBlock, Default)]
    struct Clocked {
        clock: Signal<In, Clock>,
        s_state: Signal<In, SipState>,
        done_low: Signal<In, Bits<32>>,
        done_high: Signal<In, Bits<32>>,
        next_low: Signal<In, Bits<32>>,
        next_high: Signal<In, Bits<32>>,
        m_state: Signal<Out, SipState>,
        absorb: Absorb,
    }
    impl Logic for Clocked {
        #[hdl_gen]
        fn update(&mut self) {
            self.absorb.s_state.next = self.s_state.val();
            self.absorb.done_low.next = self.done_low.val();
            self.absorb.done_high.next = self.done_high.val();
            self.absorb.next_low.next = self.next_low.val();
            self.absorb.next_high.next = self.next_high.val();
            self.m_state.next = self.absorb.m_state.val();
        }
    }
    record(
        "absorb",
        Clocked::default,
        |b| &mut b.clock,
        |b, _, r| {
            b.s_state.next = sip_state(r);
            b.done_low.next = r.bits();
            b.done_high.next = r.bits();
            b.next_low.next = r.bits();
            b.next_high.next = r.bits();
        },
    )
}

fn settings(r: &mut Inputs) -> Settings {
    Settings {
        serve: r.chance(15),
        mac_low: 0x0403_0201_u64.into(),
        mac_high: 0x0605_u64.into(),
        check_mac: r.chance(8),
        ttl: r.bits(),
        tunnel_source: r.bits(),
        entropy_mask: ((1_u64 << r.below(17)) - 1).into(),
        k0_low: r.bits(),
        k0_high: r.bits(),
        k1_low: r.bits(),
        k1_high: r.bits(),
        tunnel_v6_0: r.bits(),
        tunnel_v6_1: r.bits(),
        tunnel_v6_2: r.bits(),
        tunnel_v6_3: r.bits(),
        seed0_address0: 0x9f77_7c45_u64.into(),
        seed0_address1: 0x4165_d839_u64.into(),
        seed0_address2: 0xbde5_c099_u64.into(),
        seed0_address3: 0x5bc9_fbbd_u64.into(),
        seed0_transport: 0xcb91_ce37_u64.into(),
        seed1_address0: 0xb0c1_1fdf_u64.into(),
        seed1_address1: 0xf145_6beb_u64.into(),
        seed1_address2: 0xd76d_4331_u64.into(),
        seed1_address3: 0xbd69_fe29_u64.into(),
        seed1_transport: 0xa6eb_8c9f_u64.into(),
    }
}

fn control() -> Recording {
    record(
        "control",
        Control::default,
        |b| &mut b.clock,
        |b, clock, r| {
            b.reset.next = clock < 2;
            b.address.next = (r.below(6) << 28 | r.below(26)).into();
            b.data.next = r.bits();
            b.enable.next = r.chance(12);
            b.drained.next = r.chance(8);
        },
    )
}

/// A frame start that mostly gets far: tag or none, either family, a segment, a datagram or an error about one, plausible
/// lengths, with a fault now and then.
fn header(r: &mut Inputs) -> [u8; 128] {
    let mut bytes = [0_u8; 128];
    for byte in &mut bytes {
        *byte = r.bits::<8>().to_u8();
    }
    bytes[..6].copy_from_slice(&[1, 2, 3, 4, 5, if r.chance(14) { 6 } else { 7 }]);
    let tagged = r.chance(6);
    let at = if tagged { 18 } else { 14 };
    if tagged {
        bytes[12..14].copy_from_slice(&[0x81, 0]);
    }
    let ipv6 = r.chance(8);
    bytes[at - 2..at].copy_from_slice(match (ipv6, r.chance(15)) {
        (_, false) => &[8, 6],
        (true, _) => &[0x86, 0xdd],
        (false, _) => &[8, 0],
    });
    let icmp = r.chance(5);
    let packet = if ipv6 { packet_v6(r, icmp) } else { packet_v4(r, icmp) };
    for (byte, packet) in bytes[at..].iter_mut().zip(packet) {
        *byte = packet.unwrap_or(*byte);
    }
    if !r.chance(13) {
        let any = usize::try_from(r.below(112)).unwrap();
        bytes[any] ^= 1 << r.below(8);
    }
    bytes
}

/// Bytes of a packet that must not be anything.
fn packet_v4(r: &mut Inputs, icmp: bool) -> Vec<Option<u8>> {
    let mut packet = vec![None; 60];
    let mut header = [0_u8; 20];
    header[0] = if r.chance(14) { 0x45 } else { r.bits::<8>().to_u8() };
    header[3] = u8::try_from(15 + r.below(80)).unwrap();
    header[6] = if r.chance(14) { 0x40 } else { r.bits::<8>().to_u8() };
    header[8] = 64;
    header[9] = if icmp { 1 } else { [6, 17, 58, 47, 6, 17][usize::try_from(r.below(6)).unwrap()] };
    for byte in &mut header[12..] {
        *byte = r.bits::<8>().to_u8();
    }
    let sum: u32 = header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap();
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    for (byte, header) in packet.iter_mut().zip(header) {
        *byte = Some(header);
    }
    if icmp {
        packet[20] = Some([3, 11, 12, 8][usize::try_from(r.below(4)).unwrap()]);
        packet[28] = Some(0x45);
        packet[34..36].copy_from_slice(&[Some(0x20), Some(0)]);
        packet[37] = Some([6, 17, 1, 6][usize::try_from(r.below(4)).unwrap()]);
        packet.copy_within(16..20, 40);
    } else {
        packet[32] = Some(0x50);
    }
    packet
}

/// See [`packet_v4`].
fn packet_v6(r: &mut Inputs, icmp: bool) -> Vec<Option<u8>> {
    let mut packet = vec![None; 96];
    packet[0] = Some(0x60 | r.bits::<4>().to_u8());
    packet[4..6].copy_from_slice(&[Some(0), Some(u8::try_from(r.below(90)).unwrap())]);
    packet[6] = Some(if icmp { 58 } else { [6, 17, 44, 1, 6, 17][usize::try_from(r.below(6)).unwrap()] });
    for byte in &mut packet[24..40] {
        *byte = Some(r.bits::<8>().to_u8());
    }
    if icmp {
        packet[40] = Some(u8::try_from(r.below(6)).unwrap());
        packet[48] = Some(0x60);
        packet[54] = Some([6, 17, 44, 6][usize::try_from(r.below(4)).unwrap()]);
        packet.copy_within(24..40, 56);
    } else {
        packet[52] = Some(0x50);
    }
    packet
}

fn parse<const D: usize>(name: &str) -> Recording {
    let mut frame = [0; 128];
    let mut beat = 0;
    let mut beats = 1;
    let mut length = 0;
    record(
        name,
        Parse::<D>::default,
        |b| &mut b.clock,
        move |b, clock, r| {
            b.reset.next = clock < 2;
            if clock == 0 {
                b.settings.next = settings(r);
            }
            let fire = clock > 3 && r.chance(13);
            b.fire.next = fire;
            if fire {
                if beat == 0 {
                    frame = header(r);
                    length = if r.chance(1) { 9_590 + r.below(20) } else { 1 + r.below(180) };
                    // The stage does not count the beats of a long frame: six stand for many.
                    beats = usize::try_from(length).unwrap().div_ceil(D / 8).min(6);
                }
                let start = beat * D / 8;
                let lanes: Vec<u8> = (0..D / 8).map(|lane| frame.get(start + lane).copied().unwrap_or(0xee)).collect();
                b.data.next = num_bigint::BigUint::from_bytes_le(&lanes).into();
                b.length.next = length.into();
                b.step.next = r.bits();
                b.last.next = beat + 1 == beats;
                beat = (beat + 1) % beats;
            }
        },
    )
}

fn parsed(r: &mut Inputs) -> Parsed {
    Parsed {
        verdict: if r.chance(13) { 0_u64.into() } else { r.bits() },
        length: r.bits(),
        tagged: r.chance(8),
        tci: r.bits(),
        ipv6: r.chance(8),
        steered: r.chance(3),
        dscp_ecn: r.bits(),
        total_length: r.below(1600).into(),
        syn: r.chance(4),
        fin: r.chance(2),
        rst: r.chance(2),
        step: if r.chance(15) { 0_u64.into() } else { r.bits() },
    }
}

fn tuple(r: &mut Inputs) -> Tuple {
    Tuple {
        source0: r.bits(),
        source1: r.bits(),
        source2: r.bits(),
        source3: r.bits(),
        destination0: (r.below(3) << 24).into(),
        destination1: if r.chance(15) { 0_u64.into() } else { 1_u64.into() },
        destination2: if r.chance(15) { 0_u64.into() } else { 1_u64.into() },
        destination3: if r.chance(15) { 0_u64.into() } else { 1_u64.into() },
        ports: (r.below(4) << 24 | r.below(1 << 16)).into(),
        protocol: if r.chance(8) { 6_u64.into() } else { 17_u64.into() },
    }
}

fn classify() -> Recording {
    record(
        "classify",
        Classify::<2>::default,
        |b| &mut b.clock,
        |b, clock, r| {
            b.reset.next = clock < 2;
            if clock == 0 {
                b.settings.next = settings(r);
            }
            b.side.next = clock / 50 % 2 == 1;
            // Rows change all the time; few enough keys that many frames match.
            let word = r.below(8);
            b.write_enable.next = r.chance(14);
            b.port_address.next = (2 << 28 | r.below(2) << 24 | r.below(8) << 3 | word).into();
            let port = r.below(4) << 8;
            let flags = 1 | r.below(2) << 1 | r.below(2) << 2 | r.below(2) << 3;
            b.write_data.next = match word {
                0 => (r.below(3) << 24).into(),
                1..4 => 0_u64.into(),
                4 => (flags << 24 | if r.chance(8) { 6 } else { 17 } << 16 | if flags & 8 == 0 { port } else { 0 })
                    .into(),
                _ => r.bits(),
            };
            b.s_valid.next = r.chance(12);
            b.s_frame.next = parsed(r);
            b.s_tuple.next = tuple(r);
        },
    )
}

fn classified(r: &mut Inputs) -> Classified {
    let parsed = parsed(r);
    Classified {
        verdict: if r.chance(12) { 0_u64.into() } else { r.bits() },
        parsed,
        matched: r.chance(12),
        service: r.bits(),
        affinity: r.bits(),
        selection: if r.chance(14) { r.below(3).into() } else { r.bits() },
        lookup_base: r.bits(),
        table_size: r.bits(),
        gre_keyed: r.chance(8),
        gre_key: r.bits(),
    }
}

fn flow_hash() -> Recording {
    record(
        "flow_hash",
        FlowHash::default,
        |b| &mut b.clock,
        |b, clock, r| {
            b.reset.next = clock < 2;
            if clock == 0 {
                b.settings.next = settings(r);
            }
            // Half the rate at most: in the core, credits keep the queues from running over.
            b.s_valid.next = r.chance(7);
            b.s_frame.next = classified(r);
            b.s_tuple.next = tuple(r);
            b.m_ready.next = b.m_valid.val() && r.chance(12);
        },
    )
}

fn timeouts(r: &mut Inputs) -> Timeouts {
    Timeouts { fresh: r.below(63).into(), established: r.below(63).into(), closing: r.below(63).into() }
}

fn select() -> Recording {
    let mut waiting = false;
    record(
        "select",
        Select::<3, 6, 5, 3>::default,
        |b| &mut b.clock,
        |b, clock, r| {
            b.reset.next = clock < 2;
            b.write_enable.next = r.chance(12);
            b.side.next = clock / 50 % 2 == 1;
            b.port_address.next = ((3 + r.below(4)) << 28 | r.below(10) << 24 | r.below(256)).into();
            b.write_data.next = if r.chance(3) { 0xffff_ffff_u64.into() } else { r.bits() };
            b.s_valid.next = r.chance(12);
            b.read_flow.next = r.chance(4);
            b.quiet.next = clock % 40 < 4;
            b.set_tick.next = clock % 200 == 0;
            b.set_tick_value.next = r.bits();
            b.set_timeouts.next = r.chance(8);
            b.timeouts.next = timeouts(r);
            b.tick_due.next = r.chance(1) && r.chance(1);
            b.may_start.next = r.chance(15);
            // A frame stays until it is taken. Few hashes, so that flows meet.
            if b.s_ready.val() || !waiting {
                waiting = r.chance(12);
                b.s_valid.next = waiting;
                b.s_frame.next = classified(r);
                b.s_hashes.next =
                    Hashes { h_low: r.below(4).into(), h_high: r.below(3).into(), g_low: r.bits(), g_high: r.bits() };
            }
        },
    )
}

fn rewrite() -> Recording {
    record(
        "rewrite",
        Rewrite::default,
        |b| &mut b.clock,
        |b, clock, r| {
            b.reset.next = clock < 2;
            if clock % 100 == 0 {
                b.settings.next = settings(r);
            }
            b.s_valid.next = r.chance(12);
            b.s_frame.next = Selected {
                verdict: if r.chance(13) { 0_u64.into() } else { r.bits() },
                length: r.bits(),
                tagged: r.chance(8),
                tci: r.bits(),
                ipv6: r.chance(8),
                dscp_ecn: r.bits(),
                total_length: r.below(1600).into(),
                service: r.bits(),
                gre_keyed: r.chance(8),
                gre_key: r.bits(),
                hash_low: r.bits(),
                hash_high: r.bits(),
                flow: r.bits(),
                backend: r.bits(),
            };
            b.s_row.next = Row {
                w0: r.bits(),
                w1: r.bits(),
                w2: r.bits(),
                w3: r.bits(),
                w4: r.bits(),
                w5: ((1200 + r.below(600)) << 16 | r.below(1 << 16)).into(),
                w6: (if r.chance(14) { 1 + r.below(2) } else { r.below(4) } << 16).into(),
                w7: r.bits(),
            };
        },
    )
}

fn transmit<const D: usize, const K: usize>(name: &str) -> Recording {
    record(
        name,
        Transmit::<D, K>::default,
        |b| &mut b.clock,
        |b, clock, r| {
            b.reset.next = clock < 2;
            let forward = r.chance(9);
            let length = 1 + r.below(200);
            b.s_valid.next = r.chance(3);
            b.s_egress.next = Egress {
                verdict: if forward { 0_u64.into() } else { (1 + r.below(24)).into() },
                length: length.into(),
                flow: r.bits(),
                out_length: if forward { 78 + length } else { length * r.below(2) }.into(),
                service: r.bits(),
                backend: r.bits(),
                hash_low: r.bits(),
                hash_high: r.bits(),
                tagged: r.chance(8),
                keyed: r.chance(8),
                outer_v6: r.chance(8),
                prefix: r.wide(),
            };
            b.beat_data.next = r.wide();
            b.beat_last.next = r.chance(6);
            b.beat_valid.next = r.chance(12);
            b.m_axis_wire.tready.next = r.chance(12);
            b.m_axis_host.tready.next = r.chance(12);
        },
    )
}

fn host_queue<const D: usize, const K: usize>(name: &str) -> Recording {
    let mut left = 0;
    let mut length = 0;
    record(
        name,
        HostQueue::<D, K, 4>::default,
        |b| &mut b.clock,
        move |b, clock, r| {
            b.reset.next = clock < 2;
            // Phases in which the host does not drain: frames are lost whole.
            b.m_axis.tready.next = r.chance(if clock / 200 % 2 == 0 { 13 } else { 2 });
            let valid = clock > 2 && r.chance(10);
            b.s_axis.tvalid.next = valid;
            b.s_axis.tdata.next = r.wide();
            if valid {
                if left == 0 {
                    length = 1 + r.below(300);
                    left = usize::try_from(length).unwrap().div_ceil(K);
                }
                left -= 1;
                b.s_axis.tlast.next = left == 0;
                b.s_axis.tuser.next = (length | 5 << 16).into();
            }
        },
    )
}
