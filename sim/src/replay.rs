//! Recordings of blocks, replayed on their Verilog in a simulator and compared clock for clock.
//!
//! Many blocks share one testbench, because a Verilator build costs seconds whatever it holds. The testbench is the
//! same for both simulators; they are separate programs by separate people, and where they read the same Verilog
//! differently, one of them disagrees with rust-hdl. Icarus Verilog has the value X besides 0 and 1, Verilator has
//! not: registers start at zero in the Verilog itself, memories as [`Memories`] says, and an output that counts must
//! be as known as rust-hdl's. All outputs count from the first clock on, unless the recording says otherwise.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{fmt, fs, io};

use crate::model::QUIET;
use crate::module::{Memories, Port, Recording};

/// A simulator of Verilog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simulator {
    /// Verilator: compiles to C++, two values.
    Verilator,
    /// Icarus Verilog: interprets, four values.
    Icarus,
}

/// Why there was no comparison.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The simulator cannot be started.
    #[error("{0} is not installed; on Debian: apt-get install {package}", package = .0.package())]
    Missing(Simulator, #[source] io::Error),
    /// A file of the testbench could not be written.
    #[error("cannot write {path}")]
    Write {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The simulator refused the testbench.
    #[error("{simulator} refused the testbench:\n{log}")]
    Refused {
        /// Which one.
        simulator: Simulator,
        /// What it said.
        log: String,
    },
}

impl Simulator {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Verilator, Self::Icarus];

    /// Replays recordings on their Verilog. Yields a line for each output that differs in the first clock in
    /// which one of its block does.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub fn replay(self, recordings: &[Recording]) -> Result<Vec<String>, ReplayError> {
        let folder =
            tempfile::tempdir().map_err(|source| ReplayError::Write { path: "the temporary folder".into(), source })?;
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).map_err(|source| ReplayError::Write { path, source })
        };
        let mut modules: BTreeMap<String, String> = BTreeMap::new();
        let mut bench = String::from("module bench;\n");
        for recording in recordings {
            for module in recording.verilog.split_inclusive("endmodule") {
                if let Some(start) = module.find("module ") {
                    // Flip-flops of a width are equal everywhere and named alike.
                    let text = &module[start..];
                    let name = text["module ".len()..].split('(').next().unwrap_or_default();
                    let zero = self == Self::Icarus && recording.memories == Memories::Zero;
                    modules.insert(name.to_owned(), if zero { zeroed(text) } else { text.to_owned() });
                }
            }
            write(&format!("{}.vec", recording.name), &(recording.vectors.join("\n") + "\n"))?;
            bench += &testbench(recording, self);
        }
        // A clock takes two units of time; a testbench that hangs comes to its end too.
        let clocks = recordings.iter().map(Recording::clocks).max().unwrap_or_default();
        bench += &format!("  initial #{} $finish;\nendmodule\n", 4 * clocks + 10);
        write("bench.v", &(modules.into_values().collect::<Vec<_>>().join("\n") + "\n" + &bench))?;
        let said = self.run(folder.path())?;
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

    /// Compiles and runs `bench.v`; yields what it prints.
    fn run(self, folder: &Path) -> Result<String, ReplayError> {
        let start = |program: &OsStr, arguments: &[&str]| {
            let output = Command::new(program).current_dir(folder).args(arguments).output();
            output.map_err(|error| ReplayError::Missing(self, error))
        };
        let checked = |output: Output| {
            if output.status.success() {
                return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
            }
            let log = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            Err(ReplayError::Refused { simulator: self, log })
        };
        match self {
            Self::Verilator => {
                let mut arguments = vec!["--binary", "-j", "2", "-O1", "-CFLAGS", "-O0", "--top-module", "bench"];
                arguments.extend(["-Mdir", "build", "-o", "bench", "-Wno-STMTDLY", "-Wno-INITIALDLY", "bench.v"]);
                arguments.extend(QUIET);
                checked(start("verilator".as_ref(), &arguments)?)?;
                checked(start(folder.join("build/bench").as_os_str(), &[])?)
            }
            Self::Icarus => {
                checked(start("iverilog".as_ref(), &["-g2005", "-s", "bench", "-o", "bench", "bench.v"])?)?;
                checked(start("vvp".as_ref(), &["-n", "bench"])?)
            }
        }
    }

    const fn package(self) -> &'static str {
        match self {
            Self::Verilator => "verilator (and g++ and make)",
            Self::Icarus => "iverilog",
        }
    }
}

