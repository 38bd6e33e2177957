//! Live frames for a served card: its wire, and the host's side of it, as TAP devices of this machine.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use maglane_sim::device::SimulatedCard;
use maglane_sim::shared::Shared;
use maglane_spec::limit::FRAME_LEN_SIDEBAND_MAX;
use maglane_spec::verdict::Egress;
use maglane_sw::engine::{Frame, Outcome};
use maglane_sw::io::capture::CaptureWriter;
use maglane_sw::io::tap::{Layer, Tap, TapError};

use super::{BATCH, LOOK};
use crate::output::{counted, thousands};

/// Where a served card's frames come from and where they go.
#[derive(Debug)]
pub(super) struct Live {
    wire: Tap,
    host: Option<Tap>,
}

/// What has passed.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// From the wire into the card.
    entered: u64,
    forwarded: u64,
    passed: u64,
    dropped: u64,
    /// From the host to the wire.
    sent: u64,
    /// What the kernel did not take, of both.
    refused: u64,
}

impl Live {
    /// Takes the devices, or makes them.
    pub(super) fn open(wire: &str, host: Option<&str>) -> Result<Self> {
        if host == Some(wire) {
            bail!("{wire}: the wire and the host's side are two devices; give --host-tap another name");
        }
        let open = |name| Tap::open(name, Layer::Frames);
        Ok(Self { wire: open(wire)?, host: host.map(open).transpose()? })
    }

    /// What the devices are, and what they need.
    pub(super) fn describe(&self) -> String {
        let wire = self.wire.name();
        match self.host.as_ref().map(Tap::name) {
            Some(host) => format!(
                "TAP devices: {wire} is the wire, {host} the host's side; they have frames once they are up \
                 (ip link set {wire} up; ip link set {host} up)"
            ),
            None => format!("TAP device: {wire} is the wire; it has frames once it is up (ip link set {wire} up)"),
        }
    }

    /// Gives the card what comes, until it is told to stop; writes what is forwarded to a capture too.
    pub(super) fn run(&self, card: &Shared<SimulatedCard>, out: Option<&Path>, stop: &AtomicBool) -> Result<Passed> {
        let mut writer = out.map(CaptureWriter::create).transpose()?;
        let clock = Clock::start()?;
        let mut passed = Passed::default();
        // Reused for every batch, so that memory does not grow with what comes.
        let mut buffers = vec![0; BATCH * FRAME_LEN_SIDEBAND_MAX];
        let mut arrived = Vec::with_capacity(BATCH);
        let mut look = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            if Instant::now() >= look {
                card.lock().follow_time(clock.now_ns())?;
                look = Instant::now() + LOOK;
            }
            if !self.wait(look)? {
                continue;
            }
            self.relay_host(&mut buffers, &mut passed)?;
            arrived.clear();
            for buffer in buffers.chunks_mut(FRAME_LEN_SIDEBAND_MAX) {
                let Some(len) = self.wire.receive(buffer)? else { break };
                arrived.push((clock.now_ns(), len));
            }
            if arrived.is_empty() {
                continue;
            }
            let frames: Vec<Frame<'_>> = arrived
                .iter()
                .zip(buffers.chunks(FRAME_LEN_SIDEBAND_MAX))
                .map(|(&(time_ns, len), buffer)| Frame { time_ns, bytes: &buffer[..len] })
                .collect();
            let outcomes = card.lock().frames(&frames)?;
            for (frame, outcome) in frames.iter().zip(&outcomes) {
                self.leave(outcome, &mut passed)?;
                if let (Some(writer), Egress::Wire) = (&mut writer, outcome.verdict.egress()) {
                    writer.write(&Frame { time_ns: frame.time_ns, bytes: &outcome.output })?;
                }
            }
        }
        if let Some(writer) = writer {
            writer.finish()?;
        }
        Ok(passed)
    }

    fn wait(&self, deadline: Instant) -> Result<bool, TapError> {
        match &self.host {
            Some(host) => Tap::wait([&self.wire, host], deadline),
            None => Tap::wait([&self.wire], deadline),
        }
    }

    /// What the host sends leaves on the wire as it is; no more at a time than the card gets.
    fn relay_host(&self, buffer: &mut [u8], passed: &mut Passed) -> Result<(), TapError> {
        let Some(host) = &self.host else { return Ok(()) };
        for _ in 0..BATCH {
            let Some(len) = host.receive(buffer)? else { break };
            passed.sent += 1;
            passed.refused += u64::from(!self.wire.send(&buffer[..len])?);
        }
        Ok(())
    }

    /// A frame leaves the card.
    fn leave(&self, outcome: &Outcome, passed: &mut Passed) -> Result<(), TapError> {
        passed.entered += 1;
        let (count, device) = match outcome.verdict.egress() {
            Egress::Wire => (&mut passed.forwarded, Some(&self.wire)),
            Egress::Host => (&mut passed.passed, self.host.as_ref()),
            Egress::Nowhere => (&mut passed.dropped, None),
        };
        *count += 1;
        if let Some(device) = device {
            passed.refused += u64::from(!device.send(&outcome.output)?);
        }
        Ok(())
    }
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entered, forwarded, passed, dropped, sent, refused } = self;
        let entered = counted(*entered, "frame");
        let [forwarded, passed, dropped, refused] =
            [forwarded, passed, dropped, refused].map(|count| thousands(*count));
        write!(f, "{entered} in: {forwarded} forwarded, {passed} passed to the host, {dropped} dropped; ")?;
        write!(f, "{} from the host; {refused} that the kernel did not take", counted(*sent, "frame"))
    }
}

/// The time of day at its start, which then runs on evenly, whatever is done to the machine's clock.
struct Clock {
    started: Instant,
    since_1970: Duration,
}

impl Clock {
    fn start() -> Result<Self> {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).context("this machine's clock is before 1970")?;
        Ok(Self { started: Instant::now(), since_1970 })
    }

    fn now_ns(&self) -> u64 {
        u64::try_from((self.since_1970 + self.started.elapsed()).as_nanos()).unwrap_or(u64::MAX)
    }
}
