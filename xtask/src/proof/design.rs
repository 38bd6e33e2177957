//! What is proven: a checker, the modules of the committed Verilog that it looks into, and the circuit of both.
//!
//! A checker (`hw/formal/`) is SystemVerilog with two additions. A comment `// For each a b: 1 2, 3 4.` has every line
//! with such a word repeated, with the values in its place. And a module that the checker defines takes the place of
//! that of the Verilog: memories, which as flip-flops would be too large.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use super::aiger::Circuit;
use super::bugs::Bug;
use super::write;
use crate::tools;

/// A checker, and where in the core it looks.
pub(super) struct Checker {
    /// Name of the file.
    pub(super) name: &'static str,
    /// What it proves, in a line.
    pub(super) proves: &'static str,
    /// In the Verilog before the names of modules, not in the checker.
    pub(super) prefix: &'static str,
    /// The module that the checker instantiates.
    pub(super) root: &'static str,
    /// Modules that are looked into with all below; of others the outputs are anything.
    pub(super) inside: &'static [&'static str],
    /// Widths that the checker has to know: its name for them, a module and its input.
    pub(super) widths: &'static [(&'static str, &'static str, &'static str)],
    /// Bits of registers that get the same in every clock become one: the checker's copies start as the gateware's do.
    pub(super) merges: bool,
    /// Options of CaDiCaL that make it faster here.
    pub(super) solver: &'static [&'static str],
    /// Planted one at a time.
    pub(super) bugs: &'static [Bug],
}

/// An assertion of a checker.
pub(super) struct Assertion {
    /// The first line of its text.
    pub(super) text: String,
    /// It stands behind the comment [`AUXILIARY`].
    pub(super) is_auxiliary: bool,
}

/// In a checker before assertions that the induction needs, not properties; up to the end of the block.
pub(super) const AUXILIARY: &str = "// How the gateware holds it.";

/// Text of modules by name.
pub(super) type Modules = BTreeMap<String, String>;

impl Checker {
    /// Where it is.
    pub(super) fn path(&self) -> String {
        format!("hw/formal/{}.sv", self.name)
    }

    /// The modules that it looks into, and the ports of those that these use.
    pub(super) fn modules(&self, verilog: &str) -> Result<Modules, String> {
        let text = tools::read(Path::new(verilog))?.replace(self.prefix, "");
        let mut all = Modules::new();
        for part in text.split_inclusive("\nendmodule\n") {
            let Some(begin) = part.find("module ") else { continue };
            let name = part[begin + 7..].split('(').next().unwrap_or_default().trim();
            all.insert(name.to_owned(), part[begin..].to_owned());
        }
        let is_inside = |name: &str| {
            let below = |above: &&str| name == *above || name.starts_with(&format!("{above}$"));
            name == self.root || name.starts_with("maglane_dff_") || self.inside.iter().any(below)
        };
        let mut modules = Modules::new();
        let mut wanted = vec![self.root];
        while let Some(name) = wanted.pop() {
            let text = all.get(name).ok_or_else(|| format!("{verilog}: no module {name}"))?;
            let text = if is_inside(name) { text.clone() } else { ports(text) };
            let instances = |line: &str| all.keys().find(|name| line.starts_with(&format!("    {name} ")));
            let used: Vec<&str> = text.lines().filter_map(instances).map(String::as_str).collect();
            modules.insert(name.to_owned(), text);
            wanted.extend(used.into_iter().filter(|name| !modules.contains_key(*name)));
        }
        Ok(modules)
    }

    /// The circuit of modules and checker, and its assertions.
    pub(super) fn circuit(
        &self,
        name: &str,
        modules: &Modules,
        planted: bool,
    ) -> Result<(Circuit, Vec<Assertion>), String> {
        let directory = tools::directory("proof")?;
        let path = |ending: &str| directory.join(format!("{name}.{ending}"));
        let checker = repeated(&tools::read(Path::new(&self.path()))?)?;
        let defined = |line: &str| {
            Some(line.trim_start().strip_prefix("module ")?.split([' ', '(']).next().unwrap_or_default().to_owned())
        };
        let own: BTreeSet<String> = checker.lines().filter_map(defined).collect();
        let design: String =
            modules.iter().filter(|(name, _)| !own.contains(*name)).map(|(_, text)| text.as_str()).collect();
        write(&path("v"), &design)?;
        write(&path("sv"), &checker)?;
        let mut script = format!("read_verilog -noblackbox {}; read_verilog -formal -sv", path("v").display());
        for (define, module, port) in self.widths {
            let _ = write!(script, " -D{define}={}", width(modules, module, port)?);
        }
        let _ = write!(script, "{} {}; ", if planted { " -DPLANTED" } else { "" }, path("sv").display());
        script += "hierarchy -top check; proc; ";
        // Outputs that the checker drives are not anything.
        for (name, _) in modules.iter().filter(|(_, text)| text.ends_with(STUB)) {
            let instance = name.rsplit('$').next().unwrap_or_default();
            if !checker.contains(&format!("assign \\dut.{instance}.")) {
                let _ = write!(script, "setundef -undriven -anyseq {name}; ");
            }
        }
        let _ = write!(
            script,
            "flatten; setattr -unset init w:dut.*; check -assert; opt -keepdc; async2sync; \
             dffunmap; opt_clean; setundef -undriven -anyseq; opt_clean; techmap; {}simplemap; \
             dffunmap; setundef -zero; simplemap; aigmap; dump -o {} t:$assert; write_aiger -ascii -map {} {}",
            if self.merges { "opt -fast; " } else { "" },
            path("asserts").display(),
            path("map").display(),
            path("aag").display()
        );
        tools::yosys(&script)?;
        let circuit = Circuit::read(&tools::read(&path("aag"))?, &tools::read(&path("map"))?)?;
        let assertions = assertions(&tools::read(&path("asserts"))?, &checker);
        if assertions.len() != circuit.assertions() {
            return Err(format!("{} assertions have {} places", circuit.assertions(), assertions.len()));
        }
        Ok((circuit, assertions))
    }
}

