//! The program that an interface's driver runs on each frame before anything else does: it chooses those that come to us.
//!
//! A frame whose destination is a virtual address goes to the socket of the queue that it came in at, whatever its protocol:
//! the pipeline decides about it. Its headers are found as the pipeline finds them: Ethernet, with one 802.1Q tag or none.
//! All others, and those to queues without a socket, are the kernel's. It changes no frame and counts nothing.

use std::net::IpAddr;
use std::os::fd::RawFd;

use maglane_spec::wire::{ethernet, ipv4, ipv6};

/// An instruction of the kernel's virtual machine.
///
/// # Shape
/// Eight bytes (linux/bpf.h, `struct bpf_insn`).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Instruction {
    code: u8,
    /// The register that is changed, and the one that is read, four bits each.
    registers: u8,
    offset: i16,
    immediate: i32,
}

const _: () = assert!(size_of::<Instruction>() == 8);

/// A virtual address as the key of the map that has them all: the version as a word, and sixteen bytes, of which an IPv4
/// address has the first four.
pub(super) const KEY_LEN: usize = 20;

/// The key of an address.
pub(super) fn key(address: IpAddr) -> [u8; KEY_LEN] {
    let mut key = [0; KEY_LEN];
    let (version, bytes) = key.split_at_mut(4);
    match address {
        IpAddr::V4(address) => {
            version.copy_from_slice(&VERSION_4.to_ne_bytes());
            bytes[..4].copy_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            version.copy_from_slice(&VERSION_6.to_ne_bytes());
            bytes.copy_from_slice(&address.octets());
        }
    }
    key
}

/// The program, which looks addresses up in one map and finds sockets by their queue's number in another.
pub(super) fn steer(addresses: RawFd, sockets: RawFd) -> Vec<Instruction> {
    use Label::{Ipv4, Ipv6, Known, LookUp, Pass};
    use Line::{At, Do, If, Map};

    assemble(&[
        Do(copy(CONTEXT, ARGUMENT_1)),
        Do(load(WORD, FRAME, CONTEXT, DATA)),
        Do(load(WORD, END, CONTEXT, DATA_END)),
        // The key lies on the stack, where nothing may be read that has not been written.
        Do(store_zeros(KEY_AT)),
        Do(store_zeros(KEY_AT + 8)),
        Do(store_zeros(KEY_AT + 16)),
        Do(copy(SCRATCH, FRAME)),
        Do(add(SCRATCH, ethernet::HEADER_LEN)),
        If(greater(SCRATCH, END), Pass),
        Do(load(HALF, TYPE, FRAME, field(ethernet::ETHERTYPE))),
        If(is_not(TYPE, ethernet::TPID), Known),
        Do(add(SCRATCH, ethernet::TAG_LEN)),
        If(greater(SCRATCH, END), Pass),
        Do(load(HALF, TYPE, FRAME, field(ethernet::ETHERTYPE + ethernet::TAG_LEN))),
        Do(add(FRAME, ethernet::TAG_LEN)),
        // From here on the frame is as if it had no tag.
        At(Known),
        If(is(TYPE, ethernet::ETHERTYPE_IPV4), Ipv4),
        If(is(TYPE, ethernet::ETHERTYPE_IPV6), Ipv6),
        If(always(), Pass),
        At(Ipv4),
        Do(copy(SCRATCH, FRAME)),
        Do(add(SCRATCH, ethernet::HEADER_LEN + ipv4::HEADER_LEN)),
        If(greater(SCRATCH, END), Pass),
        Do(set(SCRATCH, VERSION_4)),
        Do(store(STACK, SCRATCH, KEY_AT)),
        Do(load(WORD, SCRATCH, FRAME, field(ethernet::HEADER_LEN + ipv4::DESTINATION))),
        Do(store(STACK, SCRATCH, KEY_AT + 4)),
        If(always(), LookUp),
        At(Ipv6),
        Do(copy(SCRATCH, FRAME)),
        Do(add(SCRATCH, ethernet::HEADER_LEN + ipv6::HEADER_LEN)),
        If(greater(SCRATCH, END), Pass),
        Do(set(SCRATCH, VERSION_6)),
        Do(store(STACK, SCRATCH, KEY_AT)),
        Do(load(WORD, SCRATCH, FRAME, field(ethernet::HEADER_LEN + ipv6::DESTINATION))),
        Do(store(STACK, SCRATCH, KEY_AT + 4)),
        Do(load(WORD, SCRATCH, FRAME, field(ethernet::HEADER_LEN + ipv6::DESTINATION + 4))),
        Do(store(STACK, SCRATCH, KEY_AT + 8)),
        Do(load(WORD, SCRATCH, FRAME, field(ethernet::HEADER_LEN + ipv6::DESTINATION + 8))),
        Do(store(STACK, SCRATCH, KEY_AT + 12)),
        Do(load(WORD, SCRATCH, FRAME, field(ethernet::HEADER_LEN + ipv6::DESTINATION + 12))),
        Do(store(STACK, SCRATCH, KEY_AT + 16)),
        At(LookUp),
        Map(ARGUMENT_1, addresses),
        Do(copy(ARGUMENT_2, STACK)),
        Do(instruction(ALU_ADD, ARGUMENT_2, 0, 0, i32::from(KEY_AT))),
        Do(call(MAP_LOOKUP)),
        If(is_zero(RESULT), Pass),
        Do(load(WORD, ARGUMENT_2, CONTEXT, QUEUE)),
        Map(ARGUMENT_1, sockets),
        // What the redirection returns when the queue has no socket.
        Do(set(ARGUMENT_3, XDP_PASS)),
        Do(call(REDIRECT)),
        Do(leave()),
        At(Pass),
        Do(set(RESULT, XDP_PASS)),
        Do(leave()),
    ])
}

