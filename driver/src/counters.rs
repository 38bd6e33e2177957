//! What a card has counted: frames by verdict, by what they met in the flow table, by service and by backend, and the live
//! flows of each backend.
//!
//! It reads and sums nothing up. A counter's four words are of one moment; two counters are not. Its unit is the counter.

use maglane_spec::counter::PacketsBytes;
use maglane_spec::window;

use crate::bar::BarIo;
use crate::card::{Card, CardError};
use crate::place::{address, addresses};

/// Reads of all live flows before it is given up that a round ends during each.
const TRIES_MAX: u32 = 32;

/// All counters of a card since its reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// By verdict code; [`maglane_spec::Verdict::CODES`] entries.
    pub verdicts: Vec<PacketsBytes>,
    /// By code of [`maglane_spec::FlowOutcome`]; [`maglane_spec::FlowOutcome::CODES`] entries.
    pub flows: Vec<PacketsBytes>,
    /// Forwarded frames by service id; as many as the geometry has services.
    pub services: Vec<PacketsBytes>,
    /// Forwarded frames by backend id; as many as the geometry has backends.
    pub backends: Vec<PacketsBytes>,
    /// Frames to the host that its full queue lost, modulo 2^32.
    pub overrun_host: u32,
}

/// Live flows of all backends, as one round of the sweeper has counted them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveFlows {
    /// By backend id; as many as the geometry has backends.
    pub flows: Vec<u32>,
    /// The round's number, modulo 2^16: another one says that all were counted anew.
    pub round: u16,
}

/// Why counters could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CountersError {
    /// The card did not do it.
    #[error(transparent)]
    Card(#[from] CardError),
    /// Rounds follow each other faster than they can be read.
    #[error(
        "the sweeper ended a round during each of {tries} reads of all live flows: the tick is too short for this bus"
    )]
    Rounds {
        /// Reads of all.
        tries: u32,
    },
}

impl Counters {
    /// Reads all counters.
    ///
    /// # Errors
    /// When the card cannot be reached.
    pub fn read<B: BarIo>(card: &mut Card<B>) -> Result<Self, CardError> {
        Ok(Self {
            verdicts: read_set(card, window::COUNTER_VERDICT)?,
            flows: read_set(card, window::COUNTER_FLOW)?,
            services: read_set(card, window::COUNTER_SERVICE)?,
            backends: read_set(card, window::COUNTER_BACKEND)?,
            overrun_host: card.read_word(address(window::COUNTER_OVERRUN_HOST, 0, 0))?,
        })
    }
}

impl LiveFlows {
    /// Reads the live flows of all backends; again, when a round has ended meanwhile.
    ///
    /// # Errors
    /// [`CountersError::Rounds`] when one ends each time; when the card cannot be reached.
    pub fn read<B: BarIo>(card: &mut Card<B>) -> Result<Self, CountersError> {
        let mut flows = Vec::new();
        for _ in 0..TRIES_MAX {
            let round = card.status()?.rounds;
            flows.clear();
            read_region(card, window::LIVE_FLOWS, &mut flows)?;
            if card.status()?.rounds == round {
                return Ok(Self { flows, round });
            }
        }
        Err(CountersError::Rounds { tries: TRIES_MAX })
    }
}

/// Reads a set of counters. In ascending order, which is what makes the words of a counter belong together.
fn read_set<B: BarIo>(card: &mut Card<B>, region: u32) -> Result<Vec<PacketsBytes>, CardError> {
    let mut words = Vec::new();
    read_region(card, region, &mut words)?;
    let counter = |&[packets_low, packets_high, bytes_low, bytes_high]: &[u32; 4]| PacketsBytes {
        packets: wide(packets_low, packets_high),
        bytes: wide(bytes_low, bytes_high),
    };
    Ok(words.as_chunks().0.iter().map(counter).collect())
}

fn read_region<B: BarIo>(card: &mut Card<B>, region: u32, out: &mut Vec<u32>) -> Result<(), CardError> {
    let addresses: Vec<_> = addresses(region, card.geometry()).collect();
    card.read_words(&addresses, out)
}

const fn wide(low: u32, high: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

const _: () = assert!(window::COUNTER_WORDS == 4);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Model, TINY};

    #[test]
    fn counters_that_move_at_every_access_are_each_of_one_moment() {
        let mut card = Card::open(Model::new(TINY)).unwrap();
        card.bar().counting = true;
        let counters = Counters::read(&mut card).unwrap();
        let lens = [&counters.verdicts, &counters.flows, &counters.services, &counters.backends].map(Vec::len);
        assert_eq!(lens, [32, 8, 4, 16]);
        assert_eq!(counters.overrun_host, 99);
        let sets = [
            (window::COUNTER_VERDICT, &counters.verdicts),
            (window::COUNTER_FLOW, &counters.flows),
            (window::COUNTER_SERVICE, &counters.services),
            (window::COUNTER_BACKEND, &counters.backends),
        ];
        for (region, set) in sets {
            for (entry, counter) in (0..).zip(set) {
                let moment = counter.packets & u64::from(u32::MAX);
                let [a, b, c, d] = Model::counter(region, entry, moment);
                let expected = PacketsBytes { packets: wide(a, b), bytes: wide(c, d) };
                assert_eq!(*counter, expected, "region {region}, entry {entry}");
            }
        }
    }

    #[test]
    fn live_flows_are_read_again_when_a_round_ends_meanwhile() {
        let mut card = Card::open(Model::new(TINY)).unwrap();
        card.bar().tick_every = 50;
        for _ in 0..20 {
            let live = LiveFlows::read(&mut card).unwrap();
            assert_eq!(live.flows.len(), 16);
            for (backend, &flows) in (0..).zip(&live.flows) {
                assert_eq!(flows, backend << 16 | u32::from(live.round));
            }
        }
    }

    #[test]
    fn rounds_that_never_leave_time_to_read_are_an_error() {
        let mut card = Card::open(Model::new(TINY)).unwrap();
        card.bar().tick_every = 10;
        assert!(matches!(LiveFlows::read(&mut card), Err(CountersError::Rounds { .. })));
    }
}
