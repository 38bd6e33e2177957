//! Register map: what a host finds behind the card's BAR.
//!
//! # Shape
//! A window of [`BYTES`] of 32-bit little-endian registers; an access is of four bytes at a multiple of four. It begins
//! with a chain of blocks: each names its kind, its version and the offset of the next one, 0 after the last. The upper
//! half shows [`WINDOW_WORDS`] words of the core's port ([`crate::window`]) at a time, those of the page in [`TABLE_PAGE`].
//!
//! A register that is not there reads as zero and takes nothing; what was wrong with an access is kept in
//! [`IDENTITY_ERROR`]. All ones in [`IDENTITY_KIND`] mean that the card is gone: that is what a host reads where nothing
//! answers.
//!
//! # Source
//! The chain is in the manner of Corundum's register blocks, [`IDENTITY_FLIP`] in that of NetFPGA's bus test.

use crate::window;

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads only.
    Read,
    /// Reads what holds; a write changes it.
    ReadWrite,
    /// Reads bits; a written one clears its bit.
    ReadClear,
    /// A write does something; reads as zero.
    Write,
}

impl Access {
    /// As documents name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ReadWrite => "read, write",
            Self::ReadClear => "read, write 1 to clear",
            Self::Write => "write",
        }
    }

    /// It can be read.
    #[must_use]
    pub const fn reads(self) -> bool {
        !matches!(self, Self::Write)
    }

    /// It can be written.
    #[must_use]
    pub const fn writes(self) -> bool {
        !matches!(self, Self::Read)
    }
}

/// What a register is made of, which is also what it holds after reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// This value, always.
    Fixed(u32),
    /// A number of the geometry; see [`crate::Geometry`].
    Geometry(Size),
    /// What the card's wrapper says.
    Wrapper,
    /// A register, with this value after reset.
    Held(u32),
    /// A word of the core's port ([`window`]), with this value after reset.
    Port(u32, u32),
}

/// A number of the geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// [`crate::Geometry::bus_bytes`].
    BusBytes,
    /// [`crate::Geometry::services`].
    Services,
    /// [`crate::Geometry::backends`].
    Backends,
    /// [`crate::Geometry::lookup_entries`].
    LookupEntries,
    /// [`crate::Geometry::flow_sets`].
    FlowSets,
}

/// A register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    /// Its name within the block.
    pub name: &'static str,
    /// Offset in the window, in bytes.
    pub offset: u32,
    /// What an access does.
    pub access: Access,
    /// What it is made of.
    pub content: Content,
    /// What it means.
    pub meaning: &'static str,
}

/// Registers that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub meaning: &'static str,
    /// Its registers by offset; the first three are kind, version and offset of the next block.
    pub registers: &'static [Register],
}

/// Length of the window in bytes.
pub const BYTES: u32 = 1 << 16;
/// Offset of the words of the page, in bytes.
pub const WINDOW: u32 = BYTES / 2;
/// Words of a page.
pub const WINDOW_WORDS: u32 = (BYTES - WINDOW) / 4;
/// Bits of an address on the core's port that choose a word of its page; those above are the page.
pub const PAGE_SHIFT: u32 = WINDOW_WORDS.trailing_zeros();

