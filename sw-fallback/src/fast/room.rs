//! What is known of the frames of a burst while they are on their way, by their position.
//!
//! Array by array, in words: eight packets are written at once, by vectors, and read one by one; a processor waits where
//! what was written in small pieces is read as a whole.

use super::{BURST, Egresses};
use crate::pipeline::Trace;
use maglane_spec::limit::NO_BACKEND;
use maglane_spec::{Egress, FlowOutcome, Verdict};

use super::parse::{Fields, Message, Packed, Plain};
use super::services::{Found, KeyV4};
use super::tables::UNTAGGED;
use crate::simd::{LANES, Vectors};

/// One word a frame.
type Words = [u64; BURST];

/// The frames of a burst.
#[derive(Debug)]
pub(super) struct Room {
    /// [`Found`] of those that have a service, or whose way has ended because of one.
    service: Words,
    /// What select has found, of those that reached it.
    pub(super) backend: [u16; BURST],
    /// The same, of those of them that are no quick hits.
    flow: [FlowOutcome; BURST],
    /// Verdicts other than forward.
    verdict: [Verdict; BURST],
    /// Bytes of the frame.
    pub(super) frame_len: Words,
    /// Bytes of the IP packet.
    pub(super) total_length: Words,
    pub(super) hash: Words,
    dscp_ecn: Words,
    flags: Words,
    /// [`KeyV4`] of IPv4 frames.
    key_v4: Words,
    /// Messages of IPv4 and of IPv6 frames, word by word.
    v4: [Words; 2],
    v6: [Words; 5],
    /// Bit by position: the frame has a service that takes it; it is forwarded; it is the host's; it changed nothing in the
    /// flow table; it is IPv6; it has a tag.
    known: u32,
    forward: u32,
    host: u32,
    quick: u32,
    is_v6: u32,
    is_tagged: u32,
}

impl Room {
    pub(super) const fn new() -> Self {
        let none = [0; BURST];
        Self {
            service: [Found::NONE.0; BURST],
            backend: [0; BURST],
            flow: [FlowOutcome::NotReached; BURST],
            verdict: [Verdict::PassBypass; BURST],
            frame_len: none,
            total_length: none,
            hash: none,
            dscp_ecn: none,
            flags: none,
            key_v4: none,
            v4: [none; 2],
            v6: [none; 5],
            known: 0,
            forward: 0,
            host: 0,
            quick: 0,
            is_v6: 0,
            is_tagged: 0,
        }
    }

    /// Puts eight packets in, whether they are plain or not, with their hashes; none has a service yet. All have a tag, or
    /// none has one.
    #[inline(always)]
    pub(super) fn put_v4<V: Vectors>(&mut self, chunk: usize, tagged: u8, plain: &Plain<V, 2>, hash: V::Words) {
        *lanes(&mut self.total_length, chunk) = V::store(plain.total_length);
        *lanes(&mut self.dscp_ecn, chunk) = V::store(plain.dscp_ecn);
        *lanes(&mut self.flags, chunk) = V::store(plain.flags);
        *lanes(&mut self.hash, chunk) = V::store(hash);
        *lanes(&mut self.key_v4, chunk) = V::store(KeyV4::words_of::<V>(plain.message));
        for (words, &word) in self.v4.iter_mut().zip(&plain.message) {
            *lanes(words, chunk) = V::store(word);
        }
        self.is_v6 &= !of_chunk(0xff, chunk);
        self.is_tagged = self.is_tagged & !of_chunk(0xff, chunk) | of_chunk(tagged, chunk);
    }

    /// Of a service that takes a packet.
    #[inline(always)]
    pub(super) fn service(&self, at: usize) -> Found {
        Found(self.service[at])
    }

