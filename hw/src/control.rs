//! Control words, the settings that all frames share, and the change of sides: what is staged becomes what is served.

use maglane_spec::limit::TIMEOUT_TICKS_MAX;
use maglane_spec::row::DatapathRow;
use maglane_spec::window;
use rust_hdl::prelude::*;

use crate::flow_table::sweeper::Timeouts;

const WORDS: usize = DatapathRow::BYTES / 4;

/// Settings of the datapath, as wires to the stages. Byte fields are in lane order.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Settings {
    /// Clear: every frame is passed to the host.
    pub serve: Bit,
    /// First four bytes of our MAC.
    pub mac_low: Bits<32>,
    /// Last two bytes of our MAC.
    pub mac_high: Bits<16>,
    /// Frames for another MAC are passed to the host.
    pub check_mac: Bit,
    /// TTL or hop limit of the outer header.
    pub ttl: Bits<8>,
    /// Outer IPv4 source.
    pub tunnel_source: Bits<32>,
    /// Low bits of the outer source (as a number) that hash bits replace.
    pub entropy_mask: Bits<16>,
    /// Hash key k0, low half.
    pub k0_low: Bits<32>,
    /// Hash key k0, high half.
    pub k0_high: Bits<32>,
    /// Hash key k1, low half.
    pub k1_low: Bits<32>,
    /// Hash key k1, high half.
    pub k1_high: Bits<32>,
    /// Outer IPv6 source, word 0.
    pub tunnel_v6_0: Bits<32>,
    /// Outer IPv6 source, word 1.
    pub tunnel_v6_1: Bits<32>,
    /// Outer IPv6 source, word 2.
    pub tunnel_v6_2: Bits<32>,
    /// Outer IPv6 source, word 3.
    pub tunnel_v6_3: Bits<32>,
    /// Service-hash multipliers of address words 0 and 1, sub-table 0.
    pub seed0_address0: Bits<32>,
    /// Service-hash multipliers of address words 2 and 3, sub-table 0.
    pub seed0_address1: Bits<32>,
    /// Service-hash multipliers of address words 4 and 5, sub-table 0.
    pub seed0_address2: Bits<32>,
    /// Service-hash multipliers of address words 6 and 7, sub-table 0.
    pub seed0_address3: Bits<32>,
    /// Service-hash multipliers of port and protocol, sub-table 0.
    pub seed0_transport: Bits<32>,
    /// Service-hash multipliers of address words 0 and 1, sub-table 1.
    pub seed1_address0: Bits<32>,
    /// Service-hash multipliers of address words 2 and 3, sub-table 1.
    pub seed1_address1: Bits<32>,
    /// Service-hash multipliers of address words 4 and 5, sub-table 1.
    pub seed1_address2: Bits<32>,
    /// Service-hash multipliers of address words 6 and 7, sub-table 1.
    pub seed1_address3: Bits<32>,
    /// Service-hash multipliers of port and protocol, sub-table 1.
    pub seed1_transport: Bits<32>,
}

