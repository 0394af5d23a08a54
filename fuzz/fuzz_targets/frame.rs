#![no_main]

#[path = "../exercises/frame.rs"]
mod frame;

libfuzzer_sys::fuzz_target!(|data: &[u8]| frame::exercise(data));
