//! What each stage was given, what it decided, and why, of one frame: in words and as fields.
//!
//! It decides nothing. Whoever has a frame processed asks here what the stages say of it, with the state that the frame met;
//! the answer is put into a [`Record`], and into [`Told`], to be held against what the frame's pipeline did. Its unit of
//! work is one frame.

mod classify;
#[cfg(target_os = "linux")]
mod filter;
mod flow_hash;
mod name;
mod page;
mod parse;
mod record;
mod refusal;
mod rewrite;
mod select;
mod time;

use maglane_spec::{TableImage, Verdict};
use maglane_sw::flow_table::FlowTable;
use maglane_sw::stage;

#[cfg(target_os = "linux")]
pub(crate) use filter::Filter;
pub(crate) use name::Names;
#[cfg(target_os = "linux")]
pub(crate) use page::{Page, Tone};
pub(crate) use record::Record;
pub(crate) use select::{Previous, Seen};

#[cfg(target_os = "linux")]
pub(crate) use time::date_time;

use classify::Classify;
use flow_hash::Hashes;
use parse::Parse;
use rewrite::Rewrite;
use select::{Select, Sight};

/// Who explains frames of some tables.
pub(crate) struct Stages<'a> {
    pub(crate) image: &'a TableImage,
    pub(crate) names: &'a Names,
    /// Ticks that passed before the frame.
    pub(crate) tick_step: u64,
}

/// What a frame finds: the set of its flow ([`FlowTable::excerpt`]), and the next turns of the services.
pub(crate) type Met = (FlowTable, Vec<u16>);

/// What the stages say about a frame.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) trace: maglane_sw::Trace,
    /// The set of the flow table and the turns as they are afterwards, when select was reached.
    pub(crate) state: Option<Met>,
    /// What leaves.
    pub(crate) out: Vec<u8>,
}

impl Stages<'_> {
    /// Asks the stages in their order, as a pipeline goes through them, on a copy of the state that they change.
    ///
    /// `met` and `previous` yield by h what the frame finds, and when its flow was seen last.
    pub(crate) fn ask(
        &self,
        frame: &[u8],
        record: &mut Record,
        met: impl FnOnce(u64) -> Met,
        previous: impl FnOnce(u64) -> Option<Previous>,
    ) -> Told {
        let mut told = Told { trace: maglane_sw::Trace::BEFORE_PARSE, state: None, out: Vec::new() };
        if let Err(verdict) = self.go(frame, record, met, previous, &mut told) {
            told.trace.verdict = verdict;
        }
        told
    }

    /// Goes on until a stage ends the frame's way.
    fn go(
        &self,
        frame: &[u8],
        record: &mut Record,
        met: impl FnOnce(u64) -> Met,
        previous: impl FnOnce(u64) -> Option<Previous>,
        told: &mut Told,
    ) -> Result<(), Verdict> {
        let &Self { image, names, tick_step } = self;
        let parsed = stage::parse::parse(Some(&image.datapath), frame);
        record.parse = Some(Parse::new(&image.datapath, frame, parsed));
        let parsed = parsed?;

        let service = stage::classify::classify(image, &parsed);
        record.classify = Some(Classify::new(names, image, &parsed, service));
        let service = service.map_err(|refused| {
            told.trace.service = refused.service;
            refused.verdict
        })?;
        told.trace.service = service.id.value();

        let hash = stage::flow_hash::flow_hash(&image.datapath, service, &parsed);
        told.trace.hash = hash.h;
        record.flow_hash = Some(Hashes::new(service, &parsed, hash));

        let (before, turns_before) = met(hash.h);
        let (mut flows, mut turns) = (before.clone(), turns_before.clone());
        let selection = if parsed.steered {
            stage::select::steer(image, &flows, &turns, service, hash)
        } else {
            stage::select::select(image, &mut flows, &mut turns, service, parsed.flags, hash)
        };
        let sight = Sight {
            names,
            image,
            service,
            parsed: &parsed,
            hash,
            tick_step,
            before: &before,
            after: &flows,
            turns_before: &turns_before,
            turns_after: &turns,
            selection,
        };
        record.select = Some(Select::new(&sight, previous(hash.h)));
        told.state = Some((flows, turns));
        told.trace.flow = selection.flow;
        let backend = selection.backend?;
        told.trace.backend = backend.id;

        record.rewrite = Some(Rewrite::new(&image.datapath, service, backend.row, &parsed, hash.h, frame));
        let (out, row) = (&mut told.out, backend.row);
        stage::rewrite::rewrite(&image.datapath, service, row, &parsed, hash.h, frame, out)
    }
}

impl Told {
    /// What the stages say otherwise than a pipeline did, of which `out` left if it forwarded the frame; the state aside.
    pub(crate) fn difference(&self, done: &maglane_sw::Trace, out: &[u8]) -> Option<&'static str> {
        let same = [
            ("verdict", self.trace.verdict == done.verdict),
            ("service", self.trace.service == done.service),
            ("hash", self.trace.hash == done.hash),
            ("flow", self.trace.flow == done.flow),
            ("backend", self.trace.backend == done.backend),
            ("output", done.verdict != Verdict::Forward || self.out == out),
        ];
        same.into_iter().find(|(_, same)| !same).map(|(name, _)| name)
    }
}
