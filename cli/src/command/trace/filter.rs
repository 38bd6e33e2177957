//! Which frames are to be explained: those of a tuple, as far as it is given, and those that could be of it.

mod reading;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use maglane_spec::wire::{ipv4, ipv6};

use self::reading::Reading;

/// A tuple, of which any part may be left open.
///
/// A frame matches when all parts that are given do. A part that cannot be read of a packet, because the packet is a later
/// piece of a datagram, say, or cut off, does not keep it away, as long as the addresses can be read and match. An ICMP
/// error matches also by the flow that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    source_port: Option<u16>,
    destination_port: Option<u16>,
    protocol: Option<Protocol>,
}

/// The protocols that a filter may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Tcp,
    Udp,
    /// That of either family.
    Icmp,
}

/// Why a text is no filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrongFilter(String);

impl Filter {
    /// One that every frame matches, whatever is in it.
    pub(crate) const ALL: Self =
        Self { source: None, destination: None, source_port: None, destination_port: None, protocol: None };

    /// Whether a frame is one of those that are asked for.
    pub(crate) fn matches(&self, frame: &[u8]) -> bool {
        if *self == Self::ALL {
            return true;
        }
        let Some(reading) = Reading::of_frame(frame) else { return false };
        self.fits(&reading) || reading.about(frame).is_some_and(|about| self.fits(&about))
    }

    fn fits(&self, reading: &Reading) -> bool {
        let Self { source, destination, source_port, destination_port, protocol } = self;
        source.is_none_or(|own| own == reading.source)
            && destination.is_none_or(|own| own == reading.destination)
            && open(*protocol, reading.protocol, |own, number| own.is(number))
            && open(*source_port, reading.ports.map(|[source, _]| source), |own, port| own == port)
            && open(*destination_port, reading.ports.map(|[_, destination]| destination), |own, port| own == port)
            // That there are no ports to be read is known of a protocol that has none.
            && (source_port.or(*destination_port).is_none() || reading.may_have_ports())
    }

    /// What contradicts itself would be waited for in vain.
    fn check(self) -> Result<Self, WrongFilter> {
        if let (Some(source), Some(destination)) = (self.source, self.destination)
            && source.is_ipv4() != destination.is_ipv4()
        {
            return Err(WrongFilter("`src` and `dst` are of two families, and no packet is".to_owned()));
        }
        let port = self.source_port.map(|_| "sport").or(self.destination_port.map(|_| "dport"));
        match port {
            Some(key) if self.protocol == Some(Protocol::Icmp) => Err(WrongFilter(format!(
                "`{key}` does not go with proto=icmp, which has no ports; errors about a flow match by its own proto"
            ))),
            _ => Ok(self),
        }
    }
}

impl FromStr for Filter {
    type Err = WrongFilter;

    fn from_str(text: &str) -> Result<Self, WrongFilter> {
        let mut filter = Self::ALL;
        for part in text.split(',') {
            let Some((key, value)) = part.split_once('=') else {
                return Err(WrongFilter(format!("`{}` is not KEY=VALUE; {KEYS}", shown(part))));
            };
            match key {
                "src" => put(&mut filter.source, key, value, "an address")?,
                "dst" => put(&mut filter.destination, key, value, "an address")?,
                "sport" => put(&mut filter.source_port, key, value, "a port, 0 to 65535")?,
                "dport" => put(&mut filter.destination_port, key, value, "a port, 0 to 65535")?,
                "proto" => put(&mut filter.protocol, key, value, "tcp, udp or icmp")?,
                _ => return Err(WrongFilter(format!("there is no key `{}`; {KEYS}", shown(key)))),
            }
        }
        filter.check()
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.source.map(|address| format!("src={address}")),
            self.destination.map(|address| format!("dst={address}")),
            self.source_port.map(|port| format!("sport={port}")),
            self.destination_port.map(|port| format!("dport={port}")),
            self.protocol.map(|protocol| format!("proto={}", protocol.name())),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join(","))
    }
}

impl Protocol {
    const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Icmp];

    const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }

    const fn is(self, number: u8) -> bool {
        match self {
            Self::Tcp => number == ipv4::PROTOCOL_TCP,
            Self::Udp => number == ipv4::PROTOCOL_UDP,
            Self::Icmp => matches!(number, ipv4::PROTOCOL_ICMP | ipv6::NEXT_HEADER_ICMPV6),
        }
    }
}

impl FromStr for Protocol {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name).ok_or(())
    }
}

impl fmt::Display for WrongFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongFilter {}

/// Whether a part that is given is what was read; what was not given or could not be read is open.
fn open<T: Copy, R: Copy>(given: Option<T>, read: Option<R>, same: impl Fn(T, R) -> bool) -> bool {
    given.zip(read).is_none_or(|(given, read)| same(given, read))
}

/// Takes a key's value, once.
fn put<T: FromStr>(place: &mut Option<T>, key: &str, value: &str, what: &str) -> Result<(), WrongFilter> {
    if place.is_some() {
        return Err(WrongFilter(format!("`{key}` is there twice")));
    }
    let parsed = value.parse().map_err(|_| WrongFilter(format!("`{key}` is {what}, not `{}`", shown(value))))?;
    *place = Some(parsed);
    Ok(())
}

/// A text from outside as an error has it: nothing that a terminal obeys, and not all of a long one.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    crate::output::printable(&short)
}

/// Characters of a wrong word that are repeated.
const SHOWN_CHARS_MAX: usize = 40;
/// What there is.
const KEYS: &str = "the keys are src, dst, sport, dport and proto, as in src=198.51.100.7,dport=443";

#[cfg(test)]
mod tests;
