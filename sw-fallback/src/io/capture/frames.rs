//! The frames of a capture in order.
//!
//! # Source
//! draft-ietf-opsawg-pcap (classic pcap), draft-ietf-opsawg-pcapng, and the registry of link types,
//! <https://www.tcpdump.org/linktypes.html>.

use std::borrow::Cow;
use std::error::Error;

use maglane_spec::limit::FRAME_LEN_SIDEBAND_MAX;
use pcap_file::DataLink;
use pcap_file::pcap::{PcapParseError, PcapParser, PcapTsResolution};
use pcap_file::pcapng::blocks::block_common::{
    Block, ENHANCED_PACKET_BLOCK, PACKET_BLOCK, RawBlock, SIMPLE_PACKET_BLOCK,
};
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::{PcapNgParseError, PcapNgParser};

use super::{CaptureError, CaptureFault};
use crate::engine::Frame;

/// First bytes of classic captures: both byte orders, microseconds and nanoseconds.
const CLASSIC_MAGIC: [[u8; 4]; 4] =
    [[0xa1, 0xb2, 0xc3, 0xd4], [0xd4, 0xc3, 0xb2, 0xa1], [0xa1, 0xb2, 0x3c, 0x4d], [0x4d, 0x3c, 0xb2, 0xa1]];

/// First bytes of a pcapng section, the same in both byte orders.
const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// First bytes of compressed files that captures often come in.
const COMPRESSED_MAGIC: [&[u8]; 4] =
    [&[0x1f, 0x8b], &[0x28, 0xb5, 0x2f, 0xfd], b"BZh", &[0xfd, b'7', b'z', b'X', b'Z']];

/// The low bits of a classic header's link type field; above them is the length of the frame check sequence.
const LINK_TYPE_MASK: u32 = 0xffff;

/// Bit of a classic header's link type field that says the FCS length is given.
const FCS_GIVEN: u32 = 1 << 26;

/// Position of the FCS length in that field, in 16-bit words.
const FCS_SHIFT: u32 = 28;

/// An iterator over a capture's frames.
#[derive(Debug)]
pub struct Frames<'a> {
    file: &'a str,
    rest: &'a [u8],
    parser: Parser,
    /// Packets seen so far, the current one included.
    packets: u64,
}

#[derive(Debug)]
enum Parser {
    /// The header has not been read yet.
    Start,
    Classic(PcapParser),
    Pcapng(Box<PcapNgParser>),
    /// The end, or an error.
    End,
}

impl<'a> Frames<'a> {
    pub(super) fn new(file: &'a str, bytes: &'a [u8]) -> Self {
        Self { file, rest: bytes, parser: Parser::Start, packets: 0 }
    }

    /// Reads the header.
    pub(super) fn check_header(mut self) -> Result<(), CaptureError> {
        self.start().map_err(|fault| CaptureError { file: self.file.to_owned(), packet: None, fault })
    }

    fn start(&mut self) -> Result<(), CaptureFault> {
        let Some(magic) = self.rest.first_chunk::<4>() else {
            return Err(if self.rest.is_empty() { CaptureFault::Empty } else { not_capture(self.rest) });
        };
        if CLASSIC_MAGIC.contains(magic) {
            let (rest, parser) = PcapParser::new(self.rest).map_err(|error| match error {
                PcapParseError::IncompleteBuffer(..) => CaptureFault::HeaderCut,
                PcapParseError::Validation(error) => damaged(&error),
            })?;
            check_classic_link(parser.header().datalink)?;
            (self.rest, self.parser) = (rest, Parser::Classic(parser));
        } else if *magic == PCAPNG_MAGIC {
            let (rest, parser) = PcapNgParser::new(self.rest).map_err(|error| match error {
                PcapNgParseError::IncompleteBuffer(..) => CaptureFault::HeaderCut,
                error => damaged(&error),
            })?;
            (self.rest, self.parser) = (rest, Parser::Pcapng(Box::new(parser)));
        } else {
            return Err(not_capture(self.rest));
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<Option<Frame<'a>>, CaptureFault> {
        if matches!(self.parser, Parser::Start) {
            self.start()?;
        }
        match &mut self.parser {
            Parser::Start | Parser::End => Ok(None),
            Parser::Classic(_) if self.rest.is_empty() => Ok(None),
            Parser::Classic(parser) => {
                self.packets += 1;
                let (rest, frame) = next_classic(parser, self.rest)?;
                self.rest = rest;
                Ok(Some(frame))
            }
            Parser::Pcapng(parser) => {
                while !self.rest.is_empty() {
                    let (rest, block) = next_block(parser, self.rest, &mut self.packets)?;
                    self.rest = rest;
                    if let Some(frame) = packet(parser, block)? {
                        return Ok(Some(frame));
                    }
                }
                Ok(None)
            }
        }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.advance() {
            Ok(frame) => frame.map(Ok),
            Err(fault) => {
                self.parser = Parser::End;
                let packet = (self.packets > 0).then_some(self.packets);
                Some(Err(CaptureError { file: self.file.to_owned(), packet, fault }))
            }
        }
    }
}

fn next_classic<'a>(parser: &PcapParser, bytes: &'a [u8]) -> Result<(&'a [u8], Frame<'a>), CaptureFault> {
    // The raw packet: a length beyond the snapshot length or a fraction beyond a second is no reason to refuse.
    let (rest, packet) = parser.next_raw_packet(bytes).map_err(|error| match error {
        // A length that no frame has is damage, not a cut.
        PcapParseError::IncompleteBuffer(needed, _) if needed > FRAME_LEN_SIDEBAND_MAX => {
            CaptureFault::TooLong { bytes: needed as u64 }
        }
        PcapParseError::IncompleteBuffer(..) => CaptureFault::PacketCut,
        PcapParseError::Validation(error) => damaged(&error),
    })?;
    let fraction_ns = match parser.header().ts_resolution {
        PcapTsResolution::MicroSecond => 1_000,
        PcapTsResolution::NanoSecond => 1,
    };
    // 2^32 s are 4.3 * 10^18 ns: both terms fit.
    let time_ns = u64::from(packet.ts_sec) * 1_000_000_000 + u64::from(packet.ts_frac) * fraction_ns;
    Ok((rest, Frame { time_ns, bytes: frame_bytes(packet.data)? }))
}

