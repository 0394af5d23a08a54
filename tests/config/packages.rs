//! `packages`: defaults, values, and every way to be wrong, with the exact words, line and column.

use std::{path::PathBuf, time::Duration};

use opamp::supervisor::config::{Downgrade, PackagesConfig};

use crate::support::{bad, config, good, with};

#[test]
fn without_the_section_nothing_is_taken_and_the_rules_are_the_strict_ones() {
    let packages = config(&with("", "", "")).packages;
    assert_eq!(packages, PackagesConfig::default());
    assert!(!packages.signature.can_verify() && packages.downgrade == Downgrade::Deny);
    assert_eq!(packages.trial.first_health + packages.trial.healthy_for, Duration::from_secs(240));
    assert_eq!(packages.supervisor_trial, Duration::from_secs(60));
}

#[test]
fn every_rule_can_be_set() {
    let text = "capabilities: {accepts_packages: true}\npackages:\n  allow: [otelcol]\n  \
        signature: {public_key_files: [/etc/opamp/packages.pub], least_epoch: 3}\n  \
        download: {allow: [10.0.0.0/8, store.example], plain_http: true, max_size_mib: 1}\n  \
        downgrade: within_minor\n  keep_previous: 1h\n  trial: {first_health: 5s, healthy_for: 1m}\n  supervisor_trial: 5s\n";
    let loaded = good(&with("", "package: {agent_binary: col}", text));
    assert_eq!(loaded.notices, []);
    let packages = loaded.config.packages;
    assert_eq!(packages.allow, Some(vec!["otelcol".to_owned()]));
    assert_eq!(packages.signature.public_key_files, [PathBuf::from("/etc/opamp/packages.pub")]);
    assert_eq!((packages.signature.least_epoch, packages.downgrade), (3, Downgrade::WithinMinor));
    assert_eq!((packages.download.hosts.len(), packages.download.networks.len()), (1, 1));
    assert!(packages.download.plain_http && packages.download.max_size == 1 << 20);
    assert_eq!(packages.keep_previous, Duration::from_secs(3600));
    assert_eq!(packages.trial.first_health, Duration::from_secs(5));
    assert_eq!(packages.supervisor_trial, Duration::from_secs(5));
    assert_eq!(loaded.config.agent.packaged_binary.as_deref(), Some("col"));
}

#[test]
fn taking_what_nobody_signed_is_said_aloud() {
    let loaded = good(&with(
        "",
        "",
        "capabilities: {accepts_packages: true}\npackages: {signature: {insecure_skip_signature: true}}\n",
    ));
    let said: Vec<_> = loaded.notices.iter().map(ToString::to_string).collect();
    assert!(said.len() == 1 && said[0].contains("can run any program on this host"), "{said:?}");
}

/// Lines under `packages:`, from line 6 on.
#[test]
fn wrong_packages() {
    for (lines, message) in [
        (
            "allow: [a/b]",
            "6:11: packages.allow: \"a/b\" is no name of a package: 1 to 64 of the characters a-z, A-Z, 0-9, `.`, `_` and `-`, the first one no dot",
        ),
        (
            "signature: {public_key_files: [/none]}",
            "6:34: packages.signature.public_key_files: cannot read /none: entity not found",
        ),
        (
            "signature: {public_key_files: [/run/token]}",
            "6:34: packages.signature.public_key_files: /run/token is no public key of minisign's (a line of comment, then one of base64): Invalid encoding in minisign data",
        ),
        (
            "signature: {least_epoch: -1}",
            "6:15: packages.signature.least_epoch must be a number from 0 to 4294967295, got -1",
        ),
        (
            "download: {allow: ['a b']}",
            "6:22: packages.download.allow: \"a b\" is neither a host nor a network such as 10.1.0.0/16",
        ),
        (
            "download: {max_size_mib: 0}",
            "6:14: packages.download.max_size_mib must be a number from 1 to 1048576, got 0",
        ),
        ("downgrade: never", "6:3: packages.downgrade must be one of deny, within_minor, allow, got never"),
        ("trial: {first_health: 2h}", "6:11: packages.trial.first_health must be from 1s to 1h, got 2h"),
        ("supervisor_trial: 4s", "6:3: packages.supervisor_trial must be from 5s to 1h, got 4s"),
        ("supervisor_trial: 61m", "6:3: packages.supervisor_trial must be from 5s to 1h, got 61m"),
        (
            "keep_previous: 0s",
            "6:3: packages.keep_previous must be a time, greater than zero such as 5s, got 0s",
        ),
    ] {
        let text = with("", "", &format!("packages:\n  {lines}\n"));
        assert_eq!(bad(&text), [format!("supervisor.yaml:{message}")], "{lines}");
    }
}
