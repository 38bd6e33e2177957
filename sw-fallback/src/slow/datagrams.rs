//! Datagrams of which some pieces have come: where they go, or which pieces wait until that is known.
//!
//! It does not put pieces together: the backend does. Its unit of work is a piece.

use std::collections::{BTreeMap, HashMap};

use super::counters::{Fate, HostCounters, Kept};
use super::frames::Frames;
use super::limit;
use super::packet::IpPacket;
use super::tunnel::Place;
use crate::stage::parse::Address;

/// What pieces of a datagram have in common (RFC 791, section 3.2; RFC 8200, section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    source: Address,
    destination: Address,
    identification: u32,
    /// That of IPv4; pieces of IPv6 may differ in it, and [`Self::IPV6`] is in its place.
    protocol: u16,
}

impl Key {
    /// No protocol of IPv4.
    const IPV6: u16 = 0x100;

    pub(super) fn of(packet: &IpPacket<'_>) -> Self {
        let IpPacket { source, destination, identification, .. } = *packet;
        let protocol = if packet.ipv6 { Self::IPV6 } else { packet.protocol.into() };
        Self { source, destination, identification, protocol }
    }
}

/// Where the pieces of a datagram go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// To a backend.
    Backend(Place),
    /// To none, and all have this fate.
    Fate(Fate),
}

/// A datagram whose first piece has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) end: End,
    pub(super) ports: [u8; 4],
    pub(super) protocol: u8,
    /// Bytes of the pieces that have come.
    seen: usize,
    /// Bytes of the datagram, once its last piece has come.
    len: Option<usize>,
}

impl Placed {
    pub(super) const fn new(end: End, ports: [u8; 4], protocol: u8) -> Self {
        Self { end, ports, protocol, seen: 0, len: None }
    }

    /// A piece has come.
    pub(super) fn add(&mut self, packet: &IpPacket<'_>) {
        self.seen = self.seen.saturating_add(packet.payload.len());
        if !packet.more {
            self.len = Some(packet.offset.saturating_add(packet.payload.len()));
        }
    }

    /// As many bytes have come as it has. Then a first piece begins the next datagram of that identification: of what is
    /// complete no piece need be sent where it would not go by itself.
    pub(super) fn is_complete(&self) -> bool {
        self.len.is_some_and(|len| self.seen >= len)
    }
}

/// A datagram that is known.
#[derive(Debug)]
struct Datagram {
    /// Position in the order in which they began.
    number: u64,
    begun_ns: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting(Frames),
    Placed(Placed),
}

/// The datagrams that are known. Those that wait and those that are placed have limits of their own, so that later pieces of
/// nothing, which anyone can send, drive out nobody's backend.
#[derive(Debug)]
pub(super) struct Datagrams {
    known: HashMap<Key, Datagram>,
    /// In the order in which they began.
    waiting: BTreeMap<u64, Key>,
    placed: BTreeMap<u64, Key>,
    next_number: u64,
    /// Of frames that wait.
    bytes: usize,
    pieces: usize,
}

impl Datagrams {
    pub(super) fn new() -> Self {
        Self {
            known: HashMap::new(),
            waiting: BTreeMap::new(),
            placed: BTreeMap::new(),
            next_number: 0,
            bytes: 0,
            pieces: 0,
        }
    }

    /// The datagram, if its first piece has come.
    pub(super) fn placed(&self, key: &Key) -> Option<&Placed> {
        match &self.known.get(key)?.state {
            State::Placed(placed) => Some(placed),
            State::Waiting(_) => None,
        }
    }

    /// The same.
    pub(super) fn placed_mut(&mut self, key: &Key) -> Option<&mut Placed> {
        match &mut self.known.get_mut(key)?.state {
            State::Placed(placed) => Some(placed),
            State::Waiting(_) => None,
        }
    }

