//! Every kind of mistake, one at a time: what the error says, where it points, what it advises.

mod fit;
mod hostile;
mod schedulers;

use super::*;

const DATAPATH: &str = r#"[datapath]
hash_key = "000102030405060708090a0b0c0d0e0f"
mac = "02:00:00:00:00:01"
next_hop_mac = "02:00:00:00:00:fe"
tunnel_source_v4 = "10.0.0.1"
"#;

/// A service on lines 6 to 9 of a file that begins with [`DATAPATH`], its backend on 10 and 11.
const SERVICE: &str = r#"[[service]]
name = "web"
address = "192.0.2.10"
protocol = "tcp"
[[service.backend]]
address = "10.1.0.1"
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse("test.toml", text)
}

/// Message, line, column and remedy of each problem.
fn problems(text: &str) -> Vec<(String, (usize, usize), String)> {
    let error = parse(text).expect_err("this configuration is wrong");
    let view = |problem: &Problem| {
        let place = error.place(problem).unwrap_or_default();
        (problem.message().to_owned(), place, problem.remedy().unwrap_or_default().to_owned())
    };
    error.problems().iter().map(view).collect()
}

/// Checks that a file has exactly one problem.
#[track_caller]
fn assert_problem(text: &str, message: &str, place: (usize, usize), remedy: &str) {
    let found = problems(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    let (found_message, found_place, found_remedy) = &found[0];
    assert!(found_message.contains(message), "{found_message:?} does not say {message:?}");
    assert_eq!(*found_place, place, "place of {found_message:?}");
    assert!(found_remedy.contains(remedy), "{found_remedy:?} does not say {remedy:?}");
}

/// A datapath line is wrong: line 6 of the file.
#[track_caller]
fn assert_datapath_problem(line: &str, message: &str, column: usize, remedy: &str) {
    assert_problem(&format!("{DATAPATH}{line}\n{SERVICE}"), message, (6, column), remedy);
}

/// A line of the datapath is replaced.
fn datapath_with(key: &str, line: &str) -> String {
    let lines = DATAPATH.lines().map(|old| if old.starts_with(key) { line } else { old });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// A line is added to the service: line 10 of the file.
#[track_caller]
fn assert_service_problem(line: &str, message: &str, column: usize, remedy: &str) {
    let service = SERVICE.replace("[[service.backend]]", &format!("{line}\n[[service.backend]]"));
    assert_problem(&format!("{DATAPATH}{service}"), message, (10, column), remedy);
}

/// A line is added to the backend: line 12 of the file.
#[track_caller]
fn assert_backend_problem(line: &str, message: &str, column: usize, remedy: &str) {
    assert_problem(&format!("{DATAPATH}{SERVICE}{line}\n"), message, (12, column), remedy);
}

#[test]
fn smallest_configuration_has_the_defaults() {
    let config = parse(&format!("{DATAPATH}{SERVICE}")).unwrap();
    assert_eq!((config.geometry(), config.names_geometry()), (Geometry::LAB, false));
    let datapath = config.datapath();
    assert_eq!((datapath.ttl, datapath.source_entropy_bits, datapath.check_mac), (64, 0, true));
    assert_eq!((datapath.tick_ms, datapath.timeout_ticks), (15_000, [4, 60, 8]));
    let service = &config.services()[0];
    assert_eq!((service.scheduler, service.affinity), (Scheduler::Maglev, Affinity::FiveTuple));
    assert_eq!((service.port, service.table_size, service.gre_key, service.enabled), (None, 65_521, None, true));
    let backend = &service.backends[0];
    assert_eq!((backend.identity.as_str(), backend.weight, backend.state), ("10.1.0.1", 100, State::Up));
    assert_eq!((backend.load, backend.mtu, backend.next_hop_mac), (0, 1_500, None));
}

#[test]
fn identity_is_the_canonical_address() {
    let text = DATAPATH.replace("tunnel_source_v4", "tunnel_source_v6 = \"fd00::1\"\ntunnel_source_v4");
    let config = parse(&format!("{text}{}", SERVICE.replace("10.1.0.1", "2001:DB8:0:0:1::1"))).unwrap();
    assert_eq!(config.services()[0].backends[0].identity, "2001:db8::1:0:0:1");
}

#[test]
fn rendered_error_shows_both_places_and_the_remedy() {
    let text = format!("{DATAPATH}{SERVICE}{}", SERVICE.replace("\"web\"", "\"other\""));
    let expected = "\
error: two services take 192.0.2.10 tcp all ports
  --> test.toml:14:11
   |
 8 | address = \"192.0.2.10\"
   |           ------------ first here
...
14 | address = \"192.0.2.10\"
   |           ^^^^^^^^^^^^ again here
   |
   = help: merge the two services, or change the address, the port or the protocol of one";
    // Without table sizes two services need all of the lab's lookup memory, and fit.
    assert_eq!(parse(&text).unwrap_err().to_string(), expected);
}

#[test]
fn syntax_errors() {
    assert_problem("[datapath]\nttl = = 3\n", "not valid TOML", (2, 7), "");
    assert_problem("[datapath]\nttl = 3\nttl = 4\n", "`ttl` is there twice", (3, 1), "remove one");
    assert_problem("[datapath\n", "not valid TOML", (1, 10), "");
}

#[test]
fn unknown_keys() {
    assert_problem("[datapath]\nhash_kye = \"\"\n", "unknown key `hash_kye`", (2, 1), "did you mean `hash_key`?");
    assert_problem(
        "[datapath]\ncolour = 1\n",
        "unknown key `colour`",
        (2, 1),
        "the keys of this table are hash_key, mac",
    );
    assert_service_problem("afinity = \"client\"", "unknown key `afinity`", 1, "did you mean `affinity`?");
    assert_backend_problem("wieght = 3", "unknown key `wieght`", 1, "did you mean `weight`?");
    assert_problem("[datpath]\n", "unknown key `datpath`", (1, 2), "did you mean `datapath`?");
}

#[test]
fn wrong_types() {
    assert_datapath_problem("ttl = \"64\"", "wrong type: string \"64\", expected an integer", 7, "type");
    assert_datapath_problem("check_mac = 1", "wrong type: integer `1`, expected a boolean", 13, "type");
    assert_datapath_problem("geometry = 7", "expected a profile's name or a table of sizes", 12, "type");
    assert_service_problem("gre_key = [7]", "wrong type: sequence, expected an integer", 11, "type");
}

#[test]
fn missing_keys() {
    assert_problem(SERVICE, "there is no [datapath] table", (6, 21), "add [datapath]");
    assert_problem(&format!("{}{SERVICE}", datapath_with("hash_key", "")), "no hash_key", (1, 1), "openssl rand");
    assert_problem(&format!("{}{SERVICE}", datapath_with("mac", "")), "[datapath] has no mac", (1, 1), "mac = \"02:");
    for (key, line) in
        [("name", "name = \"web\"\n"), ("address", "address = \"192.0.2.10\"\n"), ("protocol", "protocol = \"tcp\"\n")]
    {
        let text = format!("{DATAPATH}{}", SERVICE.replace(line, ""));
        assert_problem(&text, &format!("the service has no {key}"), (6, 1), &format!("{key} = "));
    }
    let text = format!("{DATAPATH}{}", SERVICE.replace("address = \"10.1.0.1\"\n", ""));
    assert_problem(&text, "the backend has no address", (10, 1), "address = ");
}

#[test]
fn missing_tunnel_sources_name_a_backend() {
    let text = format!("{}{SERVICE}", datapath_with("tunnel_source_v4", ""));
    assert_problem(&text, "no tunnel_source_v4, and a backend is IPv4", (1, 1), "tunnel_source_v4 = ");
    assert!(parse(&text).unwrap_err().to_string().contains("this backend is IPv4"));
    let text = format!("{DATAPATH}{}", SERVICE.replace("10.1.0.1", "fd00:1::1"));
    assert_problem(&text, "no tunnel_source_v6, and a backend is IPv6", (1, 1), "tunnel_source_v6 = ");
}

#[test]
fn hash_keys() {
    for key in [
        "",
        "00",
        "g00102030405060708090a0b0c0d0e0f",
        "+00102030405060708090a0b0c0d0e0f",
        "é0102030405060708090a0b0c0d0e0f",
    ] {
        let text = format!("{}{SERVICE}", datapath_with("hash_key", &format!("hash_key = \"{key}\"")));
        assert_problem(&text, "hash_key is not 32 hexadecimal digits", (2, 12), "openssl rand");
    }
}

#[test]
fn macs() {
    for (mac, message) in [
        ("02:00:00:00:00", "not a MAC address"),
        ("02:00:00:00:00:01:02", "not a MAC address"),
        ("02-00-00-00-00-01", "not a MAC address"),
        ("02:00:00:00:00:+1", "not a MAC address"),
        ("00:00:00:00:00:00", "belongs to nobody"),
        ("ff:ff:ff:ff:ff:ff", "group MAC address"),
        ("01:00:5e:00:00:01", "group MAC address"),
    ] {
        let text = format!("{}{SERVICE}", datapath_with("mac", &format!("mac = \"{mac}\"")));
        assert_problem(&text, message, (3, 7), "");
        assert_backend_problem(&format!("next_hop_mac = \"{mac}\""), message, 16, "");
    }
}

#[test]
fn addresses() {
    for (address, message, remedy) in [
        ("192.0.2.300", "not an IP address", "without prefix length"),
        ("192.0.2.0/24", "not an IP address", "without prefix length"),
        ("0.0.0.0", "the unspecified address", "one host"),
        ("::", "the unspecified address", "one host"),
        ("224.0.0.1", "a multicast address", "one host"),
        ("ff02::1", "a multicast address", "one host"),
        ("255.255.255.255", "the broadcast address", "one host"),
        ("::ffff:192.0.2.1", "an IPv4-mapped IPv6 address", "write the IPv4 address 192.0.2.1"),
    ] {
        assert_problem(&format!("{DATAPATH}{}", SERVICE.replace("192.0.2.10", address)), message, (8, 11), remedy);
        assert_problem(&format!("{DATAPATH}{}", SERVICE.replace("10.1.0.1", address)), message, (11, 11), remedy);
    }
    assert_datapath_problem("tunnel_source_v6 = \"10.0.0.1\"", "not an IPv6 address", 20, "fd00::1");
}

#[test]
fn numbers_of_the_datapath() {
    for (line, message, column, remedy) in [
        ("ttl = 0", "ttl is 0", 7, "from 1 to 255"),
        ("ttl = 256", "ttl is 256", 7, "from 1 to 255"),
        ("mtu = 575", "mtu is 575", 7, "from 576 to 9216"),
        ("mtu = 9217", "mtu is 9217", 7, "from 576 to 9216"),
        ("source_entropy_bits = 17", "source_entropy_bits is 17", 23, "from 0 to 16"),
        ("tick_ms = 0", "tick_ms is 0", 11, "from 1"),
        ("timeout_new = 0", "timeout_new is 0", 15, "from 1 to 62"),
        ("timeout_established = 63", "timeout_established is 63", 23, "from 1 to 62"),
        ("timeout_closing = -1", "timeout_closing is -1", 19, "from 1 to 62"),
    ] {
        assert_datapath_problem(line, message, column, remedy);
    }
}

#[test]
fn numbers_of_services_and_backends() {
    for (line, message, column, remedy) in [
        ("port = 0", "port is 0", 8, "remove the key to take all ports"),
        ("port = 65536", "port is 65536", 8, "from 1 to 65535"),
        ("gre_key = 4294967296", "gre_key is 4294967296", 11, "from 0 to 4294967295"),
        ("table_size = 0", "table_size is 0", 14, "a prime from 2 to 65521"),
        ("table_size = 65522", "table_size is 65522", 14, "a prime from 2 to 65521"),
        ("table_size = 1000", "table_size is 1000, which is not prime", 14, "997 and 1009"),
        ("table_size = 1", "which is not prime", 14, "the nearest prime is 2"),
    ] {
        assert_service_problem(line, message, column, remedy);
    }
    for (line, message, column, remedy) in [
        ("weight = 65536", "weight is 65536", 10, "from 0 to 65535"),
        ("weight = -1", "weight is -1", 10, "from 0 to 65535"),
        ("load = 256", "load is 256", 8, "from 0 to 255"),
        ("mtu = 100", "mtu is 100", 7, "from 576 to 9216"),
    ] {
        assert_backend_problem(line, message, column, remedy);
    }
}

#[test]
fn words() {
    let text = format!("{DATAPATH}{}", SERVICE.replace("\"tcp\"", "\"tpc\""));
    assert_problem(&text, "unknown protocol \"tpc\"", (9, 12), "did you mean \"tcp\"? Use one of tcp, udp");
    assert_service_problem("scheduler = \"maglve\"", "unknown scheduler \"maglve\"", 13, "did you mean \"maglev\"?");
    assert_service_problem(
        "affinity = \"source\"",
        "unknown affinity",
        12,
        "use one of five-tuple, client-protocol, client",
    );
    assert_backend_problem("state = \"drain\"", "unknown state \"drain\"", 9, "up, draining, down");
    assert_datapath_problem("geometry = \"sumo\"", "unknown geometry", 12, "did you mean \"sume\"?");
}

#[test]
fn source_hash_has_affinity_client() {
    let lines = "affinity = \"five-tuple\"\nscheduler = \"source-hash\"";
    assert_service_problem(lines, "source-hash has affinity client, not five-tuple", 12, "remove the affinity");
    for lines in ["scheduler = \"source-hash\"", "scheduler = \"source-hash\"\naffinity = \"client\""] {
        let service = SERVICE.replace("[[service.backend]]", &format!("{lines}\n[[service.backend]]"));
        let config = parse(&format!("{DATAPATH}{service}")).unwrap();
        assert_eq!(config.services()[0].affinity, Affinity::Client);
    }
}

#[test]
fn names_and_identities_are_unique() {
    let other = SERVICE.replace("192.0.2.10", "192.0.2.11");
    assert_problem(&format!("{DATAPATH}{SERVICE}{other}"), "name \"web\" is there twice", (13, 8), "a name of its own");
    let again = "[[service.backend]]\naddress = \"10.1.0.1\"\n";
    let remedy = "give them different names";
    assert_problem(&format!("{DATAPATH}{SERVICE}{again}"), "\"10.1.0.1\" is there twice", (13, 11), remedy);
    let named = "[[service.backend]]\naddress = \"10.1.0.2\"\nname = \"10.1.0.1\"\n";
    assert_problem(&format!("{DATAPATH}{SERVICE}{named}"), "\"10.1.0.1\" is there twice", (14, 8), remedy);
    for name in ["", "a\\nb", &"x".repeat(256)] {
        let text = format!("{DATAPATH}{}", SERVICE.replace("\"web\"", &format!("\"{name}\"")));
        assert_problem(&text, "the name", (7, 8), "");
    }
}

#[test]
fn services_differ_by_address_port_or_protocol() {
    let service = |name: &str, rest: &str| {
        format!("[[service]]\nname = \"{name}\"\naddress = \"192.0.2.1\"\ntable_size = 7\n{rest}")
    };
    let distinct = [
        service("a", "protocol = \"tcp\"\n"),
        service("b", "protocol = \"udp\"\n"),
        service("c", "protocol = \"tcp\"\nport = 1\n"),
    ];
    assert_eq!(parse(&format!("{DATAPATH}{}", distinct.concat())).unwrap().services().len(), 3);
    let twice = service("d", "protocol = \"tcp\"\nport = 1\n");
    let text = format!("{DATAPATH}{}{twice}", distinct.concat());
    assert_problem(&text, "two services take 192.0.2.1 tcp port 1", (24, 11), "merge the two");
}

#[test]
fn custom_geometries() {
    let custom = |bus: u32, services: u32| {
        format!(
            "{DATAPATH}[geometry]\nbus_bytes = {bus}\nservices = {services}\nbackends = 16\n\
             lookup_entries = 262144\nflow_sets = 16\n{SERVICE}"
        )
    };
    let config = parse(&custom(64, 8)).unwrap();
    let geometry = config.geometry();
    assert!(config.names_geometry());
    assert_eq!(geometry, Geometry { bus_bytes: 64, services: 8, backends: 16, lookup_entries: 1 << 18, flow_sets: 16 });
    assert_problem(&custom(48, 8), "bus_bytes is 48", (7, 13), "power of two from 32 to 64");
    assert_problem(&custom(32, 12), "services is 12", (8, 12), "power of two from 4 to 1024");
    assert_problem(&custom(32, 2_048), "services is 2048", (8, 12), "power of two from 4 to 1024");
    let missing = custom(32, 8).replace("flow_sets = 16\n", "");
    assert_problem(&missing, "the geometry has no flow_sets", (6, 1), "power of two from 16");
    let inside = format!("{DATAPATH}geometry = {{ bus_bytes = 16 }}\n");
    assert_eq!(problems(&inside).last().unwrap().0, "bus_bytes is 16");
    let both = custom(32, 8).replace("[geometry]", "geometry = \"lab\"\n[geometry]");
    assert_problem(&both, "geometry is there twice", (7, 1), "keep either");
}

#[test]
fn missing_next_hop_is_an_error_of_the_image() {
    let config = parse(&format!("{}{SERVICE}", datapath_with("next_hop_mac", ""))).unwrap();
    let error = config.image().unwrap_err();
    assert_eq!(error.place(&error.problems()[0]), Some((10, 1)));
    assert!(error.to_string().contains("the backend \"10.1.0.1\" has no next hop"), "{error}");
}

#[test]
fn several_problems_come_in_file_order() {
    let bad = SERVICE.replace("\"tcp\"", "\"tpc\"").replace("10.1.0.1", "10.1.0.256");
    let text = format!("{}ttl = 0\n{bad}", datapath_with("mac", "mac = \"\""));
    let places: Vec<_> = problems(&text).into_iter().map(|(_, place, _)| place).collect();
    assert_eq!(places, [(3, 7), (6, 7), (10, 12), (12, 11)]);
}

#[test]
fn many_problems_are_cut_off() {
    let backends: String = (0..50).map(|n| format!("[[service.backend]]\nname = \"{n}\"\naddress = \"\"\n")).collect();
    let error = parse(&format!("{DATAPATH}{SERVICE}{backends}")).unwrap_err();
    assert_eq!(error.problems().len(), PROBLEMS_MAX);
    assert!(error.to_string().ends_with("note: 30 more problems are not shown"), "{error}");
}

#[test]
fn columns_count_characters() {
    let text =
        format!("{DATAPATH}[[service]]\nbackend = [{{ name = \"äöü\", weight = -1, address = \"10.0.0.1\" }}]\n");
    assert!(problems(&text).contains(&(
        "weight is -1".to_owned(),
        (7, 37),
        "give a number from 0 to 65535".to_owned()
    )));
}

#[test]
fn huge_files_are_refused_unread() {
    let error = parse(&" ".repeat(CONFIG_LEN_MAX + 1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "error: the file has 16777217 bytes\n--> test.toml\n = help: a configuration has at most 16777216 bytes"
    );
}

#[test]
fn geometry_reads_back_as_it_is_shown() {
    let own = Geometry { bus_bytes: 64, services: 8, backends: 32, lookup_entries: 512, flow_sets: 128 };
    for geometry in Geometry::PROFILES.map(|(_, geometry)| geometry).into_iter().chain([own]) {
        let config = parse(&format!("{DATAPATH}geometry = {geometry}\n")).unwrap();
        assert_eq!(config.geometry(), geometry, "{geometry}");
    }
}
