//! Every key there is, with a value of the wrong shape: what is said of it, with line and column.

use opamp::supervisor::config::schema;
use serde_json::{Value, json};

use crate::support::bad;

/// A value that a key cannot have, and what is said of it; `None` for a key that takes anything.
fn wrong(path: &str, takes: &Value) -> Option<(&'static str, String)> {
    let scalar = json!({ "$ref": "#/$defs/scalar" });
    let secret = path.ends_with(".key_pem") || path == "server.proxy_url" || path == "agent.env";
    let got = |got: &str| if secret { String::new() } else { format!(", got {got}") };
    let of = |value: &'static str, wanted: &str, shown: &str| {
        Some((value, format!("must be {wanted}{}", got(shown))))
    };
    if *takes == json!(true) {
        return None;
    }
    if *takes == scalar {
        return of("[]", "a string", "a list");
    }
    if takes["$ref"] == "#/$defs/duration" {
        return of("soon", "a duration with a unit, such as 300ms, 5s or 1m30s", "soon");
    }
    if let Some(words) = takes["anyOf"][0]["enum"].as_array() {
        let words: Vec<_> = words.iter().filter_map(Value::as_str).filter(|word| !word.is_empty()).collect();
        return of("zzz", &format!("one of {}", words.join(", ")), "zzz");
    }
    match (takes["type"].as_str(), &takes["additionalProperties"]) {
        (Some("boolean"), _) => of("5", "true or false, without quotes", "5"),
        (Some("integer"), _) => of("x", "a whole number, without quotes", "x"),
        (Some("array"), _) => of("5", "a list", "5"),
        (Some("object"), more) if *more == scalar => of("5", "a map of strings", "5"),
        (Some("object"), more) if more["anyOf"].is_array() => {
            Some(("5", "must be a map from header names to a string or a list of strings".to_owned()))
        }
        (Some("object"), _) => of("5", "a map", "5"),
        _ if takes["anyOf"][0]["type"] == "array" => of("{a: b}", "a list of strings", "a map"),
        _ => panic!("{path} takes something new: {takes}"),
    }
}

fn judge(path: &str, takes: &Value, judged: &mut usize) {
    if let Some((value, message)) = wrong(path, takes) {
        let names: Vec<_> = path.split('.').collect();
        let indent = |depth: usize| "  ".repeat(depth);
        let text: String =
            names.iter().enumerate().map(|(at, name)| format!("{}{name}:\n", indent(at))).collect();
        let text = format!("{} {value}\n", text.trim_end());
        let expected =
            format!("supervisor.yaml:{}:{}: {path} {message}", names.len(), 2 * (names.len() - 1) + 1);
        let said = bad(&text);
        assert!(said.contains(&expected), "{text}\nexpected: {expected}\nsaid: {said:#?}");
        *judged += 1;
    }
    let below = takes["properties"].as_object();
    for (name, property) in below.into_iter().flatten() {
        let takes = property.get("anyOf").map_or(json!(true), |either| either[0].clone());
        judge(&format!("{path}.{name}"), &takes, judged);
    }
}

#[test]
fn a_value_of_the_wrong_shape_is_told_at_each_key() {
    let schema = schema();
    let mut judged = 0;
    for (name, property) in schema["properties"].as_object().unwrap() {
        judge(name, &property["anyOf"][0], &mut judged);
    }
    assert!(judged > 120, "only {judged} keys were judged");
}
