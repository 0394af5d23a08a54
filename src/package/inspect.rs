//! What a signed artefact says of itself, for people: everything that can be told, also of one that no host would take.

use std::fs::File;

use jiff::Timestamp;

use super::{
    Claims, InvalidClaims, KeyId, Keys, Offered, PackageName, Refused, Trust, Verified,
    verify::{self, read},
};

/// An artefact, its signature, and what came of holding one against the other.
#[derive(Debug)]
pub struct Inspected {
    /// Of the file, whatever is signed.
    pub size: u64,
    pub sha256: [u8; 32],
    /// The key that the signature names.
    pub key: Option<KeyId>,
    pub trusted_comment: String,
    /// What the comment claims; true only when [`Inspected::verdict`] is good.
    pub claims: Result<Claims, InvalidClaims>,
    /// What a host with these keys says that is offered just this.
    pub verdict: Result<(), Reason>,
}

/// Why nobody should rely on it.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    #[error("a host with these keys refuses it: {0}")]
    Refused(Refused),
    #[error("a host refuses it whatever its keys are: {0}")]
    Unfit(Refused),
    /// Nothing is wrong but that nobody vouches for it.
    #[error("nothing is proven without the signer's public key")]
    Unproven,
}

/// Reads the file, twice. Name, version, platform and epoch are those of the signature: whether they are those that somebody
/// wants is not asked here.
pub fn inspect(mut file: File, signature: &[u8], keys: &Keys, now: Timestamp) -> Result<Inspected, Refused> {
    let decoded = verify::signature(signature)?;
    let (sha256, size) = read(&mut file, None).map_err(Refused::Read)?;
    let trusted_comment = decoded.trusted_comment().to_owned();
    let claims = trusted_comment.parse::<Claims>();
    let (os, arch) = claims.as_ref().map_or(("", ""), |claims| (&claims.os, &claims.arch));
    let trust = Trust { keys, least_epoch: 0, os, arch, now };
    let name = claims.as_ref().map_or_else(|_| PackageName::unknown(), |claims| claims.name.clone());
    let offered = Offered { name: &name, version: "", content_hash: &sha256, signature };
    let verdict = if keys.is_empty() {
        let fits = verify::claims(&decoded, &trust, &offered, (sha256, size));
        fits.map_err(Reason::Unfit).and(Err(Reason::Unproven))
    } else {
        Verified::of(file, &offered, Some(&trust)).map(drop).map_err(Reason::Refused)
    };
    let key = std::str::from_utf8(signature).ok().and_then(|text| KeyId::of_line(text.lines().nth(1)?));
    Ok(Inspected { size, sha256, key, trusted_comment, claims, verdict })
}
