//! What the subjects share: tables, captures, engines.

use std::path::{Path, PathBuf};

use maglane_hw::profile::Profile;
use maglane_sim::Stimulus;
use maglane_sim::crosscheck::{BATCH, Lockstep};
use maglane_sim::difference::Difference;
use maglane_sim::lineup::{Kind, Setting};
use maglane_spec::{Stage, TableImage};
use maglane_sw::engine::{Counters, Engine, Frame, Outcome};
use maglane_sw::io::capture::Capture;
use maglane_table::Config;

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Tables of one of the examples.
pub(crate) fn example(name: &str) -> TableImage {
    let path = root().join("examples").join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    Config::parse(name, &text).unwrap().image().unwrap()
}

/// Tables of a configuration text.
pub(crate) fn tables(text: &str) -> TableImage {
    Config::parse("test", text).unwrap().image().unwrap()
}

/// All committed captures.
pub(crate) fn captures() -> Vec<PathBuf> {
    let folder = root().join("tests/captures");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pcap"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 8, "captures are missing: {paths:?}");
    paths
}

/// The frames of a capture.
pub(crate) fn frames(path: &Path) -> Vec<Vec<u8>> {
    let capture = Capture::open(path).unwrap();
    capture.frames().map(|frame| frame.unwrap().bytes.to_vec()).collect()
}

/// Frames as engines take them.
pub(crate) fn views(frames: &[Vec<u8>]) -> Vec<Frame<'_>> {
    frames.iter().map(|bytes| Frame { time_ns: 0, bytes }).collect()
}

/// Says what was not tested; where nothing may be skipped, that is a failure.
pub(crate) fn skipped(what: &str) {
    assert!(std::env::var_os("MAGLANE_NO_SKIP").is_none(), "nothing may be skipped here: {what}");
    println!("skipped: {what}");
}

/// Starts an engine.
pub(crate) fn start(kind: Kind, profile: Profile, stimulus: Stimulus, fault: Option<Stage>) -> Box<dyn Engine> {
    kind.start(&Setting { geometry: profile.geometry(), stimulus, fault, traced: false }).unwrap()
}

/// Software, and the engines of `kinds` that this machine has.
pub(crate) fn lineup(kinds: &[Kind], profile: Profile, stimulus: Stimulus) -> Vec<Box<dyn Engine>> {
    let mut engines = vec![start(Kind::Software, profile, stimulus, None)];
    for &kind in kinds {
        match kind.missing() {
            Some(error) => skipped(&format!("engine {kind}: {error}")),
            None => engines.push(start(kind, profile, stimulus, None)),
        }
    }
    engines
}

/// Runs frames through engines in lockstep, counters included.
pub(crate) fn crosscheck(
    engines: Vec<Box<dyn Engine>>,
    image: &TableImage,
    frames: &[Vec<u8>],
) -> Result<(Vec<Outcome>, Counters), Box<Difference>> {
    let mut lockstep = Lockstep::new(engines, image).unwrap();
    let mut outcomes = Vec::new();
    for batch in views(frames).chunks(BATCH) {
        outcomes.extend(lockstep.process(batch).unwrap()?);
    }
    Ok((outcomes, lockstep.counters().unwrap()?))
}
