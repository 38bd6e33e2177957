//! Live frames through AF_PACKET: on every Ethernet interface of every Linux, without a driver's help.
//!
//! The kernel copies each frame into a ring (TPACKET_V3) with room before it, so that it is encapsulated where it lies, and
//! goes on with the frame itself. So frames that are passed need nothing done, and forwarded ones reach the kernel as well:
//! their address must not be its own, and it must not route them. Only what it cannot see is known here.
//!
//! The kernel hands over a block of frames when it is full or a millisecond old: that much later, at most, a frame leaves.
//! Ports of one interface are a group in which the kernel gives each flow to one. Its unit of work is a burst.

// Sockets of this family have no safe form in the standard library.
#![allow(unsafe_code)]

mod ring;
mod sender;
mod socket;

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use maglane_spec::Egress;
use maglane_spec::wire::ethernet;

pub use self::sender::Sender;

use self::ring::{Arrived, Ring};
use self::socket::Socket;
use super::interface::Interface;
use super::port::{Mishaps, Port, PortError, Work};
use crate::fast::{BURST, Packet};

/// One worker's part of an interface.
#[derive(Debug)]
pub struct AfPacket {
    interface: Interface,
    ring: Ring,
    socket: Socket,
    sender: Sender,
    mishaps: Mishaps,
    /// Bytes of a frame at most that nothing has merged, by the interface's MTU.
    frame_len_max: usize,
}

impl AfPacket {
    /// Opens so many ports of an interface, one at least. Frames come in as soon as all are open.
    ///
    /// # Errors
    /// When the process may not, the interface merges frames, or the system has no memory for the rings.
    pub fn open(interface: &Interface, ports: usize) -> Result<Vec<Self>, PortError> {
        interface.refuse_merging()?;
        let fail = |action| move |source: io::Error| refused(interface, action, source);
        let ports = ports.max(1);
        let mut opened: Vec<Self> = Vec::with_capacity(ports);
        let mut group = None;
        for _ in 0..ports {
            let socket = Socket::new().map_err(fail("open a socket"))?;
            // Until all are in the group, each of its ports would get every frame.
            socket.take_nothing().map_err(fail("filter frames"))?;
            let ring = Ring::new(&socket).map_err(fail("make the ring of received frames"))?;
            socket.ignore_outgoing().map_err(fail("leave out what this machine sends"))?;
            socket.bind(interface.index(), libc::ETH_P_ALL).map_err(fail("receive"))?;
            if ports > 1 {
                group = Some(socket.join(group).map_err(fail("share the interface"))?);
            }
            let sender = Sender::new(interface)?;
            let frame_len_max = interface.mtu() + ethernet::HEADER_LEN + ethernet::TAG_LEN;
            let (interface, mishaps) = (interface.clone(), Mishaps::default());
            opened.push(Self { interface, ring, socket, sender, mishaps, frame_len_max });
        }
        for port in &opened {
            port.socket.take_everything().map_err(fail("filter frames"))?;
        }
        Ok(opened)
    }

    /// Waits until the kernel has handed over a block, a signal comes, or the time is over.
    fn wait(&self, timeout: Duration) -> Result<(), PortError> {
        let mut wait = libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let timeout_ms = libc::c_int::try_from(timeout.as_millis()).unwrap_or(libc::c_int::MAX);
        // SAFETY: the pointer is that of one `pollfd`, which is ours and outlives the call.
        if unsafe { libc::poll(&raw mut wait, 1, timeout_ms) } < 0 {
            let source = io::Error::last_os_error();
            return match source.kind() {
                io::ErrorKind::Interrupted => Ok(()),
                _ => Err(refused(&self.interface, "wait", source)),
            };
        }
        // An interface that goes down is an error of the socket, which is told once; when it comes up, so do frames. One
        // that is removed goes down first, and is still there when that is told: whenever nothing comes, it is looked for.
        if wait.revents & libc::POLLERR != 0 {
            let _down = self.socket.take_error();
        }
        if wait.revents & libc::POLLIN == 0 && !self.interface.is_there() {
            return Err(PortError::Gone { name: self.interface.name().to_owned() });
        }
        Ok(())
    }
}

impl Port for AfPacket {
    fn exchange(&mut self, timeout: Duration, work: &mut Work<'_>) -> Result<usize, PortError> {
        if !self.ring.has_frames() {
            self.wait(timeout)?;
            if !self.ring.has_frames() {
                return Ok(0);
            }
        }
        let mut packets: [Packet<'_>; BURST] = std::array::from_fn(|_| Packet::none());
        let Arrived { count, unfinished } = self.ring.lend(&mut packets);
        let packets = &mut packets[..count];
        let merged = packets.iter().filter(|packet| packet.len() > self.frame_len_max).count();
        self.mishaps.merged += merged as u64;
        self.mishaps.unfinished += unfinished;
        let mut egresses = [Egress::Host; BURST];
        let egresses = &mut egresses[..count];
        if count > 0 {
            work(packets, egresses);
        }
        let sent = packets.iter().zip(&*egresses).filter(|&(_, &egress)| egress == Egress::Wire);
        self.mishaps.unsent += self.sender.send(sent.map(|(packet, _)| packet.bytes()));
        self.ring.release();
        Ok(count)
    }

    fn send(&mut self, frames: &mut dyn Iterator<Item = &[u8]>) {
        self.mishaps.unsent += self.sender.send(frames);
    }

    fn mishaps(&mut self) -> Mishaps {
        // The kernel's counter starts anew each time that it is read.
        self.mishaps.unreceived += u64::from(self.socket.drops());
        Mishaps { unreceived: self.mishaps.unreceived + self.ring.cut(), ..self.mishaps }
    }
}

/// What the operating system's error means here.
fn refused(interface: &Interface, action: &'static str, source: io::Error) -> PortError {
    let name = interface.name().to_owned();
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => PortError::Denied { name },
        Some(libc::ENODEV | libc::ENXIO) => PortError::Gone { name },
        _ => PortError::Io { name, action, source },
    }
}
