//! Messages of the vfio-user protocol, version 0.1, as far as a card needs them that does no DMA and interrupts nobody.
//!
//! Both ends are made of them: the client beside this file, and the server of a simulated card. Its unit is the message.
//!
//! # Shape
//! A header of [`HEADER_BYTES`], then what the command says; numbers are in the host's order, which is little endian on
//! all machines that this project is for.
//!
//! # Source
//! "vfio-user Protocol Specification" in QEMU's `docs/interop/vfio-user.rst`; region numbers and flags as
//! in `linux/vfio.h`.

/// Length of a header.
pub const HEADER_BYTES: usize = 16;
/// Length of [`RegionAccess`].
pub const REGION_ACCESS_BYTES: usize = 16;
/// Length of [`RegionInfo`].
pub const REGION_INFO_BYTES: usize = 32;
/// Length of what a [`DEVICE_INFO`] asks and answers: its own length, flags, number of regions, number of interrupts.
pub const DEVICE_INFO_BYTES: usize = 16;
/// Length of the two numbers of a [`VERSION`], behind which a text in JSON may follow.
pub const VERSION_BYTES: usize = 4;
/// Longest text of a [`VERSION`].
pub const VERSION_TEXT_LEN_MAX: usize = 4_096;

/// Agrees on a version; the first command of a client.
pub const VERSION: u16 = 1;
/// Lets the device reach memory of the client.
pub const DMA_MAP: u16 = 2;
/// Takes that back.
pub const DMA_UNMAP: u16 = 3;
/// Asks for the number of regions and interrupts.
pub const DEVICE_INFO: u16 = 4;
/// Asks for a region's length.
pub const REGION_INFO: u16 = 5;
/// Asks for the interrupts of one kind.
pub const IRQ_INFO: u16 = 7;
/// Reads from a region.
pub const REGION_READ: u16 = 9;
/// Writes to a region.
pub const REGION_WRITE: u16 = 10;
/// Resets the device.
pub const DEVICE_RESET: u16 = 13;

/// Version that both ends speak: major, minor.
pub const PROTOCOL: (u16, u16) = (0, 1);
/// Number of the region that is the configuration space; those below are the BARs, by their numbers, and the ROM.
pub const CONFIG_REGION: u32 = 7;
/// Regions of a PCI device.
pub const REGIONS: u32 = 9;
/// Kinds of interrupts of a PCI device.
pub const IRQ_KINDS: u32 = 5;
/// A region can be read and written.
pub const REGION_READ_WRITE: u32 = 3;
/// The device can be reset, and is one of PCI.
pub const DEVICE_RESET_PCI: u32 = 3;

const TYPE_MASK: u32 = 0xf;
const REPLY: u32 = 1;
const NO_REPLY: u32 = 1 << 4;
const ERROR: u32 = 1 << 5;

/// What every message begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The client's number of this command; the reply has it too.
    pub id: u16,
    /// The command.
    pub command: u16,
    /// Length of the message, header included.
    pub bytes: u32,
    flags: u32,
    /// `errno` of what went wrong, in a reply of which [`Self::is_error`] is true.
    pub error: u32,
}

/// A read or write: offset, region, length. What is written follows, and so does what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionAccess {
    /// Offset in the region, in bytes.
    pub offset: u64,
    /// The region.
    pub region: u32,
    /// Bytes.
    pub count: u32,
}

/// A region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionInfo {
    /// Its number.
    pub index: u32,
    /// As in `linux/vfio.h`.
    pub flags: u32,
    /// Its length in bytes.
    pub bytes: u64,
}

impl Header {
    /// Of a command with so many bytes behind the header.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // lengths are those of a BAR at most
    pub const fn command(id: u16, command: u16, payload_len: usize) -> Self {
        Self { id, command, bytes: (HEADER_BYTES + payload_len) as u32, flags: 0, error: 0 }
    }

    /// Of the reply to this command.
    #[must_use]
    pub const fn reply(self, payload_len: usize) -> Self {
        Self { flags: REPLY, ..Self::command(self.id, self.command, payload_len) }
    }

    /// Of the reply that refuses this command, by an `errno`.
    #[must_use]
    pub const fn refusal(self, error: u32) -> Self {
        Self { flags: REPLY | ERROR, error, ..Self::command(self.id, self.command, 0) }
    }

    /// This is a command.
    #[must_use]
    pub const fn is_command(&self) -> bool {
        self.flags & TYPE_MASK == 0
    }

    /// This is the reply to a command.
    #[must_use]
    pub const fn answers(&self, command: &Self) -> bool {
        self.flags & TYPE_MASK == REPLY && self.id == command.id && self.command == command.command
    }

