//! Round trips, and every way in which a file can be wrong: length, header, checksum, content, names.

use proptest::prelude::*;

use super::*;

/// A small geometry, so that every byte can be tried.
fn small() -> TableFile {
    let text = "\
[geometry]
bus_bytes = 32
services = 4
backends = 16
lookup_entries = 256
flow_sets = 16
[datapath]
hash_key = \"000102030405060708090a0b0c0d0e0f\"
mac = \"02:00:00:00:00:01\"
next_hop_mac = \"02:00:00:00:00:fe\"
tunnel_source_v4 = \"10.0.0.1\"
[[service]]
name = \"web\"
address = \"192.0.2.10\"
port = 80
protocol = \"tcp\"
table_size = 31
backend = [{ address = \"10.1.0.1\" }, { address = \"10.1.0.2\", weight = 50 }]
[[service]]
name = \"dns\"
address = \"192.0.2.53\"
protocol = \"udp\"
table_size = 7
backend = [{ address = \"10.1.0.3\" }]
";
    Config::parse("small.toml", text).unwrap().table_file().unwrap()
}

/// The bytes of a changed file with the right checksum.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let names_len = u32::from_le_bytes(bytes[12..16].try_into().unwrap());
    let sum = checksum(&bytes, names_len);
    bytes[16..24].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// What reading says about a file in which `change` was made to bytes from `offset` on.
fn error_of(offset: usize, change: &[u8]) -> String {
    let mut bytes = small().to_bytes();
    bytes[offset..offset + change.len()].copy_from_slice(change);
    TableFile::from_bytes(&resealed(bytes)).unwrap_err().to_string()
}

#[test]
fn round_trip_is_the_same() {
    for text in [
        include_str!("../../../examples/web.toml"),
        include_str!("../../../examples/dual-stack.toml"),
        include_str!("../../../examples/many-services.toml"),
        include_str!("../../../examples/schedulers.toml"),
    ] {
        let file = Config::parse("example.toml", text).unwrap().table_file().unwrap();
        assert_eq!(TableFile::from_bytes(&file.to_bytes()).unwrap(), file);
    }
}

#[test]
fn any_flipped_bit_is_found() {
    let bytes = small().to_bytes();
    for offset in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[offset] ^= 1 << bit;
            assert!(TableFile::from_bytes(&damaged).is_err(), "bit {bit} of byte {offset}");
        }
    }
}

#[test]
fn any_other_length_is_found() {
    let mut bytes = small().to_bytes();
    for len in 0..bytes.len() {
        assert!(TableFile::from_bytes(&bytes[..len]).is_err(), "{len} bytes");
    }
    bytes.push(0);
    let len = bytes.len();
    let expected = format!("byte {}: the file has {len} bytes, but its header says {}", len - 1, len - 1);
    assert_eq!(TableFile::from_bytes(&bytes).unwrap_err().to_string(), expected);
}

#[test]
fn errors_say_what_and_where() {
    assert_eq!(error_of(0, b"x"), "byte 0: this is not a table file, it does not begin with \"MAGLANET\"");
    assert_eq!(error_of(8, &[1]), "byte 8: version 1, but this program reads version 2; build the table anew");
    assert_eq!(error_of(12, &[0xff; 4]), "byte 12: a names section of 4294967295 bytes, more than 67108864");
    assert_eq!(error_of(24, &[48]), "byte 24: bus_bytes is 48, not a power of two from 32 to 64");
    assert_eq!(error_of(28, &[5]), "byte 28: services is 5, not a power of two from 4 to 1024");
    assert_eq!(error_of(36, &[0; 4]), "byte 36: lookup_entries is 0, not a power of two from 256 to 4194304");
    assert_eq!(error_of(44, &[1]), "byte 44: the reserved word of the header is not zero");
    assert_eq!(error_of(48 + 22, &[0]), "byte 48: the datapath row: ttl is 0");

    // Eight service rows after the datapath row's 96 bytes, then a side of 128 entries of two bytes, then the backends.
    let file = small();
    let rows = 48 + 96;
    let used = file.image.services.iter().position(|row| row.flags & 1 == 1).unwrap();
    let free = file.image.services.iter().position(|row| row.flags & 1 == 0).unwrap();
    let at = |row: usize, offset: usize| rows + row * 32 + offset;
    let says = |row: usize, what: &str| format!("byte {}: service row {row}: {what}", at(row, 0));
    assert_eq!(error_of(at(free, 3), &[1]), says(free, "not in use, but not zero"));
    assert_eq!(error_of(at(used, 18), &[1]), says(used, "neither TCP nor UDP"));
    assert_eq!(error_of(at(used, 20), &[0, 1, 0]), says(used, "a lookup slice past the memory"));
    assert_eq!(error_of(at(used, 28), &[0, 0]), says(used, "a table size outside its range"));
    assert_eq!(error_of(at(used, 30), &[4]), says(used, "an id beyond the geometry"));
    let misplaced = (0..=255u8).map(|byte| error_of_result(at(used, 3), &[byte])).any(|result| {
        result.is_err_and(|error| error.to_string() == says(used, "not where its hash leads: no frame would find it"))
    });
    assert!(misplaced);

    let lookup = rows + 8 * 32;
    let entry = format!("byte {}: lookup entry 2 points at backend 3, which does not exist", lookup + 4);
    assert_eq!(error_of(lookup + 4, &[3, 0]), entry);
    let backends = lookup + 128 * 2;
    let backend = |what: &str| format!("byte {}: backend row 1: {what}", backends + 32);
    assert_eq!(error_of(backends + 32 + 26, &[9]), backend("an unknown encapsulation"));
    assert_eq!(error_of(backends + 32 + 27, &[3]), backend("an unknown state"));
    assert_eq!(error_of(backends + 32 + 22, &[1, 0]), backend("an MTU outside its range"));
    let names = backends + 16 * 32;
    assert!(error_of(names, b"[").starts_with(&format!("byte {names}: the names section: ")));
}

fn error_of_result(offset: usize, change: &[u8]) -> Result<TableFile, FileError> {
    let mut bytes = small().to_bytes();
    bytes[offset..offset + change.len()].copy_from_slice(change);
    TableFile::from_bytes(&resealed(bytes))
}

#[test]
fn what_a_names_section_says_cannot_steer_a_terminal() {
    for key in ["\u{1b}[31mx", "\u{9b}31mxy", "a\nb"] {
        let mut bytes = small().to_bytes();
        let names = String::from_utf8(bytes.split_off(48 + 96 + 8 * 32 + 128 * 2 + 16 * 32)).unwrap();
        let quoted = serde_json::to_string(key).unwrap();
        bytes.extend(names.replacen("\"services\"", &quoted, 1).bytes());
        let len = u32::try_from(bytes.len() - (48 + 96 + 8 * 32 + 128 * 2 + 16 * 32)).unwrap();
        bytes[12..16].copy_from_slice(&len.to_le_bytes());
        let error = TableFile::from_bytes(&resealed(bytes)).unwrap_err().to_string();
        assert!(error.contains("the names section: line 1, column ") && error.contains("unknown field"), "{error:?}");
        assert!(!error.contains(char::is_control), "{error:?}");
    }
}

#[test]
fn names_must_be_of_what_is_there() {
    let spoil: [fn(&mut Names); 6] = [
        |names| names.services[1].id = 0,
        |names| names.services[1].id = 2,
        |names| names.services[1].name = "web".to_owned(),
        |names| names.services[0].backends[1].id = 2,
        |names| names.services[0].backends[1].name = "a\u{1b}[31m".to_owned(),
        |names| names.services.truncate(1),
    ];
    for (index, spoil) in spoil.into_iter().enumerate() {
        let mut file = small();
        spoil(&mut file.names);
        let error = TableFile::from_bytes(&file.to_bytes()).unwrap_err();
        assert!(matches!(error, FileError::Content { .. }), "{index}: {error}");
    }
}

proptest! {
    #[test]
    fn hostile_bytes_give_errors_or_tables_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        len in any::<prop::sample::Index>(),
        cut in prop::bool::weighted(0.1),
    ) {
        let mut bytes = small().to_bytes();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if cut {
            bytes.truncate(len.index(bytes.len()).max(24));
        }
        if let Ok(file) = TableFile::from_bytes(&resealed(bytes)) {
            prop_assert_eq!(TableFile::from_bytes(&file.to_bytes()).unwrap(), file.clone());
            // Whoever shows a table may rely on it.
            let _ = file.balance();
            let _ = crate::diff::diff(&crate::Tables::read(file), &crate::Tables::read(small()));
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        prop_assert!(TableFile::from_bytes(&bytes).is_err());
        let with_magic = [&MAGIC[..], &VERSION.to_le_bytes(), &bytes].concat();
        prop_assert!(TableFile::from_bytes(&with_magic).is_err());
    }
}