/// "MGLN".
pub const IDENTITY_KIND: u32 = 0x000;
/// Raised when this map changes its meaning for those who know the one before.
pub const IDENTITY_VERSION: u32 = 0x004;
/// Offset of [`CONTROL_KIND`].
pub const IDENTITY_NEXT: u32 = 0x008;
/// Code of what is around the core; [`WRAPPERS`].
pub const IDENTITY_WRAPPER: u32 = 0x00c;
/// The core's clock in kHz.
pub const IDENTITY_CLOCK_KHZ: u32 = 0x010;
/// [`crate::Geometry::bus_bytes`].
pub const IDENTITY_BUS_BYTES: u32 = 0x014;
/// [`crate::Geometry::services`].
pub const IDENTITY_SERVICES: u32 = 0x018;
/// [`crate::Geometry::backends`].
pub const IDENTITY_BACKENDS: u32 = 0x01c;
/// [`crate::Geometry::lookup_entries`].
pub const IDENTITY_LOOKUP_ENTRIES: u32 = 0x020;
/// [`crate::Geometry::flow_sets`].
pub const IDENTITY_FLOW_SETS: u32 = 0x024;
/// When the bitstream was built, in seconds since 1970; 0 when unknown.
pub const IDENTITY_BUILD_TIME: u32 = 0x028;
/// First of [`GIT_HASH_WORDS`] words: the hash of the commit it was built from, byte 0 lowest; 0 when unknown.
pub const IDENTITY_GIT_HASH: u32 = 0x02c;
/// Takes any value and does nothing with it.
pub const IDENTITY_SCRATCH: u32 = 0x040;
/// Reads the complement of [`IDENTITY_SCRATCH`].
pub const IDENTITY_FLIP: u32 = 0x044;
/// What was wrong with accesses; see `ERROR_`.
pub const IDENTITY_ERROR: u32 = 0x048;

/// "CTRL".
pub const CONTROL_KIND: u32 = 0x100;
/// Version of the block.
pub const CONTROL_VERSION: u32 = 0x104;
/// Offset of [`TABLE_KIND`].
pub const CONTROL_NEXT: u32 = 0x108;
/// [`window::CONTROL_MODE`].
pub const CONTROL_MODE: u32 = 0x10c;
/// [`window::STATUS`].
pub const CONTROL_STATUS: u32 = 0x110;
/// [`window::CONTROL_COMMIT`].
pub const CONTROL_COMMIT: u32 = 0x114;
/// [`window::GENERATION`].
pub const CONTROL_GENERATION: u32 = 0x118;
/// [`window::CONTROL_TICK`].
pub const CONTROL_TICK: u32 = 0x11c;
/// [`window::CONTROL_CLOCKS_PER_MS`].
pub const CONTROL_CLOCKS_PER_MS: u32 = 0x120;

/// "TABL".
pub const TABLE_KIND: u32 = 0x200;
/// Version of the block.
pub const TABLE_VERSION: u32 = 0x204;
/// 0: the last block.
pub const TABLE_NEXT: u32 = 0x208;
/// Bits 31..[`PAGE_SHIFT`] of the addresses that the window shows.
pub const TABLE_PAGE: u32 = 0x20c;
/// [`WINDOW`].
pub const TABLE_WINDOW: u32 = 0x210;
/// [`WINDOW_WORDS`].
pub const TABLE_WINDOW_WORDS: u32 = 0x214;

/// Words of the git hash: SHA-1.
pub const GIT_HASH_WORDS: u32 = 5;

/// What [`IDENTITY_KIND`] reads as.
pub const KIND_IDENTITY: u32 = u32::from_le_bytes(*b"MGLN");
/// What [`CONTROL_KIND`] reads as.
pub const KIND_CONTROL: u32 = u32::from_le_bytes(*b"CTRL");
/// What [`TABLE_KIND`] reads as.
pub const KIND_TABLE: u32 = u32::from_le_bytes(*b"TABL");
/// Version of this map.
pub const VERSION: u32 = 1;

/// What is around the core, by the code in [`IDENTITY_WRAPPER`].
pub const WRAPPERS: [&str; 1] = ["simulation"];

/// There is no such register, or no such word of the core's port: the read was of zero, the write was lost.
pub const ERROR_ADDRESS: u32 = 1;
/// A write to what can only be read; it was lost.
pub const ERROR_READ_ONLY: u32 = 1 << 1;
/// A write of less than four bytes; it was lost.
pub const ERROR_PARTIAL: u32 = 1 << 2;
/// A write to a table, or a commit, while one waited ([`window::STATUS_HOLDING`]); it was lost.
pub const ERROR_HELD: u32 = 1 << 3;
/// A write to the flow table or the turns that found the card serving or the sweeper at work; it was lost.
pub const ERROR_BUSY: u32 = 1 << 4;

