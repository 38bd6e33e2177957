//! Tests of the pipeline as a whole, flows aside: those are in `tests/flows`.

use maglane_spec::endian::U16Le;
use maglane_spec::row::ServiceRow;

use super::*;
use crate::fixture::{
    BACKEND_BARE, BACKEND_IPV6, MTU, VIP, VIP_ALL_TCP, VIP_ALL_UDP, VIP_V6, icmp_error, image, reply, tcp, tcp_v6, udp,
    udp_v6,
};

fn loaded() -> Pipeline {
    let mut pipeline = Pipeline::new(Geometry::LAB);
    pipeline.load(&image()).unwrap();
    pipeline
}

fn run(pipeline: &mut Pipeline, frame: &[u8]) -> Outcome {
    pipeline.process(&[Frame { time_ns: 0, bytes: frame }]).unwrap().remove(0)
}

#[test]
fn forwarded_frame_tells_service_hash_and_backend() {
    let mut pipeline = loaded();
    for (frame, service) in [
        (tcp(VIP, 80, 9), 1),
        (udp(VIP, 53, 9), 2),
        (tcp(VIP_ALL_TCP, 1, 9), 3),
        (udp(VIP_ALL_UDP, 9, 9), 4),
        (tcp(VIP, 8080, 9), 6),
        (tcp(VIP, 8082, 9), 8),
        (tcp(VIP, 8086, 9), 12),
        (tcp_v6(VIP_V6, 8091, 9), 14),
        (udp_v6(VIP_V6, 8092, 9), 15),
    ] {
        let outcome = run(&mut pipeline, &frame);
        assert_eq!((outcome.verdict, outcome.service), (Verdict::Forward, service));
        assert_ne!(outcome.hash, 0);
        assert_eq!(image().backends[usize::from(outcome.backend)].service.value(), service);
        assert_eq!(outcome.output[..6], image().backends[usize::from(outcome.backend)].next_hop_mac);
    }
}

#[test]
fn live_flows_are_those_of_the_frames_backends() {
    let mut pipeline = loaded();
    assert_eq!(pipeline.live_flows().unwrap(), vec![0; Geometry::LAB.backends as usize]);
    let mut expected = vec![0; Geometry::LAB.backends as usize];
    for frame in [tcp(VIP, 80, 9), udp(VIP, 53, 9), tcp(VIP, 80, 9), tcp(VIP, 8080, 9), udp(VIP_ALL_UDP, 9, 9)] {
        let outcome = run(&mut pipeline, &frame);
        expected[usize::from(outcome.backend)] += u32::from(outcome.flow == FlowOutcome::Inserted);
    }
    assert_eq!((pipeline.live_flows().unwrap(), expected.iter().sum::<u32>()), (expected, 4));
}

#[test]
fn later_verdicts_keep_what_earlier_stages_found() {
    let cases = [
        (udp(VIP, 54, 0), Verdict::PassNoService, NO_SERVICE, false, NO_BACKEND),
        (tcp(VIP, 443, 0), Verdict::DropServiceDisabled, 5, false, NO_BACKEND),
        (tcp(VIP, 8081, 0), Verdict::DropNoBackend, 7, true, NO_BACKEND),
        (tcp(VIP, 8083, 0), Verdict::PassUnsupported, 9, true, NO_BACKEND),
        (tcp(VIP, 8084, 0), Verdict::PassUnsupported, 10, true, BACKEND_BARE),
        (tcp(VIP, 8087, 0), Verdict::PassUnsupported, 13, true, NO_BACKEND),
    ];
    let mut pipeline = loaded();
    for (frame, verdict, service, hashed, backend) in cases {
        let outcome = run(&mut pipeline, &frame);
        assert_eq!((outcome.verdict, outcome.service, outcome.backend), (verdict, service, backend));
        assert_eq!(outcome.hash != 0, hashed, "{verdict:?}");
        let expected: &[u8] = if verdict.egress() == Egress::Host { &frame } else { &[] };
        assert_eq!(outcome.output, expected);
    }
    let big = run(&mut pipeline, &tcp(VIP, 80, usize::from(MTU) - 63));
    assert_eq!((big.verdict, big.service), (Verdict::PassTooBig, 1));
    assert!(big.hash != 0 && big.backend != NO_BACKEND);
}

