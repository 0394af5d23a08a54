//! A look at a Collector config before it is sent: is it YAML, and is its shape a config's?
//! Whether the agent has the components that it names is for the supervisor to judge.

use crate::collector::lint::{self, Layer, Options, Scope, Severity};

use super::error::Error;
use super::output::clean;

/// Refuses a text with errors, each with line and column; prints warnings and goes on.
pub(super) fn check(text: &str, origin: &str) -> Result<(), Error> {
    let options = Options { scope: Scope::Partial, ..Options::default() };
    let found = lint::lint(&[Layer { name: origin, text }], None, &options);
    let line = |d: &lint::Diagnostic| format!("{origin}:{}:{}: {}", d.line, d.column, d.message);
    let (errors, warnings): (Vec<_>, Vec<_>) = found.iter().partition(|d| d.severity == Severity::Error);
    for warning in warnings {
        eprintln!("warning: {}", clean(&line(warning)));
    }
    if errors.is_empty() {
        return Ok(());
    }
    let errors: Vec<String> = errors.into_iter().map(line).collect();
    Err(Error::Lint(errors.join("\n")))
}
