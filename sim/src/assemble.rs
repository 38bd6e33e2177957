//! Puts together what a simulated core gives out of step: records, frames to the wire, frames to the host.

use std::collections::VecDeque;

use maglane_spec::verdict::Egress;
use maglane_spec::{FlowOutcome, Verdict};
use maglane_sw::engine::Outcome;

/// The record of a frame, as the core's trace port gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Verdict code; not yet checked.
    pub verdict: u8,
    /// Code of what the frame met in the flow table; not yet checked.
    pub flow: u8,
    /// Length of the frame as it came in, in bytes.
    pub length: u16,
    /// Service id.
    pub service: u16,
    /// Backend id.
    pub backend: u16,
    /// Flow hash.
    pub hash: u64,
}

/// A frame that left, with the sideband of its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The sideband: length, and on the host stream the verdict from bit 16.
    pub user: u32,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What came out of a core for a batch.
#[derive(Debug, Default)]
pub struct Batch {
    /// One record a frame.
    pub records: Vec<Record>,
    /// Frames on the wire stream.
    pub wire: VecDeque<Left>,
    /// Frames on the host stream.
    pub host: VecDeque<Left>,
}

impl Batch {
    /// Joins records and frames.
    ///
    /// # Errors
    /// When they do not fit together: a sentence that says how.
    pub fn outcomes(mut self, lengths: &[usize]) -> Result<Vec<Outcome>, String> {
        if self.records.len() != lengths.len() {
            return Err(format!("{} records for {} frames", self.records.len(), lengths.len()));
        }
        let mut outcomes = Vec::with_capacity(lengths.len());
        for (number, (record, &length)) in self.records.iter().zip(lengths).enumerate() {
            if usize::from(record.length) != length {
                return Err(format!("record {number} says {} bytes, the frame has {length}", record.length));
            }
            let verdict = Verdict::from_code(record.verdict)
                .ok_or_else(|| format!("record {number} has the unknown verdict code {}", record.verdict))?;
            let flow = FlowOutcome::from_code(record.flow)
                .ok_or_else(|| format!("record {number} has the unknown flow outcome {}", record.flow))?;
            let (queue, name) = match verdict.egress() {
                Egress::Wire => (Some(&mut self.wire), "wire"),
                Egress::Host => (Some(&mut self.host), "host"),
                Egress::Nowhere => (None, ""),
            };
            let mut output = Vec::new();
            if let Some(queue) = queue {
                let left = queue.pop_front().ok_or_else(|| {
                    format!("record {number} is {}, but no frame left on the {name} stream", verdict.name())
                })?;
                let verdict_bits = if name == "host" { u32::from(verdict.code()) << 16 } else { 0 };
                if left.bytes.len() as u64 | u64::from(verdict_bits) != u64::from(left.user) {
                    return Err(format!(
                        "sideband {:#x} on the {name} stream of frame {number}: it has {} bytes and is {}",
                        left.user,
                        left.bytes.len(),
                        verdict.name()
                    ));
                }
                output = left.bytes;
            }
            outcomes.push(Outcome {
                verdict,
                service: record.service,
                hash: record.hash,
                flow,
                backend: record.backend,
                output,
            });
        }
        if !self.wire.is_empty() || !self.host.is_empty() {
            return Err(format!("{} frames on the wire and {} to the host too many", self.wire.len(), self.host.len()));
        }
        Ok(outcomes)
    }
}
