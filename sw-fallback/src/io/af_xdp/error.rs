//! Why an interface cannot be served through AF_XDP, with what mends it.

use std::io;

use super::super::interface::Interface;
use super::super::port::PortError;
use super::super::tap::TapError;

/// Why an interface is not served.
#[derive(Debug, thiserror::Error)]
pub enum XdpError {
    /// The process may not.
    #[error(
        "{name}: not permitted; run this as root, or give the program the rights: \
         setcap cap_net_admin,cap_net_raw,cap_bpf+ep maglane"
    )]
    Denied {
        /// The interface.
        name: String,
    },
    /// The kernel does not have it.
    #[error("{name}: this kernel has no AF_XDP sockets; use --mode af-packet")]
    NoSockets {
        /// The interface.
        name: String,
    },
    /// Another program is attached.
    #[error(
        "{name}: another XDP program is attached, which `ip link show {name}` tells: end the process that has attached \
         it, or take it away: ip link set dev {name} xdp off"
    )]
    Attached {
        /// The interface.
        name: String,
    },
    /// The driver runs no XDP programs, or not as the interface is set up.
    #[error(
        "{name}: its driver does not run the XDP program: {source}; use --xdp generic, which needs no driver's help"
    )]
    NoNative {
        /// The interface.
        name: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// Another socket has a queue.
    #[error("{name}: another process has an AF_XDP socket at queue {queue}; end that")]
    QueueTaken {
        /// The interface.
        name: String,
        /// The queue.
        queue: u32,
    },
    /// More workers than queues.
    #[error(
        "{name}: more workers ({workers}) than receive queues ({queues}), and each needs one: --workers {queues}, or \
         ethtool -L {name} combined {workers} (or rx {workers})"
    )]
    Queues {
        /// The interface.
        name: String,
        /// Workers asked for.
        workers: usize,
        /// Queues there are.
        queues: usize,
    },
    /// Tags do not reach the program.
    #[error(
        "{name}: its driver takes VLAN tags off frames, so that tagged ones would leave without: \
         ethtool -K {name} rxvlan off"
    )]
    Tags {
        /// The interface.
        name: String,
    },
    /// Frames can be longer than a chunk.
    #[error("{name}: the MTU is {mtu}, and AF_XDP has room for {mtu_max}: ip link set {name} mtu {mtu_max}")]
    Mtu {
        /// The interface.
        name: String,
        /// Its MTU.
        mtu: usize,
        /// The largest that can be served.
        mtu_max: usize,
    },
    /// The process may not lock so much memory.
    #[error(
        "{name}: the limit on locked memory is below the {kbytes} KiB that a queue needs: ulimit -l unlimited \
         (LimitMEMLOCK=infinity), or the right cap_ipc_lock"
    )]
    Locked {
        /// The interface.
        name: String,
        /// What a queue needs.
        kbytes: u64,
    },
    /// The kernel does not have sockets polled.
    #[error(
        "{name}: this kernel has no busy polling of AF_XDP sockets ({source}): it takes Linux 5.11, built with \
         CONFIG_NET_RX_BUSY_POLL; leave --busy-poll away"
    )]
    BusyPoll {
        /// The interface.
        name: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// More virtual addresses than the program can know.
    #[error("{name}: {count} virtual addresses are more than the {count_max} that can be told to the XDP program")]
    Addresses {
        /// The interface.
        name: String,
        /// How many there are.
        count: usize,
        /// How many there can be.
        count_max: usize,
    },
    /// Passed frames have no way back to the kernel.
    #[error("the device by which passed frames reach the kernel: {0}")]
    Host(#[from] TapError),
}

impl XdpError {
    /// What the operating system's error means here.
    pub(super) fn of(interface: &Interface, action: &'static str, source: io::Error) -> PortError {
        let name = interface.name().to_owned();
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::Denied { name }.into(),
            Some(libc::EAFNOSUPPORT) => Self::NoSockets { name }.into(),
            Some(libc::ENODEV | libc::ENXIO) => PortError::Gone { name },
            _ => PortError::Io { name, action, source },
        }
    }
}
