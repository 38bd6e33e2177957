//! The socket at which `maglane trace` asks a running datapath.
//!
//! What comes in is not trusted, and nobody is waited for: one client at a time, one line from it, in time and not too
//! long; what it does not read in time it is not told. Its unit of work is a look, some ten a second.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::command::trace::Filter;

/// Bytes of a request at most, its end included.
const REQUEST_BYTES_MAX: usize = 512;
/// How long a client may take for its request.
const REQUEST_TIME: Duration = Duration::from_secs(2);
/// How long a client may read nothing while there is something for it.
const READ_TIME: Duration = Duration::from_secs(10);
/// Bytes that wait for a client to read them, at most: a message more is only counted.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// Clients that are answered in a look.
const CLIENTS_AT_ONCE: usize = 8;

/// How records are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Coloured,
    Json,
}

/// A socket in the file system, which is gone when this is.
#[derive(Debug)]
pub(super) struct Control {
    listener: UnixListener,
    path: PathBuf,
    /// The file that is ours: another may have come to its place.
    inode: u64,
    client: Option<Client>,
}

/// Who asks.
#[derive(Debug)]
struct Client {
    stream: UnixStream,
    request: Vec<u8>,
    /// Once it has asked.
    form: Option<Form>,
    output: Vec<u8>,
    /// When it last did something.
    seen: Instant,
    untold: u64,
}

impl Form {
    const ALL: [Self; 3] = [Self::Text, Self::Coloured, Self::Json];

    /// Its word in a request.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Coloured => "coloured",
            Self::Json => "json",
        }
    }
}

/// Where the datapath of an interface listens, if it is not told otherwise. Another network namespace may have another
/// interface of the name, so that its number is in the path.
pub(crate) fn default_path(interface: &str) -> PathBuf {
    // Without /proc there is none, and interfaces of a name share a place.
    let namespace = fs::metadata("/proc/self/ns/net").map_or(0, |namespace| namespace.ino());
    Path::new(DIRECTORY).join(format!("{interface}-{namespace}.sock"))
}

/// For things that last as long as what runs.
const DIRECTORY: &str = "/run/maglane";

/// The line of a request.
pub(crate) fn request(form: Form, filter: Option<&Filter>) -> String {
    let filter = filter.map(|filter| format!(" {filter}")).unwrap_or_default();
    format!("trace {}{filter}\n", form.name())
}

impl Control {
    /// Listens at a path, in the place of a socket at which nobody does any more.
    pub(super) fn listen(path: &Path) -> Result<Self> {
        let name = || path.display().to_string();
        if let Some(directory) = path.parent()
            && directory == Path::new(DIRECTORY)
        {
            // Nobody else's affair: not even while the socket is new.
            match fs::DirBuilder::new().mode(0o700).create(directory) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error).with_context(name),
                _ => {}
            }
        }
        match fs::symlink_metadata(path) {
            Ok(there) if !there.file_type().is_socket() => {
                return Err(io::Error::from(ErrorKind::AlreadyExists))
                    .with_context(|| format!("{}: no socket", name()));
            }
            Ok(_) if is_served(path) => return Err(InUse(name()).into()),
            Ok(_) => fs::remove_file(path).with_context(name)?,
            Err(_) => {}
        }
        // Made where nobody else may look, and given its name when it is as it is to be.
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let hidden = tempfile::Builder::new().prefix(".maglane-").tempdir_in(directory).with_context(name)?;
        let own = hidden.path().join("s");
        let listener = UnixListener::bind(&own).with_context(name)?;
        fs::set_permissions(&own, fs::Permissions::from_mode(0o600)).with_context(name)?;
        listener.set_nonblocking(true).with_context(name)?;
        let inode = fs::symlink_metadata(&own).with_context(name)?.ino();
        // Unlike a move, a link does not replace what another run has put there in the meantime.
        fs::hard_link(&own, path).with_context(name)?;
        let control = Self { listener, path: path.to_owned(), inode, client: None };
        Ok(control)
    }

    /// Hears who comes, asks or goes. What is wanted from now on is returned when that changes: a filter, or nothing.
    ///
    /// With `taken`, frames are told to someone else.
    pub(super) fn look(&mut self, taken: bool) -> Option<Option<Filter>> {
        let mut change = None;
        if let Some(client) = &mut self.client {
            match client.hear() {
                Ok(Some(filter)) => change = Some(Some(filter)),
                Ok(None) => {}
                Err(why) => {
                    // A client that had asked is no longer told anything; one that had not has changed nothing.
                    change = client.form.is_some().then_some(None);
                    client.refuse(&why);
                    self.client = None;
                }
            }
        }
        for _ in 0..CLIENTS_AT_ONCE {
            let Ok((stream, _)) = self.listener.accept() else { break };
            let Ok(mut client) = Client::new(stream) else { continue };
            if taken {
                client.refuse("the run was started with --trace, and one trace at a time is told");
            } else if self.client.is_some() {
                client.refuse("another `maglane trace` is attached, and one at a time is told");
            } else {
                self.client = Some(client);
            }
        }
        change
    }

    /// Tells the client something, in the form that it wants.
    pub(super) fn tell(&mut self, message: impl FnOnce(Form) -> Value) {
        if let Some(client) = &mut self.client
            && let Some(form) = client.form
        {
            if client.output.len() > OUTPUT_BYTES_MAX {
                client.untold += 1;
            } else {
                client.push(&message(form));
            }
        }
    }

    /// Counts frames that it is not told.
    pub(super) fn add_untold(&mut self, frames: u64) {
        if let Some(client) = &mut self.client {
            client.untold += frames;
        }
    }

    /// Sends what the client takes.
    pub(super) fn send(&mut self) {
        if let Some(client) = &mut self.client {
            if client.untold > 0 && client.output.len() <= OUTPUT_BYTES_MAX {
                let untold = std::mem::take(&mut client.untold);
                client.push(&json!({ "untold": untold }));
            }
            client.send();
        }
    }

    /// Says that the run has ended.
    pub(super) fn end(&mut self) {
        self.send();
        if let Some(mut client) = self.client.take() {
            client.push(&json!({ "end": true }));
            client.send();
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|there| there.ino() == self.inode) {
            // What stays is replaced by the next run.
            let _stays = fs::remove_file(&self.path);
        }
    }
}

