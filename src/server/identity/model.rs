//! Tokens, identities, credentials and certificate requests, as they are stored. No secret is among them.

use std::{collections::BTreeSet, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::secret::{Digest, MasterKey, Secret};
use crate::{
    server::fleet::resource::{Attributes, Invalid, Metadata},
    wire::InstanceUid,
};

/// Lets agents enrol, so often and so long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnrollmentToken {
    pub metadata: Metadata,
    pub spec: TokenSpec,
    /// Of the secret.
    pub digest: Digest,
    /// Identities that were made with it.
    pub uses: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenSpec {
    pub expires_at: Timestamp,
    pub max_uses: u32,
    /// Given to the agents that enrol with it.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub labels: Attributes,
    #[serde(default)]
    pub approval: Approval,
}

/// Who says that an agent may, beyond what it has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Approval {
    /// Nobody has to.
    #[default]
    Automatic,
    /// An operator.
    Manual,
}

impl FromStr for Approval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "automatic" => Ok(Self::Automatic),
            "manual" => Ok(Self::Manual),
            _ => Err("say automatic or manual".to_owned()),
        }
    }
}

impl EnrollmentToken {
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> bool {
        self.spec.expires_at <= now
    }

    #[must_use]
    pub fn used_up(&self) -> bool {
        self.uses >= self.spec.max_uses
    }

    /// Namespace and name, as people write them.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.metadata.namespace, self.metadata.name)
    }
}

impl TokenSpec {
    /// What could not be meant.
    pub fn check(&self, now: Timestamp) -> Result<(), Invalid> {
        if self.expires_at <= now {
            let message = format!("{} is over; give a time to come", self.expires_at);
            return Err(Invalid::new("spec.expiresAt", message));
        }
        if self.max_uses == 0 {
            return Err(Invalid::new("spec.maxUses", "is 0, so that nobody could use it; give at least 1"));
        }
        Ok(())
    }
}

/// What credentials are bound to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    pub name: String,
    pub created_at: Timestamp,
    pub origin: Origin,
    pub state: IdentityState,
    /// Where its agents are, whatever they say of themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub labels: Attributes,
    /// The agents that it speaks for, now or before.
    pub uids: BTreeSet<InstanceUid>,
    /// Oldest first; at most one of them was offered and is not used yet.
    pub credentials: Vec<Credential>,
}

/// How an identity came to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "type")]
pub enum Origin {
    Token {
        /// Namespace and name.
        token: String,
        digest: Digest,
    },
    /// A CA of the operator's vouched for it.
    Certificate { subject: String, key: Digest },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type", content = "at")]
pub enum IdentityState {
    /// It waits for an operator to approve it.
    Held,
    Active,
    Revoked(Timestamp),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    pub id: String,
    pub issued_at: Timestamp,
    /// When an agent first connected with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_since: Option<Timestamp>,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "type")]
pub enum Kind {
    /// A secret in the `Authorization` header.
    Bearer { digest: Digest },
    /// A certificate, PEM, with the CA that signed it; the key never leaves the agent.
    Certificate {
        fingerprint: Digest,
        /// The request that it answers.
        request: Digest,
        cert: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca: Option<String>,
        expires_at: Timestamp,
    },
}

impl Credential {
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> bool {
        matches!(self.kind, Kind::Certificate { expires_at, .. } if expires_at <= now)
    }
}

impl Identity {
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state == IdentityState::Active
    }

    /// Makes a new bearer credential, which counts from now on beside those that there are (S-CS-03).
    pub fn issue_bearer(&mut self, key: &MasterKey, id: String, now: Timestamp) -> Secret {
        let secret = key.credential(&self.name, &id);
        self.issue(Credential {
            id,
            issued_at: now,
            used_since: None,
            kind: Kind::Bearer { digest: secret.digest() },
        });
        secret
    }

    /// Adds a credential. One that was offered before and never used is offered no more.
    pub fn issue(&mut self, credential: Credential) {
        self.credentials.retain(|old| old.used_since.is_some());
        self.credentials.push(credential);
    }

    /// An agent connected with this credential: those that came before it are deleted (S-CS-03).
    #[must_use]
    pub fn used(&self, id: &str, now: Timestamp) -> Option<Self> {
        let at = self.credentials.iter().position(|credential| credential.id == id)?;
        if at == 0 && self.credentials[0].used_since.is_some() {
            return None;
        }
        let mut next = self.clone();
        next.credentials.drain(..at);
        next.credentials.first_mut()?.used_since.get_or_insert(now);
        Some(next)
    }

    /// Whether an agent proved once that it holds a credential of its own.
    #[must_use]
    pub fn has_used_credential(&self) -> bool {
        self.credentials.iter().any(|credential| credential.used_since.is_some())
    }
}

/// A certificate that an agent asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateRequest {
    pub name: String,
    pub created_at: Timestamp,
    pub identity: String,
    pub instance_uid: InstanceUid,
    /// PEM, as the agent sent it.
    pub csr: String,
    /// Of the request as it was sent, by which it is known when it comes again.
    pub digest: Digest,
    /// The subject that it asks for and the kind of its key, for people.
    pub subject: String,
    pub key: String,
    pub state: RequestState,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type", content = "reason")]
pub enum RequestState {
    Pending,
    Approved,
    Denied(String),
}
