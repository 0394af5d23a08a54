//! What can be wrong with a `supervisor.yaml`, and what is only worth a line in the log.

use std::{fmt, io, path::PathBuf};

/// A place in the file, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl Position {
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

/// One thing that is wrong: where, which key, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub at: Position,
    /// Dotted path of the key, empty when the file as a whole is meant.
    pub key: String,
    pub message: String,
}

/// One thing that is not wrong but that a person should know, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub at: Position,
    /// Dotted path of the key.
    pub key: String,
    pub message: String,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// No configuration could be had. Every variant is exit code 78.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("path to config file cannot be empty; pass --config FILE")]
    NoPath,
    #[error("cannot read {}: {}; pass --config FILE", path.display(), reason(source))]
    Read { path: PathBuf, source: io::Error },
    #[error("{} has more than {limit} bytes; a supervisor.yaml is far smaller, check --config", path.display())]
    TooLarge { path: PathBuf, limit: u64 },
    #[error("{} is not UTF-8 text; check --config", path.display())]
    NotText { path: PathBuf },
    /// All that is wrong with the content, in the order of the file.
    #[error("{}", lines(file, problems))]
    Invalid { file: String, problems: Vec<Problem> },
}

/// Problems that are printed; the rest is counted.
const SHOWN: usize = 50;

fn lines(file: &str, problems: &[Problem]) -> String {
    let mut lines: Vec<String> = problems
        .iter()
        .take(SHOWN)
        .map(|problem| {
            let Position { line, column } = problem.at;
            format!("{file}:{line}:{column}: {}", problem.message)
        })
        .collect();
    if problems.len() > SHOWN {
        lines.push(format!("{file}: and {} more", problems.len() - SHOWN));
    }
    lines.join("\n")
}

/// The error's words without the number that std appends.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
