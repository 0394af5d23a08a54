//! Certificates for agents: asked for, signed here or elsewhere, used, rotated and taken back.

use opamp::{
    transport::tls::Identity as Certified,
    wire::proto::{
        AgentToServer, CertificateRequest, ConnectionSettingsRequest, OpAmpConnectionSettingsRequest,
        ServerErrorResponseType, ServerToAgent, TlsCertificate,
    },
};
use rcgen::{CertificateParams, CertificateSigningRequestParams, DnType, KeyPair};
use serde_json::{Value, json};

use crate::{
    agent::Identity,
    secure::{Ca, Closed, credential, hello, taking_settings},
};

/// A key and a request for it that carries this name.
fn request(name: &str) -> (KeyPair, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    (key, pem)
}

fn asking(message: AgentToServer, csr: &str) -> AgentToServer {
    let certificate_request = Some(CertificateRequest { csr: csr.as_bytes().to_vec() });
    let opamp = Some(OpAmpConnectionSettingsRequest { certificate_request });
    let connection_settings_request = Some(ConnectionSettingsRequest { opamp });
    AgentToServer { connection_settings_request, ..taking_settings(message) }
}

fn offered(reply: &ServerToAgent) -> Option<&TlsCertificate> {
    reply.connection_settings.as_ref()?.opamp.as_ref()?.certificate.as_ref()
}

fn certified(offer: &TlsCertificate, key: &KeyPair) -> Certified {
    Certified { cert_pem: offer.cert.clone(), key_pem: key.serialize_pem().into_bytes() }
}

