//! The command line of `maglane table study`.

use std::path::PathBuf;

use clap::Args;

/// Measure how even the fills are, and how many connections they disrupt when backends fail
///
/// Redoes the evaluation of consistent hashing in the Maglev paper (NSDI 2016, section 5.3) with the fills of this
/// program, and connections through the software pipeline beside it. A connection is disrupted when another backend
/// gets it though its own has not failed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maglane table study
      1,000 backends, as in the paper
  maglane table study --out docs
      the same, and the plots docs/balance.svg and docs/disruption.svg
  maglane table study --backends 20 --failures 1,2,5 --sizes 251,2039 --json")]
pub(crate) struct StudyArgs {
    /// Backends, all of the same weight
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) backends: u32,
    /// How many backends fail at once [default: those of 0,1,2,5,10,20,50 that leave a backend]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) failures: Vec<u32>,
    /// Table sizes, primes
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_values_t = [2_039, 4_093, 8_191, 16_381, 32_749, 65_521]
    )]
    pub(crate) sizes: Vec<u32>,
    /// Connections that are open when backends fail
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(crate) flows: u32,
    /// Random choices of those who fail; what is told is the mean over them
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) trials: u32,
    /// Decides who fails, and the key of the flow hash; the same number gives the same study
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Directory for the plots balance.svg and disruption.svg [default: no plots]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}
