//! Artefacts signed with the signer's half of the same format, whole and spoilt in every way that F-22 to F-29 name.

use std::io::{Cursor, Write};

use minisign::KeyPair;

use super::*;

const BYTES: &[u8] = b"the bytes of an archive";

struct Signer(KeyPair);

impl Signer {
    fn new() -> Self {
        Self(KeyPair::generate_unencrypted_keypair().unwrap())
    }

    fn key(&self) -> String {
        self.0.pk.to_box().unwrap().to_string()
    }

    fn sign(&self, bytes: &[u8], comment: &str) -> String {
        let signed = minisign::sign(Some(&self.0.pk), &self.0.sk, Cursor::new(bytes), Some(comment), None);
        signed.unwrap().into_string()
    }
}

fn comment() -> String {
    let hash = HEXLOWER.encode(&Sha256::digest(BYTES));
    format!(
        "name=otelcol version=0.150.0 os=linux arch=amd64 sha256={hash} size={} expires=2027-01-01T00:00:00Z epoch=3",
        BYTES.len()
    )
}

/// What is tried; each test spoils a part.
struct Try {
    bytes: Vec<u8>,
    name: &'static str,
    version: &'static str,
    hash: Vec<u8>,
    signature: Vec<u8>,
    keys: Vec<String>,
    least_epoch: u32,
    arch: &'static str,
    now: &'static str,
}

impl Try {
    fn by(signer: &Signer, comment: &str) -> Self {
        Self {
            bytes: BYTES.to_vec(),
            name: "otelcol",
            version: "v0.150.0",
            hash: Sha256::digest(BYTES).to_vec(),
            signature: signer.sign(BYTES, comment).into_bytes(),
            keys: vec![signer.key()],
            least_epoch: 3,
            arch: "amd64",
            now: "2026-12-31T23:59:59Z",
        }
    }

    fn verify(&self) -> Result<Verified, Refused> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&self.bytes).unwrap();
        let mut keys = Keys::default();
        for (number, key) in self.keys.iter().enumerate() {
            keys.add(&format!("key-{number}.pub"), key).unwrap();
        }
        let name = self.name.parse().unwrap();
        let offered = Offered {
            name: &name,
            version: self.version,
            content_hash: &self.hash,
            signature: &self.signature,
        };
        let trust = Trust {
            keys: &keys,
            least_epoch: self.least_epoch,
            os: "linux",
            arch: self.arch,
            now: self.now.parse().unwrap(),
        };
        Verified::of(file, &offered, Some(&trust))
    }

    fn refused(&self) -> String {
        let refused = self.verify().expect_err("refused");
        assert!(!refused.may_pass());
        refused.to_string()
    }
}

fn good() -> Try {
    Try::by(&Signer::new(), &comment())
}

#[test]
fn what_is_signed_and_fits_is_verified_and_read_from_its_start() {
    let mut verified = good().verify().unwrap();
    assert_eq!(verified.claims().unwrap().to_string(), comment());
    assert_eq!((verified.size(), verified.sha256()[..] == Sha256::digest(BYTES)[..]), (23, true));
    let mut bytes = Vec::new();
    verified.open().unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, BYTES);
}

#[test]
fn a_second_key_is_there_for_the_time_of_a_rotation() {
    let mut rotating = good();
    rotating.keys.insert(0, Signer::new().key());
    rotating.verify().unwrap();
    // The line of base64 alone is a key, too.
    let bare = rotating.keys[1].lines().last().unwrap().to_owned();
    rotating.keys[1] = bare;
    rotating.verify().unwrap();
    let wrong = Keys::default().add("a.pub", "untrusted comment: x\nnot a key").unwrap_err().to_string();
    assert!(wrong.starts_with("a.pub is no public key"), "{wrong}");
}

#[test]
fn f_22_f_23_a_wrong_hash_and_one_that_is_no_sha_256_are_refused() {
    let mut spoilt = good();
    spoilt.bytes.push(0);
    assert!(spoilt.refused().contains("the SHA-256 of what was downloaded is"), "{}", spoilt.refused());
    for length in [0, 20, 31, 33] {
        let mut short = good();
        short.hash = vec![1; length];
        assert!(short.refused().contains(&format!("content_hash has {length} bytes")), "{}", short.refused());
    }
}

