//! A frame's whole way: one record, told to a person as text and to a script as JSON.

use maglane_spec::Verdict;
use maglane_spec::verdict::Egress;
use maglane_sw::engine::Frame;
use serde::Serialize;

use super::classify::Classify;
use super::flow_hash::Hashes;
use super::page::{Page, Tone};
use super::parse::Parse;
use super::rewrite::Rewrite;
use super::select::Select;
use super::time::utc;
use crate::output::counted;

/// What each stage did with a frame; none for those that it did not reach.
#[derive(Debug, Serialize)]
pub(crate) struct Record {
    /// Number in the capture, or among those told, from 1.
    frame: u64,
    /// Since 1970, or since the run began.
    time_ns: u64,
    bytes: usize,
    pub(super) parse: Option<Parse>,
    pub(super) classify: Option<Classify>,
    pub(super) flow_hash: Option<Hashes>,
    pub(super) select: Option<Select>,
    pub(super) rewrite: Option<Rewrite>,
    verdict: Ending,
}

/// How a frame's way ended.
#[derive(Debug, Serialize)]
struct Ending {
    name: &'static str,
    #[serde(skip)]
    verdict: Verdict,
    /// Row of the table in docs/wire-contract.md.
    check: u8,
    /// wire, host, nowhere
    egress: &'static str,
    /// Bytes of the frame that left.
    bytes: usize,
}

impl Record {
    /// A record of a frame that has gone nowhere yet.
    pub(crate) fn new(number: u64, frame: &Frame<'_>) -> Self {
        let verdict = Verdict::Forward;
        let ending = Ending { name: verdict.name(), verdict, check: 0, egress: "", bytes: 0 };
        Self {
            frame: number,
            time_ns: frame.time_ns,
            bytes: frame.bytes.len(),
            parse: None,
            classify: None,
            flow_hash: None,
            select: None,
            rewrite: None,
            verdict: ending,
        }
    }

    /// Notes the verdict, and how many bytes left.
    pub(crate) fn end(&mut self, verdict: Verdict, bytes: usize) {
        let egress = match verdict.egress() {
            Egress::Wire => "wire",
            Egress::Host => "host",
            Egress::Nowhere => "nowhere",
        };
        self.verdict = Ending { name: verdict.name(), verdict, check: self.check(verdict), egress, bytes };
    }

    /// The verdict.
    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict.verdict
    }

    /// The check that ended the frame's way: its row of the table in docs/wire-contract.md.
    fn check(&self, verdict: Verdict) -> u8 {
        match verdict {
            Verdict::Forward => 23,
            Verdict::PassTooBig => 22,
            Verdict::PassUnsupported if self.rewrite.is_some() => 21,
            Verdict::DropNoBackend => 20,
            Verdict::PassUnsupported => 19,
            Verdict::DropServiceDisabled => 18,
            Verdict::PassNoService => 17,
            _ => self.parse.as_ref().and_then(Parse::check).unwrap_or_default(),
        }
    }

    /// The text for a person.
    pub(crate) fn text(&self, coloured: bool) -> String {
        let mut page = Page::new(coloured);
        page.heading(&format!("frame {}, {}, {}", self.frame, utc(self.time_ns), counted(self.bytes, "byte")));
        self.tell(&mut page);
        page.finish()
    }

    /// Writes the lines of all stages, and the verdict's.
    pub(crate) fn tell(&self, page: &mut Page) {
        if let Some(parse) = &self.parse {
            page.stage("parse");
            parse.tell(page);
        }
        if let Some(classify) = &self.classify {
            page.stage("classify");
            classify.tell(page);
        }
        if let Some(hashes) = &self.flow_hash {
            page.stage("flow_hash");
            hashes.tell(page);
        }
        if let Some(select) = &self.select {
            page.stage("select");
            select.tell(page);
        }
        if let Some(rewrite) = &self.rewrite {
            page.stage("rewrite");
            rewrite.tell(page);
        }
        page.stage("verdict");
        let Ending { name, verdict, check, bytes, .. } = self.verdict;
        let (tone, where_to) = match verdict.egress() {
            Egress::Wire => (Tone::Good, format!("to the wire, {}", counted(bytes, "byte"))),
            Egress::Host => (Tone::Notice, "to the host, unchanged".to_owned()),
            Egress::Nowhere => (Tone::Bad, "goes nowhere".to_owned()),
        };
        page.toned(tone, name, where_to);
        page.line("rule", format!("check {check} of docs/wire-contract.md"));
    }
}
