//! The first difference between two engines, told so that a person can act on it.

use std::fmt;

use maglane_spec::counter::PacketsBytes;
use maglane_spec::wire::{ethernet, gre, ipv4, ipv6};
use maglane_spec::{FlowOutcome, Stage, Verdict, flow};
use maglane_sw::engine::{Counters, FlowState, Outcome};

/// What two engines disagree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Number of the frame in the capture, from 1; none when the counters differ after equal frames.
    pub frame: Option<u64>,
    /// The earliest stage that can have made the difference.
    pub stage: Option<Stage>,
    /// Name of what differs.
    pub field: String,
    /// Engine and value that the others are held against.
    pub expected: (String, String),
    /// Engine and value that differ.
    pub found: (String, String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.frame {
            Some(frame) => write!(f, "frame {frame}: {}", self.field)?,
            None => write!(f, "after the last frame: {}", self.field)?,
        }
        if let Some(stage) = self.stage {
            write!(f, " (stage {})", stage.name())?;
        }
        let width = self.expected.0.len().max(self.found.0.len());
        write!(f, "\n  {:width$}  {}", self.expected.0, self.expected.1)?;
        write!(f, "\n  {:width$}  {}", self.found.0, self.found.1)
    }
}

/// The first difference of two outcomes in stage order: a wrong decision is named before its consequences.
#[must_use]
pub fn of_outcomes(names: (&str, &str), frame: u64, a: &Outcome, b: &Outcome) -> Option<Difference> {
    if a == b {
        return None;
    }
    let mut found: Vec<(Stage, String, String, String)> = Vec::new();
    if a.verdict != b.verdict {
        let stage = a.verdict.stage().min(b.verdict.stage());
        found.push((stage, "verdict".into(), a.verdict.name().into(), b.verdict.name().into()));
    }
    if a.service != b.service {
        found.push((Stage::Classify, "service id".into(), id(a.service), id(b.service)));
    }
    if a.hash != b.hash {
        found.push((Stage::FlowHash, "flow hash".into(), format!("{:#018x}", a.hash), format!("{:#018x}", b.hash)));
    }
    if a.flow != b.flow {
        found.push((Stage::Select, "flow table".into(), a.flow.name().into(), b.flow.name().into()));
    }
    if a.backend != b.backend {
        found.push((Stage::Select, "backend id".into(), id(a.backend), id(b.backend)));
    }
    if a.output != b.output {
        found.push(of_bytes(a, b));
    }
    let (stage, field, expected, found) = found.into_iter().min_by_key(|(stage, ..)| *stage)?;
    Some(Difference {
        frame: Some(frame),
        stage: Some(stage),
        field,
        expected: (names.0.to_owned(), expected),
        found: (names.1.to_owned(), found),
    })
}

/// The first difference of two engines' counters.
#[must_use]
pub fn of_counters(names: (&str, &str), a: &Counters, b: &Counters) -> Option<Difference> {
    let sets = [
        ("verdict", &a.verdicts, &b.verdicts),
        ("flow outcome", &a.flows, &b.flows),
        ("service", &a.services, &b.services),
        ("backend", &a.backends, &b.backends),
    ];
    for (set, a, b) in sets {
        let index = (0..a.len().max(b.len())).find(|&index| a.get(index) != b.get(index));
        if let Some(index) = index {
            let code = u8::try_from(index).ok();
            let name = match set {
                "verdict" => code.and_then(Verdict::from_code).map(Verdict::name),
                "flow outcome" => code.and_then(FlowOutcome::from_code).map(FlowOutcome::name),
                _ => None,
            };
            let entry = name.map_or_else(|| index.to_string(), str::to_owned);
            return Some(Difference {
                frame: None,
                stage: None,
                field: format!("counter of {set} {entry}"),
                expected: (names.0.to_owned(), count(a.get(index))),
                found: (names.1.to_owned(), count(b.get(index))),
            });
        }
    }
    None
}

/// The first difference of what two engines remember.
#[must_use]
pub fn of_flow_states(names: (&str, &str), a: &FlowState, b: &FlowState) -> Option<Difference> {
    let difference = |field: String, expected: String, found: String| {
        Some(Difference {
            frame: None,
            stage: Some(Stage::Select),
            field,
            expected: (names.0.to_owned(), expected),
            found: (names.1.to_owned(), found),
        })
    };
    if a.tick != b.tick {
        return difference("tick".into(), a.tick.to_string(), b.tick.to_string());
    }
    let entries = 0..a.entries.len().max(b.entries.len());
    if let Some(index) = entries.clone().find(|&index| a.entries.get(index) != b.entries.get(index)) {
        let field = format!("flow table, set {}, way {}", index / flow::WAYS, index % flow::WAYS);
        return difference(field, entry(a.entries.get(index)), entry(b.entries.get(index)));
    }
    let services = 0..a.sequence.len().max(b.sequence.len());
    let service = services.into_iter().find(|&index| a.sequence.get(index) != b.sequence.get(index))?;
    let turn = |turns: &[u16]| turns.get(service).map_or_else(|| "missing".into(), u16::to_string);
    difference(format!("turn of service {service}"), turn(&a.sequence), turn(&b.sequence))
}