impl Client {
    fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let (request, output) = (Vec::new(), Vec::new());
        Ok(Self { stream, request, form: None, output, seen: Instant::now(), untold: 0 })
    }

    /// Reads what it has sent; its filter once it has asked. An error is why it is not served any longer.
    fn hear(&mut self) -> Result<Option<Filter>, String> {
        let mut bytes = [0; REQUEST_BYTES_MAX];
        let read = match self.stream.read(&mut bytes) {
            Ok(0) => return Err("it has gone".to_owned()),
            Ok(read) => &bytes[..read],
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => &[],
            Err(_) => return Err("it has gone".to_owned()),
        };
        if self.form.is_some() {
            let slow = !self.output.is_empty() && self.seen.elapsed() > READ_TIME;
            return match (read, slow) {
                ([], false) => Ok(None),
                ([], true) => Err("it does not read what it is told".to_owned()),
                _ => Err("there is one request, and no more".to_owned()),
            };
        }
        self.request.extend_from_slice(read);
        let line = self.request.iter().position(|&byte| byte == b'\n');
        match line {
            Some(end) if end < REQUEST_BYTES_MAX => {
                let (form, filter) = understand(&self.request[..end])?;
                self.form = Some(form);
                self.seen = Instant::now();
                let watching = if filter == Filter::ALL { "all frames".to_owned() } else { filter.to_string() };
                self.push(&json!({ "watching": watching }));
                Ok(Some(filter))
            }
            None if self.request.len() < REQUEST_BYTES_MAX && self.seen.elapsed() <= REQUEST_TIME => Ok(None),
            None if self.request.len() < REQUEST_BYTES_MAX => Err("no request came in time".to_owned()),
            _ => Err(format!("a request has {REQUEST_BYTES_MAX} bytes at most")),
        }
    }

    /// Says why it is not served.
    fn refuse(&mut self, why: &str) {
        self.push(&json!({ "refused": why }));
        self.send();
    }

    fn push(&mut self, message: &Value) {
        self.output.extend_from_slice(message.to_string().as_bytes());
        self.output.push(b'\n');
    }

    /// Writes what there is room for. That it has gone is heard later.
    fn send(&mut self) {
        let mut sent = 0;
        while sent < self.output.len() {
            match self.stream.write(&self.output[sent..]) {
                Ok(0) => break,
                Ok(written) => sent += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if sent > 0 || self.output.is_empty() {
            self.seen = if self.form.is_some() { Instant::now() } else { self.seen };
        }
        self.output.drain(..sent);
    }
}

/// Another run listens at the path.
#[derive(Debug)]
pub(super) struct InUse(String);

impl std::fmt::Display for InUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: another `maglane run` listens there, and two on one interface would send every frame twice: end it; if it \
             is on another interface, give this one a socket of its own: --control PATH",
            self.0
        )
    }
}

impl std::error::Error for InUse {}

/// Whether someone listens at a socket. One who does not answer at once does, too.
fn is_served(path: &Path) -> bool {
    match UnixStream::connect(path) {
        Ok(_) => true,
        Err(error) => error.kind() != ErrorKind::ConnectionRefused,
    }
}

/// Form and filter of a request.
fn understand(line: &[u8]) -> Result<(Form, Filter), String> {
    let text = std::str::from_utf8(line).map_err(|_| "the request is not text".to_owned())?;
    let mut words = text.split(' ');
    let form = words.next().filter(|&word| word == "trace").and_then(|_| words.next());
    let form = form.and_then(|name| Form::ALL.into_iter().find(|form| form.name() == name));
    let form = form.ok_or("the request is not `trace text|coloured|json [FILTER]`")?;
    let filter = words.next().map_or(Ok(Filter::ALL), |filter| filter.parse().map_err(|error| format!("{error}")))?;
    if words.next().is_some() { Err("there are words behind the filter".to_owned()) } else { Ok((form, filter)) }
}

#[cfg(test)]
mod tests;
