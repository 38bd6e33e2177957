//! Goal: who looks on changes nothing, and is shown the frames that it asked for and no others, as they were.

use std::sync::mpsc::{Receiver, sync_channel};

use etherparse::{Ipv4Header, PacketBuilder};
use maglane_spec::FlowOutcome;
use maglane_sw::fast::{Datapath, HEADROOM, LOOK};
use maglane_table::{Config, Ids};

use super::*;
use crate::args::Mode;
use crate::command::run::story::Narrator;
use crate::command::trace::Names;

const CLIENT: [u8; 4] = [198, 51, 100, 7];

/// A datapath, and all that a run has around it.
struct Site {
    datapath: Arc<Datapath>,
    names: Names,
    worker: Worker,
    slow: Mutex<SlowPath>,
}

/// What became of a burst's frames: bytes, where they go, and what left beside them.
type Ends = (Vec<(Vec<u8>, Egress)>, Vec<Vec<u8>>);

impl Site {
    fn new() -> Self {
        let text = include_str!("../../../../../examples/schedulers.toml");
        let config = Config::parse("schedulers.toml", text).unwrap();
        let image = config.image().unwrap();
        let datapath = Arc::new(Datapath::new(image.geometry).unwrap());
        datapath.load(Arc::new(image)).unwrap();
        let slow = Mutex::new(SlowPath::new(Arc::clone(&datapath)));
        Self { worker: Worker::new(Arc::clone(&datapath)), names: Names::of(&Ids::fresh(&config)), slow, datapath }
    }

    fn process(&mut self, watcher: &mut Watcher<'_>, time_ns: u64, frames: &[Vec<u8>]) -> Ends {
        let room = |frame: &Vec<u8>| [&[0; HEADROOM][..], frame, &[0; LOOK]].concat();
        let mut buffers: Vec<Vec<u8>> = frames.iter().map(room).collect();
        let lens = frames.iter().map(Vec::len);
        let packets = buffers.iter_mut().zip(lens).map(|(buffer, len)| Packet::new(buffer, HEADROOM, len).unwrap());
        let mut packets: Vec<Packet<'_>> = packets.collect();
        let mut egresses = vec![Egress::Host; frames.len()];
        let mut outbox = Outbox::new();
        watcher.process(time_ns, &mut packets, &mut self.worker, &self.slow, &mut egresses, &mut outbox);
        let ends = packets.iter().map(|packet| packet.bytes().to_vec()).zip(egresses).collect();
        (ends, outbox.frames().map(<[u8]>::to_vec).collect())
    }
}

fn tcp(host: u8, port: u16, from: u16, flags: u8, len: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    let step = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 9], [2, 0, 0, 0, 0, 1]).ipv4(CLIENT, [192, 0, 2, host], 60);
    step.tcp(from, port, 1, 512).write(&mut frame, &vec![7; len]).unwrap();
    frame[47] = flags;
    frame
}

/// Of a datagram to the service `game-stream` the first or the second piece, or all of it.
fn udp(from: u16, which: Option<usize>) -> Vec<u8> {
    let mut frame = Vec::new();
    let step = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 9], [2, 0, 0, 0, 0, 1]).ipv4(CLIENT, [192, 0, 2, 12], 60);
    step.udp(from, 7_777).write(&mut frame, &[7; 56]).unwrap();
    let Some(which) = which else { return frame };
    let (mut header, payload) = Ipv4Header::from_slice(&frame[14..]).unwrap();
    header.identification = from;
    header.more_fragments = which == 0;
    header.fragment_offset = u16::try_from(which * 4).unwrap().try_into().unwrap();
    header.total_len = 52;
    header.header_checksum = header.calc_header_checksum();
    let mut piece = frame[..14].to_vec();
    header.write(&mut piece).unwrap();
    [piece, payload[which * 32..][..32].to_vec()].concat()
}

/// Traffic of many kinds, of which the same seed makes the same.
fn traffic(count: u64) -> Vec<Vec<u8>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut frame = || {
        // Few flows, so that a burst has several frames of one, pieces and whole datagrams of one too.
        let from = 40_000 + u16::try_from(next(40)).unwrap();
        let flags = [2, 16, 16, 16, 17, 4][usize::try_from(next(6)).unwrap()];
        match next(12) {
            0..=2 => tcp(10, 443, from, flags, 0),
            // A service whose slots take turns: each frame sees what the one before has left.
            3..=4 => tcp(14, 8_000, from, flags, 0),
            5 => udp(from, None),
            6 => udp(from, Some(0)),
            7 => udp(from, Some(1)),
            8 => tcp(10, 443, from, flags, 1_460),
            // A checksum that is wrong, another port, and nobody's address.
            9 => [&tcp(10, 443, from, flags, 0)[..24], &[0; 2], &tcp(10, 443, from, flags, 0)[26..]].concat(),
            10 => tcp(10, 444, from, flags, 0),
            _ => tcp(99, 443, from, flags, 0),
        }
    };
    (0..count).map(|_| frame()).collect()
}

fn channel() -> (SyncSender<Sighting>, Receiver<Sighting>) {
    sync_channel(ROOM)
}

