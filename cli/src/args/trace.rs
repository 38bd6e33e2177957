//! The arguments of `maglane trace`.

use std::path::PathBuf;

use clap::Args;

use crate::command::trace::Filter;

/// Tell the way of frames through a running `maglane run`, until Ctrl-C
///
/// Each frame that matches is told as `maglane replay --trace` does it: what parse read, where classify found the service,
/// the hashes, what the flow table held and why that was a hit or not, which slots of the lookup table answered, the outer
/// headers, the verdict; and then, which worker had it, what the slow path made of it, and whether it was left to the
/// kernel. A few hundred frames are told ten times a second; those beyond are counted. One trace at a time; traffic goes on
/// as if nobody looked.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples, as who runs `maglane run`:
  maglane trace --interface eth0 src=198.51.100.7,dport=443
      where do the packets of this client go?
  maglane trace --interface eth0 dst=192.0.2.10,proto=icmp --count 1 --json
      the next ping, or error about a flow, as one JSON object")]
pub(crate) struct TraceArgs {
    /// Interface that the run is at
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: String,
    /// Frames that are told, KEY=VALUE by comma [default: all]
    ///
    /// Keys: src and dst, each one address and no prefix; sport and dport; proto, which is tcp, udp or icmp, that of
    /// both families. A frame must match all that are given, as far as they can be read of it; an ICMP error matches also by
    /// the flow that it is about.
    #[arg(value_name = "FILTER")]
    pub(crate) filter: Option<Filter>,
    /// End after so many frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Socket of the run, if that was given one with --control [default: /run/maglane/NAME-NETNS.sock]
    #[arg(long, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,
    /// One JSON object a frame instead of text
    #[arg(long)]
    pub(crate) json: bool,
}