/// The first difference of the live flows that two engines count.
#[must_use]
pub fn of_live_flows(names: (&str, &str), a: &[u32], b: &[u32]) -> Option<Difference> {
    let backend = (0..a.len().max(b.len())).find(|&backend| a.get(backend) != b.get(backend))?;
    let flows = |live: &[u32]| live.get(backend).map_or_else(|| "missing".into(), u32::to_string);
    Some(Difference {
        frame: None,
        stage: Some(Stage::Select),
        field: format!("live flows of backend {backend}"),
        expected: (names.0.to_owned(), flows(a)),
        found: (names.1.to_owned(), flows(b)),
    })
}

/// An entry of the flow table in words.
fn entry(entry: Option<&u64>) -> String {
    let Some(&entry) = entry else { return "missing".into() };
    let state = match (entry & 3) as u8 {
        flow::STATE_EMPTY => "empty",
        flow::STATE_NEW => "new",
        flow::STATE_ESTABLISHED => "established",
        _ => "closing",
    };
    let epoch = (entry >> flow::EPOCH_SHIFT) & u64::from(flow::TICKS - 1);
    let backend = (entry >> flow::BACKEND_SHIFT) & 0xffff;
    format!("{state}, tag {:#012x}, backend {backend}, epoch {epoch}", entry >> flow::TAG_SHIFT)
}

fn of_bytes(a: &Outcome, b: &Outcome) -> (Stage, String, String, String) {
    let shared = a.output.iter().zip(&b.output).position(|(a, b)| a != b);
    let Some(offset) = shared else {
        let lengths = [&a.output, &b.output].map(|output| format!("{} bytes", output.len()));
        let [a, b] = lengths;
        return (Stage::Rewrite, "length of the frame that leaves".into(), a, b);
    };
    let name = if a.verdict == Verdict::Forward { byte_name(&a.output, offset) } else { "passed frame".into() };
    let around = |output: &[u8]| {
        let start = offset & !3;
        let end = output.len().min(start + 8);
        let bytes: Vec<String> = output[start..end].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{:02x}, from byte {start}: {}", output[offset], bytes.join(" "))
    };
    (Stage::Rewrite, format!("byte {offset} of the frame that leaves, {name}"), around(&a.output), around(&b.output))
}

/// The name of a byte of an encapsulated frame.
fn byte_name(frame: &[u8], offset: usize) -> String {
    let tagged = frame.get(ethernet::ETHERTYPE..ethernet::ETHERTYPE + 2) == Some(&ethernet::TPID.to_be_bytes()[..]);
    let outer = if tagged { ethernet::HEADER_LEN + ethernet::TAG_LEN } else { ethernet::HEADER_LEN };
    let is_ipv6 = frame.get(outer - 2..outer) == Some(&ethernet::ETHERTYPE_IPV6.to_be_bytes()[..]);
    let gre_start = outer + if is_ipv6 { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN };
    let keyed = frame.get(gre_start..gre_start + 2) == Some(&gre::FLAG_KEY.to_be_bytes()[..]);
    let inner = gre_start + gre::HEADER_LEN + if keyed { gre::KEY_LEN } else { 0 };
    match offset {
        0..6 => "destination MAC".into(),
        6..12 => "source MAC".into(),
        _ if offset < outer => "EtherType or tag".into(),
        _ if offset < gre_start && is_ipv6 => format!("outer IPv6 {}", ipv6_field(offset - outer)),
        _ if offset < gre_start => format!("outer IPv4 {}", ipv4_field(offset - outer)),
        _ if offset < gre_start + gre::HEADER_LEN => "GRE flags or protocol".into(),
        _ if offset < inner => "GRE key".into(),
        _ => format!("byte {} of the inner packet", offset - inner),
    }
}

