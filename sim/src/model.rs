//! Builds a program from Verilog with Verilator, once for each text: the result is kept in a cache folder.

use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

use siphasher::sip128::{Hasher128, SipHasher24};

/// Warnings that rust-hdl's way of writing provokes everywhere: widths of literals, one always block a module whose
/// signals look like loops, comparisons with constants that a parameter has made trivial.
pub const QUIET: [&str; 3] = ["-Wno-WIDTH", "-Wno-UNOPTFLAT", "-Wno-UNSIGNED"];

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Verilator cannot be started.
    #[error("Verilator is not installed; on Debian: apt-get install verilator (and g++ and make)")]
    Missing(#[source] io::Error),
    /// A file of the cache could not be written.
    #[error("cannot write {path}; MAGLANE_CACHE names another folder for built models")]
    Cache {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Verilator or the compiler refused.
    #[error("Verilator could not build the model:\n{log}")]
    Build {
        /// The end of what they said.
        log: String,
    },
}

/// A program to be built.
#[derive(Clone, Copy, Debug)]
pub struct Recipe<'a> {
    /// The Verilog text.
    pub verilog: &'a str,
    /// Its top module.
    pub top: &'a str,
    /// The C++ text with `main`.
    pub harness: &'a str,
    /// `-D` definitions for the C++ text.
    pub defines: &'a [String],
    /// The model can write a waveform.
    pub traced: bool,
}

/// The version line of the installed Verilator.
///
/// # Errors
/// [`ModelError::Missing`].
pub fn verilator_version() -> Result<String, ModelError> {
    let output = Command::new("verilator").arg("--version").output().map_err(ModelError::Missing)?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

impl Recipe<'_> {
    /// Where the program is or will be.
    ///
    /// # Errors
    /// [`ModelError::Missing`].
    pub fn path(&self) -> Result<PathBuf, ModelError> {
        let mut hasher = SipHasher24::new();
        for part in [&verilator_version()?, self.verilog, self.top, self.harness, &format!("{:?}", self.flags())] {
            hasher.write(part.as_bytes());
            hasher.write_u8(0xff);
        }
        let key = hasher.finish128().as_u128();
        Ok(cache_folder().join(format!("{}-{key:032x}", self.top)))
    }

    /// The program, built if it is not there yet (some ten seconds).
    ///
    /// # Errors
    /// See [`ModelError`].
    pub fn build(&self) -> Result<PathBuf, ModelError> {
        let program = self.path()?;
        if program.is_file() {
            return Ok(program);
        }
        let folder = cache_folder();
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| ModelError::Cache { path, source }
        };
        fs::create_dir_all(&folder).map_err(failed(&folder))?;
        // Built aside and moved into place, so that an interrupted or parallel build leaves nothing half done.
        let work = tempfile::tempdir_in(&folder).map_err(failed(&folder))?;
        let source = work.path().join(format!("{}.v", self.top));
        let harness = work.path().join("harness.cpp");
        fs::write(&source, self.verilog).map_err(failed(&source))?;
        fs::write(&harness, self.harness).map_err(failed(&harness))?;
        let output = Command::new("verilator")
            .current_dir(work.path())
            .args([
                "--cc",
                "--exe",
                "--build",
                "-j",
                "2",
                "-O3",
                "--top-module",
                self.top,
                "-Mdir",
                "build",
                "-o",
                "model",
            ])
            .args(QUIET)
            // Verilator's own choice, -Os, compiles for half as long again, and the model is no faster.
            .args(["-MAKEFLAGS", "OPT_FAST=-O1 OPT_GLOBAL=-O1"])
            .args(self.flags())
            .args([&harness, &source])
            .output()
            .map_err(ModelError::Missing)?;
        if !output.status.success() {
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            return Err(ModelError::Build { log: lines[lines.len().saturating_sub(30)..].join("\n") });
        }
        let built = work.path().join("build/model");
        fs::rename(&built, &program).map_err(failed(&program))?;
        Ok(program)
    }

    fn flags(&self) -> Vec<String> {
        let mut c_flags = String::new();
        for define in self.defines {
            c_flags += &format!(" -D{define}");
        }
        let mut flags = Vec::new();
        if self.traced {
            flags.push("--trace".to_owned());
            c_flags += " -DTRACED";
        }
        flags.extend(["-CFLAGS".to_owned(), c_flags]);
        flags
    }
}

/// Where what takes long to build is kept: `MAGLANE_CACHE`, else the user's cache folder, else the temporary folder.
#[must_use]
pub fn cache_folder() -> PathBuf {
    if let Some(folder) = env::var_os("MAGLANE_CACHE") {
        return PathBuf::from(folder);
    }
    let home = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    home.unwrap_or_else(env::temp_dir).join("maglane")
}
