//! What is learnt of the real binary, and its verdicts.

use std::time::{Duration, Instant};

use opamp::collector::{
    binary::{BinaryIdentity, Configs},
    bootstrap::learn,
    components::Section,
    validate::{PRINT_CONFIG_GATE, ValidateError, print_config, validate},
};

use crate::{DEADLINE, collector, in_time, write};

const GOOD: &str = "receivers: {otlp: {protocols: {grpc: {endpoint: 127.0.0.1:0}}}}\nexporters: {debug: }\n\
    service: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n";

#[tokio::test]
async fn facts_of_the_real_collector() {
    let scratch = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let facts = in_time(learn(&collector(), scratch.path(), DEADLINE)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(!facts.version.is_empty() && !facts.command.is_empty(), "{facts:?}");
    assert!(facts.components.complete);
    // `otlp` has an alias in newer releases and is then left out of `components`.
    assert!(facts.components.has(Section::Receivers, "otlp"));
    assert!(facts.components.has(Section::Exporters, "otlphttp"));
    assert!(facts.components.has(Section::Exporters, "debug"));
    let module = facts.components.sections[&Section::Exporters]["debug"].as_deref().unwrap();
    assert!(module.starts_with("go.opentelemetry.io/collector/exporter/debugexporter v"), "{module}");
    assert!(facts.has_gate("service.AllowNoPipelines"));
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn f_73_the_real_validator_refuses_in_clean_words() {
    let binary = collector();
    let (_dir, layers) = write(&[GOOD]);
    in_time(validate(&binary, &Configs { layers: &layers, overlay: None }, DEADLINE)).await.unwrap();
    let (_dir, layers) = write(&[GOOD, "receivers: {otlp: {protocls: }}"]);
    let refused = in_time(validate(&binary, &Configs { layers: &layers, overlay: None }, DEADLINE)).await;
    let Err(ValidateError::Refused { text }) = refused else { panic!("{refused:?}") };
    assert_eq!(
        text,
        "'receivers' error reading configuration for \"otlp\": 'otlpreceiver.Config' has invalid keys: protocls"
    );
}

#[tokio::test]
async fn print_config_resolves_what_is_not_literal() {
    let binary = collector();
    let gates = [PRINT_CONFIG_GATE.to_owned()];
    let (_extensions, inner) = write(&["[health_check]"]);
    let text = format!("extensions: {{health_check: }}\nservice:\n  extensions: ${{{}}}\n", inner[0]);
    let (_dir, layers) = write(&[GOOD, &text]);
    let configs = Configs { layers: &layers, overlay: None };
    let printed = in_time(print_config(&binary, &configs, &gates, DEADLINE)).await.unwrap();
    assert!(printed.contains("    extensions:\n        - health_check\n"), "{printed}");
}

#[test]
fn the_identity_of_the_real_binary_is_hashed_once() {
    let path = collector().executable;
    let identity = BinaryIdentity::of(&path, None).unwrap();
    assert_eq!(identity.sha256.len(), 64);
    let known = BinaryIdentity { sha256: "kept".to_owned(), ..identity };
    assert_eq!(BinaryIdentity::of(&path, Some(&known)).unwrap().sha256, "kept");
}
