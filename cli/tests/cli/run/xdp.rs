//! Goal: with AF_XDP, frames to virtual addresses leave as `maglane replay` forwards them, the kernel gets all others and
//! those that are passed as they came, and nothing stays behind a process that dies.
//!
//! Method: as with packet sockets; what the machine's kernel receives is recorded by tcpdump, which sees what is left after
//! an XDP program.

mod busy;
mod refusals;

use std::io::BufRead;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use etherparse::{Icmpv4Type, Icmpv6Type, PacketBuilder, SlicedPacket, TransportSlice};
use maglane_spec::Egress;
use maglane_sw::fast::Packet;
use maglane_sw::io::af_xdp::{AfXdp, Attach};
use maglane_sw::io::interface::Interface;
use maglane_sw::io::port::{Mishaps, Port};
use serde_json::Value;

use super::frames::{CLIENT_6, VIP, VIP_6, is_to_vip, segment, traffic};
use super::network::{Kernel, Machine, Wire, ip, is_inside};
use super::{SITE, backends, host, replayed, site};
use crate::Folder;
use crate::frame::with;

/// The two hooks, and how `ip` shows that one is in use.
const NATIVE: [&str; 2] = ["native", " xdp "];
const GENERIC: [&str; 2] = ["generic", " xdpgeneric "];
/// Where passed frames come in.
const HOST: &str = "maglane-near";
/// How long anything that should happen at once may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Frames in the order of a number of queues is that of each flow only.
fn sorted(mut frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    frames.sort();
    frames
}

#[track_caller]
fn same(own: &[Vec<u8>], expected: &[Vec<u8>], what: &str) {
    if let Some(at) = own.iter().zip(expected).position(|(own, expected)| own != expected) {
        panic!("{what}: frame {at} is\n{:02x?}, not\n{:02x?}", own[at], expected[at]);
    }
    assert_eq!(own.len(), expected.len(), "{what}: frames");
}

/// The frames that the steering program must take, and those that it must leave.
fn split(frames: &[Vec<u8>]) -> [Vec<Vec<u8>>; 2] {
    let of = |steered| {
        let kept = frames.iter().enumerate().filter(move |&(number, _)| is_to_vip(number) == steered);
        kept.map(|(_, frame)| frame.clone()).collect()
    };
    [of(true), of(false)]
}

/// Those of frames that the pipeline passes, and the host leaves to the kernel.
fn passed(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let folder = site();
    super::record(&folder, "in.pcap", frames);
    let words = ["replay", "--config", "site.toml", "--in", "in.pcap", "--trace", "--json"];
    let ran = folder.run(&words).ended(0);
    let traces = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let hosts = traces.filter(|trace| trace.get("frame").is_some()).map(|trace| is_kernels(&trace["verdict"]));
    let hosts: Vec<bool> = hosts.collect();
    assert_eq!(hosts.len(), frames.len());
    frames.iter().zip(hosts).filter(|&(_, host)| host).map(|(frame, _)| frame.clone()).collect()
}

fn is_kernels(verdict: &Value) -> bool {
    let taken = ["pass_fragment", "pass_too_big", "pass_icmp"];
    verdict["egress"] == "host" && !taken.iter().any(|&name| verdict["name"] == name)
}

fn without_bytes(counts: &mut Value) {
    counts.as_object_mut().unwrap().values_mut().for_each(|count| count["bytes"] = Value::Null);
}

fn live_frames_leave_as_replayed(
    [hook, shown]: [&str; 2],
    frames: &[Vec<u8>],
    queues: usize,
    workers: usize,
    options: &str,
) {
    let [steered, _] = split(frames);
    let (mut expected, report) = replayed(&steered);
    assert!(frames.len() < super::MANY || expected.len() >= 100_000, "{}", expected.len());
    let folder = site();
    let options = format!("--mode af-xdp --xdp {hook} --workers {workers} {options}");
    let machine = Machine::running(&folder, queues, &options);
    assert!(machine.ip("link show near").contains(shown), "{}", machine.ip("link show near"));
    let pieces = usize::try_from(report["verdicts"]["pass_fragment"]["packets"].as_u64().unwrap()).unwrap();
    let back = Wire::new().exchange(frames, expected.len() + pieces);
    let (of_host, mut back): (Vec<_>, Vec<_>) = back.into_iter().partition(|frame| host::is_of_host(frame));
    machine.signal("-TERM");
    let ran = machine.ended().ended(0);
    assert_eq!((&*ran.stderr, folder.files()), ("", vec!["site.toml".to_owned()]));
    if queues > 1 {
        (back, expected) = (sorted(back), sorted(expected));
    }
    same(&back, &expected, "came back");
    let total: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(total["verdicts"], report["verdicts"]);
    let [mut own, mut expected] = [total["flows"].clone(), super::with_read_only(report["flows"].clone())];
    if queues > 1 {
        // A flow's tagged frames and its others have a queue each, so that any of them may be its first.
        [&mut own, &mut expected].into_iter().for_each(without_bytes);
    }
    assert_eq!(own, expected);
    host::check_traffic(&total["host"], &report["verdicts"], &of_host);
    super::no_mishaps(&total);
}

