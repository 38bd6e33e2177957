//! Bytes as people compare them: sixteen a line, and what differs marked.

use maud::{Markup, html};

use crate::output::{counted, thousands};

/// Bytes of a line.
const LINE: usize = 16;
/// Lines that differ, at most; a shift by one byte makes all behind it differ.
const DIFFERING_LINES_MAX: usize = 24;
/// Lines of a single dump, at most.
const LINES_MAX: usize = 16;

/// Two byte strings line by line: equal lines once, others one below the other. Of equal lines, those beside a
/// difference are shown.
pub(super) fn compared(names: (&str, &str), a: &[u8], b: &[u8]) -> Markup {
    let lines = a.len().max(b.len()).div_ceil(LINE);
    let differs = |line: usize| part(a, line) != part(b, line);
    let near = |line: usize| (line.saturating_sub(1)..=line + 1).any(|line| line < lines && differs(line));
    let mut rows = Vec::new();
    let (mut hidden, mut shown) = (0, 0);
    for line in 0..lines {
        let full = shown == DIFFERING_LINES_MAX;
        if full || !(near(line) || line == 0) {
            hidden += 1;
            continue;
        }
        rows.push(skipped(hidden));
        hidden = 0;
        if differs(line) {
            shown += 1;
            rows.push(row(line, names.0, "expected", a, b));
            rows.push(row(line, names.1, "found", b, a));
        } else {
            rows.push(row(line, "both", "same", a, b));
        }
    }
    let left = (0..lines).filter(|&line| differs(line)).count() - shown;
    rows.push(if left > 0 { note(&format!("{} more differ", counted(left, "line"))) } else { skipped(hidden) });
    let length = |name: &str, bytes: &[u8]| format!("{name}: {}", counted(bytes.len(), "byte"));
    dump(
        "The frame that leaves",
        html! {
            caption { span {
                "The frame that leaves. " (length(names.0, a)) ", " (length(names.1, b)) ". "
                "Bytes that differ are " mark { "marked" } "."
            } }
            @for row in rows { (row) }
        },
    )
}

/// The first lines of a byte string.
pub(super) fn single(title: &str, bytes: &[u8]) -> Markup {
    let lines = bytes.len().div_ceil(LINE);
    let left = bytes.len().saturating_sub(LINE * LINES_MAX);
    dump(
        title,
        html! {
            caption { span { (title) ", " (counted(bytes.len(), "byte")) "." } }
            @for line in 0..lines.min(LINES_MAX) { (row(line, "", "same", bytes, bytes)) }
            @if left > 0 { (note(&format!("{} more", counted(left, "byte")))) }
        },
    )
}

/// A short value in bytes, those marked that another value has not.
pub(super) fn value(bytes: &[u8], other: &[u8]) -> Markup {
    html! { code class="bytes" { (marked(bytes, other)) } }
}

fn dump(title: &str, rows: Markup) -> Markup {
    html! { div class="scroll" tabindex="0" role="region" aria-label=(title) { table class="hexdump" { (rows) } } }
}

fn row(line: usize, name: &str, class: &str, bytes: &[u8], other: &[u8]) -> Markup {
    let own = part(bytes, line);
    let text: String = own.iter().map(|&byte| if (b' '..=b'~').contains(&byte) { byte.into() } else { '·' }).collect();
    html! {
        tr class=(class) {
            th scope="row" { (format!("{:04x}", line * LINE)) }
            @if !name.is_empty() { td class="whose" { (name) } }
            td class="bytes" { (marked(own, part(other, line))) }
            td class="text" { (text) }
        }
    }
}

/// Bytes with a mark around each run that another byte string has not, in two groups of eight.
fn marked(bytes: &[u8], other: &[u8]) -> Markup {
    let places: Vec<(usize, u8)> = bytes.iter().copied().enumerate().collect();
    html! {
        @for run in places.chunk_by(|a, b| differs(other, *a) == differs(other, *b)) {
            @let (first, rest) = (run[0], &run[1..]);
            (gap(first.0))
            @let rest: String = rest.iter().map(|&(at, byte)| format!("{}{byte:02x}", gap(at))).collect();
            @let text = format!("{:02x}{rest}", first.1);
            @if differs(other, first) { mark { (text) } } @else { (text) }
        }
    }
}

fn differs(other: &[u8], (at, byte): (usize, u8)) -> bool {
    other.get(at) != Some(&byte)
}

/// What stands before a byte of a line.
fn gap(at: usize) -> &'static str {
    match at {
        0 => "",
        8 => "  ",
        _ => " ",
    }
}

fn part(bytes: &[u8], line: usize) -> &[u8] {
    let start = bytes.len().min(line * LINE);
    &bytes[start..bytes.len().min(start + LINE)]
}

fn skipped(lines: usize) -> Markup {
    match lines {
        0 => html! {},
        lines => note(&format!("{} equal {}", thousands(lines), if lines == 1 { "line" } else { "lines" })),
    }
}

fn note(text: &str) -> Markup {
    html! { tr class="note" { td {} td colspan="3" { (text) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_differing_bytes_are_marked() {
        let text = |a: &[u8], b: &[u8]| marked(a, b).into_string();
        assert_eq!(text(&[1, 2, 3, 4], &[1, 9, 9, 4]), "01 <mark>02 03</mark> 04");
        assert_eq!(text(&[1, 2], &[1]), "01 <mark>02</mark>");
        assert_eq!(text(&[0; 9], &[0; 9]), "00 00 00 00 00 00 00 00  00");
    }

    #[test]
    fn dump_shows_what_differs_and_what_is_beside_it() {
        let a = [0x41; 160];
        let mut b = a;
        b[100] = 0x42;
        let text = compared(("software", "rtl"), &a, &b).into_string();
        assert_eq!(text.matches("<mark>42</mark>").count(), 1, "{text}");
        assert_eq!(text.matches("<mark>41</mark>").count(), 1, "{text}");
        // The first line, those at 50 and 70, twice the one at 60; four between and two behind are left out.
        let offsets: Vec<&str> = text.split("<th scope=\"row\">").skip(1).map(|rest| &rest[..4]).collect();
        assert_eq!(offsets, ["0000", "0050", "0060", "0060", "0070"]);
        assert!(text.contains("4 equal lines") && text.contains("2 equal lines"), "{text}");
    }

    #[test]
    fn dump_of_everything_is_cut() {
        let text = compared(("software", "rtl"), &[1; 9_600], &[2; 9_000]).into_string();
        assert_eq!(text.matches("class=\"found\"").count(), DIFFERING_LINES_MAX);
        assert!(text.contains("576 lines more differ"), "{text}");
    }
}
