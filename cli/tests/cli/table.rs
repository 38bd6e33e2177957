//! Goal: `maglane table` builds images, shows shares, and tells what moves and which fields change.

use maglane_spec::Geometry;
use maglane_table::TableFile;
use serde_json::{Value, json};

use super::{bad_configs, example, project, web};

#[test]
fn image_is_built_and_shows_what_it_holds_of_its_configuration() {
    let folder = web();
    folder.run(&["table", "build", "--config", "web.toml", "--out", "web.tables"]).ended(0).says("6 services");
    let bytes = std::fs::read(folder.path("web.tables")).unwrap();
    assert_eq!(TableFile::from_bytes(&bytes).unwrap().names.services.len(), 6);
    let of_config = folder.run(&["table", "show", "--config", "web.toml"]).ended(0);
    let of_image = folder.run(&["table", "show", "--image", "web.tables"]).ended(0);
    let of_config = of_config.says("web: 192.0.2.10 tcp, port 80, M = 4,093, scheduler maglev").says("all ports");
    let of_config = of_config.says("scheduler source-hash").says("disabled");
    // The weight of the one backend that is not up, and the schedulers, are all that an image does not say.
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    let told = words(&of_config.stdout).replace("draining 100 ", "draining unknown ");
    let told = told.replace("scheduler maglev", "selection hash").replace("scheduler source-hash", "selection hash");
    assert_eq!(told, words(&of_image.stdout));
}

#[test]
fn states_and_weights_are_those_of_the_configuration() {
    let folder = web();
    let down = example("web.toml").replacen("weight = 50\n", "weight = 50\nstate = \"down\"\n", 1);
    folder.put("web.toml", down);
    let words = ["table", "show", "--config", "web.toml", "--service", "web"];
    let shown = folder.run(&words).ended(0);
    let row = |name: &str| {
        let line = shown.stdout.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        line.split_whitespace().skip(1).take(3).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("backend"), ["state", "weight", "slots"]);
    assert_eq!(row("web-1")[..2], ["up", "100"]);
    assert_eq!(row("web-3"), ["down", "50", "0"]);
    assert_eq!(row("web-4"), ["draining", "100", "0"]);
    let told = |source: &[&str]| {
        let ran = folder.run(&[&["table", "show", "--json", "--service", "web"], source].concat()).ended(0);
        let service = ran.json()["services"][0].clone();
        (service["scheduler"].clone(), service["selection"].clone(), service["backends"][2].clone())
    };
    let (scheduler, selection, backend) = told(&["--config", "web.toml"]);
    assert_eq!((scheduler, selection), (json!("maglev"), json!("hash")));
    let fields = |backend: &Value| ["state", "weight_configured", "weight"].map(|key| backend[key].clone());
    assert_eq!(fields(&backend), [json!("down"), json!(50), json!(0)]);
    folder.run(&["table", "build", "--config", "web.toml", "--out", "image"]).ended(0);
    let (scheduler, selection, backend) = told(&["--image", "image"]);
    assert_eq!((scheduler, selection), (Value::Null, json!("hash")));
    assert_eq!(fields(&backend), [json!("down"), Value::Null, json!(0)]);
}

#[test]
fn build_tells_a_script_what_it_wrote() {
    let folder = web();
    let words = ["table", "build", "--config", "web.toml", "--out", "web.tables", "--json"];
    let report = folder.run(&words).ended(0).json();
    assert_eq!((&report["out"], &report["services"]), (&"web.tables".into(), &6.into()));
    assert_eq!(report["bytes"], std::fs::metadata(folder.path("web.tables")).unwrap().len());
}

#[test]
fn one_service_is_shown_by_its_name() {
    let folder = web();
    let words = ["table", "show", "--config", "web.toml", "--service", "game"];
    let shown = folder.run(&words).ended(0).says("game: 192.0.2.20 udp, all ports");
    assert!(!shown.stdout.contains("web-tls"));
    let report = folder.run(&[&words[..], &["--json"]].concat()).ended(0).json();
    assert_eq!(report["services"].as_array().unwrap().len(), 1);
    assert_eq!(report["services"][0]["backends"][0]["name"], "game-1");
    folder.refused(&["table", "show", "--config", "web.toml", "--service", "gaem"], "`gaem`; there are web, web-tls");
}

