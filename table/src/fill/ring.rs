//! The ring: consistent hashing with virtual nodes.
//!
//! # Source
//! Karger et al., "Consistent Hashing and Random Trees", STOC 1997, section 4. 160 points for the heaviest server as in
//! ketama (R. Jones, Last.fm, 2007), which takes 40 hashes of four points each; here every point is a hash of its own.

use maglane_spec::limit::{NO_BACKEND, TABLE_SIZE_MAX};

use super::{Share, identity_hash, visits};

/// Virtual nodes of the heaviest backend.
const NODES: u32 = 160;

/// Index of the identity hash of the first virtual node: 0 and 1 are Maglev's offset and skip.
const HASH_FIRST: u64 = 2;

/// Fills a slice of `m` slots.
///
/// # Shape
/// `m` entries, each an index into `shares` or [`NO_BACKEND`] when nobody has a weight. A backend of weight w has
/// max(1, floor(160 * w / the largest weight)) virtual nodes on a ring of 2^64 points; slot i stands at
/// floor(i * 2^64 / m) and belongs to the first node at or after it, wrapping. The order of `shares` decides the
/// numbers in the table, but not who gets which slot.
///
/// # Panics
/// Unless `m` is 1 to [`TABLE_SIZE_MAX`] and there are fewer shares than [`NO_BACKEND`].
#[must_use]
pub fn ring(shares: &[Share<'_>], m: u16) -> Vec<u16> {
    assert!((1..=TABLE_SIZE_MAX).contains(&u32::from(m)), "a slice has 1 to {TABLE_SIZE_MAX} slots, not {m}");
    let visits = visits(shares);
    let heaviest = visits.iter().map(|&index| u32::from(shares[index].weight)).max().unwrap_or(1);
    let nodes = visits.into_iter().flat_map(|index| {
        let Share { identity, weight } = shares[index];
        let owner = u16::try_from(index).unwrap_or(NO_BACKEND);
        (0..nodes(weight, heaviest)).map(move |node| (identity_hash(HASH_FIRST + node, identity), owner))
    });
    assign(nodes, m)
}

/// Virtual nodes of a backend. Nobody of weight 1 or more goes without.
fn nodes(weight: u16, heaviest: u32) -> u64 {
    u64::from((NODES * u32::from(weight) / heaviest).max(1))
}

/// Gives each slot to the first node at or after it. Of nodes at one point the first in the iterator counts, so nodes
/// come in ascending order of identity.
///
/// Nodes are not sorted, for only the first node between a slot and the next one matters: each slot keeps the lowest
/// point that falls to it, and who has none takes over from its successor.
fn assign(nodes: impl Iterator<Item = (u64, u16)>, m: u16) -> Vec<u16> {
    let mut firsts: Vec<Option<(u64, u16)>> = vec![None; usize::from(m)];
    for (point, owner) in nodes {
        let first = &mut firsts[slot_before(point, m)];
        if first.is_none_or(|(lowest, _)| point < lowest) {
            *first = Some((point, owner));
        }
    }
    // After the last node the ring goes on with the first one.
    let mut owner = firsts.iter().flatten().next().map_or(NO_BACKEND, |&(_, owner)| owner);
    let mut table = vec![NO_BACKEND; usize::from(m)];
    for (entry, first) in table.iter_mut().zip(firsts).rev() {
        if let Some((_, first)) = first {
            owner = first;
        }
        *entry = owner;
    }
    table
}

/// The last slot at or before a point: the greatest i with floor(i * 2^64 / m) <= point.
///
/// That is i * 2^64 < (point + 1) * m, so i = floor(((point + 1) * m - 1) / 2^64).
fn slot_before(point: u64, m: u16) -> usize {
    let slot = ((u128::from(point) + 1) * u128::from(m) - 1) >> 64;
    usize::try_from(slot).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    //! The definition, searched slot by slot; tables of a program of another language; balance and disruption.

    use proptest::prelude::*;

    use super::*;

    /// The fill's definition: all nodes in one heap, each slot looks for the nearest.
    fn definition(shares: &[Share<'_>], m: u16) -> Vec<u16> {
        let taking: Vec<&Share<'_>> = shares.iter().filter(|share| share.weight > 0).collect();
        let heaviest = taking.iter().map(|share| u64::from(share.weight)).max().unwrap_or(1);
        let mut nodes = Vec::new();
        for (index, share) in shares.iter().enumerate().filter(|(_, share)| share.weight > 0) {
            for node in 0..(160 * u64::from(share.weight) / heaviest).max(1) {
                nodes.push((identity_hash(2 + node, share.identity), share.identity.as_bytes(), index));
            }
        }
        (0..u128::from(m))
            .map(|slot| {
                let at = u64::try_from((slot << 64) / u128::from(m)).unwrap();
                let nearest = nodes.iter().min_by_key(|(point, identity, _)| (point.wrapping_sub(at), *identity));
                nearest.map_or(NO_BACKEND, |&(_, _, index)| u16::try_from(index).unwrap())
            })
            .collect()
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("backend-{index}")).collect()
    }

    fn shares<'a>(names: &'a [String], weight: impl Fn(usize) -> u16) -> Vec<Share<'a>> {
        names.iter().enumerate().map(|(index, name)| Share { identity: name, weight: weight(index) }).collect()
    }

    fn identities<'a>(shares: &[Share<'a>], m: u16) -> Vec<Option<&'a str>> {
        ring(shares, m).into_iter().map(|index| shares.get(usize::from(index)).map(|share| share.identity)).collect()
    }

    #[test]
    fn nodes_are_in_proportion_and_at_least_one() {
        assert_eq!([65_535, 32_768, 409, 410, 1].map(|weight| nodes(weight, 65_535)), [160, 80, 1, 1, 1]);
        assert_eq!([100, 50, 1].map(|weight| nodes(weight, 100)), [160, 80, 1]);
        assert_eq!([3, 2, 1].map(|weight| nodes(weight, 3)), [160, 106, 53]);
        assert_eq!(nodes(1, 1), 160);
    }

    #[test]
    fn slots_begin_at_their_floor() {
        for m in [1, 2, 3, 7, 10, 128, 251, 40_000, 65_521] {
            for slot in (0..usize::from(m)).step_by(usize::from(m) / 100 + 1).chain([usize::from(m) - 1]) {
                let at = u64::try_from(((slot as u128) << 64) / u128::from(m)).unwrap();
                assert_eq!(slot_before(at, m), slot, "at the start of slot {slot} of {m}");
                if slot > 0 {
                    assert_eq!(slot_before(at - 1, m), slot - 1, "before the start of slot {slot} of {m}");
                }
            }
            assert_eq!(slot_before(u64::MAX, m), usize::from(m) - 1);
        }
    }

    /// Four slots at 0, 2^62, 2^63 and 3 * 2^62.
    #[test]
    fn slots_belong_to_the_first_node_at_or_after_them() {
        let quarter = 1u64 << 62;
        let owners = |nodes: &[(u64, u16)]| assign(nodes.iter().copied(), 4);
        assert_eq!(owners(&[(quarter, 0)]), [0; 4], "one node has all");
        assert_eq!(owners(&[(quarter, 0), (2 * quarter, 1)]), [0, 0, 1, 0], "a node on a slot has it");
        assert_eq!(owners(&[(quarter + 1, 0), (2 * quarter, 1)]), [0, 0, 1, 0]);
        assert_eq!(owners(&[(quarter - 1, 0), (2 * quarter, 1)]), [0, 1, 1, 0]);
        assert_eq!(owners(&[(0, 7), (u64::MAX, 8)]), [7, 8, 8, 8]);
        assert_eq!(owners(&[(quarter + 9, 1), (quarter + 5, 2), (quarter + 7, 3)]), [2, 2, 2, 2]);
        assert_eq!(owners(&[(9, 1), (5, 2)]), [2, 2, 2, 2], "who is behind another within a slot has none");
        assert_eq!(owners(&[(5, 4), (5, 3)]), [4; 4], "of one point the first counts");
        assert_eq!(owners(&[]), [NO_BACKEND; 4]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn ring_equals_the_definition_in_any_order(
            m in prop::sample::select(vec![1u16, 2, 4, 7, 100, 251, 256, 509]),
            raw in prop::collection::btree_map("[a-d]{1,3}", (0u16.., 0u32..17), 0..8),
            turn in any::<prop::sample::Index>(),
        ) {
            // Shifted, so that small weights are as likely as large ones.
            let mut all: Vec<Share<'_>> = raw
                .iter()
                .map(|(identity, &(weight, shift))| Share { identity, weight: weight.checked_shr(shift).unwrap_or(0) })
                .collect();
            let sorted = identities(&all, m);
            if !all.is_empty() {
                let middle = turn.index(all.len());
                all.rotate_left(middle);
            }
            prop_assert_eq!(ring(&all, m), definition(&all, m));
            prop_assert_eq!(identities(&all, m), sorted);
        }
    }

    /// Computed by a Python program written from the definition, with SipHash, big numbers and a sorted ring.
    #[test]
    fn rings_of_another_program_are_the_same() {
        let letters = |entries: &[(&'static str, u16)], m| -> String {
            let shares: Vec<Share<'_>> = entries.iter().map(|&(identity, weight)| Share { identity, weight }).collect();
            identities(&shares, m)
                .into_iter()
                .map(|identity| &identity.unwrap()[identity.unwrap().len() - 1..])
                .collect()
        };
        assert_eq!(
            letters(&[("a", 3), ("b", 2), ("c", 1)], 64),
            "baaccccbbbcacbcacbaaaaaaaaaabaaababbababacbbacbbbbaaaabaaaaaabba"
        );
        assert_eq!(
            letters(&[("10.1.0.1", 100), ("10.1.0.2", 50), ("10.1.0.3", 0), ("10.1.0.4", 1)], 61),
            "1112111211212111211112112112111111111112222111211221122212212"
        );
    }

    #[test]
    fn a_leaving_backend_moves_its_own_slots_only() {
        let names = names(50);
        // Several have the largest weight, so it stays when one of them leaves.
        let all = shares(&names, |index| u16::try_from(index % 5 + 1).unwrap());
        let before = identities(&all, 65_521);
        for leaving in [0, 4, 23, 49] {
            let mut rest = all.clone();
            let gone = rest.remove(leaving);
            let after = identities(&rest, 65_521);
            let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
            assert!(moved.clone().all(|(before, _)| *before == Some(gone.identity)), "{gone:?}");
            assert_eq!(moved.count(), before.iter().filter(|&&owner| owner == Some(gone.identity)).count());
            rest.insert(leaving, Share { weight: 0, ..gone });
            assert_eq!(identities(&rest, 65_521), after, "a weight of 0 is as good as not being there");
        }
    }

    /// The others are measured by the next heaviest then: they get more nodes and lose none. Here b has 80, then 160;
    /// c has one before and after.
    #[test]
    fn when_the_heaviest_leaves_nobody_loses_slots_to_who_does_not_grow() {
        let all = [("a", 1_600), ("b", 800), ("c", 1)].map(|(identity, weight)| Share { identity, weight });
        let (before, after) = (identities(&all, 10_007), identities(&all[1..], 10_007));
        let moved = |from: &str, to: &str| {
            before.iter().zip(&after).filter(|&(&before, &after)| before == Some(from) && after == Some(to)).count()
        };
        assert!(moved("a", "b") > 6_000, "{}", moved("a", "b"));
        assert_eq!(moved("b", "c"), 0);
    }

    #[test]
    fn shares_are_near_their_due() {
        let names = names(20);
        let shares = shares(&names, |index| if index % 2 == 0 { 200 } else { 100 });
        let mut slots = vec![0u32; shares.len()];
        ring(&shares, 65_521).iter().for_each(|&index| slots[usize::from(index)] += 1);
        for (share, slots) in shares.iter().zip(slots) {
            // The share of n nodes strays by 1 / sqrt(n): 160 nodes 8 %, 80 nodes 11 %. Three times that.
            let due = 65_521.0 * f64::from(share.weight) / 3_000.0;
            assert!((f64::from(slots) - due).abs() < due * 0.34, "{share:?} is due {due} and has {slots}");
        }
    }

    #[test]
    fn nobody_gets_every_slot() {
        assert_eq!(ring(&[], 6), [NO_BACKEND; 6]);
        assert_eq!(ring(&[Share { identity: "a", weight: 0 }], 1), [NO_BACKEND]);
        let two = [Share { identity: "a", weight: 0 }, Share { identity: "b", weight: 1 }];
        assert_eq!(ring(&two, 6), [1; 6]);
    }
}
