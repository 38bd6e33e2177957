//! `maglane card flows`: how full the flow table is, and whose flows these are.

use std::io::Write;

use anyhow::Result;
use maglane_driver::counters::LiveFlows;
use maglane_driver::flows::FlowTableState;
use maglane_spec::flow;
use serde::Serialize;

use super::device;
use crate::args::DeviceArgs;
use crate::output::{Columns, Console, thousands};
use crate::progress;

/// What `flows --json` tells.
#[derive(Debug, Serialize)]
struct Flows {
    tick: u8,
    entries: usize,
    room: usize,
    new: usize,
    established: usize,
    closing: usize,
    /// Sets in which no way is empty.
    full_sets: usize,
    /// Of the sweeper's last complete round.
    live_by_backend: Vec<Live>,
}

#[derive(Debug, Serialize)]
struct Live {
    backend: usize,
    flows: u32,
}

pub(super) fn run(args: &DeviceArgs) -> Result<bool> {
    let mut card = device::open(&args.device)?;
    let line = progress::bar("reading the flow table".to_owned(), 1, "tables");
    let state = FlowTableState::export(&mut card)?;
    drop(line);
    let live = LiveFlows::read(&mut card)?;
    let of = |code: u8| state.entries.iter().filter(|entry| *entry & 3 == u64::from(code)).count();
    let (sets, _) = state.entries.as_chunks::<{ flow::WAYS }>();
    let flows = Flows {
        tick: state.tick,
        entries: state.entries.len() - of(flow::STATE_EMPTY),
        room: state.entries.len(),
        new: of(flow::STATE_NEW),
        established: of(flow::STATE_ESTABLISHED),
        closing: of(flow::STATE_CLOSING),
        full_sets: sets.iter().filter(|set| set.iter().all(|entry| entry & 3 != 0)).count(),
        live_by_backend: (0..)
            .zip(live.flows)
            .filter(|(_, flows)| *flows > 0)
            .map(|(backend, flows)| Live { backend, flows })
            .collect(),
    };
    let mut console = Console::new();
    if args.json {
        console.json(&flows)?;
        return Ok(true);
    }
    let Flows { entries, room, new, established, closing, full_sets, .. } = flows;
    writeln!(console, "{} of {} entries are in use, at tick {}", thousands(entries), thousands(room), flows.tick)?;
    let mut columns = Columns::new([false, true]);
    for (name, count) in [("new", new), ("established", established), ("closing", closing), ("full sets", full_sets)] {
        columns.row([name.to_owned(), thousands(count)]);
    }
    writeln!(console, "\n{}", columns.text())?;
    let mut columns = Columns::new([false, true]);
    columns.row(["backend", "live flows"].map(str::to_owned));
    for Live { backend, flows } in &flows.live_by_backend {
        columns.row([backend.to_string(), thousands(*flows)]);
    }
    if flows.live_by_backend.is_empty() {
        columns.row(["none in the sweeper's last round".to_owned()]);
    }
    write!(console, "{}", columns.text())?;
    Ok(true)
}
