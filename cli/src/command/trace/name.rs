//! Who the ids are, in the configuration's words.

use std::fmt;

use maglane_spec::row::BackendRow;
use maglane_table::Config;
use serde::Serialize;

use crate::output::printable;

/// The names of services and backends, by id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(super) services: Vec<String>,
    pub(super) backends: Vec<String>,
}

/// An id with its name; none when a table has an id that the configuration does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Named {
    pub(super) id: u16,
    pub(super) name: Option<String>,
}

impl Names {
    /// The names of a configuration.
    pub(crate) fn of(config: &Config) -> Self {
        // Services and backends come by ascending ids, which are counted from 0 without gaps.
        let names = config.names();
        let backends = names.services.iter().flat_map(|service| &service.backends);
        Self {
            services: names.services.iter().map(|service| service.name.clone()).collect(),
            backends: backends.map(|backend| backend.name.clone()).collect(),
        }
    }

    /// A service.
    pub(super) fn service(&self, id: u16) -> Named {
        Named { id, name: self.services.get(usize::from(id)).cloned() }
    }

    /// A backend.
    pub(super) fn backend(&self, id: u16) -> Named {
        Named { id, name: self.backends.get(usize::from(id)).cloned() }
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
    use super::*;

    #[test]
    fn names_reach_a_terminal_as_text_only() {
        let names = Names { services: vec!["a\u{1b}[2J".to_owned()], backends: vec!["b\u{202e}\n".to_owned()] };
        assert_eq!(names.service(0).to_string(), r"a\u{1b}[2J (id 0)");
        assert_eq!(names.backend(0).to_string(), r"b\u{202e}\n (id 0)");
        assert_eq!(names.backend(1).to_string(), "unknown (id 1)");
    }

    #[test]
    fn ids_run_on_over_the_services() {
        let text = include_str!("../../../../examples/web.toml");
        let names = Names::of(&Config::parse("web.toml", text).unwrap());
        assert_eq!(names.service(1).name.as_deref(), Some("web-tls"));
        assert_eq!(names.backend(7).name.as_deref(), Some("web-5"));
        assert_eq!(names.backend(8).name.as_deref(), Some("10.1.0.53"));
    }
}
