//! Goal: no sequence of frames makes the pipeline panic, and every outcome is one that the contract knows.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maglane_fuzz::{Recipe, image, pipeline, process};

fuzz_target!(|recipes: Vec<Recipe>| {
    let mut pipeline = pipeline(&image());
    process(&mut pipeline, &recipes);
});
