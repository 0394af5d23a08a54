//! `supervisor.yaml` as a JSON Schema, for editors and for checks before a file reaches a host.
//!
//! Made from the table of keys, with the words of `texts`. It judges what the table judges: names and shapes.
//! Rules of single keys and what stands between two keys are `decode`'s. A value with `${…}` is taken as it
//! is: what it becomes is known on the host only.
//!
//! Written to `packaging/supervisor.schema.json` by a test; no program carries it.

mod texts;

use serde_json::{Map, Value, json};

use super::keys::{KEYS, Key, Shape, Status};
use texts::{Text, text};

/// The schema, draft 2020-12.
#[must_use]
pub fn schema() -> Value {
    let mut root = section("");
    let needs = |key: &str| json!({ "required": [key] });
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("supervisor.yaml");
    root["description"] = json!("Configuration of opamp-supervisor.");
    // `server::endpoint` at the top stands for the same key in its section.
    root["patternProperties"] = json!({ "::": true });
    root["if"] = json!({ "propertyNames": { "not": { "pattern": "::" } } });
    root["then"] = json!({
        "required": ["server", "agent"],
        "properties": { "server": needs("endpoint"), "agent": needs("executable") },
    });
    root["$defs"] = json!({
        "scalar": { "type": ["string", "number", "boolean", "null"] },
        "expansion": { "type": "string", "pattern": "\\$\\{" },
        "duration": {
            "anyOf": [
                { "const": 0 },
                {
                    "type": "string",
                    "pattern": "^[-+]?(0|(([0-9]+([.][0-9]*)?|[.][0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$",
                },
            ],
        },
    });
    root
}

/// The object under a path, with the keys of the table that hang below it.
fn section(path: &str) -> Value {
    let below = KEYS.iter().filter(|key| key.path.rsplit_once('.').map_or("", |(parent, _)| parent) == path);
    let properties: Map<_, _> = below.map(|key| (name(key).to_owned(), property(key))).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn name(key: &Key) -> &'static str {
    key.path.rsplit_once('.').map_or(key.path, |(_, name)| name)
}

fn property(key: &Key) -> Value {
    let Text { says, default, .. } = text(key.path).unwrap_or_default();
    let mut property = json!({});
    let more = match key.status {
        Status::Acted => String::new(),
        Status::NotYet(instead) => format!(" Not acted on yet: {instead}."),
        Status::Ignored(why) => format!(" No effect: {why}."),
        Status::Deprecated(instead) => format!(" Deprecated: use {instead}."),
        Status::Removed(why) => format!(" No effect, {why}."),
    };
    if matches!(key.status, Status::Deprecated(_) | Status::Removed(_)) {
        property["deprecated"] = json!(true);
    }
    property["description"] = json!(format!("{says}{more}").trim());
    if let Ok(default) = serde_json::from_str::<Value>(default) {
        property["default"] = default;
    }
    if key.shape != Shape::Any {
        // An absent value is a default, and a whole section may come from a file.
        let either = [value(key), json!({ "type": "null" }), json!({ "$ref": "#/$defs/expansion" })];
        property["anyOf"] = json!(either);
    }
    property
}

fn value(key: &Key) -> Value {
    let scalar = json!({ "$ref": "#/$defs/scalar" });
    let list = json!({ "type": "array", "items": scalar });
    match key.shape {
        Shape::Section => section(key.path),
        Shape::Text | Shape::Secret => scalar,
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Int => match text(key.path).and_then(|text| text.range) {
            Some((least, most)) => json!({ "type": "integer", "minimum": least, "maximum": most }),
            None => json!({ "type": "integer" }),
        },
        Shape::Duration => json!({ "$ref": "#/$defs/duration" }),
        Shape::OneOf(words) => {
            let any_case = words.iter().map(|word| any_case(word)).collect::<Vec<_>>().join("|");
            json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": format!("^({any_case})$") }] })
        }
        Shape::Texts => json!({ "anyOf": [list, scalar] }),
        Shape::TextMap | Shape::SecretMap => json!({ "type": "object", "additionalProperties": scalar }),
        Shape::Headers => json!({ "type": "object", "additionalProperties": { "anyOf": [scalar, list] } }),
        Shape::AnyMap => json!({ "type": "object" }),
        Shape::AnyList => json!({ "type": "array" }),
        Shape::Any => json!(true),
    }
}

/// A pattern for a word in any case.
fn any_case(word: &str) -> String {
    let letter = |letter: char| {
        if letter.is_ascii_alphabetic() {
            format!("[{}{}]", letter.to_ascii_lowercase(), letter.to_ascii_uppercase())
        } else {
            letter.to_string()
        }
    };
    word.chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_words_and_no_words_are_left_over() {
        for key in KEYS {
            let said = text(key.path).unwrap_or_else(|| panic!("{} has no text", key.path));
            assert!(!said.says.is_empty() && said.says.ends_with('.'), "{}", key.path);
            let parsed = serde_json::from_str::<Value>(said.default);
            assert!(said.default.is_empty() || parsed.is_ok(), "the default of {}", key.path);
        }
        for path in texts::paths() {
            assert!(KEYS.iter().any(|key| key.path == path), "{path} is no key");
        }
    }
}
