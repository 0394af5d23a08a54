#![no_main]

#[path = "../exercises/message.rs"]
mod message;

libfuzzer_sys::fuzz_target!(|data: &[u8]| message::exercise(data));
