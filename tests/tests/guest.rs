//! Goal: the driver takes a card from the kernel's `vfio-pci`, behind an IOMMU, loads a full table through it and reads
//! what the card counts. Nothing on that way is ours but the driver and the card.
//!
//! Method: a machine in QEMU with the distribution's kernel, in which `tests/src/bin/guest.rs` runs; the simulated card is
//! its PCI device, by a protocol of QEMU's own or, with a newer QEMU, by vfio-user. While the guest serves, the card is
//! given frames; what becomes of them and what the guest has read must be what software does. Judged by the guest's last
//! line: a kernel that panics exits like one that does not.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use maglane_sim::mpqemu;
use maglane_sim::pci::{DEVICE, PciFunction, VENDOR};
use maglane_sim::shared::Shared;
use maglane_sim::vfio_user::VfioUserServer;
use maglane_spec::counter::PacketsBytes;
use maglane_sw::engine::Outcome;

use crate::bench;
use crate::lab;

mod archive;
mod kernel;
mod qemu;

use archive::Archive;
use kernel::Kernel;
use qemu::Qemu;

/// How long all may take, and how much of it a first try until its program has begun: starved machines are slow, but those
/// that hang do so earlier.
const DEADLINE: Duration = Duration::from_secs(150);
const BOOT_DEADLINE: Duration = Duration::from_secs(60);
/// Of the console, in messages; and of what QEMU itself says, which may be millions of lines.
const CONSOLE_LEN_MAX: usize = 8_000;
const COMPLAINT_LEN_MAX: u64 = 2_000;

const BUSYBOX: &str = "/bin/busybox";
/// What a program that is not static names at its begin.
const LOADER: &[u8] = b"ld-linux";
const LOADER_BEFORE: usize = 4_096;
const TARGET: &str = "x86_64-unknown-linux-gnu";

#[test]
fn card_behind_vfio_pci_in_a_guest_is_loaded_and_serves_like_software() {
    run("vfio-pci in a guest", Qemu::installed);
}

/// The same by a protocol that is not QEMU's alone; `make guest-new`.
#[test]
#[ignore = "fetches a newer QEMU than the distribution has"]
fn card_behind_vfio_user_and_vfio_pci_in_a_guest_is_loaded_and_serves_like_software() {
    run("vfio-user and vfio-pci in a guest", Qemu::newer);
}

fn run(what: &str, qemu: impl FnOnce() -> Result<Qemu, String>) {
    let found = missing().map_or(Ok(()), Err).and_then(|()| Ok((qemu()?, Kernel::find()?)));
    let (qemu, kernel) = match found {
        Ok(found) => found,
        Err(error) => return bench::skipped(&format!("{what}: {error}")),
    };
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("archive");
    fs::write(&archive, pack(&kernel)).unwrap();
    let begin = Instant::now();
    for boot_deadline in [BOOT_DEADLINE, DEADLINE] {
        let Some(card) = lab::card() else { return };
        let mut machine = Machine::start(&qemu, &kernel.image, &archive, directory.path(), Shared::new(card));
        let outcomes = machine.watch(begin + boot_deadline, begin + DEADLINE);
        let console = machine.console();
        let complaint = machine.end();
        if console.contains("guest: all is well") {
            return judge(&console, &outcomes.expect("it has waited for the frames"));
        }
        let console = &console[console.floor_char_boundary(console.len().saturating_sub(CONSOLE_LEN_MAX))..];
        let told = format!("QEMU says:\n{complaint}\nthe console's end:\n{console}");
        // An emulated kernel that panics or hangs on a machine under load says nothing about the card.
        let may_be_better =
            boot_deadline != DEADLINE && !console.contains("guest: failed") && begin.elapsed() < DEADLINE;
        assert!(may_be_better, "{told}");
        println!("once more; {told}");
    }
}