fn refused(reply: &ServerToAgent) -> String {
    let error = reply.error_response.as_ref().unwrap_or_else(|| panic!("no error in {reply:?}"));
    assert_eq!(error.r#type(), ServerErrorResponseType::BadRequest);
    error.error_message.clone()
}

/// An agent that enrolled, with its bearer credential.
async fn enrolled(server: &Closed, last: u16) -> (Identity, String) {
    let token = server.token(json!({"maxUses": 9})).await;
    let mut agent = Identity::new(last);
    let reply = server.post(&server.agents(), Some(&token), &hello(&mut agent)).await.unwrap();
    (agent, credential(&reply))
}

async fn requests(server: &Closed) -> Vec<Value> {
    server.bench.get("/api/v1/certificaterequests").await["items"].as_array().unwrap().clone()
}

async fn answer(server: &Closed, what: &str, request: &Value, body: Value) -> (u16, String) {
    let name = request["metadata"]["name"].as_str().unwrap();
    let path = format!("/api/v1/certificaterequests/{name}/{what}");
    let answer = server.bench.api("POST", &path, Some(body)).await;
    (answer.status, answer.text())
}

#[tokio::test]
async fn s_cr_02_s_ct_01_b_ct_01_s_cs_03_a_request_is_signed_and_the_certificate_replaces_the_secret() {
    let server = Closed::new().await;
    let (mut agent, own) = enrolled(&server, 1).await;
    let mut socket = server.agents().socket(Some(&own)).await.unwrap();
    let reply = socket.ask(&hello(&mut agent)).await;
    assert_eq!(reply.capabilities & 0x60, 0x60, "offers settings, and takes requests");
    let (key, csr) = request(&agent.uid.to_string());
    let reply = socket.ask(&asking(agent.heartbeat(), &csr)).await;
    let offer = offered(&reply).expect("a certificate in the answer");
    assert!(offer.cert.starts_with(b"-----BEGIN CERTIFICATE") && offer.private_key.is_empty());
    assert!(offer.ca_cert.starts_with(b"-----BEGIN CERTIFICATE"));
    // The same request once more, its answer may be lost: the same certificate, and no second one.
    let again = server.agents().socket(Some(&own)).await.unwrap().ask(&asking(agent.heartbeat(), &csr)).await;
    assert_eq!(offered(&again).unwrap().cert, offer.cert);

    let by_certificate = server.agents().with(certified(offer, &key));
    let mut next = by_certificate.socket(None).await.unwrap();
    assert!(next.ask(&agent.heartbeat()).await.error_response.is_none());
    assert_eq!(server.agents().socket(Some(&own)).await.err(), Some(401), "the secret is gone");
    // What still stands in the header does not matter beside a certificate.
    assert!(by_certificate.socket(Some("Bearer old")).await.is_ok());
    let shown = &server.identities().await[0]["status"]["credentials"];
    assert_eq!((shown[0]["type"].as_str(), shown.as_array().unwrap().len()), (Some("Certificate"), 1));
    // Over plain HTTP, and after a restart.
    assert!(server.post(&by_certificate, None, &agent.heartbeat()).await.is_ok());
    let server = server.restart().await;
    let by_certificate = server.agents().with(certified(offer, &key));
    assert!(server.post(&by_certificate, None, &agent.heartbeat()).await.is_ok());
}

#[tokio::test]
async fn s_cs_03_a_rotated_secret_counts_beside_the_certificate_that_it_replaces() {
    let server = Closed::new().await;
    let (mut agent, own) = enrolled(&server, 1).await;
    let agents = server.agents();
    let (key, csr) = request(&agent.uid.to_string());
    let reply = agents.socket(Some(&own)).await.unwrap().ask(&asking(hello(&mut agent), &csr)).await;
    let by_certificate = agents.with(certified(offered(&reply).unwrap(), &key));
    // The secret before stands in the header still: it is the certificate that counts.
    let mut socket = by_certificate.socket(Some(&own)).await.unwrap();
    socket.ask(&hello(&mut agent)).await;
    assert_eq!(agents.socket(Some(&own)).await.err(), Some(401), "the certificate was used");

    server.order("rotate", &server.identities().await[0]).await;
    let new = credential(&socket.recv().await);
    socket.ask(&agent.heartbeat()).await;
    let kinds = || async {
        let shown = server.identities().await[0]["status"]["credentials"].clone();
        shown
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["type"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds().await, ["Certificate", "Bearer"], "both count until the new one was used");
    by_certificate.socket(Some(&new)).await.unwrap().ask(&agent.heartbeat()).await;
    assert_eq!(kinds().await, ["Bearer"]);
    assert_eq!(by_certificate.socket(None).await.err(), Some(401), "the certificate is gone");
    assert!(by_certificate.socket(Some(&new)).await.is_ok() && agents.socket(Some(&new)).await.is_ok());
}

#[tokio::test]
async fn s_cr_03_05_07_a_request_that_is_not_sound_is_answered_with_bad_request() {
    let server = Closed::new().await;
    let token = server.token(json!({"maxUses": 2})).await;
    let agents = server.agents();
    let (mut agent, mut polling) = (Identity::new(1), Identity::new(2));
    let other = request(&Identity::new(3).uid.to_string()).1;
    let mut socket = agents.socket(Some(&token)).await.unwrap();
    socket.ask(&hello(&mut agent)).await;
    server.post(&agents, Some(&token), &polling.full_report()).await.unwrap();
    for (csr, word) in [("nonsense", "PEM"), (other.as_str(), "instance uid"), ("", "PEM")] {
        socket.ask(&asking(agent.heartbeat(), csr)).await;
        assert!(refused(&socket.recv().await).contains(word), "{csr}");
        let message = AgentToServer {
            connection_settings_request: asking(polling.clone().heartbeat(), csr).connection_settings_request,
            ..polling.heartbeat()
        };
        let reply = server.post(&agents, Some(&token), &message).await.unwrap();
        assert!(refused(&reply).contains(word), "{csr}");
    }
    // Empty is nothing to act on.
    let request = Some(ConnectionSettingsRequest { opamp: None });
    let empty = AgentToServer { connection_settings_request: request, ..agent.heartbeat() };
    assert!(socket.ask(&empty).await.error_response.is_none());
}

#[tokio::test]
async fn s_cr_06_a_certificate_that_names_the_old_uid_is_no_reason_to_refuse_a_request_with_the_new_one() {
    let server = Closed::new().await;
    let (mut agent, own) = enrolled(&server, 1).await;
    let (key, csr) = request(&agent.uid.to_string());
    let agents = server.agents();
    let mut socket = agents.socket(Some(&own)).await.unwrap();
    let reply = socket.ask(&asking(hello(&mut agent), &csr)).await;
    let by_certificate = agents.with(certified(offered(&reply).unwrap(), &key));
    let mut socket = by_certificate.socket(None).await.unwrap();
    socket.ask(&hello(&mut agent)).await;

    agent.uid = Identity::new(9).uid;
    let (new_key, csr) = request(&agent.uid.to_string());
    let reply = socket.ask(&asking(hello(&mut agent), &csr)).await;
    let rotated = agents.with(certified(offered(&reply).expect("a new certificate"), &new_key));
    let mut next = rotated.socket(None).await.unwrap();
    assert!(next.ask(&agent.heartbeat()).await.agent_identification.is_none());
    assert_eq!(by_certificate.socket(None).await.err(), Some(401), "the old one was replaced");
}

#[tokio::test]
async fn s_tf_01_s_cr_03_with_manual_approval_an_operator_grants_or_denies() {
    let server =
        Closed::with(|options, _| options.csr_approval = opamp::server::identity::Approval::Manual).await;
    let (mut agent, own) = enrolled(&server, 1).await;
    let agents = server.agents();
    let mut socket = agents.socket(Some(&own)).await.unwrap();
    socket.ask(&hello(&mut agent)).await;
    let (_, first) = request("edge-1");
    let reply = socket.ask(&asking(agent.heartbeat(), &first)).await;
    assert!(reply.error_response.is_none() && offered(&reply).is_none());
    let waiting = requests(&server).await;
    assert_eq!((waiting[0]["status"]["state"].as_str(), waiting.len()), (Some("Pending"), 1));
    assert_eq!(waiting[0]["spec"]["subject"], "CN=edge-1");
    let (status, _) = answer(&server, "deny", &waiting[0], json!({"reason": "not this one"})).await;
    assert_eq!(status, 200);
    assert!(refused(&socket.recv().await).contains("not this one"));
    let (status, text) = answer(&server, "approve", &waiting[0], json!({})).await;
    assert!(status == 409 && text.contains("answered already"), "{text}");

    let (key, second) = request("edge-1");
    socket.ask(&asking(agent.heartbeat(), &second)).await;
    let waiting = requests(&server).await;
    assert_eq!(waiting.len(), 1, "a new request takes the place of the old one");
    assert_eq!(answer(&server, "approve", &waiting[0], json!({})).await.0, 200);
    let pushed = socket.recv().await;
    let by_certificate = agents.with(certified(offered(&pushed).expect("a certificate"), &key));
    assert!(by_certificate.socket(None).await.is_ok());
}

#[tokio::test]
async fn s_se_02_a_certificate_may_be_signed_where_the_cas_key_is() {
    let elsewhere = Ca::new("elsewhere");
    let pem = elsewhere.pem();
    let server = Closed::with(|options, files| {
        options.csr_approval = opamp::server::identity::Approval::Manual;
        let path = files.join("elsewhere.pem");
        std::fs::write(&path, &pem).unwrap();
        options.opamp.tls.as_mut().unwrap().client_cas = vec![path];
    })
    .await;
    let (mut agent, own) = enrolled(&server, 1).await;
    let agents = server.agents();
    let mut socket = agents.socket(Some(&own)).await.unwrap();
    let (key, csr) = request("edge-1");
    socket.ask(&asking(hello(&mut agent), &csr)).await;
    let waiting = requests(&server).await;
    let sign = |ca: &Ca, csr: &str| {
        let mut request = CertificateSigningRequestParams::from_pem(csr).unwrap();
        request.params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        request.signed_by(&ca.0).unwrap().pem()
    };
    for (certificate, word) in [
        (sign(&Ca::new("stranger"), &csr), "--opamp-client-ca"),
        (sign(&elsewhere, &request("edge-1").1), "key of this request"),
        ("nonsense".to_owned(), "PEM"),
    ] {
        let (status, text) =
            answer(&server, "approve", &waiting[0], json!({"certificate": certificate})).await;
        assert!(status == 400 && text.contains(word), "{text}");
    }
    let body = json!({"certificate": sign(&elsewhere, &csr), "caCertificate": elsewhere.pem()});
    assert_eq!(answer(&server, "approve", &waiting[0], body).await.0, 200);
    let pushed = socket.recv().await;
    let offer = offered(&pushed).expect("the certificate");
    assert_eq!(offer.ca_cert, elsewhere.pem().into_bytes());
    assert!(agents.with(certified(offer, &key)).socket(None).await.is_ok());
    assert!(!server.bench.dir.path().join("ca.key").exists(), "no CA was made here");
}

#[tokio::test]
async fn s_cs_08_b_tc_03_a_revoked_certificate_is_cut_off_also_one_of_an_operators_ca() {
    let ours = Ca::new("ours");
    let pem = ours.pem();
    let server = Closed::with(|options, files| {
        let path = files.join("ours.pem");
        std::fs::write(&path, &pem).unwrap();
        options.opamp.tls.as_mut().unwrap().client_cas = vec![path];
    })
    .await;
    let (mut agent, mut other) = (Identity::new(1), Identity::new(2));
    let edge = server.agents().with(ours.client("edge-1"));
    let mut socket = edge.socket(None).await.unwrap();
    socket.ask(&hello(&mut agent)).await;
    assert!(server.post(&edge, None, &agent.heartbeat()).await.is_ok());
    // Another one of that CA is another identity.
    let mut stays = server.agents().with(ours.client("edge-2")).socket(None).await.unwrap();
    stays.ask(&hello(&mut other)).await;
    let shown = server.identities().await;
    assert_eq!(shown.len(), 2);
    let mine = shown.iter().find(|one| one["status"]["enrolledWith"]["certificate"] == "CN=edge-1").unwrap();
    assert!(mine["metadata"]["name"].as_str().unwrap().starts_with("edge-1-"), "{mine}");

    server.order("revoke", mine).await;
    assert_eq!(u16::from(socket.closed().await.expect("a closing handshake").code), 1008);
    assert_eq!(edge.socket(None).await.err(), Some(401));
    assert_eq!(server.post(&edge, None, &agent.heartbeat()).await, Err(401));
    // A renewed certificate of the same name is the same identity.
    assert_eq!(server.agents().with(ours.client("edge-1")).socket(None).await.err(), Some(401));
    assert!(stays.ask(&other.heartbeat()).await.error_response.is_none());
}

#[tokio::test]
async fn s_cr_03_without_tls_or_enrolment_no_request_is_taken() {
    use crate::{agent::Socket, harness::Bench};
    let bench = Bench::new().await;
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    let reply = socket.ask(&hello(&mut agent)).await;
    assert_eq!(reply.capabilities & 0x40, 0);
    socket.ask(&asking(agent.heartbeat(), &request("a").1)).await;
    assert!(refused(&socket.recv().await).contains("takes no certificate requests"));
}
