//! Packages as operators write them, in Commander's shape and with a variant for each kind of host, and what is refused
//! of them. Where the files lie that they name is not known here (`server::packages`).

use std::{collections::BTreeMap, fmt, str::FromStr};

use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};

use super::{
    resource::Invalid,
    settings::{self, check_headers, check_url, or_default},
};
use crate::package::{Claims, PackageName};

/// The longest version.
const VERSION_LIMIT: usize = 64;
/// There are not as many kinds of hosts.
const MOST_VARIANTS: usize = 64;
/// What a host's architecture is called elsewhere, and in OpAMP.
const ALIASES: [(&str, &str); 3] = [("x86_64", "amd64"), ("x86-64", "amd64"), ("aarch64", "arm64")];

/// An architecture as variants name it.
pub(super) fn called_here(arch: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == arch).map_or(arch, |(_, name)| name)
}

/// SHA-256 of a file, by which it is named: 64 lower-case hexadecimal digits, and nothing else in a path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileHash(pub [u8; 32]);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no SHA-256; write 64 hexadecimal digits in lower case, as sha256sum prints them")]
pub struct InvalidHash(String);

impl FromStr for FileHash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| InvalidHash(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for FileHash {
    type Error = InvalidHash;

    fn try_from(text: String) -> Result<Self, InvalidHash> {
        text.parse()
    }
}

impl From<FileHash> for String {
    fn from(hash: FileHash) -> Self {
        hash.to_string()
    }
}

impl fmt::Display for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileHash({self})")
    }
}

/// What an agent does with a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PackageType {
    /// The agent itself.
    #[serde(alias = "top-level")]
    TopLevel,
    #[serde(alias = "addon", alias = "Addon", alias = "add-on")]
    AddOn,
}

/// Of a request for a file. They hold tokens, so `Debug` shows names only.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Headers(pub BTreeMap<String, String>);

impl Headers {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn check(&self, place: &str) -> Result<(), Invalid> {
        let lists = self.0.iter().map(|(name, value)| (name.clone(), vec![value.clone()]));
        check_headers(&settings::Headers(lists.collect()), place)
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Either one file for every host, as Commander has it, or variants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentPackageSpec {
    /// What agents know it by, if that is not the name of this resource: so there can be two versions of one package.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub package_name: String,
    pub package_type: PackageType,
    pub version: String,
    #[serde(default, deserialize_with = "or_default")]
    pub download_url: String,
    /// In base64, as are `signature` and `hash`.
    #[serde(default, deserialize_with = "or_default")]
    pub content_hash: String,
    #[serde(default, deserialize_with = "or_default")]
    pub signature: String,
    #[serde(default)]
    pub headers: Option<Headers>,
    #[serde(default, deserialize_with = "or_default")]
    pub hash: String,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
}

/// The file for one kind of host: one that was uploaded here, or one elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Variant {
    /// As in OpAMP's `os.type`: `linux`.
    pub os: String,
    /// As in OpAMP's `host.arch`: `amd64`, `arm64`.
    pub arch: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileHash>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub download_url: String,
    /// Of what lies there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<FileHash>,
    /// The text of a minisign signature.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub signature: String,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Headers::is_empty")]
    pub headers: Headers,
}

impl AgentPackageSpec {
    /// What agents know it by; `name` is that of the resource.
    #[must_use]
    pub fn known_as<'a>(&'a self, name: &'a str) -> &'a str {
        if self.package_name.is_empty() { name } else { &self.package_name }
    }

    /// The uploaded files that it names.
    pub fn files(&self) -> impl Iterator<Item = FileHash> {
        self.variants.iter().filter_map(|variant| variant.file)
    }

    /// `size` knows the files that were uploaded.
    pub fn check(&self, name: &str, size: impl Fn(FileHash) -> Option<u64>) -> Result<(), Invalid> {
        let place = if self.package_name.is_empty() { "metadata.name" } else { "spec.packageName" };
        let name = self.known_as(name);
        name.parse::<PackageName>().map_err(|error| Invalid::new(place, error.to_string()))?;
        let visible = |c: char| c.is_ascii_graphic();
        if !(1..=VERSION_LIMIT).contains(&self.version.len()) || !self.version.chars().all(visible) {
            let message = format!("is {:?}; give one such as 0.150.0", self.version);
            return Err(Invalid::new("spec.version", message));
        }
        if self.variants.is_empty() {
            return self.check_single();
        }
        let headers = self.headers.as_ref().is_some_and(|headers| !headers.is_empty());
        let given = [
            ("downloadUrl", !self.download_url.is_empty()),
            ("contentHash", !self.content_hash.is_empty()),
            ("signature", !self.signature.is_empty()),
            ("headers", headers),
        ];
        if let Some((field, _)) = given.into_iter().find(|(_, given)| *given) {
            let message = "is given beside variants; put it into each variant";
            return Err(Invalid::new(format!("spec.{field}"), message));
        }
        if self.variants.len() > MOST_VARIANTS {
            let message = format!("are {}; a package may have {MOST_VARIANTS}", self.variants.len());
            return Err(Invalid::new("spec.variants", message));
        }
        for (index, variant) in self.variants.iter().enumerate() {
            let place = format!("spec.variants[{index}]");
            let same = |other: &Variant| (&other.os, &other.arch) == (&variant.os, &variant.arch);
            if self.variants[..index].iter().any(same) {
                let message = format!("is a second one for {} on {}", variant.os, variant.arch);
                return Err(Invalid::new(place, message));
            }
            let size = variant.check(&place, &size)?;
            if !variant.signature.is_empty() {
                self.signed(name, variant, size)
                    .map_err(|message| Invalid::new(format!("{place}.signature"), message))?;
            }
        }
        Ok(())
    }

