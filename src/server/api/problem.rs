//! Errors as people and programs get them (RFC 9457). What went wrong inside is logged, not sent.

use axum::{
    Json,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::server::{fleet::resource::Invalid, store::StoreError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    BadRequest,
    NotFound,
    MethodNotAllowed,
    Conflict,
    TooLarge,
    /// Too much waits already; trying again may help.
    TooMany,
    /// An agent was asked and did not answer in time.
    NoAnswer,
    /// An agent was asked, and its answer is a refusal or cannot be read.
    BadAnswer,
    /// The store cannot be written; trying again may help.
    Unavailable,
    /// There is no room for what was sent.
    StorageFull,
}

/// One fault in what was sent.
#[derive(Clone, Debug, Serialize)]
struct Fault {
    message: String,
    location: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

/// An error answer; its place is filled in by [`render`].
#[derive(Clone, Debug)]
pub struct Problem {
    reason: Reason,
    detail: String,
    faults: Vec<Fault>,
}

impl Problem {
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), faults: Vec::new() }
    }

    /// Names the field or parameter that is at fault.
    #[must_use]
    pub fn at(mut self, location: &str, message: impl Into<String>) -> Self {
        self.faults.push(Fault { message: message.into(), location: location.to_owned(), value: None });
        self
    }

    /// The value that was refused, cut to a length that reads well.
    #[must_use]
    pub fn with_value(mut self, value: &str) -> Self {
        if let Some(fault) = self.faults.last_mut() {
            fault.value = Some(value.chars().take(100).collect());
        }
        self
    }

    pub fn missing(kind: &str, name: &str) -> Self {
        Self::new(Reason::NotFound, format!("{kind} {name:?} does not exist."))
            .at("path", "resource not found")
    }

    pub fn bad_parameter(name: &str, value: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::new(Reason::BadRequest, format!("The query parameter {name} is wrong: {message}"))
            .at(&format!("query.{name}"), message)
            .with_value(value)
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Self::new(Reason::BadRequest, invalid.to_string())
            .at(&format!("body.{}", invalid.field), invalid.message)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "an operator's change was not stored");
        Self::new(
            Reason::Unavailable,
            "The change could not be stored and was not made; the server's log says why.",
        )
    }
}

impl Reason {
    const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::NoAnswer => StatusCode::GATEWAY_TIMEOUT,
            Self::BadAnswer => StatusCode::BAD_GATEWAY,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.reason.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    errors: &'a [Fault],
}

/// Writes the body of a problem, with the path that it is about.
pub async fn render(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let status = problem.reason.status();
    let document = Document {
        r#type: "about:blank",
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        detail: &problem.detail,
        instance: &path,
        errors: &problem.faults,
    };
    let mut rendered = (status, Json(document)).into_response();
    let headers = rendered.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if matches!(problem.reason, Reason::Unavailable | Reason::TooMany) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    if let Some(allow) = response.headers().get(header::ALLOW) {
        headers.insert(header::ALLOW, allow.clone());
    }
    rendered
}
