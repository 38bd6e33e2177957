//! What the workers of a server share: tables, flow table, turns and time.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use arc_swap::ArcSwapOption;
use maglane_spec::flow::TICKS;
use maglane_spec::{Geometry, TableImage};

use super::counters::WorkerCounters;
use super::flow_table::{Ages, SharedFlowTable};
use super::tables::Tables;
use crate::engine::{Counters, EngineError, FlowState};
use crate::pipeline::{check_geometry, zero_counters};
use crate::tick::TickClock;

/// The name of this engine on the command line.
pub(super) const NAME: &str = "software-fast";

/// Parts of a tick in which a part of the flow table is swept, so that no burst waits for the whole while traffic flows.
/// After silence the first burst does what is left.
const SLICES: usize = 1_024;

/// The tables, and what is remembered from frame to frame, of any number of workers.
#[derive(Debug)]
pub struct Datapath {
    pub(super) geometry: Geometry,
    /// None is bypass.
    pub(super) tables: ArcSwapOption<Tables>,
    pub(super) flows: SharedFlowTable,
    /// Tick and timeouts, as [`Ages::word`] has them.
    pub(super) ages: AtomicU64,
    /// Next turns of the services with selection by sequence, by service id.
    pub(super) turns: Box<[AtomicU16]>,
    /// Time stamp from which on there is something to do for whoever moves time.
    due_ns: AtomicU64,
    /// Time stamp from which on a whole tick has been left out: then everyone waits until it has been made up for.
    late_ns: AtomicU64,
    clock: Mutex<Clock>,
    workers: Mutex<Vec<Arc<WorkerCounters>>>,
    /// Tables of earlier generations that a worker may still have: what it lets go of, it must not have to free.
    retired: Mutex<Vec<Arc<Tables>>>,
}

/// Time, which one worker moves at a time.
#[derive(Debug)]
struct Clock {
    ticks: TickClock,
    /// Sets, from the first, without an entry that had expired when the tick began.
    swept: usize,
}

impl Datapath {
    /// One without tables: it passes every frame to the host until an image is loaded.
    ///
    /// # Errors
    /// When the system has no memory for the flow table.
    pub fn new(geometry: Geometry) -> Result<Self, EngineError> {
        let (name, _, most) = Geometry::BOUNDS[3];
        if !geometry.flow_sets.is_power_of_two() || geometry.flow_sets > most {
            let message = format!("{name} is {}, and must be a power of two up to {most}", geometry.flow_sets);
            return Err(EngineError::Stopped { engine: NAME.to_owned(), message });
        }
        let flows = SharedFlowTable::new(geometry.flow_sets as usize).map_err(|error| EngineError::Stopped {
            engine: NAME.to_owned(),
            message: format!("no memory for a flow table of {} sets: {error}", geometry.flow_sets),
        })?;
        Ok(Self {
            geometry,
            tables: ArcSwapOption::empty(),
            flows,
            ages: AtomicU64::new(Ages::new(0, [0; 3]).word()),
            turns: (0..geometry.services).map(|_| AtomicU16::new(0)).collect(),
            due_ns: AtomicU64::new(u64::MAX),
            late_ns: AtomicU64::new(u64::MAX),
            clock: Mutex::new(Clock { ticks: TickClock::new(0), swept: 0 }),
            workers: Mutex::default(),
            retired: Mutex::default(),
        })
    }

    /// Loads tables, empties the flow table and sets the counters to zero. No worker may be at work.
    ///
    /// # Errors
    /// When the image was built for other sizes, `bus_bytes` aside: software has no bus. Nothing is changed.
    pub fn load(&self, image: Arc<TableImage>) -> Result<(), EngineError> {
        check_geometry(NAME, self.geometry, &image)?;
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        self.flows.clear();
        self.turns.iter().for_each(|turn| turn.store(0, Ordering::Relaxed));
        for worker in &*self.workers.lock().unwrap_or_else(PoisonError::into_inner) {
            worker.clear();
        }
        self.start(&mut clock, TickClock::new(image.datapath.tick_ms.value()), 0, &image);
        self.replace_tables(Tables::new(image));
        Ok(())
    }

