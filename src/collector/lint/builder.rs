//! Builds a [tree](super::tree) from parser events, under a budget.
//!
//! It reads a document the way the Collector does: `<<` merges, `::` in a key separates levels, the first
//! document of a file counts. Subtrees behind aliases are shared, yet count each time against the budget,
//! so an alias bomb costs nothing.

use std::{collections::HashMap, sync::Arc};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::{
    MAX_DIAGNOSTICS, lenient,
    tree::{At, Budget, Entry, Map, Node, Value, merge},
};

/// What a second reading costs.
const LOST: &str = "other findings in this file have no position of their own";

/// Something wrong with the text itself.
#[derive(Debug)]
pub(in crate::collector) struct Fault {
    pub(in crate::collector) at: At,
    pub(in crate::collector) message: String,
    pub(in crate::collector) fatal: Fatal,
}

/// Whether a fault makes the layer unusable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::collector) enum Fatal {
    Yes,
    No,
}

/// A layer's tree and the faults found in it; no tree when one of them is fatal.
pub(in crate::collector) struct Parsed {
    pub(in crate::collector) root: Option<Node>,
    pub(in crate::collector) faults: Vec<Fault>,
}

/// Parses the first document of a layer.
pub(in crate::collector) fn parse(layer: usize, text: &str, budget: &Budget) -> Parsed {
    let mut builder = Builder::new(layer, budget);
    match builder.run(text) {
        Ok(()) => {}
        Err(Refusal::Fault(fault)) => builder.faults.push(fault),
        Err(Refusal::Syntax(fault)) => {
            let mut second = Builder::new(layer, budget);
            if !lenient::may_take(&fault.message, text) || !lenient::feed(&mut second, text, fault.at) {
                builder.faults.push(fault);
            } else {
                builder = second;
                if builder.faults.is_empty() {
                    let message = format!("{}; the Collector takes it, but {LOST}", fault.message);
                    builder.faults.push(Fault { message, fatal: Fatal::No, ..fault });
                }
            }
        }
    }
    let spoilt = builder.faults.iter().any(|fault| fault.fatal == Fatal::Yes);
    let empty = Node { at: At { layer, line: 1, column: 1 }, value: Value::Null };
    let root = (!spoilt).then(|| builder.root.map_or(empty, |done| done.node));
    Parsed { root, faults: builder.faults }
}

/// A finished subtree, with what it counts for.
#[derive(Clone)]
struct Done {
    node: Node,
    nodes: usize,
    height: usize,
}

/// A list or mapping whose end has not been seen.
struct Frame {
    anchor: usize,
    at: At,
    nodes: usize,
    height: usize,
    open: Open,
}

enum Open {
    List(Vec<Node>),
    Map { entries: Map, key: Option<(String, At)>, merged: Vec<Node> },
}

pub(super) struct Builder<'a> {
    layer: usize,
    budget: &'a Budget,
    nodes: usize,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Done>,
    root: Option<Done>,
    pub(super) faults: Vec<Fault>,
}

/// Why a run ended early.
enum Refusal {
    /// The text is not YAML 1.2.
    Syntax(Fault),
    Fault(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl<'a> Builder<'a> {
    fn new(layer: usize, budget: &'a Budget) -> Self {
        let (stack, anchors, faults) = (Vec::new(), HashMap::new(), Vec::new());
        Self { layer, budget, nodes: 0, stack, anchors, root: None, faults }
    }

    fn run(&mut self, text: &str) -> Result<(), Refusal> {
        let start = At { layer: self.layer, line: 1, column: 1 };
        if text.len() > self.budget.bytes {
            let message = format!("config of {} bytes, at most {} are read", text.len(), self.budget.bytes);
            return Err(fatal(start, message).into());
        }
        if let Some(index) = text.find('\0') {
            let at = position(self.layer, text, index);
            return Err(fatal(at, "NUL character, this is not a text file").into());
        }
        let mut parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| {
                Refusal::Syntax(fatal(self.at(error.marker()), format!("YAML: {}", error.info())))
            })?;
            let at = self.at(&span.start);
            if let Event::DocumentStart(_) = event
                && self.root.is_some()
            {
                let message = "a second document starts here; the Collector reads only the first".to_owned();
                self.faults.push(Fault { at, message, fatal: Fatal::No });
                return Ok(());
            }
            self.event(event, at)?;
        }
        Ok(())
    }

    pub(super) fn event(&mut self, event: Event<'_>, at: At) -> Result<(), Fault> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                self.count(1, at)?;
                let null =
                    style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if null { Value::Null } else { Value::Scalar(text.into_owned()) };
                self.finish(anchor, Done { node: Node { at, value }, nodes: 1, height: 1 })
            }
            Event::SequenceStart(anchor, _) => self.open(anchor, at, Open::List(Vec::new())),
            Event::MappingStart(anchor, _) => {
                self.open(anchor, at, Open::Map { entries: Map::new(), key: None, merged: Vec::new() })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                let Some(mut done) = self.anchors.get(&anchor).cloned() else {
                    return Err(fatal(at, "this alias refers to a value that contains it"));
                };
                self.count(done.nodes, at)?;
                done.node.at = at;
                self.finish(0, done)
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, anchor: usize, at: At, open: Open) -> Result<(), Fault> {
        self.count(1, at)?;
        self.stack.push(Frame { anchor, at, nodes: 1, height: 1, open });
        self.check_depth(0, at)
    }

