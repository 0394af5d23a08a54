//! `diag`: what is in the bundle, and that no secret is.

use std::{collections::BTreeMap, fs, io::Read, os::unix::fs::MetadataExt, path::Path};

use super::super::harness::{Host, Server, config, fake_collector};

/// Known to the supervisor alone: the commands run without this variable.
const BY_ENVIRONMENT: &str = "s3cr3t-of-the-environment";

/// The files of a bundle.
fn bundle(path: &Path) -> BTreeMap<String, String> {
    let unpacked = flate2::read::GzDecoder::new(fs::File::open(path).unwrap());
    let mut all = BTreeMap::new();
    for entry in tar::Archive::new(unpacked).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let name = path.strip_prefix("opamp-supervisor-diag/").unwrap().to_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        all.insert(name, text);
    }
    all
}

fn host(server: &Server) -> Host {
    Host::new(&server.endpoint, &fake_collector()).fake("").agent(
        "env: {PLANTED: \"s3cr3t-in-the-env\", FROM_OUTSIDE: \"${env:PLANTED_OUTSIDE}\"}\n\
         description: {non_identifying_attributes: {team: blue}}",
    )
}

#[tokio::test]
async fn diag_of_a_running_supervisor_has_everything_but_its_secrets() {
    let server = Server::start().await;
    let host = host(&server);
    let supervisor = host.start_through(&["env", &format!("PLANTED_OUTSIDE={BY_ENVIRONMENT}")]);
    server.until("the agent is healthy", |known| known.healthy()).await;
    let offer = "receivers: {otlp: {protocols: {http: }}}\n\
                 exporters: {debug: , otlphttp/x: {endpoint: 'http://me:s3cr3t-in-the-url@host:1', headers: {a: s3cr3t-in-a-config}}}\n\
                 service: {pipelines: {logs: {receivers: [otlp], exporters: [debug]}}}\n";
    server.push(&config("a.yaml", offer)).await;
    let log = host.state().join("logs/agent.log");
    let planted = format!("it prints s3cr3t-in-the-env and {BY_ENVIRONMENT} and s3cr3t-in-a-config\n");
    fs::write(&log, fs::read_to_string(&log).unwrap() + &planted).unwrap();
    let path = host.dir.path().join("bundle.tar.gz");
    let output = path.to_str().unwrap();
    let said = host.command(&["diag", "-o", output]).await.with(0);
    assert!(said.contains("wrote ") && !said.contains("left out"), "{said}");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let files = bundle(&path);
    for (name, words) in [
        ("status.json", "\"instance_uid\""),
        ("supervisor.yaml", "team: blue"),
        ("supervisor.yaml", "FROM_OUTSIDE: \"${env:PLANTED_OUTSIDE}\""),
        ("state.json", "\"live\""),
        ("live/02-remote-0.yaml", "receivers: {otlp: {protocols: {http: }}}"),
        ("agent.log", "it prints [REDACTED] and [REDACTED] and [REDACTED]"),
        ("supervisor-0.log", "the Collector runs"),
        ("host.txt", "host.arch"),
        ("host.txt", "control.sock"),
    ] {
        let text = files.get(name).unwrap_or_else(|| panic!("{name} among {:?}", files.keys()));
        assert!(text.contains(words), "{words:?} in {name}: {text}");
    }
    for (name, text) in &files {
        assert!(!text.contains("s3cr3t"), "{name}: {text}");
    }
    let again = host.command(&["diag", "-o", output]).await.with(1);
    assert!(again.contains("bundle.tar.gz"), "it does not overwrite: {again}");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn diag_without_a_supervisor_leaves_out_what_may_hold_secrets_that_nobody_knows() {
    let server = Server::start().await;
    let host = host(&server);
    fs::create_dir_all(host.state().join("logs")).unwrap();
    fs::write(host.state().join("logs/agent.log"), format!("prints {BY_ENVIRONMENT}\n")).unwrap();
    let path = host.dir.path().join("bundle.tar.gz");
    let said = host.command(&["diag", "-o", path.to_str().unwrap()]).await.with(0);
    assert!(said.contains("left out: agent.log: the values of secrets are not known"), "{said}");
    let files = bundle(&path);
    assert!(files["left-out.txt"].contains("agent.log") && !files.contains_key("agent.log"));
    assert!(files["supervisor.yaml"].contains("PLANTED: [REDACTED]"), "{}", files["supervisor.yaml"]);
    let host = host.env("PLANTED_OUTSIDE", BY_ENVIRONMENT);
    fs::remove_file(&path).unwrap();
    let said = host.command(&["diag", "-o", path.to_str().unwrap()]).await.with(0);
    assert!(!said.contains("agent.log"), "with the environment they are known: {said}");
    assert_eq!(bundle(&path)["agent.log"], "prints [REDACTED]\n");
}
