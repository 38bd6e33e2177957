//! A network of two machines: the test, and one that runs `maglane run`, which are gone with the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use maglane_sw::io::af_packet::{AfPacket, Sender};
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
/// How long nothing must come for it to be true that nothing more comes.
const SILENCE: Duration = Duration::from_millis(200);

/// Whether this process has a network and processes of its own, as a test of this name wants them. If not, the test is run
/// in one that has, and everything that it leaves ends with that.
pub(super) fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
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
        let near = "ip link set near addrgenmode none; ip link set near address 02:00:00:00:00:01 up";
        let script = format!("echo ready; read go; {near}; {script}");
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
        ip("link add far type veth peer name near");
        // Else the kernel speaks by itself: it looks for routers and neighbours.
        ip("link set far addrgenmode none");
        ip("link set far up");
        ip(&format!("link set near netns {}", machine.child.id()));
        writeln!(machine.child.stdin.take().unwrap(), "go").unwrap();
        machine
    }

    /// One that runs the datapath with `site.toml`, once it does.
    pub(super) fn running(folder: &Folder, workers: usize) -> Self {
        let mut machine = Self::new(
            folder,
            &format!("exec \"$0\" run --config site.toml --interface near --workers {workers} --json"),
        );
        // The first news is that there is none.
        assert!(machine.line().starts_with("{\"end\":false"));
        machine
    }

    pub(super) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Its standard error, line by line.
    pub(super) fn stderr(&mut self) -> BufReader<ChildStderr> {
        BufReader::new(self.child.stderr.take().unwrap())
    }

    pub(super) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
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

impl Drop for Machine {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
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
        for batch in frames.chunks(BATCH) {
            assert_eq!(self.sender.send(batch.iter().map(Vec::as_slice)), 0, "our end lost frames");
            // Paced, so that a frame that is missing was not lost on the wire.
            thread::sleep(PAUSE);
            while self.receive(Duration::ZERO, &mut back) > 0 {}
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

fn ip(words: &str) {
    assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success(), "ip {words}");
}
