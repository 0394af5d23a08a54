//! `packages` of supervisor.yaml: which packages of the server this host takes, and how they are tried.

use std::{path::PathBuf, time::Duration};

use crate::package::fetch::Network;

/// `packages`: what this host takes of packages that the server offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackagesConfig {
    /// Names of those that may be installed; any that is signed when absent.
    pub allow: Option<Vec<String>>,
    pub signature: SignatureRules,
    pub download: DownloadRules,
    pub downgrade: Downgrade,
    /// How long the version before stays on the disk.
    pub keep_previous: Duration,
    pub trial: PackageTrial,
    /// How long another supervisor has to prove itself, however it came.
    pub supervisor_trial: Duration,
}

impl Default for PackagesConfig {
    fn default() -> Self {
        Self {
            allow: None,
            signature: SignatureRules::default(),
            download: DownloadRules::default(),
            downgrade: Downgrade::Deny,
            keep_previous: Duration::from_secs(7 * 24 * 3600),
            trial: PackageTrial::default(),
            supervisor_trial: Duration::from_secs(60),
        }
    }
}

/// `packages.signature`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignatureRules {
    /// Public keys of minisign's; one of them must have signed.
    pub public_key_files: Vec<PathBuf>,
    /// Signatures of an older epoch are revoked.
    pub least_epoch: u32,
    /// Anything is taken that the server offers.
    pub skip: bool,
}

impl SignatureRules {
    /// Whether packages can be taken at all.
    #[must_use]
    pub const fn can_verify(&self) -> bool {
        self.skip || !self.public_key_files.is_empty()
    }
}

/// `packages.download`: where packages may come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadRules {
    /// Without TLS too.
    pub plain_http: bool,
    /// Hosts whose addresses are not looked at.
    pub hosts: Vec<String>,
    /// Networks of one's own.
    pub networks: Vec<Network>,
    /// In bytes.
    pub max_size: u64,
}

impl Default for DownloadRules {
    fn default() -> Self {
        Self { plain_http: false, hosts: Vec::new(), networks: Vec::new(), max_size: 1 << 30 }
    }
}

/// `packages.downgrade`: whether a version below the highest that was committed may be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Downgrade {
    Deny,
    /// As long as major and minor number are the same.
    WithinMinor,
    Allow,
}

/// `packages.trial`: what a new Collector has to show before it stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackageTrial {
    /// How long it may take to become healthy.
    pub first_health: Duration,
    /// How long it has to be healthy after that.
    pub healthy_for: Duration,
}

impl Default for PackageTrial {
    fn default() -> Self {
        Self { first_health: Duration::from_secs(60), healthy_for: Duration::from_secs(180) }
    }
}
