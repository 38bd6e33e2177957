//! Goal: what becomes wrong about the machine while it serves is told once, with what mends it, and once when it has been.
//!
//! Method: an administrator who changes it, and does what he is told.

use super::network::{Machine, is_inside};
use super::reload::READ_AGAIN;
use super::{SITE, site};

/// How much is told to be wrong, and to be mended.
fn counts(told: &str) -> [usize; 2] {
    ["warning: ", "note: no longer so: "].map(|kind| told.lines().filter(|line| line.starts_with(kind)).count())
}

#[test]
fn what_becomes_wrong_is_told_once_and_so_is_that_it_is_mended() {
    if !is_inside("run::machine::what_becomes_wrong_is_told_once_and_so_is_that_it_is_mended") {
        return;
    }
    let folder = site();
    let mut machine = Machine::running(&folder, 1, "");
    let mut stderr = machine.stderr();
    let shell = |script: &str| assert!(machine.command("sh").args(["-e", "-c", script]).status().unwrap().success());
    let forwarding = "/proc/sys/net/ipv4/conf/near/forwarding";
    shell(&format!(
        "ip addr add 192.0.2.20/32 dev near; echo 1 >{forwarding}; ip link set near address 02:00:00:00:00:09; \
         ip addr add fd00::9/64 dev near nodad; ip -6 route del blackhole 2001:db8::10/128"
    ));
    let told = stderr.until_all(&[
        "warning: 192.0.2.20 is an address of this machine, whose kernel would answer",
        "warning: this machine routes what comes in at near for 192.0.2.10, so what is forwarded to backends would leave a \
         second time; have the kernel drop it: ip -4 route add blackhole 192.0.2.10/32\n",
        "warning: this machine has no route to 2001:db8::10, so its kernel would tell clients",
        "that of near is 02:00:00:00:00:09: what comes to the latter is passed as pass_other_mac; \
         set mac = \"02:00:00:00:00:09\" in [datapath]",
    ]);
    assert_eq!(counts(&told), [4, 0], "{told}");
    // It has been told: a file is taken all the same, for a backend may have to be drained now.
    assert_eq!(machine.reload(&folder, &mut stderr, SITE, "tables serve\n"), READ_AGAIN);
    let other = SITE.replacen("2001:db8::10", "fd00::9", 1);
    let told = machine.reload(&folder, &mut stderr, &other, "the old tables go on\n");
    assert!(told.starts_with("error: site.toml: fd00::9 is an address of this machine"), "{told}");
    // Nothing is mended by that.
    shell("ip link set near down");
    assert_eq!(stderr.until("near"), "warning: near: the interface is down: ip link set near up\n");
    shell("ip link set near up");
    assert_eq!(stderr.until("near"), "note: no longer so: near: the interface is down\n");
    shell(
        "ip -4 route add blackhole 192.0.2.10/32; ip -4 route add blackhole 192.0.2.20/32; \
         ip -6 route add blackhole 2001:db8::10/128; \
         ip link set near address 02:00:00:00:00:01; ip addr del 192.0.2.20/32 dev near",
    );
    let told = stderr.until_all(&[
        "note: no longer so: 192.0.2.20 is an address of this machine\n",
        "note: no longer so: this machine routes what comes in at near for 192.0.2.10\n",
        "note: no longer so: this machine has no route to 2001:db8::10\n",
        "no longer so: the configuration's mac is 02:00:00:00:00:01, that of near is 02:00:00:00:00:09\n",
    ]);
    assert_eq!(counts(&told), [0, 4], "{told}");
    machine.signal("-TERM");
    machine.ended().ended(0);
    assert_eq!(stderr.rest(), "");
}

#[test]
fn other_mac_address_is_followed_by_the_file_and_by_the_device_of_passed_frames() {
    if !is_inside("run::machine::other_mac_address_is_followed_by_the_file_and_by_the_device_of_passed_frames") {
        return;
    }
    let folder = site();
    let mut machine = Machine::running(&folder, 1, "--mode af-xdp");
    let mut stderr = machine.stderr();
    // Nobody minds that.
    machine.ip("addr add 192.0.2.10/32 dev near");
    machine.ip("link set near address 02:00:00:00:00:09");
    let told = stderr.until_all(&[
        "warning: the configuration's mac is 02:00:00:00:00:01, that of near is 02:00:00:00:00:09: ",
        "so the kernel does not take what is passed to it: ip link set maglane-near address 02:00:00:00:00:09\n",
    ]);
    assert_eq!(counts(&told), [2, 0], "{told}");
    machine.ip("link set maglane-near address 02:00:00:00:00:09");
    let new = SITE.replace("mac = \"02:00:00:00:00:01\"", "mac = \"02:00:00:00:00:09\"");
    assert_eq!(
        machine.reload(&folder, &mut stderr, &new, "read again"),
        "note: site.toml: read again; its tables serve\n"
    );
    let told =
        stderr.until_all(&["no longer so: the configuration's mac", "no longer so: the MAC address of maglane-near"]);
    assert_eq!(counts(&told), [0, 2], "{told}");
    machine.signal("-TERM");
    machine.ended().ended(0);
    assert_eq!(stderr.rest(), "");
}
