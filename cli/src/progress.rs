//! Progress for a person who waits: on standard error, and only when that is a terminal.

use std::io::{self, IsTerminal};
use std::ops::Deref;
#[cfg(feature = "lab")]
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A line that goes away when it is dropped.
#[derive(Debug)]
pub(crate) struct Line(ProgressBar);

impl Deref for Line {
    type Target = ProgressBar;

    fn deref(&self) -> &ProgressBar {
        &self.0
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Something of unknown length.
#[cfg(feature = "lab")]
pub(crate) fn spinner(message: &'static str) -> Line {
    if !io::stderr().is_terminal() {
        return Line(ProgressBar::hidden());
    }
    let spinner = ProgressBar::new_spinner().with_message(message);
    spinner.enable_steady_tick(Duration::from_millis(100));
    Line(spinner)
}

/// Something of a known length, in units whose name is in the plural.
pub(crate) fn bar(message: String, length: u64, units: &str) -> Line {
    if !io::stderr().is_terminal() {
        return Line(ProgressBar::hidden());
    }
    let template = format!("{{msg}} {{wide_bar}} {{human_pos}} of {{human_len}} {units}, {{eta}} left");
    let style = ProgressStyle::with_template(&template);
    let bar = ProgressBar::new(length).with_message(message);
    Line(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
}
