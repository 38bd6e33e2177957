//! Limits of the slow path: whatever comes, it keeps no more and answers no more often.

/// Answers of a kind ("too big"; echo replies) a second. Linux answers the whole world a thousand times a second, too
/// (`icmp_msgs_per_sec`).
pub const ANSWERS_PER_SECOND: u64 = 1_000;
/// Answers of a kind that may be given at once, after silence.
pub const ANSWERS_AT_ONCE: u64 = 100;

/// Datagrams at most of which pieces wait for the first one.
pub const WAITING_DATAGRAMS_MAX: usize = 1_024;
/// Pieces of a datagram that wait, at most: 64 of 1,480 bytes are more than the longest packet.
pub const WAITING_PIECES_MAX: usize = 64;
/// Bytes of the frames of a datagram that wait, at most: the longest packet, and 64 of headers a piece.
pub const WAITING_BYTES_MAX: usize = 65_536 + WAITING_PIECES_MAX * 64;
/// Bytes of all frames that wait, at most.
pub const WAITING_BYTES_IN_ALL_MAX: usize = 4 << 20;
/// How long pieces wait for the first one, from when the first of them came, in nanoseconds. Reordering on a path is a
/// matter of milliseconds.
pub const WAIT_NS: u64 = 1_000_000_000;

/// Datagrams at most whose backend is known.
pub const PLACED_DATAGRAMS_MAX: usize = 16_384;
/// How long a datagram's backend is known, from its first piece on, in nanoseconds. Shorter than a receiver waits (RFC 791,
/// section 3.2: 15 s), because a fast sender comes round to the same identification sooner (RFC 4963).
pub const PLACE_NS: u64 = 5_000_000_000;

/// Frames in an outbox at most.
pub const OUTBOX_FRAMES_MAX: usize = 4_096;
/// Bytes in an outbox at most: 32 first pieces of a burst that each release all that may wait for one.
pub const OUTBOX_BYTES_MAX: usize = 4 << 20;
