//! How select chose the backend: what the flow table had, which slots of the lookup table answered, what was written.

mod entry;
mod lookup;

use maglane_spec::flow::WAYS;
use maglane_spec::row::ServiceRow;
use maglane_spec::{FlowOutcome, TableImage, Verdict};
use maglane_sw::flow_table::FlowTable;
use maglane_sw::stage::flow_hash::{FlowHash, affinity};
use maglane_sw::stage::parse::Parsed;
use maglane_sw::stage::select::{Selection, backend, is_hit};
use serde::Serialize;

use super::name::{Named, Names, backend_state};
use super::page::{Page, Tone};
use crate::command::replay::READ_ONLY;
use crate::output::{counted, thousands};
use entry::{Held, refused};
use lookup::Lookup;

/// All that select was given, what it said, and what it left behind.
pub(super) struct Sight<'a> {
    pub(super) names: &'a Names,
    pub(super) image: &'a TableImage,
    pub(super) service: &'a ServiceRow,
    pub(super) parsed: &'a Parsed,
    pub(super) hash: FlowHash,
    /// Ticks that passed before the frame.
    pub(super) tick_step: u64,
    /// The flow table that the frame found.
    pub(super) before: &'a FlowTable,
    /// The set of the frame in it as it is afterwards.
    pub(super) after: &'a FlowTable,
    pub(super) turns_before: &'a [u16],
    pub(super) turns_after: &'a [u16],
    pub(super) selection: Selection<'a>,
}

/// When a flow was seen last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) frame: u64,
    pub(crate) time_ns: u64,
    /// Ticks that the clock had made.
    pub(crate) ticks: u64,
    pub(crate) flow: FlowOutcome,
    pub(crate) backend: u16,
}

/// The flow's last frame before this one, as far as it reached the flow table.
#[derive(Debug, Serialize)]
pub(crate) struct Previous {
    frame: u64,
    /// How long ago; 0 when time went back.
    before_ns: u64,
    before_ticks: u64,
    outcome: &'static str,
    backend: Option<Named>,
}

/// The choice and its reasons.
#[derive(Debug, Serialize)]
pub(super) struct Select {
    /// The row's code that this pipeline does not know; then nothing else was looked at.
    unsupported: Option<String>,
    table: Table,
    previous: Option<Previous>,
    /// The flow's entry, if it is live.
    entry: Option<Candidate>,
    /// What the lookup table answered, on a miss.
    lookup: Option<Lookup>,
    written: Option<Written>,
    /// Why nothing was written.
    unwritten: Option<String>,
    /// What the frame met in the flow table, by the names of the summary.
    outcome: &'static str,
    /// What an ICMP error about the flow, which reads only, found of it: hit, refused, none.
    found: Option<&'static str>,
    backend: Option<Named>,
    /// up, draining, down
    backend_state: Option<&'static str>,
}

/// Where the flow's entry would be.
#[derive(Debug, Serialize)]
struct Table {
    set: usize,
    sets: usize,
    /// Ways that hold a live entry, of 8.
    ways_live: usize,
    /// Hexadecimal, 10 digits.
    tag: String,
    tick: u8,
    tick_step: u64,
    /// Of states new, established, closing, in ticks.
    timeouts: [u8; 3],
}

/// The flow's entry, and whether it is a hit.
#[derive(Debug, Serialize)]
struct Candidate {
    #[serde(flatten)]
    held: Held,
    hit: bool,
    why: String,
}

/// An entry that was written.
#[derive(Debug, Serialize)]
struct Written {
    /// What the way holds now.
    #[serde(flatten)]
    held: Held,
    /// What it held before, if that was live.
    replaced: Option<Held>,
    /// refresh, reuse, empty, evict
    reason: &'static str,
}

impl Seen {
    /// The same from a later frame's point of view.
    pub(crate) fn from(&self, names: &Names, time_ns: u64, ticks: u64) -> Previous {
        let found = !matches!(self.flow, FlowOutcome::NoBackend);
        Previous {
            frame: self.frame,
            before_ns: time_ns.saturating_sub(self.time_ns),
            before_ticks: ticks.wrapping_sub(self.ticks),
            outcome: self.flow.name(),
            backend: found.then(|| names.backend(self.backend)),
        }
    }
}

