//! One way of the flow table: its memories, and what its entry means to the operation that reads it.

use maglane_spec::flow;
use rust_hdl::prelude::*;

use super::sweeper::Limits;
use crate::ram::{Ram, SidedRam};

// The code points below; a change there must stop the build here.
const _: () = {
    assert!(flow::STATE_EMPTY == 0 && flow::STATE_NEW == 1 && flow::STATE_ESTABLISHED == 2 && flow::STATE_CLOSING == 3);
    assert!(flow::EPOCH_SHIFT == 2 && flow::BACKEND_SHIFT == 8 && flow::TAG_SHIFT == 24 && flow::TICKS == 64);
};

/// Service of a backend, and whether it takes frames of existing flows.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Attributes {
    /// Id of the service that the backend belongs to.
    pub service: Bits<16>,
    /// It is up or draining.
    pub takes: Bit,
}

/// What an entry means to the operation that read it.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct View {
    live: Bit,
    own: Bit,
    serves: Bit,
    state: Bits<2>,
    fresh: Bit,
    evictable: Bit,
}

/// A way with 2^F sets and tags of T bits, for 2^B backends.
#[derive(LogicBlock, Default)]
pub struct Way<const F: usize, const T: usize, const B: usize> {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Side of the backends' attributes that serves.
    pub side: Signal<In, Bit>,
    /// Set to read, clock 0.
    pub raddr: Signal<In, Bits<F>>,
    /// Tag as it was read, clock 1.
    pub read_tag: Signal<Out, Bits<T>>,
    /// The rest of the entry as it was read, clock 1.
    pub read_rest: Signal<Out, Bits<24>>,
    /// The operation's tag, clock 2.
    pub tag: Signal<In, Bits<T>>,
    /// The tick; it is constant while a frame is in the flow table.
    pub tick: Signal<In, Bits<6>>,
    /// Greatest ages of live entries.
    pub limits: Signal<In, Limits>,
    /// The operation's service, clock 4.
    pub service: Signal<In, Bits<16>>,
    /// How good a victim the entry is, clock 5: 0 not at all; not live best, then closing of age 2 and above, then new
    /// of age 1 and above.
    pub rank: Signal<Out, Bits<8>>,
    /// An operation ahead has written this way of this set, clock 5; the three below describe the last such entry.
    pub over: Signal<In, Bit>,
    /// It has the operation's tag.
    pub over_own: Signal<In, Bit>,
    /// It is new.
    pub over_fresh: Signal<In, Bit>,
    /// The last entry written with the operation's tag: its backend serves the operation, see `good`.
    pub over_serves: Signal<In, Bit>,
    /// The state of that entry.
    pub over_state: Signal<In, Bits<2>>,
    /// The operation's segment has SYN, clock 5.
    pub syn: Signal<In, Bit>,
    /// The entry is live and has the operation's tag, clock 5.
    pub own: Signal<Out, Bit>,
    /// Clock 6, as all below: it can be a hit. Its backend belongs to the operation's service and takes frames, and it
    /// is not closing when the segment has SYN.
    pub good: Signal<Out, Bit>,
    /// Its rank is not 0.
    pub evictable: Signal<Out, Bit>,
    /// It is live, new, and of age 0.
    pub fresh: Signal<Out, Bit>,
    /// It is not live.
    pub dead: Signal<Out, Bit>,
    /// The entry was live as it was read.
    pub live: Signal<Out, Bit>,
    /// Its state.
    pub state: Signal<Out, Bits<2>>,
    /// The backend of the entry as it was read.
    pub backend: Signal<Out, Bits<16>>,
    /// Write enable.
    pub we: Signal<In, Bit>,
    /// Set to write.
    pub waddr: Signal<In, Bits<F>>,
    /// Tag to write.
    pub wtag: Signal<In, Bits<T>>,
    /// The rest of the entry to write.
    pub wrest: Signal<In, Bits<24>>,
    /// Write enable of the backends' attributes.
    pub attributes_we: Signal<In, Bit>,
    /// Backend whose attributes are written.
    pub attributes_waddr: Signal<In, Bits<B>>,
    /// Its attributes.
    pub attributes_wdata: Signal<In, Attributes>,
    /// Staged attributes of that backend, a clock later.
    pub staged_attributes: Signal<Out, Attributes>,
    /// The backends' attributes, a copy of its own for each way.
    pub attributes: SidedRam<Attributes, B>,
    tags: Ram<Bits<T>, F>,
    rests: Ram<Bits<24>, F>,
    tag_reg: DFF<Bits<T>>,
    rest_reg: DFF<Bits<24>>,
    equal_reg: [DFF<Bit>; 2],
    state_reg: [DFF<Bits<2>>; 2],
    age_reg: [DFF<Bits<6>>; 2],
    backend_reg: [DFF<Bits<16>>; 4],
    live_reg: DFF<Bit>,
    attributes_reg: DFF<Attributes>,
    view_reg: DFF<View>,
    good_reg: DFF<Bit>,
    evictable_reg: DFF<Bit>,
    fresh_reg: DFF<Bit>,
    dead_reg: DFF<Bit>,
    live_now_reg: DFF<Bit>,
    state_now_reg: DFF<Bits<2>>,
    serves: Signal<Local, Bit>,
    state_now: Signal<Local, Bits<2>>,
    epoch: Signal<Local, Bits<6>>,
    limit: Signal<Local, Bits<6>>,
    never: Signal<Local, Bit>,
    aged: Signal<Local, Bit>,
    left: Signal<Local, Bit>,
    rank_reg: DFF<Bits<8>>,
    rank_now: Signal<Local, Bits<8>>,
}

