//! A BAR behind a socket: a device that another process plays, by the vfio-user protocol. Only with the feature
//! `vfio-user`.
//!
//! Contiguous words travel in one message, which the server must take word by word, in ascending order: the server of this
//! project does, and so does every one that has no other idea of a register. Messages of one call are sent in groups before
//! the first of their replies is waited for. Every group has a deadline; after the first error nothing is sent any more,
//! since what would be read then might answer something else.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use maglane_spec::register;

use super::{BarError, BarIo, BarWindow, check};
use crate::lock::CardLock;

pub mod message;
#[cfg(test)]
mod tests;

use message::{DEVICE_INFO, Header, REGION_INFO, REGION_READ, REGION_WRITE, RegionAccess, RegionInfo, VERSION};

/// How long a group of messages may take unless told otherwise: a page of words in a simulation under load takes a second or
/// two.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// What carries the accesses, in messages.
const TRANSPORT: &str = "vfio-user";
/// Bytes of a message that every server takes: it need not name more.
const TRANSFER_BYTES_DEFAULT: u32 = 1 << 20;
/// Messages of a group: few enough that neither end's socket is ever full of those that the other has not read yet.
const GROUP_MESSAGES_MAX: usize = 64;
/// Words of a group: all of a BAR.
const GROUP_WORDS_MAX: usize = register::BYTES as usize / 4;
/// Longest payload of a reply: what is read at a time, and what stands before it.
const PAYLOAD_LEN_MAX: usize = register::BYTES as usize + message::REGION_ACCESS_BYTES;

/// A card behind a socket.
#[derive(Debug)]
pub struct VfioUserBar {
    connection: Connection,
    window: BarWindow,
    _lock: CardLock,
}

/// Why the other end is not understood.
#[derive(Debug, thiserror::Error)]
pub enum VfioUserError {
    /// The socket was closed, or nothing came in time.
    #[error("the server at {path}: {source}", path = path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// An access before this one failed.
    #[error("the connection was given up after an error")]
    GivenUp,
    /// The server refused.
    #[error("the server refused it: {source}")]
    Refused {
        /// What it said.
        source: io::Error,
    },
    /// A reply is not what the protocol says.
    #[error("the server's reply to command {command} makes no sense; is it a vfio-user server of version 0.x?")]
    Reply {
        /// The command.
        command: u16,
    },
}

impl VfioUserBar {
    /// Connects to a server.
    ///
    /// # Errors
    /// [`BarError::File`] when nobody serves there, or the server is not understood; [`BarError::Small`] when the device's
    /// BAR has no room for the registers.
    pub fn open(path: &Path, window: BarWindow, lock: CardLock) -> Result<Self, BarError> {
        let failed = |source| BarError::File {
            path: path.to_path_buf(),
            doing: "open a card at",
            source,
            remedy: "; does a vfio-user server run there?",
        };
        let stream = UnixStream::connect(path).map_err(failed)?;
        let path = path.to_path_buf();
        let mut connection =
            Connection { stream: Some(stream), path, id: 0, deadline: DEADLINE, transfer_bytes_max: 0 };
        let other = |error: VfioUserError| failed(io::Error::other(error));
        connection.set_deadline(DEADLINE).map_err(failed)?;
        connection.agree().map_err(other)?;
        let bytes = connection.region_bytes(window.index.into()).map_err(other)?;
        match window.base.checked_add(register::BYTES.into()) {
            Some(end) if end <= bytes => Ok(Self { connection, window, _lock: lock }),
            _ => Err(BarError::Small { index: window.index, bytes, base: window.base }),
        }
    }

    /// Changes how long an access may take; [`DEADLINE`] at first.
    ///
    /// # Errors
    /// When it is zero.
    pub fn set_deadline(&mut self, deadline: Duration) -> io::Result<()> {
        self.connection.set_deadline(deadline)
    }

    fn access(&self, offset: u32, words: usize) -> [u8; message::REGION_ACCESS_BYTES] {
        let offset = self.window.base + u64::from(offset);
        RegionAccess { offset, region: self.window.index.into(), count: bytes_of(words) }.to_bytes()
    }

