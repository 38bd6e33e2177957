//! Finds statements whose Verilog means something else than their Rust.
//!
//! rust-hdl's simulation and its Verilog are two programs made from one source. Both operator precedence and the
//! width in which an expression is evaluated differ between the two languages, and rust-hdl translates word by word.
//! The rules here refuse what can differ; they are stricter than need be, and cheap to follow.

use std::collections::BTreeSet;
use std::fmt;

use rust_hdl::core::ast::{
    VerilogBlock, VerilogBlockOrConditional, VerilogExpression, VerilogOp, VerilogOpUnary, VerilogStatement,
};
use rust_hdl::prelude::*;

use crate::profile::{AlveoCard, Ecp5Card, Lab64Card, LabCard, Profile, SumeCard};

/// A statement that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Instance path of the block.
    pub path: String,
    /// Name of the rule.
    pub rule: &'static str,
    /// What was found, and what to write instead.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.path, self.rule, self.message)
    }
}

/// Lints a build of the gateware, all its blocks.
#[must_use]
pub fn profile(profile: Profile) -> Vec<Finding> {
    match profile {
        Profile::Lab => block(LabCard::boxed()),
        Profile::Lab64 => block(Lab64Card::boxed()),
        Profile::Sume => block(SumeCard::boxed()),
        Profile::Alveo => block(AlveoCard::boxed()),
        Profile::Ecp5 => block(Ecp5Card::boxed()),
    }
}

/// Lints a block and everything in it.
#[must_use]
#[allow(clippy::boxed_local)] // a core is too large for the stack
pub fn block<B: Block>(mut block: Box<B>) -> Vec<Finding> {
    block.connect_all();
    let mut lint = Lint::default();
    block.accept(crate::emit::TOP, &mut lint);
    lint.findings.into_iter().collect()
}

#[derive(Default)]
struct Lint {
    path: Vec<String>,
    findings: BTreeSet<Finding>,
}

impl Lint {
    fn find(&mut self, rule: &'static str, message: impl Into<String>) {
        self.findings.insert(Finding { path: self.path.join("."), rule, message: message.into() });
    }

    fn block(&mut self, block: &VerilogBlock) {
        for statement in block {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &VerilogStatement) {
        match statement {
            VerilogStatement::Assignment(target, value) => {
                self.expression(target);
                self.expression(value);
            }
            VerilogStatement::SliceAssignment { base, offset, replacement, .. } => {
                self.expression(base);
                self.expression(offset);
                self.expression(replacement);
            }
            VerilogStatement::If(conditional) => {
                self.expression(&conditional.test);
                self.block(&conditional.then);
                match &conditional.otherwise {
                    VerilogBlockOrConditional::Block(block) => self.block(block),
                    VerilogBlockOrConditional::Conditional(statement) => self.statement(statement),
                    VerilogBlockOrConditional::None => {}
                }
            }
            VerilogStatement::Match(choice) => {
                self.expression(&choice.test);
                for case in &choice.cases {
                    self.block(&case.block);
                }
            }
            VerilogStatement::Loop(repeat) => self.block(&repeat.block),
            VerilogStatement::Macro(block) => self.block(block),
            _ => {}
        }
    }

    fn expression(&mut self, expression: &VerilogExpression) {
        use VerilogExpression as E;
        match expression {
            E::Binary(left, operator, right) => {
                for side in [left, right] {
                    if let E::Binary(_, inner, _) = side.as_ref()
                        && family(inner) != family(operator)
                    {
                        self.find(
                            "precedence",
                            format!(
                                "{inner:?} within {operator:?} without parentheses: the languages bind differently"
                            ),
                        );
                    }
                }
                if family(operator) == Family::Compare && (widens(left) || widens(right)) {
                    self.find(
                        "compare",
                        format!(
                            "{operator:?} of a result that may wrap: Verilog compares it unwrapped; bind it to a Local"
                        ),
                    );
                }
                if matches!(operator, VerilogOp::Shr) && widens(left) {
                    self.find(
                        "shift",
                        "right shift of a result that may wrap: Verilog shifts the carry in; bind it to a Local",
                    );
                }
                self.expression(left);
                self.expression(right);
            }
            E::Cast(inner, bits) => {
                if widens(inner) {
                    self.find(
                        "cast",
                        format!(
                            "cast to {bits} bits of a result that may wrap: Verilog widens it first; bind it to a Local"
                        ),
                    );
                }
                self.expression(inner);
            }
            E::Index(base, index) | E::Slice(base, _, index) => {
                if !matches!(base.as_ref(), E::Signal(_)) {
                    self.find("slice", "a slice of an expression is no Verilog; bind it to a Local");
                }
                self.expression(base);
                self.expression(index);
            }
            E::Paren(inner) | E::Signed(inner) | E::Unsigned(inner) | E::Unary(_, inner) => self.expression(inner),
            E::IndexReplace(base, index, value) => {
                self.expression(base);
                self.expression(index);
                self.expression(value);
            }
            _ => {}
        }
    }
}

impl Probe for Lint {
    fn visit_start_scope(&mut self, name: &str, node: &dyn Block) {
        self.path.push(name.to_owned());
        if let rust_hdl::core::ast::Verilog::Combinatorial(block) = node.hdl() {
            self.block(&block);
        }
    }

    fn visit_start_namespace(&mut self, _: &str, _: &dyn Block) {}

