//! Whether an offer for the connection to the server may be tried at all: it is complete, its parts fit each
//! other, and it takes nothing away from how the connection is secured.

use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use prost::Message;
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::over::{over, version};
use crate::{
    supervisor::{
        config::{Secret, ServerConfig, ServerEndpoint, TlsVersion},
        journal::{Settings, SettingsHash, StoredCertificate, StoredHeader, StoredProxy, StoredTls},
    },
    transport::{
        Proxy,
        proxy::BadProxy,
        tls::{self, CipherSuite, Identity},
    },
    wire::{
        InstanceUid,
        proto::{
            Headers, OpAmpConnectionSettings, ProxyConnectionSettings, TlsCertificate, TlsConnectionSettings,
        },
    },
};

/// Larger than any settings for one connection.
const MOST_BYTES: usize = 256 * 1024;
/// Of a URL: it may be said in a reason.
const LONGEST_URL: usize = 2048;
/// More than any server has a use for.
const MOST_HEADERS: usize = 64;
/// Of other words that are quoted.
const QUOTED: usize = 80;

/// Headers that belong to the transport.
const TRANSPORTS_OWN: [&str; 7] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
    "upgrade",
];

/// What an offer is laid over.
#[derive(Debug)]
pub struct Ground<'a> {
    pub file: &'a ServerConfig,
    /// Offered earlier, and in force.
    pub valid: Option<&'a Settings>,
    /// Keys of this agent that a certificate may be for when it comes without one, and who asked with them.
    pub keys: Vec<(Secret, Option<InstanceUid>)>,
    /// Seconds since 1970.
    pub now: i64,
    /// The storage is in memory: what is in it is gone with the next boot.
    pub forgetful: bool,
}

/// An offer that is not tried.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("the settings are larger than {MOST_BYTES} bytes")]
    TooLarge,
    #[error("{0} has more than {LONGEST_URL} bytes")]
    LongUrl(&'static str),
    #[error("destination_endpoint {0:?} is no ws, wss, http or https URL")]
    Endpoint(String),
    #[error(
        "destination_endpoint {0} is without TLS, which the connection in use has; an offer cannot take TLS away: \
         to go without, set server.endpoint in supervisor.yaml"
    )]
    NoTls(ServerEndpoint),
    #[error(
        "tls.insecure_skip_verify would stop the check of who the server is; only \
         server.tls.insecure_skip_verify in supervisor.yaml can allow that"
    )]
    SkipVerify,
    #[error("tls.{0} {1:?} is unknown or not spoken here; there are 1.2 and 1.3")]
    Version(&'static str, String),
    #[error(
        "tls.{0} {1} is below {2}, the lowest that supervisor.yaml allows; to allow it, change \
         server.tls.min_version there"
    )]
    LowVersion(&'static str, String, &'static str),
    #[error("tls.min_version is above tls.max_version")]
    Versions,
    #[error("tls.ca_pem_contents holds no certificate that can be read")]
    Ca,
    #[error("tls.cipher_suites: {0}")]
    CipherSuites(String),
    #[error("proxy.url: {0}")]
    Proxy(#[from] BadProxy),
    #[error("headers: there are {0}, and {MOST_HEADERS} is the most")]
    Headers(usize),
    #[error("headers: {0:?} is no header that can be sent, or belongs to the transport")]
    Header(String),
    #[error("certificate.cert: {0}")]
    Cert(String),
    #[error("certificate: the private key does not fit: {0}")]
    Key(String),
    #[error(
        "certificate: it comes without a private key, and this agent has no key that it is for; offer the key \
         too, or let the agent ask with a CSR"
    )]
    NoKey,
    #[error("certificate: it expired at {0}")]
    Expired(Timestamp),
    #[error("certificate: it is not valid before {0}; is the clock of this host right?")]
    NotYet(Timestamp),
    #[error(
        "certificate: storage.directory is in memory (tmpfs), so the certificate would be lost with the next boot; \
         put storage.directory on a disk"
    )]
    Forgetful,
}

