//! The file of a package for one host, and as what it is offered.

use std::fmt;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::{
    protocol::packages,
    server::fleet::{
        package::{AgentPackageSpec, FileHash, Headers, PackageType, Variant, called_here},
        selector::Described,
    },
    wire::proto::{self, DownloadableFile, Header, PackageAvailable},
};

/// What a host is to install.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artefact {
    pub name: String,
    pub package_type: PackageType,
    pub version: String,
    pub source: Source,
    pub content_hash: FileHash,
    #[serde(with = "text")]
    signature: Vec<u8>,
    /// By which agents tell packages apart (S-PK-04).
    #[serde(with = "text")]
    pub hash: Vec<u8>,
}

/// Where it lies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Source {
    /// It was uploaded here.
    Here,
    Elsewhere {
        url: String,
        headers: Headers,
    },
}

/// Why there is nothing of a package for a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("the agent does not say its {0}")]
    Unknown(&'static str),
    #[error("it has no variant for {os}/{arch}, only for {has}")]
    NoVariant { os: String, arch: String, has: String },
    #[error("its contentHash is no SHA-256, by which agents could check the file")]
    NoHash,
}

impl Artefact {
    /// What an agent that describes itself so gets of a package.
    pub fn of(name: &str, package: &AgentPackageSpec, described: &Described) -> Result<Self, Unfit> {
        if package.variants.is_empty() {
            let hash = BASE64.decode(package.content_hash.as_bytes()).ok();
            let content_hash = hash.and_then(|bytes| bytes.try_into().ok()).map(FileHash);
            let source = Source::Elsewhere {
                url: package.download_url.clone(),
                headers: package.headers.clone().unwrap_or_default(),
            };
            // It was checked when it was written.
            let signature = BASE64.decode(package.signature.as_bytes()).unwrap_or_default();
            return Ok(Self::new(name, package, source, content_hash.ok_or(Unfit::NoHash)?, signature));
        }
        let variant = fitting(&package.variants, described)?;
        let (source, content_hash) = match variant.file {
            Some(file) => (Source::Here, file),
            None => {
                let (url, headers) = (variant.download_url.clone(), variant.headers.clone());
                (Source::Elsewhere { url, headers }, variant.content_hash.ok_or(Unfit::NoHash)?)
            }
        };
        let signature = variant.signature.clone().into_bytes();
        Ok(Self::new(name, package, source, content_hash, signature))
    }

    fn new(
        name: &str,
        package: &AgentPackageSpec,
        source: Source,
        content_hash: FileHash,
        signature: Vec<u8>,
    ) -> Self {
        let mut artefact = Self {
            name: name.to_owned(),
            package_type: package.package_type,
            version: package.version.clone(),
            source,
            content_hash,
            signature,
            hash: Vec::new(),
        };
        // Of a file that lies here, the URL says nothing that its content does not, and is not the same for each agent.
        artefact.hash = packages::hash(name, &artefact.offered(|_| (String::new(), Vec::new())));
        artefact
    }

    /// As it is offered. `here` knows the URL and the headers for a file that lies here.
    pub fn offered(&self, here: impl FnOnce(FileHash) -> (String, Vec<Header>)) -> PackageAvailable {
        let (download_url, headers) = match &self.source {
            Source::Here => here(self.content_hash),
            Source::Elsewhere { url, headers } => {
                let header =
                    |(key, value): (&String, &String)| Header { key: key.clone(), value: value.clone() };
                (url.clone(), headers.0.iter().map(header).collect())
            }
        };
        let file = DownloadableFile {
            download_url,
            content_hash: self.content_hash.0.to_vec(),
            signature: self.signature.clone(),
            headers: (!headers.is_empty()).then_some(proto::Headers { headers }),
        };
        let kind = match self.package_type {
            PackageType::TopLevel => proto::PackageType::TopLevel,
            PackageType::AddOn => proto::PackageType::Addon,
        };
        let (version, hash) = (self.version.clone(), self.hash.clone());
        PackageAvailable { r#type: kind as i32, version, file: Some(file), hash }
    }
}

impl fmt::Display for Artefact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// The variant for the agent's host.
fn fitting<'a>(variants: &'a [Variant], described: &Described) -> Result<&'a Variant, Unfit> {
    let said = |key: &'static str| {
        let maps = [&described.non_identifying, &described.identifying];
        let value = maps.into_iter().find_map(|map| map.get(key)).map(|value| value.to_ascii_lowercase());
        value.ok_or(Unfit::Unknown(key))
    };
    let (os, arch) = (said("os.type")?, said("host.arch")?);
    let arch = called_here(&arch).to_owned();
    let found = variants.iter().find(|variant| variant.os == os && variant.arch == arch);
    found.ok_or_else(|| {
        let has: Vec<_> = variants.iter().map(|variant| format!("{}/{}", variant.os, variant.arch)).collect();
        Unfit::NoVariant { os, arch, has: has.join(", ") }
    })
}

/// Bytes as text in what is stored.
mod text {
    use data_encoding::BASE64;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        BASE64.decode(String::deserialize(from)?.as_bytes()).map_err(D::Error::custom)
    }
}
