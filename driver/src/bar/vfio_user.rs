//! A BAR behind a socket: a device that another process plays, by the vfio-user protocol. Only with the feature
//! `vfio-user`.
//!
//! Contiguous words travel in one message, which the server must take word by word, in ascending order: the server of this
//! project does, and so does every one that has no other idea of a register. Every access has a deadline; after the first
//! error nothing is sent any more, since what would be read then might answer something else.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use maglane_spec::register;

use super::{BarError, BarIo, BarWindow, check};
use crate::lock::CardLock;

pub mod message;

use message::{DEVICE_INFO, Header, REGION_INFO, REGION_READ, REGION_WRITE, RegionAccess, RegionInfo, VERSION};

/// How long an access may take unless told otherwise: a page of words in a simulation under load takes a second or two.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// What carries the accesses, in messages.
const TRANSPORT: &str = "vfio-user";
/// Bytes of a message that every server takes: it need not name more.
const TRANSFER_BYTES_DEFAULT: u32 = 1 << 20;
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

    fn access(&self, offset: u32, count: u32) -> RegionAccess {
        RegionAccess { offset: self.window.base + u64::from(offset), region: self.window.index.into(), count }
    }

    fn run_words_max(&self) -> usize {
        (self.connection.transfer_bytes_max.min(register::BYTES) / 4).max(1) as usize
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
        for run in writes.chunk_by(|one, next| one.0 + 4 == next.0) {
            for part in run.chunks(self.run_words_max()) {
                let (offset, count) = (part[0].0, bytes_of(part));
                let mut payload = self.access(offset, count).to_bytes().to_vec();
                payload.extend(part.iter().flat_map(|(_, word)| word.to_le_bytes()));
                self.connection.exchange(REGION_WRITE, &payload).map_err(|source| broken(offset, source))?;
            }
        }
        Ok(())
    }

    fn read_all(&mut self, offsets: &[u32], out: &mut Vec<u32>) -> Result<(), BarError> {
        offsets.iter().try_for_each(|&offset| check(offset, register::BYTES))?;
        for run in offsets.chunk_by(|one, next| one + 4 == *next) {
            for part in run.chunks(self.run_words_max()) {
                let (offset, count) = (part[0], bytes_of(part));
                let access = self.access(offset, count).to_bytes();
                let reply = self.connection.exchange(REGION_READ, &access).map_err(|source| broken(offset, source))?;
                let data =
                    RegionAccess::split(&reply).map(|(_, data)| data).filter(|data| data.len() == 4 * part.len());
                let Some(data) = data else {
                    return Err(broken(offset, self.connection.give_up(VfioUserError::Reply { command: REGION_READ })));
                };
                out.extend(data.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word)));
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
        let Some(mut stream) = self.stream.take() else { return Err(VfioUserError::GivenUp) };
        self.id = self.id.wrapping_add(1);
        let header = Header::command(self.id, command, payload.len());
        let source = |source| VfioUserError::Socket { path: self.path.clone(), source };
        stream.write_all(&[&header.to_bytes(), payload].concat()).map_err(source)?;
        let mut bytes = [0; message::HEADER_BYTES];
        receive(&mut stream, &mut bytes, self.deadline).map_err(source)?;
        let reply = Header::of_bytes(bytes);
        let odd = VfioUserError::Reply { command };
        let len = reply.payload_len().filter(|&len| len <= PAYLOAD_LEN_MAX && reply.answers(&header));
        let Some(len) = len else { return Err(odd) };
        let mut payload = vec![0; len];
        receive(&mut stream, &mut payload, self.deadline).map_err(source)?;
        // Both ends are in step again, whatever the reply says.
        self.stream = Some(stream);
        if reply.is_error() {
            let error = i32::try_from(reply.error).unwrap_or(0);
            return Err(VfioUserError::Refused { source: io::Error::from_raw_os_error(error) });
        }
        Ok(payload)
    }

    fn give_up(&mut self, error: VfioUserError) -> VfioUserError {
        self.stream = None;
        error
    }
}

