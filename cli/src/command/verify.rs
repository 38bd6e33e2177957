//! `maglane verify`: captures through several engines in lockstep, one run for each bus width.

mod page;
mod report;
mod traffic;

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use maglane_hw::profile::Profile;
use maglane_sim::Stimulus;
use maglane_sim::crosscheck::{BATCH, Lockstep};
use maglane_sim::difference::Difference;
use maglane_sim::lineup::{Kind, Setting, StartError};
use maglane_sim::model::ModelError;
use maglane_sim::verilog::Verilog;
use maglane_spec::{Geometry, Verdict};
use maglane_sw::engine::{Counters, Engine, EngineError, Frame};
use maglane_sw::io::capture::{Capture, CaptureWriter};
use maglane_table::{Config, TableFile, Tables};

use crate::args::{Bus, VerifyArgs};
use crate::command::replay::ReadOnly;
use crate::input;
use crate::output::{Console, NewFile, thousands};
use crate::progress;
use report::{EngineReport, Evidence, Report, RunReport, Skipped};
use traffic::{Tally, Traffic};

pub(crate) const CONFIG: (&str, &str) = ("examples/web.toml", include_str!("../../../examples/web.toml"));
pub(crate) const CAPTURE: (&str, &[u8]) =
    ("tests/captures/web.pcap", include_bytes!("../../../tests/captures/web.pcap"));

/// Frames that a waveform shows: the one that differs, and those before it that may have to do with it.
const WAVEFORM_FRAMES: usize = 32;

/// Runs the command.
pub(crate) fn run(args: &VerifyArgs) -> Result<bool> {
    let config = match &args.config {
        Some(path) => input::config(path)?,
        None => Config::parse(CONFIG.0, CONFIG.1)?,
    };
    // Whatever next hops a machine would find, engines agree on any.
    let tables = Tables::build(&config)?;
    let tables = tables.file();
    let captures = captures(&args.capture)?;
    let (first, frames) = frames(&captures, args)?;
    let plans = plans(args, tables.image.geometry)?;
    if plans.iter().flat_map(|plan| &plan.kinds).any(|kind| !kind.is_software()) {
        input::refuse_empty_frames(&frames, first)?;
    }
    refuse_bad_outputs(args)?;
    let mut writer = args.out.as_deref().map(CaptureWriter::create).transpose()?;
    let page = args.report.as_deref().map(NewFile::create).transpose()?;

    let mut console = Console::new();
    let mut report = Report::new(args, &captures, frames.len(), &plans);
    report.begin(&mut console)?;
    for plan in &plans {
        // The reference forwards the same in every run: the first one writes it.
        let out = if report.runs.is_empty() { writer.as_mut() } else { None };
        let job = Job { args, tables, captures: &captures, frames: &frames, first, plan };
        let (run, counters) = job.run(out)?;
        let differs = run.difference.is_some();
        report.add(&mut console, run, counters)?;
        if differs {
            break;
        }
    }
    if report.agree()
        && let Some(writer) = writer
    {
        report.forwarded = Some(writer.finish()?);
    }
    if let Some(page) = page {
        page.finish(page::page(&report).into_string().as_bytes())?;
    }
    report.end(&mut console)?;
    Ok(report.agree())
}

/// Starts an engine; an error says how to get what is missing.
pub(crate) fn start(kind: Kind, setting: &Setting) -> Result<Box<dyn Engine>> {
    if !kind.is_software() && Profile::from_geometry(&setting.geometry).is_none() {
        bail!("engine `{kind}`: {}", no_build(&setting.geometry));
    }
    kind.start(setting).map_err(|error| match error {
        // What the operating system says adds nothing to the remedy.
        StartError::Model(ModelError::Missing(_)) => anyhow!("engine `{kind}`: {error}"),
        error => anyhow!(error).context(format!("engine `{kind}` does not start")),
    })
}

/// What one run compares.
#[derive(Debug)]
struct Plan {
    geometry: Geometry,
    kinds: Vec<Kind>,
    skipped: Vec<Skipped>,
}