impl Ground<'_> {
    /// What would hold if the offer proved itself. What the offer leaves out stays as it is (C-CT-09, C-CT-12).
    pub fn judge(
        &self,
        hash: &SettingsHash,
        over_file: String,
        offer: &OpAmpConnectionSettings,
    ) -> Result<Settings, Unfit> {
        if offer.encoded_len() > MOST_BYTES {
            return Err(Unfit::TooLarge);
        }
        let now = over(self.file, self.valid);
        let mut settings = self.valid.cloned().unwrap_or_default();
        settings.offer = hash.clone();
        settings.over = over_file;
        if !offer.destination_endpoint.is_empty() {
            let endpoint = self.endpoint(&offer.destination_endpoint, &now)?;
            let there = |url: &url::Url| (url.host_str().map(str::to_owned), url.port_or_known_default());
            if there(endpoint.url()) != there(now.endpoint.url()) {
                // C-CT-02: a certificate is shown where it was meant for; the file's own is the operator's word.
                settings.certificate = None;
            }
            settings.endpoint = Some(endpoint);
        }
        if let Some(headers) = &offer.headers {
            settings.headers = Some(checked_headers(headers)?);
        }
        if let Some(tls) = &offer.tls {
            settings.tls = Some(self.tls(tls)?);
        }
        if let Some(proxy) = &offer.proxy {
            settings.proxy = Some(checked_proxy(proxy)?);
        }
        if let Some(certificate) = &offer.certificate {
            settings.certificate = Some(self.certificate(certificate)?);
        }
        let polls = !matches!(over(self.file, Some(&settings)).endpoint.url().scheme(), "ws" | "wss");
        if !(polls && offer.heartbeat_interval_seconds == 0) {
            settings.heartbeat_seconds = Some(offer.heartbeat_interval_seconds);
        }
        Ok(settings)
    }

    fn endpoint(&self, text: &str, now: &ServerConfig) -> Result<ServerEndpoint, Unfit> {
        // What cannot be read may hold a password: only its scheme is shown.
        if text.len() > LONGEST_URL {
            return Err(Unfit::LongUrl("destination_endpoint"));
        }
        let scheme = || text.split(':').next().unwrap_or_default().chars().take(20).collect();
        let endpoint: ServerEndpoint = text.parse().map_err(|_| Unfit::Endpoint(scheme()))?;
        let secured = now.endpoint.is_secure() || self.file.endpoint.is_secure();
        if secured && !endpoint.is_secure() {
            return Err(Unfit::NoTls(endpoint));
        }
        Ok(endpoint)
    }

    fn tls(&self, offered: &TlsConnectionSettings) -> Result<StoredTls, Unfit> {
        if offered.insecure_skip_verify && !self.file.tls.insecure_skip_verify {
            return Err(Unfit::SkipVerify);
        }
        for suite in &offered.cipher_suites {
            if suite.len() > QUOTED {
                return Err(Unfit::CipherSuites(format!("{:?}… is the name of none", quoted(suite))));
            }
            let known: Result<CipherSuite, _> = suite.parse();
            known.map_err(|error| Unfit::CipherSuites(error.to_string()))?;
        }
        let min = self.version("min_version", &offered.min_version)?;
        let max = self.version("max_version", &offered.max_version)?;
        let (low, high) =
            (min.unwrap_or(self.file.tls.min_version), max.unwrap_or(self.file.tls.max_version));
        if low > high {
            return Err(Unfit::Versions);
        }
        let ca = Some(&offered.ca_pem_contents).filter(|pem| !pem.is_empty());
        if let Some(ca) = ca {
            let mut certificates = CertificateDer::pem_slice_iter(ca.as_bytes()).peekable();
            if certificates.peek().is_none() || certificates.any(|certificate| certificate.is_err()) {
                return Err(Unfit::Ca);
            }
        }
        let kept = self.valid.and_then(|valid| valid.tls.as_ref()).and_then(|tls| tls.ca_pem.clone());
        Ok(StoredTls {
            // Without a CA of its own the offer means the one at hand: the system's are more than that.
            ca_pem: ca.cloned().or(kept),
            system_roots: offered.include_system_ca_certs_pool,
            skip_verify: offered.insecure_skip_verify,
            min_version: min.map(|min| name(min).to_owned()),
            max_version: max.map(|max| name(max).to_owned()),
            cipher_suites: offered.cipher_suites.clone(),
        })
    }

    fn version(&self, field: &'static str, text: &str) -> Result<Option<TlsVersion>, Unfit> {
        let floor = self.file.tls.min_version;
        let old = ["1.0", "1.1", "TLSv1.0", "TLSv1.1"].contains(&text);
        match version(text) {
            _ if text.is_empty() => Ok(None),
            _ if old => Err(Unfit::LowVersion(field, text.to_owned(), name(floor))),
            None => Err(Unfit::Version(field, quoted(text))),
            Some(version) if version < floor => Err(Unfit::LowVersion(field, quoted(text), name(floor))),
            Some(version) => Ok(Some(version)),
        }
    }

    fn certificate(&self, offered: &TlsCertificate) -> Result<StoredCertificate, Unfit> {
        if self.forgetful {
            return Err(Unfit::Forgetful);
        }
        let validity = tls::validity(&offered.cert)
            .ok_or_else(|| Unfit::Cert("it is no certificate in PEM that can be read".to_owned()))?;
        let time = |seconds| Timestamp::from_second(seconds).unwrap_or_default();
        if self.now >= validity.until {
            return Err(Unfit::Expired(time(validity.until)));
        }
        if self.now < validity.from {
            return Err(Unfit::NotYet(time(validity.from)));
        }
        let with = |key_pem: &[u8]| {
            let identity = Identity { cert_pem: offered.cert.clone(), key_pem: key_pem.to_vec() };
            identity.check().map_err(|error| Unfit::Key(error.to_string()))
        };
        let (key_pem, requested_by) = if offered.private_key.is_empty() {
            // The answer to a CSR (N6).
            let mine = self.keys.iter().find(|(key, _)| with(key.expose().as_bytes()).is_ok());
            mine.cloned().ok_or(Unfit::NoKey)?
        } else {
            with(&offered.private_key)?;
            (Secret::new(String::from_utf8_lossy(&offered.private_key)), None)
        };
        let cert_pem = String::from_utf8_lossy(&offered.cert).into_owned();
        Ok(StoredCertificate { cert_pem, key_pem, requested_by })
    }
}

