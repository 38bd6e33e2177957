//! Frames of a tuple are explained while others flow: as `maglane replay --trace` explains them, and nothing else changes.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use maglane_sw::engine::Frame;
use maglane_sw::io::capture::CaptureWriter;
use serde_json::{Value, json};

use super::frames::{VIP, VIP_GAME, datagram, pieces, ping, segment, too_big, traffic};
use super::network::{Machine, Wire, is_inside};
use super::{Folder, site};
use crate::frame::with;

/// A flow that no other traffic here is of.
const PORT: u16 = 39_999;
const TUPLE: &str = "src=198.51.100.7,dst=192.0.2.10,sport=39999,dport=80,proto=tcp";

/// All that can become of the flow's frames, what is damaged included, and errors about it.
fn flow() -> Vec<Vec<u8>> {
    let ack = |payload: usize| segment(VIP, PORT, &vec![1; payload], |step| step.ack(1));
    vec![
        segment(VIP, PORT, &[], |step| step.syn()),
        ack(10),
        // The IP header's checksum; a version that there is not; a TCP header of no length; options.
        with(&ack(10), 24, &[0x12, 0x34]),
        with(&ack(10), 14, &[0x55]),
        with(&ack(10), 46, &[0]),
        with(&[&ack(10)[..34], &[1, 1, 1, 0], &ack(10)[34..]].concat(), 14, &[0x46]),
        too_big(PORT),
        ack(1_400),
        // A piece without ports, which may be of the flow for all that anybody knows.
        pieces(&ack(64), 7, 40).swap_remove(1),
        segment(VIP, PORT, &[], |step| step.fin().ack(1)),
    ]
}

/// The flow's frames, and others around each of them; and where the flow's are.
fn among_others() -> (Vec<Vec<u8>>, Vec<usize>) {
    let mut others = traffic(200).into_iter();
    let (mut frames, mut places) = (Vec::new(), Vec::new());
    for frame in flow() {
        // All kinds.
        frames.extend(others.by_ref().take(17));
        places.push(frames.len());
        frames.push(frame);
    }
    frames.extend(others);
    (frames, places)
}

/// What `replay --trace` says of frames.
fn replayed(frames: &[Vec<u8>]) -> Vec<Value> {
    let folder = site();
    let mut writer = CaptureWriter::create(&folder.path("in.pcap")).unwrap();
    for (time_ns, bytes) in (0..).zip(frames) {
        writer.write(&Frame { time_ns, bytes }).unwrap();
    }
    writer.finish().unwrap();
    let words = ["replay", "--config", "site.toml", "--in", "in.pcap", "--trace", "--json"];
    folder.run(&words).ended(0).stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A record without what depends on when the frame came, and what a capture does not have.
fn timeless(record: &Value) -> Value {
    let mut record = record.clone();
    for key in ["frame", "time_ns", "worker", "slow_path", "kernel", "differs"] {
        record.as_object_mut().unwrap().remove(key);
    }
    if let Some(select) = record["select"].as_object_mut() {
        select.remove("previous");
        for key in ["tick", "tick_step"] {
            select["table"].as_object_mut().unwrap().remove(key);
        }
        for entry in ["entry", "written"] {
            if let Some(entry) = select[entry].as_object_mut() {
                entry.remove("age");
                if let Some(replaced) = entry.get_mut("replaced").and_then(Value::as_object_mut) {
                    replaced.remove("age");
                }
            }
        }
    }
    record
}

fn records(stdout: &str) -> Vec<Value> {
    let lines = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| !line["trace"].is_null()).map(|line| line["trace"].clone()).collect()
}

#[test]
fn frames_of_a_tuple_are_told_as_replay_tells_them_and_no_others() {
    if !is_inside("run::tracing::frames_of_a_tuple_are_told_as_replay_tells_them_and_no_others") {
        return;
    }
    let folder = site();
    let mut machine =
        Machine::new(&folder, &format!("exec \"$0\" run --config site.toml --interface near --json --trace {TUPLE}"));
    assert!(machine.line().starts_with("{\"end\":false"));
    let (frames, places) = among_others();
    assert_eq!((frames.len(), places.len()), (210, 10));
    let expected = replayed(&frames);
    let wire = &mut Wire::new();
    let back = wire.exchange(&frames, 1);
    machine.signal("-TERM");
    let ran = machine.ended().ended(0);
    assert_eq!(ran.stderr, "");
    let told = records(&ran.stdout);
    assert_eq!(told.len(), places.len(), "{told:#?}");
    let mut verdicts = Vec::new();
    for ((number, record), &place) in (1..).zip(&told).zip(&places) {
        assert_eq!(timeless(record), timeless(&expected[place]), "{number}");
        assert_eq!(
            (&record["frame"], &record["worker"], &record["differs"]),
            (&json!(number), &json!(0), &Value::Null)
        );
        let end = |key: &str| record[key].as_str().unwrap_or("-").to_owned();
        let verdict = record["verdict"]["name"].as_str().unwrap();
        verdicts.push(format!("{verdict} {} {}", end("slow_path"), record["kernel"]));
    }
    assert_eq!(
        verdicts,
        [
            "forward - false",
            "forward - false",
            "drop_ipv4_checksum - false",
            "drop_ip_version - false",
            "drop_tcp_offset - false",
            "pass_ipv4_options - true",
            "forward - false",
            "pass_too_big too_big_answered false",
            "pass_fragment held false",
            "forward - false",
        ]
    );
    // What is told of the backend is where the frame went.
    let mine = back.iter().filter(|frame| frame.len() > 62 && frame[58..62] == [PORT.to_be_bytes(), [0, 80]].concat());
    let went: Vec<&[u8]> = mine.map(|frame| &frame[30..34]).collect();
    let outer = told[0]["rewrite"]["outer"]["destination"].as_str().unwrap();
    assert_eq!(went.len(), 3);
    assert!(went.iter().all(|went| format!("10.1.0.{}", went[3]) == outer), "{outer} {went:?}");
    let total: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&total["end"], &total["frames"]), (&json!(true), &json!(frames.len())));
}

