//! What is wrong with a configuration, and where.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer};

use super::source::{Mark, Source};

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
    /// The first [`PROBLEMS_MAX`] problems by place.
    pub(crate) fn new(source: Arc<Source>, mut problems: Problems) -> Self {
        problems.settle();
        let left_off = problems.found - problems.kept.len();
        Self { source, problems: problems.kept, left_off }
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
                let mut marks = vec![Mark { kind: AnnotationKind::Primary, at, label: &self.label }];
                marks.extend(self.also.iter().map(|(at, label)| Mark { kind: AnnotationKind::Context, at, label }));
                group = group.elements(source.snippets(&marks));
            }
        }
        match &self.help {
            Some(help) => group.element(Level::HELP.message(&**help)),
            None => group,
        }
    }
}

/// All problems that were found, of which only as many are kept as may be shown: a file of 16 MiB has millions.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    kept: Vec<Problem>,
    found: usize,
}

impl Problems {
    /// Adds one.
    pub(crate) fn push(&mut self, problem: Problem) {
        self.found += 1;
        self.kept.push(problem);
        if self.kept.len() >= 16 * PROBLEMS_MAX {
            self.settle();
        }
    }

    /// How many there are, those that are no longer kept too.
    pub(crate) fn found(&self) -> usize {
        self.found
    }

    /// Sorts by place and keeps the first ones. The sort is stable, so that what was dropped would not come back.
    fn settle(&mut self) {
        self.kept.sort_by_key(|problem| problem.at.as_ref().map(|at| at.start));
        self.kept.truncate(PROBLEMS_MAX);
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self { kept: vec![problem], found: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_problems_by_place_are_kept() {
        let mut problems = Problems::default();
        // 0, 7919, 15838, .. modulo 10,007: every place once, in no order.
        for index in 0..10_007_usize {
            let at = index * 7_919 % 10_007;
            problems.push(Problem::at(at..at, at.to_string()));
            assert!(problems.kept.len() <= 16 * PROBLEMS_MAX);
        }
        let source = Source { name: "test.toml".to_owned(), text: "x".repeat(10_007) };
        let error = ConfigError::new(Arc::new(source), problems);
        let messages: Vec<&str> = error.problems().iter().map(Problem::message).collect();
        assert_eq!(messages, (0..PROBLEMS_MAX).map(|at| at.to_string()).collect::<Vec<_>>());
        assert!(error.to_string().ends_with("note: 9987 more problems are not shown"), "{error}");
    }
}
