//! The weighted Maglev fill.
//!
//! # Source
//! Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4. Weights as
//! in Envoy: a turn of a light backend passes until its weight has added up to the quantum.

use maglane_spec::limit::{NO_BACKEND, TABLE_SIZE_MAX};

use super::{Share, identity_hash, visits};

/// Fills a slice of `m` slots.
///
/// # Shape
/// `m` entries, each an index into `shares` or [`NO_BACKEND`] when nobody has a weight. The order of `shares` decides
/// the numbers in the table, but not who gets which slot.
///
/// # Panics
/// Unless `m` is a prime up to [`TABLE_SIZE_MAX`] and there are fewer shares than [`NO_BACKEND`].
#[must_use]
pub fn maglev(shares: &[Share<'_>], m: u16) -> Vec<u16> {
    assert!(crate::prime::is_prime(u32::from(m)), "the steps through a slice reach every slot only if {m} is prime");
    let m = u64::from(m);
    let visits = visits(shares);
    let candidates: Vec<Candidate> = visits
        .iter()
        .map(|&index| Candidate {
            offset: narrow(identity_hash(0, shares[index].identity) % m),
            skip: narrow(identity_hash(1, shares[index].identity) % (m - 1) + 1),
            weight: u32::from(shares[index].weight),
        })
        .collect();
    // A power of two, so that losing the heaviest backend does not reshuffle the turns of all others.
    let quantum = candidates.iter().map(|candidate| candidate.weight).max().unwrap_or(1).next_power_of_two();
    let mut table = populate(narrow(m), quantum, &candidates);
    for entry in &mut table {
        if *entry != NO_BACKEND {
            *entry = u16::try_from(visits[usize::from(*entry)]).unwrap_or(NO_BACKEND);
        }
    }
    table
}

/// One who takes slots: its permutation of the slots is offset, offset + skip, offset + 2 skip, .. modulo M.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidate {
    /// Below M.
    offset: u32,
    /// 1 to M - 1.
    skip: u32,
    /// 1 or more.
    weight: u32,
}

/// Slots in visiting order of `candidates`: at turn t = 1, 2, .. each candidate in order passes if t * weight < its
/// target (0 at first), else its target grows by `quantum` and it takes the next free slot of its permutation.
fn populate(m: u32, quantum: u32, candidates: &[Candidate]) -> Vec<u16> {
    let mut slots = Slots::new(m, candidates);
    if !candidates.is_empty() {
        for candidate in turns(m, quantum, candidates) {
            if slots.free == 0 {
                break;
            }
            slots.take(candidate);
        }
    }
    slots.table
}

/// Who acts, in order, until at least `m` acts are done.
///
/// Weights of 1 beside 65,535 make for many turns in which hardly anybody acts, so turns are not walked: the acts of
/// each candidate are written down in closed form and sorted by turn. Counting sort is stable and candidates are
/// written in visiting order, so within a turn they stay in it.
fn turns(m: u32, quantum: u32, candidates: &[Candidate]) -> Vec<u16> {
    assert!(
        candidates.iter().all(|candidate| candidate.weight <= quantum),
        "the quantum is the largest weight or more"
    );
    // By turn t a candidate has acted t * weight / quantum times or a little more often.
    let sum: u64 = candidates.iter().map(|candidate| u64::from(candidate.weight)).sum();
    let enough = (u64::from(m) * u64::from(quantum)).div_ceil(sum);
    let last = usize::try_from(enough).unwrap_or(usize::MAX);
    let mut starts = vec![0u32; last + 2];
    for candidate in candidates {
        for_each_turn(candidate, quantum, enough, |turn| starts[turn + 1] += 1);
    }
    for turn in 1..starts.len() {
        starts[turn] += starts[turn - 1];
    }
    let mut order = vec![0u16; starts[last + 1] as usize];
    for (index, candidate) in (0u16..).zip(candidates) {
        for_each_turn(candidate, quantum, enough, |turn| {
            order[starts[turn] as usize] = index;
            starts[turn] += 1;
        });
    }
    order
}

