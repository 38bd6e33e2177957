//! Flow hash: SipHash-1-3 over the 5-tuple, once whole (h) and once as far as the service's affinity sees it (g).
//!
//! One pipelined hash unit serves both: a frame that needs it takes two slots, so such frames are at least two clocks
//! apart. Frames whose verdict has been found take one. The hashes wait beside their frame until select takes both.
//! Latency from the head of the queue: 28 clocks.

use maglane_spec::row::ServiceRow;
use maglane_spec::siphash;
use rust_hdl::prelude::*;

use crate::control::Settings;
use crate::fifo::Fifo;
use crate::frame::{Classified, Parsed};
use crate::siphash::{FirstHalf, SecondHalf, SipState};

/// What enters the hash unit: two message blocks as four 32-bit words, the lowest first.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Message {
    source: Bits<32>,
    destination: Bits<32>,
    ports: Bits<32>,
    protocol: Bits<8>,
}

/// What leaves the hash unit for a frame.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Hashes {
    /// h, low half.
    pub h_low: Bits<32>,
    /// h, high half.
    pub h_high: Bits<32>,
    /// g, low half: the second candidate's index is made of it.
    pub g_low: Bits<32>,
    /// g, high half: the index is made of it.
    pub g_high: Bits<32>,
}

/// The flow-hash stage.
#[derive(LogicBlock)]
pub struct FlowHash {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous reset, active high.
    pub reset: Signal<In, Bit>,
    /// Settings of the datapath.
    pub settings: Signal<In, Settings>,
    /// A frame enters the stage; its sender holds a credit.
    pub s_valid: Signal<In, Bit>,
    /// The frame that enters.
    pub s_frame: Signal<In, Classified>,
    /// A frame can leave the stage.
    pub m_valid: Signal<Out, Bit>,
    /// It is taken.
    pub m_ready: Signal<In, Bit>,
    /// The frame.
    pub m_frame: Signal<Out, Classified>,
    /// Its hashes; 0 for frames whose verdict had been found.
    pub m_hashes: Signal<Out, Hashes>,
    results: Fifo<Hashes, 7>,
    result: Signal<Local, Hashes>,
    found_reg: DFF<Bits<26>>,
    no_hashes: Constant<Hashes>,
    queue: Fifo<Classified, 7>,
    waiting: Fifo<Classified, 7>,
    head: Signal<Local, Classified>,
    tuple: Signal<Local, Parsed>,
    take: Signal<Local, Bit>,
    second_slot_reg: DFF<Bit>,
    affinity_reg: DFF<Bits<2>>,
    message: Signal<Local, Message>,
    message_reg: DFF<Message>,
    issue_reg: DFF<Bits<26>>,
    block0_low_reg: [DFF<Bits<32>>; 5],
    block0_high_reg: [DFF<Bits<32>>; 5],
    block1_low_reg: [DFF<Bits<32>>; 10],
    block1_high_reg: [DFF<Bits<32>>; 10],
    init_reg: DFF<SipState>,
    merge_reg: DFF<SipState>,
    final_reg: DFF<SipState>,
    hash_low_reg: [DFF<Bits<32>>; 2],
    hash_high_reg: [DFF<Bits<32>>; 2],
    first: [FirstHalf; 5],
    second: [SecondHalf; 5],
    // The words that are XORed into the state: lanes come from signals, never from fields.
    key: [Signal<Local, Bits<32>>; 4],
    entering: [Signal<Local, Bits<32>>; 2],
    after_first: [Signal<Local, Bits<32>>; 4],
    after_second: [Signal<Local, Bits<32>>; 2],
    state0: Signal<Local, SipState>,
    state1: Signal<Local, SipState>,
    state4: Signal<Local, SipState>,
    lane: [Signal<Local, Bits<16>>; 4],
    init: [Constant<Bits<16>>; 16],
    length_byte: Constant<Bits<32>>,
    finalisation: Constant<Bits<16>>,
    client_protocol: Constant<Bits<2>>,
    client: Constant<Bits<2>>,
}

