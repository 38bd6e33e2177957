//! The traffic on the page: verdicts, what frames met in the flow table, backends by service, and the flow table.

use maglane_spec::{FlowOutcome, Verdict};
use maud::{Markup, html};

use super::super::report::RunReport;
use super::super::traffic::{BackendTraffic, FlowTable, ServiceTraffic};
use super::chart::{bar, bar_with_mark, columns, egress_class, percent, ratio};
use super::none;
use crate::command::replay::{Count, Counts, READ_ONLY};
use crate::output::{counted, thousands};

/// Backends that a service may have for its table to be open at first.
const OPEN_BACKENDS_MAX: usize = 32;
/// Services without a forwarded frame that are listed like the others; more of them would hide those.
const IDLE_SERVICES_MAX: usize = 4;

/// The sections about runs of the same traffic; `whose` tells which it is, where it is not simply that of the check.
pub(super) fn sections(runs: &[RunReport], whose: &str) -> Markup {
    let Some(run) = runs.first() else { return html! {} };
    let traffic = &run.traffic;
    // Sections of several groups need names of their own.
    let id = |name: &str| format!("{name}-{}", run.bus_bytes);
    let heading = |name: &str, title: &str| {
        html! {
            h2 id=(id(name)) { (title) }
            @if !whose.is_empty() { p class="quiet" { (whose) } }
        }
    };
    html! {
        section aria-labelledby=(id("verdicts")) {
            (heading("verdicts", "Verdicts"))
            (verdicts(&traffic.verdicts))
        }
        section aria-labelledby=(id("flows")) {
            (heading("flows", "Flow outcomes"))
            (flows(&traffic.flows))
        }
        section aria-labelledby=(id("backends")) {
            (heading("backends", "Backends"))
            (services(&traffic.services))
        }
        @if let Some(table) = &traffic.flow_table {
            section aria-labelledby=(id("table")) {
                (heading("table", "Flow table"))
                (flow_table(table))
            }
        }
    }
}

fn verdicts(counts: &Counts) -> Markup {
    let occurred: Vec<(Verdict, Count)> =
        Verdict::ALL.iter().filter_map(|&verdict| Some((verdict, *counts.get(verdict.name())?))).collect();
    let rows = occurred.iter().map(|&(verdict, count)| {
        let class = egress_class(verdict.egress());
        (html! { code { (verdict.name()) } " " small { (verdict.stage().name()) } }, verdict.name(), class, count)
    });
    let caption = "Frames by verdict, and the stage that decides. Bytes are of frames as they came in.";
    html! {
        p class="legend" {
            span class="wire" { "forwarded to a backend" }
            span class="host" { "passed to the host" }
            span class="nowhere" { "dropped" }
        }
        (histogram(caption, "verdict", rows.collect()))
    }
}

fn flows(counts: &Counts) -> Markup {
    let meanings = [
        (FlowOutcome::Hit.name(), "the flow has an entry"),
        (FlowOutcome::Inserted.name(), "a new flow gets one"),
        (FlowOutcome::Stateless.name(), "FIN or RST without an entry"),
        (FlowOutcome::TableFull.name(), "a new flow finds no room"),
        (FlowOutcome::NoBackend.name(), "nobody takes new flows"),
        (READ_ONLY, "an ICMP error about a flow reads only"),
        (FlowOutcome::NotReached.name(), "decided before"),
    ];
    let occurred = meanings.into_iter().filter_map(|(name, meaning)| Some((name, meaning, *counts.get(name)?)));
    let rows =
        occurred.map(|(name, meaning, count)| (html! { code { (name) } " " small { (meaning) } }, name, "flow", count));
    histogram("All frames, by what they met in the flow table.", "outcome", rows.collect())
}

/// A table of packets and bytes with a bar to each; the whole is the sum.
fn histogram(caption: &str, what: &str, rows: Vec<(Markup, &str, &str, Count)>) -> Markup {
    let packets: u64 = rows.iter().map(|(.., count)| count.packets).sum();
    let bytes: u64 = rows.iter().map(|(.., count)| count.bytes).sum();
    if rows.is_empty() {
        return html! { p { "No frame." } };
    }
    let cell = |name: &str, class: &str, value: u64, sum: u64, unit: &str| {
        let share = ratio(value, sum);
        html! {
            td class="measure" { div {
                (bar(class, share, &format!("{name}: {} of {unit}", percent(share))))
                b { (thousands(value)) }
                span { (percent(share)) }
            } }
        }
    };
    html! {
        table class="histogram" {
            caption { (caption) }
            thead { tr {
                th scope="col" { (what) }
                th scope="col" class="number" { "packets" }
                th scope="col" class="number" { "bytes" }
            } }
            tbody {
                @for (title, name, class, count) in &rows {
                    tr {
                        th scope="row" { (title) }
                        (cell(name, class, count.packets, packets, "packets"))
                        (cell(name, class, count.bytes, bytes, "bytes"))
                    }
                }
            }
            tfoot { tr {
                th scope="row" { "all" }
                td class="measure" { div { b { (thousands(packets)) } span {} } }
                td class="measure" { div { b { (thousands(bytes)) } span {} } }
            } }
        }
    }
}