/// The command on a machine.
fn trace(machine: &Machine, folder: &Folder) -> Command {
    let mut command = machine.command(env!("CARGO_BIN_EXE_maglane"));
    command.args(["trace", "--interface", "near"]).current_dir(folder.path("."));
    command
}

/// Has it refused there.
#[track_caller]
fn refuses(machine: &Machine, folder: &Folder, says: &str) {
    let output = trace(machine, folder).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && stderr.starts_with("error: ") && stderr.contains(says), "{stderr}");
}

/// A `maglane trace` that is attached.
struct Attached {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

impl Attached {
    /// One on a machine.
    fn new(machine: &Machine, folder: &Folder, words: &[&str]) -> Self {
        let mut command = trace(machine, folder);
        let mut child = command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut note = String::new();
        stderr.read_line(&mut note).unwrap();
        assert!(note.starts_with("note: near: ") && note.contains("Ctrl-C ends it"), "{note}");
        Self { child, stdout, stderr }
    }

    /// The text of the next frame.
    fn record(&mut self) -> String {
        let mut text = String::new();
        while !text.ends_with("\n\n") {
            assert!(self.stdout.read_line(&mut text).unwrap() > 0, "{text}");
        }
        text
    }

    fn ended(mut self) -> (Option<i32>, String, String) {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).unwrap();
        self.stderr.read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap().code(), stdout, stderr)
    }
}

#[test]
fn who_attaches_while_traffic_flows_is_told_and_whoever_goes_is_not_missed() {
    if !is_inside("run::tracing::who_attaches_while_traffic_flows_is_told_and_whoever_goes_is_not_missed") {
        return;
    }
    let folder = site();
    let machine = Machine::running(&folder, 1, "--workers 2");
    let wire = &mut Wire::new();
    let syn = segment(VIP, PORT, &[], |step| step.syn());
    let damaged = with(&segment(VIP, PORT, &[], |step| step.ack(1)), 24, &[0x12, 0x34]);
    let other = segment(VIP, PORT - 1, &[], |step| step.syn());
    let frames = [other, syn.clone(), damaged];
    assert_eq!(wire.exchange(&frames, 2).len(), 2, "nobody looks on");

    let mut first = Attached::new(&machine, &folder, &[TUPLE]);
    assert_eq!(wire.exchange(&frames, 2).len(), 2);
    let [hit, refused] = [first.record(), first.record()];
    assert!(hit.starts_with("frame 1, ") && hit.contains("of tcp 198.51.100.7:39999 to 192.0.2.10:80"), "{hit}");
    assert!(
        hit.contains("outcome      hit: web-")
            && hit.contains("it has a copy, as of every frame, and nothing to do with it\n\n"),
        "{hit}"
    );
    assert!(refused.contains("ends here    ") && refused.contains("checksum"), "{refused}");
    assert!(refused.contains("drop_ipv4_checksum") && refused.contains("frame 2, "), "{refused}");
    // One at a time.
    refuses(&machine, &folder, "another `maglane trace` is attached");
    // Killed, it leaves nothing behind.
    first.child.kill().unwrap();
    assert_eq!((first.ended().0, wire.exchange(&frames, 2).len()), (None, 2));

    let second = Attached::new(&machine, &folder, &["dst=192.0.2.20", "--json", "--count", "2"]);
    let first_piece = pieces(&datagram(VIP_GAME, PORT, &[7; 900]), 9, 400);
    wire.exchange(&[first_piece[1].clone(), syn, first_piece[0].clone()], 2);
    let (code, stdout, stderr) = second.ended();
    assert_eq!((code, &*stderr), (Some(0), ""));
    let told = records(&stdout);
    let fates: Vec<&str> = told.iter().map(|record| record["slow_path"].as_str().unwrap()).collect();
    assert_eq!((fates, stdout.lines().count()), (vec!["held", "fragment_forwarded"], 2), "{stdout}");

    // One whose reader has gone ends too.
    let Attached { mut child, stdout, stderr: _open } = Attached::new(&machine, &folder, &["dst=192.0.2.10"]);
    drop(stdout);
    wire.exchange(&[ping()], 1);
    assert_eq!(child.wait().unwrap().code(), Some(0));

    // Everything, until the run ends.
    let third = Attached::new(&machine, &folder, &[]);
    wire.exchange(&[ping()], 1);
    machine.signal("-TERM");
    let ran = machine.ended().ended(0);
    let (code, stdout, stderr) = third.ended();
    assert_eq!((code, &*stderr), (Some(0), "note: the run has ended\n"));
    assert!(stdout.contains("pass_icmp") && stdout.contains("echo_answered: the ping was answered"), "{stdout}");
    assert_eq!((records(&ran.stdout).len(), &*ran.stderr), (0, ""), "the run's own output has none of it");
    let none = folder.refused(&["trace", "--interface", "near"], ".sock: no `maglane run` listens there; start one");
    assert!(none.stderr.contains("--control"), "{}", none.stderr);
}