    /// Replaces the tables, for each worker between two bursts; flow table, turns, tick and counters stay. New timeouts
    /// hold from the next tick on. A datapath without tables starts to serve.
    ///
    /// # Errors
    /// As for [`Self::load`]; also when the tick has another length than before, because ages are counted in it.
    pub fn update(&self, image: Arc<TableImage>) -> Result<(), EngineError> {
        check_geometry(NAME, self.geometry, &image)?;
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let tick_ms = image.datapath.tick_ms.value();
        match self.tables.load().as_ref().map(|own| own.image.datapath.tick_ms.value()) {
            Some(own) if own != tick_ms => {
                return Err(EngineError::TickLength { engine: NAME.to_owned(), image: tick_ms, own });
            }
            Some(_) => {}
            None => self.start(&mut clock, TickClock::new(tick_ms), 0, &image),
        }
        self.replace_tables(Tables::new(image));
        Ok(())
    }

    /// Takes over from another engine of the same sizes, see [`crate::engine::Engine::resume`]. No worker may be at work.
    ///
    /// # Errors
    /// When the state is not of these sizes or points at what is not there, or there are no tables yet. Nothing is changed.
    pub fn resume(&self, state: &FlowState, time_ns: u64) -> Result<(), EngineError> {
        let refused = |message| EngineError::FlowState { engine: NAME.to_owned(), message };
        state.check(&self.geometry).map_err(refused)?;
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let tables = self.tables.load();
        let Some(tables) = tables.as_ref() else { return Err(refused("it has no tables yet".to_owned())) };
        self.flows.fill(&state.entries);
        for (own, &turn) in self.turns.iter().zip(&state.sequence) {
            own.store(turn, Ordering::Relaxed);
        }
        let ticks = TickClock::at(tables.image.datapath.tick_ms.value(), time_ns);
        self.start(&mut clock, ticks, state.tick, &tables.image);
        Ok(())
    }

    /// Moves the tick to that of a time, and clears the part of the flow table whose turn it is. Without a lock when there
    /// is nothing to do, and without waiting when another worker is about to do it, unless there was silence for a tick.
    #[inline]
    pub(super) fn advance(&self, time_ns: u64) {
        // Who sees that nothing is due sees the tick of then, too.
        if time_ns < self.due_ns.load(Ordering::Acquire) {
            return;
        }
        let clock = if time_ns < self.late_ns.load(Ordering::Relaxed) {
            match self.clock.try_lock() {
                Ok(clock) => Some(clock),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            }
        } else {
            Some(self.clock.lock().unwrap_or_else(PoisonError::into_inner))
        };
        if let Some(mut clock) = clock {
            self.move_clock(&mut clock, time_ns);
        }
    }

