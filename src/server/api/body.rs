//! Request bodies: JSON of a bounded size, and the metadata that resources share.

use std::time::Duration;

use axum::{
    body::{Bytes, to_bytes},
    extract::{FromRequest, Request},
};
use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::timeout;

use super::problem::{Problem, Reason};
use crate::server::fleet::resource::{Attributes, Condition, ConditionStatus, Invalid, Metadata, check_name};

/// The largest request body; a config larger than this is no config.
const LIMIT: usize = 16 * 1024 * 1024;

/// It must be there by then.
const WITHIN: Duration = Duration::from_secs(60);

/// A JSON body.
pub(super) struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        parse(&read(request).await?).map(Self)
    }
}

/// A JSON body that may be left out.
pub(super) struct OptionalBody<T>(pub T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = read(request).await?;
        if bytes.is_empty() { Ok(Self(T::default())) } else { parse(&bytes).map(Self) }
    }
}

async fn read(request: Request) -> Result<Bytes, Problem> {
    let reading = timeout(WITHIN, to_bytes(request.into_body(), LIMIT));
    let late = |_| Problem::new(Reason::BadRequest, "The body did not come in time.");
    reading.await.map_err(late)?.map_err(|error| {
        Problem::new(Reason::TooLarge, format!("The body is cut short or over {LIMIT} bytes: {error}"))
    })
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        Problem::new(Reason::BadRequest, format!("The body is not as expected: {error}"))
            .at("body", error.to_string())
    })
}

/// What a client may say in a resource's metadata; the rest is ours to say.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GivenMetadata {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub namespace: String,
    #[serde(default)]
    pub attributes: Option<Attributes>,
}

/// A resource as a client sends it; `status` is ours and is not looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Given<S> {
    #[serde(default)]
    pub kind: String,
    #[serde(default)]
    pub metadata: GivenMetadata,
    #[serde(default = "Option::default")]
    pub spec: Option<S>,
}

impl<S> Given<S> {
    /// Checks kind, namespace and name against where the resource is sent.
    pub(super) fn metadata(
        &self,
        kind: &str,
        namespace: &str,
        name: Option<&str>,
        now: Timestamp,
    ) -> Result<Metadata, Invalid> {
        if !self.kind.is_empty() && self.kind != kind {
            return Err(Invalid::new("kind", format!("is {:?}, expected {kind:?}", self.kind)));
        }
        let given = &self.metadata;
        if !given.namespace.is_empty() && given.namespace != namespace {
            let message = format!("is {:?}, but the path says {namespace:?}", given.namespace);
            return Err(Invalid::new("metadata.namespace", message));
        }
        let name = match name {
            Some(name) if !given.name.is_empty() && given.name != name => {
                let message = format!("is {:?}, but the path says {name:?}", given.name);
                return Err(Invalid::new("metadata.name", message));
            }
            Some(name) => name,
            None => &given.name,
        };
        check_name("metadata.namespace", namespace)?;
        check_name("metadata.name", name)?;
        Ok(Metadata {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            attributes: given.attributes.clone(),
            created_at: now,
            deleted_at: None,
        })
    }

    pub(super) fn spec(self) -> Result<S, Invalid> {
        self.spec.ok_or_else(|| Invalid::new("spec", "is missing"))
    }
}

/// A condition that an operator's act brings.
pub(super) fn condition(what: &str, message: &str, now: Timestamp) -> Condition {
    Condition {
        r#type: what.to_owned(),
        last_transition_time: now,
        status: ConditionStatus::True,
        reason: crate::server::auth::ADMIN.to_owned(),
        message: message.to_owned(),
    }
}

/// Sets the condition of this type, leaving the others.
pub(super) fn set_condition(conditions: &mut Vec<Condition>, new: Condition) {
    conditions.retain(|old| old.r#type != new.r#type);
    conditions.push(new);
}
