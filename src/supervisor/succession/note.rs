//! What one supervisor tells the next about what it hands over. Later versions read the notes of earlier ones and the
//! other way round: what is unknown is passed over, and what may be missing has a default.

use std::path::PathBuf;

use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::supervisor::{compose::Contact, machine::Inherited};

/// What goes along.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::supervisor) struct Note {
    pub(in crate::supervisor) errand: Errand,
    /// Where the Collector dials, where there is a listener.
    #[serde(default)]
    pub(in crate::supervisor) token: Option<String>,
    /// The Collector that runs.
    #[serde(default)]
    pub(in crate::supervisor) collector: Option<CollectorNote>,
}

/// What the next one is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::supervisor) enum Errand {
    /// Prove itself, or go back to the one before.
    Prove { back_to: PathBuf },
    /// Run on.
    Run,
    /// Take up what was tried in vain.
    Back { why: String },
}

/// The Collector, as the one before knew it. Its pipes go along as descriptors.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::supervisor) struct CollectorNote {
    pub(in crate::supervisor) pid: i32,
    pub(in crate::supervisor) inherited: Inherited,
    /// Its files, as they are in `live/`.
    #[serde(default)]
    pub(in crate::supervisor) files: Option<Files>,
    /// What of a line was read of each pipe.
    pub(in crate::supervisor) stdout: Bytes,
    pub(in crate::supervisor) stderr: Bytes,
    /// The end of what it printed.
    #[serde(default)]
    pub(in crate::supervisor) printed: String,
    /// Its last word on itself, and when it was started.
    #[serde(default)]
    pub(in crate::supervisor) health: Bytes,
    #[serde(default)]
    pub(in crate::supervisor) started: u64,
    /// What it said of itself.
    #[serde(default)]
    pub(in crate::supervisor) description: Bytes,
}

/// The config that it runs, without its contents.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::supervisor) struct Files {
    pub(in crate::supervisor) contact: Contact,
    pub(in crate::supervisor) files: Vec<File>,
    #[serde(default)]
    pub(in crate::supervisor) missing: Vec<String>,
}

/// One file of it.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::supervisor) struct File {
    pub(in crate::supervisor) name: String,
    pub(in crate::supervisor) label: String,
    pub(in crate::supervisor) remote: bool,
}

/// Bytes as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::supervisor) struct Bytes(pub(in crate::supervisor) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&BASE64.encode_display(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map(Self).map_err(D::Error::custom)
    }
}