    /// Words in a row, cut where a message would be too long, in groups that are sent together.
    fn groups<'a, T>(&self, items: &'a [T], offset: fn(&T) -> u32) -> Vec<Vec<&'a [T]>> {
        let words_max = (self.connection.transfer_bytes_max.min(register::BYTES) / 4).max(1) as usize;
        let mut groups = Vec::new();
        let (mut group, mut words) = (Vec::new(), 0);
        let runs = items.chunk_by(|one, next| offset(one) + 4 == offset(next));
        for part in runs.flat_map(|run| run.chunks(words_max)) {
            if group.len() == GROUP_MESSAGES_MAX || words + part.len() > GROUP_WORDS_MAX {
                groups.push(std::mem::take(&mut group));
                words = 0;
            }
            words += part.len();
            group.push(part);
        }
        groups.push(group);
        groups
    }
}

impl BarIo for VfioUserBar {
    fn bytes(&self) -> u32 {
        register::BYTES
    }

    fn read(&mut self, offset: u32) -> Result<u32, BarError> {
        let mut words = Vec::with_capacity(1);
        self.read_all(&[offset], &mut words)?;
        Ok(words[0])
    }

    fn write(&mut self, offset: u32, word: u32) -> Result<(), BarError> {
        self.write_all(&[(offset, word)])
    }

    fn write_all(&mut self, writes: &[(u32, u32)]) -> Result<(), BarError> {
        writes.iter().try_for_each(|&(offset, _)| check(offset, register::BYTES))?;
        for group in self.groups(writes, |&(offset, _)| offset) {
            let payload = |part: &&[(u32, u32)]| {
                let mut payload = self.access(part[0].0, part.len()).to_vec();
                payload.extend(part.iter().flat_map(|(_, word)| word.to_le_bytes()));
                payload
            };
            let payloads: Vec<_> = group.iter().map(payload).collect();
            let first = group.first().map_or(0, |part| part[0].0);
            self.connection.exchange_all(REGION_WRITE, &payloads).map_err(|source| broken(first, source))?;
        }
        Ok(())
    }

    fn read_all(&mut self, offsets: &[u32], out: &mut Vec<u32>) -> Result<(), BarError> {
        offsets.iter().try_for_each(|&offset| check(offset, register::BYTES))?;
        for group in self.groups(offsets, |&offset| offset) {
            let payloads: Vec<_> = group.iter().map(|part| self.access(part[0], part.len()).to_vec()).collect();
            let first = group.first().map_or(0, |part| part[0]);
            let replies =
                self.connection.exchange_all(REGION_READ, &payloads).map_err(|source| broken(first, source))?;
            for (part, reply) in group.iter().zip(replies) {
                let data = RegionAccess::split(&reply).map(|(_, data)| data.as_chunks());
                let Some((words, [])) = data.filter(|(words, _)| words.len() == part.len()) else {
                    let odd = VfioUserError::Reply { command: REGION_READ };
                    return Err(broken(part[0], self.connection.give_up(odd)));
                };
                out.extend(words.iter().map(|&word| u32::from_le_bytes(word)));
            }
        }
        Ok(())
    }
}

/// The socket, and where its two ends are.
#[derive(Debug)]
struct Connection {
    /// None after an error.
    stream: Option<UnixStream>,
    path: PathBuf,
    id: u16,
    deadline: Duration,
    transfer_bytes_max: u32,
}

impl Connection {
    fn set_deadline(&mut self, deadline: Duration) -> io::Result<()> {
        self.deadline = deadline;
        let Some(stream) = &self.stream else { return Ok(()) };
        stream.set_read_timeout(Some(deadline))?;
        stream.set_write_timeout(Some(deadline))
    }

    /// Agrees on a version, and takes note of how long messages may be.
    fn agree(&mut self) -> Result<(), VfioUserError> {
        let text = format!("{{\"capabilities\":{{\"max_msg_fds\":0,\"max_data_xfer_size\":{}}}}}\0", register::BYTES);
        let (major, minor) = message::PROTOCOL;
        let payload = [&major.to_le_bytes()[..], &minor.to_le_bytes(), text.as_bytes()].concat();
        let reply = self.exchange(VERSION, &payload)?;
        let odd = VfioUserError::Reply { command: VERSION };
        let Some((version, text)) = reply.split_at_checked(message::VERSION_BYTES) else {
            return Err(self.give_up(odd));
        };
        let text = text.strip_suffix(&[0]).unwrap_or(text);
        let said = if text.is_empty() { Ok(serde_json::Value::Null) } else { serde_json::from_slice(text) };
        let (Ok(said), true) = (said, version[..2] == major.to_le_bytes()) else { return Err(self.give_up(odd)) };
        let bytes_max = said["capabilities"]["max_data_xfer_size"].as_u64();
        let bytes_max = bytes_max.map_or(TRANSFER_BYTES_DEFAULT, |bytes| u32::try_from(bytes).unwrap_or(u32::MAX));
        self.transfer_bytes_max = bytes_max;
        Ok(())
    }

