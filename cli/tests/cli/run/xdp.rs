//! Goal: with AF_XDP, frames to virtual addresses leave as `maglane replay` forwards them, the kernel gets all others and
//! those that are passed as they came, and nothing stays behind a process that dies.
//!
//! Method: as with packet sockets; what the machine's kernel receives is recorded by tcpdump, which sees what is left after an
//! XDP program.

use std::io::BufRead;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use maglane_spec::Egress;
use maglane_sw::fast::Packet;
use maglane_sw::io::af_xdp::{AfXdp, Attach};
use maglane_sw::io::interface::Interface;
use maglane_sw::io::port::{Mishaps, Port};
use serde_json::Value;

use super::frames::{VIP, is_to_vip, segment, traffic};
use super::network::{Kernel, Machine, Wire, is_inside, remove_wire};
use super::{SITE, backends, replayed, site};
use crate::Folder;

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

/// Those of frames that the pipeline passes.
fn passed(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let folder = site();
    super::record(&folder, "in.pcap", frames);
    let words = ["replay", "--config", "site.toml", "--in", "in.pcap", "--trace", "--json"];
    let ran = folder.run(&words).ended(0);
    let traces = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let hosts = traces.filter(|trace| trace.get("frame").is_some()).map(|trace| trace["verdict"]["egress"] == "host");
    let hosts: Vec<bool> = hosts.collect();
    assert_eq!(hosts.len(), frames.len());
    frames.iter().zip(hosts).filter(|&(_, host)| host).map(|(frame, _)| frame.clone()).collect()
}

fn without_bytes(counts: &mut Value) {
    counts.as_object_mut().unwrap().values_mut().for_each(|count| count["bytes"] = Value::Null);
}

fn live_frames_leave_as_replayed([hook, shown]: [&str; 2], frames: &[Vec<u8>], queues: usize, workers: usize) {
    let [steered, _] = split(frames);
    let (mut expected, report) = replayed(&steered);
    let folder = site();
    let options = format!("--mode af-xdp --xdp {hook} --workers {workers}");
    let machine = Machine::running(&folder, queues, &options);
    assert!(machine.ip("link show near").contains(shown), "{}", machine.ip("link show near"));
    let mut back = Wire::new().exchange(frames, expected.len());
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
    super::no_mishaps(&total);
}

#[test]
fn live_frames_of_the_native_hook_leave_in_order_and_byte_for_byte_as_replayed() {
    if is_inside("run::xdp::live_frames_of_the_native_hook_leave_in_order_and_byte_for_byte_as_replayed") {
        live_frames_leave_as_replayed(NATIVE, &traffic(super::MANY), 1, 1);
    }
}

#[test]
fn live_frames_of_the_generic_hook_leave_in_order_and_byte_for_byte_as_replayed() {
    if is_inside("run::xdp::live_frames_of_the_generic_hook_leave_in_order_and_byte_for_byte_as_replayed") {
        live_frames_leave_as_replayed(GENERIC, &traffic(super::MANY), 1, 1);
    }
}

