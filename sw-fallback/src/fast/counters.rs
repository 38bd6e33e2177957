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

    /// Counts a forwarded frame; a service's id wraps at the number of services, a power of two.
    #[inline(always)]
    pub(super) fn forwarded(&self, service: u16, backend: u16, bytes: u64) {
        let services = self.services.0.len() - 2 * MARGIN;
        self.services.add(usize::from(service) & (services - 1), 1, bytes);
        self.backends.add(usize::from(backend), 1, bytes);
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

impl Set {
    fn new(count: usize) -> Self {
        Self((0..count + 2 * MARGIN).map(|_| Counter::default()).collect())
    }

    #[inline(always)]
    fn add(&self, index: usize, packets: u64, bytes: u64) {
        // An index beyond the set is none that a checked image has.
        let Some(counter) = self.0.get(MARGIN + index) else { return };
        // One writer: no need for the bus to be locked.
        let add = |to: &AtomicU64, number| to.store(to.load(Ordering::Relaxed).wrapping_add(number), Ordering::Relaxed);
        add(&counter.packets, packets);
        add(&counter.bytes, bytes);
    }
}
