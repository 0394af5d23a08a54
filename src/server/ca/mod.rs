//! The server's own certificate authority: it signs what agents ask for, after a look at it. Its key and certificate lie
//! in the data directory, made when they are first needed.
//!
//! - [`csr`]: what a request says and whether it may be signed; this file: the authority; [`shown`]: what a client's
//!   certificate says
//!
//! Not here: who may have a certificate (`identity`), when to sign (`accept::admission`, `api`).

pub mod csr;
pub mod shown;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};

use super::private;
pub use csr::{Csr, CsrError};

/// The certificate's name in the data directory.
pub const CERT: &str = "ca.pem";
const KEY: &str = "ca.key";
const YEARS: u64 = 10;
const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// Clocks of agents may be behind.
const BEFORE: Duration = Duration::from_secs(300);
/// What the name of an identity stands behind in a certificate.
const URN: &str = "urn:opamp:identity:";

#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error(
        "{cert} and {key} are no certificate authority: {source}; restore both, or delete both to have new ones made \
         (agents must then ask for new certificates)"
    )]
    Unusable { cert: PathBuf, key: PathBuf, source: rcgen::Error },
    #[error("cannot sign a certificate: {0}")]
    Sign(#[from] rcgen::Error),
}

/// The authority, ready to sign.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    cert: String,
}

/// A certificate that was signed.
pub struct Signed {
    pub cert: String,
    pub expires_at: Timestamp,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// Reads the authority of this directory, or makes one.
    pub fn load_or_create(dir: &Path, now: Timestamp, random: [u8; 16]) -> Result<Self, CaError> {
        let (cert_path, key_path) = (dir.join(CERT), dir.join(KEY));
        let (cert, key) = match (read(&cert_path)?, read(&key_path)?) {
            (Some(cert), Some(key)) => (cert, key),
            (None, None) => {
                let (cert, key) = make(now, random)?;
                // The certificate is last: where it is, the key is too.
                write(&key_path, &key)?;
                write(&cert_path, &cert)?;
                tracing::info!(path = %cert_path.display(), "made a certificate authority for agents");
                (cert, key)
            }
            (cert, _) => {
                let path = if cert.is_some() { key_path } else { cert_path };
                return Err(CaError::Read { path, source: io::ErrorKind::NotFound.into() });
            }
        };
        let unusable = |source| CaError::Unusable { cert: cert_path.clone(), key: key_path.clone(), source };
        let key = KeyPair::from_pem(&key).map_err(unusable)?;
        let issuer = Issuer::from_ca_cert_pem(&cert, key).map_err(unusable)?;
        Ok(Self { issuer, cert })
    }

    /// The authority's certificate, PEM.
    #[must_use]
    pub fn cert(&self) -> &str {
        &self.cert
    }

    /// Signs a client's certificate. Of the request only the key is taken; the names are ours (S-CR-02).
    pub fn sign(
        &self,
        csr: &Csr,
        identity: &str,
        now: Timestamp,
        lifetime: Duration,
        serial: [u8; 16],
    ) -> Result<Signed, CaError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, identity);
        params.subject_alt_names = vec![SanType::URI(format!("{URN}{identity}").try_into()?)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from_slice(&positive(serial)));
        validity(&mut params, now, lifetime);
        let expires_at = Timestamp::from_second(params.not_after.unix_timestamp()).unwrap_or(now);
        let cert = params.signed_by(csr.public_key(), &self.issuer)?.pem();
        Ok(Signed { cert, expires_at })
    }
}

fn make(now: Timestamp, random: [u8; 16]) -> Result<(String, String), CaError> {
    let serial = positive(random);
    let id: String = serial[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("opamp-server agents {id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    validity(&mut params, now, YEAR * u32::try_from(YEARS).unwrap_or(1));
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn validity(params: &mut CertificateParams, now: Timestamp, lifetime: Duration) {
    let since_1970 = Duration::from_secs(now.as_second().max(0).unsigned_abs());
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_1970.saturating_sub(BEFORE);
    params.not_after = epoch + since_1970 + lifetime;
}

/// A serial number is a positive integer of at most 20 bytes.
fn positive(mut bytes: [u8; 16]) -> [u8; 16] {
    bytes[0] = bytes[0] & 0x7f | 0x40;
    bytes
}

fn read(path: &Path) -> Result<Option<String>, CaError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CaError::Read { path: path.to_owned(), source }),
    }
}

fn write(path: &Path, text: &str) -> Result<(), CaError> {
    private::write(path, text).map_err(|source| CaError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
