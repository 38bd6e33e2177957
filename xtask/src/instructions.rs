//! Instructions a packet of the software datapath, counted by callgrind: they must not become more unnoticed.
//!
//! Wall clock on shared processors is noise; instructions are the same in every run. Callgrind has AVX2 and nothing beyond,
//! so they are the same on every machine, too, that has that.

use std::process::Command;

use crate::tools;

/// Bursts of the two runs whose difference is counted.
const BURSTS: [u32; 2] = [100, 1_100];
/// Packets of a burst.
const BURST: u64 = 32;
/// What a count may be above its mark, in percent: compilers differ.
const TOLERANCE: u64 = 5;

/// Kinds of traffic, and instructions a packet with rustc 1.95, those of making its frame included.
const MARKS: &[(&str, u64)] = &[
    ("harness", 80),
    ("hit_ipv4", 392),
    ("refresh_ipv4", 726),
    ("hit_ipv6", 495),
    ("syn_flood", 995),
    ("icmp_error", 1_358),
    ("hit_ipv4_portable", 670),
];

/// Counts all kinds, and compares them with their marks.
pub(crate) fn gate() -> Result<(), String> {
    if tools::version("valgrind", "--version")?.is_none() {
        return Ok(());
    }
    let directory = tools::directory("instructions")?;
    let target = directory.parent().ok_or("the target directory has no name")?;
    let words = ["build", "--release", "--locked", "--quiet", "-p", "maglane-sw", "--features", "count"];
    let status = Command::new("cargo").args(words).args(["--bin", "instructions"]).status();
    if !status.map_err(|error| format!("cargo: {error}"))?.success() {
        return Err("the program to be counted does not build".to_owned());
    }
    let program = target.join("release/instructions");
    let mut over = Vec::new();
    for &(kind, mark) in MARKS {
        let mut counts = [0; 2];
        for (count, bursts) in counts.iter_mut().zip(BURSTS) {
            let output = Command::new("valgrind")
                .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
                .arg(&program)
                .args([kind, &bursts.to_string()])
                .output()
                .map_err(|error| format!("valgrind: {error}"))?;
            *count = collected(&String::from_utf8_lossy(&output.stderr))
                .ok_or_else(|| format!("valgrind, {kind}: {}", String::from_utf8_lossy(&output.stderr)))?;
        }
        let packets = u64::from(BURSTS[1] - BURSTS[0]) * BURST;
        let found = counts[1].saturating_sub(counts[0]) / packets;
        println!("  {kind:18} {found:6} instructions a packet, mark {mark}");
        if found * 100 > mark * (100 + TOLERANCE) {
            over.push(format!("{kind}: {found} instructions a packet are more than {TOLERANCE} % above {mark}"));
        }
    }
    if over.is_empty() {
        return Ok(());
    }
    Err(format!("{}; if that is worth it, raise the marks in xtask/src/instructions.rs and say why", over.join("; ")))
}

/// Instructions that callgrind says it has counted.
fn collected(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("Collected : ")?;
    rest.split_whitespace().next()?.parse().ok()
}
