//! A client certificate of the agent's own, asked for with a CSR and signed by a CA that stands behind the server.

use std::time::Duration;

use opamp::wire::{
    InstanceUid,
    proto::{
        AgentIdentification, AgentToServer, ConnectionSettingsStatuses as Status, OpAmpConnectionSettings,
        ServerErrorResponse, ServerErrorResponseType, ServerToAgent, TlsCertificate,
    },
};
use rcgen::{CertificateSigningRequestParams, DnType, DnValue, PublicKeyData};
use tokio::time::{interval, timeout};

use super::{
    connection::{host, offer, outcome, settings, state},
    harness::{Ca, DEADLINE, Gate, Host, Known, Rule, Server, der},
};

/// The CSR of a message, if it has one.
fn csr_of(message: &AgentToServer) -> Option<String> {
    let request =
        message.connection_settings_request.as_ref()?.opamp.as_ref()?.certificate_request.as_ref()?;
    Some(String::from_utf8(request.csr.clone()).unwrap())
}

/// The CSRs so far; one that is asked again is the same, to the byte.
fn csrs(server: &Server) -> Vec<String> {
    let mut all: Vec<_> = server.messages().iter().filter_map(csr_of).collect();
    all.dedup();
    all
}

fn key(csr: &str) -> Vec<u8> {
    CertificateSigningRequestParams::from_pem(csr).unwrap().public_key.der_bytes().to_vec()
}

/// Waits until this many were asked for.
async fn csr(server: &Server, number: usize) -> String {
    let waiting = async {
        let mut tick = interval(Duration::from_millis(10));
        while csrs(server).len() < number {
            tick.tick().await;
        }
    };
    assert!(timeout(DEADLINE, waiting).await.is_ok(), "{number} are not among {:?}", csrs(server));
    csrs(server)[number - 1].clone()
}

fn named(csr_pem: &str) -> String {
    let read = CertificateSigningRequestParams::from_pem(csr_pem).unwrap();
    match read.params.distinguished_name.get(&DnType::CommonName) {
        Some(DnValue::Utf8String(name)) => name.clone(),
        other => panic!("{other:?}"),
    }
}

fn issued(cert: &str, endpoint: String) -> OpAmpConnectionSettings {
    let certificate = TlsCertificate { cert: cert.into(), ..Default::default() };
    OpAmpConnectionSettings { certificate: Some(certificate), ..settings(endpoint) }
}

struct Scene {
    server: Server,
    clients: Ca,
    /// Lets in who has the token, and who has a certificate of the clients' CA.
    before: Gate,
    after: Gate,
    host: Host,
}

impl Scene {
    async fn new() -> Self {
        let server = Server::start().await;
        let (servers, clients) = (Ca::new("servers"), Ca::new("clients"));
        let before = Gate::start(&server, Rule::Only("Bearer enrol-me"), Some(servers.acceptor(None))).await;
        let after = Gate::start(&server, Rule::Open, Some(servers.acceptor(Some(&clients)))).await;
        let host = host(&format!(
            "endpoint: \"{}\", headers: {{Authorization: Bearer enrol-me}}, tls: {{ca_pem: \"{}\"}}, \
             client_certificate: {{request: true}}",
            before.endpoint("wss"),
            servers.pem.replace('\r', "").replace('\n', "\\n")
        ));
        Self { server, clients, before, after, host }
    }

    async fn asked(&self, number: usize) -> String {
        self.server.until("the agent is healthy", Known::healthy).await;
        csr(&self.server, number).await
    }
}

