//! The layers of a config read into one view, as the Collector merges them: later ones win, lists are
//! replaced. `service.extensions` is also kept per layer, because a supervisor runs their union.

use super::{
    Diagnostic, Layer, Severity,
    builder::{self, Fatal},
    tree::{self, At, Budget, Map, Node, Value},
};
use crate::collector::components::Section;

/// What the layers say of `service.extensions`, all lists together, without repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceExtensions {
    /// No layer has a list.
    Absent,
    Literal(Vec<String>),
    /// A layer gives it (or part of it) as `${…}`: only the Collector knows what it is.
    NotLiteral {
        layer: String,
        line: usize,
    },
}

/// The merged view of all layers.
#[derive(Debug)]
pub struct View<'a> {
    pub(super) layers: &'a [Layer<'a>],
    pub(super) merged: Map,
    /// The value of `service.extensions` (or a `service` that is no mapping), once per layer that has it.
    pub(super) extension_lists: Vec<Node>,
}

impl<'a> View<'a> {
    /// Reads the layers. On an error in any of them there is no view, only what is wrong.
    pub fn read(layers: &'a [Layer<'a>], budget: &Budget) -> Result<Self, Vec<Diagnostic>> {
        let (view, found) = Self::read_all(layers, budget);
        view.ok_or(found)
    }

    /// Reads the layers; the diagnostics may be warnings beside a view.
    pub(super) fn read_all(layers: &'a [Layer<'a>], budget: &Budget) -> (Option<Self>, Vec<Diagnostic>) {
        let mut view = Self { layers, merged: Map::new(), extension_lists: Vec::new() };
        let mut found = Vec::new();
        let mut whole = true;
        for (index, layer) in layers.iter().enumerate() {
            let parsed = builder::parse(index, layer.text, budget);
            found.extend(parsed.faults.into_iter().map(|fault| {
                let severity = if fault.fatal == Fatal::Yes { Severity::Error } else { Severity::Warning };
                Diagnostic::new(layers, fault.at, severity, fault.message)
            }));
            match parsed.root {
                None => whole = false,
                Some(Node { value: Value::Null, .. }) => {}
                Some(Node { value: Value::Map(map), .. }) => view.add(&map),
                Some(Node { at, .. }) => {
                    let message = "a config must be a mapping with keys such as receivers and service";
                    found.push(Diagnostic::new(layers, at, Severity::Error, message));
                    whole = false;
                }
            }
        }
        (whole.then_some(view), found)
    }

    fn add(&mut self, layer: &Map) {
        if let Some(service) = layer.get("service").map(|entry| &entry.node) {
            let list = match &service.value {
                Value::Map(map) => map.get("extensions").map(|entry| &entry.node),
                Value::Null => None,
                Value::Scalar(_) | Value::List(_) => Some(service),
            };
            self.extension_lists.extend(list.cloned());
        }
        tree::merge(&mut self.merged, layer);
    }

    /// The union of `service.extensions` over all layers, in their order.
    #[must_use]
    pub fn service_extensions(&self) -> ServiceExtensions {
        let mut union: Vec<String> = Vec::new();
        let mut found = ServiceExtensions::Absent;
        for list in &self.extension_lists {
            let items = match literals(list) {
                Literals::None => continue,
                Literals::Items(items) => items,
                Literals::Opaque(at) => {
                    return ServiceExtensions::NotLiteral { layer: self.layer(at), line: at.line };
                }
            };
            for (id, _) in items {
                if !union.iter().any(|known| known == id) {
                    union.push(id.to_owned());
                }
            }
            found = ServiceExtensions::Literal(Vec::new());
        }
        match found {
            ServiceExtensions::Literal(_) => ServiceExtensions::Literal(union),
            other => other,
        }
    }

    /// The ids (`type` or `type/name`) that a section defines.
    #[must_use]
    pub fn component_ids(&self, section: Section) -> Vec<String> {
        self.section(section).into_iter().flat_map(Map::keys).map(|id| canonical(id)).collect()
    }

    /// Whether any pipeline is defined; one that is hidden behind `${…}` counts.
    #[must_use]
    pub fn has_pipelines(&self) -> bool {
        let Some(service) = self.merged.get("service") else { return false };
        let pipelines = match &service.node.value {
            Value::Map(map) => map.get("pipelines").map(|entry| &entry.node.value),
            other => Some(other),
        };
        match pipelines {
            None | Some(Value::Null) => false,
            Some(Value::Map(map)) => !map.is_empty(),
            Some(Value::Scalar(_) | Value::List(_)) => true,
        }
    }

    pub(super) fn section(&self, section: Section) -> Option<&Map> {
        self.merged.get(section.as_str())?.node.as_map()
    }

    fn layer(&self, at: At) -> String {
        self.layers.get(at.layer).map(|layer| layer.name.to_owned()).unwrap_or_default()
    }
}

/// The items of a list of component ids.
pub(super) enum Literals<'n> {
    None,
    Items(Vec<(&'n str, At)>),
    /// Something that only the Collector can resolve, or that is no list of ids.
    Opaque(At),
}

pub(super) fn literals(node: &Node) -> Literals<'_> {
    match &node.value {
        Value::Null => Literals::None,
        Value::List(nodes) => {
            let mut items = Vec::with_capacity(nodes.len());
            for item in nodes.iter() {
                match &item.value {
                    Value::Scalar(text) if !text.contains("${") => items.push((text.trim(), item.at)),
                    _ => return Literals::Opaque(item.at),
                }
            }
            Literals::Items(items)
        }
        Value::Scalar(_) | Value::Map(_) => Literals::Opaque(node.at),
    }
}

/// An id without the blanks that the Collector ignores around `/`.
pub(super) fn canonical(id: &str) -> String {
    match id.split_once('/') {
        Some((kind, name)) => format!("{}/{}", kind.trim(), name.trim()),
        None => id.trim().to_owned(),
    }
}
