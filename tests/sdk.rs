//! What others build on: the example that uses nothing but `wire`, `protocol` and `transport` does what it says.

use std::{path::PathBuf, process::Command};

/// The built example, beside this test's own directory.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().with_file_name("examples").join(name);
    assert!(path.is_file(), "no example at {}: cargo build --example {name}", path.display());
    path
}

#[test]
fn b_cu_01_02_06_the_example_exchanges_custom_messages_both_ways_and_says_so() {
    let done = Command::new(example("custom_capability")).output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    let expected = [
        "agent knows that the server has [\"org.example.weather/v1\"]",
        "server heard question \"how is the weather?\"",
        "agent heard answer \"it rains\"",
        "agent heard question \"and yours?\"",
        "server heard answer \"the sun shines\"",
        "agent heard thanks \"\"",
        "server heard a goodbye",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_example_uses_nothing_but_the_public_rooms() {
    let text = include_str!("../examples/custom_capability.rs");
    let rooms = ["cli", "collector", "os", "server", "supervisor", "telemetry"];
    for room in rooms {
        assert!(!text.contains(&format!("opamp::{room}")), "opamp::{room}");
        assert!(!text.lines().any(|line| line.starts_with(&format!("    {room}::"))), "{room}");
    }
}
