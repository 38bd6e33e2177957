//! The contract's sentences about ticks, updates, counters and what a frame leaves behind.

use maglane_spec::counter::PacketsBytes;
use maglane_spec::endian::{U16Le, U32Le};
use maglane_spec::limit::NO_BACKEND;
use maglane_spec::row::{BackendRow, ServiceRow};
use maglane_spec::{FlowOutcome, Geometry, TableImage, Verdict};
use maglane_sw::Pipeline;
use maglane_sw::engine::{Engine, EngineError, Frame};

use super::fixture::{MTU, TIMEOUTS, VIP, VIP_ALL_TCP, first_backend, image, tcp, udp};
use super::{ACK, FIN, Lab, RST, SYN, TICK_NS, from_port, with_flags};

/// A SYN: however many of them come, the flow stays new.
fn syn() -> Vec<u8> {
    with_flags(&tcp(VIP, 80, 0), SYN)
}

/// A frame for each verdict that ends its way before the flow table.
fn frames_that_do_not_reach_the_flow_table() -> Vec<(Vec<u8>, Verdict)> {
    let with = |offset: usize, byte: u8| {
        let mut frame = udp(VIP, 53, 0);
        frame[offset] = byte;
        frame
    };
    vec![
        (vec![0; 9_601], Verdict::DropTooLong),
        (vec![], Verdict::PassNotIp),
        (with(0, 0xff), Verdict::PassOtherMac),
        (with(13, 6), Verdict::PassNotIp),
        (udp(VIP, 53, 0)[..20].to_vec(), Verdict::DropIpTruncated),
        (with(24, 0xee), Verdict::DropIpv4Checksum),
        (udp(VIP, 54, 0), Verdict::PassNoService),
        (tcp(VIP, 443, 0), Verdict::DropServiceDisabled),
        (tcp(VIP, 8083, 0), Verdict::PassUnsupported),
        (tcp(VIP, 8087, 0), Verdict::PassUnsupported),
    ]
}

/// The image with one backend alone in every service's slice.
fn all_to(image: &TableImage, backend: u16) -> TableImage {
    let mut image = image.clone();
    image.lookup.fill(U16Le::new(backend));
    image
}

#[test]
fn segments_of_a_connection_open_and_close_the_entry() {
    let mut lab = Lab::new(&image());
    let segment = |flags| with_flags(&tcp(VIP, 80, 9), flags);
    let steps = [
        (SYN, FlowOutcome::Inserted, 1),
        (SYN, FlowOutcome::Hit, 1),
        (ACK, FlowOutcome::Hit, 2),
        (SYN | ACK, FlowOutcome::Hit, 2),
        (RST, FlowOutcome::Hit, 2),
        (FIN | RST, FlowOutcome::Hit, 2),
        (FIN, FlowOutcome::Hit, 3),
        (ACK, FlowOutcome::Hit, 3),
        (RST, FlowOutcome::Hit, 3),
        (SYN, FlowOutcome::Inserted, 1),
    ];
    for (tick, (flags, outcome, state)) in (0..).zip(steps) {
        assert_eq!(lab.flow(tick, &segment(flags)), outcome, "{tick}");
        assert_eq!(lab.entries(), [(tick, state)], "{tick}: every hit refreshes, and the SYN takes the old way");
    }
}

#[test]
fn udp_flow_is_established_by_its_second_frame() {
    let mut lab = Lab::new(&image());
    // Where TCP has its flags, these have payload with all bits set.
    let mut frame = udp(VIP, 53, 20);
    frame[14 + 20 + 13] = 0xff;
    assert_eq!((lab.flow(0, &frame), lab.entries()), (FlowOutcome::Inserted, vec![(0, 1)]));
    assert_eq!((lab.flow(0, &frame), lab.entries()), (FlowOutcome::Hit, vec![(0, 2)]));
    assert_eq!((lab.flow(0, &frame), lab.entries()), (FlowOutcome::Hit, vec![(0, 2)]));
}

#[test]
fn every_frame_moves_the_tick_whatever_its_verdict() {
    for (frame, verdict) in frames_that_do_not_reach_the_flow_table() {
        let mut lab = Lab::new(&image());
        lab.send(0, &syn());
        let trace = lab.send(4, &frame);
        assert_eq!((trace.verdict, trace.flow), (verdict, FlowOutcome::NotReached));
        assert_eq!((lab.state().tick, lab.entries()), (4, vec![(0, 1)]), "{verdict:?}");
        lab.send(5, &frame);
        assert_eq!((lab.state().tick, lab.entries()), (5, vec![]), "{verdict:?}");
    }
}

