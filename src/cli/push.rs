//! `config push`: one Collector config for some agents, and their answers.

use serde_json::json;

use super::apply::{self, Change};
use super::args::Push;
use super::client::Client;
use super::error::Error;
use super::kind::Kind;
use super::manifest::{self, Manifest};
use super::model::Agent;
use super::{lint, output, select, wait};

pub(super) async fn run(client: &Client, push: &Push) -> Result<(), Error> {
    let origin = manifest::origin(&push.file);
    let name = config_name(push)?;
    let value = manifest::read(&push.file)?;
    if value.trim().is_empty() {
        return Err(Error::Content { origin, what: "is empty".to_owned() });
    }
    lint::check(&value, &origin)?;
    let namespace = push.targets.namespace.name();
    let agents = select::targets(client, &push.agent, &push.targets, "push to").await?;

    let config = Manifest {
        kind: Kind::AgentRemoteConfig,
        namespace: namespace.to_owned(),
        name: name.clone(),
        body: json!({
            "kind": "AgentRemoteConfig", "apiVersion": "v1",
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"value": value, "contentType": "text/yaml"},
        }),
    };
    let change = apply::put(client, &config).await?;
    output::print(&format!("agentremoteconfig/{name} {}\n", change.word()))?;
    let mut pushed = Vec::new();
    for agent in &agents {
        pushed.push(assign(client, namespace, Agent(agent), push, &name, change).await?);
    }
    if push.no_wait {
        return Ok(());
    }
    wait::for_answers(client, namespace, pushed, push.timeout).await
}

/// Gives the config to one agent and says what changes by that.
async fn assign(
    client: &Client,
    namespace: &str,
    agent: Agent<'_>,
    push: &Push,
    name: &str,
    change: Change,
) -> Result<wait::Pushed, Error> {
    let before = agent.assigned();
    let mut wanted: Vec<&str> = if push.add { before.clone() } else { Vec::new() };
    if !wanted.contains(&name) {
        wanted.push(name);
    }
    let uid = agent.uid();
    let path = Kind::Agent.object(namespace, uid);
    let now = if before == wanted && change == Change::Unchanged {
        client.get(&path, &[]).await?
    } else {
        client.put(&path, &json!({"spec": {"remoteConfig": {"remoteConfigNames": wanted}}})).await?
    };
    let was = if before.is_empty() || before == wanted {
        String::new()
    } else {
        format!(" (was: {})", before.join(", "))
    };
    let text = format!("agent/{uid} {} <- {}{was}\n", agent.name(), wanted.join(", "));
    output::print(&output::clean(&text))?;
    Ok(wait::Pushed::new(&now, uid))
}

/// `--name`, or the file's name in the form that a name must have.
fn config_name(push: &Push) -> Result<String, Error> {
    let name = match &push.name {
        Some(name) => name.clone(),
        None => {
            let stem = push.file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
            let lower = stem.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
            lower.trim_matches('-').to_owned()
        }
    };
    if name.is_empty() {
        return Err(Error::Usage("give the config a name with --name".to_owned()));
    }
    manifest::check_name(&name).map_err(Error::Usage)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::args::{Args, Command, ConfigCommand};
    use super::*;

    fn name_of(arguments: &[&str]) -> Result<String, Error> {
        let line = ["opampctl", "config", "push", "--all"].iter().chain(arguments);
        match Args::try_parse_from(line).unwrap().command {
            Command::Config(ConfigCommand::Push(push)) => config_name(&push),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_config_is_named_by_its_file_unless_a_name_is_given() {
        assert_eq!(name_of(&["-f", "/etc/My_Pipeline.v2.yaml"]).unwrap(), "my-pipeline-v2");
        assert_eq!(name_of(&["-f", "-", "--name", "base"]).unwrap(), "base");
        assert_eq!(name_of(&["-f", "-"]).unwrap_err().exit_code(), 64);
        assert_eq!(name_of(&["-f", "x", "--name", "A B"]).unwrap_err().exit_code(), 64);
    }
}
