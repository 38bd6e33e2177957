//! A circuit as AND gates (ASCII AIGER 1.9, <https://fmv.jku.at/aiger/>), and two clocks of it as a formula in CNF.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::OnceLock;

/// A circuit as Yosys writes it: literal 2v is variable v, 2v + 1 its negation; 0 is false.
pub(super) struct Circuit {
    variables: usize,
    inputs: Vec<usize>,
    /// A register, and what it will hold in the next clock. What registers start with is of no interest here.
    registers: Vec<(usize, usize)>,
    /// Literals that are true in a clock in which an assertion does not hold.
    violations: Vec<usize>,
    /// Literals that are true in every clock: assumptions.
    constraints: Vec<usize>,
    gates: Vec<[usize; 3]>,
    /// Bits of signals by name.
    names: BTreeMap<String, BTreeMap<usize, usize>>,
}

/// Two clocks of a circuit, from any state in which all assertions hold.
pub(super) struct Step {
    variables: i32,
    clauses: Vec<Vec<i32>>,
    /// Violations in the second clock.
    violations: Vec<i32>,
    /// Literal of every variable of the circuit, in both clocks.
    clocks: [Vec<i32>; 2],
    /// Gates by their inputs: the same gate twice is one.
    gates: HashMap<(i32, i32), i32>,
    /// The clauses in DIMACS, the same for all bugs.
    text: OnceLock<String>,
}

const TRUE: i32 = 1;

impl Circuit {
    /// Reads the file of `write_aiger -ascii` and that of its `-map`.
    pub(super) fn read(aiger: &str, map: &str) -> Result<Self, String> {
        let mut lines = aiger.lines().map(|line| {
            line.split_ascii_whitespace()
                .skip_while(|word| *word == "aag")
                .map(|word| word.parse::<usize>().map_err(|_| format!("AIGER: {line}")))
                .collect::<Result<Vec<_>, _>>()
        });
        let mut take = |count: usize| -> Result<Vec<Vec<usize>>, String> {
            (0..count).map(|_| lines.next().unwrap_or_else(|| Err("AIGER: ends early".to_owned()))).collect()
        };
        let header = take(1)?.remove(0);
        let [variables, inputs, registers, outputs, gates, bad, ..] = header[..] else {
            return Err("AIGER: no assertions".to_owned());
        };
        let constraints = header.get(6).copied().unwrap_or(0);
        if header.iter().skip(7).any(|count| *count != 0) {
            return Err("AIGER: only assertions and assumptions are read".to_owned());
        }
        let first = |words: &Vec<usize>| words.first().copied().ok_or("AIGER: an empty line");
        let inputs = take(inputs)?.iter().map(first).collect::<Result<_, _>>()?;
        let registers = take(registers)?
            .iter()
            .map(|words| Ok((first(words)?, *words.get(1).ok_or("AIGER: a register without input")?)))
            .collect::<Result<_, String>>()?;
        take(outputs)?;
        let violations = take(bad)?.iter().map(first).collect::<Result<_, _>>()?;
        let constraints = take(constraints)?.iter().map(first).collect::<Result<_, _>>()?;
        let gates = take(gates)?
            .iter()
            .map(|words| {
                <[usize; 3]>::try_from(words.as_slice()).map_err(|_| "AIGER: a gate without two inputs".into())
            })
            .collect::<Result<_, String>>()?;
        let gates: Vec<[usize; 3]> = gates;
        let inputs: Vec<usize> = inputs;
        let registers: Vec<(usize, usize)> = registers;
        let mut defined: BTreeSet<usize> =
            inputs.iter().chain(registers.iter().map(|(register, _)| register)).copied().collect();
        defined.insert(0);
        for [gate, a, b] in &gates {
            if !defined.contains(&(a & !1)) || !defined.contains(&(b & !1)) || !defined.insert(*gate) {
                return Err(format!("AIGER: gate {gate} comes before its inputs, or twice"));
            }
        }
        let mut circuit = Self { variables, inputs, registers, violations, constraints, gates, names: BTreeMap::new() };
        for line in map.lines() {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let [kind, index, bit, name] = words[..] else { continue };
            let (Ok(index), Ok(bit)) = (index.parse::<usize>(), bit.parse()) else { continue };
            let literal = match kind {
                "input" => circuit.inputs.get(index).copied(),
                "latch" => circuit.registers.get(index).map(|(register, _)| *register),
                _ => None,
            };
            if let Some(literal) = literal {
                circuit.names.entry(name.to_owned()).or_default().insert(bit, literal);
            }
        }
        Ok(circuit)
    }

    /// Assertions.
    pub(super) fn assertions(&self) -> usize {
        self.violations.len()
    }

    /// Two clocks: the first is any state in which all assertions hold, with any inputs.
    pub(super) fn step(&self) -> Step {
        let mut step = Step {
            variables: TRUE,
            clauses: vec![vec![TRUE]],
            violations: Vec::new(),
            clocks: [vec![-TRUE; self.variables + 1], vec![-TRUE; self.variables + 1]],
            gates: HashMap::new(),
            text: OnceLock::new(),
        };
        let known = self.known();
        for clock in 0..2 {
            for input in &self.inputs {
                step.clocks[clock][input / 2] = known.get(input).copied().unwrap_or_else(|| step.variable());
            }
            for (register, next) in &self.registers {
                step.clocks[clock][register / 2] = match clock {
                    0 => known.get(register).copied().unwrap_or_else(|| step.variable()),
                    _ => step.literal(0, *next),
                };
            }
            for [gate, a, b] in &self.gates {
                let (a, b) = (step.literal(clock, *a), step.literal(clock, *b));
                let and = step.and(a, b);
                step.clocks[clock][gate / 2] = and;
            }
        }
        for constraint in &self.constraints {
            for clock in 0..2 {
                step.clauses.push(vec![step.literal(clock, *constraint)]);
            }
        }
        for violation in &self.violations {
            let before = step.literal(0, *violation);
            step.clauses.push(vec![-before]);
            let after = step.literal(1, *violation);
            step.violations.push(after);
        }
        step
    }

