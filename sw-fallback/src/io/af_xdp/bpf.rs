//! The system call `bpf`, as far as a steering program needs it: maps, a program, and the link that holds it in its place.
//!
//! What is made lives as long as its descriptor: a link that is dropped, or whose process dies, takes the program away.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::program::Instruction;

/// A map of the kernel's, with keys and values of one length each.
#[derive(Debug)]
pub(super) struct Map {
    fd: OwnedFd,
    key_len: usize,
    value_len: usize,
}

/// A program that the kernel has checked.
#[derive(Debug)]
pub(super) struct Program(OwnedFd);

/// A program at an interface.
#[derive(Debug)]
pub(super) struct Link {
    _fd: OwnedFd,
}

/// Where in the path of received frames a program is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// By the interface's driver, before there is anything of the kernel's around a frame.
    Native,
    /// By the kernel, after the driver: with any driver, and slower.
    Generic,
}

impl Map {
    /// A hash table that has no memory for entries that it does not have.
    pub(super) fn hash(key_len: usize, value_len: usize, entries_max: u32) -> io::Result<Self> {
        Self::new(MAP_HASH, key_len, value_len, entries_max, NO_PREALLOCATION)
    }

    /// Sockets by number, of four bytes each.
    pub(super) fn sockets(entries_max: u32) -> io::Result<Self> {
        Self::new(MAP_XSK, 4, 4, entries_max, 0)
    }

    fn new(kind: u32, key_len: usize, value_len: usize, entries_max: u32, flags: u32) -> io::Result<Self> {
        let attributes =
            MapAttributes { kind, key_len: number(key_len), value_len: number(value_len), entries_max, flags };
        Ok(Self { fd: opened(call(MAP_CREATE, &attributes)?), key_len, value_len })
    }

