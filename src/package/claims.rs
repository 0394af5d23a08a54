//! What a signer says of an artefact: the trusted comment of its signature, which the signature covers.

use std::{fmt, str::FromStr};

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use jiff::Timestamp;
use semver::Version;

/// What is signed together with the bytes, written `name=otelcol version=0.150.0 os=linux arch=amd64 sha256=… size=…
/// expires=2027-06-01T00:00:00Z epoch=1`: every key once, in any order, and no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The package that it is for: a signature for one cannot be used for another.
    pub name: PackageName,
    pub version: Version,
    /// As in OpAMP's `os.type`: `linux`.
    pub os: String,
    /// As in OpAMP's `host.arch`: `amd64`, `arm64`.
    pub arch: String,
    /// Of the artefact as downloaded.
    pub sha256: [u8; 32],
    /// Of the artefact as downloaded, in bytes.
    pub size: u64,
    /// From then on it is not installed any more.
    pub expires: Timestamp,
    /// Grows when a key's older signatures are to be revoked; hosts name the least that they take.
    pub epoch: u32,
}

/// A name that is safe as that of a directory: letters, digits, `.`, `_` and `-`, and no dot at its start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageName(String);

/// The longest name of a package.
const NAME_LIMIT: usize = 64;
/// The longest trusted comment that is read.
const COMMENT_LIMIT: usize = 1024;

/// Why a text is no name of a package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name of a package: 1 to {NAME_LIMIT} of the characters a-z, A-Z, 0-9, `.`, `_` and `-`, the first one no dot"
)]
pub struct InvalidName(String);

impl PackageName {
    /// For what has no name that can be read.
    #[cfg(feature = "cli")]
    pub(super) fn unknown() -> Self {
        Self("unknown".to_owned())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PackageName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let short = (1..=NAME_LIMIT).contains(&text.len());
        if short && text.bytes().all(fine) && !text.starts_with('.') {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName(text.chars().take(NAME_LIMIT).collect()))
        }
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a trusted comment is not one of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidClaims {
    #[error("the trusted comment has more than {COMMENT_LIMIT} bytes")]
    Long,
    #[error("the trusted comment has {0:?}, which is not KEY=VALUE")]
    Word(String),
    #[error(
        "the trusted comment has no `{0}=`; it must have name, version, os, arch, sha256, size, expires and epoch"
    )]
    Missing(&'static str),
    #[error("the trusted comment has `{0}=` twice")]
    Twice(String),
    /// It may be a condition that this program does not know, so it is not passed over.
    #[error("the trusted comment has `{0}=`, which this version does not know")]
    Unknown(String),
    #[error("the trusted comment's `{key}={value}` is not {expected}")]
    Value { key: &'static str, value: String, expected: &'static str },
}

const KEYS: [&str; 8] = ["name", "version", "os", "arch", "sha256", "size", "expires", "epoch"];

impl FromStr for Claims {
    type Err = InvalidClaims;

    fn from_str(comment: &str) -> Result<Self, InvalidClaims> {
        let values = values(comment)?;
        let get = |index: usize| values[index].ok_or(InvalidClaims::Missing(KEYS[index]));
        let wrong = |index: usize, expected| InvalidClaims::Value {
            key: KEYS[index],
            value: values[index].unwrap_or_default().to_owned(),
            expected,
        };
        let word = |index: usize| match get(index)? {
            "" => Err(wrong(index, "a name")),
            value => Ok(value.to_owned()),
        };
        Ok(Self {
            name: get(0)?.parse().map_err(|_| wrong(0, "the name of a package"))?,
            version: get(1)?.parse().map_err(|_| wrong(1, "a version such as 0.150.0"))?,
            os: word(2)?,
            arch: word(3)?,
            sha256: sha256(get(4)?).ok_or_else(|| wrong(4, "64 hexadecimal digits"))?,
            size: get(5)?.parse().map_err(|_| wrong(5, "a number of bytes"))?,
            expires: get(6)?.parse().map_err(|_| wrong(6, "a time such as 2027-06-01T00:00:00Z"))?,
            epoch: get(7)?.parse().map_err(|_| wrong(7, "a number"))?,
        })
    }
}

