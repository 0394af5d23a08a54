//! `apply`: makes the server's AgentRemoteConfigs and AgentGroups those of a file.

use serde_json::{Value, json};

use super::args::Apply;
use super::client::Client;
use super::error::Error;
use super::kind::Kind;
use super::manifest::{self, Manifest};
use super::{lint, output};

/// What applying one document did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Created,
    Configured,
    Unchanged,
}

impl Change {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

pub(super) async fn run(client: &Client, apply: &Apply) -> Result<(), Error> {
    let origin = manifest::origin(&apply.file);
    let text = manifest::read(&apply.file)?;
    let manifests = manifest::parse(&text, &origin, apply.namespace.namespace.as_deref())?;
    for manifest in manifests.iter().filter(|manifest| manifest.kind == Kind::AgentRemoteConfig) {
        if let Some(value) = manifest.body.pointer("/spec/value").and_then(Value::as_str) {
            lint::check(value, &format!("{origin}, agentremoteconfig/{}, spec.value", manifest.name))?;
        }
    }
    for manifest in &manifests {
        let change = put(client, manifest).await?;
        output::print(&format!("{}/{} {}\n", manifest.kind, manifest.name, change.word()))?;
    }
    Ok(())
}

/// Creates or replaces one object; writes nothing when it is as wanted already.
pub(super) async fn put(client: &Client, manifest: &Manifest) -> Result<Change, Error> {
    let path = manifest.kind.object(&manifest.namespace, &manifest.name);
    match client.find(&path).await? {
        None => {
            client.post(&manifest.kind.collection(&manifest.namespace), &manifest.body).await?;
            Ok(Change::Created)
        }
        Some(existing) if essence(&existing) == essence(&manifest.body) => Ok(Change::Unchanged),
        Some(_) => {
            client.put(&path, &manifest.body).await?;
            Ok(Change::Configured)
        }
    }
}

/// What a person decides about an object, without what the server adds, in one form.
fn essence(object: &Value) -> Value {
    let mut spec = object.get("spec").cloned().unwrap_or(Value::Null);
    if let Some(Value::String(_)) = spec.get("value")
        && spec.get("contentType").is_none_or(|content_type| content_type == "")
    {
        spec["contentType"] = "text/yaml".into();
    }
    let attributes = object.pointer("/metadata/attributes").cloned().unwrap_or(Value::Null);
    without_empty(json!({"spec": spec, "attributes": attributes})).unwrap_or(Value::Null)
}

/// A field left out, one that is null and one that is empty mean the same to this API.
fn without_empty(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::Object(map) => {
            let kept = map.into_iter().filter_map(|(key, value)| Some((key, without_empty(value)?)));
            let kept: serde_json::Map<_, _> = kept.collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(items) => (!items.is_empty()).then_some(Value::Array(items)),
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_adds_is_no_difference() {
        let ours = json!({"kind": "AgentRemoteConfig", "metadata": {"name": "a"}, "spec": {"value": "x: 1"}});
        let theirs = json!({"metadata": {"name": "a", "createdAt": "2026-11-21T04:05:46Z", "attributes": null},
            "spec": {"value": "x: 1", "contentType": "text/yaml", "schemaRefs": []}, "status": {"conditions": []}});
        assert_eq!(essence(&ours), essence(&theirs));
        let other = json!({"spec": {"value": "x: 2", "contentType": "text/yaml"}});
        assert_ne!(essence(&ours), essence(&other));
    }
}
