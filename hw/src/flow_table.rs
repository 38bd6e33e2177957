//! Flow table: one operation after the other, as if each had finished before the next began.
//!
//! An operation is a frame's lookup with what it writes, or the sweeper's visit of a set. Clock 0 reads the set;
//! clocks 1 to 4 make out what its entries mean; clock 5 puts what operations ahead have written in place of what
//! was read; clock 6 decides; in clock 7 the entry is written and the decision leaves. Frames are at least two
//! clocks apart, so a decision is known, in clock 7, when the next frame is in clock 5: that is the whole loop. The
//! sweeper uses the clocks between and only ever removes what is not live, which nobody can tell.

use maglane_spec::FlowOutcome;
use rust_hdl::prelude::*;

pub mod contest;
pub mod forward;
pub mod sweeper;
pub mod way;

use crate::census::Visit;
use contest::{Contest, Ranks};
use forward::{Meet, Meeting, Merge, Overwritten, Written};
use sweeper::{Sweeper, Timeouts};
use way::{Attributes, Way};

/// What a frame's operation brings, apart from hash bits.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Operation {
    /// Id of the matched service.
    pub service: Bits<16>,
    /// The segment has SYN.
    pub syn: Bit,
    /// The segment has FIN.
    pub fin: Bit,
    /// The segment has RST.
    pub rst: Bit,
    /// The frame is an error about the flow: it writes nothing.
    pub peek: Bit,
}

/// The lookup table's answer, in case the flow table has none.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Pick {
    /// There is no backend.
    pub nobody: Bit,
    /// The backend.
    pub backend: Bits<16>,
    /// The service that it belongs to.
    pub service: Bits<16>,
    /// It takes frames of existing flows.
    pub takes: Bit,
}

/// What becomes of a frame.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Decision {
    /// Code of [`FlowOutcome`].
    pub outcome: Bits<3>,
    /// The backend, unless there is none.
    pub backend: Bits<16>,
}