#[test]
fn live_frames_of_the_native_hook_leave_in_order_and_byte_for_byte_as_replayed() {
    if is_inside("run::xdp::live_frames_of_the_native_hook_leave_in_order_and_byte_for_byte_as_replayed") {
        live_frames_leave_as_replayed(NATIVE, &traffic(super::MANY), 1, 1, "");
    }
}

#[test]
fn live_frames_of_the_generic_hook_leave_in_order_and_byte_for_byte_as_replayed() {
    if is_inside("run::xdp::live_frames_of_the_generic_hook_leave_in_order_and_byte_for_byte_as_replayed") {
        live_frames_leave_as_replayed(GENERIC, &traffic(super::MANY), 1, 1, "");
    }
}

#[test]
fn live_frames_of_five_queues_leave_once_by_two_workers_and_by_one() {
    if is_inside("run::xdp::live_frames_of_five_queues_leave_once_by_two_workers_and_by_one") {
        for (hook, workers) in [(NATIVE, 2), (NATIVE, 1), (GENERIC, 2)] {
            live_frames_leave_as_replayed(hook, &traffic(12_000), 5, workers, "");
        }
    }
}

#[test]
fn other_frames_and_passed_ones_reach_the_kernel_as_they_came() {
    if !is_inside("run::xdp::other_frames_and_passed_ones_reach_the_kernel_as_they_came") {
        return;
    }
    let frames = traffic(8_000);
    let [steered, left] = split(&frames);
    let (expected, forwarded) = (passed(&steered), replayed(&steered).0.len());
    assert!(expected.len() > 150 && left.len() > 1_500, "{} passed, {} left", expected.len(), left.len());
    for [hook, _] in [NATIVE, GENERIC] {
        let folder = site();
        let machine = Machine::running(&folder, 1, &format!("--mode af-xdp --xdp {hook}"));
        let [near, host] = ["near", HOST].map(|interface| Kernel::of(&machine, interface, &folder));
        Wire::new().exchange(&frames, forwarded);
        same(&near.received(left.len()), &left, &format!("{hook}: at the interface"));
        same(&host.received(expected.len()), &expected, &format!("{hook}: passed"));
        machine.signal("-TERM");
        machine.ended().ended(0);
    }
}

/// What the kernel of a machine makes of packets to a virtual address that is its own: an answer, if it takes them.
#[test]
fn kernel_answers_what_is_passed_for_an_address_of_its_own() {
    if !is_inside("run::xdp::kernel_answers_what_is_passed_for_an_address_of_its_own") {
        return;
    }
    // The clients are behind a router whose MAC address the machine knows; new interfaces check sources by route.
    let own = "echo 1 >/proc/sys/net/ipv4/conf/default/rp_filter; ip link set lo up; \
               ip addr add 192.0.2.10/32 dev lo; ip addr add 10.9.0.1/24 dev near; \
               ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev near; ip route add default via 10.9.0.2; \
               ip addr add 2001:db8::10/128 dev lo; ip addr add 2001:db8:9::1/64 dev near nodad; \
               ip neigh add 2001:db8:9::2 lladdr 02:00:00:00:00:02 dev near; ip -6 route add default via 2001:db8:9::2; \
               until ip -6 route get 2001:db8::10 2>&1 | grep -q ^local; do sleep 0.01; done";
    let mut questions = [Vec::new(), Vec::new()];
    let link = || PacketBuilder::ethernet2([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]);
    let [four, six] = &mut questions;
    // A port that no service has, and nobody listens at.
    link().ipv4([198, 51, 100, 7], VIP, 60).udp(7, 8).write(four, QUESTION).unwrap();
    link().ipv6(CLIENT_6, VIP_6, 60).udp(7, 8).write(six, QUESTION).unwrap();
    for [hook, _] in [NATIVE, GENERIC] {
        let folder = site();
        let run = format!("exec \"$0\" run --config site.toml --interface near --mode af-xdp --xdp {hook} --json");
        let mut machine = Machine::new(&folder, &format!("{own}; {run}"));
        assert!(machine.line().starts_with("{\"end\":false"));
        let back = Wire::new().exchange(&questions, 2);
        // The machine speaks by itself too, since it has addresses.
        let answers: Vec<bool> = back.iter().filter_map(|frame| is_answer_by_ipv4(frame)).collect();
        assert_eq!(answers.len(), 2, "{hook}: {back:02x?}");
        assert_ne!(answers[0], answers[1], "{hook}: {back:02x?}");
        // The kernel would reset what is forwarded, if it saw it.
        backends(&mut Wire::new(), 10_000..10_100, true);
    }
}

