//! `maglane replay --trace`: what each stage was given, what it decided, and why, frame by frame.
//!
//! The pipeline processes every frame; beside it, the stages that the pipeline calls are asked once more, with the state
//! that the frame finds, and what they say is put into words. Where the two should differ, the command ends with an error:
//! a trace that is not the pipeline's way is worth nothing. Its unit of work is one frame.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use anyhow::{Result, bail};
use maglane_spec::{FlowOutcome, TableImage, Verdict};
use maglane_sw::Pipeline;
use maglane_sw::engine::Frame;
use maglane_sw::io::capture::{Capture, CaptureWriter};
use maglane_table::{Config, Ids};

use super::{image, note_on_next_hops};
use crate::args::{FrameRange, ReplayArgs};
use crate::command::trace::{Met, Names, Record, Seen, Stages, Told};
use crate::input;
use crate::output::{Console, counted, thousands};
/// Runs the command.
pub(super) fn run(args: &ReplayArgs) -> Result<bool> {
    if args.engine != crate::args::Kind::Software {
        bail!("--trace looks into engine `software`; that the others do the same is what `maglane verify` finds out");
    }
    let config = input::config(&args.config)?;
    let mut tracer = Tracer::new(&config, image(&config, args)?)?;
    let capture = Capture::open(&args.input)?;
    let mut writer = None;
    if let Some(out) = &args.out {
        input::check_output(out, &[&args.input, &args.config])?;
        writer = Some(CaptureWriter::create(out)?);
    }
    let chosen = args.frames.unwrap_or(FrameRange { first: 1, last: u64::MAX });
    // Without an output, nobody needs the frames behind the last one that is traced.
    let last = if writer.is_some() { u64::MAX } else { chosen.last };
    check(&capture, chosen, last)?;
    note_on_next_hops(&config, args);

    let mut console = Console::new();
    for (number, frame) in (1..=last).zip(capture.frames()) {
        let frame = frame?;
        let verdict = if (chosen.first..=chosen.last).contains(&number) {
            let record = tracer.trace(number, &frame)?;
            let verdict = record.verdict();
            if args.json {
                console.json_line(&record)?;
            } else {
                write!(console, "{}", record.text(console.is_coloured()))?;
            }
            verdict
        } else {
            tracer.pass(number, &frame)
        };
        if let Some(writer) = &mut writer
            && verdict == Verdict::Forward
        {
            writer.write(&Frame { time_ns: frame.time_ns, bytes: &tracer.out })?;
        }
    }
    if let (Some(writer), Some(out)) = (writer, &args.out) {
        let forwarded = counted(writer.finish()?, "forwarded frame");
        if !args.json {
            writeln!(console, "{}: {forwarded}", out.display())?;
        }
    }
    Ok(true)
}

/// Finds what is wrong with the capture before anything is printed.
fn check(capture: &Capture<'_>, chosen: FrameRange, last: u64) -> Result<()> {
    let mut count = 0;
    for (number, frame) in (1..=last).zip(capture.frames()) {
        frame?;
        count = number;
    }
    // A capture without frames has a trace without frames, unless someone asks for one.
    if chosen.first > count.max(1) || (count == 0 && chosen.last != u64::MAX) {
        bail!("--frames begins at {}, but there are {}", thousands(chosen.first), counted(count, "frame"));
    }
    Ok(())
}

/// Flows whose last frame is remembered; one more, and all are forgotten: a capture may have any number.
const SEEN_MAX: usize = 1 << 20;

/// The pipeline, and who watches it.
struct Tracer {
    pipeline: Pipeline,
    image: Arc<TableImage>,
    names: Names,
    /// What left with the last frame, if it left.
    out: Vec<u8>,
    /// Ticks so far.
    ticks: u64,
    /// The last frame of each flow, by h: when an entry is gone, this tells since when.
    seen: HashMap<u64, Seen>,
}

impl Tracer {
    fn new(config: &Config, image: TableImage) -> Result<Self> {
        let image = Arc::new(image);
        let mut pipeline = Pipeline::new(image.geometry);
        pipeline.load_shared(Arc::clone(&image))?;
        Ok(Self {
            pipeline,
            image,
            names: Names::of(&Ids::fresh(config)),
            out: Vec::new(),
            ticks: 0,
            seen: HashMap::new(),
        })
    }

    /// Processes a frame that nobody asks about.
    fn pass(&mut self, number: u64, frame: &Frame<'_>) -> Verdict {
        self.advance(number, frame);
        self.process(number, frame).verdict
    }

    /// Moves the tick to a frame's, and yields how far; the first frame's is where it starts.
    fn advance(&mut self, number: u64, frame: &Frame<'_>) -> u64 {
        let ticks = self.pipeline.advance(frame.time_ns);
        let step = if number == 1 { 0 } else { ticks };
        self.ticks += step;
        step
    }

    /// Lets the pipeline process a frame, and remembers whose it was.
    fn process(&mut self, number: u64, frame: &Frame<'_>) -> maglane_sw::Trace {
        let done = self.pipeline.process_frame(frame.time_ns, frame.bytes, &mut self.out);
        if done.flow != FlowOutcome::NotReached {
            let Frame { time_ns, .. } = *frame;
            let seen = Seen { frame: number, time_ns, ticks: self.ticks, flow: done.flow, backend: done.backend };
            if self.seen.len() >= SEEN_MAX {
                self.seen.clear();
            }
            self.seen.insert(done.hash, seen);
        }
        done
    }

    /// Processes a frame and tells its way.
    fn trace(&mut self, number: u64, frame: &Frame<'_>) -> Result<Record> {
        let mut record = Record::new(number, frame);
        let tick_step = self.advance(number, frame);
        let told = self.stages(frame, tick_step, &mut record);
        let done = self.process(number, frame);
        if let Some(difference) = self.difference(&told, &done) {
            bail!("frame {number}: the trace and the pipeline differ in {difference}; this is a bug of the trace");
        }
        record.end(done.verdict, self.out.len());
        Ok(record)
    }

    /// What the stages say, asked with the state that the frame will find.
    fn stages(&self, frame: &Frame<'_>, tick_step: u64, record: &mut Record) -> Told {
        let stages = Stages { image: &self.image, names: &self.names, tick_step };
        let met = |h| (self.pipeline.flow_table().excerpt(h), self.pipeline.turns().to_vec());
        let seen = |h| self.seen.get(&h).map(|seen| seen.from(&self.names, frame.time_ns, self.ticks));
        stages.ask(frame.bytes, record, met, seen)
    }

    /// What the stages say otherwise than the pipeline did.
    fn difference(&self, told: &Told, done: &maglane_sw::Trace) -> Option<&'static str> {
        let state = |(flows, turns): &Met| {
            let own = self.pipeline.flow_table();
            (flows.tick(), flows.set(done.hash)) == (own.tick(), own.set(done.hash)) && turns == self.pipeline.turns()
        };
        let same = told.state.as_ref().is_none_or(state);
        told.difference(done, &self.out).or((!same).then_some("state"))
    }
}

#[cfg(test)]
mod tests;
