//! What a client's certificate says of its holder.

use jiff::Timestamp;
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

use super::URN;
use crate::server::identity::{Digest, rules::Shown};

/// Reads a certificate, DER, that a CA was found to vouch for. Only our own authority writes our own kind of name.
#[must_use]
pub fn read(der: &[u8]) -> Option<Shown> {
    let (_, cert) = X509Certificate::from_der(der).ok()?;
    let uri = cert.subject_alternative_name().ok().flatten().and_then(|names| {
        names.value.general_names.iter().find_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        })
    });
    let subject = cert.subject().to_string();
    // What names the holder stays when the certificate is renewed. Lengths keep two names from running into one.
    let mut key = Vec::new();
    for part in [cert.issuer().as_raw(), uri.as_deref().map_or(cert.subject().as_raw(), str::as_bytes)] {
        key.extend((part.len() as u64).to_be_bytes());
        key.extend(part);
    }
    let own = uri.as_deref().is_some_and(|uri| uri.starts_with(URN));
    let subject = if subject.is_empty() { uri.unwrap_or_default() } else { subject };
    Some(Shown { fingerprint: Digest::of(der), subject, key: Digest::of(&key), own })
}

/// When a certificate, DER, ends.
#[must_use]
pub fn end(der: &[u8]) -> Option<Timestamp> {
    let (_, cert) = X509Certificate::from_der(der).ok()?;
    Timestamp::from_second(cert.validity().not_after.timestamp()).ok()
}
