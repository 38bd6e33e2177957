//! What `maglane verify` found, for a person and for a script.

use std::io::Write;

use anyhow::Result;
use maglane_sim::difference::Difference;
use maglane_sim::lineup::Kind;
use maglane_spec::Geometry;
use maglane_sw::engine::{Counters, Frame, Outcome};
use maglane_sw::io::capture::Capture;
use serde::{Serialize, Serializer};

use super::traffic::{Tally, Traffic};
use super::{CAPTURE, CONFIG, Plan};
use crate::args::{FrameRange, VerifyArgs};
use crate::command::replay::{ReadOnly, histogram};
use crate::output::{Columns, Console, counted, shell_word, thousands};

/// What a person or a script is told.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    agree: bool,
    pub(super) runs: Vec<RunReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) forwarded: Option<u64>,
    #[serde(skip)]
    pub(super) args: &'a VerifyArgs,
    /// Name of the configuration.
    #[serde(skip)]
    pub(super) config: String,
    /// Names of the captures.
    #[serde(skip)]
    pub(super) captures: Vec<String>,
    /// Frames of the captures that are to run.
    #[serde(skip)]
    pub(super) frames: usize,
    /// Sizes of the card in each run that is to be.
    #[serde(skip)]
    pub(super) geometries: Vec<Geometry>,
    #[serde(skip)]
    counters: Option<(Counters, ReadOnly)>,
}

/// One run: all engines in lockstep with one bus width.
#[derive(Debug, Serialize)]
pub(super) struct RunReport {
    pub(super) bus_bytes: u32,
    pub(super) seed: Option<u64>,
    pub(super) frames: u64,
    pub(super) engines: Vec<EngineReport>,
    pub(super) skipped: Vec<Skipped>,
    /// Frames whose outcomes all engines agree on.
    pub(super) frames_agreed: u64,
    #[serde(flatten)]
    pub(super) traffic: Traffic,
    #[serde(serialize_with = "difference")]
    pub(super) difference: Option<Difference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) place: Option<String>,
    pub(super) replay: Option<String>,
    pub(super) waveform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) waveform_error: Option<String>,
    #[serde(skip)]
    pub(super) evidence: Option<Evidence>,
}

/// The frame that engines differ on, and what each made of it.
#[derive(Debug)]
pub(super) struct Evidence {
    /// The frame as it came in.
    pub(super) frame: Vec<u8>,
    /// By engine, the reference first.
    pub(super) outcomes: Vec<(&'static str, Outcome)>,
}

/// What an engine took.
#[derive(Debug, Serialize)]
pub(super) struct EngineReport {
    pub(super) name: String,
    pub(super) seconds: f64,
    pub(super) clocks: Option<u64>,
}

/// An engine that did not take part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Skipped {
    pub(super) engine: &'static str,
    pub(super) why: String,
}

