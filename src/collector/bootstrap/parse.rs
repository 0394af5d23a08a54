//! The answers of a Collector's short runs, read leniently: their form changes between releases.

use super::Facts;
use crate::collector::{
    components::Section,
    lint::{
        builder,
        tree::{Budget, Map, Node, Value},
    },
};

/// A distribution with every component there is prints about 5,000 values.
const BUDGET: Budget = Budget { bytes: super::MAX_OUTPUT, depth: 16, nodes: 100_000 };

/// What `components` printed. Text stays as written: a version 1.20 is not the number 1.2.
pub(super) fn components(stdout: &[u8]) -> Facts {
    let mut facts = Facts::default();
    let text = String::from_utf8_lossy(stdout);
    let root = builder::parse(0, &text, &BUDGET).root;
    let Some(root) = root.as_ref().and_then(Node::as_map) else { return facts };
    if let Some(build) = root.get("buildinfo").and_then(|entry| entry.node.as_map()) {
        facts.command = scalar(build, "command");
        facts.description = scalar(build, "description");
        facts.version = scalar(build, "version");
    }
    for section in Section::ALL {
        let Some(Value::List(items)) = root.get(section.as_str()).map(|entry| &entry.node.value) else {
            continue;
        };
        for item in items.iter() {
            match &item.value {
                Value::Scalar(kind) => facts.components.insert(section, kind, None),
                Value::Map(item) => {
                    let module = Some(scalar(item, "module")).filter(|module| !module.is_empty());
                    facts.components.insert(section, scalar(item, "name"), module);
                }
                Value::Null | Value::List(_) => {}
            }
        }
    }
    facts
}

fn scalar(map: &Map, key: &str) -> String {
    match map.get(key).map(|entry| &entry.node.value) {
        Some(Value::Scalar(text)) => text.clone(),
        _ => String::new(),
    }
}

/// The ids in the table that `featuregate` printed: the first word of each line after the heading.
pub(super) fn gates(stdout: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(stdout);
    text.lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|id| *id != "ID")
        .map(str::to_owned)
        .collect()
}

/// Command and version out of `otelcol version 0.149.0`.
pub(super) fn version(stdout: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(stdout);
    let line = text.lines().next().unwrap_or_default();
    match line.split_once(" version ") {
        Some((command, version)) => (command.trim().to_owned(), version.trim().to_owned()),
        None => (String::new(), line.trim().to_owned()),
    }
}

/// Every `(valid values: [a b c])`, with the section that is named last before it.
pub(super) fn valid_values(output: &[u8]) -> impl Iterator<Item = (Section, Vec<String>)> {
    let text = String::from_utf8_lossy(output).into_owned();
    let mut answers = Vec::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("(valid values: [") {
        let Some((values, after)) = after.split_once("])") else { break };
        let named = Section::ALL.into_iter().filter_map(|s| Some((before.rfind(s.as_str())?, s))).max();
        if let Some((_, section)) = named {
            answers.push((section, values.split_whitespace().map(str::to_owned).collect()));
        }
        rest = after;
    }
    answers.into_iter()
}
