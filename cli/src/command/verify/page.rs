//! The report of a cross-check as a page: one HTML file without scripts that needs nothing else, for screen and paper.
//!
//! Names of services, backends and files are others' text: maud escapes every value, and the page's own policy keeps
//! a browser from loading or running anything. Equal results make equal pages but for the cells of class `timing`.

mod chart;
mod difference;
mod hexdump;
mod traffic;

use maglane_spec::Verdict;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::report::{Report, RunReport};
use crate::output::{counted, thousands};

const STYLE: &str = include_str!("page/style.css");

/// What the browser may do: show the page's own style.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page of a report.
pub(super) fn page(report: &Report<'_>) -> Markup {
    let result = if report.agree() { "agree" } else { "differ" };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "maglane " (env!("CARGO_PKG_VERSION")) };
                title { "Engines " (result) " on " (captures(report)) " – maglane" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (headline(report, result))
                main {
                    (tiles(report))
                    @if let Some(run) = report.runs.last() {
                        (difference::section(report, run))
                    }
                    (engines(report))
                    @for (runs, whose) in groups(report) {
                        (traffic::sections(runs, &whose))
                    }
                    (inputs(report))
                }
                footer { "maglane " (env!("CARGO_PKG_VERSION")) ", " code { "maglane verify --report" } }
            }
        }
    }
}

fn headline(report: &Report<'_>, result: &str) -> Markup {
    html! {
        header class={ "result " (result) } {
            div class="wide" {
                p class="kicker" { "maglane · cross-check of card and software" }
                h1 {
                    (chart::result_sign(report.agree()))
                    span { "The engines " strong { (result) } }
                }
                p class="lead" {
                    @if let Some(run) = report.runs.last() {
                        @match &run.difference {
                            Some(difference) => (difference::sentence(run, difference)),
                            None => (agreement(report, run)),
                        }
                    }
                }
                @if let Some(plant) = report.args.plant {
                    p class="planted" {
                        strong { "Planted on purpose: " }
                        "a fault in stage " code { (plant.stage.name()) } " of " code { (plant.engine) } ". "
                        @if report.agree() { "These frames do not show it." } @else { "The check has to find it." }
                    }
                }
            }
        }
    }
}

fn agreement(report: &Report<'_>, run: &RunReport) -> Markup {
    let names: Vec<&str> = run.engines.iter().map(|engine| engine.name.as_str()).collect();
    html! {
        (listed(&names)) " agree on " (counted(run.frames, "frame")) ", " (buses(&report.runs)) ". "
        "Compared were the bytes that leave, verdicts and decisions of each frame, all counters, and the flow table."
    }
}

/// The figures that a reader looks for first.
fn tiles(report: &Report<'_>) -> Markup {
    let Some(run) = report.runs.last() else { return html! {} };
    let packets = |name: &str| run.traffic.verdicts.get(name).map_or(0, |count| count.packets);
    let forwarded = packets(Verdict::Forward.name());
    let new = run.traffic.flows.get("inserted").map_or(0, |count| count.packets);
    let tile = |value: String, name: &str| html! { div { dt { (name) } dd { (value) } } };
    html! {
        dl class="tiles" {
            (tile(thousands(run.frames_agreed), "frames that agree"))
            (tile(thousands(forwarded), "of them forwarded"))
            (tile(thousands(new), "new flows"))
            @if let Some(table) = &run.traffic.flow_table {
                (tile(thousands(table.live()), "flows live at the end"))
            }
            (tile(run.engines.len().to_string(), "engines"))
            (tile(report.runs.iter().map(|run| run.bus_bytes.to_string()).collect::<Vec<_>>().join(", "), "bus bytes"))
        }
    }
}

fn engines(report: &Report<'_>) -> Markup {
    html! {
        section aria-labelledby="engines" {
            h2 id="engines" { "Engines" }
            div class="scroll" tabindex="0" role="region" aria-label="Engines" {
                table class="engines" {
                    caption { span { "What each engine took. Clocks are those of the simulated card." } }
                    thead { tr {
                        th scope="col" { "bus" }
                        th scope="col" { "engine" }
                        @for name in ["frames", "seconds", "frames/s", "clocks", "clocks/frame"] {
                            th scope="col" class="number" { (name) }
                        }
                    } }
                    @for run in &report.runs {
                        tbody {
                            @for (index, engine) in run.engines.iter().enumerate() {
                                tr {
                                    @if index == 0 {
                                        th scope="rowgroup" rowspan=(run.engines.len()) { (run.bus_bytes) " bytes" }
                                    }
                                    th scope="row" {
                                        (engine.name)
                                        @if index == 0 { " " span class="tag" { "reference" } }
                                    }
                                    td class="number" { (thousands(run.frames)) }
                                    td class="number timing" { (format!("{:.3}", engine.seconds)) }
                                    td class="number timing" { (thousands(engine.frames_per_second(run.frames))) }
                                    td class="number" { (engine.clocks.map_or_else(none, thousands)) }
                                    td class="number" { (engine.clocks_per_frame(run.frames).unwrap_or_else(none)) }
                                }
                            }
                        }
                    }
                }
            }
            (left_out(report))
        }
    }
}

