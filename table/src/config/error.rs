//! What is wrong with a configuration, and where.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// Most problems that one error reports.
pub const PROBLEMS_MAX: usize = 20;

/// All that is wrong with a configuration, in file order.
///
/// It displays as plain text, one paragraph a problem, each with its place and the remedy.
#[derive(Clone)]
pub struct ConfigError {
    source: Arc<Source>,
    problems: Vec<Problem>,
    left_off: usize,
}

impl ConfigError {
    /// Sorts problems by place and keeps the first [`PROBLEMS_MAX`].
    pub(crate) fn new(source: Arc<Source>, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.at.as_ref().map(|at| at.start));
        let left_off = problems.len().saturating_sub(PROBLEMS_MAX);
        problems.truncate(PROBLEMS_MAX);
        Self { source, problems, left_off }
    }

    /// Name of the file, as it was given to the parser.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.source.name
    }

    /// The problems, in file order, at most [`PROBLEMS_MAX`].
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Line and column of a problem of this error, if it has a place in the file.
    ///
    /// # Units
    /// Both count from 1; the column counts characters.
    #[must_use]
    pub fn place(&self, problem: &Problem) -> Option<(usize, usize)> {
        problem.at.as_ref().map(|at| self.source.line_column(at.start))
    }

    /// Renders with a renderer of the caller's choice, for instance one with colours.
    #[must_use]
    pub fn render(&self, renderer: &Renderer) -> String {
        let mut paragraphs: Vec<String> =
            self.problems.iter().map(|problem| renderer.render(&[problem.group(&self.source)])).collect();
        if self.left_off > 0 {
            let title = format!("{} more problems are not shown", self.left_off);
            paragraphs.push(renderer.render(&[Group::with_title(Level::NOTE.primary_title(title))]));
        }
        paragraphs.join("\n\n")
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Renderer::plain()))
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ConfigError {}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    message: String,
    at: Option<Range<usize>>,
    label: String,
    also: Option<(Range<usize>, String)>,
    help: Option<String>,
}

impl Problem {
    /// A problem at a byte range of the file.
    pub(crate) fn at(at: Range<usize>, message: impl Into<String>) -> Self {
        Self { at: Some(at), ..Self::nowhere(message) }
    }

    /// A problem of the file as a whole.
    pub(crate) fn nowhere(message: impl Into<String>) -> Self {
        Self { message: message.into(), at: None, label: String::new(), also: None, help: None }
    }

    /// Says something beside the marked place.
    pub(crate) fn label(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    /// Marks a second place, with which the first conflicts.
    pub(crate) fn also(self, at: Range<usize>, label: impl Into<String>) -> Self {
        Self { also: Some((at, label.into())), ..self }
    }

    /// Says what to do about it.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// What is wrong, in one sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        self.help.as_deref()
    }

    fn group<'a>(&'a self, source: &'a Source) -> Group<'a> {
        let mut group = Group::with_title(Level::ERROR.primary_title(&*self.message));
        match &self.at {
            None => group = group.element(annotate_snippets::Origin::path(&*source.name)),
            Some(at) => {
                let mut primary = AnnotationKind::Primary.span(source.clamp(at));
                if !self.label.is_empty() {
                    primary = primary.label(&*self.label);
                }
                let mut snippet = Snippet::source(&*source.text).path(&*source.name).annotation(primary);
                if let Some((at, label)) = &self.also {
                    snippet = snippet.annotation(AnnotationKind::Context.span(source.clamp(at)).label(&**label));
                }
                group = group.element(snippet);
            }
        }
        match &self.help {
            Some(help) => group.element(Level::HELP.message(&**help)),
            None => group,
        }
    }
}

/// A configuration's text, kept so that what fails later can still show its place.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Source {
    /// Line and column of a byte offset, from 1.
    pub(crate) fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = &self.text[..self.text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// A range inside the text and on character boundaries.
    fn clamp(&self, range: &Range<usize>) -> Range<usize> {
        let start = self.text.floor_char_boundary(range.start);
        start..self.text.ceil_char_boundary(range.end).max(start)
    }
}