/// The flow table, with 2^F sets, tags of T bits and 2^B backends.
#[derive(LogicBlock)]
pub struct FlowTable<const F: usize, const T: usize, const B: usize> {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous reset, active high.
    pub reset: Signal<In, Bit>,
    /// A frame's operation enters, clock 0; not in two clocks in a row.
    pub s_valid: Signal<In, Bit>,
    /// Its set.
    pub s_set: Signal<In, Bits<F>>,
    /// Its tag.
    pub s_tag: Signal<In, Bits<T>>,
    /// What else it brings.
    pub s_operation: Signal<In, Operation>,
    /// The lookup table's answer, clock 6.
    pub pick: Signal<In, Pick>,
    /// A decision leaves, clock 7.
    pub m_valid: Signal<Out, Bit>,
    /// The decision.
    pub m_decision: Signal<Out, Decision>,
    /// Timeouts, as the next step of the tick takes them over.
    pub timeouts: Signal<In, Timeouts>,
    /// Sets the tick; see [`Sweeper`], as for all up to `ready`.
    pub set_tick: Signal<In, Bit>,
    /// The tick that is set.
    pub set_tick_value: Signal<In, Bits<6>>,
    /// And the timeouts hold from then on.
    pub set_timeouts: Signal<In, Bit>,
    /// Ticks to step by.
    pub step: Signal<In, Bits<7>>,
    /// No frame is in the flow table, and none enters.
    pub idle: Signal<In, Bit>,
    /// The step is done.
    pub stepped: Signal<Out, Bit>,
    /// The tick.
    pub tick: Signal<Out, Bits<6>>,
    /// The sweeper has gone round in this tick.
    pub rests: Signal<Out, Bit>,
    /// The memory has been cleared after reset.
    pub ready: Signal<Out, Bit>,
    /// Sets are being cleared after reset, or swept: which one.
    pub sweep_set: Signal<Out, Bits<F>>,
    /// A round of the sweeper may begin.
    pub may_start: Signal<In, Bit>,
    /// What the sweeper finds, clock 6 of its visit.
    pub visit: Signal<Out, Visit>,
    /// Side of the backends' attributes that serves.
    pub side: Signal<In, Bit>,
    /// Backend whose attributes are written.
    pub attributes_waddr: Signal<In, Bits<B>>,
    /// Its attributes.
    pub attributes_wdata: Signal<In, Attributes>,
    /// Write enable of the attributes.
    pub attributes_we: Signal<In, Bit>,
    /// An entry is read, if no frame's operation enters in this clock.
    pub read_valid: Signal<In, Bit>,
    /// Its set.
    pub read_set: Signal<In, Bits<F>>,
    /// Its way, a clock after the set.
    pub read_way: Signal<In, Bits<3>>,
    /// The tag there, two clocks after the set.
    pub read_tag: Signal<Out, Bits<T>>,
    /// The rest of the entry.
    pub read_rest: Signal<Out, Bits<24>>,
    /// Staged attributes of the backend `attributes_waddr`, by the copy of the way `read_way`, two clocks after it.
    pub staged_attributes: Signal<Out, Attributes>,
    /// An entry is written, while no frame comes to the flow table and the sweeper rests.
    pub load_valid: Signal<In, Bit>,
    /// Its set.
    pub load_set: Signal<In, Bits<F>>,
    /// Its way.
    pub load_way: Signal<In, Bits<3>>,
    /// Its tag.
    pub load_tag: Signal<In, Bits<T>>,
    /// The rest of it.
    pub load_rest: Signal<In, Bits<24>>,
    /// The ways.
    pub way: [Way<F, T, B>; 8],
    sweeper: Sweeper<F>,
    contest: [Contest; 8],
    meet: [Meet<F, T>; 5],
    meet_late: Meet<F, T>,
    merge: [Merge; 5],
    valid_reg: DFF<Bits<7>>,
    sweep_reg: DFF<Bits<7>>,
    set_reg: [DFF<Bits<F>>; 7],
    tag_reg: [DFF<Bits<T>>; 7],
    operation_reg: [DFF<Operation>; 7],
    over_reg: [DFF<Overwritten>; 4],
    late_reg: DFF<Written>,
    late_pick_reg: DFF<Pick>,
    behind_reg: DFF<Bit>,
    candidate_reg: DFF<Bits<8>>,
    any_candidate_reg: DFF<Bit>,
    over_own_reg: DFF<Bit>,
    over_backend_reg: DFF<Bits<16>>,
    written_reg: DFF<Written>,
    write_reg: DFF<Bits<8>>,
    rest_reg: DFF<Bits<24>>,
    decision_reg: DFF<Decision>,
    read_tag_reg: DFF<Bits<T>>,
    read_rest_reg: DFF<Bits<24>>,
    staged_reg: DFF<Attributes>,
    load_reg: DFF<Bits<8>>,
    load_set_reg: DFF<Bits<F>>,
    load_tag_reg: DFF<Bits<T>>,
    load_rest_reg: DFF<Bits<24>>,
    write_set: Signal<Local, Bits<F>>,
    write_rest: Signal<Local, Bits<24>>,
    write_ways: Signal<Local, Bits<8>>,
    enter_set: Signal<Local, Bits<F>>,
    entering: Signal<Local, Operation>,
    first: Signal<Local, Written>,
    first_meeting: Signal<Local, Meeting>,
    service6: Signal<Local, Bits<16>>,
    pick_service: Signal<Local, Bits<16>>,
    pick_takes: Signal<Local, Bit>,
    over: Signal<Local, Overwritten>,
    over_ways: Signal<Local, Bits<8>>,
    over_own: Signal<Local, Bits<8>>,
    over_fresh: Signal<Local, Bits<8>>,
    candidate: Signal<Local, Bits<8>>,
    seen: Signal<Local, Bit>,
    hit: Signal<Local, Bit>,
    evictable: Signal<Local, Bits<8>>,
    victim: Signal<Local, Bits<8>>,
    fresh: Signal<Local, Bits<8>>,
    chosen: Signal<Local, Bits<8>>,
    room: Signal<Local, Bit>,
    write: Signal<Local, Bit>,
    state_of: [Signal<Local, Bits<2>>; 8],
    backend_of: [Signal<Local, Bits<16>>; 8],
    old_state: Signal<Local, Bits<2>>,
    old_backend: Signal<Local, Bits<16>>,
    state: Signal<Local, Bits<2>>,
    backend: Signal<Local, Bits<16>>,
    dead: Signal<Local, Bits<8>>,
    live: Signal<Local, Bits<8>>,
    behind: Signal<Local, Bits<8>>,
    ending: Signal<Local, Bit>,
    spared: Signal<Local, Bits<8>>,
    seen_fresh: Signal<Local, Bit>,
    written_tag: Signal<Local, Bits<T>>,
    service4: Signal<Local, Bits<16>>,
    syn5: Signal<Local, Bit>,
    over_serves: Signal<Local, Bit>,
    over_state: Signal<Local, Bits<2>>,
    ranks: Signal<Local, Ranks>,
    nothing: Constant<Overwritten>,
    bit: [Constant<Bits<8>>; 8],
    outcome_hit: Constant<Bits<3>>,
    outcome_inserted: Constant<Bits<3>>,
    outcome_stateless: Constant<Bits<3>>,
    outcome_full: Constant<Bits<3>>,
    outcome_nobody: Constant<Bits<3>>,
}

