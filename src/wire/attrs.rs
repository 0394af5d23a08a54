//! Attributes: building them, and showing them as text.

use std::collections::BTreeMap;

use super::proto::{AnyValue, KeyValue, any_value::Value};

/// A text attribute.
#[must_use]
pub fn string(key: impl Into<String>, value: impl Into<String>) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(Value::StringValue(value.into())) }) }
}

/// The text of one attribute, if it is there.
#[must_use]
pub fn get(attributes: &[KeyValue], key: &str) -> Option<String> {
    attributes.iter().find(|kv| kv.key == key).map(|kv| kv.value.as_ref().map(text).unwrap_or_default())
}

/// Sets a text attribute, replacing one of the same name.
pub fn set(attributes: &mut Vec<KeyValue>, key: &str, value: impl Into<String>) {
    let new = string(key, value);
    match attributes.iter_mut().find(|kv| kv.key == key) {
        Some(kv) => *kv = new,
        None => attributes.push(new),
    }
}

/// All attributes as text, by name.
#[must_use]
pub fn to_map(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    attributes.iter().map(|kv| (kv.key.clone(), kv.value.as_ref().map(text).unwrap_or_default())).collect()
}

/// A value as a person would write it.
#[must_use]
pub fn text(value: &AnyValue) -> String {
    match &value.value {
        None => String::new(),
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BytesValue(bytes)) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Some(Value::ArrayValue(list)) => {
            format!("[{}]", list.values.iter().map(text).collect::<Vec<_>>().join(", "))
        }
        Some(Value::KvlistValue(map)) => {
            let pairs = map.values.iter();
            let pairs =
                pairs.map(|kv| format!("{}: {}", kv.key, kv.value.as_ref().map(text).unwrap_or_default()));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}
