//! The first difference on the page: where it is, what each engine made of the frame, and how to see it again.

use maglane_sim::difference::Difference;
use maglane_spec::Stage;
use maglane_spec::limit::{NO_BACKEND, NO_SERVICE};
use maglane_sw::engine::Outcome;
use maud::{Markup, html};

use super::super::report::{Evidence, Report, RunReport};
use super::super::traffic::ServiceTraffic;
use super::hexdump;
use crate::output::thousands;

/// The difference in one sentence.
pub(super) fn sentence(run: &RunReport, difference: &Difference) -> Markup {
    let names = (&difference.expected.0, &difference.found.0);
    html! {
        @match difference.frame {
            Some(frame) => { "Frame " strong { (thousands(frame)) } },
            None => "After the last frame",
        }
        @if let Some(stage) = difference.stage { ", stage " strong { (stage.name()) } }
        ", bus of " (run.bus_bytes) " bytes: " (names.0) " and " (names.1) " differ in " (difference.field) ". "
        @match run.frames_agreed {
            0 => "No frame before it agrees.",
            1 => "The frame before it agrees.",
            frames => { "The " (thousands(frames)) " frames before it agree." },
        }
    }
}

/// All about the difference of a run, if it has one.
pub(super) fn section(report: &Report<'_>, run: &RunReport) -> Markup {
    let Some(difference) = &run.difference else { return html! {} };
    let row = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
    html! {
        section class="difference" aria-labelledby="difference" {
            h2 id="difference" { "The first difference" }
            @if let Some(stage) = difference.stage { (stages(stage)) }
            dl class="inputs" {
                (row("frame", html! {
                    (difference.frame.map_or_else(|| "after the last".to_owned(), thousands))
                    @if let Some(place) = &run.place { ": " bdi { (place) } }
                }))
                @if difference.stage.is_none() { (row("stage", html! { "not known" })) }
                (row("what differs", html! { (difference.field) }))
                @for (engine, value, other) in [
                    (&difference.expected.0, &difference.expected.1, &difference.found.1),
                    (&difference.found.0, &difference.found.1, &difference.expected.1),
                ] {
                    (row(engine, html! { code class="value" { (marked(value, other)) } }))
                }
            }
            @if let Some(evidence) = &run.evidence {
                (outcomes(evidence, &run.traffic.services))
                (bytes(evidence, difference))
            }
            h3 { "See it again" }
            @if let Some(replay) = &run.replay { pre class="command" tabindex="0" { code { (replay) } } }
            @match (&run.waveform, &run.waveform_error) {
                (Some(path), _) => p { "Waveform of the frames up to it: " code { (path) } },
                (None, Some(error)) => p { "There is no waveform: " (error) },
                (None, None) => {},
            }
            @if report.captures.iter().any(|name| name.contains('/')) && !report.args.capture.is_empty() {
                p class="quiet" { "Paths are those of the directory that the check ran in." }
            }
        }
    }
}

/// The way of the frame, up to the stage that differs.
fn stages(culprit: Stage) -> Markup {
    html! {
        ol class="stages" aria-label="Stages" {
            @for stage in Stage::ALL {
                @let (class, word) = match stage.cmp(&culprit) {
                    std::cmp::Ordering::Less => ("before", "agrees"),
                    std::cmp::Ordering::Equal => ("culprit", "differs"),
                    std::cmp::Ordering::Greater => ("behind", "follows"),
                };
                li class=(class) { span { (stage.name()) } " " small { (word) } }
            }
        }
    }
}

