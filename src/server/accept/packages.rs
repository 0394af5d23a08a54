//! Downloads of packages on the agent plane: admitted by a pass or as OpAMP is, and turned away for now when too many are under
//! way.

use std::sync::Arc;

use axum::{
    extract::{Path, Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{Accept, load};
use crate::server::{fleet::package::FileHash, hub::Hub, packages::serve};

pub(super) async fn download(
    State(accept): State<Accept>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    if let Some(refused) = super::of_a_page(&request) {
        return refused;
    }
    let hash = name.parse::<FileHash>().ok();
    if let Err(answer) = accept.gate.admit_download(&request, hash.as_ref().map(|hash| &hash.0)) {
        return *answer;
    }
    let Some(hash) = hash else { return missing() };
    let who = load::who(request.headers(), load::peer(&request));
    let ticket = match accept.admitted(accept.load.download(who)) {
        Ok(ticket) => ticket,
        Err(busy) => return busy.into_response(),
    };
    let watched = Watched { hub: accept.hub.clone(), _ticket: ticket };
    let answer = serve::answer(&accept.files, hash, request.method(), request.headers(), watched).await;
    match answer {
        Ok(Some(answer)) => {
            let bytes = request.method() == Method::GET && answer.status().is_success();
            accept.hub.metrics.downloads.add(u64::from(bytes));
            answer
        }
        Ok(None) => missing(),
        Err(error) => {
            tracing::error!(file = %hash, %error, "a package's file cannot be read");
            (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "30")]).into_response()
        }
    }
}

/// Counts what is sent, and has a place among the downloads for as long as that lasts.
struct Watched {
    hub: Arc<Hub>,
    _ticket: load::Ticket,
}

impl serve::Watch for Watched {
    fn sent(&self, bytes: u64) {
        self.hub.metrics.download_bytes.add(bytes);
    }
}

fn missing() -> Response {
    (StatusCode::NOT_FOUND, "there is no such package file here\n").into_response()
}