/// The value of each of the [`KEYS`].
fn values(comment: &str) -> Result<[Option<&str>; 8], InvalidClaims> {
    if comment.len() > COMMENT_LIMIT {
        return Err(InvalidClaims::Long);
    }
    let mut values = [None; 8];
    for word in comment.split_ascii_whitespace() {
        let (key, value) = word.split_once('=').ok_or_else(|| InvalidClaims::Word(word.to_owned()))?;
        let index = KEYS.iter().position(|known| *known == key);
        let slot = &mut values[index.ok_or_else(|| InvalidClaims::Unknown(key.to_owned()))?];
        if slot.replace(value).is_some() {
            return Err(InvalidClaims::Twice(key.to_owned()));
        }
    }
    Ok(values)
}

impl fmt::Display for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, version, os, arch, sha256, size, expires, epoch } = self;
        let sha256 = HEXLOWER.encode(sha256);
        write!(
            f,
            "name={name} version={version} os={os} arch={arch} sha256={sha256} size={size} expires={expires} epoch={epoch}"
        )
    }
}

fn sha256(text: &str) -> Option<[u8; 32]> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "name=otelcol version=0.150.0 os=linux arch=amd64 \
        sha256=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff size=42 \
        expires=2027-06-01T00:00:00Z epoch=1";

    fn error(text: &str) -> String {
        text.parse::<Claims>().unwrap_err().to_string()
    }

    #[test]
    fn a_comment_is_read_and_written_in_one_form() {
        let claims: Claims = TEXT.parse().unwrap();
        assert_eq!(claims.to_string(), TEXT);
        assert_eq!((claims.size, claims.sha256[1], claims.version.minor), (42, 0x11, 150));
        let reordered = TEXT.split(' ').rev().collect::<Vec<_>>().join("  ");
        assert_eq!(reordered.parse(), Ok(claims), "order and spaces are the writer's");
    }

    #[test]
    fn f_25_a_comment_that_says_too_little_or_too_much_is_refused_with_the_word() {
        for key in KEYS {
            let kept = TEXT.split(' ').filter(|word| !word.starts_with(&format!("{key}=")));
            let without = kept.collect::<Vec<_>>().join(" ");
            assert!(error(&without).contains(&format!("no `{key}=`")), "{without}");
        }
        for (more, told) in [
            (" size=43", "`size=` twice"),
            (" hostname=a", "`hostname=`, which"),
            (" signed", "\"signed\", which is not KEY=VALUE"),
            (&"x".repeat(1024), "more than 1024 bytes"),
        ] {
            assert!(
                error(&format!("{TEXT}{more}")).contains(told),
                "{more}: {}",
                error(&format!("{TEXT}{more}"))
            );
        }
        for (from, to, told) in [
            ("name=otelcol", "name=../otelcol", "`name=../otelcol` is not the name of a package"),
            ("version=0.150.0", "version=latest", "`version=latest` is not a version"),
            ("os=linux", "os=", "`os=` is not a name"),
            ("sha256=00", "sha256=0", "64 hexadecimal digits"),
            ("sha256=00", "sha256=+0", "64 hexadecimal digits"),
            ("size=42", "size=-42", "a number of bytes"),
            ("expires=2027", "expires=never2027", "a time such as"),
            ("epoch=1", "epoch=1.5", "a number"),
        ] {
            assert!(
                error(&TEXT.replace(from, to)).contains(told),
                "{to}: {}",
                error(&TEXT.replace(from, to))
            );
        }
    }

    #[test]
    fn f_30_a_name_is_one_that_a_directory_may_have() {
        for name in ["otelcol", "a", "geoip-2.data_x", &"x".repeat(64)] {
            assert_eq!(name.parse::<PackageName>().unwrap().to_string(), name);
        }
        for name in ["", ".", "..", ".hidden", "a/b", "a b", "a\0", "ä", &"x".repeat(65)] {
            assert!(name.parse::<PackageName>().is_err(), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z0-9=. :-]{0,200}") {
            if let Ok(claims) = text.parse::<Claims>() {
                prop_assert_eq!(claims.to_string().parse(), Ok(claims));
            }
        }
    }
}