/// What the machine is asked.
const QUESTION: &[u8] = b"are you there?";

/// Whether an answer to that, that nobody is, is by IPv4 or by IPv6, if the frame is one.
fn is_answer_by_ipv4(frame: &[u8]) -> Option<bool> {
    match SlicedPacket::from_ethernet(frame).ok()?.transport? {
        TransportSlice::Icmpv4(icmp) if matches!(icmp.icmp_type(), Icmpv4Type::DestinationUnreachable(_)) => {
            icmp.payload().ends_with(QUESTION).then_some(true)
        }
        TransportSlice::Icmpv6(icmp) if matches!(icmp.icmp_type(), Icmpv6Type::DestinationUnreachable(_)) => {
            icmp.payload().ends_with(QUESTION).then_some(false)
        }
        _ => None,
    }
}

/// The program with `site.toml` on a machine, beside its shell.
fn start(machine: &Machine, folder: &Folder, options: &str) -> std::process::Child {
    let words = format!("run --config site.toml --interface near {options} --json");
    let mut command = machine.command(env!("CARGO_BIN_EXE_maglane"));
    command.args(words.split_whitespace()).current_dir(folder.path("."));
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("{\"end\":false"), "{line}");
    child
}

#[test]
fn process_that_is_killed_leaves_nothing_behind_and_the_next_one_serves() {
    if !is_inside("run::xdp::process_that_is_killed_leaves_nothing_behind_and_the_next_one_serves") {
        return;
    }
    let folder = site();
    let frames: Vec<Vec<u8>> = (0..100).map(|port| segment(VIP, 1_000 + port, &[], |step| step.syn())).collect();
    for [hook, shown] in [NATIVE, GENERIC] {
        let machine = Machine::new(&folder, "exec sleep 60");
        let options = format!("--mode af-xdp --xdp {hook}");
        until(|| machine.ip("link show near").contains("LOWER_UP"));
        for _ in 0..2 {
            let mut child = start(&machine, &folder, &options);
            let kernel = Kernel::of(&machine, "near", &folder);
            backends(&mut Wire::new(), 10_000..10_200, true);
            assert_eq!(kernel.received(0), Vec::<Vec<u8>>::new(), "the kernel has forwarded frames too");
            let links = machine.ip("link show");
            assert!(links.contains(shown) && links.contains(HOST), "{links}");
            child.kill().unwrap();
            child.wait().unwrap();
            until(|| {
                let links = machine.ip("link show");
                !links.contains("xdp") && !links.contains(HOST)
            });
            let kernel = Kernel::of(&machine, "near", &folder);
            assert_eq!(Wire::new().exchange(&frames, 0), Vec::<Vec<u8>>::new());
            same(&kernel.received(frames.len()), &frames, "after it was killed");
        }
    }
}

