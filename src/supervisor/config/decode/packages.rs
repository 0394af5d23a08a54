//! `packages`: which packages of the server this host takes, by whose signature, and how they are tried.

use std::{path::PathBuf, time::Duration};

use super::{
    super::{
        context::{Context, short},
        error::reason,
        packages::{Downgrade, DownloadRules, PackageTrial, PackagesConfig, SignatureRules},
    },
    positive,
};
use crate::package::{Keys, fetch::Network};

const KEYS: &str = "packages.signature.public_key_files";
/// Bytes in a MiB.
const MIB: u64 = 1 << 20;
/// Largest `packages.download.max_size_mib`: 1 TiB.
const MOST_MIB: u64 = 1 << 20;

pub(super) fn decode(context: &mut Context<'_>) -> PackagesConfig {
    let default = PackagesConfig::default();
    let packages = PackagesConfig {
        allow: names(context),
        signature: SignatureRules {
            public_key_files: key_files(context),
            least_epoch: epoch(context),
            skip: context.bool("packages.signature.insecure_skip_signature").unwrap_or(false),
        },
        download: download(context),
        downgrade: match context.text("packages.downgrade").unwrap_or_default().to_lowercase().as_str() {
            "allow" => Downgrade::Allow,
            "within_minor" => Downgrade::WithinMinor,
            _ => Downgrade::Deny,
        },
        keep_previous: positive(context, "packages.keep_previous", "packages.keep_previous must be a time")
            .unwrap_or(default.keep_previous),
        trial: PackageTrial {
            first_health: time(context, "packages.trial.first_health", 1, default.trial.first_health),
            healthy_for: time(context, "packages.trial.healthy_for", 1, default.trial.healthy_for),
        },
        supervisor_trial: time(context, "packages.supervisor_trial", 5, default.supervisor_trial),
    };
    let wanted = context.bool("capabilities.accepts_packages") == Some(true);
    if wanted && !packages.signature.can_verify() {
        context.notice(
            "capabilities.accepts_packages",
            format!(
                "capabilities.accepts_packages has no effect without a key to verify packages with: name one in {KEYS}; \
                 opampctl package keygen makes one"
            ),
        );
    }
    if packages.signature.skip {
        context.notice(
            "packages.signature.insecure_skip_signature",
            "packages.signature.insecure_skip_signature: whoever controls the server can run any program on this host",
        );
    }
    packages
}

fn names(context: &mut Context<'_>) -> Option<Vec<String>> {
    let key = "packages.allow";
    if !context.is_written(key) {
        return None;
    }
    let mut names = Vec::new();
    for (at, text) in context.texts(key).unwrap_or_default() {
        match text.parse::<crate::package::PackageName>() {
            Ok(name) => names.push(name.to_string()),
            Err(error) => context.problem_at(at, key, format!("{key}: {error}")),
        }
    }
    Some(names)
}

/// Each is read now, though it is read again for each package: the day it is needed is a bad one to find that it is none.
fn key_files(context: &mut Context<'_>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for (at, text) in context.texts(KEYS).unwrap_or_default() {
        let path = PathBuf::from(text);
        let wrong = match (context.sources.read)(&path) {
            Ok(contents) => {
                let told = Keys::default().add(text, &contents);
                told.err().map(|error| error.to_string())
            }
            Err(error) => Some(format!("cannot read {}: {}", short(text), reason(&error))),
        };
        if let Some(why) = wrong {
            context.problem_at(at, KEYS, format!("{KEYS}: {why}"));
        }
        files.push(path);
    }
    files
}

fn epoch(context: &mut Context<'_>) -> u32 {
    let key = "packages.signature.least_epoch";
    let Some(number) = context.int(key) else { return 0 };
    u32::try_from(number).unwrap_or_else(|_| {
        let got = context.got(key);
        context.problem(key, format!("{key} must be a number from 0 to {}, got {got}", u32::MAX));
        0
    })
}

fn download(context: &mut Context<'_>) -> DownloadRules {
    let mut rules = DownloadRules {
        plain_http: context.bool("packages.download.plain_http").unwrap_or(false),
        ..DownloadRules::default()
    };
    let key = "packages.download.allow";
    for (at, text) in context.texts(key).unwrap_or_default() {
        match text.parse::<Network>() {
            Ok(network) => rules.networks.push(network),
            Err(_) if url::Host::parse(text).is_ok() => rules.hosts.push(text.to_owned()),
            Err(_) => {
                let shown = short(text);
                let message = format!("{key}: {shown:?} is neither a host nor a network such as 10.1.0.0/16");
                context.problem_at(at, key, message);
            }
        }
    }
    let key = "packages.download.max_size_mib";
    if let Some(number) = context.int(key) {
        match u64::try_from(number) {
            Ok(mib) if (1..=MOST_MIB).contains(&mib) => rules.max_size = mib * MIB,
            _ => {
                let got = context.got(key);
                context.problem(key, format!("{key} must be a number from 1 to {MOST_MIB}, got {got}"));
            }
        }
    }
    rules
}

/// Shorter than a start and a connection take, or longer than a person waits, is a slip of the pen.
fn time(context: &mut Context<'_>, key: &str, least: u64, default: Duration) -> Duration {
    const MOST: Duration = Duration::from_secs(3600);
    let Some(given) = positive(context, key, &format!("{key} must be a time")) else { return default };
    if !(Duration::from_secs(least)..=MOST).contains(&given) {
        let got = context.got(key);
        context.problem(key, format!("{key} must be from {least}s to 1h, got {got}"));
    }
    given
}
