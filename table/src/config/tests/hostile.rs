//! Files that nobody would write by hand: odd bytes, huge values, slips of a generator. Errors stay short, plain and at
//! the right place.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

/// What a terminal obeys must not get there.
#[track_caller]
fn assert_plain(rendered: &str) {
    assert!(!rendered.chars().any(|char| char.is_control() && char != '\n'), "{rendered:?}");
}

#[test]
fn a_byte_order_mark_takes_no_column() {
    assert!(parse(&format!("\u{feff}{DATAPATH}{SERVICE}")).is_ok());
    assert_problem(&format!("\u{feff}ttl = 1\n{DATAPATH}"), "unknown key `ttl`", (1, 1), "");
}

#[test]
fn the_end_of_the_file_is_where_its_text_ends() {
    for (text, place) in [("", (1, 1)), (" \n", (1, 1)), ("# a\n\n\n", (1, 4)), ("# ä", (1, 4)), ("# a\r\n", (1, 4))] {
        assert_problem(text, "there is no [datapath] table", place, "add [datapath]");
        let rendered = parse(text).unwrap_err().to_string();
        assert!(rendered.contains(&format!("--> test.toml:{}:{}\n", place.0, place.1)), "{rendered}");
    }
}

#[test]
fn line_ends_of_either_kind_count_the_same() {
    let text = format!("{DATAPATH}{SERVICE}weight = -1\n");
    assert_problem(&text, "weight is -1", (12, 10), "");
    assert_problem(&text.replace('\n', "\r\n"), "weight is -1", (12, 10), "");
    assert_plain(&parse(&text.replace('\n', "\r\n")).unwrap_err().to_string());
    assert_problem(&text.replace('\n', "\r"), "not valid TOML", (1, 12), "");
}

#[test]
fn errors_show_no_control_characters() {
    for line in [
        "weight = -1 # \u{9b}31m and \u{85}",
        "weight = -1 # \u{1b}[31m",
        "weight = \"\u{9b}31m\"",
        "name = \"\\u001b[31m\"",
        "\"\\u001b[31m\" = 1",
        "\"\\u009b31m\" = 1",
        "\"a\\nb\" = 1",
        "state = \"\\u009b31m\"",
        "next_hop_mac = \"\\u009b31m\"",
        "mtu = \u{1}",
        "\"\u{9b}\" = 1\n\"\u{9b}\" = 1",
    ] {
        let rendered = parse(&format!("{DATAPATH}{SERVICE}{line}\n")).unwrap_err();
        assert_plain(&rendered.to_string());
        assert_plain(rendered.problems()[0].message());
    }
    // What stands in for it is as wide as it was, so that the marks are where they were.
    let rendered = parse(&format!("{DATAPATH}{SERVICE}load = -1 # \u{9b}\n")).unwrap_err().to_string();
    assert!(rendered.contains("12 | load = -1 # \u{b7}\n   |        ^^\n"), "{rendered}");
}

#[test]
fn keys_are_quoted_whole() {
    let text = format!("{DATAPATH}{SERVICE}\"a`, expected `b\" = 1\n");
    assert_problem(&text, "unknown key `a`, expected `b`", (12, 1), "the keys of this table are name, address");
}

#[test]
fn names_have_no_characters_that_nobody_sees() {
    for (name, message) in [
        ("we\\u202eb", "the invisible character U+202E"),
        ("web\\u200b", "the invisible character U+200B"),
        ("\\ufeffweb", "the invisible character U+FEFF"),
        ("a\\u2028b", "the invisible character U+2028"),
        ("web\\U000e0031", "the invisible character U+E0031"),
        ("web ", "begins or ends with a space"),
        ("\\u00a0", "begins or ends with a space"),
        ("\\u0085", "a control character"),
        ("\\u007f", "a control character"),
    ] {
        let text = format!("{DATAPATH}{}", SERVICE.replace("\"web\"", &format!("\"{name}\"")));
        assert_problem(&text, message, (7, 8), "");
        assert_problem(&format!("{DATAPATH}{SERVICE}name = \"{name}\"\n"), message, (12, 8), "");
    }
    for name in ["web 1", "Straße", "日本語", "e\u{301}", "a\u{a0}b", "🦀"] {
        let text = format!("{DATAPATH}{}", SERVICE.replace("\"web\"", &format!("\"{name}\"")));
        assert_eq!(parse(&text).unwrap().services()[0].name, name);
    }
}

#[test]
fn numbers_and_dates_are_called_so() {
    for (value, message) in [
        ("99999999999999999999999", "the number 99999999999999999999999 is out of range"),
        ("1979-05-27", "wrong type: a table or a date, expected an integer"),
        ("{ a = 1 }", "wrong type: a table or a date, expected an integer"),
        ("\", expected i64\"", "wrong type: string \", expected i64\", expected an integer"),
    ] {
        assert_backend_problem(&format!("weight = {value}"), message, 10, "");
    }
}