/// The next block of a pcapng file; counts it if it is a packet.
fn next_block<'a>(
    parser: &mut PcapNgParser,
    bytes: &'a [u8],
    packets: &mut u64,
) -> Result<(&'a [u8], RawBlock<'a>), CaptureFault> {
    match parser.next_raw_block(bytes) {
        Ok((rest, block)) => {
            if matches!(block.type_, ENHANCED_PACKET_BLOCK | SIMPLE_PACKET_BLOCK | PACKET_BLOCK) {
                *packets += 1;
            }
            Ok((rest, block))
        }
        // Broken here is what comes after the packets seen so far.
        Err(error) => {
            *packets += 1;
            Err(match error {
                PcapNgParseError::IncompleteBuffer(..) => CaptureFault::PacketCut,
                error => damaged(&error),
            })
        }
    }
}

/// The frame in a block, if it is a packet's. A simple packet block has no time: it gets 0.
fn packet<'a>(parser: &PcapNgParser, block: RawBlock<'a>) -> Result<Option<Frame<'a>>, CaptureFault> {
    if !matches!(block.type_, ENHANCED_PACKET_BLOCK | SIMPLE_PACKET_BLOCK | PACKET_BLOCK) {
        return Ok(None);
    }
    let (interface, time, data) = match block.try_into_block(parser.state()).map_err(|error| damaged(&error))? {
        Block::EnhancedPacket(packet) => (packet.interface_id, Some(packet.timestamp), packet.data),
        Block::Packet(packet) => (u32::from(packet.interface_id), Some(packet.timestamp), packet.data),
        Block::SimplePacket(packet) => (0, None, packet.data),
        _ => return Ok(None),
    };
    check_interface(parser, interface)?;
    let time_ns = match time {
        Some(time) => u64::try_from(time.as_nanos()).map_err(|_| CaptureFault::Time)?,
        None => 0,
    };
    Ok(Some(Frame { time_ns, bytes: frame_bytes(data)? }))
}

/// That a packet's interface is there and Ethernet. Interfaces without packets may be anything.
fn check_interface(parser: &PcapNgParser, interface: u32) -> Result<(), CaptureFault> {
    let description =
        usize::try_from(interface).ok().and_then(|index| parser.interfaces().get(index)).ok_or_else(|| {
            CaptureFault::Damaged { what: format!("the packet's interface {interface} is not described") }
        })?;
    check_link(description.linktype)?;
    for option in &description.options {
        if let InterfaceDescriptionOption::IfFcsLen(bits @ 1..) = option {
            return Err(CaptureFault::Fcs { bytes: u32::from(*bits).div_ceil(8) });
        }
    }
    Ok(())
}

fn check_classic_link(field: DataLink) -> Result<(), CaptureFault> {
    let field = u32::from(field);
    check_link(DataLink::from(field & LINK_TYPE_MASK))?;
    let fcs_words = if field & FCS_GIVEN == 0 { 0 } else { field >> FCS_SHIFT };
    if fcs_words > 0 { Err(CaptureFault::Fcs { bytes: fcs_words * 2 }) } else { Ok(()) }
}

fn check_link(link: DataLink) -> Result<(), CaptureFault> {
    match link {
        DataLink::ETHERNET => Ok(()),
        DataLink::Unknown(code) => Err(CaptureFault::LinkType { link: "unknown".to_owned(), code }),
        link => Err(CaptureFault::LinkType { link: format!("{link:?}"), code: link.into() }),
    }
}

fn frame_bytes(data: Cow<'_, [u8]>) -> Result<&[u8], CaptureFault> {
    let Cow::Borrowed(bytes) = data else {
        return Err(CaptureFault::Damaged { what: "the parser copied a packet".to_owned() });
    };
    if bytes.len() > FRAME_LEN_SIDEBAND_MAX {
        return Err(CaptureFault::TooLong { bytes: bytes.len() as u64 });
    }
    Ok(bytes)
}

fn not_capture(bytes: &[u8]) -> CaptureFault {
    let compressed = COMPRESSED_MAGIC.iter().any(|magic| bytes.starts_with(magic));
    CaptureFault::NotCapture {
        hint: if compressed { "it looks compressed: decompress it first" } else { "convert it with `editcap`" },
    }
}

/// The parser's message with all its causes.
fn damaged(error: &dyn Error) -> CaptureFault {
    let mut what = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        what = format!("{what}: {error}");
        cause = error.source();
    }
    CaptureFault::Damaged { what }
}
