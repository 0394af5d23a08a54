//! Nothing secret reaches a log: not in `Debug`, not in a message.

use crate::support::{bad, good, with};

#[test]
fn debug_shows_no_secret() {
    let text = with(
        "headers: {Authorization: Bearer hush1, X: ['${TOKEN}']}\ntls: {cert_pem: C, key_pem: hush2}",
        "env: {PASSWORD: hush3}",
        "",
    )
    .replace("wss://", "wss://user:hush4@")
    .replace("/v1/opamp", "/v1/opamp?key=hush5");
    let loaded = good(&text);
    let shown = format!("{loaded:?} {}", loaded.config.server.endpoint);
    assert!(!shown.contains("hush") && !shown.contains("s3cr3t"), "{shown}");
    assert!(shown.contains("[REDACTED]") && shown.contains("Authorization") && shown.contains("PASSWORD"));
}

#[test]
fn messages_show_no_secret() {
    for (server, agent) in [
        ("headers: hush", ""),
        ("headers: {A: {b: hush}}", ""),
        ("headers: {A: [[hush]]}", ""),
        ("headers: {A: \"hush\\u0001\"}", ""),
        ("tls: {key_pem: [hush]}", ""),
        ("tls: {key_pem: hush}", ""),
        ("", "env: hush"),
        ("", "env: {A: [hush]}"),
        ("", "opamp_server_port: ${TOKEN}"),
        ("", "bootstrap_timeout: ${TOKEN}"),
        ("", "passthrough_logs: x${TOKEN}"),
        ("", "description: ${TOKEN}"),
    ] {
        let said = bad(&with(server, agent, "")).join("\n");
        assert!(!said.contains("hush") && !said.contains("s3cr3t"), "{said}");
    }
    let endpoint = "server: {endpoint: 'tcp://user:hush@host'}\nagent: {executable: /col}\n";
    assert!(!bad(endpoint).join("\n").contains("hush"));
}
