//! The slow path: what the host does about frames that the pipeline passes up to it.
//!
//! Fragments go to the backend of the flow that their first piece names; packets that are too big for the tunnel are cut, or
//! answered with the size that fits; echo requests to an address of a service are answered. What is none of that stays the
//! kernel's. The decisions and their sources are in `docs/wire-contract.md`, "Slow path on the host".
//!
//! It neither receives nor sends: what leaves is put into an [`Outbox`]. It counts beside the pipeline, never in it. All its
//! memory is bounded ([`limit`]), whatever comes. One slow path serves all workers of an interface, behind a lock: pieces of
//! a datagram may come in at different workers, and a limit on answers that each worker had for itself would be none. Its
//! unit of work is a frame.

#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, PoisonError};

use maglane_spec::wire::{icmp, ipv4, ipv6, transport};
use maglane_spec::{Egress, TableImage, Verdict};

mod answer;
mod bucket;
mod counters;
mod datagrams;
mod directory;
mod frames;
pub mod limit;
mod packet;
mod tunnel;

pub use counters::{Fate, HostCounters, Kept};
pub use frames::Frames;

use self::bucket::Bucket;
use self::datagrams::{Datagrams, End, Key, Placed};
use self::directory::Directory;
use self::packet::IpPacket;
use self::tunnel::{Fit, Place};
use crate::fast::{Datapath, Egresses, Packet, Placer, Worker};
use crate::pipeline::Trace;

/// Frames that the slow path wants sent: a worker's, emptied when they have been.
#[derive(Debug)]
pub struct Outbox(Frames);

impl Outbox {
    /// An empty one, with room for [`limit::OUTBOX_FRAMES_MAX`] frames and [`limit::OUTBOX_BYTES_MAX`] bytes.
    #[must_use]
    pub fn new() -> Self {
        Self(Frames::new(limit::OUTBOX_FRAMES_MAX, limit::OUTBOX_BYTES_MAX))
    }

