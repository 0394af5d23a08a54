//! The grammar of the command line, and no behaviour.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use clap::{Parser, Subcommand, ValueEnum};

/// Where the packages put the file; what a command takes that is not told another one.
pub const DEFAULT_CONFIG: &str = "/etc/opamp-supervisor/supervisor.yaml";

/// Runs an OpenTelemetry Collector under management by OpAMP.
///
/// Without a command it is the daemon; the commands are for people on the same host.
#[derive(Debug, Parser)]
#[command(name = "opamp-supervisor", version, propagate_version = true, max_term_width = 110)]
pub struct Args {
    /// The supervisor.yaml to load [commands take /etc/opamp-supervisor/supervisor.yaml unless told otherwise]
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell how supervisor, Collector, config and server are [exit code 3: it does not run]
    Status(Status),
    /// Check the supervisor.yaml and the Collector's config as a start and an offer would, offline [exit code 78: unfit]
    Validate(Validate),
    /// Go back to what was before, and wait until the Collector is well with it: to the Collector if one is on trial, else
    /// to the config before the one that runs
    Rollback(Rollback),
    /// Have supervisor.yaml read again, as SIGHUP does, and wait for what comes of it
    Reload(Target),
    /// Have another supervisor take the place of the running one; the Collector never stops [one that fails is undone]
    Reexec(Reexec),
    /// Tell whether this executable could take over here: it loads the supervisor.yaml and reads the state
    Verify(Verify),
    /// Hold offers and restart commands of the server, over restarts too, until `resume`
    Pause(Target),
    /// Take offers of the server again
    Resume(Target),
    /// Print what the Collector wrote
    Logs(Logs),
    /// Write one file for a bug report: status, configs, state, logs, facts of the host; secrets masked
    Diag(Diag),
    /// Write the files from which the established supervisor takes over: identity, config and its status
    ExportLegacy(ExportLegacy),
    /// Print the version
    Version(Version),
    /// Print a script that completes commands and options in a shell
    Completions(Completions),
    /// Print the manual page, of the program or of one command
    Man(Man),
}

/// Which supervisor is meant.
#[derive(Debug, Default, clap::Args)]
pub struct Target {
    /// The running supervisor's socket, instead of the one that --config leads to
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct Rollback {
    /// Go back to the Collector that ran before the installed one, on trial or not
    #[arg(long)]
    pub package: bool,
    #[command(flatten)]
    pub target: Target,
}

#[derive(Debug, clap::Args)]
pub struct Status {
    #[command(flatten)]
    pub target: Target,
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
}

#[derive(Debug, clap::Args)]
pub struct Reexec {
    /// The executable to run instead [default: what is now where the running one was started from]
    #[arg(long, value_name = "FILE")]
    pub executable: Option<PathBuf>,
    #[command(flatten)]
    pub target: Target,
}

#[derive(Debug, clap::Args)]
pub struct Verify {
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
}

#[derive(Debug, clap::Args)]
pub struct Validate {
    /// A config as the server would offer it; may be given again, the last one wins
    #[arg(short = 'G', long, value_name = "FILE")]
    pub collector_config: Vec<PathBuf>,
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
}

#[derive(Debug, clap::Args)]
pub struct Logs {
    /// How many of the last lines
    #[arg(short = 'n', long, default_value_t = 100)]
    pub lines: usize,
    /// Go on with what is added
    #[arg(short, long)]
    pub follow: bool,
    #[command(flatten)]
    pub target: Target,
}

#[derive(Debug, clap::Args)]
pub struct Diag {
    /// The file to write; one that is there is not overwritten [default: one named after the time]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub target: Target,
}

#[derive(Debug, clap::Args)]
pub struct ExportLegacy {
    /// Where to [default: the storage directory, where that supervisor looks for them]
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    #[command(flatten)]
    pub target: Target,
}

#[derive(Debug, clap::Args)]
pub struct Version {
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
}

#[derive(Debug, clap::Args)]
pub struct Completions {
    pub shell: clap_complete::Shell,
}

#[derive(Debug, clap::Args)]
pub struct Man {
    #[arg(value_name = "COMMAND")]
    pub of: Option<String>,
}

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

/// The established supervisor takes its one flag as Go programs do, with one dash too.
pub fn go_style(args: impl IntoIterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    args.into_iter().map(|arg| {
        let bytes = arg.as_encoded_bytes();
        if arg == OsStr::new("-config") || bytes.starts_with(b"-config=") {
            let mut double = OsString::from("-");
            double.push(arg);
            return double;
        }
        arg
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn config(args: &[&str]) -> Option<PathBuf> {
        let args = ["opamp-supervisor"].iter().chain(args).map(OsString::from);
        Args::try_parse_from(go_style(args)).unwrap().config
    }

    #[test]
    fn the_grammar_is_sound_and_the_established_ways_to_say_config_work() {
        Args::command().debug_assert();
        let x = Some(PathBuf::from("x"));
        for args in [&["--config", "x"][..], &["--config=x"], &["-config", "x"], &["-config=x"]] {
            assert_eq!(config(args), x, "{args:?}");
        }
        assert_eq!(config(&["status", "--config", "x"]), x);
        assert_eq!(config(&["--config", "x", "status"]), x);
    }
}
