//! Whether tables that come from outside are ones that this crate could have built.
//!
//! The pipeline trusts its tables: an index beyond a memory would read somebody else's row. So whoever reads tables
//! from a file checks them first.

use std::collections::HashSet;

use maglane_spec::TableImage;
use maglane_spec::limit::{MTU_MAX, MTU_MIN, NO_BACKEND, SOURCE_ENTROPY_BITS_MAX, TABLE_SIZE_MAX, TIMEOUT_TICKS_MAX};
use maglane_spec::row::{BackendRow, DatapathRow, ROW_BYTES, ServiceRow};

use crate::config;
use crate::file::Names;
use crate::place;

/// What is wrong, and at which byte of the memories in a row: datapath, services, lookup, backends.
pub(crate) struct Flaw {
    pub(crate) offset: usize,
    pub(crate) what: String,
}

/// Checks all rows and entries.
pub(crate) fn image(image: &TableImage) -> Result<(), Flaw> {
    let mut offset = 0;
    datapath(&image.datapath).map_err(|what| Flaw { offset, what: format!("the datapath row: {what}") })?;
    offset += DatapathRow::BYTES;

    let mut ids = HashSet::new();
    for (row, service) in image.services.iter().enumerate() {
        self::service(image, row, service, &mut ids)
            .map_err(|what| Flaw { offset: offset + row * ROW_BYTES, what: format!("service row {row}: {what}") })?;
    }
    offset += image.services.len() * ROW_BYTES;

    for (index, entry) in image.lookup.iter().enumerate() {
        let id = entry.value();
        let used = image.backends.get(usize::from(id)).is_some_and(|row| *row != BackendRow::default());
        if id != NO_BACKEND && !used {
            let what = format!("lookup entry {index} points at backend {id}, which does not exist");
            return Err(Flaw { offset: offset + 2 * index, what });
        }
    }
    offset += image.lookup.len() * 2;

    for (id, backend) in image.backends.iter().enumerate() {
        self::backend(image, backend)
            .map_err(|what| Flaw { offset: offset + id * ROW_BYTES, what: format!("backend row {id}: {what}") })?;
    }
    Ok(())
}

/// Checks that names belong to ids that exist, each once, and can be printed.
pub(crate) fn names(names: &Names, image: &TableImage) -> Result<(), String> {
    let used: HashSet<u16> = valid_services(image).map(|service| service.id.value()).collect();
    let (mut services, mut service_names, mut backends) = (HashSet::new(), HashSet::new(), HashSet::new());
    for service in &names.services {
        if !config::is_name(&service.name) || !service_names.insert(&service.name) {
            return Err(format!("the service name {:?} is there twice or cannot be printed", service.name));
        }
        if !used.contains(&service.id) || !services.insert(service.id) {
            return Err(format!("{:?} names service {}, which does not exist or has a name", service.name, service.id));
        }
        let mut backend_names = HashSet::new();
        for backend in &service.backends {
            if !config::is_name(&backend.name) || !backend_names.insert(&backend.name) {
                return Err(format!("the backend name {:?} is there twice or cannot be printed", backend.name));
            }
            let row = image.backends.get(usize::from(backend.id));
            let belongs = row.is_some_and(|row| *row != BackendRow::default() && row.service.value() == service.id);
            if !belongs || !backends.insert(backend.id) {
                return Err(format!(
                    "{:?} names backend {}, which service {} does not have or which has a name",
                    backend.name, backend.id, service.id
                ));
            }
        }
    }
    match used.difference(&services).min() {
        Some(id) => Err(format!("service {id} has no name")),
        None => Ok(()),
    }
}

/// Rows that are in use.
pub(crate) fn valid_services(image: &TableImage) -> impl Iterator<Item = &ServiceRow> {
    image.services.iter().filter(|service| service.flags & ServiceRow::FLAG_VALID != 0)
}