    /// Puts those of eight packets in that are plain IPv6.
    #[inline(always)]
    pub(super) fn put_v6<V: Vectors>(&mut self, chunk: usize, plain: &Plain<V, 5>, hash: V::Words) {
        let of_all = [
            (&mut self.total_length, plain.total_length),
            (&mut self.dscp_ecn, plain.dscp_ecn),
            (&mut self.flags, plain.flags),
            (&mut self.hash, hash),
        ];
        for (words, new) in of_all {
            let (own, new) = (lanes(words, chunk), V::store(new));
            if plain.lanes == u8::MAX {
                *own = new;
            } else {
                for lane in (0..LANES).filter(|lane| plain.lanes >> lane & 1 == 1) {
                    own[lane] = new[lane];
                }
            }
        }
        for (words, &word) in self.v6.iter_mut().zip(&plain.message) {
            *lanes(words, chunk) = V::store(word);
        }
        self.is_v6 |= of_chunk(plain.lanes, chunk);
    }

    /// Puts a packet in, its hash aside.
    pub(super) fn put(&mut self, at: usize, fields: Fields, message: Packed) {
        let at = at % BURST;
        let bit = 1 << at;
        self.total_length[at] = u64::from(fields.total_length);
        self.dscp_ecn[at] = u64::from(fields.dscp_ecn);
        self.flags[at] = u64::from(fields.flags);
        self.is_tagged &= !bit;
        if usize::from(fields.ip_offset) != UNTAGGED {
            self.is_tagged |= bit;
        }
        self.is_v6 &= !bit;
        match message {
            Packed::V4(message) => self.v4.iter_mut().zip(message).for_each(|(words, word)| words[at] = word),
            Packed::V6(message) => {
                self.is_v6 |= bit;
                self.v6.iter_mut().zip(message).for_each(|(words, word)| words[at] = word);
            }
        }
    }

    /// Forgets where the frames of the burst before went.
    #[inline(always)]
    pub(super) const fn begin(&mut self) {
        (self.known, self.forward, self.host, self.quick) = (0, 0, 0, 0);
    }

    /// Says of a packet that it has a service.
    pub(super) fn put_service(&mut self, at: usize, found: Found) {
        self.service[at] = found.0;
        self.known |= 1 << at;
    }

    /// Ends a frame's way before it has a service that takes it.
    pub(super) fn refuse(&mut self, at: usize, verdict: Verdict, service: u16) {
        self.service[at] = Found::without_row(service).0;
        self.end(at, verdict);
    }

    /// Ends a frame's way with a verdict.
    pub(super) fn end(&mut self, at: usize, verdict: Verdict) {
        self.verdict[at] = verdict;
        if verdict.egress() == Egress::Host {
            self.host |= 1 << at;
        }
    }

    /// Says what a packet that is no quick hit has met in the flow table.
    pub(super) fn put_flow(&mut self, at: usize, flow: FlowOutcome, backend: u16) {
        (self.flow[at], self.backend[at]) = (flow, backend);
    }

    /// Says which of eight packets are quick hits, bit by lane.
    #[inline(always)]
    pub(super) fn put_quick(&mut self, chunk: usize, lanes: u8) {
        self.quick |= of_chunk(lanes, chunk);
    }

    /// Says which of eight packets are forwarded, bit by lane.
    #[inline(always)]
    pub(super) fn put_forward(&mut self, chunk: usize, lanes: u8) {
        self.forward |= of_chunk(lanes, chunk);
    }

    /// Where the frames go.
    #[inline(always)]
    pub(super) const fn egresses(&self) -> Egresses {
        Egresses { wire: self.forward, host: self.host }
    }

    /// What became of a frame.
    pub(super) fn trace(&self, at: usize) -> Trace {
        let bit = |bits: u32| bits >> at & 1 == 1;
        let known = bit(self.known);
        let flow = if bit(self.quick) { FlowOutcome::Hit } else { self.flow[at] };
        Trace {
            verdict: if bit(self.forward) { Verdict::Forward } else { self.verdict[at] },
            service: Found(self.service[at]).id(),
            hash: if known { self.hash[at] } else { 0 },
            flow: if known { flow } else { FlowOutcome::NotReached },
            backend: if known { self.backend[at] } else { NO_BACKEND },
        }
    }

    /// Says of eight packets which of them have a service, bit by lane, beside those that are known to.
    #[inline(always)]
    pub(super) fn put_known(&mut self, chunk: usize, lanes: u8) {
        self.known |= of_chunk(lanes, chunk);
    }

