//! Whether a downloaded artefact is what was offered and signed. Nothing of it is opened or run before.
//!
//! The bytes are read once, from one open file: the SHA-256 that the server offered and the minisign signature by a key of
//! this host are computed side by side. What the signer says of the artefact ([`Claims`]) must then fit the offer and this
//! host. The only way to a [`Verified`] is through here.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use minisign_verify::{PublicKey, Signature, StreamVerifier};
use semver::Version;
use sha2::{Digest, Sha256};

use super::{Claims, InvalidClaims, PackageName};

/// Read at once.
const CHUNK: usize = 64 * 1024;
/// The longest text of a signature.
const SIGNATURE_LIMIT: usize = 4096;

/// The public keys of this host, each with the name under which people know it (its file).
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<(String, PublicKey)>);

/// A text that is no public key of minisign's.
#[derive(Debug, thiserror::Error)]
#[error("{name} is no public key of minisign's (a line of comment, then one of base64): {why}")]
pub struct InvalidKey {
    name: String,
    why: minisign_verify::Error,
}

impl Keys {
    /// One more key, in minisign's form: with its line of comment or without.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), InvalidKey> {
        let text = text.trim();
        let parsed = if text.contains('\n') { PublicKey::decode(text) } else { PublicKey::from_base64(text) };
        let key = parsed.map_err(|why| InvalidKey { name: name.to_owned(), why })?;
        self.0.push((name.to_owned(), key));
        Ok(())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a verification by the key that the signature names starts with.
    fn of<'a>(&'a self, signature: &'a Signature) -> Result<StreamVerifier<'a>, Refused> {
        for (_, key) in &self.0 {
            match key.verify_stream(signature) {
                Ok(verifier) => return Ok(verifier),
                Err(minisign_verify::Error::UnexpectedKeyId) => {}
                Err(minisign_verify::Error::UnsupportedLegacyMode) => return Err(Refused::Legacy),
                Err(why) => return Err(Refused::Signature(why)),
            }
        }
        let names: Vec<_> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        Err(Refused::OtherKey(names.join(", ")))
    }
}

/// What the server offered.
#[derive(Clone, Debug)]
pub struct Offered<'a> {
    pub name: &'a PackageName,
    /// As the server says; empty where it says nothing.
    pub version: &'a str,
    /// `DownloadableFile.content_hash`: the SHA-256 of the file.
    pub content_hash: &'a [u8],
    /// `DownloadableFile.signature`: the text of a minisign signature.
    pub signature: &'a [u8],
}

/// What this host asks of a signature.
#[derive(Clone, Debug)]
pub struct Trust<'a> {
    pub keys: &'a Keys,
    /// Signatures of an older epoch are revoked.
    pub least_epoch: u32,
    pub os: &'a str,
    pub arch: &'a str,
    /// The wall clock, never earlier than it ever was.
    pub now: Timestamp,
}

/// An artefact whose bytes are those that were offered, and signed.
#[derive(Debug)]
pub struct Verified {
    file: File,
    /// None where the host does without signatures.
    claims: Option<Claims>,
    sha256: [u8; 32],
    size: u64,
}

/// Why an artefact is not installed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("reading what was downloaded: {0}")]
    Read(#[source] io::Error),
    #[error("content_hash has {0} bytes; a SHA-256 of 32 bytes is needed")]
    HashLength(usize),
    #[error("the SHA-256 of what was downloaded is {got}, offered was {offered}")]
    Hash { got: String, offered: String },
    #[error(
        "there is no signature, and this host takes signed packages only (packages.signature.public_key_files)"
    )]
    Unsigned,
    #[error("the signature is not the text of a minisign signature: {0}")]
    Garbage(String),
    #[error("the signature is by a key that this host does not have; it has {0}")]
    OtherKey(String),
    #[error(
        "the signature is of minisign's old kind, which does not hash first; sign again with minisign 0.10 or newer, or with `opampctl package sign`"
    )]
    Legacy,
    #[error("the signature does not fit the file or its trusted comment: {0}")]
    Signature(minisign_verify::Error),
    #[error(transparent)]
    Claims(#[from] InvalidClaims),
    #[error("signed is {what} {signed}, {whose} is {other}")]
    Differs { what: &'static str, signed: String, whose: &'static str, other: String },
    #[error("the signature expired at {0}")]
    Expired(Timestamp),
    #[error("the signature's epoch {epoch} is revoked; this host takes {least} and newer ones")]
    Revoked { epoch: u32, least: u32 },
}

impl Refused {
    /// Whether the same offer may be taken another time: nothing was found wrong with the artefact.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Read(_))
    }
}

