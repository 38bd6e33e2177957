//! Capture files: classic pcap and pcapng in, classic pcap out.
//!
//! A capture is read where it lies (mapped, or a slice that the program carries), so its frames are borrowed and cost
//! no copy. The captured bytes are the frame: what a snapshot length cut off is not made up. Its unit of work is a
//! frame. It knows Ethernet captures only. A hostile file costs an error, and memory in proportion to the blocks and
//! options that it really holds, whatever lengths it claims.

mod frames;
mod writer;

use std::fmt;
use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

pub use frames::Frames;
pub use writer::CaptureWriter;

/// A capture file, or bytes that hold one.
#[derive(Debug)]
pub struct Capture<'a> {
    name: String,
    source: Source<'a>,
}

#[derive(Debug)]
enum Source<'a> {
    Mapped(Mmap),
    Slice(&'a [u8]),
}

/// What is wrong with a capture, and where.
#[derive(Debug)]
pub struct CaptureError {
    /// The file's name as the caller gave it.
    pub file: String,
    /// The packet, counted from 1 as other tools do, when the trouble is in one.
    pub packet: Option<u64>,
    /// What is wrong, and what to do.
    pub fault: CaptureFault,
}

/// What can be wrong with a capture.
#[derive(Debug, thiserror::Error)]
pub enum CaptureFault {
    /// The file cannot be opened, mapped, created, written or renamed.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A directory, a pipe or a device.
    #[error("not a regular file; name a capture file, not a directory, pipe or device")]
    NotRegular,
    /// The file has 0 bytes.
    #[error("the file is empty (0 bytes); even a capture without packets has a header: capture again")]
    Empty,
    /// The first bytes are not those of a capture.
    #[error("not a capture: it starts with neither a pcap nor a pcapng header; {hint}")]
    NotCapture {
        /// What to do, by what the file looks like.
        hint: &'static str,
    },
    /// The file ends inside its header.
    #[error("the file ends inside its header; it was cut: copy it or capture again")]
    HeaderCut,
    /// The file ends inside a packet, or where the next block should end.
    #[error(
        "the file ends in the middle of it; the capture was cut: copy it again, or keep the whole packets with \
         `editcap IN OUT`"
    )]
    PacketCut,
    /// Frames are not Ethernet.
    #[error(
        "the link type is {link} ({code}), not Ethernet (1); capture on an Ethernet interface (`-i any` does not \
         give Ethernet frames)"
    )]
    LinkType {
        /// Its name.
        link: String,
        /// Its number in the registry of link types.
        code: u32,
    },
    /// Frames end in a frame check sequence, which the pipeline would take for payload.
    #[error("its frames carry a frame check sequence of {bytes} bytes; strip it with `editcap -C -{bytes} IN OUT`")]
    Fcs {
        /// Bytes of the frame check sequence.
        bytes: u32,
    },
    /// Longer than any frame that the engines take.
    #[error(
        "{bytes} bytes are longer than any frame (65535 at most); the capture is damaged or not of Ethernet frames"
    )]
    TooLong {
        /// Its captured length.
        bytes: u64,
    },
    /// Not a time that nanoseconds since 1970 can say.
    #[error("its time stamp is out of range; shift the capture's time with `editcap -t`")]
    Time,
    /// The file contradicts its format.
    #[error("damaged: {what}; copy the file again, or repair it with another tool")]
    Damaged {
        /// What the parser says.
        what: String,
    },
}

impl Capture<'static> {
    /// Opens and maps a capture file and checks its header.
    ///
    /// A file that another process shortens while it is mapped ends this one with a signal, as with every mapped
    /// file: do not replay a capture that is still being written.
    ///
    /// # Errors
    /// When the file cannot be read or does not start like an Ethernet capture.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let name = path.display().to_string();
        let source = map(path).map_err(|fault| CaptureError { file: name.clone(), packet: None, fault })?;
        Self { name, source }.checked()
    }
}

impl<'a> Capture<'a> {
    /// A capture that lies in memory; `name` stands for the file in messages.
    ///
    /// # Errors
    /// When the bytes do not start like an Ethernet capture.
    pub fn from_slice(name: &str, bytes: &'a [u8]) -> Result<Self, CaptureError> {
        Self { name: name.to_owned(), source: Source::Slice(bytes) }.checked()
    }

    /// The name that messages give it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its frames in order. The iterator ends after the first error.
    #[must_use]
    pub fn frames(&self) -> Frames<'_> {
        let bytes = match &self.source {
            Source::Mapped(map) => map,
            Source::Slice(bytes) => *bytes,
        };
        Frames::new(&self.name, bytes)
    }

    fn checked(self) -> Result<Self, CaptureError> {
        self.frames().check_header()?;
        Ok(self)
    }
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.packet {
            Some(packet) => write!(f, "{}: packet {packet}: {}", self.file, self.fault),
            None => write!(f, "{}: {}", self.file, self.fault),
        }
    }
}

impl std::error::Error for CaptureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.fault)
    }
}

fn map(path: &Path) -> Result<Source<'static>, CaptureFault> {
    let io = |action| move |source| CaptureFault::Io { action, source };
    // Looked at before it is opened: to open a pipe waits for its writer.
    if !std::fs::metadata(path).map_err(io("open"))?.is_file() {
        return Err(CaptureFault::NotRegular);
    }
    let file = File::open(path).map_err(io("open"))?;
    // SAFETY: the map is read-only and outlives every slice borrowed from it. Its bytes change only if another process
    // writes the file meanwhile, which `Capture::open` tells its callers to keep from.
    #[allow(unsafe_code)]
    let map = unsafe { Mmap::map(&file) }.map_err(io("map"))?;
    Ok(Source::Mapped(map))
}

#[cfg(test)]
mod tests;