fn quoted(text: &str) -> String {
    text.chars().take(QUOTED).collect()
}

const fn name(version: TlsVersion) -> &'static str {
    match version {
        TlsVersion::V1_2 => "1.2",
        TlsVersion::V1_3 => "1.3",
    }
}

fn checked_headers(headers: &Headers) -> Result<Vec<StoredHeader>, Unfit> {
    if headers.headers.len() > MOST_HEADERS {
        return Err(Unfit::Headers(headers.headers.len()));
    }
    let checked = headers.headers.iter().map(|header| {
        let bad = || Unfit::Header(quoted(&header.key));
        let name = HeaderName::from_bytes(header.key.as_bytes()).map_err(|_| bad())?;
        let theirs = TRANSPORTS_OWN.contains(&name.as_str()) || name.as_str().starts_with("sec-websocket-");
        if theirs || HeaderValue::from_str(&header.value).is_err() {
            return Err(bad());
        }
        Ok(StoredHeader { name: header.key.clone(), value: Secret::new(header.value.clone()) })
    });
    checked.collect()
}

/// The whole of a proxy is replaced (C-CT-11).
fn checked_proxy(offered: &ProxyConnectionSettings) -> Result<StoredProxy, Unfit> {
    if offered.url.len() > LONGEST_URL {
        return Err(Unfit::LongUrl("proxy.url"));
    }
    Proxy::parse(&offered.url)?;
    let connect_headers = offered.connect_headers.as_ref().map(checked_headers).transpose()?;
    Ok(StoredProxy {
        url: Secret::new(offered.url.clone()),
        connect_headers: connect_headers.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
