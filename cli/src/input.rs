//! What comes in: configurations, table images, captures, each with an error that names the file and the place.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use maglane_spec::limit::CONFIG_LEN_MAX;
#[cfg(feature = "lab")]
use maglane_sw::engine::Frame;
use maglane_table::file::MAGIC;
use maglane_table::{Config, TableFile, Tables};

/// Longest image file: all memories of the largest geometry and the longest names are below.
const IMAGE_LEN_MAX: usize = 256 << 20;

/// Reads a configuration.
pub(crate) fn config(path: &Path) -> anyhow::Result<Config> {
    parse_config(path, &read(path, CONFIG_LEN_MAX)?)
}

/// Reads an image file.
pub(crate) fn image(path: &Path) -> anyhow::Result<TableFile> {
    parse_image(path, &read(path, IMAGE_LEN_MAX)?)
}

/// Reads an image file, or builds the tables of a configuration: the content tells which.
pub(crate) fn tables(path: &Path) -> anyhow::Result<Tables> {
    let bytes = read(path, IMAGE_LEN_MAX)?;
    if bytes.starts_with(&MAGIC) {
        return Ok(Tables::read(parse_image(path, &bytes)?));
    }
    if bytes.len() > CONFIG_LEN_MAX || std::str::from_utf8(&bytes).is_err() {
        bail!("{}: neither a configuration (TOML text) nor an image file of `maglane table build`", path.display());
    }
    Ok(Tables::build(&parse_config(path, &bytes)?)?)
}

/// Refuses, before anything is done for it, an output that is one of the inputs or that cannot be made.
pub(crate) fn check_output(out: &Path, inputs: &[&Path]) -> anyhow::Result<()> {
    let name = out.display();
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        bail!("{name}: there is no directory {}; make it, or name another file", folder.display());
    }
    if out.exists() && !out.is_file() {
        bail!("{name}: not a regular file, so it cannot be replaced; name another file");
    }
    let Ok(target) = out.canonicalize() else { return Ok(()) };
    if inputs.iter().any(|input| input.canonicalize().is_ok_and(|input| input == target)) {
        bail!("{name}: the output would overwrite an input; name another file");
    }
    Ok(())
}

/// Refuses frames of 0 bytes: a stream has no beat for them, so no card is ever offered one.
#[cfg(feature = "lab")]
pub(crate) fn refuse_empty_frames(frames: &[Frame<'_>], first: u64) -> anyhow::Result<()> {
    let Some(index) = frames.iter().position(|frame| frame.bytes.is_empty()) else { return Ok(()) };
    let number = index as u64 + first;
    bail!("frame {number} has 0 bytes, which no card can be offered; leave it out, or take engine `software` alone")
}

fn parse_config(path: &Path, bytes: &[u8]) -> anyhow::Result<Config> {
    let name = path.display();
    if bytes.starts_with(&MAGIC) {
        bail!("{name}: a table image, not a configuration; `maglane table show` takes it with --image");
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count() + 1;
        anyhow::anyhow!("{name}: line {line}: not a configuration: the file is not UTF-8 text")
    })?;
    Ok(Config::parse(&name.to_string(), text)?)
}

fn parse_image(path: &Path, bytes: &[u8]) -> anyhow::Result<TableFile> {
    TableFile::from_bytes(bytes).with_context(|| path.display().to_string())
}

fn read(path: &Path, len_max: usize) -> anyhow::Result<Vec<u8>> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("{name}: cannot open"))?;
    let mut bytes = Vec::new();
    file.take(len_max as u64 + 1).read_to_end(&mut bytes).with_context(|| format!("{name}: cannot read"))?;
    match bytes.len() {
        0 => bail!("{name}: the file is empty (0 bytes)"),
        len if len > len_max => bail!("{name}: longer than {len_max} bytes, the most that such a file may have"),
        _ => Ok(bytes),
    }
}
