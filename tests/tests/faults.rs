//! Goal: the cross-check catches a fault in any one stage of any one engine, and names the stage.
//!
//! Method: a fault in one stage at a time, each of a kind that leaves most frames right; the embedded capture must
//! show it.

use maglane_hw::profile::Profile;
use maglane_sim::Stimulus;
use maglane_sim::lineup::Kind;
use maglane_spec::Stage;

use crate::bench;

fn caught(kind: Kind) {
    if let Some(error) = kind.missing() {
        return bench::skipped(&format!("faults of {kind}: {error}"));
    }
    let image = bench::example("web.toml");
    let frames = bench::frames(&bench::root().join("tests/captures/web.pcap"));
    let profile = Profile::Lab;
    for stage in Stage::ALL {
        let faulty = bench::start(kind, profile, Stimulus::SMOOTH, Some(stage));
        let sound = bench::start(Kind::Software, profile, Stimulus::SMOOTH, None);
        match bench::crosscheck(vec![sound, faulty], &image, &frames) {
            Ok(_) => panic!("the fault in {} of {kind} was not found", stage.name()),
            Err(difference) => {
                assert_eq!(difference.stage, Some(stage), "{difference}");
                assert_eq!(difference.found.0, kind.name());
                assert!(difference.frame.is_some());
            }
        }
    }
}

#[test]
fn fault_in_any_stage_of_software_is_named() {
    caught(Kind::Software);
    caught(Kind::SoftwareFast);
}

#[test]
fn fault_in_any_stage_of_the_simulation_is_named() {
    caught(Kind::Rtl);
}

#[test]
fn fault_in_any_stage_of_the_verilog_is_named() {
    caught(Kind::Verilog);
}
