//! The JSON Schema that is shipped: it is what the table of keys says, and it agrees with the loader.

use std::{fs, path::PathBuf};

use jsonschema::Validator;
use opamp::supervisor::config::schema;
use serde_json::Value;

use crate::support::{LEAST, verdict, with};

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("packaging/supervisor.schema.json")
}

fn validator() -> Validator {
    let schema = schema();
    jsonschema::meta::validate(&schema).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

/// A text as the schema sees it.
fn read(text: &str) -> Value {
    let mut value: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
    value.apply_merge().unwrap();
    serde_json::to_value(value).unwrap()
}

/// `UPDATE_SCHEMA=1 cargo test --test config schema` writes the file anew.
#[test]
fn the_shipped_schema_is_the_one_of_the_table() {
    let text = format!("{:#}\n", schema());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(path(), &text).unwrap();
    }
    let shipped = fs::read_to_string(path()).unwrap_or_default();
    assert!(shipped == text, "packaging/supervisor.schema.json is old; run this test with UPDATE_SCHEMA=1");
}

#[test]
fn what_loads_is_valid() {
    let validator = validator();
    let example = include_str!("../../packaging/supervisor.example.yaml");
    let expansions = with("headers: ${file:/run/headers.yaml}", "passthrough_logs: ${env:BOOL}", "");
    let flat = "server::endpoint: ws://h/\nagent::executable: /col\n";
    for text in [
        LEAST,
        example,
        &expansions,
        flat,
        &with(
            "tls:\n  min_version: 1.2",
            "config_apply_timeout: 1m30.5s\nargs: --a,--b\nenv: {A: 1, B: }",
            "telemetry: {metrics: {level: BASIC}}\n",
        ),
        &with("headers:", "opamp_server_port: 65535", "storage:\ncapabilities: {reports_health: true}\n"),
        include_str!("samples/every-key.yaml"),
        include_str!("samples/minimal.yaml"),
        include_str!("samples/container.yaml"),
        include_str!("samples/package.yaml"),
        include_str!("samples/newer.yaml"),
    ] {
        if let Err(error) = verdict(text) {
            panic!("does not load: {error}");
        }
        let value = read(text);
        let faults: Vec<_> = validator
            .iter_errors(&value)
            .map(|error| format!("{} at {}", error, error.instance_path()))
            .collect();
        assert_eq!(faults, Vec::<String>::new(), "{text}");
    }
}

#[test]
fn what_is_wrong_in_name_or_shape_neither_loads_nor_is_valid() {
    let validator = validator();
    for text in [
        "server: {endpoint: 'ws://h/'}\n".to_owned(),
        "agent: {executable: /col}\nserver: {}\n".to_owned(),
        with("", "executble: /col", ""),
        with("", "opamp_server_port: 70000", ""),
        with("", "opamp_server_port: '4320'", ""),
        with("", "collector_crash_log_snippet_kib: 1025", ""),
        with("", "passthrough_logs: 'yes'", ""),
        with("", "config_apply_timeout: 5", ""),
        with("", "bootstrap_timeout: soon", ""),
        with("", "args: {a: b}", ""),
        with("", "env: [A=b]", ""),
        with("", "env: {A: {b: c}}", ""),
        with("", "description: text", ""),
        with("headers: text", "", ""),
        with("headers: {A: {b: c}}", "", ""),
        with("tls: {ca: /x}", "", ""),
        with("", "", "telemetry: {logs: {encoding: xml}}\n"),
        with("", "", "telemetry: {metrics: {level: high}}\n"),
        with("", "", "telemetry: {traces: {processors: x}}\n"),
        with("", "", "storage: {secrets: {key_source: vault}}\n"),
        with("", "", "healthcheck: {read_timeout: soon}\n"),
        with("", "", "restrictions: {components: {receivers: {a: b}}}\n"),
        with("", "", "agents: {}\n"),
    ] {
        assert!(verdict(&text).is_err(), "loads:\n{text}");
        assert!(!validator.is_valid(&read(&text)), "the schema takes:\n{text}");
    }
}
