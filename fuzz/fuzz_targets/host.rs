//! Goal: no sequence of passed frames makes the host's slow path panic, lose a frame from its counts, keep more than its
//! limits say, or send more than came in.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maglane_fuzz::{Recipe, host};

fuzz_target!(|recipes: Vec<Recipe>| host(&recipes));