fn ipv4_field(offset: usize) -> &'static str {
    match offset {
        ipv4::VERSION_IHL => "version and IHL",
        ipv4::DSCP_ECN => "DSCP and ECN",
        _ if offset < ipv4::IDENTIFICATION => "total length",
        _ if offset < ipv4::FRAGMENT => "identification",
        _ if offset < ipv4::TTL => "flags and fragment offset",
        ipv4::TTL => "time to live",
        ipv4::PROTOCOL => "protocol",
        _ if offset < ipv4::SOURCE => "header checksum",
        _ if offset < ipv4::DESTINATION => "source address",
        _ => "destination address",
    }
}

fn ipv6_field(offset: usize) -> &'static str {
    match offset {
        _ if offset < ipv6::PAYLOAD_LENGTH => "version, traffic class or flow label",
        _ if offset < ipv6::NEXT_HEADER => "payload length",
        ipv6::NEXT_HEADER => "next header",
        ipv6::HOP_LIMIT => "hop limit",
        _ if offset < ipv6::DESTINATION => "source address",
        _ => "destination address",
    }
}

fn id(value: u16) -> String {
    if value == u16::MAX { "none".into() } else { value.to_string() }
}

fn count(value: Option<&PacketsBytes>) -> String {
    value.map_or_else(|| "missing".into(), |value| format!("{} packets, {} bytes", value.packets, value.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded() -> Outcome {
        let mut output = vec![0; 60];
        output[12..14].copy_from_slice(&[8, 0]);
        Outcome { verdict: Verdict::Forward, service: 1, hash: 2, flow: FlowOutcome::Hit, backend: 3, output }
    }

    #[test]
    fn equal_outcomes_have_no_difference() {
        assert_eq!(of_outcomes(("a", "b"), 1, &forwarded(), &forwarded()), None);
    }

    #[test]
    fn earliest_stage_is_named() {
        let a = forwarded();
        let b = Outcome { hash: 9, backend: 4, ..Outcome::early(Verdict::DropNoBackend) };
        let difference = of_outcomes(("a", "b"), 7, &a, &b).unwrap();
        assert_eq!(difference.stage, Some(Stage::Classify), "the service is missing, which comes first");
        let b = Outcome { hash: 9, output: vec![1], ..a.clone() };
        let difference = of_outcomes(("a", "b"), 7, &a, &b).unwrap();
        assert_eq!((difference.stage, difference.field.as_str()), (Some(Stage::FlowHash), "flow hash"));
        assert_eq!(difference.frame, Some(7));
    }

    #[test]
    fn bytes_are_named_by_their_field() {
        let a = forwarded();
        for (offset, name) in [
            (3, "destination MAC"),
            (14 + 8, "outer IPv4 time to live"),
            (14 + 11, "outer IPv4 header checksum"),
            (14 + 20 + 2, "GRE flags or protocol"),
            (14 + 20 + 4 + 5, "byte 5 of the inner packet"),
        ] {
            let mut b = a.clone();
            b.output[offset] ^= 0x80;
            let difference = of_outcomes(("a", "b"), 1, &a, &b).unwrap();
            assert!(difference.field.ends_with(name), "{}", difference.field);
            assert_eq!(difference.stage, Some(Stage::Rewrite));
        }
    }

    #[test]
    fn bytes_of_an_outer_ipv6_header_are_named_by_their_field() {
        let mut a = forwarded();
        a.output.resize(90, 0);
        a.output[12..18].copy_from_slice(&[0x81, 0, 0, 1, 0x86, 0xdd]);
        a.output[18 + 40] = 0x20;
        for (offset, name) in [
            (17, "EtherType or tag"),
            (18 + 3, "outer IPv6 version, traffic class or flow label"),
            (18 + 4, "outer IPv6 payload length"),
            (18 + 6, "outer IPv6 next header"),
            (18 + 7, "outer IPv6 hop limit"),
            (18 + 23, "outer IPv6 source address"),
            (18 + 39, "outer IPv6 destination address"),
            (18 + 40 + 7, "GRE key"),
            (18 + 40 + 8, "byte 0 of the inner packet"),
        ] {
            assert_eq!(byte_name(&a.output, offset), name, "{offset}");
        }
    }

    #[test]
    fn counters_are_named_by_set_and_entry() {
        let zero = vec![PacketsBytes::default(); 32];
        let a = Counters { verdicts: zero.clone(), flows: zero.clone(), services: zero.clone(), backends: zero };
        let mut b = a.clone();
        b.verdicts[usize::from(Verdict::PassIcmp.code())].bytes = 5;
        assert_eq!(of_counters(("a", "b"), &a, &b).unwrap().field, "counter of verdict pass_icmp");
        let mut b = a.clone();
        b.backends[3].packets = 1;
        assert_eq!(of_counters(("a", "b"), &a, &b).unwrap().field, "counter of backend 3");
    }
}
