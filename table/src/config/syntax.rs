//! Errors of the TOML parser in this crate's words: with a place, and with a remedy where one is near.

use super::error::Problem;
use super::source::{shortened, shown};
use super::value;

/// The problem that the parser met.
pub(super) fn problem(error: &toml::de::Error, text: &str) -> Problem {
    let message = error.message().trim();
    let at = error.span().unwrap_or(0..0);
    if let Some((key, expected)) = unknown_key(message) {
        let keys: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        let help = match value::nearest(key, &keys) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the keys of this table are {}", keys.join(", ")),
        };
        return Problem::at(at, format!("unknown key `{}`", shown(key))).help(help);
    }
    if let Some(rest) = message.strip_prefix("invalid type: ") {
        // Numbers beyond what a key's type can be at all.
        if let Some((number, _)) = rest.strip_prefix("integer `").and_then(|rest| rest.split_once("` as ")) {
            return Problem::at(at, format!("the number {} is out of range", shown(number)))
                .help("give a number of the key's range");
        }
        return Problem::at(at, format!("wrong type: {}", plain_types(rest))).help("change the value's type");
    }
    if message == "duplicate key" {
        let key = text.get(at.clone()).unwrap_or_default().split('=').next().unwrap_or_default().trim();
        return Problem::at(at, format!("`{}` is there twice", shown(key))).help("remove one of the two");
    }
    Problem::at(at, format!("not valid TOML: {}", message.replace('\n', "; ")))
}

/// The key and the expected ones, of serde's wording for an unknown key.
fn unknown_key(message: &str) -> Option<(&str, &str)> {
    message.strip_prefix("unknown field `")?.rsplit_once("`, expected ")
}

/// What was found and what was expected, in words that a reader of the file knows.
fn plain_types(text: &str) -> String {
    // What was found may be as long as the file; what was expected is short.
    let (found, expected) = text.rsplit_once(", expected ").unwrap_or((text, "something else"));
    let found = match found {
        // The parser tells both so.
        "map" => "a table or a date",
        found => found,
    };
    let expected = match expected {
        "i64" => "an integer",
        "a sequence" => "an array of tables, as in [[service]]",
        expected if expected.starts_with("struct ") => "a table",
        expected => expected,
    };
    format!("{}, expected {expected}", shortened(found))
}
