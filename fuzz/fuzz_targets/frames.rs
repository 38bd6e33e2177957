//! Goal: no sequence of frames makes the pipeline panic, every outcome is one that the contract knows, and bursts have the
//! same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maglane_fuzz::{Recipe, compare, image, pipeline, process};

fuzz_target!(|recipes: Vec<Recipe>| {
    let image = image();
    process(&mut pipeline(&image), &recipes);
    compare(&[&image], &recipes);
});
