//! Single values: from the text of a key to a checked type. An error is what to say beside the place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::source::shown;

/// Why a value is refused, and what to do about it.
pub(super) struct Refusal {
    pub(super) message: String,
    pub(super) help: String,
}

fn refuse<T>(message: impl Into<String>, help: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { message: message.into(), help: help.into() })
}

/// A key that stands here for everybody to copy would be no secret.
pub(super) const HASH_KEY_HELP: &str = "a secret of 16 bytes, as 32 digits 0-9, a-f, the same on every instance; make one: \
     `openssl rand -hex 16`, or `head -c 16 /dev/urandom | od -A n -t x1 | tr -d ' \\n'`";

/// 16 bytes written as 32 hexadecimal digits.
pub(super) fn hash_key(text: &str) -> Result<[u8; 16], Refusal> {
    if text.len() == 32
        && text.bytes().all(|digit| digit.is_ascii_hexdigit())
        && let Ok(key) = u128::from_str_radix(text, 16)
    {
        return Ok(key.to_be_bytes());
    }
    refuse(format!("hash_key is not 32 hexadecimal digits: it has {} characters", text.chars().count()), HASH_KEY_HELP)
}

/// Six bytes written as hexadecimal pairs with colons; the address of one station, not of a group and not zero.
pub(super) fn mac(text: &str) -> Result<[u8; 6], Refusal> {
    let mut mac = [0; 6];
    let mut pairs = text.split(':');
    for byte in &mut mac {
        let digits = pairs.next().filter(|pair| pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(value) => *byte = value,
            None => return refuse_mac(text),
        }
    }
    if pairs.next().is_some() {
        return refuse_mac(text);
    }
    match station(mac) {
        Ok(()) => Ok(mac),
        Err(what) => refuse(format!("{text} {what}"), "give the address of one network interface"),
    }
}

/// Says why a MAC address cannot be one network interface's.
pub(super) fn station(mac: [u8; 6]) -> Result<(), &'static str> {
    if mac == [0; 6] {
        return Err("is a MAC address of zeros, which belongs to nobody");
    }
    if mac[0] & 1 == 1 { Err("is a group MAC address: the lowest bit of its first byte is set") } else { Ok(()) }
}

fn refuse_mac<T>(text: &str) -> Result<T, Refusal> {
    refuse(
        format!("\"{}\" is not a MAC address", shown(text)),
        "write six pairs of hexadecimal digits, as in 02:00:00:00:00:01",
    )
}

/// An address that a host can have.
pub(super) fn ip(text: &str) -> Result<IpAddr, Refusal> {
    let Ok(address) = text.parse::<IpAddr>() else {
        return refuse(
            format!("\"{}\" is not an IP address", shown(text)),
            "write an IPv4 address such as 192.0.2.10 or an IPv6 address such as 2001:db8::10, without prefix length",
        );
    };
    if let IpAddr::V6(v6) = address
        && let Some(v4) = v6.to_ipv4_mapped()
    {
        return refuse(format!("{text} is an IPv4-mapped IPv6 address"), format!("write the IPv4 address {v4}"));
    }
    match host(address) {
        Ok(()) => Ok(address),
        Err(what) => refuse(format!("{text} is {what}"), "give the address of one host"),
    }
}

/// Says why an address cannot be one host's.
pub(super) fn host(address: IpAddr) -> Result<(), &'static str> {
    match address {
        address if address.is_unspecified() => Err("the unspecified address"),
        address if address.is_multicast() => Err("a multicast address"),
        IpAddr::V4(v4) if v4.is_broadcast() => Err("the broadcast address"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Err("an IPv4-mapped IPv6 address"),
        _ => Ok(()),
    }
}

/// An IPv4 address that a host can have.
pub(super) fn ipv4(text: &str) -> Result<Ipv4Addr, Refusal> {
    match ip(text)? {
        IpAddr::V4(v4) => Ok(v4),
        IpAddr::V6(_) => refuse(format!("{text} is not an IPv4 address"), "write an IPv4 address such as 10.0.0.1"),
    }
}

/// An IPv6 address that a host can have.
pub(super) fn ipv6(text: &str) -> Result<Ipv6Addr, Refusal> {
    match ip(text)? {
        IpAddr::V6(v6) => Ok(v6),
        IpAddr::V4(_) => refuse(format!("{text} is not an IPv6 address"), "write an IPv6 address such as fd00::1"),
    }
}

/// Longest name, in bytes.
pub(super) const NAME_LEN_MAX: usize = 255;

/// A name that can be printed, and that is not another one's look-alike by characters that nobody sees.
pub(super) fn name(text: &str) -> Result<String, Refusal> {
    if text.is_empty() {
        return refuse("the name is empty", "give it a name, or remove the key where a name is optional");
    }
    if text.len() > NAME_LEN_MAX {
        return refuse(format!("the name has {} bytes", text.len()), format!("use at most {NAME_LEN_MAX}"));
    }
    if text.chars().any(char::is_control) {
        return refuse("the name contains a control character", "use characters that can be printed");
    }
    if let Some(char) = text.chars().find(|&char| is_invisible(char)) {
        let message = format!("the name contains the invisible character U+{:04X}", u32::from(char));
        return refuse(message, "use characters that can be seen");
    }
    if text.trim() != text {
        return refuse("the name begins or ends with a space", "remove the space");
    }
    Ok(text.to_owned())
}

/// Characters without a shape of their own: they separate lines, turn the direction of the text or do nothing at all.
///
/// # Source
/// Unicode 16.0: `Default_Ignorable_Code_Point` of `DerivedCoreProperties.txt`, the line and paragraph separators, and
/// the interlinear annotations. A list of our own, because a file must not be valid or not by the age of a library.
fn is_invisible(char: char) -> bool {
    matches!(
        char,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// The value of one of several words.
pub(super) fn word<T: Copy>(what: &str, text: &str, words: &[(&str, T)]) -> Result<T, Refusal> {
    if let Some(&(_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(value);
    }
    let all: Vec<&str> = words.iter().map(|&(word, _)| word).collect();
    let help = match nearest(text, &all) {
        Some(near) => format!("did you mean {near:?}? Use one of {}", all.join(", ")),
        None => format!("use one of {}", all.join(", ")),
    };
    refuse(format!("unknown {what} \"{}\"", shown(text)), help)
}

/// The word that somebody may have meant.
pub(super) fn nearest<'a>(text: &str, words: &[&'a str]) -> Option<&'a str> {
    // Longer words bear more slips. A huge text is never near, and its distance would take long.
    let near = |word: &&str| text.len() < 64 && strsim::damerau_levenshtein(text, word) <= 1 + word.len() / 4;
    words.iter().copied().filter(near).min_by_key(|word| strsim::damerau_levenshtein(text, word))
}
