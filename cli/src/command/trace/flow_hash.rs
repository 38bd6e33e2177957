//! The two hashes of a frame, and over what.

use maglane_spec::row::ServiceRow;
use maglane_sw::stage::flow_hash::{FlowHash, affinity};
use maglane_sw::stage::parse::Parsed;
use serde::Serialize;

use super::page::Page;
use super::parse::Flow;

/// What was hashed to what.
#[derive(Debug, Serialize)]
pub(super) struct Hashes {
    flow: Flow,
    /// The configuration's word; `unknown` for a code that the pipeline does not know.
    affinity: &'static str,
    /// Hexadecimal, 16 digits: more than a JSON number holds.
    h: String,
    g: String,
}

impl Hashes {
    /// Tells a frame's hashes.
    pub(super) fn new(service: &ServiceRow, parsed: &Parsed, FlowHash { h, g }: FlowHash) -> Self {
        let affinity = match affinity(service) {
            ServiceRow::AFFINITY_FIVE_TUPLE => "five-tuple",
            ServiceRow::AFFINITY_CLIENT_PROTOCOL => "client-protocol",
            ServiceRow::AFFINITY_CLIENT => "client",
            _ => "unknown",
        };
        Self { flow: Flow::new(&parsed.tuple, parsed.ipv6), affinity, h: hex(h), g: hex(g) }
    }

    /// Writes the stage's lines.
    pub(super) fn tell(&self, page: &mut Page) {
        page.line("h", format!("0x{}, of {}", self.h, self.flow));
        let over = match self.affinity {
            "client-protocol" => format!("of {}, {}, {}", self.flow.protocol, self.flow.source, self.flow.destination),
            "client" => format!("of {}", self.flow.source),
            _ => "the same".to_owned(),
        };
        page.line("g", format!("0x{}, {over}: affinity {}", self.g, self.affinity));
    }
}

fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}
