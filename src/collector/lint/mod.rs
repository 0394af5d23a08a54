//! What is wrong with a Collector config, with line and column, found by looking at its text.
//!
//! The text is never rewritten and `${…}` never resolved: the Collector's own `validate` has the last
//! word, this says sooner and clearer what it would say. Layers are judged together, as the Collector
//! merges them ([`View`]). Pure; called by the supervisor before a config is applied, and by `opampctl`
//! before one is sent.
//!
//! - `tree`, `builder`, `lenient`: the text as a tree with positions, within a budget
//! - `strict`: a reading that no other parser contradicts, for rules that must not be got round
//! - `view`: what the layers say together; `checks`: the rules; `suggest`: the nearest name

pub(in crate::collector) mod builder;
mod checks;
mod lenient;
#[cfg(feature = "supervisor")]
mod place;
#[cfg(feature = "supervisor")]
mod strict;
mod suggest;
#[cfg(test)]
mod tests;
pub(in crate::collector) mod tree;
mod view;

use std::fmt;

use serde::Serialize;

#[cfg(feature = "supervisor")]
pub use place::located;
#[cfg(feature = "supervisor")]
pub(crate) use strict::read_strictly;
#[cfg(feature = "supervisor")]
pub(crate) use suggest::distance;
pub use tree::Budget;
#[cfg(feature = "supervisor")]
pub(crate) use tree::{Map, Node, Value};
pub use view::{ServiceExtensions, View};

use super::components::Components;
pub(crate) use tree::At;

/// Most findings of one check, and most faults of one layer's text.
const MAX_DIAGNOSTICS: usize = 100;

/// One config text, with the name that diagnostics give it.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

impl<'a> Layer<'a> {
    /// A layer from bytes of a peer or file, which must be UTF-8.
    pub fn from_bytes(name: &'a str, bytes: &'a [u8]) -> Result<Self, Diagnostic> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
            Diagnostic {
                layer: name.to_owned(),
                line: before.split(|byte| *byte == b'\n').count(),
                column: String::from_utf8_lossy(&before[line_start..]).chars().count() + 1,
                severity: Severity::Error,
                message: "not UTF-8 text".to_owned(),
                help: None,
            }
        })?;
        Ok(Self { name, text })
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The Collector would refuse the config.
    Error,
    /// It may run, but probably not as meant.
    Warning,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    pub layer: String,
    /// Counted from 1, as the column.
    pub line: usize,
    pub column: usize,
    pub severity: Severity,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Diagnostic {
    pub(crate) fn new(layers: &[Layer<'_>], at: At, severity: Severity, message: impl Into<String>) -> Self {
        let layer = layers.get(at.layer).map(|layer| layer.name.to_owned()).unwrap_or_default();
        Self { layer, line: at.line, column: at.column, severity, message: message.into(), help: None }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.layer, self.line, self.column, self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " ({help})"))
    }
}

/// How much of a config the layers are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of it: every reference must resolve.
    #[default]
    Complete,
    /// Other layers are added later and elsewhere: references are not judged.
    Partial,
}

/// How to look.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    pub budget: Budget,
    pub scope: Scope,
}

/// Checks the layers, the first being the lowest, and lists what is wrong in order of position.
/// Without `components` it is not judged which types exist.
#[must_use]
pub fn lint(layers: &[Layer<'_>], components: Option<&Components>, options: &Options) -> Vec<Diagnostic> {
    let (view, mut found) = View::read_all(layers, &options.budget);
    if let Some(view) = view {
        let mut positioned = checks::run(&view, components, options.scope);
        positioned.sort_by_key(|(at, diagnostic)| (*at, diagnostic.severity));
        found.extend(positioned.into_iter().map(|(_, diagnostic)| diagnostic));
    }
    found
}

/// Whether any of them would make the Collector refuse the config.
#[must_use]
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}