/// Names and meanings of the bits in [`IDENTITY_ERROR`], lowest first.
pub const ERRORS: [(&str, &str); 5] = [
    ("ADDRESS", "no such register or word: the read was of zero, the write was lost"),
    ("READ_ONLY", "a write to what can only be read was lost"),
    ("PARTIAL", "a write of less than four bytes was lost"),
    ("HELD", "a write to a table, or a commit, was lost while one waited (STATUS, HOLDING)"),
    ("BUSY", "a write to the flow table or the turns was lost: the card was serving or the sweeper at work"),
];

/// Names, positions, widths and meanings of the fields in [`CONTROL_STATUS`].
pub const STATUS_FIELDS: [(&str, u32, u32, &str); 5] = [
    ("READY", window::STATUS_READY.trailing_zeros(), 1, "memories have been cleared after reset; frames are accepted"),
    ("SWEPT", window::STATUS_SWEPT.trailing_zeros(), 1, "the sweeper rests and no step of the tick is under way"),
    (
        "HOLDING",
        window::STATUS_HOLDING.trailing_zeros(),
        1,
        "a commit or another mode waits for the frames inside; others wait for it",
    ),
    ("TICK", window::STATUS_TICK_SHIFT, 6, "the tick, modulo 64"),
    ("ROUNDS", window::STATUS_ROUNDS_SHIFT, 16, "rounds that the sweeper has completed, modulo 2^16"),
];

const fn fixed(name: &'static str, offset: u32, value: u32, meaning: &'static str) -> Register {
    Register { name, offset, access: Access::Read, content: Content::Fixed(value), meaning }
}

const fn size(name: &'static str, offset: u32, size: Size, meaning: &'static str) -> Register {
    Register { name, offset, access: Access::Read, content: Content::Geometry(size), meaning }
}

const fn wrapper(name: &'static str, offset: u32, meaning: &'static str) -> Register {
    Register { name, offset, access: Access::Read, content: Content::Wrapper, meaning }
}

const fn held(name: &'static str, offset: u32, access: Access, reset: u32, meaning: &'static str) -> Register {
    Register { name, offset, access, content: Content::Held(reset), meaning }
}

const fn port(
    name: &'static str,
    offset: u32,
    access: Access,
    region: u32,
    word: u32,
    meaning: &'static str,
) -> Register {
    Register { name, offset, access, content: Content::Port(region << window::REGION_SHIFT | word, 0), meaning }
}

