//! Lockstep: the same tables and frames through several engines, compared batch by batch.

use std::time::{Duration, Instant};

use maglane_spec::{TableImage, Verdict};
use maglane_sw::engine::{Counters, Engine, EngineError, FlowState, Frame, Outcome};

use crate::difference::{self, Difference};

/// Frames of a batch: enough to keep a pipeline full, few enough to keep memory small.
pub const BATCH: usize = 256;

/// What an engine did.
#[derive(Clone, Debug)]
pub struct Performance {
    /// The engine's name.
    pub engine: String,
    /// Time that it took for the frames, tables not included.
    pub time: Duration,
    /// Clocks of the simulated card, where there is one.
    pub clocks: Option<u64>,
}

/// Several engines in lockstep. The first is the reference.
pub struct Lockstep {
    engines: Vec<Box<dyn Engine>>,
    times: Vec<Duration>,
    frames: u64,
    differing: Vec<Vec<Outcome>>,
}

impl Lockstep {
    /// Loads the tables into all engines.
    ///
    /// # Errors
    /// When an engine refuses the tables or has stopped.
    pub fn new(mut engines: Vec<Box<dyn Engine>>, image: &TableImage) -> Result<Self, EngineError> {
        for engine in &mut engines {
            engine.load(image)?;
        }
        let times = vec![Duration::ZERO; engines.len()];
        Ok(Self { engines, times, frames: 0, differing: Vec::new() })
    }

    /// Runs a batch through all engines and compares what becomes of every frame. Yields the outcomes of the first
    /// engine, or the first difference.
    ///
    /// # Errors
    /// When an engine has stopped.
    pub fn process(&mut self, frames: &[Frame<'_>]) -> Result<Result<Vec<Outcome>, Difference>, EngineError> {
        let mut all = Vec::with_capacity(self.engines.len());
        for (engine, time) in self.engines.iter_mut().zip(&mut self.times) {
            let start = Instant::now();
            all.push(engine.process(frames)?);
            *time += start.elapsed();
        }
        let first_number = self.frames + 1;
        self.frames += frames.len() as u64;
        let Some((reference, others)) = all.split_first() else { return Ok(Ok(Vec::new())) };
        let differences = others.iter().enumerate().filter_map(|(index, outcomes)| {
            let names = (self.engines[0].name(), self.engines[index + 1].name());
            let mut pairs = (first_number..).zip(reference.iter().zip(outcomes));
            pairs.find_map(|(number, (a, b))| difference::of_outcomes(names, number, a, b))
        });
        match differences.min_by_key(|difference| difference.frame) {
            Some(difference) => {
                self.differing = all;
                Ok(Err(difference))
            }
            None => Ok(Ok(all.swap_remove(0))),
        }
    }

    /// What each engine made of the frames of the batch that differs, by engine, the reference first; empty as long as
    /// every batch agrees.
    #[must_use]
    pub fn differing(&self) -> &[Vec<Outcome>] {
        &self.differing
    }

    /// Compares the counters of all engines. Yields those of the first, or the first difference.
    ///
    /// # Errors
    /// When an engine has stopped.
    pub fn counters(&mut self) -> Result<Result<Counters, Difference>, EngineError> {
        let mut all = Vec::with_capacity(self.engines.len());
        for engine in &mut self.engines {
            all.push(engine.counters()?);
        }
        for (index, counters) in all.iter().enumerate().skip(1) {
            let names = (self.engines[0].name(), self.engines[index].name());
            if let Some(difference) = difference::of_counters(names, &all[0], counters) {
                return Ok(Err(difference));
            }
        }
        Ok(Ok(all.swap_remove(0)))
    }

    /// Compares what all engines remember: flow table, turns, tick. Yields that of the first, or the first difference.
    ///
    /// # Errors
    /// When an engine has stopped.
    pub fn flow_state(&mut self) -> Result<Result<FlowState, Difference>, EngineError> {
        let mut all = Vec::with_capacity(self.engines.len());
        for engine in &mut self.engines {
            all.push(engine.flow_state()?);
        }
        for (index, state) in all.iter().enumerate().skip(1) {
            let names = (self.engines[0].name(), self.engines[index].name());
            if let Some(difference) = difference::of_flow_states(names, &all[0], state) {
                return Ok(Err(difference));
            }
        }
        Ok(Ok(all.swap_remove(0)))
    }

    /// Compares the live flows of backends as all engines count them. Yields nothing, or the first difference.
    ///
    /// # Errors
    /// When an engine has stopped.
    pub fn live_flows(&mut self) -> Result<Result<(), Difference>, EngineError> {
        let mut all = Vec::with_capacity(self.engines.len());
        for engine in &mut self.engines {
            all.push(engine.live_flows()?);
        }
        let mut differences = all.iter().enumerate().skip(1).filter_map(|(index, live)| {
            difference::of_live_flows((self.engines[0].name(), self.engines[index].name()), &all[0], live)
        });
        Ok(differences.next().map_or(Ok(()), Err))
    }

    /// Compares counters, what else all engines remember, and the live flows they count. Yields the former two of the
    /// first engine, or the first difference.
    ///
    /// # Errors
    /// When an engine has stopped.
    pub fn remembered(&mut self) -> Result<Result<(Counters, FlowState), Difference>, EngineError> {
        Ok(match self.counters()? {
            Ok(counters) => match self.flow_state()? {
                Ok(state) => self.live_flows()?.map(|()| (counters, state)),
                Err(difference) => Err(difference),
            },
            Err(difference) => Err(difference),
        })
    }

    /// Replaces the tables of all engines between two frames.
    ///
    /// # Errors
    /// When an engine refuses the tables or has stopped.
    pub fn update(&mut self, image: &TableImage) -> Result<(), EngineError> {
        self.engines.iter_mut().try_for_each(|engine| engine.update(image))
    }

    /// Frames that all engines have processed.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.frames
    }

    /// What each engine did so far.
    #[must_use]
    pub fn performance(&self) -> Vec<Performance> {
        let engines = self.engines.iter().zip(&self.times);
        engines
            .map(|(engine, &time)| Performance { engine: engine.name().to_owned(), time, clocks: engine.clocks() })
            .collect()
    }
}

/// Frames by verdict, for a report.
#[must_use]
pub fn histogram(counters: &Counters) -> Vec<(Verdict, u64, u64)> {
    let entries = Verdict::ALL.iter().map(|&verdict| {
        let counter = counters.verdicts.get(usize::from(verdict.code())).copied().unwrap_or_default();
        (verdict, counter.packets, counter.bytes)
    });
    entries.filter(|&(_, packets, _)| packets > 0).collect()
}