/// The registers behind [`Settings`], twice: what is staged, and what is served since the last commit.
#[derive(LogicBlock)]
pub struct Control {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous reset, active high: stops serving, forgets what waits, and goes back to side 0.
    pub reset: Signal<In, Bit>,
    /// Address on the port; see [`window`].
    pub address: Signal<In, Bits<32>>,
    /// Word on the port.
    pub data: Signal<In, Bits<32>>,
    /// Write enable of the port.
    pub enable: Signal<In, Bit>,
    /// Word of the control words or of what is staged of the settings at the address, three clocks later.
    pub read_data: Signal<Out, Bits<32>>,
    /// In this clock a word for a table, or a commit, is lost.
    pub lost: Signal<Out, Bit>,
    /// No frame is inside.
    pub drained: Signal<In, Bit>,
    /// A commit or another mode waits for the frames inside: none may start, and no table is written.
    pub hold: Signal<Out, Bit>,
    /// Side of the tables that serves.
    pub side: Signal<Out, Bit>,
    /// Commits since reset.
    pub generation: Signal<Out, Bits<32>>,
    /// The settings.
    pub settings: Signal<Out, Settings>,
    /// Timeouts of the flow table.
    pub timeouts: Signal<Out, Timeouts>,
    /// Length of a tick in milliseconds.
    pub tick_ms: Signal<Out, Bits<32>>,
    /// Clocks per millisecond; 0 when the card does not count time.
    pub clocks_per_ms: Signal<Out, Bits<20>>,
    /// The tick is set in this clock.
    pub set_tick: Signal<Out, Bit>,
    /// To this value.
    pub set_tick_value: Signal<Out, Bits<6>>,
    /// And the timeouts hold from then on.
    pub set_timeouts: Signal<Out, Bit>,
    serve_reg: DFF<Bit>,
    mode_reg: DFF<Bit>,
    mode_pending_reg: DFF<Bit>,
    staged_reg: [DFF<Bits<32>>; WORDS],
    word_reg: [DFF<Bits<32>>; WORDS],
    pending_reg: DFF<Bit>,
    generation_reg: DFF<Bits<32>>,
    waits: Signal<Local, Bit>,
    flip: Signal<Local, Bit>,
    settles: Signal<Local, Bit>,
    read_index_reg: [DFF<Bits<5>>; 2],
    read_control_reg: [DFF<Bit>; 2],
    group: [Signal<Local, Bits<32>>; 4],
    group_reg: [DFF<Bits<32>>; 4],
    read_data_reg: DFF<Bits<32>>,
    to_table: Signal<Local, Bit>,
    mask_reg: DFF<Bits<16>>,
    clocks_per_ms_reg: DFF<Bits<20>>,
    set_tick_reg: DFF<Bit>,
    set_tick_value_reg: DFF<Bits<6>>,
    set_timeouts_reg: DFF<Bit>,
    timeouts_reg: DFF<Timeouts>,
    timeout: [Signal<Local, Bits<8>>; 3],
    clamped: [Signal<Local, Bits<6>>; 3],
    to_control: Signal<Local, Bit>,
    timeout_max: Constant<Bits<8>>,
    region: Signal<Local, Bits<4>>,
    word_index: Signal<Local, Bits<24>>,
    entropy_word: Signal<Local, Bits<32>>,
    mask: Signal<Local, Bits<16>>,
    region_control: Constant<Bits<4>>,
    region_datapath: Constant<Bits<4>>,
    region_service: Constant<Bits<4>>,
    region_lookup: Constant<Bits<4>>,
    region_backend: Constant<Bits<4>>,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            reset: Default::default(),
            address: Default::default(),
            data: Default::default(),
            enable: Default::default(),
            read_data: Default::default(),
            lost: Default::default(),
            drained: Default::default(),
            hold: Default::default(),
            side: Default::default(),
            generation: Default::default(),
            settings: Default::default(),
            timeouts: Default::default(),
            tick_ms: Default::default(),
            clocks_per_ms: Default::default(),
            set_tick: Default::default(),
            set_tick_value: Default::default(),
            set_timeouts: Default::default(),
            clocks_per_ms_reg: Default::default(),
            set_tick_reg: Default::default(),
            set_tick_value_reg: Default::default(),
            set_timeouts_reg: Default::default(),
            timeouts_reg: Default::default(),
            timeout: std::array::from_fn(|_| Default::default()),
            clamped: std::array::from_fn(|_| Default::default()),
            to_control: Default::default(),
            timeout_max: Constant::new(u64::from(TIMEOUT_TICKS_MAX).into()),
            serve_reg: Default::default(),
            mode_reg: Default::default(),
            mode_pending_reg: Default::default(),
            staged_reg: std::array::from_fn(|_| Default::default()),
            word_reg: std::array::from_fn(|_| Default::default()),
            pending_reg: Default::default(),
            generation_reg: Default::default(),
            waits: Default::default(),
            flip: Default::default(),
            settles: Default::default(),
            read_index_reg: std::array::from_fn(|_| Default::default()),
            read_control_reg: std::array::from_fn(|_| Default::default()),
            group: std::array::from_fn(|_| Default::default()),
            group_reg: std::array::from_fn(|_| Default::default()),
            read_data_reg: Default::default(),
            to_table: Default::default(),
            mask_reg: Default::default(),
            region: Default::default(),
            word_index: Default::default(),
            entropy_word: Default::default(),
            mask: Default::default(),
            region_control: Constant::new(u64::from(window::CONTROL).into()),
            region_datapath: Constant::new(u64::from(window::DATAPATH).into()),
            region_service: Constant::new(u64::from(window::SERVICE).into()),
            region_lookup: Constant::new(u64::from(window::LOOKUP).into()),
            region_backend: Constant::new(u64::from(window::BACKEND).into()),
        }
    }
}

// The slices below follow the row's layout; a change there must stop the build here.
const _: () = {
    assert!(WORDS == 24);
    assert!(DatapathRow::HASH_KEY_OFFSET == 0);
    assert!(DatapathRow::MAC_OFFSET == 16);
    assert!(DatapathRow::TTL_OFFSET == 22);
    assert!(DatapathRow::FLAGS_OFFSET == 23);
    assert!(DatapathRow::FLAG_CHECK_MAC == 1);
    assert!(DatapathRow::TUNNEL_SOURCE_V4_OFFSET == 24);
    assert!(DatapathRow::SOURCE_ENTROPY_BITS_OFFSET == 28);
    assert!(DatapathRow::TUNNEL_SOURCE_V6_OFFSET == 32);
    assert!(DatapathRow::SERVICE_SEED_OFFSET == 48);
    assert!(DatapathRow::TICK_MS_OFFSET == 88);
    assert!(DatapathRow::TIMEOUT_TICKS_OFFSET == 92);
    assert!(window::CONTROL_MODE == 0 && window::CONTROL_TICK == 1);
    assert!(window::CONTROL_CLOCKS_PER_MS == 2 && window::CONTROL_COMMIT == 3);
};

