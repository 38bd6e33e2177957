//! A configuration's text: places in it, and the lines that an error shows.

use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Snippet};

/// Longest part of the text that one snippet takes in, in bytes, whole lines aside. The renderer looks at all that it
/// is given, again for each problem, so it is not given a file of 16 MiB.
const EXCERPT_LEN_MAX: usize = 1 << 14;

/// A configuration's text, kept so that what fails later can still show its place.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A marked range of the text, and what is said beside it.
pub(super) struct Mark<'a> {
    pub(super) kind: AnnotationKind,
    pub(super) at: &'a Range<usize>,
    pub(super) label: &'a str,
}

impl Source {
    /// Line and column of a byte offset, from 1.
    pub(crate) fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = &self.text[..self.anchor(offset)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// The lines around the marks: one snippet if they are near each other, else one for each.
    pub(super) fn snippets<'a>(&'a self, marks: &[Mark<'a>]) -> Vec<Snippet<'a, Annotation<'a>>> {
        let ranges: Vec<Range<usize>> = marks.iter().map(|mark| self.clamp(mark.at)).collect();
        let start = ranges.iter().map(|range| range.start).min().unwrap_or(0);
        let end = ranges.iter().map(|range| range.end).max().unwrap_or(0);
        if end - start <= EXCERPT_LEN_MAX {
            return vec![self.snippet(start..end, marks, &ranges)];
        }
        let single = |(mark, range): (_, &Range<usize>)| {
            self.snippet(range.clone(), std::slice::from_ref(mark), std::slice::from_ref(range))
        };
        marks.iter().zip(&ranges).map(single).collect()
    }

    /// The whole lines of a range, with its marks.
    fn snippet<'a>(
        &'a self,
        lines: Range<usize>,
        marks: &[Mark<'a>],
        ranges: &[Range<usize>],
    ) -> Snippet<'a, Annotation<'a>> {
        let Range { start, end } = self.whole_lines(lines);
        // The renderer shows control characters of one byte as pictures, but leaves those of two as they are, and a
        // terminal obeys them. The middle dot has two bytes as well, so that the marks stay where they are.
        let text = self.text[start..end].replace(|char| ('\u{80}'..='\u{9f}').contains(&char), "\u{b7}");
        let line = self.text[..start].matches('\n').count() + 1;
        let annotations = marks.iter().zip(ranges).map(|(mark, range)| {
            let annotation = mark.kind.span(range.start - start..range.end - start);
            if mark.label.is_empty() { annotation } else { annotation.label(mark.label) }
        });
        Snippet::source(text).line_start(line).path(&*self.name).annotations(annotations)
    }

    /// A range grown to whole lines.
    fn whole_lines(&self, range: Range<usize>) -> Range<usize> {
        let start = self.text[..range.start].rfind('\n').map_or(0, |newline| newline + 1);
        let end = self.text[range.end..].find('\n').map_or(self.text.len(), |newline| range.end + newline + 1);
        start..end
    }

    /// Where an offset is shown: on a character boundary, and what is missing at the end of the file after its last
    /// visible character, not on an empty line that no editor shows.
    fn anchor(&self, offset: usize) -> usize {
        if offset >= self.text.len() { self.text.trim_end().len() } else { self.text.floor_char_boundary(offset) }
    }

    /// A range inside the text, on character boundaries, and not too long to be shown.
    fn clamp(&self, range: &Range<usize>) -> Range<usize> {
        let start = self.anchor(range.start);
        let end = self.text.ceil_char_boundary(range.end.min(start + EXCERPT_LEN_MAX));
        start..self.anchor(end).max(start)
    }
}

/// A text from outside as an error may quote it: nothing that a terminal would obey, and not pages of it.
pub(crate) fn shown(text: &str) -> String {
    shortened(&text.chars().take(SHOWN_CHARS_MAX + 1).collect::<String>().escape_debug().to_string())
}

/// The beginning of a text that may be as long as the file.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Longest part of a value that an error quotes, in characters.
const SHOWN_CHARS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { name: "test.toml".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn whole_lines_are_those_of_the_range_only() {
        let source = source("one\ntwo\nthree");
        assert_eq!(
            ["", "ne\ntw", "o\nth"].map(|part| {
                let at = source.text.find(part).unwrap();
                source.whole_lines(at..at + part.len())
            }),
            [0..4, 0..8, 4..13]
        );
        assert_eq!(source.whole_lines(13..13), 8..13);
    }

    #[test]
    fn marks_are_inside_the_text_and_not_huge() {
        let source = source("äö\n\n  \n");
        assert_eq!(source.clamp(&(1..3)), 0..4, "whole characters");
        assert_eq!(source.clamp(&(9..10)), 4..4, "the end of the file is after what can be seen");
        assert_eq!(source.clamp(&(100..200)), 4..4);
        assert_eq!((source.line_column(2), source.line_column(9), source.line_column(100)), ((1, 2), (1, 3), (1, 3)));
        let long = Source { text: "x".repeat(1 << 20), ..source };
        assert_eq!(long.clamp(&(5..1 << 20)), 5..5 + EXCERPT_LEN_MAX);
    }

    #[test]
    fn shown_is_short_and_plain() {
        assert_eq!(shown("web \"1\""), r#"web \"1\""#);
        assert_eq!(shown("a\u{1b}[31m\n\u{9b}\u{202e}"), r"a\u{1b}[31m\n\u{9b}\u{202e}");
        assert_eq!(shown(&"ä".repeat(100)), "ä".repeat(100));
        assert_eq!(shown(&"ä".repeat(101)), "ä".repeat(100) + "...");
        assert_eq!(shown(&"\u{1b}".repeat(1 << 20)).len(), 103);
    }
}
