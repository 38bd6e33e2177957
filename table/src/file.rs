//! The tables as a file: what `maglane table build --out` writes.
//!
//! # Shape
//! All numbers are little endian.
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 8 | magic, `MAGLANET` |
//! | 8 | 4 | version, 1 |
//! | 12 | 4 | length of the names section in bytes |
//! | 16 | 8 | SipHash-2-4 (k0 = the length at 12, k1 = 0) over all from offset 24 on: finds damage, not malice |
//! | 24 | 20 | geometry: bus bytes, services, backends, lookup entries, flow sets, 4 bytes each |
//! | 44 | 4 | zero |
//! | 48 | | the datapath row, the service, lookup and backend memories, as the hardware holds them |
//! | | | names section: JSON, see [`Names`] |

use maglane_spec::endian::{U16Le, U32Le};
use maglane_spec::row::{BackendRow, DatapathRow, ROW_BYTES, ServiceRow};
use maglane_spec::{Geometry, TableImage};
use serde::{Deserialize, Serialize};

use crate::audit::{self, Flaw};
use crate::config::{Config, ConfigError};
use crate::fill::siphash24;

/// First bytes of a table file.
pub const MAGIC: [u8; 8] = *b"MAGLANET";

/// Version of the format that this crate writes, and the only one that it reads.
pub const VERSION: u32 = 1;

/// Longest names section, in bytes.
pub const NAMES_LEN_MAX: usize = 64 << 20;

const NAMES_LEN_OFFSET: usize = 12;
const CHECKSUM_OFFSET: usize = 16;
const GEOMETRY_OFFSET: usize = 24;
const RESERVED_OFFSET: usize = 44;
const HEADER_BYTES: usize = 48;

/// The tables of one generation with the names of what is in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFile {
    /// The memories.
    pub image: TableImage,
    /// Who the ids are.
    pub names: Names,
}

impl TableFile {
    /// The file's bytes.
    ///
    /// # Panics
    /// When the names do not fit [`NAMES_LEN_MAX`], which those of a configuration do.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let names = serde_json::to_vec(&self.names).unwrap_or_default();
        assert!(names.len() <= NAMES_LEN_MAX, "names are limited where they enter");
        let names_len = u32::try_from(names.len()).unwrap_or(u32::MAX);
        let geometry = &self.image.geometry;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + memories_len(geometry) + names.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&names_len.to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        for size in
            [geometry.bus_bytes, geometry.services, geometry.backends, geometry.lookup_entries, geometry.flow_sets, 0]
        {
            bytes.extend_from_slice(&size.to_le_bytes());
        }
        for (_, memory) in self.image.memories() {
            bytes.extend_from_slice(memory);
        }
        bytes.extend_from_slice(&names);
        let sum = checksum(&bytes, names_len);
        bytes[CHECKSUM_OFFSET..GEOMETRY_OFFSET].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a file, whatever its bytes are. What it returns is consistent: every id, code and range in the tables is
    /// one that the pipeline can use, and every service is where its lookup finds it.
    ///
    /// # Errors
    /// What is wrong, and at which byte.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileError> {
        if bytes.get(..MAGIC.len()) != Some(&MAGIC) {
            return Err(FileError::Magic);
        }
        if bytes.len() < HEADER_BYTES {
            return Err(FileError::Length { expected: HEADER_BYTES, found: bytes.len() });
        }
        let word =
            |offset: usize| U32Le([bytes[offset], bytes[offset + 1], bytes[offset + 2], bytes[offset + 3]]).value();
        let version = word(MAGIC.len());
        if version != VERSION {
            return Err(FileError::Version { found: version });
        }
        let geometry = read_geometry(std::array::from_fn(|index| word(GEOMETRY_OFFSET + 4 * index)))?;
        let names_len = word(NAMES_LEN_OFFSET);
        let names_start = HEADER_BYTES + memories_len(&geometry);
        if names_len as usize > NAMES_LEN_MAX {
            return Err(FileError::NamesLength { found: names_len });
        }
        let expected = names_start + names_len as usize;
        if bytes.len() != expected {
            return Err(FileError::Length { expected, found: bytes.len() });
        }
        if bytes[CHECKSUM_OFFSET..GEOMETRY_OFFSET] != checksum(bytes, names_len).to_le_bytes() {
            return Err(FileError::Checksum);
        }
        if word(RESERVED_OFFSET) != 0 {
            return Err(FileError::Reserved);
        }

