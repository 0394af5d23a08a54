//! The kinds of objects that the CLI knows, and where each lives under `/api/v1`.

use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Agent,
    AgentGroup,
    AgentRemoteConfig,
    AgentPackage,
    PackageOffer,
    Namespace,
    EnrollmentToken,
    Identity,
    CertificateRequest,
}

impl Kind {
    /// The collection's path segment.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Agent => "agents",
            Self::AgentGroup => "agentgroups",
            Self::AgentRemoteConfig => "agentremoteconfigs",
            Self::AgentPackage => "agentpackages",
            Self::PackageOffer => "packageoffers",
            Self::Namespace => "namespaces",
            Self::EnrollmentToken => "enrollmenttokens",
            Self::Identity => "identities",
            Self::CertificateRequest => "certificaterequests",
        }
    }

    /// As it stands in a document's `kind`.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Agent => "Agent",
            Self::AgentGroup => "AgentGroup",
            Self::AgentRemoteConfig => "AgentRemoteConfig",
            Self::AgentPackage => "AgentPackage",
            Self::PackageOffer => "PackageOffer",
            Self::Namespace => "Namespace",
            Self::EnrollmentToken => "EnrollmentToken",
            Self::Identity => "Identity",
            Self::CertificateRequest => "CertificateRequest",
        }
    }

    /// Whether objects of this kind are in a namespace.
    pub(super) fn is_namespaced(self) -> bool {
        !matches!(self, Self::Namespace | Self::Identity | Self::CertificateRequest)
    }

    /// The path of the collection.
    pub(super) fn collection(self, namespace: &str) -> Vec<&str> {
        if self.is_namespaced() { vec!["namespaces", namespace, self.plural()] } else { vec![self.plural()] }
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
            Self::AgentPackage => "agentpackage",
            Self::PackageOffer => "packageoffer",
            Self::Namespace => "namespace",
            Self::EnrollmentToken => "enrollmenttoken",
            Self::Identity => "identity",
            Self::CertificateRequest => "certificaterequest",
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
            "agentpackage" | "agentpackages" | "ap" => Ok(Self::AgentPackage),
            "packageoffer" | "packageoffers" | "po" => Ok(Self::PackageOffer),
            "namespace" | "namespaces" | "ns" => Ok(Self::Namespace),
            "enrollmenttoken" | "enrollmenttokens" | "et" => Ok(Self::EnrollmentToken),
            "identity" | "identities" | "id" => Ok(Self::Identity),
            "certificaterequest" | "certificaterequests" | "csr" => Ok(Self::CertificateRequest),
            _ => Err(
                "the kinds are agent, agentgroup, agentremoteconfig, agentpackage, packageoffer, namespace, \
                      enrollmenttoken, identity and certificaterequest"
                    .to_owned(),
            ),
        }
    }
}