#[test]
fn backend_behind_ipv6_is_reached() {
    let mut pipeline = loaded();
    let outcome = run(&mut pipeline, &tcp(VIP, 8085, 0));
    assert_eq!((outcome.verdict, outcome.service, outcome.backend), (Verdict::Forward, 11, BACKEND_IPV6));
    assert_eq!(outcome.output[12..15], [0x86, 0xdd, 0x60]);
}

#[test]
fn error_goes_to_the_backend_of_the_flow_and_leaves_no_trace_in_the_flow_table() {
    for frame in [tcp(VIP, 80, 600), udp(VIP, 53, 600), tcp_v6(VIP_V6, 8091, 600), udp_v6(VIP_V6, 8092, 600)] {
        let kind = if frame[14] >> 4 == 6 { 2 } else { 3 };
        let error = icmp_error(kind, 4, &reply(&frame), 300);
        let mut pipeline = loaded();
        // Before the flow is known: where it would go.
        let before = run(&mut pipeline, &error);
        assert_eq!((before.verdict, before.flow), (Verdict::Forward, FlowOutcome::NotReached));
        assert_eq!(pipeline.flow_state().unwrap().entries.iter().filter(|entry| **entry != 0).count(), 0);
        let flow = run(&mut pipeline, &frame);
        assert_eq!((before.hash, before.service, before.backend), (flow.hash, flow.service, flow.backend));
        assert_eq!(before.output[before.output.len() - (error.len() - 14)..], error[14..]);
        // New tables send new flows of the service elsewhere; this one stays, and so do errors about it.
        let mut changed = image();
        let other = flow.backend ^ 1;
        changed.lookup.fill(U16Le::new(other));
        pipeline.update(&changed).unwrap();
        let state = pipeline.flow_state().unwrap();
        let after = run(&mut pipeline, &error);
        assert_eq!((after.verdict, after.backend), (Verdict::Forward, flow.backend));
        assert_eq!(pipeline.flow_state().unwrap(), state, "no refresh, no other state");
        assert_eq!(pipeline.totals().flows[usize::from(FlowOutcome::Hit.code())].packets, 0);
        // The backend of a flow that has gone down takes no errors either.
        changed.backends[usize::from(flow.backend)].state = maglane_spec::row::BackendRow::STATE_DOWN;
        pipeline.update(&changed).unwrap();
        assert_eq!(run(&mut pipeline, &error).backend, other);
    }
}

#[test]
fn error_takes_no_turn_and_finds_nobody_where_nobody_is() {
    let mut pipeline = loaded();
    let sequence = icmp_error(11, 0, &reply(&tcp(VIP, 8086, 9)), 28);
    let first = run(&mut pipeline, &sequence);
    assert_eq!(run(&mut pipeline, &sequence).backend, first.backend);
    assert_eq!(run(&mut pipeline, &tcp(VIP, 8086, 0)).backend, first.backend);
    // About another flow: where the turn is now, which the segment has moved.
    let mut other = tcp(VIP, 8086, 9);
    other[34] ^= 1;
    assert_eq!(run(&mut pipeline, &icmp_error(11, 0, &reply(&other), 28)).backend, first.backend + 1);
    let nobody = icmp_error(12, 0, &reply(&tcp(VIP, 8081, 9)), 28);
    let outcome = run(&mut pipeline, &nobody);
    assert_eq!((outcome.verdict, outcome.flow), (Verdict::DropNoBackend, FlowOutcome::NotReached));
    let unsupported = icmp_error(12, 0, &reply(&tcp(VIP, 8083, 9)), 28);
    assert_eq!(run(&mut pipeline, &unsupported).verdict, Verdict::PassUnsupported);
}