impl<const F: usize, const T: usize, const B: usize> Way<F, T, B> {
    /// Writes an entry without the write port; see [`Ram::backdoor`].
    pub fn backdoor(&mut self, set: usize, tag: Bits<T>, rest: Bits<24>) {
        self.tags.backdoor(set, tag);
        self.rests.backdoor(set, rest);
    }

    /// The entry of a set, for simulations in which the read port is not under test.
    #[must_use]
    pub fn entry(&self, set: usize) -> (Bits<T>, Bits<24>) {
        (self.tags.word(set), self.rests.word(set))
    }
}

impl<const F: usize, const T: usize, const B: usize> Logic for Way<F, T, B> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            tag_reg,
            rest_reg,
            live_reg,
            attributes_reg,
            view_reg,
            rank_reg,
            good_reg,
            evictable_reg,
            fresh_reg,
            dead_reg,
            live_now_reg,
            state_now_reg
        );
        clock!(self, clock, attributes, tags, rests);
        for i in 0..2 {
            self.equal_reg[i].clock.next = self.clock.val();
            self.state_reg[i].clock.next = self.clock.val();
            self.age_reg[i].clock.next = self.clock.val();
        }
        for i in 0..4 {
            self.backend_reg[i].clock.next = self.clock.val();
        }
        self.tags.raddr.next = self.raddr.val();
        self.tags.waddr.next = self.waddr.val();
        self.tags.wdata.next = self.wtag.val();
        self.tags.we.next = self.we.val();
        self.rests.raddr.next = self.raddr.val();
        self.rests.waddr.next = self.waddr.val();
        self.rests.wdata.next = self.wrest.val();
        self.rests.we.next = self.we.val();
        self.attributes.side.next = self.side.val();
        self.attributes.waddr.next = self.attributes_waddr.val();
        self.attributes.wdata.next = self.attributes_wdata.val();
        self.attributes.we.next = self.attributes_we.val();
        self.staged_attributes.next = self.attributes.staged.val();

        // Clock 1: the memories' words.
        self.read_tag.next = self.tags.rdata.val();
        self.read_rest.next = self.rests.rdata.val();
        self.tag_reg.d.next = self.tags.rdata.val();
        self.rest_reg.d.next = self.rests.rdata.val();

        // Clock 2: is it the tag, and how old is the entry?
        self.epoch.next = self.rest_reg.q.val().get_bits::<6>(2);
        self.equal_reg[0].d.next = self.tag_reg.q.val() == self.tag.val();
        self.state_reg[0].d.next = self.rest_reg.q.val().get_bits::<2>(0);
        self.age_reg[0].d.next = self.tick.val() - self.epoch.val();
        self.backend_reg[0].d.next = self.rest_reg.q.val().get_bits::<16>(8);
        self.attributes.raddr.next = self.rest_reg.q.val().get_bits::<B>(8);

        // Clock 3: is it live?
        self.limit.next = self.limits.val().established;
        self.never.next = self.limits.val().no_established;
        if self.state_reg[0].q.val() == 1 {
            self.limit.next = self.limits.val().fresh;
            self.never.next = self.limits.val().no_fresh;
        }
        if self.state_reg[0].q.val() == 3 {
            self.limit.next = self.limits.val().closing;
            self.never.next = self.limits.val().no_closing;
        }
        self.live_reg.d.next =
            ((self.state_reg[0].q.val() != 0) & !self.never.val()) & (self.age_reg[0].q.val() <= self.limit.val());
        self.equal_reg[1].d.next = self.equal_reg[0].q.val();
        self.state_reg[1].d.next = self.state_reg[0].q.val();
        self.age_reg[1].d.next = self.age_reg[0].q.val();
        self.backend_reg[1].d.next = self.backend_reg[0].q.val();
        self.attributes_reg.d.next = self.attributes.rdata.val();

        // Clock 4: what follows for the operation.
        self.aged.next = self.age_reg[1].q.val() != 0;
        self.left.next = self.age_reg[1].q.val() > 1;
        self.rank_now.next = 0.into();
        if !self.live_reg.q.val() {
            self.rank_now.next = 0xC0.into();
        } else if self.left.val() & (self.state_reg[1].q.val() == 3) {
            self.rank_now.next = bit_cast::<8, 6>(self.age_reg[1].q.val()) | 0x80;
        } else if self.aged.val() & (self.state_reg[1].q.val() == 1) {
            self.rank_now.next = bit_cast::<8, 6>(self.age_reg[1].q.val()) | 0x40;
        }
        self.rank_reg.d.next = self.rank_now.val();
        self.rank.next = self.rank_reg.q.val();
        self.view_reg.d.next.live = self.live_reg.q.val();
        self.view_reg.d.next.own = self.live_reg.q.val() & self.equal_reg[1].q.val();
        self.view_reg.d.next.serves =
            (self.attributes_reg.q.val().service == self.service.val()) & self.attributes_reg.q.val().takes;
        self.view_reg.d.next.state = self.state_reg[1].q.val();
        self.view_reg.d.next.fresh = (self.live_reg.q.val() & !self.aged.val()) & (self.state_reg[1].q.val() == 1);
        self.view_reg.d.next.evictable = self.rank_now.val() != 0;
        self.backend_reg[2].d.next = self.backend_reg[1].q.val();

        // Clock 5: what operations ahead have written goes before what was read.
        self.own.next = self.view_reg.q.val().own;
        self.serves.next = self.view_reg.q.val().serves;
        self.state_now.next = self.view_reg.q.val().state;
        self.evictable_reg.d.next = self.view_reg.q.val().evictable & !self.over.val();
        self.fresh_reg.d.next = self.view_reg.q.val().fresh;
        self.dead_reg.d.next = !self.view_reg.q.val().live & !self.over.val();
        if self.over.val() {
            self.own.next = self.over_own.val();
            self.serves.next = self.over_serves.val();
            self.state_now.next = self.over_state.val();
            self.fresh_reg.d.next = self.over_fresh.val();
        }
        self.live_now_reg.d.next = self.view_reg.q.val().live;
        self.good_reg.d.next = self.serves.val() & !((self.state_now.val() == 3) & self.syn.val());
        self.state_now_reg.d.next = self.state_now.val();
        self.backend_reg[3].d.next = self.backend_reg[2].q.val();

        // Clock 6.
        self.good.next = self.good_reg.q.val();
        self.evictable.next = self.evictable_reg.q.val();
        self.fresh.next = self.fresh_reg.q.val();
        self.dead.next = self.dead_reg.q.val();
        self.live.next = self.live_now_reg.q.val();
        self.state.next = self.state_now_reg.q.val();
        self.backend.next = self.backend_reg[3].q.val();
    }
}
