//! TLS on both planes.

use std::path::Path;

use opamp::{
    server::{Options, Server, config::Settings},
    wire::body,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::time::timeout;

use crate::{
    agent::{Identity, LIMIT},
    harness::WITHIN,
    secure::{Ca, Dialler, shown, write},
};

fn settings(dir: &Path, ca: &Ca) -> Settings {
    let (cert, key) = write(dir, &ca.server());
    Settings {
        opamp_listen: Some("127.0.0.1:0".to_owned()),
        api_listen: Some("127.0.0.1:0".to_owned()),
        data_dir: Some(dir.join("data")),
        opamp_tls_cert: Some(cert.clone()),
        opamp_tls_key: Some(key.clone()),
        api_tls_cert: Some(cert),
        api_tls_key: Some(key),
        agent_auth: Some(opamp::server::config::AgentAuth::None),
        ..Default::default()
    }
}

async fn start(dir: &Path, ca: &Ca) -> Server {
    Server::start(&settings(dir, ca).options().unwrap()).await.unwrap()
}

#[tokio::test]
async fn s_tc_01_both_transports_and_the_api_over_tls() {
    let (dir, ca) = (tempfile::tempdir().unwrap(), Ca::new("tls"));
    let server = start(dir.path(), &ca).await;
    let agents = Dialler::new(server.opamp, &ca);
    let (mut one, mut two) = (Identity::new(1), Identity::new(2));
    let mut socket = agents.socket(None).await.unwrap();
    assert_eq!(socket.ask(&one.full_report()).await.instance_uid, one.uid.to_vec());
    let message = body::encode(&two.full_report(), LIMIT).unwrap();
    let headers = [("content-type", "application/x-protobuf")];
    assert_eq!(agents.http("POST", "/v1/opamp", &headers, &message).await.status, 200);

    let operators = Dialler::new(server.api, &ca);
    let token = std::fs::read_to_string(dir.path().join("data/admin.token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let path = "/api/v1/namespaces/default/agents";
    let shown = operators.http("GET", path, &[("authorization", &bearer)], b"").await.json();
    assert_eq!(shown["items"].as_array().unwrap().len(), 2);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let login = operators.http("POST", "/login", &form, format!("token={}", token.trim()).as_bytes()).await;
    assert!(login.headers["set-cookie"].ends_with("; Secure"), "{:?}", login.headers);
    // A stranger's CA is not believed, and plain HTTP is no TLS.
    assert!(Dialler::new(server.opamp, &Ca::new("other")).dial().await.is_err());
    let plain = timeout(WITHIN, tokio::net::TcpStream::connect(server.api)).await.unwrap().unwrap();
    let mut text = Vec::new();
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut plain = plain;
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let _ = timeout(WITHIN, plain.read_to_end(&mut text)).await.expect("an end in time");
    assert!(!String::from_utf8_lossy(&text).contains("ok"), "{text:?}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_new_certificate_is_taken_without_a_restart_and_connections_live_on() {
    let (dir, ca) = (tempfile::tempdir().unwrap(), Ca::new("tls"));
    let server = start(dir.path(), &ca).await;
    let agents = Dialler::new(server.opamp, &ca);
    let mut agent = Identity::new(1);
    let mut socket = agents.socket(None).await.unwrap();
    socket.ask(&agent.full_report()).await;

    // What cannot be used changes nothing: the old one is still shown when the good one comes.
    std::fs::write(dir.path().join("server.pem"), "no certificate").unwrap();
    agents.dial().await.expect("the certificate that was read before");
    let new = ca.server();
    write(dir.path(), &new);
    let wanted = CertificateDer::from_pem_slice(&new.cert_pem).unwrap();
    let replaced = async {
        while shown(&agents.dial().await.unwrap()).as_ref() != wanted.as_ref() {
            tokio::task::yield_now().await;
        }
    };
    timeout(WITHIN, replaced).await.expect("the new certificate in time");
    socket.ask(&agent.heartbeat()).await;
    server.stop().await.unwrap();
}

/// What a start with these settings says, and its exit code.
async fn refused(change: impl FnOnce(&mut Options)) -> (String, u8) {
    let (dir, ca) = (tempfile::tempdir().unwrap(), Ca::new("tls"));
    let mut options = settings(dir.path(), &ca).options().unwrap();
    change(&mut options);
    match Server::start(&options).await {
        Ok(_) => panic!("it started"),
        Err(error) => (error.to_string(), error.exit_code()),
    }
}

#[tokio::test]
async fn wrong_tls_files_are_named_with_what_is_wrong_and_exit_78() {
    let (said, code) = refused(|options| {
        options.opamp.tls.as_mut().unwrap().cert = "/nonexistent/c.pem".into();
    })
    .await;
    assert!(code == 78 && said.contains("--opamp-tls-cert /nonexistent/c.pem"), "{said}");

    let (said, code) = refused(|options| {
        let tls = options.api.tls.as_mut().unwrap();
        tls.cert = tls.key.clone();
    })
    .await;
    assert!(code == 78 && said.contains("--api-tls-cert") && said.contains("no PEM certificate"), "{said}");

    let (said, code) = refused(|options| {
        let tls = options.opamp.tls.as_mut().unwrap();
        let other = tls.key.with_file_name("other.key");
        std::fs::write(&other, Ca::new("other").server().key_pem).unwrap();
        tls.key = other;
    })
    .await;
    assert!(code == 78 && said.contains("other.key") && !said.contains("PRIVATE"), "{said}");

    let (said, code) = refused(|options| {
        let tls = options.opamp.tls.as_mut().unwrap();
        tls.client_cas = vec![tls.key.clone()];
    })
    .await;
    assert!(code == 78 && said.contains("--opamp-client-ca"), "{said}");
}

#[tokio::test]
async fn beyond_loopback_tls_is_enough_for_operators_and_agents_must_prove_who_they_are() {
    let anywhere = |options: &mut Options| options.opamp.address = "0.0.0.0:0".to_owned();
    let (said, code) = refused(anywhere).await;
    assert!(code == 78 && said.contains("--agent-auth none") && said.contains("--insecure-agents"), "{said}");

    let (dir, ca) = (tempfile::tempdir().unwrap(), Ca::new("tls"));
    let settings = Settings {
        opamp_listen: Some("0.0.0.0:0".to_owned()),
        api_listen: Some("0.0.0.0:0".to_owned()),
        agent_auth: None,
        ..settings(dir.path(), &ca)
    };
    let server = Server::start(&settings.options().unwrap()).await.expect("no consent is needed");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_client_certificate_of_a_strangers_ca_ends_the_handshake() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (dir, ca) = (tempfile::tempdir().unwrap(), Ca::new("tls"));
    let mut options = settings(dir.path(), &ca).options().unwrap();
    let cas = dir.path().join("clients.pem");
    std::fs::write(&cas, ca.pem()).unwrap();
    options.opamp.tls.as_mut().unwrap().client_cas = vec![cas];
    let server = Server::start(&options).await.unwrap();
    let agents = Dialler::new(server.opamp, &ca);
    let head = b"GET /v1/opamp HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let asked = |dialler: Dialler| async move {
        let mut stream = dialler.dial().await?;
        stream.write_all(head).await?;
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.map(|_| String::from_utf8_lossy(&text).into_owned())
    };
    assert!(asked(agents.clone()).await.unwrap().starts_with("HTTP/1.1 426"), "none is needed");
    assert!(asked(agents.with(ca.client("a"))).await.unwrap().starts_with("HTTP/1.1 426"));
    let refused = timeout(WITHIN, asked(agents.with(Ca::new("other").client("a")))).await.unwrap();
    let alert = refused.unwrap_err().to_string();
    assert!(alert.contains("alert"), "{alert}");
    server.stop().await.unwrap();
}
