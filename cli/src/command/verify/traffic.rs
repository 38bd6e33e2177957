//! What a run tells about its traffic: frames by verdict, by flow outcome and by backend, and the flow table they left.

use std::collections::BTreeMap;

use maglane_spec::counter::PacketsBytes;
use maglane_spec::{FlowOutcome, Geometry, Verdict, flow};
use maglane_sw::engine::{Counters, FlowState, Frame, Outcome};
use maglane_table::TableFile;
use serde::Serialize;

use crate::command::replay::{Counts, ReadOnly, flows, verdicts};
use crate::command::table::endpoint;

/// The frames that all engines agree on, counted from their outcomes.
#[derive(Debug)]
pub(super) struct Tally {
    counters: Counters,
    /// Those that read the flow table and left it as it was.
    read_only: ReadOnly,
    /// Flows that were given to a backend, by backend id.
    inserted: Vec<u64>,
    frames: u64,
}

/// What the frames of a run met.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Traffic {
    pub(super) verdicts: Counts,
    pub(super) flows: Counts,
    pub(super) services: Vec<ServiceTraffic>,
    /// None when engines differ: then there is no flow table that all agree on.
    pub(super) flow_table: Option<FlowTable>,
}

/// Frames forwarded for a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ServiceTraffic {
    pub(super) id: u16,
    pub(super) name: String,
    pub(super) endpoint: String,
    pub(super) enabled: bool,
    pub(super) selection: &'static str,
    pub(super) table_size: u16,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) backends: Vec<BackendTraffic>,
}

/// Frames forwarded to a backend, and its flows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct BackendTraffic {
    pub(super) id: u16,
    pub(super) name: String,
    pub(super) state: &'static str,
    pub(super) slots: u32,
    /// Slots as a fraction of the service's: its share of new flows, if clients are many.
    pub(super) share_slots: f64,
    /// Flows that the service gave it.
    pub(super) flows_new: u64,
    /// Flows in the flow table at the end.
    pub(super) flows_live: Option<u64>,
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

/// The flow table after the last frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct FlowTable {
    pub(super) entries: usize,
    pub(super) new: u64,
    pub(super) established: u64,
    pub(super) closing: u64,
    /// Sets by the number of their ways in use, from none to all.
    pub(super) sets_by_ways: [u64; flow::WAYS + 1],
    #[serde(skip)]
    by_backend: BTreeMap<u64, u64>,
}

impl Tally {
    pub(super) fn new(geometry: &Geometry) -> Self {
        let zero = |entries: usize| vec![PacketsBytes::default(); entries];
        let (services, backends) = (geometry.services as usize, geometry.backends as usize);
        let counters = Counters {
            verdicts: zero(Verdict::CODES),
            flows: zero(FlowOutcome::CODES),
            services: zero(services),
            backends: zero(backends),
        };
        Self { counters, read_only: ReadOnly::default(), inserted: vec![0; backends], frames: 0 }
    }

    pub(super) fn add(&mut self, frame: &Frame<'_>, outcome: &Outcome) {
        let count = |set: &mut [PacketsBytes], index: usize| {
            if let Some(counter) = set.get_mut(index) {
                counter.packets += 1;
                counter.bytes += frame.bytes.len() as u64;
            }
        };
        self.frames += 1;
        self.read_only.add(frame, outcome);
        count(&mut self.counters.verdicts, usize::from(outcome.verdict.code()));
        count(&mut self.counters.flows, usize::from(outcome.flow.code()));
        if outcome.verdict == Verdict::Forward {
            count(&mut self.counters.services, usize::from(outcome.service));
            count(&mut self.counters.backends, usize::from(outcome.backend));
        }
        if outcome.flow == FlowOutcome::Inserted
            && let Some(inserted) = self.inserted.get_mut(usize::from(outcome.backend))
        {
            *inserted += 1;
        }
    }

    /// Frames that all engines agree on.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// Those of them that read the flow table and left it as it was.
    pub(super) fn read_only(&self) -> ReadOnly {
        self.read_only
    }
}

impl Traffic {
    /// Puts names to what was counted: by the engines themselves, if they agree to the end, else by the tally.
    pub(super) fn new(tables: &TableFile, tally: &Tally, remembered: Option<&(Counters, FlowState)>) -> Self {
        let counters = remembered.map_or(&tally.counters, |(counters, _)| counters);
        let flow_table = remembered.map(|(_, state)| FlowTable::new(state));
        let counter = |set: &[PacketsBytes], id: u16| set.get(usize::from(id)).copied().unwrap_or_default();
        let backend = |backend: maglane_table::balance::BackendBalance| {
            let PacketsBytes { packets, bytes } = counter(&counters.backends, backend.id);
            BackendTraffic {
                id: backend.id,
                name: backend.name,
                state: backend.state,
                slots: backend.slots,
                share_slots: backend.share,
                flows_new: tally.inserted.get(usize::from(backend.id)).copied().unwrap_or(0),
                flows_live: flow_table.as_ref().map(|table| table.flows_of(backend.id)),
                packets,
                bytes,
            }
        };
        let service = |service: maglane_table::balance::ServiceBalance| {
            let PacketsBytes { packets, bytes } = counter(&counters.services, service.id);
            ServiceTraffic {
                id: service.id,
                endpoint: endpoint(&service),
                name: service.name,
                enabled: service.enabled,
                selection: service.selection,
                table_size: service.table_size,
                packets,
                bytes,
                backends: service.backends.into_iter().map(backend).collect(),
            }
        };
        let services = tables.balance().into_iter().map(service).collect();
        Self { verdicts: verdicts(counters), flows: flows(counters, tally.read_only), services, flow_table }
    }
}

