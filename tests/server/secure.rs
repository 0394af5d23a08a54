//! A CA of the test's own, and TLS connections to the server.

use std::{net::SocketAddr, path::Path, sync::Arc};

use opamp::{
    server::{Options, config::Settings},
    transport::tls::{Identity as Certified, TlsOptions},
    wire::{
        CONTENT_TYPE, body,
        proto::{AgentCapabilities, AgentToServer, ServerToAgent},
    },
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    client_async,
    tungstenite::{self, client::IntoClientRequest, http::HeaderValue},
};

use crate::{
    agent::{CAPABILITIES, Identity, LIMIT, Socket},
    harness::{Answer, Bench, WITHIN, http_on},
};

pub(crate) struct Ca(pub(crate) CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a server on loopback, with its key.
    pub(crate) fn server(&self) -> Certified {
        let params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate for a client of this name, with its key.
    pub(crate) fn client(&self, name: &str) -> Certified {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Certified {
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Certified { cert_pem: cert.pem().into_bytes(), key_pem: key.serialize_pem().into_bytes() }
    }
}

/// Writes a certificate and its key where a server will read them; the names of the two files.
pub(crate) fn write(dir: &Path, one: &Certified) -> (std::path::PathBuf, std::path::PathBuf) {
    let (cert, key) = (dir.join("server.pem"), dir.join("server.key"));
    // The key first: the server looks at both, and takes them when they fit.
    std::fs::write(&key, &one.key_pem).unwrap();
    std::fs::write(&cert, &one.cert_pem).unwrap();
    (cert, key)
}

/// How a client connects.
#[derive(Clone)]
pub(crate) struct Dialler {
    pub(crate) address: SocketAddr,
    pub(crate) tls: TlsOptions,
}

impl Dialler {
    pub(crate) fn new(address: SocketAddr, ca: &Ca) -> Self {
        let tls = TlsOptions { ca_pem: Some(ca.pem().into_bytes()), ..Default::default() };
        Self { address, tls }
    }

    pub(crate) fn with(&self, identity: Certified) -> Self {
        Self { tls: TlsOptions { identity: Some(identity), ..self.tls.clone() }, ..*self }
    }

    pub(crate) async fn dial(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(self.tls.build().unwrap());
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        timeout(WITHIN, connector.connect(name, stream)).await.expect("a handshake in time")
    }

    pub(crate) async fn http(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let host = format!("localhost:{}", self.address.port());
        http_on(self.dial().await.unwrap(), &host, method, path, headers, body).await
    }

    /// A WebSocket, or the status that was answered instead.
    pub(crate) async fn socket(
        &self,
        authorization: Option<&str>,
    ) -> Result<Socket<TlsStream<TcpStream>>, u16> {
        let url = format!("wss://localhost:{}/v1/opamp", self.address.port());
        let mut request = url.into_client_request().unwrap();
        if let Some(value) = authorization {
            request.headers_mut().insert("authorization", HeaderValue::from_str(value).unwrap());
        }
        match client_async(request, self.dial().await.unwrap()).await {
            Ok((socket, _)) => Ok(Socket(socket)),
            Err(tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The certificate that a server shows.
pub(crate) fn shown(stream: &TlsStream<TcpStream>) -> Arc<[u8]> {
    stream.get_ref().1.peer_certificates().unwrap()[0].as_ref().into()
}

/// A server over TLS whose agents must prove who they are.
pub(crate) struct Closed {
    pub(crate) bench: Bench,
    pub(crate) ca: Ca,
    pub(crate) options: Options,
    _files: TempDir,
}

impl Closed {
    pub(crate) async fn new() -> Self {
        Self::with(|_, _| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Options, &Path)) -> Self {
        let (files, dir, ca) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Ca::new("server"));
        let (cert, key) = write(files.path(), &ca.server());
        let settings = Settings {
            opamp_listen: Some("127.0.0.1:0".to_owned()),
            api_listen: Some("127.0.0.1:0".to_owned()),
            data_dir: Some(dir.path().to_owned()),
            opamp_tls_cert: Some(cert),
            opamp_tls_key: Some(key),
            ..Default::default()
        };
        let mut options = settings.options().unwrap();
        change(&mut options, files.path());
        let bench = Bench::on(dir, &options).await;
        Self { bench, ca, options, _files: files }
    }

    /// Stops in order and starts again on the same data, at another port.
    pub(crate) async fn restart(self) -> Self {
        let Bench { server, dir, .. } = self.bench;
        server.stop().await.unwrap();
        let bench = Bench::on(dir, &self.options).await;
        Self { bench, ..self }
    }

    pub(crate) fn agents(&self) -> Dialler {
        Dialler::new(self.bench.server.opamp, &self.ca)
    }

    /// Makes an enrolment token; what goes into the header.
    pub(crate) async fn token(&self, spec: Value) -> String {
        let body = json!({"metadata": {"name": "rack"}, "spec": spec});
        let path = "/api/v1/namespaces/default/enrollmenttokens";
        let made = self.bench.api("POST", path, Some(body)).await;
        assert_eq!(made.status, 201, "{}", made.text());
        format!("Bearer {}", made.json()["status"]["token"].as_str().unwrap())
    }

    /// One exchange over plain HTTP.
    pub(crate) async fn post(
        &self,
        dialler: &Dialler,
        authorization: Option<&str>,
        message: &AgentToServer,
    ) -> Result<ServerToAgent, u16> {
        let mut headers = vec![("content-type", CONTENT_TYPE)];
        headers.extend(authorization.map(|value| ("authorization", value)));
        let bytes = body::encode(message, LIMIT).unwrap();
        let answer = dialler.http("POST", "/v1/opamp", &headers, &bytes).await;
        if answer.status != 200 {
            return Err(answer.status);
        }
        Ok(body::decode(&answer.body, None, LIMIT).unwrap())
    }

    /// The identities there are.
    pub(crate) async fn identities(&self) -> Vec<Value> {
        self.bench.get("/api/v1/identities").await["items"].as_array().unwrap().clone()
    }

    /// Orders something of one identity.
    pub(crate) async fn order(&self, what: &str, identity: &Value) {
        let name = identity["metadata"]["name"].as_str().unwrap();
        let answer = self.bench.api("POST", &format!("/api/v1/identities/{name}/{what}"), None).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

/// A first message of an agent that takes settings for its OpAMP connection.
pub(crate) fn hello(agent: &mut Identity) -> AgentToServer {
    taking_settings(agent.full_report())
}

/// The message of an agent that takes settings for its OpAMP connection.
pub(crate) fn taking_settings(message: AgentToServer) -> AgentToServer {
    let bits = [
        AgentCapabilities::AcceptsOpAmpConnectionSettings,
        AgentCapabilities::ReportsConnectionSettingsStatus,
    ];
    let more: u64 = bits.iter().map(|bit| *bit as u64).sum();
    AgentToServer { capabilities: CAPABILITIES | more, ..message }
}

/// The header of the offered credential.
pub(crate) fn credential(reply: &ServerToAgent) -> String {
    let opamp = reply.connection_settings.as_ref().and_then(|offer| offer.opamp.as_ref());
    let headers = opamp.and_then(|opamp| opamp.headers.as_ref()).expect("headers in an offer");
    let header = headers.headers.iter().find(|header| header.key == "Authorization");
    header.expect("an Authorization header").value.clone()
}
