//! What travels beside a frame, from stage to stage.
//!
//! Addresses, ports and MACs are in lane order, as they stand in the frame: its first byte is the lowest. Lengths
//! and hashes are numbers.

use rust_hdl::prelude::*;

/// A 5-tuple, addresses as four words. IPv4 is in word 0, the rest is zero.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Tuple {
    /// Source address.
    pub source0: Bits<32>,
    /// Source address.
    pub source1: Bits<32>,
    /// Source address.
    pub source2: Bits<32>,
    /// Source address.
    pub source3: Bits<32>,
    /// Destination address.
    pub destination0: Bits<32>,
    /// Destination address.
    pub destination1: Bits<32>,
    /// Destination address.
    pub destination2: Bits<32>,
    /// Destination address.
    pub destination3: Bits<32>,
    /// Source port, then destination port.
    pub ports: Bits<32>,
    /// IP protocol.
    pub protocol: Bits<8>,
}

/// A frame after parse. Verdict 0 (forward) means "undecided yet".
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Parsed {
    /// Verdict code.
    pub verdict: Bits<5>,
    /// Length of the frame in bytes, as it came in.
    pub length: Bits<16>,
    /// The frame carries an 802.1Q tag.
    pub tagged: Bit,
    /// The tag's TCI.
    pub tci: Bits<16>,
    /// The packet is IPv6, and so is its tuple.
    pub ipv6: Bit,
    /// The packet is an ICMP error about its tuple, to be steered to the flow's backend.
    pub steered: Bit,
    /// DSCP and ECN of the IP header.
    pub dscp_ecn: Bits<8>,
    /// Length of the IP packet, header included.
    pub total_length: Bits<16>,
    /// TCP with SYN.
    pub syn: Bit,
    /// TCP with FIN.
    pub fin: Bit,
    /// TCP with RST.
    pub rst: Bit,
    /// Ticks that have passed before this frame.
    pub step: Bits<7>,
}

/// A frame after classify, and the service that it belongs to.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Classified {
    /// Verdict code.
    pub verdict: Bits<5>,
    /// As parse left it; the verdict in here is parse's.
    pub parsed: Parsed,
    /// A service matched; the fields below hold.
    pub matched: Bit,
    /// Service id.
    pub service: Bits<16>,
    /// Affinity code.
    pub affinity: Bits<2>,
    /// Selection code.
    pub selection: Bits<8>,
    /// First entry of the lookup slice.
    pub lookup_base: Bits<24>,
    /// Entries of the lookup slice.
    pub table_size: Bits<16>,
    /// GRE carries a key.
    pub gre_keyed: Bit,
    /// GRE key.
    pub gre_key: Bits<32>,
}

/// The fields that rewrite and the counters need of a frame.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Selected {
    /// Verdict code.
    pub verdict: Bits<5>,
    /// Length of the frame in bytes, as it came in.
    pub length: Bits<16>,
    /// The frame carries an 802.1Q tag.
    pub tagged: Bit,
    /// The tag's TCI.
    pub tci: Bits<16>,
    /// The packet is IPv6.
    pub ipv6: Bit,
    /// DSCP and ECN of the IP header.
    pub dscp_ecn: Bits<8>,
    /// Length of the IP packet, header included.
    pub total_length: Bits<16>,
    /// Service id, all ones when none matched.
    pub service: Bits<16>,
    /// GRE carries a key.
    pub gre_keyed: Bit,
    /// GRE key.
    pub gre_key: Bits<32>,
    /// Low half of the flow hash.
    pub hash_low: Bits<32>,
    /// High half of the flow hash.
    pub hash_high: Bits<32>,
    /// What the frame met in the flow table: code of [`maglane_spec::FlowOutcome`].
    pub flow: Bits<3>,
    /// Backend id, all ones when there is none.
    pub backend: Bits<16>,
}
