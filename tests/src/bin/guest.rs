//! The program in the guest: takes the simulated card from `vfio-pci`, loads it, and tells what it counts.
//!
//! `tests/tests/guest.rs` builds it, puts it into a machine beside the files in `/card`, gives the card frames when it says
//! that it serves, and reads what it prints. Its last line says whether all went well; without one it does not count.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use maglane_driver::bar::BarWindow;
use maglane_driver::bar::vfio::VfioBar;
use maglane_driver::card::Mode;
use maglane_driver::counters::Counters;
use maglane_driver::lock::CardLock;
use maglane_driver::pci::{PciBus, VFIO_DRIVER};
use maglane_driver::{Card, Loader};
use maglane_spec::counter::PacketsBytes;
use maglane_spec::{Geometry, TableImage};

/// How long a wait may take on a machine that is emulated and starved.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    match run() {
        Ok(()) => println!("guest: all is well"),
        Err(error) => println!("guest: failed: {error:#}"),
    }
}

fn run() -> Result<()> {
    let text = |name: &str| fs::read_to_string(format!("/card/{name}")).context(name.to_owned());
    let id = text("id")?;
    let bus = PciBus::system();
    let devices = bus.devices()?;
    let device = devices.iter().find(|device| format!("{:04x}:{:04x}", device.vendor, device.device) == id);
    let device = device.with_context(|| format!("no device {id} among {}", devices.len()))?;
    let binding = bus.bind(device.address, VFIO_DRIVER)?;
    let device = bus.device(device.address)?;
    let group = device.iommu_group.context("the card has no IOMMU group")?;
    println!("guest: card {} by {VFIO_DRIVER} in group {group}", device.address);

    let bar = VfioBar::open(&device, BarWindow::default(), CardLock::of_card(device.address)?)?;
    let mut card = Card::open(bar)?;
    card.set_deadline(PATIENCE);
    let mut loader = Loader::new();
    for name in ["down", "up"] {
        let image = image(*card.geometry(), &fs::read(format!("/card/{name}"))?)?;
        let report = loader.load(&mut card, &image, &mut |_| {})?;
        let (written, read, seconds) = (report.words_written, report.words_read, report.elapsed.as_secs_f64());
        println!("guest: tables `{name}`: {written} words written, {read} read, {seconds:.2} s");
    }
    println!("guest: generation {}", card.generation()?);
    card.set_mode(Mode::Serve)?;
    println!("guest: serves");

    let frames: u64 = text("frames")?.parse()?;
    let begin = Instant::now();
    let counters = loop {
        let counters = Counters::read(&mut card)?;
        if counters.verdicts.iter().map(|counter| counter.packets).sum::<u64>() >= frames {
            break counters;
        }
        ensure!(begin.elapsed() < PATIENCE, "the frames have not come");
        thread::sleep(Duration::from_millis(50));
    };
    for (name, set) in [
        ("verdict", &counters.verdicts),
        ("flow", &counters.flows),
        ("service", &counters.services),
        ("backend", &counters.backends),
    ] {
        for (number, PacketsBytes { packets, bytes }) in set.iter().enumerate().filter(|(_, set)| set.packets != 0) {
            println!("guest: {name} {number}: {packets} packets of {bytes} bytes");
        }
    }
    ensure!(card.errors()?.0 == 0, "the card refused accesses: {}", card.errors()?);
    drop(card);
    bus.undo(&binding)?;
    ensure!(bus.device(device.address)?.driver.is_none(), "the card was not given back");
    Ok(())
}

/// Tables from their memories in a row, as [`TableImage::memories`] has them.
fn image(geometry: Geometry, bytes: &[u8]) -> Result<TableImage> {
    let mut image = TableImage::empty(geometry);
    let mut rest = bytes;
    for memory in [
        bytemuck::bytes_of_mut(&mut image.datapath),
        bytemuck::cast_slice_mut(&mut image.services),
        bytemuck::cast_slice_mut(&mut image.lookup),
        bytemuck::cast_slice_mut(&mut image.backends),
    ] {
        let own = rest.split_off(..memory.len()).context("the tables are too short for the card")?;
        memory.copy_from_slice(own);
    }
    ensure!(rest.is_empty(), "the tables are too long for the card");
    Ok(image)
}
