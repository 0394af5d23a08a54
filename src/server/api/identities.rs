//! Identities: who agents are to this server, and the end of it.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    Api,
    problem::{Problem, Reason},
    query::Query,
    view::identity as view,
};
use crate::server::{
    auth::ADMIN,
    fleet::Fleet,
    hub::{Plan, enrolment},
    identity::{Identity, IdentityState},
    store::Change,
};
use crate::wire::proto::AgentCapabilities;

const KIND: &str = "Identity";

fn find<'a>(fleet: &'a Fleet, name: &str) -> Result<&'a Identity, Problem> {
    fleet.register.identities().get(name).ok_or_else(|| Problem::missing("identity", name))
}

pub(super) async fn list(State(api): State<Api>, query: Query) -> Result<Json<Value>, Problem> {
    api.hub.look(|fleet| {
        let keyed = fleet.register.identities().iter().map(|(name, identity)| (name.clone(), identity));
        query.page(KIND, keyed, |identity| view::identity(fleet, identity)).map(Json)
    })
}

pub(super) async fn get(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    api.hub.look(|fleet| find(fleet, &name).map(|identity| Json(view::identity(fleet, identity))))
}

/// Cuts it off at once, and for good (S-CS-08). Once more changes nothing.
pub(super) async fn revoke(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    api.hub
        .operate(|fleet, now| {
            let mut identity = find(fleet, &name)?.clone();
            if !matches!(identity.state, IdentityState::Revoked(_)) {
                identity.state = IdentityState::Revoked(now);
            }
            Ok::<_, Problem>(enrolment::put(identity))
        })
        .await?;
    cut_off(&api, &name, "revoked");
    get(State(api), Path(name)).await
}

/// Lets in an agent that came with a token which wants that (S-TF-01).
pub(super) async fn approve(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    api.hub
        .operate(|fleet, now| {
            let mut identity = find(fleet, &name)?.clone();
            match identity.state {
                IdentityState::Active => {}
                IdentityState::Revoked(_) => {
                    let detail = format!("identity {name:?} was revoked; a revoked one stays so.");
                    return Err(Problem::new(Reason::Conflict, detail));
                }
                IdentityState::Held => {
                    identity.state = IdentityState::Active;
                    equip(fleet, &mut identity, now);
                }
            }
            Ok(enrolment::put(identity))
        })
        .await?;
    tracing::info!(identity = name, by = ADMIN, "approved an identity");
    get(State(api), Path(name)).await
}

/// Offers a new secret in the place of the one in use, which counts until the new one was used (S-CS-03).
pub(super) async fn rotate(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    api.hub
        .operate(|fleet, now| {
            let mut identity = find(fleet, &name)?.clone();
            if !identity.is_active() {
                let detail = format!("identity {name:?} is not active.");
                return Err(Problem::new(Reason::Conflict, detail));
            }
            if !equip(fleet, &mut identity, now) {
                let detail = format!("no agent of identity {name:?} accepts settings for its connection.");
                return Err(Problem::new(Reason::Conflict, detail));
            }
            Ok(enrolment::put(identity))
        })
        .await?;
    tracing::info!(identity = name, by = ADMIN, "rotated the credential of an identity");
    get(State(api), Path(name)).await
}

/// Makes a credential, if an agent of the identity takes one; says so.
fn equip(fleet: &Fleet, identity: &mut Identity, now: Timestamp) -> bool {
    let bit = AgentCapabilities::AcceptsOpAmpConnectionSettings;
    let mut agents = identity.uids.iter().filter_map(|uid| fleet.agents.get(uid));
    let Some(key) = fleet.register.key().filter(|_| agents.any(|agent| agent.can(bit))) else { return false };
    let id: [u8; 16] = rand::random();
    identity.issue_bearer(key, id.iter().map(|byte| format!("{byte:02x}")).collect(), now);
    true
}

/// Forgets it: its credentials are unknown from now on, and its agents' uids are free.
pub(super) async fn delete(State(api): State<Api>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    api.hub
        .operate(|fleet, _| {
            find(fleet, &name)?;
            let request = fleet.register.request_of(&name).map(|request| request.name.clone());
            let mut changes = vec![Change::DeleteIdentity(name.clone())];
            changes.extend(request.clone().map(Change::DeleteCertificateRequest));
            let name = name.clone();
            Ok::<_, Problem>(Plan {
                changes,
                apply: Box::new(move |fleet: &mut Fleet, now| {
                    if let Some(request) = request {
                        fleet.register.remove_request(&request);
                    }
                    fleet.forget_identity(&name, now)
                }),
                output: (),
            })
        })
        .await?;
    cut_off(&api, &name, "deleted");
    Ok(StatusCode::NO_CONTENT)
}

fn cut_off(api: &Api, name: &str, what: &str) {
    api.gate.take_back();
    tracing::warn!(identity = name, by = ADMIN, "{what} an identity; its connections end");
}
