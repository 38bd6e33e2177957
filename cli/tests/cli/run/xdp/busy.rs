//! Goal: a worker that looks for frames without sleep does to them what others do, and its sockets are polled.
//!
//! Method: the same frames; what the sockets say of themselves, and how long the process was at work.

use std::thread;
use std::time::Duration;

use super::super::frames::traffic;
use super::super::network::{Machine, is_inside};
use super::super::site;
use super::{GENERIC, NATIVE, live_frames_leave_as_replayed};

#[test]
fn live_frames_of_workers_that_look_busily_leave_as_replayed() {
    if is_inside("run::xdp::busy::live_frames_of_workers_that_look_busily_leave_as_replayed") {
        for (hook, queues, workers) in [(NATIVE, 1, 1), (GENERIC, 1, 1), (NATIVE, 4, 2)] {
            live_frames_leave_as_replayed(hook, &traffic(12_000), queues, workers, "--busy-poll 200");
        }
    }
}

/// How long a process has been at work.
fn work_time(machine: &Machine) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", machine.id())).unwrap();
    // In hundredths of a second; behind the name come the 3rd field and those that follow it.
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    Duration::from_millis(10 * fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum::<u64>())
}

#[test]
fn worker_that_looks_busily_is_at_work_without_frames_and_its_sockets_are_polled() {
    if !is_inside("run::xdp::busy::worker_that_looks_busily_is_at_work_without_frames_and_its_sockets_are_polled") {
        return;
    }
    let folder = site();
    let run = "exec \"$0\" run --config site.toml --interface near --mode af-xdp --xdp native";
    let mut worked = Vec::new();
    for (option, says) in
        [("", "native XDP, passed"), (" --busy-poll 9000", "native XDP, busy polling 9,000 µs, passed")]
    {
        let mut machine = Machine::new(&folder, &format!("{run}{option}"));
        let line = machine.line();
        assert!(line.contains(says), "{line}");
        let before = work_time(&machine);
        thread::sleep(Duration::from_secs(2));
        worked.push(work_time(&machine) - before);
        machine.signal("-TERM");
        machine.ended().ended(0);
    }
    // 9 of 59 ms, if others leave it the processor.
    assert!(worked[1] > worked[0] + Duration::from_millis(100), "{worked:?}");
}
