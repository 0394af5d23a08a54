//! `revoke`, `rotate`, `approve` and `deny`: what operators decide about identities and requests for certificates.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::args::{Approve, Deny, Revoke, Rotate};
use super::client::Client;
use super::error::Error;
use super::kind::Kind;
use super::output;

pub(super) async fn revoke(client: &Client, revoke: &Revoke) -> Result<(), Error> {
    only(revoke.kind, &[Kind::Identity], "revoke")?;
    post(client, revoke.kind, &revoke.name, "revoke", &json!({})).await?;
    output::print(&format!("{}/{} revoked\n", revoke.kind, revoke.name))
}

pub(super) async fn rotate(client: &Client, rotate: &Rotate) -> Result<(), Error> {
    only(rotate.kind, &[Kind::Identity], "rotate")?;
    post(client, rotate.kind, &rotate.name, "rotate", &json!({})).await?;
    output::print(&format!("{}/{} has a new credential, offered to its agent\n", rotate.kind, rotate.name))
}

pub(super) async fn approve(client: &Client, approve: &Approve) -> Result<(), Error> {
    only(approve.kind, &[Kind::Identity, Kind::CertificateRequest], "approve")?;
    let mut body = json!({});
    if approve.kind != Kind::CertificateRequest
        && (approve.certificate.is_some() || approve.ca_certificate.is_some())
    {
        return Err(Error::Usage("--certificate is for a certificaterequest".to_owned()));
    }
    if let Some(path) = &approve.certificate {
        body["certificate"] = json!(read(path)?);
    }
    if let Some(path) = &approve.ca_certificate {
        body["caCertificate"] = json!(read(path)?);
    }
    post(client, approve.kind, &approve.name, "approve", &body).await?;
    output::print(&format!("{}/{} approved\n", approve.kind, approve.name))
}

pub(super) async fn deny(client: &Client, deny: &Deny) -> Result<(), Error> {
    only(deny.kind, &[Kind::CertificateRequest], "deny")?;
    let body = json!({"reason": deny.reason.as_deref().unwrap_or("")});
    post(client, deny.kind, &deny.name, "deny", &body).await?;
    output::print(&format!("{}/{} denied\n", deny.kind, deny.name))
}

fn only(kind: Kind, kinds: &[Kind], verb: &str) -> Result<(), Error> {
    if kinds.contains(&kind) {
        return Ok(());
    }
    let names: Vec<String> = kinds.iter().map(Kind::to_string).collect();
    Err(Error::Usage(format!("{verb} is for {}, not for {}", names.join(" and "), kind.plural())))
}

async fn post(client: &Client, kind: Kind, name: &str, verb: &str, body: &Value) -> Result<(), Error> {
    let mut path = kind.object("", name);
    path.push(verb);
    match client.post(&path, body).await {
        Ok(_) => Ok(()),
        Err(Error::Api { status: 404, .. }) => Err(Error::NotFound(format!("there is no {kind} {name}"))),
        Err(e) => Err(e),
    }
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}
