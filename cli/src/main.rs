//! `maglane`: lookup tables, replay, and the proof that card and software agree.
//!
//! This room parses the command line, calls the rooms that know, and tells a person or a script what they found. It
//! decides nothing about packets or tables. Its unit of work is one command.

#![forbid(unsafe_code)]

mod args;
mod command;
mod input;
mod output;
mod progress;

use std::process::ExitCode;

use args::{Cli, Command};
use clap::Parser;

/// The answer is yes: engines agree, files are written, up to date or clean.
const EXIT_YES: u8 = 0;
/// The answer is no: engines differ, a file is out of date, a lint has findings.
const EXIT_NO: u8 = 1;
/// There is no answer: bad input, or something that the command needs is missing.
const EXIT_ERROR: u8 = 2;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        #[cfg(feature = "lab")]
        Command::Verify(args) => command::verify::run(&args),
        Command::Replay(args) => command::replay::run(&args),
        #[cfg(target_os = "linux")]
        Command::Run(args) => command::run::run(&args),
        #[cfg(target_os = "linux")]
        Command::Trace(args) => command::attach::run(&args),
        Command::Card(args) => command::card::run(&args),
        Command::Table(args) => command::table::run(&args),
        #[cfg(feature = "lab")]
        Command::Rtl(args) => command::rtl::run(&args),
    };
    ExitCode::from(match result {
        Ok(true) => EXIT_YES,
        Ok(false) => EXIT_NO,
        Err(error) => {
            output::error(&error);
            EXIT_ERROR
        }
    })
}
