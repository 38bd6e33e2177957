//! What the fuzz targets share: frames made of valid ones, and what must hold of every outcome.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use arbitrary::Arbitrary;
use maglane_spec::verdict::Egress;
use maglane_spec::{FlowOutcome, TableImage};
use maglane_sw::Pipeline;
use maglane_sw::engine::{Engine, Frame, Outcome};
use maglane_sw::fast::{Datapath, FastEngine, HEADROOM, LOOK, Packet, Worker};
use maglane_sw::slow::{Outbox, SlowPath, divert, limit};

#[allow(dead_code)]
#[path = "../../sw-fallback/src/fixture.rs"]
mod fixture;

use fixture::{VIP, VIP_ALL_TCP, VIP_ALL_UDP, VIP_V6, icmp_error, reply, tagged, tcp, tcp_v6, udp, udp_v6, with_ipv4};

/// Nanoseconds of a millisecond.
const MS_NS: u64 = 1_000_000;

/// Frames that reach every stage, and every service of the tables in `fixture`.
static TEMPLATES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let ports = [80, 443, 8080, 8081, 8082, 8083, 8084, 8085, 8086, 8087];
    let mut all: Vec<Vec<u8>> = ports.iter().map(|&port| tcp(VIP, port, 10)).collect();
    all.extend([udp(VIP, 53, 30), tcp(VIP_ALL_TCP, 7, 1_500), udp(VIP_ALL_UDP, 7, 0)]);
    all.extend([tcp_v6(VIP_V6, 8091, 3), udp_v6(VIP_V6, 8092, 1_440)]);
    let tags: Vec<Vec<u8>> = all.iter().step_by(4).map(|frame| tagged(frame, 0x2064)).collect();
    let v4 =
        [(3, 4, 28), (11, 0, 40), (12, 0, 28)].map(|(kind, code, len)| icmp_error(kind, code, &reply(&all[0]), len));
    let v6 = [(2, 0, 48), (1, 4, 60)].map(|(kind, code, len)| icmp_error(kind, code, &reply(&all[13]), len));
    all.into_iter().chain(tags).chain(v4).chain(v6).collect()
});

/// Frames that reach the host's slow path, and every part of it.
static PASSED: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut all = vec![tcp(VIP, 80, 1_460), tcp_v6(VIP_V6, 8091, 1_460), tcp(VIP, 80, 0)];
    all.push(with_ipv4(&tcp(VIP, 80, 3_000), 6, &[0, 0]));
    // First pieces and later ones, the last too.
    for frame in [udp(VIP, 53, 24), tcp(VIP_ALL_TCP, 7, 12)] {
        all.extend([[0x20, 0], [0x20, 4], [0, 4], [0, 8]].map(|field| with_ipv4(&frame, 6, &field)));
    }
    for frame in [udp_v6(VIP_V6, 8092, 24), tcp_v6(VIP_V6, 8091, 12)] {
        all.extend([[0, 1], [0, 33], [0, 32], [0, 0]].map(|field| piece_v6(&frame, field)));
    }
    // An echo request with its checksum: of nothing but the type.
    let echo = [&tcp(VIP, 80, 0)[..34], &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]].concat();
    all.push(with_ipv4(&with_ipv4(&echo, 2, &[0, 28]), 9, &[1]));
    let tags: Vec<Vec<u8>> = all.iter().step_by(3).map(|frame| tagged(frame, 0x2064)).collect();
    all.into_iter().chain(tags).collect()
});

/// The frame with a fragment header, whose offset and flags are given, between IPv6 header and payload.
fn piece_v6(frame: &[u8], [high, low]: [u8; 2]) -> Vec<u8> {
    let header = [frame[20], 0, high, low, 0, 0, 0, 7];
    let mut piece = [&frame[..54], &header, &frame[54..]].concat();
    let len = u16::from_be_bytes([frame[18], frame[19]]) + 8;
    piece[18..20].copy_from_slice(&len.to_be_bytes());
    piece[20] = 44;
    piece
}

/// A frame: a template with some bytes overwritten, cut or grown.
#[derive(Arbitrary, Debug)]
pub struct Recipe {
    template: u8,
    /// Where in the frame, and what is written there.
    patches: Vec<(u8, u8)>,
    /// The flow: it goes into the low byte of the client's port.
    client: u8,
    /// Bytes that are cut off the end, or put there when negative.
    cut: i8,
    /// The checksum of the IPv4 header is made right.
    mend: bool,
    /// How long after the frame before, in units of a quarter of a tick.
    pause: u8,
}

