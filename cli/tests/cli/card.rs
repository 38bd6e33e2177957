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

#[cfg(feature = "lab")]
#[test]
fn live_frames_that_cannot_be_had_are_refused_with_what_to_do() {
    let folder = Folder::new();
    let serve = ["card", "serve", "--socket", "card"];
    for (words, says) in [
        (&["--tap", "sixteen-letters-"][..], "has 1 to 15 bytes"),
        (&["--tap", "wire", "--host-tap", "wire"], "give --host-tap another name"),
        (&["--tap", "wire", "--in", "in.pcap"], "cannot be used with"),
        (&["--host-tap", "host"], "--tap"),
        (&["--out", "out.pcap"], "required"),
    ] {
        folder.refused(&[&serve, words].concat(), says);
    }
    let Some(network) = Network::new() else { return };
    let wire = [&serve[..], &["--tap", "wire"]].concat();
    // Root without the right to change the network, and a machine without the driver.
    let without_driver = ["--mount", "sh", "-c", "mount -t tmpfs none /dev/net && exec \"$0\" \"$@\""];
    for (wrapper, words, says) in [
        (&["setpriv", "--bounding-set=-net_admin"][..], &wire, "ip tuntap add dev wire mode tap user $USER"),
        (&without_driver, &wire, "modprobe tun"),
        (&[], &[&serve[..], &["--tap", "lo"]].concat(), "it is no tap device of one queue"),
    ] {
        let ran = network.run(&folder, wrapper, words);
        assert!(ran.code == 2 && ran.stderr.contains(says), "{says:?}: {ran:?}");
        assert_eq!((&*ran.stdout, folder.files()), ("", vec![]), "{words:?}");
    }
}

/// In bypass, where it needs no tables: all frames are passed, and there is no host's side that would take them.
#[cfg(feature = "lab")]
#[test]
fn a_card_with_live_frames_has_its_device_alone_and_tells_at_its_end_what_has_passed() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};

    let Some(network) = Network::new() else { return };
    let folder = Folder::new();
    let words = ["card", "serve", "--socket", "card", "--tap", "wire", "--out", "out.pcap"];
    let mut serve = network.command(&folder, &[], &words).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(serve.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("wire is the wire") {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "it has ended");
    }
    let inside = |words: &[&str]| {
        let network = format!("--net=/proc/{}/ns/net", serve.id());
        Command::new("nsenter").arg(network).args(words).current_dir(folder.path(".")).output().unwrap()
    };
    let second = inside(&[env!("CARGO_BIN_EXE_maglane"), "card", "serve", "--socket", "second", "--tap", "wire"]);
    let told = String::from_utf8(second.stderr).unwrap();
    assert!(second.status.code() == Some(2) && told.contains("another process has this device"), "{told}");
    // The kernel looks for routers and for others with its address.
    assert!(inside(&["ip", "link", "set", "wire", "up"]).status.success());
    let counted = || folder.run(&["card", "counters", "--device", "vfio-user:card", "--json"]).ended(0).json();
    while counted()["verdicts"][0]["packets"].as_u64().unwrap_or(0) < 2 {
        assert!(serve.try_wait().unwrap().is_none(), "it has ended");
    }
    // As a service manager ends it.
    let ended = Command::new("kill").args(["-TERM", &serve.id().to_string()]).status().unwrap();
    assert!(ended.success() && serve.wait().unwrap().success());
    let mut told = String::new();
    output.read_to_string(&mut told).unwrap();
    assert!(
        told.contains(" in: 0 forwarded, ") && told.contains(" 0 dropped; 0 frames from the host; 0 that"),
        "{told}"
    );
    assert!(!folder.path("card").exists(), "the socket is left");
    assert_eq!(std::fs::read(folder.path("out.pcap")).unwrap().len(), 24, "nothing was forwarded");
}

/// A network of its own for a program, which is gone with it.
#[cfg(feature = "lab")]
struct Network;

#[cfg(feature = "lab")]
impl Network {
    fn new() -> Option<Self> {
        let unshared = std::process::Command::new("unshare").args(["--net", "--mount", "true"]).status();
        let has_driver = std::path::Path::new("/dev/net/tun").exists();
        if has_driver && unshared.is_ok_and(|status| status.success()) {
            return Some(Self);
        }
        let what = "TAP devices: no root, no network namespaces or no /dev/net/tun";
        assert!(std::env::var_os("MAGLANE_NO_SKIP").is_none(), "nothing may be skipped here: {what}");
        println!("skipped: {what}");
        None
    }

    fn command(&self, folder: &Folder, wrapper: &[&str], words: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new("unshare");
        command.arg("--net").args(wrapper).arg(env!("CARGO_BIN_EXE_maglane")).args(words);
        command.current_dir(folder.path("."));
        command
    }

    fn run(&self, folder: &Folder, wrapper: &[&str], words: &[&str]) -> crate::Ran {
        let output = self.command(folder, wrapper, words).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        crate::Ran { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}
