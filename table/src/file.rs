//! The tables as a file: what `maglane table build --out` writes.
//!
//! # Shape
//! All numbers are little endian.
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 8 | magic, `MAGLANET` |
//! | 8 | 4 | version, 2 |
//! | 12 | 4 | length of the names section in bytes |
//! | 16 | 8 | SipHash-2-4 (k0 = the length at 12, k1 = 0) over all from offset 24 on: finds damage, not malice |
//! | 24 | 20 | geometry: bus bytes, services, backends, lookup entries, flow sets, 4 bytes each |
//! | 44 | 4 | zero |
//! | 48 | | the datapath row, the service, lookup and backend memories, as the hardware holds a side of them |
//! | | | names section: JSON, see [`Names`] |

use maglane_spec::endian::{U16Le, U32Le};
use maglane_spec::row::{BackendRow, DatapathRow, ROW_BYTES, ServiceRow};
use maglane_spec::{Geometry, TableImage};
use serde::{Deserialize, Serialize};

use crate::audit::{self, Flaw};
use crate::config::{self, Backend, Config, ConfigError};
use crate::fill::siphash24;
use crate::ids::Ids;

/// First bytes of a table file.
pub const MAGIC: [u8; 8] = *b"MAGLANET";

/// Version of the format that this crate writes, and the only one that it reads.
pub const VERSION: u32 = 2;

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
            .map_err(|error| FileError::Names { offset: names_start, what: names_error(&error) })?;
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
        let ids = Ids::fresh(self);
        let backend =
            |id, backend: &Backend| BackendName { id, name: backend.identity.clone(), weight: backend.fill_weight() };
        let services = self.services().iter().enumerate().map(|(index, service)| ServiceNames {
            id: ids.service(index),
            name: service.name.clone(),
            backends: (0..).zip(&service.backends).map(|(own, one)| backend(ids.backend(index, own), one)).collect(),
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
    #[error("byte {offset}: the names section: {what}")]
    Names {
        /// Where the section begins.
        offset: usize,
        /// What the parser says, with line and column within the section; as text, because it quotes the file.
        what: String,
    },
}

/// What the parser says, its place first, because what it quotes may be long.
fn names_error(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let said = error.to_string();
    let what = said.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&said);
    format!("line {line}, column {column}: {}", config::shown(what))
}

fn memories_len(geometry: &Geometry) -> usize {
    DatapathRow::BYTES
        + (geometry.service_rows() + geometry.backends as usize) * ROW_BYTES
        + geometry.lookup_side_entries() as usize * size_of::<U16Le>()
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
    let (lookup, backends) = bytes.split_at(geometry.lookup_side_entries() as usize * size_of::<U16Le>());
    TableImage {
        geometry,
        datapath: *bytemuck::from_bytes::<DatapathRow>(datapath),
        services: bytemuck::cast_slice::<u8, ServiceRow>(services).to_vec(),
        lookup: bytemuck::cast_slice::<u8, U16Le>(lookup).to_vec(),
        backends: bytemuck::cast_slice::<u8, BackendRow>(backends).to_vec(),
    }
}

#[cfg(test)]
mod tests;
