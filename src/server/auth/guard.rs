//! The middleware in front of protected routes, and what a request's headers say of its sender.

use std::{net::IpAddr, sync::Arc, time::Instant};

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{Auth, Proof, Refusal, session::COOKIE};
use crate::server::listen::Peer;

/// A browser sends this header only if a script of the same origin asked for it.
const CUSTOM_HEADER: &str = "x-requested-with";

/// Lets a request through if it carries the token, or the cookie of a session. A session's write must also come
/// from our own page (F-104).
pub async fn require(State(auth): State<Arc<Auth>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    match prove(&auth, headers, peer(&request)) {
        Ok(Proof::Session) if is_write(request.method()) && !from_own_page(headers) => {
            let body = serde_json::json!({"error": "forbidden: a request of another site"});
            (StatusCode::FORBIDDEN, Json(body)).into_response()
        }
        Ok(_) => next.run(request).await,
        Err(refusal) => refused(refusal),
    }
}

/// Looks for a bearer token, then for a session cookie.
pub fn prove(auth: &Auth, headers: &HeaderMap, source: IpAddr) -> Result<Proof, Refusal> {
    let now = Instant::now();
    if let Some(given) = headers.get(header::AUTHORIZATION) {
        let token = given.to_str().ok().and_then(bearer).unwrap_or_default();
        return auth.check_token(token, source, now).map(|()| Proof::Bearer);
    }
    match session_id(headers).filter(|id| auth.has_session(id, now)) {
        Some(_) => Ok(Proof::Session),
        None => Err(Refusal::Unauthorized),
    }
}

/// The address at the other end.
pub fn peer(request: &Request) -> IpAddr {
    request.extensions().get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0.ip())
}

/// The token of an `Authorization` header.
pub fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The session cookie's value.
pub fn session_id(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
}

fn is_write(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether `Origin` names the host that was asked; without an `Origin`, whether our own header is there.
pub fn from_own_page(headers: &HeaderMap) -> bool {
    match headers.get(header::ORIGIN).map(HeaderValue::to_str) {
        Some(Ok(origin)) => {
            let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            authority.is_some() && authority == host
        }
        Some(Err(_)) => false,
        None => headers.contains_key(CUSTOM_HEADER),
    }
}

/// The answer to a request that may not (401, 429).
pub fn refused(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Unauthorized => {
            let body = Json(serde_json::json!({"error": "unauthorized"}));
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], body).into_response()
        }
        Refusal::TooMany(wait) => {
            let body = Json(serde_json::json!({"error": "too many failed attempts"}));
            let wait = wait.as_secs().max(1).to_string();
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, wait)], body).into_response()
        }
    }
}

/// Headers that keep pages of others out, on every answer of the operator plane.
pub async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let fixed = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
    ];
    let headers = response.headers_mut();
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn f_104_only_our_own_page_may_write_with_a_cookie() {
        assert!(from_own_page(&headers(&[("origin", "http://127.0.0.1:4321"), ("host", "127.0.0.1:4321")])));
        assert!(!from_own_page(&headers(&[("origin", "http://evil.test"), ("host", "127.0.0.1:4321")])));
        assert!(!from_own_page(&headers(&[("origin", "null"), ("host", "127.0.0.1:4321")])));
        assert!(from_own_page(&headers(&[("x-requested-with", "page")])));
        assert!(!from_own_page(&headers(&[])));
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        assert_eq!(session_id(&headers(&[("cookie", "a=b; opamp_session=x; c=d")])), Some("x"));
        assert_eq!(session_id(&headers(&[("cookie", "xopamp_session=x")])), None);
    }
}
