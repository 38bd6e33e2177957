//! Who owns a card: one process at a time.
//!
//! The lock is advisory (`flock`) and ends with the process, however that ends, so nothing is ever stale. It guards the
//! card against this project's own programs; VFIO hands a group to one process only besides. Its unit is the file.

use std::env;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process;

use crate::pci::PciAddress;

/// Where locks of cards lie.
const DIRECTORY: &str = "/run/lock";
/// Longest content of a lock file that is looked at: a process id and a line's end.
const CONTENT_LEN_MAX: u64 = 16;

/// A lock that is held until this is dropped. The file stays: removing it would let two processes lock two files.
#[derive(Debug)]
pub struct CardLock {
    _file: File,
    path: PathBuf,
}

/// Why a card is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process owns the card.
    #[error("the card is in use by {holder} ({path}); stop that first", path = path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, as far as it told.
        holder: String,
    },
    /// The lock file cannot be used.
    #[error("{path}: cannot lock the card: {source}", path = path.display())]
    File {
        /// The lock file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The lock file is a link or no file: somebody else put it there.
    #[error("{path} is no plain file; remove it", path = path.display())]
    NotAFile {
        /// The lock file.
        path: PathBuf,
    },
}

impl CardLock {
    /// Locks a card on PCI: in `/run/lock`, or in the directory for temporary files where that cannot be written. All
    /// who may open the card should be able to use the same of the two.
    ///
    /// # Errors
    /// When another process owns the card, or neither directory takes a lock file.
    pub fn of_card(address: PciAddress) -> Result<Self, LockError> {
        let name = format!("maglane-{address}.lock");
        match Self::at(&Path::new(DIRECTORY).join(&name)) {
            Err(LockError::File { .. }) => Self::at(&env::temp_dir().join(&name)),
            locked => locked,
        }
    }

    /// Locks a card that is reached by way of a path, such as a socket: the lock file is beside it, with `.lock` at its
    /// name's end.
    ///
    /// # Errors
    /// When another process owns the card, or no lock file can be made there.
    pub fn beside(path: &Path) -> Result<Self, LockError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        Self::at(Path::new(&name))
    }

    /// Locks by this file, which is made if it is not there.
    ///
    /// # Errors
    /// When another process has locked it, or it cannot be used.
    pub fn at(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::File { path: path.to_path_buf(), source };
        let write = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        // A file that belongs to somebody else can still be locked.
        let (mut file, is_ours) = match write {
            Ok(file) => (file, true),
            Err(error) => (File::open(path).map_err(|_| failed(error))?, false),
        };
        // Through a link that somebody left in a public directory we would write to a file of theirs or ours.
        let (opened, named) = (file.metadata().map_err(failed)?, fs::symlink_metadata(path).map_err(failed)?);
        if !named.is_file() || (opened.dev(), opened.ino()) != (named.dev(), named.ino()) {
            return Err(LockError::NotAFile { path: path.to_path_buf() });
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut content = String::new();
                let read = file.take(CONTENT_LEN_MAX).read_to_string(&mut content);
                let holder = match (read, content.trim().parse::<u32>()) {
                    (Ok(_), Ok(id)) => format!("process {id}"),
                    _ => "another process".to_owned(),
                };
                return Err(LockError::Held { path: path.to_path_buf(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        if is_ours {
            // Only for the message above: the lock holds without it.
            let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", process::id()));
        }
        Ok(Self { _file: file, path: path.to_path_buf() })
    }

    /// The lock file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_owner_is_refused_by_name_until_the_first_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("card.sock");
        let first = CardLock::beside(&socket).unwrap();
        assert_eq!(first.path(), directory.path().join("card.sock.lock"));
        let refused = CardLock::beside(&socket).unwrap_err();
        assert!(refused.to_string().contains(&format!("in use by process {}", process::id())), "{refused}");
        drop(first);
        CardLock::beside(&socket).unwrap();
    }

    #[test]
    fn longer_content_of_an_earlier_owner_does_not_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("card.lock");
        fs::write(&path, "99999999999999999999\n").unwrap();
        let lock = CardLock::at(&path).unwrap();
        assert_eq!(fs::read_to_string(lock.path()).unwrap(), format!("{}\n", process::id()));
    }

    #[test]
    fn link_is_refused_and_its_target_untouched() {
        let directory = tempfile::tempdir().unwrap();
        let (target, path) = (directory.path().join("precious"), directory.path().join("card.lock"));
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(matches!(CardLock::at(&path), Err(LockError::NotAFile { .. })));
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    }

    #[test]
    fn card_on_pci_is_locked_by_its_address() {
        let address = "ffff:1f:1e.7".parse().unwrap();
        let lock = CardLock::of_card(address).unwrap();
        assert!(lock.path().ends_with("maglane-ffff:1f:1e.7.lock"));
        assert!(matches!(CardLock::of_card(address), Err(LockError::Held { .. })));
    }

    #[test]
    fn directory_that_is_not_there_is_an_error_with_the_path() {
        let refused = CardLock::at(Path::new("/nonexistent/card.lock")).unwrap_err();
        assert!(refused.to_string().starts_with("/nonexistent/card.lock: cannot lock"), "{refused}");
    }
}