/// One run.
struct Job<'a> {
    args: &'a VerifyArgs,
    tables: &'a TableFile,
    captures: &'a [Capture<'static>],
    frames: &'a [Frame<'a>],
    /// Number of the first of the frames in the capture.
    first: u64,
    plan: &'a Plan,
}

impl Job<'_> {
    fn run(&self, mut out: Option<&mut CaptureWriter>) -> Result<(RunReport, Option<(Counters, ReadOnly)>)> {
        let engines = self.plan.kinds.iter().map(|&kind| self.start(kind, false)).collect::<Result<Vec<_>>>()?;
        let mut lockstep = {
            let _spinner = progress::spinner("loading the tables");
            Lockstep::new(engines, &self.tables.image)?
        };
        let bus = format!("bus of {} bytes", self.plan.geometry.bus_bytes);
        let bar = progress::bar(bus, self.frames.len() as u64, "frames");
        let mut tally = Tally::new(&self.plan.geometry);
        let (mut found, mut evidence) = (None, None);
        for batch in self.frames.chunks(BATCH) {
            let result = match lockstep.process(batch) {
                // An engine that hangs or dies disagrees with those that go on; it is not a fault of the input.
                Err(EngineError::Stopped { engine, message }) => Err(self.stopped(&engine, message, batch)),
                other => other?,
            };
            match result {
                Ok(outcomes) => {
                    for (frame, outcome) in batch.iter().zip(outcomes) {
                        tally.add(frame, &outcome);
                        if let Some(writer) = out.as_deref_mut()
                            && outcome.verdict == Verdict::Forward
                        {
                            writer.write(&Frame { time_ns: frame.time_ns, bytes: &outcome.output })?;
                        }
                    }
                }
                Err(difference) => {
                    evidence = Evidence::new(&self.plan.kinds, batch, lockstep.differing(), &difference, &mut tally);
                    found = Some(difference);
                    break;
                }
            }
            bar.inc(batch.len() as u64);
        }
        let mut remembered = None;
        if found.is_none() {
            let result = match lockstep.remembered() {
                Err(EngineError::Stopped { engine, message }) => Err(self.stopped(&engine, message, self.frames)),
                other => other?,
            };
            match result {
                Ok(all) => remembered = Some(all),
                Err(difference) => found = Some(difference),
            }
        }
        drop(bar);
        let engine = |engine: maglane_sim::crosscheck::Performance| EngineReport {
            name: engine.engine,
            seconds: engine.time.as_secs_f64(),
            clocks: engine.clocks,
        };
        let mut run = RunReport {
            bus_bytes: self.plan.geometry.bus_bytes,
            seed: self.args.seed,
            frames: lockstep.frames(),
            engines: lockstep.performance().into_iter().map(engine).collect(),
            skipped: self.plan.skipped.clone(),
            frames_agreed: tally.frames(),
            traffic: Traffic::new(self.tables, &tally, remembered.as_ref()),
            difference: None,
            place: None,
            replay: None,
            waveform: None,
            waveform_error: None,
            evidence,
        };
        drop(lockstep);
        if let Some(difference) = found {
            self.explain(&mut run, difference);
        }
        Ok((run, remembered.map(|(counters, _)| (counters, tally.read_only()))))
    }

    fn start(&self, kind: Kind, traced: bool) -> Result<Box<dyn Engine>> {
        let fault = self.args.plant.filter(|plant| plant.engine == kind).map(|plant| plant.stage);
        let geometry = self.plan.geometry;
        let stimulus = self.args.seed.map_or(Stimulus::SMOOTH, Stimulus::from_seed);
        let profile = Profile::from_geometry(&geometry).filter(|_| kind == Kind::Verilog);
        let is_built = |profile| fault.is_none() && !traced && Verilog::is_built(profile).unwrap_or(false);
        let _spinner = profile
            .filter(|&profile| !is_built(profile))
            .map(|_| progress::spinner("building the Verilator model, once (half a minute)"));
        start(kind, &Setting { geometry, stimulus, fault, traced })
    }

    /// The difference between an engine that stopped and the first of the others, at the last frame that it was given.
    fn stopped(&self, engine: &str, message: String, batch: &[Frame<'_>]) -> Difference {
        let other = self.plan.kinds.iter().map(|kind| kind.name()).find(|&name| name != engine).unwrap_or("software");
        // The batch is a part of the frames: its end is a position in them.
        let before = batch.first().and_then(|first| self.frames.iter().position(|frame| std::ptr::eq(frame, first)));
        Difference {
            frame: before.map(|before| (before + batch.len()) as u64),
            stage: None,
            field: format!("engine {engine} stops within the {} frames that end here", batch.len()),
            expected: (other.to_owned(), "goes on".to_owned()),
            found: (engine.to_owned(), message),
        }
    }

    /// Adds to a report all that helps to find the reason of a difference.
    fn explain(&self, run: &mut RunReport, mut difference: Difference) {
        // Engines count from the first frame that they see, a person from the first of the capture.
        let index = difference.frame.map(|number| number - 1);
        difference.frame = index.map(|index| index + self.first);
        run.place = difference.frame.and_then(|number| self.place(number));
        run.replay = Some(report::command(self.args, &difference, self.plan.geometry.bus_bytes));
        let parties = [&difference.found.0, &difference.expected.0];
        let card = parties.into_iter().filter_map(|name| name.parse().ok()).find(|kind: &Kind| !kind.is_software());
        let last = index.and_then(|index| usize::try_from(index + 1).ok()).unwrap_or(self.frames.len());
        if let Some(kind) = card {
            let name = || match difference.frame {
                Some(number) => PathBuf::from(format!("maglane-frame-{number}.vcd")),
                None => PathBuf::from("maglane-last-frames.vcd"),
            };
            let path = self.args.waveform.clone().unwrap_or_else(name);
            match self.record(kind, &self.frames[..last], &path) {
                Ok(()) => run.waveform = Some(path.display().to_string()),
                // The difference counts; without a waveform it is still one.
                Err(error) => run.waveform_error = Some(format!("{error:#}")),
            }
        }
        run.difference = Some(difference);
    }

    /// Which packet of which capture a frame number is, when there are several.
    fn place(&self, number: u64) -> Option<String> {
        let mut number = usize::try_from(number).ok()?;
        for capture in self.captures.iter().filter(|_| self.captures.len() > 1) {
            let count = capture.frames().count();
            if number <= count {
                return Some(format!("packet {} of {}", thousands(number), capture.name()));
            }
            number -= count;
        }
        None
    }

    fn record(&self, kind: Kind, frames: &[Frame<'_>], path: &Path) -> Result<()> {
        let mut engine = self.start(kind, true)?;
        let _spinner = progress::spinner("recording a waveform");
        engine.load(&self.tables.image)?;
        // The card remembers flows, so all frames run; the last of them are recorded.
        let (before, shown) = frames.split_at(frames.len().saturating_sub(WAVEFORM_FRAMES));
        for batch in before.chunks(BATCH) {
            engine.process(batch)?;
        }
        engine.record_waveform(path)?;
        engine.process(shown)?;
        Ok(())
    }
}

fn captures(paths: &[PathBuf]) -> Result<Vec<Capture<'static>>> {
    if paths.is_empty() {
        return Ok(vec![Capture::from_slice(CAPTURE.0, CAPTURE.1)?]);
    }
    paths.iter().map(|path| Ok(Capture::open(path)?)).collect()
}

