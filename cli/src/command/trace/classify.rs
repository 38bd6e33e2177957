//! How classify found the service, or that there is none.

use std::net::IpAddr;

use maglane_spec::TableImage;
use maglane_spec::row::ServiceRow;
use maglane_sw::stage::classify::{Probe, Refused, probes};
use maglane_sw::stage::parse::Parsed;
use serde::Serialize;

use super::name::{Named, Names};
use super::page::{Page, Tone};
use super::parse::{address, family, protocol};

/// What classify asked for, where it looked, and what it found.
#[derive(Debug, Serialize)]
pub(super) struct Classify {
    key: Key,
    /// Up to the one that matched.
    probes: Vec<Looked>,
    service: Option<Named>,
    /// None when there is no service.
    enabled: Option<bool>,
}

/// What a service is found by.
#[derive(Debug, Serialize)]
struct Key {
    family: &'static str,
    address: IpAddr,
    protocol: &'static str,
    port: u16,
}

/// A look into the service table.
#[derive(Debug, Serialize)]
struct Looked {
    /// exact, all
    ports: &'static str,
    sub_table: usize,
    row: usize,
    /// Whose row it is; none when it is empty.
    holds: Option<Named>,
    matches: bool,
}

impl Classify {
    /// Tells how a frame's service was found.
    pub(super) fn new(names: &Names, image: &TableImage, parsed: &Parsed, found: Result<&ServiceRow, Refused>) -> Self {
        let ipv6 = parsed.ipv6;
        let key = Key {
            family: family(ipv6),
            address: address(&parsed.tuple.destination, ipv6),
            protocol: protocol(parsed.tuple.protocol),
            port: parsed.tuple.destination_port,
        };
        let mut looks = Vec::new();
        for probe in probes(image, parsed) {
            looks.push(Looked::new(names, image, probe));
            if probe.matches {
                break;
            }
        }
        let matched = looks.last().is_some_and(|look| look.matches);
        let id = match found {
            Ok(row) => row.id.value(),
            Err(refused) => refused.service,
        };
        Self {
            key,
            probes: looks,
            service: matched.then(|| names.service(id)),
            enabled: matched.then_some(found.is_ok()),
        }
    }

    /// Writes the stage's lines.
    pub(super) fn tell(&self, page: &mut Page) {
        let Key { family, address, protocol, port } = &self.key;
        page.line("key", format!("{family} {address}, {protocol}, port {port}"));
        for Looked { ports, sub_table, row, holds, matches } in &self.probes {
            let found = match holds {
                None => "empty".to_owned(),
                Some(_) if *matches => "matches".to_owned(),
                Some(other) => format!("has another key, that of {other}"),
            };
            let ports = if *ports == "exact" { "exact port" } else { "all ports" };
            page.line("probe", format!("{ports}, sub-table {sub_table}, row {row}: {found}"));
        }
        match (&self.service, self.enabled) {
            (None, _) => page.toned(Tone::Notice, "service", "none has this key"),
            (Some(service), Some(false)) => page.toned(Tone::Bad, "service", format!("{service}, disabled")),
            (Some(service), _) => page.line("service", format!("{service}, enabled")),
        }
    }
}

impl Looked {
    fn new(names: &Names, image: &TableImage, probe: Probe) -> Self {
        let Probe { all_ports, sub_table, row, matches } = probe;
        let services = image.geometry.services as usize;
        let held = image.services.get(sub_table * services + row);
        let holds = held.filter(|held| held.flags & ServiceRow::FLAG_VALID != 0);
        let ports = if all_ports { "all" } else { "exact" };
        Self { ports, sub_table, row, holds: holds.map(|row| names.service(row.id.value())), matches }
    }
}
