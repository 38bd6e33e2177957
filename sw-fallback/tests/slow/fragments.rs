//! Pieces of datagrams.

use std::sync::Arc;

use maglane_spec::counter::PacketsBytes;
use maglane_spec::endian::U16Le;
use maglane_spec::flow::STATE_NEW;
use maglane_spec::row::BackendRow;
use maglane_spec::{FlowOutcome, Verdict};
use maglane_sw::Pipeline;
use maglane_sw::engine::Engine;
use maglane_sw::slow::Fate::{self, *};
use maglane_sw::slow::limit::{PLACE_NS, WAIT_NS};

use crate::fixture::{
    CLIENT_V6, VIP, VIP_ALL_TCP, VIP_ALL_UDP, VIP_V6, first_backend, image, tagged, tcp, tcp_v6, udp, udp_v6, with_ipv4,
};
use crate::host::{Host, header, ip_offset, pieces, reassembled, tunnelled};

const ID: u32 = 0xbeef;
/// A millisecond.
const MS: u64 = 1_000_000;

/// Frames of 1,000 bytes of payload, each byte another, of flows that a service takes.
fn wholes() -> Vec<Vec<u8>> {
    let mut frames = vec![
        udp(VIP, 53, 1_000),
        tcp(VIP, 8085, 1_000),
        udp(VIP_ALL_UDP, 7, 1_000),
        tcp(VIP_ALL_TCP, 7, 1_000),
        tcp_v6(VIP_V6, 8091, 1_000),
        udp_v6(VIP_V6, 8092, 1_000),
    ];
    for frame in &mut frames {
        let from = frame.len() - 1_000;
        for (byte, number) in frame[from..].iter_mut().zip(0_u32..) {
            *byte = (number.wrapping_mul(2_654_435_761) >> 24) as u8;
        }
    }
    let with_class = with_ipv4(&frames[0], 1, &[0xb9]);
    frames.push(with_class);
    let tags: Vec<Vec<u8>> = frames.iter().map(|frame| tagged(frame, 0x7064)).collect();
    frames.extend(tags);
    frames
}

/// Every order of so many things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![vec![]];
    }
    let before = orders(count - 1);
    let with_last = |order: &Vec<usize>| {
        let order = order.clone();
        (0..count).map(move |at| [&order[..at], &[count - 1], &order[at..]].concat())
    };
    before.iter().flat_map(with_last).collect()
}

#[test]
fn pieces_in_every_order_leave_as_the_whole_would_and_are_it_when_put_together() {
    let orders = orders(4);
    assert_eq!(orders.len(), 24);
    for whole in wholes() {
        let mut scalar = Pipeline::new(image().geometry);
        scalar.load(&image()).unwrap();
        let mut expected = Vec::new();
        let trace = scalar.process_frame(0, &whole, &mut expected);
        assert_eq!((trace.verdict, trace.flow), (Verdict::Forward, FlowOutcome::Inserted));
        let pieces = pieces(&whole, ID, &[240, 304, 8]);
        assert_eq!(pieces.len(), 4);
        for order in &orders {
            let mut host = Host::new(image());
            let first = order.iter().position(|&piece| piece == 0).unwrap();
            let mut sent = Vec::new();
            for (at, &piece) in order.iter().enumerate() {
                let now = host.sends(0, &pieces[piece]);
                // They wait for the first, and leave behind it.
                assert_eq!(now.len(), [0, 1 + first, 1][usize::from(at >= first) + usize::from(at > first)]);
                sent.extend(now);
            }
            let in_order = std::iter::once(0).chain(order[..first].iter().copied()).chain(order[first + 1..].to_vec());
            for (frame, piece) in sent.iter().zip(in_order) {
                let out = tunnelled(frame);
                assert_eq!(out.outer, tunnelled(&expected).outer);
                assert_eq!(out.inner[14..], pieces[piece][ip_offset(&whole)..], "the inner bytes are untouched");
            }
            let header_len = if whole[ip_offset(&whole)] >> 4 == 6 { 40 } else { 20 };
            assert_eq!(reassembled(&sent), whole[ip_offset(&whole) + header_len..], "{order:?}");
            // The flow table knows the flow as if the whole had come; the counters know pieces, each once.
            assert_eq!(host.datapath.flow_state(), scalar.flow_state().unwrap());
            let counters = host.datapath.counters();
            let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
            let counted = PacketsBytes { packets: 4, bytes };
            assert_eq!(counters.verdicts[usize::from(Verdict::PassFragment.code())], counted);
            assert_eq!(counters.flows[usize::from(FlowOutcome::NotReached.code())], counted);
            assert_eq!(counters.verdicts.iter().map(|counter| counter.packets).sum::<u64>(), 4);
            assert_eq!(host.fates(), [(FragmentForwarded, 4)].into());
            assert_eq!((host.counters().held, host.counters().sent), (first as u64, 4));
        }
    }
}

