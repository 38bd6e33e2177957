//! Which named points a campaign has met, so that one that no longer reaches a corner fails.
//!
//! A point is a text. [`FrameCoverage`] notes what frames look like and what became of them: verdicts by family, checks at
//! their boundaries, every shape of outer header, the bytes in the last beat of each output. [`FlowCoverage`] notes
//! what happens in the flow table: ways, state transitions, evictions, how close frames of one set follow one another.

use std::collections::BTreeMap;

use maglane_spec::row::BackendRow;
use maglane_spec::verdict::Egress;
use maglane_spec::{FlowOutcome, TableImage, Verdict};
use maglane_sw::engine::Outcome;

/// How often each point was met.
#[derive(Default)]
pub(crate) struct Points(BTreeMap<String, u64>);

impl Points {
    fn meet(&mut self, point: impl Into<String>) {
        *self.0.entry(point.into()).or_default() += 1;
    }

    /// Fails with the names of the points that have not been met.
    pub(crate) fn check(&self, wanted: impl IntoIterator<Item = String>) {
        let mut missing: Vec<String> = wanted.into_iter().filter(|point| !self.0.contains_key(point)).collect();
        missing.sort();
        assert!(missing.is_empty(), "never met: {}", missing.join(", "));
    }
}

/// The family of a frame's EtherType, and where its packet starts.
fn family(frame: &[u8]) -> Option<(&'static str, usize)> {
    let start = if frame.get(12..14)? == [0x81, 0] { 18 } else { 14 };
    match frame.get(start - 2..start)? {
        [8, 0] => Some(("IPv4", start)),
        [0x86, 0xdd] => Some(("IPv6", start)),
        _ => None,
    }
}

/// Points of frames on a bus.
pub(crate) struct FrameCoverage {
    pub(crate) points: Points,
    bus: usize,
}

impl FrameCoverage {
    pub(crate) fn new(bus: usize) -> Self {
        Self { points: Points::default(), bus }
    }

    /// Notes a frame with what became of it.
    pub(crate) fn observe(&mut self, image: &TableImage, frame: &[u8], outcome: &Outcome) {
        let name = outcome.verdict.name();
        let Some((family, start)) = family(frame) else {
            self.points.meet(format!("{name} of another EtherType"));
            return;
        };
        self.points.meet(format!("{name} of {family}"));
        self.boundaries(family, &frame[start..], outcome.verdict);
        let residue = outcome.output.len() % self.bus;
        match outcome.verdict.egress() {
            Egress::Wire => self.points.meet(format!("wire {residue}")),
            Egress::Host => self.points.meet(format!("host {residue}")),
            Egress::Nowhere => {}
        }
        if outcome.verdict != Verdict::Forward {
            return;
        }
        let row = &image.backends[usize::from(outcome.backend)];
        let outer = if row.encapsulation == BackendRow::ENCAPSULATION_GRE_IPV6 { 40 } else { 20 };
        let keyed = outcome.output[start + outer] & 0x20 != 0;
        let tagged = start == 18;
        self.points.meet(format!("{family} in {outer} bytes, tagged {tagged}, keyed {keyed}"));
        let packet = &frame[start..];
        let (protocol, body) = if family == "IPv4" { (packet[9], 20) } else { (packet[6], 40) };
        if protocol == 1 || protocol == 58 {
            self.points.meet(format!("{family} error {} steered", packet[body]));
        }
    }

    /// Lengths at which a check changes its mind, and one byte on the other side.
    fn boundaries(&mut self, family: &str, packet: &[u8], verdict: Verdict) {
        let header = if family == "IPv4" { 20 } else { 40 };
        for len in [header - 1, header] {
            if packet.len() == len {
                self.points.meet(format!("{family} cut to {len} bytes"));
            }
        }
        if packet.len() < header || verdict.code() == Verdict::DropIpVersion.code() {
            return;
        }
        let field = |at: usize| usize::from(u16::from_be_bytes([packet[at], packet[at + 1]]));
        let (total, protocol) = if family == "IPv4" { (field(2), packet[9]) } else { (40 + field(4), packet[6]) };
        let least = match protocol {
            6 => 20,
            17 => 8,
            1 | 58 => header + 12,
            _ => return,
        };
        let reached = [Verdict::Forward, Verdict::DropL4Truncated, Verdict::PassIcmp, Verdict::PassNoService];
        for len in [least - 1, least] {
            if reached.contains(&verdict) && total == header + len {
                self.points.meet(format!("{family} protocol {protocol} of {len} bytes"));
            }
        }
    }

