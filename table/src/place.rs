//! Where service rows go: cuckoo placement with multiply-shift hashing, as `ServiceRow` defines the lookup.
//!
//! The same set of keys always gets the same seeds and rows, in whatever order it is given.

use maglane_spec::row::ServiceRow;

use crate::config::Service;
use crate::fill::siphash24;
use crate::image::address_bytes;

/// Sets of seeds that are tried. Half of all rows in use is where cuckoo hashing begins to fail now and then, so that a
/// few tries are normal; a set of keys that none of these places has collisions that no multiplier resolves.
const ATTEMPTS_MAX: u64 = 4_096;

/// Multipliers of the service hash, a set for each sub-table.
pub type Seeds = [[u16; ServiceRow::KEY_WORDS]; 2];

/// What a service is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// As in the row.
    pub address: [u8; 16],
    /// 0 for all ports.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// The row's key flags.
    pub flags: u8,
}

impl Key {
    /// The key of a service.
    #[must_use]
    pub fn of(service: &Service) -> Self {
        let mut flags = ServiceRow::FLAG_VALID;
        if service.address.is_ipv6() {
            flags |= ServiceRow::FLAG_IPV6;
        }
        if service.port.is_none() {
            flags |= ServiceRow::FLAG_ALL_PORTS;
        }
        Self {
            address: address_bytes(service.address),
            port: service.port.map_or(0, u16::from),
            protocol: service.protocol.number(),
            flags,
        }
    }

    /// The key as the hash takes it.
    #[must_use]
    pub fn words(&self) -> [u16; ServiceRow::KEY_WORDS] {
        let mut words = [0; ServiceRow::KEY_WORDS];
        for (word, bytes) in words.iter_mut().zip(self.address.chunks_exact(2)) {
            *word = u16::from_be_bytes([bytes[0], bytes[1]]);
        }
        let family = if self.flags & ServiceRow::FLAG_IPV6 == 0 { 0 } else { ServiceRow::KEY_IPV6 };
        words[ServiceRow::KEY_WORD_PORT] = self.port;
        words[ServiceRow::KEY_WORD_PROTOCOL] = u16::from(self.protocol) | family;
        words
    }
}

/// Seeds, and a row for each key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Under these seeds every key is found.
    pub seeds: Seeds,
    /// Row of each key in the service memory, in the order of the keys given.
    pub rows: Vec<usize>,
    /// Sets of seeds that failed before.
    pub attempts: u64,
}

/// Places distinct keys in two sub-tables of `services` rows, a power of two from 2 to 2^15.
///
/// None if no set of seeds places them: too many keys, or keys that collide under every multiplier.
#[must_use]
pub fn place(keys: &[Key], services: u32) -> Option<Placement> {
    if keys.len() > services as usize {
        return None;
    }
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by_key(|&index| keys[index]);
    let words: Vec<_> = keys.iter().map(Key::words).collect();
    (0..ATTEMPTS_MAX).find_map(|attempts| {
        let seeds = seeds(attempts);
        let rows = try_place(&words, &order, &seeds, services)?;
        Some(Placement { seeds, rows, attempts })
    })
}

/// Row of a key within sub-table `table`.
pub(crate) fn row(words: &[u16; ServiceRow::KEY_WORDS], seeds: &Seeds, table: usize, services: u32) -> usize {
    let products = words.iter().zip(&seeds[table]).map(|(&word, &seed)| u32::from(word) * u32::from(seed));
    let sum = products.fold(0, u32::wrapping_add);
    (((sum >> 16) ^ (sum & 0xffff)) >> (16 - services.ilog2())) as usize
}

