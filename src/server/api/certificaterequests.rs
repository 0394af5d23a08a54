//! Requests for certificates that wait for an operator, or were answered by one.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Api,
    body::OptionalBody,
    problem::{Problem, Reason},
    query::Query,
    view::identity as view,
};
use crate::server::{
    auth::ADMIN,
    ca::Csr,
    fleet::{Fleet, resource::Invalid},
    hub::{Plan, enrolment},
    identity::{CertificateRequest, RequestState},
    store::Change,
};

const KIND: &str = "CertificateRequest";

fn find<'a>(fleet: &'a Fleet, name: &str) -> Result<&'a CertificateRequest, Problem> {
    fleet.register.requests().get(name).ok_or_else(|| Problem::missing("certificate request", name))
}

/// One that nobody answered yet.
fn pending(fleet: &Fleet, name: &str) -> Result<CertificateRequest, Problem> {
    let request = find(fleet, name)?;
    if request.state == RequestState::Pending {
        return Ok(request.clone());
    }
    let detail = format!("certificate request {name:?} was answered already.");
    Err(Problem::new(Reason::Conflict, detail))
}

pub(super) async fn list(State(api): State<Api>, query: Query) -> Result<Json<Value>, Problem> {
    api.hub.look(|fleet| {
        let keyed = fleet.register.requests().iter().map(|(name, request)| (name.clone(), request));
        query.page(KIND, keyed, view::request).map(Json)
    })
}

pub(super) async fn get(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    api.hub.look(|fleet| find(fleet, &name).map(|request| Json(view::request(request))))
}

/// What may stand in the body of an approval.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Approved {
    /// A certificate that was signed elsewhere, PEM, with its chain.
    #[serde(default)]
    certificate: Option<String>,
    /// The CA that signed it, PEM, for the agent.
    #[serde(default)]
    ca_certificate: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Denied {
    #[serde(default)]
    reason: String,
}

/// Signs here, or takes what was signed elsewhere (S-SE-02), and has the agent offered it.
pub(super) async fn approve(
    State(api): State<Api>,
    Path(name): Path<String>,
    OptionalBody(given): OptionalBody<Approved>,
) -> Result<Json<Value>, Problem> {
    let request = api.hub.look(|fleet| pending(fleet, &name))?;
    let csr = Csr::parse(request.csr.as_bytes()).map_err(|error| {
        Problem::new(Reason::Conflict, format!("The stored request cannot be used: {error}."))
    })?;
    let credential = match given.certificate {
        Some(pem) => api
            .gate
            .accept_certificate(&csr, &pem, given.ca_certificate)
            .map_err(|why| Problem::from(Invalid::new("certificate", why)))?,
        None => api.gate.sign(&csr, &request.identity).map_err(|error| {
            tracing::error!(%error, request = name, "nothing was signed");
            Problem::new(Reason::Unavailable, "Nothing could be signed; the server's log says why.")
        })?,
    };
    let identity = request.identity.clone();
    api.hub
        .operate(|fleet, _| {
            let request = pending(fleet, &name)?;
            Ok::<_, Problem>(enrolment::issue(fleet, &identity, credential, Some(request))?)
        })
        .await?;
    tracing::info!(request = name, by = ADMIN, "approved a certificate request");
    get(State(api), Path(name)).await
}

/// The agent is told that it gets none (S-CR-03).
pub(super) async fn deny(
    State(api): State<Api>,
    Path(name): Path<String>,
    OptionalBody(given): OptionalBody<Denied>,
) -> Result<Json<Value>, Problem> {
    let reason = match given.reason.trim() {
        "" => "an operator denied the certificate request".to_owned(),
        reason => format!("an operator denied the certificate request: {}", short(reason)),
    };
    let told = reason.clone();
    let uid = api
        .hub
        .operate(|fleet, _| {
            let mut request = pending(fleet, &name)?;
            request.state = RequestState::Denied(reason);
            let uid = request.instance_uid;
            let Plan { changes, apply, .. } = enrolment::file(fleet, request);
            Ok::<_, Problem>(Plan { changes, apply, output: uid })
        })
        .await?;
    api.hub.refuse(uid, told);
    tracing::info!(request = name, by = ADMIN, "denied a certificate request");
    get(State(api), Path(name)).await
}

fn short(text: &str) -> String {
    text.chars().take(500).collect()
}

pub(super) async fn delete(State(api): State<Api>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    api.hub
        .operate(|fleet, _| {
            find(fleet, &name)?;
            let name = name.clone();
            Ok::<_, Problem>(Plan {
                changes: vec![Change::DeleteCertificateRequest(name.clone())],
                apply: Box::new(move |fleet: &mut Fleet, _| {
                    fleet.register.remove_request(&name);
                    Vec::new()
                }),
                output: (),
            })
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
