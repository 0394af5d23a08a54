//! The configs of a run: read, merged as the Collector does, and what is wanted from them.

use std::fs;

use serde_yaml::{Mapping, Value};

use crate::args::Args;

pub(crate) struct Config {
    /// Name and text of each layer.
    pub(crate) layers: Vec<(String, String)>,
    pub(crate) merged: Value,
}

/// Where and as whom to connect (`extensions.opamp`).
pub(crate) struct OpampSettings {
    pub(crate) endpoint: String,
    pub(crate) instance_uid: Option<String>,
}

impl Config {
    pub(crate) fn load(args: &Args) -> Result<Self, String> {
        let mut config = Self { layers: Vec::new(), merged: Value::Mapping(Mapping::new()) };
        for uri in &args.configs {
            let text = match uri.split_once(':') {
                Some(("yaml", text)) => text.to_owned(),
                _ => {
                    let path = uri.strip_prefix("file:").unwrap_or(uri);
                    fs::read_to_string(path).map_err(|error| {
                        format!(
                            "failed to get config: cannot resolve the configuration: cannot retrieve the \
                             configuration: unable to read the file {uri}: {error}"
                        )
                    })?
                }
            };
            config.layers.push((uri.clone(), text));
        }
        Ok(config)
    }

    /// Fills `merged`, once the texts are known to be good YAML.
    pub(crate) fn merge(&mut self) -> Result<(), String> {
        for (name, text) in &self.layers {
            let Some(document) = serde_yaml::Deserializer::from_str(text).next() else { continue };
            let read = serde::Deserialize::deserialize(document);
            let mut layer: Value = read.map_err(|error: serde_yaml::Error| format!("{name}: {error}"))?;
            layer.apply_merge().map_err(|error| format!("{name}: {error}"))?;
            if let Value::Mapping(layer) = layer {
                lay(&mut self.merged, layer);
            }
        }
        Ok(())
    }

    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().map(|(_, text)| text.as_str())
    }

    pub(crate) fn yaml(&self) -> String {
        serde_yaml::to_string(&self.merged).unwrap_or_default()
    }

    /// The value at a path of keys.
    pub(crate) fn get(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(&self.merged, |value, key| value.get(key))
    }

    fn text(&self, path: &[&str]) -> Option<String> {
        self.get(path).and_then(Value::as_str).map(str::to_owned)
    }

    fn runs_extension(&self, id: &str) -> bool {
        let list = self.get(&["service", "extensions"]).and_then(Value::as_sequence);
        list.is_some_and(|list| list.iter().any(|item| item.as_str() == Some(id)))
    }

    pub(crate) fn opamp(&self) -> Option<OpampSettings> {
        let endpoint = self.text(&["extensions", "opamp", "server", "ws", "endpoint"])?;
        let instance_uid = self.text(&["extensions", "opamp", "instance_uid"]);
        self.runs_extension("opamp").then_some(OpampSettings { endpoint, instance_uid })
    }

    /// Address and path of each health check that runs, `health_check` or `health_check/NAME`.
    pub(crate) fn health_checks(&self) -> Vec<(String, String)> {
        let extensions = self.get(&["extensions"]).and_then(Value::as_mapping);
        let ids = extensions.into_iter().flat_map(Mapping::keys).filter_map(Value::as_str);
        ids.filter(|id| id.split('/').next() == Some("health_check") && self.runs_extension(id))
            .map(|id| {
                let text = |key| self.text(&["extensions", id, key]);
                let endpoint = text("endpoint").unwrap_or_else(|| "127.0.0.1:13133".to_owned());
                (endpoint, text("path").unwrap_or_else(|| "/".to_owned()))
            })
            .collect()
    }

    /// What the OTLP receivers listen on.
    pub(crate) fn receiver_addresses(&self) -> Vec<String> {
        let receivers = self.get(&["receivers"]).and_then(Value::as_mapping);
        let protocols = receivers.into_iter().flat_map(Mapping::values).flat_map(|receiver| {
            ["grpc", "http"].map(|protocol| receiver.get("protocols").and_then(|all| all.get(protocol)))
        });
        let endpoints = protocols.flatten().filter_map(|protocol| protocol.get("endpoint")?.as_str());
        endpoints.filter(|endpoint| !endpoint.contains("${")).map(str::to_owned).collect()
    }

    pub(crate) fn pipelines(&self) -> Vec<String> {
        let pipelines = self.get(&["service", "pipelines"]).and_then(Value::as_mapping);
        let names = pipelines.into_iter().flat_map(Mapping::keys);
        names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
    }
}

/// Maps are merged by key, everything else is replaced.
fn lay(below: &mut Value, above: Mapping) {
    let Value::Mapping(below) = below else { return };
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(under @ Value::Mapping(_)), Value::Mapping(over)) => lay(under, over),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}
