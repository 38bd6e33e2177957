//! Forwarding: what an operation must know of the entries that operations ahead of it write after it has read.
//!
//! An operation carries, beside what it read, which ways have been overwritten since. An entry that is written
//! always has the tag of the operation that writes it and age 0, so tags are compared between operations,
//! and what was read is never patched.

use rust_hdl::prelude::*;

/// An entry that is being written.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Written {
    /// A frame's operation writes an entry.
    pub valid: Bit,
    /// It was a hit: the entry's backend belongs to the operation's service, and takes frames.
    pub hit: Bit,
    /// Into this way, one bit.
    pub ways: Bits<8>,
    /// State of the entry.
    pub state: Bits<2>,
    /// Its backend.
    pub backend: Bits<16>,
}

/// How an operation meets one ahead of it.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Meeting {
    /// In the same set.
    pub set: Bit,
    /// With the same tag.
    pub tag: Bit,
    /// With the same service.
    pub service: Bit,
    /// The lookup table's answer to the one ahead belongs to the service of the one behind, and takes frames.
    pub pick: Bit,
}

/// What operations ahead have written.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Overwritten {
    /// Ways of the operation's set.
    pub ways: Bits<8>,
    /// Those of them that have the operation's tag.
    pub own: Bits<8>,
    /// Those of them that are new.
    pub fresh: Bits<8>,
    /// Of the last entry with the operation's tag: its backend serves the operation.
    pub serves: Bit,
    /// Its state.
    pub state: Bits<2>,
    /// Its backend.
    pub backend: Bits<16>,
}

/// Compares an operation with one ahead of it, a clock before it may see its entry written.
#[derive(LogicBlock, Default)]
pub struct Meet<const F: usize, const T: usize> {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// The operation's set.
    pub set: Signal<In, Bits<F>>,
    /// Its tag.
    pub tag: Signal<In, Bits<T>>,
    /// Its service.
    pub service: Signal<In, Bits<16>>,
    /// Set of the one ahead.
    pub ahead_set: Signal<In, Bits<F>>,
    /// Its tag.
    pub ahead_tag: Signal<In, Bits<T>>,
    /// Its service.
    pub ahead_service: Signal<In, Bits<16>>,
    /// The service of the backend that the lookup table gave it.
    pub pick_service: Signal<In, Bits<16>>,
    /// That backend takes frames.
    pub pick_takes: Signal<In, Bit>,
    /// How they meet, a clock later.
    pub meeting: Signal<Out, Meeting>,
    meeting_reg: DFF<Meeting>,
}

impl<const F: usize, const T: usize> Logic for Meet<F, T> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, meeting_reg);
        self.meeting_reg.d.next.set = self.set.val() == self.ahead_set.val();
        self.meeting_reg.d.next.tag = self.tag.val() == self.ahead_tag.val();
        self.meeting_reg.d.next.service = self.service.val() == self.ahead_service.val();
        self.meeting_reg.d.next.pick = (self.service.val() == self.pick_service.val()) & self.pick_takes.val();
        self.meeting.next = self.meeting_reg.q.val();
    }
}

/// Adds an entry that is being written to what operations ahead have written.
#[derive(LogicBlock, Default)]
pub struct Merge {
    /// What had been written.
    pub earlier: Signal<In, Overwritten>,
    /// What is written.
    pub written: Signal<In, Written>,
    /// How the operation meets it.
    pub meeting: Signal<In, Meeting>,
    /// What has been written now.
    pub after: Signal<Out, Overwritten>,
    ways: Signal<Local, Bits<8>>,
    ways_before: Signal<Local, Bits<8>>,
    others: Signal<Local, Bits<8>>,
}

impl Logic for Merge {
    #[hdl_gen]
    fn update(&mut self) {
        self.ways.next = 0.into();
        if self.written.val().valid & self.meeting.val().set {
            self.ways.next = self.written.val().ways;
        }
        self.others.next = !self.ways.val();
        self.ways_before.next = self.earlier.val().ways;
        self.after.next = self.earlier.val();
        self.after.next.ways = self.ways_before.val() | self.ways.val();
        self.after.next.own = self.earlier.val().own & self.others.val();
        self.after.next.fresh = self.earlier.val().fresh & self.others.val();
        if self.written.val().state == 1 {
            self.after.next.fresh = self.earlier.val().fresh | self.ways.val();
        }
        if self.meeting.val().tag {
            self.after.next.own = self.earlier.val().own | self.ways.val();
        }
        if (self.meeting.val().tag & self.meeting.val().set) & self.written.val().valid {
            self.after.next.serves = self.meeting.val().pick;
            if self.written.val().hit {
                self.after.next.serves = self.meeting.val().service;
            }
            self.after.next.state = self.written.val().state;
            self.after.next.backend = self.written.val().backend;
        }
    }
}
