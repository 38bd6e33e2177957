//! Who the ids are, in the configuration's words.

use std::collections::BTreeMap;
use std::fmt;

use maglane_spec::row::BackendRow;
use maglane_table::Ids;
use serde::Serialize;

use crate::output::printable;

/// The names of services and backends, by id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(super) services: BTreeMap<u16, String>,
    pub(super) backends: BTreeMap<u16, String>,
}

/// An id with its name; none when a table has an id that the configuration does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Named {
    pub(super) id: u16,
    pub(super) name: Option<String>,
}

impl Names {
    /// The names of a configuration, by its ids.
    pub(crate) fn of(ids: &Ids) -> Self {
        let owned = |(id, name): (u16, &str)| (id, name.to_owned());
        Self { services: ids.service_names().map(owned).collect(), backends: ids.backend_names().map(owned).collect() }
    }

    /// A service.
    pub(super) fn service(&self, id: u16) -> Named {
        Named { id, name: self.services.get(&id).cloned() }
    }

    /// A backend.
    pub(super) fn backend(&self, id: u16) -> Named {
        Named { id, name: self.backends.get(&id).cloned() }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{} (id {})", printable(name), self.id),
            None => write!(f, "unknown (id {})", self.id),
        }
    }
}

/// The configuration's word for the state of a backend's row.
pub(super) fn backend_state(state: u8) -> &'static str {
    match state {
        BackendRow::STATE_UP => "up",
        BackendRow::STATE_DRAINING => "draining",
        // Any other code counts as down.
        _ => "down",
    }
}

#[cfg(test)]
mod tests {
    use maglane_table::Config;

    use super::*;

    #[test]
    fn names_reach_a_terminal_as_text_only() {
        let names =
            Names { services: [(0, "a\u{1b}[2J".to_owned())].into(), backends: [(0, "b\u{202e}\n".to_owned())].into() };
        assert_eq!(names.service(0).to_string(), r"a\u{1b}[2J (id 0)");
        assert_eq!(names.backend(0).to_string(), r"b\u{202e}\n (id 0)");
        assert_eq!(names.backend(1).to_string(), "unknown (id 1)");
    }

    #[test]
    fn ids_run_on_over_the_services() {
        let text = include_str!("../../../../examples/web.toml");
        let names = Names::of(&Ids::fresh(&Config::parse("web.toml", text).unwrap()));
        assert_eq!(names.service(1).name.as_deref(), Some("web-tls"));
        assert_eq!(names.backend(7).name.as_deref(), Some("web-5"));
        assert_eq!(names.backend(8).name.as_deref(), Some("10.1.0.53"));
    }
}