/// Engines and buses that did not run, and why.
fn left_out(report: &Report<'_>) -> Markup {
    let mut skipped = Vec::new();
    for skip in report.runs.iter().flat_map(|run| &run.skipped) {
        if !skipped.contains(&skip) {
            skipped.push(skip);
        }
    }
    let unrun: Vec<u32> = report.geometries.iter().skip(report.runs.len()).map(|one| one.bus_bytes).collect();
    html! {
        @if !skipped.is_empty() || !unrun.is_empty() {
            ul class="skipped" {
                @for skip in skipped { li { strong { (skip.engine) } " was skipped: " (skip.why) } }
                @for bus in unrun { li { "The bus of " (bus) " bytes did not run: a difference ends the check." } }
            }
        }
    }
}

fn inputs(report: &Report<'_>) -> Markup {
    let args = report.args;
    let row = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
    html! {
        section aria-labelledby="inputs" {
            h2 id="inputs" { "Inputs" }
            dl class="inputs" {
                (row("configuration", html! { bdi { (report.config) } }))
                (row(if report.captures.len() == 1 { "capture" } else { "captures" }, html! {
                    @for name in &report.captures { span class="item" { bdi { (name) } } }
                }))
                (row("frames", html! {
                    (thousands(report.frames))
                    @if let Some(range) = args.frames {
                        ", those from " (thousands(range.first)) " to "
                        (thousands(range.first + (report.frames as u64).saturating_sub(1)))
                    }
                }))
                (row("pauses and backpressure", match args.seed {
                    Some(seed) => html! { "seed " code { (seed) } },
                    None => html! { "none" },
                }))
                (row("fault planted", match args.plant {
                    Some(plant) => html! { "stage " code { (plant.stage.name()) } " of " code { (plant.engine) } },
                    None => html! { "none" },
                }))
                @if let Some(geometry) = report.geometries.first() {
                    (row("sizes", html! {
                        @for (count, what) in [
                            (geometry.services, "services"),
                            (geometry.backends, "backends"),
                            (geometry.lookup_entries, "lookup entries"),
                            (geometry.flow_sets, "flow sets"),
                        ] { span class="item" { (thousands(count)) " " (what) } }
                    }))
                }
            }
        }
    }
}

/// Runs of the same traffic, and words that tell whose it is where there are several or not all of it.
fn groups<'a>(report: &'a Report<'_>) -> Vec<(&'a [RunReport], String)> {
    let same =
        |a: &RunReport, b: &RunReport| a.traffic == b.traffic && a.difference.is_some() == b.difference.is_some();
    let groups: Vec<&[RunReport]> = report.runs.chunk_by(same).collect();
    let several = groups.len() > 1;
    let whose = |runs: &[RunReport]| {
        let before = runs.iter().any(|run| run.difference.is_some());
        match (before, several) {
            (true, _) => format!(
                "{} before the difference, on which all agree, {}",
                counted(runs[0].frames_agreed, "frame"),
                buses(runs)
            ),
            (false, true) => format!("{}, on which all agree", buses(runs)),
            (false, false) => String::new(),
        }
    };
    groups.into_iter().map(|runs| (runs, whose(runs))).collect()
}

/// `bus of 32 bytes`, `buses of 32 and 64 bytes`.
fn buses(runs: &[RunReport]) -> String {
    let widths: Vec<String> = runs.iter().map(|run| run.bus_bytes.to_string()).collect();
    let widths: Vec<&str> = widths.iter().map(String::as_str).collect();
    format!("{} of {} bytes", if runs.len() == 1 { "bus" } else { "buses" }, listed(&widths))
}

/// `a, b and c`.
fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn captures(report: &Report<'_>) -> String {
    match &report.captures[..] {
        [first, rest @ ..] if !rest.is_empty() => format!("{first} and {} more", rest.len()),
        names => names.concat(),
    }
}

/// What stands where there is no figure.
fn none() -> String {
    "–".to_owned()
}
