//! The files of packages: uploads, what there is, and taking away what no package names.

use std::fmt::Display;

use axum::{
    Json,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use data_encoding::BASE64;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Api,
    problem::{Problem, Reason},
    query::Query,
};
use crate::{
    package::Claims,
    server::{
        fleet::{Fleet, package::FileHash},
        hub::Plan,
        packages::{Kept, Upload, UploadError},
    },
};

const KIND: &str = "PackageFile";
/// The text of a minisign signature, in base64 for the sake of its line breaks.
const SIGNATURE: &str = "x-package-signature";

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        let nothing = "nothing was kept of it";
        match error {
            UploadError::TooLarge(limit) => {
                let detail = format!(
                    "The file has more than {limit} bytes (--max-package-size of the server); {nothing}."
                );
                Self::new(Reason::TooLarge, detail)
            }
            UploadError::Empty => {
                Self::new(Reason::BadRequest, "The body is empty; send the bytes of the file.")
                    .at("body", "is empty")
            }
            UploadError::Late | UploadError::Cut(_) => {
                Self::new(Reason::BadRequest, format!("Of the file, {error}; {nothing}. Send it again."))
            }
            UploadError::Full { .. } => {
                tracing::error!(%error, "an upload was not kept");
                let detail =
                    format!("The disk of the server's data directory is full; {nothing}. Free space on it.");
                Self::new(Reason::StorageFull, detail)
            }
            UploadError::Write { .. } => {
                tracing::error!(%error, "an upload was not kept");
                let detail = format!("The file could not be stored, {nothing}; the server's log says why.");
                Self::new(Reason::Unavailable, detail)
            }
        }
    }
}

fn show(fleet: &Fleet, hash: FileHash, size: u64) -> Value {
    let users = fleet.catalogue.users_of(hash);
    let users: Vec<_> = users.map(|key| format!("{}/{}", key.namespace, key.name)).collect();
    json!({"sha256": hash, "size": size, "agentPackages": users})
}

pub(super) async fn list(State(api): State<Api>, query: Query) -> Result<Json<Value>, Problem> {
    let files = api.files.all();
    api.hub.look(|fleet| {
        let named = files.iter().map(|(hash, size)| (hash.to_string(), (*hash, *size)));
        query.page(KIND, named, |(hash, size)| show(fleet, hash, size)).map(Json)
    })
}

/// What is no hash names nothing.
fn parse(name: &str) -> Result<FileHash, Problem> {
    name.parse().map_err(|_| Problem::missing("package file", name))
}

pub(super) async fn get(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let hash = parse(&name)?;
    let size = api.files.size(hash).ok_or_else(|| Problem::missing("package file", &name))?;
    Ok(api.hub.look(|fleet| Json(show(fleet, hash, size))))
}

/// The body is the file, whatever its Content-Type.
pub(super) async fn post(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let claims = claims(request.headers())?;
    let length = length(request.headers());
    if let (Some(claims), Some(length)) = (&claims, length)
        && claims.size != length
    {
        return Err(misfit("size", &claims.size, &length));
    }
    let upload = api.files.receive(request.into_body(), length).await?;
    if let Some(claims) = claims {
        fits(&claims, &upload)?;
    }
    let (hash, size) = (upload.sha256, upload.size);
    let status = match api.files.keep(upload).await? {
        Kept::New => {
            tracing::info!(file = %hash, size, "a package's file was uploaded");
            StatusCode::CREATED
        }
        Kept::Known => StatusCode::OK,
    };
    let location = format!("/api/v1/packagefiles/{hash}");
    let shown = json!({"sha256": hash, "size": size});
    Ok((status, [(header::LOCATION, location)], Json(shown)).into_response())
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What a signature that came along says. By whom it is, hosts will check.
fn claims(headers: &HeaderMap) -> Result<Option<Claims>, Problem> {
    let Some(given) = headers.get(SIGNATURE) else { return Ok(None) };
    let text =
        BASE64.decode(given.as_bytes()).map_err(|error| unfit(&format!("it is no base64: {error}")))?;
    Claims::unverified(&text).map(Some).map_err(|error| unfit(&error.to_string()))
}

fn fits(claims: &Claims, upload: &Upload) -> Result<(), Problem> {
    if claims.sha256 != upload.sha256.0 {
        return Err(misfit("sha256", &FileHash(claims.sha256), &upload.sha256));
    }
    if claims.size != upload.size {
        return Err(misfit("size", &claims.size, &upload.size));
    }
    Ok(())
}

fn misfit(key: &str, signed: &impl Display, sent: &impl Display) -> Problem {
    unfit(&format!("it is of a file with {key}={signed}, and this one has {sent}"))
}

fn unfit(why: &str) -> Problem {
    let detail =
        format!("The signature does not fit: {why}. Sign the file as it is; nothing was kept of it.");
    Problem::new(Reason::BadRequest, detail).at(&format!("header.{SIGNATURE}"), why)
}

/// Refused while a package names it, also by one that is being written.
pub(super) async fn delete(State(api): State<Api>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    let hash = parse(&name)?;
    api.hub
        .operate(|fleet, _| {
            api.files.size(hash).ok_or_else(|| Problem::missing("package file", &name))?;
            let users: Vec<_> = fleet.catalogue.users_of(hash).collect();
            if let Some(first) = users.first() {
                let more =
                    if users.len() > 1 { format!(" and {} more", users.len() - 1) } else { String::new() };
                let detail = format!(
                    "The file is that of agent package {}/{}{more}; delete or change that first.",
                    first.namespace, first.name
                );
                return Err(Problem::new(Reason::Conflict, detail.clone()).at("path", detail));
            }
            let files = api.files.clone();
            Ok(Plan {
                changes: Vec::new(),
                apply: Box::new(move |_: &mut Fleet, _: Timestamp| {
                    files.forget(hash);
                    Vec::new()
                }),
                output: (),
            })
        })
        .await?;
    match api.files.sweep(hash).await {
        Ok(()) => tracing::info!(file = %hash, "a package's file was deleted"),
        // It is there again after a restart, and can be deleted then.
        Err(error) => tracing::error!(file = %hash, %error, "a deleted file stays on the disk"),
    }
    Ok(StatusCode::NO_CONTENT)
}
