//! The command line: every command, option and help text, checked as far as it can be without opening a file.

mod card;
mod replay;
mod run;
mod study;
#[cfg(target_os = "linux")]
mod trace;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

#[cfg(feature = "lab")]
pub(crate) use card::ServeArgs;
pub(crate) use card::{CardArgs, CardCommand, DeviceArgs, DeviceName, Switch};
use clap::{Args, Parser, Subcommand};
#[cfg(feature = "lab")]
use maglane_hw::profile::Profile;
#[cfg(feature = "lab")]
pub(crate) use maglane_sim::lineup::Kind;
#[cfg(feature = "lab")]
use maglane_spec::Stage;
pub(crate) use replay::ReplayArgs;
#[cfg(target_os = "linux")]
pub(crate) use run::{Mode, RunArgs, Xdp};
pub(crate) use study::StudyArgs;
#[cfg(target_os = "linux")]
pub(crate) use trace::TraceArgs;

#[cfg(feature = "lab")]
const AFTER_HELP: &str = "\
Start here:
  maglane verify
      do all engines agree on a built-in capture?
  maglane verify --config web.toml --capture in.pcap
      do they agree on yours?
  maglane replay --config web.toml --in in.pcap --out out.pcap
  maglane replay --config web.toml --in in.pcap --trace --frames 17
      why did frame 17 go where it went?
  maglane table show --config web.toml
  maglane card load --device sim:lab --config web.toml
      the tables into a card, here a simulated one
  maglane run --config web.toml --interface eth0
      live, on this machine, without a card
  maglane trace --interface eth0 src=198.51.100.7
      where do this client's packets go, live?

Exit code:
  0  yes: engines agree, files are written, up to date or clean
  1  no: engines differ, a file is out of date, a lint or a card has faults
  2  no answer: bad input or something missing; one error names the place";

#[cfg(not(feature = "lab"))]
const AFTER_HELP: &str = "\
Start here:
  maglane table show --config web.toml
  maglane replay --config web.toml --in in.pcap --out out.pcap
  maglane replay --config web.toml --in in.pcap --trace --frames 17
      why did frame 17 go where it went?
  maglane card load --device vfio:0000:03:00.0 --config web.toml
  maglane run --config web.toml --interface eth0
      live, on this machine, without a card
  maglane trace --interface eth0 src=198.51.100.7
      where do this client's packets go, live?

This program was built without the feature `lab`: the commands `verify` and `rtl`, and the \
engines `rtl` and `verilog`, are not in it.

Exit code:
  0  done
  1  a card has faults
  2  bad input, with one error that names the place";

/// Maglev load balancing on the NIC: lookup tables, replay, and the proof that card and software agree.
#[derive(Debug, Parser)]
#[command(name = "maglane", version, after_help = AFTER_HELP, max_term_width = 120)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[cfg(feature = "lab")]
    Verify(VerifyArgs),
    Replay(ReplayArgs),
    #[cfg(target_os = "linux")]
    Run(RunArgs),
    #[cfg(target_os = "linux")]
    Trace(TraceArgs),
    Table(TableArgs),
    Card(CardArgs),
    #[cfg(feature = "lab")]
    Rtl(RtlArgs),
}

/// Replay captures through several engines in lockstep and prove that they agree
///
/// Every frame goes through every engine; the bytes that leave, the verdict, the decisions on the way and, at the
/// end, all counters and the flow table are compared. The first difference is printed with the stage that made it,
/// the command that replays it, and a waveform of the simulated card.
#[cfg(feature = "lab")]
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maglane verify
      built-in configuration and capture, all engines, both buses
  maglane verify --config web.toml --capture monday.pcap tuesday.pcapng
      the same with your own
  maglane verify --engines software,rtl --seed 7
      two engines, with the pauses and the backpressure that 7 stands for
  maglane verify --report run.html
      the result as a page to read, send or print
  maglane verify --plant rtl:flow_hash --frames 1-100
      is a fault in this stage found? Exit code 1 says that it is

Engines:
  software        the pipeline in plain Rust, frame by frame
  software-fast   the same for speed: bursts, vectors, in place
  rtl             the gateware's description, simulated
  verilog         the emitted Verilog, compiled by Verilator")]
