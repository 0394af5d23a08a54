//! One exchange over plain HTTP: a message in, its answer out.

use std::time::Duration;

use axum::{
    body::{Bytes, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    Accept,
    admission::{Admission, Refused, Settled},
    load,
};
use crate::{
    protocol::server::bad_request,
    server::{auth::guard, hub::Connection, listen::Peer},
    wire::{
        CONTENT_TYPE,
        body::{self, BodyError},
        proto::{AgentToServer, ServerToAgent},
    },
};

/// A body must be there by then.
const BODY_WITHIN: Duration = Duration::from_secs(60);
/// Shorter answers gain nothing by compression.
const WORTH_GZIP: usize = 512;

/// Whether the request's media type is OpAMP's, with or without parameters.
pub(super) fn is_opamp(headers: &HeaderMap) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    given.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case(CONTENT_TYPE)
}

pub(super) async fn exchange(accept: &Accept, admission: &Admission, request: Request) -> Response {
    if request.method() != Method::POST {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")]).into_response();
    }
    let source = guard::peer(&request);
    let headers = request.headers().clone();
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
    let url = super::reached_at(accept.scheme(&headers, "http", "https"), &headers, request.uri());
    let known = load::instance_uid(&headers).is_some_and(|uid| accept.hub.is_connected(uid));
    if !known {
        let who = load::who(&headers, load::peer(&request));
        if let Err(busy) = accept.admitted(accept.load.pass(who, accept.hub.missing())) {
            return busy.into_response();
        }
    }
    let limit = accept.limit;
    let bytes = match tokio::time::timeout(BODY_WITHIN, to_bytes(request.into_body(), limit)).await {
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
        Ok(Err(error)) if is_too_long(&error) => return too_large(accept),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a request's body was cut short");
            return StatusCode::BAD_REQUEST.into_response();
        }
        Ok(Ok(bytes)) => bytes,
    };
    accept.hub.metrics.received_bytes.add(bytes.len() as u64);
    let coding = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    let reply = match body::decode::<AgentToServer>(&bytes, coding, limit) {
        Ok(message) => match accept.gate.settle(admission, &message).await {
            Ok(Settled::TakeIn) => {
                let mut connection = Connection::http().of(peer).reached_at(url);
                accept.hub.receive(&mut connection, message).reply
            }
            Ok(Settled::Answer(answer)) => *answer,
            Err(Refused::Denied(denied)) => return accept.gate.refuse(&denied, source),
            Err(Refused::Store(error)) => {
                tracing::error!(%error, "an enrolment could not be stored");
                return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")]).into_response();
            }
        },
        Err(BodyError::TooLarge { .. }) => return too_large(accept),
        Err(error @ BodyError::Encoding(_)) => {
            return (StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("{error}\n")).into_response();
        }
        Err(error @ (BodyError::Gzip(_) | BodyError::Message(_))) => {
            accept.hub.metrics.malformed.add(1);
            bad_request(&[], error.to_string())
        }
    };
    answer(accept, &headers, &reply)
}

/// S-LM-08.
fn too_large(accept: &Accept) -> Response {
    accept.hub.metrics.malformed.add(1);
    let text = format!("a message may have {} bytes, also after decompression\n", accept.limit);
    (StatusCode::PAYLOAD_TOO_LARGE, text).into_response()
}

fn is_too_long(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        source = error.source();
    }
    false
}

fn answer(accept: &Accept, headers: &HeaderMap, reply: &ServerToAgent) -> Response {
    let Ok(bytes) = body::encode(reply, accept.limit) else {
        // S-LM-10, S-LM-11.
        accept.hub.metrics.dropped.add(1);
        tracing::error!(limit = accept.limit, "an answer over the message limit was not sent");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    accept.hub.metrics.sent_bytes.add(bytes.len() as u64);
    let gzip = bytes.len() >= WORTH_GZIP && accepts_gzip(headers);
    let bytes = Bytes::from(if gzip { body::gzip(&bytes) } else { bytes });
    let mut response = ([(header::CONTENT_TYPE, CONTENT_TYPE)], bytes).into_response();
    if gzip {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// S-HT-03. A coding with `q=0` is refused by its sender.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let given = headers.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|line| line.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or("");
        let refused = parts.any(|part| matches!(part.strip_prefix("q=").map(str::parse), Some(Ok(0.0f32))));
        (name.eq_ignore_ascii_case("gzip") || name == "*") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &'static str) -> HeaderMap {
        let name = axum::http::HeaderName::from_static(name);
        [(name, HeaderValue::from_static(value))].into_iter().collect()
    }

    #[test]
    fn s_tc_03_parameters_of_the_media_type_do_not_matter() {
        assert!(is_opamp(&with("content-type", "application/x-protobuf")));
        assert!(is_opamp(&with("content-type", "Application/X-Protobuf; charset=binary")));
        assert!(!is_opamp(&with("content-type", "application/json")));
        assert!(!is_opamp(&HeaderMap::new()));
    }

    #[test]
    fn s_ht_03_gzip_only_for_those_who_take_it() {
        for (value, takes) in
            [("gzip", true), ("br, gzip;q=0.5", true), ("*", true), ("gzip;q=0", false), ("br", false)]
        {
            assert_eq!(accepts_gzip(&with("accept-encoding", value)), takes, "{value}");
        }
    }
}
