//! The command line of `maglane replay`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use maglane_table::{Mac, config};

use super::{FrameRange, Kind};

/// Run a capture through one engine and write what it forwards, or tell what every stage did with a frame
///
/// What for: at least one of --out and --trace has to say. The output holds the forwarded frames only, encapsulated, in
/// order, with the input's time stamps. Frames that pass to the host or are dropped are counted in the printed verdicts.
///
/// With --trace, what is printed is each frame's way instead: what parse read, where classify found the service, the
/// hashes, what the flow table held and why that was a hit or not, which slots of the lookup table answered, the outer
/// headers, the verdict. A frame that a check ended is told with the value that it failed on and the check's number in
/// docs/wire-contract.md.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("purpose").args(["out", "trace"]).required(true).multiple(true))]
#[command(after_help = "\
Examples:
  maglane replay --config web.toml --in in.pcap --out out.pcap
      the frames that leave for the backends
  maglane replay --config web.toml --in in.pcap --trace --frames 17
      why did frame 17 go where it went? Those before it count too: they made
      the flow table
  maglane replay --config web.toml --in in.pcap --trace --json
      every frame, as one JSON object a line")]
pub(crate) struct ReplayArgs {
    /// Configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Capture to read, pcap or pcapng
    #[arg(long = "in", value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// Capture to write, pcap with nanoseconds; left as it was when something goes wrong [needed without --trace]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Where frames go to backends for which the configuration names no next_hop_mac, since only `maglane run` can ask a
    /// neighbour table [default: 00:00:00:00:00:00]
    #[arg(long, value_name = "MAC", value_parser = config::parse_mac)]
    pub(crate) next_hop_mac: Option<Mac>,
    #[cfg_attr(feature = "lab", doc = "Engine: software, software-fast, rtl, verilog")]
    #[cfg_attr(
        not(feature = "lab"),
        doc = "Engine: software, software-fast (others need a build with the feature `lab`)"
    )]
    #[arg(long, value_name = "ENGINE", default_value = "software")]
    pub(crate) engine: Kind,
    /// Pause and hold up the simulated card at random, the same way for the same number; software has no pauses
    #[cfg(feature = "lab")]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Tell each frame's way through the stages of the engine `software` [needed without --out]
    #[arg(long)]
    pub(crate) trace: bool,
    /// Trace only these frames, counted from 1, both included: 17, 17-20, 17- or -20 [default: all]
    #[arg(long, value_name = "A-B", requires = "trace", allow_negative_numbers = true)]
    pub(crate) frames: Option<FrameRange>,
    /// One JSON object instead of text; with --trace, one for each frame, on a line of its own
    #[arg(long)]
    pub(crate) json: bool,
}
