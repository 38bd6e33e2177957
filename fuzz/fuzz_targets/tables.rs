//! Goal: no content of the tables makes the pipeline panic, and a table file with it is refused or comes back as it was.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use maglane_fuzz::{Recipe, pipeline, process};
use maglane_spec::TableImage;
use maglane_sw::engine::Engine;
use maglane_table::file::{Names, TableFile};

#[derive(Arbitrary, Debug)]
struct Input {
    /// Table, byte in its used part, value.
    patches: Vec<(u8, u16, u8)>,
    frames: Vec<Recipe>,
    /// Bytes that are read as a table file, beside the one that is made of the tables.
    file: Vec<u8>,
}

fuzz_target!(|input: Input| {
    let mut image = maglane_fuzz::image();
    for &(table, at, byte) in &input.patches {
        let bytes: &mut [u8] = match table % 4 {
            0 => bytemuck::bytes_of_mut(&mut image.datapath),
            1 => bytemuck::cast_slice_mut(&mut image.services),
            2 => bytemuck::cast_slice_mut(&mut image.lookup),
            _ => bytemuck::cast_slice_mut(&mut image.backends),
        };
        let len = bytes.len();
        bytes[usize::from(at) % len] = byte;
    }
    let _refused = TableFile::from_bytes(&input.file);
    if input.frames.is_empty() {
        // The checksum over half a megabyte takes longer than all frames.
        check_file(&image);
        return;
    }
    process(&mut pipeline(&image), &input.frames);
    // Flows that other tables made meet these; a tick of another length is refused.
    let mut updated = pipeline(&maglane_fuzz::image());
    process(&mut updated, &input.frames);
    if updated.update(&image).is_ok() {
        process(&mut updated, &input.frames);
    }
});

/// That a file with these tables is refused or read as it was written.
fn check_file(image: &TableImage) {
    let file = TableFile { image: image.clone(), names: Names::default() };
    if let Ok(read) = TableFile::from_bytes(&file.to_bytes()) {
        assert!(read.image == *image, "a file is read as it was written");
    }
}
