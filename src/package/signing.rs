//! The signer's side: key pairs and signatures in the form of the `minisign` tool, which reads and writes the same files.
//!
//! Only `opampctl package` comes here. No host and no server has a secret key.

use std::{
    fmt,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

use data_encoding::BASE64;
use jiff::Timestamp;
use minisign::{KeyPair, PublicKey, SecretKey, SecretKeyBox};
use semver::Version;
use sha2::{Digest, Sha256};

use super::{Claims, PackageName, verify};

/// Bytes of a secret key's line: algorithms, salt and limits of the password's hash, id, key, checksum.
const SECRET_KEY_BYTES: usize = 158;

/// By which a signature says whose it is, and a public key which signatures are its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyId(u64);

impl KeyId {
    fn of(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|id| Self(u64::from_le_bytes(id)))
    }

    /// The id in a line of base64 of a public key or a signature: both begin with two bytes of algorithm.
    pub(super) fn of_line(line: &str) -> Option<Self> {
        Self::of(BASE64.decode(line.trim().as_bytes()).ok()?.get(2..10)?)
    }

    /// Of a public key, with its line of comment or without.
    #[must_use]
    pub fn of_public_key(text: &str) -> Option<Self> {
        let mut lines = text.trim().lines();
        let first = lines.next()?;
        Self::of_line(lines.next().unwrap_or(first))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

/// Why there is no key or no signature.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    #[error("this is no secret key of minisign's: {0}")]
    Key(&'static str),
    #[error("this key is protected by a password, and none was given")]
    Locked,
    #[error("the password is wrong, or the key is damaged")]
    Password,
    #[error("the key is damaged: what it signs is not what its public half verifies")]
    Damaged,
    #[error("making a key: {0}")]
    Generate(minisign::PError),
    #[error("signing: {0}")]
    Sign(minisign::PError),
    #[error("reading it: {0}")]
    Read(#[source] io::Error),
    #[error("it changed while it was signed; nothing was written")]
    Changed,
}

/// The texts of the two files of a new key pair.
pub struct NewKeys {
    pub id: KeyId,
    pub secret: String,
    pub public: String,
}

impl NewKeys {
    /// Protected by the password, if there is one.
    pub fn generate(password: Option<&str>) -> Result<Self, SigningError> {
        let made = match password {
            Some(password) => KeyPair::generate_encrypted_keypair(Some(password.to_owned())),
            None => KeyPair::generate_unencrypted_keypair(),
        };
        let KeyPair { pk, sk } = made.map_err(SigningError::Generate)?;
        let comment =
            if password.is_some() { "minisign encrypted secret key" } else { "minisign secret key" };
        let secret = sk.to_box(Some(comment)).map_err(SigningError::Generate)?.into_string();
        let id = KeyId::of(pk.keynum()).ok_or(SigningError::Key("its id is too short"))?;
        let public = format!("untrusted comment: minisign public key {id}\n{}\n", pk.to_base64());
        Ok(Self { id, secret, public })
    }

    /// The line of the public key that is the key.
    #[must_use]
    pub fn public_line(&self) -> &str {
        self.public.lines().last().unwrap_or_default()
    }
}

/// A secret key, ready to sign.
pub struct SigningKey {
    secret: SecretKey,
    public: PublicKey,
    id: KeyId,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.id).finish()
    }
}

impl SigningKey {
    /// Whether a password is needed for the key.
    pub fn is_locked(text: &str) -> Result<bool, SigningError> {
        parse(text).map(|key| key.is_encrypted())
    }

    /// From the text of a file. A password that is not needed is not looked at.
    pub fn open(text: &str, password: Option<&str>) -> Result<Self, SigningError> {
        let mut secret = parse(text)?;
        if secret.is_encrypted() {
            let password = password.ok_or(SigningError::Locked)?.to_owned();
            let locked = SecretKeyBox::from(text.to_owned());
            secret = locked.into_secret_key(Some(password)).map_err(|_| SigningError::Password)?;
        }
        let public = PublicKey::from_secret_key(&secret).map_err(|_| SigningError::Damaged)?;
        let id = KeyId::of(public.keynum()).ok_or(SigningError::Damaged)?;
        Ok(Self { secret, public, id })
    }

    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Signs the file with what is stated of it. It is read twice, never held.
    pub fn sign(&self, file: &mut File, stated: Stated) -> Result<Signed, SigningError> {
        let (sha256, size) = verify::read(file, None).map_err(SigningError::Read)?;
        let Stated { name, version, os, arch, expires, epoch } = stated;
        let claims = Claims { name, version, os, arch, sha256, size, expires, epoch };
        file.seek(SeekFrom::Start(0)).map_err(SigningError::Read)?;
        let mut again = Hashing { file, hash: Sha256::new() };
        let comment = claims.to_string();
        let untrusted = Some("signature from minisign secret key");
        let signed = minisign::sign(Some(&self.public), &self.secret, &mut again, Some(&comment), untrusted);
        let signed = signed.map_err(|error| match error.kind() {
            minisign::ErrorKind::Verify => SigningError::Damaged,
            _ => SigningError::Sign(error),
        })?;
        // The comment speaks of the first reading, the signature covers the second.
        if again.hash.finalize()[..] != claims.sha256 {
            return Err(SigningError::Changed);
        }
        Ok(Signed { claims, signature: signed.into_string() })
    }
}

/// What the signer says of a file beyond what can be read off it.
#[derive(Clone, Debug)]
pub struct Stated {
    pub name: PackageName,
    pub version: Version,
    pub os: String,
    pub arch: String,
    pub expires: Timestamp,
    pub epoch: u32,
}

/// A signature, and what it says.
#[derive(Clone, Debug)]
pub struct Signed {
    pub claims: Claims,
    /// The text of the `.minisig` file.
    pub signature: String,
}

/// The checksum of a key without a password is not looked at: the `minisign` tool leaves it out.
fn parse(text: &str) -> Result<SecretKey, SigningError> {
    let line = text.lines().nth(1).ok_or(SigningError::Key("it has not two lines"))?;
    let bytes = BASE64.decode(line.trim().as_bytes());
    let bytes = bytes.map_err(|_| SigningError::Key("its second line is not base64"))?;
    if bytes.len() != SECRET_KEY_BYTES {
        return Err(SigningError::Key("its second line has not the length of one; is it the public key?"));
    }
    match &bytes[..4] {
        b"EdSc" | b"Ed\0\0" => {
            SecretKey::from_bytes(&bytes).map_err(|_| SigningError::Key("its second line is damaged"))
        }
        _ => Err(SigningError::Key("it is of another kind than Ed25519")),
    }
}

struct Hashing<'a> {
    file: &'a mut File,
    hash: Sha256,
}

