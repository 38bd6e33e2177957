//! Goal: counters of 64 bits carry from one half into the other, at an event a clock.

use maglane_hw::counter::CounterSet;
use rust_hdl::prelude::*;

#[test]
fn carries_reach_the_high_half() {
    let mut set = Box::new(CounterSet::<1>::default());
    set.connect_all();
    let clock = |set: &mut CounterSet<1>| {
        for clk in [false, true] {
            set.clock.next = Clock { clk };
            assert!(simulate(set, 100));
        }
    };
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
    let mut read = |index: u64, word: u64| {
        set.read_index.next = index.into();
        set.read_word.next = word.into();
        for _ in 0..3 {
            clock(&mut set);
        }
        u64::from(set.read_data.val().to_u32())
    };
    for (index, count) in [(0, frames), (1, others)] {
        assert_eq!(read(index, 0) | read(index, 1) << 32, count);
        assert_eq!(read(index, 2) | read(index, 3) << 32, count * 65_535);
    }
}
