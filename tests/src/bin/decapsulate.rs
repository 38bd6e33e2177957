//! A backend's GRE tunnel in user space, for kernels without one: `decapsulate DEVICE`.
//!
//! Packets of protocol 47 that reach this machine lose their outer header and their GRE header, and come in again at a TUN
//! device of that name. It stands for `ip tunnel add ... mode gre` in the lab of `tests/lab/curl.sh`, and is part of that,
//! not of the product: it looks at no checksum, no key and no sender. It says `ready` when nothing can be lost any more.

use std::io::Read;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result, bail};
use maglane_sw::io::tap::{Layer, Tap};
use socket2::{Domain, Protocol, Socket, Type};

/// The number of GRE among the protocols above IP.
const GRE: i32 = 47;
/// The longest packet of IP.
const PACKET_LEN_MAX: usize = 65_535;

/// Of the first byte of a GRE header: what else is in the header, four bytes each (RFC 2784 and 2890, section 2).
const CHECKSUM: u8 = 0x80;
const KEY: u8 = 0x20;
const SEQUENCE: u8 = 0x10;
/// Of the second byte: the version, which is 0.
const VERSION: u8 = 0x07;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("decapsulate: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<()> {
    let Some(device) = std::env::args().nth(1) else { bail!("usage: decapsulate DEVICE") };
    let tun = Tap::open(&device, Layer::Packets)?;
    let socket = |domain| {
        Socket::new(domain, Type::RAW, Some(Protocol::from(GRE))).context("cannot receive packets of protocol 47")
    };
    let [four, six] = [socket(Domain::IPV4)?, socket(Domain::IPV6)?];
    println!("ready");
    thread::scope(|scope| {
        let tun = &tun;
        // A raw socket of IPv4 yields the outer header too, one of IPv6 does not.
        let four = scope.spawn(move || relay(&four, tun, ipv4_header_len));
        relay(&six, tun, |_| 0)?;
        four.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Takes packets from a socket for ever; `outer_len` is how many bytes of one are its outer header.
fn relay(mut socket: &Socket, tun: &Tap, outer_len: impl Fn(&[u8]) -> usize) -> Result<()> {
    let mut buffer = vec![0; PACKET_LEN_MAX];
    loop {
        let len = socket.read(&mut buffer).context("cannot receive")?;
        let packet = &buffer[..len];
        if let Some(inner) = packet.get(outer_len(packet)..).and_then(decapsulated) {
            tun.send(inner)?;
        }
    }
}

/// Bytes of an IPv4 header.
fn ipv4_header_len(packet: &[u8]) -> usize {
    packet.first().map_or(0, |first| 4 * usize::from(first & 0x0f))
}

/// What is behind a GRE header, if it is one of version 0 and carries IP.
fn decapsulated(packet: &[u8]) -> Option<&[u8]> {
    let &[flags, version, high, low, ..] = packet else { return None };
    let options = [CHECKSUM, KEY, SEQUENCE].iter().filter(|&&flag| flags & flag != 0).count();
    let carries_ip = matches!(u16::from_be_bytes([high, low]), 0x0800 | 0x86dd);
    if version & VERSION != 0 || !carries_ip { None } else { packet.get(4 + 4 * options..) }
}