pub(crate) struct VerifyArgs {
    /// Configuration [default: built in, examples/web.toml]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Captures, pcap or pcapng, run one after the other [default: built in, tests/captures/web.pcap]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) capture: Vec<PathBuf>,
    /// Engines to compare; the first is the reference [default: all that this machine has]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) engines: Vec<Kind>,
    /// Bus width of the simulated card in bytes: 32, 64, both [default: both where the gateware is built for both]
    #[arg(long, value_name = "BYTES")]
    pub(crate) bus: Option<Bus>,
    /// Pause the input and hold up the outputs at random; the same number does it the same way [default: never]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Only these frames, counted from 1, both included: 17, 17-20, 17- or -20 [default: all]
    #[arg(long, value_name = "A-B", allow_negative_numbers = true)]
    pub(crate) frames: Option<FrameRange>,
    /// Write what the reference engine forwards to this capture, if all agree
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Write a page about the run, whether engines agree or differ: one HTML file that needs nothing else
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Where the waveform of a difference goes [default: maglane-frame-N.vcd in the current directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) waveform: Option<PathBuf>,
    /// Plant a fault on purpose in one stage of one engine, to see that the comparison finds it
    ///
    /// Stages: parse, classify, flow_hash, select, rewrite.
    #[arg(long, value_name = "ENGINE:STAGE")]
    pub(crate) plant: Option<Plant>,
    /// One JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// Build lookup tables, show how even they are, or what changes between two; measure the fills
#[derive(Debug, Args)]
pub(crate) struct TableArgs {
    #[command(subcommand)]
    pub(crate) command: TableCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TableCommand {
    /// Build all tables of a configuration into an image file
    #[command(after_help = "\
Example:
  maglane table build --config web.toml --out web.tables")]
    Build {
        /// Configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Image file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// One JSON object instead of text
        #[arg(long)]
        json: bool,
    },
    /// Show each service's scheduler and backends: state, weight, slots, share, the share due, the deviation from it
    ///
    /// An image has no scheduler, only how the slots are read, and no weight of a backend that takes no new flows: these
    /// are told of a configuration.
    #[command(after_help = "\
Examples:
  maglane table show --config web.toml
  maglane table show --image web.tables --service web --json")]
    Show {
        #[command(flatten)]
        source: TableSource,
        /// Only this service
        #[arg(long, value_name = "NAME")]
        service: Option<String>,
        /// One JSON object instead of text
        #[arg(long)]
        json: bool,
    },
    /// Show what changes from one table to another: which fields, and whose new flows move to whom
    ///
    /// Services and backends are matched by name. Each file is a configuration or an image, told apart by content.
    #[command(after_help = "\
Example:
  maglane table diff web.tables web-without-3.toml")]
    Diff {
        /// Configuration or image before the change
        old: PathBuf,
        /// Configuration or image after it
        new: PathBuf,
        /// One JSON object instead of text
        #[arg(long)]
        json: bool,
    },
    Study(StudyArgs),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct TableSource {
    /// Configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Image file of `maglane table build`
    #[arg(long, value_name = "FILE")]
    pub(crate) image: Option<PathBuf>,
}

/// Write the gateware as Verilog, or check it
#[cfg(feature = "lab")]
#[derive(Debug, Args)]
pub(crate) struct RtlArgs {
    #[command(subcommand)]
    pub(crate) command: RtlCommand,
}

#[cfg(feature = "lab")]
#[derive(Debug, Subcommand)]
pub(crate) enum RtlCommand {
    /// Write maglane_card_PROFILE.v for each profile
    #[command(after_help = "\
Examples:
  maglane rtl emit --profile sume
  maglane rtl emit --all --out verilog
  maglane rtl emit --all --out verilog --check")]
    Emit {
        #[command(flatten)]
        profiles: EmitProfiles,
        /// Directory for the files
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
        /// Write nothing; compare with the files that are there, exit code 1 when one is out of date
        #[arg(long)]
        check: bool,
    },
    /// Look for statements that Rust and Verilog read differently, and let Verilator look too, where it is installed
    #[command(after_help = "\
Example:
  maglane rtl lint --profile alveo")]
    Lint {
        /// lab, lab64, sume, alveo, ecp5 [default: all]
        #[arg(long = "profile", value_name = "PROFILE", value_parser = profile)]
        profiles: Vec<Profile>,
        /// One JSON object instead of text
        #[arg(long)]
        json: bool,
    },
}

#[cfg(feature = "lab")]
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct EmitProfiles {
    /// lab, lab64, sume, alveo, ecp5; may be given several times
    #[arg(long = "profile", value_name = "PROFILE", value_parser = profile)]
    pub(crate) profiles: Vec<Profile>,
    /// All profiles
    #[arg(long)]
    pub(crate) all: bool,
}

/// The engines of a build without the laboratory.
#[cfg(not(feature = "lab"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Software,
    SoftwareFast,
}

#[cfg(not(feature = "lab"))]
impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "software" => Ok(Self::Software),
            "software-fast" => Ok(Self::SoftwareFast),
            "rtl" | "verilog" => {
                Err("this program was built without the feature `lab`: it has software and software-fast only")
            }
            _ => Err("the engines of this program are software and software-fast"),
        }
    }
}