#[test]
fn slots_of_nobody_are_shown() {
    let folder = web();
    folder.put("web.toml", example("web.toml").replace("name = \"staging-1\"", "name = \"staging-1\"\nweight = 0"));
    let words = ["table", "show", "--config", "web.toml", "--service", "web-staging"];
    folder.run(&words).ended(0).says("(nobody: new flows are dropped)");
}

#[test]
fn difference_is_told_between_image_and_configuration() {
    let folder = web();
    folder.run(&["table", "build", "--config", "web.toml", "--out", "old"]).ended(0);
    folder
        .run(&["table", "diff", "old", "web.toml"])
        .ended(0)
        .says("no slot moves: web, web-tls")
        .says("0 lookup entries");
    folder.put("new.toml", example("web.toml").replace("name = \"web-3\"\n", "name = \"web-3\"\nstate = \"down\"\n"));
    folder
        .run(&["table", "diff", "old", "new.toml"])
        .ended(0)
        .says("web: 838 of 4,093 slots move")
        .says("web-3  web-1");
    let report = folder.run(&["table", "diff", "old", "new.toml", "--json"]).ended(0).json();
    assert_eq!(report["services"][0]["slots_moved"], 838);
}

#[test]
fn difference_names_every_field_that_changes_when_no_slot_moves() {
    let folder = web();
    let new = example("web.toml")
        .replace("mtu = 1400", "mtu = 1300")
        .replace("check_mac = true", "check_mac = false")
        .replace("000102030405060708090a0b0c0d0e0f", "f00102030405060708090a0b0c0d0e0f")
        .replacen("port = 80\n", "port = 81\n", 1)
        .replacen("state = \"draining\"", "state = \"down\"", 1);
    folder.put("new.toml", new);
    let ran = folder.run(&["table", "diff", "web.toml", "new.toml"]).ended(0);
    let lines: Vec<String> =
        ran.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        "of field old new",
        "datapath hash_key (secret) (secret)",
        "datapath check_mac true false",
        "service web port 80 81",
        "backend web-4 of web state draining down",
        "backend game-2 of game mtu 1400 1300",
        "the key of the flow hash differs: every flow meets another slot, moved or not",
        "no slot moves: web, web-tls, dns-udp, dns-tcp, game, web-staging",
    ];
    assert_eq!(lines[..expected.len()], expected);
    assert!(!ran.stdout.contains("f001"), "a secret is shown:\n{}", ran.stdout);

    let report = folder.run(&["table", "diff", "web.toml", "new.toml", "--json"]).ended(0).json();
    let change = |field: &str, old: Value, new: Value| json!({ "field": field, "old": old, "new": new });
    assert_eq!(report["datapath"][1], change("check_mac", true.into(), false.into()));
    let web = &report["services"][0];
    assert_eq!(web["fields"], json!([change("port", 80.into(), 81.into())]));
    let state = change("state", "draining".into(), "down".into());
    assert_eq!(web["backends"], json!([{ "name": "web-4", "fields": [state] }]));
    assert_eq!(report["services"][4]["backends"][0]["fields"], json!([change("mtu", 1_400.into(), 1_300.into())]));
}

#[test]
fn difference_names_backends_and_geometry() {
    let folder = web();
    let new = example("web.toml").replace("geometry = \"lab\"", "geometry = \"sume\"").replacen(
        "name = \"web-2\"",
        "name = \"web-9\"",
        1,
    );
    folder.put("new.toml", new);
    let ran = folder.run(&["table", "diff", "web.toml", "new.toml"]).ended(0);
    let ran = ran.says("web: backends added: web-9\n").says("web: backends removed: web-2\n");
    ran.says("the sizes of the tables differ").says("  geometry  flow_sets       1024    32768\n");
}

#[test]
fn configuration_that_is_too_large_says_what_would_do() {
    let folder = web();
    folder.put("web.toml", example("web.toml").replace("geometry = \"lab\"", "geometry = \"ecp5\""));
    let ran = folder.refused(
        &["table", "show", "--config", "web.toml"],
        "the lookup tables do not fit: they need 12516 entries, and geometry \"ecp5\" has 8192",
    );
    assert!(ran.stderr.contains("\"lab\" or \"sume\" or \"alveo\" has room for all"), "{}", ran.stderr);
    assert!(ran.stderr.contains("a service takes twice its table_size"), "{}", ran.stderr);
}

/// Rows of the first table of a page that has these words in its head, cell by cell.
fn rows(page: &str, head: [&str; 6]) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').replace(',', "")).collect()
    };
    let mut lines = page.lines().skip_while(|line| cells(line) != head);
    assert!(lines.next().is_some(), "there is no table with the head {head:?}");
    lines.skip(1).take_while(|line| line.starts_with('|')).map(cells).collect()
}

