//! `maglane run`: the software datapath on an interface of this machine.

mod control;
mod inlet;
mod lookout;
mod machine;
mod next_hops;
mod report;
mod site;
mod story;
mod tracing;

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use maglane_sw::fast::{Datapath, Worker};
use maglane_sw::io::interface::Interface;
use maglane_sw::io::port::{Mishaps, Port, PortError};
use maglane_sw::io::signals::{Signal, Signals};
use maglane_sw::slow::{Outbox, SlowPath};

use self::control::{Control, InUse};
use self::inlet::Inlet;
use self::lookout::{Lookout, ROOM, Watcher};
use self::machine::Machine;
use self::report::Report;
use self::site::Site;
use self::tracing::Tracing;
use crate::args::RunArgs;
use crate::output::{self, Console};
pub(crate) use control::{Form, default_path, request};
pub(crate) use tracing::untold_text;

/// How often there is news.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a worker waits for frames before it looks whether it should end; and how often it tells its mishaps.
const LOOK: Duration = Duration::from_millis(50);

/// Runs the command.
pub(crate) fn run(args: &RunArgs) -> Result<bool> {
    // First of all, so that no thread is started without it.
    let signals = Signals::hold().context("cannot wait for Ctrl-C")?;
    let interface = Interface::find(&args.interface)?;
    inlet::check_pins(args)?;
    let (mut site, image) = Site::read(&args.config, &interface, args.mode)?;
    let geometry = image.geometry;
    let datapath = Arc::new(Datapath::new(geometry)?);
    datapath.load(Arc::new(image))?;
    let (mut inlet, ports) = Inlet::open(&interface, args)?;
    inlet.steer(&site)?;
    let control = control(args)?;
    let mut console = Console::new();
    let mut report = Report::new(&interface, args, geometry);
    report.begin(&mut console, &site, &inlet)?;
    let mut machine = Machine::new(&interface, args.mode, &site, &inlet);

    let lookout = Lookout::default();
    let (noted, sightings) = mpsc::sync_channel(ROOM);
    let mut tracing = Tracing::new(&lookout, sightings, args.trace, args.mode, control);

    // One for all workers, who share a tick.
    let start = Instant::now();
    let stop = AtomicBool::new(false);
    let lanes: Vec<Lane> = ports.iter().map(|_| Lane::default()).collect();
    // One for all workers, too: pieces of a datagram may come in at different ones.
    let slow = Mutex::new(SlowPath::new(Arc::clone(&datapath)));
    let host = || {
        let mut slow = slow.lock().unwrap_or_else(PoisonError::into_inner);
        slow.expire(elapsed_ns(start));
        slow.counters()
    };
    let mishaps = || lanes.iter().map(Lane::mishaps).fold(Mishaps::default(), Mishaps::and);
    thread::scope(|scope| {
        let workers: Vec<_> = ports
            .into_iter()
            .zip(&lanes)
            .enumerate()
            .map(|(number, (mut port, lane))| {
                let (worker, slow, stop) = (Worker::new(Arc::clone(&datapath)), &slow, &stop);
                let watcher = Watcher::new(&lookout, number, noted.clone());
                let pin = args.pin.get(number).copied();
                scope.spawn(move || {
                    inlet::pin(pin)?;
                    lane.serve(&mut *port, worker, watcher, slow, start, stop)
                })
            })
            .collect();
        let mut told = Ok(());
        // Of next hops, so that it is said once.
        let mut failed = String::new();
        let mut next = Instant::now() + INTERVAL;
        while told.is_ok() && !workers.iter().any(thread::ScopedJoinHandle::is_finished) {
            match signals.wait(next.saturating_duration_since(Instant::now()).min(tracing::LOOK)) {
                Some(Signal::End) => break,
                // What is wrong with the new file does not end what runs with the old one.
                Some(Signal::Reload) => {
                    // It may have another MAC address by now.
                    let interface = Interface::find(&args.interface).unwrap_or_else(|_| interface.clone());
                    match site.reload(&datapath, &interface) {
                        Ok(()) => {
                            let steered = inlet.steer(&site);
                            output::note(&format!("{}: read again; its tables serve", args.config.display()));
                            if let Err(error) = steered {
                                output::error(&error.context("frames to new addresses may stay the kernel's"));
                            }
                        }
                        Err(error) => {
                            output::error(&error);
                            output::note(&format!("{}: not taken; the old tables go on", args.config.display()));
                        }
                    }
                }
                None => {}
            }
            told = tracing.look(&mut console, args.json, &site.names).and_then(|said| {
                if said {
                    report.keep_lines();
                    console.flush()?;
                }
                Ok(())
            });
            if told.is_ok() && Instant::now() >= next {
                let followed = site.follow(&datapath);
                let text = followed.as_ref().err().map(ToString::to_string).unwrap_or_default();
                if let Err(error) = followed
                    && text != failed
                {
                    output::error(&error.context("next hops stay as they were"));
                }
                failed = text;
                if machine.look(&site, &inlet) {
                    report.keep_lines();
                }
                told = report.interval(&mut console, &datapath, &host(), mishaps());
                next += INTERVAL;
            }
        }
        stop.store(true, Ordering::Relaxed);
        let served: Result<Vec<()>, PortError> = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect();
        told?;
        tracing.end(&mut console, args.json, &site.names)?;
        // The totals are worth having even when the interface has gone.
        report.total(&mut console, &datapath, &host(), mishaps())?;
        console.flush()?;
        served?;
        Ok(true)
    })
}

/// The socket for who asks while this runs. Without one it runs as well, unless it is another run's.
fn control(args: &RunArgs) -> Result<Option<Control>> {
    let path = args.control.clone().unwrap_or_else(|| default_path(&args.interface));
    match Control::listen(&path) {
        Ok(control) => Ok(Some(control)),
        Err(error) if error.is::<InUse>() || args.control.is_some() => Err(error),
        Err(error) => {
            output::note(&format!("`maglane trace` will find nobody here: {error:#}"));
            Ok(None)
        }
    }
}

/// What a worker tells the one who reports.
#[derive(Debug, Default)]
struct Lane(Mutex<Mishaps>);

impl Lane {
    /// Has frames of a port worked on until it is told to stop.
    fn serve(
        &self,
        port: &mut dyn Port,
        mut worker: Worker,
        mut watcher: Watcher<'_>,
        slow: &Mutex<SlowPath>,
        start: Instant,
        stop: &AtomicBool,
    ) -> Result<(), PortError> {
        let mut look = start;
        let mut outbox = Outbox::new();
        while !stop.load(Ordering::Relaxed) {
            let count = port.exchange(LOOK, &mut |packets, egresses| {
                watcher.process(elapsed_ns(start), packets, &mut worker, slow, egresses, &mut outbox);
            })?;
            if !outbox.is_empty() {
                port.send(&mut outbox.frames());
                outbox.clear();
            }
            if count == 0 {
                // Time goes on without frames too, and flows expire.
                worker.process(elapsed_ns(start), &mut []);
            }
            if look.elapsed() >= LOOK {
                self.tell(port.mishaps());
                look = Instant::now();
            }
        }
        self.tell(port.mishaps());
        Ok(())
    }

    fn tell(&self, mishaps: Mishaps) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = mishaps;
    }

    fn mishaps(&self) -> Mishaps {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Time as all workers count it.
fn elapsed_ns(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
