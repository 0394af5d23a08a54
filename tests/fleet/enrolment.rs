//! A host that enrols: from a token that many may share to a certificate of its own, and the end of it.

use serde_json::Value;

use crate::stand::{Host, Server, until};

const CERTIFICATE: &str = "  client_certificate: {request: true}\n";

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

fn is(object: &Value, state: &str) -> bool {
    object["status"]["state"] == state
}

/// Whether an identity is connected, and this is the one credential that it has and uses.
fn lives_by(identity: &Value, kind: &str) -> bool {
    let credentials = identity["status"]["credentials"].as_array().unwrap();
    let used = |one: &Value| one["type"] == kind && one["usedSince"].is_string();
    identity["status"]["connected"] == true && credentials.len() == 1 && credentials.iter().all(used)
}

fn signed(server: &Server) -> usize {
    server.log().matches("signed a certificate").count()
}

#[test]
fn c_tf_01_02_s_tf_02_c_cr_05_s_cs_03_08_from_a_shared_token_to_a_certificate_and_out_and_in_again() {
    let server = Server::start(&[]);
    let token = server.token("rack", &["--max-uses", "2"]);
    let host = Host::new(&server, &token, CERTIFICATE);
    let supervisor = host.start();
    server.one("identities", "has a certificate", |identity| lives_by(identity, "Certificate"));
    host.shows(&["client certificate expires at", "as offered by the server", ": applied"]);
    assert_eq!(host.log().matches("is asked for a client certificate").count(), 1, "{}", host.log());
    assert_eq!(signed(&server), 1, "{}", server.log());

    supervisor.stop();
    server.one("identities", "is gone", |identity| identity["status"]["connected"] == false);
    let supervisor = host.start();
    let identity = server.one("identities", "is back", |identity| lives_by(identity, "Certificate"));
    assert_eq!(signed(&server), 1, "nothing was due");

    let said = server.ctl(&["rotate", "identity", name(&identity)]);
    assert!(said.contains("has a new credential"), "{said}");
    server.one("identities", "has the new secret", |identity| lives_by(identity, "Bearer"));
    supervisor.stop();
    let supervisor = host.start();
    server.one("identities", "is back with that", |identity| lives_by(identity, "Bearer"));

    server.ctl(&["revoke", "identity", name(&identity)]);
    host.logs("(1008 the credential is not valid any more)", 1);
    host.logs("the server answered 401", 1);
    host.logs("such as another token in server.headers", 1);
    host.shows(&["not connected since", "the server answered 401", "Collector   healthy"]);
    server.one("identities", "is revoked", |identity| {
        is(identity, "Revoked") && identity["status"]["connected"] == false
    });
    // As the log says, once the operator forgot who that was.
    server.ctl(&["delete", "identity", name(&identity)]);
    let again = server.token("again", &[]);
    host.change_token(&token, &again);
    let identity = server.one("identities", "is somebody new", |identity| lives_by(identity, "Certificate"));
    assert!(name(&identity).starts_with("again-"), "{identity:#}");
    supervisor.stop();
    for secret in [&*token, &*again, "oac_", "PRIVATE KEY"] {
        assert!(!server.log().contains(secret) && !host.log().contains(secret), "{secret} is in a log");
    }
}

#[test]
fn s_tf_01_c_tf_01_an_agent_waits_for_its_operator_to_be_let_in() {
    let server = Server::start(&[]);
    let token = server.token("rack", &["--manual-approval"]);
    let host = Host::new(&server, &token, CERTIFICATE);
    let supervisor = host.start();
    let identity = server.one("identities", "waits", |identity| {
        is(identity, "PendingApproval") && identity["status"]["connected"] == true
    });
    // It says what keeps it from a certificate, and is told nothing else.
    host.logs("this agent waits for an operator to approve it", 1);
    assert!(!host.log().contains("offers connection settings"), "{}", host.log());
    server.one("agents", "is seen", |agent| agent["status"]["connected"] == true);
    server.ctl(&["approve", "identity", name(&identity)]);
    server.one("identities", "is let in", |identity| lives_by(identity, "Certificate"));
    host.shows(&["client certificate expires at", ": applied"]);
    supervisor.stop();
}

#[test]
fn s_cr_03_c_cr_05_a_request_for_a_certificate_is_denied_or_granted_by_an_operator() {
    let server = Server::start(&["--csr-approval", "manual"]);
    let token = server.token("rack", &[]);
    let host = Host::new(&server, &token, CERTIFICATE);
    let supervisor = host.start();
    let request = server.one("certificaterequests", "waits", |request| is(request, "Pending"));
    supervisor.stop();
    let supervisor = host.start();
    host.logs("is asked for a client certificate", 2);
    server.one("identities", "is back", |identity| lives_by(identity, "Bearer"));
    let same = server.one("certificaterequests", "waits on", |request| is(request, "Pending"));
    assert_eq!(same, request, "a restart makes no other request of it");

    server.ctl(&["deny", "certificaterequest", name(&request), "--reason", "not this rack"]);
    host.logs("refused to sign one, it is asked again in 60s", 1);
    host.shows(&["not this rack"]);
    supervisor.stop();
    let supervisor = host.start();
    host.logs("refused to sign one, it is asked again in 60s", 2);
    server.one("certificaterequests", "nobody is asked again", |request| is(request, "Denied"));

    server.ctl(&["delete", "certificaterequest", name(&request)]);
    supervisor.stop();
    let supervisor = host.start();
    server.one("certificaterequests", "waits anew", |request| is(request, "Pending"));
    assert_eq!(signed(&server), 0, "{}", server.log());
    server.ctl(&["approve", "certificaterequest", name(&request)]);
    server.one("identities", "has a certificate", |identity| lives_by(identity, "Certificate"));
    until(|| Some(()).filter(|()| !host.status().contains("not this rack")), || host.status());
    assert_eq!(signed(&server), 1, "{}", server.log());
    supervisor.stop();
}
