//! Select: chooses the backend. Stateless: the lookup table alone answers.
//!
//! # Source
//! Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.3.

use maglane_spec::limit::NO_BACKEND;
use maglane_spec::row::{BackendRow, ServiceRow};
use maglane_spec::{TableImage, Verdict};

use super::flow_hash::{FlowHash, affinity};

/// Lookup bases are 24-bit numbers, and so is their sum with an index.
const LOOKUP_INDEX_MASK: u32 = (1 << 24) - 1;

/// The backend of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selected<'a> {
    /// Its id.
    pub id: u16,
    /// Its row.
    pub row: &'a BackendRow,
}

/// Chooses the backend.
///
/// # Errors
/// When the service asks for a selection that is not known here, or its lookup entry is empty.
pub fn select<'a>(image: &'a TableImage, service: &ServiceRow, hash: FlowHash) -> Result<Selected<'a>, Verdict> {
    if service.selection != ServiceRow::SELECTION_HASH || affinity(service) > ServiceRow::AFFINITY_CLIENT {
        return Err(Verdict::PassUnsupported);
    }
    let index = scale(hash.g, service.table_size.value());
    // Table sizes are powers of two, so a mask is a modulo.
    let lookup_index = (service.lookup_base_value() + index) & LOOKUP_INDEX_MASK & (image.geometry.lookup_entries - 1);
    let entry = image.lookup[lookup_index as usize].value();
    if entry == NO_BACKEND {
        return Err(Verdict::DropNoBackend);
    }
    let id = entry & u16::try_from(image.geometry.backends - 1).unwrap_or(u16::MAX);
    Ok(Selected { id, row: &image.backends[usize::from(id)] })
}

/// Maps the high half of a hash to 0..size: `(g[63:32] * size) >> 32`, a multiplication in place of a division.
///
/// # Source
/// Lemire, "Fast random integer generation in an interval", 2019, section 4.
fn scale(g: u64, size: u16) -> u32 {
    (((g >> 32) * u64::from(size)) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use maglane_spec::endian::U16Le;
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::image;

    fn id(image: &TableImage, service: &ServiceRow, g: u64) -> Result<u16, Verdict> {
        // h must not matter.
        select(image, service, FlowHash { h: !g, g }).map(|selected| selected.id)
    }

    fn service(base: u32, size: u16) -> ServiceRow {
        ServiceRow {
            lookup_base: ServiceRow::lookup_base_bytes(base),
            table_size: U16Le::new(size),
            ..ServiceRow::default()
        }
    }

    /// An image whose lookup entries are their own index modulo 256.
    fn numbered() -> TableImage {
        let mut image = image();
        for (entry, id) in image.lookup.iter_mut().zip((0..256).cycle()) {
            *entry = U16Le::new(id);
        }
        image
    }

    #[test]
    fn the_high_half_of_g_scales_to_the_table_size() {
        let (image, service) = (numbered(), service(10, 7));
        assert_eq!(id(&image, &service, 0), Ok(10));
        assert_eq!(id(&image, &service, 0x0000_0000_ffff_ffff), Ok(10), "the low half does not matter");
        assert_eq!(id(&image, &service, u64::MAX), Ok(16));
        // 2^32 / 7 = 613,566,756.57: the first hash of slot 1 is 613,566,757.
        assert_eq!(id(&image, &service, 613_566_756 << 32), Ok(10));
        assert_eq!(id(&image, &service, 613_566_757 << 32), Ok(11));
    }

    #[test]
    fn the_index_wraps_at_the_end_of_the_lookup_memory() {
        let image = numbered();
        let entries = image.geometry.lookup_entries;
        assert_eq!(id(&image, &service(entries - 1, 7), 0), Ok(255));
        assert_eq!(id(&image, &service(entries - 1, 7), u64::MAX), Ok(5));
        assert_eq!(id(&image, &service(entries + 3, 7), 0), Ok(3));
        assert_eq!(id(&image, &service((1 << 24) - 1, 7), u64::MAX), Ok(5), "24 bits wrap too");
    }

    #[test]
    fn a_table_of_size_0_reads_its_base() {
        assert_eq!(id(&numbered(), &service(9, 0), u64::MAX), Ok(9));
    }

    #[test]
    fn empty_entry_has_no_backend_and_one_less_is_taken_modulo_backends() {
        let mut image = image();
        image.lookup[0] = U16Le::new(0xffff);
        assert_eq!(id(&image, &service(0, 1), 0), Err(Verdict::DropNoBackend));
        image.lookup[0] = U16Le::new(0xfffe);
        assert_eq!(id(&image, &service(0, 1), 0), Ok(0xfe));
        image.lookup[0] = U16Le::new(0x0102);
        let selected = select(&image, &service(0, 1), FlowHash { h: 0, g: 0 }).unwrap();
        assert_eq!((selected.id, selected.row), (2, &image.backends[2]));
    }

    #[test]
    fn unknown_selection_or_affinity_is_unsupported_even_without_a_backend() {
        let image = TableImage::empty(maglane_spec::Geometry::LAB);
        for selection in [ServiceRow::SELECTION_TWO_CHOICE, ServiceRow::SELECTION_SEQUENCE, 3, 255] {
            let service = ServiceRow { selection, ..service(0, 1) };
            assert_eq!(id(&image, &service, 0), Err(Verdict::PassUnsupported), "{selection}");
        }
        for (affinity, expected) in
            [0, 1, 2, 3].into_iter().zip([Verdict::DropNoBackend; 3].into_iter().chain([Verdict::PassUnsupported]))
        {
            let service = ServiceRow { flags: affinity << ServiceRow::AFFINITY_SHIFT, ..service(0, 1) };
            assert_eq!(id(&image, &service, 0), Err(expected), "{affinity}");
        }
    }

    proptest! {
        #[test]
        fn scale_is_the_formula_in_wide_numbers(g: u64, size: u16) {
            let expected = (u128::from(g) >> 32) * u128::from(size) / (1 << 32);
            prop_assert_eq!(u128::from(scale(g, size)), expected);
            prop_assert!(scale(g, size) < u32::from(size).max(1));
        }
    }
}
