//! Goal: `process_frame` allocates nothing once its buffer has grown to the longest frame.
//!
//! Method: this binary's global allocator counts for each thread, so that the test harness's own thread does not count.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use maglane_spec::{Geometry, Verdict};
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
        tcp(VIP, 8084, 0),
        tcp(VIP_ALL_TCP, 9, 9_300),
        vec![0; 9_601],
        vec![],
    ];
    let mut out = Vec::new();
    let mut forwarded = 0;
    for frame in &frames {
        pipeline.process_frame(frame, &mut out);
    }
    let before = ALLOCATIONS.get();
    for frame in frames.iter().cycle().take(10_000) {
        forwarded += u32::from(pipeline.process_frame(frame, &mut out).verdict == Verdict::Forward);
    }
    let after = ALLOCATIONS.get();
    assert_eq!(after - before, 0);
    assert!(forwarded > 3_000);
}
