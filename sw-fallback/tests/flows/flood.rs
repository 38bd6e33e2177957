//! Attacks on flows that are under way, while backends come and go.
//!
//! After every change the lookup table is filled at random from the backends that are up: without the flow table, most
//! flows would move.

use maglane_spec::endian::U16Le;
use maglane_spec::flow::WAYS;
use maglane_spec::row::BackendRow;
use maglane_spec::{FlowOutcome, TableImage, Verdict};

use super::fixture::{VIP, image, tcp, with_ipv4};
use super::{ACK, FIN, Lab, RST, Random, SYN, from_port, with_flags};

/// Entries of the laboratory's flow table.
const ENTRIES: usize = 1_024 * WAYS;

/// A segment to service 1 with no flags, and the backend that its flow was given.
struct Flow {
    segment: Vec<u8>,
    backend: u16,
}

/// Service 1's backends 0 to 7 in these states, and its slice filled with those that are up.
fn tables(random: &mut Random, states: [u8; 8]) -> TableImage {
    let mut image = image();
    for (row, state) in image.backends.iter_mut().zip(states) {
        row.state = state;
        row.service = U16Le::new(1);
    }
    let up: Vec<u16> = (0..8).zip(states).filter(|(_, state)| *state == UP).map(|(id, _)| id).collect();
    image.services[16].table_size = U16Le::new(251);
    image.lookup[..251].fill_with(|| U16Le::new(random.pick(&up)));
    image
}

const UP: u8 = BackendRow::STATE_UP;
const DRAINING: u8 = BackendRow::STATE_DRAINING;
const DOWN: u8 = BackendRow::STATE_DOWN;

/// Opens flows to service 1: a SYN, then a segment without.
fn open(lab: &mut Lab, tick: u64, count: u32) -> Vec<Flow> {
    let segment = with_flags(&tcp(VIP, 80, 10), ACK);
    let flows = (0..count).map(|flow| {
        let source = flow.wrapping_mul(0x9e37_79b1).to_be_bytes();
        let segment = from_port(&with_ipv4(&segment, 12, &source), 443);
        let backend = lab.send(tick, &with_flags(&segment, SYN)).backend;
        assert_eq!(lab.flow(tick, &segment), FlowOutcome::Hit);
        Flow { segment, backend }
    });
    flows.collect()
}

/// A SYN of a flow that nobody has seen before.
fn flood(random: &mut Random, lab: &mut Lab, tick: u64) -> FlowOutcome {
    let source = random.next().to_be_bytes();
    let segment = with_flags(&with_ipv4(&tcp(VIP, 80, 0), 12, &source[..4]), SYN);
    // No flow of ours has this range of ports.
    let trace = lab.send(tick, &from_port(&segment, random.u16() | 0x8000));
    assert_eq!(trace.verdict, Verdict::Forward);
    trace.flow
}

fn check(lab: &mut Lab, tick: u64, flow: &Flow) {
    let trace = lab.send(tick, &flow.segment);
    assert_eq!((trace.flow, trace.backend), (FlowOutcome::Hit, flow.backend), "tick {tick}");
}

