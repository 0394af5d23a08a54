//! Instance uids.

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// The 16 bytes that name one agent instance (C-ID-01). Shown as a hyphenated UUID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceUid([u8; 16]);

/// What was given is no instance uid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUid {
    /// A uid on the wire has exactly 16 bytes.
    #[error("instance uid has {0} bytes, it must have exactly 16")]
    Length(usize),
    /// A uid in text is a UUID.
    #[error("{0:?} is not a UUID (expected a form such as 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b)")]
    Text(String),
}

impl InstanceUid {
    /// A UUIDv7 (C-ID-02) from a wall-clock time and random bytes, both passed in.
    #[must_use]
    pub fn v7(unix_millis: u64, random: [u8; 10]) -> Self {
        Self(*uuid::Builder::from_unix_timestamp_millis(unix_millis, &random).into_uuid().as_bytes())
    }

    /// From the 16 bytes of a UUID, of whichever version: agents choose theirs (C-ID-02).
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// As they travel in `instance_uid`, in network order.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The bytes as a message field takes them.
    #[must_use]
    pub fn to_vec(self) -> Vec<u8> {
        self.0.to_vec()
    }
}

impl TryFrom<&[u8]> for InstanceUid {
    type Error = InvalidUid;

    fn try_from(bytes: &[u8]) -> Result<Self, InvalidUid> {
        bytes.try_into().map(Self).map_err(|_| InvalidUid::Length(bytes.len()))
    }
}

impl FromStr for InstanceUid {
    type Err = InvalidUid;

    fn from_str(text: &str) -> Result<Self, InvalidUid> {
        Uuid::parse_str(text.trim())
            .map(|uuid| Self(*uuid.as_bytes()))
            .map_err(|_| InvalidUid::Text(text.chars().take(80).collect()))
    }
}

impl fmt::Display for InstanceUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).hyphenated().fmt(f)
    }
}

impl fmt::Debug for InstanceUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for InstanceUid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for InstanceUid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_id_01_and_02_sixteen_bytes_version_seven() {
        let uid = InstanceUid::v7(1_700_000_000_000, [7; 10]);
        assert_eq!(uuid::Uuid::from_bytes(*uid.as_bytes()).get_version_num(), 7);
        assert_eq!(uid.to_string().parse::<InstanceUid>().unwrap(), uid);
        assert_eq!(InstanceUid::try_from(&[0; 15][..]), Err(InvalidUid::Length(15)));
        assert!("not a uid".parse::<InstanceUid>().unwrap_err().to_string().contains("not a UUID"));
    }
}
