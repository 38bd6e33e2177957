//! Goal: the page of `maglane verify --report` tells what `--json` tells, shows a difference, and is safe to open
//! whatever the names in it are.
//!
//! Method: the pages that the program writes, read with a browser's parser.

use std::collections::BTreeMap;

use scraper::{ElementRef, Html, Selector};
use serde_json::Value;

use super::verify::{two, verilator_is_missing};
use super::{Folder, capture, example, web};

const PAGE: &str = "run.html";

/// A page, found to be well-formed and to need nothing but itself.
#[track_caller]
fn page(folder: &Folder) -> Html {
    let text = std::fs::read_to_string(folder.path(PAGE)).unwrap();
    let page = Html::parse_document(&text);
    assert_eq!(page.errors, Vec::<String>::new());
    assert!(!text.contains("url(") && !text.contains("@import") && !text.contains("http://"), "loads something");
    let outside = "script, link, img, iframe, object, embed, base, form, [src], [href], [style], [onload], [onerror]";
    assert_eq!(all(page.root_element(), outside).len(), 0, "loads or runs something");
    // What the page says to those who do not see it.
    assert_eq!(all(page.root_element(), "h1").len(), 1);
    assert!(all(page.root_element(), "table").iter().all(|table| !all(*table, "caption").is_empty()));
    for drawing in all(page.root_element(), "svg:not([aria-hidden])") {
        let words = drawing.attr("aria-label").unwrap_or("");
        assert!(drawing.attr("role") == Some("img") && !words.is_empty() && texts(drawing, "title") == [words]);
    }
    page
}

fn all<'a>(element: ElementRef<'a>, selector: &str) -> Vec<ElementRef<'a>> {
    let selector = Selector::parse(selector).unwrap();
    element.select(&selector).collect()
}

/// The text of each element, with single blanks.
fn texts(element: ElementRef<'_>, selector: &str) -> Vec<String> {
    all(element, selector).into_iter().map(text).collect()
}

