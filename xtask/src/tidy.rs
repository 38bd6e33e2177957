//! Rules of the house that no other tool checks, over the files that git tracks.

use std::process::Command;

/// Longest line of a source file, in characters.
const LINE_CHARS_MAX: usize = 125;
/// Longest line of a document, in characters; tables aside.
const PROSE_CHARS_MAX: usize = 160;
/// Longest source file, in lines.
const FILE_LINES_MAX: usize = 800;
/// Words that promise something for later: such things stand in the README's list of what is not done.
const PROMISES: [&str; 4] = ["TODO", "FIXME", "XXX", "todo!("];

/// Checks all files; the error lists every finding.
pub(crate) fn check() -> Result<(), String> {
    let output = Command::new("git").args(["ls-files"]).output().map_err(|error| format!("git: {error}"))?;
    let files = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut findings = Vec::new();
    for path in files.lines().filter(|path| is_text(path)) {
        if let Ok(text) = std::fs::read_to_string(path) {
            check_file(path, &text, &mut findings);
        }
    }
    for (twin, other) in [("hw/src/stage/", "sw-fallback/src/stage/"), ("sw-fallback/src/stage/", "hw/src/stage/")] {
        for file in files.lines().filter_map(|path| path.strip_prefix(twin)) {
            if !files.lines().any(|path| path.strip_prefix(other) == Some(file)) {
                findings.push(format!("{twin}{file}: no twin {other}{file}"));
            }
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(format!("\n{}", findings.join("\n"))) }
}

fn is_text(path: &str) -> bool {
    let endings = [".rs", ".toml", ".md", ".sh", ".py", ".cpp", "Makefile"];
    endings.iter().any(|ending| path.ends_with(ending)) && path != "Cargo.lock"
}

fn check_file(path: &str, text: &str, findings: &mut Vec<String>) {
    for (number, line) in (1..).zip(text.lines()) {
        let is_prose = path.ends_with(".md");
        let is_table = is_prose && line.contains('|');
        let chars_max = if is_prose { PROSE_CHARS_MAX } else { LINE_CHARS_MAX };
        if line.chars().count() > chars_max && !is_table {
            findings.push(format!("{path}:{number}: {} characters", line.chars().count()));
        }
        if line.trim_end() != line {
            findings.push(format!("{path}:{number}: white space at the end"));
        }
        if path != "xtask/src/tidy.rs" && PROMISES.iter().any(|word| line.contains(word)) {
            findings.push(format!("{path}:{number}: a promise; put it on the README's list of what is not done"));
        }
    }
    if path.ends_with(".rs") {
        if text.lines().count() > FILE_LINES_MAX {
            findings.push(format!("{path}: {} lines", text.lines().count()));
        }
        if path.contains("/src/") && !text.trim_start().starts_with("//!") {
            findings.push(format!("{path}: no `//!` line that says what it is"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        findings.push(format!("{path}: no newline at the end"));
    }
}
