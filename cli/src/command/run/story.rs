//! What became of a live frame, in the words of `maglane replay --trace`, and what replay has not: which worker had it, what
//! the slow path made of it, whether the kernel has it.

use std::collections::HashMap;

use maglane_spec::{Egress, FlowOutcome};
use maglane_sw::engine::Frame;
use maglane_sw::slow::Fate;
use serde::Serialize;

use super::lookout::Sighting;
use crate::args::Mode;
use crate::command::trace::{Names, Page, Record, Seen, Stages, Tone};
use crate::output::counted;

/// Flows whose last frame is remembered; one more, and all are forgotten.
const SEEN_MAX: usize = 1 << 16;
/// Nanoseconds of a millisecond.
const MS_NS: u64 = 1_000_000;

/// Who tells frames, one after the other.
#[derive(Debug)]
pub(super) struct Narrator {
    mode: Mode,
    /// Frames told so far.
    frames: u64,
    /// The tick of the last one, counted from the beginning.
    ticks: u64,
    /// The last one of each flow, by h.
    seen: HashMap<u64, Seen>,
}

/// A frame's whole way.
#[derive(Debug, Serialize)]
pub(super) struct Story {
    /// From 0.
    worker: usize,
    /// `frame` is its number among those told, `time_ns` is since the run began.
    #[serde(flatten)]
    record: Record,
    /// None when the slow path does not look at frames with this verdict; `held` while a piece waits for the first one of
    /// its datagram.
    slow_path: Option<&'static str>,
    /// Whether it was left to the kernel.
    kernel: bool,
    #[serde(skip)]
    mode: Mode,
    /// What the stages, asked afterwards, say otherwise than the pipeline did.
    differs: Option<&'static str>,
    #[serde(skip)]
    heading: String,
}

impl Narrator {
    /// One of frames that are had from an interface in this way.
    pub(super) fn new(mode: Mode) -> Self {
        Self { mode, frames: 0, ticks: 0, seen: HashMap::new() }
    }

    /// Tells a frame.
    pub(super) fn tell(&mut self, sighting: Sighting, names: &Names) -> Story {
        let Sighting { worker, time_ns, bytes, image, met, trace, out, fate, egress, .. } = sighting;
        self.frames += 1;
        let number = self.frames;
        let ticks = time_ns.checked_div(u64::from(image.datapath.tick_ms.value()) * MS_NS).unwrap_or_default();
        let tick_step = if number == 1 { 0 } else { ticks.saturating_sub(self.ticks) };
        self.ticks = self.ticks.max(ticks);
        let mut record = Record::new(number, &Frame { time_ns, bytes: &bytes });
        let stages = Stages { image: &image, names, tick_step };
        // Who noted the frame asked the same stages for its hash; where they say none, nobody asks what was met.
        let met = |_| met.unwrap_or_else(|| (maglane_sw::flow_table::FlowTable::new(1), vec![0]));
        let seen = |h| self.seen.get(&h).map(|seen| seen.from(names, time_ns, self.ticks));
        let told = stages.ask(&bytes, &mut record, met, seen);
        let left = match trace.verdict.egress() {
            Egress::Wire => out.len(),
            Egress::Host => bytes.len(),
            Egress::Nowhere => 0,
        };
        record.end(trace.verdict, left);
        if trace.flow != FlowOutcome::NotReached {
            if self.seen.len() >= SEEN_MAX {
                self.seen.clear();
            }
            let seen = Seen { frame: number, time_ns, ticks: self.ticks, flow: trace.flow, backend: trace.backend };
            self.seen.insert(trace.hash, seen);
        }
        let (second, micro) = (time_ns / 1_000_000_000, time_ns / 1_000 % 1_000_000);
        Story {
            worker,
            record,
            slow_path: fate.map(|fate| fate.map_or("held", Fate::name)),
            kernel: egress == Egress::Host,
            mode: self.mode,
            differs: told.difference(&trace, &out),
            heading: format!(
                "frame {number}, {second}.{micro:06} s, worker {worker}, {}",
                counted(bytes.len(), "byte")
            ),
        }
    }
}

impl Story {
    /// The text for a person.
    pub(super) fn text(&self, coloured: bool) -> String {
        let mut page = Page::new(coloured);
        page.heading(&self.heading);
        self.record.tell(&mut page);
        page.stage("host");
        if let Some(fate) = self.slow_path {
            page.line("slow path", format!("{fate}: {}", in_words(fate)));
        }
        let kernel = match (self.kernel, self.mode) {
            (true, _) => "it is left to the kernel",
            (false, Mode::AfPacket) => "it has a copy, as of every frame, and nothing to do with it",
            (false, Mode::AfXdp) => "it does not get the frame",
        };
        page.line("kernel", kernel);
        if let Some(differs) = self.differs {
            page.toned(
                Tone::Bad,
                "differs",
                format!(
                    "the {differs} above is not what the pipeline had: another worker changed the flow's set, or the \
                     tables were read again, while this frame was on its way; verdict and host are the pipeline's"
                ),
            );
        }
        page.finish()
    }
}

/// What a fate means for the frame.
fn in_words(fate: &str) -> &'static str {
    match Fate::ALL.iter().find(|own| own.name() == fate) {
        None => "a piece that waits for the first one of its datagram, for a second at most",
        Some(fate) => match fate {
            Fate::Passed => "nothing that it answers, cuts or keeps together",
            Fate::FragmentForwarded => "it went to its datagram's backend",
            Fate::FragmentMalformed => "no datagram has such a piece; it goes nowhere",
            Fate::FragmentTiny => "the transport header is not whole in the first piece; it goes nowhere",
            Fate::FragmentConflict => "its ports are not those of the first piece before it; it goes nowhere",
            Fate::FragmentUnwanted => "no service takes its datagram; it goes nowhere",
            Fate::FragmentServiceDisabled => "its service is disabled; it goes nowhere",
            Fate::FragmentNoBackend => "its service has no backend, or its datagram's has gone; it goes nowhere",
            Fate::FragmentLate => "it waited in vain",
            Fate::FragmentEvicted => "it made room for others",
            Fate::FragmentOverfull => "too many pieces of its datagram wait already; it goes nowhere",
            Fate::TooBigAnswered => "its source was told which size fits",
            Fate::TooBigLimited => "too many sources were told which size fits in this second; it goes nowhere",
            Fate::TooBigFragmented => "it went to its backend in pieces",
            Fate::TooBigLost => "it fits in no tunnel, and nothing may be said about it; it goes nowhere",
            Fate::EchoAnswered => "the ping was answered",
            Fate::EchoLimited => "too many pings were answered in this second; it goes nowhere",
            Fate::Unsent => "what there was to send had no room; it goes nowhere",
        },
    }
}