impl Default for FlowHash {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            reset: Default::default(),
            settings: Default::default(),
            s_valid: Default::default(),
            s_frame: Default::default(),
            m_valid: Default::default(),
            m_frame: Default::default(),
            m_ready: Default::default(),
            m_hashes: Default::default(),
            results: Default::default(),
            result: Default::default(),
            found_reg: Default::default(),
            no_hashes: Constant::new(Hashes::default()),
            queue: Default::default(),
            waiting: Default::default(),
            head: Default::default(),
            tuple: Default::default(),
            take: Default::default(),
            second_slot_reg: Default::default(),
            affinity_reg: Default::default(),
            message: Default::default(),
            message_reg: Default::default(),
            issue_reg: Default::default(),
            block0_low_reg: std::array::from_fn(|_| Default::default()),
            block0_high_reg: std::array::from_fn(|_| Default::default()),
            block1_low_reg: std::array::from_fn(|_| Default::default()),
            block1_high_reg: std::array::from_fn(|_| Default::default()),
            init_reg: Default::default(),
            merge_reg: Default::default(),
            final_reg: Default::default(),
            hash_low_reg: std::array::from_fn(|_| Default::default()),
            hash_high_reg: std::array::from_fn(|_| Default::default()),
            first: std::array::from_fn(|_| Default::default()),
            second: std::array::from_fn(|_| Default::default()),
            key: std::array::from_fn(|_| Default::default()),
            entering: std::array::from_fn(|_| Default::default()),
            after_first: std::array::from_fn(|_| Default::default()),
            after_second: std::array::from_fn(|_| Default::default()),
            state0: Default::default(),
            state1: Default::default(),
            state4: Default::default(),
            lane: std::array::from_fn(|_| Default::default()),
            init: std::array::from_fn(|i| Constant::new((siphash::INIT[i / 4] >> (16 * (i % 4)) & 0xffff).into())),
            length_byte: Constant::new((TUPLE_BYTES << 24).into()),
            finalisation: Constant::new(siphash::FINAL.into()),
            client_protocol: Constant::new(u64::from(ServiceRow::AFFINITY_CLIENT_PROTOCOL).into()),
            client: Constant::new(u64::from(ServiceRow::AFFINITY_CLIENT).into()),
        }
    }
}

impl FlowHash {
    /// Plants a fault of [`maglane_spec::Stage::FlowHash`]: another finalisation constant.
    pub fn plant_fault(&mut self) {
        self.finalisation = Constant::new((siphash::FINAL ^ 1).into());
    }
}

