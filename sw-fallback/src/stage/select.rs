//! Select: chooses the backend. A flow keeps the one it has been given; for a new one the lookup table answers.
//!
//! # Source
//! Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, sections 3.2 and 3.3;
//! Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001 (two-choice).

use maglane_spec::flow::{STATE_CLOSING, STATE_ESTABLISHED, STATE_NEW};
use maglane_spec::limit::NO_BACKEND;
use maglane_spec::row::{BackendRow, ServiceRow};
use maglane_spec::{FlowOutcome, TableImage, Verdict};

use super::flow_hash::{FlowHash, affinity};
use super::parse::TcpFlags;
use crate::flow_table::{Candidate, FlowTable};

/// Lookup bases are 24-bit numbers, and so is their sum with an index.
const LOOKUP_INDEX_MASK: u32 = (1 << 24) - 1;

/// What select found for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection<'a> {
    /// What the frame met in the flow table.
    pub flow: FlowOutcome,
    /// The backend, or the verdict that ends the frame's way.
    pub backend: Result<Selected<'a>, Verdict>,
}

/// The backend of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selected<'a> {
    /// Its id.
    pub id: u16,
    /// Its row.
    pub row: &'a BackendRow,
}

/// Chooses the backend, and notes in the flow table what later frames of the flow must know.
///
/// `turns` holds the next turn of the services with selection by sequence, by service id.
pub fn select<'a>(
    image: &'a TableImage,
    flows: &mut FlowTable,
    turns: &mut [u16],
    service: &ServiceRow,
    flags: TcpFlags,
    hash: FlowHash,
) -> Selection<'a> {
    if !is_supported(service) {
        return UNSUPPORTED;
    }
    let candidate = flows.candidate(hash.h);
    if let Some(hit) = candidate
        && let backend = backend(image, hit.backend)
        && is_hit(hit, backend.row, service, flags)
    {
        flows.write(hash.h, hit.way, hit.backend, state_after(hit.state, flags));
        return Selection { flow: FlowOutcome::Hit, backend: Ok(backend) };
    }
    let backend = look_up(image, turns, service, hash.g);
    if service.selection == ServiceRow::SELECTION_SEQUENCE {
        turns[turn_index(turns, service)] = turn(turns, service) + 1;
    }
    let Some(backend) = backend else {
        return Selection { flow: FlowOutcome::NoBackend, backend: Err(Verdict::DropNoBackend) };
    };
    let flow = if flags.fin || flags.rst {
        FlowOutcome::Stateless
    } else if let Some(way) = candidate.map(|candidate| candidate.way).or_else(|| flows.room(hash.h)) {
        flows.write(hash.h, way, backend.id, STATE_NEW);
        FlowOutcome::Inserted
    } else {
        FlowOutcome::TableFull
    };
    Selection { flow, backend: Ok(backend) }
}

/// The backend that an ICMP error about a flow goes to: the one that a segment of the flow would go to now. Reads only.
#[must_use]
pub fn steer<'a>(
    image: &'a TableImage,
    flows: &FlowTable,
    turns: &[u16],
    service: &ServiceRow,
    hash: FlowHash,
) -> Selection<'a> {
    if !is_supported(service) {
        return UNSUPPORTED;
    }
    let hit = flows.candidate(hash.h).and_then(|candidate| {
        let backend = backend(image, candidate.backend);
        is_hit(candidate, backend.row, service, TcpFlags::default()).then_some(backend)
    });
    let backend = hit.or_else(|| look_up(image, turns, service, hash.g)).ok_or(Verdict::DropNoBackend);
    Selection { flow: FlowOutcome::NotReached, backend }
}

const UNSUPPORTED: Selection<'static> =
    Selection { flow: FlowOutcome::NotReached, backend: Err(Verdict::PassUnsupported) };

/// Whether the codes of the service's row are known here.
fn is_supported(service: &ServiceRow) -> bool {
    service.selection <= ServiceRow::SELECTION_SEQUENCE && affinity(service) <= ServiceRow::AFFINITY_CLIENT
}

