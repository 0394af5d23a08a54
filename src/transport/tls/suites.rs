//! Cipher suites, groups and versions by the names that Go, the Collector and OpAMP give them.

use std::str::FromStr;

use rustls::{
    ProtocolVersion, SupportedCipherSuite,
    crypto::{SupportedKxGroup, ring},
};

use super::Version;

/// A cipher suite that can be used here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CipherSuite(SupportedCipherSuite);

impl Eq for CipherSuite {}

/// A group for the key exchange that can be used here; configurations of the Collector call it a curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// As Go calls it; the default.
    X25519,
    /// `secp256r1` of the standards.
    P256,
    /// `secp384r1` of the standards.
    P384,
}

/// A name that stands for nothing that can be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// A misspelled suite, most likely.
    #[error("cipher suite {0:?} is not known; there are {there_are}", there_are = all_names())]
    UnknownSuite(String),
    /// A suite without forward secrecy or without authenticated encryption.
    #[error("cipher suite {0:?} is not spoken here; there are {there_are}", there_are = all_names())]
    Suite(String),
    /// A misspelled curve, most likely.
    #[error("curve {0:?} is not known; there are X25519, P256 and P384")]
    UnknownCurve(String),
    /// A curve that Go has and this library does not.
    #[error("curve {0:?} is not spoken here; there are X25519, P256 and P384")]
    Curve(String),
    /// No version of TLS.
    #[error("TLS version {0:?} is not known; write 1.2 or 1.3")]
    UnknownVersion(String),
    /// TLS 1.0 or 1.1.
    #[error("TLS {0} is not spoken here, it is broken; write 1.2 or 1.3")]
    OldVersion(String),
}

impl Unsupported {
    /// Whether others know the name: a list that has it was not misspelled.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        matches!(self, Self::Suite(_) | Self::Curve(_) | Self::OldVersion(_))
    }
}

/// Of suites that others have and that are left out here: no forward secrecy, or no authenticated encryption.
const LEFT_OUT: [&str; 2] = ["TLS_RSA_WITH_", "_CBC_SHA"];
const CURVES_LEFT_OUT: [&str; 2] = ["P521", "X25519MLKEM768"];

impl FromStr for CipherSuite {
    type Err = Unsupported;

    fn from_str(name: &str) -> Result<Self, Unsupported> {
        let upper = name.trim().to_ascii_uppercase();
        let found = ring::ALL_CIPHER_SUITES.iter().find(|suite| suite_name(**suite) == upper);
        if let Some(suite) = found {
            return Ok(Self(*suite));
        }
        let name = name.to_owned();
        if LEFT_OUT.iter().any(|part| upper.contains(part)) {
            Err(Unsupported::Suite(name))
        } else {
            Err(Unsupported::UnknownSuite(name))
        }
    }
}

fn all_names() -> String {
    ring::ALL_CIPHER_SUITES.iter().map(|suite| suite_name(*suite)).collect::<Vec<_>>().join(", ")
}

/// As in the standards; the library writes the version into those of TLS 1.3.
fn suite_name(suite: SupportedCipherSuite) -> String {
    suite.suite().as_str().unwrap_or_default().replace("TLS13_", "TLS_")
}

impl CipherSuite {
    fn is_of_1_3(self) -> bool {
        self.0.version().version == ProtocolVersion::TLSv1_3
    }
}

/// The suites to offer. As in Go, a list that names none of TLS 1.3 says nothing about TLS 1.3.
pub(super) fn offered(listed: &[CipherSuite]) -> Vec<SupportedCipherSuite> {
    if listed.is_empty() {
        return ring::DEFAULT_CIPHER_SUITES.to_vec();
    }
    let mut suites: Vec<_> = listed.iter().map(|suite| suite.0).collect();
    if !listed.iter().any(|suite| suite.is_of_1_3()) {
        let others = ring::DEFAULT_CIPHER_SUITES.iter().filter(|suite| CipherSuite(**suite).is_of_1_3());
        suites.extend(others);
    }
    suites
}

