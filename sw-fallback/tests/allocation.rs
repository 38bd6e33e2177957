//! Goal: neither `process_frame` nor a worker allocates anything once its buffers have grown to the longest frame, whatever
//! happens to the flow table: hits, entries for new flows, and steps of the tick.
//!
//! Method: this binary's global allocator counts for each thread, so that the test harness's own thread does not count.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use maglane_spec::{FlowOutcome, Geometry, TableImage, Verdict};
use maglane_sw::Pipeline;
use maglane_sw::engine::Engine;
use maglane_sw::fast::{BURST, Datapath, HEADROOM, LOOK, Packet, Worker};

#[allow(dead_code)]
#[path = "../src/fixture.rs"]
mod fixture;

use fixture::{VIP, VIP_ALL_TCP, VIP_ALL_UDP, image, tagged, tcp, udp, with_ipv4};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came in; the counter has no part in it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same one.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` or `realloc` above, hence from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as for `dealloc`; the caller answers for the new size.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Every kind of way through the pipeline: forwarded short and long, passed and dropped in each stage.
fn frames() -> Vec<Vec<u8>> {
    vec![
        tcp(VIP, 80, 0),
        tcp(VIP_ALL_TCP, 9, 9_216 - 24 - 40),
        tagged(&udp(VIP_ALL_UDP, 9, 1_000), 5),
        udp(VIP, 53, 100),
        with_ipv4(&udp(VIP, 53, 0), 6, &[0x20, 0]),
        udp(VIP, 54, 9_500),
        tcp(VIP, 443, 0),
        tcp(VIP, 8081, 0),
        tcp(VIP, 8082, 0),
        tcp(VIP, 8084, 0),
        tcp(VIP, 8086, 0),
        tcp(VIP_ALL_TCP, 9, 9_300),
        vec![0; 9_601],
        vec![],
    ]
}

fn tables() -> TableImage {
    let mut image = image();
    for backend in &mut image.backends {
        backend.mtu = 9_216.into();
    }
    image
}

/// A frame every 0.1 s: new flows outlive a round of the frames, and none outlives the pause of 100 s.
fn time_ns(number: u64) -> u64 {
    (number + number / 5_000 * 1_000) * 100_000_000
}

#[test]
fn process_frame_allocates_nothing_once_warm() {
    let (image, frames) = (tables(), frames());
    let mut pipeline = Pipeline::new(Geometry::LAB);
    pipeline.load(&image).unwrap();
    let mut out = Vec::new();
    let mut forwarded = 0;
    for frame in &frames {
        pipeline.process_frame(0, frame, &mut out);
    }
    let before = ALLOCATIONS.get();
    for (number, frame) in (0..10_000).zip(frames.iter().cycle()) {
        let trace = pipeline.process_frame(time_ns(number), frame, &mut out);
        forwarded += u32::from(trace.verdict == Verdict::Forward);
    }
    let after = ALLOCATIONS.get();
    assert_eq!(after - before, 0);
    assert!(forwarded > 3_000);
    let flows = |outcome: FlowOutcome| pipeline.totals().flows[usize::from(outcome.code())].packets;
    assert!(flows(FlowOutcome::Hit) > 3_000 && flows(FlowOutcome::Inserted) > 10);
}

#[test]
fn a_worker_allocates_nothing_once_warm() {
    let frames = frames();
    let datapath = Arc::new(Datapath::new(Geometry::LAB).unwrap());
    datapath.load(Arc::new(tables())).unwrap();
    let mut worker = Worker::new(Arc::clone(&datapath));
    let mut buffers = vec![vec![0; HEADROOM + 9_601 + LOOK]; BURST];
    let (mut forwarded, mut before) = (0, 0);
    for round in 0..500 {
        if round == 5 {
            before = ALLOCATIONS.get();
        }
        let mut source = frames.iter().cycle().skip(round % 3);
        let mut buffers = buffers.iter_mut();
        let mut packets: [Packet<'_>; BURST] = std::array::from_fn(|_| {
            let (buffer, frame) = (buffers.next().unwrap(), source.next().unwrap());
            buffer[HEADROOM..HEADROOM + frame.len()].copy_from_slice(frame);
            Packet::new(buffer, HEADROOM, frame.len()).unwrap()
        });
        forwarded += worker.process(time_ns(20 * round as u64), &mut packets).wire.count_ones();
        // Nor does telling what became of them.
        assert!((0..BURST).all(|at| worker.trace(at).verdict != Verdict::PassBypass));
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert!(forwarded > 3_000);
    let flows = |outcome: FlowOutcome| datapath.counters().flows[usize::from(outcome.code())].packets;
    assert!(flows(FlowOutcome::Hit) > 3_000 && flows(FlowOutcome::Inserted) > 10);
}
