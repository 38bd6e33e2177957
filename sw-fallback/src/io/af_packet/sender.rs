//! Frames to an interface, as they are.

use std::io;
use std::mem;
use std::os::fd::AsRawFd;

use super::socket::Socket;
use super::{Interface, PortError, refused};
use crate::fast::BURST;

/// Sends frames out of an interface, a burst in a system call.
#[derive(Debug)]
pub struct Sender {
    socket: Socket,
}

/// Bytes of frames that may wait in the interface's queue: more than a millisecond at 10 Gb/s, with what the kernel adds to
/// each frame.
const QUEUE_BYTES: libc::c_int = 8 << 20;

impl Sender {
    /// One for an interface.
    ///
    /// # Errors
    /// When the process may not.
    pub fn new(interface: &Interface) -> Result<Self, PortError> {
        let fail = |action| move |source: io::Error| refused(interface, action, source);
        let socket = Socket::new().map_err(fail("open a socket"))?;
        socket.reserve_send_buffer(QUEUE_BYTES).map_err(fail("make room for frames to send"))?;
        // Of no protocol: this socket is never received at.
        socket.bind(interface.index(), 0).map_err(fail("send"))?;
        Ok(Self { socket })
    }

    /// Sends frames, in order, without waiting; how many the interface did not take.
    pub fn send<'f>(&mut self, frames: impl IntoIterator<Item = &'f [u8]>) -> u64 {
        let mut frames = frames.into_iter();
        let mut untaken = 0;
        loop {
            let mut parts = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BURST];
            let mut count = 0;
            for (part, frame) in parts.iter_mut().zip(frames.by_ref()) {
                *part = libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() };
                count += 1;
            }
            untaken += self.send_parts(&mut parts[..count]);
            if count < BURST {
                return untaken;
            }
        }
    }

    fn send_parts(&self, parts: &mut [libc::iovec]) -> u64 {
        // SAFETY: zeros are a message without address, parts and control data.
        let mut messages: [libc::mmsghdr; BURST] = unsafe { mem::zeroed() };
        for (message, part) in messages.iter_mut().zip(&mut *parts) {
            message.msg_hdr.msg_iov = part;
            message.msg_hdr.msg_iovlen = 1;
        }
        let messages = &mut messages[..parts.len()];
        let (mut at, mut untaken) = (0, 0);
        while at < messages.len() {
            let rest = &mut messages[at..];
            let count = libc::c_uint::try_from(rest.len()).unwrap_or_default();
            // SAFETY: the pointer and the count are those of the rest of the messages, each of which has one part, which is
            // that of a frame that the caller has borrowed; the kernel only reads frames that it sends.
            let sent = unsafe { libc::sendmmsg(self.socket.as_raw_fd(), rest.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => at += sent,
                _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                // The first of the rest was not taken: no room, too long for the interface, or it is down.
                _ => (at, untaken) = (at + 1, untaken + 1),
            }
        }
        untaken
    }
}
