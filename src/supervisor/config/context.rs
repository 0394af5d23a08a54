//! Values by dotted path, and the place where problems and notices gather.
//!
//! The getters answer `None` for a key that is absent, null, or of the wrong shape: the last was already
//! reported by `walk`, so no decoder reports it again.

use super::{
    Sources, duration,
    error::{Notice, Position, Problem},
    yaml::{Entry, Node, Scalar, Value},
};

/// Longest piece of a value that is quoted in a message.
const QUOTED: usize = 60;

pub(super) struct Context<'a> {
    pub root: &'a Node,
    pub sources: Sources<'a>,
    pub notices: Vec<Notice>,
    pub problems: Vec<Problem>,
    /// Places whose value could not be expanded: nothing more is said of them.
    broken: Vec<Position>,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        root: &'a Node,
        sources: Sources<'a>,
        notices: Vec<Notice>,
        problems: Vec<Problem>,
    ) -> Self {
        let broken = problems.iter().map(|problem| problem.at).collect();
        Self { root, sources, notices, problems, broken }
    }

    /// The entry of a path, unless it is absent or null.
    pub(super) fn entry(&self, path: &str) -> Option<&'a Entry> {
        let mut node = self.root;
        let mut found = None;
        for name in path.split('.') {
            let Value::Map(entries) = &node.value else { return None };
            let entry = entries.iter().find(|entry| entry.key == name)?;
            node = &entry.node;
            found = Some(entry);
        }
        found.filter(|entry| !matches!(entry.node.value, Value::Null))
    }

    /// Whether the key is there, be it without a value.
    pub(super) fn is_written(&self, path: &str) -> bool {
        let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
        let node =
            if parent.is_empty() { Some(self.root) } else { self.entry(parent).map(|entry| &entry.node) };
        let Some(Value::Map(entries)) = node.map(|node| &node.value) else { return false };
        entries.iter().any(|entry| entry.key == name)
    }

    fn scalar(&self, path: &str) -> Option<&'a Scalar> {
        match &self.entry(path)?.node.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    pub(super) fn text(&self, path: &str) -> Option<&'a str> {
        self.scalar(path).map(|scalar| scalar.text.as_str())
    }

    pub(super) fn bool(&self, path: &str) -> Option<bool> {
        self.scalar(path).and_then(boolean)
    }

    pub(super) fn int(&self, path: &str) -> Option<i64> {
        self.scalar(path).and_then(integer)
    }

    /// Nanoseconds.
    pub(super) fn duration(&self, path: &str) -> Option<i64> {
        self.scalar(path).and_then(|scalar| duration::parse(&scalar.text))
    }

    /// The strings of a list, each with its place.
    pub(super) fn texts(&self, path: &str) -> Option<Vec<(Position, &'a str)>> {
        let entry = self.entry(path)?;
        match &entry.node.value {
            Value::Scalar(scalar) => Some(split(&scalar.text).map(|text| (entry.at, text)).collect()),
            Value::Seq(items) => {
                Some(items.iter().filter_map(|item| item_text(item).map(|text| (item.at, text))).collect())
            }
            Value::Null | Value::Map(_) => None,
        }
    }

    pub(super) fn entries(&self, path: &str) -> &'a [Entry] {
        match self.entry(path).map(|entry| &entry.node.value) {
            Some(Value::Map(entries)) => entries,
            _ => &[],
        }
    }

    /// Where a path stands: its key, else the key of the section that should hold it, else the file's start.
    pub(super) fn at(&self, path: &str) -> Position {
        let mut at = Position::START;
        let mut node = self.root;
        for name in path.split('.') {
            let Value::Map(entries) = &node.value else { break };
            let Some(entry) = entries.iter().find(|entry| entry.key == name) else { break };
            at = entry.at;
            node = &entry.node;
        }
        at
    }

    pub(super) fn problem(&mut self, path: &str, message: impl Into<String>) {
        self.problem_at(self.at(path), path, message);
    }

    pub(super) fn problem_at(&mut self, at: Position, path: &str, message: impl Into<String>) {
        if !self.broken.contains(&at) {
            self.problems.push(Problem { at, key: path.to_owned(), message: message.into() });
        }
    }

    pub(super) fn notice(&mut self, path: &str, message: impl Into<String>) {
        self.notices.push(Notice { at: self.at(path), key: path.to_owned(), message: message.into() });
    }

    /// The value of a path as a message may quote it.
    pub(super) fn got(&self, path: &str) -> String {
        self.entry(path).map(|entry| quote(&entry.node)).unwrap_or_default()
    }
}

/// A string that stands for a list, in its pieces.
pub(super) fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|piece| !piece.is_empty())
}

/// The text of a list's or map's item; a null one is empty text.
pub(super) fn item_text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar(scalar) => Some(&scalar.text),
        Value::Null => Some(""),
        Value::Seq(_) | Value::Map(_) => None,
    }
}

pub(super) fn boolean(scalar: &Scalar) -> Option<bool> {
    match scalar.text.as_str() {
        "true" | "True" | "TRUE" if scalar.plain => Some(true),
        "false" | "False" | "FALSE" if scalar.plain => Some(false),
        _ => None,
    }
}

pub(super) fn integer(scalar: &Scalar) -> Option<i64> {
    if !scalar.plain {
        return None;
    }
    let text = scalar.text.replace('_', "");
    let (digits, radix) = match text.get(..2) {
        Some("0x" | "0X") => (&text[2..], 16),
        Some("0o" | "0O") => (&text[2..], 8),
        Some("0b" | "0B") => (&text[2..], 2),
        _ => (text.as_str(), 10),
    };
    i64::from_str_radix(digits, radix).ok()
}

/// A value for a message: as written, and never what an expansion brought in.
pub(super) fn quote(node: &Node) -> String {
    match &node.value {
        Value::Null => "nothing".to_owned(),
        Value::Seq(_) => "a list".to_owned(),
        Value::Map(_) => "a map".to_owned(),
        Value::Scalar(Scalar { written: Some(written), .. }) => format!("the value of {}", short(written)),
        Value::Scalar(Scalar { text, plain: true, .. }) => short(text),
        Value::Scalar(Scalar { text, .. }) => format!("{:?}", short(text)),
    }
}

/// Control characters and anything long stay out of messages.
pub(super) fn short(text: &str) -> String {
    let mut out: String = text.chars().take(QUOTED).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(QUOTED).is_some() {
        out.push('…');
    }
    out
}
