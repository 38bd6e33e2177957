//! Floods: nothing that comes makes the host keep more than its limits say, and no frame is lost from the counts.

use maglane_sw::slow::Fate::*;
use maglane_sw::slow::limit::{
    OUTBOX_BYTES_MAX, OUTBOX_FRAMES_MAX, PLACED_DATAGRAMS_MAX, WAITING_BYTES_IN_ALL_MAX, WAITING_BYTES_MAX,
    WAITING_DATAGRAMS_MAX, WAITING_PIECES_MAX,
};

use crate::fixture::{VIP, image, udp, udp_v6, with_ipv4};
use crate::host::{Host, pieces};

/// Pieces of a datagram of a client, one of 2^32.
fn of_client(client: u32, lens: &[usize]) -> Vec<Vec<u8>> {
    pieces(
        &with_ipv4(&udp(VIP, 53, 1_000), 12, &[10, client.to_be_bytes()[1], client.to_be_bytes()[2], 9]),
        client & 0xff,
        lens,
    )
}

#[test]
fn flood_of_later_pieces_keeps_the_limits_and_drives_out_no_backend() {
    let mut host = Host::new(image());
    let ours = pieces(&udp(VIP, 53, 1_000), 0xbeef, &[240, 304]);
    let known = host.sends(0, &ours[0]);
    let floods = u32::try_from(3 * WAITING_DATAGRAMS_MAX).unwrap();
    for client in 0..floods {
        assert!(host.sends(u64::from(client), &of_client(client, &[240])[1]).is_empty());
        assert!(host.counters().kept.datagrams <= WAITING_DATAGRAMS_MAX + 1);
    }
    let counters = host.counters();
    assert_eq!((counters.kept.pieces, counters.kept.datagrams), (WAITING_DATAGRAMS_MAX, WAITING_DATAGRAMS_MAX + 1));
    assert_eq!(counters.of(FragmentEvicted), 2 * WAITING_DATAGRAMS_MAX as u64);
    assert_eq!((counters.held, counters.forgotten), (u64::from(floods), 0));
    assert_eq!(host.sends(u64::from(floods), &ours[1])[0][..34], with_length(&known[0], 304));
    // Those that began last are still there.
    assert_eq!(host.sends(0, &of_client(floods - 1, &[240])[0]).len(), 2);
    assert_eq!(host.sends(0, &of_client(0, &[240])[0]).len(), 1);
}

/// The headers of a frame in a tunnel with so many bytes in its piece.
fn with_length(frame: &[u8], len: usize) -> Vec<u8> {
    let mut header = frame[..34].to_vec();
    // Outer, GRE with a key, inner.
    header[16..18].copy_from_slice(&u16::try_from(20 + 8 + 20 + len).unwrap().to_be_bytes());
    header[24..26].fill(0);
    let checksum = etherparse::checksum::Sum16BitWords::new().add_slice(&header[14..34]).ones_complement();
    header[24..26].copy_from_slice(&checksum.to_ne_bytes());
    header
}

#[test]
fn flood_of_first_pieces_forgets_those_that_began_longest_ago() {
    let mut host = Host::new(image());
    let clients = u32::try_from(PLACED_DATAGRAMS_MAX).unwrap() + 1;
    for client in 0..clients {
        assert_eq!(host.sends(u64::from(client), &of_client(client, &[240])[0]).len(), 1);
    }
    let counters = host.counters();
    assert_eq!((counters.kept.datagrams, counters.forgotten), (PLACED_DATAGRAMS_MAX, 1));
    assert_eq!(host.sends(0, &of_client(1, &[240])[1]).len(), 1);
    assert_eq!(host.sends(0, &of_client(0, &[240])[1]).len(), 0);
    assert_eq!(host.counters().kept.pieces, 1);
}

#[test]
fn bytes_that_wait_are_bounded_in_all_and_by_datagram() {
    let mut host = Host::new(image());
    // The largest frames there are: 6 of a datagram, and all of them.
    let piece = |client: u32, number: usize| {
        let mut frame = pieces(&with_ipv4(&udp(VIP, 53, 9_520), 2, &[0x25, 0x4c]), client, &[8])[1].clone();
        frame[12 + 14..16 + 14].copy_from_slice(&client.to_be_bytes());
        let offset = u16::try_from(1 + number * 1_190).unwrap() & 0x1fff;
        with_ipv4(&frame, 6, &offset.to_be_bytes())
    };
    let len = piece(1, 0).len();
    for number in 0..9 {
        assert!(host.sends(0, &piece(1, number % 6)).is_empty());
    }
    let fit = (WAITING_BYTES_MAX / len).min(WAITING_PIECES_MAX);
    assert_eq!((host.counters().kept.pieces, host.counters().of(FragmentOverfull)), (fit, 9 - fit as u64));
    for client in 2..200 {
        for number in 0..6 {
            assert!(host.sends(0, &piece(client, number)).is_empty());
            assert!(host.counters().kept.bytes <= WAITING_BYTES_IN_ALL_MAX);
        }
    }
    // Whole datagrams make room.
    assert!(host.counters().kept.bytes > WAITING_BYTES_IN_ALL_MAX - 7 * len);
    assert!(host.counters().of(FragmentEvicted) > 500);

    // Short ones are bounded by their number.
    let mut host = Host::new(image());
    let small = pieces(&udp_v6(crate::fixture::VIP_V6, 8092, 1_400), 1, &[8; 100]);
    for piece in &small[1..] {
        assert!(host.sends(0, piece).is_empty());
    }
    let overfull = small.len() - 1 - WAITING_PIECES_MAX;
    assert_eq!(
        (host.counters().kept.pieces, host.fates()),
        (WAITING_PIECES_MAX, [(FragmentOverfull, overfull as u64)].into())
    );
    assert_eq!(host.sends(0, &small[0]).len(), 1 + WAITING_PIECES_MAX);
    const { assert!(OUTBOX_FRAMES_MAX > 32 * (1 + WAITING_PIECES_MAX)) };
}

#[test]
fn outbox_that_nobody_empties_is_bounded_and_what_has_no_room_is_counted() {
    let mut host = Host::new(image());
    host.is_stuck = true;
    let whole = pieces(&udp(VIP, 53, 400), 7, &[40]);
    for _ in 0..OUTBOX_FRAMES_MAX {
        assert_eq!(host.sends(0, &whole[0]).len(), 1);
    }
    assert_eq!(host.sends(0, &whole[0]).len(), 0);
    // A packet that would leave in several pieces leaves in none.
    let big = with_ipv4(&udp(VIP, 53, 9_000), 6, &[0, 0]);
    assert_eq!(host.sends(0, &big).len(), 0);
    assert_eq!(host.fates(), [(FragmentForwarded, OUTBOX_FRAMES_MAX as u64), (Unsent, 2)].into());

    let mut host = Host::new(image());
    host.is_stuck = true;
    let bytes: usize = host.sends(0, &big).iter().map(Vec::len).sum();
    while !host.sends(0, &big).is_empty() {}
    let counters = host.counters();
    let packets = counters.of(TooBigFragmented);
    assert_eq!((counters.of(Unsent), counters.sent), (1, packets * 7));
    assert_eq!(usize::try_from(packets).unwrap(), OUTBOX_BYTES_MAX / bytes);
}
