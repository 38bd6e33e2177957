//! TCP and UDP, as far as the pipeline reads them.
//!
//! # Source
//! RFC 9293, section 3.1; RFC 768.

/// Offset of the source port, in both protocols.
pub const SOURCE_PORT: usize = 0;
/// Offset of the destination port, in both protocols.
pub const DESTINATION_PORT: usize = 2;
/// Bytes of a TCP header without options.
pub const TCP_HEADER_LEN: usize = 20;
/// Offset of the TCP data offset, in the high nibble, in 32-bit words.
pub const TCP_DATA_OFFSET: usize = 12;
/// Bytes of a UDP header.
pub const UDP_HEADER_LEN: usize = 8;

/// Offset of the TCP flags.
pub const TCP_FLAGS: usize = 13;
/// TCP flag: no more data from the sender (RFC 9293, section 3.1).
pub const TCP_FLAG_FIN: u8 = 0x01;
/// TCP flag: synchronise sequence numbers.
pub const TCP_FLAG_SYN: u8 = 0x02;
/// TCP flag: reset the connection.
pub const TCP_FLAG_RST: u8 = 0x04;
