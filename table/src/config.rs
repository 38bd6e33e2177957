//! The configuration: a TOML file in, a checked model out.
//!
//! What has been parsed is valid: names are unique, numbers in range, everything fits the geometry. The unit of work
//! is one file. It knows the file's places, so that whatever fails later can still point at the line.

mod check;
mod error;
mod fit;
mod raw;
mod service;
mod source;
mod syntax;
mod value;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;
use std::ops::Range;
use std::sync::Arc;

use maglane_spec::Geometry;
use maglane_spec::limit::{CONFIG_LEN_MAX, TABLE_SIZE_MAX};
use maglane_spec::row::{BackendRow, ServiceRow};

pub use error::{ConfigError, PROBLEMS_MAX, Problem};

pub(crate) use error::Problems;
use source::Source;
pub(crate) use source::shown;

/// A MAC address, in network order.
pub type Mac = [u8; 6];

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    geometry: Geometry,
    names_geometry: bool,
    datapath: Datapath,
    services: Vec<Service>,
    source: Arc<Source>,
}

impl Config {
    /// Parses a configuration file's text; `name` is what errors call the file.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place and the remedy. A file that is not TOML, or has a key or
    /// a type that the format does not know, is reported up to the first such place only.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        // Editors do not show a byte order mark, so it takes no column.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let fail = |text: &str, problems| {
            ConfigError::new(Arc::new(Source { name: name.to_owned(), text: text.to_owned() }), problems)
        };
        if text.len() > CONFIG_LEN_MAX {
            let problem = Problem::nowhere(format!("the file has {} bytes", text.len()))
                .help(format!("a configuration has at most {CONFIG_LEN_MAX} bytes"));
            return Err(fail("", problem.into()));
        }
        let file =
            toml::from_str::<raw::File>(text).map_err(|error| fail(text, syntax::problem(&error, text).into()))?;
        let names_geometry = file.names_geometry();
        let (geometry, datapath, services) = check::file(file, text.len()).map_err(|problems| fail(text, problems))?;
        let source = Arc::new(Source { name: name.to_owned(), text: text.to_owned() });
        Ok(Self { geometry, names_geometry, datapath, services, source })
    }

    /// Sizes of the tables.
    #[must_use]
    pub const fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Whether the sizes are the file's choice, or those of a file that does not choose.
    #[must_use]
    pub const fn names_geometry(&self) -> bool {
        self.names_geometry
    }

    /// What all frames share.
    #[must_use]
    pub const fn datapath(&self) -> &Datapath {
        &self.datapath
    }

    /// Services in file order.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// An error of the configuration that shows up later than in parsing.
    pub(crate) fn error(&self, problems: Problems) -> ConfigError {
        ConfigError::new(Arc::clone(&self.source), problems)
    }
}

/// What all frames share.
#[derive(Clone, Debug)]
pub struct Datapath {
    /// SipHash key of the flow hash, as written.
    pub hash_key: [u8; 16],
    /// Our MAC.
    pub mac: Mac,
    /// Where frames go whose backend names no next hop.
    pub next_hop_mac: Option<Mac>,
    /// Source of outer IPv4 headers; there when a backend is IPv4.
    pub tunnel_source_v4: Option<Ipv4Addr>,
    /// Source of outer IPv6 headers; there when a backend is IPv6.
    pub tunnel_source_v6: Option<Ipv6Addr>,
    /// TTL or hop limit of outer headers.
    pub ttl: u8,
    /// Low bits of the outer IPv4 source that hash bits replace.
    pub source_entropy_bits: u8,
    /// Frames for another MAC go to the host.
    pub check_mac: bool,
    /// Length of a tick in milliseconds.
    pub tick_ms: u32,
    /// Timeouts of the states new, established, closing, in ticks.
    pub timeout_ticks: [u8; 3],
}

/// A virtual address and those who serve it.
#[derive(Clone, Debug)]
pub struct Service {
    /// Unique name.
    pub name: String,
    /// VIP.
    pub address: IpAddr,
    /// Destination port; none for all ports.
    pub port: Option<NonZeroU16>,
    /// Transport protocol.
    pub protocol: Protocol,
    /// How the lookup slice is filled.
    pub scheduler: Scheduler,
    /// Which fields of a packet choose the backend.
    pub affinity: Affinity,
    /// Entries of the lookup slice: a prime where a Maglev fill uses it, and with round robin the length of the
    /// sequence, whatever the file says.
    pub table_size: u16,
    /// GRE key of frames to the backends.
    pub gre_key: Option<u32>,
    /// Whether the service takes frames.
    pub enabled: bool,
    /// Backends in file order.
    pub backends: Vec<Backend>,
    /// Place in the file.
    pub(crate) place: Range<usize>,
}

