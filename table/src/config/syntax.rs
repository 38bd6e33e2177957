//! Errors of the TOML parser in this crate's words: with a place, and with a remedy where one is near.

use super::error::Problem;
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
        return Problem::at(at, format!("unknown key `{key}`")).help(help);
    }
    if let Some(rest) = message.strip_prefix("invalid type: ") {
        return Problem::at(at, format!("wrong type: {}", plain_types(rest))).help("change the value's type");
    }
    if message == "duplicate key" {
        let key = text.get(at.clone()).unwrap_or_default().split('=').next().unwrap_or_default().trim();
        return Problem::at(at, format!("`{key}` is there twice")).help("remove one of the two");
    }
    Problem::at(at, format!("not valid TOML: {}", message.replace('\n', "; ")))
}

/// The key and the expected ones, of serde's wording for an unknown key.
fn unknown_key(message: &str) -> Option<(&str, &str)> {
    message.strip_prefix("unknown field `")?.split_once("`, ")
}

/// Rust's type names in words that a reader of the file knows.
fn plain_types(text: &str) -> String {
    let mut text = text.replace('\n', " ");
    for (rust, plain) in [
        ("expected i64", "expected an integer"),
        ("expected struct Datapath", "expected a table"),
        ("expected struct CustomGeometry", "expected a table"),
        ("expected struct Service", "expected a table"),
        ("expected struct Backend", "expected a table"),
        ("expected a sequence", "expected an array of tables, as in [[service]]"),
    ] {
        text = text.replace(rust, plain);
    }
    text
}
