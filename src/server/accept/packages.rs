//! Downloads of packages on the agent plane: admitted as OpAMP is, and turned away for now when too many are under way.

use axum::{
    extract::{Path, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{Accept, load};
use crate::server::{auth::guard, fleet::package::FileHash, packages::serve};

pub(super) async fn download(
    State(accept): State<Accept>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    if let Some(refused) = super::of_a_page(&request) {
        return refused;
    }
    let admission = match accept.gate.admit(&request) {
        Ok(admission) => admission,
        Err(answer) => return *answer,
    };
    if let Err(denied) = accept.gate.may_download(&admission) {
        return accept.gate.refuse(&denied, guard::peer(&request));
    }
    let Ok(hash) = name.parse::<FileHash>() else { return missing() };
    let who = load::who(request.headers(), load::peer(&request));
    let ticket = match accept.admitted(accept.load.download(who)) {
        Ok(ticket) => ticket,
        Err(busy) => return busy.into_response(),
    };
    let answer = serve::answer(&accept.files, hash, request.method(), request.headers(), ticket).await;
    match answer {
        Ok(found) => found.unwrap_or_else(missing),
        Err(error) => {
            tracing::error!(file = %hash, %error, "a package's file cannot be read");
            (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "30")]).into_response()
        }
    }
}

fn missing() -> Response {
    (StatusCode::NOT_FOUND, "there is no such package file here\n").into_response()
}
