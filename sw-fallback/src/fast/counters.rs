//! A worker's counters: it alone writes them, anybody may read.

use std::sync::atomic::{AtomicU64, Ordering};

use maglane_spec::counter::PacketsBytes;
use maglane_spec::{FlowOutcome, Geometry, Verdict};

use crate::engine::Counters;

/// Counters of one index.
#[derive(Debug, Default)]
struct Counter {
    packets: AtomicU64,
    bytes: AtomicU64,
}

/// Counters before a set's first and behind its last: a line of the cache, so that no other worker's set shares one.
const MARGIN: usize = 4;

/// Counters by index, each kind with a margin.
#[derive(Debug)]
struct Set(Box<[Counter]>);

/// All counters of a worker.
#[derive(Debug)]
pub(crate) struct WorkerCounters {
    verdicts: Set,
    flows: Set,
    services: Set,
    backends: Set,
}

impl WorkerCounters {
    /// Zeros.
    pub(crate) fn new(geometry: &Geometry) -> Self {
        Self {
            verdicts: Set::new(Verdict::CODES),
            flows: Set::new(FlowOutcome::CODES),
            services: Set::new(geometry.services as usize),
            backends: Set::new(geometry.backends as usize),
        }
    }

    /// Counts frames by verdict.
    #[inline(always)]
    pub(super) fn verdict(&self, verdict: Verdict, packets: u64, bytes: u64) {
        self.verdicts.add(usize::from(verdict.code()), packets, bytes);
    }

    /// Counts frames by what they met in the flow table.
    #[inline(always)]
    pub(super) fn flow(&self, flow: FlowOutcome, packets: u64, bytes: u64) {
        self.flows.add(usize::from(flow.code()), packets, bytes);
    }

    /// Counts forwarded frames of a service, whose id wraps at the number of services, a power of two.
    #[inline(always)]
    fn service(&self, service: u16, packets: u64, bytes: u64) {
        let services = self.services.0.len() - 2 * MARGIN;
        self.services.add(usize::from(service) & (services - 1), packets, bytes);
    }

    /// Adds all of them to a sum.
    pub(crate) fn add_to(&self, sum: &mut Counters) {
        let sets = [
            (&self.verdicts, &mut sum.verdicts),
            (&self.flows, &mut sum.flows),
            (&self.services, &mut sum.services),
            (&self.backends, &mut sum.backends),
        ];
        for (own, sum) in sets {
            for (counter, PacketsBytes { packets, bytes }) in own.0[MARGIN..].iter().zip(sum) {
                *packets = packets.wrapping_add(counter.packets.load(Ordering::Relaxed));
                *bytes = bytes.wrapping_add(counter.bytes.load(Ordering::Relaxed));
            }
        }
    }

    /// Sets all of them to zero; the worker must not count meanwhile.
    pub(crate) fn clear(&self) {
        for counter in [&self.verdicts, &self.flows, &self.services, &self.backends].iter().flat_map(|set| &set.0) {
            counter.packets.store(0, Ordering::Relaxed);
            counter.bytes.store(0, Ordering::Relaxed);
        }
    }
}

/// Frames of a burst that are counted together: packets and bytes in one word, because every frame adds to both.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum(u64);

/// Bits of [`Sum`] for bytes: a burst has far less than 2^32.
const SUM_BYTES: u32 = 32;

impl Sum {
    #[inline(always)]
    pub(super) const fn add(&mut self, len: usize) {
        self.0 += len as u64 + (1 << SUM_BYTES);
    }

    #[inline(always)]
    pub(super) const fn packets(self) -> u64 {
        self.0 >> SUM_BYTES
    }

    #[inline(always)]
    pub(super) const fn bytes(self) -> u64 {
        self.0 & ((1 << SUM_BYTES) - 1)
    }
}

/// Forwarded frames of a burst: those of a service are counted together, as long as no other one's come between.
pub(super) struct Forwarded<'a> {
    counters: &'a WorkerCounters,
    backends: &'a [Counter],
    service: u16,
    of_service: Sum,
    all: Sum,
    /// Those of them that found their flow in the flow table as it was to be.
    hits: Sum,
}

impl<'a> Forwarded<'a> {
    pub(super) fn new(counters: &'a WorkerCounters) -> Self {
        Self {
            counters,
            backends: &counters.backends.0,
            service: 0,
            of_service: Sum::default(),
            all: Sum::default(),
            hits: Sum::default(),
        }
    }

    /// Counts a frame of a backend.
    #[inline(always)]
    pub(super) fn backend(&self, backend: u16, len: usize) {
        add(self.backends, usize::from(backend), 1, len as u64);
    }

    /// Counts frames of a service that found their flow in the flow table as it was to be.
    #[inline(always)]
    pub(super) fn hits_of(&mut self, service: u16, sum: Sum) {
        self.hits.0 += sum.0;
        self.others_of(service, sum);
    }

    /// Counts frames of a service.
    #[inline(always)]
    pub(super) fn others_of(&mut self, service: u16, sum: Sum) {
        if service != self.service {
            self.next(service);
        }
        self.of_service.0 += sum.0;
    }

    /// Counts what has not been counted yet.
    #[inline(always)]
    pub(super) fn end(mut self) {
        self.next(0);
        self.counters.verdict(Verdict::Forward, self.all.packets(), self.all.bytes());
        self.counters.flow(FlowOutcome::Hit, self.hits.packets(), self.hits.bytes());
    }

    #[inline(always)]
    fn next(&mut self, service: u16) {
        self.counters.service(self.service, self.of_service.packets(), self.of_service.bytes());
        self.all.0 += self.of_service.0;
        (self.service, self.of_service) = (service, Sum::default());
    }
}

impl Set {
    fn new(count: usize) -> Self {
        Self((0..count + 2 * MARGIN).map(|_| Counter::default()).collect())
    }

    #[inline(always)]
    fn add(&self, index: usize, packets: u64, bytes: u64) {
        add(&self.0, index, packets, bytes);
    }
}

/// Adds to a counter of a set.
#[inline(always)]
fn add(set: &[Counter], index: usize, packets: u64, bytes: u64) {
    // An index beyond the set is none that a checked image has.
    let Some(counter) = set.get(MARGIN + index) else { return };
    // One writer: no need for the bus to be locked.
    let add = |to: &AtomicU64, number| to.store(to.load(Ordering::Relaxed).wrapping_add(number), Ordering::Relaxed);
    add(&counter.packets, packets);
    add(&counter.bytes, bytes);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn counters_of_workers_share_no_line_of_the_cache() {
        const LINE: usize = 64;
        let workers: Vec<WorkerCounters> = (0..64).map(|_| WorkerCounters::new(&Geometry::ECP5)).collect();
        let lines = |worker: &WorkerCounters| -> HashSet<usize> {
            let sets = [&worker.verdicts, &worker.flows, &worker.services, &worker.backends];
            let used = sets.into_iter().flat_map(|set| &set.0[MARGIN..set.0.len() - MARGIN]);
            used.map(|counter| std::ptr::from_ref(counter).addr() / LINE).collect()
        };
        let mut taken = HashSet::new();
        for worker in &workers {
            let own = lines(worker);
            assert!(own.len() > 8 && taken.is_disjoint(&own));
            taken.extend(own);
        }
    }
}