impl fmt::Display for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Verilator => "Verilator",
            Self::Icarus => "Icarus Verilog",
        })
    }
}

/// A module whose memory, if it has one, starts at zero, and so does what it reads.
fn zeroed(module: &str) -> String {
    let Some((_, depth)) = module.split_once(" mem [0:") else { return module.to_owned() };
    let last = depth.split(']').next().unwrap_or_default();
    let read: String = ["rdata", "staged", "staged_row", "staged_word"]
        .into_iter()
        .filter(|name| module.contains(&format!("{name} <= ")))
        .map(|name| format!("    {name} = 0;\n"))
        .collect();
    let zero =
        format!("  integer i;\n  initial begin\n    for (i = 0; i <= {last}; i = i + 1) mem[i] = 0;\n{read}  end\n");
    module.replace("endmodule", &(zero + "endmodule"))
}

/// Verilog that replays the vectors of a block.
fn testbench(recording: &Recording, simulator: Simulator) -> String {
    let (name, clocks) = (&recording.name, recording.clocks());
    let width = |ports: &[Port]| ports.iter().map(|port| port.width).sum::<usize>();
    let (inputs, outputs) = (width(&recording.inputs), width(&recording.outputs));
    let mut declared = format!(
        "  integer {name}_i, {name}_end;\n  reg {name}_clock;\n  reg [{}:0] {name}_vec [0:{}];\n  \
         reg [{}:0] {name}_in;\n  \
         reg [{}:0] {name}_want;\n",
        inputs + outputs - 1,
        clocks - 1,
        inputs - 1,
        outputs - 1,
    );
    let mut instance = format!("  {name} {name}_dut(.clock({name}_clock)");
    let mut high = inputs;
    for port in &recording.inputs {
        instance += &format!(", .{}({name}_in[{}:{}])", port.name, high - 1, high - port.width);
        high -= port.width;
    }
    let mut low_of: BTreeMap<&str, usize> = BTreeMap::new();
    let mut high = outputs;
    for port in &recording.outputs {
        declared += &format!("  wire [{}:0] {name}_{};\n", port.width - 1, port.name);
        instance += &format!(", .{0}({name}_{0})", port.name);
        high -= port.width;
        low_of.insert(&port.name, high);
    }
    let mut compared = String::new();
    for port in &recording.outputs {
        let low = low_of[port.name.as_str()];
        let want = format!("{name}_want[{}:{low}]", low + port.width - 1);
        let found = format!("{name}_{}", port.name);
        let place = format!("DIFFERENT {name}.{}", port.name);
        let counts = match (recording.valid_of(&port.name), recording.defined_from) {
            (Some(valid), _) => format!("{name}_want[{}]", low_of[valid]),
            (None, 0) => "1".to_owned(),
            (None, clock) => format!("({name}_i >= {clock} || ^{found} !== 1'bx)"),
        };
        compared += &format!("      if ({counts} && {found} !== {want}) begin\n");
        compared += &format!("        $display(\"{place} in clock %0d: rust-hdl %h, {simulator} %h\",\n");
        compared += &format!("          {name}_i, {want}, {found});\n        {name}_end = 0;\n      end\n");
    }
    // The first change of an input comes when every process of the block waits for one.
    format!(
        "{declared}{instance});\n  initial begin\n    $readmemh(\"{name}.vec\", {name}_vec);\n    \
         #1 {name}_clock = 0;\n    {name}_end = {clocks};\n    \
         for ({name}_i = 0; {name}_i < {name}_end; {name}_i = {name}_i + 1) begin\n      \
         {{{name}_in, {name}_want}} = {name}_vec[{name}_i];\n      #1;\n{compared}      \
         {name}_clock = 1; #1; {name}_clock = 0;\n    end\n    $display(\"DONE {name}\");\n  end\n"
    )
}
