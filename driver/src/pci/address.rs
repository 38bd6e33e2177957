//! Where on the bus a device is: `0000:03:00.0`.

use std::fmt;
use std::str::FromStr;

use super::PciError;

/// Address of a device's function.
///
/// # Shape
/// `0000:03:00.0`: domain, bus, device (0 to 1f) and function (0 to 7), in hexadecimal; the domain may be left out when it
/// is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PciAddress {
    /// Domain; some bridges make ones above 16 bits.
    pub domain: u32,
    /// Bus.
    pub bus: u8,
    /// Device, below 32.
    pub device: u8,
    /// Function, below 8.
    pub function: u8,
}

impl FromStr for PciAddress {
    type Err = PciError;

    fn from_str(text: &str) -> Result<Self, PciError> {
        parse_address(text).ok_or_else(|| PciError::Address { text: text.to_owned() })
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, bus, device, function } = self;
        write!(formatter, "{domain:04x}:{bus:02x}:{device:02x}.{function:x}")
    }
}

fn parse_address(text: &str) -> Option<PciAddress> {
    let number = |digits: &str, len_max: usize| {
        let fits = (1..=len_max).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        fits.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
    };
    let small =
        |digits, max: u8| number(digits, 2).and_then(|value| u8::try_from(value).ok()).filter(|&value| value <= max);
    let (rest, function) = text.rsplit_once('.')?;
    let (rest, device) = rest.rsplit_once(':')?;
    let (domain, bus) = rest.rsplit_once(':').unwrap_or(("0", rest));
    Some(PciAddress {
        domain: number(domain, 8)?,
        bus: small(bus, u8::MAX)?,
        device: small(device, 0x1f)?,
        function: small(function, 7)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_domain_and_written_in_full() {
        for (text, full) in [
            ("03:00.0", "0000:03:00.0"),
            ("0000:03:00.0", "0000:03:00.0"),
            ("a:B1:1f.7", "000a:b1:1f.7"),
            ("10000:01:00.0", "10000:01:00.0"),
        ] {
            assert_eq!(text.parse::<PciAddress>().unwrap().to_string(), full);
        }
        for text in
            ["", "3", "03:00", "03:20.0", "03:00.8", "100:00.0", "+3:00.0", "0:0:3:0.0", "03:00.", "x:00.0", ":00.0"]
        {
            assert!(matches!(text.parse::<PciAddress>(), Err(PciError::Address { .. })), "{text}");
        }
    }
}
