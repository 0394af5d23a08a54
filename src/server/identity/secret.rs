//! Secrets and their digests. A secret is shown to its holder; what is kept is the digest. An agent's credential is
//! worked out of the server's key whenever it must be told again, so that it lies nowhere.

use data_encoding::HEXLOWER;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::wire::InstanceUid;

/// What an enrolment token begins with, so that people and scanners know one when they see it.
const TOKEN: &str = "oet_";
/// What an agent's credential begins with.
const CREDENTIAL: &str = "oac_";
/// What a pass for one download begins with.
pub(super) const PASS: &str = "odp_";
/// Of SHA-256.
const BLOCK: usize = 64;

/// A text that must not be shown but to its holder.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// An enrolment token.
    #[must_use]
    pub fn token(random: [u8; 32]) -> Self {
        Self(format!("{TOKEN}{}", HEXLOWER.encode(&random)))
    }

    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// SHA-256 of something.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Compares in a time that says nothing of the digests.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    #[must_use]
    pub const fn bytes(self) -> [u8; 32] {
        self.0
    }

    /// A beginning that is enough to tell things apart.
    #[must_use]
    pub fn short(&self) -> String {
        HEXLOWER.encode(&self.0[..4])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({}…)", self.short())
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bad = "a digest has 64 hexadecimal digits";
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(bad);
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| bad)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| bad)?;
        }
        Ok(Self(bytes))
    }
}

/// The server's key, of which agents' credentials are worked out.
#[derive(Clone)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The credential of an identity that was made under this id.
    #[must_use]
    pub fn credential(&self, identity: &str, id: &str) -> Secret {
        let text = format!("opamp agent credential 1\0{identity}\0{id}");
        Secret(format!("{CREDENTIAL}{}", HEXLOWER.encode(&hmac(&self.0, text.as_bytes()))))
    }

    /// Lets this agent download this file until then (seconds since 1970).
    #[must_use]
    pub(super) fn pass(&self, uid: InstanceUid, file: &[u8; 32], until: i64) -> Secret {
        let text = [b"opamp package download 1\0", &uid.as_bytes()[..], file, &until.to_be_bytes()].concat();
        let parts = [&uid.as_bytes()[..], &until.to_be_bytes(), &hmac(&self.0, &text)].concat();
        Secret(format!("{PASS}{}", HEXLOWER.encode(&parts)))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

/// HMAC-SHA256 (RFC 2104) with a key no longer than a block.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut pad = [0; BLOCK];
    pad[..key.len()].copy_from_slice(key);
    let inner = Sha256::new().chain_update(pad.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keyed_digest_is_that_of_rfc_4231() {
        let one = HEXLOWER.encode(&hmac(&[0x0b; 20], b"Hi There"));
        assert_eq!(one, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
        let two = HEXLOWER.encode(&hmac(b"Jefe", b"what do ya want for nothing?"));
        assert_eq!(two, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn secrets_show_in_no_debug_and_digests_come_back() {
        let key = MasterKey::new([7; 32]);
        let secret = key.credential("edge-1", "a");
        assert!(secret.reveal().starts_with("oac_") && secret.reveal().len() == 68);
        assert_ne!(secret, key.credential("edge-1", "b"));
        assert_ne!(secret, key.credential("edge-2", "a"));
        for shown in [format!("{secret:?}"), format!("{key:?}"), format!("{:?}", Secret::token([1; 32]))] {
            assert!(shown.ends_with("(***)"), "{shown}");
        }
        let text = serde_json::to_string(&secret.digest()).unwrap();
        assert!(serde_json::from_str::<Digest>(&text).unwrap().same(&secret.digest()));
        assert!(serde_json::from_str::<Digest>("\"xyz\"").is_err());
    }
}