        let image = read_memories(geometry, &bytes[HEADER_BYTES..names_start]);
        audit::image(&image)
            .map_err(|Flaw { offset, what }| FileError::Content { offset: HEADER_BYTES + offset, what })?;
        let names: Names = serde_json::from_slice(&bytes[names_start..])
            .map_err(|source| FileError::Names { offset: names_start, source })?;
        audit::names(&names, &image).map_err(|what| FileError::Content { offset: names_start, what })?;
        Ok(Self { image, names })
    }
}

impl Config {
    /// Builds the tables and names what is in them.
    ///
    /// # Errors
    /// Those of [`Config::image`].
    pub fn table_file(&self) -> Result<TableFile, ConfigError> {
        Ok(TableFile { image: self.image()?, names: self.names() })
    }

    /// The names of services and backends by the ids of [`Config::image`].
    #[must_use]
    pub fn names(&self) -> Names {
        let mut ids = 0..;
        let services = (0..).zip(self.services()).map(|(id, service)| ServiceNames {
            id,
            name: service.name.clone(),
            backends: service
                .backends
                .iter()
                .zip(&mut ids)
                .map(|(backend, id)| BackendName { id, name: backend.identity.clone(), weight: backend.fill_weight() })
                .collect(),
        });
        Names { services: services.collect() }
    }
}

/// Who the ids in an image are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// Services, by ascending id.
    pub services: Vec<ServiceNames>,
}

/// A service's name and backends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceNames {
    /// Service id.
    pub id: u16,
    /// Its name.
    pub name: String,
    /// Its backends.
    pub backends: Vec<BackendName>,
}

/// A backend's identity and due share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendName {
    /// Backend id.
    pub id: u16,
    /// Its identity.
    pub name: String,
    /// Weight with which it took part in the fill; 0 when it did not.
    pub weight: u16,
}

/// Why bytes are not a table file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Not our file at all.
    #[error("byte 0: this is not a table file, it does not begin with \"MAGLANET\"")]
    Magic,
    /// A file of another version.
    #[error("byte 8: version {found}, but this program reads version {VERSION}; build the table anew")]
    Version {
        /// The file's version.
        found: u32,
    },
    /// Cut off, or with bytes at its end.
    #[error("byte {}: the file has {found} bytes, but its header says {expected}", found.min(expected))]
    Length {
        /// What the header adds up to.
        expected: usize,
        /// What there is.
        found: usize,
    },
    /// A geometry that no build has.
    #[error("byte {offset}: {key} is {found}, not a power of two from {least} to {most}")]
    Geometry {
        /// Where.
        offset: usize,
        /// Which size.
        key: &'static str,
        /// What it is.
        found: u32,
        /// Least that it may be.
        least: u32,
        /// Most that it may be.
        most: u32,
    },
    /// A names section beyond every limit.
    #[error("byte 12: a names section of {found} bytes, more than {NAMES_LEN_MAX}")]
    NamesLength {
        /// Its length.
        found: u32,
    },
    /// Damage.
    #[error("byte 16: the checksum does not match, the file is damaged")]
    Checksum,
    /// Something where nothing should be.
    #[error("byte 44: the reserved word of the header is not zero")]
    Reserved,
    /// The tables or names contradict themselves.
    #[error("byte {offset}: {what}")]
    Content {
        /// Where.
        offset: usize,
        /// What.
        what: String,
    },
    /// The names section is not what it should be.
    #[error("byte {offset}: the names section: {source}")]
    Names {
        /// Where the section begins.
        offset: usize,
        /// What the parser says, with line and column within the section.
        source: serde_json::Error,
    },
}

fn memories_len(geometry: &Geometry) -> usize {
    DatapathRow::BYTES
        + (geometry.service_rows() + geometry.backends as usize) * ROW_BYTES
        + geometry.lookup_entries as usize * size_of::<U16Le>()
}

fn checksum(bytes: &[u8], names_len: u32) -> u64 {
    siphash24([u64::from(names_len), 0], &bytes[GEOMETRY_OFFSET..])
}

fn read_geometry([bus_bytes, sizes @ ..]: [u32; 5]) -> Result<Geometry, FileError> {
    let check = |index: usize, key, found: u32, least, most| {
        if found.is_power_of_two() && (least..=most).contains(&found) {
            Ok(())
        } else {
            Err(FileError::Geometry { offset: GEOMETRY_OFFSET + 4 * index, key, found, least, most })
        }
    };
    check(0, "bus_bytes", bus_bytes, 32, 64)?;
    for (index, (&found, (key, least, most))) in sizes.iter().zip(Geometry::BOUNDS).enumerate() {
        check(index + 1, key, found, least, most)?;
    }
    let [services, backends, lookup_entries, flow_sets] = sizes;
    Ok(Geometry { bus_bytes, services, backends, lookup_entries, flow_sets })
}

