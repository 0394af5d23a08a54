//! A CA of the test's own, and TLS connections to the server.

use std::{net::SocketAddr, path::Path, sync::Arc};

use opamp::transport::tls::{Identity as Certified, TlsOptions};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    client_async,
    tungstenite::{self, client::IntoClientRequest, http::HeaderValue},
};

use crate::{
    agent::Socket,
    harness::{Answer, WITHIN, http_on},
};

pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

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
