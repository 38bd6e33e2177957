//! A simulated card behind a socket: a vfio-user server, to which virtual machines and the driver connect.
//!
//! One client at a time; the next one waits. What a client sends is checked before anything is done: it is answered with an
//! error, and where its end cannot be told, the connection is closed. The server goes on with the next one. Its unit of
//! work is the message.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use maglane_driver::bar::BarError;
use maglane_driver::bar::vfio_user::message::{self, Header, RegionAccess, RegionInfo};
use maglane_spec::register;

use crate::pci::{self, AccessError, Device, PciFunction};

#[cfg(test)]
mod tests;

/// How often it is looked whether to stop.
const STOP_LOOK: Duration = Duration::from_millis(20);
/// How long a client may take for the rest of a message that it has begun, or for taking a reply.
const MESSAGE_DEADLINE: Duration = Duration::from_secs(5);
/// Longest payload of a command: what is written at a time and what stands before it, which is more than any text.
const PAYLOAD_LEN_MAX: usize = register::BYTES as usize + message::REGION_ACCESS_BYTES;

/// `errno`s of refusals.
const EIO: u32 = 5;
const EINVAL: u32 = 22;
const EOPNOTSUPP: u32 = 95;

/// A socket at which a card is served. Dropped, it takes the socket away.
#[derive(Debug)]
pub struct VfioUserServer {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

/// Why a card is not served, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A socket without a server.
    #[error("{path}: nobody serves this socket any more; remove it (rm {path})", path = path.display())]
    Stale {
        /// The socket.
        path: PathBuf,
    },
    /// A socket with a server.
    #[error("{path}: another process serves this socket; stop that, or choose another name", path = path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// The socket cannot be made or used.
    #[error("{path}: cannot serve there: {source}", path = path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The device broke.
    #[error("the served device: {0}")]
    Device(#[from] BarError),
}

/// What has come to the socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Clients that have connected.
    pub clients: u64,
    /// Commands that were refused.
    pub refused: u64,
}

impl VfioUserServer {
    /// Makes the socket. Clients may connect from here on, and wait.
    ///
    /// # Errors
    /// [`ServeError::Stale`] and [`ServeError::InUse`] when there is one already; when it cannot be made.
    pub fn bind(path: &Path) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Socket { path: path.to_path_buf(), source };
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(taken(path, error)),
            bound => bound.map_err(failed)?,
        };
        listener.set_nonblocking(true).map_err(failed)?;
        let inode = fs::symlink_metadata(path).map_err(failed)?.ino();
        Ok(Self { listener, path: path.to_path_buf(), inode })
    }

    /// Serves one client after the other until it is told to stop.
    ///
    /// # Errors
    /// When the device breaks, whose client is told before; when the socket cannot be used.
    pub fn serve<D: Device>(&self, function: &mut PciFunction<D>, stop: &AtomicBool) -> Result<Served, ServeError> {
        let failed = |source| ServeError::Socket { path: self.path.clone(), source };
        let mut served = Served::default();
        while !stop.load(Ordering::Relaxed) {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    thread::sleep(STOP_LOOK);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            };
            served.clients += 1;
            stream.set_read_timeout(Some(STOP_LOOK)).map_err(failed)?;
            stream.set_write_timeout(Some(MESSAGE_DEADLINE)).map_err(failed)?;
            let mut client = Client { stream, function, stop, agreed: false };
            match client.serve(&mut served.refused) {
                // Whatever became of one client, there may be another.
                End::Closed | End::Odd | End::Stopped => {}
                End::Device(error) => return Err(error.into()),
            }
        }
        Ok(served)
    }
}

impl Drop for VfioUserServer {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            // Nobody is left to be told; the next server names it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Who has this name already.
fn taken(path: &Path, error: io::Error) -> ServeError {
    let path = path.to_path_buf();
    match UnixStream::connect(&path) {
        Ok(_) => ServeError::InUse { path },
        Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
            let is_socket = fs::symlink_metadata(&path).is_ok_and(|found| found.mode() & MODE_TYPE == MODE_SOCKET);
            if is_socket { ServeError::Stale { path } } else { ServeError::Socket { path, source: error } }
        }
        Err(source) => ServeError::Socket { path, source },
    }
}

