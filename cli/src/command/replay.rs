//! `maglane replay`: a capture through one engine.

mod flows;
mod trace;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Instant;

use anyhow::{Result, bail};
use maglane_spec::counter::PacketsBytes;
use maglane_spec::{Geometry, TableImage, Verdict};
use maglane_sw::engine::{Counters, Engine, Frame};
use maglane_sw::io::capture::{Capture, CaptureWriter};
#[cfg(not(feature = "lab"))]
use maglane_sw::{fast::FastEngine, pipeline::Pipeline};
use maglane_table::{Config, NO_NEXT_HOP};
use serde::Serialize;

use crate::args::{Kind, ReplayArgs};
use crate::input;
use crate::output::{self, Console, counted, thousands};
pub(crate) use flows::{READ_ONLY, ReadOnly};

/// Frames of a batch: memory stays small, whatever the capture's size.
const BATCH: usize = 256;

/// What a script reads.
#[derive(Debug, Serialize)]
struct Report {
    engine: String,
    frames: u64,
    forwarded: u64,
    seconds: f64,
    clocks: Option<u64>,
    out: String,
    verdicts: Counts,
    flows: Counts,
}

/// Packets and bytes by name, those that occurred.
pub(crate) type Counts = BTreeMap<&'static str, Count>;

/// A counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Count {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// Runs the command.
pub(crate) fn run(args: &ReplayArgs) -> Result<bool> {
    if args.trace {
        return trace::run(args);
    }
    // The command line asks for one of the two.
    let Some(out) = &args.out else { bail!("name a capture to write with --out, or ask for the way with --trace") };
    let config = input::config(&args.config)?;
    let image = image(&config, args)?;
    let capture = Capture::open(&args.input)?;
    input::check_output(out, &[&args.input, &args.config])?;
    let mut writer = CaptureWriter::create(out)?;
    let mut engine = start(args, image.geometry)?;
    engine.load(&image)?;
    note_on_next_hops(&config, args);

    let start = Instant::now();
    let (mut frames, mut read_only) = (0, ReadOnly::default());
    let mut batch: Vec<Frame<'_>> = Vec::with_capacity(BATCH);
    let mut captured = capture.frames();
    loop {
        batch.clear();
        for frame in captured.by_ref().take(BATCH) {
            batch.push(frame?);
        }
        if batch.is_empty() {
            break;
        }
        #[cfg(feature = "lab")]
        if !args.engine.is_software() {
            input::refuse_empty_frames(&batch, frames + 1)?;
        }
        frames += batch.len() as u64;
        for (frame, outcome) in batch.iter().zip(engine.process(&batch)?) {
            read_only.add(frame, &outcome);
            if outcome.verdict == Verdict::Forward {
                writer.write(&Frame { time_ns: frame.time_ns, bytes: &outcome.output })?;
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let counters = engine.counters()?;
    let forwarded = writer.finish()?;

    let report = Report {
        engine: engine.name().to_owned(),
        frames,
        forwarded,
        seconds,
        clocks: engine.clocks(),
        out: out.display().to_string(),
        verdicts: verdicts(&counters),
        flows: flows(&counters, read_only),
    };
    let mut console = Console::new();
    if args.json {
        console.json(&report)?;
    } else {
        let clocks = report.clocks.map_or_else(String::new, |clocks| format!(", {} clocks", thousands(clocks)));
        writeln!(console, "{}: {} in {seconds:.3} s{clocks}", report.engine, counted(frames, "frame"))?;
        write!(console, "{}", histogram(&counters, read_only))?;
        writeln!(console, "{}: {}", report.out, counted(forwarded, "forwarded frame"))?;
    }
    Ok(true)
}

/// Builds the tables, with a next hop for backends that the configuration leaves to a machine's neighbour table.
fn image(config: &Config, args: &ReplayArgs) -> Result<TableImage> {
    Ok(config.image_by(|_| Some(args.next_hop_mac.unwrap_or(NO_NEXT_HOP)))?)
}

/// Says that an output has frames that no wire takes to their backend.
fn note_on_next_hops(config: &Config, args: &ReplayArgs) {
    let count = config.without_next_hop().count();
    if count > 0 && args.out.is_some() && args.next_hop_mac.is_none() {
        output::note(&format!(
            "the configuration names no next_hop_mac for {}: their frames are to 00:00:00:00:00:00; --next-hop-mac MAC \
             gives another",
            counted(count, "backend")
        ));
    }
}

/// Packets and bytes by verdict, for a script.
pub(crate) fn verdicts(counters: &Counters) -> Counts {
    counts(by_verdict(counters))
}

/// Packets and bytes by what they met in the flow table, for a script; they add up to all frames.
pub(crate) fn flows(counters: &Counters, read_only: ReadOnly) -> Counts {
    counts(read_only.parts(counters))
}

/// Packets and bytes by verdict, and by what frames met in the flow table, for a person.
pub(crate) fn histogram(counters: &Counters, read_only: ReadOnly) -> String {
    let mut text = output::histogram("verdict", occurred(by_verdict(counters)));
    let flows = output::histogram("flow table", occurred(read_only.parts(counters)));
    if !flows.is_empty() {
        text.push('\n');
        text += &flows;
    }
    text
}

/// The counters of all verdicts.
fn by_verdict(counters: &Counters) -> impl Iterator<Item = (&'static str, PacketsBytes)> {
    let counter = |verdict: &Verdict| counters.verdicts.get(usize::from(verdict.code())).copied().unwrap_or_default();
    Verdict::ALL.iter().map(move |verdict| (verdict.name(), counter(verdict)))
}

/// Those of the named counters that are not zero, for a script.
fn counts(counters: impl Iterator<Item = (&'static str, PacketsBytes)>) -> Counts {
    occurred(counters).map(|(name, packets, bytes)| (name, Count { packets, bytes })).collect()
}

/// Those of the named counters that are not zero.
fn occurred(
    counters: impl Iterator<Item = (&'static str, PacketsBytes)>,
) -> impl Iterator<Item = (&'static str, u64, u64)> {
    counters.filter(|(_, counter)| counter.packets > 0).map(|(name, counter)| (name, counter.packets, counter.bytes))
}

#[cfg(feature = "lab")]
fn start(args: &ReplayArgs, geometry: Geometry) -> Result<Box<dyn Engine>> {
    use maglane_sim::Stimulus;
    use maglane_sim::lineup::Setting;

    let stimulus = args.seed.map_or(Stimulus::SMOOTH, Stimulus::from_seed);
    let kind: Kind = args.engine;
    super::verify::start(kind, &Setting { geometry, stimulus, fault: None, traced: false })
}

#[cfg(not(feature = "lab"))]
fn start(args: &ReplayArgs, geometry: Geometry) -> Result<Box<dyn Engine>> {
    match args.engine {
        Kind::Software => Ok(Box::new(Pipeline::new(geometry))),
        Kind::SoftwareFast => Ok(Box::new(FastEngine::new(geometry)?)),
    }
}