/// What the guest has read is what software counts.
fn judge(console: &str, outcomes: &[Outcome]) {
    let lines: Vec<&str> = console.lines().filter_map(|line| line.trim().strip_prefix("guest: ")).collect();
    println!("in the guest:\n{}", lines.join("\n"));
    let expected = lab::software(&lab::tables(None), outcomes);
    assert!(lines.contains(&"generation 2"), "{lines:?}");
    for (name, set) in [
        ("verdict", &expected.verdicts),
        ("flow", &expected.flows),
        ("service", &expected.services),
        ("backend", &expected.backends),
    ] {
        let told = lines.iter().filter(|line| line.starts_with(&format!("{name} "))).count();
        let counted = set.iter().enumerate().filter(|(_, counter)| counter.packets != 0);
        let mut count = 0;
        for (number, PacketsBytes { packets, bytes }) in counted {
            let line = format!("{name} {number}: {packets} packets of {bytes} bytes");
            assert!(lines.contains(&&*line), "software: {line}; the guest: {lines:?}");
            count += 1;
        }
        assert_eq!(told, count, "{name}: {lines:?}");
    }
}

/// What this machine has not.
fn missing() -> Option<String> {
    let is_there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Some("the guest is made for x86-64 Linux".to_owned());
    }
    for (program, package) in [("apt-get", "apt"), ("dpkg-deb", "dpkg")] {
        if !is_there(program) {
            return Some(format!("{program} is not installed; on Debian: apt-get install {package}"));
        }
    }
    let is_static = fs::read(BUSYBOX)
        .is_ok_and(|bytes| !bytes.windows(LOADER.len()).take(LOADER_BEFORE).any(|name| name == LOADER));
    let missing = || format!("{BUSYBOX} is not there, or not static; on Debian: apt-get install busybox-static");
    (!is_static).then(missing)
}

/// The guest's files.
fn pack(kernel: &Kernel) -> Vec<u8> {
    let folders = ["bin", "dev", "proc", "sys", "tmp", "run", "run/lock", "modules", "card"];
    let mut archive = Archive::new(&folders);
    archive.add("init", &fs::read(bench::root().join("tests/guest/init")).unwrap());
    archive.add("bin/busybox", &fs::read(BUSYBOX).unwrap());
    archive.add("guest", &fs::read(program()).unwrap());
    for module in &kernel.modules {
        archive.add(&format!("modules/{}", module.file_name().unwrap().to_str().unwrap()), &fs::read(module).unwrap());
    }
    archive.add("card/id", format!("{VENDOR:04x}:{DEVICE:04x}").as_bytes());
    archive.add("card/frames", lab::frames().len().to_string().as_bytes());
    for (name, down) in [("up", None), ("down", Some(4))] {
        archive.add(&format!("card/{name}"), &lab::tables(down).memories().map(|(_, bytes)| bytes).concat());
    }
    archive.finish()
}

/// Builds the program for the guest, which has no libraries.
fn program() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--quiet", "--package", "maglane-tests", "--no-default-features", "--bin", "guest"])
        .args(["--target", TARGET])
        .arg("--target-dir")
        .arg(&folder)
        .current_dir(bench::root())
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .status();
    assert!(status.unwrap().success(), "the guest's program does not build");
    folder.join(TARGET).join("debug/guest")
}

type Card = Shared<maglane_sim::device::SimulatedCard>;

/// Until QEMU closes the connection.
fn serve_proxy(stream: UnixStream, card: Card) -> JoinHandle<PciFunction<Card>> {
    thread::spawn(move || {
        let mut function = PciFunction::new(card);
        if let Err(error) = mpqemu::serve(stream, &mut function) {
            println!("the card in the machine: {error}");
        }
        function
    })
}

/// Until it is told to stop; the socket is there when this returns.
fn serve_vfio_user(socket: &Path, card: Card, stop: Arc<AtomicBool>) -> JoinHandle<PciFunction<Card>> {
    let server = VfioUserServer::bind(socket).unwrap();
    thread::spawn(move || {
        let mut function = PciFunction::new(card);
        match server.serve(&mut function, &stop) {
            Ok(served) => println!("in the guest: {} commands refused", served.refused),
            Err(error) => println!("the card in the machine: {error}"),
        }
        function
    })
}

