use std::os::unix::fs::PermissionsExt;

use rcgen::PKCS_ED25519;
use rustls_pki_types::{CertificateDer, UnixTime, pem::PemObject};

use super::*;
use crate::{transport::tls::client_verifier, wire::InstanceUid};

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn uid(last: u8) -> InstanceUid {
    InstanceUid::v7(1_700_000_000_000, [last; 10])
}

fn request(key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> String {
    let mut params = CertificateParams::default();
    change(&mut params);
    params.serialize_request(key).unwrap().pem().unwrap()
}

fn refused(pem: &str) -> CsrError {
    Csr::parse(pem.as_bytes()).err().expect("a refusal")
}

#[test]
fn the_authority_is_made_once_private_and_what_it_signs_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let made = Authority::load_or_create(dir.path(), now(), [0xff; 16]).unwrap();
    for file in [CERT, KEY] {
        let mode = fs::metadata(dir.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let again = Authority::load_or_create(dir.path(), now(), [0; 16]).unwrap();
    assert_eq!(made.cert(), again.cert());

    let csr = Csr::parse(request(&KeyPair::generate().unwrap(), |_| {}).as_bytes()).unwrap();
    let day = Duration::from_secs(86_400);
    let signed = again.sign(&csr, "edge-1", now(), day, [0xff; 16]).unwrap();
    let der = CertificateDer::from_pem_slice(signed.cert.as_bytes()).unwrap();
    let verifier = client_verifier(again.cert().as_bytes()).unwrap();
    let judged = |after: u64| {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000 + after));
        verifier.verify_client_cert(&der, &[], time).is_ok()
    };
    assert!(judged(0) && judged(86_000) && !judged(86_401));
    let shown = shown::read(&der).unwrap();
    assert!(shown.own && shown.subject == "CN=edge-1", "{shown:?}");
    assert_eq!(shown::end(&der), Some(signed.expires_at));
    assert!(csr.check_certificate(&der).is_ok());
    let other = Csr::parse(request(&KeyPair::generate().unwrap(), |_| {}).as_bytes()).unwrap();
    assert_eq!(other.check_certificate(&der), Err(CsrError::OtherKey));
}

#[test]
fn half_an_authority_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    Authority::load_or_create(dir.path(), now(), [1; 16]).unwrap();
    fs::remove_file(dir.path().join(KEY)).unwrap();
    let error = Authority::load_or_create(dir.path(), now(), [1; 16]).unwrap_err().to_string();
    assert!(error.contains("ca.key"), "{error}");
    fs::write(dir.path().join(KEY), "no key").unwrap();
    let error = Authority::load_or_create(dir.path(), now(), [1; 16]).unwrap_err().to_string();
    assert!(error.contains("ca.key") && error.contains("restore"), "{error}");
}

#[test]
fn s_cr_01_a_request_is_validated_before_it_is_signed() {
    assert_eq!(refused("no request"), CsrError::NoPem);
    assert_eq!(refused(&"x".repeat(20_000)), CsrError::Long(20_000));
    let ed = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    assert_eq!(Csr::parse(request(&ed, |_| {}).as_bytes()).unwrap().key_kind, "Ed25519");
    let key = KeyPair::generate().unwrap();
    let good = request(&key, |params| {
        params.distinguished_name.push(DnType::CommonName, "edge");
    });
    let parsed = Csr::parse(good.as_bytes()).unwrap();
    assert_eq!((parsed.subject.as_str(), parsed.key_kind), ("CN=edge", "ECDSA P-256"));
    let ca = request(&key, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_eq!(refused(&ca), CsrError::Ca);
    // Any one byte of the signed part or the signature that is other than it was.
    let der = rustls_pki_types::CertificateSigningRequestDer::from_pem_slice(good.as_bytes()).unwrap();
    for at in [der.len() / 3, der.len() - 3] {
        let mut bytes = der.to_vec();
        bytes[at] ^= 1;
        let broken = csr::check(&bytes.into(), b"");
        assert!(broken.is_err(), "byte {at}");
    }
}

#[test]
fn s_cr_05_a_uid_in_the_request_must_be_the_senders() {
    let key = KeyPair::generate().unwrap();
    let named = |change: fn(&mut CertificateParams)| {
        let pem = request(&key, change);
        let csr = Csr::parse(pem.as_bytes()).unwrap();
        (csr.check_uid(uid(1)), csr.check_uid(uid(2)))
    };
    let by_name = named(|params| params.distinguished_name.push(DnType::CommonName, uid(1).to_string()));
    let by_uri = named(|params| {
        let urn = format!("urn:uuid:{}", uid(1));
        params.subject_alt_names = vec![SanType::URI(urn.try_into().unwrap())];
    });
    for (own, others) in [by_name, by_uri] {
        assert_eq!(own, Ok(()));
        assert_eq!(others, Err(CsrError::Uid { named: uid(1), sender: uid(2) }));
    }
    let (one, two) = named(|params| params.distinguished_name.push(DnType::CommonName, "edge"));
    assert_eq!((one, two), (Ok(()), Ok(())), "one that names none is anybody's");
}