#[tokio::test]
async fn c_cr_01_02_03_04_05_c_tf_01_a_certificate_is_asked_for_tried_and_used_from_then_on() {
    let scene = Scene::new().await;
    let Scene { server, clients, before, after, host } = &scene;
    let supervisor = host.start();
    let csr = scene.asked(1).await;
    let uid = server.messages()[0].instance_uid.clone();
    assert_eq!(named(&csr), InstanceUid::try_from(&*uid).unwrap().to_string());
    // Whoever has to approve it takes a while: it is not asked for again and again, and survives a restart.
    assert!(supervisor.stop().await.success());
    let supervisor = host.start();
    server.until("it is back", Known::healthy).await;
    let again = server.until("it asks again", |known| known.connections >= 2).await;
    assert!(again.connections == 2 && csrs(server) == [csr.clone()], "the same request");
    // One that is of no use is not what a request that is made later gets again.
    let useless = Ca::new("nobody knows it").sign(&csr, 2020, 2060);
    offer(server, b"useless", issued(&useless, after.endpoint("wss"))).await;
    outcome(server, b"useless", Status::Failed).await;
    assert!(supervisor.stop().await.success());
    let supervisor = host.start();
    let first = csr;
    let csr = self::csr(server, 2).await;
    assert!(csr != first && key(&csr) == key(&first), "another request, for the same key");

    let cert = clients.sign(&csr, 2020, 2060);
    offer(server, b"issued", issued(&cert, after.endpoint("wss"))).await;
    outcome(server, b"issued", Status::Applied).await;
    assert_eq!(after.visitors()[0].certificate, Some(der(&cert)));
    let shown = host.command(&["status"]).await.with(0);
    assert!(shown.contains("client certificate expires at 2060-01-01"), "{shown}");
    assert!(!host.log().contains("PRIVATE KEY"));
    assert!(supervisor.stop().await.success());
    let supervisor = host.start();
    server.until("it is back", Known::healthy).await;
    assert_eq!((after.visitors().len(), before.visitors().len()), (2, 4));
    assert_eq!(csrs(server).len(), 2, "nothing is due");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn c_cr_06_07_c_ct_01_c_id_07_a_certificate_is_renewed_in_time_and_for_another_uid() {
    let scene = Scene::new().await;
    let Scene { server, clients, after, host, .. } = &scene;
    let supervisor = host.start();
    let first = scene.asked(1).await;
    // Most of its life is over: the next one is due at once, with a new key.
    let old = clients.sign(&first, 2020, 2027);
    offer(server, b"first", issued(&old, after.endpoint("wss"))).await;
    outcome(server, b"first", Status::Applied).await;
    let second = csr(server, 2).await;
    assert!(key(&first) != key(&second));
    let young = clients.sign(&second, 2026, 2060);
    offer(server, b"second", issued(&young, String::new())).await;
    outcome(server, b"second", Status::Applied).await;
    after.visited(|visitor| visitor.certificate == Some(der(&young))).await;
    assert!(!state(host).contains(old.lines().nth(3).unwrap()), "the one before is forgotten");

    let new = InstanceUid::from_bytes([9; 16]);
    let agent_identification = Some(AgentIdentification { new_instance_uid: new.to_vec() });
    server.say(ServerToAgent { agent_identification, ..Default::default() }).await;
    assert_eq!(named(&csr(server, 3).await), new.to_string());
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn c_cr_01_03_a_refusal_is_told_and_over_a_plain_connection_nobody_is_asked() {
    let scene = Scene::new().await;
    let Scene { server, host, .. } = &scene;
    let supervisor = host.start();
    scene.asked(1).await;
    let error_response = Some(ServerErrorResponse {
        r#type: ServerErrorResponseType::BadRequest as i32,
        error_message: "not on the list".into(),
        ..Default::default()
    });
    server.say(ServerToAgent { error_response, ..Default::default() }).await;
    host.logs("refused to sign one, it is asked again in 60s: not on the list").await;
    let shown = host.command(&["status"]).await.with(0);
    assert!(shown.contains("refused to sign one") && shown.contains("not on the list"), "{shown}");
    assert!(supervisor.stop().await.success());

    let server = Server::start().await;
    let host = super::connection::host(&format!(
        "endpoint: \"{}\", client_certificate: {{request: true}}",
        server.endpoint
    ));
    let supervisor = host.start();
    let told = |known: &Known| {
        let health = known.view.as_ref().and_then(|view| view.report.health.clone());
        known.healthy() && format!("{health:?}").contains("without TLS")
    };
    server.until("it says why it does not ask", told).await;
    assert_eq!(csrs(&server), [] as [String; 0]);
    assert!(supervisor.stop().await.success());
}
