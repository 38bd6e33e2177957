//! Programs that are not part of the toolchain, and where their files go.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a tool says of its version; `None` when it is missing and may be.
pub(crate) fn version(tool: &str, argument: &str) -> Result<Option<String>, String> {
    let Ok(output) = Command::new(tool).arg(argument).output() else {
        if std::env::var_os("MAGLANE_NO_SKIP").is_some() {
            return Err(format!("nothing may be skipped here: {tool} is not installed"));
        }
        println!("skipped: {tool} is not installed");
        return Ok(None);
    };
    let text = String::from_utf8_lossy(if output.stdout.is_empty() { &output.stderr } else { &output.stdout });
    Ok(Some(text.lines().last().unwrap_or_default().to_owned()))
}

/// Runs a script of Yosys. A name for a signal of another width is an error.
pub(crate) fn yosys(script: &str) -> Result<(), String> {
    let output = Command::new("yosys")
        .args(["-q", "-e", "Widening", "-p", script])
        .output()
        .map_err(|error| format!("yosys: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("yosys: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
    }
}

/// Where files of a step go; they stay for a closer look.
pub(crate) fn directory(step: &str) -> Result<PathBuf, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let directory = target.join(step);
    std::fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    Ok(directory)
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}