#[test]
fn tick_moves_before_the_frame_is_looked_at() {
    let mut lab = Lab::new(&image());
    let outcomes = [0, 4, 8, 13, 17, 81].map(|tick| lab.flow(tick, &syn()));
    // From 8 to 13 and from 17 to 81 = 17 + 64 it is longer than a new flow's 4 ticks.
    let (hit, inserted) = (FlowOutcome::Hit, FlowOutcome::Inserted);
    assert_eq!(outcomes, [inserted, hit, hit, inserted, hit, inserted]);
}

#[test]
fn first_frames_tick_is_the_start() {
    // 2026-01-01 in seconds since 1970.
    let mut lab = Lab::new(&image());
    let start = 1_767_225_600;
    assert_eq!(lab.flow(start, &syn()), FlowOutcome::Inserted);
    assert_eq!((lab.state().tick, lab.entries()), (0, vec![(0, 1)]), "1,767,225,600 = 64 * 27,612,900");
    assert_eq!(lab.flow(start + 3, &syn()), FlowOutcome::Hit);
    assert_eq!((lab.state().tick, lab.entries()), (3, vec![(3, 1)]));
}

#[test]
fn tick_is_the_greatest_so_far() {
    let mut lab = Lab::new(&image());
    lab.send(10, &udp(VIP, 54, 0));
    for tick in [3, 0, 9] {
        lab.send(tick, &syn());
        assert_eq!((lab.state().tick, lab.entries()), (10, vec![(10, 1)]));
    }
}

#[test]
fn tick_of_0_ms_stays() {
    let mut image = image();
    image.datapath.tick_ms = U32Le::new(0);
    image.datapath.timeout_ticks = [0; 3];
    let mut lab = Lab::new(&image);
    assert_eq!(lab.flow(0, &syn()), FlowOutcome::Inserted);
    for tick in [1, 100, 1 << 32] {
        assert_eq!(lab.flow(tick, &syn()), FlowOutcome::Hit);
        assert_eq!((lab.state().tick, lab.entries()), (0, vec![(0, 1)]));
    }
}

#[test]
fn pipeline_without_tables_has_no_tick_and_starts_with_an_update() {
    let mut lab = Lab { pipeline: Pipeline::new(Geometry::LAB), out: Vec::new() };
    assert_eq!((lab.send(100, &syn()).verdict, lab.state().tick), (Verdict::PassBypass, 0));
    lab.update(&image());
    assert_eq!(lab.flow(50, &syn()), FlowOutcome::Inserted);
    assert_eq!((lab.state().tick, lab.entries()), (50, vec![(50, 1)]));
    let counters = lab.pipeline.totals();
    assert_eq!(counters.verdicts[usize::from(Verdict::PassBypass.code())].packets, 1, "an update keeps the counters");
    assert_eq!(counters.flows[0].packets, 1);
}

#[test]
fn load_starts_afresh() {
    let mut lab = Lab::new(&image());
    let fresh = (lab.state(), lab.pipeline.totals().clone());
    lab.send(90, &syn());
    lab.send(90, &tcp(VIP, 8086, 0));
    assert_eq!((lab.state().sequence[12], lab.entries().len()), (1, 2));
    lab.pipeline.load(&image()).unwrap();
    assert_eq!((lab.state(), lab.pipeline.totals().clone()), fresh);
    lab.send(7, &syn());
    assert_eq!((lab.state().tick, lab.entries()), (7, vec![(7, 1)]), "time starts anew, too");
}