impl Verified {
    /// Reads the file from its start. `trust` is None where the host does without signatures.
    pub fn of(mut file: File, offered: &Offered<'_>, trust: Option<&Trust<'_>>) -> Result<Self, Refused> {
        let expected: [u8; 32] =
            offered.content_hash.try_into().map_err(|_| Refused::HashLength(offered.content_hash.len()))?;
        let (sha256, size, claims) = match trust {
            None => {
                let (sha256, size) = read(&mut file, None).map_err(Refused::Read)?;
                expect(sha256, expected)?;
                (sha256, size, None)
            }
            Some(trust) => {
                let signature = signature(offered.signature)?;
                let mut verifier = trust.keys.of(&signature)?;
                let (sha256, size) = read(&mut file, Some(&mut verifier)).map_err(Refused::Read)?;
                expect(sha256, expected)?;
                verifier.finalize().map_err(Refused::Signature)?;
                (sha256, size, Some(claims(&signature, trust, offered, (sha256, size))?))
            }
        };
        Ok(Self { file, claims, sha256, size })
    }

    /// What the signer says, where the host asks for signatures.
    #[must_use]
    pub const fn claims(&self) -> Option<&Claims> {
        self.claims.as_ref()
    }

    #[must_use]
    pub const fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// In bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The bytes that were verified, from their start.
    pub fn open(&mut self) -> io::Result<&mut File> {
        self.file.seek(SeekFrom::Start(0))?;
        Ok(&mut self.file)
    }
}

impl Claims {
    /// What the signature says, as far as it can be judged without the artefact. It proves nothing of that: it spares
    /// the download of what would be refused.
    pub fn foreseen(offered: &Offered<'_>, trust: &Trust<'_>) -> Result<Self, Refused> {
        let sha256 =
            offered.content_hash.try_into().map_err(|_| Refused::HashLength(offered.content_hash.len()))?;
        let signature = signature(offered.signature)?;
        trust.keys.of(&signature)?;
        let size = signature.trusted_comment().parse::<Self>()?.size;
        claims(&signature, trust, offered, (sha256, size))
    }

    /// What the text of a signature says, by whomever it is.
    pub fn unverified(text: &[u8]) -> Result<Self, Refused> {
        Ok(signature(text)?.trusted_comment().parse()?)
    }
}

fn expect(got: [u8; 32], offered: [u8; 32]) -> Result<(), Refused> {
    if got == offered {
        return Ok(());
    }
    Err(Refused::Hash { got: HEXLOWER.encode(&got), offered: HEXLOWER.encode(&offered) })
}

pub(super) fn signature(bytes: &[u8]) -> Result<Signature, Refused> {
    if bytes.is_empty() {
        return Err(Refused::Unsigned);
    }
    if bytes.len() > SIGNATURE_LIMIT {
        return Err(Refused::Garbage(format!("it has {} bytes", bytes.len())));
    }
    let text = std::str::from_utf8(bytes).map_err(|why| Refused::Garbage(why.to_string()))?;
    Signature::decode(text).map_err(|why| Refused::Garbage(why.to_string()))
}

pub(super) fn read(
    file: &mut File,
    mut verifier: Option<&mut StreamVerifier<'_>>,
) -> io::Result<([u8; 32], u64)> {
    file.seek(SeekFrom::Start(0))?;
    let (mut hash, mut size, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK]);
    loop {
        let count = match file.read(&mut chunk) {
            Ok(0) => return Ok((hash.finalize().into(), size)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&chunk[..count]);
        if let Some(verifier) = &mut verifier {
            verifier.update(&chunk[..count]);
        }
        size += count as u64;
    }
}

/// The signer's words, after the signature was found to be good; what they say must hold.
pub(super) fn claims(
    signature: &Signature,
    trust: &Trust<'_>,
    offered: &Offered<'_>,
    (sha256, size): ([u8; 32], u64),
) -> Result<Claims, Refused> {
    let claims: Claims = signature.trusted_comment().parse()?;
    same("package", &claims.name, "offered", offered.name)?;
    same("the SHA-256", &HEXLOWER.encode(&claims.sha256), "that of the file", &HEXLOWER.encode(&sha256))?;
    same("size", &claims.size, "that of the file", &size)?;
    same("os", &claims.os.as_str(), "this host's", &trust.os)?;
    same("arch", &claims.arch.as_str(), "this host's", &trust.arch)?;
    if !offered.version.is_empty() {
        let plain = offered.version.strip_prefix('v').unwrap_or(offered.version);
        if Version::parse(plain).ok().as_ref() != Some(&claims.version) {
            let (signed, other) = (claims.version.to_string(), offered.version.to_owned());
            return Err(Refused::Differs { what: "version", signed, whose: "offered", other });
        }
    }
    if trust.now >= claims.expires {
        return Err(Refused::Expired(claims.expires));
    }
    if claims.epoch < trust.least_epoch {
        return Err(Refused::Revoked { epoch: claims.epoch, least: trust.least_epoch });
    }
    Ok(claims)
}

fn same<T: PartialEq + ToString>(
    what: &'static str,
    signed: &T,
    whose: &'static str,
    other: &T,
) -> Result<(), Refused> {
    if signed == other {
        return Ok(());
    }
    Err(Refused::Differs { what, signed: signed.to_string(), whose, other: other.to_string() })
}

#[cfg(test)]
mod tests;