#[test]
fn f_24_a_signature_that_is_missing_garbage_foreign_tampered_or_old_is_refused() {
    let mut spoilt = good();
    spoilt.signature.clear();
    assert!(spoilt.refused().contains("there is no signature"));
    for garbage in [&b"x"[..], &[0xff; 90], &[b'a'; 5000], b"untrusted comment: a\nb\ntrusted comment: c\nd"]
    {
        spoilt.signature = garbage.to_vec();
        assert!(spoilt.refused().contains("not the text of a minisign signature"), "{}", spoilt.refused());
    }
    let mut foreign = good();
    foreign.keys = vec![Signer::new().key(), Signer::new().key()];
    let told = foreign.refused();
    assert!(told.contains("a key that this host does not have; it has key-0.pub, key-1.pub"), "{told}");

    let signer = Signer::new();
    let mut other_file = Try::by(&signer, &comment());
    other_file.signature = signer.sign(b"another file", &comment()).into_bytes();
    assert!(other_file.refused().contains("does not fit the file"), "{}", other_file.refused());

    let mut tampered = good();
    let text = String::from_utf8(tampered.signature).unwrap();
    tampered.signature = text.replace("expires=2027", "expires=2037").into_bytes();
    assert!(tampered.refused().contains("its trusted comment"), "{}", tampered.refused());

    // The old kind is named `Ed` where the one that hashes first is named `ED`.
    let mut old = good();
    let text = String::from_utf8(old.signature).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[1].starts_with("RU"));
    old.signature = text.replacen("RU", "RW", 1).into_bytes();
    assert!(old.refused().contains("old kind"), "{}", old.refused());
}

#[test]
fn f_25_f_29_what_is_signed_for_another_name_version_or_host_is_refused() {
    let signer = Signer::new();
    let hash = HEXLOWER.encode(&Sha256::digest(BYTES));
    for (from, to, told) in [
        ("name=otelcol", "name=other", "signed is package other, offered is otelcol"),
        ("version=0.150.0", "version=0.149.0", "signed is version 0.149.0, offered is v0.150.0"),
        ("os=linux", "os=windows", "signed is os windows, this host's is linux"),
        ("arch=amd64", "arch=arm64", "signed is arch arm64, this host's is amd64"),
        ("size=23", "size=24", "signed is size 24, that of the file is 23"),
        (&hash[..2], "zz", "64 hexadecimal digits"),
        (&hash, &"0".repeat(64), "signed is the SHA-256 0000"),
        ("epoch=3", "", "no `epoch=`"),
    ] {
        let refused = Try::by(&signer, &comment().replacen(from, to, 1)).refused();
        assert!(refused.contains(told), "{to}: {refused}");
    }
    let mut unnamed = good();
    unnamed.version = "";
    unnamed.verify().expect("a server need not say a version");
    let mut odd = good();
    odd.version = "newest";
    assert!(odd.refused().contains("offered is newest"));
    let mut elsewhere = good();
    elsewhere.arch = "arm64";
    assert!(elsewhere.refused().contains("this host's is arm64"));
}

#[test]
fn f_26_f_28_what_expired_or_is_of_a_revoked_epoch_is_refused() {
    let mut late = good();
    late.now = "2027-01-01T00:00:00Z";
    assert!(late.refused().contains("expired at 2027-01-01T00:00:00Z"), "{}", late.refused());
    let mut revoked = good();
    revoked.least_epoch = 4;
    assert!(
        revoked.refused().contains("epoch 3 is revoked; this host takes 4 and newer"),
        "{}",
        revoked.refused()
    );
}

#[test]
fn a_host_without_signatures_still_compares_the_hash() {
    let name = "otelcol".parse().unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(BYTES).unwrap();
    let hash = Sha256::digest(BYTES);
    let offered = Offered { name: &name, version: "", content_hash: &hash, signature: b"" };
    assert!(Verified::of(file.try_clone().unwrap(), &offered, None).unwrap().claims().is_none());
    let offered = Offered { content_hash: &[7; 32], ..offered };
    assert!(matches!(Verified::of(file, &offered, None), Err(Refused::Hash { .. })));
}