/// The frames to run, all read and found sound, and the number of the first.
fn frames<'a>(captures: &'a [Capture<'static>], args: &VerifyArgs) -> Result<(u64, Vec<Frame<'a>>)> {
    let all = captures.iter().flat_map(Capture::frames);
    let mut frames = all.collect::<Result<Vec<_>, _>>()?;
    let Some(range) = args.frames else { return Ok((1, frames)) };
    let count = frames.len();
    if range.first > count as u64 {
        bail!("--frames begins at {}, but there are {} frames", thousands(range.first), thousands(count));
    }
    frames.truncate(usize::try_from(range.last).unwrap_or(usize::MAX));
    frames.drain(..usize::try_from(range.first - 1).unwrap_or(count));
    Ok((range.first, frames))
}

/// One plan for each bus width.
fn plans(args: &VerifyArgs, geometry: Geometry) -> Result<Vec<Plan>> {
    for (index, kind) in args.engines.iter().enumerate() {
        if args.engines[..index].contains(kind) {
            bail!("--engines names `{kind}` twice");
        }
    }
    let width = |bus_bytes| Geometry { bus_bytes, ..geometry };
    let both = vec![width(32), width(64)];
    let is_built = |geometry: &Geometry| Profile::from_geometry(geometry).is_some();
    let geometries = match args.bus {
        Some(Bus::Bytes(bytes)) => vec![width(bytes)],
        Some(Bus::Both) => both,
        None if both.iter().all(is_built) => both,
        None => vec![geometry],
    };
    geometries.into_iter().map(|geometry| plan(args, geometry)).collect()
}