impl<'a> Report<'a> {
    /// A report without runs.
    pub(super) fn new(args: &'a VerifyArgs, captures: &[Capture<'_>], frames: usize, plans: &[Plan]) -> Self {
        let config = match &args.config {
            Some(path) => path.display().to_string(),
            None => format!("{} (built in)", CONFIG.0),
        };
        let captures = match &args.capture[..] {
            [] => vec![format!("{} (built in)", CAPTURE.0)],
            _ => captures.iter().map(|capture| capture.name().to_owned()).collect(),
        };
        let geometries = plans.iter().map(|plan| plan.geometry).collect();
        let (runs, forwarded, counters) = (Vec::new(), None, None);
        Self { agree: true, runs, forwarded, args, config, captures, frames, geometries, counters }
    }

    /// Whether all engines agreed in all runs so far.
    pub(super) fn agree(&self) -> bool {
        self.agree
    }

    /// Tells what will be compared.
    pub(super) fn begin(&self, console: &mut Console) -> Result<()> {
        if !self.args.json {
            let (frames, captures) = (counted(self.frames, "frame"), self.captures.join(", "));
            writeln!(console, "{frames} of {captures} with {}", self.config)?;
            if let Some(plant) = self.args.plant {
                writeln!(console, "a fault is planted on purpose in stage {} of {}", plant.stage.name(), plant.engine)?;
            }
        }
        Ok(())
    }

    /// Adds a run and tells of it.
    pub(super) fn add(
        &mut self,
        console: &mut Console,
        run: RunReport,
        counters: Option<(Counters, ReadOnly)>,
    ) -> Result<()> {
        self.agree &= run.difference.is_none();
        self.counters = counters;
        if !self.args.json {
            let new = |skipped: &&Skipped| !self.runs.iter().any(|run| run.skipped.contains(skipped));
            for skipped in run.skipped.iter().filter(new) {
                writeln!(console, "skipped {}: {}", skipped.engine, skipped.why)?;
            }
            write!(console, "\n{}", performance(&run))?;
        }
        self.runs.push(run);
        Ok(())
    }

    /// Tells the end: what all agree on, or the difference and how to go on.
    pub(super) fn end(&self, console: &mut Console) -> Result<()> {
        if self.args.json {
            return console.json(self);
        }
        let Some(run) = self.runs.last() else { return Ok(()) };
        writeln!(console)?;
        let Some(difference) = &run.difference else { return self.end_well(console, run) };
        writeln!(console, "engines differ, bus of {} bytes", run.bus_bytes)?;
        writeln!(console, "{difference}")?;
        if let Some(place) = &run.place {
            writeln!(console, "where     {place}")?;
        }
        if let Some(replay) = &run.replay {
            writeln!(console, "again     {replay}")?;
        }
        match (&run.waveform, &run.waveform_error) {
            (Some(path), _) => writeln!(console, "waveform  {path}")?,
            (None, Some(error)) => writeln!(console, "waveform  none: {error}")?,
            (None, None) => {}
        }
        if let Some(path) = &self.args.report {
            writeln!(console, "report    {}", path.display())?;
        }
        Ok(())
    }

    fn end_well(&self, console: &mut Console, run: &RunReport) -> Result<()> {
        if let Some((counters, read_only)) = &self.counters
            && run.frames > 0
        {
            writeln!(console, "{}", histogram(counters, *read_only))?;
        }
        if let (Some(path), Some(forwarded)) = (&self.args.out, self.forwarded) {
            writeln!(console, "{}: {}", path.display(), counted(forwarded, "forwarded frame"))?;
        }
        if let Some(path) = &self.args.report {
            writeln!(console, "{}: report", path.display())?;
        }
        if let Some(plant) = self.args.plant {
            writeln!(console, "these frames do not show the fault planted in {}", plant.engine)?;
        }
        let engines: Vec<&str> = run.engines.iter().map(|engine| engine.name.as_str()).collect();
        let frames = counted(run.frames, "frame");
        writeln!(console, "{} agree on {frames}: bytes, verdicts, counters, flow table", engines.join(", "))?;
        Ok(())
    }
}

impl EngineReport {
    /// Frames a second.
    pub(super) fn frames_per_second(&self, frames: u64) -> u64 {
        // Precise to 15 digits: more frames than that take years.
        #[allow(clippy::cast_precision_loss)]
        let per_second = if self.seconds > 0.0 { frames as f64 / self.seconds } else { 0.0 };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let per_second = per_second as u64;
        per_second
    }

    /// Clocks a frame, with one decimal; none without a clock or without frames.
    pub(super) fn clocks_per_frame(&self, frames: u64) -> Option<String> {
        #[allow(clippy::cast_precision_loss)]
        let per_frame = |clocks: u64| format!("{:.1}", clocks as f64 / frames as f64);
        self.clocks.filter(|_| frames > 0).map(per_frame)
    }
}