/// Whether a flow's entry is a hit, that is, its backend takes this frame: it belongs to the service, and takes existing
/// flows. A SYN on a closing flow is a new connection that has the old one's ports.
#[inline]
#[must_use]
pub fn is_hit(candidate: Candidate, backend: &BackendRow, service: &ServiceRow, flags: TcpFlags) -> bool {
    backend.service == service.id
        && matches!(backend.state, BackendRow::STATE_UP | BackendRow::STATE_DRAINING)
        && !(candidate.state == STATE_CLOSING && flags.syn)
}

/// The state of a flow after a frame of it. RST changes nothing: anybody may have forged it.
fn state_after(state: u8, flags: TcpFlags) -> u8 {
    match state {
        _ if flags.rst => state,
        _ if flags.fin => STATE_CLOSING,
        STATE_NEW if !flags.syn => STATE_ESTABLISHED,
        _ => state,
    }
}

/// What the lookup table says, by the service's selection. `None` where it has no backend.
fn look_up<'a>(image: &'a TableImage, turns: &[u16], service: &ServiceRow, g: u64) -> Option<Selected<'a>> {
    let (first, second) = indices(turns, service, g);
    let first = entry(image, service, first);
    let Some(second) = second else { return first };
    match (first, entry(image, service, second)) {
        (Some(first), Some(second)) if second.row.load < first.row.load => Some(second),
        (first, second) => first.or(second),
    }
}

/// Which entries of the service's lookup slice a miss reads: one, or with two-choice two.
#[inline]
#[must_use]
pub fn indices(turns: &[u16], service: &ServiceRow, g: u64) -> (u32, Option<u32>) {
    let size = service.table_size.value();
    match service.selection {
        ServiceRow::SELECTION_HASH => (scale(g >> 32, size), None),
        ServiceRow::SELECTION_TWO_CHOICE => (scale(g >> 32, size), Some(scale(g & 0xffff_ffff, size))),
        _ => (u32::from(turn(turns, service)), None),
    }
}

/// The index whose turn it is. The table may have become smaller since the last turn.
fn turn(turns: &[u16], service: &ServiceRow) -> u16 {
    let turn = turns[turn_index(turns, service)];
    if turn < service.table_size.value() { turn } else { 0 }
}

/// Where a service's turn is kept.
#[inline]
#[must_use]
pub fn turn_index(turns: &[u16], service: &ServiceRow) -> usize {
    usize::from(service.id.value()) & (turns.len() - 1)
}

/// The backend of an entry of the service's lookup slice, if it has one. Table sizes are powers of two, so a mask is a
/// modulo.
#[inline]
#[must_use]
pub fn entry<'a>(image: &'a TableImage, service: &ServiceRow, index: u32) -> Option<Selected<'a>> {
    let index = (service.lookup_base_value() + index) & LOOKUP_INDEX_MASK & (image.geometry.lookup_side_entries() - 1);
    let id = image.lookup[index as usize].value();
    (id != NO_BACKEND).then(|| backend(image, id))
}

/// The backend of an id, modulo the rows.
#[inline]
#[must_use]
pub fn backend(image: &TableImage, id: u16) -> Selected<'_> {
    let id = id & u16::try_from(image.geometry.backends - 1).unwrap_or(u16::MAX);
    Selected { id, row: &image.backends[usize::from(id)] }
}

