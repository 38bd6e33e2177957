//! Goal: no configuration file makes its reader panic, and the tables of one that is accepted pass their own audit.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maglane_table::Config;
use maglane_table::file::TableFile;

fuzz_target!(|text: &str| {
    let config = match Config::parse("fuzz.toml", text) {
        Ok(config) => config,
        Err(error) => {
            assert!(!error.to_string().is_empty(), "an error says what is wrong");
            return;
        }
    };
    let file = match config.table_file() {
        Ok(file) => file,
        Err(error) => {
            assert!(!error.to_string().is_empty(), "an error says what is wrong");
            return;
        }
    };
    let read = TableFile::from_bytes(&file.to_bytes()).expect("what is built is read");
    assert!(read.image == file.image, "a file is read as it was written");
});
