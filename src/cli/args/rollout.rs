//! Packages on their way: uploads, and offers of them.

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, ValueEnum};
use semver::Version;

use super::{Namespace, Targets, duration, packages};
use crate::package::PackageName;

#[derive(Debug, clap::Args)]
#[command(disable_version_flag = true)]
pub(in crate::cli) struct Upload {
    /// The artefact: .tar.gz, .tar.zst or one bare executable
    pub file: PathBuf,
    /// Its signature [default: FILE.minisig, if it is there]
    #[arg(long, value_name = "FILE")]
    pub signature: Option<PathBuf>,
    /// The package that it is for [default: what is signed]
    #[arg(long)]
    pub name: Option<PackageName>,
    /// Its version, such as 0.150.0 [default: what is signed]
    #[arg(long, value_parser = packages::version)]
    pub version: Option<Version>,
    /// The hosts' os.type [default: what is signed, else linux]
    #[arg(long, value_parser = packages::word)]
    pub os: Option<String>,
    /// The hosts' host.arch: amd64 or arm64 [default: what is signed]
    #[arg(long, value_parser = packages::arch)]
    pub arch: Option<String>,
    /// What agents do with it: the agent itself, or something beside it
    #[arg(long = "type", value_enum, value_name = "TYPE", default_value = "TopLevel")]
    pub kind: PackageType,
    /// Agents download it from there; here it is only looked at
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The AgentPackage that it becomes a part of [default: NAME-VERSION]
    #[arg(long = "as", value_name = "NAME")]
    pub resource: Option<String>,
    /// Put it in the place of another file for the same hosts
    #[arg(long)]
    pub replace: bool,
    #[command(flatten)]
    pub namespace: Namespace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub(in crate::cli) enum PackageType {
    TopLevel,
    AddOn,
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("which").required(true).args(["agent", "selector", "all"]))]
pub(in crate::cli) struct Offer {
    /// AgentPackages, such as otelcol-0.150.0
    #[arg(required = true, value_name = "PACKAGE")]
    pub packages: Vec<String>,
    /// An agent's instance uid (may be given more than once)
    #[arg(long, value_name = "UID")]
    pub agent: Vec<String>,
    #[command(flatten)]
    pub targets: Targets,
    /// The PackageOffer that is made or replaced [default: the first package's name]
    #[arg(long)]
    pub name: Option<String>,
    /// Agents that may be at it at once, such as 5 or 10%; 0 for any number [default: 10%, at most 50]
    #[arg(long, value_name = "N|%")]
    pub max_in_flight: Option<String>,
    /// Agents that may fail before it stops, such as 3 or 10% [default: 10%]
    #[arg(long, value_name = "N|%")]
    pub max_failed: Option<String>,
    /// Of two offers that contradict each other, the higher one counts
    #[arg(long, value_name = "N", default_value_t = 0, allow_hyphen_values = true)]
    pub priority: i64,
    /// Make it, and offer nothing yet
    #[arg(long, conflicts_with = "wait")]
    pub pause: bool,
    /// Follow it until it is over
    #[arg(long)]
    pub wait: bool,
    /// How long to wait, such as 30m
    #[arg(long, default_value = "1h", value_parser = duration, value_name = "TIME")]
    pub timeout: Duration,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Status {
    /// A PackageOffer [default: all of the namespace]
    pub offer: Option<String>,
    /// Follow it until it is over
    #[arg(short, long, conflicts_with = "output")]
    pub watch: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: StatusFormat,
    #[command(flatten)]
    pub namespace: Namespace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum StatusFormat {
    Table,
    Json,
    Yaml,
}

/// A PackageOffer.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct OneOffer {
    /// Its name
    pub offer: String,
    #[command(flatten)]
    pub namespace: Namespace,
}
