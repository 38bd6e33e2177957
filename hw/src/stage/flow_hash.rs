//! Flow hash: SipHash-1-3 over the 5-tuple, once whole (h) and once as far as the service's affinity sees it (g).
//!
//! One pipelined hash unit serves both: a frame that needs it takes two slots, so such frames are at least two clocks
//! apart. Frames whose verdict has been found take one. An IPv6 tuple has five blocks; an IPv4 tuple has two and goes in
//! where the fourth of the five does, so both leave after the same time. The hashes wait beside their frame until
//! select takes both. Latency from the head of the queue: 39 clocks.

use maglane_spec::row::ServiceRow;
use maglane_spec::siphash;
use rust_hdl::prelude::*;

use crate::control::Settings;
use crate::fifo::Fifo;
use crate::frame::{Classified, Parsed, Tuple};
use crate::siphash::{Absorb, FirstHalf, SecondHalf, SipState};

/// What enters the hash unit: five message blocks as two words each. IPv4 has the last two.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Message {
    ipv6: Bit,
    block0_low: Bits<32>,
    block0_high: Bits<32>,
    block1_low: Bits<32>,
    block1_high: Bits<32>,
    block2_low: Bits<32>,
    block2_high: Bits<32>,
    block3_low: Bits<32>,
    block3_high: Bits<32>,
    block4_low: Bits<32>,
    block4_high: Bits<32>,
}

