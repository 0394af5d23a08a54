//! A client certificate of this agent's own, that the server signs: when one is due, and the request for it.
//!
//! The key never leaves this host: it is made here, kept in the state, and the server sees the public half.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

use crate::{
    supervisor::{
        config::{Secret, ServerConfig},
        journal::StoredCertificate,
    },
    transport::tls,
    wire::InstanceUid,
};

/// When a certificate is to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::supervisor) enum Due {
    Now,
    /// In seconds since 1970.
    At(i64),
    /// The one at hand does not say when it ends.
    Never,
}

/// The one at hand is replaced before its end, so that a server that is away for long costs nobody the connection:
/// at two thirds of its life, earlier by up to a tenth of it, by uid, so that a fleet that was set up together
/// does not come together (C-CR-06). One for another uid is replaced at once (C-CR-07).
pub(in crate::supervisor) fn due(certificate: Option<&StoredCertificate>, uid: InstanceUid) -> Due {
    let Some(certificate) = certificate else { return Due::Now };
    if certificate.requested_by.is_some_and(|by| by != uid) {
        return Due::Now;
    }
    let Some(validity) = tls::validity(certificate.cert_pem.as_bytes()) else { return Due::Never };
    let life = i128::from(validity.until) - i128::from(validity.from);
    let spread = uid.as_bytes()[12..].iter().fold(0, |sum, byte| sum << 8 | i128::from(*byte));
    let earlier = life / 10 * spread / (i128::from(u32::MAX) + 1);
    let at = i128::from(validity.from) + life * 2 / 3 - earlier;
    i64::try_from(at).map_or(Due::Never, Due::At)
}

/// Why no certificate is asked for over this connection (C-CR-01).
pub(in crate::supervisor) fn refusal(server: &ServerConfig) -> Option<&'static str> {
    if !server.endpoint.is_secure() {
        return Some(
            "the connection to the server is without TLS; use wss:// or https:// in server.endpoint",
        );
    }
    let unchecked = "who the server is goes unchecked; turn server.tls.insecure_skip_verify off";
    server.tls.insecure_skip_verify.then_some(unchecked)
}

/// A new key, in PEM (ECDSA on P-256).
pub(in crate::supervisor) fn new_key() -> Result<Secret, rcgen::Error> {
    Ok(Secret::new(KeyPair::generate()?.serialize_pem()))
}

/// The request for a certificate of this key, in PEM; it names the agent as CN and as a URN (C-CR-02).
pub(in crate::supervisor) fn request(key_pem: &Secret, uid: InstanceUid) -> Result<String, rcgen::Error> {
    let key = KeyPair::from_pem(key_pem.expose())?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, uid.to_string());
    params.subject_alt_names = vec![SanType::URI(format!("urn:uuid:{uid}").try_into()?)];
    params.serialize_request(&key)?.pem()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateSigningRequestParams, PublicKeyData, date_time_ymd};

    use super::*;

    const UID: InstanceUid = InstanceUid::from_bytes([7; 16]);
    const OTHER: InstanceUid = InstanceUid::from_bytes([8; 16]);

    fn certificate(by: Option<InstanceUid>) -> StoredCertificate {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2026, 1, 31));
        let cert_pem = params.self_signed(&key).unwrap().pem();
        StoredCertificate { cert_pem, key_pem: Secret::new(key.serialize_pem()), requested_by: by }
    }

    #[test]
    fn c_cr_06_07_a_certificate_is_replaced_in_time_and_for_another_uid_at_once() {
        assert_eq!(due(None, UID), Due::Now);
        assert_eq!(due(Some(&certificate(Some(OTHER))), UID), Due::Now);
        const DAY: i64 = 86_400;
        let begin = 1_767_225_600;
        let at = |uid| match due(Some(&certificate(Some(uid))), uid) {
            Due::At(at) => at,
            other => panic!("{other:?}"),
        };
        let mut seen = Vec::new();
        for byte in [0, 100, 200, 255] {
            let at = at(InstanceUid::from_bytes([byte; 16]));
            assert!((begin + 17 * DAY..=begin + 20 * DAY).contains(&at), "{byte}: {at}");
            seen.push(at);
        }
        seen.dedup();
        assert_eq!(seen.len(), 4, "spread");
        let given = certificate(None);
        assert!(matches!(due(Some(&given), OTHER), Due::At(_)), "nobody knows whom it names");
        let odd = StoredCertificate { cert_pem: "odd".into(), ..given };
        assert_eq!(due(Some(&odd), UID), Due::Never);
    }

    #[test]
    fn c_cr_02_the_request_is_signed_with_the_key_and_names_the_agent() {
        let key_pem = new_key().unwrap();
        let pem = request(&key_pem, UID).unwrap();
        let read = CertificateSigningRequestParams::from_pem(&pem).unwrap();
        let key = KeyPair::from_pem(key_pem.expose()).unwrap();
        assert_eq!(read.public_key.der_bytes(), key.der_bytes());
        let uri = SanType::URI(format!("urn:uuid:{UID}").try_into().unwrap());
        assert_eq!(read.params.subject_alt_names, [uri]);
        let name = read.params.distinguished_name.get(&DnType::CommonName);
        assert_eq!(name, Some(&rcgen::DnValue::Utf8String(UID.to_string())));
        assert!(!format!("{key_pem:?}").contains("PRIVATE"));
    }
}