/// File type in a mode, and that of sockets; `inode(7)`.
const MODE_TYPE: u32 = 0o170_000;
const MODE_SOCKET: u32 = 0o140_000;

/// Why a connection ended.
enum End {
    /// The client closed it.
    Closed,
    /// The client's bytes are no messages, or it took too long.
    Odd,
    /// The server is to stop.
    Stopped,
    /// The device broke.
    Device(BarError),
}

/// Why a command was not done.
enum Refusal {
    Errno(u32),
    Device(BarError),
}

impl From<AccessError> for Refusal {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Shape { .. } => Self::Errno(EINVAL),
            AccessError::Device(error) => Self::Device(error),
        }
    }
}

struct Client<'a, D> {
    stream: UnixStream,
    function: &'a mut PciFunction<D>,
    stop: &'a AtomicBool,
    agreed: bool,
}

impl<D: Device> Client<'_, D> {
    fn serve(&mut self, refused: &mut u64) -> End {
        loop {
            if let Err(end) = self.message(refused) {
                return end;
            }
        }
    }

    /// Takes a message and answers it.
    fn message(&mut self, refused: &mut u64) -> Result<(), End> {
        let mut bytes = [0; message::HEADER_BYTES];
        self.receive(&mut bytes, false)?;
        let header = Header::of_bytes(bytes);
        let len = header.payload_len().filter(|&len| len <= PAYLOAD_LEN_MAX && header.is_command());
        let Some(len) = len else {
            *refused += 1;
            self.send(&header.refusal(EINVAL).to_bytes())?;
            return Err(End::Odd);
        };
        let mut payload = vec![0; len];
        self.receive(&mut payload, true)?;
        let done = if header.wants_no_reply() && header.command == message::REGION_READ {
            Err(Refusal::Errno(EINVAL))
        } else {
            self.command(header.command, &payload)
        };
        match done {
            Ok(_) if header.wants_no_reply() => Ok(()),
            Ok(reply) => self.send(&[&header.reply(reply.len()).to_bytes(), &*reply].concat()),
            Err(refusal) => {
                *refused += 1;
                let (errno, broken) = match refusal {
                    Refusal::Errno(errno) => (errno, None),
                    Refusal::Device(error) => (EIO, Some(error)),
                };
                let sent = self.send(&header.refusal(errno).to_bytes());
                broken.map_or(sent, |error| Err(End::Device(error)))
            }
        }
    }

    /// Does what a command says; the payload of the reply.
    fn command(&mut self, command: u16, payload: &[u8]) -> Result<Vec<u8>, Refusal> {
        if !self.agreed && command != message::VERSION {
            return Err(Refusal::Errno(EINVAL));
        }
        let whole = |len: usize| if payload.len() == len { Ok(()) } else { Err(Refusal::Errno(EINVAL)) };
        match command {
            message::VERSION => self.version(payload),
            // Clients offer their memory to every device; this one has no use for it.
            message::DMA_MAP => Ok(Vec::new()),
            message::DMA_UNMAP => Ok(payload.to_vec()),
            message::DEVICE_INFO => {
                whole(message::DEVICE_INFO_BYTES)?;
                Ok(numbers([16, message::DEVICE_RESET_PCI, message::REGIONS, message::IRQ_KINDS]))
            }
            message::REGION_INFO => {
                let info = RegionInfo::of_bytes(payload).filter(|info| info.index < message::REGIONS);
                let index = info.ok_or(Refusal::Errno(EINVAL))?.index;
                let bytes = region_bytes(index);
                let flags = if bytes == 0 { 0 } else { message::REGION_READ_WRITE };
                Ok(RegionInfo { index, flags, bytes }.to_bytes().to_vec())
            }
            message::IRQ_INFO => {
                whole(16)?;
                let index = message::word(payload, 8);
                if index < message::IRQ_KINDS { Ok(numbers([16, 0, index, 0])) } else { Err(Refusal::Errno(EINVAL)) }
            }
            message::REGION_READ => self.read(payload),
            message::REGION_WRITE => self.write(payload),
            message::DEVICE_RESET => {
                whole(0)?;
                self.function.reset().map_err(Refusal::Device)?;
                Ok(Vec::new())
            }
            _ => Err(Refusal::Errno(EOPNOTSUPP)),
        }
    }

    /// What a client says it can do is of no concern: it is only answered what it asked for, and nothing is shared.
    fn version(&mut self, payload: &[u8]) -> Result<Vec<u8>, Refusal> {
        let (major, minor) = message::PROTOCOL;
        let text_len = payload.len().checked_sub(message::VERSION_BYTES);
        let text_fits = text_len.is_some_and(|len| len <= message::VERSION_TEXT_LEN_MAX);
        if self.agreed || !text_fits || payload[..2] != major.to_le_bytes() {
            return Err(Refusal::Errno(EINVAL));
        }
        self.agreed = true;
        // The lower of both: QEMU says 0, and takes no more for an answer.
        let minor = minor.min(u16::from_le_bytes([payload[2], payload[3]]));
        let bytes_max = register::BYTES;
        let text = format!("{{\"capabilities\":{{\"max_msg_fds\":1,\"max_data_xfer_size\":{bytes_max}}}}}\0");
        Ok([&major.to_le_bytes(), &minor.to_le_bytes(), text.as_bytes()].concat())
    }

    fn read(&mut self, payload: &[u8]) -> Result<Vec<u8>, Refusal> {
        let access = RegionAccess::split(payload)
            .filter(|(access, rest)| rest.is_empty() && u64::from(access.count) <= region_bytes(access.region));
        let (access, _) = access.ok_or(Refusal::Errno(EINVAL))?;
        let mut reply = access.to_bytes().to_vec();
        reply.resize(message::REGION_ACCESS_BYTES + access.count as usize, 0);
        let data = &mut reply[message::REGION_ACCESS_BYTES..];
        if access.region == message::CONFIG_REGION {
            self.function.read_config(access.offset, data)?;
        } else {
            self.function.read_bar(access.offset, data)?;
        }
        Ok(reply)
    }

    fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, Refusal> {
        let access = RegionAccess::split(payload)
            .filter(|(access, data)| data.len() as u64 == u64::from(access.count) && region_bytes(access.region) != 0);
        let (access, data) = access.ok_or(Refusal::Errno(EINVAL))?;
        if access.region == message::CONFIG_REGION {
            self.function.write_config(access.offset, data)?;
        } else {
            self.function.write_bar(access.offset, data)?;
        }
        Ok(access.to_bytes().to_vec())
    }

    /// Fills `bytes`; while nothing of a message has come, for as long as it takes.
    fn receive(&mut self, bytes: &mut [u8], mut begun: bool) -> Result<(), End> {
        let begin = Instant::now();
        let mut filled = 0;
        while filled < bytes.len() {
            match self.stream.read(&mut bytes[filled..]) {
                Ok(0) => return Err(if begun { End::Odd } else { End::Closed }),
                Ok(count) => {
                    filled += count;
                    begun = true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.stop.load(Ordering::Relaxed) {
                        return Err(End::Stopped);
                    }
                    if begun && begin.elapsed() > MESSAGE_DEADLINE {
                        return Err(End::Odd);
                    }
                }
                Err(_) => return Err(End::Odd),
            }
        }
        if self.stop.load(Ordering::Relaxed) { Err(End::Stopped) } else { Ok(()) }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.stream.write_all(bytes).map_err(|_| End::Odd)
    }
}

/// Length of a region; 0 when there is none.
const fn region_bytes(index: u32) -> u64 {
    match index {
        message::CONFIG_REGION => pci::CONFIG_BYTES as u64,
        _ if index == pci::BAR as u32 => register::BYTES as u64,
        _ => 0,
    }
}

fn numbers<const N: usize>(numbers: [u32; N]) -> Vec<u8> {
    numbers.map(u32::to_le_bytes).concat()
}
