//! What became of a frame. Every frame ends in exactly one verdict, and every verdict is counted.

use crate::Stage;

/// Where a frame with this verdict goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Egress {
    /// Encapsulated, to the wire.
    Wire,
    /// Unmodified, to the host.
    Host,
    /// Nowhere.
    Nowhere,
}

macro_rules! verdicts {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal, $stage:ident;)*) => {
        /// The verdict on a frame, in the order of the checks within each group.
        ///
        /// # Shape
        /// Five bits in the gateware: 0 forwards, bit 4 set drops, the rest passes to the host.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Verdict { $($(#[$doc])* $variant = $code,)* }

        impl Verdict {
            /// All verdicts, by ascending code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The verdict's name in counters, reports and `--json`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The stage that gives this verdict.
            #[must_use]
            pub const fn stage(self) -> Stage {
                match self { $(Self::$variant => Stage::$stage,)* }
            }

            /// The verdict of a code, if the code is in use.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

verdicts! {
    /// Encapsulated and sent to a backend.
    Forward = 0, "forward", Rewrite;
    /// Bypass is set: no table is looked at.
    PassBypass = 1, "pass_bypass", Parse;
    /// Too short for Ethernet, or an EtherType that the pipeline does not parse.
    PassNotIp = 2, "pass_not_ip", Parse;
    /// `check_mac` is on and the destination MAC is not ours.
    PassOtherMac = 3, "pass_other_mac", Parse;
    /// An IPv4 header with options.
    PassIpv4Options = 4, "pass_ipv4_options", Parse;
    /// A protocol that is none of TCP, UDP and the family's ICMP; IPv6 extension headers but a fragment's too.
    PassProtocol = 5, "pass_protocol", Parse;
    /// A fragment, first or later.
    PassFragment = 6, "pass_fragment", Parse;
    /// ICMP or ICMPv6 that is not an error to be steered.
    PassIcmp = 7, "pass_icmp", Parse;
    /// No service has this address, protocol and port.
    PassNoService = 8, "pass_no_service", Classify;
    /// The service or backend row asks for a selection or encapsulation that this pipeline does not know.
    PassUnsupported = 9, "pass_unsupported", Select;
    /// The outer packet would exceed the backend's MTU.
    PassTooBig = 10, "pass_too_big", Rewrite;
    /// Longer than [`crate::limit::FRAME_LEN_MAX`].
    DropTooLong = 16, "drop_too_long", Parse;
    /// Fewer bytes than the fixed IP header needs.
    DropIpTruncated = 17, "drop_ip_truncated", Parse;
    /// The IP version field contradicts the EtherType.
    DropIpVersion = 18, "drop_ip_version", Parse;
    /// IHL below 5, or a header longer than the packet.
    DropIpHeaderLength = 19, "drop_ip_header_length", Parse;
    /// The IP length exceeds the frame.
    DropIpLength = 20, "drop_ip_length", Parse;
    /// The IPv4 header checksum is wrong.
    DropIpv4Checksum = 21, "drop_ipv4_checksum", Parse;
    /// Fewer bytes than the fixed TCP or UDP header needs.
    DropL4Truncated = 22, "drop_l4_truncated", Parse;
    /// TCP data offset below 5 or past the packet.
    DropTcpOffset = 23, "drop_tcp_offset", Parse;
    /// The matching service is disabled.
    DropServiceDisabled = 24, "drop_service_disabled", Classify;
    /// The lookup entry is empty: no backend takes new flows.
    DropNoBackend = 25, "drop_no_backend", Select;
}

impl Verdict {
    /// Bit of the code that says "drop".
    pub const DROP_BIT: u8 = 0x10;

    /// Codes, used or not, that counters have room for.
    pub const CODES: usize = 32;

    /// The verdict's code.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Where a frame with this verdict goes.
    #[must_use]
    pub const fn egress(self) -> Egress {
        match self.code() {
            0 => Egress::Wire,
            code if code & Self::DROP_BIT == 0 => Egress::Host,
            _ => Egress::Nowhere,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_egress() {
        for &verdict in Verdict::ALL {
            let prefix = match verdict.egress() {
                Egress::Wire => "forward",
                Egress::Host => "pass_",
                Egress::Nowhere => "drop_",
            };
            assert!(verdict.name().starts_with(prefix), "{verdict:?}");
            assert_eq!(Verdict::from_code(verdict.code()), Some(verdict));
        }
    }
}
