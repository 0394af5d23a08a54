//! What a validation found: each with its line of the file and a caret under the place, as compilers show it, or
//! as JSON. Secrets in the lines are starred.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write},
    ops::Range,
};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use super::super::{CommandError, args::Format, json};
use crate::{
    collector::lint::{Diagnostic, Severity},
    supervisor::{
        compose::ComposeError,
        config::Position,
        mask::{Mask, printable, yaml_in_place},
    },
};

/// A longer line is not shown.
const MOST_SHOWN: usize = 1000;

/// Whether there is a judgement at all.
pub(super) enum Judgement {
    Made,
    /// It could not be judged; why.
    Impossible(String),
}

#[derive(Serialize)]
struct Finding {
    severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    /// None: it could not be judged.
    fit: Option<bool>,
    findings: &'a [Finding],
    #[serde(skip_serializing_if = "Option::is_none")]
    why_not_judged: Option<String>,
}

#[derive(Default)]
pub(super) struct Findings {
    all: Vec<Finding>,
    /// The texts that findings point into, with their secrets starred.
    texts: BTreeMap<String, String>,
    pub(super) mask: Mask,
}

impl Findings {
    /// A text that findings may point into.
    pub(super) fn text(&mut self, name: &str, contents: &[u8]) {
        let text = String::from_utf8_lossy(contents);
        self.mask.know_yaml(&text);
        self.texts.insert(name.to_owned(), yaml_in_place(&text));
    }

    pub(super) fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    fn count(&self, severity: Severity) -> usize {
        self.all.iter().filter(|finding| finding.severity == severity).count()
    }

    pub(super) fn error_at(&mut self, file: &str, at: Position, message: String) {
        self.push(Severity::Error, Some((file, Some(at))), message);
    }

    pub(super) fn warning_at(&mut self, file: &str, at: Position, message: String) {
        self.push(Severity::Warning, Some((file, Some(at))), message);
    }

    pub(super) fn error_in(&mut self, file: &str, message: String) {
        self.push(Severity::Error, Some((file, None)), message);
    }

    pub(super) fn warning_in(&mut self, file: &str, message: String) {
        self.push(Severity::Warning, Some((file, None)), message);
    }

    pub(super) fn error(&mut self, message: String) {
        self.push(Severity::Error, None, message);
    }

    pub(super) fn note(&mut self, message: &str) {
        self.push(Severity::Warning, None, message.to_owned());
    }

    fn push(&mut self, severity: Severity, place: Option<(&str, Option<Position>)>, message: String) {
        let at = place.and_then(|(_, at)| at);
        self.all.push(Finding {
            severity,
            file: place.map(|(file, _)| file.to_owned()),
            line: at.map(|at| at.line),
            column: at.map(|at| at.column),
            message,
            help: None,
        });
    }

    pub(super) fn add(&mut self, diagnostics: Vec<Diagnostic>) {
        let finding = |found: Diagnostic| Finding {
            severity: found.severity,
            file: Some(found.layer),
            line: Some(found.line),
            column: Some(found.column),
            message: found.message,
            help: found.help,
        };
        self.all.extend(diagnostics.into_iter().map(finding));
    }

    /// The layers do not make a config.
    pub(super) fn not_composed(&mut self, file: &str, remote: &[(String, Vec<u8>)], error: ComposeError) {
        for (label, body) in remote {
            self.text(label, body);
        }
        match error {
            ComposeError::Unreadable(found) => {
                for layer in found.iter().map(|found| found.layer.clone()).collect::<Vec<_>>() {
                    if !self.texts.contains_key(&layer) {
                        self.text(&layer, &std::fs::read(&layer).unwrap_or_default());
                    }
                }
                self.add(found);
            }
            ComposeError::ExtensionsNotLiteral { .. } => self.error(error.to_string()),
            other => self.error_in(file, other.to_string()),
        }
    }

    pub(super) fn write(
        &mut self,
        judgement: &Judgement,
        format: Format,
        out: &mut dyn Write,
    ) -> Result<(), CommandError> {
        for finding in &mut self.all {
            finding.message = self.mask.text(&finding.message);
        }
        let why_not_judged = match judgement {
            Judgement::Made => None,
            Judgement::Impossible(why) => Some(self.mask.text(why)),
        };
        if format == Format::Json {
            let fit = why_not_judged.is_none().then(|| !self.has_errors());
            return json(&Document { fit, findings: &self.all, why_not_judged }, out);
        }
        for finding in &self.all {
            self.show(finding, out)?;
        }
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let verdict = match why_not_judged {
            Some(why) => format!("not judged: {}", printable(&why)),
            None if errors > 0 => {
                format!("unfit: {}, {}", number(errors, "error"), number(warnings, "warning"))
            }
            None => format!("fit: {}", number(warnings, "warning")),
        };
        Ok(writeln!(out, "{verdict}")?)
    }

    fn show(&self, finding: &Finding, out: &mut dyn Write) -> io::Result<()> {
        let level = match finding.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut title = printable(&finding.message);
        let file = finding.file.as_deref().map(printable);
        let excerpt = self.excerpt(finding);
        let mut group = None;
        if let (Some(file), Some((source, span, line))) = (&file, &excerpt) {
            let annotation = AnnotationKind::Primary.span(span.clone());
            let snippet = Snippet::source(source).line_start(*line).path(file).annotation(annotation);
            group = Some(snippet);
        } else if let (Some(file), Some(line), Some(column)) = (&file, finding.line, finding.column) {
            // Writing to a string cannot fail.
            let _ = write!(title, "\n{file}:{line}:{column}");
        }
        let mut report: Group<'_> = match (group, &file) {
            (Some(snippet), _) => level.primary_title(&title).element(snippet),
            (None, Some(file)) => level.primary_title(&title).element(Origin::path(file)),
            (None, None) => Group::with_title(level.primary_title(&title)),
        };
        let help = finding.help.as_deref().map(printable);
        if let Some(help) = &help {
            report = report.element(Level::HELP.message(help));
        }
        writeln!(out, "{}\n", Renderer::plain().render(&[report]))
    }

    /// The line of a finding, what is meant in it, and its number.
    fn excerpt(&self, finding: &Finding) -> Option<(String, Range<usize>, usize)> {
        let (line, column) = (finding.line?, finding.column?);
        let text = self.texts.get(finding.file.as_deref()?)?.lines().nth(line.checked_sub(1)?)?;
        if text.len() > MOST_SHOWN {
            return None;
        }
        let text = self.mask.in_place(text);
        // Nothing that turns a line around may move the caret from its place.
        let text: String = text
            .chars()
            .map(|c| if c == '\t' || printable(c.encode_utf8(&mut [0; 4])).is_empty() { ' ' } else { c })
            .collect();
        let start = text.char_indices().nth(column.saturating_sub(1)).map_or(text.len(), |(at, _)| at);
        let word = text[start..]
            .find(|c: char| c.is_whitespace() || ":,]}".contains(c))
            .unwrap_or(text.len() - start);
        let first = text[start..].chars().next().map_or(0, char::len_utf8);
        Some((text.clone(), start..start + word.max(first), line))
    }
}

fn number(count: usize, of: &str) -> String {
    match count {
        0 => format!("no {of}s"),
        1 => format!("1 {of}"),
        _ => format!("{count} {of}s"),
    }
}
