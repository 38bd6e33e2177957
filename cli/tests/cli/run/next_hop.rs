//! Next hops that the configuration does not name: asked of the machine's routes and neighbour table.

use maglane_sw::io::interface::Interface;

use super::frames::{VIP, VIP_6, segment, segment_6};
use super::network::{Machine, Wire, ip, is_inside};
use super::{Folder, SITE, host};

/// A directory with a configuration that names no next hop.
fn site() -> Folder {
    let folder = Folder::new();
    assert!(SITE.contains(NAMED));
    folder.put("site.toml", SITE.replace(NAMED, ""));
    folder
}

/// That of all backends.
const NAMED: &str = "next_hop_mac = \"02:00:00:00:00:fe\"\n";

/// The backends' network is on the wire, but for that of one family's, which is behind a router. The kernel looks for
/// neighbours from its link-local address, which it has not made itself here.
const ROUTES: &str = "ip addr add 10.1.255.254/16 dev near; ip addr add fe80::254/64 dev near nodad; \
                      ip addr add fd00::254/64 dev near nodad; \
                      ip -6 route add 2001:db8:1::/64 via fd00::1 dev near";

/// Where frames to the services of both families go.
fn next_hops(wire: &mut Wire) -> Vec<[u8; 6]> {
    let frames: Vec<Vec<u8>> =
        (0..64).flat_map(|port| [segment(VIP, port, &[], |step| step.syn()), segment_6(VIP_6, port, &[])]).collect();
    let back = wire.exchange(&frames, frames.len());
    // The kernels speak too, since they have addresses.
    let tunnelled = back.iter().filter(|frame| host::is_tunnelled(frame));
    let mut macs: Vec<[u8; 6]> = tunnelled.map(|frame| frame[..6].try_into().unwrap()).collect();
    assert_eq!(macs.len(), frames.len());
    macs.sort_unstable();
    macs.dedup();
    macs
}

#[test]
fn next_hops_are_those_of_the_neighbour_table_and_are_followed() {
    if !is_inside("run::next_hop::next_hops_are_those_of_the_neighbour_table_and_are_followed") {
        return;
    }
    let folder = site();
    let run = "exec \"$0\" run --config site.toml --interface near --json";
    let mut machine = Machine::new(&folder, &format!("{ROUTES}; {run}"));
    for address in ["10.1.0.1/16", "10.1.0.2/16", "10.1.0.3/16", "10.1.0.4/16"] {
        ip(&format!("addr add {address} dev far"));
    }
    ip("addr add fd00::1/64 dev far nodad");
    let news = machine.line();
    assert!(news.starts_with("{\"end\":false"), "{:?}", machine.ended());
    let far = Interface::find("far").unwrap().mac();
    let wire = &mut Wire::new();
    assert_eq!(next_hops(wire), [far]);

    // One of them is another machine by now.
    let mut stderr = machine.stderr();
    machine.ip("neigh replace 10.1.0.1 lladdr 02:00:00:00:00:77 nud permanent dev near");
    stderr.until("the next hop of 10.1.0.1 is 02:00:00:00:00:77 now");
    let mut both = [far, [2, 0, 0, 0, 0, 0x77]];
    both.sort_unstable();
    assert_eq!(next_hops(wire), both);
    machine.signal("-TERM");
    machine.ended().ended(0);
}