/// Calls `act` with each turn, up to `last`, at which the candidate acts.
///
/// Its k-th act, from 0, is at the first turn t with t * weight >= k * quantum that comes after its act before, turn 1
/// at the earliest.
fn for_each_turn(candidate: &Candidate, quantum: u32, last: u64, mut act: impl FnMut(usize)) {
    let (weight, quantum) = (u64::from(candidate.weight), u64::from(quantum));
    let (step, step_rest) = (quantum / weight, quantum % weight);
    // The next turn is ceil(k * quantum / weight) = floor + (rest > 0), carried along instead of divided anew.
    let (mut floor, mut rest, mut turn) = (0, 0, 1);
    while turn <= last {
        act(usize::try_from(turn).unwrap_or(usize::MAX));
        floor += step;
        rest += step_rest;
        if rest >= weight {
            rest -= weight;
            floor += 1;
        }
        turn = (turn + 1).max(floor + u64::from(rest > 0));
    }
}

/// From this many free slots on they are kept as a list. A walk over the slots needs M / free steps to the next free
/// one, so that the last of 65,521 slots cost half of all steps; asking each free slot how far it is costs `free`.
const LISTED_MAX: u32 = 128;

/// A slice being filled.
struct Slots {
    table: Vec<u16>,
    free: u32,
    m: u32,
    /// A bit for each slot that is taken. It stays in the first-level cache where `table` would not.
    taken: Vec<u64>,
    /// The free slots, once there are at most [`LISTED_MAX`].
    listed: Vec<u32>,
    /// Next slot and skip of each candidate.
    walks: Vec<(u32, u32)>,
}

impl Slots {
    fn new(m: u32, candidates: &[Candidate]) -> Self {
        Self {
            table: vec![NO_BACKEND; m as usize],
            free: m,
            m,
            taken: vec![0; m.div_ceil(64) as usize],
            listed: if m <= LISTED_MAX { (0..m).collect() } else { Vec::new() },
            walks: candidates.iter().map(|candidate| (candidate.offset, candidate.skip)).collect(),
        }
    }

    /// Gives a candidate the next free slot of its permutation. At least one slot must be free.
    fn take(&mut self, candidate: u16) {
        let (from, skip) = self.walks[usize::from(candidate)];
        let slot = if self.free > LISTED_MAX { self.walk(from, skip) } else { self.choose(from, skip) };
        self.taken[(slot / 64) as usize] |= 1 << (slot % 64);
        self.table[slot as usize] = candidate;
        self.free -= 1;
        self.walks[usize::from(candidate)].0 = self.step(slot, skip);
        if self.free == LISTED_MAX {
            self.listed = (0..self.m).filter(|&slot| !self.is_taken(slot)).collect();
        }
    }

    fn is_taken(&self, slot: u32) -> bool {
        self.taken[(slot / 64) as usize] >> (slot % 64) & 1 == 1
    }

    /// One step of a walk, without a branch that no processor could predict: below M the difference wraps to a huge
    /// number, and the sum is the smaller one.
    fn step(&self, slot: u32, skip: u32) -> u32 {
        (slot + skip).min((slot + skip).wrapping_sub(self.m))
    }

    /// The next free slot, step by step.
    fn walk(&self, from: u32, skip: u32) -> u32 {
        let mut slot = from;
        while self.is_taken(slot) {
            slot = self.step(slot, skip);
        }
        slot
    }

    /// The next free slot, out of the list: the one whose distance, (slot - from) / skip modulo M, is least.
    fn choose(&mut self, from: u32, skip: u32) -> u32 {
        let m = self.m;
        let inverse = inverse(skip, m);
        let distance = |slot: u32| (slot + m - from) % m * inverse % m;
        let nearest = (0..self.listed.len()).min_by_key(|&index| distance(self.listed[index]));
        self.listed.swap_remove(nearest.unwrap_or_else(|| unreachable!("a slot is free")))
    }
}

/// 1 / number modulo the prime `m`, for a number from 1 to m - 1: it is number^(m - 2) by Fermat's little theorem.
/// Products are below 2^32.
fn inverse(number: u32, m: u32) -> u32 {
    let (mut power, mut square, mut exponent) = (1, number, m - 2);
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = power * square % m;
        }
        square = square * square % m;
        exponent >>= 1;
    }
    power
}

