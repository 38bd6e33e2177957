//! A burst on its way through the stages, as one kernel.

use std::sync::atomic::Ordering;

use maglane_spec::flow::{BACKEND_SHIFT, EPOCH_SHIFT, STATE_ESTABLISHED, TAG_SHIFT, WAYS};
use maglane_spec::limit::NO_SERVICE;
use maglane_spec::{FlowOutcome, Stage, Verdict};

use super::counters::{Forwarded, Sum, WorkerCounters};
use super::flow_hash::Key;
use super::packet::{Headers, NO_HEADERS, Packet, first_block, second_block};
use super::parse::{self, Packed};
use super::rewrite::Wrapping;
use super::room::{Flows, Room};
use super::select::{Memory, Selected};
use super::services::{self, Found, KeyV4, KeyV6};
use super::tables::{TAGGED, Tables, UNTAGGED};
use super::{BURST, fault, flow_table, low_16};
use crate::simd::{Kernel, LANES, Vectors, prefetch};
use crate::stage::parse::parse as parse_any;

/// A burst that is under way.
pub(super) struct Burst<'a, 'p> {
    pub(super) memory: Memory<'a>,
    pub(super) key: Key,
    pub(super) counters: &'a WorkerCounters,
    pub(super) room: &'a mut Room,
    /// No more than [`BURST`].
    pub(super) packets: &'a mut [Packet<'p>],
    pub(super) fault: Option<Stage>,
}

const _: () = assert!(BURST == 32 && BURST.is_multiple_of(LANES));

impl Kernel for Burst<'_, '_> {
    #[inline(always)]
    fn run<V: Vectors>(mut self) {
        for packet in &*self.packets {
            prefetch(packet.buffer, packet.start());
        }
        let mut plain = [PlainLanes { v4: 0, v6: 0, ip_offset: 0 }; BURST / LANES];
        let chunks = self.packets.len().div_ceil(LANES);
        for (chunk, plain) in plain.iter_mut().enumerate().take(chunks) {
            *plain = self.parse_and_hash::<V>(chunk);
        }
        for (chunk, &plain) in plain.iter().enumerate().take(chunks) {
            self.classify::<V>(chunk, plain);
        }
        // A stage for the whole burst before the next: rewrite reads in vectors what classify and select write word by word,
        // and would wait for it to reach the cache.
        let mut selections = [Selection { forward: 0, hits: 0 }; BURST / LANES];
        for (chunk, selection) in selections.iter_mut().enumerate().take(chunks) {
            *selection = self.select::<V>(chunk);
        }
        let mut forwarded = Forwarded::new(self.counters);
        for (chunk, &selection) in selections.iter().enumerate().take(chunks) {
            self.rewrite::<V>(chunk, selection, &mut forwarded);
        }
        forwarded.end();
    }
}

/// Which of eight packets are plain, bit by lane.
#[derive(Clone, Copy)]
struct PlainLanes {
    v4: u8,
    v6: u8,
    /// Where the packet of each of them starts.
    ip_offset: usize,
}

impl Burst<'_, '_> {
    /// The first and the third stage of eight packets, as far as they are plain; those are in the room afterwards, and what
    /// the fourth one will read of them is asked for.
    #[inline(always)]
    fn parse_and_hash<V: Vectors>(&mut self, chunk: usize) -> PlainLanes {
        let tables = self.memory.tables;
        let packets = &self.packets[chunk * LANES..];
        // Frames of a wire have a tag mostly, or mostly not: the first one decides how all are looked at.
        let ip_offset = packets.first().map_or(UNTAGGED, parse::ip_offset);
        let (patterns, tagged) = match ip_offset {
            UNTAGGED => (&tables.untagged, 0),
            _ => (&tables.tagged, u8::MAX),
        };
        let mut headers: [&Headers; LANES] = [NO_HEADERS; LANES];
        let lens = self.room.frame_lens(chunk);
        for ((packet, headers), len) in packets.iter().zip(&mut headers).zip(lens) {
            *headers = packet.headers(ip_offset).unwrap_or(NO_HEADERS);
            *len = packet.len() as u64;
        }
        let first = V::columns(&headers.map(first_block));
        let plain_v4 = parse::plain_v4::<V>(&patterns.v4, &first);
        let mut plain = PlainLanes { v4: plain_v4.lanes, v6: 0, ip_offset };
        self.room.put_v4(chunk, tagged, &plain_v4, self.key.hash::<V, 2>(&plain_v4.message));
        if parse::any_v6::<V>(&patterns.v6, &first) {
            let second = V::columns(&headers.map(second_block));
            let plain_v6 = parse::plain_v6::<V>(&patterns.v6, &first, &second);
            plain.v6 = plain_v6.lanes;
            self.room.put_v6(chunk, &plain_v6, self.key.hash::<V, 5>(&plain_v6.message));
        }
        let sets = self.memory.flows.lines();
        for &hash in self.room.flows(chunk).hash {
            flow_table::prefetch_set(sets, hash);
        }
        if fault::is_in(Stage::Classify, self.fault) {
            (plain.v4, plain.v6) = (0, 0);
        }
        plain
    }

