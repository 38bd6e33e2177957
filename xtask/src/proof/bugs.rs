//! Bugs that the proof must see: planted in a copy of the Verilog, each behind a number of a register that has any
//! value.

pub(super) mod axi_stream;
pub(super) mod flow_table;

use super::design::{Checker, Modules};

/// An expression of a module, and a wrong one in its place.
pub(super) struct Bug {
    /// What goes wrong.
    pub(super) what: &'static str,
    /// The module, behind the checker's root.
    module: &'static str,
    /// The text around the expression: what is before it, it, what is behind it. It must occur once.
    place: (&'static str, &'static str, &'static str),
    wrong: &'static str,
}

impl Bug {
    /// The checkers' `now` in which it must show: behind reset, if it is not one of reset itself.
    pub(super) fn now(&self) -> usize {
        if self.place.1 == "reset" { 0 } else { 2 }
    }
}

/// Plants all bugs of a checker in the modules, each behind its number in `planted`.
pub(super) fn plant(checker: &Checker, modules: &mut Modules) -> Result<(), String> {
    for (number, bug) in checker.bugs.iter().enumerate().map(|(index, bug)| (index + 1, bug)) {
        let name = format!("{}{}", checker.root, bug.module);
        let module = modules.get_mut(&name).ok_or_else(|| format!("no module {name}"))?;
        let (before, right, behind) = bug.place;
        let place = format!("{before}{right}{behind}");
        if module.matches(&place).count() != 1 {
            return Err(format!(
                "bug {number}, \"{}\": `{place}` is in {name} {} times, not once; xtask/src/proof/bugs is out of date",
                bug.what,
                module.matches(&place).count()
            ));
        }
        *module =
            module.replace(&place, &format!("{before}(planted == {number} ? ({}) : ({right})){behind}", bug.wrong));
        if !module.contains("wire [7:0] planted;") {
            *module = module.replacen(
                "    // Module arguments\n",
                "    (* keep *) wire [7:0] planted;\n    // Module arguments\n",
                1,
            );
        }
    }
    Ok(())
}
