//! `manifest.json`: what a version is made of.

use std::path::PathBuf;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use semver::Version;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::package::{PackageName, Unpacked};

/// Of this form; another one is left alone.
const SCHEMA: u32 = 1;

/// What was unpacked, and from what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    schema: u32,
    pub name: String,
    pub version: String,
    /// The SHA-256 of the artefact as downloaded.
    #[serde(serialize_with = "to_hex", deserialize_with = "of_hex")]
    pub artefact: [u8; 32],
    pub files: Vec<Entry>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub path: PathBuf,
    pub size: u64,
    #[serde(serialize_with = "to_hex", deserialize_with = "of_hex")]
    pub sha256: [u8; 32],
    pub executable: bool,
}

impl Manifest {
    pub(super) fn of(
        name: &PackageName,
        version: &Version,
        artefact: [u8; 32],
        files: Vec<Unpacked>,
    ) -> Self {
        let entry = |Unpacked { path, size, sha256, executable }| Entry { path, size, sha256, executable };
        Self {
            schema: SCHEMA,
            name: name.to_string(),
            version: version.to_string(),
            artefact,
            files: files.into_iter().map(entry).collect(),
        }
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        // Texts, numbers and lists: these always have a JSON form, as unpacked paths are UTF-8.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    pub(super) fn from_json(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|manifest: &Self| manifest.schema == SCHEMA)
    }
}

fn to_hex<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&HEXLOWER.encode(bytes))
}

fn of_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    let sha256 = bytes.and_then(|bytes| bytes.try_into().ok());
    sha256.ok_or_else(|| D::Error::custom(format!("{text:?} is no SHA-256")))
}