    /// The second stage of eight packets, and the others for those that are not plain.
    #[inline(always)]
    fn classify<V: Vectors>(&mut self, chunk: usize, mut plain: PlainLanes) {
        let tables = self.memory.tables;
        let sets = self.memory.flows.lines();
        let present = (self.packets.len() - chunk * LANES).min(LANES);
        let of_chunk = self.room.services(chunk);
        let fit = parse::fit::<V>(V::load(of_chunk.total_length), plain.ip_offset, V::load(of_chunk.frame_len));
        (plain.v4, plain.v6) = (plain.v4 & fit, plain.v6 & fit);
        // Bit by lane: it has a service.
        let mut known = 0_u8;
        let slots = tables.services_v4.first_places();
        for lane in 0..LANES {
            let found = services::first(slots, KeyV4::of_word(of_chunk.key_v4[lane]));
            known |= u8::from(found.is_some()) << lane;
            of_chunk.service[lane] = found.unwrap_or_default().0;
        }
        known &= plain.v4;
        let slots = tables.services_v6.first_places();
        let mut v6 = plain.v6;
        while v6 != 0 {
            let lane = v6.trailing_zeros() as usize % LANES;
            v6 &= v6 - 1;
            let at = chunk * LANES + lane;
            if let Some(found) = services::first(slots, KeyV6::of_message(self.room.message_v6(at))) {
                self.room.put_service(at, found);
                known |= 1 << lane;
            }
        }
        let mut others = !known & (0xff >> (LANES - present));
        self.room.put_known(chunk, known);
        while others != 0 {
            let lane = others.trailing_zeros() as usize;
            others &= others - 1;
            self.classify_any(chunk * LANES + lane, plain);
            flow_table::prefetch_set(sets, self.room.hash[chunk * LANES + lane]);
        }
    }

    /// The same of a packet that is not plain, or not to a service that is in its key's first place.
    #[inline(never)]
    fn classify_any(&mut self, at: usize, plain: PlainLanes) {
        let tables = self.memory.tables;
        let is = |lanes: u8| lanes >> (at % LANES) & 1 == 1;
        let found = if is(plain.v4) {
            tables.services_v4.find(KeyV4::of_message(self.room.message_v4(at)))
        } else if is(plain.v6) {
            tables.services_v6.find(KeyV6::of_message(self.room.message_v6(at)))
        } else {
            None
        };
        match found.filter(|found| found.is_enabled()) {
            Some(found) => self.room.put_service(at, found),
            None => self.any(at),
        }
    }

    /// The first three stages of a frame that is not a plain packet to a service.
    fn any(&mut self, at: usize) {
        let (packet, tables) = (&self.packets[at], self.memory.tables);
        match any(self.room, tables, self.fault, at, packet) {
            Ok(message) => self.room.hash[at] = self.key.hash_one(message),
            Err((verdict, service)) => {
                self.room.refuse(at, verdict, service);
                self.counters.flow(FlowOutcome::NotReached, 1, packet.len() as u64);
                self.counters.verdict(verdict, 1, packet.len() as u64);
            }
        }
    }

    /// The fourth stage of eight packets, one after the other: each meets what the one before has left in the flow table.
    #[inline(always)]
    fn select<V: Vectors>(&mut self, chunk: usize) -> Selection {
        let known = self.room.known(chunk);
        let mut hits = self.quick_hits::<V>(chunk) & known;
        let mut forward = 0;
        let mut others = known & !hits;
        while others != 0 {
            let lane = others.trailing_zeros();
            others &= others - 1;
            let at = chunk * LANES + lane as usize;
            forward |= u8::from(self.select_any(at)) << lane;
            // It may have changed its set. What a packet behind it meets there has to be looked at again.
            let (hashes, ..) = self.room.of_flows(chunk);
            let differing = V::xor(V::load(hashes), V::splat(hashes[lane as usize]));
            let same_set = V::zeros(V::and(differing, V::splat(self.memory.flows.lines().len() as u64 - 1)));
            let behind = hits & same_set & !(2_u8 << lane).wrapping_sub(1);
            (hits, others) = (hits & !behind, others | behind);
        }
        self.room.put_quick(chunk, hits);
        Selection { forward: forward | hits, hits }
    }