#[test]
fn huge_values_make_short_errors() {
    let huge = "x".repeat(1 << 20);
    for text in [
        SERVICE.replace("10.1.0.1", &huge),
        SERVICE.replace("\"web\"", &format!("\"{huge}\"")),
        SERVICE.replace("\"tcp\"", &format!("\"{huge}\"")),
        SERVICE.replace("protocol", &huge),
        format!("{SERVICE}weight = \"{huge}\"\n"),
        format!("{SERVICE}next_hop_mac = \"{huge}\"\n"),
        format!("{SERVICE}{huge} = 1\n{huge} = 2\n"),
        SERVICE.replace("10.1.0.1", &"\n".repeat(1 << 20)).replace("\"\n", "\"\"\"\n").replace("\n\"", "\n\"\"\""),
    ] {
        for problem in parse(&format!("{DATAPATH}{text}")).unwrap_err().problems() {
            assert!(problem.message().len() < 200, "{}", problem.message().len());
        }
        assert!(parse(&format!("{DATAPATH}{text}")).unwrap_err().to_string().len() < 2_000);
    }
}

/// The renderer looks at every line that it is given, for every problem. With the whole file this takes ten seconds,
/// with the lines in question a fraction of one.
#[test]
fn errors_of_a_long_file_are_rendered_soon() {
    let backends: String = (0..20).map(|n| format!("[[service.backend]]\nname = \"{n}\"\naddress = \"\"\n")).collect();
    let error = parse(&format!("{}{DATAPATH}{SERVICE}{backends}", "\n".repeat(4 << 20))).unwrap_err();
    let start = Instant::now();
    assert!(error.to_string().contains("--> test.toml:4194318:11\n"));
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn places_far_apart_are_both_shown() {
    let text = format!("{DATAPATH}{SERVICE}{}{SERVICE}", "# comment\n".repeat(10_000));
    let rendered = parse(&text).unwrap_err().to_string();
    assert!(rendered.contains("--> test.toml:10013:8\n"), "{rendered}");
    assert!(rendered.contains("10013 | name = \"web\"\n      |        ^^^^^ again here\n"), "{rendered}");
    assert!(rendered.contains("::: test.toml:7:8\n"), "{rendered}");
    assert!(rendered.contains("    7 | name = \"web\"\n      |        ----- first here\n"), "{rendered}");
}

#[test]
fn what_no_geometry_holds_is_not_looked_at() {
    let text = format!("{DATAPATH}{}", "[[service]]\n".repeat(1_025));
    assert_problem(&text, "1025 services do not fit: the largest geometry has room for 1024", (1_030, 1), "remove");
    let text = format!("{DATAPATH}{SERVICE}{}", "[[service.backend]]\n".repeat(32_768));
    assert_problem(&text, "32769 backends do not fit: the largest geometry has room for 32768", (32_779, 1), "remove");
}

/// What gets into files by mistake, and what their parts are made of.
const INSERTED: &[&str] = &[
    "",
    "\u{feff}",
    "\0",
    "\r",
    "\r\n",
    "\n",
    "\t",
    "\"",
    "'",
    "\"\"\"",
    "[",
    "]",
    "{",
    "}",
    "=",
    ".",
    "#",
    "\u{9b}",
    "é",
    "\u{202e}",
    "日",
    "\u{85}",
    "\u{2028}",
    "-1",
    "1e9",
    "\\u001b",
    "[[service]]",
    "[datapath]",
    "nan",
    "1979-05-27",
    "geometry = { services = 4 }",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever becomes of a file: no panic, an error that is plain, and at the place that it says.
    #[test]
    fn spoiled_files_have_plain_errors_at_their_places(
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), 0usize..12, prop::sample::select(INSERTED.to_vec())),
            1..5,
        ),
    ) {
        let mut chars: Vec<char> = include_str!("../../../../examples/dual-stack.toml").chars().collect();
        for (at, removed, inserted) in changes {
            let at = at.index(chars.len());
            let end = (at + removed).min(chars.len());
            chars.splice(at..end, inserted.chars());
        }
        if let Err(error) = parse(&chars.into_iter().collect::<String>()) {
            let rendered = error.to_string();
            assert_plain(&rendered);
            for problem in error.problems() {
                let (line, column) = error.place(problem).unwrap();
                let place = format!("--> test.toml:{line}:{column}\n");
                prop_assert!(rendered.contains(&place), "{line}:{column} {rendered}");
            }
        }
    }
}
