//! Differential test of one block: rust-hdl's simulation of it against its emitted Verilog.
//!
//! The block runs on random input under rust-hdl; inputs and outputs of every clock become vectors, and a generated
//! testbench replays them on the Verilog and compares every output bit. Many blocks share one testbench, because
//! a Verilator build costs seconds whatever it holds.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use maglane_hw::emit;
use rust_hdl::core::ast::VerilogLiteral;
use rust_hdl::core::atom::{Atom, AtomKind};
use rust_hdl::prelude::*;

use crate::model::{ModelError, QUIET};
use crate::stimulus::Random;

/// Clocks that every block is run for.
pub const CLOCKS: usize = 2_000;

/// A source of random input values.
pub struct Inputs(Random);

impl Inputs {
    /// A value of up to 64 bits.
    pub fn bits<const N: usize>(&mut self) -> Bits<N> {
        let word = self.0.next() | self.0.next() << 32;
        let mask = if N >= 64 { u64::MAX } else { (1 << N) - 1 };
        (word & mask).into()
    }

    /// A value of any width.
    pub fn wide<const N: usize>(&mut self) -> Bits<N> {
        let bytes: Vec<u8> = (0..N / 8).map(|_| self.0.next().to_le_bytes()[0]).collect();
        num_bigint::BigUint::from_bytes_le(&bytes).into()
    }

    /// True in `parts` of 16 cases.
    pub fn chance(&mut self, parts: u64) -> bool {
        self.0.next() % 16 < parts
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.next() % bound
    }
}

/// A block with its recorded inputs and outputs.
pub struct Recording {
    name: String,
    verilog: String,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    vectors: String,
}

struct Port {
    name: String,
    width: usize,
}

/// Runs a block on what `stimulate` sets before every clock, and records it. `clock` gives access to the block's
/// clock input.
///
/// # Panics
/// When the block does not settle or is not well formed.
pub fn record<B: Block>(
    name: &str,
    make: impl Fn() -> B,
    clock: impl Fn(&mut B) -> &mut Signal<In, Clock>,
    mut stimulate: impl FnMut(&mut B, usize, &mut Inputs),
) -> Recording {
    let verilog = emit::verilog(Box::new(make()), name);
    let mut block = Box::new(make());
    block.connect_all();
    let mut random = Inputs(Random::new(name.bytes().fold(7, |hash, byte| hash.wrapping_mul(31) + u64::from(byte))));
    let mut recording =
        Recording { name: name.to_owned(), verilog, inputs: vec![], outputs: vec![], vectors: String::new() };
    for index in 0..CLOCKS {
        stimulate(&mut block, index, &mut random);
        clock(&mut block).next = Clock { clk: false };
        settle(block.as_mut());
        let mut ports = Ports::default();
        block.accept("block", &mut ports);
        recording.vectors += &ports.line();
        (recording.inputs, recording.outputs) = ports.describe();
        clock(&mut block).next = Clock { clk: true };
        settle(block.as_mut());
    }
    recording
}

fn settle<B: Block>(block: &mut B) {
    assert!(simulate(block, 200), "the block does not settle");
}

/// The block's own ports and their values.
#[derive(Default)]
struct Ports {
    depth: usize,
    namespace: Vec<String>,
    inputs: Vec<(String, usize, String)>,
    outputs: Vec<(String, usize, String)>,
}

impl Ports {
    fn line(&self) -> String {
        // Most significant first: the concatenation in the testbench lists ports in the same order.
        let bits: String = self.inputs.iter().chain(&self.outputs).map(|(.., bits)| bits.as_str()).collect();
        bits + "\n"
    }

    fn describe(self) -> (Vec<Port>, Vec<Port>) {
        let port = |(name, width, _)| Port { name, width };
        (self.inputs.into_iter().map(port).collect(), self.outputs.into_iter().map(port).collect())
    }
}

impl Probe for Ports {
    fn visit_start_scope(&mut self, _: &str, _: &dyn Block) {
        self.depth += 1;
    }

    fn visit_start_namespace(&mut self, name: &str, _: &dyn Block) {
        self.namespace.push(name.to_owned());
    }

    fn visit_atom(&mut self, name: &str, signal: &dyn Atom) {
        if self.depth != 1 || name == "clock" {
            return;
        }
        let name = self.namespace.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join("_");
        let port = (name, signal.bits(), binary(&signal.verilog(), signal.bits()));
        match signal.kind() {
            AtomKind::InputParameter => self.inputs.push(port),
            AtomKind::OutputParameter => self.outputs.push(port),
            _ => {}
        }
    }

    fn visit_end_namespace(&mut self, _: &str, _: &dyn Block) {
        self.namespace.pop();
    }

    fn visit_end_scope(&mut self, _: &str, _: &dyn Block) {
        self.depth -= 1;
    }
}

/// A literal such as `16'h1f` or `1'b0` as so many binary digits.
fn binary(literal: &VerilogLiteral, width: usize) -> String {
    let text = literal.to_string();
    let (radix, digits) = match text.split_once('\'') {
        Some((_, digits)) if digits.starts_with('b') => (2, &digits[1..]),
        Some((_, digits)) => (16, digits.trim_start_matches('h')),
        None => (10, text.as_str()),
    };
    let value = num_bigint::BigUint::parse_bytes(digits.as_bytes(), radix).expect("a literal is a number");
    format!("{:0>width$}", value.to_str_radix(2))
}

