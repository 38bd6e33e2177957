//! Proof that the flow table in the committed Verilog does one operation after the other, by induction over clocks.
//!
//! What is proven is in `hw/formal/flow_table.sv`. Yosys makes a circuit of AND gates of it, and CaDiCaL looks for two
//! clocks of which the first keeps all assertions and the second breaks one. There must be none; and there must be some
//! with each of the bugs of `bugs.rs`. An SMT solver on the words of the same model (Z3 through yosys-smtbmc) finished
//! neither in ten minutes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

mod aiger;
mod bugs;

use aiger::{Circuit, Step};
use bugs::BUGS;

use crate::tools;

const CHECKER: &str = "hw/formal/flow_table.sv";
const VERILOG: [&str; 2] = ["hw/verilog/maglane_core_sume.v", "hw/verilog/maglane_core_alveo.v"];
/// In the Verilog of the cores; without it, in the proof.
const PREFIX: &str = "maglane_core$select$";
/// Memories that the checker replaces, behind the first way, which all others are instances of.
const MEMORIES: [&str; 3] = ["tags", "rests", "attributes"];
const WAYS: u8 = 8;
/// The checker's `now` behind reset.
const RUNNING: usize = 2;

/// Text of modules by name.
type Modules = BTreeMap<String, String>;

/// The step of every change.
pub(crate) fn prove() -> Result<(), String> {
    let (Some(yosys), Some(cadical)) = (tools::version("yosys", "-V")?, tools::version("cadical", "--version")?) else {
        return Ok(());
    };
    println!("{yosys}; CaDiCaL {cadical}; {CHECKER}");
    for line in parallel(&VERILOG, |_, verilog| one(verilog))? {
        println!("{line}");
    }
    see_bugs(modules(VERILOG[0])?)
}

