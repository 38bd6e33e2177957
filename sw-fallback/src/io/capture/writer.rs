//! Writes a classic capture: Ethernet, nanoseconds, little endian.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use maglane_spec::limit::FRAME_LEN_SIDEBAND_MAX;
use pcap_file::pcap::{PcapHeader, PcapTsResolution, PcapWriteError};
use pcap_file::{DataLink, Endianness};
use tempfile::NamedTempFile;

use super::{CaptureError, CaptureFault};
use crate::engine::Frame;

/// A capture in the making.
///
/// It grows in a temporary file beside its target and gets the target's name in [`CaptureWriter::finish`]. Dropped
/// before that, it leaves nothing behind, and what had the target's name stays as it was.
#[derive(Debug)]
pub struct CaptureWriter {
    file: BufWriter<NamedTempFile>,
    target: PathBuf,
    packets: u64,
    torn: bool,
}

impl CaptureWriter {
    /// Starts a capture that will have this path.
    ///
    /// # Errors
    /// When no file can be made there, or the path is a directory, pipe or device.
    pub fn create(target: &Path) -> Result<Self, CaptureError> {
        Self::start(target).map_err(|fault| error(target, None, fault))
    }

    /// Appends a frame.
    ///
    /// # Errors
    /// When it cannot be written, is longer than 65,535 bytes, or its seconds do not fit the format's 32 bits.
    pub fn write(&mut self, frame: &Frame<'_>) -> Result<(), CaptureError> {
        let packet = self.packets + 1;
        let written = self.write_packet(frame);
        // After a failed write the file may end in the middle of a packet: it must never get its name.
        self.torn |= matches!(written, Err(CaptureFault::Io { .. }));
        written.map_err(|fault| error(&self.target, Some(packet), fault))?;
        self.packets = packet;
        Ok(())
    }

    /// Completes the capture and gives it its name; returns how many frames it has.
    ///
    /// # Errors
    /// When the rest cannot be written or the file cannot be renamed. Nothing is left behind.
    pub fn finish(self) -> Result<u64, CaptureError> {
        let Self { file, target, packets, torn } = self;
        if torn {
            let cause = io::Error::other("an earlier frame could not be written");
            return Err(error(&target, None, io_fault("complete")(cause)));
        }
        let file = file.into_inner().map_err(|cause| error(&target, None, io_fault("write")(cause.into_error())))?;
        file.persist(&target).map_err(|cause| error(&target, None, io_fault("rename")(cause.error)))?;
        Ok(packets)
    }

    fn start(target: &Path) -> Result<Self, CaptureFault> {
        // A link is followed, so that the file it points at is replaced and not the link.
        let target = match fs::canonicalize(target) {
            // To rename over a device would remove it.
            Ok(path) if !path.is_file() => return Err(CaptureFault::NotRegular),
            Ok(path) => path,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => target.to_owned(),
            Err(cause) => return Err(io_fault("create")(cause)),
        };
        // The parent of a bare file name is the empty path.
        let directory = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".maglane-").suffix(".tmp");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As for every new file: the process's umask takes away what others may not.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let mut file = BufWriter::new(builder.tempfile_in(directory).map_err(io_fault("create"))?);
        header().write_to(&mut file).map_err(write_fault)?;
        Ok(Self { file, target, packets: 0, torn: false })
    }

    fn write_packet(&mut self, frame: &Frame<'_>) -> Result<(), CaptureFault> {
        if frame.bytes.len() > FRAME_LEN_SIDEBAND_MAX {
            return Err(CaptureFault::TooLong { bytes: frame.bytes.len() as u64 });
        }
        let len = u32::try_from(frame.bytes.len()).unwrap_or(u32::MAX);
        // The parser's crate wants a byte order type of its own for this; sixteen bytes are simpler.
        let seconds = u32::try_from(frame.time_ns / 1_000_000_000).map_err(|_| CaptureFault::Time)?;
        let nanoseconds = u32::try_from(frame.time_ns % 1_000_000_000).map_err(|_| CaptureFault::Time)?;
        for field in [seconds, nanoseconds, len, len] {
            self.file.write_all(&field.to_le_bytes()).map_err(io_fault("write"))?;
        }
        self.file.write_all(frame.bytes).map_err(io_fault("write"))
    }
}