/// What each engine decided about the frame.
fn outcomes(evidence: &Evidence, services: &[ServiceTraffic]) -> Markup {
    let Some((_, reference)) = evidence.outcomes.first() else { return html! {} };
    let row = |stage: &str, name: &str, cell: &dyn Fn(&Outcome) -> Markup, same: &dyn Fn(&Outcome) -> bool| {
        html! {
            tr {
                th scope="row" { (name) " " small { (stage) } }
                @for (_, outcome) in &evidence.outcomes {
                    @if same(outcome) {
                        td { (cell(outcome)) }
                    } @else {
                        td class="differs" { (cell(outcome)) " " span class="tag" { "differs" } }
                    }
                }
            }
        }
    };
    let id = |id: u16, none: u16, name: Option<&str>, other: u16| {
        html! {
            @match name {
                _ if id == none => "none",
                Some(name) => { bdi { (name) } ", id " (id) },
                None => { "id " (id) },
            }
            br;
            (hexdump::value(&id.to_be_bytes(), &other.to_be_bytes()))
        }
    };
    let service = |outcome: &Outcome| {
        let name = services.iter().find(|service| service.id == outcome.service);
        id(outcome.service, NO_SERVICE, name.map(|service| service.name.as_str()), reference.service)
    };
    let backend = |outcome: &Outcome| {
        let name = services.iter().flat_map(|service| &service.backends).find(|one| one.id == outcome.backend);
        id(outcome.backend, NO_BACKEND, name.map(|backend| backend.name.as_str()), reference.backend)
    };
    html! {
        h3 { "What each engine made of the frame" }
        div class="scroll" tabindex="0" role="region" aria-label="What each engine made of the frame" {
            table class="outcomes" {
                caption { span { "In the order of the stages; the first column is the reference." } }
                thead { tr {
                    td {}
                    @for (engine, _) in &evidence.outcomes { th scope="col" { (engine) } }
                } }
                tbody {
                    (row("decision", "verdict", &|outcome| html! { (outcome.verdict.name()) }, &|outcome| {
                        outcome.verdict == reference.verdict
                    }))
                    (row("classify", "service", &service, &|outcome| outcome.service == reference.service))
                    (row(
                        "flow_hash",
                        "flow hash",
                        &|outcome| hexdump::value(&outcome.hash.to_be_bytes(), &reference.hash.to_be_bytes()),
                        &|outcome| outcome.hash == reference.hash,
                    ))
                    (row("select", "flow table", &|outcome| html! { (outcome.flow.name()) }, &|outcome| {
                        outcome.flow == reference.flow
                    }))
                    (row("select", "backend", &backend, &|outcome| outcome.backend == reference.backend))
                    (row(
                        "rewrite",
                        "bytes that leave",
                        &|outcome| html! { (thousands(outcome.output.len())) },
                        &|outcome| outcome.output == reference.output,
                    ))
                }
            }
        }
    }
}

/// The frame as it leaves both engines, and as it came in.
fn bytes(evidence: &Evidence, difference: &Difference) -> Markup {
    let names = (difference.expected.0.as_str(), difference.found.0.as_str());
    let output = |name: &str| {
        let outcome = evidence.outcomes.iter().find(|(engine, _)| *engine == name);
        outcome.map_or(&[][..], |(_, outcome)| &outcome.output)
    };
    let (a, b) = (output(names.0), output(names.1));
    html! {
        h3 { "Bytes" }
        @match (a.is_empty(), b.is_empty()) {
            (true, true) => p { "The frame leaves neither." },
            (false, true) => (hexdump::single(&format!("The frame leaves {} alone", names.0), a)),
            (true, false) => (hexdump::single(&format!("The frame leaves {} alone", names.1), b)),
            (false, false) if a == b => (hexdump::single("The frame leaves both alike", a)),
            (false, false) => (hexdump::compared(names, a, b)),
        }
        details {
            summary { "The frame as it came in" }
            (hexdump::single("The frame as it came in", &evidence.frame))
        }
    }
}

/// A value with a mark around each word that another value has not in its place.
fn marked(value: &str, other: &str) -> Markup {
    let others: Vec<&str> = other.split(' ').collect();
    let words: Vec<&str> = value.split(' ').collect();
    // Words of another number stand in no place of their own.
    let differs = |index: usize| words.len() != others.len() || words[index] != others[index];
    html! {
        @for (index, word) in words.iter().enumerate() {
            @let bare = word.trim_end_matches([',', ':']);
            @if index > 0 { " " }
            @if differs(index) { mark { (bare) } (word[bare.len()..]) } @else { (word) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_differ_are_marked() {
        let text = |value: &str, other: &str| marked(value, other).into_string();
        assert_eq!(text("3", "4"), "<mark>3</mark>");
        assert_eq!(
            text("new, backend 13, epoch 5", "new, backend 12, epoch 5"),
            "new, backend <mark>13</mark>, epoch 5"
        );
        assert_eq!(text("60 bytes", "84 bytes"), "<mark>60</mark> bytes");
        assert_eq!(text("same", "same"), "same");
        assert_eq!(text("<b> <é>", "<b> <è>"), "&lt;b&gt; <mark>&lt;é&gt;</mark>");
        assert_eq!(text("goes on", "stopped"), "<mark>goes</mark> <mark>on</mark>");
    }
}
