//! A simulated card in a QEMU machine: the other end of QEMU's device `x-pci-proxy-dev`.
//!
//! QEMU calls the protocol experimental; it is that of versions 5.2 to at least 7.2. Newer ones speak vfio-user, for which
//! there is [`crate::vfio_user`]. The machine's memory, which QEMU offers by file descriptors, is not taken: the card does
//! no DMA. Its unit of work is the message.
//!
//! # Source
//! QEMU 7.2, `include/hw/remote/mpqemu-link.h`, `hw/remote/proxy.c`.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use maglane_driver::bar::BarError;
use maglane_spec::register;

use crate::pci::{AccessError, Device, PciFunction};

/// Length of a header: command, four bytes of nothing, length of what follows.
const HEADER_BYTES: usize = 16;
/// Longest payload that is looked at; QEMU's longest has 192 bytes.
const PAYLOAD_LEN_MAX: u64 = 4_096;

// Commands.
const SYNC_SYSMEM: u32 = 0;
const RETURN: u32 = 1;
const CONFIG_WRITE: u32 = 2;
const CONFIG_READ: u32 = 3;
const BAR_WRITE: u32 = 4;
const BAR_READ: u32 = 5;
const SET_IRQFD: u32 = 6;
const DEVICE_RESET: u32 = 7;

/// Length of the payload of accesses to the configuration space: address, word, length.
const CONFIG_ACCESS_BYTES: usize = 12;
/// Length of the payload of accesses to a BAR: address on the bus, word of 64 bits, length, kind and padding.
const BAR_ACCESS_BYTES: usize = 24;