#[test]
fn frames_come_to_the_same_whether_someone_looks_on_or_not() {
    let frames = traffic(10_000);
    for (filter, at_least) in
        [("src=198.51.100.7", 10_000), ("dst=192.0.2.12,sport=40003", 700), ("dst=192.0.2.14,sport=40003", 30)]
    {
        let filter: Filter = filter.parse().unwrap();
        let (unwatched, watched) = (Lookout::default(), Lookout::default());
        let (sender, sightings) = channel();
        let mut nobody = Watcher::new(&unwatched, 0, channel().0);
        let mut someone = Watcher::new(&watched, 0, sender);
        assert_eq!(watched.watch(filter), 1);
        let (mut alone, mut seen) = (Site::new(), Site::new());
        let mut narrator = Narrator::new(Mode::AfPacket);
        let (mut rest, mut told, mut bursts, mut time_ns) = (&frames[..], 0, 0, 0);
        while !rest.is_empty() {
            let (burst, behind) = rest.split_at(rest.len().min(1 + bursts % BURST));
            // Now and then a tick of ten seconds passes, also more than one.
            time_ns += [1_000, 1_000_000, 3_000_000_000, 40_000_000_000][bursts % 4];
            let expected = alone.process(&mut nobody, time_ns, burst);
            assert_eq!(seen.process(&mut someone, time_ns, burst), expected, "{filter} {bursts}");
            let asked: Vec<usize> = (0..burst.len()).filter(|&at| filter.matches(&burst[at])).collect();
            for at in asked {
                let sighting = sightings.try_recv().unwrap();
                watched.told();
                told += 1;
                assert_eq!((&sighting.bytes, sighting.egress), (&burst[at], expected.0[at].1));
                assert_eq!(sighting.out.is_empty(), sighting.egress != Egress::Wire);
                let trace = sighting.trace;
                let story = narrator.tell(sighting, &seen.names);
                let text = story.text(false);
                assert!(!text.contains("differs"), "{trace:?}\n{text}");
                assert!(text.contains(trace.verdict.name()), "{trace:?}\n{text}");
                assert!(trace.flow == FlowOutcome::NotReached || text.contains(trace.flow.name()), "{trace:?}\n{text}");
            }
            assert!(sightings.try_recv().is_err());
            rest = behind;
            bursts += 1;
        }
        assert!(told >= at_least, "{told}");
        assert_eq!(seen.datapath.counters(), alone.datapath.counters());
        assert_eq!(seen.datapath.flow_state(), alone.datapath.flow_state());
        let counters = |site: &Site| site.slow.lock().unwrap().counters();
        assert_eq!(counters(&seen), counters(&alone));
        assert!(counters(&seen).held > 50);
        assert_eq!((watched.noted.load(Ordering::Relaxed), watched.untold()), (0, 0));
    }
}

#[test]
fn frames_beyond_the_room_are_counted_and_none_is_waited_for() {
    let lookout = Lookout::default();
    let (sender, sightings) = channel();
    let mut watcher = Watcher::new(&lookout, 3, sender);
    let mut site = Site::new();
    lookout.watch("dst=192.0.2.10".parse().unwrap());
    let burst: Vec<Vec<u8>> = (0..32).map(|at| tcp(10 + at % 2, 443, 40_000, 16, 0)).collect();
    for _ in 0..100 {
        site.process(&mut watcher, 7, &burst);
    }
    assert_eq!(lookout.untold(), 1_600 - ROOM as u64);
    assert_eq!(lookout.untold(), 0, "they are told once");
    let noted: Vec<Sighting> = sightings.try_iter().collect();
    assert_eq!(noted.len(), ROOM);
    assert!(noted.iter().all(|sighting| sighting.worker == 3 && sighting.bytes == burst[0]));
    // As soon as one has been told there is room for one.
    lookout.told();
    site.process(&mut watcher, 7, &burst);
    assert_eq!((sightings.try_iter().count(), lookout.untold()), (1, 15));
}

#[test]
fn others_ask_for_others_and_nobody_for_none() {
    let lookout = Lookout::default();
    let (sender, sightings) = channel();
    let mut watcher = Watcher::new(&lookout, 0, sender);
    let mut site = Site::new();
    let burst = [tcp(10, 443, 1, 2, 0), tcp(14, 8_000, 1, 2, 0), tcp(99, 443, 1, 2, 0)];
    let mut asked = |lookout: &Lookout, filter: Option<&str>| {
        let watch = filter.map(|filter| lookout.watch(filter.parse().unwrap()));
        site.process(&mut watcher, 7, &burst);
        let noted: Vec<Sighting> = sightings.try_iter().collect();
        assert!(noted.iter().all(|sighting| Some(sighting.watch) == watch));
        noted.into_iter().map(|sighting| sighting.bytes).collect::<Vec<_>>()
    };
    assert!(asked(&lookout, None).is_empty());
    assert_eq!(asked(&lookout, Some("dport=443")), [burst[0].clone(), burst[2].clone()]);
    assert_eq!(asked(&lookout, Some("dst=192.0.2.14")), burst[1..2]);
    lookout.end();
    assert!(asked(&lookout, None).is_empty());
    assert_eq!(asked(&lookout, Some("src=198.51.100.8")), [[0; 0]; 0]);
}

#[test]
fn what_another_worker_changed_is_told_and_no_error() {
    let lookout = Lookout::default();
    let (sender, sightings) = channel();
    let mut watcher = Watcher::new(&lookout, 0, sender);
    let mut site = Site::new();
    lookout.watch(Filter::ALL);
    site.process(&mut watcher, 7, &[tcp(10, 443, 1, 2, 0)]);
    let mut sighting = sightings.try_recv().unwrap();
    // As if another had inserted the flow between the note and the frame.
    sighting.trace.flow = FlowOutcome::Hit;
    let text = Narrator::new(Mode::AfPacket).tell(sighting, &site.names).text(false);
    assert!(text.contains("the flow above is not what the pipeline had: another worker changed"), "{text}");
    assert!(text.contains("kernel       it has a copy, as of every frame, and nothing to do with it\n"), "{text}");

    site.process(&mut watcher, 8, &[tcp(10, 443, 1, 2, 0)]);
    let text = Narrator::new(Mode::AfXdp).tell(sightings.try_recv().unwrap(), &site.names).text(false);
    assert!(text.contains("kernel       it does not get the frame\n"), "{text}");
}
