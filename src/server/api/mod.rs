//! The operator plane: REST under `/api/v1` in OpAMP Commander's shapes, with supersets where people need more,
//! a stream of changes, health and metrics. Handlers check, then hand a plan to `server::hub`.
//!
//! - `resources`: what the kinds have in common that are written whole: `groups`, `configs`, `packages`, `packageoffers`
//! - `agents`, `packagefiles`, `namespaces`, `system`, `messages`, `services`, `watch`: the routes
//! - `enrollmenttokens`, `identities`, `certificaterequests`: the routes of enrolment
//! - `view`: the model as JSON; `query`: list parameters; `body`: request bodies; [`problem`]: errors (RFC 9457)
//!
//! Not here: which config an agent should run (`server::fleet`), who may ask (`server::auth`). Mounted by
//! `server::run`; `docs/rest.md` is the same for its users.

mod agents;
mod body;
mod certificaterequests;
mod configs;
mod enrollmenttokens;
mod groups;
mod identities;
mod messages;
mod metrics;
mod namespaces;
mod packagefiles;
mod packageoffers;
mod packages;
pub mod problem;
mod query;
mod resources;
mod services;
mod system;
mod view;
mod watch;

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{get, post, put},
};
use tokio::sync::watch::Receiver;

use super::{
    accept::{Gate, Load},
    auth::{Auth, guard},
    fleet::resource::{AgentGroupSpec, AgentPackageSpec, AgentRemoteConfigSpec, PackageOfferSpec},
    hub::Hub,
    packages::PackageFiles,
};
use problem::{Problem, Reason};

/// What handlers share.
#[derive(Clone)]
pub struct Api {
    pub hub: Arc<Hub>,
    /// Who is let in on the agent plane, and what is signed for agents.
    pub gate: Arc<Gate>,
    pub files: Arc<PackageFiles>,
    /// Knows how many downloads are under way.
    pub load: Arc<Load>,
    /// Turns true when the server stops, so that streams end.
    pub stop: Receiver<bool>,
}

/// Routes that want the token or a session.
pub fn protected(api: Api, auth: Arc<Auth>) -> Router {
    let namespaced = Router::new()
        .route("/agents", get(agents::list))
        .route("/agents/search", get(agents::search))
        .route("/agents/{uid}", get(agents::get).put(agents::put).delete(agents::delete))
        .route("/agents/{uid}/agentgroups", get(agents::groups))
        .route("/agents/{uid}/messages", get(messages::list).post(messages::post))
        .route("/agents/{uid}/services", get(services::get))
        .route("/enrollmenttokens", get(enrollmenttokens::list).post(enrollmenttokens::post))
        .route("/enrollmenttokens/{name}", get(enrollmenttokens::get).delete(enrollmenttokens::delete))
        .route("/agentgroups/{name}/agents", get(groups::agents))
        .route("/packageoffers/{name}/agents", get(packageoffers::agents))
        .route("/packageoffers/{name}/retry", post(packageoffers::retry));
    let written = [
        resources::routes::<AgentGroupSpec>(),
        resources::routes::<AgentRemoteConfigSpec>(),
        resources::routes::<AgentPackageSpec>(),
        resources::routes::<PackageOfferSpec>(),
    ];
    let namespaced = written
        .into_iter()
        .flatten()
        .fold(namespaced, |router, (path, methods)| router.route(&path, methods));
    let v1 = Router::new()
        .route("/ping", get(system::ping))
        .route("/version", get(system::version))
        .route("/auth/info", get(system::auth_info))
        .route("/watch", get(watch::all))
        .route("/namespaces", get(namespaces::list).post(namespaces::post))
        .route("/namespaces/{ns}", get(namespaces::get).put(namespaces::put).delete(namespaces::delete))
        .nest("/namespaces/{ns}", namespaced)
        .route("/agentgroups", post(groups::post_anywhere))
        .route("/packagefiles", get(packagefiles::list).post(packagefiles::post))
        .route("/packagefiles/{sha256}", get(packagefiles::get).delete(packagefiles::delete))
        .route("/identities", get(identities::list))
        .route("/identities/{name}", get(identities::get).delete(identities::delete))
        .route("/identities/{name}/revoke", post(identities::revoke))
        .route("/identities/{name}/approve", post(identities::approve))
        .route("/identities/{name}/rotate", post(identities::rotate))
        .route("/certificaterequests", get(certificaterequests::list))
        .route(
            "/certificaterequests/{name}",
            get(certificaterequests::get).delete(certificaterequests::delete),
        )
        .route("/certificaterequests/{name}/approve", post(certificaterequests::approve))
        .route("/certificaterequests/{name}/deny", post(certificaterequests::deny))
        .route("/agents/{uid}/update-agent-config", put(agents::update_config));
    Router::new()
        .nest("/api/v1", v1)
        .route("/metrics", get(metrics::metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(middleware::from_fn(problem::render))
        .layer(middleware::from_fn_with_state(auth, guard::require))
        .with_state(api)
}

/// Routes that are open to anybody who reaches the listener.
pub fn open(api: Api) -> Router {
    Router::new()
        .route("/healthz", get(system::healthz))
        .route("/readyz", get(system::readyz))
        .with_state(api)
}

async fn not_found() -> Problem {
    Problem::new(Reason::NotFound, "There is nothing at this path.")
}

async fn not_allowed() -> Problem {
    Problem::new(Reason::MethodNotAllowed, "This path does not take this method.")
}
