//! The arguments of `maglane run`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::command::trace::Filter;

/// Balance live traffic in software: frames of an interface to its backends, until Ctrl-C
///
/// Frames to a virtual address leave by the same interface, in their tunnel; all others are the kernel's, as if this did not
/// run. Fragments stay together, what is too big for the tunnel is cut or answered, and pings are answered. The virtual
/// addresses must be routed to this machine, and not be its own unless it has AF_XDP keep their frames from the kernel.
/// Counters are told once a second.
///
/// SIGHUP has the configuration read again: tables change between two bursts, and flows stay where they are. Ctrl-C and
/// SIGTERM end it.
///
/// Where do the packets of a client go? `maglane trace` asks while this runs, or --trace from the beginning.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples, as root:
  maglane run --config web.toml --interface eth0 --workers 2
  maglane run --config web.toml --interface eth0 --trace src=198.51.100.7
  maglane run --config web.toml --interface eth0 --mode af-xdp --workers 4

Counters of frames that were not handled as they should have been:
  table_full   forwarded, but not remembered: the flow table has no room for it
  unreceived   the workers were slower than the wire
  unsent       the interface did not take the frame
  unpassed     the kernel did not take the frame (AF_XDP)
  merged       longer than the MTU, so frames are merged on their way in:
               ethtool -K eth0 gro off lro off rx-gro-hw off
  unfinished   without a transport checksum, because this machine sent it:
               ethtool -K SENDER tx off

AF_XDP does not see what is unfinished, nor a VLAN tag that a sender on this machine carries beside the frame: \
ethtool -K SENDER txvlan off

The flow table has room for as many flows as the configuration's geometry says: 8,192 if it names none, 1,048,576 with \
geometry = \"alveo\" in [datapath]. A flow that it has no room for is forwarded all the same, but goes elsewhere when \
backends come or go.")]
pub(crate) struct RunArgs {
    /// Configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Network interface to receive at and to send from
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: String,
    /// How frames are had from the interface
    #[arg(long, value_enum, default_value_t = Mode::AfPacket)]
    pub(crate) mode: Mode,
    /// Where AF_XDP takes frames from the kernel; without it as `auto`
    #[arg(long, value_enum, value_name = "HOOK")]
    pub(crate) xdp: Option<Xdp>,
    /// How long a worker looks for frames again and again before it sleeps, with AF_XDP: sooner there, for more work
    #[arg(long, value_name = "MICROSECONDS", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) busy_poll: Option<u32>,
    /// Threads that share the interface, each flow's frames at one; with AF_XDP no more than the interface has queues
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) workers: u16,
    /// Processors, one a worker, which it then stays on
    #[arg(long, value_name = "CPU,...", value_delimiter = ',')]
    pub(crate) pin: Vec<u16>,
    /// Tell the way of these frames through the stages, as `maglane replay --trace` does: KEY=VALUE by comma
    ///
    /// Keys: src and dst, each one address and no prefix; sport and dport; proto, which is tcp, udp or icmp, that of
    /// both families. A frame must match all that are given, as far as they can be read of it; an ICMP error matches also by
    /// the flow that it is about.
    #[arg(long, value_name = "FILTER")]
    pub(crate) trace: Option<Filter>,
    /// Socket for `maglane trace` [default: /run/maglane/INTERFACE-NETNS.sock]
    #[arg(long, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,
    /// Nothing every second: only that it serves, what goes wrong, traces, and what there was at the end
    #[arg(long)]
    pub(crate) quiet: bool,
    /// One JSON object a second, and one at the end, instead of text; frames of a trace are {"trace": ...} among them
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// The kernel's packet sockets: any Ethernet interface; the kernel sees all frames too
    AfPacket,
    /// AF_XDP sockets: frames to virtual addresses do not reach the kernel, unless they are passed
    AfXdp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Xdp {
    /// From the driver if it has XDP, else as `generic`; it says so then
    Auto,
    /// From the driver
    Native,
    /// From the kernel, after any driver; slower
    Generic,
}
