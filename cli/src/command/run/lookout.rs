//! Where workers look out for frames that are to be explained, and note what such a frame meets.
//!
//! A frame that is asked for is processed alone, so that what was noted before it is what it met: a burst that has such is
//! worked on in parts. As parts the burst comes to the same as in one. What is noted is put into words by who reports; here
//! nothing is formatted, nothing waited for, and no more is kept than there is room for. Without anyone who asks it is one
//! load a burst.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use maglane_spec::{Egress, TableImage, Verdict};
use maglane_sw::fast::{BURST, Packet, Worker};
use maglane_sw::slow::{Fate, Outbox, SlowPath, divert};
use maglane_sw::{Trace, stage};

use crate::command::trace::{Filter, Met};

/// Frames that are noted and not told yet, at most.
pub(super) const ROOM: usize = 1_024;

/// What is looked for, by all workers.
#[derive(Debug, Default)]
pub(super) struct Lookout {
    /// A number for what is looked for now; 0 is nothing.
    watch: AtomicU64,
    /// What that is, and the last number that was given.
    filter: Mutex<(u64, Option<Filter>)>,
    /// Frames that are noted and not told.
    noted: AtomicUsize,
    /// Frames that were asked for when there was no room.
    untold: AtomicU64,
}

/// A worker's eyes.
#[derive(Debug)]
pub(super) struct Watcher<'a> {
    lookout: &'a Lookout,
    worker: usize,
    /// The watch whose filter this is.
    watch: u64,
    filter: Option<Filter>,
    sightings: SyncSender<Sighting>,
}

/// A frame that was asked for: what it met, and what became of it.
#[derive(Debug)]
pub(super) struct Sighting {
    /// For whom it was noted.
    pub(super) watch: u64,
    /// Number of the worker, from 0.
    pub(super) worker: usize,
    /// Since the run began.
    pub(super) time_ns: u64,
    /// The frame as it came in.
    pub(super) bytes: Vec<u8>,
    /// The tables before it.
    pub(super) image: Arc<TableImage>,
    /// What there was of its flow, if it has one.
    pub(super) met: Option<Met>,
    /// What the pipeline did.
    pub(super) trace: Trace,
    /// The frame that left, if it did.
    pub(super) out: Vec<u8>,
    /// What the slow path made of it, if it looked at it; held is no fate yet.
    pub(super) fate: Option<Option<Fate>>,
    pub(super) egress: Egress,
}

impl Lookout {
    /// Has workers look out for frames, from their next burst on, instead of for what it was before.
    pub(super) fn watch(&self, filter: Filter) -> u64 {
        let mut own = self.filter.lock().unwrap_or_else(PoisonError::into_inner);
        *own = (own.0.wrapping_add(1).max(1), Some(filter));
        self.untold.store(0, Ordering::Relaxed);
        self.watch.store(own.0, Ordering::Relaxed);
        own.0
    }

    /// Has workers look out for nothing any more.
    pub(super) fn end(&self) {
        self.watch.store(0, Ordering::Relaxed);
    }

    /// Makes room for another frame, because one has been told.
    pub(super) fn told(&self) {
        self.noted.fetch_sub(1, Ordering::Relaxed);
    }

    /// Frames for which there was no room since it was asked last.
    pub(super) fn untold(&self) -> u64 {
        self.untold.swap(0, Ordering::Relaxed)
    }

    /// Takes room for a frame, if there is any; else it is counted.
    fn take_room(&self) -> bool {
        let more = |noted: usize| (noted < ROOM).then_some(noted + 1);
        let there = self.noted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        if !there {
            self.untold.fetch_add(1, Ordering::Relaxed);
        }
        there
    }
}

impl<'a> Watcher<'a> {
    pub(super) fn new(lookout: &'a Lookout, worker: usize, sightings: SyncSender<Sighting>) -> Self {
        Self { lookout, worker, watch: 0, filter: None, sightings }
    }