/// The proof for a build.
fn one(verilog: &str) -> Result<String, String> {
    let start = Instant::now();
    let name = Path::new(verilog).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let (circuit, texts) = circuit(name, &modules(verilog)?, false)?;
    let step = circuit.step();
    if let Some(model) = solve(name, &step, &[], &["--unsat"])? {
        let values = tools::directory("proof")?.join(format!("{name}.values"));
        write(&values, &circuit.values(&step, &model))?;
        let broken: Vec<&str> = step.broken(&model).into_iter().map(|index| texts[index].as_str()).collect();
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

/// Each planted bug breaks an assertion.
fn see_bugs(mut modules: Modules) -> Result<(), String> {
    let start = Instant::now();
    bugs::plant(&mut modules)?;
    let (circuit, texts) = circuit("planted", &modules, true)?;
    let step = circuit.step();
    let lines = parallel(BUGS, |index, bug| {
        let number = index + 1;
        let mut units = circuit.hold(&step, "planted", number)?;
        units.extend(circuit.hold(&step, "now", RUNNING)?);
        let model = solve(&format!("planted.{number}"), &step, &units, &[])?;
        let model = model.ok_or_else(|| format!("the proof does not see bug {number}: {}", bug.what))?;
        let broken = step.broken(&model);
        Ok(format!("seen: {}\n      {}", bug.what, broken.first().map_or("", |index| texts[*index].as_str())))
    })?;
    for line in lines {
        println!("{line}");
    }
    println!("{} planted bugs seen in {:.0} s", BUGS.len(), start.elapsed().as_secs_f64());
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

/// The modules of the flow table.
fn modules(verilog: &str) -> Result<Modules, String> {
    let text = tools::read(Path::new(verilog))?.replace(PREFIX, "");
    let mut modules = Modules::new();
    for part in text.split_inclusive("\nendmodule\n") {
        let Some(begin) = part.find("module ") else { continue };
        let name = part[begin + 7..].split('(').next().unwrap_or_default().trim();
        if name == "flow_table" || name.starts_with("flow_table$") || name.starts_with("maglane_dff_") {
            modules.insert(name.to_owned(), part[begin..].to_owned());
        }
    }
    let used = modules.clone();
    modules.retain(|name, _| {
        let instance = format!("\n    {name} ");
        !name.starts_with("maglane_dff_") || used.values().any(|module| module.contains(&instance))
    });
    if modules.contains_key("flow_table") { Ok(modules) } else { Err(format!("{verilog}: no {PREFIX}flow_table")) }
}

/// Width of a port of the flow table.
fn width(modules: &Modules, port: &str) -> Result<u32, String> {
    let module = modules.get("flow_table").ok_or("no flow_table")?;
    module
        .lines()
        .find_map(|line| line.trim().strip_prefix("input wire  [")?.strip_suffix(&format!(":0] {port};")))
        .and_then(|high| high.parse::<u32>().ok())
        .map(|high| high + 1)
        .ok_or_else(|| format!("flow_table: no width of {port}"))
}

/// The circuit of modules and checker, and the text of each assertion.
fn circuit(name: &str, modules: &Modules, planted: bool) -> Result<(Circuit, Vec<String>), String> {
    let directory = tools::directory("proof")?;
    let path = |ending: &str| directory.join(format!("{name}.{ending}"));
    let [sets, tags, backends] =
        [width(modules, "s_set")?, width(modules, "s_tag")?, width(modules, "attributes_waddr")?];
    let mut design = String::new();
    for (name, text) in modules {
        if !MEMORIES.iter().any(|memory| *name == format!("flow_table$way$0${memory}")) {
            design += text;
        }
    }
    write(&path("v"), &design)?;
    let checker = tools::read(Path::new(CHECKER))?;
    let checker = checker.lines().fold(String::new(), |mut text, line| {
        if line.contains('#') {
            (0..WAYS).for_each(|way| {
                let _ = writeln!(text, "{}", line.replace('#', &way.to_string()));
            });
        } else {
            let _ = writeln!(text, "{line}");
        }
        text
    });
    write(&path("sv"), &checker)?;
    let planted = if planted { " -DPLANTED" } else { "" };
    let mut script = format!(
        "read_verilog {}; read_verilog -formal -sv -DF={sets} -DT={tags} -DB={backends}{planted} {}; ",
        path("v").display(),
        path("sv").display()
    );
    for memory in MEMORIES {
        let _ = write!(script, "rename {memory}_of_proof flow_table$way$0${memory}; ");
    }
    let _ = write!(
        script,
        "hierarchy -top check; proc; flatten; setattr -unset init w:dut.*; check -assert; opt -keepdc; async2sync; \
         dffunmap; opt_clean; setundef -undriven -anyseq; opt_clean; techmap; opt -fast; simplemap; \
         dffunmap; setundef -zero; simplemap; aigmap; opt_clean; write_rtlil {}; write_aiger -ascii -map {} {}",
        path("il").display(),
        path("map").display(),
        path("aag").display()
    );
    tools::yosys(&script)?;
    let circuit = Circuit::read(&tools::read(&path("aag"))?, &tools::read(&path("map"))?)?;
    let texts = assertions(&tools::read(&path("il"))?, &checker);
    if texts.len() != circuit.assertions() {
        return Err(format!("{} assertions have {} places", circuit.assertions(), texts.len()));
    }
    Ok((circuit, texts))
}

/// The lines of the assertions, in the order of the circuit, which is that of the cells.
fn assertions(netlist: &str, checker: &str) -> Vec<String> {
    let lines: Vec<&str> = checker.lines().collect();
    let mut source = "";
    let mut texts = Vec::new();
    for line in netlist.lines().map(str::trim) {
        if let Some(place) = line.strip_prefix("attribute \\src ") {
            source = place;
        } else if line.starts_with("cell $assert ") {
            // "file:first.column-last.column": the statement begins behind the one before it.
            let last = source.rsplit_once('-').and_then(|(_, end)| end.split('.').next()?.parse::<usize>().ok());
            let text = last.and_then(|last| lines.get(last - 1)).map_or(source, |line| line.trim());
            texts.push(text.to_owned());
        }
    }
    texts
}

/// A solution, as the values of the variables, if there is one. `--unsat` tunes for there being none: twice as fast.
fn solve(name: &str, step: &Step, units: &[i32], options: &[&str]) -> Result<Option<Vec<bool>>, String> {
    let path: PathBuf = tools::directory("proof")?.join(format!("{name}.cnf"));
    write(&path, &step.dimacs(units))?;
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
