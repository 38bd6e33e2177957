//! `maglane card selftest`: bus and memories, and with a simulated card frames.

use std::io::Write;

use anyhow::{Result, bail};
use maglane_driver::Card;
use maglane_driver::card::Mode;
#[cfg(feature = "lab")]
use maglane_driver::load::Loader;
use maglane_driver::selftest::{Extent, SelfTestReport};
#[cfg(feature = "lab")]
use maglane_sw::{Pipeline, engine::Engine, engine::Frame, io::capture::Capture};
use serde::Serialize;

use super::device::{self, Device};
use crate::args::DeviceArgs;
use crate::output::{Columns, Console, counted, thousands};
use crate::progress;

/// What `selftest --json` tells.
#[derive(Debug, Serialize)]
struct Tested {
    device: String,
    sound: bool,
    seconds: f64,
    march: bool,
    memories: Vec<Memory>,
    faults: u64,
    /// The first of them.
    first_faults: Vec<String>,
    /// Frames through the card that left as software says; none when the card's frames are not this program's.
    frames: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Memory {
    name: &'static str,
    words: u64,
}

pub(super) fn run(args: &DeviceArgs, march: bool) -> Result<bool> {
    let mut card = device::open(&args.device)?;
    if card.mode()? == Mode::Serve || card.clocks_per_ms()? != 0 {
        bail!(
            "{0}: the card serves or counts time, and a self test voids its flow table: \
             `maglane card bypass --device {0} on` first, while software serves, or reset the card",
            args.device
        );
    }
    let line = progress::bar("testing".to_owned(), STEPS, "memories");
    let report = SelfTestReport::run(&mut card, Extent { march, flow_table: true }, &mut |name| {
        line.set_message(name);
        line.inc(1);
    })?;
    drop(line);
    let frames = if report.is_sound() { frames(&mut card)? } else { None };
    let tested = Tested {
        device: args.device.to_string(),
        sound: report.is_sound(),
        seconds: report.elapsed.as_secs_f64(),
        march,
        memories: report.tested.iter().map(|&(name, words)| Memory { name, words }).collect(),
        faults: report.faults_total,
        first_faults: report.faults.iter().map(ToString::to_string).collect(),
        frames,
    };
    let mut console = Console::new();
    if args.json {
        console.json(&tested)?;
        return Ok(tested.sound);
    }
    let mut columns = Columns::new([false, true]);
    columns.row(["memory", "words, copies included"].map(str::to_owned));
    for Memory { name, words } in &tested.memories {
        columns.row([(*name).to_owned(), thousands(*words)]);
    }
    write!(console, "{}", columns.text())?;
    for fault in &tested.first_faults {
        writeln!(console, "{fault}")?;
    }
    let method = if march { "March C-" } else { "each memory as a whole, twice" };
    let seconds = tested.seconds;
    match (tested.sound, tested.frames) {
        (false, _) => {
            writeln!(console, "{}: {}; {method}, {seconds:.1} s", tested.device, counted(tested.faults, "fault"))?
        }
        (true, Some(frames)) => writeln!(
            console,
            "{}: no faults; {method}, {seconds:.1} s; {} left as software says",
            tested.device,
            counted(frames, "frame")
        )?,
        (true, None) => writeln!(
            console,
            "{}: no faults; {method}, {seconds:.1} s; no frames: only simulated cards of the sizes of lab get some",
            tested.device
        )?,
    }
    Ok(tested.sound)
}

/// Steps that the driver tells of: registers and six memories.
const STEPS: u64 = 7;

#[cfg(not(feature = "lab"))]
fn frames(_: &mut Card<Device>) -> Result<Option<u64>> {
    Ok(None)
}

/// The built-in capture through a simulated card of the lab's sizes and through software.
#[cfg(feature = "lab")]
fn frames(card: &mut Card<Device>) -> Result<Option<u64>> {
    use crate::command::verify::{CAPTURE, CONFIG};

    let image = maglane_table::Config::parse(CONFIG.0, CONFIG.1)?.image()?;
    let geometry = *card.geometry();
    if card.bar().frames(&[]).is_none()
        || (maglane_spec::Geometry { bus_bytes: geometry.bus_bytes, ..image.geometry }) != geometry
    {
        return Ok(None);
    }
    Loader::new().load(card, &image, &mut |_| {})?;
    card.set_mode(Mode::Serve)?;
    let capture = Capture::from_slice(CAPTURE.0, CAPTURE.1)?;
    let mut frames = Vec::new();
    for frame in capture.frames() {
        frames.push(frame?);
    }
    // All at one time: the driver, not this command, sets the tick.
    let frames: Vec<Frame<'_>> = frames.iter().map(|frame| Frame { time_ns: 0, bytes: frame.bytes }).collect();
    let mut software = Pipeline::new(geometry);
    software.load(&image)?;
    let expected = software.process(&frames)?;
    let Some(found) = card.bar().frames(&frames) else { return Ok(None) };
    let found = found?;
    card.set_mode(Mode::Bypass)?;
    if let Some(at) = (0..frames.len()).find(|&at| found[at] != expected[at]) {
        bail!(
            "frame {}: the card says {}, software {}; `maglane verify` tells more",
            at + 1,
            found[at].verdict.name(),
            expected[at].verdict.name()
        );
    }
    Ok(Some(frames.len() as u64))
}
