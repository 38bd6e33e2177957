//! Goal: no capture file makes its reader panic or take memory without bound, nor its frames the pipeline.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maglane_fuzz::{check, image, pipeline};
use maglane_sw::engine::Engine;
use maglane_sw::io::capture::Capture;

fuzz_target!(|bytes: &[u8]| {
    let Ok(capture) = Capture::from_slice("fuzz", bytes) else { return };
    let mut pipeline = pipeline(&image());
    for frame in capture.frames() {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                assert!(!error.to_string().is_empty(), "an error says what is wrong");
                return;
            }
        };
        assert!(frame.bytes.len() <= 65_535, "a frame of {} bytes", frame.bytes.len());
        let outcomes = pipeline.process(&[frame]).expect("software does not stop");
        check(frame.bytes, &outcomes[0]);
    }
});
