//! Maps inside lists, which the table of keys does not reach: called by their path and position in messages.

use std::time::Duration;

use super::super::{
    context::{Context, integer, item_text, quote, short},
    error::{Notice, Position},
    yaml::{Entry, Node, Value},
};

/// One part of the file, with the path that messages call it by.
pub(super) struct Part<'a> {
    pub(super) path: String,
    pub(super) at: Position,
    pub(super) entries: &'a [Entry],
}

impl<'a> Part<'a> {
    /// A map; nothing at all counts as an empty one.
    pub(super) fn new(context: &mut Context<'_>, path: String, at: Position, node: &'a Node) -> Option<Self> {
        match &node.value {
            Value::Map(entries) => Some(Self { path, at, entries }),
            Value::Null => Some(Self { path, at, entries: &[] }),
            Value::Seq(_) | Value::Scalar(_) => {
                let got = quote(node);
                context.problem_at(at, &path, format!("{path} must be a map, got {got}"));
                None
            }
        }
    }

    pub(super) fn entry(&self, name: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == name && !matches!(entry.node.value, Value::Null))
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.entry(name).and_then(|entry| item_text(&entry.node)).filter(|text| !text.is_empty())
    }

    pub(super) fn part(&self, context: &mut Context<'_>, entry: &'a Entry) -> Option<Self> {
        Self::new(context, format!("{}.{}", self.path, entry.key), entry.at, &entry.node)
    }

    pub(super) fn only(&self, context: &mut Context<'_>, known: &[&str]) {
        for entry in self.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let message = format!(
                "decoding failed: {}.{} is not a known key; there are {}",
                self.path,
                short(&entry.key),
                known.join(", ")
            );
            context.problem_at(entry.at, &self.path, message);
        }
    }

    /// A whole number of at least `least`.
    pub(super) fn number(&self, context: &mut Context<'_>, name: &str, default: u64, least: u64) -> u64 {
        let Some(entry) = self.entry(name) else { return default };
        let number = match &entry.node.value {
            Value::Scalar(scalar) => integer(scalar).and_then(|number| u64::try_from(number).ok()),
            _ => None,
        };
        number.filter(|number| *number >= least).unwrap_or_else(|| {
            let message = format!(
                "{}.{name} must be a whole number of at least {least}, got {}",
                self.path,
                quote(&entry.node)
            );
            context.problem_at(entry.at, &self.path, message);
            default
        })
    }

    pub(super) fn millis(&self, context: &mut Context<'_>, name: &str, default: u64, least: u64) -> Duration {
        Duration::from_millis(self.number(context, name, default, least))
    }

    pub(super) fn left_out(&self, context: &mut Context<'_>, why: &str) {
        let message = format!("{} is left out: {why}", self.path);
        context.notices.push(Notice { at: self.at, key: self.path.clone(), message });
    }

    pub(super) fn left_out_key(&self, context: &mut Context<'_>, name: &str, why: &str) {
        let at = self.entry(name).map_or(self.at, |entry| entry.at);
        let message = format!("{}.{name} has no effect: {why}", self.path);
        context.notices.push(Notice { at, key: self.path.clone(), message });
    }
}

/// The items of a list, each a map with one key that says what it is.
pub(super) fn items<'a>(context: &mut Context<'a>, key: &str) -> Vec<(Part<'a>, &'a str)> {
    let Some(Value::Seq(nodes)) = context.entry(key).map(|entry| &entry.node.value) else {
        return Vec::new();
    };
    let mut parts = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let path = format!("{key}[{index}]");
        let Value::Map(entries) = &node.value else {
            let message = format!("{path} must be a map, got {}", quote(node));
            context.problem_at(node.at, key, message);
            continue;
        };
        let [entry] = &entries[..] else {
            context.problem_at(node.at, key, format!("{path} must have one key, which says what it is"));
            continue;
        };
        let path = format!("{path}.{}", entry.key);
        if let Some(part) = Part::new(context, path, entry.at, &entry.node) {
            parts.push((part, entry.key.as_str()));
        }
    }
    parts
}