fn services(services: &[ServiceTraffic]) -> Markup {
    let (busy, idle): (Vec<_>, Vec<_>) = services.iter().partition(|service| service.packets > 0);
    html! {
        @if services.is_empty() { p { "The configuration has no service." } }
        p class="legend" {
            span class="flow" { "share of the service's new flows" }
            span class="mark" { "share of its lookup-table slots, which is due when clients are many" }
        }
        @for one in &busy { (service(one)) }
        @if idle.len() > IDLE_SERVICES_MAX {
            details class="service" {
                summary { strong { (counted(idle.len(), "service")) " without a forwarded frame" } }
                @for one in &idle { (service(one)) }
            }
        } @else {
            @for one in &idle { (service(one)) }
        }
    }
}

fn service(service: &ServiceTraffic) -> Markup {
    let flows: u64 = service.backends.iter().map(|backend| backend.flows_new).sum();
    // Bars end at the greatest share, so that those of many backends can be told apart.
    let greatest = service
        .backends
        .iter()
        .map(|backend| backend.share_slots.max(ratio(backend.flows_new, flows)))
        .fold(f64::MIN_POSITIVE, f64::max);
    let open = service.packets > 0 && service.backends.len() <= OPEN_BACKENDS_MAX;
    html! {
        details class="service" open[open] {
            summary {
                strong { bdi { (service.name) } }
                span { (service.endpoint) }
                @if !service.enabled { span class="tag" { "disabled" } }
                span class="number" { (counted(service.packets, "packet")) ", " (counted(flows, "new flow")) }
            }
            div class="scroll" tabindex="0" role="region" aria-label={ "Backends of " (service.name) } {
                table class="backends" {
                    caption { span {
                        (counted(service.table_size, "slot")) ", selection by " (service.selection) ", "
                        (counted(service.bytes, "byte")) " forwarded. Bars end at " (percent(greatest)) "."
                    } }
                    thead { tr {
                        th scope="col" { "backend" }
                        th scope="col" { "share of new flows" }
                        @for name in ["slots", "new flows", "live", "packets", "bytes"] {
                            th scope="col" class="number" { (name) }
                        }
                    } }
                    tbody { @for one in &service.backends { (backend(one, flows, greatest)) } }
                }
            }
        }
    }
}

fn backend(backend: &BackendTraffic, flows: u64, greatest: f64) -> Markup {
    let share = ratio(backend.flows_new, flows);
    let title = format!("{}: {} of new flows, {} of slots", backend.name, percent(share), percent(backend.share_slots));
    html! {
        tr {
            th scope="row" {
                bdi { (backend.name) }
                @if backend.state != "up" { " " span class="tag" { (backend.state) } }
            }
            td class="share" { (bar_with_mark("flow", share / greatest, backend.share_slots / greatest, &title)) }
            td class="number pair" { (thousands(backend.slots)) " " small { (percent(backend.share_slots)) } }
            td class="number pair" {
                (thousands(backend.flows_new)) " "
                small { @if flows > 0 { (percent(share)) } @else { (none()) } }
            }
            td class="number" { (backend.flows_live.map_or_else(none, thousands)) }
            td class="number" { (thousands(backend.packets)) }
            td class="number" { (thousands(backend.bytes)) }
        }
    }
}

fn flow_table(table: &FlowTable) -> Markup {
    let live = table.live();
    let sets: u64 = table.sets_by_ways.iter().sum();
    let used = ratio(live, table.entries as u64);
    html! {
        p {
            strong { (thousands(live)) } " of " (thousands(table.entries))
            " entries are in use after the last frame, " (percent(used)) "."
        }
        div class="halves" {
            table class="histogram" {
                caption { "Entries in use, by state." }
                thead { tr {
                    th scope="col" { "state" }
                    th scope="col" class="number" { "entries" }
                } }
                tbody {
                    @for (name, meaning, value) in [
                        ("new", "one frame, or SYN alone", table.new),
                        ("established", "more followed", table.established),
                        ("closing", "FIN was seen", table.closing),
                    ] {
                        tr {
                            th scope="row" { code { (name) } " " small { (meaning) } }
                            td class="measure" { div {
                                (bar("flow", ratio(value, live), &format!("{name}: {}", percent(ratio(value, live)))))
                                b { (thousands(value)) }
                                span { (percent(ratio(value, live))) }
                            } }
                        }
                    }
                }
            }
            figure {
                figcaption { (counted(sets, "set")) ", by the number of their ways in use." }
                (columns(&table.sets_by_ways, "Sets by ways in use", "ways in use"))
            }
        }
    }
}
