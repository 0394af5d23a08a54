//! What the fuzzer found worth keeping is done again, by the same functions (`fuzz/exercises`).

#[path = "../fuzz/exercises/body.rs"]
mod body;
#[path = "../fuzz/exercises/frame.rs"]
mod frame;
#[path = "../fuzz/exercises/message.rs"]
mod message;
#[path = "../fuzz/exercises/retry_after.rs"]
mod retry_after;
#[path = "../fuzz/exercises/settings.rs"]
mod settings;

use std::{fs, path::Path};

fn replay(target: &str, exercise: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
    let mut count = 0;
    for entry in entries {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        exercise(&fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count >= 10, "{} has only {count} inputs", corpus.display());
}

#[test]
fn f_95_frames() {
    replay("frame", frame::exercise);
}

#[test]
fn f_95_messages_into_both_machines() {
    replay("message", message::exercise);
}

#[test]
fn f_95_bodies() {
    replay("body", body::exercise);
}

#[test]
fn retry_after_values() {
    replay("retry_after", retry_after::exercise);
}

#[test]
fn connection_settings() {
    replay("settings", settings::exercise);
}
