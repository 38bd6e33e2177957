//! Proofs over the committed Verilog, by induction over clocks: of the flow table, and of the streams in and out.
//!
//! What is proven is in `hw/formal/`. Yosys makes a circuit of AND gates of it, and CaDiCaL looks for two clocks of
//! which the first keeps all assertions and the second breaks one. There must be none; and there must be some with each
//! of the bugs of `bugs.rs`. An SMT solver on the words of the flow table's model (Z3 through yosys-smtbmc) finished
//! neither in ten minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

mod aiger;
mod bugs;
mod design;

use aiger::Step;
use design::Checker;
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::tools;

const CHECKERS: [Checker; 2] = [
    Checker {
        name: "flow_table",
        proves: "one operation of the flow table after the other",
        prefix: "maglane_core$select$",
        root: "flow_table",
        inside: &["flow_table"],
        widths: &[("F", "flow_table", "s_set"), ("T", "flow_table", "s_tag"), ("B", "flow_table", "attributes_waddr")],
        merges: true,
        solver: &[],
        bugs: bugs::flow_table::BUGS,
    },
    Checker {
        name: "axi_stream",
        proves: "handshake, whole frames and none lost on the streams",
        prefix: "",
        root: "maglane_core",
        inside: &[
            "maglane_core$frame_data",
            "maglane_core$frame_last",
            "maglane_core$transmit",
            "maglane_core$host_queue",
        ],
        widths: &[("K", "maglane_core", "s_axis_tkeep"), ("E", "maglane_core$transmit", "s_egress")],
        merges: false,
        solver: &["--phase=0"],
        bugs: bugs::axi_stream::BUGS,
    },
];
const VERILOG: [&str; 2] = ["hw/verilog/maglane_card_sume.v", "hw/verilog/maglane_card_alveo.v"];

/// Fingerprints of what bugs were planted in when all of them were last seen.
const SEEN: &str = "hw/formal/seen.txt";

/// The step of every change: planted bugs are looked for again when what they are planted in has changed.
pub(crate) fn prove() -> Result<(), String> {
    run(false)
}

/// Both proofs, and all planted bugs.
pub(crate) fn prove_all() -> Result<(), String> {
    run(true)
}

fn run(always: bool) -> Result<(), String> {
    let (Some(yosys), Some(cadical)) = (tools::version("yosys", "-V")?, tools::version("cadical", "--version")?) else {
        return Ok(());
    };
    let tools = format!("{yosys}; CaDiCaL {cadical}");
    println!("{tools}");
    for checker in &CHECKERS {
        println!("{}: {}", checker.path(), checker.proves);
        for line in parallel(&VERILOG, |_, verilog| one(checker, verilog))? {
            println!("{line}");
        }
        let mut modules = checker.modules(VERILOG[0])?;
        bugs::plant(checker, &mut modules)?;
        let line = format!("{} {}", checker.name, fingerprint(&tools, checker, &modules)?);
        let seen = tools::read(Path::new(SEEN)).unwrap_or_default();
        if !always && seen.lines().any(|seen| seen == line) {
            println!("{} planted bugs were seen in just this ({SEEN}); `make prove` looks again", checker.bugs.len());
            continue;
        }
        see_bugs(checker, &modules)?;
        let others = seen.lines().filter(|seen| !seen.starts_with(&format!("{} ", checker.name)));
        let mut lines: Vec<&str> = others.chain([line.as_str()]).collect();
        lines.sort_unstable();
        write(Path::new(SEEN), &(lines.join("\n") + "\n"))?;
    }
    Ok(())
}

/// All that decides whether a bug is seen: the tools, the Verilog with the bugs in it, the checker, and how they become a
/// circuit.
fn fingerprint(tools: &str, checker: &Checker, planted: &design::Modules) -> Result<String, String> {
    let mut hasher = SipHasher24::new();
    let sources = [
        include_str!("tools.rs"),
        include_str!("proof.rs"),
        include_str!("proof/aiger.rs"),
        include_str!("proof/bugs.rs"),
        include_str!("proof/design.rs"),
    ];
    let checker = crate::tools::read(Path::new(&checker.path()))?;
    for part in sources.into_iter().chain([tools, &checker]).chain(planted.values().map(String::as_str)) {
        hasher.write(part.as_bytes());
        hasher.write_u8(0xff);
    }
    Ok(format!("{:032x}", hasher.finish128().as_u128()))
}

