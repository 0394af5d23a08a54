//! `create enrollmenttoken`: makes a token and prints its secret, which is shown this once.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::args::CreateToken;
use super::client::Client;
use super::error::Error;
use super::kind::Kind;
use super::output;

pub(super) async fn token(client: &Client, create: &CreateToken) -> Result<(), Error> {
    let namespace = create.namespace.name();
    let mut labels = BTreeMap::new();
    for label in &create.label {
        let pair = label.split_once('=').filter(|(key, _)| !key.is_empty());
        let (key, value) = pair.ok_or_else(|| Error::Usage(format!("--label {label:?}: write key=value")))?;
        labels.insert(key, value);
    }
    let approval = if create.manual_approval { "manual" } else { "automatic" };
    let body = json!({
        "kind": "EnrollmentToken",
        "metadata": {"name": create.name},
        "spec": {
            "ttlSeconds": create.ttl.as_secs(),
            "maxUses": create.max_uses,
            "labels": labels,
            "approval": approval,
        },
    });
    let path = Kind::EnrollmentToken.collection(namespace);
    let made = client.post(&path, &body).await?;
    let Some(secret) = made.pointer("/status/token").and_then(Value::as_str) else {
        let what = "it holds no token".to_owned();
        return Err(Error::Answer { url: client.server().to_owned(), what });
    };
    let until = made.pointer("/spec/expiresAt").and_then(Value::as_str).unwrap_or("");
    let agents =
        if create.max_uses == 1 { "one agent".to_owned() } else { format!("{} agents", create.max_uses) };
    eprintln!(
        "{}",
        output::clean(&format!(
            "enrollmenttoken/{} created for {agents} until {until}; it is not shown again. In supervisor.yaml:\n\
             server:\n  headers:\n    Authorization: Bearer <the token below>",
            create.name
        ))
    );
    output::print(&output::clean(&format!("{secret}\n")))
}