    /// Which of eight packets are without flags, of flows that are established or closing and have been seen in this tick: a
    /// hit that changes nothing, which is what most are. It says nothing of the others. Their backends are in the room.
    #[inline(always)]
    fn quick_hits<V: Vectors>(&mut self, chunk: usize) -> u8 {
        const BACKEND: u64 = 0xffff << BACKEND_SHIFT;
        let Memory { tables, tick, flows, .. } = self.memory;
        let (sets, backends) = (flows.lines(), &*tables.backends);
        let (hashes, flags, services, ids) = self.room.of_flows(chunk);
        let epoch = u64::from(tick) << EPOCH_SHIFT;
        let mut quick = 0;
        for lane in 0..LANES {
            let h = hashes[lane];
            let set = flow_table::set(sets, h);
            let mask = V::equal_tags::<{ TAG_SHIFT.cast_signed() }>(set, h);
            let entry = set[mask.trailing_zeros() as usize % WAYS].load(Ordering::Relaxed);
            // When tag and epoch are equal, what is left is the state: 2 or 3.
            let state = (entry ^ h >> TAG_SHIFT << TAG_SHIFT ^ epoch) & !BACKEND;
            let id = usize::from((entry >> BACKEND_SHIFT & 0xffff) as u16) & (backends.len() - 1);
            let is_hit = (state.wrapping_sub(u64::from(STATE_ESTABLISHED)) < 2)
                & (backends[id].owner == Found(services[lane]).owner());
            quick |= u8::from(is_hit & !fault::hits(self.fault, low_16(id))) << lane;
            ids[lane] = low_16(id);
        }
        quick & V::zeros(V::load(flags))
    }

    /// The fourth stage of a packet that is no quick hit; whether it goes on.
    #[inline(never)]
    fn select_any(&mut self, at: usize) -> bool {
        let room = &mut *self.room;
        let (row, flags, h) = (room.service(at).row(), room.flags_of(at), room.hash[at]);
        let message = if room.is_v6(at) { Packed::V6(room.message_v6(at)) } else { Packed::V4(room.message_v4(at)) };
        let selected = fault::after_select(self.fault, self.memory.select(row, flags, h, message));
        let Selected { flow, verdict, backend } = selected;
        let len = self.packets[at].len() as u64;
        self.counters.flow(flow, 1, len);
        room.put_flow(at, flow, backend);
        if verdict == Verdict::Forward {
            return true;
        }
        room.end(at, verdict);
        self.counters.verdict(verdict, 1, len);
        false
    }

    /// The last stage of those of eight packets that have a backend; and they are counted.
    #[inline(always)]
    fn rewrite<V: Vectors>(&mut self, chunk: usize, selection: Selection, forwarded: &mut Forwarded<'_>) {
        let tagged = selection.forward & self.room.tagged(chunk);
        let mut refused = 0;
        let Wrappings { sum, refused: untagged_refused } = self.wrap(chunk, selection.forward & !tagged, forwarded);
        refused |= untagged_refused;
        if tagged != 0 {
            refused |= self.rewrite_tagged(chunk, tagged, forwarded);
        }
        let made = selection.forward & !refused;
        self.room.put_forward(chunk, made);
        let services = self.room.flows(chunk).service;
        let lane = made.trailing_zeros() as usize % LANES;
        let same = V::zeros(V::xor(V::load(services), V::splat(services[lane])));
        if tagged == 0 && made & !(same & selection.hits) == 0 {
            forwarded.hits_of(Found(services[lane]).id(), sum);
        } else {
            self.count(chunk, made, selection.hits, forwarded);
        }
        if refused != 0 {
            self.refuse(chunk, refused, selection.hits);
        }
    }

    /// Writes the headers of untagged frames among eight, and counts them by backend.
    #[inline(always)]
    fn wrap(&mut self, chunk: usize, lanes: u8, forwarded: &Forwarded<'_>) -> Wrappings {
        let (tables, fault) = (self.memory.tables, self.fault);
        let (plans, backends, entropy_mask) = (&*tables.plans, &*tables.backends, tables.entropy_mask);
        let packets = &mut self.packets[chunk * LANES..];
        let Flows { hash, service, backend: ids, total_length, dscp_ecn } = self.room.flows(chunk);
        let (mut sum, mut refused, mut rest) = (Sum::default(), 0_u8, lanes);
        while rest != 0 {
            let lane = rest.trailing_zeros() as usize % LANES;
            rest &= rest - 1;
            let packet = &mut packets[lane];
            let (len, id) = (packet.len(), ids[lane]);
            let wrapping = Wrapping {
                entropy_mask,
                service: &plans[Found(service[lane]).row()],
                backend: &backends[usize::from(id)],
                h: hash[lane],
                total_length: total_length[lane],
                dscp_ecn: dscp_ecn[lane],
            };
            if wrapping.untagged(packet) {
                fault::after_rewrite(fault, UNTAGGED, packet);
                forwarded.backend(id, len);
                sum.add(len);
            } else {
                refused |= 1 << lane;
            }
        }
        Wrappings { sum, refused }
    }