impl Logic for FlowHash {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            second_slot_reg,
            affinity_reg,
            message_reg,
            issue_reg,
            found_reg,
            init_reg,
            merge_reg,
            final_reg
        );
        clock!(self, clock, queue, waiting, results);
        for i in 0..5 {
            self.first[i].clock.next = self.clock.val();
            self.second[i].clock.next = self.clock.val();
            self.block0_low_reg[i].clock.next = self.clock.val();
            self.block0_high_reg[i].clock.next = self.clock.val();
        }
        for i in 0..10 {
            self.block1_low_reg[i].clock.next = self.clock.val();
            self.block1_high_reg[i].clock.next = self.clock.val();
        }
        for i in 0..2 {
            self.hash_low_reg[i].clock.next = self.clock.val();
            self.hash_high_reg[i].clock.next = self.clock.val();
        }
        self.queue.reset.next = self.reset.val();
        self.waiting.reset.next = self.reset.val();
        self.results.reset.next = self.reset.val();

        // Slots: the clock after a frame that is hashed belongs to its g.
        self.queue.din.next = self.s_frame.val();
        self.queue.push.next = self.s_valid.val();
        self.head.next = self.queue.dout.val();
        self.tuple.next = self.head.val().parsed;
        self.take.next = self.queue.valid.val() & !self.second_slot_reg.q.val();
        self.queue.pop.next = self.take.val();
        self.second_slot_reg.d.next = self.take.val() & (self.head.val().verdict == 0);
        self.affinity_reg.d.next = self.head.val().affinity;
        self.waiting.din.next = self.head.val();
        self.waiting.push.next = self.take.val();
        self.issue_reg.d.next = (self.issue_reg.q.val() << 1) | bit_cast::<26, 1>(self.take.val().into());

        // The tuple, or what the affinity sees of it.
        self.message.next.source = self.tuple.val().source;
        self.message.next.destination = self.tuple.val().destination;
        self.message.next.ports = self.tuple.val().ports;
        self.message.next.protocol = self.tuple.val().protocol;
        if self.second_slot_reg.q.val() {
            self.message.next = self.message_reg.q.val();
            if self.affinity_reg.q.val() == self.client_protocol.val() {
                self.message.next.ports = 0.into();
            }
            if self.affinity_reg.q.val() == self.client.val() {
                self.message.next.destination = 0.into();
                self.message.next.ports = 0.into();
                self.message.next.protocol = 0.into();
            }
        }
        self.message_reg.d.next = self.message.val();

        // Initialisation: the key, and the first block into word 3.
        self.key[0].next = self.settings.val().k0_low;
        self.key[1].next = self.settings.val().k0_high;
        self.key[2].next = self.settings.val().k1_low;
        self.key[3].next = self.settings.val().k1_high;
        self.entering[0].next = self.message_reg.q.val().source;
        self.entering[1].next = self.message_reg.q.val().destination;
        self.init_reg.d.next.v0a = self.init[0].val() ^ self.key[0].val().get_bits::<16>(0);
        self.init_reg.d.next.v0b = self.init[1].val() ^ self.key[0].val().get_bits::<16>(16);
        self.init_reg.d.next.v0c = self.init[2].val() ^ self.key[1].val().get_bits::<16>(0);
        self.init_reg.d.next.v0d = self.init[3].val() ^ self.key[1].val().get_bits::<16>(16);
        self.init_reg.d.next.v1a = self.init[4].val() ^ self.key[2].val().get_bits::<16>(0);
        self.init_reg.d.next.v1b = self.init[5].val() ^ self.key[2].val().get_bits::<16>(16);
        self.init_reg.d.next.v1c = self.init[6].val() ^ self.key[3].val().get_bits::<16>(0);
        self.init_reg.d.next.v1d = self.init[7].val() ^ self.key[3].val().get_bits::<16>(16);
        self.init_reg.d.next.v2a = self.init[8].val() ^ self.key[0].val().get_bits::<16>(0);
        self.init_reg.d.next.v2b = self.init[9].val() ^ self.key[0].val().get_bits::<16>(16);
        self.init_reg.d.next.v2c = self.init[10].val() ^ self.key[1].val().get_bits::<16>(0);
        self.init_reg.d.next.v2d = self.init[11].val() ^ self.key[1].val().get_bits::<16>(16);
        self.init_reg.d.next.v3a =
            (self.init[12].val() ^ self.key[2].val().get_bits::<16>(0)) ^ self.entering[0].val().get_bits::<16>(0);
        self.init_reg.d.next.v3b =
            (self.init[13].val() ^ self.key[2].val().get_bits::<16>(16)) ^ self.entering[0].val().get_bits::<16>(16);
        self.init_reg.d.next.v3c =
            (self.init[14].val() ^ self.key[3].val().get_bits::<16>(0)) ^ self.entering[1].val().get_bits::<16>(0);
        self.init_reg.d.next.v3d =
            (self.init[15].val() ^ self.key[3].val().get_bits::<16>(16)) ^ self.entering[1].val().get_bits::<16>(16);
        for i in 1..5 {
            self.block0_low_reg[i].d.next = self.block0_low_reg[i - 1].q.val();
            self.block0_high_reg[i].d.next = self.block0_high_reg[i - 1].q.val();
        }
        for i in 1..10 {
            self.block1_low_reg[i].d.next = self.block1_low_reg[i - 1].q.val();
            self.block1_high_reg[i].d.next = self.block1_high_reg[i - 1].q.val();
        }
        self.block0_low_reg[0].d.next = self.message_reg.q.val().source;
        self.block0_high_reg[0].d.next = self.message_reg.q.val().destination;
        self.block1_low_reg[0].d.next = self.message_reg.q.val().ports;
        self.block1_high_reg[0].d.next = bit_cast::<32, 8>(self.message_reg.q.val().protocol) | self.length_byte.val();

        // Round of block 0; then block 0 into word 0 and block 1 into word 3.
        self.first[0].s_state.next = self.init_reg.q.val();
        self.after_first[0].next = self.block0_low_reg[4].q.val();
        self.after_first[1].next = self.block0_high_reg[4].q.val();
        self.after_first[2].next = self.block1_low_reg[4].q.val();
        self.after_first[3].next = self.block1_high_reg[4].q.val();
        self.state0.next = self.second[0].m_state.val();
        self.merge_reg.d.next = self.second[0].m_state.val();
        self.merge_reg.d.next.v0a = self.state0.val().v0a ^ self.after_first[0].val().get_bits::<16>(0);
        self.merge_reg.d.next.v0b = self.state0.val().v0b ^ self.after_first[0].val().get_bits::<16>(16);
        self.merge_reg.d.next.v0c = self.state0.val().v0c ^ self.after_first[1].val().get_bits::<16>(0);
        self.merge_reg.d.next.v0d = self.state0.val().v0d ^ self.after_first[1].val().get_bits::<16>(16);
        self.merge_reg.d.next.v3a = self.state0.val().v3a ^ self.after_first[2].val().get_bits::<16>(0);
        self.merge_reg.d.next.v3b = self.state0.val().v3b ^ self.after_first[2].val().get_bits::<16>(16);
        self.merge_reg.d.next.v3c = self.state0.val().v3c ^ self.after_first[3].val().get_bits::<16>(0);
        self.merge_reg.d.next.v3d = self.state0.val().v3d ^ self.after_first[3].val().get_bits::<16>(16);

        // Round of block 1; then block 1 into word 0 and the finalisation constant into word 2.
        self.first[1].s_state.next = self.merge_reg.q.val();
        self.after_second[0].next = self.block1_low_reg[9].q.val();
        self.after_second[1].next = self.block1_high_reg[9].q.val();
        self.state1.next = self.second[1].m_state.val();
        self.final_reg.d.next = self.second[1].m_state.val();
        self.final_reg.d.next.v0a = self.state1.val().v0a ^ self.after_second[0].val().get_bits::<16>(0);
        self.final_reg.d.next.v0b = self.state1.val().v0b ^ self.after_second[0].val().get_bits::<16>(16);
        self.final_reg.d.next.v0c = self.state1.val().v0c ^ self.after_second[1].val().get_bits::<16>(0);
        self.final_reg.d.next.v0d = self.state1.val().v0d ^ self.after_second[1].val().get_bits::<16>(16);
        self.final_reg.d.next.v2a = self.state1.val().v2a ^ self.finalisation.val();

        // Three rounds of finalisation.
        self.first[2].s_state.next = self.final_reg.q.val();
        self.first[3].s_state.next = self.second[2].m_state.val();
        self.first[4].s_state.next = self.second[3].m_state.val();
        for i in 0..5 {
            self.second[i].s_state.next = self.first[i].m_state.val();
        }
        self.state4.next = self.second[4].m_state.val();
        self.lane[0].next =
            (self.state4.val().v0a ^ self.state4.val().v1a) ^ (self.state4.val().v2a ^ self.state4.val().v3a);
        self.lane[1].next =
            (self.state4.val().v0b ^ self.state4.val().v1b) ^ (self.state4.val().v2b ^ self.state4.val().v3b);
        self.lane[2].next =
            (self.state4.val().v0c ^ self.state4.val().v1c) ^ (self.state4.val().v2c ^ self.state4.val().v3c);
        self.lane[3].next =
            (self.state4.val().v0d ^ self.state4.val().v1d) ^ (self.state4.val().v2d ^ self.state4.val().v3d);
        self.hash_low_reg[0].d.next =
            bit_cast::<32, 16>(self.lane[0].val()) | (bit_cast::<32, 16>(self.lane[1].val()) << 16);
        self.hash_high_reg[0].d.next =
            bit_cast::<32, 16>(self.lane[2].val()) | (bit_cast::<32, 16>(self.lane[3].val()) << 16);
        self.hash_low_reg[1].d.next = self.hash_low_reg[0].q.val();
        self.hash_high_reg[1].d.next = self.hash_high_reg[0].q.val();

        // g has just come out, h the clock before.
        self.found_reg.d.next = (self.found_reg.q.val() << 1)
            | bit_cast::<26, 1>((self.take.val() & (self.head.val().verdict != 0)).into());
        self.result.next.h_low = self.hash_low_reg[1].q.val();
        self.result.next.h_high = self.hash_high_reg[1].q.val();
        self.result.next.g_low = self.hash_low_reg[0].q.val();
        self.result.next.g_high = self.hash_high_reg[0].q.val();
        if self.found_reg.q.val().get_bit(25) {
            self.result.next = self.no_hashes.val();
        }
        self.results.din.next = self.result.val();
        self.results.push.next = self.issue_reg.q.val().get_bit(25);
        self.m_valid.next = self.results.valid.val() & self.waiting.valid.val();
        self.m_frame.next = self.waiting.dout.val();
        self.m_hashes.next = self.results.dout.val();
        self.waiting.pop.next = self.m_ready.val();
        self.results.pop.next = self.m_ready.val();
        if self.reset.val() {
            self.second_slot_reg.d.next = false;
            self.issue_reg.d.next = 0.into();
            self.found_reg.d.next = 0.into();
        }
    }
}

/// Bytes of an IPv4 tuple: two addresses, two ports, the protocol.
const TUPLE_BYTES: u64 = 13;
