//! Custom messages, and the discovery that is made of them.

use std::time::Duration;

use clap::ValueEnum;

use super::{Namespace, duration};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Message {
    /// The agent's instance uid
    #[arg(value_name = "UID")]
    pub agent: String,
    /// A custom capability that both the server and the agent have, such as com.example.echo/v1
    #[arg(long, value_name = "NAME")]
    pub capability: String,
    /// The message's type
    #[arg(long = "type", value_name = "TYPE", default_value = "")]
    pub kind: String,
    /// Its data: a text, @FILE, or - for standard input
    #[arg(long, value_name = "DATA", allow_hyphen_values = true)]
    pub data: Option<String>,
    /// How long to wait for answers of that capability, such as 10s; else there is no waiting
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub wait: Option<Duration>,
    /// How many answers to wait for
    #[arg(long, default_value_t = 1, value_name = "N", requires = "wait")]
    pub replies: usize,
    /// How to print answers
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: MessageFormat,
    #[command(flatten)]
    pub namespace: Namespace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum MessageFormat {
    Text,
    Json,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Discover {
    /// The agent's instance uid
    #[arg(value_name = "UID")]
    pub agent: String,
    /// How long to wait for its answer, at most 90s
    #[arg(long, default_value = "20s", value_parser = duration, value_name = "TIME")]
    pub wait: Duration,
    /// How to print; config is a Collector config with the receivers that were found
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: DiscoverFormat,
    #[command(flatten)]
    pub namespace: Namespace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum DiscoverFormat {
    Table,
    Json,
    Yaml,
    Config,
}