/// Waits for what happens some time after a process has ended.
#[track_caller]
fn until(mut happens: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !happens() {
        assert!(Instant::now() < end, "it does not happen");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn hangup_steers_to_addresses_that_are_new_and_no_more_to_those_that_are_gone() {
    if !is_inside("run::xdp::hangup_steers_to_addresses_that_are_new_and_no_more_to_those_that_are_gone") {
        return;
    }
    let (web, game) = (SITE.find("[[service]]").unwrap(), SITE.rfind("[[service]]").unwrap());
    let site_without_game = &SITE[..game];
    let moved = &SITE.replace("192.0.2.10", "192.0.2.77");
    assert!(web < game && moved != SITE);
    let frames = traffic(320);
    let [steered, _] = split(&frames);
    let is_to = |address: [u8; 4]| move |frame: &&Vec<u8>| frame[12..14] == [8, 0] && frame[30..34] == address;
    for [hook, _] in [NATIVE, GENERIC] {
        let folder = site();
        folder.put("site.toml", site_without_game);
        let mut machine = Machine::running(&folder, 1, &format!("--mode af-xdp --xdp {hook}"));
        let mut stderr = machine.stderr();
        // How many frames to an address the kernel receives at the interface itself, of those that are sent.
        let left = |machine: &Machine, address| {
            let kernel = Kernel::of(machine, "near", &folder);
            Wire::new().exchange(&frames, 0);
            let received = kernel.received(0);
            let sent = frames.iter().filter(is_to(address)).count();
            assert!(sent >= 20, "{sent}");
            match received.iter().filter(is_to(address)).count() {
                0 => false,
                count if count == sent => true,
                count => panic!("{hook}: {count} of {sent} frames to {address:?}"),
            }
        };
        let (web, game) = (VIP, [192, 0, 2, 20]);
        assert_eq!([left(&machine, web), left(&machine, game)], [false, true]);
        let mut hang_up = |config: &str, says: &str| machine.reload(&folder, &mut stderr, config, says);
        hang_up(SITE, "site.toml: read again");
        assert_eq!([left(&machine, web), left(&machine, game)], [false, false]);
        hang_up(&SITE.replace("\"lab\"", "\"sume\""), "the old tables go on");
        assert_eq!([left(&machine, web), left(&machine, game)], [false, false]);
        hang_up(moved, "site.toml: read again");
        assert_eq!([left(&machine, web), left(&machine, game)], [true, false]);
        hang_up(SITE, "site.toml: read again");
        let back = Wire::new().exchange(&steered, 0);
        let forwarded = back.iter().filter(|frame| !host::is_of_host(frame)).count();
        assert_eq!(forwarded, replayed(&steered).0.len());
        machine.signal("-TERM");
        machine.ended().ended(0);
    }
}

#[test]
fn workers_stay_on_the_processors_that_are_named() {
    if !is_inside("run::xdp::workers_stay_on_the_processors_that_are_named") {
        return;
    }
    for mode in ["af-packet", "af-xdp"] {
        let folder = site();
        let machine = Machine::running(&folder, 2, &format!("--mode {mode} --workers 2 --pin 0,0"));
        let tasks = std::fs::read_dir(format!("/proc/{}/task", machine.id())).unwrap();
        let statuses = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap());
        let pinned = statuses.filter(|status| status.contains("Cpus_allowed_list:\t0\n")).count();
        assert!(pinned >= 2, "{mode}: {pinned}");
        machine.signal("-TERM");
        machine.ended().ended(0);
    }
}

/// Frames to the web service that leave so long.
fn of_len(len: usize, count: u16) -> Vec<Vec<u8>> {
    // Ethernet, IPv4, TCP; then IPv4 and GRE.
    (0..count).map(|port| segment(VIP, 2_000 + port, &vec![1; len - 54 - 24], |step| step.ack(1))).collect()
}

#[test]
fn frames_that_are_longer_than_the_interface_takes_are_counted_and_the_others_leave() {
    if !is_inside("run::xdp::frames_that_are_longer_than_the_interface_takes_are_counted_and_the_others_leave") {
        return;
    }
    for mode in ["af-packet", "af-xdp --xdp native", "af-xdp --xdp generic"] {
        let folder = site();
        let run = format!("exec \"$0\" run --config site.toml --interface near --mode {mode} --json");
        let mut machine = Machine::new(&folder, &format!("ip link set near mtu 1300; {run}"));
        assert!(machine.line().starts_with("{\"end\":false"));
        // As long as may be, and one byte longer.
        let frames = [of_len(1_314, 30), of_len(1_315, 20)].concat();
        assert_eq!(Wire::new().exchange(&frames, 30).len(), 30, "{mode}");
        machine.signal("-TERM");
        let ran = machine.ended().ended(0);
        let total: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
        assert_eq!((&total["forwarded"], &total["mishaps"]["unsent"]), (&50.into(), &20.into()), "{mode}");
    }
}

#[test]
fn longest_frame_that_can_be_served_is_passed_whole() {
    if !is_inside("run::xdp::longest_frame_that_can_be_served_is_passed_whole") {
        return;
    }
    let folder = site();
    let run = "exec \"$0\" run --config site.toml --interface near --mode af-xdp --xdp generic --json";
    let mut machine = Machine::new(&folder, &format!("ip link set near mtu 3822; {run}"));
    assert!(machine.line().starts_with("{\"end\":false"));
    ip("link set far mtu 3822");
    // With a tag, and to a port that no service has.
    let long = with(&segment(VIP, 7, &vec![3; 3_822 - 40], |step| step.ack(1)), 36, &[0, 9]);
    let frames = vec![[&long[..12], &[0x81, 0, 0, 5], &long[12..]].concat(); 100];
    assert_eq!(frames[0].len(), 3_840);
    let kernel = Kernel::of(&machine, HOST, &folder);
    Wire::new().exchange(&frames, 0);
    same(&kernel.received(100), &frames, "passed");
    machine.signal("-TERM");
    let ran = machine.ended().ended(0);
    super::no_mishaps(&serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap());
}

#[test]
fn frames_that_come_while_no_worker_looks_are_counted_once_and_those_after_them_leave() {
    if !is_inside("run::xdp::frames_that_come_while_no_worker_looks_are_counted_once_and_those_after_them_leave") {
        return;
    }
    let frames: Vec<Vec<u8>> = (0..8_000).map(|port| segment(VIP, 1_000 + port, &[], |step| step.syn())).collect();
    for [hook, _] in [NATIVE, GENERIC] {
        let folder = site();
        let machine = Machine::running(&folder, 1, &format!("--mode af-xdp --xdp {hook}"));
        let mut sent = 0;
        for _ in 0..3 {
            machine.signal("-STOP");
            assert_eq!(Wire::new().exchange(&frames, 0), Vec::<Vec<u8>>::new());
            machine.signal("-CONT");
            sent += frames.len() as u64;
            // Those that waited leave at once, and are not waited for.
            thread::sleep(Duration::from_millis(300));
            // More than a queue has memory for, so that none of it was lost.
            backends(&mut Wire::new(), 10_000..20_000, true);
            sent += 10_000;
        }
        machine.signal("-TERM");
        let ran = machine.ended().ended(0);
        let total: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
        let count = |value: &Value| value.as_u64().unwrap();
        let [frames, lost] = [count(&total["frames"]), count(&total["mishaps"]["unreceived"])];
        assert!(lost > 3 * 3_500, "{hook}: {lost}");
        assert_eq!(frames + lost, sent, "{hook}: {total}");
    }
}

#[test]
fn frames_that_did_not_come_in_leave_and_those_without_room_are_counted() {
    if !is_inside("run::xdp::frames_that_did_not_come_in_leave_and_those_without_room_are_counted") {
        return;
    }
    let folder = site();
    // The port is at our end here, and the machine's kernel receives what it sends.
    let machine = Machine::new(&folder, "exec sleep 60");
    until(|| machine.ip("link show near").contains("LOWER_UP"));
    let (mut ports, _steering) = AfXdp::open(&Interface::find("far").unwrap(), 1, Attach::Best).unwrap();
    let port = &mut ports[0];
    // More than a queue has memory for.
    let frames = traffic(6_000);
    let kernel = Kernel::of(&machine, "near", &folder);
    for batch in frames.chunks(64) {
        port.send(&mut batch.iter().map(Vec::as_slice));
        thread::sleep(Duration::from_millis(1));
    }
    same(&kernel.received(frames.len()), &frames, "sent");
    assert_eq!(port.mishaps(), Mishaps::default());

    // What is longer than the MTU, or than a chunk; and what the interface does not take at once, but when it is up again.
    port.send(&mut [vec![2; 1_515], vec![2; 5_000]].iter().map(Vec::as_slice));
    assert_eq!(port.mishaps(), Mishaps { unsent: 2, ..Mishaps::default() });
    ip("link set far down");
    port.send(&mut frames[..1_500].iter().map(Vec::as_slice));
    assert_eq!(port.mishaps(), Mishaps { unsent: 2 + 1_500 - 1_024, ..Mishaps::default() });
    ip("link set far up");
    until(|| machine.ip("link show near").contains("LOWER_UP"));
    let kernel = Kernel::of(&machine, "near", &folder);
    let work = &mut |_: &mut [Packet<'_>], _: &mut [Egress]| {};
    assert_eq!(port.exchange(Duration::from_millis(50), work).unwrap(), 0);
    same(&kernel.received(1_000)[..500], &frames[..500], "sent late");
}

#[test]
fn interface_that_goes_down_and_up_is_served_again() {
    if !is_inside("run::xdp::interface_that_goes_down_and_up_is_served_again") {
        return;
    }
    for [hook, _] in [NATIVE, GENERIC] {
        let folder = site();
        let machine = Machine::running(&folder, 1, &format!("--mode af-xdp --xdp {hook}"));
        backends(&mut Wire::new(), 10_000..10_100, true);
        machine.ip("link set near down");
        thread::sleep(Duration::from_millis(200));
        machine.ip("link set near up");
        until(|| machine.ip("link show near").contains("LOWER_UP"));
        backends(&mut Wire::new(), 10_000..16_000, true);
        machine.signal("-TERM");
        machine.ended().ended(0);
    }
}
