//! What tests of the driver on a simulated card share: tables, frames, and the comparison with software.

use std::time::Duration;

use maglane_driver::counters::Counters;
use maglane_hw::profile::Profile;
use maglane_sim::Stimulus;
use maglane_sim::device::SimulatedCard;
use maglane_spec::{TableImage, Verdict};
use maglane_sw::Pipeline;
use maglane_sw::engine::{self, Engine, Outcome};

use crate::bench::{self, Transport};
use crate::flows::{ACK, SYN};

/// The build whose card is simulated.
pub(crate) const PROFILE: Profile = Profile::Lab;
/// How long a load may take, with others on the same processors.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A service of both examples' and this module's tables.
const WEB: ([u8; 4], u8, u16) = ([192, 0, 2, 10], 6, 80);

/// A card without tables, if this machine can simulate one.
pub(crate) fn card() -> Option<SimulatedCard> {
    match SimulatedCard::start(PROFILE, Stimulus::SMOOTH) {
        Ok(card) => Some(card),
        Err(error) => {
            bench::skipped(&format!("the simulated card: {error}"));
            None
        }
    }
}

/// Tables of one service with 65,521 entries and ten backends, of which one may be down.
pub(crate) fn tables(down: Option<usize>) -> TableImage {
    let mut text = "[datapath]\nhash_key = \"000102030405060708090a0b0c0d0e0f\"\nmac = \"02:00:00:00:00:01\"\n\
        next_hop_mac = \"02:00:00:00:00:fe\"\ntunnel_source_v4 = \"10.0.0.1\"\ngeometry = \"lab\"\n[[service]]\n\
        name = \"web\"\naddress = \"192.0.2.10\"\nport = 80\nprotocol = \"tcp\"\ntable_size = 65521\n"
        .to_owned();
    for backend in 0..10 {
        let state = if down == Some(backend) { "down" } else { "up" };
        text += &format!("[[service.backend]]\naddress = \"10.1.0.{}\"\nstate = \"{state}\"\n", backend + 1);
    }
    bench::tables(&text)
}

/// Frames of forty flows, some of which go on, and some to nobody.
pub(crate) fn frames() -> Vec<Vec<u8>> {
    let new = (0..40).map(|number| Transport::to(WEB).from(number << 5).frame(SYN));
    let on = (0..20).map(|number| Transport::to(WEB).from(number << 5).frame(ACK));
    let stranger = (0..5).map(|number| Transport::to(([192, 0, 2, 99], 6, 80)).from(number).frame(SYN));
    new.chain(on).chain(stranger).collect()
}

/// What the card did with [`frames`] is what software does; what that counts.
pub(crate) fn software(image: &TableImage, outcomes: &[Outcome]) -> engine::Counters {
    let mut software = Pipeline::new(PROFILE.geometry());
    software.load(image).unwrap();
    let expected = software.process(&bench::views(&frames())).unwrap();
    assert!(expected.iter().filter(|outcome| outcome.verdict == Verdict::Forward).count() >= 50);
    assert_eq!(outcomes, expected);
    software.counters().unwrap()
}

/// What the card did with [`frames`], and what the driver read of its counters, is what software does and counts.
pub(crate) fn assert_as_software(image: &TableImage, outcomes: &[Outcome], counted: &Counters) {
    let expected = software(image, outcomes);
    let Counters { verdicts, flows, services, backends, overrun_host } = counted;
    assert_eq!((verdicts, flows), (&expected.verdicts, &expected.flows));
    assert_eq!((services, backends, *overrun_host), (&expected.services, &expected.backends, 0));
}
