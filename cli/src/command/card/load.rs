//! `maglane card load`: tables into a card.

use std::io::Write;

use anyhow::{Context, Result};
use maglane_driver::load::{Loader, Progress, Step};
use serde::Serialize;

use super::{device, state};
use crate::args::{DeviceArgs, TableSource};
use crate::input;
use crate::output::{Console, counted, thousands};
use crate::progress::{self, Line};

/// What `load --json` tells.
#[derive(Debug, Serialize)]
struct Loaded {
    device: String,
    generation: u32,
    words_written: u64,
    words_read: u64,
    seconds: f64,
    mode: &'static str,
}

pub(super) fn run(args: &DeviceArgs, source: &TableSource, serve: bool) -> Result<bool> {
    let file = match (&source.config, &source.image) {
        (Some(config), _) => input::config(config)?.table_file()?,
        (None, Some(image)) => input::image(image)?,
        (None, None) => unreachable!("the command line takes one of them"),
    };
    let mut card = device::open(&args.device)?;
    let mut lines = Lines::default();
    let report = Loader::new()
        .load(&mut card, &file.image, &mut |progress| lines.show(progress))
        .with_context(|| args.device.to_string())?;
    drop(lines);
    if serve {
        state::serve(&mut card)?;
    }
    let loaded = Loaded {
        device: args.device.to_string(),
        generation: report.generation,
        words_written: report.words_written,
        words_read: report.words_read,
        seconds: report.elapsed.as_secs_f64(),
        mode: state::mode_name(card.mode()?),
    };
    let mut console = Console::new();
    if args.json {
        console.json(&loaded)?;
        return Ok(true);
    }
    writeln!(
        console,
        "{}: generation {} is committed; {} written and {} read back in {:.2} s",
        loaded.device,
        thousands(loaded.generation),
        counted(loaded.words_written, "word"),
        thousands(loaded.words_read),
        loaded.seconds
    )?;
    if loaded.mode == "bypass" {
        writeln!(console, "the card is in bypass: `maglane card bypass --device {} off` lets it serve", loaded.device)?;
    }
    Ok(true)
}

/// A progress bar for each step.
#[derive(Default)]
struct Lines(Option<(Step, Line)>);

impl Lines {
    fn show(&mut self, Progress { step, done, total }: Progress) {
        if self.0.as_ref().is_none_or(|(shown, _)| *shown != step) {
            let what = match step {
                Step::Stage => "writing",
                Step::Verify => "reading back",
                Step::StageOther => "writing the other side",
                Step::VerifyOther => "reading it back",
            };
            self.0 = Some((step, progress::bar(what.to_owned(), total as u64, "words")));
        }
        if let Some((_, line)) = &self.0 {
            line.set_position(done as u64);
        }
    }
}