    fn visit_atom(&mut self, name: &str, _: &dyn Atom) {
        if KEYWORDS.contains(&name) {
            self.find("keyword", format!("`{name}` is a keyword of SystemVerilog; choose another name"));
        }
    }

    fn visit_end_namespace(&mut self, _: &str, _: &dyn Block) {}

    fn visit_end_scope(&mut self, _: &str, _: &dyn Block) {
        self.path.pop();
    }
}

#[derive(PartialEq, Eq)]
enum Family {
    Add,
    Multiply,
    And,
    Or,
    Xor,
    Shift,
    Logical,
    Compare,
}

/// Operators of one family may follow each other without parentheses.
fn family(operator: &VerilogOp) -> Family {
    match operator {
        VerilogOp::Add | VerilogOp::Sub => Family::Add,
        VerilogOp::Mul => Family::Multiply,
        VerilogOp::BitAnd => Family::And,
        VerilogOp::BitOr => Family::Or,
        VerilogOp::BitXor => Family::Xor,
        VerilogOp::Shl | VerilogOp::Shr => Family::Shift,
        VerilogOp::LogicalAnd | VerilogOp::LogicalOr => Family::Logical,
        VerilogOp::Eq | VerilogOp::Ne | VerilogOp::Lt | VerilogOp::Le | VerilogOp::Gt | VerilogOp::Ge => {
            Family::Compare
        }
    }
}

/// Whether the value changes when it is evaluated wider than its operands, as Verilog does in a wider context.
fn widens(expression: &VerilogExpression) -> bool {
    use VerilogExpression as E;
    match expression {
        E::Paren(inner) => widens(inner),
        E::Binary(_, VerilogOp::Add | VerilogOp::Sub | VerilogOp::Mul | VerilogOp::Shl, _) => true,
        E::Binary(left, VerilogOp::BitAnd | VerilogOp::BitOr | VerilogOp::BitXor, right) => {
            widens(left) || widens(right)
        }
        E::Binary(left, VerilogOp::Shr, _) => widens(left),
        E::Unary(VerilogOpUnary::Not | VerilogOpUnary::Neg, _) => true,
        _ => false,
    }
}

/// Keywords that Verilog-2005 or SystemVerilog add and that look like names.
///
/// # Source
/// IEEE 1800-2017, annex B, without the keywords that Rust reserves too.
const KEYWORDS: &[&str] = &[
    "accept_on",
    "alias",
    "always",
    "and",
    "assert",
    "assign",
    "assume",
    "automatic",
    "before",
    "begin",
    "bind",
    "bins",
    "binsof",
    "bit",
    "buf",
    "bufif0",
    "bufif1",
    "byte",
    "case",
    "casex",
    "casez",
    "cell",
    "chandle",
    "checker",
    "class",
    "clocking",
    "cmos",
    "config",
    "constraint",
    "context",
    "cover",
    "covergroup",
    "coverpoint",
    "cross",
    "deassign",
    "default",
    "defparam",
    "design",
    "disable",
    "dist",
    "edge",
    "end",
    "endcase",
    "endmodule",
    "event",
    "eventually",
    "expect",
    "export",
    "extends",
    "final",
    "first_match",
    "force",
    "foreach",
    "forever",
    "fork",
    "forkjoin",
    "function",
    "generate",
    "genvar",
    "global",
    "highz0",
    "highz1",
    "iff",
    "ifnone",
    "ignore_bins",
    "illegal_bins",
    "implements",
    "implies",
    "import",
    "incdir",
    "include",
    "initial",
    "inout",
    "input",
    "inside",
    "instance",
    "int",
    "integer",
    "interconnect",
    "interface",
    "intersect",
    "join",
    "join_any",
    "join_none",
    "large",
    "let",
    "liblist",
    "library",
    "local",
    "localparam",
    "logic",
    "longint",
    "matches",
    "medium",
    "modport",
    "module",
    "nand",
    "negedge",
    "nettype",
    "new",
    "nexttime",
    "nmos",
    "nor",
    "noshowcancelled",
    "not",
    "notif0",
    "notif1",
    "null",
    "or",
    "output",
    "package",
    "packed",
    "parameter",
    "pmos",
    "posedge",
    "primitive",
    "priority",
    "program",
    "property",
    "protected",
    "pull0",
    "pull1",
    "pulldown",
    "pullup",
    "pure",
    "rand",
    "randc",
    "randcase",
    "randsequence",
    "rcmos",
    "real",
    "realtime",
    "reg",
    "reject_on",
    "release",
    "repeat",
    "restrict",
    "rnmos",
    "rpmos",
    "rtran",
    "s_always",
    "scalared",
    "sequence",
    "shortint",
    "shortreal",
    "showcancelled",
    "signed",
    "small",
    "soft",
    "solve",
    "specify",
    "specparam",
    "strong",
    "strong0",
    "strong1",
    "struct",
    "super",
    "supply0",
    "supply1",
    "table",
    "tagged",
    "task",
    "this",
    "throughout",
    "time",
    "timeprecision",
    "timeunit",
    "tran",
    "tri",
    "tri0",
    "tri1",
    "triand",
    "trior",
    "trireg",
    "typedef",
    "union",
    "unique",
    "unique0",
    "unsigned",
    "until",
    "untyped",
    "uwire",
    "var",
    "vectored",
    "virtual",
    "void",
    "wait",
    "wait_order",
    "wand",
    "weak",
    "weak0",
    "weak1",
    "wildcard",
    "wire",
    "with",
    "within",
    "wor",
    "xnor",
    "xor",
];
