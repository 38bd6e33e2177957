//! AXI4-Stream ports and the register slice that stands at every external one.
//!
//! # Source
//! Arm IHI 0051B, AMBA AXI-Stream protocol specification, section 2.2 (handshake) and 2.4 (byte qualifiers).

use rust_hdl::prelude::*;

/// Receiving side of a stream. Byte 0 of a beat is the lowest lane; only the last beat may have null bytes, at its
/// end.
#[derive(LogicInterface, Default)]
#[join = "AxisM"]
pub struct AxisS<const D: usize, const K: usize, const U: usize> {
    /// Data lanes.
    pub tdata: Signal<In, Bits<D>>,
    /// Which lanes hold bytes of the frame.
    pub tkeep: Signal<In, Bits<K>>,
    /// Last beat of the frame.
    pub tlast: Signal<In, Bit>,
    /// Sideband, constant over the frame.
    pub tuser: Signal<In, Bits<U>>,
    /// The sender offers a beat.
    pub tvalid: Signal<In, Bit>,
    /// The receiver takes it.
    pub tready: Signal<Out, Bit>,
}

/// Sending side of a stream; see [`AxisS`].
#[derive(LogicInterface, Default)]
#[join = "AxisS"]
pub struct AxisM<const D: usize, const K: usize, const U: usize> {
    /// Data lanes.
    pub tdata: Signal<Out, Bits<D>>,
    /// Which lanes hold bytes of the frame.
    pub tkeep: Signal<Out, Bits<K>>,
    /// Last beat of the frame.
    pub tlast: Signal<Out, Bit>,
    /// Sideband, constant over the frame.
    pub tuser: Signal<Out, Bits<U>>,
    /// The sender offers a beat.
    pub tvalid: Signal<Out, Bit>,
    /// The receiver takes it.
    pub tready: Signal<In, Bit>,
}

/// A register slice of two entries: breaks the combinational path of both valid and ready.
#[derive(LogicBlock, Default)]
pub struct Skid<const D: usize, const K: usize, const U: usize> {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous reset, active high.
    pub reset: Signal<In, Bit>,
    /// Input.
    pub s_axis: AxisS<D, K, U>,
    /// Output.
    pub m_axis: AxisM<D, K, U>,
    data_reg: DFF<Bits<D>>,
    keep_reg: DFF<Bits<K>>,
    last_reg: DFF<Bit>,
    user_reg: DFF<Bits<U>>,
    valid_reg: DFF<Bit>,
    spare_data_reg: DFF<Bits<D>>,
    spare_keep_reg: DFF<Bits<K>>,
    spare_last_reg: DFF<Bit>,
    spare_user_reg: DFF<Bits<U>>,
    spare_valid_reg: DFF<Bit>,
}

impl<const D: usize, const K: usize, const U: usize> Logic for Skid<D, K, U> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            data_reg,
            keep_reg,
            last_reg,
            user_reg,
            valid_reg,
            spare_data_reg,
            spare_keep_reg,
            spare_last_reg,
            spare_user_reg,
            spare_valid_reg
        );
        self.s_axis.tready.next = !self.spare_valid_reg.q.val();
        self.m_axis.tdata.next = self.data_reg.q.val();
        self.m_axis.tkeep.next = self.keep_reg.q.val();
        self.m_axis.tlast.next = self.last_reg.q.val();
        self.m_axis.tuser.next = self.user_reg.q.val();
        self.m_axis.tvalid.next = self.valid_reg.q.val();
        if self.m_axis.tready.val() | !self.valid_reg.q.val() {
            if self.spare_valid_reg.q.val() {
                self.data_reg.d.next = self.spare_data_reg.q.val();
                self.keep_reg.d.next = self.spare_keep_reg.q.val();
                self.last_reg.d.next = self.spare_last_reg.q.val();
                self.user_reg.d.next = self.spare_user_reg.q.val();
                self.valid_reg.d.next = true;
                self.spare_valid_reg.d.next = false;
            } else {
                self.data_reg.d.next = self.s_axis.tdata.val();
                self.keep_reg.d.next = self.s_axis.tkeep.val();
                self.last_reg.d.next = self.s_axis.tlast.val();
                self.user_reg.d.next = self.s_axis.tuser.val();
                self.valid_reg.d.next = self.s_axis.tvalid.val();
            }
        } else if self.s_axis.tvalid.val() & !self.spare_valid_reg.q.val() {
            self.spare_data_reg.d.next = self.s_axis.tdata.val();
            self.spare_keep_reg.d.next = self.s_axis.tkeep.val();
            self.spare_last_reg.d.next = self.s_axis.tlast.val();
            self.spare_user_reg.d.next = self.s_axis.tuser.val();
            self.spare_valid_reg.d.next = true;
        }
        if self.reset.val() {
            self.valid_reg.d.next = false;
            self.spare_valid_reg.d.next = false;
        }
    }
}
