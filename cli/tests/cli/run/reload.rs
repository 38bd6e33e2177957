//! Goal: on SIGHUP the tables change, and no flow goes anywhere else because of that: flows know their backend by an id.
//!
//! Method: flows that are open while the file changes in all ways that move a backend's place in it.

use std::collections::BTreeSet;
use std::ops::Range;

use super::frames::{VIP, VIP_6, segment, segment_6};
use super::network::{Machine, Wire, is_inside};
use super::{SITE, backends, host, site};

#[test]
fn hangup_reads_the_configuration_again_and_moves_new_flows_only() {
    if !is_inside("run::reload::hangup_reads_the_configuration_again_and_moves_new_flows_only") {
        return;
    }
    let folder = site();
    let mut machine = Machine::running(&folder, 1, "");
    let mut stderr = machine.stderr();
    let mut hang_up = |config: &str, says: &str| machine.reload(&folder, &mut stderr, config, says);
    let (old, new) = (10_000..10_200, 20_000..20_200);
    let wire = &mut Wire::new();
    let before = backends(wire, old.clone(), true);
    let (first, second) = ([10, 1, 0, 1], [10, 1, 0, 2]);
    for backend in [first, second] {
        assert!(before.values().filter(|&&own| own == backend).count() > 50, "{before:?}");
    }
    hang_up(&SITE.replacen("state = \"up\"", "state = \"draining\"", 1), "site.toml: read again");
    assert_eq!(backends(wire, old.clone(), false), before, "a flow has moved");
    let after = backends(wire, new.clone(), true);
    assert!(after.values().all(|&backend| backend == second), "{after:?}");

    // Files that cannot serve change nothing: no configuration, other sizes.
    let told = hang_up("[datapath]\nmac = 7\n", "the old tables go on");
    assert!(told.starts_with("error: ") && told.contains("site.toml:2:7"), "{told}");
    let told = hang_up(&SITE.replace("\"lab\"", "\"sume\""), "the old tables go on");
    assert!(told.contains("built for geometry = \"sume\", and engine `software-fast` has \"lab\": "), "{told}");
    assert_eq!(backends(wire, old.clone(), false), before);
    assert_eq!(backends(wire, new.clone(), false), after);

    // Down is down for all.
    hang_up(&SITE.replacen("state = \"up\"", "state = \"down\"", 1), "site.toml: read again");
    assert!(backends(wire, old, false).values().all(|&backend| backend == second));
    machine.signal("-INT");
    assert!(machine.ended().ended(0).stdout.lines().last().unwrap().starts_with("{\"end\":true"));
}

/// Where the flows of ports go, to both services of the web: outer destinations.
fn destinations(wire: &mut Wire, ports: Range<u16>) -> Vec<Vec<u8>> {
    let frames: Vec<Vec<u8>> =
        ports.flat_map(|port| [segment(VIP, port, &[], |step| step.ack(1)), segment_6(VIP_6, port, &[])]).collect();
    let back = wire.exchange(&frames, frames.len());
    assert_eq!(back.len(), frames.len());
    back.iter().map(|frame| host::tunnelled(frame).unwrap().0.to_vec()).collect()
}

/// A backend of IPv4, as a file has it.
fn backend(name: &str, host: u8) -> String {
    format!("[[service.backend]]\nname = \"{name}\"\naddress = \"10.1.0.{host}\"\n")
}

#[test]
fn backends_and_services_come_and_go_anywhere_in_the_file_and_flows_stay() {
    if !is_inside("run::reload::backends_and_services_come_and_go_anywhere_in_the_file_and_flows_stay") {
        return;
    }
    let folder = site();
    let mut machine = Machine::running(&folder, 1, "");
    let mut stderr = machine.stderr();
    let mut reload = |config: &str| machine.reload(&folder, &mut stderr, config, "site.toml: read again");
    let wire = &mut Wire::new();
    // Each port's flows are opened once, and looked at again after each change.
    let mut open: Vec<(Range<u16>, Vec<Vec<u8>>)> = Vec::new();
    let mut check = |first: u16, expected: &[u8]| {
        for (ports, before) in &open {
            assert_eq!(destinations(wire, ports.clone()), *before, "flows of {ports:?} have moved");
        }
        let ports = first..first + 100;
        let destinations = destinations(wire, ports.clone());
        let seen: BTreeSet<u8> = destinations.iter().filter(|address| address.len() == 4).map(|own| own[3]).collect();
        assert_eq!(seen, expected.iter().copied().collect(), "{first}");
        open.push((ports, destinations));
    };
    check(10_000, &[1, 2, 3]);

    // One more, in the first of three services and as its first.
    let (head, web) = SITE.split_once("[[service.backend]]\nname = \"web-1\"").unwrap();
    let (_, rest) = web.split_once("[[service.backend]]").unwrap();
    let one = &backend("web-1", 1);
    assert_eq!(reload(&[head, &backend("web-0", 5), one, "[[service.backend]]", rest].concat()), READ_AGAIN);
    check(20_000, &[5, 1, 2, 3]);

    // Another goes, takes its flows along, and comes back behind one that is new.
    let told = reload(&[head, &backend("web-0", 5), "[[service.backend]]", rest].concat());
    assert!(told.starts_with("note: web-1 of web is no longer there: it takes no new flows, and keeps"), "{told}");
    check(30_000, &[5, 2, 3]);
    let back = [head, &backend("web-9", 9), &backend("web-0", 5), one, "[[service.backend]]", rest].concat();
    assert_eq!(reload(&back), READ_AGAIN);
    check(40_000, &[9, 5, 1, 2, 3]);

    // Services change places; one is there no longer, and again.
    let (start, services) = back.split_once("[[service]]").unwrap();
    let services: Vec<&str> = services.split("[[service]]").collect();
    let with =
        |order: &[usize]| order.iter().fold(start.to_owned(), |text, &at| text + "[[service]]" + services[at] + "\n");
    reload(&with(&[2, 1, 0]));
    check(50_000, &[9, 5, 1, 2, 3]);
    let told = reload(&with(&[2, 0]));
    let note = "note: web-6 is no longer there: no frames to it are forwarded, those of flows that it has included\n";
    assert_eq!(told, [note, READ_AGAIN].concat());
    let of_flows: Vec<Vec<u8>> = (10_000..10_010).map(|port| segment_6(VIP_6, port, &[])).collect();
    assert_eq!(Wire::new().exchange(&of_flows, 0).len(), 0);
    reload(&with(&[0, 2, 1]));
    check(51_000, &[9, 5, 1, 2, 3]);

    // A name that leads elsewhere is another backend.
    reload(&back.replace("10.1.0.1\"", "10.1.0.77\""));
    check(52_000, &[9, 5, 77, 2, 3]);
    machine.signal("-TERM");
    machine.ended().ended(0);
}