#[test]
fn syn_flood_of_ten_times_the_table_moves_no_established_flow() {
    let random = &mut Random(1);
    let mut lab = Lab::new(&tables(random, [UP, UP, UP, UP, DOWN, DOWN, DOWN, DOWN]));
    let flows = open(&mut lab, 0, 2_000);
    assert!((0..4).all(|id| flows.iter().any(|flow| flow.backend == id)));
    // Backends that established flows have are drained, but not taken down; others come and go altogether.
    let changes = [
        [UP, UP, UP, UP, UP, DOWN, DOWN, DOWN],
        [DRAINING, UP, UP, UP, UP, UP, DOWN, DOWN],
        [DRAINING, DRAINING, UP, UP, DOWN, UP, UP, UP],
        [UP, DRAINING, DRAINING, DRAINING, UP, DOWN, DOWN, UP],
        [DRAINING, DRAINING, DRAINING, DRAINING, DOWN, UP, UP, DOWN],
        [UP, UP, UP, UP, DOWN, DOWN, DOWN, DOWN],
    ];
    let mut outcomes = [0; FlowOutcome::CODES];
    // 8 flows are heard of every 80 SYNs, hence each flow all 250 rounds; in 24 ticks a new flow that nobody hears of
    // again is long gone, in 60 an established one would be.
    for round in 0..10 * ENTRIES / 80 {
        let tick = round as u64 / 10;
        if round % 128 == 64 {
            lab.update(&tables(random, changes[round / 128 % changes.len()]));
        }
        for _ in 0..80 {
            outcomes[usize::from(flood(random, &mut lab, tick).code())] += 1;
        }
        for flow in flows.iter().skip(round * 8 % flows.len()).take(8) {
            check(&mut lab, tick, flow);
        }
    }
    assert_eq!(outcomes.iter().sum::<usize>(), 10 * ENTRIES);
    assert!(outcomes[usize::from(FlowOutcome::Inserted.code())] > 9 * ENTRIES, "{outcomes:?}");
    flows.iter().for_each(|flow| check(&mut lab, 103, flow));
}

#[test]
fn set_full_of_established_flows_takes_no_syn() {
    let small = |mut tables: TableImage| {
        tables.geometry.flow_sets = 16;
        tables
    };
    let random = &mut Random(2);
    let mut lab = Lab::new(&small(tables(random, [UP; 8])));
    // Eight times as many as there are entries fill every set.
    let flows = open_some(&mut lab, 1_000);
    assert_eq!(flows.len(), 16 * WAYS);
    for round in 0..10 {
        for _ in 0..16 * WAYS {
            assert_eq!(flood(random, &mut lab, round), FlowOutcome::TableFull);
        }
        lab.update(&small(tables(random, [UP; 8])));
        flows.iter().for_each(|flow| check(&mut lab, round, flow));
    }
}

/// As [`open`], but keeps the flows that found a way.
fn open_some(lab: &mut Lab, count: u16) -> Vec<Flow> {
    let segment = with_flags(&tcp(VIP, 80, 10), ACK);
    let flows = (0..count).filter_map(|port| {
        let segment = from_port(&segment, port);
        let backend = lab.send(0, &with_flags(&segment, SYN)).backend;
        (lab.flow(0, &segment) == FlowOutcome::Hit).then_some(Flow { segment, backend })
    });
    flows.collect()
}

#[test]
fn forged_rst_and_fin_move_no_active_flow() {
    let random = &mut Random(4);
    let mut lab = Lab::new(&tables(random, [UP; 8]));
    let flows = open(&mut lab, 0, 2_000);
    for tick in 1..=20 {
        // An active flow is heard of in every tick. A forged FIN makes it closing, and the flood takes closing flows
        // before all others, but none that was heard of in the tick before.
        for _ in 0..ENTRIES / 2 {
            flood(random, &mut lab, tick);
        }
        flows.iter().for_each(|flow| check(&mut lab, tick, flow));
        for (flow, turn) in flows.iter().zip(tick..) {
            let forged = [RST, FIN, FIN | RST, RST | ACK][usize::try_from(turn % 4).unwrap()];
            assert_eq!(lab.flow(tick, &with_flags(&flow.segment, forged)), FlowOutcome::Hit);
        }
        lab.update(&tables(random, [UP; 8]));
        for _ in 0..ENTRIES / 2 {
            flood(random, &mut lab, tick);
        }
        flows.iter().for_each(|flow| check(&mut lab, tick, flow));
    }
    let closing = lab.entries().into_iter().filter(|&(_, state)| state == 3).count();
    assert_eq!(closing, 2_000, "the forged FINs were believed, as far as it goes");
}
