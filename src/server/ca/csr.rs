//! A certificate signing request: what it says, and whether it may be signed (S-CR-01).

use rcgen::{CertificateSigningRequestParams, IsCa, PublicKey, PublicKeyData};
use rustls_pki_types::{CertificateSigningRequestDer, pem::PemObject};
use x509_parser::{
    certification_request::X509CertificationRequest,
    extensions::{GeneralName, ParsedExtension},
    prelude::{FromDer, X509Certificate},
    public_key::PublicKey as Parsed,
};

use crate::{server::identity::Digest, wire::InstanceUid};

/// Longer requests are none.
const LONGEST: usize = 16 * 1024;
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// What an instance uid may stand behind.
const URN_UUID: &str = "urn:uuid:";

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    #[error("the certificate request has {0} bytes; at most {LONGEST} are read")]
    Long(usize),
    #[error("the certificate request is no PEM block \"CERTIFICATE REQUEST\"")]
    NoPem,
    #[error("the certificate request cannot be read")]
    Malformed,
    #[error("the certificate request is not signed with the key that it is about")]
    Signature,
    #[error(
        "keys of this kind are not signed; use ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits"
    )]
    Key,
    #[error("the certificate request asks for a CA's certificate; agents get a client's")]
    Ca,
    #[error("the certificate request names instance uid {named}, but {sender} sent it")]
    Uid { named: InstanceUid, sender: InstanceUid },
    #[error("the certificate is not for the key of this request")]
    OtherKey,
}

/// A request that is sound.
pub struct Csr {
    key: PublicKey,
    /// The subject and the kind of key, for people.
    pub subject: String,
    pub key_kind: &'static str,
    /// Of the request as it was sent.
    pub digest: Digest,
    /// Instance uids in subject and alternative names.
    named: Vec<InstanceUid>,
}

impl Csr {
    pub fn parse(pem: &[u8]) -> Result<Self, CsrError> {
        if pem.len() > LONGEST {
            return Err(CsrError::Long(pem.len()));
        }
        let der = CertificateSigningRequestDer::from_pem_slice(pem).map_err(|_| CsrError::NoPem)?;
        check(&der, pem)
    }

    pub(super) fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// S-CR-05. What the connection's present certificate names does not matter (S-CR-06).
    pub fn check_uid(&self, sender: InstanceUid) -> Result<(), CsrError> {
        match self.named.iter().find(|named| **named != sender) {
            None => Ok(()),
            Some(named) => Err(CsrError::Uid { named: *named, sender }),
        }
    }

    /// Whether a certificate, DER, is for this request's key.
    pub fn check_certificate(&self, der: &[u8]) -> Result<(), CsrError> {
        let (_, cert) = X509Certificate::from_der(der).map_err(|_| CsrError::OtherKey)?;
        let same = cert.public_key().raw == self.key.subject_public_key_info();
        if same { Ok(()) } else { Err(CsrError::OtherKey) }
    }
}

/// Reads a request and judges it; `sent` is what it was sent as.
pub(super) fn check(der: &CertificateSigningRequestDer<'_>, sent: &[u8]) -> Result<Csr, CsrError> {
    let (rest, parsed) = X509CertificationRequest::from_der(der).map_err(|_| CsrError::Malformed)?;
    if !rest.is_empty() {
        return Err(CsrError::Malformed);
    }
    let info = &parsed.certification_request_info;
    let key_kind = key_kind(info.subject_pki.parsed().ok()).ok_or(CsrError::Key)?;
    let mut names: Vec<String> = info
        .subject
        .iter_attributes()
        .filter_map(|attribute| attribute.as_str().ok().map(str::to_owned))
        .collect();
    for extension in parsed.requested_extensions().into_iter().flatten() {
        if let ParsedExtension::SubjectAlternativeName(alternative) = extension {
            names.extend(alternative.general_names.iter().filter_map(text));
        }
    }
    let checked = CertificateSigningRequestParams::from_der(der).map_err(|error| match error {
        rcgen::Error::InvalidCertificationRequestSignature => CsrError::Signature,
        rcgen::Error::UnsupportedSignatureAlgorithm => CsrError::Key,
        _ => CsrError::Malformed,
    })?;
    if matches!(checked.params.is_ca, IsCa::Ca(_)) {
        return Err(CsrError::Ca);
    }
    // What would be signed is the very key that the request shows.
    if checked.public_key.subject_public_key_info() != info.subject_pki.raw {
        return Err(CsrError::Key);
    }
    Ok(Csr {
        key: checked.public_key,
        subject: info.subject.to_string(),
        key_kind,
        digest: Digest::of(sent),
        named: names.iter().filter_map(|name| uid(name)).collect(),
    })
}

fn key_kind(key: Option<Parsed<'_>>) -> Option<&'static str> {
    match key? {
        Parsed::RSA(rsa) if RSA_BITS.contains(&rsa.key_size()) => Some("RSA"),
        Parsed::EC(point) => match point.key_size() {
            256 => Some("ECDSA P-256"),
            384 => Some("ECDSA P-384"),
            _ => None,
        },
        // The parser knows Ed25519 by its algorithm only; the check of the signature follows.
        Parsed::Unknown(bytes) if bytes.len() == 32 => Some("Ed25519"),
        _ => None,
    }
}

fn text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::URI(text) | GeneralName::RFC822Name(text) => {
            Some((*text).to_owned())
        }
        _ => None,
    }
}

/// An instance uid in its text form, bare or as a URN.
fn uid(name: &str) -> Option<InstanceUid> {
    let lower = name.trim().to_ascii_lowercase();
    lower.strip_prefix(URN_UUID).unwrap_or(&lower).parse().ok()
}
