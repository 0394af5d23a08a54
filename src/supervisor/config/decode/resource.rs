//! `telemetry.resource`: as a map of attributes, or in the form of OpenTelemetry's declarative configuration.

use std::collections::BTreeMap;

use super::super::{
    context::{Context, boolean, integer, item_text, quote, short, split},
    error::{Notice, Position},
    export::{Attribute, ResourceConfig},
    yaml::{Entry, Node, Value},
};

const KEY: &str = "telemetry.resource";
/// What tells the declarative form from a map of attributes.
const DECLARATIVE: [&str; 4] = ["attributes", "attributes_list", "schema_url", "detection/development"];

pub(super) fn decode(context: &mut Context<'_>) -> ResourceConfig {
    let entries = context.entries(KEY);
    let structured = |entry: &Entry| {
        let of_form = DECLARATIVE.contains(&entry.key.as_str());
        of_form && (entry.key != "attributes" || matches!(entry.node.value, Value::Seq(_) | Value::Null))
    };
    if entries.is_empty() || !entries.iter().any(structured) {
        return ResourceConfig { attributes: plain(context, entries), ..ResourceConfig::default() };
    }
    let mut resource = ResourceConfig::default();
    for entry in entries {
        match (entry.key.as_str(), &entry.node.value) {
            (_, Value::Null) => {}
            ("attributes", Value::Seq(items)) => {
                for item in items {
                    named(context, item, &mut resource.attributes);
                }
            }
            ("attributes_list", Value::Scalar(scalar)) => {
                for pair in split(&scalar.text) {
                    let Some((name, value)) = pair.split_once('=') else {
                        let message =
                            format!("{KEY}.attributes_list must be name=value,…, got {}", short(pair));
                        context.problem_at(entry.at, KEY, message);
                        continue;
                    };
                    let value = Some(Attribute::Text(value.trim().to_owned()));
                    // A named attribute is worth more than one of the list.
                    resource.attributes.entry(name.trim().to_owned()).or_insert(value);
                }
            }
            ("schema_url", Value::Scalar(scalar)) => resource.schema_url.clone_from(&scalar.text),
            ("detection/development", _) => detectors(context, &entry.node, &mut resource),
            (name, _) => {
                let message = format!(
                    "decoding failed: {KEY}.{} is not known or not of its type; there are attributes (a list), \
                     attributes_list, schema_url and detection/development",
                    short(name)
                );
                context.problem_at(entry.at, KEY, message);
            }
        }
    }
    resource
}

/// A text for each name; nothing takes a default away.
fn plain(context: &mut Context<'_>, entries: &[Entry]) -> BTreeMap<String, Option<Attribute>> {
    let mut attributes = BTreeMap::new();
    for entry in entries {
        let value = match &entry.node.value {
            Value::Null => None,
            Value::Scalar(scalar) => Some(Attribute::Text(scalar.text.clone())),
            Value::Seq(_) | Value::Map(_) => {
                let message =
                    format!("{KEY}.{} must be a string, got {}", short(&entry.key), quote(&entry.node));
                context.problem_at(entry.at, KEY, message);
                continue;
            }
        };
        attributes.insert(entry.key.clone(), value);
    }
    attributes
}

/// `{name, value, type}`
fn named(context: &mut Context<'_>, item: &Node, into: &mut BTreeMap<String, Option<Attribute>>) {
    let Some(name) = field(item, "name").filter(|name| !name.is_empty()) else {
        return context.problem_at(item.at, KEY, format!("{KEY}.attributes: each needs a name and a value"));
    };
    let kind = field(item, "type").unwrap_or_default();
    let value = match &item.value {
        Value::Map(entries) => entries.iter().find(|entry| entry.key == "value").map(|entry| &entry.node),
        _ => None,
    };
    match value.map(|value| attribute(value, kind)) {
        Some(Some(attribute)) => {
            into.insert(name.to_owned(), Some(attribute));
        }
        Some(None) | None => {
            let message = format!(
                "{KEY}.attributes: the value of {} must be of its type ({}), got {}",
                short(name),
                if kind.is_empty() { "string" } else { kind },
                value.map_or_else(|| "nothing".to_owned(), quote)
            );
            context.problem_at(item.at, KEY, message);
        }
    }
}

fn attribute(value: &Node, kind: &str) -> Option<Attribute> {
    match (&value.value, kind) {
        (Value::Scalar(scalar), "" | "string") => Some(Attribute::Text(scalar.text.clone())),
        (Value::Scalar(scalar), "bool") => boolean(scalar).map(Attribute::Bool),
        (Value::Scalar(scalar), "int") => integer(scalar).map(Attribute::Int),
        (Value::Scalar(scalar), "double") => {
            scalar.text.parse::<f64>().ok().map(|_| Attribute::Double(scalar.text.clone()))
        }
        (Value::Seq(items), "" | "string_array" | "bool_array" | "int_array" | "double_array") => {
            let texts: Option<Vec<_>> = items.iter().map(|item| item_text(item).map(str::to_owned)).collect();
            texts.map(Attribute::Texts)
        }
        _ => None,
    }
}

fn detectors(context: &mut Context<'_>, node: &Node, resource: &mut ResourceConfig) {
    let Value::Map(entries) = &node.value else { return };
    let Some(list) = entries.iter().find(|entry| entry.key == "detectors") else { return };
    let Value::Seq(items) = &list.node.value else { return };
    for item in items {
        let Value::Map(kinds) = &item.value else { continue };
        for kind in kinds {
            match kind.key.as_str() {
                "host" => resource.detect_host = true,
                "process" => resource.detect_process = true,
                // service.name and service.instance.id are there in any case.
                "service" => {}
                other => without_detector(context, kind.at, other),
            }
        }
    }
}

fn without_detector(context: &mut Context<'_>, at: Position, name: &str) {
    let message = format!(
        "{KEY}: there is no detector {}, so it adds nothing; there are host, process and service",
        short(name)
    );
    context.notices.push(Notice { at, key: KEY.to_owned(), message });
}

pub(super) fn field<'a>(item: &'a Node, name: &str) -> Option<&'a str> {
    let Value::Map(entries) = &item.value else { return None };
    entries.iter().find(|entry| entry.key == name).and_then(|entry| item_text(&entry.node))
}