/// A number that is known to be below M.
fn narrow(value: u64) -> u32 {
    debug_assert!(value <= u64::from(TABLE_SIZE_MAX));
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    //! Tables of others, fed with their permutations and orders of turns; the closed form against the definition;
    //! balance and disruption at full size.

    use proptest::prelude::*;

    use super::*;

    /// The fill's definition, turn by turn and step by step.
    fn definition(m: u32, quantum: u32, candidates: &[Candidate]) -> Vec<u16> {
        let mut table = vec![NO_BACKEND; m as usize];
        let mut targets = vec![0; candidates.len()];
        let mut steps = vec![0u64; candidates.len()];
        for turn in 1u64.. {
            for (index, candidate) in candidates.iter().enumerate() {
                if !table.contains(&NO_BACKEND) {
                    return table;
                }
                if turn * u64::from(candidate.weight) < targets[index] {
                    continue;
                }
                targets[index] += u64::from(quantum);
                loop {
                    let slot = (u64::from(candidate.offset) + steps[index] * u64::from(candidate.skip)) % u64::from(m);
                    steps[index] += 1;
                    let entry = &mut table[usize::try_from(slot).unwrap()];
                    if *entry == NO_BACKEND {
                        *entry = u16::try_from(index).unwrap();
                        break;
                    }
                }
            }
        }
        unreachable!()
    }

    fn candidates(entries: &[(u32, u32, u32)]) -> Vec<Candidate> {
        entries.iter().map(|&(offset, skip, weight)| Candidate { offset, skip, weight }).collect()
    }

    /// # Source
    /// The Maglev paper, table 1: permutations 3 0 4 .., 0 2 4 .., 3 4 5 .. of 7 slots.
    #[test]
    fn populate_gives_the_papers_table() {
        let all = candidates(&[(3, 4, 1), (0, 2, 1), (3, 1, 1)]);
        assert_eq!(populate(7, 1, &all), [1, 0, 1, 0, 2, 2, 0]);
        assert_eq!(populate(7, 1, &[all[0], all[2]]), [0, 0, 0, 0, 1, 1, 1]);
    }

    /// Offsets and skips are xxh64 of the keys with seeds 0 and 1, modulo M and M - 1; W is the largest weight.
    ///
    /// # Source
    /// envoyproxy/envoy `test/extensions/load_balancing_policies/maglev/maglev_lb_test.cc` at 08417eb6: Basic,
    /// BasicWithHostName, Weighted, LocalityWeightedSameLocalityWeights, LocalityWeightedDifferentLocalityWeights.
    #[test]
    fn populate_gives_envoys_tables() {
        let basic = candidates(&[(2, 4, 1), (3, 6, 1), (0, 2, 1), (3, 3, 1), (1, 3, 1), (1, 5, 1)]);
        assert_eq!(populate(7, 1, &basic), [2, 4, 0, 1, 5, 0, 3]);
        let host_name = candidates(&[(6, 6, 1), (5, 5, 1), (0, 2, 1), (3, 2, 1), (4, 1, 1), (4, 1, 1)]);
        assert_eq!(populate(7, 1, &host_name), [2, 5, 0, 3, 4, 1, 0]);
        let weighted = candidates(&[(1, 6, 1), (9, 14, 2)]);
        assert_eq!(populate(17, 2, &weighted), [1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1]);
        let same = candidates(&[(1, 6, 1), (9, 14, 1)]);
        assert_eq!(populate(17, 1, &same), [1, 0, 0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1]);
        let different = candidates(&[(1, 6, 8), (9, 14, 2)]);
        assert_eq!(populate(17, 8, &different), [1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0]);
    }

    /// # Source
    /// The Maglev paper, section 3.4: offset is h1(name) mod M, skip is h2(name) mod (M - 1) + 1.
    #[test]
    fn permutations_are_the_papers_under_the_first_two_identity_hashes() {
        let shares = [("a", 5), ("b", 1), ("c", 3), ("d", 8)].map(|(identity, weight)| Share { identity, weight });
        for m in [2_u16, 3, 7, 251, 1_021] {
            let all = shares.map(|Share { identity, weight }| {
                let [h1, h2] = [0, 1].map(|index| identity_hash(index, identity));
                let (offset, skip) = (h1 % u64::from(m), h2 % (u64::from(m) - 1) + 1);
                Candidate { offset: offset.try_into().unwrap(), skip: skip.try_into().unwrap(), weight: weight.into() }
            });
            assert_eq!(maglev(&shares, m), definition(m.into(), 8, &all), "{m}");
        }
    }

    /// Cilium gives out turns by another rule: for slot n the search for who acts begins at n mod the number of
    /// backends, targets begin at weight / number and grow by the sum of weights. So the test gives out its turns,
    /// and `Slots` follows the permutations, which are the low and high halves of MurmurHash3 x64 128 of the keys
    /// `[0.0.0.1:1/TCP,State:active]`, .., seed 616034178.
    ///
    /// # Source
    /// cilium/cilium `pkg/maglev/maglev_test.go` at 0096d63a: TestWeightedBackendWithRemoval.
    #[test]
    fn slots_give_ciliums_table() {
        let all = candidates(&[(129, 67, 2), (122, 225, 13), (166, 219, 111), (100, 52, 10)]);
        let sum: u32 = all.iter().map(|candidate| candidate.weight).sum();
        let mut targets: Vec<f64> = all.iter().map(|candidate| f64::from(candidate.weight) / 4.0).collect();
        let mut slots = Slots::new(251, &all);
        for n in 0..251u32 {
            let mut index = (n % 4) as usize;
            while f64::from((n + 1) * all[index].weight) < targets[index] {
                index = (index + 1) % 4;
            }
            targets[index] += f64::from(sum);
            slots.take(u16::try_from(index).unwrap());
        }
        let expected = concat!(
            "222223222122023232122222221222222222222223211222222222222322212222322222222322122222",
            "222222222221122232222222222211222232221222232012222222212222222122223232222222221122",
            "22212222222323122222222122220212222232221222232221222222222222032223222232212222222",
        );
        let table: String = slots.table.iter().map(u16::to_string).collect();
        assert_eq!(table, expected);
    }

    proptest! {
        #[test]
        fn populate_equals_the_definition(
            m in prop::sample::select(vec![2u32, 3, 5, 7, 17, 127, 251, 509, 1_021]),
            raw in prop::collection::vec((any::<u32>(), any::<u32>(), 1u32..=65_535, 0u32..17), 1..24),
            power_of_two in any::<bool>(),
        ) {
            // Shifted, so that small weights are as likely as large ones.
            let all: Vec<Candidate> = raw
                .iter()
                .map(|&(offset, skip, weight, shift)| Candidate {
                    offset: offset % m,
                    skip: if m == 2 { 1 } else { skip % (m - 1) + 1 },
                    weight: (weight >> shift).max(1),
                })
                .collect();
            let heaviest = all.iter().map(|candidate| candidate.weight).max().unwrap();
            let quantum = if power_of_two { heaviest.next_power_of_two() } else { heaviest };
            prop_assert_eq!(populate(m, quantum, &all), definition(m, quantum, &all));
        }
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("backend-{index}")).collect()
    }

    fn shares<'a>(names: &'a [String], weight: impl Fn(&str) -> u16) -> Vec<Share<'a>> {
        names.iter().map(|name| Share { identity: name, weight: weight(name) }).collect()
    }

    /// 1 to 100, the same at every run.
    fn weight_up_to_100(name: &str) -> u16 {
        u16::try_from(identity_hash(99, name) % 100 + 1).unwrap()
    }

    fn table_of<'a>(shares: &[Share<'a>], m: u16) -> Vec<Option<&'a str>> {
        maglev(shares, m).into_iter().map(|index| shares.get(usize::from(index)).map(|share| share.identity)).collect()
    }

    /// Checks that everybody has its due within 3 slots or 1.5 %.
    fn assert_balanced(shares: &[Share<'_>], table: &[u16]) {
        let sum: f64 = shares.iter().map(|share| f64::from(share.weight)).sum();
        let mut slots = vec![0u32; shares.len()];
        table.iter().for_each(|&index| slots[usize::from(index)] += 1);
        for (share, &slots) in shares.iter().zip(&slots) {
            let due = f64::from(share.weight) / sum * f64::from(u32::try_from(table.len()).unwrap());
            let off = (f64::from(slots) - due).abs();
            assert!(off <= 3.0 || off <= 0.015 * due, "{share:?} is due {due} and has {slots}");
        }
    }

    #[test]
    fn shares_are_due_within_three_slots() {
        let names = names(1_000);
        let shares = shares(&names, weight_up_to_100);
        assert_balanced(&shares, &maglev(&shares, 65_521));
    }

    #[test]
    fn removing_one_moves_little_but_its_own() {
        let names = names(1_000);
        let all = shares(&names, weight_up_to_100);
        let before = table_of(&all, 65_521);
        let heaviest = (0..all.len()).max_by_key(|&index| all[index].weight).unwrap();
        let lightest = (0..all.len()).min_by_key(|&index| all[index].weight).unwrap();
        for removed in [heaviest, lightest, 0, 500, 999] {
            let mut rest = all.clone();
            let gone = rest.remove(removed);
            let after = table_of(&rest, 65_521);
            let own = before.iter().filter(|&&identity| identity == Some(gone.identity)).count();
            let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
            assert!(moved >= own && moved <= own + 65_521 * 15 / 1_000, "{gone:?} has {own}, {moved} moved");
            // A weight of 0 is as good as not being there.
            rest.insert(removed, Share { weight: 0, ..gone });
            assert_eq!(table_of(&rest, 65_521), after);
        }
    }

    #[test]
    fn order_does_not_matter() {
        let names = names(100);
        let mut all = shares(&names, weight_up_to_100);
        let before = table_of(&all, 4_093);
        all.sort_by_key(|share| identity_hash(5, share.identity));
        assert_eq!(table_of(&all, 4_093), before);
        all.reverse();
        assert_eq!(table_of(&all, 4_093), before);
    }

    #[test]
    fn extreme_weights_get_their_due() {
        let names = names(1_000);
        for heavy in [1, 2, 500, 999] {
            let shares: Vec<Share<'_>> = names
                .iter()
                .enumerate()
                .map(|(index, name)| Share { identity: name, weight: if index < heavy { 65_535 } else { 1 } })
                .collect();
            let table = maglev(&shares, 65_521);
            // Everybody acts at turn 1, so who is due a thousandth of a slot has one.
            assert_balanced_beside_first_turn(&shares, &table);
        }
    }

    fn assert_balanced_beside_first_turn(shares: &[Share<'_>], table: &[u16]) {
        let mut slots = vec![0u32; shares.len()];
        table.iter().for_each(|&index| slots[usize::from(index)] += 1);
        let heavy = shares.iter().filter(|share| share.weight > 1).count();
        let light = shares.len() - heavy;
        let due = (table.len() - light) / heavy;
        for (share, &slots) in shares.iter().zip(&slots) {
            let slots = slots as usize;
            assert!(if share.weight > 1 { slots.abs_diff(due) <= 1 } else { slots == 1 }, "{share:?} has {slots}");
        }
    }

    #[test]
    fn nobody_gets_every_slot() {
        assert_eq!(maglev(&[], 7), [NO_BACKEND; 7]);
        assert_eq!(maglev(&[Share { identity: "a", weight: 0 }], 7), [NO_BACKEND; 7]);
        let two = [Share { identity: "a", weight: 0 }, Share { identity: "b", weight: 65_535 }];
        assert_eq!(maglev(&two, 2), [1; 2]);
        assert_eq!(maglev(&two, 65_521), vec![1; 65_521]);
    }

    #[test]
    fn more_backends_than_slots_serve_the_first_in_order() {
        let names = names(1_000);
        let table = table_of(&shares(&names, |_| 1), 7);
        let mut seen: Vec<_> = table.into_iter().flatten().collect();
        seen.sort_unstable();
        // Ascending bytes: backend-0, backend-1, backend-10, backend-100, ..
        assert_eq!(
            seen,
            ["backend-0", "backend-1", "backend-10", "backend-100", "backend-101", "backend-102", "backend-103"]
        );
    }
}
