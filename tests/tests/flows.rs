//! Goal: the flow table does in gates, packet upon packet, what it does one packet at a time.
//!
//! Method: flows that share a set, found by their hashes, back to back at every distance, with SYN, FIN and RST, ticks
//! and new tables between them, more flows than the set has ways; a SYN flood of ten times the table; forged
//! segments. Software, which is held against a plain model in its own tests, is the reference. `MAGLANE_FRAMES` and
//! `MAGLANE_SEED` as for hostile frames.

use maglane_hw::profile::Profile;
use maglane_sim::Stimulus;
use maglane_sim::crosscheck::{BATCH, Lockstep};
use maglane_sim::lineup::Kind;
use maglane_spec::{FlowOutcome, Geometry, TableImage, Verdict};
use maglane_sw::Pipeline;
use maglane_sw::engine::{Counters, Engine, Frame, Outcome};

use crate::bench::{self, Random, Transport};
use crate::coverage::FlowCoverage;

pub(crate) const ACK: u8 = 0x10;
pub(crate) const SYN: u8 = 0x02;
const FIN: u8 = 0x11;
const RST: u8 = 0x04;

/// Services of every selection. States, weights and loads of the backends follow from a number.
pub(crate) fn config(number: u64) -> String {
    let mut random = Random(number);
    let mut text = String::from(
        "[datapath]\nhash_key = \"000102030405060708090a0b0c0d0e0f\"\nmac = \"02:00:00:00:00:01\"\n\
         next_hop_mac = \"02:00:00:00:00:02\"\ntunnel_source_v4 = \"10.0.0.1\"\nsource_entropy_bits = 4\n\
         tick_ms = 1\ntimeout_new = 3\ntimeout_established = 20\ntimeout_closing = 6\n",
    );
    let services = [
        ("web", "192.0.2.10", "tcp", 80, "maglev", "five-tuple"),
        ("sticky", "192.0.2.10", "tcp", 443, "maglev", "client"),
        ("choice", "192.0.2.11", "tcp", 80, "two-choice", "five-tuple"),
        ("turns", "192.0.2.12", "tcp", 80, "round-robin", "five-tuple"),
        ("more-turns", "192.0.2.12", "udp", 53, "round-robin", "five-tuple"),
        ("names", "192.0.2.10", "udp", 53, "maglev", "client-protocol"),
    ];
    for (index, (name, address, protocol, port, scheduler, affinity)) in services.into_iter().enumerate() {
        text += &format!(
            "[[service]]\nname = \"{name}\"\naddress = \"{address}\"\nprotocol = \"{protocol}\"\nport = {port}\n\
             scheduler = \"{scheduler}\"\naffinity = \"{affinity}\"\ntable_size = 251\n"
        );
        // Now and then nobody takes new flows.
        let closed = random.one_in(8);
        for backend in 0..6 {
            let state = ["draining", "down", "up", "up", "up"][random.below(if closed { 2 } else { 5 })];
            text += &format!(
                "[[service.backend]]\naddress = \"10.1.{index}.{}\"\nstate = \"{state}\"\nweight = {}\nload = {}\n",
                backend + 1,
                random.below(4),
                random.below(3),
            );
        }
    }
    text
}

pub(crate) fn image(profile: Profile, number: u64) -> TableImage {
    let geometry = if profile == Profile::Ecp5 { "ecp5" } else { "lab" };
    bench::tables(&config(number).replace("[datapath]\n", &format!("[datapath]\ngeometry = \"{geometry}\"\n")))
}

/// Where the frames go; the last but one has no service.
pub(crate) const TARGETS: [([u8; 4], u8, u16); 7] = [
    ([192, 0, 2, 10], 6, 80),
    ([192, 0, 2, 10], 6, 443),
    ([192, 0, 2, 11], 6, 80),
    ([192, 0, 2, 12], 6, 80),
    ([192, 0, 2, 12], 17, 53),
    ([192, 0, 2, 10], 17, 53),
    ([192, 0, 2, 99], 6, 80),
];

