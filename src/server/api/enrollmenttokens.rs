//! Enrolment tokens: by them agents become known. The secret is in the answer to POST and nowhere else.

use axum::{
    Json,
    extract::{Path, State},
    http::{StatusCode, header},
    response::IntoResponse,
};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Api,
    body::{Body, Given},
    namespaces::exists,
    problem::{Problem, Reason},
    query::Query,
    view::identity as view,
};
use crate::server::{
    fleet::{
        Fleet,
        resource::{Attributes, Invalid, Key},
    },
    hub::Plan,
    identity::{Approval, EnrollmentToken, Secret, TokenSpec},
    store::Change,
};

const KIND: &str = "EnrollmentToken";
/// How long a token lives for which nobody said.
const LIFETIME: SignedDuration = SignedDuration::from_hours(24);

/// A token as an operator asks for it: how long or until when, and how often.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct GivenToken {
    #[serde(default)]
    ttl_seconds: Option<u32>,
    #[serde(default)]
    expires_at: Option<Timestamp>,
    #[serde(default)]
    max_uses: Option<u32>,
    #[serde(default)]
    labels: Attributes,
    #[serde(default)]
    approval: Approval,
}

impl GivenToken {
    fn spec(self, now: Timestamp) -> Result<TokenSpec, Invalid> {
        let expires_at = match (self.expires_at, self.ttl_seconds) {
            (Some(_), Some(_)) => {
                return Err(Invalid::new("spec.ttlSeconds", "goes not with expiresAt; give one of them"));
            }
            (Some(at), None) => at,
            (None, Some(seconds)) => now + SignedDuration::from_secs(seconds.into()),
            (None, None) => now + LIFETIME,
        };
        let spec = TokenSpec {
            expires_at,
            max_uses: self.max_uses.unwrap_or(1),
            labels: self.labels,
            approval: self.approval,
        };
        spec.check(now)?;
        Ok(spec)
    }
}

fn find<'a>(fleet: &'a Fleet, key: &Key) -> Result<&'a EnrollmentToken, Problem> {
    fleet.register.tokens().get(key).ok_or_else(|| Problem::missing("enrolment token", &key.name))
}

pub(super) async fn list(
    State(api): State<Api>,
    Path(ns): Path<String>,
    query: Query,
) -> Result<Json<Value>, Problem> {
    let now = Timestamp::now();
    api.hub.look(|fleet| {
        let tokens = fleet.register.tokens().iter().filter(|(key, _)| key.namespace == ns);
        let keyed = tokens.map(|(key, token)| (key.name.clone(), token));
        query.page(KIND, keyed, |token| view::token(token, now, None)).map(Json)
    })
}

pub(super) async fn get(
    State(api): State<Api>,
    Path((ns, name)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let key = Key::new(&ns, &name);
    api.hub.look(|fleet| find(fleet, &key).map(|token| Json(view::token(token, Timestamp::now(), None))))
}

pub(super) async fn post(
    State(api): State<Api>,
    Path(ns): Path<String>,
    Body(mut given): Body<Given<GivenToken>>,
) -> Result<impl IntoResponse, Problem> {
    let secret = Secret::token(rand::random());
    let token = api
        .hub
        .operate(|fleet, now| {
            exists(fleet, &ns)?;
            let metadata = given.metadata(KIND, &ns, None, now)?;
            let key = Key::new(&ns, &metadata.name);
            if find(fleet, &key).is_ok() {
                let detail = format!("enrolment token already exists: {ns}/{}", metadata.name);
                return Err(Problem::new(Reason::Conflict, detail.clone()).at("body.metadata.name", detail));
            }
            let spec = given.spec.take().unwrap_or_default().spec(now)?;
            let token = EnrollmentToken { metadata, spec, digest: secret.digest(), uses: 0 };
            let kept = token.clone();
            Ok(Plan {
                changes: vec![Change::Token(Box::new(token.clone()))],
                apply: Box::new(move |fleet: &mut Fleet, _| {
                    fleet.register.put_token(kept);
                    Vec::new()
                }),
                output: token,
            })
        })
        .await?;
    tracing::info!(token = token.path(), max_uses = token.spec.max_uses, expires_at = %token.spec.expires_at, "made an enrolment token");
    let location = format!("/api/v1/namespaces/{ns}/enrollmenttokens/{}", token.metadata.name);
    let shown = view::token(&token, Timestamp::now(), Some(&secret));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(shown)))
}

/// Nobody comes in by it any more; agents that have nothing else are cut off.
pub(super) async fn delete(
    State(api): State<Api>,
    Path((ns, name)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let key = Key::new(&ns, &name);
    api.hub
        .operate(|fleet, _| {
            find(fleet, &key)?;
            let key = key.clone();
            Ok::<_, Problem>(Plan {
                changes: vec![Change::DeleteToken(key.clone())],
                apply: Box::new(move |fleet: &mut Fleet, _| {
                    fleet.register.remove_token(&key);
                    Vec::new()
                }),
                output: (),
            })
        })
        .await?;
    api.gate.take_back();
    tracing::info!(token = format!("{ns}/{name}"), "deleted an enrolment token");
    Ok(StatusCode::NO_CONTENT)
}