impl Logic for Control {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            serve_reg,
            mode_reg,
            mode_pending_reg,
            read_data_reg,
            set_timeouts_reg,
            mask_reg,
            clocks_per_ms_reg,
            set_tick_reg,
            set_tick_value_reg,
            timeouts_reg,
            pending_reg,
            generation_reg
        );
        for i in 0..2 {
            self.read_index_reg[i].clock.next = self.clock.val();
            self.read_control_reg[i].clock.next = self.clock.val();
        }
        for i in 0..4 {
            self.group_reg[i].clock.next = self.clock.val();
        }
        self.region.next = self.address.val().get_bits::<4>(28);
        self.word_index.next = self.address.val().get_bits::<24>(0);
        // The sides and the mode change when the last frame has left.
        self.waits.next = self.pending_reg.q.val() | self.mode_pending_reg.q.val();
        self.settles.next = self.mode_pending_reg.q.val() & self.drained.val();
        self.flip.next = self.pending_reg.q.val() & self.drained.val();
        if self.flip.val() {
            self.pending_reg.d.next = false;
            self.generation_reg.d.next = self.generation_reg.q.val() + 1;
        }
        self.hold.next = self.waits.val();
        self.generation.next = self.generation_reg.q.val();
        self.side.next = self.generation_reg.q.val().get_bit(0);
        for i in 0..24 {
            self.staged_reg[i].clock.next = self.clock.val();
            self.word_reg[i].clock.next = self.clock.val();
            self.staged_reg[i].d.next = self.staged_reg[i].q.val();
            self.word_reg[i].d.next = self.word_reg[i].q.val();
            if ((self.enable.val() & !self.waits.val()) & (self.region.val() == self.region_datapath.val()))
                & (self.word_index.val() == i.to_bits())
            {
                self.staged_reg[i].d.next = self.data.val();
            }
            if self.flip.val() {
                self.word_reg[i].d.next = self.staged_reg[i].q.val();
            }
        }
        self.to_control.next = self.enable.val() & (self.region.val() == self.region_control.val());
        if self.settles.val() {
            self.serve_reg.d.next = self.mode_reg.q.val();
            self.mode_pending_reg.d.next = false;
        }
        if self.to_control.val() & (self.word_index.val() == 0) {
            self.mode_reg.d.next = self.data.val().get_bit(0);
            self.mode_pending_reg.d.next = true;
        }
        self.set_tick_reg.d.next = self.to_control.val() & (self.word_index.val() == 1);
        self.set_tick_value_reg.d.next = self.data.val().get_bits::<6>(0);
        self.set_timeouts_reg.d.next = self.data.val().get_bit(8);
        if self.to_control.val() & (self.word_index.val() == 2) {
            self.clocks_per_ms_reg.d.next = self.data.val().get_bits::<20>(0);
        }
        if (self.to_control.val() & (self.word_index.val() == 3)) & !self.waits.val() {
            self.pending_reg.d.next = true;
        }
        self.to_table.next = ((self.region.val() == self.region_datapath.val())
            | (self.region.val() == self.region_service.val()))
            | ((self.region.val() == self.region_lookup.val()) | (self.region.val() == self.region_backend.val()));
        self.lost.next = self.waits.val()
            & ((self.enable.val() & self.to_table.val()) | (self.to_control.val() & (self.word_index.val() == 3)));
        self.set_tick.next = self.set_tick_reg.q.val();
        self.set_tick_value.next = self.set_tick_value_reg.q.val();
        self.set_timeouts.next = self.set_timeouts_reg.q.val();
        self.clocks_per_ms.next = self.clocks_per_ms_reg.q.val();
        self.tick_ms.next = self.word_reg[22].q.val();
        self.timeout[0].next = self.word_reg[23].q.val().get_bits::<8>(0);
        self.timeout[1].next = self.word_reg[23].q.val().get_bits::<8>(8);
        self.timeout[2].next = self.word_reg[23].q.val().get_bits::<8>(16);
        for i in 0..3 {
            self.clamped[i].next = self.timeout[i].val().get_bits::<6>(0);
            if self.timeout[i].val() > self.timeout_max.val() {
                self.clamped[i].next = self.timeout_max.val().get_bits::<6>(0);
            }
        }
        self.timeouts_reg.d.next.fresh = self.clamped[0].val();
        self.timeouts_reg.d.next.established = self.clamped[1].val();
        self.timeouts_reg.d.next.closing = self.clamped[2].val();
        self.timeouts.next = self.timeouts_reg.q.val();

        // Reads: eight words of a group, then one of the groups.
        self.read_index_reg[0].d.next = self.word_index.val().get_bits::<5>(0);
        self.read_index_reg[1].d.next = self.read_index_reg[0].q.val();
        self.read_control_reg[0].d.next = self.region.val() == self.region_control.val();
        self.read_control_reg[1].d.next = self.read_control_reg[0].q.val();
        self.group[0].next = 0.into();
        self.group[1].next = 0.into();
        self.group[2].next = 0.into();
        self.group[3].next = 0.into();
        for i in 0_usize..8_usize {
            if self.read_index_reg[0].q.val().get_bits::<3>(0) == i.to_bits() {
                self.group[0].next = self.staged_reg[i].q.val();
                self.group[1].next = self.staged_reg[i + 8].q.val();
                self.group[2].next = self.staged_reg[i + 16].q.val();
            }
        }
        if self.read_index_reg[0].q.val() == 0 {
            self.group[3].next = bit_cast::<32, 1>(self.serve_reg.q.val().into());
        } else if self.read_index_reg[0].q.val() == 2 {
            self.group[3].next = bit_cast::<32, 20>(self.clocks_per_ms_reg.q.val());
        }
        for i in 0..4 {
            self.group_reg[i].d.next = self.group[i].val();
        }
        self.read_data_reg.d.next = self.group_reg[0].q.val();
        if self.read_control_reg[1].q.val() {
            self.read_data_reg.d.next = self.group_reg[3].q.val();
        } else if self.read_index_reg[1].q.val().get_bit(3) {
            self.read_data_reg.d.next = self.group_reg[1].q.val();
        } else if self.read_index_reg[1].q.val().get_bit(4) {
            self.read_data_reg.d.next = self.group_reg[2].q.val();
        }
        self.read_data.next = self.read_data_reg.q.val();

        // A thermometer of as many bits as the word's low byte says, sixteen at most.
        self.entropy_word.next = self.word_reg[7].q.val() & 0xFF;
        self.mask.next = 0.into();
        for i in 0_usize..16_usize {
            if self.entropy_word.val() > i.to_bits() {
                self.mask.next = (self.mask.val() << 1) | 1;
            }
        }
        self.mask_reg.d.next = self.mask.val();
        self.settings.next.serve = self.serve_reg.q.val();
        self.settings.next.k0_low = self.word_reg[0].q.val();
        self.settings.next.k0_high = self.word_reg[1].q.val();
        self.settings.next.k1_low = self.word_reg[2].q.val();
        self.settings.next.k1_high = self.word_reg[3].q.val();
        self.settings.next.mac_low = self.word_reg[4].q.val();
        self.settings.next.mac_high = self.word_reg[5].q.val().get_bits::<16>(0);
        self.settings.next.ttl = self.word_reg[5].q.val().get_bits::<8>(16);
        self.settings.next.check_mac = self.word_reg[5].q.val().get_bit(24);
        self.settings.next.tunnel_source = self.word_reg[6].q.val();
        self.settings.next.entropy_mask = self.mask_reg.q.val();
        self.settings.next.tunnel_v6_0 = self.word_reg[8].q.val();
        self.settings.next.tunnel_v6_1 = self.word_reg[9].q.val();
        self.settings.next.tunnel_v6_2 = self.word_reg[10].q.val();
        self.settings.next.tunnel_v6_3 = self.word_reg[11].q.val();
        self.settings.next.seed0_address0 = self.word_reg[12].q.val();
        self.settings.next.seed0_address1 = self.word_reg[13].q.val();
        self.settings.next.seed0_address2 = self.word_reg[14].q.val();
        self.settings.next.seed0_address3 = self.word_reg[15].q.val();
        self.settings.next.seed0_transport = self.word_reg[16].q.val();
        self.settings.next.seed1_address0 = self.word_reg[17].q.val();
        self.settings.next.seed1_address1 = self.word_reg[18].q.val();
        self.settings.next.seed1_address2 = self.word_reg[19].q.val();
        self.settings.next.seed1_address3 = self.word_reg[20].q.val();
        self.settings.next.seed1_transport = self.word_reg[21].q.val();
        if self.reset.val() {
            self.serve_reg.d.next = false;
            self.mode_reg.d.next = false;
            self.mode_pending_reg.d.next = false;
            self.set_tick_reg.d.next = false;
            self.pending_reg.d.next = false;
            self.generation_reg.d.next = 0.into();
            self.clocks_per_ms_reg.d.next = 0.into();
        }
    }
}