/// Flows whose hashes fall into `sets` sets, `count` in each.
pub(crate) fn colliding(
    geometry: Geometry,
    image: &TableImage,
    random: &mut Random,
    sets: u64,
    count: usize,
) -> Vec<Transport> {
    let mut pipeline = Pipeline::new(geometry);
    pipeline.load(image).unwrap();
    let mut flows = Vec::new();
    let mut out = Vec::new();
    let mut per_set = vec![0; usize::try_from(sets).unwrap()];
    while flows.len() < count * per_set.len() {
        let flow = Transport::to(TARGETS[random.below(6)]).from(random.next());
        let hash = pipeline.process_frame(0, &flow.frame(SYN), &mut out).hash;
        let set = hash % u64::from(geometry.flow_sets);
        if set < sets && per_set[usize::try_from(set).unwrap()] < count {
            per_set[usize::try_from(set).unwrap()] += 1;
            flows.push(flow);
        }
    }
    flows
}

/// Traffic of flows that meet in few sets, with ticks between.
pub(crate) struct Traffic {
    random: Random,
    flows: Vec<Transport>,
    time_ns: u64,
    tick_one_in: u64,
    /// One flow for a while, so that it meets itself as often as it meets others.
    favourite: usize,
}

impl Traffic {
    pub(crate) fn new(mut random: Random, image: &TableImage, tick_one_in: u64) -> Self {
        let flows = colliding(image.geometry, image, &mut random, 2, 14);
        Self { random, flows, time_ns: 5_000_000_000, tick_one_in, favourite: 0 }
    }

    /// Time and bytes of the next frame.
    pub(crate) fn next(&mut self) -> (u64, Vec<u8>) {
        let random = &mut self.random;
        if random.one_in(self.tick_one_in) {
            let steps = [1, 1, 1, 1, 2, 3, 7, 40, 63, 64, 200][random.below(11)];
            self.time_ns += steps * 1_000_000;
        }
        if random.one_in(20) {
            self.favourite = random.below(self.flows.len() as u64);
        }
        let flow = if random.one_in(2) { self.favourite } else { random.below(self.flows.len() as u64) };
        let flags = [ACK, ACK, ACK, ACK, SYN, SYN, FIN, RST, SYN | FIN, FIN | RST, SYN | ACK, 0][random.below(12)];
        let flow = if random.one_in(40) { Transport::to(TARGETS[6]).from(1) } else { self.flows[flow] };
        let frame = if random.one_in(12) { flow.error() } else { flow.frame(flags) };
        (self.time_ns.saturating_sub(random.next() % 3 * 600_000), frame)
    }
}

/// What the frames of a run have met, so that a run that meets nothing fails.
struct Met {
    counters: Counters,
    updates: usize,
    live: usize,
    coverage: FlowCoverage,
}