fn text(element: ElementRef<'_>) -> String {
    element.text().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn number(text: &str) -> u64 {
    text.replace(',', "").parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Packets and bytes by name, of the table under a heading.
fn histogram(page: &Html, heading: &str) -> BTreeMap<String, (u64, u64)> {
    let rows = all(page.root_element(), &format!("section[aria-labelledby='{heading}'] tbody tr"));
    let row = |row: ElementRef<'_>| {
        let figures: Vec<u64> = texts(row, "b").iter().map(|text| number(text)).collect();
        (texts(row, "code")[0].clone(), (figures[0], figures[1]))
    };
    rows.into_iter().map(row).collect()
}

#[test]
fn numbers_on_the_page_are_those_for_a_script() {
    let folder = Folder::new();
    let words = ["--frames", "1-400", "--seed", "3", "--json", "--report", PAGE];
    let report = folder.run(&two(&words)).ended(0).json();
    let (page, run) = (page(&folder), &report["runs"][0]);
    let root = page.root_element();
    assert_eq!(texts(root, "h1"), ["The engines agree"]);
    assert!(texts(root, ".lead")[0].starts_with("software and rtl agree on 400 frames, bus of 32 bytes."));

    for (heading, key) in [("verdicts-32", "verdicts"), ("flows-32", "flows")] {
        let counts = run[key].as_object().unwrap();
        let told: BTreeMap<String, (u64, u64)> = counts
            .iter()
            .map(|(name, both)| (name.clone(), (count(&both["packets"]), count(&both["bytes"]))))
            .collect();
        assert!(told.len() > 1, "{key}: {told:?}");
        assert_eq!(histogram(&page, heading), told);
    }

    let engines = all(root, ".engines tbody tr");
    assert_eq!(engines.len(), 2);
    for (row, engine) in engines.into_iter().zip(run["engines"].as_array().unwrap()) {
        assert!(texts(row, "th[scope=row]")[0].starts_with(engine["name"].as_str().unwrap()));
        let cells = texts(row, "td");
        assert_eq!(number(&cells[0]), count(&run["frames"]));
        assert_eq!(cells[1], format!("{:.3}", engine["seconds"].as_f64().unwrap()));
        match engine["clocks"].as_u64() {
            Some(clocks) => assert_eq!(number(&cells[3]), clocks),
            None => assert_eq!(cells[3], "–"),
        }
    }

    let services = all(root, "details.service");
    assert_eq!(services.len(), run["services"].as_array().unwrap().len());
    for told in run["services"].as_array().unwrap() {
        let name = told["name"].as_str().unwrap();
        let service = services.iter().find(|service| texts(**service, "summary strong") == [name]).unwrap();
        let rows = all(*service, "tbody tr");
        assert_eq!(rows.len(), told["backends"].as_array().unwrap().len(), "{name}");
        for (row, backend) in rows.into_iter().zip(told["backends"].as_array().unwrap()) {
            assert!(texts(row, "th")[0].starts_with(backend["name"].as_str().unwrap()));
            let keys = ["slots", "flows_new", "flows_live", "packets", "bytes"];
            let cells = texts(row, "td.number");
            let figure = |cell: &String| number(cell.split(' ').next().unwrap());
            assert_eq!(cells.iter().map(figure).collect::<Vec<_>>(), keys.map(|key| count(&backend[key])), "{name}");
        }
    }
    assert!(texts(root, "details.service[open] summary strong").contains(&"web".to_owned()));

    let table = &run["flow_table"];
    let states = ["new", "established", "closing"].map(|key| count(&table[key]));
    assert!(states.iter().sum::<u64>() > 0);
    let told: Vec<u64> = texts(root, "section[aria-labelledby='table-32'] tbody b").iter().map(|b| number(b)).collect();
    assert_eq!(told, states);
    let sets: Vec<u64> = texts(root, "svg.columns text:not(.label)").iter().map(|text| number(text)).collect();
    assert_eq!(sets, table["sets_by_ways"].as_array().unwrap().iter().map(count).collect::<Vec<_>>());
    assert_eq!(sets.len(), 9);
}

#[test]
fn parts_of_the_numbers_make_up_the_whole() {
    let folder = Folder::new();
    let run = folder.run(&two(&["--frames", "1-400", "--json", "--report", PAGE])).ended(0).json()["runs"][0].clone();
    let services = run["services"].as_array().unwrap();
    let backends: Vec<&Value> = services.iter().flat_map(|service| service["backends"].as_array().unwrap()).collect();
    let sum = |all: &[&Value], key: &str| all.iter().map(|one| count(&one[key])).sum::<u64>();
    let services: Vec<&Value> = services.iter().collect();
    let forward = &run["verdicts"]["forward"];
    for key in ["packets", "bytes"] {
        assert_eq!((sum(&services, key), sum(&backends, key)), (count(&forward[key]), count(&forward[key])));
    }
    assert_eq!(sum(&backends, "flows_new"), count(&run["flows"]["inserted"]["packets"]));
    let table = &run["flow_table"];
    let live = ["new", "established", "closing"].map(|key| count(&table[key])).iter().sum::<u64>();
    assert_eq!(sum(&backends, "flows_live"), live);
    let ways = table["sets_by_ways"].as_array().unwrap().iter().zip(0..);
    assert_eq!(ways.map(|(sets, ways)| ways * count(sets)).sum::<u64>(), live);
    assert_eq!((&run["frames_agreed"], &run["frames"]), (&400.into(), &400.into()));
}

#[test]
fn page_has_every_engine_and_bus() {
    if verilator_is_missing("a page of all engines") {
        return;
    }
    let folder = Folder::new();
    folder.run(&["verify", "--frames", "1-20", "--bus", "both", "--report", PAGE]).ended(0).says("run.html: report");
    let page = page(&folder);
    let rows = texts(page.root_element(), ".engines tbody th[scope=row]");
    let engines = ["software reference", "software-fast", "rtl", "verilog"];
    assert_eq!(rows, [engines, engines].concat());
    assert_eq!(texts(page.root_element(), ".engines th[scope=rowgroup]"), ["32 bytes", "64 bytes"]);
    // Both buses have the same traffic, so it is told once.
    assert_eq!(texts(page.root_element(), "h2").iter().filter(|title| *title == "Verdicts").count(), 1);
    assert_eq!(folder.files(), [PAGE]);
}

#[test]
fn page_tells_what_went_in_and_what_was_skipped() {
    let folder = web();
    folder.put("vlan.pcap", capture("vlan.pcap"));
    let words = ["verify", "--config", "web.toml", "--capture", "vlan.pcap", "web.pcap", "--frames", "3-12", "--bus"];
    let more = ["32", "--seed", "77", "--plant", "rtl:classify", "--report", PAGE];
    let output = folder.command(&[&words[..], &more[..]].concat()).env("PATH", "").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let page = page(&folder);
    let root = page.root_element();
    assert!(texts(root, ".skipped")[0].contains("verilog was skipped: Verilator is not installed"));
    assert!(texts(root, ".planted")[0].contains("stage classify of rtl. These frames do not show it."));
    let inputs = texts(root, "section[aria-labelledby=inputs] dl > div");
    assert_eq!(
        inputs[..5],
        [
            "configurationweb.toml",
            "capturesvlan.pcapweb.pcap",
            "frames10, those from 3 to 12",
            "pauses and backpressureseed 77",
            "fault plantedstage classify of rtl",
        ]
    );
    assert!(texts(root, "footer")[0].contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn difference_is_on_the_page_with_its_frame_stage_and_bytes() {
    let folder = Folder::new();
    let words = ["--frames", "10-20", "--plant", "rtl:rewrite", "--json", "--report", PAGE];
    let report = folder.run(&two(&words)).ended(1).json();
    let (page, run) = (page(&folder), &report["runs"][0]);
    let root = page.root_element();
    assert_eq!(texts(root, "h1"), ["The engines differ"]);
    let lead = &texts(root, ".lead")[0];
    assert!(lead.starts_with("Frame 18, stage rewrite, bus of 32 bytes: software and rtl differ in byte "), "{lead}");
    assert!(lead.ends_with("The 8 frames before it agree."), "{lead}");
    assert_eq!(texts(root, ".stages .culprit span"), ["rewrite"]);
    assert_eq!(texts(root, ".command"), [run["replay"].as_str().unwrap()]);
    for side in ["expected", "found"] {
        let value = run["difference"][side]["value"].as_str().unwrap();
        assert!(texts(root, "code.value").contains(&value.to_owned()), "{value}");
    }
    assert_eq!(texts(root, ".outcomes thead th"), ["software", "rtl"]);
    let differing: Vec<String> = all(root, ".outcomes tr")
        .into_iter()
        .filter(|row| !all(*row, ".differs").is_empty())
        .map(|row| texts(row, "th")[0].clone())
        .collect();
    assert_eq!(differing, ["bytes that leave rewrite"]);

    // Of the two frames that leave, exactly those bytes are marked that differ.
    let dump = |class: &str| -> Vec<(String, bool)> {
        let mut bytes = Vec::new();
        for cell in all(root, &format!(".hexdump tr.{class} td.bytes")) {
            for node in cell.descendants().filter(|node| node.value().is_text()) {
                let marked = node.parent().is_some_and(|parent| parent.value().as_element().unwrap().name() == "mark");
                let text = node.value().as_text().unwrap();
                bytes.extend(text.split_whitespace().map(|byte| (byte.to_owned(), marked)));
            }
        }
        bytes
    };
    let (expected, found) = (dump("expected"), dump("found"));
    assert_eq!((expected.len(), found.len()), (16, 16), "both faulty bytes are in the line at 0x10");
    for ((a, a_marked), (b, b_marked)) in expected.iter().zip(&found) {
        assert_eq!((*a_marked, *b_marked), (a != b, a != b), "{a} {b}");
    }
    assert!(expected.iter().any(|(_, marked)| *marked));

    // What agrees before is told, what nobody agrees on is not.
    let packets: u64 = histogram(&page, "verdicts-32").values().map(|(packets, _)| packets).sum();
    assert_eq!((packets, count(&run["frames_agreed"])), (8, 8));
    assert!(all(root, "section[aria-labelledby='table-32']").is_empty() && run["flow_table"].is_null());
}

#[test]
fn page_shows_which_of_four_engines_is_alone() {
    if verilator_is_missing("a page of four engines that differ") {
        return;
    }
    let folder = Folder::new();
    let words =
        ["verify", "--frames", "110-120", "--plant", "verilog:select", "--waveform", "wave.vcd", "--report", PAGE];
    folder.run(&words).ended(1).says("report    run.html");
    let page = page(&folder);
    let root = page.root_element();
    assert_eq!(texts(root, ".stages .culprit span"), ["select"]);
    assert!(texts(root, ".lead")[0].starts_with("Frame 119, stage select"));
    assert_eq!(texts(root, ".outcomes thead th"), ["software", "software-fast", "rtl", "verilog"]);
    let verdicts = &all(root, ".outcomes tbody tr")[0];
    assert_eq!(texts(*verdicts, "td"), ["forward", "forward", "forward", "drop_no_backend differs"]);
    assert!(texts(root, ".difference > p").contains(&"Waveform of the frames up to it: wave.vcd".to_owned()));
    assert!(texts(root, ".skipped")[0].contains("The bus of 64 bytes did not run"));
}

#[test]
fn names_from_outside_are_text() {
    let (service, backend, file) =
        ("</summary><img src=x onerror=alert(1)>", "<script>alert('&amp;')</script>", "<b>&.pcap");
    let folder = Folder::new();
    let config = example("web.toml")
        .replacen("name = \"web\"\n", &format!("name = \"{service}\"\n"), 1)
        .replacen("name = \"web-1\"", &format!("name = \"{backend}\""), 1)
        .replacen("name = \"web-2\"", "name = \"\\\" onload='alert(1)' x=\\\"\"", 1);
    folder.put("\"><script>.toml", config).put(file, capture("web.pcap"));
    let words = ["--config", "\"><script>.toml", "--capture", file, "--frames", "1-30", "--plant", "rtl:rewrite"];
    folder.run(&two(&[&words[..], &["--report", PAGE]].concat())).ended(1);
    let page = page(&folder);
    let root = page.root_element();
    assert!(texts(root, "summary strong").contains(&service.to_owned()));
    assert!(texts(root, ".backends th").contains(&backend.to_owned()));
    assert!(texts(root, ".backends th").contains(&"\" onload='alert(1)' x=\"".to_owned()));
    assert!(texts(root, "section[aria-labelledby=inputs] dd").contains(&file.to_owned()));
    assert!(texts(root, "title")[0].contains(file));
    assert!(texts(root, ".command")[0].contains(file));
}

#[test]
fn equal_runs_make_equal_pages_but_for_the_timing() {
    let folder = Folder::new();
    let page = |name: &str| {
        folder.run(&two(&["--frames", "1-40", "--seed", "5", "--report", name])).ended(0);
        let text = std::fs::read_to_string(folder.path(name)).unwrap();
        let mut parts = text.split("timing\">");
        let first = parts.next().unwrap().to_owned();
        let (parts, cells): (Vec<_>, Vec<_>) =
            parts.map(|part| part.split_at(part.find('<').unwrap())).map(|(a, b)| (b, a)).unzip();
        (first + &parts.concat(), cells.len())
    };
    let (a, b) = (page("a.html"), page("b.html"));
    assert_eq!(a.1, 4, "seconds and frames a second of two engines");
    assert_eq!(a, b);
}

#[test]
fn capture_without_packets_makes_a_page() {
    let folder = Folder::new();
    folder.put("none.pcap", &capture("web.pcap")[..24]);
    folder.run(&two(&["--capture", "none.pcap", "--report", PAGE])).ended(0);
    let page = page(&folder);
    assert!(texts(page.root_element(), ".lead")[0].contains("agree on 0 frames"));
    let text = text(page.root_element());
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
}

#[test]
fn page_is_whole_or_not_at_all() {
    let folder = web();
    folder.put("cut.pcap", &capture("web.pcap")[..20_000]).put(PAGE, "before");
    folder.refused(&two(&["--capture", "cut.pcap", "--report", PAGE]), "packet 51");
    assert_eq!(std::fs::read(folder.path(PAGE)).unwrap(), b"before");
    // Found before anything runs: else the text of the run would be on standard output.
    #[cfg(target_os = "linux")]
    folder.refused(&two(&["--report", "/proc/run.html"]), "cannot write /proc/run.html");
}

#[cfg(unix)]
#[test]
fn engine_that_does_not_start_leaves_the_page_as_it_was() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new();
    folder.put(PAGE, "before").put("verilator", "#!/bin/sh\ntest \"$1\" = --version && echo Verilator 5.0\n");
    std::fs::set_permissions(folder.path("verilator"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = folder.path("");
    let mut command = folder.command(&["verify", "--engines", "software,verilog", "--report", PAGE]);
    let output = command.env("PATH", &path).env("MAGLANE_CACHE", path.join("cache")).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("engine `verilog` does not start"), "{text}");
    assert_eq!(std::fs::read(folder.path(PAGE)).unwrap(), b"before");
    assert_eq!(folder.files(), ["cache", PAGE, "verilator"]);
}
