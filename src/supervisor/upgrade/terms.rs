//! What is offered, held and kept of packages: the words of this room, and their form on disk.

use std::{collections::BTreeMap, fmt};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::{
    supervisor::{config::Secret, journal::StoredHeader},
    wire::proto::{Headers, PackageAvailable, PackageType, PackagesAvailable},
};

/// The package that is this supervisor.
pub const SUPERVISOR: &str = "opamp-supervisor";
/// More than any server has for one host.
const MOST: usize = 64;

/// What a package is to this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Files beside the Collector; first, as its config may name them.
    AddOn,
    Collector,
    Supervisor,
}

/// SHA-256 of an artefact, as the server says it; not yet known to be 32 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Artefact(#[serde(with = "hex_bytes")] pub Vec<u8>);

impl fmt::Display for Artefact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Artefact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A package that the server offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    pub kind: Kind,
    #[serde(default)]
    pub version: String,
    /// The server's name for this content under this name; opaque (C-PK-01).
    #[serde(default, with = "hex_bytes")]
    pub hash: Vec<u8>,
    pub url: String,
    pub artefact: Artefact,
    /// The text of a minisign signature.
    #[serde(default, with = "hex_bytes")]
    pub signature: Vec<u8>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<StoredHeader>,
}

/// All that the server offers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    #[serde(default, with = "hex_bytes")]
    pub all_packages_hash: Vec<u8>,
    pub packages: BTreeMap<String, Offered>,
}

/// An offer of which nothing can be taken (C-PK-31).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("{0} packages are offered; this supervisor takes up to {MOST}")]
    TooMany(usize),
    #[error("several packages are offered as the Collector: {0}; there is one")]
    Collectors(String),
}

impl Offer {
    /// As it came.
    #[must_use]
    pub fn of_wire(offered: PackagesAvailable) -> Self {
        let packages = offered.packages.into_iter().map(|(name, package)| {
            let offered = Offered::of_wire(&name, package);
            (name, offered)
        });
        Self { all_packages_hash: offered.all_packages_hash, packages: packages.collect() }
    }

    /// Whether it makes sense as a whole.
    pub fn check(&self) -> Result<(), Unusable> {
        if self.packages.len() > MOST {
            return Err(Unusable::TooMany(self.packages.len()));
        }
        let collectors = self.packages.iter().filter(|(_, offered)| offered.kind == Kind::Collector);
        let names: Vec<_> = collectors.map(|(name, _)| name.as_str()).collect();
        if names.len() > 1 { Err(Unusable::Collectors(names.join(", "))) } else { Ok(()) }
    }

    /// Whether this one says what the other one said: by its hash, where it has one (C-PK-02).
    #[must_use]
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        if self.all_packages_hash.is_empty() {
            return self == other;
        }
        self.all_packages_hash == other.all_packages_hash
    }
}

impl Offered {
    fn of_wire(name: &str, package: PackageAvailable) -> Self {
        let add_on = package.r#type == PackageType::Addon as i32;
        let kind = match name {
            SUPERVISOR => Kind::Supervisor,
            _ if add_on => Kind::AddOn,
            _ => Kind::Collector,
        };
        let file = package.file.unwrap_or_default();
        Self {
            kind,
            version: package.version,
            hash: package.hash,
            url: file.download_url,
            artefact: Artefact(file.content_hash),
            signature: file.signature,
            headers: headers(file.headers.unwrap_or_default()),
        }
    }

    /// Whether the other one is the same package: by its hash, where it has one (C-PK-04).
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        let same = self.kind == other.kind && self.artefact == other.artefact;
        if self.hash.is_empty() {
            same && self.version == other.version
        } else {
            same && self.hash == other.hash
        }
    }
}

fn headers(headers: Headers) -> Vec<StoredHeader> {
    let stored = |(name, value): (String, String)| StoredHeader { name, value: Secret::new(value) };
    headers.headers.into_iter().map(|header| stored((header.key, header.value))).collect()
}

/// A package that this host has from the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub kind: Kind,
    pub version: String,
    /// The server's name for it.
    #[serde(default, with = "hex_bytes")]
    pub hash: Vec<u8>,
    pub artefact: Artefact,
    /// Its directory among those of its kind.
    pub slot: String,
    /// The program in it, from there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program: String,
}

/// Why a package of the last offer is not installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    pub why: String,
    #[serde(default)]
    pub then: Then,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// Tried again when it is offered again.
    #[default]
    WaitForOffer,
    /// It is the host or the network that stood in the way: tried again by itself.
    TryAgain,
    /// Never run on this host again (I5).
    Quarantine,
}

/// How far a package got. Each is on disk before its work begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Downloading,
    Verifying,
    Extracting,
    /// Asked what it is, and whether it would run what runs; what runs is untouched.
    Preflight,
    /// Waiting for a moment at which nothing else is on its way, then switched to, then watched.
    Trial,
}

impl Stage {
    /// What was done in it, for people.
    #[must_use]
    pub const fn doing(self) -> &'static str {
        match self {
            Self::Downloading => "while it was downloaded",
            Self::Verifying => "while it was verified",
            Self::Extracting => "while it was unpacked",
            Self::Preflight => "while it was asked what it is",
            Self::Trial => "while it was on trial",
        }
    }
}

/// The package at work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    pub name: String,
    pub offered: Offered,
    pub stage: Stage,
    /// Lives of the supervisor that began with it and got no further (F-106).
    #[serde(default)]
    pub lives: u32,
    /// How much of it was there at the start of the last one, in bytes.
    #[serde(default)]
    pub had: u64,
    /// What it became, once it is unpacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Held>,
}

/// A Collector other than that of `agent.executable`, on trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    pub target: Held,
    /// Starts of the supervisor that may still go on with it.
    pub tries_left: u32,
}

/// What ran before; without a package, `agent.executable`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<(String, Held)>,
    /// Since when, in seconds of the wall clock.
    pub since: u64,
}

/// An artefact that failed on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    pub artefact: Artefact,
    pub why: String,
}

/// Everything about packages that survives a restart of the supervisor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The last one that was taken up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<Offer>,
    /// Why nothing of it could be taken.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unusable: String,
    /// By name. The Collector is one of them, if it is a package.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub held: BTreeMap<String, Held>,
    /// Of the last offer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<String, Failed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
    /// The highest version of each package that proved itself here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub floor: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantine: Vec<Quarantined>,
    /// The latest time that the wall clock ever showed, in seconds: signatures that expired stay expired.
    #[serde(default)]
    pub seen: u64,
}

impl Record {
    #[must_use]
    pub fn is_unused(&self) -> bool {
        Self { seen: 0, ..self.clone() } == Self::default()
    }

    /// The Collector that is in force, if it is a package.
    #[must_use]
    pub fn collector(&self) -> Option<(&String, &Held)> {
        self.held.iter().find(|(_, held)| held.kind == Kind::Collector)
    }
}

/// Bytes as hexadecimal text.
mod hex_bytes {
    use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes());
        bytes.map_err(|_| D::Error::custom(format!("{text:?} is not hex")))
    }
}
