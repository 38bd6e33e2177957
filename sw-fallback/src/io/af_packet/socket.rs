//! A packet socket, option by option.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::super::option::{self, Plain, checked, len_of};

/// A packet socket; it receives nothing before it is bound.
#[derive(Debug)]
pub(super) struct Socket(OwnedFd);

impl Socket {
    pub(super) fn new() -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is open, and nobody else has it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Binds it to an interface, for a protocol; for protocol 0 it sends only.
    pub(super) fn bind(&self, index: libc::c_int, protocol: libc::c_int) -> io::Result<()> {
        let address = libc::sockaddr_ll {
            sll_family: AF_PACKET,
            sll_protocol: u16::try_from(protocol).unwrap_or_default().to_be(),
            sll_ifindex: index,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        // SAFETY: the pointer and the length are those of one address of this family, which outlives the call.
        checked(unsafe { libc::bind(self.as_raw_fd(), (&raw const address).cast(), len_of::<libc::sockaddr_ll>()) })
    }

    /// Drops every frame before it is received.
    pub(super) fn take_nothing(&self) -> io::Result<()> {
        // One instruction: return, with zero bytes of the frame.
        let mut filter = libc::sock_filter { code: BPF_RET, jt: 0, jf: 0, k: 0 };
        let program = libc::sock_fprog { len: 1, filter: &raw mut filter };
        self.set(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
    }

    /// Ends that.
    pub(super) fn take_everything(&self) -> io::Result<()> {
        self.set(libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &0)
    }

    /// Leaves out what this machine sends, and so what we send ourselves.
    pub(super) fn ignore_outgoing(&self) -> io::Result<()> {
        self.set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1)
    }

    /// Joins a group in which each flow's frames go to one socket, or makes it; its number.
    ///
    /// Not with the flag that puts fragments together: the pipeline must see what came in.
    pub(super) fn join(&self, group: Option<u32>) -> io::Result<u32> {
        let flags = libc::PACKET_FANOUT_HASH | libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
        let argument = match group {
            Some(group) => group | flags << 16,
            // The kernel chooses a number that no other program's group has.
            None => (flags | libc::PACKET_FANOUT_FLAG_UNIQUEID) << 16,
        };
        self.set(libc::SOL_PACKET, libc::PACKET_FANOUT, &argument)?;
        match group {
            Some(group) => Ok(group),
            None => Ok(self.get::<u32>(libc::SOL_PACKET, libc::PACKET_FANOUT)? & 0xffff),
        }
    }

    /// Makes room for frames that are sent, where the process may beyond what others get.
    pub(super) fn reserve_send_buffer(&self, bytes: libc::c_int) -> io::Result<()> {
        self.set(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &bytes)
            .or_else(|_| self.set(libc::SOL_SOCKET, libc::SO_SNDBUF, &bytes))
    }

    /// Frames that the ring had no room for, since this was last asked.
    pub(super) fn drops(&self) -> u32 {
        self.get::<libc::tpacket_stats_v3>(libc::SOL_PACKET, libc::PACKET_STATISTICS).map_or(0, |stats| stats.tp_drops)
    }

    /// The error that waits, which then waits no more.
    pub(super) fn take_error(&self) -> Option<libc::c_int> {
        self.get(libc::SOL_SOCKET, libc::SO_ERROR).ok().filter(|&error: &libc::c_int| error != 0)
    }

    /// Sets an option whose value has the type that the kernel reads.
    pub(super) fn set<T>(&self, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
        option::set(self.0.as_fd(), level, option, value)
    }

    fn get<T: Plain>(&self, level: libc::c_int, option: libc::c_int) -> io::Result<T> {
        option::get(self.0.as_fd(), level, option)
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

const AF_PACKET: libc::sa_family_t = 17;
const _: () = assert!(AF_PACKET as libc::c_int == libc::AF_PACKET);
/// linux/bpf_common.h: return a constant.
const BPF_RET: u16 = 0x06;
