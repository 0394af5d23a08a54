//! The resources that operators write: namespaces, groups, remote configs, and (in `package` and `offers`) packages and
//! their offers; in Commander's shape, where it has them.
//! What a client misspells in a `spec` is refused, since a selector that is lost selects everything.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use super::offers::PackageOfferSpec;
pub use super::package::AgentPackageSpec;
use super::settings::ConnectionSettings;
use crate::wire::InstanceUid;

/// Names by which resources of one kind are told apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub namespace: String,
    pub name: String,
}

impl Key {
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

pub type Attributes = BTreeMap<String, String>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    pub namespace: String,
    pub name: String,
    pub attributes: Option<Attributes>,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
}

/// Something that happened to a resource, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    pub r#type: String,
    pub last_transition_time: Timestamp,
    pub status: ConditionStatus,
    pub reason: String,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Namespace {
    pub name: String,
    pub created_at: Timestamp,
    pub conditions: Vec<Condition>,
}

/// What lives in a namespace under a name, with what its kind specifies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource<S> {
    pub metadata: Metadata,
    pub spec: S,
    pub conditions: Vec<Condition>,
}

impl<S> Resource<S> {
    #[must_use]
    pub fn key(&self) -> Key {
        Key::new(&self.metadata.namespace, &self.metadata.name)
    }
}

pub type AgentGroup = Resource<AgentGroupSpec>;
pub type AgentRemoteConfig = Resource<AgentRemoteConfigSpec>;
pub type AgentPackage = Resource<AgentPackageSpec>;
pub type PackageOffer = Resource<PackageOfferSpec>;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentGroupSpec {
    #[serde(default)]
    pub priority: i64,
    #[serde(default)]
    pub selector: AgentSelector,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_config: Option<AgentConfig>,
}

/// Which agents a group holds: both maps must match exactly; empty maps match every agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentSelector {
    #[serde(default)]
    pub identifying_attributes: Option<Attributes>,
    #[serde(default)]
    pub non_identifying_attributes: Option<Attributes>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentConfig {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agent_remote_configs: Vec<GroupRemoteConfig>,
    /// The older singular form, moved into `agent_remote_configs` when it is read.
    #[serde(default, skip_serializing)]
    pub agent_remote_config: Option<GroupRemoteConfig>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_settings: Option<Box<ConnectionSettings>>,
}

/// One config of a group: a reference to a resource, or written in place under a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupRemoteConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_remote_config_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_remote_config_spec: Option<AgentRemoteConfigSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_remote_config_ref: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentRemoteConfigSpec {
    pub value: String,
    #[serde(default = "yaml")]
    pub content_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_refs: Option<Vec<String>>,
}

fn yaml() -> String {
    "text/yaml".to_owned()
}

/// What an operator wants of one agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentSpec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_instance_uid: Option<InstanceUid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_settings: Option<Box<ConnectionSettings>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_config: Option<SpecRemoteConfig>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages_available: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_required_at: Option<Timestamp>,
}

/// The configs set directly on an agent: resources by name, and bodies pushed to this agent alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SpecRemoteConfig {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remote_config_names: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config_map: BTreeMap<String, PushedConfig>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PushedConfig {
    pub body: String,
    #[serde(default = "yaml")]
    pub content_type: String,
}

impl AgentConfig {
    /// Puts the older singular field where the list is, and drops connection settings in which nothing is written.
    pub fn normalise(&mut self) {
        self.agent_remote_configs.extend(self.agent_remote_config.take());
        if let Some(settings) = &mut self.connection_settings {
            settings.normalise();
        }
    }
}

/// Why a resource is refused: the field, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Invalid {
    pub field: String,
    pub message: String,
}

impl Invalid {
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// Checks a resource name or namespace: lower-case letters, digits, `-` and `.`, and an
/// alphanumeric at both ends.
pub fn check_name(field: &str, name: &str) -> Result<(), Invalid> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = name.len() <= 253
        && name.chars().all(inner)
        && name.chars().next().is_some_and(edge)
        && name.chars().last().is_some_and(edge);
    if good {
        return Ok(());
    }
    let shown: String = name.chars().take(60).collect();
    Err(Invalid::new(
        field,
        format!(
            "{shown:?} is no valid name; use lower-case letters, digits, '-' and '.', beginning and ending with a \
             letter or digit, at most 253 characters"
        ),
    ))
}

impl AgentGroupSpec {
    /// Each config of a group is either a reference or a name with a spec; connection settings are such as agents can
    /// use.
    pub fn check(&self) -> Result<(), Invalid> {
        for settings in self.agent_config.iter().filter_map(|config| config.connection_settings.as_ref()) {
            settings.check("spec.agentConfig.connectionSettings")?;
        }
        let configs = self.agent_config.iter().flat_map(|config| &config.agent_remote_configs);
        for (index, config) in configs.enumerate() {
            let field = format!("spec.agentConfig.agentRemoteConfigs[{index}]");
            match config {
                GroupRemoteConfig {
                    agent_remote_config_ref: Some(_),
                    agent_remote_config_spec: None,
                    ..
                }
                | GroupRemoteConfig {
                    agent_remote_config_ref: None,
                    agent_remote_config_name: Some(_),
                    agent_remote_config_spec: Some(_),
                } => {}
                _ => {
                    let wanted =
                        "give agentRemoteConfigRef, or agentRemoteConfigName with agentRemoteConfigSpec";
                    return Err(Invalid::new(field, wanted));
                }
            }
        }
        Ok(())
    }
}
