//! The Collector's own verdict on a config: `validate`, and `print-config` for what only it can resolve.
//!
//! Called by the supervisor with the very arguments, gates and environment of the run to come.

use std::{path::PathBuf, time::Duration};

use super::{
    binary::{Binary, Configs},
    reason,
};
use crate::os::{
    child::Exit,
    run::{Limits, RunError, run},
};

/// How long a validation may take (F-83).
pub const VALIDATE_DEADLINE: Duration = Duration::from_secs(30);

/// Bytes kept of each output stream of a short run.
pub(super) const MAX_OUTPUT: usize = 1024 * 1024;

/// The gate that stands before `print-config`.
pub const PRINT_CONFIG_GATE: &str = "otelcol.printInitialConfig";

/// A config did not pass, or could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    /// The Collector says no; `text` is its reason.
    #[error("{text}")]
    Refused { text: String },
    #[error("the config cannot be validated: {0}")]
    CannotRun(#[from] RunError),
    /// It was killed while it looked, which says nothing about the config.
    #[error("{} was validating the config and was {exit}: {last_lines}", executable.display())]
    Died { executable: PathBuf, exit: Exit, last_lines: String },
}

/// Asks the binary whether it would run with these configs.
pub async fn validate(
    binary: &Binary,
    configs: &Configs<'_>,
    deadline: Duration,
) -> Result<(), ValidateError> {
    let args = ["validate".to_owned()].into_iter().chain(binary.run_args(configs));
    ask(binary, args, deadline).await.map(drop)
}

/// The merged config as the Collector resolves it, in YAML, secrets redacted; not validated.
/// `gates` are those the binary knows: the command may have to be turned on.
pub async fn print_config(
    binary: &Binary,
    configs: &Configs<'_>,
    gates: &[String],
    deadline: Duration,
) -> Result<String, ValidateError> {
    let mut args = vec!["print-config".to_owned(), "--validate=false".to_owned()];
    if gates.iter().any(|gate| gate == PRINT_CONFIG_GATE) {
        args.push(format!("--feature-gates={PRINT_CONFIG_GATE}"));
    }
    args.extend(binary.run_args(configs));
    ask(binary, args, deadline).await
}

async fn ask(
    binary: &Binary,
    args: impl IntoIterator<Item = String>,
    deadline: Duration,
) -> Result<String, ValidateError> {
    let finished = run(&binary.spec().args(args), Limits { deadline, output: MAX_OUTPUT }).await?;
    match finished.exit {
        Exit::Code(0) => Ok(String::from_utf8_lossy(&finished.stdout).into_owned()),
        exit @ Exit::Code(_) => {
            let text = reason::of_refusal(&finished.stderr, &finished.stdout);
            let text = if text.is_empty() { format!("the Collector {exit} without a word") } else { text };
            Err(ValidateError::Refused { text })
        }
        exit @ Exit::Signal { .. } => {
            let last_lines = reason::last_lines(&finished.stderr, &finished.stdout);
            Err(ValidateError::Died { executable: binary.executable.clone(), exit, last_lines })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::testing::{in_time, script};

    const DEADLINE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn f_73_a_refusal_carries_the_collectors_reason() {
        let (_dir, binary) = script(
            "[ \"$*\" = 'validate --config file:/a --config o --feature-gates=g --set=x=y' ] || exit 9\n\
             echo \"Error: failed to get config: no $SECRET\" >&2; exit 1",
        );
        let binary = Binary {
            args: vec!["--set=x=y".into()],
            feature_gates: vec!["g".into()],
            env: [("SECRET".to_owned(), "luck".to_owned())].into(),
            ..binary
        };
        let layers = ["file:/a".to_owned()];
        let configs = Configs { layers: &layers, overlay: Some("o") };
        let refused = in_time(validate(&binary, &configs, DEADLINE)).await.unwrap_err();
        assert_eq!(refused.to_string(), "no luck");
        assert!(matches!(refused, ValidateError::Refused { .. }));
    }

    #[tokio::test]
    async fn a_config_may_pass() {
        let (_dir, binary) = script("exit 0");
        in_time(validate(&binary, &Configs::default(), DEADLINE)).await.unwrap();
    }

    #[tokio::test]
    async fn f_83_a_validate_that_hangs_is_killed() {
        let (_dir, binary) = script("sleep 600");
        let (configs, deadline) = (Configs::default(), Duration::from_millis(100));
        let error = in_time(validate(&binary, &configs, deadline)).await.unwrap_err();
        assert!(matches!(error, ValidateError::CannotRun(RunError::TimedOut { .. })), "{error}");
        assert!(error.to_string().contains("did not end within 100 ms"), "{error}");
    }

    #[tokio::test]
    async fn a_validate_that_is_killed_is_no_refusal() {
        let (_dir, binary) = script("echo working >&2; kill -9 $$");
        let error = in_time(validate(&binary, &Configs::default(), DEADLINE)).await.unwrap_err();
        assert!(error.to_string().ends_with("was killed by SIGKILL: working"), "{error}");
    }

    #[tokio::test]
    async fn print_config_turns_its_gate_on_where_there_is_one() {
        let (_dir, binary) = script("echo \"args: $*\"");
        let gates = [PRINT_CONFIG_GATE.to_owned()];
        let printed = in_time(print_config(&binary, &Configs::default(), &gates, DEADLINE)).await.unwrap();
        assert_eq!(
            printed,
            "args: print-config --validate=false --feature-gates=otelcol.printInitialConfig\n"
        );
    }
}