const STUB: &str = "// No content.\nendmodule\n";

/// A module without its content.
fn ports(text: &str) -> String {
    let is_port = |line: &&str| ["module ", "    input ", "    output "].iter().any(|start| line.starts_with(start));
    let mut ports: String = text.lines().filter(is_port).flat_map(|line| [line, "\n"]).collect();
    ports += STUB;
    ports
}

/// The checker with its repeated lines. Lines of one list that follow each other are repeated together.
fn repeated(text: &str) -> Result<String, String> {
    let mut lists: Vec<(Vec<&str>, Vec<Vec<&str>>)> = Vec::new();
    let mut repeated = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some((words, values)) = line.strip_prefix("// For each ").and_then(|list| list.split_once(": ")) {
            let words: Vec<&str> = words.split(' ').collect();
            let mut parts = vec![values];
            while parts.last().is_some_and(|part| part.ends_with(',')) {
                let more = lines.next().and_then(|line| line.strip_prefix("// "));
                parts.push(more.ok_or_else(|| format!("a list ends early: {line}"))?);
            }
            let all = parts.iter().flat_map(|part| part.trim_end_matches([',', '.']).split(", "));
            let values: Vec<Vec<&str>> = all.map(|values| values.split(' ').collect()).collect();
            if values.iter().any(|values| values.len() != words.len()) {
                return Err(format!("not a value for each word: {line}"));
            }
            lists.push((words, values));
            continue;
        }
        let has = |line: &str, words: &[&str]| words.iter().any(|word| line.contains(word));
        let Some((words, values)) = lists.iter().find(|(words, _)| has(line, words)) else {
            let _ = writeln!(repeated, "{line}");
            continue;
        };
        let mut block = format!("{line}\n");
        while let Some(line) = lines.next_if(|line| has(line, words)) {
            let _ = writeln!(block, "{line}");
        }
        for values in values {
            let with = |block: String, (word, value): (&&str, &&str)| block.replace(word, value);
            repeated += &words.iter().zip(values).fold(block.clone(), with);
        }
    }
    Ok(repeated)
}

/// Width of an input.
fn width(modules: &Modules, module: &str, port: &str) -> Result<u32, String> {
    let text = modules.get(module).ok_or_else(|| format!("no module {module}"))?;
    text.lines()
        .find_map(|line| line.trim().strip_prefix("input wire  [")?.strip_suffix(&format!(":0] {port};")))
        .and_then(|high| high.parse::<u32>().ok())
        .map(|high| high + 1)
        .ok_or_else(|| format!("{module}: no width of {port}"))
}

/// The assertions, in the order of the circuit, which is that of the cells.
fn assertions(netlist: &str, checker: &str) -> Vec<Assertion> {
    let lines: Vec<&str> = checker.lines().collect();
    let mut source = "";
    let mut assertions = Vec::new();
    for line in netlist.lines().map(str::trim) {
        if let Some(place) = line.strip_prefix("attribute \\src ") {
            source = place;
        } else if line.starts_with("cell $assert ") {
            // "file:first.column-last.column": the statement begins behind the one before it.
            let last = source.rsplit_once('-').and_then(|(_, end)| end.split('.').next()?.parse::<usize>().ok());
            let before = lines.get(..last.unwrap_or(0)).unwrap_or_default();
            let text = before.iter().rev().find(|line| line.contains("assert")).map_or(source, |line| line.trim());
            let mark = before.iter().rev().find(|line| line.contains(AUXILIARY) || line.contains("always"));
            let is_auxiliary = mark.is_some_and(|line| line.contains(AUXILIARY));
            assertions.push(Assertion { text: text.to_owned(), is_auxiliary });
        }
    }
    assertions
}
