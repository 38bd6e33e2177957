//! Live frames through AF_XDP: those to virtual addresses only, before the kernel has anything around them.
//!
//! A program that the driver runs on each frame sends those to a virtual address to the socket of their receive queue, and
//! leaves all others to the kernel as they are: ARP, ssh, BGP. What comes here is the kernel's no more: what the pipeline
//! passes is given back through a TAP device, what it forwards nobody else sees. Frames are encapsulated and sent where they
//! lie, in memory that the kernel shares; where the driver can, it writes and reads them there itself (zero-copy).
//!
//! The rings are made with libc alone, because the crate `xdp` (0.8) does not let the kernel say when it needs to be woken
//! (`XDP_USE_NEED_WAKEUP`). A worker has one receive queue of the interface or several, each with its socket and its memory.
//! Its unit of work is a burst.

// Sockets of this family, and the system call `bpf`, have no safe form in the standard library.
#![allow(unsafe_code)]

mod bpf;
mod error;
mod host;
mod memory;
mod program;
mod queue;
mod ring;
mod socket;
mod steering;

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use maglane_spec::wire::ethernet;

pub use self::bpf::Hook;
pub use self::error::XdpError;
pub use self::steering::{Attach, Steering};

use self::host::Host;
use self::memory::{CHUNK_LEN, ROOM};
use self::queue::Queue;
use super::interface::Interface;
use super::port::{Mishaps, Port, PortError, Work};

/// One worker's queues of an interface.
#[derive(Debug)]
pub struct AfXdp {
    interface: Interface,
    queues: Vec<Queue>,
    waits: Vec<libc::pollfd>,
    /// The queue that is looked at first, so that none waits for another forever.
    first: usize,
    /// How long it is looked for frames without sleep.
    busy: Duration,
    host: Arc<Host>,
    mishaps: Mishaps,
}

/// The longest MTU that can be served: a chunk's room for frames, less a header and a tag.
const MTU_MAX: usize = CHUNK_LEN - ROOM - ethernet::HEADER_LEN - ethernet::TAG_LEN;
/// How long is waited for frames while the interface has not taken what it should send.
const RETRY_MS: libc::c_int = 1;

impl AfXdp {
    /// Opens all receive queues of an interface for so many workers, each of which has as many as the others, or one more.
    ///
    /// Frames come in when [`Steering::steer`] is told their addresses, and as long as the steering is there.
    ///
    /// # Errors
    /// When the process may not, there are fewer queues, the interface is not as it must be, or another program has it.
    pub fn open(interface: &Interface, workers: usize, attach: Attach) -> Result<(Vec<Self>, Steering), PortError> {
        let own = || interface.name().to_owned();
        let workers = workers.max(1);
        let count = interface.receive_queues();
        let queues = count as usize;
        if workers > queues {
            return Err(XdpError::Queues { name: own(), workers, queues }.into());
        }
        // Before it is tried, because drivers refuse some of it without saying what it is.
        Self::check(interface, Hook::Native)?;
        let steering = Steering::attach(interface, count, attach)?;
        Self::check(interface, steering.hook())?;
        let is_generic = steering.hook() == Hook::Generic;
        let mut shares: Vec<Vec<Queue>> = (0..workers).map(|_| Vec::new()).collect();
        for (number, worker) in (0..count).zip((0..workers).cycle()) {
            let queue = Queue::open(interface, number, is_generic)?;
            steering.add(interface, number, queue.socket())?;
            shares[worker].push(queue);
        }
        let host = Arc::new(Host::open(interface)?);
        let ports = shares.into_iter().map(|queues| {
            let wait = |queue: &Queue| libc::pollfd { fd: queue.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            let waits = queues.iter().map(wait).collect();
            let (interface, host) = (interface.clone(), Arc::clone(&host));
            Self { interface, queues, waits, first: 0, busy: Duration::ZERO, host, mishaps: Mishaps::default() }
        });
        Ok((ports.collect(), steering))
    }

    /// Refuses an interface whose frames could not be served at a hook.
    ///
    /// # Errors
    /// When frames are too long, or not as they came.
    pub fn check(interface: &Interface, hook: Hook) -> Result<(), PortError> {
        let own = || interface.name().to_owned();
        if interface.mtu() > MTU_MAX {
            return Err(XdpError::Mtu { name: own(), mtu: interface.mtu(), mtu_max: MTU_MAX }.into());
        }
        if interface.strips_tags() {
            return Err(XdpError::Tags { name: own() }.into());
        }
        match hook {
            // A driver's frames are its own; those that the kernel has already are merged by then.
            Hook::Generic => interface.refuse_merging(),
            Hook::Native => Ok(()),
        }
    }

    /// Whether the interface reads and writes frames where they lie, at all queues.
    #[must_use]
    pub fn is_zero_copy(&self) -> bool {
        self.queues.iter().all(|queue| queue.socket().is_zero_copy())
    }

    /// Has it look for frames for a time before it sleeps, each time asking the driver itself, which an interrupt would
    /// otherwise have look some time later.
    ///
    /// # Errors
    /// When the kernel does not know of it, or the process may not.
    pub fn poll_busily(&mut self, microseconds: u32) -> Result<(), PortError> {
        for queue in &self.queues {
            queue.socket().prefer_busy_poll(microseconds).map_err(|source| match source.raw_os_error() {
                Some(libc::ENOPROTOOPT | libc::EOPNOTSUPP) => {
                    XdpError::BusyPoll { name: self.interface.name().to_owned(), source }.into()
                }
                _ => XdpError::of(&self.interface, "have it polled busily", source),
            })?;
        }
        self.busy = Duration::from_micros(microseconds.into());
        Ok(())
    }

    /// How long it looks for frames before it sleeps, in microseconds, as the kernel has it; none where it sleeps at once.
    #[must_use]
    pub fn polled_busily(&self) -> Option<u32> {
        self.queues.iter().map(|queue| queue.socket().busy_poll()).min().flatten()
    }

    /// The device by which passed frames reach the kernel.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.name()
    }

