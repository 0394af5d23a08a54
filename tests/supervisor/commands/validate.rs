//! `validate`: what a start and an offer would say, without one.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, time::timeout};

use super::super::harness::{Host, fake_collector, kill, real_collector};

const NOWHERE: &str = "ws://127.0.0.1:9/v1/opamp";
const GOOD: &str = "receivers: {otlp: {protocols: {http: }}}\nexporters: {debug: }\n\
                    service: {pipelines: {logs: {receivers: [otlp], exporters: [debug]}}}\n";

const MISSPELT: &str = "receivers:\n  otlp:\n    protocols: {http: {
      endpont: x}}\nexporters: {debug: }\nservice: {pipelines: {logs: {receivers: [otlp], exporters: [debug]}}}\n";

/// A file beside the `supervisor.yaml`.
fn file(host: &Host, name: &str, body: &str) -> String {
    let path = host.dir.path().join(name);
    fs::write(&path, body).unwrap();
    path.display().to_string()
}

/// A host whose temporary files are its own, to see that none is left.
fn host(collector: &Path) -> Host {
    let host = Host::new(NOWHERE, collector);
    let temporary = host.dir.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let temporary = temporary.display().to_string();
    host.env("TMPDIR", &temporary)
}

fn nothing_is_left(host: &Host) {
    assert_eq!(fs::read_dir(host.dir.path().join("tmp")).unwrap().count(), 0);
    assert!(!host.state().exists(), "the storage directory is not touched");
}

#[tokio::test]
async fn validate_says_fit_and_leaves_nothing_behind() {
    let host = host(&fake_collector());
    assert_eq!(host.command(&["validate"]).await.with(0), "fit: no warnings\n");
    let good = file(&host, "good.yaml", GOOD);
    assert_eq!(host.command(&["validate", "-G", &good]).await.with(0), "fit: no warnings\n");
    let json = host.command(&["validate", "-G", &good, "-o", "json"]).await.json();
    assert_eq!(json, serde_json::json!({ "fit": true, "findings": [] }));
    nothing_is_left(&host);
}

#[tokio::test]
async fn f_73_validate_shows_file_line_column_and_a_caret_with_the_real_collector() {
    let host = host(&real_collector());
    let unknown = file(&host, "unknown.yaml", "receivers:\n  otlq: {}\n");
    let said = host.command(&["validate", "-G", &unknown]).await.with(78);
    for words in [
        "error: receiver \"otlq\" is not in this Collector",
        &format!("{unknown}:2:3"),
        "2 |   otlq",
        "  ^^^^\n",
        "did you mean \"otlp\"",
    ] {
        assert!(said.contains(words), "{words:?} in {said}");
    }
    // What only the Collector can tell gets its place too.
    let misspelt = file(&host, "misspelt.yaml", MISSPELT);
    let said = host.command(&["validate", "-G", &misspelt]).await.with(78);
    for words in
        ["has invalid keys: endpont", &format!("{misspelt}:4:7"), "4 |       endpont: x", "       ^^^^^^^\n"]
    {
        assert!(said.contains(words), "{words:?} in {said}");
    }
    let torn = file(&host, "torn.yaml", "receivers: {otlp: [\n");
    let said = host.command(&["validate", "-G", &torn]).await.with(78);
    assert!(said.contains(&format!("{torn}:")) && said.contains("unfit: 1 error"), "{said}");
    nothing_is_left(&host);
}

#[tokio::test]
async fn validate_takes_collector_configs_in_the_order_given() {
    let host = host(&fake_collector());
    let (z, a) = (
        file(&host, "z.yaml", GOOD),
        file(&host, "a.yaml", "service: {pipelines: {logs: {exporters: [x]}}}\n"),
    );
    let said = host.command(&["validate", "-G", &z, "--collector-config", &a]).await.with(78);
    assert!(said.contains("uses exporter \"x\"") && said.contains(&a), "the last one wins: {said}");
    host.command(&["validate", "-G", &a, "-G", &z]).await.with(0);
}

#[tokio::test]
async fn validate_warns_of_what_may_run_but_not_as_meant() {
    let host = host(&fake_collector()).agent("config_files: [/nonexistent/layer.yaml]\nhealth_check_port: 1");
    let unused = file(&host, "unused.yaml", &format!("{GOOD}extensions: {{health_check: }}\n"));
    let said = host.command(&["validate", "-G", &unused]).await.with(0);
    for words in [
        "left out: /nonexistent/layer.yaml",
        "\"health_check\" is defined but not used",
        "supervisor.yaml:8:3",
        "fit: 3 warnings",
    ] {
        assert!(said.contains(words), "{words:?} in {said}");
    }
    let required = Host::new(NOWHERE, &fake_collector())
        .agent("config_files: [/nonexistent/layer.yaml]\nrequire_config_files: true");
    assert!(required.command(&["validate"]).await.with(78).contains("/nonexistent/layer.yaml"));
}

