//! An AF_XDP socket, option by option.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::super::option::{self, checked, len_of};
use super::memory::{CHUNK_BYTES, Memory};
use super::ring::{Consumer, Layout, Producer};

/// A socket; frames come to it when it is bound and the steering program knows it.
#[derive(Debug)]
pub(super) struct Socket(OwnedFd);

/// What the kernel and we give each other, by way of rings.
#[derive(Debug)]
pub(super) struct Rings {
    /// Chunks for frames that will come.
    pub(super) fill: Producer<u64>,
    /// Frames that have come.
    pub(super) received: Consumer<libc::xdp_desc>,
    /// Frames to send.
    pub(super) transmit: Producer<libc::xdp_desc>,
    /// Chunks of frames that have been sent.
    pub(super) completed: Consumer<u64>,
}

/// Entries of the rings, powers of two.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Of the two for frames that come in.
    pub(super) receive: u32,
    /// Of the two for frames that leave.
    pub(super) transmit: u32,
}

impl Socket {
    pub(super) fn new() -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::socket(libc::AF_XDP, kind, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is open, and nobody else has it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Tells the kernel the memory that frames are in, which it holds from then on.
    pub(super) fn register(&self, memory: &Memory) -> io::Result<()> {
        // What all kernels know of it: the structure has grown since.
        let region = libc::xdp_umem_reg_v1 {
            addr: memory.address(),
            len: memory.len(),
            chunk_size: CHUNK_BYTES,
            // The kernel leaves room before a frame anyway.
            headroom: 0,
        };
        self.set(libc::XDP_UMEM_REG, &region)
    }

    /// Makes its rings.
    pub(super) fn rings(&self, sizes: Sizes) -> io::Result<Rings> {
        for (option, entries) in [
            (libc::XDP_UMEM_FILL_RING, sizes.receive),
            (libc::XDP_RX_RING, sizes.receive),
            (libc::XDP_TX_RING, sizes.transmit),
            (libc::XDP_UMEM_COMPLETION_RING, sizes.transmit),
        ] {
            self.set(option, &entries)?;
        }
        let at: libc::xdp_mmap_offsets = option::get(self.0.as_fd(), libc::SOL_XDP, libc::XDP_MMAP_OFFSETS)?;
        let layout = |ring, page, entries| Layout { ring, page, entries };
        let [receive, transmit] = [sizes.receive, sizes.transmit];
        let completed = libc::XDP_UMEM_PGOFF_COMPLETION_RING;
        Ok(Rings {
            fill: Producer::map(self, &layout(at.fr, libc::XDP_UMEM_PGOFF_FILL_RING, receive))?,
            received: Consumer::map(self, &layout(at.rx, libc::XDP_PGOFF_RX_RING.cast_unsigned(), receive))?,
            transmit: Producer::map(self, &layout(at.tx, libc::XDP_PGOFF_TX_RING.cast_unsigned(), transmit))?,
            completed: Consumer::map(self, &layout(at.cr, completed, transmit))?,
        })
    }

    /// Makes room for frames that the kernel copies when it sends them, where the process may beyond what others get.
    pub(super) fn reserve_send_buffer(&self, bytes: libc::c_int) -> io::Result<()> {
        let set = |option| option::set(self.0.as_fd(), libc::SOL_SOCKET, option, &bytes);
        set(libc::SO_SNDBUFFORCE).or_else(|_| set(libc::SO_SNDBUF))
    }

    /// Has the driver look for frames whenever the kernel is woken to receive, and prefers that to interrupts.
    ///
    /// # Source
    /// Linux, `Documentation/networking/napi.rst`, "Busy polling".
    pub(super) fn prefer_busy_poll(&self, microseconds: u32) -> io::Result<()> {
        for (option, value) in [
            (libc::SO_PREFER_BUSY_POLL, 1),
            (libc::SO_BUSY_POLL, microseconds),
            (libc::SO_BUSY_POLL_BUDGET, BUSY_POLL_FRAMES),
        ] {
            option::set(self.0.as_fd(), libc::SOL_SOCKET, option, &value)?;
        }
        Ok(())
    }

    /// For how many microseconds it is polled, if that is preferred to interrupts.
    pub(super) fn busy_poll(&self) -> Option<u32> {
        let get = |option| option::get::<u32>(self.0.as_fd(), libc::SOL_SOCKET, option).ok();
        get(libc::SO_PREFER_BUSY_POLL).filter(|&preferred| preferred != 0).and_then(|_| get(libc::SO_BUSY_POLL))
    }

    /// Binds it to a queue of an interface. It is told when the kernel wants to be woken; without `copy`, frames are not
    /// copied where the driver can do that.
    pub(super) fn bind(&self, index: libc::c_int, queue: u32, copy: bool) -> io::Result<()> {
        let address = libc::sockaddr_xdp {
            sxdp_family: AF_XDP,
            sxdp_flags: libc::XDP_USE_NEED_WAKEUP | if copy { libc::XDP_COPY } else { 0 },
            sxdp_ifindex: u32::try_from(index).unwrap_or_default(),
            sxdp_queue_id: queue,
            sxdp_shared_umem_fd: 0,
        };
        // SAFETY: the pointer and the length are those of one address of this family, which outlives the call.
        checked(unsafe { libc::bind(self.as_raw_fd(), (&raw const address).cast(), len_of::<libc::sockaddr_xdp>()) })
    }

    /// Whether the interface reads and writes frames where they lie.
    pub(super) fn is_zero_copy(&self) -> bool {
        option::get(self.0.as_fd(), libc::SOL_XDP, libc::XDP_OPTIONS)
            .is_ok_and(|options: libc::xdp_options| options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0)
    }

    /// Frames that came to the queue and not to us, since the socket was made.
    ///
    /// Not counted is how often the kernel found no chunk: a frame that is lost by that is one of those dropped when it
    /// would have been copied, and in zero-copy mode it is no number of frames.
    pub(super) fn drops(&self) -> u64 {
        option::get(self.0.as_fd(), libc::SOL_XDP, libc::XDP_STATISTICS)
            .map_or(0, |stats: libc::xdp_statistics| stats.rx_dropped.wrapping_add(stats.rx_ring_full))
    }

    /// Has the kernel send what is in the ring, as much of it as it does in one call.
    pub(super) fn wake_to_send(&self) -> io::Result<()> {
        // SAFETY: no bytes are passed, and no address.
        let sent =
            unsafe { libc::sendto(self.as_raw_fd(), std::ptr::null(), 0, libc::MSG_DONTWAIT, std::ptr::null(), 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Has the driver look at the chunks that it was given.
    pub(super) fn wake_to_receive(&self) {
        let (none, flags) = (std::ptr::null_mut(), libc::MSG_DONTWAIT);
        // What it says does not matter: if frames cannot come, no waiting for them will tell either.
        // SAFETY: no bytes are passed, and no address.
        let _woken =
            unsafe { libc::recvfrom(self.as_raw_fd(), none, 0, flags, std::ptr::null_mut(), std::ptr::null_mut()) };
    }

    /// The error that waits, which then waits no more.
    pub(super) fn take_error(&self) -> Option<libc::c_int> {
        option::get(self.0.as_fd(), libc::SOL_SOCKET, libc::SO_ERROR).ok().filter(|&error: &libc::c_int| error != 0)
    }

    fn set<T>(&self, option: libc::c_int, value: &T) -> io::Result<()> {
        option::set(self.0.as_fd(), libc::SOL_XDP, option, value)
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Frames that the driver looks at in a poll, at most: as many as in one that an interrupt has begun (`NAPI_POLL_WEIGHT`).
const BUSY_POLL_FRAMES: u32 = 64;
const AF_XDP: libc::sa_family_t = 44;
const _: () = assert!(AF_XDP as libc::c_int == libc::AF_XDP);