impl<const F: usize, const T: usize, const B: usize> Default for FlowTable<F, T, B> {
    fn default() -> Self {
        let outcome = |outcome: FlowOutcome| Constant::new(u64::from(outcome.code()).into());
        Self {
            clock: Default::default(),
            reset: Default::default(),
            s_valid: Default::default(),
            s_set: Default::default(),
            s_tag: Default::default(),
            s_operation: Default::default(),
            pick: Default::default(),
            m_valid: Default::default(),
            m_decision: Default::default(),
            timeouts: Default::default(),
            set_tick: Default::default(),
            set_tick_value: Default::default(),
            set_timeouts: Default::default(),
            step: Default::default(),
            idle: Default::default(),
            stepped: Default::default(),
            tick: Default::default(),
            rests: Default::default(),
            ready: Default::default(),
            sweep_set: Default::default(),
            may_start: Default::default(),
            visit: Default::default(),
            side: Default::default(),
            attributes_waddr: Default::default(),
            attributes_wdata: Default::default(),
            attributes_we: Default::default(),
            read_valid: Default::default(),
            read_set: Default::default(),
            read_way: Default::default(),
            read_tag: Default::default(),
            read_rest: Default::default(),
            staged_attributes: Default::default(),
            load_valid: Default::default(),
            load_set: Default::default(),
            load_way: Default::default(),
            load_tag: Default::default(),
            load_rest: Default::default(),
            way: std::array::from_fn(|_| Default::default()),
            sweeper: Default::default(),
            contest: std::array::from_fn(Contest::new),
            meet: std::array::from_fn(|_| Default::default()),
            meet_late: Default::default(),
            merge: std::array::from_fn(|_| Default::default()),
            valid_reg: Default::default(),
            sweep_reg: Default::default(),
            set_reg: std::array::from_fn(|_| Default::default()),
            tag_reg: std::array::from_fn(|_| Default::default()),
            operation_reg: std::array::from_fn(|_| Default::default()),
            over_reg: std::array::from_fn(|_| Default::default()),
            late_reg: Default::default(),
            late_pick_reg: Default::default(),
            behind_reg: Default::default(),
            candidate_reg: Default::default(),
            any_candidate_reg: Default::default(),
            over_own_reg: Default::default(),
            over_backend_reg: Default::default(),
            written_reg: Default::default(),
            write_reg: Default::default(),
            rest_reg: Default::default(),
            decision_reg: Default::default(),
            read_tag_reg: Default::default(),
            read_rest_reg: Default::default(),
            staged_reg: Default::default(),
            load_reg: Default::default(),
            load_set_reg: Default::default(),
            load_tag_reg: Default::default(),
            load_rest_reg: Default::default(),
            write_set: Default::default(),
            write_rest: Default::default(),
            write_ways: Default::default(),
            enter_set: Default::default(),
            entering: Default::default(),
            first: Default::default(),
            first_meeting: Default::default(),
            service6: Default::default(),
            pick_service: Default::default(),
            pick_takes: Default::default(),
            over: Default::default(),
            over_ways: Default::default(),
            over_own: Default::default(),
            over_fresh: Default::default(),
            candidate: Default::default(),
            seen: Default::default(),
            hit: Default::default(),
            evictable: Default::default(),
            victim: Default::default(),
            fresh: Default::default(),
            chosen: Default::default(),
            room: Default::default(),
            write: Default::default(),
            state_of: std::array::from_fn(|_| Default::default()),
            backend_of: std::array::from_fn(|_| Default::default()),
            old_state: Default::default(),
            old_backend: Default::default(),
            state: Default::default(),
            backend: Default::default(),
            dead: Default::default(),
            live: Default::default(),
            behind: Default::default(),
            ending: Default::default(),
            spared: Default::default(),
            seen_fresh: Default::default(),
            written_tag: Default::default(),
            service4: Default::default(),
            syn5: Default::default(),
            over_serves: Default::default(),
            over_state: Default::default(),
            ranks: Default::default(),
            nothing: Constant::new(Overwritten::default()),
            bit: std::array::from_fn(|i| Constant::new((1_u64 << i).into())),
            outcome_hit: outcome(FlowOutcome::Hit),
            outcome_inserted: outcome(FlowOutcome::Inserted),
            outcome_stateless: outcome(FlowOutcome::Stateless),
            outcome_full: outcome(FlowOutcome::TableFull),
            outcome_nobody: outcome(FlowOutcome::NoBackend),
        }
    }
}

