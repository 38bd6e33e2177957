//! Frames of many flows for benchmarks, made as they are needed in buffers that are used in turn, as by a NIC.

use maglane_sw::fast::{BURST, Packet};

use super::fixture::with_ipv4;

/// Buffers that frames lie in, and bytes of each.
const BUFFERS: usize = 512;
const BUFFER: usize = 256;
/// Where a frame starts.
pub(crate) const START: usize = 64;

/// What makes a flow's frame of another's.
#[derive(Clone, Copy)]
pub(crate) struct Tuple {
    source: [u8; 4],
    port: [u8; 2],
    checksum: [u8; 2],
}

/// Frames of many flows, made as they are needed.
pub(crate) struct Source {
    frame: Vec<u8>,
    /// Where the client's port is: in a quoted packet it is the destination's.
    port_at: usize,
    pub(crate) tuples: Vec<Tuple>,
    next: usize,
    buffers: Vec<u8>,
    buffer: usize,
}

impl Source {
    /// So many flows of a frame, in an order that says nothing of their place in the flow table.
    pub(crate) fn new(frame: &[u8], flows: u32) -> Self {
        let tuples = (0..flows)
            .map(|flow| {
                let source = flow.wrapping_mul(0x9e37_79b1).to_be_bytes();
                let mut checksum = [0; 2];
                if frame[14] >> 4 == 4 {
                    checksum.copy_from_slice(&with_ipv4(frame, 12, &source)[24..26]);
                }
                Tuple { source, port: [source[1], source[2]], checksum }
            })
            .collect();
        let mut buffers = vec![0; BUFFERS * BUFFER];
        for buffer in buffers.chunks_exact_mut(BUFFER) {
            buffer[START..START + frame.len()].copy_from_slice(frame);
        }
        let port_at = match (frame[14] >> 4, frame[23]) {
            (6, _) => 54,
            (_, 1) => 64,
            _ => 34,
        };
        Self { frame: frame.to_vec(), port_at, tuples, next: 0, buffers, buffer: 0 }
    }

    /// The next burst.
    #[inline(always)]
    pub(crate) fn burst(&mut self) -> [Packet<'_>; BURST] {
        if self.next + BURST > self.tuples.len() {
            self.next = 0;
        }
        let tuples = &self.tuples[self.next..self.next + BURST];
        self.next += BURST;
        self.buffer = (self.buffer + BURST) % BUFFERS;
        let buffers = &mut self.buffers[self.buffer * BUFFER..(self.buffer + BURST) * BUFFER];
        let mut buffers = buffers.chunks_exact_mut(BUFFER).zip(tuples);
        let port_at = START + self.port_at;
        let (ipv6, len, link) = (self.frame[14] >> 4 == 6, self.frame.len(), self.frame.first_chunk::<14>());
        std::array::from_fn(|_| {
            let (buffer, tuple) = buffers.next().expect("as many as the burst");
            buffer[START..START + 14].copy_from_slice(link.expect("a frame"));
            if ipv6 {
                buffer[START + 26..START + 30].copy_from_slice(&tuple.source);
            } else {
                buffer[START + 24..START + 26].copy_from_slice(&tuple.checksum);
                buffer[START + 26..START + 30].copy_from_slice(&tuple.source);
            }
            buffer[port_at..port_at + 2].copy_from_slice(&tuple.port);
            Packet::new(buffer, START, len).expect("room before and behind")
        })
    }
}
