//! Tokens, identities and certificate requests as JSON. No secret is shown, but a token's once.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::rfc3339;
use crate::server::{
    fleet::Fleet,
    identity::{
        CertificateRequest, Credential, EnrollmentToken, Identity, IdentityState, Kind, Origin, RequestState,
        Secret,
    },
};

pub(in crate::server::api) fn token(
    token: &EnrollmentToken,
    now: Timestamp,
    secret: Option<&Secret>,
) -> Value {
    let state = match (token.expired(now), token.used_up()) {
        (true, _) => "Expired",
        (false, true) => "UsedUp",
        (false, false) => "Active",
    };
    let mut status = json!({"state": state, "uses": token.uses});
    if let Some(secret) = secret {
        status["token"] = json!(secret.reveal());
    }
    json!({
        "kind": "EnrollmentToken",
        "apiVersion": "v1",
        "metadata": token.metadata,
        "spec": {
            "expiresAt": rfc3339(token.spec.expires_at),
            "maxUses": token.spec.max_uses,
            "labels": token.spec.labels,
            "approval": token.spec.approval,
        },
        "status": status,
    })
}

pub(in crate::server::api) fn identity(fleet: &Fleet, identity: &Identity) -> Value {
    let origin = match &identity.origin {
        Origin::Token { token, .. } => json!({"token": token}),
        Origin::Certificate { subject, .. } => json!({"certificate": subject}),
    };
    let (state, revoked_at) = match identity.state {
        IdentityState::Held => ("PendingApproval", None),
        IdentityState::Active => ("Active", None),
        IdentityState::Revoked(at) => ("Revoked", Some(rfc3339(at))),
    };
    let agents = || identity.uids.iter().filter_map(|uid| fleet.agents.get(uid));
    let seen = agents().map(|agent| agent.last_seen).max();
    json!({
        "kind": "Identity",
        "apiVersion": "v1",
        "metadata": {
            "name": identity.name,
            "namespace": identity.namespace,
            "createdAt": rfc3339(identity.created_at),
        },
        "status": {
            "state": state,
            "revokedAt": revoked_at,
            "enrolledWith": origin,
            "instanceUids": identity.uids,
            "connected": agents().any(|agent| agent.connected.is_some()),
            "lastReportedAt": seen.map(rfc3339),
            "credentials": identity.credentials.iter().map(credential).collect::<Vec<_>>(),
        },
    })
}

fn credential(credential: &Credential) -> Value {
    let mut shown = json!({
        "id": credential.id,
        "issuedAt": rfc3339(credential.issued_at),
        "usedSince": credential.used_since.map(rfc3339),
    });
    match &credential.kind {
        Kind::Bearer { .. } => shown["type"] = json!("Bearer"),
        Kind::Certificate { fingerprint, expires_at, .. } => {
            shown["type"] = json!("Certificate");
            shown["fingerprint"] = json!(fingerprint.to_string());
            shown["expiresAt"] = json!(rfc3339(*expires_at));
        }
    }
    shown
}

pub(in crate::server::api) fn request(request: &CertificateRequest) -> Value {
    let (state, reason) = match &request.state {
        RequestState::Pending => ("Pending", None),
        RequestState::Approved => ("Approved", None),
        RequestState::Denied(reason) => ("Denied", Some(reason)),
    };
    json!({
        "kind": "CertificateRequest",
        "apiVersion": "v1",
        "metadata": {"name": request.name, "createdAt": rfc3339(request.created_at)},
        "spec": {
            "identity": request.identity,
            "instanceUid": request.instance_uid,
            "subject": request.subject,
            "key": request.key,
            "request": request.csr,
        },
        "status": {"state": state, "reason": reason},
    })
}