/// Runs colliding flows through engines, with new tables every now and then, and compares everything.
fn collide(profile: Profile, kind: Kind, seed: u64, frames: usize, tick_one_in: u64) -> Met {
    let mut tables = image(profile, seed);
    let mut traffic = Traffic::new(Random(seed), &tables, tick_one_in);
    let stimulus = if seed.is_multiple_of(2) { Stimulus::SMOOTH } else { Stimulus::from_seed(seed) };
    let mut lockstep = Lockstep::new(bench::lineup(&[kind], profile, stimulus), &tables).unwrap();
    let mut random = Random(seed + 1);
    let (mut done, mut updates) = (0, 0);
    // Software once more, for a look at the flow table after every frame; for some of them is enough.
    let mut watched = Pipeline::new(tables.geometry);
    watched.load(&tables).unwrap();
    let mut coverage = FlowCoverage::default();
    let sets = u64::from(tables.geometry.flow_sets);
    while done < frames {
        let batch: Vec<(u64, Vec<u8>)> = (0..BATCH).map(|_| traffic.next()).collect();
        let views: Vec<Frame<'_>> = batch.iter().map(|(time_ns, bytes)| Frame { time_ns: *time_ns, bytes }).collect();
        if let Err(difference) = lockstep.process(&views).unwrap() {
            panic!("seed {seed}, {}: {difference}", profile.name());
        }
        for view in views.iter().filter(|_| done < 20_000) {
            let before = watched.flow_state().unwrap().entries;
            let outcome = watched.process(&[*view]).unwrap().remove(0);
            let steered = outcome.verdict == Verdict::Forward && view.bytes[14 + 9] == 1;
            coverage.observe(sets, &before, &watched.flow_state().unwrap().entries, &outcome, steered);
        }
        done += BATCH;
        if random.one_in(8) {
            tables = image(profile, random.next());
            lockstep.update(&tables).unwrap();
            watched.update(&tables).unwrap();
            updates += 1;
            if let Err(difference) = lockstep.flow_state().unwrap() {
                panic!("seed {seed}, {}, after an update: {difference}", profile.name());
            }
        }
    }
    match lockstep.remembered().unwrap() {
        Ok((counters, state)) => {
            Met { counters, updates, live: state.entries.iter().filter(|&&entry| entry != 0).count(), coverage }
        }
        Err(difference) => panic!("seed {seed}, {}: {difference}", profile.name()),
    }
}

fn assert_all_met(met: &Met) {
    for outcome in FlowOutcome::ALL {
        assert!(met.counters.flows[usize::from(outcome.code())].packets > 0, "{} was never met", outcome.name());
    }
    assert!(met.updates > 0 && met.live > 0);
    met.coverage.points.check(FlowCoverage::wanted());
}

#[test]
fn colliding_flows_agree_in_verilog() {
    let frames = bench::count(60_000);
    assert_all_met(&collide(Profile::Lab, Kind::Verilog, bench::seed(2), frames, 150));
    assert_all_met(&collide(Profile::Lab64, Kind::Verilog, bench::seed(4), frames, 150));
    assert_all_met(&collide(Profile::Lab64, Kind::Verilog, bench::seed(5), frames / 4, 40));
}

#[test]
fn colliding_flows_agree_in_the_simulation() {
    collide(Profile::Ecp5, Kind::Rtl, bench::seed(6), 512, 60);
    collide(Profile::Lab64, Kind::Rtl, bench::seed(7), 256, 200);
}

/// Sends frames in lockstep; the outcomes are software's.
fn send(lockstep: &mut Lockstep, time_ns: u64, frames: &[Vec<u8>]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let views: Vec<Frame<'_>> = frames.iter().map(|bytes| Frame { time_ns, bytes }).collect();
    for batch in views.chunks(BATCH) {
        match lockstep.process(batch).unwrap() {
            Ok(all) => outcomes.extend(all),
            Err(difference) => panic!("{difference}"),
        }
    }
    outcomes
}

/// A service with eight backends, of which some drain.
fn pool(draining: &[usize]) -> TableImage {
    let mut text = String::from(
        "[datapath]\nhash_key = \"000102030405060708090a0b0c0d0e0f\"\nmac = \"02:00:00:00:00:01\"\n\
         next_hop_mac = \"02:00:00:00:00:02\"\ntunnel_source_v4 = \"10.0.0.1\"\ntick_ms = 1000\n\
         [[service]]\nname = \"web\"\naddress = \"192.0.2.10\"\nprotocol = \"tcp\"\nport = 80\n",
    );
    for backend in 0..8 {
        let state = if draining.contains(&backend) { "draining" } else { "up" };
        text += &format!("[[service.backend]]\naddress = \"10.1.0.{}\"\nstate = \"{state}\"\n", backend + 1);
    }
    bench::tables(&text)
}

