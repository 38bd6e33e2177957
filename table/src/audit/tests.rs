//! One contradiction at a time in tables that were sound: each is found, and named with its place.

use maglane_spec::endian::U32Be;

use super::*;
use crate::{Config, TableFile};

/// Service 0 with backends 0 to 2, the last one down; service 1 with backend 3, IPv6. Slices of 32 and 8 entries at
/// 0 and 32 of 128.
fn file() -> TableFile {
    let text = r#"
[geometry]
bus_bytes = 32
services = 4
backends = 16
lookup_entries = 256
flow_sets = 16
[datapath]
hash_key = "000102030405060708090a0b0c0d0e0f"
mac = "02:00:00:00:00:01"
next_hop_mac = "02:00:00:00:00:fe"
tunnel_source_v4 = "10.0.0.1"
tunnel_source_v6 = "fd00::1"
[[service]]
name = "web"
address = "192.0.2.10"
port = 80
protocol = "tcp"
table_size = 31
backend = [
    { address = "10.1.0.1" },
    { address = "10.1.0.2", weight = 50 },
    { address = "10.1.0.9", state = "down" },
]
[[service]]
name = "dns"
address = "192.0.2.53"
protocol = "udp"
table_size = 7
backend = [{ address = "fd00:1::3" }]
"#;
    Config::parse("audit.toml", text).unwrap_or_else(|error| panic!("{error}")).table_file().unwrap()
}

fn row_of(image: &mut TableImage, id: u16) -> &mut ServiceRow {
    let rows = image.services.iter_mut();
    rows.into_iter().find(|row| row.flags & ServiceRow::FLAG_VALID != 0 && row.id.value() == id).unwrap()
}

/// What reading says about tables in which something was changed. The checksum is right.
fn error_of(change: impl FnOnce(&mut TableFile)) -> String {
    let mut file = file();
    change(&mut file);
    TableFile::from_bytes(&file.to_bytes()).map(|_| ()).unwrap_err().to_string()
}

#[track_caller]
fn assert_flaw(change: impl FnOnce(&mut TableFile), what: &str) {
    let error = error_of(change);
    assert!(error.contains(what), "{error:?} does not say {what:?}");
}

#[test]
fn sound_tables_pass() {
    assert_eq!(TableFile::from_bytes(&file().to_bytes()).unwrap(), file());
}

#[test]
fn slots_point_at_the_services_own_backends_that_are_up() {
    // 48 bytes of header, 96 of the datapath row, 8 service rows.
    let own = "byte 404: lookup entry 2 points at backend 3 of service 1, but is in the slice of service 0";
    assert_flaw(|file| file.image.lookup[2] = 3.into(), own);
    assert_flaw(|file| file.image.lookup[32] = 0.into(), "backend 0 of service 0");
    assert_flaw(|file| file.image.lookup[30] = 2.into(), "points at backend 2, which does not take new flows");
    let drain = |file: &mut TableFile| {
        file.image.backends[3].state = BackendRow::STATE_DRAINING;
        file.names.services[1].backends[0].weight = 0;
    };
    assert_flaw(drain, "lookup entry 32 points at backend 3, which does not take new flows");
    assert_flaw(|file| file.image.lookup[100] = 4.into(), "lookup entry 100 points at backend 4, which does not exist");
    // Beside the slices, and nobody at all.
    let mut file = file();
    (file.image.lookup[31], file.image.lookup[5]) = (2.into(), NO_BACKEND.into());
    assert!(TableFile::from_bytes(&file.to_bytes()).is_ok());
}

#[test]
fn slices_do_not_overlap_and_stay_inside() {
    let base = |id, base| {
        move |file: &mut TableFile| {
            // Nobody anywhere, so that only the places of the slices are wrong.
            file.image.lookup.fill(NO_BACKEND.into());
            row_of(&mut file.image, id).lookup_base = ServiceRow::lookup_base_bytes(base);
        }
    };
    let overlap = "its lookup slice begins within that of another service";
    for (id, at) in [(0, 32), (0, 38), (0, 2), (1, 0), (1, 2), (1, 30)] {
        assert_flaw(base(id, at), overlap);
    }
    for (id, at) in [(0, 40), (0, 96), (1, 64)] {
        let mut file = file();
        base(id, at)(&mut file);
        assert!(TableFile::from_bytes(&file.to_bytes()).is_ok(), "service {id} at {at}");
    }
    let size = |size: u16| {
        move |file: &mut TableFile| {
            file.image.lookup.fill(NO_BACKEND.into());
            row_of(&mut file.image, 1).table_size = size.into();
        }
    };
    // 32 + 96 = 128.
    let mut file = file();
    size(96)(&mut file);
    assert!(TableFile::from_bytes(&file.to_bytes()).is_ok());
    assert_flaw(size(97), "a lookup slice past the memory");
}

#[test]
fn keys_are_there_once() {
    // With no multipliers every row 0 is right: the same key in both sub-tables.
    let twice = |file: &mut TableFile| {
        file.image.datapath.service_seed = [[0.into(); 10]; 2];
        let row = *row_of(&mut file.image, 0);
        file.image.services.fill(ServiceRow::default());
        (file.image.services[0], file.image.services[4]) = (row, ServiceRow { id: 1.into(), ..row });
    };
    assert_flaw(twice, "service row 4: the address, protocol and port of another row");
}

#[test]
fn addresses_are_of_hosts_and_stations() {
    assert_flaw(|file| file.image.datapath.mac[0] = 3, "byte 48: the datapath row: the MAC address");
    assert_flaw(|file| file.image.datapath.mac = [0; 6], "the datapath row: the MAC address");
    assert_flaw(|file| file.image.datapath.tunnel_source_v4[0] = 224, "the IPv4 tunnel source");
    assert_flaw(|file| file.image.datapath.tunnel_source_v6[0] = 0xff, "the IPv6 tunnel source");
    assert_flaw(|file| file.image.datapath.tunnel_source_v4 = [0; 4], "backend row 0: IPv4, but there is no");
    assert_flaw(|file| file.image.datapath.tunnel_source_v6 = [0; 16], "backend row 3: IPv6, but there is no");
    assert_flaw(|file| file.image.backends[1].next_hop_mac[0] |= 1, "backend row 1: the next hop");
    assert_flaw(|file| file.image.backends[1].address[0] = 239, "backend row 1: the address is not that of a host");
    assert_flaw(|file| row_of(&mut file.image, 0).address = [0; 16], "the address is not that of a host");
}

#[test]
fn rows_belong_together() {
    assert_flaw(|file| file.image.backends[3].service = 2.into(), "backend row 3: of a service that does not exist");
    assert_flaw(|file| row_of(&mut file.image, 0).gre_key = U32Be::new(1), "a GRE key that no flag announces");
}

#[test]
fn every_backend_has_a_name_and_its_due_weight() {
    let unnamed = |file: &mut TableFile| file.names.services[0].backends.truncate(1);
    assert_flaw(unnamed, "backend 1 has no name");
    let weigh =
        |backend: usize, weight| move |file: &mut TableFile| file.names.services[0].backends[backend].weight = weight;
    assert_flaw(weigh(2, 1), "\"10.1.0.9\" has a weight, but backend 2 is not up");
    assert_flaw(weigh(0, 0), "\"10.1.0.1\" has slots, but no weight");
}