/// A proof for a build.
fn one(checker: &Checker, verilog: &str) -> Result<String, String> {
    let start = Instant::now();
    let build = Path::new(verilog).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let name = format!("{}.{build}", checker.name);
    let (circuit, assertions) = checker.circuit(&name, &checker.modules(verilog)?, false)?;
    let step = circuit.step();
    if let Some(model) = solve(&name, &step, &[], &[checker.solver, &["--unsat"]].concat())? {
        let values = tools::directory("proof")?.join(format!("{name}.values"));
        write(&values, &circuit.values(&step, &model))?;
        let broken: Vec<&str> =
            step.broken(&model).into_iter().map(|number| assertions[number].text.as_str()).collect();
        return Err(format!(
            "{verilog}: from a clock that keeps all assertions follows one that breaks\n  {}\n\
             all signals in both clocks: {}",
            broken.join("\n  "),
            values.display()
        ));
    }
    Ok(format!(
        "{verilog}: {} assertions, {} variables in two clocks, proven in {:.0} s",
        circuit.assertions(),
        step.variables(),
        start.elapsed().as_secs_f64()
    ))
}

/// Each planted bug breaks an assertion, and each property is broken by some of them.
fn see_bugs(checker: &Checker, planted: &design::Modules) -> Result<(), String> {
    let start = Instant::now();
    let name = format!("{}.planted", checker.name);
    let (circuit, assertions) = checker.circuit(&name, planted, true)?;
    let step = circuit.step();
    let broken = Mutex::new(BTreeSet::new());
    let note = |model: &[bool]| {
        let numbers = step.broken(model);
        let first = numbers.first().map_or("", |number| assertions[*number].text.as_str());
        broken.lock().unwrap_or_else(PoisonError::into_inner).extend(numbers);
        first
    };
    let lines = parallel(checker.bugs, |index, bug| {
        let number = index + 1;
        let mut besides = circuit.hold(&step, "planted", number)?;
        besides.extend(circuit.hold(&step, "now", bug.now())?);
        let model = solve(&format!("{name}.{number}"), &step, &besides, checker.solver)?;
        let model = model.ok_or_else(|| format!("the proof does not see bug {number}: {}", bug.what))?;
        Ok(format!("seen: {}\n      {}", bug.what, note(&model)))
    })?;
    for line in lines {
        println!("{line}");
    }
    println!("{} planted bugs seen in {:.0} s", checker.bugs.len(), start.elapsed().as_secs_f64());
    if !assertions.iter().any(|assertion| assertion.is_auxiliary) {
        return Ok(());
    }
    // Texts, for a module of the checker may be there several times: if one of them can break, the text says something.
    let texts = |numbers: &mut dyn Iterator<Item = usize>| -> BTreeSet<&str> {
        numbers.map(|number| assertions[number].text.as_str()).collect()
    };
    let is_property = |number: &usize| !assertions[*number].is_auxiliary;
    let all = texts(&mut (0..assertions.len()).filter(is_property));
    let seen = texts(&mut broken.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter());
    let rest: Vec<&str> = all.difference(&seen).copied().collect();
    let results = parallel(&rest, |index, text| {
        let of_text = (0..assertions.len()).filter(|number| assertions[*number].text == *text);
        let model = solve(&format!("{name}.property.{index}"), &step, &[step.breaks(of_text)], checker.solver)?;
        Ok(if model.is_some() { String::new() } else { format!("\n  {text}") })
    })?;
    let vain = results.concat();
    if !vain.is_empty() {
        return Err(format!("no planted bug breaks{vain}"));
    }
    println!("{} properties, each broken by one of them, in {:.0} s", all.len(), start.elapsed().as_secs_f64());
    Ok(())
}

/// Does the same for all items, on all processors; the results are in the items' order.
fn parallel<T: Sync>(
    items: &[T],
    work: impl Fn(usize, &T) -> Result<String, String> + Sync,
) -> Result<Vec<String>, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    let result = work(index, item);
                    results.lock().unwrap_or_else(PoisonError::into_inner).insert(index, result);
                }
            });
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

/// A solution, as the values of the variables, if there is one. `--unsat` tunes for there being none: twice as fast.
fn solve(name: &str, step: &Step, besides: &[Vec<i32>], options: &[&str]) -> Result<Option<Vec<bool>>, String> {
    let path: PathBuf = tools::directory("proof")?.join(format!("{name}.cnf"));
    write(&path, &step.dimacs(besides))?;
    let output = Command::new("cadical")
        .arg("-q")
        .args(options)
        .arg(&path)
        .output()
        .map_err(|error| format!("cadical: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        Some(20) => Ok(None),
        Some(10) => {
            let mut model = Vec::new();
            for word in text.lines().filter_map(|line| line.strip_prefix("v ")).flat_map(str::split_ascii_whitespace) {
                let literal: i32 = word.parse().map_err(|_| format!("cadical: {word}"))?;
                let variable = literal.unsigned_abs() as usize;
                model.resize(model.len().max(variable + 1), false);
                model[variable] = literal > 0;
            }
            Ok(Some(model))
        }
        _ => Err(format!("cadical: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr))),
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