    fn close(&mut self) -> Result<(), Fault> {
        let Some(Frame { anchor, at, nodes, height, open }) = self.stack.pop() else { return Ok(()) };
        let value = match open {
            Open::List(items) => Value::List(Arc::new(items)),
            Open::Map { mut entries, merged, .. } => {
                for node in &merged {
                    inherit(&mut entries, node)?;
                }
                Value::Map(Arc::new(entries))
            }
        };
        self.finish(anchor, Done { node: Node { at, value }, nodes, height })
    }

    /// Puts a finished subtree where it belongs.
    fn finish(&mut self, anchor: usize, done: Done) -> Result<(), Fault> {
        if anchor != 0 {
            self.anchors.insert(anchor, done.clone());
        }
        self.check_depth(done.height, done.node.at)?;
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(done);
            return Ok(());
        };
        frame.nodes += done.nodes;
        frame.height = frame.height.max(done.height + 1);
        match &mut frame.open {
            Open::List(items) => items.push(done.node),
            Open::Map { key: key @ None, .. } => *key = Some(key_text(done.node)?),
            Open::Map { key, merged, .. } => match key.take() {
                Some((name, _)) if name == "<<" => merged.push(done.node),
                Some((name, at)) => return self.insert(&name, at, done),
                None => {}
            },
        }
        Ok(())
    }

    /// Inserts an entry; `a::b: x` is `a: {b: x}`.
    fn insert(&mut self, name: &str, at: At, done: Done) -> Result<(), Fault> {
        let levels = name.matches("::").count();
        self.count(levels, at)?;
        self.check_depth(levels + done.height, at)?;
        let mut path = name.rsplit("::");
        let mut key = path.next().unwrap_or(name);
        let mut node = done.node;
        for parent in path {
            let map = Map::from([(key.to_owned(), Entry { key_at: at, node })]);
            node = Node { at, value: Value::Map(Arc::new(map)) };
            key = parent;
        }
        let Some(Frame { open: Open::Map { entries, .. }, nodes, height, .. }) = self.stack.last_mut() else {
            return Ok(());
        };
        *nodes += levels;
        *height = (*height).max(levels + done.height + 1);
        match entries.get(key) {
            Some(_) if levels == 0 && self.faults.len() >= MAX_DIAGNOSTICS => {}
            Some(first) if levels == 0 => {
                let line = first.key_at.line;
                let message = format!("key {key:?} is here twice, first in line {line}");
                self.faults.push(Fault { at, message, fatal: Fatal::Yes });
            }
            _ => merge(entries, &Map::from([(key.to_owned(), Entry { key_at: at, node })])),
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, at: At) -> Result<(), Fault> {
        self.nodes += nodes;
        let limit = self.budget.nodes;
        if self.nodes > limit {
            return Err(fatal(at, format!("more than {limit} values, aliases counted each time")));
        }
        Ok(())
    }

    fn check_depth(&self, below: usize, at: At) -> Result<(), Fault> {
        let limit = self.budget.depth;
        if self.stack.len() + below > limit {
            return Err(fatal(at, format!("nested more than {limit} levels deep")));
        }
        Ok(())
    }

    fn at(&self, marker: &Marker) -> At {
        At { layer: self.layer, line: marker.line().max(1), column: marker.col() + 1 }
    }
}

/// `<<: *base` and `<<: [*a, *b]`: entries that the mapping does not have itself, the earlier first.
fn inherit(entries: &mut Map, from: &Node) -> Result<(), Fault> {
    match &from.value {
        Value::Map(map) => {
            for (key, entry) in map.iter() {
                entries.entry(key.clone()).or_insert_with(|| entry.clone());
            }
            Ok(())
        }
        Value::List(items) => items.iter().try_for_each(|item| match item.value {
            Value::Map(_) => inherit(entries, item),
            _ => Err(fatal(item.at, "<< takes a mapping or a list of mappings")),
        }),
        _ => Err(fatal(from.at, "<< takes a mapping or a list of mappings")),
    }
}

fn key_text(node: Node) -> Result<(String, At), Fault> {
    match node.value {
        Value::Scalar(text) => Ok((text, node.at)),
        Value::Null => Ok(("null".to_owned(), node.at)),
        Value::List(_) | Value::Map(_) => Err(fatal(node.at, "a key must be a single word or a quoted text")),
    }
}

fn position(layer: usize, text: &str, index: usize) -> At {
    let before = &text[..index];
    let column = before.chars().rev().take_while(|char| *char != '\n').count() + 1;
    At { layer, line: before.matches('\n').count() + 1, column }
}

fn fatal(at: At, message: impl Into<String>) -> Fault {
    Fault { at, message: message.into(), fatal: Fatal::Yes }
}
