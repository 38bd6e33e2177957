//! Goal: the trace says what the pipeline does, counts nothing twice, and knows when the two differ.

use etherparse::PacketBuilder;
use maglane_sw::flow_table::FlowTable;
use maglane_sw::stage;

use super::*;

fn tracer() -> Tracer {
    let text = include_str!("../../../../../examples/schedulers.toml");
    let config = Config::parse("schedulers.toml", text).unwrap();
    Tracer::new(&config, config.image().unwrap()).unwrap()
}

/// A SYN to the service `batch`, whose slots take turns.
fn syn() -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 9], [2, 0, 0, 0, 0, 1]).ipv4([9; 4], [192, 0, 2, 14], 60);
    builder.tcp(40_000, 8_000, 1, 512).syn().write(&mut frame, &[]).unwrap();
    frame
}

#[test]
fn difference_between_trace_and_pipeline_is_found_in_every_field() {
    let bytes = syn();
    let frame = Frame { time_ns: 5, bytes: &bytes };
    let mut tracer = tracer();
    let mut told = tracer.stages(&frame, 0, &mut Record::new(1, &frame));
    let done = tracer.process(1, &frame);
    assert_eq!(tracer.difference(&told, &done), None);

    let differ = |change: fn(&mut maglane_sw::Trace)| {
        let mut other = done;
        change(&mut other);
        tracer.difference(&told, &other)
    };
    assert_eq!(differ(|trace| trace.verdict = Verdict::PassTooBig), Some("verdict"));
    assert_eq!(differ(|trace| trace.service += 1), Some("service"));
    assert_eq!(differ(|trace| trace.hash ^= 1 << 63), Some("hash"));
    assert_eq!(differ(|trace| trace.flow = FlowOutcome::Hit), Some("flow"));
    assert_eq!(differ(|trace| trace.backend += 1), Some("backend"));

    let (flows, mut turns) = told.state.clone().unwrap();
    turns[5] += 1;
    told.state = Some((flows, turns.clone()));
    assert_eq!(tracer.difference(&told, &done), Some("state"), "a turn");
    turns[5] -= 1;
    told.state = Some((FlowTable::new(1), turns));
    assert_eq!(tracer.difference(&told, &done), Some("state"), "an entry");
    told.state = None;
    told.out[20] ^= 1;
    assert_eq!(tracer.difference(&told, &done), Some("output"));
}

#[test]
fn frame_that_is_traced_counts_once() {
    let bytes = syn();
    let (mut traced, mut passed) = (tracer(), tracer());
    for (number, ticks) in [(1, 0), (2, 1), (3, 2)] {
        // The second frame is in the next tick.
        let frame = Frame { time_ns: number * 10_000_000_000, bytes: &bytes };
        traced.trace(number, &frame).unwrap();
        passed.pass(number, &frame);
        let state = |tracer: &Tracer| {
            let entries: Vec<u64> = tracer.pipeline.flow_table().entries().collect();
            (entries, tracer.pipeline.turns().to_vec(), tracer.pipeline.totals().clone(), tracer.ticks)
        };
        assert_eq!(state(&traced), state(&passed));
        assert_eq!((traced.ticks, &traced.out), (ticks, &passed.out));
    }
}

#[test]
fn error_about_a_flow_says_whether_the_flow_table_had_it() {
    let mut tracer = tracer();
    let (mut quoted, mut error) = (Vec::new(), Vec::new());
    let answer = PacketBuilder::ipv4([192, 0, 2, 14], [9; 4], 60).tcp(8_000, 40_000, 1, 512);
    answer.write(&mut quoted, &[]).unwrap();
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 9], [2, 0, 0, 0, 0, 1]).ipv4([7; 4], [192, 0, 2, 14], 60);
    builder.icmpv4_raw(3, 4, [0, 0, 5, 0xdc]).write(&mut error, &quoted).unwrap();
    let outcome = |tracer: &mut Tracer, bytes: &[u8]| {
        let text = tracer.trace(1, &Frame { time_ns: 5, bytes }).unwrap().text(false);
        text.lines().find_map(|line| line.trim_start().strip_prefix("outcome")).unwrap().trim().to_owned()
    };
    let found_none = outcome(&mut tracer, &error);
    assert!(found_none.starts_with("read_only, found no entry: batch-"), "{found_none}");
    let inserted = outcome(&mut tracer, &syn());
    let hit = outcome(&mut tracer, &error);
    assert_eq!(hit, inserted.replace("inserted", "read_only, found the flow's entry"));

    // The flow's backend goes down, so that its entry is no hit any more.
    let mut image = TableImage::clone(&tracer.image);
    let backend = tracer.seen.values().next().unwrap().backend;
    image.backends[usize::from(backend)].state = maglane_spec::row::BackendRow::STATE_DOWN;
    tracer.image = Arc::new(image);
    tracer.pipeline.update_shared(Arc::clone(&tracer.image)).unwrap();
    let refused = outcome(&mut tracer, &error);
    assert!(refused.starts_with("read_only, found an entry that is no hit: batch-"), "{refused}");
}

/// Frames of distinct flows to the service `upload` that share a set of the flow table, of TCP flags as given.
fn colliding(tracer: &Tracer, count: usize, flags: u8) -> Vec<Vec<u8>> {
    let image = Arc::clone(&tracer.image);
    let frames = (1..=u16::MAX).filter_map(|port| {
        let mut frame = Vec::new();
        let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 9], [2, 0, 0, 0, 0, 1]);
        builder.ipv4([9; 4], [192, 0, 2, 15], 60).tcp(port, 443, 1, 512).write(&mut frame, &[]).unwrap();
        frame[47] = flags;
        let parsed = stage::parse::parse(Some(&image.datapath), &frame).unwrap();
        let service = stage::classify::classify(&image, &parsed).unwrap();
        let hash = stage::flow_hash::flow_hash(&image.datapath, service, &parsed);
        (tracer.pipeline.flow_table().set_index(hash.h) == 7).then_some(frame)
    });
    frames.take(count).collect()
}

#[test]
fn full_set_is_told_by_who_makes_room_or_that_nobody_does() {
    let mut tracer = tracer();
    let flows = colliding(&tracer, 10, maglane_spec::wire::transport::TCP_FLAG_SYN);
    let mut number = 0;
    let mut text = |tracer: &mut Tracer, bytes: &[u8]| {
        number += 1;
        tracer.trace(number, &Frame { time_ns: 5, bytes }).unwrap().text(false)
    };
    let says = |text: &str, line: &str| assert!(text.contains(line), "{line:?} is not in\n{text}");
    for flow in &flows[..8] {
        says(&text(&mut tracer, flow), "(the way was empty)");
    }
    let ninth = text(&mut tracer, &flows[8]);
    says(&ninth, "set 7 of 1,024, 8 of 8 ways live");
    says(&ninth, "written      way 0: new, upload-");
    says(&ninth, ", age 0 (in place of another flow's: new, upload-");
    // All eight go on, so none of them makes room any more.
    for flow in &colliding(&tracer, 9, 0)[1..] {
        let text = text(&mut tracer, flow);
        says(&text, "hit          it belongs to upload");
        says(&text, "(was new, age 0)");
    }
    let tenth = text(&mut tracer, &flows[9]);
    says(&tenth, "written      nothing: no way is empty, new, or closing for 2 ticks");
    says(&tenth, "outcome      table_full: upload-");
}
