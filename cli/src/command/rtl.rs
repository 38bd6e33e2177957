//! `maglane rtl`: the gateware as Verilog, written or checked.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use maglane_hw::profile::Profile;
use maglane_hw::{emit, lint};
use maglane_sim::model;
use serde::Serialize;

use crate::args::{RtlArgs, RtlCommand};
use crate::input;
use crate::output::{self, Console, counted};

/// Runs the command.
pub(crate) fn run(args: &RtlArgs) -> Result<bool> {
    match &args.command {
        RtlCommand::Emit { profiles, out, check } => {
            let profiles = if profiles.all { Profile::ALL.to_vec() } else { once_each(&profiles.profiles) };
            if !out.is_dir() {
                bail!("{}: not a directory; make it, or name another with --out", out.display());
            }
            if *check { compare(&profiles, out) } else { write(&profiles, out) }
        }
        RtlCommand::Lint { profiles, json } => {
            let profiles = if profiles.is_empty() { Profile::ALL.to_vec() } else { once_each(profiles) };
            inspect(&profiles, *json)
        }
    }
}

/// In the order of the command line.
fn once_each(profiles: &[Profile]) -> Vec<Profile> {
    let mut result: Vec<Profile> = Vec::new();
    for &profile in profiles {
        if !result.contains(&profile) {
            result.push(profile);
        }
    }
    result
}

fn path_of(profile: Profile, folder: &Path) -> PathBuf {
    if folder == Path::new(".") { PathBuf::from(file_name(profile)) } else { folder.join(file_name(profile)) }
}

fn file_name(profile: Profile) -> String {
    format!("{}_{}.v", emit::TOP, profile.name())
}

fn write(profiles: &[Profile], folder: &Path) -> Result<bool> {
    let mut console = Console::new();
    for &profile in profiles {
        let text = profile.verilog(None);
        let path = path_of(profile, folder);
        input::check_output(&path, &[])?;
        output::write_file(&path, text.as_bytes())?;
        let lines = counted(text.lines().count(), "line");
        writeln!(console, "{}: {lines}, {}", path.display(), counted(text.len(), "byte"))?;
    }
    Ok(true)
}

fn compare(profiles: &[Profile], folder: &Path) -> Result<bool> {
    let mut console = Console::new();
    let mut same = true;
    for &profile in profiles {
        let path = path_of(profile, folder);
        let there = match fs::read(&path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let name = path.display();
        let again = format!(
            "write it with `maglane rtl emit --profile {} --out {}`",
            profile.name(),
            output::shell_word(&folder.display().to_string())
        );
        let text = profile.verilog(None);
        match there {
            Some(bytes) if bytes == text.as_bytes() => writeln!(console, "{name}: up to date")?,
            Some(bytes) => {
                let line = first_difference(&String::from_utf8_lossy(&bytes), &text);
                writeln!(console, "{name}: out of date, from line {line} on; {again}")?;
                same = false;
            }
            None => {
                writeln!(console, "{name}: missing; {again}")?;
                same = false;
            }
        }
    }
    Ok(same)
}

/// The number of the first line that differs, from 1.
fn first_difference(a: &str, b: &str) -> usize {
    a.lines().zip(b.lines()).take_while(|(a, b)| a == b).count() + 1
}

/// What `rtl lint --json` tells.
#[derive(Debug, Serialize)]
struct Report {
    clean: bool,
    /// Why Verilator did not look.
    verilator_skipped: Option<String>,
    profiles: Vec<Inspected>,
}

#[derive(Debug, Serialize)]
struct Inspected {
    profile: &'static str,
    findings: Vec<Finding>,
    /// What Verilator says, empty when nothing; none when it did not look.
    verilator: Option<String>,
}

#[derive(Debug, Serialize)]
struct Finding {
    path: String,
    rule: &'static str,
    message: String,
}

impl Inspected {
    fn clean(&self) -> bool {
        self.findings.is_empty() && self.verilator.as_deref().unwrap_or_default().is_empty()
    }
}

fn inspect(profiles: &[Profile], json: bool) -> Result<bool> {
    let mut console = Console::new();
    let missing = model::verilator_version().err().map(|error| error.to_string());
    let mut inspected = Vec::new();
    for &profile in profiles {
        let found = lint::profile(profile).into_iter();
        let findings = found.map(|lint::Finding { path, rule, message }| Finding { path, rule, message }).collect();
        let verilator = if missing.is_none() { Some(verilator(profile)?) } else { None };
        let one = Inspected { profile: profile.name(), findings, verilator };
        if !json {
            write!(console, "{}", text(&one))?;
        }
        inspected.push(one);
    }
    let clean = inspected.iter().all(Inspected::clean);
    if json {
        console.json(&Report { clean, verilator_skipped: missing, profiles: inspected })?;
    } else if let Some(why) = missing {
        writeln!(console, "skipped: verilator --lint-only: {why}")?;
    }
    Ok(clean)
}

fn text(one: &Inspected) -> String {
    let looked = if one.verilator.is_some() { " of ours, none of Verilator's" } else { "" };
    if one.clean() {
        return format!("{}: no findings{looked}\n", one.profile);
    }
    let mut text = String::new();
    for Finding { path, rule, message } in &one.findings {
        text += &format!("{}: {path}: {rule}: {message}\n", one.profile);
    }
    for line in one.verilator.iter().flat_map(|log| log.lines()) {
        text += &format!("{}: {line}\n", one.profile);
    }
    text
}

/// What Verilator says about the emitted text; empty when nothing.
fn verilator(profile: Profile) -> Result<String> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let name = file_name(profile);
    let path = folder.path().join(&name);
    fs::write(&path, profile.verilog(None)).with_context(|| format!("cannot write {}", path.display()))?;
    let output = Command::new("verilator")
        .current_dir(folder.path())
        .args(["--lint-only", "--top-module", emit::TOP])
        .args(model::QUIET)
        .arg(&name)
        .output()
        .context("cannot start Verilator")?;
    let text = [output.stdout, output.stderr].concat();
    let log: Vec<String> = String::from_utf8_lossy(&text)
        .lines()
        // The report of a run without findings, which newer versions print.
        .filter(|line| !line.starts_with("- "))
        .map(str::to_owned)
        .collect();
    if !output.status.success() && log.is_empty() {
        return Ok(format!("Verilator failed ({})", output.status));
    }
    Ok(log.join("\n"))
}
