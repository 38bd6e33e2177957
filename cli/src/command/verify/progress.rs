//! Progress for a person who waits: on standard error, and only when that is a terminal.

use std::io::{self, IsTerminal};
use std::ops::Deref;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A line that goes away when it is dropped.
#[derive(Debug)]
pub(super) struct Line(ProgressBar);

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
pub(super) fn spinner(message: &'static str) -> Line {
    if !io::stderr().is_terminal() {
        return Line(ProgressBar::hidden());
    }
    let spinner = ProgressBar::new_spinner().with_message(message);
    spinner.enable_steady_tick(Duration::from_millis(100));
    Line(spinner)
}

/// Frames of a run.
pub(super) fn bar(frames: usize, bus_bytes: u32) -> Line {
    if !io::stderr().is_terminal() {
        return Line(ProgressBar::hidden());
    }
    let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos} of {human_len} frames, {eta} left");
    let bar = ProgressBar::new(frames as u64).with_message(format!("bus of {bus_bytes} bytes"));
    Line(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
}
