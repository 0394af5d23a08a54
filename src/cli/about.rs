//! `whoami` and `version`.

use serde_json::Value;

use super::client::Client;
use super::error::Error;
use super::output;

pub(super) async fn whoami(client: &Client) -> Result<(), Error> {
    let info = client.get(&["auth", "info"], &[]).await?;
    let known = info.get("authenticated").and_then(Value::as_bool).unwrap_or(false);
    let email = info.get("email").and_then(Value::as_str).unwrap_or("");
    let name = match (known, email) {
        (false, _) => "not authenticated",
        (true, "") => "authenticated",
        (true, email) => email,
    };
    output::print(&format!("{}\n", output::cell(name)))
}

pub(super) fn client_version() -> Result<(), Error> {
    output::print(concat!("client: ", env!("CARGO_PKG_VERSION"), "\n"))
}

pub(super) async fn version(client: &Client) -> Result<(), Error> {
    client_version()?;
    let version = client.get(&["version"], &[]).await?;
    let text = |key: &str| version.get(key).and_then(Value::as_str).unwrap_or("");
    let line = format!("server: {} {} ({})", text("gitVersion"), text("platform"), client.server());
    output::print(&format!("{}\n", output::cell(&line)))
}
