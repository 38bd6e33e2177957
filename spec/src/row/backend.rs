//! A backend's row.

use core::mem::{offset_of, size_of};

use bytemuck::{Pod, Zeroable};

use super::ROW_BYTES;
use crate::endian::U16Le;

/// Where and how frames for a backend leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct BackendRow {
    /// Address of the backend, network order; IPv4 in the first four bytes, the rest zero.
    pub address: [u8; 16],
    /// Destination MAC of the outer frame.
    pub next_hop_mac: [u8; 6],
    /// Largest outer IP packet, header included, in bytes.
    pub mtu: U16Le,
    /// Id of the service that the backend belongs to.
    pub service: U16Le,
    /// One of the `ENCAPSULATION_` codes.
    pub encapsulation: u8,
    /// One of the `STATE_` codes.
    pub state: u8,
    /// Load for two-choice selection.
    pub load: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

impl BackendRow {
    /// No encapsulation: an unused row. Frames that reach it are `pass_unsupported`.
    pub const ENCAPSULATION_NONE: u8 = 0;
    /// GRE over IPv4.
    pub const ENCAPSULATION_GRE_IPV4: u8 = 1;
    /// GRE over IPv6.
    pub const ENCAPSULATION_GRE_IPV6: u8 = 2;

    /// Takes no frames at all.
    pub const STATE_DOWN: u8 = 0;
    /// Takes frames of existing flows only.
    pub const STATE_DRAINING: u8 = 1;
    /// Takes all frames.
    pub const STATE_UP: u8 = 2;

    /// Byte offsets of the fields, for the gateware's slices.
    pub const ADDRESS_OFFSET: usize = offset_of!(Self, address);
    /// See [`Self::ADDRESS_OFFSET`].
    pub const NEXT_HOP_MAC_OFFSET: usize = offset_of!(Self, next_hop_mac);
    /// See [`Self::ADDRESS_OFFSET`].
    pub const MTU_OFFSET: usize = offset_of!(Self, mtu);
    /// See [`Self::ADDRESS_OFFSET`].
    pub const SERVICE_OFFSET: usize = offset_of!(Self, service);
    /// See [`Self::ADDRESS_OFFSET`].
    pub const ENCAPSULATION_OFFSET: usize = offset_of!(Self, encapsulation);
    /// See [`Self::ADDRESS_OFFSET`].
    pub const STATE_OFFSET: usize = offset_of!(Self, state);
    /// See [`Self::ADDRESS_OFFSET`].
    pub const LOAD_OFFSET: usize = offset_of!(Self, load);
}

const _: () = {
    assert!(size_of::<BackendRow>() == ROW_BYTES && align_of::<BackendRow>() == 1);
    assert!(BackendRow::ADDRESS_OFFSET == 0);
    assert!(BackendRow::NEXT_HOP_MAC_OFFSET == 16);
    assert!(BackendRow::MTU_OFFSET == 22);
    assert!(BackendRow::SERVICE_OFFSET == 24);
    assert!(BackendRow::ENCAPSULATION_OFFSET == 26);
    assert!(BackendRow::STATE_OFFSET == 27);
    assert!(BackendRow::LOAD_OFFSET == 28);
};
