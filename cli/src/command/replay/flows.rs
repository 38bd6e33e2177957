//! Frames by what they met in the flow table, in parts that add up to all frames.
//!
//! The pipeline counts an ICMP error about a flow as not reached, because it writes nothing there. But it reads: here it
//! is a part of its own. The unit of work is one frame's outcome.

use maglane_spec::counter::PacketsBytes;
use maglane_spec::limit::NO_BACKEND;
use maglane_spec::{FlowOutcome, Verdict};
use maglane_sw::engine::{Counters, Frame, Outcome};

/// The name of the frames that read the flow table and leave it as it is: ICMP errors about a flow.
pub(crate) const READ_ONLY: &str = "read_only";

/// Frames that read the flow table and leave it as it is, which no counter of the pipeline tells from those that were
/// decided before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadOnly(PacketsBytes);

impl ReadOnly {
    /// Counts a frame if it is one.
    pub(crate) fn add(&mut self, frame: &Frame<'_>, outcome: &Outcome) {
        if is_read_only(outcome) {
            self.0.packets += 1;
            self.0.bytes += frame.bytes.len() as u64;
        }
    }

    /// All frames by name, packets and bytes: what they met, then those that read only, then those decided before.
    pub(super) fn parts(self, counters: &Counters) -> impl Iterator<Item = (&'static str, PacketsBytes)> {
        let counter =
            |outcome: FlowOutcome| counters.flows.get(usize::from(outcome.code())).copied().unwrap_or_default();
        let before = counter(FlowOutcome::NotReached);
        let before = PacketsBytes {
            packets: before.packets.saturating_sub(self.0.packets),
            bytes: before.bytes.saturating_sub(self.0.bytes),
        };
        let reached = FlowOutcome::ALL.into_iter().filter(|&outcome| outcome != FlowOutcome::NotReached);
        let reached: Vec<_> = reached.map(|outcome| (outcome.name(), counter(outcome))).collect();
        reached.into_iter().chain([(READ_ONLY, self.0), (FlowOutcome::NotReached.name(), before)])
    }
}

/// Whether a frame is an ICMP error about a flow that came to select: it alone has a backend, or is dropped for want of
/// one, and has not reached the flow table by the pipeline's count.
fn is_read_only(outcome: &Outcome) -> bool {
    outcome.flow == FlowOutcome::NotReached
        && (outcome.backend != NO_BACKEND || outcome.verdict == Verdict::DropNoBackend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_about_flows_are_told_from_frames_that_were_decided_before() {
        let early = Outcome::early;
        let error = Outcome { service: 0, hash: 1, backend: 3, ..early(Verdict::Forward) };
        let error_to_nobody = Outcome { service: 0, hash: 1, ..early(Verdict::DropNoBackend) };
        let hit = Outcome { flow: FlowOutcome::Hit, ..error.clone() };
        let nobody = Outcome { flow: FlowOutcome::NoBackend, ..error_to_nobody.clone() };
        let disabled = Outcome { service: 0, ..early(Verdict::DropServiceDisabled) };
        let unsupported = Outcome { service: 0, hash: 1, ..early(Verdict::PassUnsupported) };
        let all = [&error, &error_to_nobody, &hit, &nobody, &disabled, &unsupported, &early(Verdict::PassIcmp)];
        assert_eq!(all.map(is_read_only), [true, true, false, false, false, false, false]);

        let mut counters =
            Counters { verdicts: Vec::new(), flows: Vec::new(), services: Vec::new(), backends: Vec::new() };
        counters.flows.resize(FlowOutcome::CODES, PacketsBytes::default());
        let mut read_only = ReadOnly::default();
        for (outcome, len) in all.into_iter().zip([70, 71, 60, 60, 60, 60, 98]) {
            let bytes = vec![0; len];
            let counter = &mut counters.flows[usize::from(outcome.flow.code())];
            *counter = PacketsBytes { packets: counter.packets + 1, bytes: counter.bytes + len as u64 };
            read_only.add(&Frame { time_ns: 0, bytes: &bytes }, outcome);
        }
        let parts: Vec<_> = read_only.parts(&counters).filter(|(_, part)| part.packets > 0).collect();
        let part = |packets, bytes| PacketsBytes { packets, bytes };
        assert_eq!(
            parts,
            [
                ("hit", part(1, 60)),
                ("no_backend", part(1, 60)),
                ("read_only", part(2, 141)),
                ("not_reached", part(3, 218)),
            ]
        );
    }
}