#[test]
fn frame_whose_tick_has_been_stepped_to_meets_what_it_would_have_met() {
    let frame = tcp(VIP, 80, 9);
    let (mut watched, mut plain) = (loaded(), loaded());
    // Of a flow that has expired, one that has not, one whose time goes back; and a jump that empties the table.
    for (ms, ticks) in [(500, 0), (1_500, 1), (9_000, 8), (70_000, 61), (69_000, 0), (200_000, 130)] {
        let time_ns = ms * 1_000_000;
        assert_eq!(watched.advance(time_ns), ticks, "{ms}");
        assert_eq!(watched.advance(time_ns), 0, "{ms}");
        let (mut out, mut other) = (Vec::new(), Vec::new());
        let told = watched.process_frame(time_ns, &frame, &mut out);
        assert_eq!((told, out), (plain.process_frame(time_ns, &frame, &mut other), other), "{ms}");
        assert_eq!(watched.flow_state().unwrap(), plain.flow_state().unwrap(), "{ms}");
        assert!(watched.flow_table().entries().eq(plain.flow_state().unwrap().entries));
    }
    assert_eq!(watched.turns(), plain.flow_state().unwrap().sequence);
    assert_eq!(**watched.image().unwrap(), image());
    let mut bypass = Pipeline::new(Geometry::LAB);
    assert_eq!((bypass.advance(1 << 60), bypass.image().is_none()), (0, true));
}

#[test]
fn pipeline_without_tables_bypasses() {
    let mut pipeline = Pipeline::new(Geometry::LAB);
    let frame = tcp(VIP, 80, 0);
    assert_eq!(run(&mut pipeline, &frame), Outcome { output: frame, ..Outcome::early(Verdict::PassBypass) });
    assert_eq!(run(&mut pipeline, &[0; 9_601]), Outcome::early(Verdict::DropTooLong));
    assert_eq!(run(&mut pipeline, &[]), Outcome::early(Verdict::PassBypass));
}

#[test]
fn counters_count_every_verdict_and_forwarded_frames_only_by_service_and_backend() {
    let mut pipeline = loaded();
    let mut padded = udp(VIP, 53, 0);
    padded.resize(60, 0);
    let backend = run(&mut pipeline, &padded).backend;
    run(&mut pipeline, &padded);
    run(&mut pipeline, &tcp(VIP, 8081, 0));
    run(&mut pipeline, &tcp(VIP, 8084, 0));
    let counters = pipeline.totals().clone();
    let both = PacketsBytes { packets: 2, bytes: 120 };
    let one = PacketsBytes { packets: 1, bytes: 54 };
    assert_eq!(counters.verdicts[usize::from(Verdict::Forward.code())], both);
    assert_eq!(counters.verdicts[usize::from(Verdict::DropNoBackend.code())], one);
    assert_eq!(counters.verdicts[usize::from(Verdict::PassUnsupported.code())], one);
    assert_eq!(counters.services[2], both);
    assert_eq!(counters.backends[usize::from(backend)], both);
    assert_eq!(counters.flows[usize::from(FlowOutcome::Hit.code())], PacketsBytes { packets: 1, bytes: 60 });
    assert_eq!(counters.flows[usize::from(FlowOutcome::Inserted.code())], PacketsBytes { packets: 2, bytes: 114 });
    assert_eq!(counters.flows[usize::from(FlowOutcome::NoBackend.code())], one);
    let sum = |counters: &[PacketsBytes]| counters.iter().map(|counter| counter.packets).sum::<u64>();
    assert_eq!((sum(&counters.verdicts), sum(&counters.services), sum(&counters.backends)), (4, 2, 2));
    assert_eq!((sum(&counters.flows), counters.flows.len()), (4, 8));
    assert_eq!((counters.verdicts.len(), counters.services.len(), counters.backends.len()), (32, 64, 256));

    pipeline.load(&image()).unwrap();
    assert_eq!(*pipeline.totals(), zero_counters(&Geometry::LAB), "a load starts from zero");
}

