//! What the tour reads from the server's REST API.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::http;

pub(super) struct Rest {
    pub(super) to: SocketAddr,
    pub(super) token: String,
}

/// An agent object, with the fields that the tour quotes.
pub(super) struct Agent(pub Value);

impl Rest {
    pub(super) fn get(&self, path: &str) -> Result<Value> {
        let answer = http::get(self.to, path, Some(&self.token))?;
        ensure!(answer.status == 200, "GET {path} says {}: {}", answer.status, answer.body);
        serde_json::from_str(&answer.body).with_context(|| format!("GET {path} gives no JSON"))
    }

    pub(super) fn agent(&self, uid: &str) -> Result<Agent> {
        self.get(&format!("/api/v1/namespaces/default/agents/{uid}")).map(Agent)
    }

    pub(super) fn only_agent(&self) -> Result<Agent> {
        let list = self.get("/api/v1/namespaces/default/agents")?;
        match list.get("items").and_then(Value::as_array).map(Vec::as_slice) {
            Some([agent]) => Ok(Agent(agent.clone())),
            Some(agents) => bail!("the server knows {} agents", agents.len()),
            None => bail!("the answer is no list"),
        }
    }

    /// The value of a counter in `/metrics`, whose name contains `part`.
    pub(super) fn counter(&self, part: &str) -> Result<u64> {
        let answer = http::get(self.to, "/metrics", Some(&self.token))?;
        ensure!(answer.status == 200, "GET /metrics says {}", answer.status);
        let mut lines = answer.body.lines().filter(|line| !line.starts_with('#') && line.contains(part));
        let line = lines.next().with_context(|| format!("/metrics has no counter {part}"))?;
        let value = line.rsplit(' ').next().and_then(|value| value.parse().ok());
        value.with_context(|| format!("{line:?} is no counter"))
    }
}

impl Agent {
    pub(super) fn text(&self, pointer: &str) -> Result<&str> {
        let text = self.0.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
        text.with_context(|| format!("the agent has no {pointer}"))
    }

    pub(super) fn attribute(&self, key: &str) -> Result<&str> {
        let description = self.0.pointer("/metadata/description");
        let maps = ["identifyingAttributes", "nonIdentifyingAttributes"];
        let found = maps.iter().find_map(|map| description?.get(map)?.get(key)?.as_str());
        found.with_context(|| format!("the agent's description has no {key}"))
    }

    pub(super) fn connected(&self) -> bool {
        self.0.pointer("/status/connected") == Some(&Value::Bool(true))
    }

    pub(super) fn healthy(&self) -> bool {
        self.0.pointer("/status/componentHealth/healthy") == Some(&Value::Bool(true))
    }

    /// The names of the parts whose health is told apart. Only the opamp extension tells them; a Collector without it
    /// is healthy or not as a whole.
    pub(super) fn health_tree(&self) -> Result<String> {
        let extension = "/status/availableComponents/components/extensions/components/opamp";
        let parts = self.0.pointer("/status/componentHealth/components").and_then(Value::as_object);
        match parts {
            Some(parts) => Ok(parts.keys().map(String::as_str).collect::<Vec<_>>().join(" ")),
            None if self.0.pointer(extension).is_none() => Ok("as a whole".to_owned()),
            None => bail!("the agent's health has no parts"),
        }
    }

    /// Every effective config of the agent as one text.
    pub(super) fn effective_config(&self) -> String {
        let map = self.0.pointer("/status/effectiveConfig/configMap/configMap").and_then(Value::as_object);
        map.into_iter().flatten().filter_map(|(_, file)| file.get("body")?.as_str()).collect()
    }

    /// The hash (shortened for people) of the wanted config, once the agent says `status` of it.
    pub(super) fn config_is(&self, status: &str) -> Result<String> {
        let (word, hash) =
            ("/status/remoteConfigStatus/status", "/status/remoteConfigStatus/lastRemoteConfigHash");
        let (word, hash) = (self.text(word)?, self.text(hash)?);
        let wanted = self.text("/status/desiredConfigHash")?;
        ensure!(
            hash == wanted && word == status,
            "the config {hash} is {word}; {wanted} is wanted to be {status}"
        );
        Ok(hash.chars().take(12).collect())
    }

    pub(super) fn sequence_num(&self) -> u64 {
        self.0.pointer("/status/sequenceNum").and_then(Value::as_u64).unwrap_or(0)
    }
}
