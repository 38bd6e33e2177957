//! Frames of the connections that a study opens.

use maglane_spec::wire::{ethernet, ipv4, transport};

use super::site::{MAC, PORT, VIP};

/// Most connections: each has an address of its own in 10.0.0.0/8.
pub(super) const FLOWS_MAX: u32 = 1 << 24;

/// Bytes of a frame: headers without options, no payload.
const LEN: usize = L4 + transport::TCP_HEADER_LEN;
const IP: usize = ethernet::HEADER_LEN;
const L4: usize = IP + ipv4::HEADER_LEN;

/// 10.0.0.0/8, where clients have their addresses.
const NETWORK: u32 = 10 << 24;
/// The port that clients come from.
const CLIENT_PORT: u16 = 40_000;

/// TCP flag: the acknowledgment number counts (RFC 9293, section 3.1). The pipeline does not look at it.
const TCP_FLAG_ACK: u8 = 0x10;

/// What a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// The first of a connection.
    Syn,
    /// One of an open connection.
    Data,
}

impl Segment {
    /// The frame of a segment of a connection, which is a number below [`FLOWS_MAX`].
    pub(super) fn frame(self, flow: u32) -> [u8; LEN] {
        let mut frame = [0; LEN];
        let mut put = |offset: usize, bytes: &[u8]| frame[offset..offset + bytes.len()].copy_from_slice(bytes);
        put(ethernet::DESTINATION, &MAC);
        put(ethernet::ETHERTYPE, &ethernet::ETHERTYPE_IPV4.to_be_bytes());
        put(IP + ipv4::VERSION_IHL, &[ipv4::VERSION_IHL_PLAIN]);
        put(IP + ipv4::TOTAL_LENGTH, &TOTAL_LENGTH.to_be_bytes());
        put(IP + ipv4::TTL, &[64]);
        put(IP + ipv4::PROTOCOL, &[ipv4::PROTOCOL_TCP]);
        put(IP + ipv4::SOURCE, &(NETWORK | (flow % FLOWS_MAX)).to_be_bytes());
        put(IP + ipv4::DESTINATION, &VIP);
        put(L4 + transport::SOURCE_PORT, &CLIENT_PORT.to_be_bytes());
        put(L4 + transport::DESTINATION_PORT, &PORT.to_be_bytes());
        put(L4 + transport::TCP_DATA_OFFSET, &[DATA_OFFSET << 4]);
        put(
            L4 + transport::TCP_FLAGS,
            &[match self {
                Self::Syn => transport::TCP_FLAG_SYN,
                Self::Data => TCP_FLAG_ACK,
            }],
        );
        let checksum = checksum(&frame[IP..L4]);
        frame[IP + ipv4::CHECKSUM..][..2].copy_from_slice(&checksum.to_be_bytes());
        frame
    }
}

const TOTAL_LENGTH: u16 = 40;
const _: () = assert!(TOTAL_LENGTH as usize == LEN - IP);
/// TCP header in words of 32 bits.
const DATA_OFFSET: u8 = 5;
const _: () = assert!(DATA_OFFSET as usize * 4 == transport::TCP_HEADER_LEN);

/// The one's complement of the one's complement sum of 16-bit words.
///
/// # Source
/// RFC 1071, section 1.
fn checksum(header: &[u8]) -> u16 {
    let (words, _) = header.as_chunks::<2>();
    let sum = words.iter().fold(0_u16, |sum, &word| {
        let (sum, carry) = sum.overflowing_add(u16::from_be_bytes(word));
        sum + u16::from(carry)
    });
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header with its checksum by hand: 4500 + 0028 + 4006 + 0a01 + 0203 + c000 + 020a = 1533c, with the carry
    /// 533d, whose complement is acc2.
    #[test]
    fn frame_by_hand() {
        let frame = Segment::Syn.frame(0x01_0203);
        assert_eq!(frame[..14], [2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 8, 0]);
        assert_eq!(frame[14..34], [0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0xac, 0xc2, 10, 1, 2, 3, 192, 0, 2, 10]);
        assert_eq!(frame[34..38], [0x9c, 0x40, 0, 80]);
        assert_eq!((frame[46], frame[47], frame.len()), (0x50, 0x02, 54));
        assert_eq!(Segment::Data.frame(0x01_0203)[47], 0x10);
    }
}