impl Recipe {
    /// The frame's bytes.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        self.of(&TEMPLATES)
    }

    /// Those of a frame for the slow path.
    #[must_use]
    pub fn passed(&self) -> Vec<u8> {
        self.of(&PASSED)
    }

    fn of(&self, templates: &[Vec<u8>]) -> Vec<u8> {
        let mut frame = templates[usize::from(self.template) % templates.len()].clone();
        let l3 = l3(&frame);
        let port = if frame[l3] >> 4 == 6 { l3 + 41 } else { l3 + 21 };
        frame[port] = self.client;
        for &(at, byte) in &self.patches {
            if let Some(old) = frame.get_mut(usize::from(at)) {
                *old = byte;
            }
        }
        let len = frame.len().saturating_add_signed(-isize::from(self.cut)).max(1);
        frame.resize(len, 0xee);
        if self.mend
            && let Some(header) = frame.get_mut(l3..l3 + 20)
        {
            header[10..12].fill(0);
            let checksum = !sum(header);
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
        frame
    }
}

/// Tables with a service of every kind.
#[must_use]
pub fn image() -> TableImage {
    fixture::image()
}

/// A pipeline with these tables.
///
/// # Panics
/// When they do not fit: they have the sizes of [`image`].
#[must_use]
pub fn pipeline(image: &TableImage) -> Pipeline {
    let mut pipeline = Pipeline::new(image.geometry);
    pipeline.load(image).expect("tables of the right sizes fit");
    pipeline
}

/// Sends the frames through a pipeline that has tables, and checks every outcome and all totals.
///
/// # Panics
/// When something does not hold.
pub fn process(pipeline: &mut Pipeline, recipes: &[Recipe]) {
    let before = totals(pipeline);
    let mut time_ns = 0;
    for recipe in recipes {
        time_ns += u64::from(recipe.pause) * u64::from(fixture::TICK_MS) * MS_NS / 4;
        let bytes = recipe.frame();
        let outcomes = pipeline.process(&[Frame { time_ns, bytes: &bytes }]).expect("software does not stop");
        check(&bytes, &outcomes[0]);
    }
    let after = totals(pipeline);
    assert_eq!(after, before.map(|count| count + recipes.len() as u64), "every frame is counted once");
    let live: u32 = pipeline.live_flows().expect("software does not stop").iter().sum();
    let inserted = pipeline.totals().flows[usize::from(FlowOutcome::Inserted.code())].packets;
    assert!(u64::from(live) <= inserted, "{live} live flows of {inserted} that began");
}

/// Sends the frames through the scalar pipeline and through the one of bursts, once under each of some tables, one after the
/// other, and checks that they do the same.
///
/// # Panics
/// When they do not.
pub fn compare(tables: &[&TableImage], recipes: &[Recipe]) {
    let mut time_ns = 0;
    let frames: Vec<(u64, Vec<u8>)> = recipes
        .iter()
        .map(|recipe| {
            time_ns += u64::from(recipe.pause) * u64::from(fixture::TICK_MS) * MS_NS / 4;
            (time_ns, recipe.frame())
        })
        .collect();
    let frames: Vec<Frame<'_>> = frames.iter().map(|(time_ns, bytes)| Frame { time_ns: *time_ns, bytes }).collect();
    let geometry = tables[0].geometry;
    let mut engines: [Box<dyn Engine>; 2] =
        [Box::new(Pipeline::new(geometry)), Box::new(FastEngine::new(geometry).expect("there is memory"))];
    for tables in tables {
        let [updated, other] = engines.each_mut().map(|engine| engine.update(tables).is_ok());
        assert_eq!(updated, other, "both take the tables, or neither");
        let [expected, found] =
            engines.each_mut().map(|engine| engine.process(&frames).expect("software does not stop"));
        for ((frame, expected), found) in frames.iter().zip(expected).zip(found) {
            assert_eq!(found, expected, "{:02x?}", frame.bytes);
        }
        let [expected, found] = engines.each_mut().map(|engine| engine.counters().expect("software does not stop"));
        assert_eq!(found, expected);
        let [expected, found] = engines.each_mut().map(|engine| engine.flow_state().expect("software does not stop"));
        assert_eq!(found, expected);
    }
}