    /// As in Commander, whose hashes and signatures are whatever agents make of them.
    fn check_single(&self) -> Result<(), Invalid> {
        if self.download_url.is_empty() {
            let message = "are missing; give one for each kind of host, or downloadUrl for all of them";
            return Err(Invalid::new("spec.variants", message));
        }
        check_url(&self.download_url, &["https", "http"], "spec.downloadUrl")?;
        let texts =
            [("contentHash", &self.content_hash), ("signature", &self.signature), ("hash", &self.hash)];
        for (field, text) in texts {
            BASE64
                .decode(text.as_bytes())
                .map_err(|error| Invalid::new(format!("spec.{field}"), format!("is no base64: {error}")))?;
        }
        self.headers.iter().try_for_each(|headers| headers.check("spec.headers"))
    }

    /// Whether what the signer says is about this variant: hosts refuse it otherwise. By whom it is signed is theirs to
    /// check, for the keys that they trust are not known here.
    fn signed(&self, name: &str, variant: &Variant, size: Option<u64>) -> Result<(), String> {
        let claims = Claims::unverified(variant.signature.as_bytes()).map_err(|error| error.to_string())?;
        let version = self.version.strip_prefix('v').unwrap_or(&self.version);
        let hash = variant.file.or(variant.content_hash).map(|hash| hash.to_string());
        let size = size.map(|size| size.to_string());
        let pairs = [
            ("name", claims.name.to_string(), Some(name)),
            ("version", claims.version.to_string(), Some(version)),
            ("os", claims.os, Some(&*variant.os)),
            ("arch", claims.arch, Some(&*variant.arch)),
            ("sha256", HEXLOWER.encode(&claims.sha256), hash.as_deref()),
            ("size", claims.size.to_string(), size.as_deref()),
        ];
        for (key, signed, written) in pairs {
            if let Some(written) = written.filter(|written| *written != signed) {
                return Err(format!(
                    "is for {key}={signed}, and here it is {written}; every host would refuse it: sign this file as \
                     what it is, or give its own signature"
                ));
            }
        }
        Ok(())
    }
}

impl Variant {
    /// Returns the size of the file, where it is known.
    fn check(&self, place: &str, size: impl Fn(FileHash) -> Option<u64>) -> Result<Option<u64>, Invalid> {
        let wrong = |field: &str, message: String| Err(Invalid::new(format!("{place}.{field}"), message));
        for (field, word) in [("os", &self.os), ("arch", &self.arch)] {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
            if word.is_empty() || !word.chars().all(plain) {
                return wrong(field, format!("is {word:?}; agents say linux, amd64 or arm64"));
            }
        }
        let name = called_here(&self.arch);
        if name != self.arch {
            return wrong("arch", format!("is {:?}, which agents call {name}", self.arch));
        }
        self.headers.check(&format!("{place}.headers"))?;
        match (self.file, self.download_url.as_str(), self.content_hash) {
            (Some(_), "", None) if !self.headers.is_empty() => {
                wrong("headers", "are for downloadUrl; a file that was uploaded here needs none".to_owned())
            }
            (Some(file), "", None) => match size(file) {
                Some(size) => Ok(Some(size)),
                None => {
                    let message = format!("{file} was not uploaded; POST it to /api/v1/packagefiles first");
                    wrong("file", message)
                }
            },
            (Some(_), ..) => {
                wrong("file", "is given beside downloadUrl or contentHash; give one or the other".to_owned())
            }
            (None, "", _) => {
                wrong("file", "is missing; give that of an upload, or downloadUrl and contentHash".to_owned())
            }
            (None, _, None) => {
                wrong("contentHash", "is missing; give the SHA-256 of what lies at downloadUrl".to_owned())
            }
            (None, url, Some(_)) => {
                check_url(url, &["https", "http"], &format!("{place}.downloadUrl")).map(|_| None)
            }
        }
    }
}

#[cfg(test)]
mod tests;
