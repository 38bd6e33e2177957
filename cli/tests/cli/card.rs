//! `maglane card`, on a simulated card and when there is none.

use crate::Folder;
#[cfg(feature = "lab")]
use crate::web;

#[cfg(feature = "lab")]
#[test]
fn tables_are_loaded_and_the_card_is_tested() {
    let folder = web();
    let loaded = ["card", "load", "--device", "sim:lab", "--config", "web.toml", "--serve", "--json"];
    let loaded = folder.run(&loaded).ended(0).json();
    assert_eq!((loaded["generation"].as_u64(), loaded["mode"].as_str()), (Some(1), Some("serve")), "{loaded}");
    // Both sides of service, lookup and backend memories, and the settings once.
    assert_eq!(loaded["words_written"], 2 * (1_024 + 65_536 + 2_048) + 24);

    let tested = folder.run(&["card", "selftest", "--device", "sim:lab", "--json"]).ended(0).json();
    assert_eq!((tested["sound"].as_bool(), tested["frames"].as_u64()), (Some(true), Some(1_843)), "{tested}");
}

#[cfg(feature = "lab")]
#[test]
fn a_card_without_tables_says_what_it_is_and_does_not_serve() {
    let folder = Folder::new();
    let info = folder.run(&["card", "info", "--device", "sim:lab"]).ended(0);
    info.says("lookup entries  262,144").says("bypass");
    folder.refused(&["card", "bypass", "--device", "sim:lab", "off"], "`maglane card load` comes first");
}

/// In one terminal a card, in the other what loads it; the frames that it forwards are software's.
#[cfg(feature = "lab")]
#[test]
fn a_served_card_is_loaded_from_another_process_and_forwards() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    let folder = web();
    folder.put("in.pcap", crate::capture("tcp.pcap"));
    let mut serve = folder
        .command(&["card", "serve", "--socket", "card", "--in", "in.pcap", "--out", "card.pcap"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(serve.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains("--device vfio-user:card"), "{first}");
    folder.run(&["card", "load", "--device", "vfio-user:card", "--config", "web.toml", "--serve"]).ended(0);
    let played = lines.next().unwrap().unwrap();
    assert!(played.ends_with("frames forwarded"), "{played}");
    let counted = folder.run(&["card", "counters", "--device", "vfio-user:card", "--json"]).ended(0).json();
    let forwarded = counted["verdicts"].as_array().unwrap().iter().find(|counted| counted["name"] == "forward");
    folder.run(&["replay", "--config", "web.toml", "--in", "in.pcap", "--out", "software.pcap"]).ended(0);
    assert!(played.contains(&format!(": {} of ", forwarded.unwrap()["packets"])), "{played} {counted}");
    assert_eq!(std::fs::read(folder.path("card.pcap")).unwrap(), std::fs::read(folder.path("software.pcap")).unwrap());
    // A card in bypass counts no time, and lets itself be tested; what serves does not.
    folder.refused(
        &["card", "selftest", "--device", "vfio-user:card"],
        "`maglane card bypass --device vfio-user:card on` first",
    );
    folder.run(&["card", "bypass", "--device", "vfio-user:card", "on"]).ended(0).says("bypass, generation 1");
    folder.run(&["card", "info", "--device", "vfio-user:card"]).ended(0).says("the card does not count time");
    // Ctrl-C.
    let ended = std::process::Command::new("kill").args(["-INT", &serve.id().to_string()]).status().unwrap();
    assert!(ended.success() && serve.wait().unwrap().success());
    assert!(!folder.path("card").exists(), "the socket is left");
}

#[test]
fn devices_that_are_not_there_are_named() {
    let folder = Folder::new();
    for (device, says) in [
        ("vfio:0000:ff:1f.7", "0000:ff:1f.7"),
        ("sysfs:0000:ff:1f.7", "0000:ff:1f.7"),
        ("vfio:ff:1f", "is no PCI address"),
        ("usb:1", "a device is vfio:0000:03:00.0"),
        #[cfg(feature = "lab")]
        ("sim:labs", "no profile is called `labs`"),
    ] {
        folder.refused(&["card", "info", "--device", device], says);
    }
}
