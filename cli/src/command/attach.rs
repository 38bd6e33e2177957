//! `maglane trace`: explains frames of a datapath that runs already, at the socket where that listens.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::args::TraceArgs;
use crate::command::run::{Form, default_path, request, untold_text};
use crate::output::{self, Console};

/// Bytes of a message at most: what is longer does not come from a run.
const MESSAGE_BYTES_MAX: u64 = 1 << 20;

/// Runs the command.
pub(crate) fn run(args: &TraceArgs) -> Result<bool> {
    let path = args.control.clone().unwrap_or_else(|| default_path(&args.interface));
    let name = path.display().to_string();
    let mut stream = UnixStream::connect(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            anyhow::anyhow!(
                "{name}: no `maglane run` listens there; start one, ask from its network namespace (ip netns exec), or say \
                 where it does with --control"
            )
        }
        ErrorKind::PermissionDenied => anyhow::anyhow!("{name}: not permitted; run this as who runs `maglane run`"),
        _ => anyhow::Error::from(error).context(format!("cannot ask at {name}")),
    })?;
    let mut console = Console::new();
    let form = match (args.json, console.is_coloured()) {
        (true, _) => Form::Json,
        (_, true) => Form::Coloured,
        (_, false) => Form::Text,
    };
    let lost = || format!("{name}: the run has gone");
    stream.write_all(request(form, args.filter.as_ref()).as_bytes()).with_context(lost)?;
    let mut messages = BufReader::new(stream);
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let mut line = Vec::new();
        messages.by_ref().take(MESSAGE_BYTES_MAX).read_until(b'\n', &mut line).with_context(lost)?;
        if line.is_empty() {
            bail!(lost());
        }
        let message: Value = serde_json::from_slice(&line).with_context(|| format!("{name}: no `maglane run`"))?;
        if let Some(why) = message["refused"].as_str() {
            bail!("{name}: refused: {why}");
        }
        if message["end"] == true {
            output::note("the run has ended");
            break;
        }
        if let Some(watching) = message["watching"].as_str() {
            output::note(&format!("{}: {watching}; Ctrl-C ends it, and the run goes on", args.interface));
            continue;
        }
        if let Some(text) = message["text"].as_str() {
            write!(console, "{text}")?;
        } else if args.json {
            console.write_all(&line)?;
        } else if let Some(untold) = message["untold"].as_u64() {
            writeln!(console, "{}\n", untold_text(untold))?;
        }
        if message["untold"].is_null() {
            left -= 1;
        }
        console.flush()?;
        if console.is_closed() {
            break;
        }
    }
    Ok(true)
}