    /// Has a burst processed, and what the pipeline passes looked at by the slow path; notes the frames that are asked for.
    pub(super) fn process(
        &mut self,
        time_ns: u64,
        packets: &mut [Packet<'_>],
        worker: &mut Worker,
        slow: &Mutex<SlowPath>,
        egresses: &mut [Egress],
        outbox: &mut Outbox,
    ) {
        let watch = self.lookout.watch.load(Ordering::Relaxed);
        if watch == 0 {
            let found = worker.process(time_ns, packets);
            divert(slow, time_ns, packets, worker, found, egresses, outbox);
            return;
        }
        if watch != self.watch {
            // Once for each who asks; who asks has it for a moment only.
            (self.watch, self.filter) = *self.lookout.filter.lock().unwrap_or_else(PoisonError::into_inner);
        }
        let mut parts = Parts::new(time_ns, packets, egresses);
        let mut sightings = Vec::new();
        if let Some(filter) = self.filter {
            for at in 0..parts.packets.len() {
                if filter.matches(parts.packets[at].bytes()) && self.lookout.take_room() {
                    sightings.push((at, self.note(at, &mut parts, worker)));
                }
            }
        }
        parts.process_until(parts.packets.len(), worker);
        // In the order and with the lock of a burst that is watched by nobody.
        let mut locked = None;
        let mut sightings = sightings.into_iter().peekable();
        for at in 0..parts.packets.len() {
            let trace = parts.traces[at];
            let mut fate = None;
            if parts.egresses[at] == Egress::Host && SlowPath::wants(trace.verdict) {
                let slow = locked.get_or_insert_with(|| slow.lock().unwrap_or_else(PoisonError::into_inner));
                let of_frame = slow.look_at(time_ns, parts.packets[at].bytes(), &trace, outbox);
                parts.egresses[at] = if of_frame == Some(Fate::Passed) { Egress::Host } else { Egress::Nowhere };
                fate = Some(of_frame);
            }
            if let Some((_, noted)) = sightings.next_if(|&(noted_at, _)| noted_at == at) {
                self.send(noted.map(|noted| Sighting { fate, egress: parts.egresses[at], ..noted }));
            }
        }
    }

    /// Has a frame processed alone, once all before it are, and notes what it met. None while no tables serve.
    fn note(&self, at: usize, parts: &mut Parts<'_, '_>, worker: &mut Worker) -> Option<Sighting> {
        parts.process_until(at, worker);
        // The tick is moved now, so that it is noted as the frame meets it.
        worker.process(parts.time_ns, &mut []);
        let bytes = parts.packets[at].bytes().to_vec();
        let image = worker.datapath().image();
        let h = image.as_ref().and_then(|image| hash(image, &bytes));
        let met = h.map(|h| worker.datapath().met_by(h));
        parts.process_until(at + 1, worker);
        let trace = parts.traces[at];
        let left = trace.verdict == Verdict::Forward;
        Some(Sighting {
            watch: self.watch,
            worker: self.worker,
            time_ns: parts.time_ns,
            bytes,
            image: image?,
            met,
            trace,
            out: if left { parts.packets[at].bytes().to_vec() } else { Vec::new() },
            fate: None,
            egress: parts.egresses[at],
        })
    }

    /// Gives a frame to who reports. There is room for as many as may be noted.
    fn send(&self, sighting: Option<Sighting>) {
        if sighting.is_none_or(|sighting| self.sightings.try_send(sighting).is_err()) {
            self.lookout.told();
            self.lookout.untold.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A burst that is processed in parts, one after the other.
struct Parts<'b, 'p> {
    time_ns: u64,
    packets: &'b mut [Packet<'p>],
    egresses: &'b mut [Egress],
    /// Of those that are processed.
    traces: [Trace; BURST],
    processed: usize,
}

impl<'b, 'p> Parts<'b, 'p> {
    fn new(time_ns: u64, packets: &'b mut [Packet<'p>], egresses: &'b mut [Egress]) -> Self {
        let count = packets.len().min(egresses.len()).min(BURST);
        let (packets, egresses) = (&mut packets[..count], &mut egresses[..count]);
        Self { time_ns, packets, egresses, traces: [Trace::BEFORE_PARSE; BURST], processed: 0 }
    }

    /// Has those before a position processed, as far as they are not.
    fn process_until(&mut self, end: usize, worker: &mut Worker) {
        let begin = self.processed;
        if begin >= end {
            return;
        }
        let found = worker.process(self.time_ns, &mut self.packets[begin..end]);
        for (at, own) in (begin..end).enumerate() {
            self.traces[own] = worker.trace(at);
            self.egresses[own] = found.of(at);
        }
        self.processed = end;
    }
}

/// The hash h of a frame's flow, if it has a service that takes it.
fn hash(image: &TableImage, frame: &[u8]) -> Option<u64> {
    let parsed = stage::parse::parse(Some(&image.datapath), frame).ok()?;
    let service = stage::classify::classify(image, &parsed).ok()?;
    Some(stage::flow_hash::flow_hash(&image.datapath, service, &parsed).h)
}

#[cfg(test)]
mod tests;
