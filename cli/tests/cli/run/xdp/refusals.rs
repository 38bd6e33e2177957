//! Goal: an interface that AF_XDP cannot serve, or only in another way than was asked for, is said to be one, with what
//! mends it.
//!
//! Method: machines that are not as they must be.

use maglane_sw::io::af_xdp::{AfXdp, Attach};
use maglane_sw::io::interface::Interface;

use super::super::network::{Machine, Wire, is_inside, remove_wire};
use super::super::{backends, site};
use super::{GENERIC, NATIVE, until};

#[test]
fn interface_that_cannot_be_served_is_refused_with_what_mends_it() {
    if !is_inside("run::xdp::refusals::interface_that_cannot_be_served_is_refused_with_what_mends_it") {
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
            "near: more workers (2) than receive queues (1), and each needs one: --workers 1, or ethtool -L near",
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
        (":", "", "--interface near --mode af-packet --busy-poll 50", "--busy-poll is an option of --mode af-xdp"),
        (":", "", "--interface near --pin 0,0", "--pin names 2 processors for 1 worker: name one for each"),
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
    if !is_inside("run::xdp::refusals::driver_without_xdp_is_served_by_the_generic_hook_which_is_said") {
        return;
    }
    let folder = site();
    // Its name is too long for a part of another, so that the device has its number; and what is passed would be dropped.
    let plain = "ip link add link near name fifteen-letters index 77 type macvlan; ip link set fifteen-letters up; \
                 echo 2 >/proc/sys/net/ipv4/conf/all/rp_filter";
    let run = "exec \"$0\" run --config site.toml --interface fifteen-letters --mode af-xdp";
    let mut machine = Machine::new(&folder, &format!("{plain}; {run}"));
    let line = machine.line();
    assert!(
        line.contains("serves, 1 worker, room for 8,192 flows, generic XDP, passed frames at maglane-77"),
        "{line}"
    );
    assert!(machine.ip("link show fifteen-letters").contains(GENERIC[1]));
    machine.signal("-TERM");
    let told = machine.ended().ended(0).stderr;
    for says in ["its driver does not run the XDP program", "it serves so", "sysctl -w net.ipv4.conf.all.rp_filter=0"] {
        assert!(told.contains(says), "{says:?}: {told}");
    }
}

#[test]
fn queue_that_another_process_has_is_refused() {
    if !is_inside("run::xdp::refusals::queue_that_another_process_has_is_refused") {
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
fn second_one_at_an_interface_is_refused_and_the_first_goes_on_until_the_interface_is_gone() {
    if !is_inside(
        "run::xdp::refusals::second_one_at_an_interface_is_refused_and_the_first_goes_on_until_the_interface_is_gone",
    ) {
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
