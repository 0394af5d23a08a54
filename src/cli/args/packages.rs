//! Keys, signatures, and artefacts that are signed; all that is done with packages.

use std::{path::PathBuf, str::FromStr};

use clap::{ArgGroup, Subcommand, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use semver::Version;

use super::{Offer, OneOffer, Status, Upload};
use crate::package::PackageName;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PackageCommand {
    /// Make a key pair (minisign's): the secret key signs packages, the public key lets hosts take them
    Keygen(Keygen),
    /// Sign an artefact: FILE.minisig says what it is, and until when, and hosts believe it
    Sign(Sign),
    /// Show what a signed artefact claims to be, and whether that is proven
    Inspect(Inspect),
    /// Upload an artefact, for the AgentPackage of its name and version
    Upload(Upload),
    /// Offer AgentPackages to agents, a few at a time
    Offer(Offer),
    /// Show how far offers are, agent by agent; exit code 0: all have it, 1: some failed, 75: not over yet
    Status(Status),
    /// Take an offer back; agents that took it keep the Collector that they run
    Withdraw(OneOffer),
    /// Have the agents of an offer that failed try again
    Retry(OneOffer),
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("files").args(["secret_key", "public_key"]).multiple(true).conflicts_with("output_dir"))]
pub(in crate::cli) struct Keygen {
    /// Where minisign.key and minisign.pub are written; made if it is not there
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub output_dir: PathBuf,
    /// The file for the secret key instead
    #[arg(long, value_name = "FILE", requires = "public_key")]
    pub secret_key: Option<PathBuf>,
    /// The file for the public key instead
    #[arg(long, value_name = "FILE", requires = "secret_key")]
    pub public_key: Option<PathBuf>,
    /// A file that holds the new key's password [env: the password itself in OPAMPCTL_KEY_PASSWORD]
    #[arg(long, value_name = "FILE", conflicts_with = "no_password")]
    pub password_file: Option<PathBuf>,
    /// Whoever has the file of the secret key can sign with it
    #[arg(long)]
    pub no_password: bool,
}

#[derive(Debug, clap::Args)]
#[command(disable_version_flag = true)]
pub(in crate::cli) struct Sign {
    /// The artefact: .tar.gz, .tar.zst or one bare executable
    pub file: PathBuf,
    /// The secret key, of `opampctl package keygen` or `minisign -G`
    #[arg(long, value_name = "FILE")]
    pub secret_key: PathBuf,
    /// A file that holds the key's password [env: the password itself in OPAMPCTL_KEY_PASSWORD]
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// The package that it is for, such as otelcol
    #[arg(long)]
    pub name: PackageName,
    /// Its version, such as 0.150.0
    #[arg(long, value_parser = version)]
    pub version: Version,
    /// The hosts' os.type
    #[arg(long, default_value = "linux", value_parser = word)]
    pub os: String,
    /// The hosts' host.arch: amd64 or arm64 [default: that of the programs in it]
    #[arg(long, value_parser = arch)]
    pub arch: Option<String>,
    /// Until when it may be installed: days from now, such as 365d, or a time such as 2027-06-01T00:00:00Z
    #[arg(long, value_name = "TIME", default_value = "365d")]
    pub expires: Expiry,
    /// Hosts can refuse all of older epochs, which revokes what a key signed before
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub epoch: u32,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Inspect {
    /// The artefact
    pub file: PathBuf,
    /// Its signature [default: FILE.minisig]
    #[arg(long, value_name = "FILE")]
    pub signature: Option<PathBuf>,
    /// A public key that a host would have (may be given more than once); without one nothing is proven
    #[arg(long, value_name = "FILE")]
    pub public_key: Vec<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: InspectFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum InspectFormat {
    Text,
    Json,
    Yaml,
}

/// The end of a signature's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Expiry {
    Days(i64),
    At(Timestamp),
}

impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_suffix('d').map(str::parse) {
            Some(Ok(days @ 1..=36_500)) => Ok(Self::Days(days)),
            Some(Ok(_)) => Err("write 1d to 36500d".to_owned()),
            _ => text.parse().map(Self::At).map_err(|_| {
                "write a number of days such as 365d, or a time such as 2027-06-01T00:00:00Z".to_owned()
            }),
        }
    }
}

