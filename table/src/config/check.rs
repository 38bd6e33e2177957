//! From the shape of the file to the checked model: geometry, datapath, and whether everything fits.

use std::ops::{Range, RangeInclusive};

use maglane_spec::Geometry;
use maglane_spec::limit::{MTU_MAX, MTU_MIN, SOURCE_ENTROPY_BITS_MAX, TIMEOUT_TICKS_MAX};
use toml::Spanned;

use super::error::{Problem, Problems};
use super::raw::{self, Maybe};
use super::value::{self, Refusal};
use super::{Datapath, Service, fit, service};

/// Checks a whole file of `len` bytes.
pub(super) fn file(file: raw::File, len: usize) -> Result<(Geometry, Datapath, Vec<Service>), Problems> {
    let mut check = Check::default();
    let Some(table) = file.datapath else {
        check.push(
            Problem::at(len..len, "there is no [datapath] table")
                .help("add [datapath] with at least hash_key and mac to the file"),
        );
        return Err(check.problems);
    };
    let place = table.span();
    let mut raw = table.into_inner();
    let geometry = check.geometry(raw.geometry.take(), file.geometry);
    let (datapath, mtu) = check.datapath(raw, &place);
    let services = service::services(&mut check, file.service, &datapath, mtu, &place);
    if let Some(geometry) = geometry {
        fit::fit(&mut check, &geometry, &services);
    }
    match (check.found(), geometry) {
        (0, Some(geometry)) => Ok((geometry, datapath, services)),
        _ => Err(check.problems),
    }
}

/// Collects problems. A check that fails leaves one and goes on with a stand-in, so that one run shows all.
#[derive(Default)]
pub(super) struct Check {
    problems: Problems,
}

impl Check {
    pub(super) fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// How many problems there are so far.
    pub(super) fn found(&self) -> usize {
        self.problems.found()
    }

    /// A number of a range, or its default.
    pub(super) fn number<T: TryFrom<i64>>(
        &mut self,
        key: &str,
        value: Maybe<i64>,
        range: RangeInclusive<i64>,
        default: T,
    ) -> T {
        let Some(value) = value else { return default };
        if range.contains(value.get_ref())
            && let Ok(number) = T::try_from(*value.get_ref())
        {
            return number;
        }
        self.push(Problem::at(value.span(), format!("{key} is {}", value.get_ref())).help(format!(
            "give a number from {} to {}",
            range.start(),
            range.end()
        )));
        default
    }

    /// A text that `parse` understands.
    pub(super) fn text<T>(
        &mut self,
        value: Option<&Spanned<String>>,
        parse: impl FnOnce(&str) -> Result<T, Refusal>,
    ) -> Option<T> {
        let value = value?;
        match parse(value.get_ref()) {
            Ok(parsed) => Some(parsed),
            Err(refusal) => {
                self.push(Problem::at(value.span(), refusal.message).help(refusal.help));
                None
            }
        }
    }

    /// A text that must be there.
    pub(super) fn required<T>(
        &mut self,
        (table, place): (&str, &Range<usize>),
        key: &str,
        example: &str,
        value: Option<&Spanned<String>>,
        parse: impl FnOnce(&str) -> Result<T, Refusal>,
    ) -> Option<T> {
        if value.is_none() {
            self.push(
                Problem::at(place.clone(), format!("{table} has no {key}"))
                    .help(format!("add the key, for instance {key} = {example:?}")),
            );
        }
        self.text(value, parse)
    }

