//! Files of the person: documents to apply, configs to push. Read whole, with a limit, and checked before any call.

use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::error::Error;
use super::kind::Kind;

const FILE_LIMIT: u64 = 16 * 1024 * 1024;

/// What can be applied.
const APPLIED: [Kind; 4] =
    [Kind::AgentRemoteConfig, Kind::AgentGroup, Kind::AgentPackage, Kind::PackageOffer];

fn listed() -> String {
    APPLIED.map(Kind::title).join(", ")
}

/// One document of a file, checked as far as the CLI can.
#[derive(Debug, PartialEq)]
pub(super) struct Manifest {
    pub kind: Kind,
    pub namespace: String,
    pub name: String,
    pub body: Value,
}

/// A file's text; `-` is standard input.
pub(super) fn read(path: &Path) -> Result<String, Error> {
    let error = |source| Error::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(FILE_LIMIT + 1).read_to_string(&mut text).map_err(error)?
    } else {
        let file = std::fs::File::open(path).map_err(error)?;
        file.take(FILE_LIMIT + 1).read_to_string(&mut text).map_err(error)?
    };
    if read as u64 > FILE_LIMIT {
        let what = format!("is longer than {FILE_LIMIT} bytes");
        return Err(Error::Content { origin: origin(path), what });
    }
    Ok(text)
}

/// How a file is called in messages.
pub(super) fn origin(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

/// The documents of a file. `namespace` is what `-n` said, if it did.
pub(super) fn parse(text: &str, origin: &str, namespace: Option<&str>) -> Result<Vec<Manifest>, Error> {
    let mut manifests = Vec::new();
    for (index, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let number = index + 1;
        let wrong = |what: String| Error::Content { origin: format!("{origin}, document {number}"), what };
        let yaml = serde_yaml::Value::deserialize(document).map_err(|e| wrong(e.to_string()))?;
        if yaml.is_null() {
            continue;
        }
        let body = serde_json::to_value(&yaml).map_err(|e| wrong(format!("cannot be sent as JSON: {e}")))?;
        manifests.push(check(body, namespace).map_err(wrong)?);
    }
    if manifests.is_empty() {
        return Err(Error::Content { origin: origin.to_owned(), what: "holds no document".to_owned() });
    }
    Ok(manifests)
}

fn check(mut body: Value, namespace: Option<&str>) -> Result<Manifest, String> {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    let kind = text("/kind").ok_or_else(|| format!("`kind` is missing; it is one of {}", listed()))?;
    let kind = APPLIED
        .into_iter()
        .find(|known| known.title() == kind)
        .ok_or_else(|| format!("kind {kind:?} cannot be applied, only {}", listed()))?;
    if let Some(version) = text("/apiVersion").filter(|version| *version != "v1") {
        return Err(format!("apiVersion {version:?} is not known; use v1"));
    }
    let name = text("/metadata/name").ok_or("`metadata.name` is missing")?.to_owned();
    check_name(&name)?;
    let own = text("/metadata/namespace");
    if let (Some(own), Some(asked)) = (own, namespace)
        && own != asked
    {
        return Err(format!("metadata.namespace is {own:?}, but -n says {asked:?}"));
    }
    let namespace = own.or(namespace).unwrap_or("default").to_owned();
    if kind == Kind::AgentRemoteConfig && !body.pointer("/spec/value").is_some_and(Value::is_string) {
        return Err("`spec.value` must hold the config as one text: write `value: |`".to_owned());
    }
    body["apiVersion"] = "v1".into();
    body["metadata"]["namespace"] = namespace.as_str().into();
    Ok(Manifest { kind, namespace, name, body })
}

/// Names are what can stand in a path and in a log without quoting.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let edge = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'.';
    let (first, last) = (name.bytes().next(), name.bytes().last());
    if edge(first) && edge(last) && name.bytes().all(inner) && name.len() <= 253 {
        return Ok(());
    }
    Err(format!("name {name:?}: use a-z, 0-9, - and ., beginning and ending with a letter or digit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_documents_and_empty_ones() {
        let text = "---\nkind: AgentRemoteConfig\nmetadata: {name: a}\nspec: {value: 'x: 1'}\n---\n---\n\
                    kind: AgentGroup\nmetadata: {name: b, namespace: team}\nspec: {}\n";
        let found = parse(text, "f", None).unwrap();
        let names: Vec<_> = found.iter().map(|m| (m.kind, m.namespace.as_str(), m.name.as_str())).collect();
        assert_eq!(names, [(Kind::AgentRemoteConfig, "default", "a"), (Kind::AgentGroup, "team", "b")]);
        assert_eq!(found[0].body["apiVersion"], "v1");
        assert_eq!(found[0].body["metadata"]["namespace"], "default");
    }

    #[test]
    fn what_is_wrong_with_which_document() {
        for (text, says) in [
            ("", "no document"),
            ("metadata: {name: a}", "`kind` is missing"),
            ("kind: Agent\nmetadata: {name: a}", "cannot be applied"),
            ("kind: AgentGroup", "`metadata.name`"),
            ("kind: AgentGroup\nmetadata: {name: A_b}", "a-z"),
            ("kind: AgentGroup\napiVersion: v2\nmetadata: {name: a}", "v2"),
            ("kind: AgentGroup\nmetadata: {name: a, namespace: other}", "-n says"),
            ("kind: AgentRemoteConfig\nmetadata: {name: a}\nspec: {value: {receivers: {}}}", "value: |"),
            ("kind: AgentGroup\nmetadata: {name: a}\n---\n[", "document 2"),
            ("kind: AgentGroup\nkind: AgentGroup\nmetadata: {name: a}", "duplicate"),
        ] {
            let error = parse(text, "f", Some("team")).unwrap_err().to_string();
            assert!(error.starts_with('f') && error.contains(says), "{text:?}: {error}");
        }
    }
}
