//! Enrolment tokens, identities and certificate requests as rows of `get`.

use jiff::Timestamp;
use serde_json::Value;

use super::get::{age, name, yes_no};
use super::kind::Kind;

pub(super) fn token_row(token: &Value) -> Vec<String> {
    vec![
        name(Kind::EnrollmentToken, token).to_owned(),
        text(token, "/status/state"),
        number(token, "/status/uses"),
        number(token, "/spec/maxUses"),
        text(token, "/spec/approval"),
        text(token, "/spec/expiresAt"),
    ]
}

pub(super) fn identity_row(identity: &Value) -> Vec<String> {
    let with = ["/status/enrolledWith/token", "/status/enrolledWith/certificate"];
    let with = with.iter().find_map(|pointer| identity.pointer(pointer)).and_then(Value::as_str);
    let uids = identity.pointer("/status/instanceUids").and_then(Value::as_array);
    let uids: Vec<_> = uids.into_iter().flatten().filter_map(Value::as_str).collect();
    vec![
        name(Kind::Identity, identity).to_owned(),
        text(identity, "/metadata/namespace"),
        text(identity, "/status/state"),
        yes_no(identity.pointer("/status/connected").and_then(Value::as_bool)),
        credential(identity),
        with.unwrap_or("-").to_owned(),
        uids.join(","),
    ]
}

/// The newest credential, and whether it was only offered so far.
fn credential(identity: &Value) -> String {
    let credentials = identity.pointer("/status/credentials").and_then(Value::as_array);
    let Some(newest) = credentials.and_then(|all| all.last()) else { return "-".to_owned() };
    let kind = text(newest, "/type");
    let kind = match newest.get("expiresAt").and_then(Value::as_str) {
        Some(end) => format!("{kind} until {end}"),
        None => kind,
    };
    if newest.get("usedSince").is_none_or(Value::is_null) { format!("{kind} (offered)") } else { kind }
}

pub(super) fn request_row(request: &Value) -> Vec<String> {
    let made = request.pointer("/metadata/createdAt").and_then(Value::as_str).unwrap_or("");
    vec![
        name(Kind::CertificateRequest, request).to_owned(),
        text(request, "/status/state"),
        text(request, "/spec/instanceUid"),
        text(request, "/spec/key"),
        text(request, "/spec/subject"),
        age(made, Timestamp::now()),
    ]
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}

fn number(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_u64).map_or_else(|| "-".to_owned(), |n| n.to_string())
}