    fn datapath(&mut self, raw: raw::Datapath, place: &Range<usize>) -> (Datapath, u16) {
        let table = ("[datapath]", place);
        let timeout = 1..=i64::from(TIMEOUT_TICKS_MAX);
        let entropy = 0..=i64::from(SOURCE_ENTROPY_BITS_MAX);
        if raw.hash_key.is_none() {
            self.push(Problem::at(place.clone(), "[datapath] has no hash_key").help(value::HASH_KEY_HELP));
        }
        let mac_example = "02:00:00:00:00:01";
        let datapath = Datapath {
            hash_key: self.text(raw.hash_key.as_ref(), value::hash_key).unwrap_or_default(),
            mac: self.required(table, "mac", mac_example, raw.mac.as_ref(), value::mac).unwrap_or_default(),
            next_hop_mac: self.text(raw.next_hop_mac.as_ref(), value::mac),
            tunnel_source_v4: self.text(raw.tunnel_source_v4.as_ref(), value::ipv4),
            tunnel_source_v6: self.text(raw.tunnel_source_v6.as_ref(), value::ipv6),
            ttl: self.number("ttl", raw.ttl, 1..=255, 64),
            source_entropy_bits: self.number("source_entropy_bits", raw.source_entropy_bits, entropy, 0),
            check_mac: raw.check_mac.is_none_or(Spanned::into_inner),
            tick_ms: self.number("tick_ms", raw.tick_ms, 1..=i64::from(u32::MAX), 15_000),
            timeout_ticks: [
                self.number("timeout_new", raw.timeout_new, timeout.clone(), 4),
                self.number("timeout_established", raw.timeout_established, timeout.clone(), 60),
                self.number("timeout_closing", raw.timeout_closing, timeout, 8),
            ],
        };
        (datapath, self.mtu(raw.mtu, 1_500))
    }

    /// An MTU, or its default.
    pub(super) fn mtu(&mut self, value: Maybe<i64>, default: u16) -> u16 {
        self.number("mtu", value, i64::from(MTU_MIN)..=i64::from(MTU_MAX), default)
    }

    fn geometry(&mut self, inner: Maybe<raw::Geometry>, outer: Maybe<raw::CustomGeometry>) -> Option<Geometry> {
        if let (Some(inner), Some(outer)) = (&inner, &outer) {
            self.push(
                Problem::at(outer.span(), "geometry is there twice")
                    .also(inner.span(), "first here")
                    .help("keep either the key geometry of [datapath] or the table [geometry]"),
            );
            return None;
        }
        if let Some(outer) = outer {
            let place = outer.span();
            return self.custom_geometry(outer.into_inner(), &place);
        }
        let Some(inner) = inner else { return Some(Geometry::LAB) };
        let place = inner.span();
        match inner.into_inner() {
            raw::Geometry::Profile(name) => {
                self.text(Some(&Spanned::new(place, name)), |name| value::word("geometry", name, &Geometry::PROFILES))
            }
            raw::Geometry::Custom(custom) => self.custom_geometry(custom, &place),
        }
    }

    fn custom_geometry(&mut self, raw: raw::CustomGeometry, place: &Range<usize>) -> Option<Geometry> {
        let before = self.found();
        let bus_bytes = self.size("bus_bytes", raw.bus_bytes, 32, 64, place);
        let [services, backends, lookup_entries, flow_sets] = {
            let mut values = [raw.services, raw.backends, raw.lookup_entries, raw.flow_sets].into_iter();
            Geometry::BOUNDS.map(|(key, least, most)| self.size(key, values.next().flatten(), least, most, place))
        };
        (self.found() == before).then_some(Geometry { bus_bytes, services, backends, lookup_entries, flow_sets })
    }

    /// A power of two within bounds.
    fn size(&mut self, key: &str, value: Maybe<i64>, least: u32, most: u32, place: &Range<usize>) -> u32 {
        let help = format!("give a power of two from {least} to {most}");
        let Some(value) = value else {
            self.push(Problem::at(place.clone(), format!("the geometry has no {key}")).help(help));
            return least;
        };
        match u32::try_from(*value.get_ref()) {
            Ok(size) if size.is_power_of_two() && (least..=most).contains(&size) => size,
            _ => {
                self.push(Problem::at(value.span(), format!("{key} is {}", value.get_ref())).help(help));
                least
            }
        }
    }
}