impl Select {
    /// Tells a frame's choice.
    pub(super) fn new(sight: &Sight<'_>, previous: Option<Previous>) -> Self {
        let Sight { names, image, service, before, selection, .. } = *sight;
        let h = sight.hash.h;
        let table = Table {
            // What the frame found is an excerpt, in which there is one set.
            set: set_index(image, h),
            sets: image.geometry.flow_sets as usize,
            ways_live: before.set(h).iter().flatten().count(),
            tag: format!("{:010x}", h >> maglane_spec::flow::TAG_SHIFT),
            tick: before.tick(),
            tick_step: sight.tick_step,
            timeouts: image.datapath.timeout_ticks.map(|ticks| ticks.min(maglane_spec::limit::TIMEOUT_TICKS_MAX)),
        };
        let supported = selection.backend != Err(Verdict::PassUnsupported);
        let entry = if supported { Candidate::new(sight) } else { None };
        let hit = entry.as_ref().is_some_and(|entry| entry.hit);
        let reads_only = supported && sight.parsed.steered;
        let found = match &entry {
            Some(Candidate { hit: true, .. }) => "hit",
            Some(_) => "refused",
            None => "none",
        };
        let written = Written::new(sight);
        let unwritten = if written.is_none() { Some(nothing(sight)) } else { None };
        let backend = selection.backend.ok();
        Self {
            unsupported: (!supported).then(|| unsupported(service)),
            table,
            previous,
            entry,
            lookup: (supported && !hit).then(|| Lookup::new(sight)),
            written,
            unwritten,
            outcome: if reads_only { READ_ONLY } else { selection.flow.name() },
            found: reads_only.then_some(found),
            backend: backend.map(|backend| names.backend(backend.id)),
            backend_state: backend.map(|backend| backend_state(backend.row.state)),
        }
    }

    /// Writes the stage's lines.
    pub(super) fn tell(&self, page: &mut Page) {
        if let Some(unsupported) = &self.unsupported {
            page.toned(Tone::Notice, "service", unsupported);
            return;
        }
        self.table.tell(page);
        match &self.previous {
            None => page.line("seen", "no earlier frame known"),
            Some(previous) => page.line("seen", previous.text()),
        }
        match &self.entry {
            None => {
                let [new, established, closing] = self.table.timeouts;
                let lives = format!("they live for {new} ticks new, {established} established, {closing} closing");
                page.toned(Tone::Notice, "entry", format!("none of this flow is live ({lives})"));
            }
            Some(Candidate { held, hit, why }) => {
                page.line("entry", format!("{}, age {} of {}", held.text(), held.age, held.age_max));
                let tone = if *hit { Tone::Good } else { Tone::Notice };
                page.toned(tone, if *hit { "hit" } else { "no hit" }, why);
            }
        }
        if let Some(lookup) = &self.lookup {
            lookup.tell(page);
        }
        match (&self.written, &self.unwritten) {
            (Some(written), _) => page.line("written", written.text()),
            (None, Some(why)) => page.line("written", format!("nothing: {why}")),
            (None, None) => {}
        }
        let outcome = match self.found {
            None => self.outcome.to_owned(),
            Some("hit") => format!("{}, found the flow's entry", self.outcome),
            Some("refused") => format!("{}, found an entry that is no hit", self.outcome),
            Some(_) => format!("{}, found no entry", self.outcome),
        };
        match (&self.backend, self.backend_state) {
            (Some(backend), Some(state)) => {
                page.toned(Tone::Good, "outcome", format!("{outcome}: {backend}, {state}"));
            }
            _ => page.toned(Tone::Bad, "outcome", format!("{outcome}: nobody takes new flows")),
        }
    }
}

impl Table {
    fn tell(&self, page: &mut Page) {
        let Self { set, sets, ways_live, tag, tick, tick_step, .. } = self;
        let (set, sets) = (thousands(*set), thousands(*sets));
        page.line("flow table", format!("set {set} of {sets}, {ways_live} of {WAYS} ways live, tag 0x{tag}"));
        let step = match tick_step {
            0 => String::new(),
            step => format!(", {} after the frame before", counted(*step, "tick")),
        };
        page.line("tick", format!("{tick} (modulo 64){step}"));
    }
}

