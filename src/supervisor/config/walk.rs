//! The tree against the table of known keys: unknown keys, values of the wrong shape, notices.
//!
//! The meaning of a value is `decode`'s.

use super::{
    context::{Context, boolean, integer, item_text, quote, short},
    duration,
    keys::{self, Key, Shape, Status},
    nearest::{Nearest, nearest},
    yaml::{Entry, Node, Value},
};

/// Judges the whole tree. False when there is no map at the top, so that nothing can be decoded.
pub(super) fn walk(context: &mut Context<'_>) -> bool {
    match &context.root.value {
        Value::Map(entries) => {
            section(context, "", entries);
            true
        }
        Value::Null => {
            context.problem(
                "",
                "the file is empty: server::endpoint must be specified, agent::executable must be specified",
            );
            false
        }
        Value::Seq(_) | Value::Scalar(_) => {
            let got = quote(context.root);
            context.problem_at(
                context.root.at,
                "",
                format!("the file must be a map with keys such as server and agent, got {got}"),
            );
            false
        }
    }
}

fn section(context: &mut Context<'_>, path: &str, entries: &[Entry]) {
    for entry in entries {
        let name = &entry.key;
        let full = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let known = if name.contains(['.', ':']) { None } else { keys::find(&full) };
        match known {
            Some(key) => known_key(context, key, entry),
            None => unknown_key(context, &full, entry),
        }
    }
}

fn known_key(context: &mut Context<'_>, key: &Key, entry: &Entry) {
    if matches!(entry.node.value, Value::Null) {
        return;
    }
    let path = key.path;
    match key.status {
        Status::Acted => {}
        // What is off is not missed.
        Status::NotYet(_) | Status::Ignored(_) if is_off(&entry.node) => {}
        Status::NotYet(instead) => {
            context.notice(path, format!("{path} is read but not acted on yet: {instead}"));
        }
        Status::Ignored(why) => context.notice(path, format!("{path} has no effect: {why}")),
        Status::Deprecated(instead) => context.notice(path, format!("{path} is deprecated: use {instead}")),
        Status::Removed(why) => context.notice(path, format!("{path} has no effect, {why}")),
    }
    match (key.shape, &entry.node.value) {
        (Shape::Section, Value::Map(entries)) => section(context, path, entries),
        (Shape::TextMap | Shape::SecretMap, Value::Map(entries)) => {
            for item in entries {
                if item_text(&item.node).is_none() {
                    item_problem(context, path, item, "a string");
                }
            }
        }
        (Shape::Headers, Value::Map(entries)) => {
            for item in entries {
                if !is_header(&item.node) {
                    item_problem(context, path, item, "a string or a list of strings");
                }
            }
        }
        (Shape::Texts, Value::Seq(items)) => {
            for (index, item) in items.iter().enumerate() {
                if item_text(item).is_none() {
                    let message = format!("{path}[{index}] must be a string, got {}", quote(item));
                    context.problem_at(item.at, path, message);
                }
            }
        }
        (shape, _) => {
            if let Some(wanted) = wanted(shape, &entry.node) {
                let secret = matches!(shape, Shape::Secret | Shape::Headers | Shape::SecretMap);
                let got = if secret { String::new() } else { format!(", got {}", quote(&entry.node)) };
                context.problem_at(entry.at, path, format!("{path} must be {wanted}{got}"));
            }
        }
    }
}

/// `false`, or nothing in it.
fn is_off(node: &Node) -> bool {
    match &node.value {
        Value::Null => true,
        Value::Scalar(scalar) => boolean(scalar) == Some(false) || scalar.text.is_empty(),
        Value::Seq(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
    }
}

fn item_problem(context: &mut Context<'_>, path: &str, item: &Entry, wanted: &str) {
    let name = short(&item.key);
    let got = quote(&item.node);
    context.problem_at(item.at, path, format!("{path}.{name} must be {wanted}, got {got}"));
}

fn is_header(node: &Node) -> bool {
    match &node.value {
        Value::Seq(items) => items.iter().all(|item| item_text(item).is_some()),
        Value::Null | Value::Scalar(_) => true,
        Value::Map(_) => false,
    }
}

/// What a shape wants, when the value is not it.
fn wanted(shape: Shape, node: &Node) -> Option<String> {
    let scalar = match &node.value {
        Value::Scalar(scalar) => Some(scalar),
        _ => None,
    };
    let (fits, wanted) = match shape {
        Shape::Section | Shape::AnyMap => (matches!(node.value, Value::Map(_)), "a map"),
        Shape::AnyList => (matches!(node.value, Value::Seq(_)), "a list"),
        Shape::TextMap | Shape::SecretMap => (matches!(node.value, Value::Map(_)), "a map of strings"),
        Shape::Headers => {
            (matches!(node.value, Value::Map(_)), "a map from header names to a string or a list of strings")
        }
        Shape::Texts => (scalar.is_some(), "a list of strings"),
        Shape::Text | Shape::Secret => (scalar.is_some(), "a string"),
        Shape::Bool => (scalar.and_then(boolean).is_some(), "true or false, without quotes"),
        Shape::Int => (scalar.and_then(integer).is_some(), "a whole number, without quotes"),
        Shape::Duration => {
            let fits = scalar.is_some_and(|scalar| duration::parse(&scalar.text).is_some());
            (fits, "a duration with a unit, such as 300ms, 5s or 1m30s")
        }
        Shape::OneOf(words) => {
            let fits =
                scalar.is_some_and(|scalar| words.iter().any(|word| word.eq_ignore_ascii_case(&scalar.text)));
            let words: Vec<&str> = words.iter().copied().filter(|word| !word.is_empty()).collect();
            return (!fits).then(|| format!("one of {}", words.join(", ")));
        }
        Shape::Any => return None,
    };
    (!fits).then(|| wanted.to_owned())
}

fn unknown_key(context: &mut Context<'_>, full: &str, entry: &Entry) {
    let shown = short(full);
    let dotted = full.replace("::", ".");
    let hint = if keys::find(&dotted).is_some() {
        format!("nest it: one map per level of {dotted}")
    } else {
        match nearest(full) {
            Nearest::Meant(key) => format!("did you mean {key}?"),
            Nearest::Far(key) => format!("remove it; the nearest known key is {key}"),
        }
    };
    context.problem_at(entry.at, full, format!("decoding failed: {shown} is not a known key; {hint}"));
}