    /// The frames, in order.
    pub fn frames(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

/// What is remembered of datagrams in pieces, and of answers that were given.
#[derive(Debug)]
pub struct SlowPath {
    placer: Placer,
    /// Of the tables that served when it was looked last.
    directory: Option<Arc<Directory>>,
    datagrams: Datagrams,
    /// Answers "too big", and echo replies: neither can starve the other.
    too_big: Bucket,
    echo: Bucket,
    counters: HostCounters,
    /// The greatest time so far: workers may be a little apart.
    now_ns: u64,
    /// A first piece as a whole packet.
    whole: Vec<u8>,
}

/// Tells where the frames of a burst go, of which a worker has just said `found`. Those that the slow path takes go nowhere,
/// and what becomes of them is in the outbox; the lock is taken only if the burst has such.
pub fn divert(
    slow: &Mutex<SlowPath>,
    time_ns: u64,
    packets: &[Packet<'_>],
    worker: &Worker,
    found: Egresses,
    egresses: &mut [Egress],
    outbox: &mut Outbox,
) {
    let mut locked = None;
    for (at, (packet, egress)) in packets.iter().zip(egresses).enumerate() {
        *egress = found.of(at);
        if *egress == Egress::Host
            && let trace = worker.trace(at)
            && SlowPath::wants(trace.verdict)
        {
            let slow = locked.get_or_insert_with(|| slow.lock().unwrap_or_else(PoisonError::into_inner));
            *egress = slow.take(time_ns, packet.bytes(), &trace, outbox);
        }
    }
}

impl SlowPath {
    /// One for the frames that a datapath passes up.
    #[must_use]
    pub fn new(datapath: Arc<Datapath>) -> Self {
        Self {
            placer: Placer::new(datapath),
            directory: None,
            datagrams: Datagrams::new(),
            too_big: Bucket::new(limit::ANSWERS_PER_SECOND, limit::ANSWERS_AT_ONCE),
            echo: Bucket::new(limit::ANSWERS_PER_SECOND, limit::ANSWERS_AT_ONCE),
            counters: HostCounters::default(),
            now_ns: 0,
            whole: Vec::new(),
        }
    }

    /// Whether frames with a verdict are looked at here.
    #[must_use]
    pub const fn wants(verdict: Verdict) -> bool {
        matches!(verdict, Verdict::PassFragment | Verdict::PassTooBig | Verdict::PassIcmp)
    }

    /// Does what there is to do about a frame that came in at a time, in nanoseconds since any epoch, unchanged by the
    /// pipeline, which says `trace` of it. Where the frame itself goes is returned: to the host, or nowhere when it was
    /// taken.
    pub fn take(&mut self, time_ns: u64, frame: &[u8], trace: &Trace, outbox: &mut Outbox) -> Egress {
        if !Self::wants(trace.verdict) {
            return trace.verdict.egress();
        }
        let fate = self.look_at(time_ns, frame, trace, outbox);
        if fate == Some(Fate::Passed) { Egress::Host } else { Egress::Nowhere }
    }

    /// The same of a frame with a verdict that is wanted, for who tells what became of it. None is decided of a piece that
    /// is held. What is passed goes to the host, all else nowhere.
    pub fn look_at(&mut self, time_ns: u64, frame: &[u8], trace: &Trace, outbox: &mut Outbox) -> Option<Fate> {
        self.expire(time_ns);
        let fate = match self.directory() {
            Some(directory) => self.decide(&directory, frame, trace, outbox),
            None => Some(Fate::Passed),
        };
        if let Some(fate) = fate {
            self.counters.count(fate);
        }
        fate
    }

    /// Gives up what has waited too long at a time.
    pub fn expire(&mut self, time_ns: u64) {
        self.now_ns = self.now_ns.max(time_ns);
        self.datagrams.expire(self.now_ns, &mut self.counters);
    }

    /// What has become of all frames so far, and what is held now.
    #[must_use]
    pub fn counters(&self) -> HostCounters {
        let mut counters = self.counters;
        counters.kept = self.datagrams.kept();
        counters
    }

    /// That of the tables that serve now.
    fn directory(&mut self) -> Option<Arc<Directory>> {
        let image: Arc<TableImage> = self.placer.datapath().image()?;
        let known = self.directory.take().filter(|directory| directory.is_of(&image));
        let directory = known.unwrap_or_else(|| Arc::new(Directory::new(image)));
        self.directory = Some(Arc::clone(&directory));
        Some(directory)
    }

    /// What becomes of a frame; none is decided of one that is held.
    fn decide(&mut self, directory: &Directory, frame: &[u8], trace: &Trace, outbox: &mut Outbox) -> Option<Fate> {
        let Some(packet) = IpPacket::read(frame) else {
            // The pipeline has read all but an IPv6 fragment header, which is cut off here.
            let is_piece = trace.verdict == Verdict::PassFragment;
            return Some(if is_piece { Fate::FragmentMalformed } else { Fate::Passed });
        };
        match trace.verdict {
            Verdict::PassFragment => self.fragment(directory, &packet, outbox),
            Verdict::PassTooBig => Some(self.forward(directory, &Place::of(trace), &packet, outbox)),
            _ => Some(self.echo(directory, &packet, outbox)),
        }
    }

    /// A piece of a datagram.
    fn fragment(&mut self, directory: &Directory, packet: &IpPacket<'_>, outbox: &mut Outbox) -> Option<Fate> {
        let of_flow = matches!(packet.protocol, ipv4::PROTOCOL_TCP | ipv4::PROTOCOL_UDP);
        if !directory.has_address(packet.ipv6, &packet.destination) {
            return Some(Fate::Passed);
        }
        let key = Key::of(packet);
        // Which protocol a datagram has says its first piece (RFC 8200, section 4.5), so others of one that is known go on.
        if !of_flow && (packet.offset == 0 || self.datagrams.placed(&key).is_none()) {
            return Some(Fate::Passed);
        }
        if !packet.is_sound() {
            return Some(Fate::FragmentMalformed);
        }
        if packet.offset == 0 {
            return Some(self.first(directory, key, packet, outbox));
        }
        if self.datagrams.placed(&key).is_some() {
            return Some(self.follow(directory, &key, packet, outbox));
        }
        if rewrites_transport(packet.protocol, packet) {
            return Some(Fate::FragmentTiny);
        }
        self.datagrams.hold(self.now_ns, key, packet.frame, &mut self.counters)
    }

    /// The piece with the ports: the others follow it.
    fn first(&mut self, directory: &Directory, key: Key, packet: &IpPacket<'_>, outbox: &mut Outbox) -> Fate {
        let Some(ports) = whole_transport(packet) else { return Fate::FragmentTiny };
        if !packet.more {
            // Whole by itself, whatever else has its identification (RFC 6946, section 4).
            return match self.place(packet) {
                End::Backend(place) => self.forward(directory, &place, packet, outbox),
                End::Fate(fate) => fate,
            };
        }
        if let Some(placed) = self.datagrams.placed(&key).filter(|placed| !placed.is_complete()) {
            if (placed.ports, placed.protocol) != (ports, packet.protocol) {
                return Fate::FragmentConflict;
            }
            return self.follow(directory, &key, packet, outbox);
        }
        let end = self.place(packet);
        let placed = Placed::new(end, ports, packet.protocol);
        let held = self.datagrams.place(self.now_ns, key, placed, &mut self.counters);
        let fate = self.follow(directory, &key, packet, outbox);
        for frame in held.iter().flat_map(Frames::iter) {
            let fate = IpPacket::read(frame).map(|packet| self.follow(directory, &key, &packet, outbox));
            // What waited is the host's no longer.
            let fate = fate.filter(|&fate| fate != Fate::Passed).unwrap_or(Fate::FragmentUnwanted);
            self.counters.count(fate);
        }
        fate
    }

    /// Where the packet that begins with a piece would go if the piece were all of it.
    fn place(&mut self, packet: &IpPacket<'_>) -> End {
        packet.write_whole(&mut self.whole);
        let trace = self.placer.place(self.now_ns, &self.whole);
        match trace.verdict {
            Verdict::Forward | Verdict::PassTooBig => End::Backend(Place::of(&trace)),
            Verdict::DropServiceDisabled => End::Fate(Fate::FragmentServiceDisabled),
            Verdict::DropNoBackend => End::Fate(Fate::FragmentNoBackend),
            verdict if verdict.egress() == Egress::Host => End::Fate(Fate::Passed),
            _ => End::Fate(Fate::FragmentMalformed),
        }
    }

    /// A piece of a datagram whose first piece has come.
    fn follow(&mut self, directory: &Directory, key: &Key, packet: &IpPacket<'_>, outbox: &mut Outbox) -> Fate {
        let Some(placed) = self.datagrams.placed_mut(key) else { return Fate::FragmentUnwanted };
        if rewrites_transport(placed.protocol, packet) {
            return Fate::FragmentTiny;
        }
        placed.add(packet);
        match placed.end {
            End::Fate(fate) => fate,
            // As for a hit in the flow table; the first piece has its backend from there in this moment.
            End::Backend(place) if packet.offset != 0 && !directory.takes_flows(&place) => Fate::FragmentNoBackend,
            End::Backend(place) => self.forward(directory, &place, packet, outbox),
        }
    }

    /// Sends a packet to a backend: whole, or cut; or it is too big for that, and its source is told.
    fn forward(&mut self, directory: &Directory, place: &Place, packet: &IpPacket<'_>, outbox: &mut Outbox) -> Fate {
        let sent = if packet.is_fragment { Fate::FragmentForwarded } else { Fate::TooBigFragmented };
        let Some(tunnel) = directory.tunnel(place) else { return Fate::Passed };
        let written = match tunnel.fit(packet) {
            Fit::Whole => outbox.0.push_with(|frames| tunnel.wrap(packet, frames)),
            Fit::Cut(unit) => outbox.0.push_with(|frames| tunnel.cut(packet, unit, frames)),
            Fit::Never => return Fate::TooBigLost,
            Fit::Answer(mtu) => return self.answer(directory, packet, mtu, outbox),
        };
        self.sent(written, sent)
    }

    /// Tells a packet's source which size fits.
    fn answer(&mut self, directory: &Directory, packet: &IpPacket<'_>, mtu: u16, outbox: &mut Outbox) -> Fate {
        // About an ICMP error no error is sent, and the pipeline forwards no other ICMP; nor about a piece that is not the
        // first, in IPv4 (RFC 1122, section 3.2.2; RFC 4443, section 2.4 (e)).
        let is_icmp = matches!(packet.protocol, ipv4::PROTOCOL_ICMP | ipv6::NEXT_HEADER_ICMPV6);
        if is_icmp || (!packet.ipv6 && packet.offset != 0) || !packet.is_answerable() {
            return Fate::TooBigLost;
        }
        if !self.too_big.take(self.now_ns) {
            return Fate::TooBigLimited;
        }
        let mac = directory.mac();
        let written = outbox.0.push_with(|frames| frames.add(|out| answer::too_big(mac, packet, mtu, out)));
        self.sent(written, Fate::TooBigAnswered)
    }

    /// ICMP that is no error: an echo request to an address of a service is answered.
    fn echo(&mut self, directory: &Directory, packet: &IpPacket<'_>, outbox: &mut Outbox) -> Fate {
        let is_ours = directory.serves(packet.ipv6, &packet.destination);
        if !is_ours || !answer::is_echo_request(packet) || !packet.is_answerable() {
            return Fate::Passed;
        }
        if !self.echo.take(self.now_ns) {
            return Fate::EchoLimited;
        }
        let mac = directory.mac();
        let written = outbox.0.push_with(|frames| frames.add(|out| answer::echo_reply(mac, packet, out)));
        self.sent(written, Fate::EchoAnswered)
    }

    /// The fate of a frame of which so many frames were to leave: another one if there was no room.
    fn sent(&mut self, written: Option<usize>, fate: Fate) -> Fate {
        let Some(frames) = written else { return Fate::Unsent };
        self.counters.sent = self.counters.sent.wrapping_add(frames as u64);
        fate
    }
}

/// The ports, when the whole transport header is in the first piece: else others could be read behind a filter than at it
/// (RFC 1858, section 3; RFC 7112, section 5).
fn whole_transport(packet: &IpPacket<'_>) -> Option<[u8; 4]> {
    let header_len = if packet.protocol == ipv4::PROTOCOL_TCP {
        let words = packet.payload.get(transport::TCP_DATA_OFFSET)? >> 4;
        // Shorter than a header is wrong in a whole segment as well.
        Some(usize::from(words) * 4).filter(|&len| len >= transport::TCP_HEADER_LEN)?
    } else {
        transport::UDP_HEADER_LEN
    };
    packet.payload.get(..header_len)?.first_chunk::<{ icmp::QUOTED_TRANSPORT_LEN }>().copied()
}

/// Whether a later piece lies over the header by which its datagram is placed (RFC 3128). No UDP one can: a unit of the
/// offset is all of that header.
fn rewrites_transport(protocol: u8, packet: &IpPacket<'_>) -> bool {
    protocol == ipv4::PROTOCOL_TCP && packet.offset != 0 && packet.offset < transport::TCP_HEADER_LEN
}