#[test]
fn backend_that_goes_with_the_default_next_hop_is_reached_by_its_neighbour() {
    if !is_inside("run::next_hop::backend_that_goes_with_the_default_next_hop_is_reached_by_its_neighbour") {
        return;
    }
    let folder = site();
    folder.put("site.toml", SITE);
    let run = "exec \"$0\" run --config site.toml --interface near --json";
    let mut machine = Machine::new(&folder, &format!("{ROUTES}; {run}"));
    for address in ["10.1.0.1/16", "10.1.0.2/16", "10.1.0.3/16", "10.1.0.4/16"] {
        ip(&format!("addr add {address} dev far"));
    }
    ip("addr add fd00::1/64 dev far nodad");
    machine.line();
    let wire = &mut Wire::new();
    assert_eq!(next_hops(wire), [[2, 0, 0, 0, 0, 0xfe]]);
    let (head, web) = SITE.split_once("[[service.backend]]\nname = \"web-1\"").unwrap();
    let (_, rest) = web.split_once("[[service.backend]]").unwrap();
    let without = [head, "[[service.backend]]", rest].concat().replace(NAMED, "");
    let mut stderr = machine.stderr();
    let told = machine.reload(&folder, &mut stderr, &without, "tables serve\n");
    assert!(told.starts_with("note: web-1 of web is no longer there: it takes no new flows, and keeps"), "{told}");
    // Its flows are among these.
    assert_eq!(next_hops(wire), [Interface::find("far").unwrap().mac()]);
    machine.signal("-TERM");
    machine.ended().ended(0);
}

#[test]
fn next_hops_that_are_not_there_are_named_and_keep_no_other_from_being_served() {
    if !is_inside("run::next_hop::next_hops_that_are_not_there_are_named_and_keep_no_other_from_being_served") {
        return;
    }
    let folder = site();
    let run = "exec \"$0\" run --config site.toml --interface near --json";
    let mut machine = Machine::new(&folder, &format!("{ROUTES}; {run}"));
    for address in ["10.1.0.1/16", "10.1.0.3/16", "10.1.0.4/16"] {
        ip(&format!("addr add {address} dev far"));
    }
    assert!(machine.line().starts_with("{\"end\":false"));
    let mut stderr = machine.stderr();
    let told = stderr.until("2001:db8:1::12 are lost for now");
    assert!(
        told.contains("the backend 10.1.0.2 are lost for now: no next_hop_mac is configured for it, and its next hop")
    );
    assert!(told.contains("fd00::1 does not answer at near") && !told.contains("10.1.0.1 "), "{told}");
    // A file that is read again may well name one that is gone, and those that are known stay so.
    machine.signal("-HUP");
    stderr.until("site.toml: read again");
    ip("addr add 10.1.0.2/16 dev far");
    ip("addr add fd00::1/64 dev far nodad");
    stderr.until_all(&[
        "the next hop of 10.1.0.2 is ",
        "the next hop of 2001:db8:1::11 is ",
        "the next hop of 2001:db8:1::12 is ",
    ]);
    assert_eq!(next_hops(&mut Wire::new()), [Interface::find("far").unwrap().mac()]);
    machine.signal("-TERM");
    machine.ended().ended(0);

    let ran = Machine::new(&folder, "timeout -s INT 4 \"$0\" run --config site.toml --interface near").ended();
    // Of an IPv4 address without a route Linux says that it is on the wire.
    for backend in ["10.1.0.2", "2001:db8:1::11"] {
        let says = format!(
            "frames to the backend {backend} are lost for now: no next_hop_mac is configured for it, and near has no route \
             to it (ip route add {backend} via ROUTER dev near)"
        );
        assert!(ran.stderr.contains(&says), "{ran:?}");
    }
}

#[test]
fn next_hops_that_may_not_be_asked_for_are_not_said_to_be_silent() {
    if !is_inside("run::next_hop::next_hops_that_may_not_be_asked_for_are_not_said_to_be_silent") {
        return;
    }
    let known = "ip neigh add 10.1.0.1 lladdr 02:00:00:00:00:77 dev near";
    let run = "timeout -s INT 4 \"$0\" run --config site.toml --interface near";
    let without = "setpriv --bounding-set=-net_admin --inh-caps=-net_admin";
    let ran = Machine::new(&site(), &format!("{ROUTES}; {known}; exec {without} {run}")).ended().ended(124);
    for next in ["10.1.0.2 is not in", "fd00::1 is not in"] {
        assert!(
            ran.stderr.contains(&format!("and its next hop {next} near's neighbour table, and this process may not"))
        );
    }
    assert!(ran.stderr.contains("(setcap cap_net_admin,cap_net_raw+ep maglane)"), "{ran:?}");
    assert!(!ran.stderr.contains("does not answer") && !ran.stderr.contains("10.1.0.1 "), "{ran:?}");
}