fn plan(args: &VerifyArgs, geometry: Geometry) -> Result<Plan> {
    let by_default = args.engines.is_empty();
    let wanted = if by_default { &Kind::ALL[..] } else { &args.engines };
    let (mut kinds, mut skipped) = (Vec::new(), Vec::new());
    for &kind in wanted {
        let unbuilt = !kind.is_software() && Profile::from_geometry(&geometry).is_none();
        let why = if unbuilt { Some(no_build(&geometry)) } else { kind.missing().map(|error| error.to_string()) };
        match why {
            None => kinds.push(kind),
            Some(why) if by_default => skipped.push(Skipped { engine: kind.name(), why }),
            Some(why) => bail!("engine `{kind}`: {why}"),
        }
    }
    if let Some(plant) = args.plant
        && !kinds.contains(&plant.engine)
    {
        let why = skipped.iter().find(|skipped| skipped.engine == plant.engine.name());
        let why = why.map_or("--engines does not name it", |skipped| &skipped.why);
        bail!("--plant: engine `{}` does not take part: {why}", plant.engine);
    }
    match (&kinds[..], skipped.first()) {
        ([] | [_], Some(skipped)) => {
            bail!("there is nothing to compare: engine `{}` is missing: {}", skipped.engine, skipped.why)
        }
        ([] | [_], None) => bail!("there is nothing to compare: --engines names one engine, it takes two at least"),
        _ => Ok(Plan { geometry, kinds, skipped }),
    }
}

fn no_build(geometry: &Geometry) -> String {
    let sizes = |geometry: &Geometry| {
        let Geometry { bus_bytes, services, backends, lookup_entries, flow_sets } = geometry;
        format!(
            "bus_bytes {bus_bytes}, services {services}, backends {backends}, lookup_entries {lookup_entries}, \
             flow_sets {flow_sets}"
        )
    };
    let builds: Vec<String> = Profile::ALL
        .into_iter()
        .map(|profile| format!("\n  {:<7} {}", profile.name(), sizes(&profile.geometry())))
        .collect();
    format!("no gateware is built for {}; the builds are{}", sizes(geometry), builds.concat())
}

/// Before an engine runs for minutes: could what it finds be written?
fn refuse_bad_outputs(args: &VerifyArgs) -> Result<()> {
    let inputs: Vec<&Path> = args.capture.iter().chain(&args.config).map(PathBuf::as_path).collect();
    let outputs = [("--out", &args.out), ("--report", &args.report), ("--waveform", &args.waveform)];
    let outputs: Vec<(&str, &PathBuf)> =
        outputs.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?))).collect();
    for (index, (option, path)) in outputs.iter().enumerate() {
        input::check_output(path, &inputs)?;
        if let Some((other, _)) = outputs[..index].iter().find(|(_, other)| other == path) {
            bail!("{}: {other} and {option} name the same file", path.display());
        }
    }
    Ok(())
}