#[tokio::test]
async fn validate_finds_what_a_start_would_refuse() {
    for (lines, words) in [
        ("executible: x", "supervisor.yaml:7:3"),
        ("args: [\"--set=service.extensions=[]\"]", "service.extensions"),
    ] {
        let host = Host::new(NOWHERE, &fake_collector()).agent(lines);
        let said = host.command(&["validate"]).await.with(78);
        assert!(said.contains(words) && said.contains("unfit: "), "{words:?} in {said}");
    }
    let host = Host::new(NOWHERE, &PathBuf::from("/nonexistent/otelcol"));
    assert!(host.command(&["validate"]).await.with(78).contains("/nonexistent/otelcol"));
    let host = Host::new("wss://127.0.0.1:9/v1/opamp", &fake_collector());
    let with_ca = host.write();
    let text = fs::read_to_string(&with_ca).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_opamp-supervisor"));
    fs::write(&with_ca, text.replace("opamp\"}", "opamp\", tls: {ca_file: /nonexistent/ca.pem}}")).unwrap();
    let output = command.args(["validate", "--config"]).arg(&with_ca).output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code() == Some(78) && said.contains("/nonexistent/ca.pem"), "{said}");
}

#[tokio::test]
async fn validate_that_cannot_judge_is_1_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let binary = dir.path().join("otelcol");
    fs::write(&binary, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o644)).unwrap();
    let host = host(&binary);
    let good = file(&host, "good.yaml", GOOD);
    let said = host.command(&["validate", "-G", &good]).await.with(1);
    assert!(said.contains("not judged: ") && said.contains("otelcol"), "{said}");
    let json = host.command(&["validate", "-G", &good, "-o", "json"]).await.json();
    assert!(json["fit"].is_null() && !json["why_not_judged"].as_str().unwrap().is_empty(), "{json}");
    let said = host.command(&["validate", "-G", "/nonexistent/a.yaml"]).await.with(1);
    assert!(said.contains("cannot read /nonexistent/a.yaml"), "{said}");
    nothing_is_left(&host);
}

#[tokio::test]
async fn f_83_validate_that_is_interrupted_leaves_nothing_behind() {
    let host = host(&fake_collector()).fake("hang_validate");
    let good = file(&host, "good.yaml", GOOD);
    let mut command = Command::new(env!("CARGO_BIN_EXE_opamp-supervisor"));
    command.args(["validate", "-G", &good, "--config"]).arg(host.write());
    command.env("TMPDIR", host.dir.path().join("tmp"));
    command.env("FAKE_COLLECTOR_FILE", host.dir.path().join("switches"));
    command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut validate = command.spawn().unwrap();
    let begun = async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while fs::read_dir(host.dir.path().join("tmp")).unwrap().count() == 0 {
            tick.tick().await;
        }
    };
    timeout(Duration::from_secs(20), begun).await.expect("it begins");
    kill(i32::try_from(validate.id().unwrap()).unwrap(), nix::libc::SIGINT);
    let ended = timeout(Duration::from_secs(20), validate.wait()).await.expect("it ends").unwrap();
    assert_eq!(ended.code(), Some(1));
    nothing_is_left(&host);
}

#[tokio::test]
async fn secrets_are_starred_in_what_validate_shows() {
    let host =
        host(&real_collector()).agent("env: {TOKEN: \"s3cr3t-t0ken\"}\nexecutible: \"a s3cr3t-t0ken\"");
    let said = host.command(&["validate"]).await.with(78);
    assert!(said.contains("executible"), "{said}");
    let unknown = "receivers: {otlq: {token: s3cr3t-t0ken}}\nexporters: {debug: {verbosity: s3cr3t-t0ken}}\n\
        extensions: {opamp: {server: {ws: {headers: {A: s3cr3t-t0ken}, endpoint: 'ws://u:s3cr3t@x'}}}}\n";
    // The Collector says what it was given.
    let refused = GOOD.replace("{debug: }", "{debug: {verbosity: s3cr3t-t0ken}}");
    let whole = Host::new(NOWHERE, &real_collector()).agent("env: {TOKEN: \"s3cr3t-t0ken\"}");
    for (body, words) in [(unknown, "otlq"), (&refused, "verbosity")] {
        let layer = file(&whole, "bad.yaml", body);
        for format in ["text", "json"] {
            let said = whole.command(&["validate", "-G", &layer, "-o", format]).await.with(78);
            assert!(said.contains(words) && !said.contains("s3cr3t"), "{said}");
        }
    }
}
