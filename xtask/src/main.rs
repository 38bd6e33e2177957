//! Steps of the checks that a reviewer would run: `cargo run -p xtask -- ci`, or one step by its name.

use std::process::{Command, ExitCode};
use std::time::Instant;

mod instructions;
mod proof;
mod registers;
mod synthesis;
mod tidy;
mod tools;

/// All tests.
const TESTS: &[&str] = &["cargo", "test", "--locked", "--workspace", "--features", "maglane-sw/fault"];

/// A named step: a command line, one of `maglane`, or a check of this program's own.
enum Step {
    Run(&'static str, &'static [&'static str]),
    Maglane(&'static str, &'static [&'static str]),
    Check(&'static str, fn() -> Result<(), String>),
}

/// Cheap steps first: what fails often should fail soon.
const STEPS: &[Step] = &[
    Step::Run("format", &["cargo", "fmt", "--all", "--check"]),
    Step::Run("format-fuzz", &["cargo", "fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]),
    Step::Check("tidy", tidy::check),
    Step::Run("clippy", &["cargo", "clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    Step::Run("no-lab", &["cargo", "check", "--locked", "--workspace", "--no-default-features"]),
    Step::Maglane(
        "verilog",
        &["rtl", "emit", "--profile", "sume", "--profile", "alveo", "--out", "hw/verilog", "--check"],
    ),
    Step::Maglane("rtl-lint", &["rtl", "lint"]),
    Step::Check("registers", registers::check),
    Step::Check("captures", captures),
    Step::Check("synthesis", synthesis::gate),
    Step::Check("proof", proof::prove),
    Step::Check("instructions", instructions::gate),
    Step::Run("tests", TESTS),
    Step::Run("docs", &["cargo", "doc", "--locked", "--no-deps", "--workspace"]),
];

/// Steps that `ci` leaves out, for the time that they take.
const APART: &[Step] = &[
    Step::Check("registers-write", registers::write),
    Step::Check("prove", proof::prove_all),
    Step::Check("synthesis-table", synthesis::table),
    Step::Check("synthesis-timing", synthesis::timing),
];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let name = |step: &Step| match step {
        Step::Run(name, _) | Step::Maglane(name, _) | Step::Check(name, _) => *name,
    };
    let known: Vec<&str> = STEPS.iter().chain(APART).map(name).collect();
    if wanted.is_empty() || wanted.iter().any(|wanted| wanted != "ci" && !known.contains(&wanted.as_str())) {
        eprintln!("usage: cargo run -p xtask -- ci | {}", known.join(" | "));
        return ExitCode::from(2);
    }
    let all = wanted.iter().any(|wanted| wanted == "ci");
    let is_wanted = |step: &&Step| wanted.iter().any(|wanted| wanted == name(step));
    for step in STEPS.iter().filter(|step| all || is_wanted(step)).chain(APART.iter().filter(is_wanted)) {
        let start = Instant::now();
        println!("== {}", name(step));
        let result = match step {
            Step::Run(_, words) => run(words),
            Step::Maglane(_, arguments) => maglane(arguments),
            Step::Check(_, check) => check(),
        };
        if let Err(message) = result {
            eprintln!("== {} failed: {message}", name(step));
            return ExitCode::FAILURE;
        }
        println!("== {} passed in {:.0} s", name(step), start.elapsed().as_secs_f64());
    }
    ExitCode::SUCCESS
}

/// The committed captures are what their README says.
fn captures() -> Result<(), String> {
    if Command::new("tcpdump").arg("--version").output().is_err() {
        if std::env::var_os("MAGLANE_NO_SKIP").is_some() {
            return Err("nothing may be skipped here: tcpdump is not installed".to_owned());
        }
        println!("skipped: tcpdump is not installed");
        return Ok(());
    }
    run(&["bash", "tests/captures/check.sh"])
}

/// Runs the command as the tests' build makes it: by itself it would be built with other features of its dependencies,
/// and so would all of them, the gateware for minutes.
fn maglane(arguments: &[&str]) -> Result<(), String> {
    run(&[TESTS, &["--no-run", "--quiet"]].concat())?;
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let program = own.with_file_name(format!("maglane{}", std::env::consts::EXE_SUFFIX));
    let program = program.to_str().ok_or("the target directory's name is not UTF-8")?;
    run(&[&[program], arguments].concat())
}

fn run(words: &[&str]) -> Result<(), String> {
    let (program, arguments) = words.split_first().ok_or("an empty command")?;
    let status = Command::new(program)
        .args(arguments)
        .env("RUSTDOCFLAGS", "-D warnings")
        .status()
        .map_err(|error| format!("{program}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{}`: {status}", words.join(" "))) }
}