impl FlowTable {
    fn new(state: &FlowState) -> Self {
        let mut table = Self {
            entries: state.entries.len(),
            new: 0,
            established: 0,
            closing: 0,
            sets_by_ways: [0; flow::WAYS + 1],
            by_backend: BTreeMap::new(),
        };
        for set in state.entries.chunks(flow::WAYS) {
            let mut ways = 0;
            for entry in set {
                match (entry & 3) as u8 {
                    flow::STATE_EMPTY => continue,
                    flow::STATE_NEW => table.new += 1,
                    flow::STATE_ESTABLISHED => table.established += 1,
                    _ => table.closing += 1,
                }
                ways += 1;
                *table.by_backend.entry(entry >> flow::BACKEND_SHIFT & u64::from(u16::MAX)).or_default() += 1;
            }
            table.sets_by_ways[ways] += 1;
        }
        table
    }

    /// Entries in use.
    pub(super) fn live(&self) -> u64 {
        self.new + self.established + self.closing
    }

    fn flows_of(&self, backend: u16) -> u64 {
        self.by_backend.get(&u64::from(backend)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use maglane_table::Config;

    use super::*;

    const TEXT: &str = include_str!("../../../../examples/web.toml");

    fn frame(bytes: &[u8]) -> Frame<'_> {
        Frame { time_ns: 0, bytes }
    }

    fn forwarded(flow: FlowOutcome, backend: u16) -> Outcome {
        Outcome { service: 0, hash: 1, flow, backend, ..Outcome::early(Verdict::Forward) }
    }

    #[test]
    fn tally_counts_as_the_engines_do() {
        let tables = Config::parse("web.toml", TEXT).unwrap().table_file().unwrap();
        let mut tally = Tally::new(&tables.image.geometry);
        tally.add(&frame(&[0; 60]), &forwarded(FlowOutcome::Inserted, 1));
        tally.add(&frame(&[0; 90]), &forwarded(FlowOutcome::Hit, 1));
        let too_big = Outcome { verdict: Verdict::PassTooBig, ..forwarded(FlowOutcome::Inserted, 2) };
        tally.add(&frame(&[0; 1_500]), &too_big);
        tally.add(&frame(&[0; 42]), &Outcome::early(Verdict::PassNotIp));
        tally.add(&frame(&[0; 70]), &forwarded(FlowOutcome::NotReached, 1));
        assert_eq!(tally.frames(), 5);
        let traffic = Traffic::new(&tables, &tally, None);
        let count = |packets, bytes| crate::command::replay::Count { packets, bytes };
        assert_eq!((traffic.verdicts["forward"], traffic.verdicts["pass_too_big"]), (count(3, 220), count(1, 1_500)));
        assert_eq!((traffic.flows["inserted"], traffic.flows["hit"]), (count(2, 1_560), count(1, 90)));
        // An ICMP error about a flow reads the flow table, and makes no new flow.
        assert_eq!((traffic.flows["read_only"], traffic.flows["not_reached"]), (count(1, 70), count(1, 42)));
        let web = &traffic.services[0];
        assert_eq!((web.name.as_str(), web.packets, web.bytes), ("web", 3, 220));
        let of = |index: usize| (web.backends[index].flows_new, web.backends[index].packets, web.backends[index].bytes);
        // A flow whose first frame is too big for its backend has its entry all the same.
        assert_eq!([of(0), of(1), of(2)], [(0, 0, 0), (1, 3, 220), (1, 0, 0)]);
        assert_eq!((web.backends[3].state, web.backends[3].slots), ("draining", 0));
        assert_eq!((web.backends[0].flows_live, traffic.flow_table), (None, None));
    }

    #[test]
    fn flow_table_is_counted_by_state_set_and_backend() {
        let entry = |backend: u64, state: u8| 7 << flow::TAG_SHIFT | backend << flow::BACKEND_SHIFT | u64::from(state);
        let mut entries = vec![0; 3 * flow::WAYS];
        entries[0] = entry(5, flow::STATE_NEW);
        entries[7] = entry(0xfffe, flow::STATE_CLOSING);
        for way in 0..flow::WAYS {
            entries[2 * flow::WAYS + way] = entry(5, flow::STATE_ESTABLISHED);
        }
        let table = FlowTable::new(&FlowState { tick: 0, entries, sequence: Vec::new() });
        assert_eq!((table.entries, table.new, table.established, table.closing, table.live()), (24, 1, 8, 1, 10));
        assert_eq!(table.sets_by_ways, [1, 0, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!([table.flows_of(5), table.flows_of(0xfffe), table.flows_of(0)], [9, 1, 0]);
    }
}
