//! A network of two machines: the test, and one that runs `maglane run`, which are gone with the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use maglane_sw::io::af_packet::{AfPacket, Sender};
use maglane_sw::io::capture::Capture;
use maglane_sw::io::interface::Interface;
use maglane_sw::io::port::Port;

use crate::{Folder, Ran};

/// Set in the process that has networks of its own.
const INSIDE: &str = "MAGLANE_TEST_NETWORK";
/// How long a test may take with others on the same processors; alone it takes seconds.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long anything that should happen at once may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Frames that are sent at a time, and how long then the other side has its turn.
const BATCH: usize = 64;
const PAUSE: Duration = Duration::from_millis(1);
/// Frames that may be on their way.
const LAG: usize = 1_000;
/// How long nothing must come for it to be true that nothing more comes.
const SILENCE: Duration = Duration::from_millis(200);

/// Whether this process has a network and processes of its own, as a test of this name wants them. If not, the test is run
/// in one that has, and everything that it leaves ends with that.
pub(super) fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        // What runs has things there, of which a test looks at its own.
        let mounted = Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run"]).status();
        assert!(mounted.unwrap().success());
        return true;
    }
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command
    };
    if !unshare().args(["ip", "link"]).output().is_ok_and(|output| output.status.success()) {
        let what = "live frames: no root, no network namespaces, or no unshare and ip";
        assert!(std::env::var_os("MAGLANE_NO_SKIP").is_none(), "nothing may be skipped here: {what}");
        println!("skipped: {what}");
        return false;
    }
    let own = std::env::current_exe().unwrap();
    let mut child = unshare().arg(own).args([test, "--exact", "--nocapture"]).env(INSIDE, "1").spawn().unwrap();
    let until = Instant::now() + DEADLINE;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{test}: {status}");
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("{test} was still running after {DEADLINE:?}");
}

/// The machine that is tested, with an interface `near`.
pub(super) struct Machine {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Machine {
    /// One whose interface is the other end of `far`, which is ours; then it executes a command line of its shell.
    pub(super) fn new(folder: &Folder, script: &str) -> Self {
        Self::with_queues(folder, 1, script)
    }

    /// The same, of which both ends have so many queues each way.
    pub(super) fn with_queues(folder: &Folder, queues: usize, script: &str) -> Self {
        let near = "ip link set near addrgenmode none; ip link set near address 02:00:00:00:00:01 up";
        // What this machine's administrator has chosen for it may be another's choice there.
        let loose = "echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter";
        // Or it would tell the client that there is no way.
        let blackhole = "ip -6 route add blackhole 2001:db8::10/128";
        let script = format!("echo ready; read go; {loose}; {near}; {blackhole}; {script}");
        let mut child = Command::new("unshare")
            .args(["--net", "sh", "-e", "-c", &script, env!("CARGO_BIN_EXE_maglane")])
            .current_dir(folder.path("."))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut machine = Self { child, stdout };
        assert_eq!(machine.line(), "ready");
        // That of the machine before goes only some time after it.
        remove_wire();
        let queues = format!("numrxqueues {queues} numtxqueues {queues}");
        ip(&format!("link add far {queues} type veth peer name near {queues}"));
        // Else the kernel speaks by itself: it looks for routers and neighbours.
        ip("link set far addrgenmode none");
        ip("link set far up");
        ip(&format!("link set near netns {}", machine.child.id()));
        writeln!(machine.child.stdin.take().unwrap(), "go").unwrap();
        machine
    }

    /// One that runs the datapath with `site.toml` and options, once it does.
    pub(super) fn running(folder: &Folder, queues: usize, options: &str) -> Self {
        let script = format!("exec \"$0\" run --config site.toml --interface near {options} --json");
        let mut machine = Self::with_queues(folder, queues, &script);
        // The first news is that there is none.
        assert!(machine.line().starts_with("{\"end\":false"));
        machine
    }

    /// The number of its process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// A command on this machine.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.child.id())).arg(program);
        command
    }

    /// What `ip` says there.
    pub(super) fn ip(&self, words: &str) -> String {
        let output = self.command("ip").args(words.split(' ')).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        text(output.stdout) + &text(output.stderr)
    }

    pub(super) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// What it says from now on.
    pub(super) fn stderr(&mut self) -> Stderr {
        Stderr(BufReader::new(self.child.stderr.take().unwrap()))
    }

    pub(super) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Has it read another `site.toml`; what it says until it has said something.
    #[track_caller]
    pub(super) fn reload(&self, folder: &Folder, stderr: &mut Stderr, config: &str, says: &str) -> String {
        folder.put("site.toml", config);
        self.signal("-HUP");
        stderr.until(says)
    }

    /// What it has done, at its end.
    pub(super) fn ended(mut self) -> Ran {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "it does not end");
            thread::sleep(Duration::from_millis(10));
        };
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).unwrap();
        if let Some(mut own) = self.child.stderr.take() {
            own.read_to_string(&mut stderr).unwrap();
        }
        Ran { code: status.code().unwrap(), stdout, stderr }
    }
}

/// What a machine says on its standard error.
pub(super) struct Stderr(BufReader<ChildStderr>);