impl<const F: usize, const T: usize, const B: usize> Logic for FlowTable<F, T, B> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            valid_reg,
            sweep_reg,
            late_reg,
            late_pick_reg,
            behind_reg,
            candidate_reg,
            any_candidate_reg,
            over_own_reg,
            over_backend_reg,
            written_reg,
            write_reg,
            rest_reg,
            decision_reg,
            read_tag_reg,
            read_rest_reg,
            staged_reg,
            load_reg,
            load_set_reg,
            load_tag_reg,
            load_rest_reg
        );
        clock!(self, clock, sweeper, meet_late);
        for i in 0..8 {
            self.way[i].clock.next = self.clock.val();
            self.contest[i].clock.next = self.clock.val();
        }
        for i in 0..7 {
            self.set_reg[i].clock.next = self.clock.val();
            self.tag_reg[i].clock.next = self.clock.val();
            self.operation_reg[i].clock.next = self.clock.val();
        }
        for i in 0..5 {
            self.meet[i].clock.next = self.clock.val();
        }
        for i in 0..4 {
            self.over_reg[i].clock.next = self.clock.val();
        }
        self.sweeper.reset.next = self.reset.val();
        self.sweeper.timeouts.next = self.timeouts.val();
        self.sweeper.set.next = self.set_tick.val();
        self.sweeper.set_tick.next = self.set_tick_value.val();
        self.sweeper.set_timeouts.next = self.set_timeouts.val();
        self.sweeper.step.next = self.step.val();
        self.sweeper.idle.next = self.idle.val();
        self.sweeper.busy.next = self.s_valid.val() | self.read_valid.val();
        self.sweeper.may_start.next = self.may_start.val();
        self.stepped.next = self.sweeper.stepped.val();
        self.tick.next = self.sweeper.tick.val();
        self.rests.next = self.sweeper.rests.val();
        self.ready.next = self.sweeper.ready.val();
        self.sweep_set.next = self.sweeper.sweep_set.val();

        // Clock 0: a frame, else the read port, else the sweeper.
        self.enter_set.next = self.read_set.val();
        if self.sweeper.sweep.val() {
            self.enter_set.next = self.sweeper.sweep_set.val();
        }
        if self.s_valid.val() {
            self.enter_set.next = self.s_set.val();
        }
        self.entering.next = self.s_operation.val();
        self.valid_reg.d.next = (self.valid_reg.q.val() << 1) | bit_cast::<7, 1>(self.s_valid.val().into());
        self.sweep_reg.d.next = (self.sweep_reg.q.val() << 1) | bit_cast::<7, 1>(self.sweeper.sweep.val().into());
        self.set_reg[0].d.next = self.enter_set.val();
        self.tag_reg[0].d.next = self.s_tag.val();
        self.operation_reg[0].d.next = self.entering.val();
        for i in 1..7 {
            self.set_reg[i].d.next = self.set_reg[i - 1].q.val();
            self.tag_reg[i].d.next = self.tag_reg[i - 1].q.val();
        }
        for i in 1..7 {
            self.operation_reg[i].d.next = self.operation_reg[i - 1].q.val();
        }

        // Clocks 0 to 4: how the operation meets the one in clock 6, whose entry it will see written a clock later. In
        // clock 0 also the one in clock 7, whose entry is being written while the set is read.
        self.service6.next = self.operation_reg[5].q.val().service;
        self.pick_service.next = self.pick.val().service;
        self.pick_takes.next = self.pick.val().takes;
        self.meet[0].set.next = self.enter_set.val();
        self.meet[0].tag.next = self.s_tag.val();
        self.meet[0].service.next = self.entering.val().service;
        self.meet[1].service.next = self.operation_reg[0].q.val().service;
        self.meet[2].service.next = self.operation_reg[1].q.val().service;
        self.meet[3].service.next = self.operation_reg[2].q.val().service;
        self.meet[4].service.next = self.operation_reg[3].q.val().service;
        for i in 1..5 {
            self.meet[i].set.next = self.set_reg[i - 1].q.val();
            self.meet[i].tag.next = self.tag_reg[i - 1].q.val();
        }
        for i in 0..5 {
            self.meet[i].ahead_set.next = self.set_reg[5].q.val();
            self.meet[i].ahead_tag.next = self.tag_reg[5].q.val();
            self.meet[i].ahead_service.next = self.service6.val();
            self.meet[i].pick_service.next = self.pick_service.val();
            self.meet[i].pick_takes.next = self.pick_takes.val();
        }
        self.late_pick_reg.d.next = self.pick.val();
        self.meet_late.set.next = self.enter_set.val();
        self.meet_late.tag.next = self.s_tag.val();
        self.meet_late.service.next = self.entering.val().service;
        self.meet_late.ahead_set.next = self.set_reg[6].q.val();
        self.meet_late.ahead_tag.next = self.tag_reg[6].q.val();
        self.meet_late.ahead_service.next = self.operation_reg[6].q.val().service;
        self.meet_late.pick_service.next = self.late_pick_reg.q.val().service;
        self.meet_late.pick_takes.next = self.late_pick_reg.q.val().takes;

        // Clocks 1 to 5: note what has been written. Frames are two clocks apart, so of two clocks only one writes.
        self.late_reg.d.next = self.written_reg.q.val();
        self.first.next = self.written_reg.q.val();
        self.first_meeting.next = self.meet[0].meeting.val();
        if self.late_reg.q.val().valid {
            self.first.next = self.late_reg.q.val();
            self.first_meeting.next = self.meet_late.meeting.val();
        }
        self.merge[0].earlier.next = self.nothing.val();
        self.merge[0].written.next = self.first.val();
        self.merge[0].meeting.next = self.first_meeting.val();
        for i in 1..5 {
            self.merge[i].earlier.next = self.over_reg[i - 1].q.val();
            self.merge[i].written.next = self.written_reg.q.val();
            self.merge[i].meeting.next = self.meet[i].meeting.val();
        }
        for i in 0..4 {
            self.over_reg[i].d.next = self.merge[i].after.val();
        }

        // Clock 5: what was written goes before what was read; the candidate.
        self.over.next = self.merge[4].after.val();
        self.over_ways.next = self.over.val().ways;
        self.over_own.next = self.over.val().own;
        self.over_fresh.next = self.over.val().fresh;
        self.over_serves.next = self.over.val().serves;
        self.over_state.next = self.over.val().state;
        self.service4.next = self.operation_reg[3].q.val().service;
        self.syn5.next = self.operation_reg[4].q.val().syn;
        self.written_tag.next = self.tag_reg[6].q.val();
        if self.sweep_reg.q.val().get_bit(6) {
            self.written_tag.next = 0.into();
        }
        // An entry from the port is written when nothing else is.
        self.load_reg.d.next = 0.into();
        for i in 0_usize..8_usize {
            if self.load_valid.val() & (self.load_way.val() == i.to_bits()) {
                self.load_reg.d.next = self.bit[i].val();
            }
        }
        self.load_set_reg.d.next = self.load_set.val();
        self.load_tag_reg.d.next = self.load_tag.val();
        self.load_rest_reg.d.next = self.load_rest.val();
        self.write_set.next = self.set_reg[6].q.val();
        self.write_rest.next = self.rest_reg.q.val();
        self.write_ways.next = self.write_reg.q.val() | self.load_reg.q.val();
        if self.load_reg.q.val() != 0 {
            self.write_set.next = self.load_set_reg.q.val();
            self.written_tag.next = self.load_tag_reg.q.val();
            self.write_rest.next = self.load_rest_reg.q.val();
        }
        self.candidate.next = 0.into();
        self.seen.next = false;
        for i in 0..8 {
            self.way[i].raddr.next = self.enter_set.val();
            self.way[i].tag.next = self.tag_reg[1].q.val();
            self.way[i].tick.next = self.sweeper.tick.val();
            self.way[i].limits.next = self.sweeper.limits.val();
            self.way[i].over.next = self.over_ways.val().get_bit(i);
            self.way[i].over_own.next = self.over_own.val().get_bit(i);
            self.way[i].over_fresh.next = self.over_fresh.val().get_bit(i);
            self.way[i].side.next = self.side.val();
            self.way[i].attributes_waddr.next = self.attributes_waddr.val();
            self.way[i].attributes_wdata.next = self.attributes_wdata.val();
            self.way[i].attributes_we.next = self.attributes_we.val();
            self.way[i].waddr.next = self.write_set.val();
            self.way[i].wtag.next = self.written_tag.val();
            self.way[i].wrest.next = self.write_rest.val();
            self.way[i].we.next = self.write_ways.val().get_bit(i);
            self.way[i].service.next = self.service4.val();
            self.way[i].over_serves.next = self.over_serves.val();
            self.way[i].over_state.next = self.over_state.val();
            self.way[i].syn.next = self.syn5.val();
            if self.way[i].own.val() & !self.seen.val() {
                self.candidate.next = self.candidate.val() | self.bit[i].val();
            }
            self.seen.next = self.seen.val() | self.way[i].own.val();
        }
        self.candidate_reg.d.next = self.candidate.val();
        self.any_candidate_reg.d.next = self.seen.val();
        self.over_own_reg.d.next = self.over_own.val() != 0;
        self.over_backend_reg.d.next = self.over.val().backend;

        // Clock 6: hit or miss, the way, the entry.
        self.hit.next = false;
        self.evictable.next = 0.into();
        self.victim.next = 0.into();
        self.fresh.next = 0.into();
        self.seen_fresh.next = false;
        self.old_state.next = 0.into();
        self.old_backend.next = 0.into();
        self.dead.next = 0.into();
        self.live.next = 0.into();
        for i in 0..8 {
            if self.way[i].evictable.val() {
                self.evictable.next = self.evictable.val() | self.bit[i].val();
            }
            if self.way[i].dead.val() {
                self.dead.next = self.dead.val() | self.bit[i].val();
            }
            if self.way[i].live.val() & self.sweep_reg.q.val().get_bit(5) {
                self.live.next = self.live.val() | self.bit[i].val();
            }
            if self.way[i].fresh.val() & !self.seen_fresh.val() {
                self.fresh.next = self.fresh.val() | self.bit[i].val();
            }
            self.seen_fresh.next = self.seen_fresh.val() | self.way[i].fresh.val();
            self.hit.next = self.hit.val() | (self.candidate_reg.q.val().get_bit(i) & self.way[i].good.val());
            self.state_of[i].next = 0.into();
            self.backend_of[i].next = 0.into();
            if self.candidate_reg.q.val().get_bit(i) {
                self.state_of[i].next = self.way[i].state.val();
                self.backend_of[i].next = self.way[i].backend.val();
            }
            self.old_state.next = self.old_state.val() | self.state_of[i].val();
            self.old_backend.next = self.old_backend.val() | self.backend_of[i].val();
        }
        self.ranks.next.r0 = self.way[0].rank.val();
        self.ranks.next.r1 = self.way[1].rank.val();
        self.ranks.next.r2 = self.way[2].rank.val();
        self.ranks.next.r3 = self.way[3].rank.val();
        self.ranks.next.r4 = self.way[4].rank.val();
        self.ranks.next.r5 = self.way[5].rank.val();
        self.ranks.next.r6 = self.way[6].rank.val();
        self.ranks.next.r7 = self.way[7].rank.val();
        for i in 0..8 {
            self.contest[i].rank.next = self.way[i].rank.val();
            self.contest[i].evictable.next = self.evictable.val();
            self.contest[i].rivals.next = self.ranks.val();
            if self.contest[i].wins.val() & self.way[i].evictable.val() {
                self.victim.next = self.victim.val() | self.bit[i].val();
            }
        }
        if self.any_candidate_reg.q.val() {
            self.chosen.next = self.candidate_reg.q.val();
        } else if self.evictable.val() != 0 {
            self.chosen.next = self.victim.val();
        } else {
            self.chosen.next = self.fresh.val();
        }
        self.room.next = (self.any_candidate_reg.q.val() | self.seen_fresh.val()) | (self.evictable.val() != 0);
        self.ending.next = (self.operation_reg[5].q.val().fin | self.operation_reg[5].q.val().rst)
            | self.operation_reg[5].q.val().peek;
        self.write.next = (self.hit.val() & !self.operation_reg[5].q.val().peek)
            | ((self.room.val() & !self.ending.val()) & !self.pick.val().nobody);
        self.state.next = 1.into();
        if self.hit.val() {
            self.state.next = self.old_state.val();
            if !self.operation_reg[5].q.val().rst {
                if self.operation_reg[5].q.val().fin {
                    self.state.next = 3.into();
                } else if (self.old_state.val() == 1) & !self.operation_reg[5].q.val().syn {
                    self.state.next = 2.into();
                }
            }
        }
        self.backend.next = self.pick.val().backend;
        self.decision_reg.d.next.backend = self.pick.val().backend;
        if self.hit.val() {
            self.backend.next = self.old_backend.val();
            if self.over_own_reg.q.val() {
                self.backend.next = self.over_backend_reg.q.val();
            }
        }
        self.decision_reg.d.next.backend = self.backend.val();
        self.decision_reg.d.next.outcome = self.outcome_full.val();
        if self.hit.val() {
            self.decision_reg.d.next.outcome = self.outcome_hit.val();
        } else if self.pick.val().nobody {
            self.decision_reg.d.next.outcome = self.outcome_nobody.val();
        } else if self.ending.val() {
            self.decision_reg.d.next.outcome = self.outcome_stateless.val();
        } else if self.room.val() {
            self.decision_reg.d.next.outcome = self.outcome_inserted.val();
        }
        self.written_reg.d.next.valid = self.valid_reg.q.val().get_bit(5) & self.write.val();
        self.written_reg.d.next.ways = self.chosen.val();
        self.written_reg.d.next.state = self.state.val();
        self.written_reg.d.next.backend = self.backend.val();
        self.written_reg.d.next.hit = self.hit.val();
        self.rest_reg.d.next = (bit_cast::<24, 2>(self.state.val())
            | (bit_cast::<24, 6>(self.sweeper.tick.val()) << 2))
            | (bit_cast::<24, 16>(self.backend.val()) << 8);
        self.write_reg.d.next = 0.into();
        if self.valid_reg.q.val().get_bit(5) & self.write.val() {
            self.write_reg.d.next = self.chosen.val();
        }
        // A sweep clears what is not live, but not what a frame one clock ahead is writing there.
        self.behind_reg.d.next = self.set_reg[5].q.val() == self.set_reg[4].q.val();
        self.behind.next = 0.into();
        if self.written_reg.q.val().valid & self.behind_reg.q.val() {
            self.behind.next = self.written_reg.q.val().ways;
        }
        self.spared.next = !self.behind.val();
        if self.sweep_reg.q.val().get_bit(5) {
            self.write_reg.d.next = self.dead.val() & self.spared.val();
            self.rest_reg.d.next = 0.into();
        }

        self.visit.next.live = self.live.val();
        self.visit.next.backend0 = self.way[0].backend.val();
        self.visit.next.backend1 = self.way[1].backend.val();
        self.visit.next.backend2 = self.way[2].backend.val();
        self.visit.next.backend3 = self.way[3].backend.val();
        self.visit.next.backend4 = self.way[4].backend.val();
        self.visit.next.backend5 = self.way[5].backend.val();
        self.visit.next.backend6 = self.way[6].backend.val();
        self.visit.next.backend7 = self.way[7].backend.val();

        // Clock 7: the decision leaves; `write_reg` and the registers beside it are at the memories.
        self.m_valid.next = self.valid_reg.q.val().get_bit(6);
        self.m_decision.next = self.decision_reg.q.val();

        // Read port.
        self.read_tag_reg.d.next = self.way[0].read_tag.val();
        self.read_rest_reg.d.next = self.way[0].read_rest.val();
        self.staged_reg.d.next = self.way[0].staged_attributes.val();
        for i in 1_usize..8_usize {
            if self.read_way.val() == i.to_bits() {
                self.read_tag_reg.d.next = self.way[i].read_tag.val();
                self.read_rest_reg.d.next = self.way[i].read_rest.val();
                self.staged_reg.d.next = self.way[i].staged_attributes.val();
            }
        }
        self.read_tag.next = self.read_tag_reg.q.val();
        self.read_rest.next = self.read_rest_reg.q.val();
        self.staged_attributes.next = self.staged_reg.q.val();
        if self.reset.val() {
            self.valid_reg.d.next = 0.into();
            self.sweep_reg.d.next = 0.into();
            self.written_reg.d.next.valid = false;
            self.late_reg.d.next.valid = false;
            self.write_reg.d.next = 0.into();
            self.load_reg.d.next = 0.into();
        }
    }
}
