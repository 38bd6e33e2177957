//! `maglane table`: lookup tables as files, their balance, what changes between two, and the study of the fills.

mod study;

use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};
use maglane_table::TableFile;
use maglane_table::balance::ServiceBalance;
use maglane_table::diff::{self, ServiceDiff, TableDiff};
use serde::Serialize;

use crate::args::{TableArgs, TableCommand, TableSource};
use crate::input;
use crate::output::{self, Columns, Console, counted, thousands};

/// Most moves of a service that a person is shown.
const MOVES_SHOWN_MAX: usize = 12;

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
    let file: TableFile = match (&source.config, &source.image) {
        (Some(config), _) => input::config(config)?.table_file()?,
        (_, Some(image)) => input::image(image)?,
        // The command line asks for one of the two.
        (None, None) => bail!("name a configuration with --config or an image file with --image"),
    };
    let mut services = file.balance();
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
    let mut columns = Columns::new([false, true, true, true, true, true]);
    columns.row(["backend", "weight", "slots", "share %", "due %", "deviation %"].map(str::to_owned));
    for backend in &service.backends {
        let deviation = if backend.weight == 0 { "-".to_owned() } else { format!("{:+.2}", 100.0 * backend.deviation) };
        columns.row([
            backend.name.clone(),
            backend.weight.to_string(),
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
            thousands(service.slots_empty),
            format!("{share:.2}"),
        ]);
    }
    format!(
        "{}: {}, M = {}{disabled}\n{}",
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
    write!(console, "{}", difference(&diff))?;
    Ok(())
}

fn difference(diff: &TableDiff) -> String {
    let mut text = String::new();
    if diff.geometry_changed {
        text += "the sizes of the tables differ: the two are not for the same build\n";
    }
    for (verb, names) in [("added", &diff.services_added), ("removed", &diff.services_removed)] {
        if !names.is_empty() {
            text += &format!("services {verb}: {}\n", names.join(", "));
        }
    }
    let still = |service: &&ServiceDiff| service.slots_moved == 0 && service.table_size_before == service.table_size;
    for service in diff.services.iter().filter(|service| !still(service)) {
        text += &moves(service);
    }
    let unmoved: Vec<&str> = diff.services.iter().filter(still).map(|service| service.name.as_str()).collect();
    if !unmoved.is_empty() {
        text += &format!("no slot moves: {}\n", unmoved.join(", "));
    }
    text += &format!(
        "in memory: {}, {} and {} change, the datapath row {}\n",
        counted(diff.service_rows_changed, "service row"),
        counted(diff.backend_rows_changed, "backend row"),
        entries(diff.lookup_entries_changed),
        if diff.datapath_changed { "too" } else { "does not" },
    );
    text
}

fn entries(number: usize) -> String {
    format!("{} lookup {}", thousands(number), if number == 1 { "entry" } else { "entries" })
}

fn moves(service: &ServiceDiff) -> String {
    let resized = if service.table_size_before == service.table_size {
        String::new()
    } else {
        format!(", M was {}", thousands(service.table_size_before))
    };
    let mut columns = Columns::new([false, false, true]);
    columns.row(["from", "to", "slots"].map(str::to_owned));
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "(nobody)".to_owned());
    for one in service.moves.iter().take(MOVES_SHOWN_MAX) {
        columns.row([name(&one.from), name(&one.to), thousands(one.slots)]);
    }
    let hidden = service.moves.iter().skip(MOVES_SHOWN_MAX);
    let (count, slots) = hidden.fold((0_usize, 0), |(count, slots), one| (count + 1, slots + one.slots));
    if count > 0 {
        columns.row([format!("({count} more)"), String::new(), thousands(slots)]);
    }
    let table = if service.moves.is_empty() { String::new() } else { columns.text() };
    format!(
        "{}: {} of {} move, {:.2} %{resized}\n{table}",
        service.name,
        thousands(service.slots_moved),
        counted(service.table_size, "slot"),
        100.0 * service.share_moved,
    )
}