/// A machine with the card in it.
struct Machine {
    qemu: Child,
    card: Card,
    server: Option<JoinHandle<PciFunction<Card>>>,
    stop: Arc<AtomicBool>,
    complaint: Option<JoinHandle<String>>,
    console: PathBuf,
}

impl Machine {
    fn start(qemu: &Qemu, kernel: &Path, archive: &Path, directory: &Path, card: Card) -> Self {
        let console = directory.join("console");
        File::create(&console).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let mut command = qemu.command();
        command
            .args(["-accel", "tcg", "-M", "q35,kernel-irqchip=split,memory-backend=ram", "-m", "512"])
            .args(["-object", "memory-backend-memfd,id=ram,size=512M,share=on"])
            .args([
                "-device",
                "intel-iommu,intremap=on,caching-mode=on",
                "-nodefaults",
                "-display",
                "none",
                "-no-reboot",
            ])
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .arg("-kernel")
            .arg(kernel)
            .arg("-initrd")
            .arg(archive)
            // Under load, the kernel's test of the timer fails in one boot of ten.
            .args(["-append", "console=ttyS0 quiet panic=-1 intel_iommu=on no_timer_check"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        // Behind the IOMMU, which QEMU wants to have first.
        let server = if qemu.has_vfio_user() {
            let socket = directory.join("socket");
            let place = serde_json::json!({ "type": "unix", "path": socket });
            command.arg("-device").arg(serde_json::json!({ "driver": "vfio-user-pci", "socket": place }).to_string());
            serve_vfio_user(&socket, card.clone(), Arc::clone(&stop))
        } else {
            let (ours, theirs) = UnixStream::pair().unwrap();
            // The socket is its standard input, so that no descriptor need be kept open across the start of a program.
            command.args(["-device", "x-pci-proxy-dev,id=card,fd=0"]).stdin(Stdio::from(OwnedFd::from(theirs)));
            serve_proxy(ours, card.clone())
        };
        let mut qemu = command.spawn().unwrap();
        let mut stderr = qemu.stderr.take().unwrap();
        let complaint = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.by_ref().take(COMPLAINT_LEN_MAX).read_to_end(&mut text);
            // What does not fit is read all the same, or QEMU waits for a reader.
            let _ = std::io::copy(&mut stderr, &mut std::io::sink());
            String::from_utf8_lossy(&text).into_owned()
        });
        Self { qemu, card, server: Some(server), stop, complaint: Some(complaint), console }
    }

    /// Waits for the last line, and gives the card frames when the guest serves; what became of them.
    fn watch(&mut self, until_begun: Instant, until: Instant) -> Option<Vec<Outcome>> {
        let mut outcomes = None;
        while Instant::now() < until {
            let ended = self.qemu.try_wait().unwrap().is_some();
            let console = self.console();
            if Instant::now() > until_begun && !console.contains("guest: card") {
                break;
            }
            if outcomes.is_none() && console.contains("guest: serves") {
                outcomes = Some(self.card.lock().frames(&bench::views(&lab::frames())).unwrap());
            }
            if ended || ["guest: all is well", "guest: failed"].iter().any(|line| console.contains(line)) {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        outcomes
    }

    fn console(&self) -> String {
        let mut bytes = Vec::new();
        File::open(&self.console).unwrap().take(1 << 20).read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Ends the machine; what QEMU said.
    fn end(mut self) -> String {
        self.kill();
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Ok(function)) = self.server.take().map(JoinHandle::join) {
            println!("in the guest: {} writes and {} reads of the BAR in all", function.writes(), function.reads());
        }
        self.complaint.take().and_then(|complaint| complaint.join().ok()).unwrap_or_default()
    }

    fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}