/// The map.
pub const BLOCKS: [Block; 3] = [
    Block {
        name: "IDENTITY",
        meaning: "What card this is, and whether the bus to it works.",
        registers: &[
            fixed("KIND", IDENTITY_KIND, KIND_IDENTITY, "\"MGLN\"; all ones when the card is gone"),
            fixed("VERSION", IDENTITY_VERSION, VERSION, "version of this map"),
            fixed("NEXT", IDENTITY_NEXT, CONTROL_KIND, "offset of the next block"),
            wrapper("WRAPPER", IDENTITY_WRAPPER, "what is around the core: 0 simulation"),
            wrapper("CLOCK_KHZ", IDENTITY_CLOCK_KHZ, "the core's clock in kHz"),
            size("BUS_BYTES", IDENTITY_BUS_BYTES, Size::BusBytes, "width of the data bus in bytes"),
            size("SERVICES", IDENTITY_SERVICES, Size::Services, "services that fit; the memory has twice as many rows"),
            size("BACKENDS", IDENTITY_BACKENDS, Size::Backends, "backends that fit"),
            size("LOOKUP_ENTRIES", IDENTITY_LOOKUP_ENTRIES, Size::LookupEntries, "lookup entries, both sides"),
            size("FLOW_SETS", IDENTITY_FLOW_SETS, Size::FlowSets, "sets of eight flow-table entries"),
            wrapper("BUILD_TIME", IDENTITY_BUILD_TIME, "when the bitstream was built, seconds since 1970; 0 unknown"),
            wrapper("GIT_HASH_0", IDENTITY_GIT_HASH, "commit it was built from, first four bytes; 0 unknown"),
            wrapper("GIT_HASH_1", IDENTITY_GIT_HASH + 4, "bytes 4 to 7 of the commit"),
            wrapper("GIT_HASH_2", IDENTITY_GIT_HASH + 8, "bytes 8 to 11 of the commit"),
            wrapper("GIT_HASH_3", IDENTITY_GIT_HASH + 12, "bytes 12 to 15 of the commit"),
            wrapper("GIT_HASH_4", IDENTITY_GIT_HASH + 16, "bytes 16 to 19 of the commit"),
            held("SCRATCH", IDENTITY_SCRATCH, Access::ReadWrite, 0, "takes any value and does nothing with it"),
            held("FLIP", IDENTITY_FLIP, Access::Read, u32::MAX, "complement of SCRATCH: a test of the bus"),
            held("ERROR", IDENTITY_ERROR, Access::ReadClear, 0, "what was wrong with accesses since it was cleared"),
        ],
    },
    Block {
        name: "CONTROL",
        meaning: "What the card does.",
        registers: &[
            fixed("KIND", CONTROL_KIND, KIND_CONTROL, "\"CTRL\""),
            fixed("VERSION", CONTROL_VERSION, 1, "version of this block"),
            fixed("NEXT", CONTROL_NEXT, TABLE_KIND, "offset of the next block"),
            port(
                "MODE",
                CONTROL_MODE,
                Access::ReadWrite,
                window::CONTROL,
                window::CONTROL_MODE,
                "bit 0: serve; clear: every frame is passed to the host. Reads the mode in force",
            ),
            port("STATUS", CONTROL_STATUS, Access::Read, window::STATUS, 0, "see below"),
            port(
                "COMMIT",
                CONTROL_COMMIT,
                Access::Write,
                window::CONTROL,
                window::CONTROL_COMMIT,
                "any value: serve what is staged, from the next frame on",
            ),
            port("GENERATION", CONTROL_GENERATION, Access::Read, window::GENERATION, 0, "commits since reset"),
            port(
                "TICK",
                CONTROL_TICK,
                Access::Write,
                window::CONTROL,
                window::CONTROL_TICK,
                "bits 5..0: sets the tick and starts a round of the sweeper; bit 8: timeouts hold from this round on",
            ),
            port(
                "CLOCKS_PER_MS",
                CONTROL_CLOCKS_PER_MS,
                Access::ReadWrite,
                window::CONTROL,
                window::CONTROL_CLOCKS_PER_MS,
                "clocks per millisecond, by which the card counts ticks; 0: it does not",
            ),
        ],
    },
    Block {
        name: "TABLE",
        meaning: "Tables, flow table and counters, a page at a time.",
        registers: &[
            fixed("KIND", TABLE_KIND, KIND_TABLE, "\"TABL\""),
            fixed("VERSION", TABLE_VERSION, 1, "version of this block"),
            fixed("NEXT", TABLE_NEXT, 0, "0: this is the last block"),
            held("PAGE", TABLE_PAGE, Access::ReadWrite, 0, "bits 31..13 of the word addresses that the window shows"),
            fixed("WINDOW", TABLE_WINDOW, WINDOW, "offset of the window in bytes"),
            fixed("WINDOW_WORDS", TABLE_WINDOW_WORDS, WINDOW_WORDS, "words of the window"),
        ],
    },
];

const _: () = {
    assert!(PAGE_SHIFT == 13 && GIT_HASH_WORDS == 5);
    let mut block = 0;
    let mut free = 0;
    while block < BLOCKS.len() {
        let registers = BLOCKS[block].registers;
        let mut index = 0;
        while index < registers.len() {
            assert!(registers[index].offset >= free && registers[index].offset.is_multiple_of(4));
            free = registers[index].offset + 4;
            index += 1;
        }
        block += 1;
    }
    assert!(free <= WINDOW);
};