#[test]
fn state_has_every_entry_in_its_place_and_every_turn() {
    let mut lab = Lab::new(&image());
    let trace = lab.send(9, &syn());
    lab.send(9, &tcp(VIP, 8086, 0));
    lab.send(9, &with_flags(&from_port(&tcp(VIP, 8086, 0), 1), RST));
    let state = lab.state();
    assert_eq!((state.entries.len(), state.sequence.len()), (8 * 1_024, 64));
    let set = usize::try_from(trace.hash % 1_024).unwrap();
    let entry = trace.hash >> 24 << 24 | u64::from(trace.backend) << 8 | 9 << 2 | 1;
    assert_eq!(state.entries[8 * set..][..8], [entry, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!((state.sequence[12], state.sequence.iter().sum()), (2, 2));
}

#[test]
fn update_keeps_flows_turns_tick_and_counters() {
    let mut lab = Lab::new(&image());
    lab.send(70, &tcp(VIP, 8086, 0));
    let backend = lab.send(70, &syn()).backend;
    let before = (lab.state(), lab.pipeline.totals().clone());
    lab.update(&all_to(&image(), (backend + 1) % 4));
    assert_eq!((lab.state(), lab.pipeline.totals().clone()), before);
    let trace = lab.send(0, &syn());
    assert_eq!((trace.flow, trace.backend), (FlowOutcome::Hit, backend));
    assert_eq!((lab.state().tick, lab.pipeline.totals().flows[1].packets), (6, 1));
    let new = lab.send(70, &from_port(&syn(), 1));
    assert_eq!((new.flow, new.backend), (FlowOutcome::Inserted, (backend + 1) % 4));
    assert_eq!(lab.send(70, &from_port(&tcp(VIP, 8086, 0), 1)).flow, FlowOutcome::Inserted);
    assert_eq!(lab.state().sequence[12], 2);
}

#[test]
fn update_with_another_tick_length_or_geometry_is_refused_and_changes_nothing() {
    let mut lab = Lab::new(&image());
    lab.send(70, &syn());
    let before = (lab.state(), lab.pipeline.totals().clone());
    let mut other_tick = all_to(&image(), NO_BACKEND);
    other_tick.datapath.tick_ms = U32Le::new(2_000);
    other_tick.datapath.timeout_ticks = [0; 3];
    let error = lab.pipeline.update(&other_tick).unwrap_err();
    assert!(matches!(error, EngineError::TickLength { image: 2_000, own: 1_000, .. }), "{error}");
    // Sizes come first: the sets are other ones, so there is nothing to tell of ticks.
    other_tick.geometry.flow_sets *= 2;
    let error = lab.pipeline.update(&other_tick).unwrap_err();
    assert!(matches!(error, EngineError::Geometry { .. }), "{error}");
    let mut short = image();
    short.backends.truncate(8);
    let error = lab.pipeline.update(&short).unwrap_err();
    assert!(matches!(error, EngineError::Stopped { .. }), "{error}");
    assert_eq!((lab.state(), lab.pipeline.totals().clone()), before);
    assert_eq!(lab.send(74, &syn()).verdict, Verdict::Forward);
}

#[test]
fn timeouts_of_an_update_hold_from_the_next_tick_on() {
    let mut lab = Lab::new(&image());
    lab.send(0, &syn());
    lab.send(3, &from_port(&syn(), 1));
    lab.send(4, &from_port(&syn(), 2));
    let mut shorter = image();
    shorter.datapath.timeout_ticks = [1, 60, 8];
    lab.update(&shorter);
    assert_eq!(lab.flow(4, &from_port(&syn(), 2)), FlowOutcome::Hit);
    assert_eq!(lab.entries().len(), 3, "not yet");
    lab.update(&image());
    lab.send(5, &from_port(&syn(), 3));
    assert_eq!(
        lab.entries().len(),
        3,
        "the first flow is older than four ticks, and timeouts between ticks are nobody's"
    );
    lab.update(&shorter);
    lab.send(6, &from_port(&syn(), 4));
    assert_eq!(lab.entries().len(), 2, "what is older than a tick");
    lab.update(&image());
    assert_eq!(lab.flow(6, &from_port(&syn(), 2)), FlowOutcome::Inserted, "longer timeouts revive nobody");
    assert_eq!(lab.flow(9, &from_port(&syn(), 3)), FlowOutcome::Hit, "and hold again");
}

#[test]
fn draining_backend_keeps_its_flows_and_one_that_is_down_loses_them() {
    let mut lab = Lab::new(&image());
    let ports = 1_000..1_100;
    let before: Vec<u16> = ports.clone().map(|port| lab.send(0, &from_port(&syn(), port)).backend).collect();
    assert!((0..4).all(|id| before.contains(&id)));
    for (state, keeps) in
        [(BackendRow::STATE_DRAINING, true), (BackendRow::STATE_DOWN, false), (BackendRow::STATE_UP, false)]
    {
        let mut image = all_to(&image(), 3);
        image.backends[0].state = state;
        lab.update(&image);
        for (port, &before) in ports.clone().zip(&before) {
            let trace = lab.send(1, &from_port(&syn(), port));
            // Once moved, a flow stays with its new backend when the old one comes back.
            let expected = if before == 0 && !keeps { 3 } else { before };
            assert_eq!((trace.verdict, trace.backend), (Verdict::Forward, expected), "{state} {port}");
        }
    }
}

#[test]
fn flow_of_a_service_whose_slice_is_emptied_goes_on() {
    let mut lab = Lab::new(&image());
    let backend = lab.send(0, &syn()).backend;
    lab.update(&all_to(&image(), NO_BACKEND));
    let old = lab.send(0, &syn());
    assert_eq!((old.verdict, old.flow, old.backend), (Verdict::Forward, FlowOutcome::Hit, backend));
    let new = lab.send(0, &from_port(&syn(), 1));
    assert_eq!((new.verdict, new.flow), (Verdict::DropNoBackend, FlowOutcome::NoBackend));
    assert_eq!(lab.entries().len(), 1);
}

#[test]
fn backend_given_to_another_service_is_a_miss() {
    let mut lab = Lab::new(&image());
    let backend = lab.send(0, &syn()).backend;
    let mut image = all_to(&image(), first_backend(6));
    // The same service modulo the counters, but not the same.
    image.backends[usize::from(backend)].service = U16Le::new(64 + 1);
    lab.update(&image);
    let trace = lab.send(0, &syn());
    // Nothing of the new backend's row is checked: it belongs to service 6.
    assert_eq!((trace.flow, trace.backend, lab.entries().len()), (FlowOutcome::Inserted, first_backend(6), 1));
    assert_eq!(lab.flow(0, &syn()), FlowOutcome::Inserted, "which is no hit either, as long as it lasts");
}

#[test]
fn verdicts_of_rewrite_leave_what_select_did() {
    let cases = [(tcp(VIP, 80, usize::from(MTU)), Verdict::PassTooBig), (tcp(VIP, 8084, 0), Verdict::PassUnsupported)];
    for (frame, verdict) in cases {
        let mut lab = Lab::new(&image());
        let first = lab.send(0, &frame);
        assert_eq!((first.verdict, first.flow), (verdict, FlowOutcome::Inserted));
        let second = lab.send(2, &frame);
        assert_eq!((second.verdict, second.flow, lab.entries()), (verdict, FlowOutcome::Hit, vec![(2, 2)]));
    }
}

#[test]
fn flows_of_one_client_have_their_own_entries_under_client_affinity() {
    let mut image = image();
    image.services[0].flags |= ServiceRow::AFFINITY_CLIENT << ServiceRow::AFFINITY_SHIFT;
    let mut lab = Lab::new(&image);
    for port in 1..=50 {
        assert_eq!(lab.flow(0, &tcp(VIP_ALL_TCP, port, 0)), FlowOutcome::Inserted);
    }
    assert_eq!(lab.entries().len(), 50);
}

#[test]
fn flow_counters_count_packets_and_bytes_of_every_frame_by_outcome() {
    let mut lab = Lab::new(&Lab::small());
    let mut expected = [PacketsBytes::default(); FlowOutcome::CODES];
    let mut send = |frame: &[u8], outcome: FlowOutcome| {
        assert_eq!(lab.flow(0, frame), outcome);
        let counter = &mut expected[usize::from(outcome.code())];
        *counter = PacketsBytes { packets: counter.packets + 1, bytes: counter.bytes + frame.len() as u64 };
    };
    let flow = |port, payload_len| from_port(&tcp(VIP, 80, payload_len), port);
    for port in 0..8 {
        send(&flow(port, 1), FlowOutcome::Inserted);
        send(&flow(port, 20), FlowOutcome::Hit);
    }
    send(&flow(9, 300), FlowOutcome::TableFull);
    send(&with_flags(&flow(9, 7), FIN), FlowOutcome::Stateless);
    send(&with_flags(&flow(9, 9), RST), FlowOutcome::Stateless);
    send(&tcp(VIP, 8081, 50), FlowOutcome::NoBackend);
    for (frame, _) in frames_that_do_not_reach_the_flow_table() {
        send(&frame, FlowOutcome::NotReached);
    }
    assert_eq!(lab.pipeline.totals().flows, expected);
}

#[test]
fn engine_goes_by_the_time_stamps_of_its_frames() {
    let mut pipeline = Pipeline::new(Geometry::LAB);
    pipeline.load(&image()).unwrap();
    let bytes = &syn()[..];
    let late = 1 + u64::from(TIMEOUTS[0]);
    let frames = [0, 1, 1 + late].map(|tick| Frame { time_ns: tick * TICK_NS, bytes });
    let flows: Vec<FlowOutcome> = pipeline.process(&frames).unwrap().iter().map(|outcome| outcome.flow).collect();
    assert_eq!(flows, [FlowOutcome::Inserted, FlowOutcome::Hit, FlowOutcome::Inserted]);
}

impl Lab {
    /// The fixture's tables for a flow table of one set.
    fn small() -> TableImage {
        let mut image = image();
        image.geometry.flow_sets = 1;
        image
    }
}
