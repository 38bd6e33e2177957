//! Configurations that are too large for their geometry: what is needed, what there is, and which geometry would do.

use super::*;

/// Services without a table size of their own: each takes 2 * 65,522 entries.
fn large(count: usize) -> String {
    let services = (1..=count).map(|n| {
        SERVICE.replace("\"web\"", &format!("\"{n}\"")).replace("192.0.2.10", &format!("192.0.{}.{}", n / 256, n % 256))
    });
    services.collect()
}

#[test]
fn lookup_tables_that_do_not_fit_say_why_they_take_twice_their_size() {
    let text = format!("{DATAPATH}{}", large(3));
    let message = "the lookup tables do not fit: they need 393132 entries, and geometry \"lab\" has 262144";
    assert_problem(&text, message, (18, 1), "a service takes twice its table_size");
    assert_problem(&text, message, (18, 1), "the lookup memory has two sides");
    // 2^18 / 3 services / 2 slices = 43,690 entries.
    assert_problem(&text, message, (18, 1), "make table_size of some services smaller; 43669 would fit for every");
    assert_problem(&text, message, (18, 1), "choose another geometry: \"sume\" or \"alveo\" has room for all");
    let help = problems(&text)[0].2.clone();
    // What is advised is so.
    for advised in ["sume", "alveo"] {
        parse(&format!("{DATAPATH}geometry = \"{advised}\"\n{}", large(3))).unwrap();
    }
    assert!(!help.contains("lab") && !help.contains("ecp5"), "{help}");
}

#[test]
fn need_beyond_every_named_geometry_gives_the_sizes_of_one_that_would_do() {
    // 9 * 131,044 entries, more than alveo's 2^20.
    let text = format!("{DATAPATH}geometry = \"alveo\"\n{}", large(9));
    let message = "need 1179396 entries, and geometry \"alveo\" has 1048576";
    let remedy = "no named one has room for all, a [geometry] of its own needs services = 16, backends = 16, \
                  lookup_entries = 2097152";
    assert_problem(&text, message, (55, 1), remedy);
    let custom = "bus_bytes = 32\nservices = 16\nbackends = 16\nlookup_entries = 2097152\nflow_sets = 16\n";
    parse(&format!("[geometry]\n{custom}{DATAPATH}{}", large(9))).unwrap();
    let small = custom.replace("2097152", "1048576");
    let message = "need 1179396 entries, and the geometry has 1048576";
    assert_problem(&format!("[geometry]\n{small}{DATAPATH}{}", large(9)), message, (60, 1), remedy);
    // 33 * 131,044 entries, more than 2^22.
    let message = "need 4324452 entries, and geometry \"lab\" has 262144";
    assert_problem(&format!("{DATAPATH}{}", large(33)), message, (18, 1), "choose another geometry: none has room");
}

#[test]
fn services_and_backends_that_do_not_fit_say_who_has_room() {
    let ecp5 = format!("{DATAPATH}geometry = \"ecp5\"\n");
    let many: String = (1..=17)
        .map(|n| {
            format!("[[service]]\nname = \"{n}\"\naddress = \"192.0.2.{n}\"\nprotocol = \"tcp\"\ntable_size = 7\n")
        })
        .collect();
    let message = "17 services do not fit: geometry \"ecp5\" has room for 16";
    let remedy = "remove services; or choose another geometry: \"lab\" or \"sume\" or \"alveo\" has room for all";
    assert_problem(&format!("{ecp5}{many}"), message, (87, 1), remedy);
    let backends: String = (1..=65).map(|n| format!("[[service.backend]]\naddress = \"10.0.0.{n}\"\n")).collect();
    let service = "[[service]]\nname = \"a\"\naddress = \"192.0.2.1\"\nprotocol = \"tcp\"\ntable_size = 7\n";
    let message = "65 backends do not fit: geometry \"ecp5\" has room for 64";
    let remedy = "remove backends; or choose another geometry: \"lab\" or \"sume\" or \"alveo\" has room for all";
    assert_problem(&format!("{ecp5}{service}{backends}"), message, (140, 1), remedy);
}