/// A line of the program as it is written.
enum Line {
    Do(Instruction),
    /// A jump, whose distance is not known yet.
    If(Instruction, Label),
    At(Label),
    /// A map's address into a register: two instructions.
    Map(u8, RawFd),
}

/// Where jumps go to.
#[derive(Clone, Copy)]
enum Label {
    Known,
    Ipv4,
    Ipv6,
    LookUp,
    Pass,
}

const LABELS: usize = Label::Pass as usize + 1;

/// The instructions, with the distances of jumps.
fn assemble(lines: &[Line]) -> Vec<Instruction> {
    let mut places = [0; LABELS];
    let mut at = 0;
    for line in lines {
        match line {
            Line::Do(_) | Line::If(..) => at += 1,
            Line::Map(..) => at += 2,
            Line::At(label) => places[*label as usize] = at,
        }
    }
    let mut program: Vec<Instruction> = Vec::with_capacity(at);
    for line in lines {
        match *line {
            Line::Do(instruction) => program.push(instruction),
            Line::If(jump, label) => {
                // From the next instruction; a few dozen at most, so that no distance has more bits.
                let distance = places[label as usize].saturating_sub(program.len() + 1);
                program.push(Instruction { offset: i16::try_from(distance).unwrap_or(i16::MAX), ..jump });
            }
            Line::Map(register, map) => {
                program.push(instruction(LOAD_LONG, register, MAP_BY_DESCRIPTOR, 0, map));
                program.push(instruction(0, 0, 0, 0, 0));
            }
            Line::At(_) => {}
        }
    }
    program
}

const fn instruction(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    let registers = if cfg!(target_endian = "big") { to << 4 | from } else { from << 4 | to };
    Instruction { code, registers, offset, immediate }
}

const fn copy(to: u8, from: u8) -> Instruction {
    instruction(ALU_COPY, to, from, 0, 0)
}

const fn set(to: u8, value: i32) -> Instruction {
    instruction(ALU_SET, to, 0, 0, value)
}