    /// Writes the headers of tagged frames among eight, and counts them by backend; those that are refused, bit by lane.
    #[inline(never)]
    fn rewrite_tagged(&mut self, chunk: usize, lanes: u8, forwarded: &Forwarded<'_>) -> u8 {
        let tables = self.memory.tables;
        let Flows { hash, service, backend: ids, total_length, dscp_ecn } = self.room.flows(chunk);
        let mut refused = 0_u8;
        for lane in (0..LANES).filter(|lane| lanes >> lane & 1 == 1) {
            let packet = &mut self.packets[chunk * LANES + lane];
            let len = packet.len();
            let wrapping = Wrapping {
                entropy_mask: tables.entropy_mask,
                service: &tables.plans[Found(service[lane]).row()],
                backend: &tables.backends[usize::from(ids[lane])],
                h: hash[lane],
                total_length: total_length[lane],
                dscp_ecn: dscp_ecn[lane],
            };
            if wrapping.tagged(packet) {
                fault::after_rewrite(self.fault, TAGGED, packet);
                forwarded.backend(ids[lane], len);
            } else {
                refused |= 1 << lane;
            }
        }
        refused
    }

    /// Counts forwarded frames among eight, of any services.
    #[inline(never)]
    fn count(&self, chunk: usize, made: u8, hits: u8, forwarded: &mut Forwarded<'_>) {
        for lane in (0..LANES).filter(|lane| made >> lane & 1 == 1) {
            let at = chunk * LANES + lane;
            let mut sum = Sum::default();
            // As it came in.
            sum.add((self.room.frame_len[at] & 0xffff) as usize);
            let service = self.room.service(at).id();
            if hits >> lane & 1 == 1 {
                forwarded.hits_of(service, sum);
            } else {
                forwarded.others_of(service, sum);
            }
        }
    }

    /// Ends the way of those of eight packets that rewrite refuses.
    #[cold]
    fn refuse(&mut self, chunk: usize, lanes: u8, hits: u8) {
        for lane in (0..LANES).filter(|lane| lanes >> lane & 1 == 1) {
            let at = chunk * LANES + lane;
            let len = self.packets[at].len() as u64;
            let verdict = Wrapping::refusal(&self.memory.tables.backends[usize::from(self.room.backend[at])]);
            self.room.end(at, verdict);
            self.counters.verdict(verdict, 1, len);
            if hits >> lane & 1 == 1 {
                self.counters.flow(FlowOutcome::Hit, 1, len);
            }
        }
    }
}

/// What became of untagged frames among eight.
struct Wrappings {
    /// Those that were made: frames as they came in.
    sum: Sum,
    /// The others, bit by lane.
    refused: u8,
}

/// What select has found of eight packets, bit by lane.
#[derive(Clone, Copy)]
struct Selection {
    /// They have a backend.
    forward: u8,
    /// Those of them that changed nothing.
    hits: u8,
}

/// The first two stages of any frame: it is in the room, and its message is returned; or it is refused with a verdict on
/// account of a service.
fn any(
    room: &mut Room,
    tables: &Tables,
    fault: Option<Stage>,
    at: usize,
    packet: &Packet<'_>,
) -> Result<Packed, (Verdict, u16)> {
    let (frame, datapath) = (packet.bytes(), Some(&tables.image.datapath));
    let parsed = fault::after_parse(fault, parse_any(datapath, frame), datapath, frame);
    let (fields, packed) = parse::packed_of(&parsed.map_err(|verdict| (verdict, NO_SERVICE))?);
    let found = match packed {
        Packed::V4(message) => tables.services_v4.find(KeyV4::of_message(message)),
        Packed::V6(message) => tables.services_v6.find(KeyV6::of_message(message)),
    };
    let found = fault::after_classify(fault, tables, found).ok_or((Verdict::PassNoService, NO_SERVICE))?;
    if !found.is_enabled() {
        return Err((Verdict::DropServiceDisabled, found.id()));
    }
    room.put(at, fields, packed);
    room.put_service(at, found);
    Ok(packed)
}
