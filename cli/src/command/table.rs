//! `maglane table`: lookup tables as files, their balance, what changes between two, and the study of the fills.

mod difference;
mod study;

use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};
use maglane_table::Tables;
use maglane_table::balance::ServiceBalance;
use maglane_table::diff;
use serde::Serialize;

use crate::args::{TableArgs, TableCommand, TableSource};
use crate::input;
use crate::output::{self, Columns, Console, counted, thousands};

/// Runs the command.
pub(crate) fn run(args: &TableArgs) -> Result<bool> {
    match &args.command {
        TableCommand::Build { config, out, json } => build(config, out, *json)?,
        TableCommand::Show { source, service, json } => show(source, service.as_deref(), *json)?,
        TableCommand::Diff { old, new, json } => changes(old, new, *json)?,
        TableCommand::Study(args) => study::run(args)?,
    }
    Ok(true)
}

/// What `table build --json` tells.
#[derive(Debug, Serialize)]
struct Built {
    out: String,
    bytes: usize,
    services: usize,
    backends: usize,
    slots: u32,
}

fn build(config: &Path, out: &Path, json: bool) -> Result<()> {
    let parsed = input::config(config)?;
    input::check_output(out, &[config])?;
    let file = parsed.table_file()?;
    let bytes = file.to_bytes();
    output::write_file(out, &bytes)?;
    let built = Built {
        out: out.display().to_string(),
        bytes: bytes.len(),
        services: parsed.services().len(),
        backends: parsed.services().iter().map(|service| service.backends.len()).sum(),
        slots: parsed.services().iter().map(|service| u32::from(service.table_size)).sum(),
    };
    let mut console = Console::new();
    if json {
        return console.json(&built);
    }
    writeln!(
        console,
        "{}: {}, {}, {}; {}",
        built.out,
        counted(built.services, "service"),
        counted(built.backends, "backend"),
        counted(built.slots, "slot"),
        counted(built.bytes, "byte"),
    )?;
    Ok(())
}

/// What `table show --json` tells.
#[derive(Debug, Serialize)]
struct Shown {
    services: Vec<ServiceBalance>,
}

fn show(source: &TableSource, service: Option<&str>, json: bool) -> Result<()> {
    let tables = match (&source.config, &source.image) {
        (Some(config), _) => Tables::build(&input::config(config)?)?,
        (_, Some(image)) => Tables::read(input::image(image)?),
        // The command line asks for one of the two.
        (None, None) => bail!("name a configuration with --config or an image file with --image"),
    };
    let mut services = tables.balance();
    if let Some(wanted) = service {
        let names: Vec<String> = services.iter().map(|service| service.name.clone()).collect();
        services.retain(|service| service.name == wanted);
        if services.is_empty() {
            bail!("no service is called `{wanted}`; there are {}", names.join(", "));
        }
    }
    let mut console = Console::new();
    if json {
        return console.json(&Shown { services });
    }
    if services.is_empty() {
        writeln!(console, "no services")?;
    }
    for (index, service) in services.iter().enumerate() {
        if index > 0 {
            writeln!(console)?;
        }
        write!(console, "{}", balance(service))?;
    }
    Ok(())
}

fn balance(service: &ServiceBalance) -> String {
    let disabled = if service.enabled { "" } else { ", disabled: its packets are dropped" };
    let mut columns = Columns::new([false, false, true, true, true, true, true]);
    columns.row(["backend", "state", "weight", "slots", "share %", "due %", "deviation %"].map(str::to_owned));
    for backend in &service.backends {
        let deviation = if backend.weight == 0 { "-".to_owned() } else { format!("{:+.2}", 100.0 * backend.deviation) };
        columns.row([
            backend.name.clone(),
            backend.state.to_owned(),
            backend.weight_configured.map_or_else(|| "unknown".to_owned(), |weight| weight.to_string()),
            thousands(backend.slots),
            format!("{:.2}", 100.0 * backend.share),
            format!("{:.2}", 100.0 * backend.share_due),
            deviation,
        ]);
    }
    if service.slots_empty > 0 {
        let share = 100.0 * f64::from(service.slots_empty) / f64::from(service.table_size.max(1));
        columns.row([
            "(nobody: new flows are dropped)".to_owned(),
            String::new(),
            String::new(),
            thousands(service.slots_empty),
            format!("{share:.2}"),
        ]);
    }
    // An image does not say which of the fills that are read by hash it was.
    let scheduler = match service.scheduler {
        Some(scheduler) => format!("scheduler {scheduler}"),
        None => format!("selection {}", service.selection),
    };
    format!(
        "{}: {}, M = {}, {scheduler}{disabled}\n{}",
        service.name,
        endpoint(service),
        thousands(service.table_size),
        columns.text()
    )
}

/// Where a service's frames are addressed to.
pub(super) fn endpoint(service: &ServiceBalance) -> String {
    let protocol = match service.protocol {
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        number => format!("protocol {number}"),
    };
    let port = service.port.map_or_else(|| "all ports".to_owned(), |port| format!("port {port}"));
    format!("{} {protocol}, {port}", service.address)
}

fn changes(old: &Path, new: &Path, json: bool) -> Result<()> {
    let diff = diff::diff(&input::tables(old)?, &input::tables(new)?);
    let mut console = Console::new();
    if json {
        return console.json(&diff);
    }
    write!(console, "{}", difference::text(&diff))?;
    Ok(())
}
