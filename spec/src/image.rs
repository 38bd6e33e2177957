//! The tables of one generation, as the bytes the hardware's memories hold.

use alloc::{vec, vec::Vec};

use crate::endian::U16Le;
use crate::limit::NO_BACKEND;
use crate::row::{BackendRow, DatapathRow, ServiceRow};
use crate::{Geometry, window};

/// All tables of one generation. The rows are plain bytes in memory order: `bytemuck` casts them, nobody converts.
///
/// # Shape
/// `services` has two sub-tables of [`Geometry::services`] rows, `lookup` [`Geometry::lookup_side_entries`] entries,
/// `backends` [`Geometry::backends`] rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableImage {
    /// Sizes that this image was built for.
    pub geometry: Geometry,
    /// What all frames share.
    pub datapath: DatapathRow,
    /// Cuckoo-placed service rows.
    pub services: Vec<ServiceRow>,
    /// Backend ids, one slice a service.
    pub lookup: Vec<U16Le>,
    /// Backend rows by id.
    pub backends: Vec<BackendRow>,
}

impl TableImage {
    /// An image without services, whose lookup entries point at nobody.
    #[must_use]
    pub fn empty(geometry: Geometry) -> Self {
        Self {
            geometry,
            datapath: DatapathRow::default(),
            services: vec![ServiceRow::default(); geometry.service_rows()],
            lookup: vec![U16Le::new(NO_BACKEND); geometry.lookup_side_entries() as usize],
            backends: vec![BackendRow::default(); geometry.backends as usize],
        }
    }

    /// The memories and their regions of the write port, as bytes.
    #[must_use]
    pub fn memories(&self) -> [(u32, &[u8]); 4] {
        [
            (window::DATAPATH, bytemuck::bytes_of(&self.datapath)),
            (window::SERVICE, bytemuck::cast_slice(&self.services)),
            (window::LOOKUP, bytemuck::cast_slice(&self.lookup)),
            (window::BACKEND, bytemuck::cast_slice(&self.backends)),
        ]
    }

    /// All words of the memories and their addresses on the table port ([`window`]).
    pub fn words(&self) -> impl Iterator<Item = (u32, u32)> {
        self.memories().into_iter().flat_map(|(region, bytes)| {
            let (words, _) = bytes.as_chunks();
            (region << window::REGION_SHIFT..).zip(words.iter().map(|&word| u32::from_le_bytes(word)))
        })
    }
}
