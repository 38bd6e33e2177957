//! What a running datapath tells: live once a second, and the totals when it ends.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Instant, SystemTime};

use anyhow::Result;
use maglane_spec::{FlowOutcome, Geometry, Verdict};
use maglane_sw::engine::Counters;
use maglane_sw::fast::Datapath;
use maglane_sw::io::interface::Interface;
use maglane_sw::io::port::Mishaps;
use maglane_sw::slow::HostCounters;
use serde::Serialize;

use super::inlet::Inlet;
use super::site::Site;
use crate::args::RunArgs;
use crate::command::replay::{self, Counts, ReadOnly};
use crate::command::trace::date_time;
use crate::output::{self, Columns, Console, counted, thousands};

/// What was told last, and what has to be known to tell more.
#[derive(Debug)]
pub(super) struct Report {
    interface: String,
    config: String,
    workers: u16,
    /// Flows that the flow table has room for.
    flows_max: u64,
    /// Whether it has been said that it is full.
    is_full: bool,
    json: bool,
    quiet: bool,
    start: Instant,
    last: Instant,
    /// Frames, and those forwarded, when it was told last.
    before: [u64; 2],
    /// Lines on the terminal that the next ones replace.
    lines: usize,
}

/// What a script reads.
#[derive(Debug, Serialize)]
struct News {
    /// Whether it is the last one.
    end: bool,
    /// Since 1970.
    time_ns: u64,
    /// Since it serves.
    seconds: f64,
    frames: u64,
    forwarded: u64,
    /// Since the last one.
    frames_per_second: f64,
    forwarded_per_second: f64,
    live_flows: u64,
    flows_max: u64,
    verdicts: Counts,
    flows: Counts,
    host: Host,
    mishaps: Lost,
}

/// What the slow path has done.
#[derive(Debug, Serialize)]
struct Host {
    /// Frames that left from there.
    sent: u64,
    /// Pieces of datagrams that had to wait, and those that wait now.
    held: u64,
    waiting: usize,
    /// Frames that it looked at by what became of them, those that occurred.
    fates: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
struct Lost {
    unreceived: u64,
    unsent: u64,
    unpassed: u64,
    merged: u64,
    unfinished: u64,
}

impl Report {
    pub(super) fn new(interface: &Interface, args: &RunArgs, geometry: Geometry) -> Self {
        let start = Instant::now();
        Self {
            interface: interface.name().to_owned(),
            config: args.config.display().to_string(),
            workers: args.workers,
            flows_max: geometry.flows(),
            is_full: false,
            json: args.json,
            quiet: args.quiet,
            start,
            last: start,
            before: [0; 2],
            lines: 0,
        }
    }

    /// Says that frames come in from now on.
    pub(super) fn begin(&self, console: &mut Console, site: &Site, inlet: &Inlet) -> Result<()> {
        for note in site.notes.iter().chain(&inlet.notes) {
            output::note(note);
        }
        if !self.json {
            let Self { interface, config, workers, flows_max, .. } = self;
            let (workers, room, way) = (counted(*workers, "worker"), counted(*flows_max, "flow"), &inlet.way);
            writeln!(
                console,
                "{interface}: {config} serves, {workers}, room for {room}{way}; SIGHUP reads it again, Ctrl-C ends it"
            )?;
        }
        Ok(console.flush()?)
    }

    /// Says what has happened since it was said last.
    pub(super) fn interval(
        &mut self,
        console: &mut Console,
        datapath: &Datapath,
        host: &HostCounters,
        mishaps: Mishaps,
    ) -> Result<()> {
        let counters = datapath.counters();
        let news = self.news(false, &counters, datapath, host, mishaps);
        self.note_if_full(&news);
        if self.quiet {
            return Ok(());
        }
        if self.json {
            console.json_line(&news)?;
        } else {
            let line = line(&news);
            if console.is_terminal() {
                // Up to where the last text began, and nothing of it is left.
                let up = self.lines;
                if up > 0 {
                    write!(console, "\x1b[{up}A\x1b[J")?;
                }
                let text = format!("{line}\n{}{}", replay::histogram(&counters, ReadOnly::default()), news.host.text());
                self.lines = text.lines().count();
                write!(console, "{text}")?;
            } else {
                writeln!(console, "{line}")?;
            }
        }
        Ok(console.flush()?)
    }

    /// Says once that flows are not remembered for want of room.
    fn note_if_full(&mut self, news: &News) {
        let untracked = table_full(news);
        if untracked == 0 || self.is_full {
            return;
        }
        self.is_full = true;
        self.keep_lines();
        output::note(&format!(
            "flow table full: no room for the flows of {} so far (table_full), only for {} in all; they are forwarded all \
             the same, but go elsewhere when backends come or go. Give {} a geometry with more flow_sets (\"alveo\" has \
             room for {}), and start again",
            counted(untracked, "frame"),
            counted(self.flows_max, "flow"),
            self.config,
            thousands(Geometry::ALVEO.flows()),
        ));
    }

    /// Takes note that there are other lines behind those that would be replaced.
    pub(super) const fn keep_lines(&mut self) {
        self.lines = 0;
    }

