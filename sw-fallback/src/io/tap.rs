//! Frames and packets from the kernel and to it, through a TAP or TUN device.
//!
//! The device is a network interface on one side and a file on the other: what the kernel sends out of the interface is
//! read here, what is written here has come in at the interface. Addresses, routes and whether it is up are the
//! administrator's (`ip link`), not this module's. Without offloads, so what is read has its checksums and is no longer
//! than the interface's MTU says. Its unit of work is a frame, or a packet.

// Two system calls have no safe form in the standard library.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

/// What a device carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Ethernet frames without FCS: a TAP device.
    Frames,
    /// IP packets: a TUN device.
    Packets,
}

/// A TAP or TUN device that this process has.
///
/// One that was there before stays when this is dropped; one that was made for it goes.
#[derive(Debug)]
pub struct Tap {
    file: File,
    name: String,
}

/// Why there is no device, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// No interface can have this name.
    #[error("`{name}`: the name of a network device has 1 to 15 bytes, no blanks, no `/` and no `:`")]
    Name {
        /// The name.
        name: String,
    },
    /// The kernel's driver is not there.
    #[error(
        "no TAP devices here: {CLONE}: {source}; load the driver (modprobe tun), or give the container the device \
         (--device {CLONE})"
    )]
    NoDriver {
        /// What the operating system says.
        source: io::Error,
    },
    /// The process may not.
    #[error(
        "{name}: not permitted; run this as root, or let root make the device and give it to you: \
         ip tuntap add dev {name} mode {mode} user $USER"
    )]
    Denied {
        /// The device.
        name: String,
        /// What `ip` calls its kind.
        mode: &'static str,
    },
    /// Another process has it.
    #[error("{name}: another process has this device; stop that, or choose another name")]
    Taken {
        /// The device.
        name: String,
    },
    /// The name is that of another interface.
    #[error("{name}: there is a device of this name, and it is no {mode} device of one queue; choose another name")]
    OtherKind {
        /// The device.
        name: String,
        /// What `ip` calls the kind it should be.
        mode: &'static str,
    },
    /// It was there, and is not any more.
    #[error("{name}: the device has been removed")]
    Gone {
        /// The device.
        name: String,
    },
    /// Anything else.
    #[error("{name}: cannot {action}: {source}")]
    Io {
        /// The device.
        name: String,
        /// What was tried.
        action: &'static str,
        /// What the operating system says.
        source: io::Error,
    },
}

impl Layer {
    const fn flag(self) -> libc::c_int {
        match self {
            Self::Frames => libc::IFF_TAP,
            Self::Packets => libc::IFF_TUN,
        }
    }

    const fn mode(self) -> &'static str {
        match self {
            Self::Frames => "tap",
            Self::Packets => "tun",
        }
    }
}

impl Tap {
    /// Takes a device that is there, or makes one, which is down at first.
    ///
    /// # Errors
    /// When no device can have the name, or this process cannot have that device.
    pub fn open(name: &str, layer: Layer) -> Result<Self, TapError> {
        let mut request = request(name, layer)?;
        let (name, mode) = (name.to_owned(), layer.mode());
        let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(CLONE);
        let file = file.map_err(|source| match source.raw_os_error() {
            Some(libc::EACCES | libc::EPERM) => TapError::Denied { name: name.clone(), mode },
            _ => TapError::NoDriver { source },
        })?;
        // SAFETY: the descriptor is open, and TUNSETIFF reads and writes one `ifreq`, which is ours and outlives the call.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
        if result == 0 {
            return Ok(Self { file, name });
        }
        let source = io::Error::last_os_error();
        Err(match source.raw_os_error() {
            Some(libc::EPERM) => TapError::Denied { name, mode },
            Some(libc::EBUSY) => TapError::Taken { name },
            // The name is one that a device can have, so it is that of another.
            Some(libc::EINVAL) => TapError::OtherKind { name, mode },
            _ => TapError::Io { name, action: "open the device", source },
        })
    }

