//! TLS to the server, and what an offer of other connection settings does to it: nothing.

use std::{net::SocketAddr, path::Path, sync::Arc};

use opamp::wire::proto::{ConnectionSettingsOffers, OpAmpConnectionSettings, ServerToAgent};
use rustls::{ServerConfig, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};
use tokio_rustls::TlsAcceptor;

use super::harness::{Host, Server, real_collector};

/// Who stands in front of the server.
#[derive(Clone, Copy, PartialEq)]
enum Face {
    /// Has a certificate of the configured CA.
    Known,
    /// Has the right name in a certificate of its own making.
    Stranger,
}

fn certs() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transport/certs")
}

fn acceptor(face: Face) -> TlsAcceptor {
    let name = if face == Face::Known { "server" } else { "stranger" };
    let chain = CertificateDer::pem_file_iter(certs().join(format!("{name}.pem"))).unwrap();
    let key = PrivateKeyDer::from_pem_file(certs().join(format!("{name}.key"))).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.collect::<Result<_, _>>().unwrap(), key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Passes TLS connections on to a plain server; a change of face cuts those that are open.
async fn front(to: SocketAddr, mut face: watch::Receiver<Face>, refused: mpsc::Sender<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let now = *face.borrow_and_update();
            match acceptor(now).accept(stream).await {
                Ok(mut secure) => {
                    let mut plain = TcpStream::connect(to).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut secure, &mut plain) => {}
                        changed = face.changed() => changed.unwrap(),
                    }
                }
                Err(error) => refused.send(error.to_string()).await.unwrap(),
            }
        }
    });
    address
}

#[tokio::test]
async fn defect_tls_is_never_weakened_by_an_offer_of_connection_settings() {
    let server = Server::start().await;
    let plain = server.endpoint.split('/').nth(2).unwrap().parse().unwrap();
    let (turn, face) = watch::channel(Face::Known);
    let (refused, mut refusals) = mpsc::channel(64);
    let front = front(plain, face, refused).await;
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::copy(certs().join("ca.pem"), &ca).unwrap();
    let host = Host::new(&server.endpoint, &real_collector()).quiet(&[]).server(&format!(
        "endpoint: \"wss://{front}/v1/opamp\", tls: {{ca_file: \"{}\", server_name_override: opamp.example}}",
        ca.display()
    ));
    let supervisor = host.start();
    server.until("the agent is healthy over TLS", |known| known.healthy()).await;

    // Another server, and no word on certificates: the established one turned verification off and left.
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("ws://{}/v1/opamp", elsewhere.local_addr().unwrap());
    let opamp = OpAmpConnectionSettings { destination_endpoint: endpoint, ..Default::default() };
    let offers = ConnectionSettingsOffers { hash: vec![1], opamp: Some(opamp), ..Default::default() };
    server.say(ServerToAgent { connection_settings: Some(offers), ..Default::default() }).await;
    host.logs("offers connection settings that this agent does not accept").await;

    turn.send(Face::Stranger).unwrap();
    let refusal = tokio::time::timeout(std::time::Duration::from_secs(40), refusals.recv());
    let refusal = refusal.await.expect("it dials again").unwrap();
    assert!(refusal.contains("CertificateUnknown"), "{refusal}");
    host.logs("self-signed and not listed").await;
    turn.send(Face::Known).unwrap();
    // It would wait for half a minute and more; a file that changed is tried at once.
    let renewed = std::fs::read(&ca).unwrap();
    std::fs::write(&ca, [&renewed[..], b"\n"].concat()).unwrap();
    server.until("it is back where it was", |known| known.connections == 2 && known.healthy()).await;
    let nobody = std::future::poll_fn(|context| std::task::Poll::Ready(elsewhere.poll_accept(context))).await;
    assert!(nobody.is_pending(), "nobody came to the offered server");
    assert!(supervisor.stop().await.success());
}
