//! Where in the layers the Collector's own refusal points to: it names keys, people want lines.

use super::{
    Budget, Diagnostic, Layer, Severity,
    tree::{At, Entry, Map, Value},
    view::View,
};

/// How the Collector begins when a component's block cannot be read.
const READING: &str = "' error reading configuration for \"";
/// What precedes keys that a component does not have.
const INVALID_KEYS: &str = "has invalid keys: ";

/// The refusal as a finding with its place, if its words name a key that is in the layers.
#[must_use]
pub fn located(layers: &[Layer<'_>], refusal: &str) -> Option<Diagnostic> {
    let view = View::read(layers, &Budget::default()).ok()?;
    let at = unreadable(&view.merged, refusal)
        .or_else(|| refusal.lines().find_map(|line| path(&view.merged, line)))?;
    Some(Diagnostic::new(layers, at, Severity::Error, refusal))
}

/// `'receivers' error reading configuration for "otlp": … has invalid keys: x`, the first of several.
fn unreadable(merged: &Map, words: &str) -> Option<At> {
    let (before, after) = words.split_once(READING)?;
    let section = before.rsplit('\'').next()?;
    let (id, rest) = after.split_once('"')?;
    let rest = rest.split(READING).next()?;
    let component = merged.get(section)?.node.as_map()?.get(id)?;
    let key = rest.split_once(INVALID_KEYS).and_then(|(_, keys)| keys.split([',', ' ', '\n']).next());
    Some(key.and_then(|key| below(component, key)).unwrap_or(component.key_at))
}

/// The first key of this name anywhere below, the shallowest first.
fn below(entry: &Entry, key: &str) -> Option<At> {
    let mut level = vec![&entry.node];
    while !level.is_empty() {
        let mut next = Vec::new();
        for node in level {
            match &node.value {
                Value::Map(map) => {
                    if let Some(found) = map.get(key) {
                        return Some(found.key_at);
                    }
                    next.extend(map.values().map(|entry| &entry.node));
                }
                Value::List(items) => next.extend(items.iter()),
                Value::Null | Value::Scalar(_) => {}
            }
        }
        level = next;
    }
    None
}

/// `exporters::otlp::endpoint: …`: the deepest key of the path that is there; a section alone says too little.
fn path(merged: &Map, line: &str) -> Option<At> {
    let mut map = merged;
    let mut deepest = None;
    let words = line.split(": ").find(|words| words.contains("::"))?;
    for (depth, name) in words.trim().split("::").enumerate() {
        let Some(entry) = map.get(name) else { break };
        deepest = (depth > 0).then_some(entry.key_at);
        let Some(inner) = entry.node.as_map() else { break };
        map = inner;
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_names_a_key_gets_its_place() {
        let text = "receivers:\n  otlp:\n    protocols:\n      grpc:\n        endpont: x\nexporters:\n  debug/a:\n    \
                    verbosity: loud\n";
        let layers = [Layer { name: "a.yaml", text }];
        for (refusal, place) in [
            (
                "'receivers' error reading configuration for \"otlp\": 'protocols.grpc'\n'otlpreceiver.GRPC' has invalid keys: endpont",
                Some((5, 9)),
            ),
            ("'exporters' error reading configuration for \"debug/a\": unknown verbosity", Some((7, 3))),
            ("exporters::debug/a::verbosity: no such level", Some((8, 5))),
            ("exporters::debug/a: cannot be", Some((7, 3))),
            ("receivers::nothing: x", None),
            ("it is so", None),
        ] {
            let found = located(&layers, refusal).map(|found| (found.line, found.column));
            assert_eq!(found, place, "{refusal}");
        }
    }
}