    /// The device's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes what the kernel has sent next, if there is something; its bytes. What the buffer has no room for is lost.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Option<usize>, TapError> {
        match (&self.file).read(buffer) {
            Ok(len) => Ok(Some(len)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
            Err(source) => Err(self.error("receive", source)),
        }
    }

    /// Gives the kernel a frame, or a packet; whether it took it. It does not when the device is down, when it has no
    /// memory to spare, and when the bytes are nothing that the device carries.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn send(&self, bytes: &[u8]) -> Result<bool, TapError> {
        match (&self.file).write(bytes) {
            // A device takes all of a frame or nothing.
            Ok(len) => Ok(len == bytes.len()),
            Err(source) => match source.raw_os_error() {
                Some(libc::EIO | libc::EAGAIN | libc::EINTR | libc::ENOBUFS | libc::ENOMEM | libc::EINVAL) => Ok(false),
                _ => Err(self.error("send", source)),
            },
        }
    }

    /// Waits until one of the devices has something to receive, a signal comes, or the time is over; whether something
    /// has come.
    ///
    /// # Errors
    /// When the operating system cannot wait.
    pub fn wait<const N: usize>(taps: [&Self; N], deadline: Instant) -> Result<bool, TapError> {
        let mut waits = taps.map(|tap| libc::pollfd { fd: tap.file.as_raw_fd(), events: libc::POLLIN, revents: 0 });
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up: to wake before the time is over would only be to wait again.
        let left_ms = (left + Duration::from_nanos(999_999)).as_millis();
        let left_ms = libc::c_int::try_from(left_ms).unwrap_or(libc::c_int::MAX);
        // SAFETY: the pointer and the count are those of one array, which is ours and outlives the call.
        let result = unsafe { libc::poll(waits.as_mut_ptr(), N as libc::nfds_t, left_ms) };
        if result >= 0 {
            return Ok(result > 0);
        }
        match (io::Error::last_os_error(), taps.first()) {
            (source, Some(tap)) if source.kind() != ErrorKind::Interrupted => Err(tap.error("wait", source)),
            _ => Ok(false),
        }
    }

    fn error(&self, action: &'static str, source: io::Error) -> TapError {
        let name = self.name.clone();
        match source.raw_os_error() {
            Some(libc::EBADFD | libc::ENODEV) => TapError::Gone { name },
            _ => TapError::Io { name, action, source },
        }
    }
}

/// The request for a device, without a header before each frame.
fn request(name: &str, layer: Layer) -> Result<libc::ifreq, TapError> {
    let is_odd = |byte: u8| byte.is_ascii_whitespace() || b"/:%\0".contains(&byte);
    // The last byte ends the name.
    let fits = (1..libc::IFNAMSIZ).contains(&name.len());
    if !fits || name.bytes().any(is_odd) || matches!(name, "." | "..") {
        return Err(TapError::Name { name: name.to_owned() });
    }
    let mut ifr_name = [0; libc::IFNAMSIZ];
    for (to, from) in ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    let flags = layer.flag() | libc::IFF_NO_PI;
    let ifru_flags = libc::c_short::try_from(flags).expect("flags of a device have sixteen bits");
    Ok(libc::ifreq { ifr_name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags } })
}

/// Opened once for each device.
const CLONE: &str = "/dev/net/tun";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_device_can_have_are_refused_before_anything_is_opened() {
        for name in ["", "sixteen-letters-", "a b", "a/b", "a:b", "tap%d", ".", "..", "a\0b"] {
            let error = Tap::open(name, Layer::Frames).unwrap_err();
            assert!(matches!(&error, TapError::Name { name: told } if told == name), "{error}");
        }
        assert!(request("fifteen-letters", Layer::Packets).is_ok());
    }

    #[test]
    fn request_is_what_the_kernel_reads() {
        let request = request("tap0", Layer::Frames).unwrap();
        let name = request.ifr_name.map(|byte| u8::from_ne_bytes(byte.to_ne_bytes()));
        assert_eq!(&name, b"tap0\0\0\0\0\0\0\0\0\0\0\0\0");
        // SAFETY: every bit pattern is a number, and the field is the one that was written.
        assert_eq!(unsafe { request.ifr_ifru.ifru_flags }, 0x1002);
    }
}
