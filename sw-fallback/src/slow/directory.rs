//! The tables of a generation as the slow path asks them: by address, and by the ids of a service and a backend.

use std::collections::HashMap;
use std::sync::Arc;

use maglane_spec::TableImage;
use maglane_spec::row::{BackendRow, ServiceRow};

use super::tunnel::{Place, Tunnel};
use crate::stage::parse::Address;

/// What is found in a generation of tables.
#[derive(Debug)]
pub(super) struct Directory {
    image: Arc<TableImage>,
    /// Rows by the service's id; the first, should several have it.
    services: HashMap<u16, usize>,
    /// Addresses of services, by family, and whether one of their services takes frames.
    addresses: HashMap<(bool, Address), bool>,
}

impl Directory {
    pub(super) fn new(image: Arc<TableImage>) -> Self {
        let (mut services, mut addresses) = (HashMap::new(), HashMap::new());
        for (row, service) in image.services.iter().enumerate() {
            if service.flags & ServiceRow::FLAG_VALID == 0 {
                continue;
            }
            services.entry(service.id.value()).or_insert(row);
            let ipv6 = service.flags & ServiceRow::FLAG_IPV6 != 0;
            let serves = addresses.entry((ipv6, service.address)).or_insert(false);
            *serves |= service.flags & ServiceRow::FLAG_ENABLED != 0;
        }
        Self { image, services, addresses }
    }

    /// Whether it is of these tables.
    pub(super) fn is_of(&self, image: &Arc<TableImage>) -> bool {
        Arc::ptr_eq(&self.image, image)
    }

    /// Our MAC.
    pub(super) fn mac(&self) -> [u8; 6] {
        self.image.datapath.mac
    }

    /// Whether a service has an address.
    pub(super) fn has_address(&self, ipv6: bool, address: &Address) -> bool {
        self.addresses.contains_key(&(ipv6, *address))
    }

    /// Whether a service that takes frames has it.
    pub(super) fn serves(&self, ipv6: bool, address: &Address) -> bool {
        self.addresses.get(&(ipv6, *address)) == Some(&true)
    }

    /// The way to a backend, if these tables have it.
    pub(super) fn tunnel(&self, place: &Place) -> Option<Tunnel<'_>> {
        let service = self.image.services.get(*self.services.get(&place.service)?)?;
        let backend = self.backend(place)?;
        Some(Tunnel { datapath: &self.image.datapath, service, backend, hash: place.hash })
    }

    /// Whether the backend is the service's, and not down: what a hit in the flow table asks.
    pub(super) fn takes_flows(&self, place: &Place) -> bool {
        self.backend(place).is_some_and(|backend| {
            backend.service.value() == place.service
                && matches!(backend.state, BackendRow::STATE_UP | BackendRow::STATE_DRAINING)
        })
    }

    fn backend(&self, place: &Place) -> Option<&BackendRow> {
        self.image.backends.get(usize::from(place.backend))
    }
}