impl FromStr for Curve {
    type Err = Unsupported;

    fn from_str(name: &str) -> Result<Self, Unsupported> {
        match &*name.trim().to_ascii_uppercase() {
            "X25519" => Ok(Self::X25519),
            "P256" => Ok(Self::P256),
            "P384" => Ok(Self::P384),
            other if CURVES_LEFT_OUT.contains(&other) => Err(Unsupported::Curve(name.to_owned())),
            _ => Err(Unsupported::UnknownCurve(name.to_owned())),
        }
    }
}

/// The groups to offer, the best liked first.
pub(super) fn groups(listed: &[Curve]) -> Vec<&'static dyn SupportedKxGroup> {
    if listed.is_empty() {
        return ring::ALL_KX_GROUPS.to_vec();
    }
    let group = |curve: &Curve| match curve {
        Curve::X25519 => ring::kx_group::X25519,
        Curve::P256 => ring::kx_group::SECP256R1,
        Curve::P384 => ring::kx_group::SECP384R1,
    };
    listed.iter().map(group).collect()
}

impl FromStr for Version {
    type Err = Unsupported;

    /// `1.2` as in configurations, `TLSv1.2` as OpAMP allows too (C-CT-10).
    fn from_str(name: &str) -> Result<Self, Unsupported> {
        let text = name.trim();
        let lower = text.to_ascii_lowercase();
        let bare = lower.strip_prefix("tls").map_or(&*lower, |rest| rest.trim_start_matches(['v', ' ']));
        match bare {
            "1.2" => Ok(Self::V1_2),
            "1.3" => Ok(Self::V1_3),
            "1.0" | "1.1" => Err(Unsupported::OldVersion(bare.to_owned())),
            _ => Err(Unsupported::UnknownVersion(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_ct_10_names_are_those_of_go_and_of_opamp() {
        for name in [
            "TLS_AES_128_GCM_SHA256",
            "TLS_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            "tls_ecdhe_rsa_with_chacha20_poly1305_sha256",
        ] {
            assert!(name.parse::<CipherSuite>().is_ok(), "{name}");
        }
        let left_out = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA".parse::<CipherSuite>().unwrap_err();
        assert!(left_out.is_known() && left_out.to_string().contains("TLS_AES_256_GCM_SHA384"), "{left_out}");
        assert!(!"TLS_MADE_UP".parse::<CipherSuite>().unwrap_err().is_known());
        assert_eq!("p256".parse(), Ok(Curve::P256));
        assert!("X25519MLKEM768".parse::<Curve>().unwrap_err().is_known());
        assert!(!"P1".parse::<Curve>().unwrap_err().is_known());
        for (name, version) in [("1.2", Version::V1_2), ("TLSv1.3", Version::V1_3), ("tls1.2", Version::V1_2)]
        {
            assert_eq!(name.parse(), Ok(version), "{name}");
        }
        assert!("TLSv1.1".parse::<Version>().unwrap_err().is_known());
        assert!(!"2".parse::<Version>().unwrap_err().is_known());
    }

    #[test]
    fn a_list_without_suites_of_tls_1_3_says_nothing_about_it() {
        let one: CipherSuite = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".parse().unwrap();
        let offered_for = |listed: &[CipherSuite]| {
            let suites = offered(listed);
            let of_1_3 = suites.iter().filter(|suite| CipherSuite(**suite).is_of_1_3()).count();
            (of_1_3, suites.len() - of_1_3)
        };
        assert_eq!(offered_for(&[one]), (3, 1));
        let new: CipherSuite = "TLS_AES_128_GCM_SHA256".parse().unwrap();
        assert_eq!(offered_for(&[one, new]), (1, 1));
        assert_eq!(offered_for(&[new]), (1, 0));
    }
}
