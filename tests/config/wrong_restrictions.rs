//! `restrictions`: every way to be wrong, with the exact words, line and column.

use crate::support::{bad, with};

/// Lines under `restrictions:`, from line 6 on.
#[test]
fn wrong_restrictions() {
    for (lines, message) in [
        (
            "components: {exporters: [otlp/a]}",
            "6:28: restrictions.components.exporters: \"otlp/a\" is no type of a component; write the part before the /",
        ),
        (
            "components: {exporter: [otlp]}",
            "6:16: decoding failed: restrictions.components.exporter is not a known key; did you mean restrictions.components.exporters?",
        ),
        (
            "paths: {allow: [/var/log, var/log]}",
            "6:29: restrictions.paths.allow: \"var/log\": it must be an absolute path without .. and without * ? [ {, or a value to the letter that holds ${…}",
        ),
        (
            "endpoints: {allow: [a.example, 10.0.0.0/40]}",
            "6:34: restrictions.endpoints.allow: \"10.0.0.0/40\": it must be a host, host:port, *.domain, or a network such as 10.0.0.0/8",
        ),
        (
            "env: {allow: [$$TOKEN]}",
            "6:17: restrictions.env.allow: \"$TOKEN\" is no name of a variable; write it without $ and braces",
        ),
        ("env: {allow: {a: b}}", "6:9: restrictions.env.allow must be a list of strings, got a map"),
        ("paths: [/var/log]", "6:3: restrictions.paths must be a map, got a list"),
    ] {
        let text = with("", "", &format!("restrictions:\n  {lines}\n"));
        assert_eq!(bad(&text), [format!("supervisor.yaml:{message}")], "{lines}");
    }
}