    /// Puts an entry in, or another value into one that is there.
    pub(super) fn insert(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        if value.len() != self.value_len {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.change(MAP_UPDATE, key, value)
    }

    /// Takes an entry out that is there.
    pub(super) fn remove(&self, key: &[u8]) -> io::Result<()> {
        self.change(MAP_DELETE, key, &[])
    }

    fn change(&self, command: libc::c_int, key: &[u8], value: &[u8]) -> io::Result<()> {
        if key.len() != self.key_len {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let map = descriptor(&self.fd);
        // A command without a value wants none told.
        let value = if value.is_empty() { 0 } else { address(value) };
        let attributes = EntryAttributes { map, _padding: 0, key: address(key), value, flags: 0 };
        // The lengths are the map's, so that the kernel reads the key and the value and nothing behind them.
        call(command, &attributes).map(drop)
    }
}

impl AsRawFd for Map {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl Program {
    /// Has the kernel check a program that decides about frames.
    pub(super) fn load(instructions: &[Instruction]) -> io::Result<Self> {
        let attributes = LoadAttributes {
            kind: PROGRAM_XDP,
            count: number(instructions.len()),
            instructions: address(instructions),
            license: address(LICENSE.to_bytes_with_nul()),
            log_level: 0,
            log_len: 0,
            log: 0,
            kernel_version: 0,
            flags: 0,
            name: *b"maglane\0\0\0\0\0\0\0\0\0",
            interface: 0,
            attach: ATTACH_XDP,
        };
        call(PROGRAM_LOAD, &attributes).map(opened).map(Self)
    }

    /// Has it run on all that an interface receives.
    pub(super) fn attach(&self, index: libc::c_int, hook: Hook) -> io::Result<Link> {
        let flags = match hook {
            Hook::Native => MODE_DRIVER,
            Hook::Generic => MODE_GENERIC,
        };
        let interface = u32::try_from(index).unwrap_or_default();
        let attributes = LinkAttributes { program: descriptor(&self.0), interface, attach: ATTACH_XDP, flags };
        Ok(Link { _fd: opened(call(LINK_CREATE, &attributes)?) })
    }

    /// Runs it on a frame, without an interface: what it decides, and the frame afterwards.
    #[cfg(test)]
    pub(super) fn run(&self, frame: &[u8]) -> io::Result<(u32, Vec<u8>)> {
        let mut after = vec![0xee; frame.len() + 64];
        let mut attributes = RunAttributes {
            program: descriptor(&self.0),
            result: 0,
            len_in: number(frame.len()),
            len_out: number(after.len()),
            frame_in: address(frame),
            frame_out: after.as_mut_ptr().expose_provenance() as u64,
            repeat: 1,
            duration_ns: 0,
        };
        // SAFETY: the attributes are those of this command, and its pointers are those of two buffers of the lengths that
        // are told, which outlive the call; the kernel writes into the second only, and into the attributes.
        let result =
            unsafe { libc::syscall(libc::SYS_bpf, PROGRAM_RUN, &raw mut attributes, size_of::<RunAttributes>()) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        after.truncate(attributes.len_out as usize);
        Ok((attributes.result, after))
    }
}

/// A command that reads its attributes, and what they point at.
fn call<A: Attributes>(command: libc::c_int, attributes: &A) -> io::Result<RawFd> {
    let attributes: *const A = attributes;
    // SAFETY: the pointer and the length are those of one value that the commands with such attributes only read; its
    // pointers are those of slices, borrowed by the caller, of which the kernel reads no more than they are long.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<A>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    RawFd::try_from(result).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The descriptor that a command has returned.
fn opened(fd: RawFd) -> OwnedFd {
    // SAFETY: the descriptor is open, and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn descriptor(fd: &OwnedFd) -> u32 {
    u32::try_from(fd.as_raw_fd()).unwrap_or(u32::MAX)
}

fn address<T>(slice: &[T]) -> u64 {
    slice.as_ptr().expose_provenance() as u64
}

/// A length as the kernel reads it; none of ours has more bits.
fn number(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// What a command reads: the first part of linux/bpf.h, `union bpf_attr`, which is as long as one likes.
trait Attributes {}

#[repr(C)]
struct MapAttributes {
    kind: u32,
    key_len: u32,
    value_len: u32,
    entries_max: u32,
    flags: u32,
}

#[repr(C)]
struct EntryAttributes {
    map: u32,
    _padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct LoadAttributes {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_len: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach: u32,
}

#[repr(C)]
struct LinkAttributes {
    program: u32,
    interface: u32,
    attach: u32,
    flags: u32,
}

#[cfg(test)]
#[repr(C)]
struct RunAttributes {
    program: u32,
    result: u32,
    len_in: u32,
    len_out: u32,
    frame_in: u64,
    frame_out: u64,
    repeat: u32,
    duration_ns: u32,
}

impl Attributes for MapAttributes {}
impl Attributes for EntryAttributes {}
impl Attributes for LoadAttributes {}
impl Attributes for LinkAttributes {}

/// linux/bpf.h, `enum bpf_cmd`.
const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE: libc::c_int = 2;
const MAP_DELETE: libc::c_int = 3;
const PROGRAM_LOAD: libc::c_int = 5;
#[cfg(test)]
const PROGRAM_RUN: libc::c_int = 10;
const LINK_CREATE: libc::c_int = 28;
/// linux/bpf.h, `enum bpf_map_type`, and a flag: entries have memory when they are made.
const MAP_HASH: u32 = 1;
const MAP_XSK: u32 = 17;
const NO_PREALLOCATION: u32 = 1;
/// linux/bpf.h, `enum bpf_prog_type` and `enum bpf_attach_type`.
const PROGRAM_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
/// linux/if_link.h, `XDP_FLAGS_SKB_MODE` and `XDP_FLAGS_DRV_MODE`.
const MODE_GENERIC: u32 = 1 << 1;
const MODE_DRIVER: u32 = 1 << 2;
/// What the kernel is told of the program's licence; the functions that it calls are open to any.
const LICENSE: &std::ffi::CStr = c"Dual MIT/GPL";
