//! Goal: the driver loads and watches a card behind a socket as it does one in its process, and a server that dies costs no
//! more than the load under way.
//!
//! Method: the simulated card behind the vfio-user server, in a thread; the driver's client. What a load costs is counted
//! both ways, and printed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use maglane_driver::bar::vfio_user::VfioUserBar;
use maglane_driver::bar::{BarError, BarIo, BarWindow};
use maglane_driver::card::{CardError, Mode};
use maglane_driver::counters::Counters;
use maglane_driver::load::{LoadError, LoadReport, Progress, Step};
use maglane_driver::lock::CardLock;
use maglane_driver::{Card, Loader};
use maglane_sim::device::SimulatedCard;
use maglane_sim::pci::PciFunction;
use maglane_sim::shared::Shared;
use maglane_sim::vfio_user::{Served, VfioUserServer};
use maglane_spec::{TableImage, window};

use crate::bench;
use crate::lab;

/// A server in a thread.
struct Running {
    stop: Arc<AtomicBool>,
    server: JoinHandle<(Served, PciFunction<Shared<SimulatedCard>>)>,
}

impl Running {
    fn start(path: &Path, card: &Shared<SimulatedCard>) -> Self {
        let server = VfioUserServer::bind(path).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (told, card) = (Arc::clone(&stop), card.clone());
        let server = thread::spawn(move || {
            let mut function = PciFunction::new(card);
            (server.serve(&mut function, &told).unwrap(), function)
        });
        Self { stop, server }
    }

    fn end(self) -> PciFunction<Shared<SimulatedCard>> {
        self.stop.store(true, Ordering::Relaxed);
        let (served, function) = self.server.join().unwrap();
        assert_eq!((served.clients, served.refused), (1, 0));
        function
    }
}

fn open(path: &Path) -> Card<VfioUserBar> {
    let mut bar = VfioUserBar::open(path, BarWindow::default(), CardLock::beside(path).unwrap()).unwrap();
    bar.set_deadline(lab::PATIENCE).unwrap();
    Card::open(bar).unwrap()
}

fn socket() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("card.sock");
    (directory, path)
}

#[test]
fn card_behind_a_socket_is_loaded_and_serves_like_software() {
    let Some(card) = lab::card() else { return };
    let shared = Shared::new(card);
    let (_directory, path) = socket();
    let running = Running::start(&path, &shared);
    let image = bench::example("web.toml");
    let mut card = open(&path);
    assert_eq!(*card.geometry(), lab::PROFILE.geometry());
    let report = Loader::new().load(&mut card, &image, &mut |_| {}).unwrap();
    assert_eq!((report.generation, card.generation().unwrap()), (1, 1));
    card.set_mode(Mode::Serve).unwrap();
    assert!(Counters::read(&mut card).unwrap().verdicts.iter().all(|counter| counter.packets == 0));
    let outcomes = shared.lock().frames(&bench::views(&lab::frames())).unwrap();
    lab::assert_as_software(&image, &outcomes, &Counters::read(&mut card).unwrap());
    assert_eq!(card.errors().unwrap().0, 0);
    drop(card);
    running.end();
}

#[test]
fn server_that_dies_mid_load_is_an_error_in_time_and_the_next_load_succeeds() {
    let Some(card) = lab::card() else { return };
    let shared = Shared::new(card);
    let (_directory, path) = socket();
    let image = bench::example("web.toml");
    let mut loader = Loader::new();
    for step in [Step::Stage, Step::Verify, Step::StageOther] {
        let running = Running::start(&path, &shared);
        let mut card = open(&path);
        let before = card.generation().unwrap();
        let mut died = None;
        let refused = loader.load(&mut card, &image, &mut |progress: Progress| {
            if progress.step == step && progress.done > 0 {
                running.stop.store(true, Ordering::Relaxed);
                died.get_or_insert_with(Instant::now);
            }
        });
        let refused = refused.unwrap_err();
        assert!(died.unwrap().elapsed() < lab::PATIENCE / 4, "{refused}");
        let is_transport =
            |error: &LoadError| matches!(error, LoadError::Card(CardError::Bar(BarError::Transport { .. })));
        match &refused {
            LoadError::Other { generation, source } => {
                assert!(step == Step::StageOther && *generation == before + 1 && is_transport(source), "{refused}");
            }
            error => assert!(step != Step::StageOther && is_transport(error), "{refused}"),
        }
        drop(card);
        running.end();
        assert!(!path.exists());
    }
    let running = Running::start(&path, &shared);
    let mut card = open(&path);
    assert_eq!(card.generation().unwrap(), 1, "the third load had committed");
    let report = loader.load(&mut card, &image, &mut |_| {}).unwrap();
    assert_eq!(report.generation, 2);
    card.set_mode(Mode::Serve).unwrap();
    let outcomes = shared.lock().frames(&bench::views(&lab::frames())).unwrap();
    lab::assert_as_software(&image, &outcomes, &Counters::read(&mut card).unwrap());
    drop(card);
    running.end();
}

/// Loads in full, which is both sides, and then with a backend down, of which only what differs is written.
fn loads<B: BarIo>(how: &str, card: &mut Card<B>) -> [LoadReport; 2] {
    let mut loader = Loader::new();
    let [up, down]: [TableImage; 2] = [None, Some(4)].map(lab::tables);
    card.set_deadline(lab::PATIENCE);
    [("full", &up), ("a backend down", &down)].map(|(what, image)| {
        let report = loader.load(card, image, &mut |_| {}).unwrap();
        let LoadReport { words_written, words_read, elapsed, .. } = report;
        println!("{how}, {what}: {words_written} words written, {words_read} read, {:.2} s", elapsed.as_secs_f64());
        report
    })
}

#[test]
fn loads_of_a_table_of_65521_entries_write_as_much_behind_a_socket_as_in_process() {
    let Some(card) = lab::card() else { return };
    let mut near = Card::open(card).unwrap();
    let words = |report: LoadReport| (report.words_written, report.words_read);
    let expected = loads("in process", &mut near).map(words);
    drop(near);
    let Some(card) = lab::card() else { return };
    let (_directory, path) = socket();
    let running = Running::start(&path, &Shared::new(card));
    assert_eq!(loads("over vfio-user", &mut open(&path)).map(words), expected);
    let function = running.end();
    println!("over vfio-user: {} writes and {} reads in all", function.writes(), function.reads());
    let once = u64::from(window::DATAPATH_WORDS);
    assert_eq!(expected[0].0, 2 * lab::tables(None).words().count() as u64 - once, "both sides, and the settings");
    assert!(expected[1].0 < 65_521 / 4, "the slots of a tenth, two a word: {expected:?}");
}