/// What is said when there is nothing else to say.
pub(super) const READ_AGAIN: &str = "note: site.toml: read again; its tables serve\n";

#[test]
fn ids_that_run_out_leave_the_old_tables() {
    if !is_inside("run::reload::ids_that_run_out_leave_the_old_tables") {
        return;
    }
    let folder = site();
    let small = "[geometry]\nservices = 4\nbackends = 16\nlookup_entries = 2048\nflow_sets = 1024\nbus_bytes = 32\n";
    let config = |hosts: Range<u8>| {
        let more: String = hosts.map(|host| backend(&format!("more-{host}"), host)).collect();
        format!("{small}{}\n{more}", SITE.replace("geometry = \"lab\"\n", ""))
    };
    folder.put("site.toml", config(50..58));
    let mut machine = Machine::running(&folder, 1, "");
    let mut stderr = machine.stderr();
    let wire = &mut Wire::new();
    let before = destinations(wire, 10_000..10_100);
    // Eight of 16 ids are kept for those that go, six are in use, and eight more come.
    let told = machine.reload(&folder, &mut stderr, &config(60..68), "the old tables go on");
    assert!(told.starts_with("error: no id is left for the backend \"more-62\"\n"), "{told}");
    assert!(told.contains("8 of the ids are kept for flows of backends that are gone"), "{told}");
    assert_eq!(destinations(wire, 10_000..10_100), before);
    machine.reload(&folder, &mut stderr, &config(60..62), "read again");
    assert_eq!(destinations(wire, 10_000..10_100), before);
    machine.signal("-TERM");
    machine.ended().ended(0);
}

#[test]
fn service_whose_backends_take_no_flows_is_named_at_the_start_and_after_a_reload() {
    if !is_inside("run::reload::service_whose_backends_take_no_flows_is_named_at_the_start_and_after_a_reload") {
        return;
    }
    let folder = site();
    let down = SITE.replace("state = \"up\"", "state = \"down\"");
    folder.put("site.toml", &down);
    let mut machine = Machine::running(&folder, 1, "");
    let mut stderr = machine.stderr();
    let note = "has no backend that is up and has a weight: frames of new flows to it are dropped (drop_no_backend)\n";
    assert_eq!(stderr.until("\n"), format!("note: web {note}"));
    let frames = [segment(VIP, 1, &[], |step| step.syn())];
    assert_eq!(Wire::new().exchange(&frames, 0).len(), 0);
    let mut reload = |config: &str| machine.reload(&folder, &mut stderr, config, "site.toml: read again");
    // One that drains beside one without a weight; and a service that is to take none.
    let draining =
        SITE.replacen("state = \"up\"", "state = \"draining\"", 1).replacen("\"up\"", "\"up\"\nweight = 0", 1);
    assert_eq!(reload(&draining), format!("note: web {note}{READ_AGAIN}"));
    assert_eq!(reload(&down.replacen("port = 80\n", "port = 80\nenabled = false\n", 1)), READ_AGAIN);
    assert_eq!(reload(SITE), READ_AGAIN);
    assert_eq!(Wire::new().exchange(&frames, 1).len(), 1);
    machine.signal("-TERM");
    machine.ended().ended(0);
}

#[test]
fn file_that_is_no_configuration_is_refused_and_it_is_said_that_the_old_tables_go_on() {
    if !is_inside("run::reload::file_that_is_no_configuration_is_refused_and_it_is_said_that_the_old_tables_go_on") {
        return;
    }
    for json in ["", " --json"] {
        let folder = site();
        let mut machine = Machine::new(&folder, &format!("exec \"$0\" run --config site.toml --interface near{json}"));
        assert!(!machine.line().is_empty());
        let mut stderr = machine.stderr();
        let told = machine.reload(&folder, &mut stderr, &SITE.replacen("port = 80", "port = = 80", 1), "go on\n");
        assert!(told.starts_with("error: not valid TOML") && told.contains("--> site.toml:16:8\n"), "{told}");
        assert!(told.ends_with("\nnote: site.toml: not taken; the old tables go on\n"), "{told}");
        std::fs::remove_file(folder.path("site.toml")).unwrap();
        machine.signal("-HUP");
        let told = stderr.until("go on\n");
        assert!(told.starts_with("error: site.toml: cannot open: No such file") && told.lines().count() == 2, "{told}");
        assert_eq!(backends(&mut Wire::new(), 10_000..10_010, true).len(), 10);
        machine.signal("-TERM");
        machine.ended().ended(0);
    }
}
