//! `maglane card serve`: a simulated card behind a socket, for other commands and for virtual machines, and frames through
//! it, of a capture or live.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use maglane_driver::BarIo;
use maglane_hw::profile::Profile;
use maglane_sim::device::SimulatedCard;
use maglane_sim::pci::PciFunction;
use maglane_sim::shared::Shared;
use maglane_sim::vfio_user::VfioUserServer;
use maglane_spec::{Verdict, register, window};
use maglane_sw::engine::Frame;
use maglane_sw::io::capture::{Capture, CaptureWriter};

use super::device;
use crate::args::ServeArgs;
use crate::input;
use crate::output::{Console, counted};

mod live;

use live::Live;

/// How often it is looked whether the card serves, or the program should end.
const LOOK: Duration = Duration::from_millis(50);
/// Frames that the card gets at a time: the driver has its turn in between.
const BATCH: usize = 64;

pub(super) fn run(args: &ServeArgs) -> Result<bool> {
    let capture = args.input.as_deref().map(Capture::open).transpose()?;
    if let Some(out) = &args.out {
        let inputs: Vec<&Path> = args.input.as_deref().into_iter().collect();
        input::check_output(out, &inputs)?;
    }
    let live = args.tap.as_deref().map(|wire| Live::open(wire, args.host_tap.as_deref())).transpose()?;
    let server = VfioUserServer::bind(&args.socket)?;
    let card = Shared::new(device::simulated(args.profile)?);
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    ctrlc::set_handler(move || told.store(true, Ordering::Relaxed)).context("cannot wait for Ctrl-C")?;
    let mut console = Console::new();
    writeln!(
        console,
        "sim:{} at {}; other commands take it with --device vfio-user:{}; Ctrl-C ends it",
        args.profile.name(),
        args.socket.display(),
        args.socket.display()
    )?;
    if let Some(live) = &live {
        writeln!(console, "{}", live.describe())?;
    }
    thread::scope(|scope| {
        let served = scope.spawn(|| server.serve(&mut PciFunction::new(card.clone()), &stop));
        let out = args.out.as_deref();
        let played = match (&capture, &live) {
            (Some(capture), _) => play(&card, args.profile, capture, out, &stop),
            (None, Some(live)) => live.run(&card, out, &stop).and_then(|passed| Ok(writeln!(console, "{passed}")?)),
            (None, None) => Ok(()),
        };
        if played.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        let served = served.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        played?;
        let served = served?;
        writeln!(console, "{}, {} refused", counted(served.clients, "client"), counted(served.refused, "command"))?;
        Ok(true)
    })
}

/// Waits until the card serves, and then gives it the capture's frames, once.
fn play(
    card: &Shared<SimulatedCard>,
    profile: Profile,
    capture: &Capture<'_>,
    out: Option<&Path>,
    stop: &AtomicBool,
) -> Result<()> {
    let mut writer = out.map(CaptureWriter::create).transpose()?;
    while card.lock().read(register::CONTROL_MODE)? & window::CONTROL_SERVE == 0 {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
    let frames = capture.frames().collect::<Result<Vec<_>, _>>()?;
    let frames: Vec<Frame<'_>> =
        frames.iter().map(|frame| Frame { time_ns: frame.time_ns, bytes: frame.bytes }).collect();
    if let Some(at) = frames.iter().position(|frame| frame.bytes.is_empty()) {
        bail!("frame {} has 0 bytes, which no card can be offered", at + 1);
    }
    let (mut done, mut forwarded) = (0_usize, 0_u64);
    for batch in frames.chunks(BATCH) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let outcomes = card.lock().frames(batch)?;
        for (frame, outcome) in batch.iter().zip(&outcomes) {
            if outcome.verdict == Verdict::Forward {
                forwarded += 1;
                if let Some(writer) = &mut writer {
                    writer.write(&Frame { time_ns: frame.time_ns, bytes: &outcome.output })?;
                }
            }
        }
        done += batch.len();
    }
    if let Some(writer) = writer {
        writer.finish()?;
    }
    let name = profile.name();
    writeln!(Console::new(), "sim:{name}: {} of {} forwarded", forwarded, counted(done as u64, "frame"))?;
    Ok(())
}