    /// Length of a region; 0 when there is none.
    fn region_bytes(&mut self, index: u32) -> Result<u64, VfioUserError> {
        let mut payload = [0; message::DEVICE_INFO_BYTES];
        payload[0] = message::DEVICE_INFO_BYTES.to_le_bytes()[0];
        let reply = self.exchange(DEVICE_INFO, &payload)?;
        if reply.len() < message::DEVICE_INFO_BYTES {
            return Err(self.give_up(VfioUserError::Reply { command: DEVICE_INFO }));
        }
        if index >= message::word(&reply, 8) {
            return Ok(0);
        }
        let reply = self.exchange(REGION_INFO, &RegionInfo { index, flags: 0, bytes: 0 }.to_bytes())?;
        match RegionInfo::of_bytes(&reply) {
            Some(info) if info.index == index => Ok(info.bytes),
            _ => Err(self.give_up(VfioUserError::Reply { command: REGION_INFO })),
        }
    }

    /// Sends a command; the payload of its reply.
    fn exchange(&mut self, command: u16, payload: &[u8]) -> Result<Vec<u8>, VfioUserError> {
        let mut replies = self.exchange_all(command, &[payload.to_vec()])?;
        replies.pop().ok_or(VfioUserError::Reply { command })
    }

    /// Sends commands together; the payloads of their replies.
    fn exchange_all(&mut self, command: u16, payloads: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, VfioUserError> {
        let Some(mut stream) = self.stream.take() else { return Err(VfioUserError::GivenUp) };
        let source = |source| VfioUserError::Socket { path: self.path.clone(), source };
        let begin = Instant::now();
        let mut headers = Vec::with_capacity(payloads.len());
        let mut messages = Vec::new();
        for payload in payloads {
            self.id = self.id.wrapping_add(1);
            let header = Header::command(self.id, command, payload.len());
            messages.extend(header.to_bytes());
            messages.extend(payload);
            headers.push(header);
        }
        stream.write_all(&messages).map_err(source)?;
        let mut replies = Vec::with_capacity(payloads.len());
        let mut refused = None;
        for header in headers {
            let mut bytes = [0; message::HEADER_BYTES];
            receive(&mut stream, &mut bytes, begin, self.deadline).map_err(source)?;
            let reply = Header::of_bytes(bytes);
            let len = reply.payload_len().filter(|&len| len <= PAYLOAD_LEN_MAX && reply.answers(&header));
            let Some(len) = len else { return Err(VfioUserError::Reply { command }) };
            let mut payload = vec![0; len];
            receive(&mut stream, &mut payload, begin, self.deadline).map_err(source)?;
            replies.push(payload);
            if reply.is_error() && refused.is_none() {
                refused = Some(i32::try_from(reply.error).unwrap_or(0));
            }
        }
        // Both ends are in step again, whatever the replies say.
        self.stream = Some(stream);
        let refused = refused.map(|error| VfioUserError::Refused { source: io::Error::from_raw_os_error(error) });
        refused.map_or(Ok(replies), Err)
    }

    fn give_up(&mut self, error: VfioUserError) -> VfioUserError {
        self.stream = None;
        error
    }
}

/// Reads until `bytes` is full, for no longer than the deadline from `begin` on and the one read that was begun within it.
fn receive(stream: &mut UnixStream, bytes: &mut [u8], begin: Instant, deadline: Duration) -> io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        match stream.read(&mut bytes[filled..]) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection")),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(late(deadline)),
            Err(error) => return Err(error),
        }
        if begin.elapsed() > deadline {
            return Err(late(deadline));
        }
    }
    Ok(())
}

fn late(deadline: Duration) -> io::Error {
    let message = format!("no answer within {:.1} s", deadline.as_secs_f64());
    io::Error::new(io::ErrorKind::TimedOut, message)
}

#[allow(clippy::cast_possible_truncation)] // a run is part of a BAR
const fn bytes_of(words: usize) -> u32 {
    words as u32 * 4
}

fn broken(offset: u32, source: VfioUserError) -> BarError {
    BarError::Transport { transport: TRANSPORT, offset, source: Box::new(source) }
}
