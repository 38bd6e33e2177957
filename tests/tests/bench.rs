//! What the subjects share: tables, captures, engines.

use std::path::{Path, PathBuf};

use maglane_hw::profile::Profile;
use maglane_sim::Stimulus;
use maglane_sim::crosscheck::{BATCH, Lockstep};
use maglane_sim::difference::Difference;
use maglane_sim::lineup::{Kind, Setting};
use maglane_spec::{Stage, TableImage};
use maglane_sw::engine::{Counters, Engine, Frame, Outcome};
use maglane_sw::io::capture::{Capture, CaptureWriter};
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

/// Frames as engines take them, a tenth of a millisecond apart.
pub(crate) fn views(frames: &[Vec<u8>]) -> Vec<Frame<'_>> {
    (0..).zip(frames).map(|(number, bytes)| Frame { time_ns: number * 100_000, bytes }).collect()
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

/// Both engines in software, and the engines of `kinds` that this machine has.
pub(crate) fn lineup(kinds: &[Kind], profile: Profile, stimulus: Stimulus) -> Vec<Box<dyn Engine>> {
    let mut engines: Vec<_> =
        [Kind::Software, Kind::SoftwareFast].map(|kind| start(kind, profile, stimulus, None)).into();
    for &kind in kinds {
        match kind.missing() {
            Some(error) => skipped(&format!("engine {kind}: {error}")),
            None => engines.push(start(kind, profile, stimulus, None)),
        }
    }
    engines
}

/// Runs frames through engines in lockstep, counters and flow table included.
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
    let (counters, _) = lockstep.remembered().unwrap()?;
    Ok((outcomes, counters))
}

/// Writes frames, a tenth of a millisecond apart, as a capture beside the build's other products.
pub(crate) fn keep(name: &str, frames: &[Vec<u8>]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pcap"));
    let mut writer = CaptureWriter::create(&path).unwrap();
    for frame in views(frames) {
        writer.write(&frame).unwrap();
    }
    writer.finish().unwrap();
    path
}

/// Splitmix64, enough to make frames.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> usize {
        usize::try_from(self.next() % bound).unwrap()
    }

    pub(crate) fn one_in(&mut self, cases: u64) -> bool {
        self.next().is_multiple_of(cases)
    }
}

/// Frames of a campaign.
pub(crate) fn count(default: usize) -> usize {
    std::env::var("MAGLANE_FRAMES").map_or(default, |text| text.parse().expect("MAGLANE_FRAMES is a number"))
}

/// Shifts the seeds of a campaign.
pub(crate) fn seed(default: u64) -> u64 {
    std::env::var("MAGLANE_SEED")
        .map_or(default, |text| text.parse::<u64>().expect("MAGLANE_SEED is a number") + default)
}

/// A TCP or UDP packet over IPv4 in a frame of 60 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transport {
    source: [u8; 4],
    source_port: u16,
    target: ([u8; 4], u8, u16),
}

impl Transport {
    /// To an address, protocol and port.
    pub(crate) fn to(target: ([u8; 4], u8, u16)) -> Self {
        Self { source: [203, 0, 113, 9], source_port: 0x1234, target }
    }

    /// From one of the clients that there can be, by number.
    pub(crate) fn from(mut self, number: u64) -> Self {
        let [a, b, c, d, e, f, ..] = number.to_le_bytes();
        self.source = [10 + (d & 0x3f), c, f ^ e, b];
        self.source_port = u16::from_be_bytes([a, b ^ c]);
        self
    }

    /// To the address whose services select in turn.
    pub(crate) fn in_turn(&self) -> bool {
        self.target.0 == [192, 0, 2, 12]
    }

    /// An ICMP error about an answer of the service to the client, with as little of it as is enough.
    pub(crate) fn error(&self) -> Vec<u8> {
        let (destination, protocol, port) = self.target;
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        frame.extend([0x45, 0, 0, 52, 0, 1, 0x40, 0, 64, 1, 0, 0, 203, 0, 113, 200]);
        frame.extend(destination);
        frame.extend([3, 4, 0, 0, 0, 0, 5, 0]);
        frame.extend([0x45, 0, 5, 220, 0, 1, 0x40, 0, 64, protocol, 0, 0]);
        frame.extend(destination);
        frame.extend(self.source);
        frame.extend(port.to_be_bytes());
        frame.extend(self.source_port.to_be_bytes());
        set_checksum(&mut frame[14..]);
        frame
    }

    /// The frame, with TCP flags.
    pub(crate) fn frame(&self, flags: u8) -> Vec<u8> {
        let (destination, protocol, port) = self.target;
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        frame.extend([0x45, 0, 0, 46, 0, 1, 0x40, 0, 64, protocol, 0, 0]);
        frame.extend(self.source);
        frame.extend(destination);
        set_checksum(&mut frame[14..]);
        frame.extend(self.source_port.to_be_bytes());
        frame.extend(port.to_be_bytes());
        frame.extend([0, 26, 0, 0, 0, 0, 0, 0, 0x50, flags]);
        frame.resize(60, 0);
        frame
    }
}

/// Makes the header checksum of an IPv4 packet.
pub(crate) fn set_checksum(packet: &mut [u8]) {
    packet[10..12].fill(0);
    let sum: u32 = packet[..20].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap();
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
}