    /// Inputs and registers that an assumption fixes, which makes formulas small.
    fn known(&self) -> HashMap<usize, i32> {
        let gates: HashMap<usize, [usize; 2]> = self.gates.iter().map(|[gate, a, b]| (*gate, [*a, *b])).collect();
        let mut known = HashMap::new();
        let mut wanted = self.constraints.clone();
        while let Some(literal) = wanted.pop() {
            match gates.get(&(literal & !1)) {
                Some(inputs) if literal % 2 == 0 => wanted.extend(inputs),
                Some([other, 1] | [1, other]) => wanted.push(other ^ 1),
                Some(_) => {}
                None => {
                    known.insert(literal & !1, if literal % 2 == 0 { TRUE } else { -TRUE });
                }
            }
        }
        known
    }

    /// The clauses that make a signal hold a value in the first clock.
    pub(super) fn hold(&self, step: &Step, name: &str, value: usize) -> Result<Vec<Vec<i32>>, String> {
        let bits = self.names.get(name).ok_or_else(|| format!("no signal {name}"))?;
        Ok(bits
            .iter()
            .map(|(bit, literal)| {
                let literal = step.literal(0, *literal);
                vec![if value >> bit & 1 == 1 { literal } else { -literal }]
            })
            .collect())
    }

    /// All named signals in both clocks, in hexadecimal.
    pub(super) fn values(&self, step: &Step, model: &[bool]) -> String {
        let mut text = String::new();
        for (name, bits) in &self.names {
            let digits = |clock: usize| {
                let width = bits.keys().max().map_or(0, |bit| bit + 1);
                let is_set = |bit: &usize| bits.get(bit).is_some_and(|literal| step.value(clock, *literal, model));
                (0..width.div_ceil(4)).rev().fold(String::new(), |mut digits, digit| {
                    let value: usize = (0..4).filter(|bit| is_set(&(4 * digit + bit))).map(|bit| 1 << bit).sum();
                    let _ = write!(digits, "{value:x}");
                    digits
                })
            };
            let _ = writeln!(text, "{name}: {} {}", digits(0), digits(1));
        }
        text
    }
}

impl Step {
    fn variable(&mut self) -> i32 {
        self.variables += 1;
        self.variables
    }

    fn literal(&self, clock: usize, literal: usize) -> i32 {
        let positive = self.clocks[clock][literal / 2];
        if literal % 2 == 1 { -positive } else { positive }
    }

    /// Tseitin's encoding, without a variable where a constant decides.
    fn and(&mut self, a: i32, b: i32) -> i32 {
        match (a, b) {
            (TRUE, other) | (other, TRUE) => other,
            _ if a == b => a,
            _ if a == -TRUE || b == -TRUE || a == -b => -TRUE,
            _ => {
                let inputs = (a.min(b), a.max(b));
                if let Some(and) = self.gates.get(&inputs) {
                    return *and;
                }
                let and = self.variable();
                self.gates.insert(inputs, and);
                self.clauses.extend([vec![-and, a], vec![-and, b], vec![and, -a, -b]]);
                and
            }
        }
    }

    /// Variables of the formula.
    pub(super) fn variables(&self) -> i32 {
        self.variables
    }

    /// The clause that makes one of some assertions break, by number.
    pub(super) fn breaks(&self, assertions: impl Iterator<Item = usize>) -> Vec<i32> {
        assertions.map(|index| self.violations[index]).collect()
    }

    /// The formula that is true in a step in which some assertion breaks, in DIMACS; `besides` hold too.
    pub(super) fn dimacs(&self, besides: &[Vec<i32>]) -> String {
        let lines = |clauses: &[Vec<i32>]| {
            let mut text = String::new();
            for clause in clauses {
                for literal in clause {
                    let _ = write!(text, "{literal} ");
                }
                text.push_str("0\n");
            }
            text
        };
        let mut text = format!("p cnf {} {}\n", self.variables, self.clauses.len() + 1 + besides.len());
        text += self.text.get_or_init(|| lines(&self.clauses));
        text += &lines(std::slice::from_ref(&self.violations));
        text += &lines(besides);
        text
    }

    /// Assertions that a solution breaks, by number.
    pub(super) fn broken(&self, model: &[bool]) -> Vec<usize> {
        let is_true = |literal: i32| value_of(literal, model);
        self.violations.iter().enumerate().filter(|(_, literal)| is_true(**literal)).map(|(index, _)| index).collect()
    }

    fn value(&self, clock: usize, literal: usize, model: &[bool]) -> bool {
        value_of(self.literal(clock, literal), model)
    }
}

fn value_of(literal: i32, model: &[bool]) -> bool {
    let value = model.get(literal.unsigned_abs() as usize).copied().unwrap_or(false);
    if literal < 0 { !value } else { value }
}