/// Bus widths to run with.
#[cfg(feature = "lab")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bus {
    Bytes(u32),
    Both,
}

#[cfg(feature = "lab")]
impl FromStr for Bus {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "32" => Ok(Self::Bytes(32)),
            "64" => Ok(Self::Bytes(64)),
            "both" => Ok(Self::Both),
            _ => Err("a bus is 32 or 64 bytes wide, or `both` for one run with each"),
        }
    }
}

/// Frames by number, from 1, both ends included; without an end, [`u64::MAX`] is the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameRange {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl FromStr for FrameRange {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "frame numbers from 1: 17, 17-20, 17- to the end, or -20 from the beginning";
        let number = |text: &str| match text.parse() {
            Ok(0) => Err("frames are counted from 1"),
            Ok(number) => Ok(number),
            Err(_) => Err(FORM),
        };
        let (first, last) = match text.split_once('-') {
            None => (number(text)?, number(text)?),
            Some(("", "")) => return Err(FORM),
            Some(("", last)) => (1, number(last)?),
            Some((first, "")) => (number(first)?, u64::MAX),
            Some((first, last)) => (number(first)?, number(last)?),
        };
        if first > last { Err("the first number is greater than the second") } else { Ok(Self { first, last }) }
    }
}

impl fmt::Display for FrameRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            u64::MAX => write!(f, "{}-", self.first),
            last => write!(f, "{}-{last}", self.first),
        }
    }
}

/// A fault on purpose.
#[cfg(feature = "lab")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plant {
    pub(crate) engine: Kind,
    pub(crate) stage: Stage,
}

#[cfg(feature = "lab")]
impl FromStr for Plant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (engine, name) = text.split_once(':').ok_or("an engine and a stage as in rtl:parse")?;
        let stage = Stage::ALL.into_iter().find(|stage| stage.name() == name);
        let stages = Stage::ALL.map(Stage::name).join(", ");
        let stage = stage.ok_or_else(|| format!("no stage is called `{name}`; there are {stages}"))?;
        Ok(Self { engine: engine.parse()?, stage })
    }
}

#[cfg(feature = "lab")]
fn profile(name: &str) -> Result<Profile, String> {
    let names = Profile::ALL.map(Profile::name).join(", ");
    Profile::from_name(name).ok_or_else(|| format!("no profile is called `{name}`; there are {names}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    /// What a terminal breaks reads as if it were another line.
    #[test]
    fn tables_and_examples_of_the_help_fit_80_columns_and_paragraphs_are_not_broken_by_hand() {
        fn check(command: &clap::Command) {
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let is_paragraph = |line: &str| !line.is_empty() && !line.starts_with(' ') && !line.ends_with(':');
            for (line, next) in text.lines().zip(text.lines().skip(1).chain([""])) {
                let name = command.get_name();
                assert!(!line.starts_with(' ') || line.chars().count() <= 80, "{name}: {line}");
                assert!(!is_paragraph(line) || !is_paragraph(next), "{name}: {line}");
            }
            command.get_subcommands().for_each(check);
        }
        use clap::CommandFactory;
        check(&Cli::command());
    }

    #[test]
    fn frame_ranges_are_open_or_have_two_ends_or_one() {
        for (text, first, last, shown) in [
            ("3-9", 3, 9, "3-9"),
            ("7", 7, 7, "7-7"),
            ("5-", 5, u64::MAX, "5-"),
            ("-5", 1, 5, "1-5"),
            ("1-1", 1, 1, "1-1"),
        ] {
            let range: FrameRange = text.parse().unwrap();
            assert_eq!(range, FrameRange { first, last }, "{text}");
            assert_eq!((range.to_string().as_str(), range.to_string().parse()), (shown, Ok(range)));
        }
        for wrong in ["", "-", "--", "0", "0-3", "0-", "-0", "9-3", "a-b", "1-b", "-1-", "1-2-3", "1-2-"] {
            assert!(wrong.parse::<FrameRange>().is_err(), "{wrong}");
        }
    }

    #[cfg(feature = "lab")]
    #[test]
    fn plants_name_engine_and_stage() {
        assert_eq!("rtl:flow_hash".parse(), Ok(Plant { engine: Kind::Rtl, stage: Stage::FlowHash }));
        assert!("rtl".parse::<Plant>().unwrap_err().contains("rtl:parse"));
        assert!("rtl:hash".parse::<Plant>().unwrap_err().contains("flow_hash"));
        assert!("vhdl:parse".parse::<Plant>().unwrap_err().contains("verilog"));
    }
}