/// Reads until `bytes` is full, for no longer than the deadline and the one read that was begun within it.
fn receive(stream: &mut UnixStream, bytes: &mut [u8], deadline: Duration) -> io::Result<()> {
    let begin = Instant::now();
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
const fn bytes_of<T>(run: &[T]) -> u32 {
    run.len() as u32 * 4
}

fn broken(offset: u32, source: VfioUserError) -> BarError {
    BarError::Transport { transport: TRANSPORT, offset, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// A server that gives these answers, whatever it is asked, and then says nothing more for a while.
    fn open(replies: Vec<Vec<u8>>, silence: Duration) -> Result<VfioUserBar, BarError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("card.sock");
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for reply in replies {
                let mut header = [0; message::HEADER_BYTES];
                stream.read_exact(&mut header).unwrap();
                let header = Header::of_bytes(header);
                let mut payload = vec![0; header.payload_len().unwrap()];
                stream.read_exact(&mut payload).unwrap();
                let reply = [&header.reply(reply.len()).to_bytes(), &*reply].concat();
                // The client may have gone at the first of these bytes.
                let _gone = stream.write_all(&reply);
            }
            thread::sleep(silence);
        });
        let lock = CardLock::beside(&path).unwrap();
        VfioUserBar::open(&path, BarWindow { index: 0, base: 0 }, lock)
    }

    fn version(text: &str) -> Vec<u8> {
        [&[0, 0, 1, 0], text.as_bytes()].concat()
    }

    fn greeting() -> Vec<Vec<u8>> {
        let mut info = vec![0; message::DEVICE_INFO_BYTES];
        info[8] = 9;
        let region = RegionInfo { index: 0, flags: message::REGION_READ_WRITE, bytes: register::BYTES.into() };
        vec![version("{}\0"), info, region.to_bytes().to_vec()]
    }

    #[test]
    fn silent_server_is_an_error_in_time_and_nothing_is_sent_afterwards() {
        let mut bar = open(greeting(), Duration::from_secs(3)).unwrap();
        bar.set_deadline(Duration::from_millis(50)).unwrap();
        let begin = Instant::now();
        let refused = bar.read(0).unwrap_err();
        assert!(refused.to_string().contains("no answer within 0.1 s"), "{refused}");
        assert!(bar.write(4, 0).unwrap_err().to_string().contains("given up"));
        assert!(begin.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn closed_connection_is_an_error_at_once() {
        let mut bar = open(greeting(), Duration::ZERO).unwrap();
        let begin = Instant::now();
        assert!(matches!(bar.write_all(&[(0, 1), (4, 2)]), Err(BarError::Transport { offset: 0, .. })));
        assert!(begin.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn replies_that_make_no_sense_are_refused() {
        let mut short = greeting();
        short.push(vec![0; 17]);
        assert!(matches!(open(short, Duration::ZERO).unwrap().read(0), Err(BarError::Transport { .. })));
        for replies in [
            vec![vec![]],
            vec![version("{")],
            vec![vec![1, 0, 0, 0]],
            vec![version(""), vec![0; 3]],
            vec![version("\0"), greeting()[1].clone(), vec![0; 31]],
            vec![vec![0; PAYLOAD_LEN_MAX + 1]],
        ] {
            let refused = open(replies, Duration::ZERO).unwrap_err();
            assert!(matches!(refused, BarError::File { .. }), "{refused}");
        }
    }

    #[test]
    fn bar_that_is_too_small_and_nobody_there_are_told_apart() {
        let mut none = greeting();
        none[1][8] = 0;
        assert!(matches!(open(none, Duration::ZERO), Err(BarError::Small { bytes: 0, .. })));
        let mut small = greeting();
        small[2][16..20].copy_from_slice(&0x8000_u32.to_le_bytes());
        assert!(matches!(open(small, Duration::ZERO), Err(BarError::Small { bytes: 0x8000, .. })));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("card.sock");
        let lock = CardLock::beside(&path).unwrap();
        let refused = VfioUserBar::open(&path, BarWindow::default(), lock).unwrap_err();
        assert!(refused.to_string().contains("does a vfio-user server run there?"), "{refused}");
    }

    #[test]
    fn messages_are_no_longer_than_the_server_takes() {
        let mut replies = greeting();
        replies[0] = version("{\"capabilities\":{\"max_data_xfer_size\":8}}\0");
        replies.push(vec![0; message::REGION_ACCESS_BYTES + 8]);
        replies.push(vec![1; message::REGION_ACCESS_BYTES + 4]);
        let mut words = Vec::new();
        open(replies, Duration::ZERO).unwrap().read_all(&[0, 4, 8], &mut words).unwrap();
        assert_eq!(words, [0, 0, 0x0101_0101]);
    }
}