fn header() -> PcapHeader {
    PcapHeader {
        datalink: DataLink::ETHERNET,
        ts_resolution: PcapTsResolution::NanoSecond,
        endianness: Endianness::Little,
        ..PcapHeader::default()
    }
}

fn io_fault(action: &'static str) -> impl Fn(io::Error) -> CaptureFault {
    move |source| CaptureFault::Io { action, source }
}

fn write_fault(cause: PcapWriteError) -> CaptureFault {
    match cause {
        PcapWriteError::Io(source) | PcapWriteError::FieldWriteFailed(_, source) => io_fault("write")(source),
        PcapWriteError::Validation(cause) => CaptureFault::Damaged { what: cause.to_string() },
    }
}

fn error(target: &Path, packet: Option<u64>, fault: CaptureFault) -> CaptureError {
    CaptureError { file: target.display().to_string(), packet, fault }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::capture::Capture;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn written_frames_are_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.pcap");
        let frames = [
            Frame { time_ns: 0, bytes: &[] },
            Frame { time_ns: 1_700_000_000_123_456_789, bytes: &[1; 1_514] },
            Frame { time_ns: 4_294_967_295_999_999_999, bytes: &[2; 65_535] },
        ];
        let mut writer = CaptureWriter::create(&path).unwrap();
        for frame in &frames {
            writer.write(frame).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), 3);
        assert_eq!(names(directory.path()), ["out.pcap"]);
        let capture = Capture::open(&path).unwrap();
        assert_eq!(capture.frames().map(Result::unwrap).collect::<Vec<_>>(), frames);
    }

    #[test]
    fn file_is_this_byte_for_byte() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.pcap");
        let mut writer = CaptureWriter::create(&path).unwrap();
        writer.write(&Frame { time_ns: 1_000_000_002, bytes: &[7, 8] }).unwrap();
        writer.finish().unwrap();
        let expected = [
            &[0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0][..],
            &[1, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 7, 8],
        ];
        assert_eq!(fs::read(&path).unwrap(), expected.concat());
    }

    #[test]
    fn dropped_writer_leaves_nothing_and_keeps_what_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.pcap");
        fs::write(&path, b"before").unwrap();
        let mut writer = CaptureWriter::create(&path).unwrap();
        writer.write(&Frame { time_ns: 0, bytes: &[0; 60] }).unwrap();
        assert_eq!(names(directory.path()).len(), 2);
        drop(writer);
        assert_eq!(names(directory.path()), ["out.pcap"]);
        assert_eq!(fs::read(&path).unwrap(), b"before");
    }

    #[test]
    fn finish_replaces_what_was_there_with_the_usual_permissions() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.pcap");
        fs::write(&path, b"before").unwrap();
        let usual = fs::metadata(&path).unwrap().permissions();
        CaptureWriter::create(&path).unwrap().finish().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 24);
        assert_eq!(fs::metadata(&path).unwrap().permissions(), usual);
    }

    #[test]
    fn frames_that_the_format_cannot_hold_are_errors_with_a_number() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = CaptureWriter::create(&directory.path().join("out.pcap")).unwrap();
        writer.write(&Frame { time_ns: 0, bytes: &[] }).unwrap();
        let time = writer.write(&Frame { time_ns: 4_294_967_296_000_000_000, bytes: &[] }).unwrap_err();
        assert!(matches!(time, CaptureError { packet: Some(2), fault: CaptureFault::Time, .. }));
        let long = writer.write(&Frame { time_ns: 0, bytes: &[0; 65_536] }).unwrap_err();
        assert!(matches!(long, CaptureError { packet: Some(2), fault: CaptureFault::TooLong { .. }, .. }));
        assert_eq!(writer.finish().unwrap(), 1, "refused frames do not count");
    }

    #[test]
    fn target_must_be_a_file_in_a_directory_that_exists() {
        let directory = tempfile::tempdir().unwrap();
        let fault = |path: &Path| CaptureWriter::create(path).unwrap_err().fault;
        assert!(matches!(fault(directory.path()), CaptureFault::NotRegular));
        assert!(matches!(fault(&directory.path().join("none/out.pcap")), CaptureFault::Io { action: "create", .. }));
        #[cfg(unix)]
        assert!(matches!(fault(Path::new("/dev/null")), CaptureFault::NotRegular));
    }
}