impl Evidence {
    /// What engines made of the frame of a difference; the frames of the batch before it go into the tally.
    pub(super) fn new(
        kinds: &[Kind],
        batch: &[Frame<'_>],
        outcomes: &[Vec<Outcome>],
        difference: &Difference,
        tally: &mut Tally,
    ) -> Option<Self> {
        let before = usize::try_from(difference.frame?.checked_sub(tally.frames() + 1)?).ok()?;
        let (agreed, differing) = batch.split_at_checked(before)?;
        for (frame, outcome) in agreed.iter().zip(outcomes.first()?) {
            tally.add(frame, outcome);
        }
        let outcomes =
            kinds.iter().zip(outcomes).filter_map(|(kind, all)| Some((kind.name(), all.get(before)?.clone())));
        Some(Self { frame: differing.first()?.bytes.to_vec(), outcomes: outcomes.collect() })
    }
}

/// The command that shows a difference again, with as few engines and frames as it takes.
pub(super) fn command(args: &VerifyArgs, difference: &Difference, bus_bytes: u32) -> String {
    let mut words = vec!["maglane".to_owned(), "verify".to_owned()];
    let mut option = |name: &str, value: String| words.extend([format!("--{name}"), shell_word(&value)]);
    if let Some(path) = &args.config {
        option("config", path.display().to_string());
    }
    for path in &args.capture {
        option("capture", path.display().to_string());
    }
    option("engines", format!("{},{}", difference.expected.0, difference.found.0));
    option("bus", bus_bytes.to_string());
    if let Some(seed) = args.seed {
        option("seed", seed.to_string());
    }
    let parties = [&difference.expected.0, &difference.found.0];
    let takes_part = |kind: Kind| parties.iter().any(|name| *name == kind.name());
    if let Some(plant) = args.plant.filter(|plant| takes_part(plant.engine)) {
        option("plant", format!("{}:{}", plant.engine, plant.stage.name()));
    }
    let range = match (args.frames, difference.frame) {
        (range, Some(last)) => Some(FrameRange { first: range.map_or(1, |range| range.first), last }),
        (range, None) => range,
    };
    if let Some(range) = range {
        option("frames", range.to_string());
    }
    words.join(" ")
}

fn performance(run: &RunReport) -> String {
    let seed = run.seed.map_or_else(String::new, |seed| format!(", pauses and backpressure of seed {seed}"));
    let mut columns = Columns::new([false, true, true, true, true, true]);
    columns.row(["engine", "frames", "seconds", "frames/s", "clocks", "clocks/frame"].map(str::to_owned));
    for engine in &run.engines {
        let per_second = thousands(engine.frames_per_second(run.frames));
        let clocks = engine.clocks.map_or_else(String::new, thousands);
        let clocks_per_frame = engine.clocks_per_frame(run.frames).unwrap_or_default();
        let seconds = format!("{:.3}", engine.seconds);
        columns.row([engine.name.clone(), thousands(run.frames), seconds, per_second, clocks, clocks_per_frame]);
    }
    format!("bus of {} bytes{seed}\n{}", run.bus_bytes, columns.text())
}

/// A difference for a script.
#[derive(Serialize)]
struct DifferenceReport<'a> {
    frame: Option<u64>,
    stage: Option<&'static str>,
    field: &'a str,
    expected: Side<'a>,
    found: Side<'a>,
}

#[derive(Serialize)]
struct Side<'a> {
    engine: &'a str,
    value: &'a str,
}

fn difference<S: Serializer>(difference: &Option<Difference>, serializer: S) -> Result<S::Ok, S::Error> {
    let side = |(engine, value)| Side { engine, value };
    let report = difference.as_ref().map(|difference| DifferenceReport {
        frame: difference.frame,
        stage: difference.stage.map(maglane_spec::Stage::name),
        field: &difference.field,
        expected: side((&difference.expected.0, &difference.expected.1)),
        found: side((&difference.found.0, &difference.found.1)),
    });
    report.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn again(words: &[&str], frame: Option<u64>) -> String {
        let all = ["maglane", "verify"].iter().chain(words);
        let Command::Verify(args) = Cli::parse_from(all).command else { panic!("another command") };
        let side = |engine: &str| (engine.to_owned(), String::new());
        let difference =
            Difference { frame, stage: None, field: String::new(), expected: side("software"), found: side("rtl") };
        command(&args, &difference, 32)
    }

    #[test]
    fn replay_has_only_the_flags_that_apply() {
        assert_eq!(again(&[], Some(7)), "maglane verify --engines software,rtl --bus 32 --frames 1-7");
        assert_eq!(again(&["--plant", "verilog:parse"], None), "maglane verify --engines software,rtl --bus 32");
        assert_eq!(
            again(
                &["--config", "my file.toml", "--capture", "a.pcap", "--seed=3", "--plant=rtl:parse", "--frames=5-9"],
                Some(8)
            ),
            "maglane verify --config 'my file.toml' --capture a.pcap --engines software,rtl --bus 32 --seed 3 \
             --plant rtl:parse --frames 5-8"
        );
        // A difference at the end of all frames, such as one of counters, has no number.
        assert_eq!(again(&["--frames", "5-"], None), "maglane verify --engines software,rtl --bus 32 --frames 5-");
    }
}
