//! Tokens, identities, and requests for certificates.

use std::{path::PathBuf, time::Duration};

use clap::Subcommand;

use super::{Namespace, duration};
use crate::cli::kind::Kind;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum CreateCommand {
    /// A token that agents enrol with; its secret is printed once, to standard output
    #[command(name = "enrollmenttoken", visible_alias = "et")]
    EnrollmentToken(CreateToken),
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CreateToken {
    /// Its name; the identities of the agents begin with it
    pub name: String,
    /// How long it may be used, such as 90s, 30m or 24h
    #[arg(long, default_value = "24h", value_parser = duration, value_name = "TIME")]
    pub ttl: Duration,
    /// How many agents may enrol with it
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_uses: u32,
    /// A label for the agents that enrol with it (may be given more than once)
    #[arg(long, value_name = "K=V")]
    pub label: Vec<String>,
    /// Agents that enrol wait until `opampctl approve identity NAME`
    #[arg(long)]
    pub manual_approval: bool,
    #[command(flatten)]
    pub namespace: Namespace,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Revoke {
    /// identity (id)
    pub kind: Kind,
    /// Its name
    pub name: String,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Rotate {
    /// identity (id)
    pub kind: Kind,
    /// Its name
    pub name: String,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Approve {
    /// identity (id) or certificaterequest (csr)
    pub kind: Kind,
    /// Its name
    pub name: String,
    /// A certificate (PEM, with its chain) that another CA signed for the request; else the server signs
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// That CA's certificate (PEM), for the agent
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub ca_certificate: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Deny {
    /// certificaterequest (csr)
    pub kind: Kind,
    /// Its name
    pub name: String,
    /// What the agent is told
    #[arg(long)]
    pub reason: Option<String>,
}