    /// Says what has happened in all.
    pub(super) fn total(
        &mut self,
        console: &mut Console,
        datapath: &Datapath,
        host: &HostCounters,
        mishaps: Mishaps,
    ) -> Result<()> {
        let counters = datapath.counters();
        let news = self.news(true, &counters, datapath, host, mishaps);
        self.note_if_full(&news);
        if self.json {
            return console.json_line(&news);
        }
        let frames = counted(news.frames, "frame");
        writeln!(console, "{}: {frames} in {:.3} s", self.interface, news.seconds)?;
        write!(console, "{}{}", replay::histogram(&counters, ReadOnly::default()), news.host.text())?;
        let flows = counted(news.live_flows, "flow");
        writeln!(console, "{}: {} sent, {flows}{}", self.interface, thousands(sent(&news)), lost(&news))?;
        Ok(())
    }

    fn news(
        &mut self,
        end: bool,
        counters: &Counters,
        datapath: &Datapath,
        host: &HostCounters,
        mishaps: Mishaps,
    ) -> News {
        let frames = counters.verdicts.iter().map(|counter| counter.packets).sum();
        let forwarded = counters.verdicts[usize::from(Verdict::Forward.code())].packets;
        let now = Instant::now();
        let seconds = now.duration_since(self.last).as_secs_f64().max(f64::EPSILON);
        let [frames_before, forwarded_before] = self.before;
        let rate = |count: u64, before: u64| count.saturating_sub(before) as f64 / seconds;
        let Mishaps { unreceived, unsent, unpassed, merged, unfinished } = mishaps;
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let news = News {
            end,
            time_ns: u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX),
            seconds: now.duration_since(self.start).as_secs_f64(),
            frames,
            forwarded,
            frames_per_second: rate(frames, frames_before),
            forwarded_per_second: rate(forwarded, forwarded_before),
            live_flows: datapath.live_flows().into_iter().map(u64::from).sum(),
            flows_max: self.flows_max,
            verdicts: replay::verdicts(counters),
            flows: replay::flows(counters, ReadOnly::default()),
            host: Host::of(host),
            mishaps: Lost { unreceived, unsent, unpassed, merged, unfinished },
        };
        (self.last, self.before) = (now, [frames, forwarded]);
        news
    }
}

impl Host {
    fn of(counters: &HostCounters) -> Self {
        let HostCounters { sent, held, kept, .. } = *counters;
        let fates = counters.fates().filter(|&(_, frames)| frames > 0);
        let fates = fates.map(|(fate, frames)| (fate.name(), frames)).collect();
        Self { sent, held, waiting: kept.pieces, fates }
    }

    /// A table of its own; nothing when there is nothing to tell.
    fn text(&self) -> String {
        if self.fates.is_empty() && self.waiting == 0 {
            return String::new();
        }
        let waiting = (self.waiting > 0).then_some(("waiting", self.waiting as u64));
        let mut columns = Columns::new([false, true]);
        columns.row(["host", "frames"].map(str::to_owned));
        for (name, frames) in self.fates.iter().map(|(&name, &frames)| (name, frames)).chain(waiting) {
            columns.row([name.to_owned(), thousands(frames)]);
        }
        format!("\n{}", columns.text())
    }
}

/// The last interval on one line.
fn line(news: &News) -> String {
    // A rate is a count over a second, far below what a number can hold.
    #[expect(clippy::cast_possible_truncation, reason = "rounded on purpose")]
    let [frames, forwarded] = [news.frames_per_second, news.forwarded_per_second].map(|rate| rate.round() as u64);
    let (frames, forwarded) = (counted(frames, "frame"), thousands(forwarded));
    let (time, flows) = (date_time(news.time_ns), counted(news.live_flows, "flow"));
    format!("{time} UTC: {frames}/s, {forwarded} forwarded/s, {flows}{}", lost(news))
}

const fn sent(news: &News) -> u64 {
    news.forwarded.saturating_add(news.host.sent).saturating_sub(news.mishaps.unsent)
}

/// Frames of flows that the flow table had no room for.
fn table_full(news: &News) -> u64 {
    news.flows.get(FlowOutcome::TableFull.name()).map_or(0, |count| count.packets)
}

/// What there was that should not be.
fn lost(news: &News) -> String {
    let Lost { unreceived, unsent, unpassed, merged, unfinished } = news.mishaps;
    let named = [
        ("table_full", table_full(news)),
        ("unreceived", unreceived),
        ("unsent", unsent),
        ("unpassed", unpassed),
        ("merged", merged),
        ("unfinished", unfinished),
    ];
    let there = named.into_iter().filter(|&(_, count)| count > 0);
    there.map(|(name, count)| format!(", {} {name}", thousands(count))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_counts_one_frame_as_one_and_names_what_should_not_be() {
        let mut news = News {
            end: false,
            time_ns: 1_704_067_199_999_999_999,
            seconds: 7.0,
            frames: 9,
            forwarded: 8,
            frames_per_second: 1.2,
            forwarded_per_second: 0.4,
            live_flows: 1,
            flows_max: 128,
            verdicts: Counts::new(),
            flows: Counts::new(),
            host: Host { sent: 0, held: 0, waiting: 0, fates: BTreeMap::new() },
            mishaps: Lost { unreceived: 0, unsent: 0, unpassed: 0, merged: 0, unfinished: 0 },
        };
        assert_eq!(line(&news), "2023-12-31 23:59:59 UTC: 1 frame/s, 0 forwarded/s, 1 flow");
        news.frames_per_second = 1_843.0;
        news.flows.insert("table_full", replay::Count { packets: 1_000, bytes: 64_000 });
        news.mishaps.unsent = 2;
        let says = "2023-12-31 23:59:59 UTC: 1,843 frames/s, 0 forwarded/s, 1 flow, 1,000 table_full, 2 unsent";
        assert_eq!(line(&news), says);
    }
}