    /// Why the kernel will not take what is passed to it, if that is known.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        self.host.note()
    }

    /// The next queue that has frames.
    fn ready(&mut self) -> Option<usize> {
        let count = self.queues.len();
        let found = (0..count).map(|step| (self.first + step) % count).find(|&at| self.queues[at].has_frames())?;
        self.first = (found + 1) % count;
        Some(found)
    }

    /// Looks for frames without sleep; the first queue that has some.
    fn look_busily(&mut self) -> Option<usize> {
        let until = Instant::now() + self.busy;
        loop {
            for queue in &mut self.queues {
                if queue.is_sending() {
                    queue.flush();
                }
                queue.socket().wake_to_receive();
            }
            let ready = self.ready();
            if ready.is_some() || Instant::now() >= until {
                return ready;
            }
        }
    }

    /// Waits until a frame has come, a signal comes, or the time is over.
    fn wait(&mut self, timeout: Duration) -> Result<(), PortError> {
        let mut timeout_ms = libc::c_int::try_from(timeout.as_millis()).unwrap_or(libc::c_int::MAX);
        if self.queues.iter().any(Queue::is_sending) {
            timeout_ms = timeout_ms.min(RETRY_MS);
            self.queues.iter_mut().for_each(Queue::flush);
        }
        let count = self.waits.len() as libc::nfds_t;
        // SAFETY: the pointer and the count are those of one array, which is ours and outlives the call.
        if unsafe { libc::poll(self.waits.as_mut_ptr(), count, timeout_ms) } < 0 {
            let source = io::Error::last_os_error();
            return match source.kind() {
                io::ErrorKind::Interrupted => Ok(()),
                _ => Err(XdpError::of(&self.interface, "wait", source)),
            };
        }
        // As with packet sockets: down is told once, as an error of the socket, and gone comes after down.
        for (wait, queue) in self.waits.iter().zip(&self.queues) {
            if wait.revents & libc::POLLERR != 0 {
                let _down = queue.socket().take_error();
            }
        }
        if self.waits.iter().all(|wait| wait.revents & libc::POLLIN == 0) && !self.interface.is_there() {
            return Err(PortError::Gone { name: self.interface.name().to_owned() });
        }
        Ok(())
    }
}

impl Port for AfXdp {
    fn exchange(&mut self, timeout: Duration, work: &mut Work<'_>) -> Result<usize, PortError> {
        let mut ready = self.ready();
        if ready.is_none() && !self.busy.is_zero() {
            ready = self.look_busily();
        }
        if ready.is_none() {
            self.wait(timeout)?;
            ready = self.ready();
        }
        let Some(ready) = ready else { return Ok(0) };
        self.queues[ready].exchange(work, &self.host, &mut self.mishaps)
    }

    fn send(&mut self, frames: &mut dyn Iterator<Item = &[u8]>) {
        // That of the frames that came in last.
        let count = self.queues.len();
        let queue = &mut self.queues[(self.first + count - 1) % count];
        for frame in frames {
            self.mishaps.unsent += u64::from(!queue.send(frame));
        }
        queue.flush();
    }

    fn mishaps(&mut self) -> Mishaps {
        let unreceived = self.queues.iter().map(Queue::unreceived).sum();
        Mishaps { unreceived, ..self.mishaps }
    }
}