/// Maps 32 bits of a hash to 0..size: `(hash * size) >> 32`, a multiplication in place of a division.
///
/// # Source
/// Lemire, "Fast random integer generation in an interval", 2019, section 4.
fn scale(hash: u64, size: u16) -> u32 {
    // At most (2^32 - 1) * (2^16 - 1) / 2^32, which is less than 2^16.
    ((hash * u64::from(size)) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use maglane_spec::endian::U16Le;
    use maglane_spec::flow::WAYS;
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{BACKENDS, TIMEOUTS, image};

    const PLAIN: TcpFlags = TcpFlags { syn: false, fin: false, rst: false };
    const SYN: TcpFlags = TcpFlags { syn: true, ..PLAIN };
    const FIN: TcpFlags = TcpFlags { fin: true, ..PLAIN };
    const RST: TcpFlags = TcpFlags { rst: true, ..PLAIN };
    /// A flow, its set (3 of 16) in the low bits.
    const H: u64 = 0xfedc_ba98_7600_0003;

    /// Tables, and what select remembers. The lookup entries are their own index modulo 256, the first four backends
    /// are up and belong to service 1, and so the base of a slice of one entry is the backend that a miss gives.
    struct World {
        image: TableImage,
        flows: FlowTable,
        turns: Vec<u16>,
    }

    impl World {
        fn new() -> Self {
            let mut image = image();
            for (entry, id) in image.lookup.iter_mut().zip((0..256).cycle()) {
                *entry = U16Le::new(id);
            }
            Self { image, flows: FlowTable::new(16), turns: vec![0; 64] }
        }

        fn run(
            &mut self,
            service: &ServiceRow,
            flags: TcpFlags,
            hash: FlowHash,
        ) -> (FlowOutcome, Result<u16, Verdict>) {
            let selection = select(&self.image, &mut self.flows, &mut self.turns, service, flags, hash);
            (selection.flow, selection.backend.map(|selected| selected.id))
        }

        /// A frame of [`H`].
        fn frame(&mut self, base: u32, flags: TcpFlags) -> (FlowOutcome, Result<u16, Verdict>) {
            self.run(&service(base, 1), flags, FlowHash { h: H, g: H })
        }

        /// The backend of a flow that is not in the table, and does not come into it.
        fn id(&mut self, service: &ServiceRow, g: u64) -> Result<u16, Verdict> {
            // h must not matter.
            self.run(service, RST, FlowHash { h: !g, g }).1
        }

        /// Set 3: way, backend, epoch and state of the entries.
        fn set(&self) -> Vec<(usize, u64, u64, u64)> {
            let set = self.flows.entries().skip(3 * WAYS).take(WAYS).enumerate();
            set.filter(|(_, entry)| *entry != 0)
                .map(|(way, entry)| (way, entry >> 8 & 0xffff, entry >> 2 & 63, entry & 3))
                .collect()
        }
    }

    fn service(base: u32, size: u16) -> ServiceRow {
        ServiceRow {
            lookup_base: ServiceRow::lookup_base_bytes(base),
            table_size: U16Le::new(size),
            id: U16Le::new(1),
            ..ServiceRow::default()
        }
    }

    #[test]
    fn the_high_half_of_g_scales_to_the_table_size() {
        let (mut world, service) = (World::new(), service(10, 7));
        assert_eq!(world.id(&service, 0), Ok(10));
        assert_eq!(world.id(&service, 0x0000_0000_ffff_ffff), Ok(10), "the low half does not matter");
        assert_eq!(world.id(&service, u64::MAX), Ok(16));
        // 2^32 / 7 = 613,566,756.57: the first hash of slot 1 is 613,566,757.
        assert_eq!(world.id(&service, 613_566_756 << 32), Ok(10));
        assert_eq!(world.id(&service, 613_566_757 << 32), Ok(11));
    }

    #[test]
    fn the_index_wraps_at_the_end_of_the_lookup_memory() {
        let mut world = World::new();
        let entries = world.image.geometry.lookup_side_entries();
        assert_eq!(world.id(&service(entries - 1, 7), 0), Ok(255));
        assert_eq!(world.id(&service(entries - 1, 7), u64::MAX), Ok(5));
        assert_eq!(world.id(&service(entries + 3, 7), 0), Ok(3));
        assert_eq!(world.id(&service((1 << 24) - 1, 7), u64::MAX), Ok(5), "24 bits wrap too");
        assert_eq!(world.id(&service(9, 0), u64::MAX), Ok(9), "a table of size 0 reads its base");
    }

    #[test]
    fn empty_entry_has_no_backend_and_one_less_is_taken_modulo_backends() {
        let mut world = World::new();
        world.image.lookup[0] = U16Le::new(0xffff);
        assert_eq!(world.id(&service(0, 1), 0), Err(Verdict::DropNoBackend));
        world.image.lookup[0] = U16Le::new(0xfffe);
        assert_eq!(world.id(&service(0, 1), 0), Ok(0xfe));
        world.image.lookup[0] = U16Le::new(0x0102);
        assert_eq!(world.frame(0, PLAIN), (FlowOutcome::Inserted, Ok(2)));
        assert_eq!(world.set(), [(0, 2, 0, 1)], "the table has the id modulo the backends");
    }

    #[test]
    fn unknown_selection_or_affinity_is_unsupported_before_the_flow_table_is_read() {
        let mut world = World::new();
        assert_eq!(world.frame(0, PLAIN), (FlowOutcome::Inserted, Ok(0)));
        let before = (world.set(), world.turns.clone());
        for selection in 0..=255 {
            for affinity in 0..4 {
                let flags = affinity << ServiceRow::AFFINITY_SHIFT;
                let service = ServiceRow { selection, flags, ..service(0, 1) };
                let outcome = world.run(&service, RST, FlowHash { h: H, g: H });
                if selection > 2 || affinity > 2 {
                    assert_eq!(outcome, (FlowOutcome::NotReached, Err(Verdict::PassUnsupported)));
                } else {
                    assert_eq!(outcome, (FlowOutcome::Hit, Ok(0)), "{selection} {affinity}");
                }
            }
        }
        assert_eq!((world.set(), world.turns), before);
    }

    #[test]
    fn first_frame_writes_a_new_entry_whatever_it_is() {
        for flags in [PLAIN, SYN] {
            let mut world = World::new();
            world.flows.step(41, TIMEOUTS);
            assert_eq!(world.frame(2, flags), (FlowOutcome::Inserted, Ok(2)));
            assert_eq!(world.set(), [(0, 2, 41, 1)]);
            assert_eq!(world.flows.entries().nth(3 * WAYS), Some(0xfedc_ba98_7600_02a5));
        }
    }

    #[test]
    fn hit_writes_epoch_and_state_by_the_flags() {
        // By state, then by the flags: RST is 4, SYN 2, FIN 1. 0 stands for a miss of a SYN on a closing flow, which
        // inserts anew, and 4 for one with FIN or RST too, which does not.
        let expected = [[2, 3, 1, 3, 1, 1, 1, 1], [2, 3, 2, 3, 2, 2, 2, 2], [3, 3, 0, 4, 3, 3, 4, 4]];
        for (state, by_flags) in (STATE_NEW..).zip(expected) {
            for (bits, after) in (0..8).zip(by_flags) {
                let mut world = World::new();
                world.flows.write(H, 5, 1, state);
                world.flows.step(3, TIMEOUTS);
                let flags = TcpFlags { rst: bits & 4 != 0, syn: bits & 2 != 0, fin: bits & 1 != 0 };
                let (outcome, entry) = match after {
                    0 => ((FlowOutcome::Inserted, Ok(2)), (5, 2, 3, 1)),
                    4 => ((FlowOutcome::Stateless, Ok(2)), (5, 1, 0, 3)),
                    after => ((FlowOutcome::Hit, Ok(1)), (5, 1, 3, after)),
                };
                assert_eq!(world.frame(2, flags), outcome, "{state} {bits:#b}");
                assert_eq!(world.set(), [entry], "{state} {bits:#b}");
            }
        }
    }

    #[test]
    fn hit_asks_for_a_backend_of_the_service_that_takes_existing_flows() {
        for state in 0..=255 {
            for owner in [1, 2, 0x101, 0x8001] {
                let mut world = World::new();
                world.flows.write(H, 5, 1, STATE_ESTABLISHED);
                world.image.backends[1].state = state;
                world.image.backends[1].service = U16Le::new(owner);
                let takes = owner == 1 && (state == BackendRow::STATE_UP || state == BackendRow::STATE_DRAINING);
                let (outcome, entry) = if takes {
                    ((FlowOutcome::Hit, Ok(1)), (5, 1, 0, 2))
                } else {
                    ((FlowOutcome::Inserted, Ok(2)), (5, 2, 0, 1))
                };
                assert_eq!(world.frame(2, PLAIN), outcome, "{state} {owner}");
                assert_eq!(world.set(), [entry], "a miss takes the candidate's way, though lower ones are empty");
            }
        }
    }

    #[test]
    fn hit_reads_the_row_modulo_the_backends_and_no_lookup_entry() {
        let mut world = World::new();
        world.flows.write(H, 0, 0x4201, STATE_NEW);
        world.image.lookup.fill(U16Le::new(NO_BACKEND));
        assert_eq!(world.frame(0, PLAIN), (FlowOutcome::Hit, Ok(1)));
    }

    #[test]
    fn only_the_lowest_way_with_the_tag_is_a_candidate() {
        let mut world = World::new();
        world.flows.write(H, 2, 0, STATE_ESTABLISHED);
        world.flows.write(H, 6, 1, STATE_ESTABLISHED);
        world.image.backends[0].state = BackendRow::STATE_DOWN;
        assert_eq!(world.frame(3, PLAIN), (FlowOutcome::Inserted, Ok(3)), "way 6 is not looked at");
        assert_eq!(world.set(), [(2, 3, 0, 1), (6, 1, 0, 2)]);
        assert_eq!(world.frame(0, PLAIN), (FlowOutcome::Hit, Ok(3)));
    }

    #[test]
    fn fin_or_rst_on_a_miss_goes_on_without_an_entry() {
        for flags in [FIN, RST, TcpFlags { syn: true, ..FIN }, TcpFlags { syn: true, ..RST }] {
            let mut world = World::new();
            assert_eq!(world.frame(2, flags), (FlowOutcome::Stateless, Ok(2)));
            assert_eq!(world.set(), []);
            // Nor does it write into the way of a candidate that is no hit.
            world.flows.write(H, 1, 0, STATE_ESTABLISHED);
            world.image.backends[0].state = BackendRow::STATE_DOWN;
            world.flows.step(1, TIMEOUTS);
            assert_eq!(world.frame(2, flags), (FlowOutcome::Stateless, Ok(2)));
            assert_eq!(world.set(), [(1, 0, 0, 2)]);
        }
    }

    #[test]
    fn no_backend_leaves_the_flow_table_as_it_is() {
        let mut world = World::new();
        world.image.lookup[9] = U16Le::new(NO_BACKEND);
        assert_eq!(world.frame(9, SYN), (FlowOutcome::NoBackend, Err(Verdict::DropNoBackend)));
        assert_eq!(world.set(), []);
        world.flows.write(H, 1, 0, STATE_CLOSING);
        world.flows.step(1, TIMEOUTS);
        assert_eq!(world.frame(9, SYN), (FlowOutcome::NoBackend, Err(Verdict::DropNoBackend)));
        assert_eq!(world.set(), [(1, 0, 0, 3)]);
    }

    #[test]
    fn full_set_forwards_without_an_entry() {
        let mut world = World::new();
        for way in 0..WAYS {
            world.flows.write(!(way as u64) << 32 | H, way, 0, STATE_ESTABLISHED);
        }
        let other = FlowHash { h: 3, g: 3 };
        let before = world.set();
        assert_eq!(world.run(&service(2, 1), SYN, other), (FlowOutcome::TableFull, Ok(2)));
        assert_eq!(world.run(&service(2, 1), FIN, other), (FlowOutcome::Stateless, Ok(2)));
        assert_eq!(world.set(), before);
    }

    #[test]
    fn two_choice_takes_the_lower_load_and_the_first_on_a_tie() {
        let mut world = World::new();
        let service = ServiceRow { selection: ServiceRow::SELECTION_TWO_CHOICE, ..service(20, 4) };
        // The first candidate is backend 21, the second 23.
        let g = 0x4000_0000_ffff_ffff;
        for (first, second, expected) in
            [(0, 0, 21), (5, 5, 21), (1, 0, 23), (0, 1, 21), (255, 254, 23), (127, 128, 21)]
        {
            world.image.backends[21].load = first;
            world.image.backends[23].load = second;
            assert_eq!(world.id(&service, g), Ok(expected), "{first} {second}");
        }
        // An empty entry loses, though its row modulo the backends, 255, has no load at all.
        world.image.backends[21].load = 255;
        world.image.backends[23].load = 255;
        world.image.lookup[21] = U16Le::new(NO_BACKEND);
        assert_eq!(world.id(&service, g), Ok(23));
        assert_eq!(world.id(&service, g.rotate_left(32)), Ok(23));
        world.image.lookup[23] = U16Le::new(NO_BACKEND);
        assert_eq!(world.id(&service, g), Err(Verdict::DropNoBackend));
        // The load is that of the row that is taken: modulo the backends.
        world.image.lookup[21] = U16Le::new(0x4200 + 21);
        world.image.lookup[23] = U16Le::new(0x4200 + 23);
        world.image.backends[23].load = 254;
        assert_eq!(world.id(&service, g), Ok(23));
    }

    #[test]
    fn sequence_takes_turns_at_every_miss_and_at_no_hit() {
        let mut world = World::new();
        let service = ServiceRow { selection: ServiceRow::SELECTION_SEQUENCE, ..service(0, BACKENDS) };
        world.image.lookup[2] = U16Le::new(NO_BACKEND);
        let mut run = |flags, h| world.run(&service, flags, FlowHash { h, g: u64::MAX });
        assert_eq!(run(SYN, 1 << 30), (FlowOutcome::Inserted, Ok(0)));
        assert_eq!(run(PLAIN, 1 << 30), (FlowOutcome::Hit, Ok(0)), "no turn");
        assert_eq!(run(FIN, 2 << 30), (FlowOutcome::Stateless, Ok(1)), "a turn");
        assert_eq!(run(SYN, 3 << 30), (FlowOutcome::NoBackend, Err(Verdict::DropNoBackend)), "a turn");
        assert_eq!(run(RST, 3 << 30), (FlowOutcome::Stateless, Ok(3)));
        assert_eq!(run(SYN, 3 << 30), (FlowOutcome::Inserted, Ok(0)), "round again");
        assert_eq!(world.turns, [0, 1].into_iter().chain([0; 62]).collect::<Vec<u16>>());
    }

    #[test]
    fn turn_wraps_when_the_table_shrinks_and_is_found_modulo_the_services() {
        let mut world = World::new();
        let sized = |id, size| {
            let service = service(0, size);
            ServiceRow { selection: ServiceRow::SELECTION_SEQUENCE, id: U16Le::new(id), ..service }
        };
        // (turn before, table size, backend, turn after)
        for (turn, size, id, after) in [
            (4, 7, 4, 5),
            (5, 5, 0, 1),
            (6, 5, 0, 1),
            (4, 5, 4, 5),
            (u16::MAX, u16::MAX, 0, 1),
            (9, 0, 0, 1),
            (0, 1, 0, 1),
        ] {
            for service in [7, 64 + 7, 0xffc7] {
                world.turns[7] = turn;
                assert_eq!(world.id(&sized(service, size), 0), Ok(id), "{turn} {size}");
                assert_eq!(world.turns[7], after, "{turn} {size}");
            }
        }
        world.turns[7] = u16::MAX - 1;
        world.id(&sized(7, u16::MAX), 0).unwrap();
        assert_eq!(world.turns[7], u16::MAX);
    }

    proptest! {
        #[test]
        fn scale_is_the_formula_in_wide_numbers(hash: u32, size: u16) {
            let index = scale(u64::from(hash), size);
            prop_assert_eq!(u128::from(index), u128::from(hash) * u128::from(size) / (1 << 32));
            prop_assert!(index < u32::from(size).max(1));
        }
    }
}