#[test]
fn pieces_and_the_whole_go_to_the_backend_that_the_flow_table_has() {
    // A sequence gives each new flow the next backend: only the flow table knows which.
    let mut host = Host::new(image());
    let flow = |port: u16| {
        let mut frame = tcp(VIP, 8086, 600);
        frame[34..36].copy_from_slice(&port.to_be_bytes());
        frame
    };
    let mut backends = Vec::new();
    for port in 1..=4 {
        let sent: Vec<Vec<u8>> =
            pieces(&flow(port), ID, &[320]).iter().flat_map(|piece| host.sends(0, piece)).collect();
        backends.push(sent[0][30..34].to_vec());
        assert_eq!(sent[1][30..34], sent[0][30..34]);
    }
    for port in 1..=4_u16 {
        for piece in pieces(&flow(port), 7, &[320]) {
            let sent = host.sends(5, &piece);
            assert_eq!(sent[0][30..34], backends[usize::from(port) - 1]);
        }
    }
    backends.sort();
    backends.dedup();
    assert_eq!(backends.len(), 4);
    assert_eq!(host.datapath.live_flows().iter().sum::<u32>(), 4);
}

#[test]
fn pieces_without_the_first_wait_a_second_and_are_counted() {
    let mut host = Host::new(image());
    let pieces = pieces(&udp(VIP, 53, 1_000), ID, &[240, 304, 8]);
    assert_eq!(host.sends(0, &pieces[1]), [[0; 0]; 0]);
    assert_eq!(host.sends(WAIT_NS - MS, &pieces[3]), [[0; 0]; 0]);
    host.expire(WAIT_NS - 1);
    let kept = host.counters().kept;
    assert_eq!((kept.datagrams, kept.pieces, kept.bytes), (1, 2, pieces[1].len() + pieces[3].len()));
    host.expire(WAIT_NS);
    assert_eq!(host.fates(), [(FragmentLate, 2)].into());
    assert_eq!(host.counters().kept, Default::default());
    // The first comes too late for them, and those after it follow it for some time.
    assert_eq!(host.sends(WAIT_NS, &pieces[0]).len(), 1);
    assert_eq!(host.sends(WAIT_NS + PLACE_NS - 1, &pieces[1]).len(), 1);
    assert_eq!(host.sends(WAIT_NS + PLACE_NS, &pieces[2]).len(), 0);
    // A clock that goes back is taken to stand.
    assert_eq!(host.sends(0, &pieces[3]).len(), 0);
    assert_eq!(host.counters().kept.pieces, 2);
}

#[test]
fn datagrams_with_one_identification_are_told_apart_by_everything_else() {
    let mut host = Host::new(image());
    let whole = udp(VIP_ALL_UDP, 7, 1_000);
    let wholes = [
        whole.clone(),
        with_ipv4(&whole, 12, &[198, 51, 100, 8]),
        with_ipv4(&udp(VIP, 53, 1_000), 12, &[198, 51, 100, 7]),
        tcp(VIP, 80, 1_000),
        udp_v6(VIP_V6, 8092, 1_000),
        tcp_v6([&VIP_V6[..15], &[0x10]].concat().try_into().unwrap(), 8091, 1_000),
    ];
    // The last two are one to the key, as the protocol is none of it in IPv6: they have each their own identification.
    let all: Vec<Vec<Vec<u8>>> =
        wholes.iter().zip([ID, ID, ID, ID, ID, ID + 1]).map(|(whole, id)| pieces(whole, id, &[240, 304])).collect();
    let mut sent = vec![Vec::new(); all.len()];
    // Each one's first piece comes between others' later ones.
    for piece in [1, 0, 2] {
        for (pieces, sent) in all.iter().zip(&mut sent) {
            sent.extend(host.sends(0, &pieces[piece]));
        }
    }
    for (whole, sent) in wholes.iter().zip(&sent) {
        let header_len = if whole[14] >> 4 == 6 { 40 } else { 20 };
        assert_eq!(reassembled(sent), whole[14 + header_len..]);
        let mut expected = Vec::new();
        let mut scalar = Pipeline::new(image().geometry);
        scalar.load(&image()).unwrap();
        scalar.process_frame(0, whole, &mut expected);
        assert_eq!(tunnelled(&sent[2]).outer, tunnelled(&expected).outer);
    }
}