impl Previous {
    fn text(&self) -> String {
        let Self { frame, before_ns, before_ticks, outcome, backend } = self;
        let seconds = format!("{}.{:06}", before_ns / 1_000_000_000, before_ns % 1_000_000_000 / 1_000);
        let backend = backend.as_ref().map_or_else(String::new, |backend| format!(", {backend}"));
        let ticks = counted(*before_ticks, "tick");
        format!("frame {frame}, {seconds} s and {ticks} before: {outcome}{backend}")
    }
}

impl Candidate {
    /// The flow's entry, if there is one.
    fn new(sight: &Sight<'_>) -> Option<Self> {
        let Sight { names, image, service, before, parsed, .. } = *sight;
        let candidate = before.candidate(sight.hash.h)?;
        let backend = backend(image, candidate.backend);
        let held = Held::of_way(sight, before, candidate.way)?;
        let hit = is_hit(candidate, backend.row, service, parsed.flags);
        let why = refused(candidate, backend.row, service, parsed.flags, names).unwrap_or_else(|| {
            let owner = names.service(service.id.value());
            format!("it belongs to {owner} and is {}", backend_state(backend.row.state))
        });
        Some(Self { held, hit, why })
    }
}

impl Written {
    /// The entry that select wrote.
    fn new(sight: &Sight<'_>) -> Option<Self> {
        let (before, after) = (sight.before.set(sight.hash.h), sight.after.set(sight.hash.h));
        if !matches!(sight.selection.flow, FlowOutcome::Hit | FlowOutcome::Inserted) {
            return None;
        }
        // An entry that is written as it was is the flow's own.
        let own = sight.before.candidate(sight.hash.h).map(|candidate| candidate.way);
        let way = (0..WAYS).find(|&way| before[way] != after[way]).or(own)?;
        let replaced = Held::of_way(sight, sight.before, way);
        let reason = match (&replaced, own) {
            _ if sight.selection.flow == FlowOutcome::Hit => "refresh",
            (_, Some(_)) => "reuse",
            (None, _) => "empty",
            (Some(_), _) => "evict",
        };
        Some(Self { held: Held::of_way(sight, sight.after, way)?, replaced, reason })
    }

    fn text(&self) -> String {
        let Self { held, replaced, reason } = self;
        let was = match (replaced, *reason) {
            (Some(was), "refresh") if was.state == held.state && was.age == 0 => "as it was".to_owned(),
            (Some(was), "refresh") => format!("was {}, age {}", was.state, was.age),
            (Some(was), "reuse") => {
                format!("in place of its old entry: {}, {}, age {}", was.state, was.backend, was.age)
            }
            (Some(was), _) => {
                format!("in place of another flow's: {}, {}, age {}", was.state, was.backend, was.age)
            }
            (None, _) => "the way was empty".to_owned(),
        };
        format!("{}, age {} ({was})", held.text(), held.age)
    }
}

/// The set of the flow with hash `h`: `h` modulo the number of sets.
fn set_index(image: &TableImage, h: u64) -> usize {
    (h & 0xffff_ffff & u64::from(image.geometry.flow_sets - 1)) as usize
}

/// Why a frame left the flow table as it was.
fn nothing(sight: &Sight<'_>) -> String {
    let flags = sight.parsed.flags;
    match sight.selection.flow {
        _ if sight.parsed.steered => "an error about a flow only reads".to_owned(),
        FlowOutcome::Stateless if flags.rst => "a segment with RST makes no entry".to_owned(),
        FlowOutcome::Stateless => "a segment with FIN makes no entry".to_owned(),
        FlowOutcome::TableFull => "no way is empty, new, or closing for 2 ticks".to_owned(),
        FlowOutcome::NoBackend => "there is no backend to note".to_owned(),
        _ => "the flow table was not looked at".to_owned(),
    }
}

/// Which code of a service's row is not known.
fn unsupported(service: &ServiceRow) -> String {
    if service.selection > ServiceRow::SELECTION_SEQUENCE {
        return format!("selection code {} of its row is not known to this pipeline", service.selection);
    }
    format!("affinity code {} of its row is not known to this pipeline", affinity(service))
}