impl Expiry {
    /// In whole seconds; nothing when it is over already.
    pub(in crate::cli) fn from(self, now: Timestamp) -> Option<Timestamp> {
        let at = match self {
            Self::Days(days) => now.checked_add(SignedDuration::from_hours(24 * days)).ok()?,
            Self::At(at) => at,
        };
        Timestamp::from_second(at.as_second()).ok().filter(|at| *at > now)
    }
}

pub(super) fn version(text: &str) -> Result<Version, String> {
    let plain = text.strip_prefix('v').unwrap_or(text);
    match Version::parse(plain) {
        Ok(version) if plain == text => Ok(version),
        Ok(_) => Err(format!("write {plain}, without the v")),
        Err(why) => Err(format!("{why}; a version has three numbers, such as 0.150.0 or 1.0.0-rc.1")),
    }
}

/// One word, as it stands between blanks in a signature's comment.
pub(super) fn word(text: &str) -> Result<String, String> {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if (1..=32).contains(&text.len()) && text.bytes().all(fine) {
        Ok(text.to_owned())
    } else {
        Err("write 1 to 32 of a-z, 0-9 and _".to_owned())
    }
}

/// As agents report it; the names that kernels use are known by sight.
pub(super) fn arch(text: &str) -> Result<String, String> {
    match text {
        "x86_64" | "x64" => Err("write amd64, as agents report it in host.arch".to_owned()),
        "aarch64" => Err("write arm64, as agents report it in host.arch".to_owned()),
        _ => word(text),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Args, Command};

    #[test]
    fn an_end_is_days_from_now_or_a_time_to_come() {
        let now: Timestamp = "2026-11-21T18:00:00.5Z".parse().unwrap();
        let from = |text: &str| text.parse::<Expiry>().unwrap().from(now).map(|at| at.to_string());
        assert_eq!(from("365d").as_deref(), Some("2027-11-21T18:00:00Z"));
        assert_eq!(from("2027-06-01T02:00:00.7+02:00").as_deref(), Some("2027-06-01T00:00:00Z"));
        assert_eq!(from("2026-11-21T18:00:00Z"), None);
        for text in ["", "d", "0d", "-3d", "36501d", "365", "1y", "2027-06-01"] {
            assert!(text.parse::<Expiry>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_no_host_would_match_is_refused_with_what_to_write() {
        assert_eq!(version("v0.150.0"), Err("write 0.150.0, without the v".to_owned()));
        assert!(version("0.150").unwrap_err().contains("three numbers"));
        assert!(version("1.0.0-rc.1+a").is_ok());
        assert!(arch("x86_64").unwrap_err().contains("amd64"));
        assert!(arch("aarch64").unwrap_err().contains("arm64"));
        assert!(word("a b").is_err() && word("").is_err() && word("linux").is_ok());
    }

    #[test]
    fn the_version_of_a_package_is_not_taken_for_a_question() {
        let sign = "opampctl package sign f --secret-key k --name otelcol --version 0.150.0";
        let args = Args::try_parse_from(sign.split(' ')).unwrap();
        let Command::Package(PackageCommand::Sign(sign)) = args.command else { panic!("sign") };
        assert_eq!((sign.version.minor, sign.os.as_str(), sign.epoch), (150, "linux", 1));
        for line in
            ["keygen --secret-key a", "keygen --public-key b", "keygen -o d --secret-key a --public-key b"]
        {
            assert!(
                Args::try_parse_from(["opampctl", "package"].into_iter().chain(line.split(' '))).is_err(),
                "{line}"
            );
        }
    }
}