    /// What a campaign of generated frames has to meet.
    pub(crate) fn wanted(bus: usize) -> Vec<String> {
        let mut wanted = Vec::new();
        for family in ["IPv4", "IPv6"] {
            for &verdict in Verdict::ALL {
                let only_v4 = [Verdict::DropIpHeaderLength, Verdict::PassIpv4Options, Verdict::DropIpv4Checksum];
                let elsewhere = [Verdict::PassBypass, Verdict::PassUnsupported, Verdict::PassNotIp];
                // Services that are off or have nobody are IPv6 in these tables.
                let only_v6 = [Verdict::DropServiceDisabled, Verdict::DropNoBackend];
                let other = if family == "IPv4" { &only_v6[..] } else { &only_v4[..] };
                if !elsewhere.contains(&verdict) && !other.contains(&verdict) {
                    wanted.push(format!("{} of {family}", verdict.name()));
                }
            }
            let (header, errors, icmp) =
                if family == "IPv4" { (20, &[3, 11, 12][..], 1) } else { (40, &[1, 2, 3, 4][..], 58) };
            wanted.extend(errors.iter().map(|kind| format!("{family} error {kind} steered")));
            wanted.extend([header - 1, header].map(|len| format!("{family} cut to {len} bytes")));
            for (protocol, least) in [(6, 20), (17, 8), (icmp, header + 12)] {
                wanted.extend([least - 1, least].map(|len| format!("{family} protocol {protocol} of {len} bytes")));
            }
            for outer in [20, 40] {
                for (tagged, keyed) in [(false, false), (false, true), (true, false), (true, true)] {
                    wanted.push(format!("{family} in {outer} bytes, tagged {tagged}, keyed {keyed}"));
                }
            }
        }
        wanted.push("pass_not_ip of another EtherType".to_owned());
        wanted.push("pass_other_mac of another EtherType".to_owned());
        wanted.extend((0..bus).flat_map(|residue| [format!("wire {residue}"), format!("host {residue}")]));
        wanted
    }
}

/// Points of the flow table, from the entries of its first sets.
#[derive(Default)]
pub(crate) struct FlowCoverage {
    pub(crate) points: Points,
    /// Frames of each set that reached the flow table: number and hash, the latest last.
    recent: Vec<(u64, u64)>,
    number: u64,
}

impl FlowCoverage {
    /// Notes a frame: the entries of `set` before and after it.
    pub(crate) fn observe(&mut self, sets: u64, before: &[u64], after: &[u64], outcome: &Outcome, steered: bool) {
        self.number += 1;
        let first = usize::try_from(outcome.hash % sets * 8).unwrap();
        if steered {
            let known = (first..first + 8).any(|at| before[at] >> 24 == outcome.hash >> 24 && before[at] & 3 != 0);
            self.points.meet(format!("error about a flow that is known {known}"));
        }
        if outcome.flow == FlowOutcome::NotReached {
            return;
        }
        for (number, hash) in self.recent.iter().rev().take(8) {
            let distance = self.number - number;
            if distance <= 4 && hash % sets == outcome.hash % sets {
                let whom = if *hash == outcome.hash { "itself" } else { "another flow" };
                self.points.meet(format!("meets {whom} {distance} ahead"));
            }
        }
        self.recent.push((self.number, outcome.hash));
        for way in 0..8 {
            let (old, new) = (before[first + way], after[first + way]);
            if old == new {
                continue;
            }
            self.points.meet(format!("way {way} written"));
            let state = |entry: u64| ["empty", "new", "established", "closing"][usize::from((entry & 3) as u8)];
            if old >> 24 == new >> 24 || old == 0 {
                self.points.meet(format!("{} to {}", state(old), state(new)));
            } else {
                self.points.meet(format!("{} evicted", state(old)));
            }
        }
    }

    /// What a campaign of colliding flows has to meet.
    pub(crate) fn wanted() -> Vec<String> {
        let mut wanted: Vec<String> = (0..8).map(|way| format!("way {way} written")).collect();
        let texts = [
            "empty to new",
            "new to new",
            "new to established",
            "new to closing",
            "established to established",
            "established to closing",
            "closing to closing",
            "closing to new",
            "new evicted",
            "closing evicted",
            "error about a flow that is known true",
            "error about a flow that is known false",
        ];
        wanted.extend(texts.map(str::to_owned));
        for distance in 1..=4 {
            wanted.extend(["itself", "another flow"].map(|whom| format!("meets {whom} {distance} ahead")));
        }
        wanted
    }
}
