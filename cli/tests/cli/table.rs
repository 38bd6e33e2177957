//! Goal: `maglane table` builds images, shows shares, and tells what moves.

use maglane_table::TableFile;

use super::{bad_configs, example, web};

#[test]
fn image_is_built_and_shows_the_same_as_its_configuration() {
    let folder = web();
    folder.run(&["table", "build", "--config", "web.toml", "--out", "web.tables"]).ended(0).says("6 services");
    let bytes = std::fs::read(folder.path("web.tables")).unwrap();
    assert_eq!(TableFile::from_bytes(&bytes).unwrap().names.services.len(), 6);
    let of_config = folder.run(&["table", "show", "--config", "web.toml"]).ended(0);
    let of_image = folder.run(&["table", "show", "--image", "web.tables"]).ended(0);
    assert_eq!(of_config.stdout, of_image.stdout);
    of_image.says("web: 192.0.2.10 tcp, port 80, M = 4,093").says("all ports").says("disabled");
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
