//! The guest's file system: an archive that the kernel unpacks into memory.
//!
//! # Source
//! Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`: format `newc`.

/// Modes of a folder, and of a file that may be executed.
const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_755;

/// Files one after the other.
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// With these folders; those above others come first.
    pub(crate) fn new(folders: &[&str]) -> Self {
        let mut archive = Self { bytes: Vec::new(), entries: 0 };
        for folder in folders {
            archive.entry(folder, FOLDER, &[]);
        }
        archive
    }

    /// Adds a file.
    pub(crate) fn add(&mut self, path: &str, content: &[u8]) {
        self.entry(path, FILE, content);
    }

    /// The archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let [len, name_len] = [content.len(), path.len() + 1].map(|len| u32::try_from(len).unwrap());
        // Inode, mode, user, group, links, time, length, device (two), the device it is (two), length of the name, sum.
        self.bytes.extend(b"070701");
        for number in [self.entries, mode, 0, 0, 1, 0, len, 0, 0, 0, 0, name_len, 0] {
            self.bytes.extend(format!("{number:08x}").as_bytes());
        }
        self.bytes.extend(path.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
