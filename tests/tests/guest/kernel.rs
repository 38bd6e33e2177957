//! The distribution's kernel and the modules that `vfio-pci` needs, without installing them.
//!
//! The package is fetched once; what is kept of it lies in the cache folder. Modules carry what they depend on as text,
//! from which the order is made out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use maglane_sim::model::cache_folder;

/// The package that depends on the newest kernel.
const PACKAGE: &str = "linux-image-amd64";
/// Folders of the cache begin so.
const PREFIX: &str = "guest-linux-image-";
/// Modules that are asked for.
const MODULES: [&str; 2] = ["vfio-pci", "vfio_iommu_type1"];

/// A kernel.
pub(crate) struct Kernel {
    /// Its file.
    pub(crate) image: PathBuf,
    /// Modules in the order in which they are inserted.
    pub(crate) modules: Vec<PathBuf>,
}

impl Kernel {
    /// The kernel of the cache, or the distribution's, which is put there.
    pub(crate) fn find() -> Result<Self, String> {
        let folder = match cached() {
            Some(folder) => folder,
            None => fetch()?,
        };
        let modules = files(&folder)?.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "ko"));
        let mut modules: Vec<PathBuf> = modules.collect();
        modules.sort();
        Ok(Self { image: folder.join("vmlinuz"), modules })
    }
}

/// The newest by name of those that are there.
fn cached() -> Option<PathBuf> {
    let folders = files(&cache_folder()).ok()?;
    let name = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
    folders.into_iter().filter(|path| name(path)).max()
}

fn fetch() -> Result<PathBuf, String> {
    let package =
        package().or_else(|_| run(Command::new("apt-get").args(["update", "-qq"])).and_then(|_| package()))?;
    let name = package.strip_prefix("linux-image-").unwrap_or(&package);
    let folder = cache_folder().join(format!("{PREFIX}{name}"));
    fs::create_dir_all(cache_folder()).map_err(|error| error.to_string())?;
    // Made aside and moved into place, as models are.
    let work = tempfile::tempdir_in(cache_folder()).map_err(|error| error.to_string())?;
    run(Command::new("apt-get").args(["download", "-qq", &package]).current_dir(work.path()))?;
    let archive = files(work.path())?.pop().ok_or("apt-get has fetched nothing")?;
    let root = work.path().join("root");
    run(Command::new("dpkg-deb").arg("-x").args([&archive, &root]))?;

    let kept = work.path().join("kept");
    fs::create_dir(&kept).map_err(|error| error.to_string())?;
    let boot = files(&root.join("boot"))?.into_iter();
    let is_kernel = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"));
    let kernel = boot.into_iter().find(is_kernel).ok_or("the package has no kernel")?;
    fs::copy(kernel, kept.join("vmlinuz")).map_err(|error| error.to_string())?;
    let mut all = BTreeMap::new();
    for modules in ["lib/modules", "usr/lib/modules"].map(|path| root.join(path)).iter().filter(|path| path.is_dir()) {
        find_modules(modules, &mut all)?;
    }
    let mut order = Vec::new();
    for module in MODULES {
        insert(module, &all, &mut order)?;
    }
    for (number, (name, bytes)) in order.iter().enumerate() {
        fs::write(kept.join(format!("{number:02}-{name}.ko")), bytes).map_err(|error| error.to_string())?;
    }
    // Another process may have been as far before; then its folder is as good.
    let moved = fs::rename(&kept, &folder);
    if folder.is_dir() { Ok(folder) } else { Err(format!("{}: {moved:?}", folder.display())) }
}

/// Name of the package with the newest kernel.
fn package() -> Result<String, String> {
    let text = run(Command::new("apt-cache").args(["depends", PACKAGE]))?;
    let mut names = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
    names.next().map(|name| format!("linux-image-{name}")).ok_or_else(|| format!("apt knows no {PACKAGE}"))
}

/// All modules below a folder, by name.
fn find_modules(folder: &Path, all: &mut BTreeMap<String, PathBuf>) -> Result<(), String> {
    for path in files(folder)? {
        if path.is_dir() && !path.is_symlink() {
            find_modules(&path, all)?;
        } else if let Some((name, "ko" | "ko.xz")) = path.file_name().and_then(|name| name.to_str()?.split_once('.')) {
            all.insert(name.replace('-', "_"), path);
        }
    }
    Ok(())
}

/// Adds a module, and before it those that it depends on.
fn insert(name: &str, all: &BTreeMap<String, PathBuf>, order: &mut Vec<(String, Vec<u8>)>) -> Result<(), String> {
    let name = name.replace('-', "_");
    if order.iter().any(|(before, _)| *before == name) {
        return Ok(());
    }
    let path = all.get(&name).ok_or_else(|| format!("the kernel has no module {name}"))?;
    let bytes = if path.extension().is_some_and(|ending| ending == "xz") {
        let output = Command::new("xz").args(["--decompress", "--stdout"]).arg(path).output();
        output.map_err(|error| format!("xz: {error}"))?.stdout
    } else {
        fs::read(path).map_err(|error| error.to_string())?
    };
    for needed in depends(&bytes).split(',').filter(|needed| !needed.is_empty()) {
        insert(needed, all, order)?;
    }
    order.push((name, bytes));
    Ok(())
}

/// The module's own list.
fn depends(bytes: &[u8]) -> String {
    const KEY: &[u8] = b"\0depends=";
    let begin = bytes.windows(KEY.len()).position(|window| window == KEY).map_or(bytes.len(), |at| at + KEY.len());
    let text = bytes[begin..].split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(|error| error.to_string())).collect()
}

/// What a command prints.
pub(super) fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let message = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(text) } else { Err(format!("{command:?}: {}: {message}", output.status)) }
}
