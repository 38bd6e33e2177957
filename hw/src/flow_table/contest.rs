//! Contest of a way with the others for being the victim: a row of the matrix of comparisons.
//!
//! Comparing all with all takes one clock, where finding the greatest of eight would take many; and what operations
//! ahead overwrite drops out of the contest by a mask.

use rust_hdl::prelude::*;

/// Ranks of all ways.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Ranks {
    /// Of way 0.
    pub r0: Bits<8>,
    /// Of way 1.
    pub r1: Bits<8>,
    /// Of way 2.
    pub r2: Bits<8>,
    /// Of way 3.
    pub r3: Bits<8>,
    /// Of way 4.
    pub r4: Bits<8>,
    /// Of way 5.
    pub r5: Bits<8>,
    /// Of way 6.
    pub r6: Bits<8>,
    /// Of way 7.
    pub r7: Bits<8>,
}

/// A way's row.
#[derive(LogicBlock)]
pub struct Contest {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Rank of the way, clock 5.
    pub rank: Signal<In, Bits<8>>,
    /// Ranks of all ways, its own too, clock 5.
    pub rivals: Signal<In, Ranks>,
    /// Ways that can be the victim, clock 6.
    pub evictable: Signal<In, Bits<8>>,
    /// No way that can be the victim is better than this one, clock 6.
    pub wins: Signal<Out, Bit>,
    rival: [Signal<Local, Bits<8>>; 8],
    beats: Signal<Local, Bits<8>>,
    beats_reg: DFF<Bits<8>>,
    losers: Signal<Local, Bits<8>>,
    lower: Constant<Bits<8>>,
    bit: [Constant<Bits<8>>; 8],
}

impl Contest {
    /// The row of a way: those below it win ties.
    #[must_use]
    pub fn new(way: usize) -> Self {
        Self {
            clock: Default::default(),
            rank: Default::default(),
            rivals: Default::default(),
            evictable: Default::default(),
            wins: Default::default(),
            rival: std::array::from_fn(|_| Default::default()),
            beats: Default::default(),
            beats_reg: Default::default(),
            losers: Default::default(),
            lower: Constant::new(((1_u64 << way) - 1).into()),
            bit: std::array::from_fn(|i| Constant::new((1_u64 << i).into())),
        }
    }
}

impl Logic for Contest {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, beats_reg);
        self.rival[0].next = self.rivals.val().r0;
        self.rival[1].next = self.rivals.val().r1;
        self.rival[2].next = self.rivals.val().r2;
        self.rival[3].next = self.rivals.val().r3;
        self.rival[4].next = self.rivals.val().r4;
        self.rival[5].next = self.rivals.val().r5;
        self.rival[6].next = self.rivals.val().r6;
        self.rival[7].next = self.rivals.val().r7;
        self.beats.next = 0.into();
        for i in 0..8 {
            if self.rank.val() > self.rival[i].val() {
                self.beats.next = self.beats.val() | self.bit[i].val();
            }
            if (self.rank.val() == self.rival[i].val()) & ((self.lower.val() & self.bit[i].val()) == 0) {
                self.beats.next = self.beats.val() | self.bit[i].val();
            }
        }
        self.beats_reg.d.next = self.beats.val();
        self.losers.next = !self.beats_reg.q.val();
        self.wins.next = (self.evictable.val() & self.losers.val()) == 0;
    }
}
