//! Goal: every command does what its help says, and bad input of any kind gives one clear error, exit code 2, and
//! nothing written.
//!
//! Method: the program itself, as a user starts it, in an empty directory.

// Helpers outside of `#[test]` functions count as tests here too.
#![allow(clippy::unwrap_used)]

mod card;
mod frame;
mod replay;
#[cfg(feature = "lab")]
mod report;
#[cfg(feature = "lab")]
mod rtl;
#[cfg(target_os = "linux")]
mod run;
mod study;
mod table;
mod trace;
#[cfg(feature = "lab")]
mod verify;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A directory to run the program in.
struct Folder(TempDir);

/// What the program did.
#[derive(Debug)]
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path(name), bytes).unwrap();
        self
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn run(&self, words: &[&str]) -> Ran {
        let output = self.command(words).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maglane"));
        command.args(words).current_dir(self.0.path());
        command
    }

    /// Runs and expects exit code 2, an error that names `place`, nothing on standard output, and no new file.
    #[track_caller]
    fn refused(&self, words: &[&str], place: &str) -> Ran {
        let before = self.files();
        let ran = self.run(words);
        assert_eq!(ran.code, 2, "{words:?}: {ran:?}");
        assert!(ran.stderr.starts_with("error: "), "{words:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(place), "{words:?}: {place:?} is not in {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{words:?}");
        assert_eq!(self.files(), before, "{words:?}");
        ran
    }
}

impl Ran {
    #[track_caller]
    fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "{text:?} is not in\n{}\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}:\n{}", self.stdout))
    }
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)
}

fn capture(name: &str) -> Vec<u8> {
    fs::read(project("tests/captures").join(name)).unwrap()
}

fn example(name: &str) -> String {
    fs::read_to_string(project("examples").join(name)).unwrap()
}

/// A directory with `web.toml` and `web.pcap`.
fn web() -> Folder {
    let folder = Folder::new();
    folder.put("web.toml", example("web.toml")).put("web.pcap", capture("web.pcap"));
    folder
}

/// Captures that must be refused: name, content, and what the error says.
fn bad_captures() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = capture("web.pcap");
    let mut other_link = good.clone();
    // Link type of the classic header: 113, Linux cooked.
    other_link[20..24].copy_from_slice(&113_u32.to_le_bytes());
    vec![
        ("empty.pcap", Vec::new(), "empty.pcap: the file is empty"),
        ("text.pcap", b"this is text, not packets\n".to_vec(), "text.pcap: not a capture"),
        ("header.pcap", good[..20].to_vec(), "header.pcap: the file ends inside its header"),
        ("cut.pcap", good[..20_000].to_vec(), "cut.pcap: packet 51: the file ends in the middle of it"),
        ("link.pcap", other_link, "link.pcap: the link type is"),
    ]
}

/// Configurations that must be refused: name, content, and what the error says.
fn bad_configs() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = example("web.toml");
    vec![
        ("empty.toml", Vec::new(), "empty.toml: the file is empty"),
        ("bytes.toml", vec![b'#', b'\n', 0xff, 0xfe], "bytes.toml: line 2: not a configuration"),
        ("key.toml", good.replace("check_mac", "check_mca").into_bytes(), "key.toml:10"),
        ("syntax.toml", good.replacen("port = 80\n", "port = = 80\n", 1).into_bytes(), "syntax.toml:24"),
        ("prime.toml", good.replacen("4093", "4094", 1).into_bytes(), "prime.toml:28"),
    ]
}

#[test]
fn help_of_every_command_is_there() {
    let folder = Folder::new();
    folder.run(&["--help"]).ended(0).says("Exit code").says("replay");
    #[cfg(target_os = "linux")]
    folder.run(&["run", "--help"]).ended(0).says("Example").says("maglane run");
    #[cfg(target_os = "linux")]
    folder.run(&["trace", "--help"]).ended(0).says("Example").says("maglane trace --interface");
    for command in ["replay", "table build", "table show", "table diff", "table study"] {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        folder.run(&words).ended(0).says("Example").says(&format!("maglane {command}"));
    }
    folder.run(&["replay", "--help"]).ended(0).says("<--out <FILE>|--trace>").says("at least one of --out and --trace");
    #[cfg(feature = "lab")]
    for command in ["verify", "rtl emit", "rtl lint"] {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        folder.run(&words).ended(0).says("Example").says(&format!("maglane {command}"));
    }
    #[cfg(not(feature = "lab"))]
    folder.run(&["--help"]).ended(0).says("built without the feature `lab`");
}

#[test]
fn wrong_command_lines_are_refused() {
    let folder = Folder::new();
    for words in [&["prove"][..], &["replay"], &["table", "show"], &["table", "show", "--config", "a", "--image", "b"]]
    {
        assert_eq!(folder.run(words).code, 2, "{words:?}");
    }
}

#[test]
fn reader_that_goes_away_is_not_an_error() {
    let folder = web();
    let mut child = folder
        .command(&["table", "show", "--config", "web.toml", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