#[test]
fn a_syn_flood_moves_no_established_flow() {
    let mut lockstep =
        Lockstep::new(bench::lineup(&[Kind::Verilog], Profile::Lab64, Stimulus::SMOOTH), &pool(&[])).unwrap();
    let flows: Vec<Transport> = (0..600).map(|number| Transport::to(TARGETS[0]).from(number)).collect();
    let open: Vec<Vec<u8>> = flows.iter().flat_map(|flow| [flow.frame(SYN), flow.frame(ACK)]).collect();
    let outcomes = send(&mut lockstep, 0, &open);
    // A flow whose set was full of others when it came has no entry; every other one is established now.
    let owner: Vec<Option<u16>> =
        outcomes.chunks(2).map(|pair| (pair[1].flow == FlowOutcome::Hit).then_some(pair[1].backend)).collect();
    assert!(owner.iter().flatten().count() > 590);

    let entries = u64::from(Geometry::LAB.flow_sets) * 8;
    let rounds = 40;
    let mut random = Random(bench::seed(9));
    let (mut full, mut moved_slots) = (0, 0);
    for round in 0..rounds {
        // Other backends drain in every round, and those of the round before come back.
        lockstep.update(&pool(&[round % 8, (round + 3) % 8])).unwrap();
        let flood: Vec<Vec<u8>> = (0..10 * entries / rounds as u64)
            .map(|_| Transport::to(TARGETS[0]).from((1 << 40) | random.next()).frame(SYN))
            .collect();
        let time_ns = round as u64 * 500_000_000;
        full += send(&mut lockstep, time_ns, &flood).iter().filter(|o| o.flow == FlowOutcome::TableFull).count();
        let alive: Vec<Vec<u8>> = flows.iter().map(|flow| flow.frame(ACK)).collect();
        for (outcome, owner) in send(&mut lockstep, time_ns, &alive).iter().zip(&owner) {
            let Some(owner) = owner else { continue };
            assert_eq!((outcome.verdict, outcome.flow), (Verdict::Forward, FlowOutcome::Hit), "round {round}");
            assert_eq!(outcome.backend, *owner, "round {round}");
        }
        // Without the flow table these flows would be elsewhere: what the lookup table says of them now.
        let mut stateless = Pipeline::new(Geometry::LAB);
        stateless.load(&pool(&[round % 8, (round + 3) % 8])).unwrap();
        let mut out = Vec::new();
        moved_slots += alive
            .iter()
            .zip(&owner)
            .filter(|(frame, owner)| owner.is_some_and(|o| stateless.process_frame(0, frame, &mut out).backend != o))
            .count();
    }
    assert!(moved_slots > 1_000, "the flood was to meet other tables: {moved_slots}");
    println!("flood: {full} of {} SYN found no way to take; {moved_slots} moves prevented", 10 * entries);
    if let Err(difference) = lockstep.remembered().unwrap() {
        panic!("{difference}");
    }
}

#[test]
fn forged_rst_and_fin_move_no_active_flow() {
    let mut lockstep =
        Lockstep::new(bench::lineup(&[Kind::Verilog], Profile::Lab, Stimulus::SMOOTH), &pool(&[])).unwrap();
    let flows: Vec<Transport> = (0..300).map(|number| Transport::to(TARGETS[0]).from(number)).collect();
    let open: Vec<Vec<u8>> = flows.iter().flat_map(|flow| [flow.frame(SYN), flow.frame(ACK)]).collect();
    let owner: Vec<u16> = send(&mut lockstep, 0, &open).chunks(2).map(|pair| pair[1].backend).collect();
    let mut random = Random(bench::seed(11));
    for round in 1..30_u64 {
        lockstep.update(&pool(&[usize::try_from(round % 8).unwrap()])).unwrap();
        // Each flow: forged segments, its own data right behind them, and strangers that would like its entry.
        let frames: Vec<Vec<u8>> = flows
            .iter()
            .flat_map(|flow| {
                let forged = [RST, FIN, RST | ACK, FIN | RST][random.below(4)];
                let stranger = Transport::to(TARGETS[0]).from((1 << 40) | random.next());
                [flow.frame(forged), stranger.frame(SYN), flow.frame(ACK)]
            })
            .collect();
        // Within the closing timeout of 8 ticks, and above age 0, at which a closing entry may be evicted.
        let outcomes = send(&mut lockstep, round * 1_000_000_000, &frames);
        for (three, owner) in outcomes.chunks(3).zip(&owner) {
            assert_eq!((three[0].backend, three[2].backend), (*owner, *owner), "round {round}");
            assert_eq!(three[2].flow, FlowOutcome::Hit, "round {round}");
        }
    }
    if let Err(difference) = lockstep.remembered().unwrap() {
        panic!("{difference}");
    }
}

