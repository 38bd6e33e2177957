//! `maglane card info`, `counters` and `bypass`: what a card is, what it has counted, what it does with frames.

use std::io::Write;

use anyhow::Result;
use maglane_driver::card::Mode;
use maglane_driver::counters::Counters;
use maglane_spec::counter::PacketsBytes;
use maglane_spec::{FlowOutcome, Verdict};
use serde::Serialize;

use super::device;
use crate::args::DeviceArgs;
use crate::output::{Columns, Console, thousands};

/// What `info --json` tells.
#[derive(Debug, Serialize)]
struct Info {
    device: String,
    wrapper: &'static str,
    clock_khz: u32,
    bus_bytes: u32,
    services: u32,
    backends: u32,
    lookup_entries: u32,
    flow_sets: u32,
    /// Seconds since 1970.
    build_time: Option<u32>,
    git_hash: Option<String>,
    mode: &'static str,
    ready: bool,
    generation: u32,
    tick: u8,
    clocks_per_ms: u32,
    /// Names of what was wrong with accesses since it was last cleared.
    errors: Vec<String>,
}

pub(super) const fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Bypass => "bypass",
        Mode::Serve => "serve",
    }
}

pub(super) fn info(args: &DeviceArgs) -> Result<bool> {
    let mut card = device::open(&args.device)?;
    let status = card.status()?;
    let [mode, generation, clocks_per_ms] =
        [u32::from(card.mode()? == Mode::Serve), card.generation()?, card.clocks_per_ms()?];
    let errors: Vec<String> = card.errors()?.names().map(|(name, _)| name).collect();
    let identity = card.identity();
    let geometry = identity.geometry;
    let info = Info {
        device: args.device.to_string(),
        wrapper: identity.wrapper,
        clock_khz: identity.clock_khz,
        bus_bytes: geometry.bus_bytes,
        services: geometry.services,
        backends: geometry.backends,
        lookup_entries: geometry.lookup_entries,
        flow_sets: geometry.flow_sets,
        build_time: identity.build_time,
        git_hash: identity.git_hash.map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect()),
        mode: mode_name(if mode == 1 { Mode::Serve } else { Mode::Bypass }),
        ready: status.ready,
        generation,
        tick: status.tick,
        clocks_per_ms,
        errors,
    };
    let mut console = Console::new();
    if args.json {
        console.json(&info)?;
        return Ok(true);
    }
    let unknown = || "unknown".to_owned();
    let mut columns = Columns::new([false, false]);
    let mut row = |name: &str, value: String| columns.row([name.to_owned(), value]);
    row("device", info.device);
    row("wrapper", info.wrapper.to_owned());
    row("clock", format!("{} kHz", thousands(info.clock_khz)));
    row("bus", format!("{} bytes", info.bus_bytes));
    row("services", thousands(info.services));
    row("backends", thousands(info.backends));
    row("lookup entries", format!("{}, half of them staged", thousands(info.lookup_entries)));
    row("flow table", format!("{} entries", thousands(u64::from(info.flow_sets) * maglane_spec::flow::WAYS as u64)));
    row("commit", info.git_hash.unwrap_or_else(unknown));
    row("built", info.build_time.map_or_else(unknown, |time| format!("{time} s after 1970")));
    row("mode", format!("{}{}", info.mode, if info.ready { "" } else { ", memories are being cleared" }));
    row("generation", thousands(info.generation));
    let counts = if info.clocks_per_ms == 0 { "the card does not count time" } else { "the card counts time" };
    row("tick", format!("{}, {counts}", info.tick));
    row("access errors", if info.errors.is_empty() { "none".to_owned() } else { info.errors.join(", ") });
    write!(console, "{}", columns.text())?;
    Ok(true)
}

/// A counter that is not zero, as `counters --json` tells it.
#[derive(Debug, Serialize)]
struct Counted {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<usize>,
    packets: u64,
    bytes: u64,
}

/// What `counters --json` tells: only counters that are not zero.
#[derive(Debug, Serialize)]
struct All {
    verdicts: Vec<Counted>,
    flow_table: Vec<Counted>,
    services: Vec<Counted>,
    backends: Vec<Counted>,
    overrun_host: u32,
}

pub(super) fn counters(args: &DeviceArgs) -> Result<bool> {
    let mut card = device::open(&args.device)?;
    let counters = Counters::read(&mut card)?;
    let code = |code: usize| u8::try_from(code).ok();
    let all = All {
        verdicts: counted(&counters.verdicts, |at| code(at).and_then(Verdict::from_code).map(Verdict::name)),
        flow_table: counted(&counters.flows, |at| code(at).and_then(FlowOutcome::from_code).map(FlowOutcome::name)),
        services: counted(&counters.services, |_| None),
        backends: counted(&counters.backends, |_| None),
        overrun_host: counters.overrun_host,
    };
    let mut console = Console::new();
    if args.json {
        console.json(&all)?;
        return Ok(true);
    }
    let parts = [
        ("verdict", &all.verdicts),
        ("flow table", &all.flow_table),
        ("service", &all.services),
        ("backend", &all.backends),
    ];
    for (title, part) in parts {
        let mut columns = Columns::new([false, true, true]);
        columns.row([title, "packets", "bytes"].map(str::to_owned));
        for Counted { name, id, packets, bytes } in part {
            let name = name.map_or_else(|| id.map_or_else(String::new, |id| id.to_string()), str::to_owned);
            columns.row([name, thousands(*packets), thousands(*bytes)]);
        }
        if part.is_empty() {
            columns.row(["none yet".to_owned()]);
        }
        writeln!(console, "{}", columns.text())?;
    }
    writeln!(console, "  frames lost by the host queue: {}", thousands(all.overrun_host))?;
    Ok(true)
}

fn counted(counters: &[PacketsBytes], name: impl Fn(usize) -> Option<&'static str>) -> Vec<Counted> {
    let some = counters.iter().enumerate().filter(|(_, counter)| counter.packets != 0);
    some.map(|(at, counter)| {
        let name = name(at);
        let id = name.is_none().then_some(at);
        Counted { name, id, packets: counter.packets, bytes: counter.bytes }
    })
    .collect()
}

/// What `bypass --json` tells.
#[derive(Debug, Serialize)]
struct Switched {
    mode: &'static str,
    generation: u32,
}

pub(super) fn bypass(args: &DeviceArgs, on: bool) -> Result<bool> {
    let mut card = device::open(&args.device)?;
    if on {
        card.set_mode(Mode::Bypass)?;
        // Its time stands still with it: flows that are put back later have the ages that they had.
        card.set_clocks_per_ms(0)?;
    } else {
        serve(&mut card)?;
    }
    let switched = Switched { mode: mode_name(card.mode()?), generation: card.generation()? };
    let mut console = Console::new();
    if args.json {
        console.json(&switched)?;
        return Ok(true);
    }
    let Switched { mode, generation } = switched;
    writeln!(console, "{}: {mode}, generation {}", args.device, thousands(generation))?;
    Ok(true)
}

/// Lets a card serve, by its own time.
pub(super) fn serve(card: &mut maglane_driver::Card<device::Device>) -> Result<()> {
    if card.generation()? == 0 {
        anyhow::bail!("the card has no tables since its reset: `maglane card load` comes first");
    }
    if card.clocks_per_ms()? == 0 {
        let clock_khz = card.identity().clock_khz;
        card.set_clocks_per_ms(clock_khz)?;
    }
    card.set_mode(Mode::Serve)?;
    Ok(())
}
