//! What a client certificate says of itself, as far as it decides whether it can be used: when it is valid, and
//! whether a key is its own.

use jiff::civil::DateTime;
use rustls::{crypto::ring, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::{Identity, TlsError};

/// When a certificate is valid, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second it is valid.
    pub from: i64,
    /// The last second it is valid.
    pub until: i64,
}

impl Identity {
    /// Whether the certificate can be read, the key too, and the key is the certificate's.
    pub fn check(&self) -> Result<(), TlsError> {
        let (chain, key) = self.parse()?;
        if chain.is_empty() {
            return Err(TlsError::NoCert);
        }
        CertifiedKey::from_der(chain, key, &ring::default_provider())?.keys_match()?;
        Ok(())
    }
}

/// When the first certificate of a PEM text is valid; nothing where it does not say so in a way that is known.
#[must_use]
pub fn validity(cert_pem: &[u8]) -> Option<Validity> {
    let der = CertificateDer::from_pem_slice(cert_pem).ok()?;
    let mut certificate = Reader(der.as_ref()).enter(SEQUENCE)?;
    let mut fields = certificate.enter(SEQUENCE)?;
    if fields.0.first() == Some(&VERSION) {
        fields.next()?;
    }
    // Serial number, algorithm and issuer stand before it.
    for _ in 0..3 {
        fields.next()?;
    }
    let mut validity = fields.enter(SEQUENCE)?;
    Some(Validity { from: time(validity.next()?)?, until: time(validity.next()?)? })
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The rest of a DER text.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next element: its tag and its content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// What is in the next element, if that is of this kind.
    fn enter(&mut self, kind: u8) -> Option<Self> {
        self.next().filter(|(tag, _)| *tag == kind).map(|(_, content)| Self(content))
    }
}

fn time((tag, content): (u8, &[u8])) -> Option<i64> {
    let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i16 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    if rest.len() != 10 || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |at: usize| rest[at..at + 2].parse::<i8>().ok();
    let time = DateTime::new(year, part(0)?, part(2)?, part(4)?, part(6)?, part(8)?, 0).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(from: i32, until: i32) -> (String, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["agent".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 2);
        params.not_after = date_time_ymd(until, 12, 31);
        (params.self_signed(&key).unwrap().pem(), key)
    }

    #[test]
    fn it_reads_when_a_certificate_is_valid_and_no_nonsense() {
        let (pem, _) = certificate(2024, 2049);
        let Validity { from, until } = validity(pem.as_bytes()).unwrap();
        assert_eq!((from, until), (1_704_153_600, 2_524_521_600));
        let (pem, _) = certificate(1999, 2051);
        let Validity { from, until } = validity(pem.as_bytes()).unwrap();
        assert_eq!((from, until), (915_235_200, 2_587_593_600), "the year of four digits");
        assert_eq!(validity(b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"), None);
        assert_eq!(validity(b"garbage"), None);
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        for length in 0..der.len() {
            let mut reader = Reader(&der[..length]);
            assert!(reader.next().is_none(), "torn at {length}");
        }
    }

    #[test]
    fn c_ct_01_a_key_of_another_certificate_is_found_out() {
        let (cert, key) = certificate(2024, 2040);
        let identity = |key: &KeyPair| Identity {
            cert_pem: cert.clone().into_bytes(),
            key_pem: key.serialize_pem().into_bytes(),
        };
        identity(&key).check().unwrap();
        let other = identity(&KeyPair::generate().unwrap()).check().unwrap_err();
        assert!(other.to_string().contains("key"), "{other}");
        let empty = Identity { cert_pem: Vec::new(), ..identity(&key) };
        assert!(matches!(empty.check(), Err(TlsError::NoCert)));
    }
}
