//! What a block of the gateware was given and did under rust-hdl, clock for clock: the vectors that
//! [`crate::replay`] holds its emitted Verilog against.

use maglane_hw::emit;
use rust_hdl::core::ast::VerilogLiteral;
use rust_hdl::core::atom::{Atom, AtomKind};
use rust_hdl::prelude::*;

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

/// What the memories of the Verilog hold before their first write, in a simulator that knows the value X.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memories {
    /// Zeros, as under rust-hdl and in an FPGA: for random input, which reads what nothing has written.
    Zero,
    /// X: for input that uses a block as it is meant to be used. Then nothing may depend on what was never written.
    Unknown,
}

/// A block with its recorded inputs and outputs.
pub struct Recording {
    pub(crate) name: String,
    pub(crate) verilog: String,
    pub(crate) memories: Memories,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    /// One a clock: inputs and outputs as one hexadecimal number, the first port at its top.
    pub(crate) vectors: Vec<String>,
    /// The first clock in which no output that is always valid may be X.
    pub(crate) defined_from: usize,
    /// Prefixes of outputs with the output that says when they count.
    valid: &'static [(&'static str, &'static str)],
}

pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) width: usize,
}

impl Recording {
    /// Nothing yet, of a block that is called `name` in its Verilog.
    #[must_use]
    pub fn new(name: &str, verilog: String) -> Self {
        Self {
            name: name.to_owned(),
            verilog,
            memories: Memories::Zero,
            inputs: Vec::new(),
            outputs: Vec::new(),
            vectors: Vec::new(),
            defined_from: 0,
            valid: &[],
        }
    }

    /// The same with other memories.
    #[must_use]
    pub fn with_memories(mut self, memories: Memories) -> Self {
        self.memories = memories;
        self
    }

    /// The same, but outputs whose names begin with the first of a pair count only while the second, an output of one
    /// bit, is set.
    #[must_use]
    pub fn with_valid(mut self, valid: &'static [(&'static str, &'static str)]) -> Self {
        self.valid = valid;
        self
    }

    /// Adds a clock: what the block, which has settled on its input with the clock low, is given and does.
    pub fn add<B: Block>(&mut self, block: &B) {
        let mut ports = Ports::default();
        block.accept("block", &mut ports);
        self.vectors.push(ports.vector());
        if self.vectors.len() == 1 {
            (self.inputs, self.outputs) = ports.describe();
        }
    }

    /// Says that up to here outputs that are always valid may be X: memories were still being written.
    pub fn defined_from_here(&mut self) {
        self.defined_from = self.vectors.len();
    }

    /// Clocks so far.
    #[must_use]
    pub fn clocks(&self) -> usize {
        self.vectors.len()
    }

    /// The output that says when another counts.
    pub(crate) fn valid_of(&self, output: &str) -> Option<&'static str> {
        self.valid
            .iter()
            .find(|(prefix, valid)| output.starts_with(prefix) && output != *valid)
            .map(|(_, valid)| *valid)
    }
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
    let mut recording = Recording::new(name, verilog);
    for index in 0..CLOCKS {
        stimulate(&mut block, index, &mut random);
        clock(&mut block).next = Clock { clk: false };
        settle(block.as_mut());
        recording.add(block.as_ref());
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
    fn vector(&self) -> String {
        // Most significant first: the concatenation in the testbench lists ports in the same order.
        let bits: String = self.inputs.iter().chain(&self.outputs).map(|(.., bits)| bits.as_str()).collect();
        let value = num_bigint::BigUint::parse_bytes(bits.as_bytes(), 2).expect("ports have bits");
        value.to_str_radix(16)
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
