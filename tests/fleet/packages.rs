//! A Collector on its way: signed by a person, uploaded, offered over TLS to a host that enrolled, and installed there; and
//! one that is no good.

use std::{fs, io::Write, path::Path};

use tempfile::TempDir;

use crate::stand::{Host, Server, fake_collector};

/// The fake Collector as a program of its own, which behaves as these switches say.
fn program(dir: &TempDir, version: &str, switches: &str) -> String {
    let path = dir.path().join(format!("otelcol-{version}"));
    fs::copy(fake_collector(), &path).unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    write!(file, "\n# fake_collector: wrong_version={version}{switches}\n").unwrap();
    path.display().to_string()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Signs and uploads; the name of the package is `otelcol-VERSION`.
fn publish(server: &Server, dir: &TempDir, version: &str, switches: &str) {
    let artefact = program(dir, version, switches);
    let key = dir.path().join("minisign.key");
    let name = ["--name", "otelcol", "--version", version];
    server.ctl(&[&["package", "sign", &artefact, "--secret-key", text(&key)][..], &name].concat());
    server.ctl(&["package", "upload", &artefact]);
}

#[test]
fn a_collector_goes_from_its_signer_to_an_enrolled_host_and_a_bad_one_comes_back() {
    let server = Server::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    server.ctl(&["package", "keygen", "--no-password", "-o", text(dir.path())]);
    let token = server.token("site", &[]);
    let host = Host::new(&server, &token, "");
    host.takes_packages(&dir.path().join("minisign.pub"));
    let supervisor = host.start();
    let healthy = |agent: &serde_json::Value| agent["status"]["componentHealth"]["healthy"] == true;
    server.one("agents", "it is healthy", healthy);

    publish(&server, &dir, "0.150.0", "");
    let said = server.ctl(&["package", "offer", "otelcol-0.150.0", "--all", "--wait", "--yes"]);
    assert!(said.contains("Complete: 1 of 1 installed"), "{said}");
    let installed = |agent: &serde_json::Value| {
        agent["status"]["packageStatuses"]["packages"]["otelcol"]["agentHasVersion"] == "0.150.0"
            && healthy(agent)
    };
    server.one("agents", "it has the package and is healthy with it", installed);
    host.shows(&["otelcol 0.150.0: installed", "otelcol-fake 0.150.0"]);

    publish(&server, &dir, "0.151.0", ",crash_at_start");
    server.ctl(&["package", "withdraw", "otelcol-0.150.0"]);
    server.one("agents", "it keeps what it runs", installed);
    let output = server.run(&["package", "offer", "otelcol-0.151.0", "--all", "--wait", "--yes"]);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("rolled back to the Collector 0.150.0"), "{said}");
    server.one("agents", "it is well with the one before", installed);
    supervisor.stop();
    assert!(!server.log().contains("odp_"), "what lets a host download is in no log");
}
