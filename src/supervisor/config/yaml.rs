//! YAML text to a tree that keeps where each key and value stands.
//!
//! Bounded: depth, and the number of nodes with aliases counted as often as they are used. Duplicate keys are
//! an error; merge keys (`<<`) are honoured. Scalars stay text: the key that takes one says what type it is.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput, Tag};

use super::error::Position;

const MAX_DEPTH: usize = 32;
const MAX_NODES: usize = 20_000;

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub at: Position,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Scalar(Scalar),
    Seq(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone)]
pub(super) struct Scalar {
    pub text: String,
    /// Not quoted, so `5` is a number and `true` a boolean.
    pub plain: bool,
    /// What stood in the file before expansion, when something was expanded.
    pub written: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: String,
    /// Where the key stands.
    pub at: Position,
    pub node: Node,
}

/// The first document, and where a second one starts.
pub(super) struct Document {
    pub root: Node,
    pub second: Option<Position>,
}

/// The text is no YAML, or more of it than is sane.
#[derive(Debug)]
pub(super) struct Fault {
    pub at: Position,
    pub message: String,
}

impl Node {
    pub(super) fn null(at: Position) -> Self {
        Self { at, value: Value::Null }
    }

    fn count(&self) -> usize {
        1 + match &self.value {
            Value::Seq(items) => items.iter().map(Self::count).sum(),
            Value::Map(entries) => entries.iter().map(|entry| entry.node.count()).sum(),
            Value::Null | Value::Scalar(_) => 0,
        }
    }

    /// Moves the whole subtree to one place: what an expansion brought in stands where its reference stands.
    pub(super) fn move_to(&mut self, at: Position) {
        self.at = at;
        match &mut self.value {
            Value::Seq(items) => items.iter_mut().for_each(|item| item.move_to(at)),
            Value::Map(entries) => {
                for entry in entries {
                    entry.at = at;
                    entry.node.move_to(at);
                }
            }
            Value::Null | Value::Scalar(_) => {}
        }
    }
}

/// Reads the first document of a text.
pub(super) fn parse(text: &str) -> Result<Document, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder { parser: Parser::new_from_str(text), anchors: BTreeMap::new(), nodes: 0 };
    let mut root = None;
    loop {
        let (event, at) = builder.next()?;
        match event {
            Event::StreamEnd => {
                return Ok(Document { root: root.unwrap_or(Node::null(Position::START)), second: None });
            }
            Event::DocumentStart(_) if root.is_some() => {
                return Ok(Document { root: root.unwrap_or(Node::null(at)), second: Some(at) });
            }
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
            event => root = Some(builder.node(event, at, 0)?),
        }
    }
}

struct Builder<'t> {
    parser: Parser<'t, StrInput<'t>>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
}

impl<'t> Builder<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Position), Fault> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, position(&span.start))),
            Some(Err(error)) => Err(scan_fault(&error)),
            None => Ok((Event::StreamEnd, Position::START)),
        }
    }

    fn node(&mut self, event: Event<'t>, at: Position, depth: usize) -> Result<Node, Fault> {
        if depth > MAX_DEPTH {
            return Err(fault(at, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let (anchor, value) = match event {
            Event::Alias(id) => {
                let node = self.anchors.get(&id).cloned();
                let node = node.ok_or_else(|| fault(at, "an alias is used inside what it names".into()))?;
                self.count(node.count(), at)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, scalar(text.into_owned(), style, tag.as_deref()))
            }
            Event::SequenceStart(anchor, _) => (anchor, self.sequence(depth)?),
            Event::MappingStart(anchor, _) => (anchor, self.mapping(depth)?),
            _ => (0, Value::Null),
        };
        self.count(1, at)?;
        let node = Node { at, value };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn count(&mut self, nodes: usize, at: Position) -> Result<(), Fault> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return Err(fault(at, format!("more than {MAX_NODES} values, aliases counted as often as used")));
        }
        Ok(())
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::Seq(items)),
                (event, at) => items.push(self.node(event, at, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merged = Vec::new();
        loop {
            let (event, at) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = match self.node(event, at, depth + 1)?.value {
                Value::Scalar(scalar) => scalar.text,
                Value::Null => String::new(),
                Value::Seq(_) | Value::Map(_) => {
                    return Err(fault(at, "a key must be plain text, not a list or a map".into()));
                }
            };
            let (event, value_at) = self.next()?;
            let node = self.node(event, value_at, depth + 1)?;
            if key == "<<" {
                merged.extend(merge_sources(node)?);
            } else if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                return Err(twice(&key, at, first.at));
            } else {
                entries.push(Entry { key, at, node });
            }
        }
        for entry in merged {
            if entries.iter().all(|own| own.key != entry.key) {
                entries.push(entry);
            }
        }
        Ok(Value::Map(entries))
    }
}

/// `agent::executable: x` at the top is `agent: {executable: x}`, as the Collector reads it.
pub(super) fn nest(root: Node) -> Result<Node, Fault> {
    let Value::Map(entries) = root.value else { return Ok(root) };
    let mut nested = Vec::new();
    for Entry { key, at, node } in entries {
        let mut names: Vec<&str> = key.split("::").take(MAX_DEPTH + 1).collect();
        if names.len() > MAX_DEPTH {
            return Err(fault(at, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let first = names.remove(0).to_owned();
        let node = names.into_iter().rev().fold(node, |node, name| {
            let entry = Entry { key: name.to_owned(), at, node };
            Node { at, value: Value::Map(vec![entry]) }
        });
        join(&mut nested, Entry { key: first, at, node })?;
    }
    Ok(Node { at: root.at, value: Value::Map(nested) })
}

fn join(map: &mut Vec<Entry>, entry: Entry) -> Result<(), Fault> {
    let Some(there) = map.iter_mut().find(|there| there.key == entry.key) else {
        map.push(entry);
        return Ok(());
    };
    match (&mut there.node.value, entry.node.value) {
        (_, Value::Null) => Ok(()),
        (there @ Value::Null, value) => {
            *there = value;
            Ok(())
        }
        (Value::Map(inner), Value::Map(more)) => more.into_iter().try_for_each(|entry| join(inner, entry)),
        _ => Err(twice(&entry.key, entry.at, there.at)),
    }
}

fn twice(key: &str, at: Position, first: Position) -> Fault {
    fault(at, format!("{key:?} is given twice, first in line {}; keep one", first.line))
}

fn merge_sources(node: Node) -> Result<Vec<Entry>, Fault> {
    match node.value {
        Value::Map(entries) => Ok(entries),
        Value::Seq(items) => {
            items.into_iter().map(merge_sources).collect::<Result<Vec<_>, _>>().map(|lists| lists.concat())
        }
        Value::Null | Value::Scalar(_) => {
            Err(fault(node.at, "a merge key (<<) takes a map or a list of maps".into()))
        }
    }
}

fn scalar(text: String, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let core = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
    let plain = match core {
        Some("str") => false,
        Some(_) => true,
        None => style == ScalarStyle::Plain,
    };
    if plain && is_null(&text) {
        return Value::Null;
    }
    Value::Scalar(Scalar { text, plain, written: None })
}

pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn position(marker: &Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

fn fault(at: Position, message: String) -> Fault {
    Fault { at, message }
}

fn scan_fault(error: &ScanError) -> Fault {
    fault(position(error.marker()), format!("not valid YAML: {}", error.info()))
}
