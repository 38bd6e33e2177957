//! Frames by chance, most of them damaged: nothing panics, each has one fate, and nothing grows without bound.

use maglane_spec::Egress;
use maglane_sw::slow::Fate;
use maglane_sw::slow::limit::{PLACED_DATAGRAMS_MAX, WAITING_BYTES_IN_ALL_MAX, WAITING_DATAGRAMS_MAX};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::answers::{echo, echo_v6};
use crate::fixture::{VIP, VIP_ALL_UDP, VIP_V6, icmp_error, image, reply, tagged, tcp, tcp_v6, udp, udp_v6, with_ipv4};
use crate::host::{Host, ip_offset, pieces};

/// Frames that reach every part of the slow path.
fn templates() -> Vec<Vec<u8>> {
    let no_df = |frame: &[u8]| with_ipv4(frame, 6, &[0, 0]);
    let wholes = [udp(VIP, 53, 400), tcp(VIP, 80, 400), udp_v6(VIP_V6, 8092, 400), tcp_v6(VIP_V6, 8091, 400)];
    let mut all: Vec<Vec<u8>> = wholes.iter().flat_map(|whole| pieces(whole, 7, &[120, 80, 64])).collect();
    all.extend(pieces(&udp(VIP_ALL_UDP, 9, 4_000), 7, &[1_480, 1_480]));
    all.extend([no_df(&tcp(VIP, 80, 3_000)), tcp(VIP, 80, 1_500), tcp_v6(VIP_V6, 8091, 1_500)]);
    all.extend([no_df(&icmp_error(3, 4, &reply(&tcp(VIP, 80, 1_500)), 1_480)), echo(), echo_v6(), tcp(VIP, 80, 4)]);
    let tags: Vec<Vec<u8>> = all.iter().step_by(3).map(|frame| tagged(frame, 0x2064)).collect();
    all.into_iter().chain(tags).collect()
}

/// Which template, what is written where, how much is cut off, whether the checksum is mended, and the pause before it in
/// milliseconds.
type Recipe = (Index, Vec<(Index, u8)>, Option<Index>, bool, u16);

fn recipe() -> impl Strategy<Value = Recipe> {
    let patch = (any::<Index>(), any::<u8>());
    let pause = prop_oneof![Just(0_u16), 0..10_u16, 0..7_000_u16];
    (
        any::<Index>(),
        prop::collection::vec(patch, 0..4),
        prop::option::weighted(0.2, any::<Index>()),
        prop::bool::weighted(0.9),
        pause,
    )
}

fn frame(templates: &[Vec<u8>], (template, patches, cut, mend, _): &Recipe) -> Vec<u8> {
    let mut frame = template.get(templates).clone();
    for (at, byte) in patches {
        // Mostly in the headers.
        let len = frame.len().min(80);
        frame[at.index(len)] = *byte;
    }
    if let Some(cut) = cut {
        frame.truncate(cut.index(frame.len()) + 1);
    }
    let at = if frame.len() > 18 { ip_offset(&frame) } else { 14 };
    if *mend && frame.len() >= at + 20 && frame[at] >> 4 == 4 {
        frame[at + 10..at + 12].fill(0);
        let sum = etherparse::checksum::Sum16BitWords::new().add_slice(&frame[at..at + 20]).ones_complement();
        frame[at + 10..at + 12].copy_from_slice(&sum.to_ne_bytes());
    }
    frame
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn hostile_frames_have_one_fate_each_in_bounded_memory(recipes in prop::collection::vec(recipe(), 1..120)) {
        let templates = templates();
        let mut host = Host::new(image());
        let (mut time_ns, mut bytes_in, mut bytes_out) = (0, 0, 0);
        for recipe in &recipes {
            time_ns += u64::from(recipe.4) * 1_000_000;
            let frame = frame(&templates, recipe);
            let before = host.counters();
            let (egress, sent) = host.take(time_ns, &frame);
            let after = host.counters();
            // That every frame is in one count, counters() itself has seen to.
            let passed = after.of(Fate::Passed) > before.of(Fate::Passed);
            prop_assert!(!passed || egress == Egress::Host);
            prop_assert!(after.kept.datagrams <= WAITING_DATAGRAMS_MAX + PLACED_DATAGRAMS_MAX);
            prop_assert!(after.kept.bytes <= WAITING_BYTES_IN_ALL_MAX && after.kept.pieces <= 120);
            bytes_in += frame.len() + 300;
            bytes_out += sent.iter().map(Vec::len).sum::<usize>();
        }
        // Nothing is amplified: outer headers, and headers of pieces, are no more than that.
        prop_assert!(bytes_out <= bytes_in, "{bytes_out} bytes out for {bytes_in}");
        host.expire(u64::MAX);
        prop_assert_eq!(host.counters().kept, Default::default());
    }
}
