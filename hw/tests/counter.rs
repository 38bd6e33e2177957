//! Goal: counters of 64 bits carry from one half into the other, at an event a clock.

use maglane_hw::counter::CounterSet;
use rust_hdl::prelude::*;

fn clock(set: &mut CounterSet<1>) {
    for clk in [false, true] {
        set.clock.next = Clock { clk };
        assert!(simulate(set, 100));
    }
}

#[test]
fn carries_reach_the_high_half() {
    let mut set = Box::new(CounterSet::<1>::default());
    set.connect_all();
    set.reset.next = true;
    clock(&mut set);
    set.reset.next = false;
    for _ in 0..4 {
        clock(&mut set);
    }
    // 65,540 frames of 65,535 bytes are a little more than 2^32 bytes; every third event goes to the other pair.
    let (mut frames, mut others) = (0_u64, 0_u64);
    set.length.next = 0xffff_u64.into();
    set.add.next = true;
    while frames < 65_540 {
        let other = (frames + others) % 3 == 2;
        set.index.next = u64::from(other).into();
        if other {
            others += 1
        } else {
            frames += 1
        }
        clock(&mut set);
    }
    set.add.next = false;
    for _ in 0..4 {
        clock(&mut set);
    }
    for (index, count) in [(0, frames), (1, others)] {
        set.read_index.next = index.into();
        for _ in 0..3 {
            clock(&mut set);
        }
        assert_eq!(counted(&set), [count, count * 65_535]);
    }
}

fn counted(set: &CounterSet<1>) -> [u64; 2] {
    let counted = set.counted.val();
    let wide = |low: Bits<32>, high: Bits<32>| u64::from(low.to_u32()) | u64::from(high.to_u32()) << 32;
    [wide(counted.packets_low, counted.packets_high), wide(counted.bytes_low, counted.bytes_high)]
}

/// All patterns of frames around a read, with the carry into the high halves anywhere among them.
#[test]
fn a_read_is_of_one_moment() {
    const CLOCKS: usize = 9;
    const READ: usize = 5;
    const LENGTH: u64 = 0xffff;
    for pattern in (0..1_u32 << CLOCKS).filter(|pattern| pattern & (1 << READ) == 0) {
        for left in 0..5 {
            let mut set = Box::new(CounterSet::<1>::default());
            set.connect_all();
            set.reset.next = true;
            clock(&mut set);
            set.reset.next = false;
            for _ in 0..4 {
                clock(&mut set);
            }
            let start = [(1 << 32) - left, (1 << 32) - left * LENGTH];
            set.backdoor(0, start);
            set.length.next = LENGTH.into();
            // A frame is counted two clocks later.
            let before = u64::from((pattern & ((1 << (READ - 1)) - 1)).count_ones());
            for at in 0..CLOCKS {
                set.add.next = pattern >> at & 1 != 0;
                // Another read follows at once.
                set.read_index.next = u64::from(at != READ).into();
                clock(&mut set);
                if at == READ + 2 {
                    assert_eq!(counted(&set), [start[0] + before, start[1] + before * LENGTH], "{pattern:b} {left}");
                }
            }
        }
    }
}
