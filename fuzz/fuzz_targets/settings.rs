#![no_main]

#[path = "../exercises/settings.rs"]
mod settings;

libfuzzer_sys::fuzz_target!(|data: &[u8]| settings::exercise(data));
