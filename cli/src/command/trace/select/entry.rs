//! An entry of the flow table in words, and why it is no hit.

use maglane_spec::flow::{STATE_CLOSING, STATE_ESTABLISHED, STATE_NEW};
use maglane_spec::limit::TIMEOUT_TICKS_MAX;
use maglane_spec::row::{BackendRow, ServiceRow};
use maglane_sw::flow_table::{Candidate, FlowTable};
use maglane_sw::stage::parse::TcpFlags;
use serde::Serialize;

use super::{Named, Names, Sight};

/// A live entry and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Held {
    pub(super) way: usize,
    /// new, established, closing
    pub(super) state: &'static str,
    pub(super) backend: Named,
    /// Ticks since the flow was last seen, and how many it lives.
    pub(super) age: u8,
    pub(super) age_max: u8,
}

impl Held {
    /// The entry in a way of the frame's set, if it is live.
    pub(super) fn of_way(sight: &Sight<'_>, table: &FlowTable, way: usize) -> Option<Self> {
        let entry = table.set(sight.hash.h)[way]?;
        let [new, established, closing] = sight.image.datapath.timeout_ticks;
        let age_max = match entry.state {
            STATE_NEW => new,
            STATE_ESTABLISHED => established,
            _ => closing,
        };
        Some(Self {
            way,
            state: state_name(entry.state),
            backend: sight.names.backend(entry.backend),
            age: entry.age,
            age_max: age_max.min(TIMEOUT_TICKS_MAX),
        })
    }

    /// Place, state and backend.
    pub(super) fn text(&self) -> String {
        format!("way {}: {}, {}", self.way, self.state, self.backend)
    }
}

/// The contract's word for a state.
fn state_name(state: u8) -> &'static str {
    match state {
        STATE_NEW => "new",
        STATE_ESTABLISHED => "established",
        STATE_CLOSING => "closing",
        _ => "empty",
    }
}

/// Why a flow's entry is no hit; none when it is one.
pub(super) fn refused(
    candidate: Candidate,
    backend: &BackendRow,
    service: &ServiceRow,
    flags: TcpFlags,
    names: &Names,
) -> Option<String> {
    if backend.service != service.id {
        return Some(format!("its backend belongs to another service, {}", names.service(backend.service.value())));
    }
    match backend.state {
        BackendRow::STATE_UP | BackendRow::STATE_DRAINING => {}
        BackendRow::STATE_DOWN => return Some("its backend is down".to_owned()),
        code => return Some(format!("its backend has state code {code}, which counts as down")),
    }
    (candidate.state == STATE_CLOSING && flags.syn)
        .then(|| "it is closing and this is a SYN: a new connection from the old one's ports".to_owned())
}

#[cfg(test)]
mod tests {
    use maglane_spec::endian::U16Le;
    use maglane_sw::stage::select::is_hit;

    use super::*;

    #[test]
    fn entry_is_refused_with_a_reason_exactly_when_it_is_no_hit() {
        let names = Names::default();
        let service = ServiceRow { id: U16Le::new(3), ..ServiceRow::default() };
        let mut reasons = std::collections::BTreeSet::new();
        for case in 0..=u8::MAX {
            let (owner, backend_state, state) = (case & 1, case >> 1 & 3, case >> 3 & 3);
            let flags = TcpFlags { syn: case & 32 != 0, fin: case & 64 != 0, rst: case & 128 != 0 };
            let backend =
                BackendRow { service: U16Le::new(2 + u16::from(owner)), state: backend_state, ..BackendRow::default() };
            let candidate = Candidate { way: 0, backend: 0, state };
            let reason = refused(candidate, &backend, &service, flags, &names);
            assert_eq!(reason.is_none(), is_hit(candidate, &backend, &service, flags), "{case:#b}: {reason:?}");
            reasons.extend(reason);
        }
        assert_eq!(reasons.len(), 4, "{reasons:?}");
    }
}
