//! The drawings of the page: inline SVG, coloured by class, each with its figures in words.

use std::fmt::Write as _;

use maglane_spec::verdict::Egress;
use maud::{Markup, html};

use crate::output::thousands;

/// Narrowest bar of something that is not nothing, in parts of a hundred.
const WIDTH_MIN: f64 = 0.8;

/// Tick or cross: the result at a glance, for those who do not see its colour too.
pub(super) fn result_sign(agree: bool) -> Markup {
    let path = if agree { "M14 25.5 21 32 34.5 17" } else { "M16 16 32 32M32 16 16 32" };
    html! {
        svg class="sign" viewBox="0 0 48 48" aria-hidden="true" {
            circle cx="24" cy="24" r="22" {}
            path d=(path) {}
        }
    }
}

/// A bar of a fraction of the whole width.
pub(super) fn bar(class: &str, fraction: f64, title: &str) -> Markup {
    html! {
        svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label=(title) {
            title { (title) }
            rect class="track" width="100" height="8" {}
            rect class=(class) width=(width(fraction)) height="8" {}
        }
    }
}

/// A bar with a mark where it should end.
pub(super) fn bar_with_mark(class: &str, fraction: f64, mark: f64, title: &str) -> Markup {
    html! {
        svg class="bar tall" viewBox="0 0 100 12" preserveAspectRatio="none" role="img" aria-label=(title) {
            title { (title) }
            rect class="track" y="2" width="100" height="8" {}
            rect class=(class) y="2" width=(width(fraction)) height="8" {}
            @if mark > 0.0 {
                rect class="mark" x=(number((100.0 * mark - 0.5).clamp(0.0, 99.0))) width="1" height="12" {}
            }
        }
    }
}

/// Columns, one a value, with its figure above and its name below.
pub(super) fn columns(values: &[u64], title: &str, name: &str) -> Markup {
    const HEIGHT: f64 = 110.0;
    const STEP: usize = 40;
    let most = values.iter().copied().max().unwrap_or(0).max(1);
    let mut words = String::from(title);
    for (index, value) in values.iter().enumerate() {
        // Writing to a string cannot fail.
        let _infallible = write!(words, "{} {index}: {value}", if index == 0 { ":" } else { "," });
    }
    html! {
        svg class="columns" viewBox={ "0 0 " (STEP * values.len()) " 164" } role="img" aria-label=(words) {
            title { (words) }
            line class="axis" x1="0" x2=(STEP * values.len()) y1="130" y2="130" {}
            @for (index, &value) in values.iter().enumerate() {
                @let height = if value == 0 { 0.0 } else { (HEIGHT * ratio(value, most)).max(1.5) };
                @let middle = STEP * index + STEP / 2;
                @let (left, top) = (STEP * index + 6, 130.0 - height);
                rect class="flow" x=(left) y=(number(top)) width=(STEP - 12) height=(number(height)) {}
                text x=(middle) y=(number(top - 6.0)) class=[(value == 0).then_some("faint")] { (thousands(value)) }
                text x=(middle) y="146" class="label" { (index) }
            }
            text x=(STEP * values.len() / 2) y="161" class="label" { (name) }
        }
    }
}

/// A fraction of two counters; nothing of nothing is nothing.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    // Precise to 15 digits, of which a chart shows three.
    #[allow(clippy::cast_precision_loss)]
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// `46.5 %`; what is not nothing never reads as `0.0 %`.
pub(super) fn percent(fraction: f64) -> String {
    match 100.0 * fraction {
        percent if percent > 0.0 && percent < 0.05 => "< 0.1 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
}

/// The class of a verdict's colour: where its frames go.
pub(super) fn egress_class(egress: Egress) -> &'static str {
    match egress {
        Egress::Wire => "wire",
        Egress::Host => "host",
        Egress::Nowhere => "nowhere",
    }
}

fn width(fraction: f64) -> String {
    number(if fraction > 0.0 { (100.0 * fraction).clamp(WIDTH_MIN, 100.0) } else { 0.0 })
}

fn number(value: f64) -> String {
    format!("{value:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_shares_stay_visible_and_none_is_none() {
        assert_eq!([0.0, 1e-9, 0.5, 1.0, 7.0].map(width), ["0.00", "0.80", "50.00", "100.00", "100.00"]);
        assert_eq!([0.0, 1e-9, 0.465, 1.0].map(percent), ["0.0 %", "< 0.1 %", "46.5 %", "100.0 %"]);
        assert!(ratio(5, 0).abs() < f64::EPSILON);
    }

    #[test]
    fn columns_are_as_high_as_their_values() {
        let svg = columns(&[10, 0, 5], "sets", "ways").into_string();
        assert!(svg.contains("aria-label=\"sets: 0: 10, 1: 0, 2: 5\""), "{svg}");
        for height in ["\"110.00\"", "\"0.00\"", "\"55.00\""] {
            assert!(svg.contains(&format!("height={height}")), "{height}: {svg}");
        }
    }
}
