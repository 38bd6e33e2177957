//! Goal: `process_frame` allocates nothing once its buffer has grown to the longest frame, whatever happens to the flow
//! table: hits, entries for new flows, and steps of the tick.
//!
//! Method: this binary's global allocator counts for each thread, so that the test harness's own thread does not count.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use maglane_spec::{FlowOutcome, Geometry, Verdict};
use maglane_sw::Pipeline;
use maglane_sw::engine::Engine;

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

#[test]
fn process_frame_allocates_nothing_once_warm() {
    let mut image = image();
    for backend in &mut image.backends {
        backend.mtu = 9_216.into();
    }
    let mut pipeline = Pipeline::new(Geometry::LAB);
    pipeline.load(&image).unwrap();
    // Every kind of way through the pipeline: forwarded short and long, passed and dropped in each stage.
    let frames = [
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
    ];
    let mut out = Vec::new();
    let mut forwarded = 0;
    for frame in &frames {
        pipeline.process_frame(0, frame, &mut out);
    }
    let before = ALLOCATIONS.get();
    // A frame every 0.1 s: new flows outlive a round of the frames, and none outlives the pause of 100 s.
    for (number, frame) in (0..10_000).zip(frames.iter().cycle()) {
        let time_ns = (number + number / 5_000 * 1_000) * 100_000_000;
        forwarded += u32::from(pipeline.process_frame(time_ns, frame, &mut out).verdict == Verdict::Forward);
    }
    let after = ALLOCATIONS.get();
    assert_eq!(after - before, 0);
    assert!(forwarded > 3_000);
    let flows = |outcome: FlowOutcome| pipeline.totals().flows[usize::from(outcome.code())].packets;
    assert!(flows(FlowOutcome::Hit) > 3_000 && flows(FlowOutcome::Inserted) > 10);
}