#[test]
fn documented_sizes_are_those_of_the_profiles() {
    let page = std::fs::read_to_string(project("docs/tables.md")).unwrap();
    let head = ["geometry", "services", "backends", "lookup entries", "flow sets", "bus in bytes"];
    let documented = rows(&page, head);
    let profiles = Geometry::PROFILES.map(|(name, geometry)| {
        let Geometry { bus_bytes, services, backends, lookup_entries, flow_sets } = geometry;
        let sizes = [services, backends, lookup_entries, flow_sets, bus_bytes].map(|size| size.to_string());
        [vec![name.to_owned()], sizes.into()].concat()
    });
    let [services, backends, lookup_entries, flow_sets] = Geometry::BOUNDS;
    let bound = |(_, least, most): (&str, u32, u32)| format!("{least} to {most}");
    let bounds = [services, backends, lookup_entries, flow_sets].map(bound);
    let own = [vec!["of your own".to_owned()], bounds.into(), vec!["32 or 64".to_owned()]].concat();
    assert_eq!(documented, [&profiles[..], &[own]].concat());
}

#[test]
fn next_hops_that_the_neighbour_table_has_are_wanted_by_what_is_built_for_a_card_only() {
    let folder = web();
    let named = "next_hop_mac = \"02:00:00:00:00:fe\"\n";
    folder.put("server.toml", example("web.toml").replace(named, ""));
    folder.run(&["table", "show", "--config", "server.toml"]).ended(0).says("web: 192.0.2.10 tcp, port 80, M = 4,093");
    let diff = ["table", "diff", "web.toml", "server.toml"];
    let ran = folder.run(&diff).ended(0).says("next_hop_mac  02:00:00:00:00:fe  from the neighbour table\n");
    assert!(!ran.stdout.contains("of game-2"), "it has its own: {}", ran.stdout);
    let report = folder.run(&[&diff[..], &["--json"]].concat()).ended(0).json();
    let change = json!({ "field": "next_hop_mac", "old": "02:00:00:00:00:fe", "new": null });
    assert_eq!(report["services"][0]["backends"][0], json!({ "name": "web-1", "fields": [change] }));
    let build = ["table", "build", "--config", "server.toml", "--out", "out"];
    let ran = folder.refused(&build, "the backend \"web-1\" has no next hop");
    assert!(ran.stderr.contains("only `maglane run` asks its machine's neighbour table"), "{}", ran.stderr);
}

#[test]
fn bad_configurations_are_refused() {
    for (name, bytes, place) in bad_configs() {
        let folder = web();
        folder.put(name, bytes);
        folder.refused(&["table", "build", "--config", name, "--out", "out"], place);
        folder.refused(&["table", "show", "--config", name], place);
    }
}

#[test]
fn bad_images_are_refused() {
    let folder = web();
    folder.run(&["table", "build", "--config", "web.toml", "--out", "good"]).ended(0);
    let mut bytes = std::fs::read(folder.path("good")).unwrap();
    folder.put("cut", &bytes[..1_000]).put("empty", "").put("binary", [0xff; 64]);
    bytes[5_000] ^= 1;
    folder.put("damaged", &bytes);
    folder.refused(&["table", "show", "--image", "none"], "none: cannot open");
    folder.refused(&["table", "show", "--image", "empty"], "empty: the file is empty");
    folder.refused(&["table", "show", "--image", "cut"], "cut: byte 1000");
    folder.refused(&["table", "show", "--image", "damaged"], "damaged: byte 16: the checksum does not match");
    folder.refused(&["table", "show", "--image", "web.toml"], "web.toml: byte 0: this is not a table file");
    folder.refused(&["table", "show", "--config", "good"], "good: a table image");
    folder.refused(&["table", "diff", "good", "binary"], "binary: neither a configuration");
    folder.refused(&["table", "diff", "damaged", "good"], "damaged: byte 16");
    folder.refused(&["table", "diff", "good", "empty"], "empty: the file is empty");
}

#[test]
fn outputs_that_cannot_be_or_would_overwrite_are_refused() {
    let folder = web();
    let out = |out| ["table", "build", "--config", "web.toml", "--out", out];
    folder.refused(&out("none/out"), "there is no directory none");
    folder.refused(&out("web.toml"), "would overwrite an input");
    folder.refused(&out("."), "not a regular file");
}