/// Why a card is served no longer.
#[derive(Debug, thiserror::Error)]
pub enum MpqemuError {
    /// The socket broke within a message.
    #[error("QEMU's socket: {0}")]
    Socket(#[from] io::Error),
    /// QEMU sent what no version known here sends.
    #[error("QEMU sent command {command} with {len} bytes, which 7.2 does not; use that version")]
    Message {
        /// The command.
        command: u32,
        /// Length of its payload.
        len: u64,
    },
    /// The device broke.
    #[error("the served device: {0}")]
    Device(#[from] BarError),
}

/// Serves a QEMU process until it closes its end, which is given to `-device x-pci-proxy-dev,fd=...`.
///
/// An access that is not of one word within the window reads as all ones and writes nothing, as on a bus where nobody
/// answers.
///
/// # Errors
/// When the socket or the device breaks, or QEMU is not understood.
pub fn serve<D: Device>(mut stream: UnixStream, function: &mut PciFunction<D>) -> Result<(), MpqemuError> {
    loop {
        let mut header = [0; HEADER_BYTES];
        match stream.read(&mut header) {
            Ok(0) => return Ok(()),
            Ok(count) => stream.read_exact(&mut header[count..])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // A process that was killed has not read all of what we sent.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let command = number(&header, 0);
        let len = u64::from(number(&header, 8)) | u64::from(number(&header, 12)) << 32;
        let odd = MpqemuError::Message { command, len };
        if len > PAYLOAD_LEN_MAX {
            return Err(odd);
        }
        let mut payload = vec![0; usize::try_from(len).unwrap_or(0)];
        stream.read_exact(&mut payload)?;
        let answer = match command {
            CONFIG_WRITE | CONFIG_READ if payload.len() == CONFIG_ACCESS_BYTES => config(command, &payload, function),
            BAR_WRITE | BAR_READ if payload.len() == BAR_ACCESS_BYTES => bar(command, &payload, function)?,
            DEVICE_RESET => {
                function.reset()?;
                0
            }
            // Neither is answered.
            SYNC_SYSMEM | SET_IRQFD => continue,
            _ => return Err(odd),
        };
        let mut reply = [0; HEADER_BYTES + 8];
        reply[..4].copy_from_slice(&RETURN.to_le_bytes());
        reply[8] = 8;
        reply[HEADER_BYTES..].copy_from_slice(&answer.to_le_bytes());
        stream.write_all(&reply)?;
    }
}

/// Does an access to the configuration space, of up to four bytes.
fn config<D: Device>(command: u32, payload: &[u8], function: &mut PciFunction<D>) -> u64 {
    let offset = number(payload, 0).into();
    let len = (number(payload, 8) as usize).min(4);
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&payload[4..8]);
    if command == CONFIG_WRITE {
        // What is not there takes nothing.
        let _ = function.write_config(offset, &bytes[..len]);
        return 0;
    }
    let mut bytes = [0; 4];
    match function.read_config(offset, &mut bytes[..len]) {
        Ok(()) => u32::from_le_bytes(bytes).into(),
        Err(_) => u32::MAX.into(),
    }
}

/// Does an access to the BAR. Its address is one on the bus.
fn bar<D: Device>(command: u32, payload: &[u8], function: &mut PciFunction<D>) -> Result<u64, BarError> {
    let address = u64::from(number(payload, 0)) | u64::from(number(payload, 4)) << 32;
    let is_word = number(payload, 16) == 4;
    let offset = function.bar_address().and_then(|base| address.checked_sub(base));
    let Some(offset) = offset.filter(|&offset| is_word && offset < u64::from(register::BYTES)) else {
        return Ok(if command == BAR_READ { u64::MAX } else { 0 });
    };
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&payload[8..12]);
    let done =
        if command == BAR_WRITE { function.write_bar(offset, &bytes) } else { function.read_bar(offset, &mut bytes) };
    match done {
        Ok(()) if command == BAR_WRITE => Ok(0),
        Ok(()) => Ok(u32::from_le_bytes(bytes).into()),
        Err(AccessError::Shape { .. }) => Ok(u64::MAX),
        Err(AccessError::Device(error)) => Err(error),
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::pci::tests::Memory;

    struct Qemu(UnixStream);

    impl Qemu {
        fn send(&mut self, command: u32, payload: &[u8]) {
            let mut header = [0; HEADER_BYTES];
            header[..4].copy_from_slice(&command.to_le_bytes());
            header[8..].copy_from_slice(&(payload.len() as u64).to_le_bytes());
            self.0.write_all(&[&header, payload].concat()).unwrap();
        }

        fn ask(&mut self, command: u32, payload: &[u8]) -> u64 {
            self.send(command, payload);
            let mut reply = [0; HEADER_BYTES + 8];
            self.0.read_exact(&mut reply).unwrap();
            assert_eq!(reply[..16], [1, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]);
            u64::from_le_bytes(reply[16..].try_into().unwrap())
        }

        fn config(&mut self, command: u32, address: u32, word: u32, len: u32) -> u64 {
            self.ask(command, &[address, word, len].map(u32::to_le_bytes).concat())
        }

        fn bar(&mut self, command: u32, address: u64, word: u64, len: u32) -> u64 {
            let numbers = [&address.to_le_bytes()[..], &word.to_le_bytes(), &len.to_le_bytes(), &[1, 0, 0, 0]];
            self.ask(command, &numbers.concat())
        }
    }

    #[test]
    fn accesses_of_a_machine_reach_the_registers() {
        let (qemu, card) = UnixStream::pair().unwrap();
        let server = thread::spawn(move || {
            let mut function = PciFunction::new(Memory::default());
            serve(card, &mut function).map(|()| function)
        });
        let mut qemu = Qemu(qemu);
        qemu.send(SYNC_SYSMEM, &[0; 192]);
        assert_eq!(qemu.ask(DEVICE_RESET, &[]), 0);
        assert_eq!(qemu.config(CONFIG_READ, 0, 0, 4), 0x4d47_1234);
        assert_eq!(qemu.bar(BAR_READ, 0xfe00_0000, 0, 4), u64::MAX, "it is not enabled yet");
        qemu.config(CONFIG_WRITE, 0x10, 0xfe00_0000, 4);
        qemu.config(CONFIG_WRITE, 4, 2, 2);
        assert_eq!(qemu.config(CONFIG_READ, 256, 0, 4), 0xffff_ffff);
        assert_eq!(qemu.bar(BAR_WRITE, 0xfe00_fffc, 0xffff_ffff_1234_5678, 4), 0);
        assert_eq!(qemu.bar(BAR_READ, 0xfe00_fffc, 0, 4), 0x1234_5678);
        for (address, len) in [(0xfe00_fffc, 8), (0xfe00_fffd, 4), (0xfe01_0000, 4), (0, 4), (0xfe00_0000, 1)] {
            assert_eq!(qemu.bar(BAR_READ, address, 0, len), u64::MAX, "{address:#x}");
            qemu.bar(BAR_WRITE, address, 7, len);
        }
        drop(qemu);
        let mut function = server.join().unwrap().unwrap();
        assert_eq!((function.writes(), function.reads()), (1, 1));
        assert_eq!(function.device().log, [(0xfffc, 0x1234_5678)]);
    }

    #[test]
    fn messages_that_no_qemu_sends_end_it() {
        for (command, payload) in [(9, 0), (CONFIG_READ, 11), (BAR_READ, 25), (SYNC_SYSMEM, 5_000)] {
            let (qemu, card) = UnixStream::pair().unwrap();
            let mut qemu = Qemu(qemu);
            qemu.send(command, &vec![0; payload]);
            let refused = serve(card, &mut PciFunction::new(Memory::default())).unwrap_err();
            assert!(matches!(refused, MpqemuError::Message { .. }), "{refused}");
        }
    }
}
