//! Whether services, backends and lookup tables fit the geometry, and which of the named ones they would fit.

use maglane_spec::Geometry;

use super::check::Check;
use super::error::Problem;
use super::{Scheduler, Service};
use crate::prime;

/// What a configuration takes of each memory.
struct Need {
    services: u64,
    backends: u64,
    lookup_entries: u64,
}

/// Checks that everything has room.
pub(super) fn fit(check: &mut Check, geometry: &Geometry, services: &[Service]) {
    let need = Need::of(services);
    let (name, other) = (name(geometry), need.remedy());
    if let Some(service) = services.get(geometry.services as usize) {
        let (count, room) = (need.services, geometry.services);
        check.push(
            Problem::at(service.place.clone(), format!("{count} services do not fit: {name} has room for {room}"))
                .label("the first that does not fit")
                .help(format!("remove services; or choose another geometry: {other}")),
        );
    }
    let mut backends = services.iter().flat_map(|service| &service.backends);
    if let Some(backend) = backends.nth(geometry.backends as usize) {
        let (count, room) = (need.backends, geometry.backends);
        check.push(
            Problem::at(backend.place.clone(), format!("{count} backends do not fit: {name} has room for {room}"))
                .label("the first that does not fit")
                .help(format!("remove backends; or choose another geometry: {other}")),
        );
    }
    fit_lookup(check, &name, geometry.lookup_entries, services, &need);
}

fn fit_lookup(check: &mut Check, name: &str, room: u32, services: &[Service], need: &Need) {
    let mut used = 0;
    let overflow = services.iter().find(|service| {
        used += entries(service);
        used > u64::from(room)
    });
    let Some(service) = overflow else { return };
    let message =
        format!("the lookup tables do not fit: they need {} entries, and {name} has {room}", need.lookup_entries);
    let size = service.table_size;
    let (label, smaller) = if service.scheduler == Scheduler::RoundRobin {
        (
            format!("the first service that does not fit: its weights make a sequence of {size}"),
            "give the backends of round-robin weights with a common divisor, 2 and 1 instead of 200 and 99".to_owned(),
        )
    } else {
        (
            format!("the first service that does not fit, with table_size {size}"),
            format!("make table_size of some services smaller{}", fair_size(room, services)),
        )
    };
    let help = format!(
        "{smaller};\nor choose another geometry: {};\na service takes twice its table_size, rounded up to an even \
         number: the lookup memory has two sides,\nnew tables are written to one while frames are served from the other",
        need.remedy()
    );
    check.push(Problem::at(service.place.clone(), message).label(label).help(help));
}

impl Need {
    fn of(services: &[Service]) -> Self {
        Self {
            services: services.len() as u64,
            backends: services.iter().map(|service| service.backends.len() as u64).sum(),
            lookup_entries: services.iter().map(entries).sum(),
        }
    }

    fn fits(&self, geometry: &Geometry) -> bool {
        self.services <= geometry.services.into()
            && self.backends <= geometry.backends.into()
            && self.lookup_entries <= geometry.lookup_entries.into()
    }

    /// Which named geometry would do, or else how large a custom one would have to be, as part of a sentence.
    fn remedy(&self) -> String {
        let named = Geometry::PROFILES.iter().filter(|(_, geometry)| self.fits(geometry));
        let named: Vec<String> = named.map(|(name, _)| format!("\"{name}\"")).collect();
        if !named.is_empty() {
            return format!("{} has room for all", named.join(" or "));
        }
        let [services, backends, lookup_entries, _] = Geometry::BOUNDS;
        let custom = [(services, self.services), (backends, self.backends), (lookup_entries, self.lookup_entries)];
        let sizes = custom.map(|((key, least, most), needed)| {
            let size = needed.next_power_of_two().max(least.into());
            (size <= most.into()).then(|| format!("{key} = {size}"))
        });
        match sizes.into_iter().collect::<Option<Vec<String>>>() {
            Some(sizes) => format!("no named one has room for all, a [geometry] of its own needs {}", sizes.join(", ")),
            None => "none has room for all".to_owned(),
        }
    }
}

/// Lookup entries of a service: a slice on each of two sides.
fn entries(service: &Service) -> u64 {
    2 * u64::from(service.slice_entries())
}

/// What a geometry is called.
fn name(geometry: &Geometry) -> String {
    match Geometry::PROFILES.iter().find(|(_, named)| named == geometry) {
        Some((name, _)) => format!("geometry \"{name}\""),
        None => "the geometry".to_owned(),
    }
}

/// What every service could have if all had the same, as part of a sentence.
fn fair_size(room: u32, services: &[Service]) -> String {
    // The length of a sequence is not chosen.
    if services.iter().any(|service| service.scheduler == Scheduler::RoundRobin) {
        return String::new();
    }
    // A slice on each of two sides, of an even number of entries.
    let fair = u64::from(room) / (2 * services.len() as u64) / 2 * 2;
    let (below, _) = prime::neighbours(u32::try_from(fair).unwrap_or(u32::MAX).saturating_add(1));
    below.map_or(String::new(), |prime| format!("; {prime} would fit for every service"))
}