/// Replays recordings on their Verilog in Verilator. Yields one line for each block that differs.
///
/// # Errors
/// When Verilator is missing or refuses the testbench.
pub fn replay(recordings: &[Recording]) -> Result<Vec<String>, ModelError> {
    let folder =
        tempfile::tempdir().map_err(|source| ModelError::Cache { path: "the temporary folder".into(), source })?;
    let cache = |path: &Path| {
        let path = path.to_owned();
        move |source| ModelError::Cache { path, source }
    };
    let mut modules: BTreeMap<String, String> = BTreeMap::new();
    let mut bench = String::from("module bench;\n");
    for recording in recordings {
        for module in recording.verilog.split_inclusive("endmodule") {
            if let Some(start) = module.find("module ") {
                // Flip-flops of a width are equal everywhere and named alike.
                let text = &module[start..];
                modules
                    .insert(text["module ".len()..].split('(').next().unwrap_or_default().to_owned(), text.to_owned());
            }
        }
        let path = folder.path().join(format!("{}.vec", recording.name));
        fs::write(&path, &recording.vectors).map_err(cache(&path))?;
        bench += &recording.testbench(&path);
    }
    bench += "  initial #1000000 $finish;\nendmodule\n";
    let source = folder.path().join("bench.v");
    let text = modules.into_values().collect::<Vec<_>>().join("\n") + "\n" + &bench;
    fs::write(&source, text).map_err(cache(&source))?;
    let output = Command::new("verilator")
        .current_dir(folder.path())
        .args([
            "--binary",
            "-j",
            "2",
            "-O1",
            "-CFLAGS",
            "-O0",
            "--top-module",
            "bench",
            "-Mdir",
            "build",
            "-o",
            "bench",
        ])
        .args(QUIET)
        .args(["-Wno-STMTDLY", "-Wno-INITIALDLY", "bench.v"])
        .output()
        .map_err(ModelError::Missing)?;
    if !output.status.success() {
        return Err(ModelError::Build { log: String::from_utf8_lossy(&output.stderr).into_owned() });
    }
    let run = Command::new(folder.path().join("build/bench")).output().map_err(ModelError::Missing)?;
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    let mut differences: Vec<String> =
        said.lines().filter(|line| line.starts_with("DIFFERENT")).map(str::to_owned).collect();
    for recording in recordings {
        // A block whose process never came to its end has not been compared.
        if !said.lines().any(|line| line == format!("DONE {}", recording.name)) {
            differences.push(format!("{}: the testbench did not come to its end: {said}", recording.name));
        }
    }
    Ok(differences)
}

impl Recording {
    /// Verilog processes that replay the vectors of this block.
    fn testbench(&self, vectors: &Path) -> String {
        let name = &self.name;
        let width = |ports: &[Port]| ports.iter().map(|port| port.width).sum::<usize>();
        let (inputs, outputs) = (width(&self.inputs), width(&self.outputs));
        let mut text = format!(
            "  reg {name}_clock;\n  reg [{}:0] {name}_vec [0:{}];\n  reg [{}:0] {name}_in;\n  reg [{}:0] {name}_want;\n",
            inputs + outputs - 1,
            CLOCKS - 1,
            inputs - 1,
            outputs - 1,
        );
        text += &format!("  integer {name}_i;\n  {name} {name}_dut(.clock({name}_clock)");
        let mut high = inputs;
        for port in &self.inputs {
            text += &format!(", .{}({name}_in[{}:{}])", port.name, high - 1, high - port.width);
            high -= port.width;
        }
        let mut wires = String::new();
        for port in &self.outputs {
            wires += &format!("  wire [{}:0] {name}_{};\n", port.width - 1, port.name);
            text += &format!(", .{0}({name}_{0})", port.name);
        }
        text += &format!(");\n{wires}  initial begin\n    $readmemb(\"{}\", {name}_vec);\n", vectors.display());
        text += &format!(
            "    {name}_clock = 0;\n    for ({name}_i = 0; {name}_i < {CLOCKS}; {name}_i = {name}_i + 1) begin\n"
        );
        text += &format!("      {{{name}_in, {name}_want}} = {name}_vec[{name}_i];\n      #1;\n");
        let mut high = outputs;
        for port in &self.outputs {
            let want = format!("{name}_want[{}:{}]", high - 1, high - port.width);
            let port_name = &port.name;
            text += &format!("      if ({name}_{port_name} !== {want}) begin\n");
            text +=
                &format!("        $display(\"DIFFERENT {name}.{port_name} in clock %0d: rust-hdl %h, Verilog %h\",\n");
            text +=
                &format!("          {name}_i, {want}, {name}_{port_name});\n        {name}_i = {CLOCKS};\n      end\n");
            high -= port.width;
        }
        text +=
            &format!("      {name}_clock = 1; #1; {name}_clock = 0;\n    end\n    $display(\"DONE {name}\");\n  end\n");
        text
    }
}