#[test]
fn tag_does_not_tell_datagrams_apart_and_stays_each_pieces_own() {
    let mut host = Host::new(image());
    let pieces = pieces(&udp(VIP, 53, 1_000), ID, &[240]);
    assert!(host.sends(0, &tagged(&pieces[1], 5)).is_empty());
    let sent = host.sends(0, &pieces[0]);
    assert_eq!((&sent[0][12..14], &sent[1][12..16]), (&[8, 0][..], &[0x81, 0, 0, 5][..]));
}

#[test]
fn pieces_that_come_in_at_different_workers_find_each_other() {
    const DATAGRAMS: u16 = 300;
    let mut host = Host::new(image());
    let mut others = [host.another(), host.another()];
    let whole = |number: u16| {
        let mut frame = udp(VIP_ALL_UDP, 7, 1_000);
        frame[34..36].copy_from_slice(&number.to_be_bytes());
        frame
    };
    let all: Vec<Vec<Vec<u8>>> =
        (0..DATAGRAMS).map(|number| pieces(&whole(number), number.into(), &[240, 304])).collect();
    let sent: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let workers: Vec<_> = std::iter::once(&mut host)
            .chain(&mut others)
            .zip(0..)
            .map(|(worker, piece): (_, usize)| {
                let all = &all;
                scope.spawn(move || all.iter().flat_map(|pieces| worker.sends(0, &pieces[piece])).collect::<Vec<_>>())
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!((sent.len(), host.fates()), (900, [(FragmentForwarded, 900)].into()));
    assert_eq!(host.counters().sent, 900);
    for number in 0..DATAGRAMS {
        let of_datagram = |frame: &&Vec<u8>| tunnelled(frame).inner[18..20] == number.to_be_bytes();
        let own: Vec<Vec<u8>> = sent.iter().filter(of_datagram).cloned().collect();
        assert_eq!(reassembled(&own), whole(number)[34..]);
        assert!(own.iter().all(|frame| tunnelled(frame).outer == tunnelled(&own[0]).outer));
    }
}

#[test]
fn duplicates_go_where_the_first_went_and_touch_the_flow_table_once() {
    let mut host = Host::new(image());
    let pieces = pieces(&tcp(VIP, 8086, 600), ID, &[320, 16]);
    let sent: Vec<Vec<u8>> = [0, 0, 1, 1, 0].iter().flat_map(|&piece| host.sends(0, &pieces[piece])).collect();
    assert!(sent.iter().all(|frame| frame[30..34] == sent[0][30..34]));
    assert_eq!((sent.len(), host.fates()), (5, [(FragmentForwarded, 5)].into()));
    let state = host.datapath.flow_state();
    assert_eq!(state.sequence.iter().sum::<u16>(), 1, "one turn was taken");
    let entries: Vec<u64> = state.entries.into_iter().filter(|&entry| entry != 0).collect();
    assert!(matches!(entries[..], [entry] if entry & 3 == u64::from(STATE_NEW)), "seen once: {entries:x?}");
}

#[test]
fn second_first_piece_with_other_ports_moves_nothing_until_the_datagram_is_complete() {
    for (whole, port_at) in [(udp(VIP_ALL_UDP, 7, 1_000), 34), (udp_v6(VIP_V6, 8092, 1_000), 62)] {
        let mut host = Host::new(image());
        let pieces = pieces(&whole, ID, &[240, 304]);
        let mut other = pieces[0].clone();
        other[port_at + 1] ^= 0xff;
        assert_eq!(host.sends(0, &pieces[0]).len(), 1);
        assert_eq!(host.sends(0, &other).len(), 0);
        assert_eq!(host.fates()[&FragmentConflict], 1);
        let state = host.datapath.flow_state();
        // In the end it is where it began, whole.
        let mut sent = host.sends(0, &pieces[1]);
        assert_eq!(host.sends(0, &other).len(), 0);
        sent.extend(host.sends(0, &pieces[2]));
        assert!(sent.len() == 2 && host.datapath.flow_state() == state);
        // The sender comes round to the same identification: a datagram of its own.
        assert_eq!(host.sends(0, &other).len(), 1);
        assert_eq!(host.datapath.live_flows().iter().sum::<u32>(), 2);
        assert_eq!(host.sends(0, &pieces[0]).len(), 0);
    }
}

#[test]
fn overlapping_pieces_all_go_to_the_backend_which_puts_them_together() {
    let mut host = Host::new(image());
    let whole = udp(VIP, 53, 1_000);
    let [mut all, others] = [pieces(&whole, ID, &[240, 304]), pieces(&whole, ID, &[160, 480])];
    all.extend(others);
    let sent: Vec<Vec<u8>> = all.iter().flat_map(|piece| host.sends(0, piece)).collect();
    assert_eq!((sent.len(), host.fates()), (6, [(FragmentForwarded, 6)].into()));
    assert!(sent.iter().all(|frame| tunnelled(frame).outer == tunnelled(&sent[0]).outer));
}

#[test]
fn header_that_is_not_whole_in_the_first_piece_or_lies_under_another_is_dropped() {
    // TCP with 40 bytes of header.
    let with_options = |frame: Vec<u8>, at: usize| {
        let mut frame = frame;
        frame[at + 12] = 0xa0;
        frame
    };
    for (whole, is_tiny) in [
        // 16 bytes of TCP, 8 of UDP are 2 units and 1; UDP's header is whole then.
        (pieces(&tcp(VIP, 80, 100), ID, &[16]), true),
        (pieces(&tcp(VIP, 80, 100), ID, &[24]), false),
        (pieces(&with_options(tcp(VIP, 80, 100), 34), ID, &[32]), true),
        (pieces(&with_options(tcp(VIP, 80, 100), 34), ID, &[40]), false),
        (pieces(&udp(VIP, 53, 100), ID, &[8]), false),
        (pieces(&tcp_v6(VIP_V6, 8091, 100), ID, &[16]), true),
        (pieces(&with_options(tcp_v6(VIP_V6, 8091, 100), 54), ID, &[32]), true),
        (pieces(&tcp_v6(VIP_V6, 8091, 100), ID, &[24]), false),
        (pieces(&udp_v6(VIP_V6, 8092, 100), ID, &[8]), false),
        // Whole in one piece of 4 bytes.
        (pieces(&udp_v6(VIP_V6, 8092, 100), ID, &[104]), false),
    ] {
        let mut host = Host::new(image());
        assert_eq!(host.sends(0, &whole[0]).len(), usize::from(!is_tiny), "{:02x?}", whole[0]);
        assert_eq!(host.counters().of(FragmentTiny), u64::from(is_tiny));
        assert_eq!(host.datapath.live_flows().iter().sum::<u32>(), u32::from(!is_tiny), "no flow begins with it");
    }
    // A data offset below a header's length; a piece of UDP that ends in the header; over the header of TCP, at 8 and 16.
    let mut short = pieces(&tcp(VIP, 80, 100), ID, &[40]);
    short[0][46] = 0x40;
    let ip = udp(VIP, 53, 100)[14..].to_vec();
    let cut = [&udp(VIP, 53, 0)[..14], &header(&ip, ID, 0, true, 4), &ip[20..24]].concat();
    let mut host = Host::new(image());
    assert!(host.sends(0, &short[0]).is_empty() && host.sends(0, &cut).is_empty());
    assert_eq!(host.fates(), [(FragmentTiny, 1), (FragmentMalformed, 1)].into());
    for whole in [tcp(VIP, 80, 100), tcp_v6(VIP_V6, 8091, 100)] {
        for placed in [false, true] {
            let mut host = Host::new(image());
            if placed {
                assert_eq!(host.sends(0, &pieces(&whole, ID, &[40])[0]).len(), 1);
            }
            for (len, fate) in [(8, Some(FragmentTiny)), (16, Some(FragmentTiny)), (24, None)] {
                let before = host.counters().of(FragmentTiny);
                let sent = host.sends(0, &pieces(&whole, ID, &[len, 24])[1]);
                assert_eq!(sent.len(), usize::from(placed && fate.is_none()));
                assert_eq!(host.counters().of(FragmentTiny) - before, u64::from(fate.is_some()));
            }
        }
    }
    // In IPv6 a later piece may name another protocol than it has: what the first one says holds, also for one that waits.
    let mut host = Host::new(image());
    let mut lies = pieces(&tcp_v6(VIP_V6, 8091, 100), ID, &[8, 24])[1].clone();
    lies[54] = 17;
    assert!(host.sends(0, &lies).is_empty());
    assert_eq!(host.sends(0, &pieces(&tcp_v6(VIP_V6, 8091, 100), ID, &[40])[0]).len(), 1);
    assert!(host.sends(0, &lies).is_empty());
    assert_eq!(host.fates(), [(FragmentForwarded, 1), (FragmentTiny, 2)].into());
}

#[test]
fn pieces_that_no_datagram_has_are_dropped() {
    for whole in [udp(VIP, 53, 100), udp_v6(VIP_V6, 8092, 100)] {
        let at = ip_offset(&whole);
        let (link, ip) = whole.split_at(at);
        // What a piece is one byte too long, or not long enough, for.
        let longest = if ip[0] >> 4 == 6 { 65_535 } else { 65_515 };
        for (offset, more, len, sound) in [
            (64, true, 12, false),
            (64, true, 16, true),
            (64, false, 12, true),
            (64, false, 0, false),
            (0, true, 0, false),
            (65_512, false, longest - 65_512, true),
            (65_512, false, longest - 65_511, false),
            (65_528, true, 8, false),
        ] {
            let mut host = Host::new(image());
            let frame = [link, &header(ip, ID, offset, more, len), &vec![7; len]].concat();
            assert!(host.sends(0, &frame).is_empty());
            assert_eq!(host.counters().of(FragmentMalformed), u64::from(!sound), "{offset} {more} {len}");
            assert_eq!(host.counters().kept.pieces, usize::from(sound));
        }
    }
    // A fragment header that is cut off.
    let mut host = Host::new(image());
    let mut short = pieces(&udp_v6(VIP_V6, 8092, 100), ID, &[64])[0].clone();
    short[18..20].copy_from_slice(&[0, 7]);
    assert!(host.sends(0, &short).is_empty());
    assert_eq!(host.fates(), [(FragmentMalformed, 1)].into());
}

#[test]
fn atomic_fragment_is_whole_by_itself_whatever_has_its_identification() {
    let whole = udp_v6(VIP_V6, 8092, 200);
    let atomic = &pieces(&whole, ID, &[])[0];
    let mut other = udp_v6(VIP_V6, 8092, 1_000);
    other[54] ^= 1;
    let others = pieces(&other, ID, &[240, 304]);
    let mut host = Host::new(image());
    assert!(host.sends(0, &others[1]).is_empty());
    assert_eq!(tunnelled(&host.sends(0, atomic)[0]).inner[14..], atomic[14..]);
    assert_eq!(host.sends(0, &others[0]).len(), 2);
    assert_eq!(host.sends(0, atomic).len(), 1);
    assert_eq!(host.sends(0, &others[2]).len(), 1);
    assert_eq!(host.fates(), [(FragmentForwarded, 5)].into());
}

#[test]
fn pieces_that_are_no_services_stay_the_kernels() {
    let mut host = Host::new(image());
    let strangers = [
        udp([192, 0, 2, 99], 53, 100),
        udp_v6([9; 16], 8092, 100),
        with_ipv4(&udp(VIP, 53, 100), 9, &[1]),
        // A port and a protocol without a service.
        udp(VIP, 54, 100),
        tcp_v6(VIP_V6, 8093, 100),
    ];
    // Nobody's first pieces need be known for that, as far as addresses and protocols go.
    for (number, whole) in strangers.iter().enumerate() {
        let mut pieces = pieces(whole, ID, &[64]);
        if number < 3 {
            pieces.reverse();
        }
        for piece in pieces {
            host.passes(0, &piece);
        }
    }
    assert_eq!(host.fates(), [(Passed, 10)].into());
    // IPv6 to the services' address, of a protocol that is none of theirs.
    for mut piece in pieces(&udp_v6(VIP_V6, 8092, 100), ID + 1, &[64]) {
        piece[54] = 58;
        host.passes(0, &piece);
    }
    // Later pieces that wait cannot be given back.
    let late = pieces(&udp(VIP, 54, 100), ID + 1, &[64]);
    assert!(host.sends(0, &late[1]).is_empty());
    host.passes(0, &late[0]);
    assert_eq!(host.fates(), [(Passed, 13), (FragmentUnwanted, 1)].into());
}

#[test]
fn pieces_end_as_the_whole_does_when_nobody_takes_it() {
    for (port, fate) in [(443, FragmentServiceDisabled), (8081, FragmentNoBackend), (8084, Passed), (8087, Passed)] {
        let mut host = Host::new(image());
        let pieces = pieces(&tcp(VIP, port, 200), ID, &[104]);
        for piece in &pieces {
            if fate == Passed { host.passes(0, piece) } else { assert!(host.sends(0, piece).is_empty()) }
        }
        assert_eq!(host.fates(), [(fate, 2)].into(), "{port}");
        assert_eq!(host.verdict(Verdict::PassFragment), 2);
    }
}

#[test]
fn new_tables_hold_for_the_pieces_that_come_after_them() {
    let mut host = Host::new(image());
    let pieces = pieces(&udp(VIP, 53, 1_000), ID, &[240, 304, 8]);
    let first = host.sends(0, &pieces[0]);
    let mut tables = image();
    let ours = usize::from(first[0][33]) - 1;
    assert!((usize::from(first_backend(2))..).contains(&ours));
    tables.backends[ours].next_hop_mac = [6; 6];
    tables.backends[ours].state = BackendRow::STATE_DRAINING;
    host.datapath.update(Arc::new(tables.clone())).unwrap();
    let second = host.sends(0, &pieces[1]);
    assert_eq!((&second[0][..6], &second[0][30..34]), (&[6; 6][..], &first[0][30..34]));
    // Down is down; and a backend may become another service's.
    tables.backends[ours].state = BackendRow::STATE_DOWN;
    host.datapath.update(Arc::new(tables.clone())).unwrap();
    assert!(host.sends(0, &pieces[2]).is_empty());
    tables.backends[ours].state = BackendRow::STATE_UP;
    tables.backends[ours].service = U16Le::new(1);
    host.datapath.update(Arc::new(tables)).unwrap();
    assert!(host.sends(0, &pieces[3]).is_empty());
    assert_eq!(host.fates(), [(FragmentForwarded, 2), (FragmentNoBackend, 2)].into());
}

#[test]
fn piece_that_is_too_big_is_cut_and_of_one_that_may_not_be_the_source_is_told() {
    let whole = udp(VIP, 53, 3_000);
    let all = pieces(&whole, ID, &[1_480, 1_480]);
    let mut host = Host::new(image());
    let sent: Vec<Vec<u8>> = [1, 0, 2].iter().flat_map(|&piece| host.sends(0, &all[piece])).collect();
    assert_eq!((sent.len(), host.fates()), (5, [(FragmentForwarded, 3)].into()));
    assert!(sent.iter().all(|frame| tunnelled(frame).outer_len <= 1_500));
    assert_eq!(reassembled(&sent), whole[34..]);
    assert_eq!(tunnelled(&sent[0]).outer, tunnelled(&sent[4]).outer);

    // DF on pieces: about the first one the source is told, about others it must not be.
    let with_df = |piece: &[u8]| with_ipv4(piece, 6, &[piece[20] | 0x40, piece[21]]);
    let mut host = Host::new(image());
    assert!(host.sends(0, &with_df(&all[1])).is_empty());
    let sent = host.sends(0, &with_df(&all[0]));
    assert_eq!((sent.len(), &sent[0][34..36], &sent[0][38..42]), (1, &[3, 4][..], &[0, 0, 5, 0xc0][..]));
    assert_eq!(host.sends(0, &all[2]).len(), 1);
    assert_eq!(host.fates(), [(FragmentForwarded, 1), (TooBigAnswered, 1), (TooBigLost, 1)].into());

    // In IPv6 about each.
    let whole = udp_v6(VIP_V6, 8092, 3_000);
    let all = pieces(&whole, ID, &[1_448, 1_448]);
    let mut host = Host::new(image());
    for (piece, sends) in [(1, 0), (0, 2), (2, 1)] {
        let sent = host.sends(0, &all[piece]);
        assert_eq!(sent.len(), sends);
        for frame in sent.iter().filter(|_| piece < 2) {
            assert_eq!((&frame[22..38], &frame[38..54], frame[54]), (&VIP_V6[..], &CLIENT_V6[..], 2));
        }
    }
    let expected: [(Fate, u64); 2] = [(FragmentForwarded, 1), (TooBigAnswered, 2)];
    assert_eq!(host.fates(), expected.into());
}