fn try_place(
    words: &[[u16; ServiceRow::KEY_WORDS]],
    order: &[usize],
    seeds: &Seeds,
    services: u32,
) -> Option<Vec<usize>> {
    let mut holders: Vec<Option<usize>> = vec![None; services as usize * 2];
    // A walk that ends evicts each of the other keys twice at most, and its own once. A longer one goes round in a cycle.
    let evictions_max = 2 * words.len();
    for &first in order {
        let (mut key, mut table) = (first, 0);
        let mut evictions = 0;
        loop {
            let row = table * services as usize + row(&words[key], seeds, table, services);
            let Some(evicted) = holders[row].replace(key) else { break };
            if evictions == evictions_max {
                return None;
            }
            evictions += 1;
            key = evicted;
            table = 1 - table;
        }
    }
    let mut rows = vec![0; words.len()];
    for (row, holder) in holders.iter().enumerate() {
        if let Some(key) = holder {
            rows[*key] = row;
        }
    }
    Some(rows)
}

/// The seeds of an attempt: SipHash-2-4 of (attempt, sub-table, word), each a 64-bit little-endian number, key 0. Odd,
/// so that multiplication loses nothing.
fn seeds(attempt: u64) -> Seeds {
    std::array::from_fn(|table| {
        std::array::from_fn(|word| {
            let message: Vec<u8> =
                [attempt, table as u64, word as u64].into_iter().flat_map(u64::to_le_bytes).collect();
            let hash = siphash24([0, 0], &message).to_le_bytes();
            u16::from_le_bytes([hash[0], hash[1]]) | 1
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use maglane_spec::Geometry;
    use proptest::prelude::*;

    use super::*;

    /// The lookup as the documentation of `ServiceRow` has it, written from that text alone: four probes, the first
    /// row with an equal key wins. `memory` holds the keys by row.
    fn look_up(memory: &[Option<Key>], seeds: &Seeds, services: u32, sought: &Key) -> Option<usize> {
        let exact = (sought.port, sought.flags & !ServiceRow::FLAG_ALL_PORTS);
        let all_ports = (0, sought.flags | ServiceRow::FLAG_ALL_PORTS);
        for (port, flags) in [exact, all_ports] {
            for (table, seeds) in seeds.iter().enumerate() {
                let mut hash: u64 = 0;
                for (word, seed) in seeds[..8].iter().enumerate() {
                    let address = u64::from(sought.address[2 * word]) * 256 + u64::from(sought.address[2 * word + 1]);
                    hash += u64::from(*seed) * address;
                }
                let is_ipv6 = flags & ServiceRow::FLAG_IPV6 != 0;
                let protocol = u64::from(sought.protocol) | if is_ipv6 { 0x100 } else { 0 };
                hash += u64::from(seeds[8]) * u64::from(port);
                hash += u64::from(seeds[9]) * protocol;
                let fold = (hash / 65_536 % 65_536) ^ (hash % 65_536);
                // The high bits of 16: a division by 2^(16 - log2(services)).
                let row = table * services as usize + usize::try_from(fold / (65_536 / u64::from(services))).unwrap();
                let key = Key { port, flags, ..*sought };
                if memory[row] == Some(key) {
                    return Some(row);
                }
            }
        }
        None
    }

    fn key(seed: u64, index: u64) -> Key {
        let bytes = siphash24([seed, 1], &index.to_le_bytes()).to_le_bytes();
        let ipv6 = bytes[0] & 1 == 1;
        let mut address = [0; 16];
        // Neighbours, as services are: few networks, many hosts.
        if ipv6 {
            address[..5].copy_from_slice(&[0x20, 1, 0xd, 0xb8, bytes[1] & 3]);
            address[14..].copy_from_slice(&bytes[2..4]);
        } else {
            address[..4].copy_from_slice(&[192, 0, bytes[1] & 3, bytes[2]]);
        }
        let port =
            if bytes[4] < 32 { 0 } else { [53, 80, 443, u16::from(bytes[5]) * 256 + 1][usize::from(bytes[4] & 3)] };
        let protocol = if bytes[6] & 1 == 1 { 6 } else { 17 };
        let mut flags = ServiceRow::FLAG_VALID;
        if ipv6 {
            flags |= ServiceRow::FLAG_IPV6;
        }
        if port == 0 {
            flags |= ServiceRow::FLAG_ALL_PORTS;
        }
        Key { address, port, protocol, flags }
    }

    fn distinct_keys(seed: u64, count: usize) -> Vec<Key> {
        let mut seen = BTreeSet::new();
        (0..).map(|index| key(seed, index)).filter(|key| seen.insert(*key)).take(count).collect()
    }

    fn memory(keys: &[Key], placement: &Placement, services: u32) -> Vec<Option<Key>> {
        let mut memory = vec![None; services as usize * 2];
        for (key, &row) in keys.iter().zip(&placement.rows) {
            assert_eq!(memory[row].replace(*key), None, "one row, one key");
        }
        memory
    }

    #[test]
    fn keys_whose_words_have_empty_low_bits_are_placed() {
        let keys: Vec<Key> = (0..64_u16)
            .map(|index| Key {
                address: [16 * (index % 16).to_le_bytes()[0], 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                port: 4_096 * (1 + index / 16),
                protocol: 6,
                flags: ServiceRow::FLAG_VALID,
            })
            .collect();
        assert!(place(&keys, 64).is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn full_capacity_is_found_and_nothing_else(seed: u64) {
            for (_, geometry) in Geometry::PROFILES {
                let services = geometry.services;
                let keys = distinct_keys(seed, services as usize);
                let placement = place(&keys, services).expect("a full table can be placed");
                let memory = memory(&keys, &placement, services);
                for (key, &row) in keys.iter().zip(&placement.rows) {
                    // A service for all ports is sought by some port.
                    let sought = if key.port == 0 {
                        Key { port: 9_999, flags: key.flags & !ServiceRow::FLAG_ALL_PORTS, ..*key }
                    } else {
                        *key
                    };
                    prop_assert_eq!(look_up(&memory, &placement.seeds, services, &sought), Some(row));
                }
                // A stranger is found exactly where a search of all keys finds it: on an all-ports row of its own.
                for other in (1u64 << 32..).map(|index| key(seed, index)).filter(|key| key.port != 0).take(200) {
                    let all_ports = Key { port: 0, flags: other.flags | ServiceRow::FLAG_ALL_PORTS, ..other };
                    let exact = keys.iter().position(|key| *key == other);
                    let expected = exact.or_else(|| keys.iter().position(|key| *key == all_ports));
                    let found = look_up(&memory, &placement.seeds, services, &other);
                    prop_assert_eq!(found, expected.map(|index| placement.rows[index]));
                }
            }
        }

        #[test]
        fn order_does_not_matter(seed: u64) {
            let keys = distinct_keys(seed, 64);
            let placement = place(&keys, 64).unwrap();
            let mut turned = keys.clone();
            turned.reverse();
            let again = place(&turned, 64).unwrap();
            prop_assert_eq!(again.seeds, placement.seeds);
            let rows: Vec<usize> = again.rows.into_iter().rev().collect();
            prop_assert_eq!(rows, placement.rows);
        }
    }

    #[test]
    fn neighbouring_addresses_fill_every_profile() {
        for (name, geometry) in Geometry::PROFILES {
            let keys: Vec<Key> = (0..geometry.services)
                .map(|index| {
                    let mut address = [0; 16];
                    let [_, _, high, low] = (index / 2).to_be_bytes();
                    address[..4].copy_from_slice(&[192, 0, high, low]);
                    Key { address, port: if index % 2 == 0 { 80 } else { 443 }, protocol: 6, flags: 1 }
                })
                .collect();
            assert!(place(&keys, geometry.services).is_some(), "{name}");
        }
    }

    /// Keys that differ in the given bits only, each bit of an index being one bit of a word: ports or hosts in a row,
    /// every 16th network, the same number in two words.
    #[test]
    fn regular_keys_are_placed_within_few_attempts() {
        let bits = |word: usize, first: usize| (0..10).map(move |bit| (word, (first + bit) % 16)).collect::<Vec<_>>();
        let mut families: Vec<Vec<(usize, usize)>> =
            [0, 1, 7, 8].into_iter().flat_map(|word| (0..16).map(move |first| bits(word, first))).collect();
        families.extend((0..6).map(|turn| (0..10).map(|bit| (bit * turn % 9, 15 - bit)).collect()));
        families.extend((0..16).map(|at| (0..9).map(|word| (word, at)).chain([(0, (at + 8) % 16)]).collect()));
        for family in families {
            for services in [4_u32, 16, 64, 256, 1_024] {
                let keys: BTreeSet<Key> = (0..services)
                    .map(|index| {
                        let mut words = [0x2001_u16, 0xdb8, 0, 0, 0, 0, 0, 1, 80];
                        for (bit, &(word, at)) in family.iter().enumerate() {
                            words[word] ^= u16::from(index >> bit & 1 == 1) << at;
                        }
                        let mut address = [0; 16];
                        for (bytes, word) in address.chunks_exact_mut(2).zip(words) {
                            bytes.copy_from_slice(&word.to_be_bytes());
                        }
                        Key {
                            address,
                            port: words[8],
                            protocol: 6,
                            flags: ServiceRow::FLAG_VALID | ServiceRow::FLAG_IPV6,
                        }
                    })
                    .collect();
                let keys: Vec<Key> = keys.into_iter().collect();
                let placement = place(&keys, services);
                assert!(placement.is_some_and(|placement| placement.attempts < 32), "{services} of {family:?}");
            }
        }
    }

    /// Three keys of one hash are more than two sub-tables can hold, under whatever seeds: all attempts are made, and
    /// each ends.
    #[test]
    fn keys_that_no_seeds_part_have_no_place() {
        let mut keys = distinct_keys(3, 1_021);
        keys.extend([keys[7]; 3]);
        assert_eq!(place(&keys, 1_024), None);
    }

    /// Whether there is a row for each key under these seeds: a key joins its two rows, and rows that hang together must
    /// not be fewer than the keys that join them.
    ///
    /// # Source
    /// Pagh and Rodler, "Cuckoo hashing", 2004; as a graph: Devroye and Morin, "Cuckoo hashing: further analysis", 2003.
    fn have_place(keys: &[Key], seeds: &Seeds, services: u32) -> bool {
        let rows = services as usize * 2;
        let joined: Vec<[usize; 2]> = keys
            .iter()
            .map(|key| [0, 1].map(|table| table * (rows / 2) + row(&key.words(), seeds, table, services)))
            .collect();
        let mut parts: Vec<usize> = (0..rows).collect();
        for &[one, other] in &joined {
            let (from, to) = (parts[one], parts[other]);
            parts.iter_mut().filter(|part| **part == from).for_each(|part| *part = to);
        }
        (0..rows).all(|part| {
            let keys_len = joined.iter().filter(|[one, _]| parts[*one] == part).count();
            keys_len <= parts.iter().filter(|&&other| other == part).count()
        })
    }

    #[test]
    fn seeds_are_the_first_under_which_there_is_a_place_for_all() {
        // Walks of many more evictions than keys are rare: of 2,048 sets of 8 keys, three need 11 or 13.
        for (services, sets) in [(2, 64), (4, 64), (8, 2_048), (16, 64), (64, 64)] {
            for seed in 0..sets {
                let keys = distinct_keys(seed, services as usize);
                let attempts = place(&keys, services).map(|placement| placement.attempts);
                let expected = (0..ATTEMPTS_MAX).find(|&attempt| have_place(&keys, &seeds(attempt), services));
                assert_eq!(attempts, expected, "{services} keys of {seed}");
            }
        }
    }

    #[test]
    fn too_many_keys_have_no_place() {
        assert_eq!(place(&distinct_keys(0, 17), 16), None);
        assert!(place(&[], 16).is_some());
    }

    #[test]
    fn seeds_are_odd_and_differ() {
        assert!((0..100).all(|attempt| seeds(attempt).as_flattened().iter().all(|seed| seed % 2 == 1)));
        assert_ne!(seeds(0), seeds(1));
        assert_ne!(seeds(0)[0], seeds(0)[1]);
    }
}