impl Read for Hashing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::package::Keys;

    fn stated() -> Stated {
        Stated {
            name: "otelcol".parse().unwrap(),
            version: "0.150.0".parse().unwrap(),
            os: "linux".to_owned(),
            arch: "amd64".to_owned(),
            expires: "2027-06-01T00:00:00Z".parse().unwrap(),
            epoch: 1,
        }
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn a_password_is_needed_where_there_is_one_and_a_wrong_one_is_said_to_be() {
        let keys = NewKeys::generate(Some("of the test")).unwrap();
        assert!(SigningKey::is_locked(&keys.secret).unwrap());
        assert!(matches!(SigningKey::open(&keys.secret, None), Err(SigningError::Locked)));
        assert!(matches!(SigningKey::open(&keys.secret, Some("another")), Err(SigningError::Password)));
        let key = SigningKey::open(&keys.secret, Some("of the test")).unwrap();
        assert_eq!(key.id(), keys.id);
        assert_eq!(KeyId::of_public_key(&keys.public), Some(keys.id));
        assert_eq!(KeyId::of_public_key(keys.public_line()), Some(keys.id));

        let open = NewKeys::generate(None).unwrap();
        assert!(!SigningKey::is_locked(&open.secret).unwrap());
        assert_eq!(SigningKey::open(&open.secret, Some("ignored")).unwrap().id(), open.id);
        assert_ne!(open.id, keys.id);
    }

    #[test]
    fn a_signature_says_what_was_read_and_is_verified_by_the_public_key() {
        let keys = NewKeys::generate(None).unwrap();
        let key = SigningKey::open(&keys.secret, None).unwrap();
        let signed = key.sign(&mut file(b"\x7fELF and more"), stated()).unwrap();
        assert_eq!(signed.claims.size, 13);
        assert_eq!(signed.claims.sha256[..], Sha256::digest(b"\x7fELF and more")[..]);
        assert_eq!(signed.signature.lines().nth(2).unwrap(), format!("trusted comment: {}", signed.claims));
        let mut trusted = Keys::default();
        trusted.add("minisign.pub", &keys.public).unwrap();
        let text = signed.signature.as_bytes();
        let found = super::super::inspect(file(b"\x7fELF and more"), text, &trusted, Timestamp::UNIX_EPOCH);
        assert!(found.unwrap().verdict.is_ok());
    }

    #[test]
    fn what_is_no_secret_key_is_told_why() {
        let keys = NewKeys::generate(None).unwrap();
        let damaged = {
            let mut bytes = BASE64.decode(keys.secret.lines().nth(1).unwrap().as_bytes()).unwrap();
            // The seed; the public half after it stays.
            bytes[70] ^= 1;
            format!("untrusted comment: x\n{}\n", BASE64.encode(&bytes))
        };
        let key = SigningKey::open(&damaged, None).unwrap();
        assert!(matches!(key.sign(&mut file(b"x"), stated()), Err(SigningError::Damaged)));
        let short = &keys.secret[..keys.secret.len() - 9];
        for (text, told) in [
            ("", "not two lines"),
            (&keys.public, "is it the public key?"),
            (short, "not the length"),
            ("a\n!!", "not base64"),
        ] {
            let error = SigningKey::open(text, None).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn a_key_shows_its_id_and_nothing_else() {
        let keys = NewKeys::generate(None).unwrap();
        let key = SigningKey::open(&keys.secret, None).unwrap();
        assert_eq!(format!("{key:?}"), format!("SigningKey({:?})", keys.id));
    }
}
