//! The kinds of objects that the CLI knows, and where each lives under `/api/v1`.

use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Agent,
    AgentGroup,
    AgentRemoteConfig,
    Namespace,
}

impl Kind {
    /// The collection's path segment.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Agent => "agents",
            Self::AgentGroup => "agentgroups",
            Self::AgentRemoteConfig => "agentremoteconfigs",
            Self::Namespace => "namespaces",
        }
    }

    /// As it stands in a document's `kind`.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Agent => "Agent",
            Self::AgentGroup => "AgentGroup",
            Self::AgentRemoteConfig => "AgentRemoteConfig",
            Self::Namespace => "Namespace",
        }
    }

    /// The path of the collection: inside a namespace, but for namespaces themselves.
    pub(super) fn collection(self, namespace: &str) -> Vec<&str> {
        match self {
            Self::Namespace => vec!["namespaces"],
            _ => vec!["namespaces", namespace, self.plural()],
        }
    }

    /// The path of one object.
    pub(super) fn object<'a>(self, namespace: &'a str, name: &'a str) -> Vec<&'a str> {
        let mut path = self.collection(namespace);
        path.push(name);
        path
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agent => "agent",
            Self::AgentGroup => "agentgroup",
            Self::AgentRemoteConfig => "agentremoteconfig",
            Self::Namespace => "namespace",
        })
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "agent" | "agents" => Ok(Self::Agent),
            "agentgroup" | "agentgroups" | "ag" => Ok(Self::AgentGroup),
            "agentremoteconfig" | "agentremoteconfigs" | "arc" => Ok(Self::AgentRemoteConfig),
            "namespace" | "namespaces" | "ns" => Ok(Self::Namespace),
            _ => Err("the kinds are agent, agentgroup, agentremoteconfig and namespace".to_owned()),
        }
    }
}