fn datapath(row: &DatapathRow) -> Result<(), String> {
    let timeouts_are_sound = row.timeout_ticks.iter().all(|ticks| (1..=TIMEOUT_TICKS_MAX).contains(ticks));
    for (sound, what) in [
        (row.ttl > 0, "ttl is 0"),
        (row.flags & !DatapathRow::FLAG_CHECK_MAC == 0, "unknown flags"),
        (row.source_entropy_bits <= SOURCE_ENTROPY_BITS_MAX, "too many source entropy bits"),
        (row.tick_ms.value() > 0, "a tick of no length"),
        (timeouts_are_sound, "a timeout outside its range"),
        (row.reserved == [0; 3] && row.reserved2 == 0, "reserved bytes are not zero"),
    ] {
        if !sound {
            return Err(what.to_owned());
        }
    }
    Ok(())
}

fn service(image: &TableImage, index: usize, row: &ServiceRow, ids: &mut HashSet<u16>) -> Result<(), String> {
    if row.flags & ServiceRow::FLAG_VALID == 0 {
        return if *row == ServiceRow::default() { Ok(()) } else { Err("not in use, but not zero".to_owned()) };
    }
    let services = image.geometry.services;
    let key = place::Key {
        address: row.address,
        port: row.port.value(),
        protocol: row.protocol,
        flags: row.flags & ServiceRow::KEY_FLAGS,
    };
    let seeds = image.datapath.service_seed.map(|seeds| seeds.map(|seed| seed.value()));
    let table = index / services as usize;
    let all_ports = row.flags & ServiceRow::FLAG_ALL_PORTS != 0;
    let ipv4_padded = row.flags & ServiceRow::FLAG_IPV6 != 0 || row.address[4..] == [0; 12];
    let size = u32::from(row.table_size.value());
    for (sound, what) in [
        (matches!(row.protocol, 6 | 17), "neither TCP nor UDP"),
        (all_ports == (row.port.value() == 0), "port 0 and the flag for all ports disagree"),
        (ipv4_padded, "bytes after an IPv4 address are not zero"),
        (row.flags >> ServiceRow::AFFINITY_SHIFT <= ServiceRow::AFFINITY_CLIENT, "an unknown affinity"),
        (row.selection <= ServiceRow::SELECTION_SEQUENCE, "an unknown selection"),
        ((1..=TABLE_SIZE_MAX).contains(&size), "a table size outside its range"),
        (row.lookup_base_value() + size <= image.geometry.lookup_entries, "a lookup slice past the memory"),
        (row.lookup_base_value().is_multiple_of(2), "a lookup slice that starts within a word"),
        (u32::from(row.id.value()) < services, "an id beyond the geometry"),
        (ids.insert(row.id.value()), "an id that another row has"),
        (
            index % services as usize == place::row(&key.words(), &seeds, table, services),
            "not where its hash leads: no frame would find it",
        ),
    ] {
        if !sound {
            return Err(what.to_owned());
        }
    }
    Ok(())
}

fn backend(image: &TableImage, row: &BackendRow) -> Result<(), String> {
    if *row == BackendRow::default() {
        return Ok(());
    }
    let ipv4 = row.encapsulation == BackendRow::ENCAPSULATION_GRE_IPV4;
    let ipv6 = row.encapsulation == BackendRow::ENCAPSULATION_GRE_IPV6;
    for (sound, what) in [
        (ipv4 || ipv6, "an unknown encapsulation"),
        (!ipv4 || row.address[4..] == [0; 12], "bytes after an IPv4 address are not zero"),
        (row.state <= BackendRow::STATE_UP, "an unknown state"),
        ((MTU_MIN..=MTU_MAX).contains(&row.mtu.value()), "an MTU outside its range"),
        (u32::from(row.service.value()) < image.geometry.services, "a service id beyond the geometry"),
        (row.reserved == [0; 3], "reserved bytes are not zero"),
    ] {
        if !sound {
            return Err(what.to_owned());
        }
    }
    Ok(())
}
