//! Control word and the settings that all frames share, written through the table port.

use maglane_spec::row::DatapathRow;
use maglane_spec::window;
use rust_hdl::prelude::*;

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
    /// TTL of the outer header.
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
    /// Service-hash multipliers of address words 0 and 1, sub-table 0.
    pub seed0_address: Bits<32>,
    /// Service-hash multipliers of port and protocol, sub-table 0.
    pub seed0_transport: Bits<32>,
    /// Service-hash multipliers of address words 0 and 1, sub-table 1.
    pub seed1_address: Bits<32>,
    /// Service-hash multipliers of port and protocol, sub-table 1.
    pub seed1_transport: Bits<32>,
}

/// The registers behind [`Settings`]. They change only while the pipeline does not serve.
#[derive(LogicBlock)]
pub struct Control {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous reset, active high: stops serving.
    pub reset: Signal<In, Bit>,
    /// Address on the table port; see [`window`].
    pub address: Signal<In, Bits<32>>,
    /// Word on the table port.
    pub data: Signal<In, Bits<32>>,
    /// Write enable of the table port.
    pub enable: Signal<In, Bit>,
    /// The settings.
    pub settings: Signal<Out, Settings>,
    serve_reg: DFF<Bit>,
    word_reg: [DFF<Bits<32>>; WORDS],
    mask_reg: DFF<Bits<16>>,
    region: Signal<Local, Bits<4>>,
    word_index: Signal<Local, Bits<28>>,
    entropy_word: Signal<Local, Bits<32>>,
    mask: Signal<Local, Bits<16>>,
    region_control: Constant<Bits<4>>,
    region_datapath: Constant<Bits<4>>,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            reset: Default::default(),
            address: Default::default(),
            data: Default::default(),
            enable: Default::default(),
            settings: Default::default(),
            serve_reg: Default::default(),
            word_reg: std::array::from_fn(|_| Default::default()),
            mask_reg: Default::default(),
            region: Default::default(),
            word_index: Default::default(),
            entropy_word: Default::default(),
            mask: Default::default(),
            region_control: Constant::new(u64::from(window::CONTROL).into()),
            region_datapath: Constant::new(u64::from(window::DATAPATH).into()),
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
    assert!(DatapathRow::SERVICE_SEED_OFFSET == 48);
};

impl Logic for Control {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, serve_reg, mask_reg);
        self.region.next = self.address.val().get_bits::<4>(28);
        self.word_index.next = self.address.val().get_bits::<28>(0);
        for i in 0..24 {
            self.word_reg[i].clock.next = self.clock.val();
            self.word_reg[i].d.next = self.word_reg[i].q.val();
            if (self.enable.val() & (self.region.val() == self.region_datapath.val()))
                & (self.word_index.val() == i.to_bits())
            {
                self.word_reg[i].d.next = self.data.val();
            }
        }
        if self.enable.val() & (self.region.val() == self.region_control.val()) {
            self.serve_reg.d.next = self.data.val().get_bit(0);
        }
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
        self.settings.next.seed0_address = self.word_reg[12].q.val();
        self.settings.next.seed0_transport = self.word_reg[16].q.val();
        self.settings.next.seed1_address = self.word_reg[17].q.val();
        self.settings.next.seed1_transport = self.word_reg[21].q.val();
        if self.reset.val() {
            self.serve_reg.d.next = false;
        }
    }
}