#[test]
fn socket_is_one_runs_and_wherever_it_is_told_to_be() {
    let folder = site();
    folder.refused(
        &["run", "--config", "site.toml", "--interface", "lo", "--trace", "port=80"],
        "there is no key `port`",
    );
    folder.refused(&["trace", "--interface", "lo", "sport=x"], "`sport` is a port");
    folder.refused(&["trace", "--interface", "lo", "--control", "none.sock"], "none.sock: no `maglane run` listens");
    if !is_inside("run::tracing::socket_is_one_runs_and_wherever_it_is_told_to_be") {
        return;
    }
    let run = "run --config site.toml --interface near";
    // A second one on the same place is refused while the first one runs; what a killed one leaves is replaced.
    let script = format!(
        "\"$0\" {run} --control a.sock >/dev/null & first=$!; until [ -S a.sock ]; do sleep 0.01; done; \
         \"$0\" {run} --control a.sock 2>&1 || echo refused; kill -9 $first; wait $first || true; \
         exec \"$0\" {run} --control a.sock --json"
    );
    let mut machine = Machine::new(&folder, &script);
    let refusal = machine.line();
    assert!(refusal.starts_with("error: a.sock: another `maglane run` listens there"), "{refusal}");
    assert_eq!(machine.line(), "refused");
    assert!(machine.line().starts_with("{\"end\":false"));
    let attached = Attached::new(&machine, &folder, &["--control", "a.sock", "--count", "1"]);
    Wire::new().exchange(&[ping()], 1);
    assert_eq!(attached.ended().0, Some(0));
    machine.signal("-INT");
    machine.ended().ended(0);
    assert_eq!(folder.files(), ["site.toml"]);
    // Without a place for it, it runs as well, and says so.
    let path = "/run/maglane/near-$(stat -L -c %i /proc/self/ns/net).sock";
    let script = format!("mkdir -p {path}; exec \"$0\" {run} --json");
    let mut machine = Machine::new(&folder, &script);
    assert!(machine.line().starts_with("{\"end\":false"));
    machine.signal("-INT");
    let ran = machine.ended().ended(0);
    let says = "note: `maglane trace` will find nobody here: /run/maglane/near-";
    assert!(ran.stderr.starts_with(says) && ran.stderr.contains(".sock: no socket"), "{}", ran.stderr);
}

#[test]
fn runs_of_two_network_namespaces_have_a_socket_each_for_interfaces_of_one_name() {
    if !is_inside("run::tracing::runs_of_two_network_namespaces_have_a_socket_each_for_interfaces_of_one_name") {
        return;
    }
    let folder = site();
    let machine = Machine::running(&folder, 1, "");
    // Another one beside it, that tells frames to its own terminal.
    let script = "ip link add near type veth peer name peer; ip link set peer up; ip link set near up; \
                  ip -6 route add blackhole 2001:db8::10/128; \
                  \"$0\" run --config site.toml --interface near --trace dport=80 --json & run=$!; read end; \
                  \"$0\" trace --interface near; kill -TERM $run; wait $run";
    let mut other = Command::new("unshare")
        .args(["--net", "sh", "-c", script, env!("CARGO_BIN_EXE_maglane")])
        .current_dir(folder.path("."))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(other.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("{\"end\":false"), "{line}");
    let attached = Attached::new(&machine, &folder, &["--count", "1"]);
    Wire::new().exchange(&[ping()], 1);
    assert_eq!(attached.ended().0, Some(0));
    drop(other.stdin.take());
    let output = other.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("refused: the run was started with --trace") && output.status.success(), "{stderr}");
    machine.signal("-TERM");
    machine.ended().ended(0);
    assert!(std::fs::read_dir("/run/maglane").unwrap().next().is_none(), "sockets go with their runs");
}
