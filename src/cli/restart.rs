//! `restart`: asks the server to have agents restarted.

use jiff::{Timestamp, Unit};
use serde_json::json;

use super::args::Restart;
use super::client::Client;
use super::error::Error;
use super::kind::Kind;
use super::model::Agent;
use super::{output, select};

pub(super) async fn run(client: &Client, restart: &Restart) -> Result<(), Error> {
    let namespace = restart.targets.namespace.name();
    let now = Timestamp::now();
    let now = now.round(Unit::Second).unwrap_or(now).to_string();
    for agent in select::targets(client, &restart.agent, &restart.targets, "restart").await? {
        let uid = Agent(&agent).uid();
        client.put(&Kind::Agent.object(namespace, uid), &json!({"spec": {"restartRequiredAt": now}})).await?;
        output::print(&format!("agent/{} restart requested\n", output::cell(uid)))?;
    }
    Ok(())
}
