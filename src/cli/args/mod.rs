//! The grammar of the command line, and no behaviour.
//!
//! - `enrolment`: who may be an agent; `messages`: what is said to one agent and answered by it;
//!   `packages`: what is done with artefacts; `rollout`: what agents are offered of them

mod enrolment;
mod messages;
mod packages;
mod rollout;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Parser, Subcommand, ValueEnum};

pub(super) use enrolment::{Approve, CreateCommand, CreateToken, Deny, Revoke, Rotate};
pub(super) use messages::{Discover, DiscoverFormat, Message, MessageFormat};
pub(super) use packages::{Inspect, InspectFormat, Keygen, PackageCommand, Sign};
pub(super) use rollout::{Offer, OneOffer, PackageType, Status, StatusFormat, Upload};

use super::kind::Kind;
use super::select::Selector;

/// Sees and steers a fleet of OpAMP agents through an OpAMP server's REST API.
#[derive(Debug, Parser)]
#[command(name = "opampctl", version, propagate_version = true, max_term_width = 110)]
pub struct Args {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Which server, and by what right.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Global {
    /// The server's API address [env: OPAMPCTL_SERVER] [default: the context's, else http://127.0.0.1:4321]
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// A file that holds the token [env: OPAMPCTL_TOKEN_FILE, or the token itself in OPAMPCTL_TOKEN]
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// A context of the configuration file [default: its currentContext]
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Certificates (PEM) to trust besides the system's
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The configuration file [env: OPAMPCTL_CONFIG] [default: ~/.config/opampctl/config.yaml]
    #[arg(short = 'c', long = "config", global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show agents, agentgroups, agentremoteconfigs, agentpackages, packageoffers, namespaces, enrollmenttokens, identities
    /// or certificaterequests
    Get(Get),
    /// Create or replace the AgentRemoteConfigs, AgentGroups, AgentPackages and PackageOffers of a YAML file
    Apply(Apply),
    /// Work with the agents' configs
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Restart the agent that a supervisor runs
    Restart(Restart),
    /// Send an agent a custom message, and print what it answers
    Message(Message),
    /// Ask an agent what listens on its host, and what could be monitored there
    Discover(Discover),
    /// Print agents as they change, until interrupted
    Watch(Watch),
    /// Delete one object
    Delete(Delete),
    /// Make an enrolment token, by which agents become known to the server
    #[command(subcommand)]
    Create(CreateCommand),
    /// Cut an identity off: its agents' connections end at once, and no credential of it is taken again
    Revoke(Revoke),
    /// Give the agent of an identity a new secret in the place of the one that it has
    Rotate(Rotate),
    /// Let an identity in that waits for it, or grant a request for a certificate
    Approve(Approve),
    /// Refuse a request for a certificate
    Deny(Deny),
    /// Sign artefacts, upload them and offer them to agents
    #[command(subcommand)]
    Package(PackageCommand),
    /// List contexts, or choose one
    #[command(subcommand)]
    Context(ContextCommand),
    /// Print whom the server takes us for
    Whoami,
    /// Print our version and the server's
    Version(Version),
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Give a Collector config to agents and wait until each says APPLIED or FAILED
    Push(Push),
}

#[derive(Debug, Subcommand)]
pub(super) enum ContextCommand {
    /// List the contexts of the configuration file
    Ls,
    /// Make a context the current one
    Use {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Wide,
    Json,
    Yaml,
    Name,
}

#[derive(Debug, clap::Args)]
pub(super) struct Get {
    /// agents, agentgroups (ag), agentremoteconfigs (arc), agentpackages (ap), packageoffers (po), namespaces (ns),
    /// enrollmenttokens (et), identities (id), csr
    pub kind: Kind,
    /// Names (for agents: instance uids); all when none is given
    pub names: Vec<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Format,
    #[command(flatten)]
    pub scope: Scope,
    /// Only agents with these attributes, such as service.name=otelcol,os.type=linux
    #[arg(short = 'l', long, value_name = "K=V,...", conflicts_with = "names")]
    pub selector: Vec<Selector>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Scope {
    #[command(flatten)]
    pub namespace: Namespace,
    /// Every namespace
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Namespace {
    /// The namespace [default: default]
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
}

impl Namespace {
    /// The one that was asked for, or the one everything is in when nobody cares.
    pub(super) fn name(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Apply {
    /// A YAML file of one or more documents; - for standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub namespace: Namespace,
}

/// Which agents a command acts on: one or several by uid, by attributes, or all of a namespace.
#[derive(Debug, clap::Args)]
pub(super) struct Targets {
    /// Agents that have all of these attributes, such as service.name=otelcol,os.type=linux
    #[arg(short = 'l', long, value_name = "K=V,...")]
    pub selector: Vec<Selector>,
    /// Every agent of the namespace
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub namespace: Namespace,
    /// Do not ask when several agents are meant
    #[arg(short, long)]
    pub yes: bool,
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("which").required(true).args(["agent", "selector", "all"]))]
pub(super) struct Push {
    /// The Collector config (YAML), sent as it is; - for standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// The agent's instance uid (may be given more than once)
    #[arg(long, value_name = "UID")]
    pub agent: Vec<String>,
    #[command(flatten)]
    pub targets: Targets,
    /// The name of the AgentRemoteConfig that is made or replaced [default: the file's name]
    #[arg(long)]
    pub name: Option<String>,
    /// Keep the configs that the agent has been given so far besides this one
    #[arg(long)]
    pub add: bool,
    /// Do not wait for the agents' answers
    #[arg(long, conflicts_with = "wait")]
    pub no_wait: bool,
    /// Wait for the agents' answers (the default)
    #[arg(long)]
    pub wait: bool,
    /// How long to wait, such as 90s or 5m
    #[arg(long, default_value = "60s", value_parser = duration, value_name = "TIME")]
    pub timeout: Duration,
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("which").required(true).args(["agent", "selector", "all"]))]
pub(super) struct Restart {
    /// Instance uids
    #[arg(value_name = "UID")]
    pub agent: Vec<String>,
    #[command(flatten)]
    pub targets: Targets,
}

#[derive(Debug, clap::Args)]
pub(super) struct Watch {
    #[command(flatten)]
    pub scope: Scope,
    /// Only agents with these attributes
    #[arg(short = 'l', long, value_name = "K=V,...")]
    pub selector: Vec<Selector>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Delete {
    /// agent, agentgroup (ag), agentremoteconfig (arc), agentpackage (ap), packageoffer (po), namespace (ns),
    /// enrollmenttoken (et), identity (id), csr
    pub kind: Kind,
    /// The name (for an agent: its instance uid)
    pub name: String,
    #[command(flatten)]
    pub namespace: Namespace,
}

#[derive(Debug, clap::Args)]
pub(super) struct Version {
    /// Ours only; asks no server
    #[arg(long)]
    pub client_only: bool,
}

/// A number with `ms`, `s`, `m` or `h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "a number with a unit is wanted, such as 60s".to_owned())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("unit {unit:?} is none of ms, s, m, h")),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(|| "that is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_duration_needs_its_unit() {
        assert_eq!(duration("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert!(duration("60").is_err());
        assert!(duration("s").is_err());
        assert!(duration("99999999999999999999h").is_err());
    }

    #[test]
    fn a_push_must_say_to_whom() {
        assert!(Args::try_parse_from(["opampctl", "config", "push", "-f", "x"]).is_err());
        assert!(Args::try_parse_from(["opampctl", "config", "push", "-f", "x", "--all"]).is_ok());
        assert!(Args::try_parse_from(["opampctl", "config", "push", "-f", "x", "-l", "a=b"]).is_ok());
    }
}
