//! A small YAML tree that keeps positions, and how trees merge. Nothing here knows what the keys mean.

use std::{collections::BTreeMap, sync::Arc};

/// What one layer may cost (F-80). Depth and nodes are counted after alias expansion.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    pub bytes: usize,
    pub depth: usize,
    pub nodes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: 1024 * 1024, depth: 64, nodes: 20_000 }
    }
}

/// A position: index of the layer, line and column counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub(crate) layer: usize,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A value and where it starts.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) value: Value,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Scalar(String),
    List(Arc<Vec<Node>>),
    Map(Arc<Map>),
}

/// The entries of a mapping by key.
pub(crate) type Map = BTreeMap<String, Entry>;

/// One entry: where its key stands, and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key_at: At,
    pub(crate) node: Node,
}

impl Node {
    pub(crate) fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }
}

/// Lays `over` on `base` as the Collector merges its configs: maps by key, everything else is replaced.
pub(crate) fn merge(base: &mut Map, over: &Map) {
    for (key, entry) in over {
        match (base.get_mut(key), &entry.node.value) {
            (Some(Entry { node: Node { value: Value::Map(below), .. }, .. }), Value::Map(above)) => {
                merge(Arc::make_mut(below), above);
            }
            _ => {
                base.insert(key.clone(), entry.clone());
            }
        }
    }
}
