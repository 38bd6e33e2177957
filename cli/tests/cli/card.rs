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