impl Stderr {
    /// All that it says until it has said something.
    #[track_caller]
    pub(super) fn until(&mut self, says: &str) -> String {
        self.until_all(&[says])
    }

    /// The same of several things, in any order.
    #[track_caller]
    pub(super) fn until_all(&mut self, says: &[&str]) -> String {
        let mut told = String::new();
        while !says.iter().all(|says| told.contains(says)) {
            assert!(self.0.read_line(&mut told).unwrap() > 0, "{says:?} is not in {told}");
        }
        told
    }

    /// All that it says until its end.
    pub(super) fn rest(&mut self) -> String {
        let mut told = String::new();
        self.0.read_to_string(&mut told).unwrap();
        told
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// What the kernel of a machine receives at an interface, after any XDP program and before anything else.
pub(super) struct Kernel {
    tcpdump: Child,
    stderr: BufReader<ChildStderr>,
    file: PathBuf,
}

impl Kernel {
    /// From now on, at an interface.
    pub(super) fn of(machine: &Machine, interface: &str, folder: &Folder) -> Self {
        let file = folder.path(&format!("{interface}.pcap"));
        // Only what comes in, at once, without asking the interface for more than comes anyway. No frame is longer; the
        // buffer has a place of this length for each.
        let words =
            ["--immediate-mode", "-p", "-U", "-n", "-Q", "in", "-s", "4000", "-B", "65536", "-i", interface, "-w"];
        let mut command = machine.command("tcpdump");
        let mut tcpdump = command.args(words).arg(&file).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(tcpdump.stderr.take().unwrap());
        let mut told = String::new();
        while !told.contains("listening on") {
            assert!(stderr.read_line(&mut told).unwrap() > 0, "{told}");
        }
        Self { tcpdump, stderr, file }
    }

    /// What it has received until now; no fewer frames than a number are waited for.
    pub(super) fn received(mut self, expected: usize) -> Vec<Vec<u8>> {
        let until = Instant::now() + PATIENCE;
        let count = || Capture::open(&self.file).map_or(0, |capture| capture.frames().map_while(Result::ok).count());
        while count() < expected && Instant::now() < until {
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(SILENCE);
        let status = Command::new("kill").args(["-INT", &self.tcpdump.id().to_string()]).status();
        assert!(status.unwrap().success());
        self.tcpdump.wait().unwrap();
        let mut told = String::new();
        self.stderr.read_to_string(&mut told).unwrap();
        assert!(told.contains("\n0 packets dropped by kernel"), "{told}");
        let frames = Capture::open(&self.file).unwrap().frames().map(|frame| frame.unwrap().bytes.to_vec()).collect();
        std::fs::remove_file(&self.file).unwrap();
        frames
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let _ended = self.tcpdump.kill();
        let _ended = self.tcpdump.wait();
    }
}

/// Our end of the wire.
pub(super) struct Wire {
    sender: Sender,
    port: AfPacket,
}

impl Wire {
    pub(super) fn new() -> Self {
        let interface = Interface::find("far").unwrap();
        let port = AfPacket::open(&interface, 1).unwrap().remove(0);
        Self { sender: Sender::new(&interface).unwrap(), port }
    }

    /// Sends frames; what comes back, until nothing more does. No fewer than a number are waited for.
    pub(super) fn exchange(&mut self, frames: &[Vec<u8>], expected: usize) -> Vec<Vec<u8>> {
        let mut back = Vec::new();
        let mut patience = PATIENCE;
        for (batch, sent) in frames.chunks(BATCH).zip((BATCH..).step_by(BATCH)) {
            assert_eq!(self.sender.send(batch.iter().map(Vec::as_slice)), 0, "our end lost frames");
            // Paced, so that a frame that is missing was not lost on the wire; and no faster than they come back, because
            // others may have the processors.
            thread::sleep(PAUSE);
            while self.receive(Duration::ZERO, &mut back) > 0 {}
            while back.len() + LAG < expected * sent.min(frames.len()) / frames.len() && !patience.is_zero() {
                let start = Instant::now();
                self.receive(PAUSE, &mut back);
                patience = patience.saturating_sub(start.elapsed());
            }
        }
        let until = Instant::now() + PATIENCE;
        while back.len() < expected && Instant::now() < until {
            self.receive(PAUSE, &mut back);
        }
        let until = Instant::now() + SILENCE;
        while Instant::now() < until {
            self.receive(PAUSE, &mut back);
        }
        assert_eq!(self.port.mishaps().unreceived, 0, "our end lost frames");
        back
    }

    /// How many came.
    fn receive(&mut self, timeout: Duration, back: &mut Vec<Vec<u8>>) -> usize {
        self.port
            .exchange(timeout, &mut |packets, egresses| {
                for (packet, egress) in packets.iter().zip(egresses) {
                    back.push(packet.bytes().to_vec());
                    // Nothing is sent back from here.
                    *egress = maglane_spec::Egress::Nowhere;
                }
            })
            .unwrap()
    }
}

/// Takes the wire away, both ends, if there is one.
pub(super) fn remove_wire() {
    let _gone = Command::new("ip").args(["link", "delete", "far"]).output();
}

/// Has our machine's network changed.
pub(super) fn ip(words: &str) {
    assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success(), "ip {words}");
}
