//! Faults on purpose, one a stage, so that tests see the cross-check catch them. Only with the feature `fault`.
//!
//! Each is a mistake that someone could make, and that everyday traffic exposes. The stages themselves know nothing
//! of it: a fault changes what a stage returned. Its unit of work is the result of one stage for one frame.

use maglane_spec::row::{DatapathRow, ServiceRow};
use maglane_spec::siphash::FINAL;
use maglane_spec::wire::{ethernet, ipv4};
use maglane_spec::{FlowOutcome, Stage, Verdict};

use crate::stage::classify::Refused;
use crate::stage::flow_hash::{FlowHash, hash_with};
use crate::stage::ones_complement_sum;
use crate::stage::parse::{Parsed, parse};
use crate::stage::select::{Selected, Selection};

/// More fragments: the one bit that the planted fault of parse looks at.
const FRAGMENT_MORE: u16 = 0x2000;

/// At most one fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault(Option<Stage>);

impl Fault {
    /// Everything is right.
    pub(crate) const NONE: Self = Self(None);

    /// One thing is wrong, in this stage.
    pub(crate) const fn in_stage(stage: Stage) -> Self {
        Self(Some(stage))
    }

    /// Only the MF bit makes a fragment, the fragment offset does not: a last fragment is taken for a datagram.
    pub(crate) fn after_parse(
        self,
        parsed: Result<Parsed, Verdict>,
        datapath: Option<&DatapathRow>,
        frame: &[u8],
    ) -> Result<Parsed, Verdict> {
        if self.0 != Some(Stage::Parse) || parsed != Err(Verdict::PassFragment) {
            return parsed;
        }
        let tagged = frame[ethernet::ETHERTYPE..ethernet::TCI] == ethernet::TPID.to_be_bytes();
        let ip_offset = ethernet::HEADER_LEN + if tagged { ethernet::TAG_LEN } else { 0 };
        if frame[ip_offset - 2..ip_offset] != ethernet::ETHERTYPE_IPV4.to_be_bytes() {
            return parsed;
        }
        let mut frame = frame.to_vec();
        let header = &mut frame[ip_offset..ip_offset + ipv4::HEADER_LEN];
        let fragment = &mut header[ipv4::FRAGMENT..ipv4::FRAGMENT + 2];
        if u16::from_be_bytes([fragment[0], fragment[1]]) & FRAGMENT_MORE != 0 {
            return parsed;
        }
        fragment.fill(0);
        set_checksum(header);
        parse(datapath, &frame)
    }

    /// Services that take all ports are never found.
    pub(crate) fn after_classify(self, service: Result<&ServiceRow, Refused>) -> Result<&ServiceRow, Refused> {
        match service {
            Ok(row) if self.0 == Some(Stage::Classify) && row.flags & ServiceRow::FLAG_ALL_PORTS != 0 => {
                Err(Refused { verdict: Verdict::PassNoService, service: maglane_spec::limit::NO_SERVICE })
            }
            service => service,
        }
    }

    /// The finalisation constant has a wrong bit.
    pub(crate) fn after_flow_hash(
        self,
        hash: FlowHash,
        datapath: &DatapathRow,
        service: &ServiceRow,
        parsed: &Parsed,
    ) -> FlowHash {
        if self.0 == Some(Stage::FlowHash) { hash_with(datapath, service, parsed, FINAL ^ 1) } else { hash }
    }

    /// Backend 0 is taken for nobody.
    pub(crate) fn after_select(self, selection: Selection<'_>) -> Selection<'_> {
        match selection.backend {
            Ok(Selected { id: 0, .. }) if self.0 == Some(Stage::Select) => {
                Selection { flow: FlowOutcome::NoBackend, backend: Err(Verdict::DropNoBackend) }
            }
            _ => selection,
        }
    }

    /// DF is not set in the outer header, if that is IPv4.
    pub(crate) fn after_rewrite(self, ip_offset: usize, out: &mut [u8]) {
        let outer = &out[ip_offset - 2..ip_offset];
        if self.0 == Some(Stage::Rewrite) && outer == ethernet::ETHERTYPE_IPV4.to_be_bytes() {
            // The outer Ethernet header has the inner one's tag, hence its length.
            let header = &mut out[ip_offset..ip_offset + ipv4::HEADER_LEN];
            header[ipv4::FRAGMENT..ipv4::FRAGMENT + 2].fill(0);
            set_checksum(header);
        }
    }
}

fn set_checksum(header: &mut [u8]) {
    header[ipv4::CHECKSUM..ipv4::CHECKSUM + 2].fill(0);
    let checksum = !ones_complement_sum(header);
    header[ipv4::CHECKSUM..ipv4::CHECKSUM + 2].copy_from_slice(&checksum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use maglane_spec::Geometry;

    use super::*;
    use crate::engine::{Engine, Frame, Outcome};
    use crate::fixture::{VIP, VIP_ALL_UDP, image, tagged, tcp, udp, with_ipv4};
    use crate::pipeline::Pipeline;

    fn outcomes(mut pipeline: Pipeline, frames: &[Vec<u8>]) -> Vec<Outcome> {
        pipeline.load(&image()).unwrap();
        let frames: Vec<_> = frames.iter().map(|bytes| Frame { time_ns: 0, bytes }).collect();
        pipeline.process(&frames).unwrap()
    }

    #[test]
    fn every_fault_changes_what_everyday_traffic_sees_and_only_that() {
        let last_fragment = with_ipv4(&udp(VIP, 53, 100), ipv4::FRAGMENT, &[0, 185]);
        let mut frames = vec![last_fragment, udp(VIP_ALL_UDP, 5_000, 20), with_ipv4(&udp(VIP, 53, 0), 9, &[1])];
        frames.extend((1_024..1_040_u16).map(|port| {
            let mut frame = tagged(&tcp(VIP, 80, 0), 7);
            frame[38..40].copy_from_slice(&port.to_be_bytes());
            frame
        }));
        let right = outcomes(Pipeline::new(Geometry::LAB), &frames);
        for stage in Stage::ALL {
            let wrong = outcomes(Pipeline::with_fault(Geometry::LAB, stage), &frames);
            let differ = |index: usize| right[index] != wrong[index];
            assert!((0..frames.len()).any(differ), "{stage:?}");
            assert!(!differ(2), "{stage:?} leaves ICMP alone");
            match stage {
                Stage::Parse => assert_eq!(wrong[0].verdict, Verdict::Forward),
                Stage::Classify => assert_eq!(wrong[1].verdict, Verdict::PassNoService),
                Stage::FlowHash => assert_ne!(wrong[3].hash, right[3].hash),
                Stage::Select => assert!((3..19).any(|index| wrong[index].verdict == Verdict::DropNoBackend)),
                Stage::Rewrite => assert_eq!(wrong[3].output[18 + 6..18 + 8], [0, 0]),
            }
        }
    }

    #[test]
    fn first_fragment_still_passes_with_the_fault_in_parse() {
        let first = with_ipv4(&udp(VIP, 53, 100), ipv4::FRAGMENT, &[0x20, 0]);
        let wrong = outcomes(Pipeline::with_fault(Geometry::LAB, Stage::Parse), &[first]);
        assert_eq!(wrong[0].verdict, Verdict::PassFragment);
    }
}