/// A tuple in its first slot, for the second.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Slot {
    ipv6: Bit,
    affinity: Bits<2>,
    tuple: Tuple,
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
    /// Its tuple.
    pub s_tuple: Signal<In, Tuple>,
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
    found_reg: DFF<Bits<37>>,
    no_hashes: Constant<Hashes>,
    queue: Fifo<Classified, 7>,
    tuples: Fifo<Tuple, 7>,
    waiting: Fifo<Classified, 7>,
    head: Signal<Local, Classified>,
    parsed: Signal<Local, Parsed>,
    take: Signal<Local, Bit>,
    second_slot_reg: DFF<Bit>,
    slot: Signal<Local, Slot>,
    slot_reg: DFF<Slot>,
    tuple: Signal<Local, Tuple>,
    message: Signal<Local, Message>,
    message_reg: [DFF<Message>; 23],
    issue_reg: DFF<Bits<37>>,
    init: Signal<Local, SipState>,
    init_reg: DFF<SipState>,
    third_reg: DFF<SipState>,
    hash_low_reg: [DFF<Bits<32>>; 2],
    hash_high_reg: [DFF<Bits<32>>; 2],
    first: [FirstHalf; 8],
    second: [SecondHalf; 8],
    // The words that are XORed into the state: lanes come from signals, never from fields.
    key: [Signal<Local, Bits<32>>; 4],
    entering: [Signal<Local, Bits<32>>; 2],
    absorb: [Absorb; 4],
    last_low: Signal<Local, Bits<32>>,
    last_high: Signal<Local, Bits<32>>,
    first_low: Signal<Local, Bits<32>>,
    first_high: Signal<Local, Bits<32>>,
    compressed: Signal<Local, SipState>,
    finalised: Signal<Local, SipState>,
    last_state: Signal<Local, SipState>,
    lane: [Signal<Local, Bits<16>>; 4],
    constants: [Constant<Bits<16>>; 16],
    length_byte: Constant<Bits<32>>,
    length_byte_v6: Constant<Bits<32>>,
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
            s_tuple: Default::default(),
            m_valid: Default::default(),
            m_ready: Default::default(),
            m_frame: Default::default(),
            m_hashes: Default::default(),
            results: Default::default(),
            result: Default::default(),
            found_reg: Default::default(),
            no_hashes: Constant::new(Hashes::default()),
            queue: Default::default(),
            tuples: Default::default(),
            waiting: Default::default(),
            head: Default::default(),
            parsed: Default::default(),
            take: Default::default(),
            second_slot_reg: Default::default(),
            slot: Default::default(),
            slot_reg: Default::default(),
            tuple: Default::default(),
            message: Default::default(),
            message_reg: std::array::from_fn(|_| Default::default()),
            issue_reg: Default::default(),
            init: Default::default(),
            init_reg: Default::default(),
            third_reg: Default::default(),
            hash_low_reg: std::array::from_fn(|_| Default::default()),
            hash_high_reg: std::array::from_fn(|_| Default::default()),
            first: std::array::from_fn(|_| Default::default()),
            second: std::array::from_fn(|_| Default::default()),
            key: std::array::from_fn(|_| Default::default()),
            entering: std::array::from_fn(|_| Default::default()),
            absorb: std::array::from_fn(|_| Default::default()),
            last_low: Default::default(),
            last_high: Default::default(),
            first_low: Default::default(),
            first_high: Default::default(),
            compressed: Default::default(),
            finalised: Default::default(),
            last_state: Default::default(),
            lane: std::array::from_fn(|_| Default::default()),
            constants: std::array::from_fn(|i| Constant::new((siphash::INIT[i / 4] >> (16 * (i % 4)) & 0xffff).into())),
            length_byte: Constant::new((TUPLE_BYTES << 24).into()),
            length_byte_v6: Constant::new((TUPLE_BYTES_V6 << 24).into()),
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
        dff_setup!(self, clock, second_slot_reg, slot_reg, issue_reg, found_reg, init_reg, third_reg);
        clock!(self, clock, queue, tuples, waiting, results);
        for i in 0..8 {
            self.first[i].clock.next = self.clock.val();
            self.second[i].clock.next = self.clock.val();
        }
        for i in 0..23 {
            self.message_reg[i].clock.next = self.clock.val();
        }
        for i in 0..2 {
            self.hash_low_reg[i].clock.next = self.clock.val();
            self.hash_high_reg[i].clock.next = self.clock.val();
        }
        self.queue.reset.next = self.reset.val();
        self.tuples.reset.next = self.reset.val();
        self.waiting.reset.next = self.reset.val();
        self.results.reset.next = self.reset.val();

        // Slots: the clock after a frame that is hashed belongs to its g.
        self.queue.din.next = self.s_frame.val();
        self.queue.push.next = self.s_valid.val();
        self.tuples.din.next = self.s_tuple.val();
        self.tuples.push.next = self.s_valid.val();
        self.head.next = self.queue.dout.val();
        self.parsed.next = self.head.val().parsed;
        self.take.next = self.queue.valid.val() & !self.second_slot_reg.q.val();
        self.queue.pop.next = self.take.val();
        self.tuples.pop.next = self.take.val();
        self.second_slot_reg.d.next = self.take.val() & (self.head.val().verdict == 0);
        self.waiting.din.next = self.head.val();
        self.waiting.push.next = self.take.val();
        self.issue_reg.d.next = (self.issue_reg.q.val() << 1) | bit_cast::<37, 1>(self.take.val().into());

        // The tuple, or what the affinity sees of it.
        self.slot.next.ipv6 = self.parsed.val().ipv6;
        self.slot.next.affinity = self.head.val().affinity;
        self.slot.next.tuple = self.tuples.dout.val();
        self.tuple.next = self.tuples.dout.val();
        if self.second_slot_reg.q.val() {
            self.slot.next = self.slot_reg.q.val();
            self.tuple.next = self.slot_reg.q.val().tuple;
            if self.slot_reg.q.val().affinity == self.client_protocol.val() {
                self.tuple.next.ports = 0.into();
            }
            if self.slot_reg.q.val().affinity == self.client.val() {
                self.tuple.next.destination0 = 0.into();
                self.tuple.next.destination1 = 0.into();
                self.tuple.next.destination2 = 0.into();
                self.tuple.next.destination3 = 0.into();
                self.tuple.next.ports = 0.into();
                self.tuple.next.protocol = 0.into();
            }
        }
        self.slot_reg.d.next = self.slot.val();
        self.message.next.ipv6 = self.slot.val().ipv6;
        self.message.next.block0_low = self.tuple.val().source0;
        self.message.next.block0_high = self.tuple.val().source1;
        self.message.next.block1_low = self.tuple.val().source2;
        self.message.next.block1_high = self.tuple.val().source3;
        self.message.next.block2_low = self.tuple.val().destination0;
        self.message.next.block2_high = self.tuple.val().destination1;
        self.message.next.block3_low = self.tuple.val().source0;
        self.message.next.block3_high = self.tuple.val().destination0;
        self.message.next.block4_low = self.tuple.val().ports;
        self.message.next.block4_high = bit_cast::<32, 8>(self.tuple.val().protocol) | self.length_byte.val();
        if self.slot.val().ipv6 {
            self.message.next.block3_low = self.tuple.val().destination2;
            self.message.next.block3_high = self.tuple.val().destination3;
            self.message.next.block4_high = bit_cast::<32, 8>(self.tuple.val().protocol) | self.length_byte_v6.val();
        }
        self.message_reg[0].d.next = self.message.val();
        for i in 1..23 {
            self.message_reg[i].d.next = self.message_reg[i - 1].q.val();
        }

        // Initialisation: the key, and the first block into word 3.
        self.key[0].next = self.settings.val().k0_low;
        self.key[1].next = self.settings.val().k0_high;
        self.key[2].next = self.settings.val().k1_low;
        self.key[3].next = self.settings.val().k1_high;
        self.init.next.v0a = self.constants[0].val() ^ self.key[0].val().get_bits::<16>(0);
        self.init.next.v0b = self.constants[1].val() ^ self.key[0].val().get_bits::<16>(16);
        self.init.next.v0c = self.constants[2].val() ^ self.key[1].val().get_bits::<16>(0);
        self.init.next.v0d = self.constants[3].val() ^ self.key[1].val().get_bits::<16>(16);
        self.init.next.v1a = self.constants[4].val() ^ self.key[2].val().get_bits::<16>(0);
        self.init.next.v1b = self.constants[5].val() ^ self.key[2].val().get_bits::<16>(16);
        self.init.next.v1c = self.constants[6].val() ^ self.key[3].val().get_bits::<16>(0);
        self.init.next.v1d = self.constants[7].val() ^ self.key[3].val().get_bits::<16>(16);
        self.init.next.v2a = self.constants[8].val() ^ self.key[0].val().get_bits::<16>(0);
        self.init.next.v2b = self.constants[9].val() ^ self.key[0].val().get_bits::<16>(16);
        self.init.next.v2c = self.constants[10].val() ^ self.key[1].val().get_bits::<16>(0);
        self.init.next.v2d = self.constants[11].val() ^ self.key[1].val().get_bits::<16>(16);
        self.init.next.v3a = self.constants[12].val() ^ self.key[2].val().get_bits::<16>(0);
        self.init.next.v3b = self.constants[13].val() ^ self.key[2].val().get_bits::<16>(16);
        self.init.next.v3c = self.constants[14].val() ^ self.key[3].val().get_bits::<16>(0);
        self.init.next.v3d = self.constants[15].val() ^ self.key[3].val().get_bits::<16>(16);
        self.entering[0].next = self.message_reg[0].q.val().block0_low;
        self.entering[1].next = self.message_reg[0].q.val().block0_high;
        self.init_reg.d.next = self.init.val();
        self.init_reg.d.next.v3a = self.init.val().v3a ^ self.entering[0].val().get_bits::<16>(0);
        self.init_reg.d.next.v3b = self.init.val().v3b ^ self.entering[0].val().get_bits::<16>(16);
        self.init_reg.d.next.v3c = self.init.val().v3c ^ self.entering[1].val().get_bits::<16>(0);
        self.init_reg.d.next.v3d = self.init.val().v3d ^ self.entering[1].val().get_bits::<16>(16);

        // After the round of a block it goes into word 0, and the next one into word 3; after that of the last block the
        // finalisation constant goes into word 2. A round takes four clocks.
        self.absorb[0].s_state.next = self.second[0].m_state.val();
        self.absorb[0].done_low.next = self.message_reg[5].q.val().block0_low;
        self.absorb[0].done_high.next = self.message_reg[5].q.val().block0_high;
        self.absorb[0].next_low.next = self.message_reg[5].q.val().block1_low;
        self.absorb[0].next_high.next = self.message_reg[5].q.val().block1_high;
        self.absorb[1].s_state.next = self.second[1].m_state.val();
        self.absorb[1].done_low.next = self.message_reg[9].q.val().block1_low;
        self.absorb[1].done_high.next = self.message_reg[9].q.val().block1_high;
        self.absorb[1].next_low.next = self.message_reg[9].q.val().block2_low;
        self.absorb[1].next_high.next = self.message_reg[9].q.val().block2_high;
        self.absorb[2].s_state.next = self.second[2].m_state.val();
        self.absorb[2].done_low.next = self.message_reg[13].q.val().block2_low;
        self.absorb[2].done_high.next = self.message_reg[13].q.val().block2_high;
        self.absorb[2].next_low.next = self.message_reg[13].q.val().block3_low;
        self.absorb[2].next_high.next = self.message_reg[13].q.val().block3_high;
        self.absorb[3].s_state.next = self.second[3].m_state.val();
        self.absorb[3].done_low.next = self.message_reg[18].q.val().block3_low;
        self.absorb[3].done_high.next = self.message_reg[18].q.val().block3_high;
        self.absorb[3].next_low.next = self.message_reg[18].q.val().block4_low;
        self.absorb[3].next_high.next = self.message_reg[18].q.val().block4_high;
        self.last_low.next = self.message_reg[22].q.val().block4_low;
        self.last_high.next = self.message_reg[22].q.val().block4_high;
        self.compressed.next = self.second[4].m_state.val();
        self.finalised.next = self.second[4].m_state.val();
        self.finalised.next.v0a = self.compressed.val().v0a ^ self.last_low.val().get_bits::<16>(0);
        self.finalised.next.v0b = self.compressed.val().v0b ^ self.last_low.val().get_bits::<16>(16);
        self.finalised.next.v0c = self.compressed.val().v0c ^ self.last_high.val().get_bits::<16>(0);
        self.finalised.next.v0d = self.compressed.val().v0d ^ self.last_high.val().get_bits::<16>(16);
        self.finalised.next.v2a = self.compressed.val().v2a ^ self.finalisation.val();

        // Before its fourth round an IPv6 message has had three; an IPv4 message begins there.
        self.third_reg.d.next = self.absorb[2].m_state.val();
        self.first_low.next = self.message_reg[13].q.val().block3_low;
        self.first_high.next = self.message_reg[13].q.val().block3_high;
        if !self.message_reg[13].q.val().ipv6 {
            self.third_reg.d.next = self.init.val();
            self.third_reg.d.next.v3a = self.init.val().v3a ^ self.first_low.val().get_bits::<16>(0);
            self.third_reg.d.next.v3b = self.init.val().v3b ^ self.first_low.val().get_bits::<16>(16);
            self.third_reg.d.next.v3c = self.init.val().v3c ^ self.first_high.val().get_bits::<16>(0);
            self.third_reg.d.next.v3d = self.init.val().v3d ^ self.first_high.val().get_bits::<16>(16);
        }
        self.first[0].s_state.next = self.init_reg.q.val();
        self.first[1].s_state.next = self.absorb[0].m_state.val();
        self.first[2].s_state.next = self.absorb[1].m_state.val();
        self.first[3].s_state.next = self.third_reg.q.val();
        self.first[4].s_state.next = self.absorb[3].m_state.val();

        // Three rounds of finalisation.
        self.first[5].s_state.next = self.finalised.val();
        self.first[6].s_state.next = self.second[5].m_state.val();
        self.first[7].s_state.next = self.second[6].m_state.val();
        for i in 0..8 {
            self.second[i].s_state.next = self.first[i].m_state.val();
        }
        self.last_state.next = self.second[7].m_state.val();
        self.lane[0].next = (self.last_state.val().v0a ^ self.last_state.val().v1a)
            ^ (self.last_state.val().v2a ^ self.last_state.val().v3a);
        self.lane[1].next = (self.last_state.val().v0b ^ self.last_state.val().v1b)
            ^ (self.last_state.val().v2b ^ self.last_state.val().v3b);
        self.lane[2].next = (self.last_state.val().v0c ^ self.last_state.val().v1c)
            ^ (self.last_state.val().v2c ^ self.last_state.val().v3c);
        self.lane[3].next = (self.last_state.val().v0d ^ self.last_state.val().v1d)
            ^ (self.last_state.val().v2d ^ self.last_state.val().v3d);
        self.hash_low_reg[0].d.next =
            bit_cast::<32, 16>(self.lane[0].val()) | (bit_cast::<32, 16>(self.lane[1].val()) << 16);
        self.hash_high_reg[0].d.next =
            bit_cast::<32, 16>(self.lane[2].val()) | (bit_cast::<32, 16>(self.lane[3].val()) << 16);
        self.hash_low_reg[1].d.next = self.hash_low_reg[0].q.val();
        self.hash_high_reg[1].d.next = self.hash_high_reg[0].q.val();

        // g has just come out, h the clock before.
        self.found_reg.d.next = (self.found_reg.q.val() << 1)
            | bit_cast::<37, 1>((self.take.val() & (self.head.val().verdict != 0)).into());
        self.result.next.h_low = self.hash_low_reg[1].q.val();
        self.result.next.h_high = self.hash_high_reg[1].q.val();
        self.result.next.g_low = self.hash_low_reg[0].q.val();
        self.result.next.g_high = self.hash_high_reg[0].q.val();
        if self.found_reg.q.val().get_bit(36) {
            self.result.next = self.no_hashes.val();
        }
        self.results.din.next = self.result.val();
        self.results.push.next = self.issue_reg.q.val().get_bit(36);
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
/// Bytes of an IPv6 tuple.
const TUPLE_BYTES_V6: u64 = 37;
