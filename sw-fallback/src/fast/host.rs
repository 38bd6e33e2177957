//! What the host asks of a datapath, beside the bursts: where a frame would go, without sending or counting it; and what
//! one would meet.
//!
//! The first is for frames that the host makes up, of which the pipeline has counted what they are made of already; the
//! second for who explains a frame's way. Its unit of work is a frame.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use maglane_spec::TableImage;

use super::counters::WorkerCounters;
use super::flow_table::{self, Ages};
use super::{Datapath, HEADROOM, LOOK, Packet, Worker};
use crate::flow_table::FlowTable;
use crate::pipeline::Trace;
use crate::simd::Level;

/// Finds the places of frames in a [`Datapath`], with all that this does to its flow table, turns and tick. Nothing is
/// counted.
#[derive(Debug)]
pub struct Placer {
    worker: Worker,
    buffer: Vec<u8>,
}

impl Placer {
    /// One for a datapath.
    #[must_use]
    pub fn new(datapath: Arc<Datapath>) -> Self {
        // Counters that are not among the datapath's: nobody reads them.
        let counters = Arc::new(WorkerCounters::new(&datapath.geometry));
        Self { worker: Worker::counting(datapath, Level::best(), counters), buffer: Vec::new() }
    }

    /// What it places frames in.
    #[must_use]
    pub fn datapath(&self) -> &Arc<Datapath> {
        self.worker.datapath()
    }

    /// What [`Worker::process`] would say of a frame that came in now.
    pub fn place(&mut self, time_ns: u64, frame: &[u8]) -> Trace {
        self.buffer.clear();
        self.buffer.resize(HEADROOM, 0);
        self.buffer.extend_from_slice(frame);
        self.buffer.resize(HEADROOM + frame.len() + LOOK, 0);
        let Some(packet) = Packet::new(&mut self.buffer, HEADROOM, frame.len()) else { return Trace::BEFORE_PARSE };
        self.worker.process(time_ns, &mut [packet]);
        self.worker.trace(0)
    }
}

impl Datapath {
    /// The tables that serve now; none is bypass.
    #[must_use]
    pub fn image(&self) -> Option<Arc<TableImage>> {
        self.tables.load().as_ref().map(|tables| Arc::clone(&tables.image))
    }

    /// What a frame of the flow with hash `h` would meet now: its set of the flow table with the tick, as
    /// [`FlowTable::excerpt`] has them, and the next turns of the services by service id. While other workers are at work,
    /// each entry and each turn is one that was there in this moment, but not all have to be of the same.
    #[must_use]
    pub fn met_by(&self, h: u64) -> (FlowTable, Vec<u16>) {
        let words = flow_table::snapshot(self.flows.set(h));
        let ages = Ages::from_word(self.ages.load(Ordering::Relaxed));
        let live = words.map(|word| if ages.live(word) { word } else { 0 });
        let turns = self.turns.iter().map(|turn| turn.load(Ordering::Relaxed)).collect();
        (FlowTable::of_set(live, ages.tick), turns)
    }
}

#[cfg(test)]
mod tests {
    use maglane_spec::counter::PacketsBytes;
    use maglane_spec::{FlowOutcome, Verdict};

    use super::*;
    use crate::Pipeline;
    use crate::engine::Engine;
    use crate::fixture::{VIP, image, tcp, tcp_v6, udp};

    #[test]
    fn places_are_those_of_the_scalar_pipeline_and_leave_entries_but_no_counts() {
        let datapath = Arc::new(Datapath::new(image().geometry).unwrap());
        let mut placer = Placer::new(Arc::clone(&datapath));
        assert_eq!(placer.place(0, &tcp(VIP, 80, 1)).verdict, Verdict::PassBypass);
        assert!(datapath.image().is_none());
        datapath.load(Arc::new(image())).unwrap();
        assert_eq!(datapath.image().as_deref(), Some(&image()));
        let mut scalar = Pipeline::new(image().geometry);
        scalar.load(&image()).unwrap();
        let mut out = Vec::new();
        // A sequence's turn, twice; a new flow and the same again; nobody's; too big; and one of no bytes.
        let [turn, new] = [tcp(VIP, 8086, 5), udp(VIP, 53, 5)];
        let others = [tcp(VIP, 81, 5), tcp(VIP, 80, 1_460), tcp_v6([9; 16], 8091, 0), vec![]];
        for frame in [&turn, &turn, &new, &new].into_iter().chain(&others) {
            assert_eq!(placer.place(7, frame), scalar.process_frame(7, frame, &mut out), "{frame:02x?}");
        }
        assert_eq!(datapath.flow_state(), scalar.flow_state().unwrap());
        assert_eq!(placer.place(7, &new).flow, FlowOutcome::Hit);
        // What the next one would meet is what is left of all, and at a later tick only what is live then.
        let h = placer.place(7, &new).hash;
        for (time_ns, live) in [(7, true), (59_000_000_000, true), (61_000_000_000, false)] {
            assert_eq!(placer.place(time_ns, &turn), scalar.process_frame(time_ns, &turn, &mut out));
            let (found, turns) = datapath.met_by(h);
            let (set, tick) = (scalar.flow_table().set(h), scalar.flow_table().tick());
            assert_eq!((found.set(h), found.tick(), &*turns), (set, tick, scalar.turns()));
            assert_eq!((found.candidate(h).is_some(), found.entries().count()), (live, 8), "{time_ns}");
        }
        let counters = datapath.counters();
        assert!(counters.verdicts.iter().chain(&counters.flows).all(|count| *count == PacketsBytes::default()));
    }
}
