//! What the CLI reads out of the server's JSON. The JSON itself stays whole, so that `-o json` loses no field.

use serde_json::Value;

/// A look at one agent object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Agent<'a>(pub &'a Value);

/// Where an agent stands with the config that the server wants it to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ConfigState {
    /// It runs the wanted one.
    Applied,
    /// It refused the wanted one, and why.
    Failed(String),
    /// The server cannot work out what to want of it, and why.
    Unresolved(String),
    /// It has not answered for the wanted one yet.
    Pending,
    /// Nothing is wanted of it.
    None,
}

impl<'a> Agent<'a> {
    fn text(self, pointer: &str) -> &'a str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or("")
    }

    pub(super) fn uid(self) -> &'a str {
        self.text("/metadata/instanceUid")
    }

    pub(super) fn namespace(self) -> &'a str {
        self.text("/metadata/namespace")
    }

    /// An attribute, identifying ones first.
    pub(super) fn attribute(self, key: &str) -> Option<&'a str> {
        let description = self.0.pointer("/metadata/description")?;
        ["identifyingAttributes", "nonIdentifyingAttributes"]
            .iter()
            .find_map(|part| description.get(part)?.get(key)?.as_str())
    }

    /// Whether it is an identifying attribute of this agent.
    pub(super) fn identifies_by(self, key: &str) -> bool {
        let attributes = self.0.pointer("/metadata/description/identifyingAttributes");
        attributes.is_some_and(|attributes| attributes.get(key).is_some())
    }

    pub(super) fn has_attribute(self, key: &str, value: &str) -> bool {
        let Some(description) = self.0.pointer("/metadata/description") else { return false };
        ["identifyingAttributes", "nonIdentifyingAttributes"]
            .iter()
            .any(|part| description.get(part).and_then(|map| map.get(key)?.as_str()) == Some(value))
    }

    /// `service.name`, for people.
    pub(super) fn name(self) -> &'a str {
        self.attribute("service.name").unwrap_or("")
    }

    pub(super) fn connected(self) -> bool {
        self.0.pointer("/status/connected").and_then(Value::as_bool).unwrap_or(false)
    }

    /// For a column that says whether it is connected: yes, no, or what is known beyond that.
    pub(super) fn presence(self) -> &'static str {
        match self.text("/status/presence") {
            "Stale" => "stale",
            "Gone" => "gone",
            _ if self.connected() => "yes",
            _ => "no",
        }
    }

    pub(super) fn healthy(self) -> Option<bool> {
        self.0.pointer("/status/componentHealth/healthy").and_then(Value::as_bool)
    }

    /// The names of the configs that this agent itself has been given (its groups may add more).
    pub(super) fn assigned(self) -> Vec<&'a str> {
        let names = self.0.pointer("/spec/remoteConfig/remoteConfigNames").and_then(Value::as_array);
        names.map(|names| names.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
    }

    /// The hash (hex) of the config that the server wants this agent to run.
    pub(super) fn desired_hash(self) -> &'a str {
        self.text("/status/desiredConfigHash")
    }

    /// The hash (hex) that the agent's last word was about.
    pub(super) fn reported_hash(self) -> &'a str {
        self.text("/status/remoteConfigStatus/lastRemoteConfigHash")
    }

    /// The agent's last word, taken as an answer only when it is about the wanted config.
    pub(super) fn config_state(self) -> ConfigState {
        if self.text("/status/configState").eq_ignore_ascii_case("unresolved") {
            return ConfigState::Unresolved(self.condition("RemoteConfigApplied").to_owned());
        }
        if self.desired_hash().is_empty() {
            return ConfigState::None;
        }
        if self.reported_hash() != self.desired_hash() {
            return ConfigState::Pending;
        }
        match self.text("/status/remoteConfigStatus/status") {
            "APPLIED" => ConfigState::Applied,
            "FAILED" => ConfigState::Failed(self.text("/status/remoteConfigStatus/errorMessage").to_owned()),
            _ => ConfigState::Pending,
        }
    }

    /// The message of one of the conditions.
    fn condition(self, wanted: &str) -> &'a str {
        let conditions = self.0.pointer("/status/conditions").and_then(Value::as_array);
        let mut conditions = conditions.into_iter().flatten();
        let found =
            conditions.find(|condition| condition.get("type").and_then(Value::as_str) == Some(wanted));
        found.and_then(|condition| condition.get("message")?.as_str()).unwrap_or("")
    }

    pub(super) fn sequence_num(self) -> Option<u64> {
        self.0.pointer("/status/sequenceNum").and_then(Value::as_u64)
    }

    pub(super) fn transport(self) -> &'a str {
        self.text("/status/connectionType")
    }

    pub(super) fn last_reported_at(self) -> &'a str {
        self.text("/status/lastReportedAt")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn agent(desired: &str, reported: &str, status: &str) -> Value {
        json!({"status": {"desiredConfigHash": desired, "remoteConfigStatus":
            {"status": status, "lastRemoteConfigHash": reported, "errorMessage": "line 3"}}})
    }

    #[test]
    fn an_answer_about_an_older_config_is_no_answer() {
        assert_eq!(Agent(&agent("bb", "aa", "APPLIED")).config_state(), ConfigState::Pending);
        assert_eq!(Agent(&agent("bb", "aa", "FAILED")).config_state(), ConfigState::Pending);
        assert_eq!(Agent(&agent("bb", "bb", "APPLYING")).config_state(), ConfigState::Pending);
        assert_eq!(Agent(&agent("bb", "bb", "APPLIED")).config_state(), ConfigState::Applied);
        assert_eq!(Agent(&agent("bb", "bb", "FAILED")).config_state(), ConfigState::Failed("line 3".into()));
        assert_eq!(Agent(&json!({})).config_state(), ConfigState::None);
        let tie = json!({"status": {"configState": "Unresolved", "desiredConfigHash": "bb",
            "conditions": [{"type": "RemoteConfigApplied", "message": "a tie"}]}});
        assert_eq!(Agent(&tie).config_state(), ConfigState::Unresolved("a tie".into()));
    }
}