const fn add(to: u8, bytes: usize) -> Instruction {
    instruction(ALU_ADD, to, 0, 0, field(bytes) as i32)
}

const fn load(size: u8, to: u8, from: u8, offset: i16) -> Instruction {
    instruction(LOAD | size, to, from, offset, 0)
}

const fn store(to: u8, from: u8, offset: i16) -> Instruction {
    instruction(STORE | WORD, to, from, offset, 0)
}

/// Eight zeros onto the stack.
const fn store_zeros(offset: i16) -> Instruction {
    instruction(STORE_VALUE | LONG, STACK, 0, offset, 0)
}

const fn greater(left: u8, right: u8) -> Instruction {
    instruction(JUMP_GREATER, left, right, 0, 0)
}

/// A half word of a frame against one in the order of the wire.
const fn is(left: u8, right: u16) -> Instruction {
    instruction(JUMP_EQUAL, left, 0, 0, right.to_be() as i32)
}

const fn is_not(left: u8, right: u16) -> Instruction {
    Instruction { code: JUMP_UNEQUAL, ..is(left, right) }
}

const fn is_zero(left: u8) -> Instruction {
    instruction(JUMP_EQUAL, left, 0, 0, 0)
}

const fn always() -> Instruction {
    instruction(JUMP, 0, 0, 0, 0)
}

const fn call(function: i32) -> Instruction {
    instruction(CALL, 0, 0, 0, function)
}

const fn leave() -> Instruction {
    instruction(EXIT, 0, 0, 0, 0)
}

/// An offset in a frame's headers.
const fn field(offset: usize) -> i16 {
    assert!(offset < 256, "headers are short");
    #[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "asserted")]
    let offset = offset as i16;
    offset
}

/// Registers: a function's result, its arguments, and those that a call leaves as they are. The last is the stack's end.
const RESULT: u8 = 0;
const ARGUMENT_1: u8 = 1;
const ARGUMENT_2: u8 = 2;
const ARGUMENT_3: u8 = 3;
const SCRATCH: u8 = 4;
const TYPE: u8 = 5;
const CONTEXT: u8 = 6;
const FRAME: u8 = 7;
const END: u8 = 8;
const STACK: u8 = 10;
/// Where the key is, from the stack's end: at the next multiple of eight bytes.
const KEY_AT: i16 = -24;
const VERSION_4: i32 = 4;
const VERSION_6: i32 = 6;

/// linux/bpf.h, `struct xdp_md`: where a frame begins and ends, and the queue that it came in at.
const DATA: i16 = 0;
const DATA_END: i16 = 4;
const QUEUE: i16 = 16;
/// linux/bpf.h, `enum xdp_action`.
pub(super) const XDP_PASS: i32 = 2;
/// linux/bpf.h, `enum bpf_func_id`.
const MAP_LOOKUP: i32 = 1;
const REDIRECT: i32 = 51;
/// linux/bpf_common.h and linux/bpf.h: codes of instructions, sizes of what they load and store.
const WORD: u8 = 0x00;
const HALF: u8 = 0x08;
const LONG: u8 = 0x18;
const LOAD: u8 = 0x61;
const LOAD_LONG: u8 = 0x18;
const STORE: u8 = 0x63;
const STORE_VALUE: u8 = 0x62;
const ALU_ADD: u8 = 0x07;
const ALU_SET: u8 = 0xb7;
const ALU_COPY: u8 = 0xbf;
const JUMP: u8 = 0x05;
const JUMP_EQUAL: u8 = 0x15;
const JUMP_UNEQUAL: u8 = 0x55;
const JUMP_GREATER: u8 = 0x2d;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
/// `BPF_PSEUDO_MAP_FD`: the value is a map's descriptor.
const MAP_BY_DESCRIPTOR: u8 = 1;

#[cfg(test)]
mod tests;