    /// Has a piece wait for its datagram's first one; its fate, if it cannot.
    pub(super) fn hold(&mut self, now_ns: u64, key: Key, frame: &[u8], counters: &mut HostCounters) -> Option<Fate> {
        // Before the datagram is looked for, as it may be the one that goes.
        while self.bytes.saturating_add(frame.len()) > limit::WAITING_BYTES_IN_ALL_MAX && !self.waiting.is_empty() {
            self.give_up_oldest(Fate::FragmentEvicted, counters);
        }
        if !self.known.contains_key(&key) {
            while self.waiting.len() >= limit::WAITING_DATAGRAMS_MAX {
                self.give_up_oldest(Fate::FragmentEvicted, counters);
            }
            let frames = Frames::new(limit::WAITING_PIECES_MAX, limit::WAITING_BYTES_MAX);
            let number = self.number();
            self.waiting.insert(number, key);
            self.known.insert(key, Datagram { number, begun_ns: now_ns, state: State::Waiting(frames) });
        }
        let Some(Datagram { state: State::Waiting(frames), .. }) = self.known.get_mut(&key) else {
            return Some(Fate::FragmentUnwanted);
        };
        let added = frames.push_with(|frames| frames.add(|out| out.extend_from_slice(frame)));
        if added.is_none() {
            return Some(Fate::FragmentOverfull);
        }
        self.bytes = self.bytes.saturating_add(frame.len());
        self.pieces = self.pieces.saturating_add(1);
        counters.held = counters.held.wrapping_add(1);
        None
    }

    /// Notes where a datagram goes, whatever was known of it; the pieces that have waited for that are returned.
    pub(super) fn place(
        &mut self,
        now_ns: u64,
        key: Key,
        placed: Placed,
        counters: &mut HostCounters,
    ) -> Option<Frames> {
        let held = self.remove(&key);
        while self.placed.len() >= limit::PLACED_DATAGRAMS_MAX {
            let Some((_, oldest)) = self.placed.pop_first() else { break };
            self.remove(&oldest);
            counters.forgotten = counters.forgotten.wrapping_add(1);
        }
        let number = self.number();
        self.placed.insert(number, key);
        self.known.insert(key, Datagram { number, begun_ns: now_ns, state: State::Placed(placed) });
        held
    }

    /// Gives up what is too old at a time.
    pub(super) fn expire(&mut self, now_ns: u64, counters: &mut HostCounters) {
        while self.is_first_older(&self.waiting, now_ns, limit::WAIT_NS) {
            self.give_up_oldest(Fate::FragmentLate, counters);
        }
        while self.is_first_older(&self.placed, now_ns, limit::PLACE_NS) {
            let Some((_, oldest)) = self.placed.pop_first() else { break };
            self.remove(&oldest);
        }
    }

    /// How much is kept now.
    pub(super) fn kept(&self) -> Kept {
        Kept { datagrams: self.known.len(), pieces: self.pieces, bytes: self.bytes }
    }

    fn is_first_older(&self, order: &BTreeMap<u64, Key>, now_ns: u64, than_ns: u64) -> bool {
        let first = order.first_key_value().and_then(|(_, key)| self.known.get(key));
        first.is_some_and(|datagram| now_ns.saturating_sub(datagram.begun_ns) >= than_ns)
    }

    /// Gives up the datagram that has waited longest.
    fn give_up_oldest(&mut self, fate: Fate, counters: &mut HostCounters) {
        let Some((_, oldest)) = self.waiting.pop_first() else { return };
        if let Some(frames) = self.remove(&oldest) {
            counters.count_all(fate, frames.len());
        }
    }

    /// Forgets a datagram; the pieces that waited.
    fn remove(&mut self, key: &Key) -> Option<Frames> {
        let Datagram { number, state, .. } = self.known.remove(key)?;
        match state {
            State::Waiting(frames) => {
                self.waiting.remove(&number);
                self.bytes = self.bytes.saturating_sub(frames.bytes());
                self.pieces = self.pieces.saturating_sub(frames.len());
                Some(frames)
            }
            State::Placed(_) => {
                self.placed.remove(&number);
                None
            }
        }
    }

    fn number(&mut self) -> u64 {
        self.next_number = self.next_number.wrapping_add(1);
        self.next_number
    }
}