impl Service {
    /// Entries of one slice with its padding: a service's slice starts on a 32-bit word.
    #[must_use]
    pub const fn slice_entries(&self) -> u32 {
        slice_entries(self.table_size)
    }
}

/// A destination of a service's frames.
#[derive(Clone, Debug)]
pub struct Backend {
    /// What the lookup table depends on: the name, or else the address as canonical text.
    pub identity: String,
    /// Address; its family is the outer header's.
    pub address: IpAddr,
    /// Share of new flows.
    pub weight: u16,
    /// What frames it takes.
    pub state: State,
    /// Load for two-choice selection.
    pub load: u8,
    /// Largest outer IP packet in bytes.
    pub mtu: u16,
    /// Next hop of its own.
    pub next_hop_mac: Option<Mac>,
    /// Place in the file.
    pub(crate) place: Range<usize>,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// The words of the configuration file.
            pub const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant),)*];

            /// The word of the configuration file.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

words! {
    /// Transport protocol of a service.
    Protocol {
        /// TCP.
        Tcp = "tcp",
        /// UDP.
        Udp = "udp",
    }
}

words! {
    /// How a lookup slice is filled, and how the pipeline reads it.
    Scheduler {
        /// Weighted Maglev hashing.
        Maglev = "maglev",
        /// A ring of virtual nodes.
        Ring = "ring",
        /// Maglev hashing over the client's address.
        SourceHash = "source-hash",
        /// Weighted round robin: new flows take the slots in turn.
        RoundRobin = "round-robin",
        /// Maglev hashing whose weights a controller recomputes from flow counts; here it starts from those of the
        /// file.
        LeastConnections = "least-connections",
        /// Maglev hashing with two candidates, of which the less loaded is taken.
        ///
        /// # Source
        /// Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS 12(10), 2001.
        TwoChoice = "two-choice",
    }
}

words! {
    /// Which fields of a packet choose its backend.
    Affinity {
        /// The whole 5-tuple.
        FiveTuple = "five-tuple",
        /// Source address, destination address and protocol.
        ClientProtocol = "client-protocol",
        /// Source address alone.
        Client = "client",
    }
}

words! {
    /// What frames a backend takes.
    State {
        /// All.
        Up = "up",
        /// Those of existing flows.
        Draining = "draining",
        /// None.
        Down = "down",
    }
}

impl Protocol {
    /// IP protocol number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

impl Scheduler {
    /// Selection code of the service row.
    #[must_use]
    pub const fn selection(self) -> u8 {
        match self {
            Self::Maglev | Self::Ring | Self::SourceHash | Self::LeastConnections => ServiceRow::SELECTION_HASH,
            Self::TwoChoice => ServiceRow::SELECTION_TWO_CHOICE,
            Self::RoundRobin => ServiceRow::SELECTION_SEQUENCE,
        }
    }
}

impl Affinity {
    /// Code of the service row.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::FiveTuple => ServiceRow::AFFINITY_FIVE_TUPLE,
            Self::ClientProtocol => ServiceRow::AFFINITY_CLIENT_PROTOCOL,
            Self::Client => ServiceRow::AFFINITY_CLIENT,
        }
    }
}

impl State {
    /// Code of the backend row.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Up => BackendRow::STATE_UP,
            Self::Draining => BackendRow::STATE_DRAINING,
            Self::Down => BackendRow::STATE_DOWN,
        }
    }
}

/// Entries of a slice of `table_size`, rounded up to a whole 32-bit word.
#[must_use]
pub const fn slice_entries(table_size: u16) -> u32 {
    (table_size as u32).next_multiple_of(2)
}

/// Whether a text can be the name of a service or the identity of a backend.
pub(crate) fn is_name(text: &str) -> bool {
    value::name(text).is_ok()
}

/// Whether an address can be one host's.
pub(crate) fn is_host(address: IpAddr) -> bool {
    value::host(address).is_ok()
}

/// Reads the MAC address of one network interface.
///
/// # Errors
/// What is wrong with the text, and how it is written.
pub fn parse_mac(text: &str) -> Result<Mac, String> {
    value::mac(text).map_err(|refusal| format!("{}; {}", refusal.message, refusal.help))
}

/// Whether a MAC address can be one network interface's.
pub(crate) fn is_station(mac: Mac) -> bool {
    value::station(mac).is_ok()
}

/// Table size of a service that names none.
// Below 2^16 by definition.
#[allow(clippy::cast_possible_truncation)]
pub(crate) const TABLE_SIZE_DEFAULT: u16 = TABLE_SIZE_MAX as u16;

#[cfg(test)]
mod tests;