    /// The first time stamp that is in a later tick.
    pub(super) fn tick_ends_ns(&self) -> u64 {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).ticks.next_ns()
    }

    /// Counters of all workers since the tables were loaded.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut sum = zero_counters(&self.geometry);
        for worker in &*self.workers.lock().unwrap_or_else(PoisonError::into_inner) {
            worker.add_to(&mut sum);
        }
        sum
    }

    /// Flow table, tick and turns. While workers are at work, each entry is one that it had in the meantime; the tick stays.
    #[must_use]
    pub fn flow_state(&self) -> FlowState {
        let _clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let ages = Ages::from_word(self.ages.load(Ordering::Relaxed));
        FlowState {
            tick: ages.tick,
            entries: self.flows.entries(ages).collect(),
            sequence: self.turns.iter().map(|turn| turn.load(Ordering::Relaxed)).collect(),
        }
    }

    /// Live flows by backend id.
    #[must_use]
    pub fn live_flows(&self) -> Vec<u32> {
        let _clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let ages = Ages::from_word(self.ages.load(Ordering::Relaxed));
        let mut live = vec![0; self.geometry.backends as usize];
        for entry in self.flows.entries(ages).filter(|&entry| entry != 0) {
            let backend = (entry >> maglane_spec::flow::BACKEND_SHIFT & 0xffff) as usize;
            live[backend & (self.geometry.backends as usize - 1)] += 1;
        }
        live
    }

    /// Whether the flow table lies in huge pages.
    #[must_use]
    pub fn has_huge_pages(&self) -> bool {
        self.flows.huge()
    }

    /// Counters for one more worker.
    pub(super) fn join(&self) -> Arc<WorkerCounters> {
        let counters = Arc::new(WorkerCounters::new(&self.geometry));
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&counters));
        counters
    }

    /// Gives the workers other tables, and frees those that none has any more.
    fn replace_tables(&self, tables: Tables) {
        let before = self.tables.swap(Some(Arc::new(tables)));
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.extend(before);
        retired.retain(|tables| Arc::strong_count(tables) > 1);
    }

    /// Begins to count time; the flow table may have entries of a tick.
    fn start(&self, clock: &mut Clock, ticks: TickClock, tick: u8, image: &TableImage) {
        let ages = Ages::new(tick, image.datapath.timeout_ticks);
        self.flows.sweep(0..self.flows.sets(), ages, 0);
        self.ages.store(ages.word(), Ordering::Relaxed);
        *clock = Clock { ticks, swept: self.flows.sets() };
        self.due_ns.store(clock.ticks.next_ns(), Ordering::Release);
        self.late_ns.store(clock.ticks.next_ns().saturating_add(clock.ticks.tick_ns()), Ordering::Relaxed);
    }

    #[cold]
    fn move_clock(&self, clock: &mut Clock, time_ns: u64) {
        let tables = self.tables.load();
        let Some(tables) = tables.as_ref() else { return };
        let sets = self.flows.sets();
        let ages = Ages::from_word(self.ages.load(Ordering::Relaxed));
        let ticks = clock.ticks.advance(time_ns);
        if ticks > 0 {
            // What expired in the tick that ends must be gone before ages wrap; a single tick makes none wrap that live.
            self.flows.sweep(clock.swept..sets, ages, 0);
            let timeouts = tables.image.datapath.timeout_ticks;
            if ticks > 1 {
                self.flows.sweep(0..sets, Ages::new(ages.tick, timeouts), ticks);
            }
            // 2^64 is a multiple of the number of ticks, so the sum may wrap.
            let tick = (ticks.wrapping_add(u64::from(ages.tick)) & 0xff) as u8 % TICKS;
            self.ages.store(Ages::new(tick, timeouts).word(), Ordering::Release);
            clock.swept = if ticks > 1 { sets } else { 0 };
        }
        let (tick_ns, next_ns) = (clock.ticks.tick_ns(), clock.ticks.next_ns());
        let slice_ns = (tick_ns / SLICES as u64).max(1);
        // Slices of the tick that have begun.
        let left = next_ns.saturating_sub(time_ns) / slice_ns;
        let begun = SLICES.saturating_sub(usize::try_from(left).unwrap_or(SLICES));
        if clock.swept < sets {
            let until = (sets * begun).div_ceil(SLICES).min(sets);
            let ages = Ages::from_word(self.ages.load(Ordering::Relaxed));
            self.flows.sweep(clock.swept..until.max(clock.swept), ages, 0);
            clock.swept = until.max(clock.swept);
        }
        let due_ns = if clock.swept < sets { time_ns.saturating_add(slice_ns).min(next_ns) } else { next_ns };
        self.due_ns.store(due_ns, Ordering::Release);
        self.late_ns.store(next_ns.saturating_add(tick_ns), Ordering::Relaxed);
    }
}