/// The memories of a geometry, from exactly as many bytes as they have.
fn read_memories(geometry: Geometry, bytes: &[u8]) -> TableImage {
    let (datapath, bytes) = bytes.split_at(DatapathRow::BYTES);
    let (services, bytes) = bytes.split_at(geometry.service_rows() * ROW_BYTES);
    let (lookup, backends) = bytes.split_at(geometry.lookup_entries as usize * size_of::<U16Le>());
    TableImage {
        geometry,
        datapath: *bytemuck::from_bytes::<DatapathRow>(datapath),
        services: bytemuck::cast_slice::<u8, ServiceRow>(services).to_vec(),
        lookup: bytemuck::cast_slice::<u8, U16Le>(lookup).to_vec(),
        backends: bytemuck::cast_slice::<u8, BackendRow>(backends).to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A small geometry, so that every byte can be tried.
    fn small() -> TableFile {
        let text = "\
[geometry]
bus_bytes = 32
services = 4
backends = 16
lookup_entries = 256
flow_sets = 16
[datapath]
hash_key = \"000102030405060708090a0b0c0d0e0f\"
mac = \"02:00:00:00:00:01\"
next_hop_mac = \"02:00:00:00:00:fe\"
tunnel_source_v4 = \"10.0.0.1\"
[[service]]
name = \"web\"
address = \"192.0.2.10\"
port = 80
protocol = \"tcp\"
table_size = 31
backend = [{ address = \"10.1.0.1\" }, { address = \"10.1.0.2\", weight = 50 }]
[[service]]
name = \"dns\"
address = \"192.0.2.53\"
protocol = \"udp\"
table_size = 7
backend = [{ address = \"10.1.0.3\" }]
";
        Config::parse("small.toml", text).unwrap().table_file().unwrap()
    }

    /// The bytes of a changed file with the right checksum.
    fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
        let names_len = u32::from_le_bytes(bytes[12..16].try_into().unwrap());
        let sum = checksum(&bytes, names_len);
        bytes[16..24].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// What reading says about a file in which `change` was made to bytes from `offset` on.
    fn error_of(offset: usize, change: &[u8]) -> String {
        let mut bytes = small().to_bytes();
        bytes[offset..offset + change.len()].copy_from_slice(change);
        TableFile::from_bytes(&resealed(bytes)).unwrap_err().to_string()
    }

    #[test]
    fn round_trip_is_the_same() {
        for text in [
            include_str!("../../examples/web.toml"),
            include_str!("../../examples/dual-stack.toml"),
            include_str!("../../examples/many-services.toml"),
        ] {
            let file = Config::parse("example.toml", text).unwrap().table_file().unwrap();
            assert_eq!(TableFile::from_bytes(&file.to_bytes()).unwrap(), file);
        }
    }

    #[test]
    fn any_flipped_bit_is_found() {
        let bytes = small().to_bytes();
        for offset in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[offset] ^= 1 << bit;
                assert!(TableFile::from_bytes(&damaged).is_err(), "bit {bit} of byte {offset}");
            }
        }
    }

    #[test]
    fn any_other_length_is_found() {
        let mut bytes = small().to_bytes();
        for len in 0..bytes.len() {
            assert!(TableFile::from_bytes(&bytes[..len]).is_err(), "{len} bytes");
        }
        bytes.push(0);
        let len = bytes.len();
        let expected = format!("byte {}: the file has {len} bytes, but its header says {}", len - 1, len - 1);
        assert_eq!(TableFile::from_bytes(&bytes).unwrap_err().to_string(), expected);
    }

    #[test]
    fn errors_say_what_and_where() {
        assert_eq!(error_of(0, b"x"), "byte 0: this is not a table file, it does not begin with \"MAGLANET\"");
        assert_eq!(error_of(8, &[2]), "byte 8: version 2, but this program reads version 1; build the table anew");
        assert_eq!(error_of(12, &[0xff; 4]), "byte 12: a names section of 4294967295 bytes, more than 67108864");
        assert_eq!(error_of(24, &[48]), "byte 24: bus_bytes is 48, not a power of two from 32 to 64");
        assert_eq!(error_of(28, &[5]), "byte 28: services is 5, not a power of two from 4 to 1024");
        assert_eq!(error_of(36, &[0; 4]), "byte 36: lookup_entries is 0, not a power of two from 256 to 4194304");
        assert_eq!(error_of(44, &[1]), "byte 44: the reserved word of the header is not zero");
        assert_eq!(error_of(48 + 22, &[0]), "byte 48: the datapath row: ttl is 0");

        // Eight service rows after the datapath row's 96 bytes, then 256 entries of two bytes, then the backends.
        let file = small();
        let rows = 48 + 96;
        let used = file.image.services.iter().position(|row| row.flags & 1 == 1).unwrap();
        let free = file.image.services.iter().position(|row| row.flags & 1 == 0).unwrap();
        let at = |row: usize, offset: usize| rows + row * 32 + offset;
        let says = |row: usize, what: &str| format!("byte {}: service row {row}: {what}", at(row, 0));
        assert_eq!(error_of(at(free, 3), &[1]), says(free, "not in use, but not zero"));
        assert_eq!(error_of(at(used, 18), &[1]), says(used, "neither TCP nor UDP"));
        assert_eq!(error_of(at(used, 20), &[0, 1, 0]), says(used, "a lookup slice past the memory"));
        assert_eq!(error_of(at(used, 28), &[0, 0]), says(used, "a table size outside its range"));
        assert_eq!(error_of(at(used, 30), &[4]), says(used, "an id beyond the geometry"));
        let misplaced = (0..=255u8).map(|byte| error_of_result(at(used, 3), &[byte])).any(|result| {
            result
                .is_err_and(|error| error.to_string() == says(used, "not where its hash leads: no frame would find it"))
        });
        assert!(misplaced);

        let lookup = rows + 8 * 32;
        let entry = format!("byte {}: lookup entry 2 points at backend 3, which does not exist", lookup + 4);
        assert_eq!(error_of(lookup + 4, &[3, 0]), entry);
        let backends = lookup + 256 * 2;
        let backend = |what: &str| format!("byte {}: backend row 1: {what}", backends + 32);
        assert_eq!(error_of(backends + 32 + 26, &[9]), backend("an unknown encapsulation"));
        assert_eq!(error_of(backends + 32 + 27, &[3]), backend("an unknown state"));
        assert_eq!(error_of(backends + 32 + 22, &[1, 0]), backend("an MTU outside its range"));
        let names = backends + 16 * 32;
        assert!(error_of(names, b"[").starts_with(&format!("byte {names}: the names section: ")));
    }

    fn error_of_result(offset: usize, change: &[u8]) -> Result<TableFile, FileError> {
        let mut bytes = small().to_bytes();
        bytes[offset..offset + change.len()].copy_from_slice(change);
        TableFile::from_bytes(&resealed(bytes))
    }

    #[test]
    fn names_must_be_of_what_is_there() {
        let spoil: [fn(&mut Names); 6] = [
            |names| names.services[1].id = 0,
            |names| names.services[1].id = 2,
            |names| names.services[1].name = "web".to_owned(),
            |names| names.services[0].backends[1].id = 2,
            |names| names.services[0].backends[1].name = "a\u{1b}[31m".to_owned(),
            |names| names.services.truncate(1),
        ];
        for (index, spoil) in spoil.into_iter().enumerate() {
            let mut file = small();
            spoil(&mut file.names);
            let error = TableFile::from_bytes(&file.to_bytes()).unwrap_err();
            assert!(matches!(error, FileError::Content { .. }), "{index}: {error}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_give_errors_or_tables_never_panics(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            len in any::<prop::sample::Index>(),
            cut in prop::bool::weighted(0.1),
        ) {
            let mut bytes = small().to_bytes();
            for (index, byte) in changes {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
            if cut {
                bytes.truncate(len.index(bytes.len()).max(24));
            }
            if let Ok(file) = TableFile::from_bytes(&resealed(bytes)) {
                prop_assert_eq!(TableFile::from_bytes(&file.to_bytes()).unwrap(), file.clone());
                // Whoever shows a table may rely on it.
                let _ = file.balance();
                let _ = crate::diff::diff(&file, &small());
            }
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            prop_assert!(TableFile::from_bytes(&bytes).is_err());
            let with_magic = [&MAGIC[..], &VERSION.to_le_bytes(), &bytes].concat();
            prop_assert!(TableFile::from_bytes(&with_magic).is_err());
        }
    }
}
