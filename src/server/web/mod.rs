//! The page for people: static assets compiled in, and the login that trades the token for a session.
//! What the page shows it gets from `api`, as any client does. Mounted by `server::run`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Form, Router,
    extract::{FromRequest, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;

use super::auth::{
    Auth, Refusal,
    guard::{from_own_page, peer, session_id},
    session::{COOKIE, LIFETIME},
};
use super::listen::Encrypted;

const PAGE: &str = include_str!("assets/index.html");
const LOGIN: &str = include_str!("assets/login.html");
const STYLE: &str = include_str!("assets/style.css");
const SCRIPTS: &[(&str, &str)] = &[
    ("/assets/app.js", include_str!("assets/app.js")),
    ("/assets/list.js", include_str!("assets/list.js")),
    ("/assets/detail.js", include_str!("assets/detail.js")),
    ("/assets/dom.js", include_str!("assets/dom.js")),
];
const ICON: &str = include_str!("assets/icon.svg");
/// The form must be there by then.
const FORM_WITHIN: Duration = Duration::from_secs(10);
/// Where the login page shows what went wrong.
const MESSAGE: &str = "<!-- message -->";

pub fn router(auth: Arc<Auth>) -> Router {
    let mut router = Router::new()
        .route("/", get(page))
        .route("/login", get(login_page).post(login))
        .route("/logout", post(logout))
        .route("/assets/style.css", get(|| asset("text/css; charset=utf-8", STYLE)))
        .route("/assets/icon.svg", get(|| asset("image/svg+xml", ICON)));
    for (path, text) in SCRIPTS {
        router = router.route(path, get(move || asset("text/javascript; charset=utf-8", text)));
    }
    router.with_state(auth)
}

async fn asset(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text)
}

async fn page(State(auth): State<Arc<Auth>>, headers: HeaderMap) -> Response {
    match session_id(&headers).filter(|id| auth.has_session(id, Instant::now())) {
        Some(_) => Html(PAGE).into_response(),
        None => Redirect::to("/login").into_response(),
    }
}

async fn login_page() -> Html<String> {
    Html(LOGIN.replace(MESSAGE, ""))
}

#[derive(Deserialize)]
struct Credentials {
    token: String,
}

async fn login(State(auth): State<Arc<Auth>>, request: Request) -> Response {
    // A login into somebody else's session is a forgery too.
    let headers = request.headers();
    if headers.contains_key(header::ORIGIN) && !from_own_page(headers) {
        return (StatusCode::FORBIDDEN, "a form of another site\n").into_response();
    }
    let source = peer(&request);
    let encrypted = request.extensions().get::<Encrypted>().is_some();
    let reading = Form::<Credentials>::from_request(request, &());
    let given = match tokio::time::timeout(FORM_WITHIN, reading).await {
        Ok(Ok(Form(given))) => given,
        Ok(Err(rejection)) => return rejection.into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    match auth.check_token(given.token.trim(), source, Instant::now()) {
        Ok(()) => {
            let cookie = cookie(&auth.open_session(Instant::now()), LIFETIME.as_secs(), encrypted);
            ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
        }
        Err(Refusal::Unauthorized) => {
            let text = "That is not the admin token of this server.";
            (StatusCode::UNAUTHORIZED, failed(text)).into_response()
        }
        Err(Refusal::TooMany(wait)) => {
            let wait = wait.as_secs().max(1).to_string();
            let text = format!("Too many attempts; try again in {wait} s.");
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, wait)], failed(&text)).into_response()
        }
    }
}

fn failed(text: &str) -> Html<String> {
    Html(LOGIN.replace(MESSAGE, &format!("<p class=\"error\" role=\"alert\">{text}</p>")))
}

async fn logout(State(auth): State<Arc<Auth>>, headers: HeaderMap) -> Response {
    if !from_own_page(&headers) {
        return (StatusCode::FORBIDDEN, "a form of another site\n").into_response();
    }
    if let Some(id) = session_id(&headers) {
        auth.close_session(id);
    }
    ([(header::SET_COOKIE, cookie("", 0, false))], Redirect::to("/login")).into_response()
}

/// Over plain HTTP `Secure` would keep some browsers from sending it.
fn cookie(value: &str, seconds: u64, encrypted: bool) -> HeaderValue {
    let secure = if encrypted { "; Secure" } else { "" };
    let text = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    // Hex digits and ASCII only.
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