#[test]
fn timeouts_raised_behind_a_tick_revive_nobody() {
    let kinds = [Kind::Rtl, Kind::Verilog];
    let timeout =
        |ticks: u64| bench::tables(&config(0).replace("timeout_new = 3\n", &format!("timeout_new = {ticks}\n")));
    let mut lockstep = Lockstep::new(bench::lineup(&kinds, Profile::Lab64, Stimulus::SMOOTH), &timeout(3)).unwrap();
    let flows: Vec<Vec<u8>> = (0..256).map(|number| Transport::to(TARGETS[0]).from(number).frame(SYN)).collect();
    let inserted = |outcomes: &[Outcome]| outcomes.iter().filter(|o| o.flow == FlowOutcome::Inserted).count();
    assert!(inserted(&send(&mut lockstep, 0, &flows)) > 250);
    // Tick by tick to the one in which all are too old; the sweeper is only beginning when the last frame is through.
    for tick in 1..=4 {
        send(&mut lockstep, tick * 1_000_000, &[Transport::to(TARGETS[0]).from(1 << 50).frame(ACK)]);
    }
    lockstep.update(&timeout(40)).unwrap();
    assert!(inserted(&send(&mut lockstep, 4_000_000, &flows)) > 250);
    if let Err(difference) = lockstep.remembered().unwrap() {
        panic!("{difference}");
    }
}

#[test]
fn timeouts_lowered_between_ticks_hold_from_the_next_one_on() {
    let kinds = [Kind::Rtl, Kind::Verilog];
    let timeout =
        |ticks: u64| bench::tables(&config(0).replace("timeout_new = 3\n", &format!("timeout_new = {ticks}\n")));
    let mut lockstep = Lockstep::new(bench::lineup(&kinds, Profile::Lab64, Stimulus::SMOOTH), &timeout(3)).unwrap();
    let flows: Vec<Vec<u8>> = (0..64).map(|number| Transport::to(TARGETS[0]).from(number).frame(SYN)).collect();
    let count = |outcomes: &[Outcome], flow| outcomes.iter().filter(|outcome| outcome.flow == flow).count();
    let inserted = count(&send(&mut lockstep, 0, &flows), FlowOutcome::Inserted);
    assert!(inserted > 60);
    send(&mut lockstep, 2_000_000, &[Transport::to(TARGETS[0]).from(1 << 50).frame(ACK)]);
    lockstep.update(&timeout(1)).unwrap();
    // The live flows are counted anew here: a round of the sweeper, but no tick.
    if let Err(difference) = lockstep.remembered().unwrap() {
        panic!("{difference}");
    }
    assert_eq!(count(&send(&mut lockstep, 2_000_000, &flows[..32]), FlowOutcome::Hit), 32);
    let outcomes = send(&mut lockstep, 3_000_000, &flows);
    assert_eq!([count(&outcomes[..32], FlowOutcome::Hit), count(&outcomes[32..], FlowOutcome::Hit)], [32, 0]);
    if let Err(difference) = lockstep.remembered().unwrap() {
        panic!("{difference}");
    }
}
