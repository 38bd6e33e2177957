//! Rewrite: puts the outer headers around the inner packet.
//!
//! # Source
//! RFC 2784, section 2, RFC 2890, section 2, and RFC 7676 (GRE, its key, GRE over IPv6); RFC 791, section 3.1 (outer IPv4);
//! RFC 8200, section 3 (outer IPv6); RFC 6040, section 4.1 (DSCP and ECN, normal mode); RFC 6438, section 3 (flow label);
//! RFC 6864, section 4.1 (id 0 of an atomic datagram).

use maglane_spec::Verdict;
use maglane_spec::limit::SOURCE_ENTROPY_BITS_MAX;
use maglane_spec::row::{BackendRow, DatapathRow, ServiceRow};
use maglane_spec::wire::{ethernet, gre, ipv4, ipv6};

use super::ones_complement_sum;
use super::parse::Parsed;

/// Appends the frame for the backend to `out`: Ethernet, the ingress tag if any, IP, GRE, inner packet.
///
/// The inner packet is unchanged and ends where its IP length says, so Ethernet padding is not tunnelled.
///
/// # Errors
/// When the backend's encapsulation is not known here, or the outer packet would exceed its MTU. `out` is untouched.
pub fn rewrite(
    datapath: &DatapathRow,
    service: &ServiceRow,
    backend: &BackendRow,
    parsed: &Parsed,
    h: u64,
    frame: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Verdict> {
    let (ethertype, header_len) = match backend.encapsulation {
        BackendRow::ENCAPSULATION_GRE_IPV4 => (ethernet::ETHERTYPE_IPV4, ipv4::HEADER_LEN),
        BackendRow::ENCAPSULATION_GRE_IPV6 => (ethernet::ETHERTYPE_IPV6, ipv6::HEADER_LEN),
        _ => return Err(Verdict::PassUnsupported),
    };
    let (gre, gre_len) = gre_header(service, parsed.ipv6);
    let inner_len = usize::from(parsed.total_length);
    let total_length = header_len + gre_len + inner_len;
    if total_length > usize::from(backend.mtu.value()) {
        return Err(Verdict::PassTooBig);
    }

    out.extend_from_slice(&backend.next_hop_mac);
    out.extend_from_slice(&datapath.mac);
    if let Some(tag) = parsed.tag {
        out.extend_from_slice(&tag);
    }
    out.extend_from_slice(&ethertype.to_be_bytes());
    if ethertype == ethernet::ETHERTYPE_IPV4 {
        out.extend_from_slice(&ipv4_header(datapath, backend, parsed.dscp_ecn, total_length, h));
    } else {
        out.extend_from_slice(&ipv6_header(datapath, backend, parsed.dscp_ecn, total_length, h));
    }
    out.extend_from_slice(&gre[..gre_len]);
    out.extend_from_slice(&frame[parsed.ip_offset..parsed.ip_offset + inner_len]);
    Ok(())
}

/// The outer IPv4 header, checksum included.
fn ipv4_header(
    datapath: &DatapathRow,
    backend: &BackendRow,
    dscp_ecn: u8,
    total_length: usize,
    h: u64,
) -> [u8; ipv4::HEADER_LEN] {
    let mut header = [0; ipv4::HEADER_LEN];
    header[ipv4::VERSION_IHL] = ipv4::VERSION_IHL_PLAIN;
    header[ipv4::DSCP_ECN] = dscp_ecn;
    put(&mut header, ipv4::TOTAL_LENGTH, length_field(total_length));
    put(&mut header, ipv4::FRAGMENT, ipv4::FRAGMENT_DF.to_be_bytes());
    header[ipv4::TTL] = datapath.ttl;
    header[ipv4::PROTOCOL] = ipv4::PROTOCOL_GRE;
    put(&mut header, ipv4::SOURCE, outer_source(datapath, h));
    header[ipv4::DESTINATION..].copy_from_slice(&backend.address[..4]);
    // Id and checksum are still zero, as they must be for the sum.
    let checksum = !ones_complement_sum(&header);
    put(&mut header, ipv4::CHECKSUM, checksum.to_be_bytes());
    header
}

/// The outer IPv6 header. Its flow label spreads flows, as the low bits of the source do with IPv4.
fn ipv6_header(
    datapath: &DatapathRow,
    backend: &BackendRow,
    dscp_ecn: u8,
    total_length: usize,
    h: u64,
) -> [u8; ipv6::HEADER_LEN] {
    let mut header = [0; ipv6::HEADER_LEN];
    let [.., h2, h1, h0] = h.to_be_bytes();
    let label = u32::from_be_bytes([0, h2, h1, h0]) & ipv6::LABEL_MASK;
    let class = u32::from(dscp_ecn) << ipv6::CLASS_SHIFT;
    put(&mut header, ipv6::VERSION_CLASS_LABEL, (class | label).to_be_bytes());
    header[ipv6::VERSION_CLASS_LABEL] |= ipv6::VERSION << 4;
    put(&mut header, ipv6::PAYLOAD_LENGTH, length_field(total_length - ipv6::HEADER_LEN));
    header[ipv6::NEXT_HEADER] = ipv4::PROTOCOL_GRE;
    header[ipv6::HOP_LIMIT] = datapath.ttl;
    put(&mut header, ipv6::SOURCE, datapath.tunnel_source_v6);
    put(&mut header, ipv6::DESTINATION, backend.address);
    header
}

/// A length field, of a length that fits.
fn length_field(length: usize) -> [u8; 2] {
    let [.., high, low] = length.to_be_bytes();
    [high, low]
}

/// The tunnel source with its low bits replaced by those of the flow hash, so that the backend's NIC spreads flows
/// over its queues although all come through one tunnel.
fn outer_source(datapath: &DatapathRow, h: u64) -> [u8; 4] {
    let bits = datapath.source_entropy_bits.min(SOURCE_ENTROPY_BITS_MAX);
    let mask = (1_u32 << bits) - 1;
    let source = u32::from_be_bytes(datapath.tunnel_source_v4);
    let [.., high, low] = h.to_be_bytes();
    ((source & !mask) | (u32::from_be_bytes([0, 0, high, low]) & mask)).to_be_bytes()
}

/// The GRE header and its length: flags and version, protocol type, the key if the service has one.
fn gre_header(service: &ServiceRow, ipv6: bool) -> ([u8; gre::HEADER_LEN + gre::KEY_LEN], usize) {
    let keyed = service.flags & ServiceRow::FLAG_GRE_KEY != 0;
    let [f0, f1] = if keyed { gre::FLAG_KEY } else { 0 }.to_be_bytes();
    let [p0, p1] = if ipv6 { ethernet::ETHERTYPE_IPV6 } else { ethernet::ETHERTYPE_IPV4 }.to_be_bytes();
    let [k0, k1, k2, k3] = service.gre_key.0;
    ([f0, f1, p0, p1, k0, k1, k2, k3], gre::HEADER_LEN + if keyed { gre::KEY_LEN } else { 0 })
}

fn put<const N: usize>(bytes: &mut [u8], offset: usize, field: [u8; N]) {
    bytes[offset..offset + N].copy_from_slice(&field);
}

#[cfg(test)]
mod tests {
    use etherparse::{Ipv4Slice, SlicedPacket};
    use maglane_spec::endian::{U16Le, U32Be};

    use super::*;
    use crate::fixture::{
        OWN_MAC, TUNNEL_SOURCE_V6, VIP, VIP_V6, datapath, ipv4_in_16, tagged, tcp, udp, udp_v6, with_ipv4,
    };
    use crate::stage::parse::parse;

    const H: u64 = 0x0123_4567_89ab_cdef;

    fn backend() -> BackendRow {
        BackendRow {
            address: ipv4_in_16([10, 1, 0, 9]),
            next_hop_mac: [2, 0, 0, 0, 9, 9],
            mtu: U16Le::new(1500),
            encapsulation: BackendRow::ENCAPSULATION_GRE_IPV4,
            ..BackendRow::default()
        }
    }

    fn keyed() -> ServiceRow {
        ServiceRow { flags: ServiceRow::FLAG_GRE_KEY, gre_key: U32Be::new(0xa1b2_c3d4), ..ServiceRow::default() }
    }

    fn run(
        datapath: &DatapathRow,
        service: &ServiceRow,
        backend: &BackendRow,
        frame: &[u8],
    ) -> Result<Vec<u8>, Verdict> {
        let parsed = parse(Some(datapath), frame).unwrap();
        let mut out = Vec::new();
        let result = rewrite(datapath, service, backend, &parsed, H, frame, &mut out);
        assert!(result.is_ok() || out.is_empty());
        result.map(|()| out)
    }

    fn outer(frame: &[u8]) -> Ipv4Slice<'_> {
        let sliced = SlicedPacket::from_ethernet(frame).unwrap();
        let Some(etherparse::NetSlice::Ipv4(ip)) = sliced.net else { panic!("not IPv4") };
        assert_eq!(ip.header().header_checksum(), ip.header().to_header().calc_header_checksum());
        ip
    }

    #[test]
    fn forwarded_frame_is_this_byte_for_byte() {
        let frame = udp(VIP, 53, 2);
        let out = run(&datapath(), &ServiceRow::default(), &backend(), &frame).unwrap();
        // Total length 30 + 24 = 54. Checksum: 4500 + 0036 + 0000 + 4000 + 402f + 0a00 + 0001 + 0a01 + 0009 = d970,
        // complement 268f.
        let expected = [
            &[2, 0, 0, 0, 9, 9, 2, 0, 0, 0, 0, 1, 0x08, 0x00][..],
            &[0x45, 0x00, 0x00, 0x36, 0x00, 0x00, 0x40, 0x00, 0x40, 0x2f, 0x26, 0x8f, 10, 0, 0, 1, 10, 1, 0, 9],
            &[0x00, 0x00, 0x08, 0x00],
            &frame[14..],
        ];
        assert_eq!(out, expected.concat());
    }

    #[test]
    fn key_and_tag_are_inserted() {
        let frame = tagged(&tcp(VIP, 80, 3), 0xfabc);
        let out = run(&datapath(), &keyed(), &backend(), &frame).unwrap();
        assert_eq!(out[6..18], [&OWN_MAC[..], &[0x81, 0x00, 0xfa, 0xbc, 0x08, 0x00]].concat());
        assert_eq!(outer(&out).header().total_len(), 43 + 28);
        assert_eq!(out[38..46], [0x20, 0x00, 0x08, 0x00, 0xa1, 0xb2, 0xc3, 0xd4]);
        assert_eq!(out[46..], frame[18..]);
    }

    #[test]
    fn ethernet_padding_is_not_tunnelled() {
        let mut frame = udp(VIP, 53, 0);
        let packet = frame[14..].to_vec();
        frame.resize(60, 0xee);
        let out = run(&datapath(), &ServiceRow::default(), &backend(), &frame).unwrap();
        assert_eq!(out[38..], packet);
    }

    #[test]
    fn dscp_and_all_four_ecn_values_are_copied() {
        for ecn in 0..4 {
            let frame = with_ipv4(&udp(VIP, 53, 0), ipv4::DSCP_ECN, &[46 << 2 | ecn]);
            let out = run(&datapath(), &ServiceRow::default(), &backend(), &frame).unwrap();
            let ip = outer(&out);
            assert_eq!((ip.header().dcp().value(), ip.header().ecn().value()), (46, ecn));
        }
    }

    #[test]
    fn low_bits_of_the_source_are_those_of_h() {
        let source = |bits| {
            let datapath =
                DatapathRow { tunnel_source_v4: [10, 20, 0x55, 0x55], source_entropy_bits: bits, ..datapath() };
            outer(&run(&datapath, &ServiceRow::default(), &backend(), &udp(VIP, 53, 0)).unwrap()).header().source()
        };
        // h ends in cdef: the low bit is 1, and it was 1; eight bits are ef.
        assert_eq!(source(0), [10, 20, 0x55, 0x55]);
        assert_eq!(source(1), [10, 20, 0x55, 0x55]);
        assert_eq!(source(2), [10, 20, 0x55, 0x57]);
        assert_eq!(source(8), [10, 20, 0x55, 0xef]);
        assert_eq!(source(12), [10, 20, 0x5d, 0xef]);
        assert_eq!(source(16), [10, 20, 0xcd, 0xef]);
        assert_eq!(source(17), source(16));
        assert_eq!(source(255), source(16));
    }

    #[test]
    fn one_entropy_bit_clears_as_well_as_sets() {
        for (h, last) in [(0, 2), (1, 3), (0xfffe, 2)] {
            let datapath = DatapathRow { tunnel_source_v4: [10, 0, 0, 3], source_entropy_bits: 1, ..datapath() };
            assert_eq!(outer_source(&datapath, h), [10, 0, 0, last]);
        }
    }

    #[test]
    fn packet_of_the_mtu_is_forwarded_one_byte_more_is_too_big() {
        // 20 + 4 outer bytes, 20 + 8 inner ones.
        let frame = |outer_len: usize| udp(VIP, 53, outer_len - 52);
        let plain = ServiceRow::default();
        let out = run(&datapath(), &plain, &backend(), &frame(1500)).unwrap();
        assert_eq!(out.len(), 1514);
        assert_eq!(run(&datapath(), &plain, &backend(), &frame(1501)), Err(Verdict::PassTooBig));
        assert_eq!(run(&datapath(), &keyed(), &backend(), &frame(1496)).unwrap().len(), 1514);
        assert_eq!(run(&datapath(), &keyed(), &backend(), &frame(1497)), Err(Verdict::PassTooBig));
        // The padding does not count, nor does the tag.
        let mut padded = frame(1500);
        padded.extend([0; 40]);
        assert!(run(&datapath(), &plain, &backend(), &tagged(&padded, 1)).is_ok());
    }

    #[test]
    fn too_big_does_not_ask_for_df() {
        for fragment in [[0, 0], [0x40, 0]] {
            let frame = with_ipv4(&udp(VIP, 53, 1460), ipv4::FRAGMENT, &fragment);
            assert_eq!(run(&datapath(), &ServiceRow::default(), &backend(), &frame), Err(Verdict::PassTooBig));
        }
    }

    #[test]
    fn unknown_encapsulation_comes_before_too_big() {
        for encapsulation in [BackendRow::ENCAPSULATION_NONE, 3, 255] {
            let backend = BackendRow { encapsulation, mtu: U16Le::new(0), ..backend() };
            let result = run(&datapath(), &ServiceRow::default(), &backend, &udp(VIP, 53, 0));
            assert_eq!(result, Err(Verdict::PassUnsupported), "{encapsulation}");
        }
    }

    #[test]
    fn ttl_comes_from_the_datapath_and_the_inner_one_stays() {
        let datapath = DatapathRow { ttl: 3, ..datapath() };
        let out = run(&datapath, &ServiceRow::default(), &backend(), &udp(VIP, 53, 0)).unwrap();
        assert_eq!(outer(&out).header().ttl(), 3);
        assert_eq!(out[38 + ipv4::TTL], 60);
    }

    const ADDRESS_V6: [u8; 16] = [0xfd, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];

    fn backend_v6() -> BackendRow {
        BackendRow { address: ADDRESS_V6, encapsulation: BackendRow::ENCAPSULATION_GRE_IPV6, ..backend() }
    }

    #[test]
    fn frame_over_ipv6_is_this_byte_for_byte() {
        let frame = with_ipv4(&udp(VIP, 53, 2), ipv4::DSCP_ECN, &[0xb9]);
        let out = run(&datapath(), &ServiceRow::default(), &backend_v6(), &frame).unwrap();
        // Payload: GRE 4 + inner 30 = 34. Flow label: the low 20 bits of h, bcdef.
        let expected = [
            &[2, 0, 0, 0, 9, 9, 2, 0, 0, 0, 0, 1, 0x86, 0xdd][..],
            &[0x6b, 0x9b, 0xcd, 0xef, 0x00, 0x22, 0x2f, 0x40],
            &TUNNEL_SOURCE_V6,
            &ADDRESS_V6,
            &[0x00, 0x00, 0x08, 0x00],
            &frame[14..],
        ];
        assert_eq!(out, expected.concat());
    }

    #[test]
    fn ipv6_inside_ipv4_and_inside_ipv6_names_its_protocol() {
        let mut frame = tagged(&udp_v6(VIP_V6, 53, 6), 0x0123);
        // Traffic class 0xa7, and a flow label that stays inside.
        frame[18..22].copy_from_slice(&[0x6a, 0x7f, 0xff, 0xff]);
        let packet = frame[18..].to_vec();
        frame.extend([0xee; 9]);
        let out = run(&datapath(), &keyed(), &backend(), &frame).unwrap();
        assert_eq!(out[12..18], [0x81, 0x00, 0x01, 0x23, 0x08, 0x00]);
        let ip = outer(&out);
        assert_eq!((ip.header().dcp().value(), ip.header().ecn().value()), (0xa7 >> 2, 3));
        assert_eq!(out[38..46], [0x20, 0x00, 0x86, 0xdd, 0xa1, 0xb2, 0xc3, 0xd4]);
        assert_eq!(out[46..], packet);

        let out = run(&datapath(), &keyed(), &backend_v6(), &frame).unwrap();
        assert_eq!(out[12..22], [0x81, 0x00, 0x01, 0x23, 0x86, 0xdd, 0x6a, 0x7b, 0xcd, 0xef]);
        // GRE 8, inner 40 + 8 + 6.
        assert_eq!(out[22..24], [0, 62]);
        assert_eq!(out[58..66], [0x20, 0x00, 0x86, 0xdd, 0xa1, 0xb2, 0xc3, 0xd4]);
        assert_eq!(out[66..], packet);
    }

    #[test]
    fn mtu_counts_the_outer_ipv6_header() {
        // 40 + 4 outer bytes, 40 + 8 inner ones.
        let frame = |outer_len: usize| udp_v6(VIP_V6, 53, outer_len - 92);
        let plain = ServiceRow::default();
        assert_eq!(run(&datapath(), &plain, &backend_v6(), &frame(1500)).unwrap().len(), 1514);
        assert_eq!(run(&datapath(), &plain, &backend_v6(), &frame(1501)), Err(Verdict::PassTooBig));
        assert_eq!(run(&datapath(), &keyed(), &backend_v6(), &frame(1497)), Err(Verdict::PassTooBig));
        assert!(run(&datapath(), &plain, &backend(), &frame(1501)).is_ok());
    }
}