    /// This reply refuses.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        self.flags & ERROR != 0
    }

    /// The client wants no reply.
    #[must_use]
    pub const fn wants_no_reply(&self) -> bool {
        self.flags & NO_REPLY != 0
    }

    /// Length of what follows the header; none when the message claims to be shorter than its header.
    #[must_use]
    pub const fn payload_len(&self) -> Option<usize> {
        (self.bytes as usize).checked_sub(HEADER_BYTES)
    }

    /// The bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let [command, id] = [self.command, self.id].map(u16::to_le_bytes);
        let [bytes, flags, error] = [self.bytes, self.flags, self.error].map(u32::to_le_bytes);
        join([&id, &command, &bytes, &flags, &error])
    }

    /// Of these bytes.
    #[must_use]
    pub fn of_bytes(bytes: [u8; HEADER_BYTES]) -> Self {
        let [id, command] = [0, 2].map(|at| u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        let [length, flags, error] = [4, 8, 12].map(|at| word(&bytes, at));
        Self { id, command, bytes: length, flags, error }
    }
}

impl RegionAccess {
    /// The bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; REGION_ACCESS_BYTES] {
        join([&self.offset.to_le_bytes(), &self.region.to_le_bytes(), &self.count.to_le_bytes()])
    }

    /// Of the first bytes of a payload, and what follows them; none when it is too short.
    #[must_use]
    pub fn split(payload: &[u8]) -> Option<(Self, &[u8])> {
        let (bytes, rest) = payload.split_first_chunk::<REGION_ACCESS_BYTES>()?;
        let offset = u64::from(word(bytes, 0)) | u64::from(word(bytes, 4)) << 32;
        Some((Self { offset, region: word(bytes, 8), count: word(bytes, 12) }, rest))
    }
}

impl RegionInfo {
    /// The bytes.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // 32
    pub fn to_bytes(self) -> [u8; REGION_INFO_BYTES] {
        let numbers = [REGION_INFO_BYTES as u32, self.flags, self.index, 0].map(u32::to_le_bytes);
        join([numbers.as_flattened(), &self.bytes.to_le_bytes(), &[0; 8]])
    }

    /// Of the first bytes of a payload; none when it is too short.
    #[must_use]
    pub fn of_bytes(payload: &[u8]) -> Option<Self> {
        let bytes = payload.first_chunk::<REGION_INFO_BYTES>()?;
        let length = u64::from(word(bytes, 16)) | u64::from(word(bytes, 20)) << 32;
        Some(Self { index: word(bytes, 8), flags: word(bytes, 4), bytes: length })
    }
}

/// The number at a place of a message.
///
/// # Panics
/// When the message ends before.
#[must_use]
pub fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Parts in a row, which together have this length.
fn join<const N: usize, const PARTS: usize>(parts: [&[u8]; PARTS]) -> [u8; N] {
    let mut bytes = [0; N];
    for (byte, part) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
        *byte = *part;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_laid_out_as_the_specification_says() {
        let command = Header::command(0x0201, REGION_WRITE, 20);
        assert_eq!(command.to_bytes(), [1, 2, 10, 0, 36, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let refusal = Header::of_bytes([1, 2, 10, 0, 16, 0, 0, 0, 0x21, 0, 0, 0, 22, 0, 0, 0]);
        assert_eq!(refusal, command.refusal(22));
        assert!(refusal.answers(&command) && refusal.is_error() && refusal.payload_len() == Some(0));
        assert!(command.is_command() && !command.answers(&command) && !command.wants_no_reply());
        assert_eq!(Header::of_bytes([0; HEADER_BYTES]).payload_len(), None);
    }

    #[test]
    fn accesses_and_regions_come_back_and_short_ones_do_not() {
        let access = RegionAccess { offset: 0x1_0000_0004, region: 2, count: 12 };
        let bytes = [&access.to_bytes()[..], &[7; 3]].concat();
        assert_eq!(RegionAccess::split(&bytes), Some((access, &[7; 3][..])));
        assert_eq!(RegionAccess::split(&bytes[..15]), None);
        let region = RegionInfo { index: 7, flags: REGION_READ_WRITE, bytes: 0x2_0000_0100 };
        assert_eq!(RegionInfo::of_bytes(&region.to_bytes()), Some(region));
        assert_eq!(RegionInfo::of_bytes(&region.to_bytes()[1..]), None);
        assert_eq!(region.to_bytes()[..16], [32, 0, 0, 0, 3, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
    }
}
