//! Goal: no content of the tables makes the pipeline panic or bursts do something else, and a table file with it is refused
//! or comes back as it was.

#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use maglane_fuzz::{Recipe, compare, pipeline, process};
use maglane_spec::TableImage;
use maglane_sw::engine::Engine;
use maglane_table::Config;
use maglane_table::file::TableFile;

#[derive(Arbitrary, Debug)]
struct Input {
    /// Table, byte in its used part, value.
    patches: Vec<(u8, u16, u8)>,
    frames: Vec<Recipe>,
    /// Bytes that are read as a table file, beside the one that is made of the tables.
    file: Vec<u8>,
}

/// The tables of an example, as a file holds them, with names.
static EXAMPLE: LazyLock<TableFile> = LazyLock::new(|| {
    let text = include_str!("../../examples/web.toml").replace("geometry = \"lab\"", "geometry = \"ecp5\"");
    let text = text.replace("table_size = 4093", "table_size = 251").replace("table_size = 1021", "table_size = 251");
    let config = Config::parse("web.toml", &text).expect("the example is right");
    config.table_file().expect("the example fits")
});

fuzz_target!(|input: Input| {
    let _refused = TableFile::from_bytes(&input.file);
    let mut file = EXAMPLE.clone();
    patch(&mut file.image, &input.patches);
    if let Ok(read) = TableFile::from_bytes(&file.to_bytes()) {
        assert!(read == file, "a file is read as it was written");
    } else {
        assert!(!input.patches.is_empty(), "the example is refused");
    }

    let mut image = maglane_fuzz::image();
    patch(&mut image, &input.patches);
    process(&mut pipeline(&image), &input.frames);
    // Flows that other tables made meet these; a tick of another length is refused.
    let mut updated = pipeline(&maglane_fuzz::image());
    process(&mut updated, &input.frames);
    if updated.update(&image).is_ok() {
        process(&mut updated, &input.frames);
    }
    compare(&[&image, &maglane_fuzz::image(), &image], &input.frames);
});

/// Overwrites bytes of the tables.
fn patch(image: &mut TableImage, patches: &[(u8, u16, u8)]) {
    for &(table, at, byte) in patches {
        let bytes: &mut [u8] = match table % 4 {
            0 => bytemuck::bytes_of_mut(&mut image.datapath),
            1 => bytemuck::cast_slice_mut(&mut image.services),
            2 => bytemuck::cast_slice_mut(&mut image.lookup),
            _ => bytemuck::cast_slice_mut(&mut image.backends),
        };
        let len = bytes.len();
        bytes[usize::from(at) % len] = byte;
    }
}