/// Sends frames through a worker and the slow path, and checks that each has one fate, that no more is kept than may be, and
/// that nothing is amplified.
///
/// # Panics
/// When something does not hold.
pub fn host(recipes: &[Recipe]) {
    let image = image();
    let datapath = Arc::new(Datapath::new(image.geometry).expect("there is memory"));
    datapath.load(Arc::new(image)).expect("tables of the right sizes fit");
    let mut worker = Worker::new(Arc::clone(&datapath));
    let slow = Mutex::new(SlowPath::new(datapath));
    let (mut outbox, mut looked_at, mut time_ns) = (Outbox::new(), 0, 0);
    let (mut bytes_in, mut bytes_out) = (0, 0);
    for recipe in recipes {
        time_ns += u64::from(recipe.pause) * u64::from(fixture::TICK_MS) * MS_NS / 4;
        let frame = recipe.passed();
        let mut buffer = [&[0; HEADROOM][..], &frame, &[0; LOOK]].concat();
        let Some(packet) = Packet::new(&mut buffer, HEADROOM, frame.len()) else { unreachable!("there is room") };
        let (mut packets, mut egresses) = ([packet], [Egress::Host]);
        let found = worker.process(time_ns, &mut packets);
        divert(&slow, time_ns, &packets, &worker, found, &mut egresses, &mut outbox);
        looked_at += u64::from(SlowPath::wants(worker.trace(0).verdict));
        // Outer headers and those of pieces are not many.
        bytes_in += frame.len() + 300;
        bytes_out += outbox.frames().map(<[u8]>::len).sum::<usize>();
        outbox.clear();
        let counters = slow.lock().unwrap_or_else(PoisonError::into_inner).counters();
        let fates: u64 = counters.fates().map(|(_, frames)| frames).sum();
        assert_eq!(fates + counters.kept.pieces as u64, looked_at, "every frame is counted once");
        assert!(counters.kept.bytes <= limit::WAITING_BYTES_IN_ALL_MAX);
        assert!(bytes_out <= bytes_in, "{bytes_out} bytes out for {bytes_in}");
    }
}

/// Frames by verdict, and by what they met in the flow table.
fn totals(pipeline: &Pipeline) -> [u64; 2] {
    let totals = pipeline.totals();
    [&totals.verdicts, &totals.flows].map(|set| set.iter().map(|counter| counter.packets).sum())
}

/// What must hold of a frame and its outcome, whatever the tables say.
///
/// # Panics
/// When it does not.
pub fn check(frame: &[u8], outcome: &Outcome) {
    match outcome.verdict.egress() {
        Egress::Nowhere => assert!(outcome.output.is_empty(), "a dropped frame leaves nowhere"),
        Egress::Host => assert!(outcome.output == frame, "a passed frame is unchanged"),
        Egress::Wire => tunnel(frame, &outcome.output),
    }
}

/// That a forwarded frame is the packet that came in behind outer headers that fit it.
fn tunnel(frame: &[u8], output: &[u8]) {
    let l3 = l3(frame);
    assert_eq!(output[12..l3 - 2], frame[12..l3 - 2], "the tag stays");
    let (kind, outer) = (word(output, l3 - 2), &output[l3..]);
    let gre = match kind {
        0x0800 => {
            assert_eq!((outer[0], outer[9], sum(&outer[..20])), (0x45, 47, 0xffff));
            assert_eq!(usize::from(word(outer, 2)), outer.len());
            &outer[20..]
        }
        0x86dd => {
            assert_eq!((outer[0] >> 4, outer[6]), (6, 47));
            assert_eq!(usize::from(word(outer, 4)), outer.len() - 40);
            &outer[40..]
        }
        other => panic!("an outer packet of EtherType {other:#06x}"),
    };
    let inner = match word(gre, 0) {
        0x0000 => &gre[4..],
        0x2000 => &gre[8..],
        other => panic!("GRE flags {other:#06x}"),
    };
    let packet = &frame[l3..];
    let (kind, len) = if packet[0] >> 4 == 6 {
        (0x86dd, usize::from(word(packet, 4)) + 40)
    } else {
        (0x0800, usize::from(word(packet, 2)))
    };
    assert_eq!(word(gre, 2), kind);
    assert!(inner == &packet[..len], "the inner packet is the one that came in, without padding");
}

/// Where the packet starts.
fn l3(frame: &[u8]) -> usize {
    if word(frame, 12) == 0x8100 { 18 } else { 14 }
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// The ones' complement sum of RFC 1071.
fn sum(bytes: &[u8]) -> u16 {
    let sum = bytes.chunks(2).fold(0_u32, |sum, pair| sum + u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}
