//! TLS of a listener: a certificate with its key, and the CAs whose clients are believed, all from files. The files are
//! read anew when they change; connections that are open live on.
//!
//! Not here: sockets (`listen`), who a client with a certificate is (`accept::admission`). Made and kept by `run`.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::{sync::watch, time::MissedTickBehavior};
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::listen::stopped;
use crate::transport::tls::{Clients, Identity, ServerTls, TlsError, Version, client_verifier};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A certificate that ends sooner is worth a warning.
const SOON_DAYS: i64 = 7;
/// Larger files are no certificates.
const LARGEST: u64 = 1024 * 1024;

/// What a listener was told to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The flags' common beginning, such as `--opamp`.
    pub flags: &'static str,
    pub cert: PathBuf,
    pub key: PathBuf,
    /// CAs whose certificates are believed of clients.
    pub client_cas: Vec<PathBuf>,
    /// A CA that may not be there yet: the server's own.
    pub own_ca: Option<PathBuf>,
    pub min_version: Version,
}

/// Why the files cannot be used; `flags` names the flags with their files.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileError {
    #[error("{flags}: {source}")]
    Read { flags: String, source: io::Error },
    #[error("{flags} is no PEM file: it has more than {LARGEST} bytes")]
    Large { flags: String },
    #[error("{flags} cannot be used: {source}")]
    Unusable { flags: String, source: Box<TlsError> },
}

/// The contents of the files.
#[derive(PartialEq, Eq)]
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    cas: Vec<u8>,
}

/// TLS as it is to be spoken now.
pub struct Secure {
    files: TlsFiles,
    current: ArcSwap<ServerConfig>,
    /// What was looked at last, good or bad, so that the same is not judged twice.
    seen: Mutex<Contents>,
}

impl Secure {
    pub fn load(files: TlsFiles) -> Result<Self, TlsFileError> {
        let seen = files.read()?;
        let current = ArcSwap::new(files.build(&seen)?);
        warn_of_end(&files.cert, &seen.cert);
        Ok(Self { files, current, seen: Mutex::new(seen) })
    }

    pub fn acceptor(&self) -> TlsAcceptor {
        self.current.load_full().into()
    }

    /// Takes over what changed in the files. What cannot be used changes nothing and is logged once.
    pub fn refresh(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = match self.files.read() {
            Ok(now) if now == *seen => return,
            Ok(now) => now,
            Err(error) => {
                // A file may be away for a moment while it is replaced.
                tracing::debug!(%error, "a TLS file cannot be read; what was read before stays in use");
                return;
            }
        };
        match self.files.build(&now) {
            Ok(config) => {
                self.current.store(config);
                warn_of_end(&self.files.cert, &now.cert);
                tracing::info!(cert = %self.files.cert.display(), "TLS files were read anew");
            }
            Err(error) => {
                tracing::error!(%error, "changed TLS files cannot be used; what was read before stays in use");
            }
        }
        *seen = now;
    }

    /// Looks at the files until `stop` says so.
    pub async fn keep(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stopped(&mut stop) => return,
            }
            let own = self.clone();
            // Files may be on a slow or absent disk.
            let _ = tokio::task::spawn_blocking(move || own.refresh()).await;
        }
    }

    /// All CAs whose certificates are believed of clients, as PEM.
    pub fn client_cas(&self) -> Vec<u8> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).cas.clone()
    }
}

impl TlsFiles {
    fn read(&self) -> Result<Contents, TlsFileError> {
        let flags = self.flags;
        let cert = read(&format!("{flags}-tls-cert"), &self.cert)?;
        let key = read(&format!("{flags}-tls-key"), &self.key)?;
        let mut cas = Vec::new();
        for path in &self.client_cas {
            let flag = format!("{flags}-client-ca");
            let pem = read(&flag, path)?;
            client_verifier(&pem).map_err(|source| unusable(format!("{flag} {}", path.display()), source))?;
            cas.extend(pem);
            cas.push(b'\n');
        }
        if let Some(Ok(pem)) = self.own_ca.as_deref().map(std::fs::read) {
            cas.extend(pem);
        }
        Ok(Contents { cert, key, cas })
    }

    fn build(&self, contents: &Contents) -> Result<Arc<ServerConfig>, TlsFileError> {
        let clients =
            if contents.cas.is_empty() { Clients::Anyone } else { Clients::Welcome(contents.cas.clone()) };
        let identity = Identity { cert_pem: contents.cert.clone(), key_pem: contents.key.clone() };
        let tls = ServerTls { identity, clients, min_version: self.min_version, max_version: Version::V1_3 };
        tls.build().map_err(|source| {
            let (flags, cert, key) = (self.flags, self.cert.display(), self.key.display());
            unusable(format!("{flags}-tls-cert {cert} with {flags}-tls-key {key}"), source)
        })
    }
}

fn unusable(flags: String, source: TlsError) -> TlsFileError {
    TlsFileError::Unusable { flags, source: Box::new(source) }
}

fn read(flag: &str, path: &Path) -> Result<Vec<u8>, TlsFileError> {
    let flags = || format!("{flag} {}", path.display());
    let failed = |source| TlsFileError::Read { flags: flags(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > LARGEST {
        return Err(TlsFileError::Large { flags: flags() });
    }
    std::fs::read(path).map_err(failed)
}

/// A certificate that ends is the commonest way for a fleet to lose its server.
fn warn_of_end(path: &Path, pem: &[u8]) {
    let Ok(der) = CertificateDer::from_pem_slice(pem) else { return };
    let Ok((_, cert)) = X509Certificate::from_der(&der) else { return };
    let Ok(end) = Timestamp::from_second(cert.validity().not_after.timestamp()) else { return };
    let left = end.as_second() - Timestamp::now().as_second();
    if left < 0 {
        tracing::warn!(cert = %path.display(), %end, "the certificate has expired; nobody will connect");
    } else if left < SOON_DAYS * 86_400 {
        tracing::warn!(cert = %path.display(), %end, "the certificate expires soon");
    }
}
