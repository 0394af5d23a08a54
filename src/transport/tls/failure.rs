//! Why a handshake came to nothing, in words that say what to do, and whether the same again can help.

use std::{error::Error, fmt, io};

use rustls::{AlertDescription as Alert, CertificateError};

use super::verify::SelfSigned;

/// A TLS handshake that failed.
#[derive(Debug)]
pub struct TlsFailure(Box<dyn Error + Send + Sync>);

/// Who has to do something.
enum Kind<'a> {
    /// The server's certificate is not believed.
    Certificate(&'a CertificateError),
    /// The server wants another certificate of this client, or one at all.
    Own(Alert),
    NothingInCommon,
    NoTls,
    Other,
}

impl TlsFailure {
    pub(in crate::transport) fn of(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(error.into())
    }

    /// Whether TLS is what this error is about.
    pub(in crate::transport) fn is_in(error: &(dyn Error + 'static)) -> bool {
        inner(error).is_some()
    }

    /// Whether the same again can only bring the same.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        !matches!(self.kind(), Kind::Other)
    }

    fn kind(&self) -> Kind<'_> {
        match inner(&*self.0) {
            Some(rustls::Error::InvalidCertificate(error)) => Kind::Certificate(error),
            Some(rustls::Error::AlertReceived(alert)) => match alert {
                Alert::CertificateExpired
                | Alert::CertificateRequired
                | Alert::CertificateRevoked
                | Alert::CertificateUnknown
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::UnknownCA
                | Alert::AccessDenied
                | Alert::DecryptError => Kind::Own(*alert),
                Alert::ProtocolVersion | Alert::HandshakeFailure | Alert::InsufficientSecurity => {
                    Kind::NothingInCommon
                }
                _ => Kind::Other,
            },
            Some(rustls::Error::PeerIncompatible(_)) => Kind::NothingInCommon,
            Some(rustls::Error::InvalidMessage(_)) => Kind::NoTls,
            _ => Kind::Other,
        }
    }
}

/// The library's error, which readers and writers wrap.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            Kind::Certificate(error) => certificate(error, f),
            Kind::Own(Alert::CertificateRequired) => f.write_str(
                "the server wants a certificate of this client; name one in server.tls.cert_file and key_file",
            ),
            Kind::Own(Alert::CertificateExpired) => f.write_str(
                "the server says that this client's certificate has expired; renew the files of \
                 server.tls.cert_file and key_file, they are read again",
            ),
            Kind::Own(Alert::CertificateRevoked) => f.write_str(
                "the server says that this client's certificate is revoked; put another into \
                 server.tls.cert_file and key_file",
            ),
            Kind::Own(Alert::UnknownCA) => f.write_str(
                "the server does not trust the CA of this client's certificate; check server.tls.cert_file",
            ),
            Kind::Own(alert) => write!(
                f,
                "the server does not take this client's certificate ({alert:?}); check server.tls.cert_file"
            ),
            Kind::NothingInCommon => f.write_str(
                "server and client have no version, cipher suite or curve in common; check \
                 server.tls.min_version, max_version, cipher_suites and curve_preferences",
            ),
            Kind::NoTls => {
                f.write_str("what answers there speaks no TLS; check port and scheme of server.endpoint")
            }
            Kind::Other => write!(f, "{}; check server.tls and the server's certificate", self.0),
        }
    }
}

fn certificate(error: &CertificateError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => write!(
            f,
            "the server's certificate has expired ({error}); renew it, or set the clock of this host"
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => write!(
            f,
            "the server's certificate is not valid yet ({error}); are the clocks of both hosts right?"
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => write!(
            f,
            "the server's certificate is for another name ({error}); correct server.endpoint, or set \
             server.tls.server_name_override"
        ),
        // The second is what a new CA with the name of the old one makes of it.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => f.write_str(
            "nobody who is trusted vouches for the server's certificate; name its CA in server.tls.ca_file",
        ),
        CertificateError::Other(why) if why.0.is::<SelfSigned>() => f.write_str(
            "the server's certificate is self-signed and not listed; if it is the right one, name it in \
             server.tls.ca_file",
        ),
        CertificateError::Revoked => f.write_str("the server's certificate is revoked"),
        _ => write!(f, "the server's certificate cannot be used: {error}; see server.tls.ca_file"),
    }
}

impl Error for TlsFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}
