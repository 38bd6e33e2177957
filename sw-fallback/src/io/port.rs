//! Live frames for one worker: what an interface of this machine receives, lent where it lies, and sent from there.
//!
//! A port is one worker's: workers that share an interface have a port each, and each frame comes in at one of them. What
//! becomes of frames that are not forwarded is the port's affair, because not every way of receiving keeps them from the
//! kernel. Its unit of work is a burst.

use std::io;
use std::time::Duration;

use maglane_spec::Egress;

use crate::fast::Packet;

/// What is done to a burst: it says, position by position, where the packets go, each of which goes to the host if it says
/// nothing.
pub type Work<'w> = dyn FnMut(&mut [Packet<'_>], &mut [Egress]) + 'w;

/// Where a worker's frames come from, and where those that are forwarded go.
pub trait Port: Send {
    /// Waits for frames no longer than a time, has a burst of them worked on, and sends those that go to the wire. How many
    /// came in is returned; without any the work is not called.
    ///
    /// It never waits for the interface to have room: what it does not take at once is lost, and counted.
    ///
    /// # Errors
    /// When the interface is gone, or the operating system cannot wait. Frames never make errors.
    fn exchange(&mut self, timeout: Duration, work: &mut Work<'_>) -> Result<usize, PortError>;

    /// Sends frames that did not come in here, in order and after those that did; whole Ethernet frames.
    ///
    /// It does not wait either.
    fn send(&mut self, frames: &mut dyn Iterator<Item = &[u8]>);

    /// What went wrong with frames since the port was opened.
    fn mishaps(&mut self) -> Mishaps;
}

/// Frames that were not handled as they should have been, counted since a port was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mishaps {
    /// Lost before the pipeline, because the workers were slower than the wire.
    pub unreceived: u64,
    /// Forwarded by the pipeline, and not taken by the interface.
    pub unsent: u64,
    /// Longer than the interface's MTU allows: merged on receipt out of several.
    pub merged: u64,
    /// Passed by the pipeline, and not taken by the kernel.
    pub unpassed: u64,
    /// Without a transport checksum yet, because they were sent on this machine; a backend will not take them.
    pub unfinished: u64,
}

impl Mishaps {
    /// Those of two ports.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            unreceived: self.unreceived.wrapping_add(other.unreceived),
            unsent: self.unsent.wrapping_add(other.unsent),
            unpassed: self.unpassed.wrapping_add(other.unpassed),
            merged: self.merged.wrapping_add(other.merged),
            unfinished: self.unfinished.wrapping_add(other.unfinished),
        }
    }
}

/// Why there are no live frames, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// No interface has this name.
    #[error("{name}: there is no such network interface here; `ip link` lists them")]
    Unknown {
        /// The name.
        name: String,
    },
    /// Its frames are not Ethernet.
    #[error("{name}: its frames are not Ethernet; name an interface whose frames are")]
    NotEthernet {
        /// The interface.
        name: String,
    },
    /// It does not receive.
    #[error("{name}: the interface is down: ip link set {name} up")]
    Down {
        /// The interface.
        name: String,
    },
    /// It merges frames on receipt.
    #[error(
        "{name}: {what} is on, which merges frames of a connection into longer ones than any backend can be sent: \
         ethtool -K {name} gro off lro off"
    )]
    Merging {
        /// The interface.
        name: String,
        /// What merges.
        what: &'static str,
    },
    /// The process may not.
    #[error("{name}: not permitted; run this as root, or give the program the right: setcap cap_net_raw+ep maglane")]
    Denied {
        /// The interface.
        name: String,
    },
    /// It was there, and is not any more.
    #[error("{name}: the interface has been removed; start again when it is back")]
    Gone {
        /// The interface.
        name: String,
    },
    /// It is not as AF_XDP needs it.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Xdp(#[from] super::af_xdp::XdpError),
    /// Anything else.
    #[error("{name}: cannot {action}: {source}")]
    Io {
        /// The interface.
        name: String,
        /// What was tried.
        action: &'static str,
        /// What the operating system says.
        source: io::Error,
    },
}
