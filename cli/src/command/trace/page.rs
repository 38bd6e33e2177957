//! The text of a trace: the stage's name, what a line is about, and the line, in columns.

use std::fmt::Write as _;

use clap::builder::styling::{AnsiColor, Style};

/// Width of the column of the stages: the longest name and two blanks.
const STAGE_WIDTH: usize = 11;
/// Width of the column of what the lines are about.
const LABEL_WIDTH: usize = 13;

/// How a line is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Notice,
    Bad,
}

/// A text that grows by lines.
#[derive(Debug)]
pub(crate) struct Page {
    coloured: bool,
    text: String,
    /// The stage whose first line has not been written.
    stage: &'static str,
}

impl Page {
    pub(crate) fn new(coloured: bool) -> Self {
        Self { coloured, text: String::new(), stage: "" }
    }

    /// A line across all columns.
    pub(crate) fn heading(&mut self, text: &str) {
        self.put(Style::new().bold(), text, 0);
        self.text.push('\n');
    }

    /// The lines that follow are a stage's.
    pub(crate) fn stage(&mut self, name: &'static str) {
        self.stage = name;
    }

    /// A line.
    pub(crate) fn line(&mut self, label: &str, text: impl AsRef<str>) {
        self.toned(Tone::Plain, label, text);
    }

    /// A line that is more than a fact.
    pub(crate) fn toned(&mut self, tone: Tone, label: &str, text: impl AsRef<str>) {
        let style = match tone {
            Tone::Plain => Style::new(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Notice => AnsiColor::Yellow.on_default(),
            Tone::Bad => AnsiColor::Red.on_default(),
        };
        self.text.push_str("  ");
        let stage = std::mem::take(&mut self.stage);
        self.put(Style::new().bold(), stage, STAGE_WIDTH);
        self.put(Style::new().dimmed(), label, LABEL_WIDTH);
        self.put(style, text.as_ref(), 0);
        self.text.push('\n');
    }

    /// The whole text.
    pub(crate) fn finish(mut self) -> String {
        self.text.push('\n');
        self.text
    }

    /// Writes a word, and blanks up to a width.
    fn put(&mut self, style: Style, word: &str, width: usize) {
        // Writing to a string cannot fail.
        let _infallible = if self.coloured && !word.is_empty() && style != Style::new() {
            write!(self.text, "{style}{word}{style:#}")
        } else {
            write!(self.text, "{word}")
        };
        // Two blanks at least behind a word that is wider than its column.
        let blanks = if width == 0 { 0 } else { width.saturating_sub(word.chars().count()).max(2) };
        self.text.extend(std::iter::repeat_n(' ', blanks));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(coloured: bool) -> String {
        let mut page = Page::new(coloured);
        page.heading("frame 1");
        page.stage("parse");
        page.line("tag", "none");
        page.toned(Tone::Bad, "refused", "no");
        page.finish()
    }

    #[test]
    fn lines_are_in_columns() {
        assert_eq!(page(false), "frame 1\n  parse      tag          none\n             refused      no\n\n");
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let (plain, coloured) = (page(false), page(true));
        assert!(!plain.contains('\u{1b}') && coloured.contains("\u{1b}[31mno\u{1b}[0m"), "{coloured:?}");
        let mut bare = String::new();
        for piece in coloured.split('\u{1b}') {
            bare += piece.strip_prefix('[').and_then(|piece| piece.split_once('m')).map_or(piece, |(_, rest)| rest);
        }
        assert_eq!(bare, plain);
    }
}
