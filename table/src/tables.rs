//! Tables with what is known about them.
//!
//! Memories hold what the pipeline needs, which is less than a configuration says: how a slice is read, but not which
//! fill made it; no weight of a backend that takes no new flows. Tables that have just been built come with the
//! configuration's word on these, tables that were read from a file do not. The unit of work is one generation.

use maglane_spec::row::BackendRow;

use crate::balance::ServiceBalance;
use crate::config::{Backend, Config, ConfigError, Service};
use crate::file::{BackendName, TableFile};
use crate::image::NO_NEXT_HOP;

/// The tables of one generation, and what is known about them.
#[derive(Clone, Debug)]
pub struct Tables {
    file: TableFile,
    intent: Option<Intent>,
}

/// What a configuration says that its tables do not hold.
#[derive(Clone, Debug)]
struct Intent {
    /// By service id.
    schedulers: Vec<&'static str>,
    /// By backend id.
    weights: Vec<u16>,
}

impl Tables {
    /// Builds the tables of a configuration, to be looked at: backends for which it names no next hop have
    /// [`NO_NEXT_HOP`].
    ///
    /// # Errors
    /// Those of [`Config::image_by`].
    pub fn build(config: &Config) -> Result<Self, ConfigError> {
        let services = config.services();
        let intent = Intent {
            schedulers: services.iter().map(|service: &Service| service.scheduler.word()).collect(),
            weights: services.iter().flat_map(|service| &service.backends).map(|one: &Backend| one.weight).collect(),
        };
        let image = config.image_by(|_| Some(NO_NEXT_HOP))?;
        Ok(Self { file: TableFile { image, names: config.names() }, intent: Some(intent) })
    }

    /// Tables of which nothing else is known.
    #[must_use]
    pub fn read(file: TableFile) -> Self {
        Self { file, intent: None }
    }

    /// The tables and names.
    #[must_use]
    pub fn file(&self) -> &TableFile {
        &self.file
    }

    /// The balance of every service, by ascending id, with schedulers and configured weights as far as they are known.
    #[must_use]
    pub fn balance(&self) -> Vec<ServiceBalance> {
        let mut services = self.file.balance();
        for (service, names) in services.iter_mut().zip(self.file.services().map(|(_, names)| names)) {
            service.scheduler = self.scheduler(names.id);
            for (backend, name) in service.backends.iter_mut().zip(&names.backends) {
                backend.weight_configured = self.weight(name);
            }
        }
        services
    }

    /// How a service's slice was filled, if that is known.
    pub(crate) fn scheduler(&self, service: u16) -> Option<&'static str> {
        self.intent.as_ref()?.schedulers.get(usize::from(service)).copied()
    }

    /// The weight that a backend has in its configuration, if that is known.
    pub(crate) fn weight(&self, backend: &BackendName) -> Option<u16> {
        match &self.intent {
            Some(intent) => intent.weights.get(usize::from(backend.id)).copied(),
            None => self.file.weight(backend),
        }
    }
}

impl TableFile {
    /// The weight that a backend has in its configuration. The file has it of those that are up, and of the others not.
    pub(crate) fn weight(&self, backend: &BackendName) -> Option<u16> {
        let row = self.image.backends.get(usize::from(backend.id))?;
        (row.state == BackendRow::STATE_UP).then_some(backend.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: &str = include_str!("../../examples/web.toml");

    #[test]
    fn configuration_says_more_than_its_file() {
        let built = Tables::build(&Config::parse("web.toml", WEB).unwrap()).unwrap();
        let read = Tables::read(TableFile::from_bytes(&built.file().to_bytes()).unwrap());
        let weights = |tables: &Tables, service: usize| -> Vec<Option<u16>> {
            tables.balance()[service].backends.iter().map(|backend| backend.weight_configured).collect()
        };
        // The last one of web is draining; of web-tls it is up, with weight 0.
        assert_eq!(weights(&built, 0), [100, 100, 50, 100].map(Some));
        assert_eq!(weights(&read, 0), [Some(100), Some(100), Some(50), None]);
        assert_eq!(
            (weights(&built, 1), weights(&read, 1)),
            ([3, 2, 1, 0].map(Some).into(), [3, 2, 1, 0].map(Some).into())
        );
        let schedulers = |tables: &Tables| [0, 4].map(|service: usize| tables.balance()[service].scheduler);
        assert_eq!(schedulers(&built), [Some("maglev"), Some("source-hash")]);
        assert_eq!(schedulers(&read), [None, None]);
        let states = |tables: &Tables| tables.balance()[0].backends.iter().map(|one| one.state).collect::<Vec<_>>();
        assert_eq!(states(&read), ["up", "up", "up", "draining"]);
        assert_eq!(states(&read), states(&built));
    }
}