#[test]
fn live_frames_of_five_queues_leave_once_by_two_workers_and_by_one() {
    if is_inside("run::xdp::live_frames_of_five_queues_leave_once_by_two_workers_and_by_one") {
        for (hook, workers) in [(NATIVE, 2), (NATIVE, 1), (GENERIC, 2)] {
            live_frames_leave_as_replayed(hook, &traffic(12_000), 5, workers);
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
    let expected = passed(&steered);
    assert!(expected.len() > 500 && left.len() > 1_500, "{} passed, {} left", expected.len(), left.len());
    for [hook, _] in [NATIVE, GENERIC] {
        let folder = site();
        let machine = Machine::running(&folder, 1, &format!("--mode af-xdp --xdp {hook}"));
        let [near, host] = ["near", HOST].map(|interface| Kernel::of(&machine, interface, &folder));
        Wire::new().exchange(&frames, 0);
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
    // The client, behind a router whose MAC address the machine knows; new interfaces check sources by route.
    let own = "echo 1 >/proc/sys/net/ipv4/conf/default/rp_filter; ip link set lo up; \
               ip addr add 192.0.2.10/32 dev lo; ip addr add 10.9.0.1/24 dev near; \
               ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev near; ip route add default via 10.9.0.2";
    let echo = {
        let (mut frame, step) =
            (Vec::new(), etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]));
        step.ipv4([198, 51, 100, 7], VIP, 60).icmpv4_echo_request(7, 8).write(&mut frame, b"are you there?").unwrap();
        frame
    };
    for [hook, _] in [NATIVE, GENERIC] {
        let folder = site();
        let run = format!("exec \"$0\" run --config site.toml --interface near --mode af-xdp --xdp {hook} --json");
        let mut machine = Machine::new(&folder, &format!("{own}; {run}"));
        assert!(machine.line().starts_with("{\"end\":false"));
        let back = Wire::new().exchange(std::slice::from_ref(&echo), 1);
        assert_eq!(back.len(), 1, "{hook}: {back:02x?}");
        let answer = etherparse::SlicedPacket::from_ethernet(&back[0]).unwrap();
        let Some(etherparse::TransportSlice::Icmpv4(icmp)) = answer.transport else { panic!("{back:02x?}") };
        assert!(
            matches!(icmp.icmp_type(), etherparse::Icmpv4Type::EchoReply(_)) && icmp.payload() == b"are you there?"
        );
        // The kernel would reset what is forwarded, if it saw it.
        backends(&mut Wire::new(), 10_000..10_100, true);
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
        let mut hang_up = |config: &str, says: &str| {
            folder.put("site.toml", config);
            machine.signal("-HUP");
            let mut told = String::new();
            while !told.contains(says) {
                assert!(stderr.read_line(&mut told).unwrap() > 0, "{says:?} is not in {told}");
            }
        };
        hang_up(SITE, "site.toml: read again");
        assert_eq!([left(&machine, web), left(&machine, game)], [false, false]);
        hang_up(&SITE.replace("\"lab\"", "\"sume\""), "the old tables go on");
        assert_eq!([left(&machine, web), left(&machine, game)], [false, false]);
        hang_up(moved, "site.toml: read again");
        assert_eq!([left(&machine, web), left(&machine, game)], [true, false]);
        hang_up(SITE, "site.toml: read again");
        assert_eq!(Wire::new().exchange(&steered, 0).len(), replayed(&steered).0.len());
        machine.signal("-TERM");
        machine.ended().ended(0);
    }
}

#[test]
fn interface_that_cannot_be_served_is_refused_with_what_mends_it() {
    if !is_inside("run::xdp::interface_that_cannot_be_served_is_refused_with_what_mends_it") {
        return;
    }
    let folder = site();
    let without = |rights: &str| format!("setpriv --bounding-set={rights} --inh-caps={rights}");
    let (native, plain) = ("--interface near --xdp native", "ip link add link near name plain type macvlan");
    let locked = format!("{} sh -c 'ulimit -l 64; exec \"$0\" \"$@\"'", without("-ipc_lock"));
    for (prepare, wrapper, options, says) in [
        (
            ":",
            "",
            "--interface near --workers 2",
            "near: 2 workers for 1 of receive queues, and each needs one: --workers 1",
        ),
        (
            "ip link set near mtu 3823",
            "",
            native,
            "the MTU is 3823, and AF_XDP has room for 3822: ip link set near mtu 3822",
        ),
        (":", &without("-net_raw"), native, "setcap cap_net_admin,cap_net_raw,cap_bpf+ep maglane"),
        (":", &without("-net_admin"), native, "setcap cap_net_admin,cap_net_raw,cap_bpf+ep maglane"),
        (":", &without("-bpf,-sys_admin"), native, "setcap cap_net_admin,cap_net_raw,cap_bpf+ep maglane"),
        (":", &locked, native, "near: the limit on locked memory is below the 20608 KiB that a queue needs: ulimit -l"),
        (
            &format!("{plain}; ip link set plain up"),
            "",
            "--interface plain --xdp native",
            "plain: its driver does not run the XDP program: Operation not supported (os error 95); use --xdp generic",
        ),
        ("ip link add maglane-near type bridge", "", native, "maglane-near: there is a device of this name"),
        (":", "", "--interface near --mode af-packet --xdp native", "--xdp is an option of --mode af-xdp"),
        (":", "", "--interface near --pin 0,0", "--pin names 2 of processors for 1 of workers"),
        (":", "", "--interface near --pin 1023", "--pin: this process may not run on processor 1023"),
    ] {
        let mode = if options.contains("--mode") { "" } else { "--mode af-xdp" };
        let script = format!("{prepare}; exec {wrapper} \"$0\" run --config site.toml {mode} {options}");
        let ran = Machine::new(&folder, &script).ended();
        assert!(ran.code == 2 && ran.stderr.starts_with("error: ") && ran.stderr.contains(says), "{says:?}: {ran:?}");
        assert_eq!(ran.stdout, "", "{says:?}");
    }
}

#[test]
fn driver_without_xdp_is_served_by_the_generic_hook_which_is_said() {
    if !is_inside("run::xdp::driver_without_xdp_is_served_by_the_generic_hook_which_is_said") {
        return;
    }
    let folder = site();
    let plain = "ip link add link near name plain type macvlan; ip link set plain address 02:00:00:00:00:03 up";
    let run = "exec \"$0\" run --config site.toml --interface plain --mode af-xdp";
    let mut machine = Machine::new(&folder, &format!("{plain}; {run}"));
    let line = machine.line();
    assert!(line.contains("serves, 1 worker, generic XDP, passed frames at maglane-plain"), "{line}");
    machine.signal("-TERM");
    let told = machine.ended().ended(0).stderr;
    assert!(told.contains("plain: its driver does not run the XDP program") && told.contains("it serves so"), "{told}");
}

#[test]
fn second_one_at_an_interface_is_refused_and_the_first_goes_on_until_the_interface_is_gone() {
    if !is_inside("run::xdp::second_one_at_an_interface_is_refused_and_the_first_goes_on_until_the_interface_is_gone") {
        return;
    }
    for [hook, _] in [NATIVE, GENERIC] {
        let folder = site();
        let machine = Machine::running(&folder, 1, &format!("--mode af-xdp --xdp {hook}"));
        for other in ["native", "generic", "auto"] {
            let mut command = machine.command(env!("CARGO_BIN_EXE_maglane"));
            command.args(["run", "--config", "site.toml", "--interface", "near", "--mode", "af-xdp", "--xdp", other]);
            let output = command.current_dir(folder.path(".")).output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{stderr}");
            assert!(stderr.starts_with("error: near: another XDP program is attached"), "{stderr}");
        }
        backends(&mut Wire::new(), 10_000..10_100, true);
        remove_wire();
        let ran = machine.ended().ended(2);
        assert_eq!(ran.stderr, "error: near: the interface has been removed; start again when it is back\n");
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
fn frames_that_come_while_no_worker_looks_are_counted_once_and_those_after_them_leave() {
    if !is_inside("run::xdp::frames_that_come_while_no_worker_looks_are_counted_once_and_those_after_them_leave") {
        return;
    }
    let frames: Vec<Vec<u8>> = (0..5_000).map(|port| segment(VIP, 1_000 + port, &[], |step| step.syn())).collect();
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
        assert!(lost > 3 * 2_000, "{hook}: {lost}");
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
    let down_and_up = |words: &str| assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success());
    down_and_up("link set far down");
    port.send(&mut frames[..1_500].iter().map(Vec::as_slice));
    assert_eq!(port.mishaps(), Mishaps { unsent: 2 + 1_500 - 1_024, ..Mishaps::default() });
    down_and_up("link set far up");
    until(|| machine.ip("link show near").contains("LOWER_UP"));
    let kernel = Kernel::of(&machine, "near", &folder);
    let work = &mut |_: &mut [Packet<'_>], _: &mut [Egress]| {};
    assert_eq!(port.exchange(Duration::from_millis(50), work).unwrap(), 0);
    same(&kernel.received(1_000)[..500], &frames[..500], "sent late");
}

#[test]
fn queue_that_another_process_has_is_refused() {
    if !is_inside("run::xdp::queue_that_another_process_has_is_refused") {
        return;
    }
    // A machine that has the other end of the wire; this process has a queue of ours, and no program that steers.
    let folder = site();
    let _machine = Machine::new(&folder, "exec sleep 60");
    let (_ports, steering) = AfXdp::open(&Interface::find("far").unwrap(), 1, Attach::Best).unwrap();
    drop(steering);
    let words = ["run", "--config", "site.toml", "--interface", "far", "--mode", "af-xdp"];
    // The kernel takes the program away when nobody waits for that.
    until(|| {
        let ran = folder.run(&words);
        assert_eq!(ran.code, 2, "{ran:?}");
        ran.stderr.starts_with("error: far: another process has an AF_XDP socket at queue 0")
    });
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