    /// What classify reads and writes of eight packets.
    #[inline(always)]
    pub(super) fn services(&mut self, chunk: usize) -> Services<'_> {
        Services {
            frame_len: lanes(&mut self.frame_len, chunk),
            total_length: lanes(&mut self.total_length, chunk),
            key_v4: lanes(&mut self.key_v4, chunk),
            service: lanes(&mut self.service, chunk),
        }
    }

    /// Those of eight packets that have a service, bit by lane.
    #[inline(always)]
    pub(super) const fn known(&self, chunk: usize) -> u8 {
        (self.known >> (chunk * LANES) & 0xff) as u8
    }

    /// Of eight packets: hashes, flags and services, and where their backends go.
    #[inline(always)]
    pub(super) fn of_flows(
        &mut self,
        chunk: usize,
    ) -> (&[u64; LANES], &[u64; LANES], &[u64; LANES], &mut [u16; LANES]) {
        (
            lanes(&mut self.hash, chunk),
            lanes(&mut self.flags, chunk),
            lanes(&mut self.service, chunk),
            &mut self.backend.as_chunks_mut().0[chunk],
        )
    }

    #[inline(always)]
    pub(super) fn message_v4(&self, at: usize) -> Message<2> {
        self.v4.each_ref().map(|words| words[at])
    }

    #[inline(always)]
    pub(super) fn message_v6(&self, at: usize) -> Message<5> {
        self.v6.each_ref().map(|words| words[at])
    }

    #[inline(always)]
    pub(super) fn is_v6(&self, at: usize) -> bool {
        self.is_v6 >> at & 1 == 1
    }

    #[inline(always)]
    pub(super) fn flags_of(&self, at: usize) -> u8 {
        (self.flags[at] & 0xff) as u8
    }

    /// Those of eight packets that have a tag, bit by lane.
    #[inline(always)]
    pub(super) const fn tagged(&self, chunk: usize) -> u8 {
        (self.is_tagged >> (chunk * LANES) & 0xff) as u8
    }

    /// Where the lengths of eight frames go.
    #[inline(always)]
    pub(super) fn frame_lens(&mut self, chunk: usize) -> &mut [u64; LANES] {
        lanes(&mut self.frame_len, chunk)
    }

    /// What rewrite reads of eight packets.
    #[inline(always)]
    pub(super) fn flows(&self, chunk: usize) -> Flows<'_> {
        Flows {
            hash: of_lanes(&self.hash, chunk),
            service: of_lanes(&self.service, chunk),
            backend: &self.backend.as_chunks().0[chunk],
            total_length: of_lanes(&self.total_length, chunk),
            dscp_ecn: of_lanes(&self.dscp_ecn, chunk),
        }
    }
}

/// Eight packets for rewrite.
pub(super) struct Flows<'a> {
    pub(super) hash: &'a [u64; LANES],
    /// [`Found`].
    pub(super) service: &'a [u64; LANES],
    pub(super) backend: &'a [u16; LANES],
    /// Below 2^16.
    pub(super) total_length: &'a [u64; LANES],
    /// Below 2^8.
    pub(super) dscp_ecn: &'a [u64; LANES],
}

/// Eight packets for classify.
pub(super) struct Services<'a> {
    pub(super) frame_len: &'a [u64; LANES],
    pub(super) total_length: &'a [u64; LANES],
    pub(super) key_v4: &'a [u64; LANES],
    /// [`Found`].
    pub(super) service: &'a mut [u64; LANES],
}

/// The words of eight packets.
#[inline(always)]
fn of_lanes(words: &Words, chunk: usize) -> &[u64; LANES] {
    &words.as_chunks().0[chunk]
}

/// The same, to be written.
#[inline(always)]
fn lanes(words: &mut Words, chunk: usize) -> &mut [u64; LANES] {
    &mut words.as_chunks_mut().0[chunk]
}

/// Bits of the lanes of eight packets, by position.
#[inline(always)]
fn of_chunk(bits: u8, chunk: usize) -> u32 {
    u32::from(bits) << (chunk * LANES)
}