#[test]
fn service_id_beyond_the_services_counts_modulo_them() {
    let mut image = image();
    image.services[16].id = U16Le::new(64 * 3 + 9);
    let mut pipeline = Pipeline::new(Geometry::LAB);
    pipeline.load(&image).unwrap();
    assert_eq!(run(&mut pipeline, &tcp(VIP, 80, 0)).service, 64 * 3 + 9);
    assert_eq!(pipeline.totals().services[9].packets, 1);
}

#[test]
fn affinity_client_keeps_a_client_on_one_backend() {
    let mut image = image();
    image.services[0].flags |= ServiceRow::AFFINITY_CLIENT << ServiceRow::AFFINITY_SHIFT;
    let mut pipeline = Pipeline::new(Geometry::LAB);
    pipeline.load(&image).unwrap();
    let backends: std::collections::BTreeSet<u16> =
        (1..100).map(|port| run(&mut pipeline, &tcp(VIP_ALL_TCP, port, 0)).backend).collect();
    assert_eq!(backends.len(), 1);
}

#[test]
fn load_of_another_geometry_is_refused_and_changes_nothing() {
    let mut pipeline = loaded();
    run(&mut pipeline, &tcp(VIP, 80, 0));
    let error = pipeline.load(&TableImage::empty(Geometry::ECP5)).unwrap_err();
    assert!(matches!(&error, EngineError::Geometry { engine, .. } if engine == "software"), "{error}");
    assert_eq!(pipeline.name(), "software", "as the command line calls it");
    assert_eq!(run(&mut pipeline, &tcp(VIP, 80, 0)).verdict, Verdict::Forward);
    assert_eq!(pipeline.totals().verdicts[0].packets, 2);
}

#[test]
fn load_does_not_mind_the_bus_width() {
    let mut pipeline = Pipeline::new(Geometry { bus_bytes: 64, ..Geometry::LAB });
    pipeline.load(&image()).unwrap();
}

#[test]
fn load_of_a_table_with_missing_rows_is_refused() {
    for cut in [
        |image: &mut TableImage| image.services.truncate(100),
        |image: &mut TableImage| image.backends.truncate(100),
        |image: &mut TableImage| image.lookup.truncate(100),
    ] {
        let mut image = image();
        cut(&mut image);
        let error = Pipeline::new(Geometry::LAB).load(&image).unwrap_err();
        assert!(matches!(error, EngineError::Stopped { .. }), "{error}");
    }
    for odd in [
        Geometry { backends: 255, ..Geometry::LAB },
        Geometry { flow_sets: 1_023, ..Geometry::LAB },
        Geometry { flow_sets: 0, ..Geometry::LAB },
        Geometry { flow_sets: 1 << 21, ..Geometry::LAB },
    ] {
        assert!(Pipeline::new(odd).load(&TableImage::empty(odd)).is_err(), "{odd:?}");
    }
}

#[test]
fn largest_tables_of_the_bounds_are_taken_and_larger_ones_refused() {
    let [services, backends, lookup_entries, flow_sets] = Geometry::BOUNDS.map(|(_, _, size_max)| size_max);
    let largest = Geometry { services, backends, lookup_entries, flow_sets, ..Geometry::LAB };
    assert_eq!(check_sizes(&TableImage::empty(largest)), Ok(()));
    for larger in [
        Geometry { services: 2 * services, ..Geometry::LAB },
        Geometry { backends: 2 * backends, ..Geometry::LAB },
        Geometry { lookup_entries: 2 * lookup_entries, ..Geometry::LAB },
        Geometry { flow_sets: 2 * flow_sets, ..Geometry::LAB },
    ] {
        assert!(check_sizes(&TableImage::empty(larger)).is_err(), "{larger:?}");
    }
}
