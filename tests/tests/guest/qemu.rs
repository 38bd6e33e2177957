//! QEMU: the distribution's, or one that is new enough for vfio-user, without installing it.
//!
//! The newer one is another release's, with all libraries that it needs, unpacked in the cache folder, and started by the
//! loader that is among them. What `apt-get` knows of this system is neither read nor changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use maglane_sim::model::cache_folder;

use super::kernel;

const PROGRAM: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";
/// The device by which a PCI function is another process's, by vfio-user.
const DEVICE: &str = "vfio-user-pci";
/// Where QEMU has it, from 10.1 on.
const ARCHIVE: &str = "http://deb.debian.org/debian";
const RELEASE: &str = "trixie";
const SUITE: &str = "trixie-backports";
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Where the packages have libraries.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// An emulator.
pub(super) struct Qemu {
    /// Where it is unpacked, if it is not installed.
    root: Option<PathBuf>,
    has_vfio_user: bool,
}

impl Qemu {
    /// The one that is installed; the card is its device by QEMU's own protocol.
    pub(super) fn installed() -> Result<Self, String> {
        let qemu = Self { root: None, has_vfio_user: false };
        match qemu.command().arg("--version").output() {
            Ok(_) => Ok(qemu),
            Err(_) => Err(format!("{PROGRAM} is not installed; on Debian: apt-get install {PACKAGE}")),
        }
    }

    /// One that has vfio-user: what is installed, if it is new enough, or what is fetched.
    pub(super) fn newer() -> Result<Self, String> {
        let installed = Self { root: None, has_vfio_user: true };
        if installed.knows_device() {
            return Ok(installed);
        }
        let root = cache_folder().join(format!("guest-{PACKAGE}-{SUITE}"));
        if !root.is_dir() {
            fetch(&root)?;
        }
        let fetched = Self { root: Some(root), has_vfio_user: true };
        if fetched.knows_device() { Ok(fetched) } else { Err(format!("the {PACKAGE} of {SUITE} has no {DEVICE}")) }
    }

    pub(super) fn has_vfio_user(&self) -> bool {
        self.has_vfio_user
    }

    /// The command to which the machine is added.
    pub(super) fn command(&self) -> Command {
        let Some(root) = &self.root else { return Command::new(PROGRAM) };
        let libraries = root.join(LIBRARIES);
        let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
        command.env("QEMU_MODULE_DIR", libraries.join("qemu"));
        command.arg("--library-path").arg(libraries).arg(root.join("usr/bin").join(PROGRAM));
        for firmware in ["usr/share/qemu", "usr/share/seabios"] {
            command.arg("-L").arg(root.join(firmware));
        }
        command
    }

    fn knows_device(&self) -> bool {
        // One that does not know it says nothing, and exits as well.
        let output = self.command().args(["-device", &format!("{DEVICE},help")]).output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(DEVICE))
    }
}

/// Fetches the packages, 40 MB, and unpacks them.
fn fetch(root: &Path) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    fs::create_dir_all(cache_folder()).map_err(told)?;
    // Made aside and moved into place, as models are.
    let work = tempfile::tempdir_in(cache_folder()).map_err(told)?;
    let (state, cache, unpacked) = (work.path().join("state"), work.path().join("cache"), work.path().join("root"));
    for folder in [state.join("lists/partial"), cache.join("archives/partial"), unpacked.clone()] {
        fs::create_dir_all(folder).map_err(told)?;
    }
    let sources = work.path().join("sources.list");
    let lines = [RELEASE, SUITE].map(|suite| format!("deb [signed-by={KEYS}] {ARCHIVE} {suite} main\n"));
    fs::write(&sources, lines.concat()).map_err(told)?;
    // An empty system, on which all libraries are missing.
    let status = state.join("status");
    fs::write(&status, "").map_err(told)?;
    let options = [
        ("Dir::Etc::SourceList", sources.as_path()),
        ("Dir::Etc::SourceParts", Path::new("/dev/null")),
        ("Dir::State", &state),
        ("Dir::State::Status", &status),
        ("Dir::Cache", &cache),
    ];
    let options: Vec<String> = options.map(|(name, path)| format!("-o{name}={}", path.display())).to_vec();
    let apt = |words: &[&str]| kernel::run(Command::new("apt-get").arg("-qq").args(&options).args(words));
    apt(&["update"])?;
    apt(&["install", "--yes", "--download-only", "--no-install-recommends", "--target-release", SUITE, PACKAGE])?;
    let packages = kernel::files(&cache.join("archives"))?.into_iter();
    for package in packages.filter(|path| path.extension().is_some_and(|ending| ending == "deb")) {
        kernel::run(Command::new("dpkg-deb").arg("-x").args([&package, &unpacked]))?;
    }
    // Another process may have been as far before; then its folder is as good.
    let moved = fs::rename(&unpacked, root);
    if root.is_dir() { Ok(()) } else { Err(format!("{}: {moved:?}", root.display())) }
}
