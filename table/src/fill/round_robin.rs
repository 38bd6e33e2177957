//! Weighted round robin: a sequence that the pipeline walks through, selection by selection.
//!
//! # Source
//! Nginx's smooth weighted round robin: nginx/nginx 52327e06, "Upstream: smooth weighted round-robin balancing", 2012.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use maglane_spec::limit::{NO_BACKEND, TABLE_SIZE_MAX};

use super::{Share, visits};

/// The sequence, one round of it.
///
/// # Shape
/// As many entries as [`round_robin_len`] says, each an index into `shares`; one [`NO_BACKEND`] when nobody has a
/// weight. At each step the credit of everybody grows by its turns; whoever has the greatest, of several the lowest
/// identity, gets the slot and pays the sum of all turns. Turns are the weights divided by their greatest common
/// divisor. If their sum is beyond [`TABLE_SIZE_MAX`], they become max(1, floor(turns / d)) with the least whole d for
/// which it is not. The order of `shares` decides the numbers in the table, but not who gets which slot.
///
/// # Panics
/// When more than [`TABLE_SIZE_MAX`] shares have a weight.
#[must_use]
pub fn round_robin(shares: &[Share<'_>]) -> Vec<u16> {
    let visits = visits(shares);
    if visits.is_empty() {
        return vec![NO_BACKEND];
    }
    let weights: Vec<u16> = visits.iter().map(|&index| shares[index].weight).collect();
    let Some(turns) = turns(&weights) else { panic!("{} backends are more than a slice has slots", visits.len()) };
    smooth(&turns).into_iter().map(|visit| u16::try_from(visits[visit]).unwrap_or(NO_BACKEND)).collect()
}

/// Entries of the sequence; none when more than [`TABLE_SIZE_MAX`] weights are above 0.
#[must_use]
pub fn round_robin_len(weights: impl IntoIterator<Item = u16>) -> Option<u16> {
    let weights: Vec<u16> = weights.into_iter().filter(|&weight| weight > 0).collect();
    let len = turns(&weights)?.iter().sum::<u32>().max(1);
    u16::try_from(len).ok()
}

/// How often each comes in a round, for weights above 0; none when there are too many.
fn turns(weights: &[u16]) -> Option<Vec<u32>> {
    let divisor = weights.iter().copied().fold(0, greatest_common_divisor).max(1);
    let reduced = |scale: u32| weights.iter().map(move |weight| (u32::from(weight / divisor) / scale).max(1));
    let fits = |scale: u32| reduced(scale).map(u64::from).sum::<u64>() <= u64::from(TABLE_SIZE_MAX);
    // The sum never grows with d, and from the largest weight on it is the number of backends.
    let (mut least, mut most) = (1, u32::from(u16::MAX));
    if !fits(most) {
        return None;
    }
    while least < most {
        let middle = u32::midpoint(least, most);
        if fits(middle) {
            most = middle;
        } else {
            least = middle + 1;
        }
    }
    Some(reduced(least).collect())
}

fn greatest_common_divisor(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Those of equal turns: they come one after the other, for until its own turn each keeps the credit of the first.
struct Peers {
    /// Turns of each.
    turns: i64,
    /// Who they are, ascending.
    members: Vec<usize>,
    /// Who comes next.
    next: usize,
    /// Credit of who comes next.
    credit: i64,
}

/// One round, as indices into `turns`.
///
/// Peers are one heap of candidates, not many: distinct numbers of turns whose sum is at most 65,521 are at most 361,
/// as 1 + 2 + .. + 361 = 65,341, so a step compares few credits even among 32,768 backends.
fn smooth(turns: &[u32]) -> Vec<usize> {
    let mut by_turns: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, &turns) in turns.iter().enumerate() {
        by_turns.entry(turns).or_default().push(index);
    }
    let mut peers: Vec<Peers> = by_turns
        .into_iter()
        .map(|(turns, members)| Peers { turns: i64::from(turns), members, next: 0, credit: 0 })
        .collect();
    let sum: u32 = turns.iter().sum();
    let mut sequence = Vec::with_capacity(sum as usize);
    for _ in 0..sum {
        for one in &mut peers {
            one.credit += one.turns;
        }
        let greatest = peers.iter_mut().max_by_key(|one| (one.credit, Reverse(one.members[one.next])));
        let Some(taken) = greatest else { break };
        sequence.push(taken.members[taken.next]);
        taken.next += 1;
        if taken.next == taken.members.len() {
            // All have paid once, so the first one's credit is again the greatest among them.
            taken.next = 0;
            taken.credit -= i64::from(sum);
        }
    }
    sequence
}

#[cfg(test)]
mod tests {
    //! Nginx's published sequence; the definition, credit by credit; the least divisor, by trial.

    use proptest::prelude::*;

    use super::*;

    /// The sequence by its definition, for turns in ascending order of identity.
    fn definition(turns: &[u32]) -> Vec<usize> {
        let sum: i64 = turns.iter().copied().map(i64::from).sum();
        let mut credits = vec![0i64; turns.len()];
        let step = |_| {
            let mut greatest = 0;
            for index in 0..turns.len() {
                credits[index] += i64::from(turns[index]);
                if credits[index] > credits[greatest] {
                    greatest = index;
                }
            }
            credits[greatest] -= sum;
            greatest
        };
        (0..sum).map(step).collect()
    }

    /// The turns by their definition, every divisor tried in its order.
    fn turns_by_trial(weights: &[u16]) -> Vec<u32> {
        let divides = |divisor: &u16| weights.iter().all(|weight| weight % divisor == 0);
        let divisor = (1..=u16::MAX).rev().find(divides).unwrap();
        let whole: Vec<u32> = weights.iter().map(|weight| u32::from(weight / divisor)).collect();
        if whole.iter().sum::<u32>() <= 65_521 {
            return whole;
        }
        let scaled = |d: u32| whole.iter().map(|turns| (turns / d).max(1)).collect::<Vec<_>>();
        (2..).map(scaled).find(|turns| turns.iter().sum::<u32>() <= 65_521).unwrap()
    }

    fn letters(entries: &[(&str, u16)]) -> String {
        let shares: Vec<Share<'_>> = entries.iter().map(|&(identity, weight)| Share { identity, weight }).collect();
        let letter = |index: u16| shares.get(usize::from(index)).map_or("-", |share| share.identity);
        round_robin(&shares).into_iter().map(letter).collect()
    }

    /// # Source
    /// nginx/nginx 52327e06, the message: 5, 1, 1 give { a, a, b, a, c, a, a }.
    #[test]
    fn nginx_sequence() {
        assert_eq!(letters(&[("a", 5), ("b", 1), ("c", 1)]), "aabacaa");
    }

    /// Credits of 3, 2 and 1, before the payment of 6: 3 2 1 a, 0 4 2 b, 3 0 3 a as before c, 0 2 4 c, 3 4 -1 b,
    /// 6 0 0 a.
    #[test]
    fn sequences_by_hand() {
        assert_eq!(letters(&[("a", 3), ("b", 2), ("c", 1)]), "abacba");
        assert_eq!(letters(&[("c", 1), ("a", 3), ("b", 2)]), "abacba", "in any order");
        assert_eq!(letters(&[("a", 300), ("b", 200), ("c", 100)]), "abacba", "divided by 100");
        assert_eq!(letters(&[("b", 7), ("a", 7), ("c", 7)]), "abc");
        assert_eq!(letters(&[("a", 0), ("b", 65_535), ("c", 0)]), "b");
        assert_eq!(letters(&[("b", 1), ("a", 2)]), "aba");
        assert_eq!(letters(&[("10.1.0.9", 1), ("10.1.0.10", 1)]), "10.1.0.1010.1.0.9", "bytes, not numbers");
    }

    #[test]
    fn nobody_has_one_empty_slot() {
        assert_eq!(round_robin(&[]), [NO_BACKEND]);
        assert_eq!(round_robin(&[Share { identity: "a", weight: 0 }]), [NO_BACKEND]);
        assert_eq!((round_robin_len([]), round_robin_len([0, 0])), (Some(1), Some(1)));
    }

    #[test]
    fn divisor_is_the_least_that_fits() {
        // The sum of 65,521 fits as it is, one more does not: floor(32,761 / 2) twice.
        assert_eq!(turns(&[32_760, 32_761]).unwrap(), [32_760, 32_761]);
        assert_eq!(turns(&[32_761, 32_761]).unwrap(), [1, 1]);
        assert_eq!(turns(&[32_759, 32_761, 2]).unwrap(), [16_379, 16_380, 1]);
        // floor(65,535 / 2) + 32,754 is just enough; with one more d is 3: 21,845 + 32,755.
        assert_eq!(round_robin_len(std::iter::once(65_535).chain(vec![1; 32_754])), Some(65_521));
        assert_eq!(round_robin_len(std::iter::once(65_535).chain(vec![1; 32_755])), Some(54_600));
        // 3 * (65,535 / 3) + 1 = 65,536 is too much still.
        assert_eq!(turns(&[65_535, 65_535, 65_535, 1]).unwrap(), [16_383, 16_383, 16_383, 1]);
        // Divided by 3 first: 21,845 * 3 + 2 = 65,537, so d = 2.
        assert_eq!(turns(&[65_535, 65_535, 65_535, 6]).unwrap(), [10_922, 10_922, 10_922, 1]);
        assert_eq!(turns(&vec![65_535; 65_521]).unwrap(), vec![1; 65_521]);
        assert_eq!(round_robin_len(vec![1; 65_521]), Some(65_521));
        assert_eq!(round_robin_len((0..65_522).map(|index| 1 + index % 2)), None);
    }

    proptest! {
        #[test]
        fn turns_equal_the_trial_of_every_divisor(
            raw in prop::collection::vec((1u16.., 0u32..16), 1..40),
            factor in 1u16..20,
        ) {
            let weights: Vec<u16> =
                raw.iter().map(|&(weight, shift)| ((weight >> shift) / factor).max(1) * factor).collect();
            let turns = turns(&weights).unwrap();
            prop_assert_eq!(&turns, &turns_by_trial(&weights));
            prop_assert_eq!(round_robin_len(weights).map(u32::from), Some(turns.iter().sum()));
        }

        #[test]
        fn sequence_equals_the_definition(turns in prop::collection::vec(1u32..12, 1..12), heavy in 0u32..500) {
            let mut turns = turns;
            turns[0] += heavy;
            let sequence = smooth(&turns);
            prop_assert_eq!(&sequence, &definition(&turns));
            for (index, &turns) in turns.iter().enumerate() {
                prop_assert_eq!(sequence.iter().filter(|&&taken| taken == index).count(), turns as usize);
            }
        }

        #[test]
        fn order_does_not_matter(
            weights in prop::collection::vec(0u16..9, 1..9),
            middle in any::<prop::sample::Index>(),
        ) {
            let names: Vec<String> = (0..weights.len()).map(|index| format!("web-{index}")).collect();
            let entries: Vec<(&str, u16)> = names.iter().map(String::as_str).zip(weights).collect();
            let mut turned = entries.clone();
            turned.rotate_left(middle.index(entries.len()));
            prop_assert_eq!(letters(&turned), letters(&entries));
            turned.reverse();
            prop_assert_eq!(letters(&turned), letters(&entries));
        }
    }

    /// As many distinct weights as there can be, and as many backends: credit by credit this would take seconds.
    #[test]
    fn largest_sequences_are_right() {
        let distinct: Vec<u32> = (1..=361).collect();
        assert_eq!(smooth(&distinct), definition(&distinct));
        let names: Vec<String> = (0..32_768).map(|index| format!("{index:05}")).collect();
        let weight = |index: usize| if index < 16_384 { 2 } else { 1 };
        let shares: Vec<Share<'_>> =
            names.iter().enumerate().map(|(index, name)| Share { identity: name, weight: weight(index) }).collect();
        let sequence = round_robin(&shares);
        assert_eq!(sequence.len(), 16_384 * 3);
        // Who has two turns of 49,152 comes once in each half, who has one in the middle.
        let (first, last) = sequence.split_at(16_384);
        assert!(first.iter().copied().eq(0..16_384));
        let (middle, last) = last.split_at(16_384);
        assert!(middle.iter().copied().eq(16_384..32_768));
        assert!(last.iter().copied().eq(0..16_384));
    }
}
