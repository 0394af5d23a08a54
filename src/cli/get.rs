//! `get`: objects as a table, as names, or whole as JSON and YAML.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::args::{Format, Get};
use super::client::Client;
use super::error::Error;
use super::kind::Kind;
use super::model::{Agent, ConfigState};
use super::package::rows;
use super::select::View;
use super::{enrolment, output, select};

pub(super) async fn run(client: &Client, get: &Get) -> Result<(), Error> {
    if !get.selector.is_empty() && get.kind != Kind::Agent {
        return Err(Error::Usage(format!("-l chooses agents; {} have no attributes", get.kind.plural())));
    }
    if get.scope.all_namespaces && !get.names.is_empty() {
        return Err(Error::Usage("a name is looked up in one namespace: say -n, not -A".to_owned()));
    }
    let items = if get.names.is_empty() { list(client, get).await? } else { named(client, get).await? };
    let text = match get.output {
        Format::Json | Format::Yaml => whole(items, get),
        Format::Name => items
            .iter()
            .map(|item| format!("{}/{}\n", get.kind, output::cell(name(get.kind, item))))
            .collect(),
        Format::Table | Format::Wide if items.is_empty() => {
            eprintln!("no {}", get.kind.plural());
            return Ok(());
        }
        Format::Table | Format::Wide => table(&items, get),
    };
    output::print(&text)
}

async fn list(client: &Client, get: &Get) -> Result<Vec<Value>, Error> {
    if !get.kind.is_namespaced() {
        return client.list(&get.kind.collection(""), &[]).await;
    }
    let mut items = Vec::new();
    for namespace in select::namespaces(client, &get.scope).await? {
        items.extend(match get.kind {
            Kind::Agent => select::agents(client, &namespace, &get.selector, view(get.output)).await?,
            kind => client.list(&kind.collection(&namespace), &[]).await?,
        });
    }
    Ok(items)
}

/// A table shows no body, so none is fetched for it.
fn view(format: Format) -> View {
    match format {
        Format::Json | Format::Yaml => View::Full,
        Format::Table | Format::Wide | Format::Name => View::Summary,
    }
}

async fn named(client: &Client, get: &Get) -> Result<Vec<Value>, Error> {
    let namespace = get.scope.namespace.name();
    let mut items = Vec::new();
    for name in &get.names {
        let found = client.find(&get.kind.object(namespace, name)).await?;
        let place =
            if get.kind.is_namespaced() { format!(" in namespace {namespace}") } else { String::new() };
        items.push(found.ok_or_else(|| Error::NotFound(format!("there is no {} {name}{place}", get.kind)))?);
    }
    Ok(items)
}

/// One object alone when one was asked for by name, else a list as the server gives it.
fn whole(mut items: Vec<Value>, get: &Get) -> String {
    let value = if get.names.len() == 1 {
        items.remove(0)
    } else {
        let metadata = json!({"continue": "", "remainingItemCount": 0});
        json!({"kind": get.kind.title(), "apiVersion": "v1", "metadata": metadata, "items": items})
    };
    if get.output == Format::Json { output::json(&value) } else { output::yaml(&value) }
}

pub(super) fn name(kind: Kind, item: &Value) -> &str {
    let pointer = if kind == Kind::Agent { "/metadata/instanceUid" } else { "/metadata/name" };
    item.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn table(items: &[Value], get: &Get) -> String {
    let wide = get.output == Format::Wide;
    let (mut header, rows): (Vec<&str>, Vec<Vec<String>>) = match get.kind {
        Kind::Agent => {
            let now = Timestamp::now();
            let rows = items.iter().map(|item| agent_row(Agent(item), now, get.output)).collect();
            (agent_header(get.output), rows)
        }
        Kind::AgentGroup => (
            vec!["NAME", "PRIORITY", "AGENTS", "CONNECTED", "HEALTHY", "CONFIGS"],
            items.iter().map(group_row).collect(),
        ),
        Kind::AgentRemoteConfig => (vec!["NAME", "TYPE", "BYTES"], items.iter().map(config_row).collect()),
        Kind::AgentPackage => (rows::PACKAGE.to_vec(), items.iter().map(rows::package).collect()),
        Kind::PackageOffer => (rows::OFFER.to_vec(), items.iter().map(rows::offer).collect()),
        Kind::Namespace => {
            (vec!["NAME"], items.iter().map(|item| vec![name(get.kind, item).to_owned()]).collect())
        }
        Kind::EnrollmentToken => (
            vec!["NAME", "STATE", "USES", "MAX USES", "APPROVAL", "EXPIRES"],
            items.iter().map(enrolment::token_row).collect(),
        ),
        Kind::Identity => (
            vec!["NAME", "NAMESPACE", "STATE", "CONNECTED", "CREDENTIAL", "ENROLLED WITH", "INSTANCE UIDS"],
            items.iter().map(enrolment::identity_row).collect(),
        ),
        Kind::CertificateRequest => (
            vec!["NAME", "STATE", "INSTANCE UID", "KEY", "SUBJECT", "REQUESTED"],
            items.iter().map(enrolment::request_row).collect(),
        ),
    };
    if !(get.scope.all_namespaces || wide) || !get.kind.is_namespaced() {
        return output::table(&header, rows);
    }
    header.insert(0, "NAMESPACE");
    let with_namespace = items.iter().zip(rows).map(|(item, mut row)| {
        row.insert(0, Agent(item).namespace().to_owned());
        row
    });
    output::table(&header, with_namespace.collect())
}

fn agent_header(format: Format) -> Vec<&'static str> {
    let mut header =
        vec!["INSTANCE UID", "NAME", "VERSION", "HOST", "CONNECTED", "HEALTHY", "CONFIG", "REPORTED"];
    if format == Format::Wide {
        header.extend(["TRANSPORT", "SEQ", "OS", "CONFIG HASH", "MESSAGE"]);
    }
    header
}

fn agent_row(agent: Agent<'_>, now: Timestamp, format: Format) -> Vec<String> {
    let attribute = |key| agent.attribute(key).unwrap_or("-").to_owned();
    let mut row = vec![
        agent.uid().to_owned(),
        attribute("service.name"),
        attribute("service.version"),
        attribute("host.name"),
        agent.presence().to_owned(),
        yes_no(agent.healthy()),
        config_word(&agent.config_state()).to_owned(),
        age(agent.last_reported_at(), now),
    ];
    if format == Format::Wide {
        let message = match agent.config_state() {
            ConfigState::Failed(message) | ConfigState::Unresolved(message) => message,
            _ => String::new(),
        };
        let hash: String = agent.reported_hash().chars().take(12).collect();
        row.extend([
            agent.transport().to_owned(),
            agent.sequence_num().map(|number| number.to_string()).unwrap_or_default(),
            attribute("os.type"),
            hash,
            message,
        ]);
    }
    row
}

/// A person's word for where the config stands.
pub(super) fn config_word(state: &ConfigState) -> &'static str {
    match state {
        ConfigState::Applied => "APPLIED",
        ConfigState::Failed(_) => "FAILED",
        ConfigState::Unresolved(_) => "UNRESOLVED",
        ConfigState::Pending => "PENDING",
        ConfigState::None => "-",
    }
}

pub(super) fn yes_no(value: Option<bool>) -> String {
    match value {
        Some(true) => "yes",
        Some(false) => "no",
        None => "-",
    }
    .to_owned()
}

/// How long ago, in the largest unit that fits.
pub(super) fn age(when: &str, now: Timestamp) -> String {
    let Ok(when) = when.parse::<Timestamp>() else { return "-".to_owned() };
    let seconds = now.duration_since(when).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s ago"),
        120..7_200 => format!("{}m ago", seconds / 60),
        7_200..172_800 => format!("{}h ago", seconds / 3_600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

fn group_row(group: &Value) -> Vec<String> {
    let number = |pointer: &str| {
        let value = group.pointer(pointer).and_then(Value::as_i64);
        value.map_or_else(|| "-".to_owned(), |value| value.to_string())
    };
    let configs = group.pointer("/spec/agentConfig/agentRemoteConfigs").and_then(Value::as_array);
    let config_name = |config: &Value| {
        let name = config.get("agentRemoteConfigRef").or_else(|| config.get("agentRemoteConfigName"));
        name.and_then(Value::as_str).map(str::to_owned)
    };
    let configs: Vec<String> = configs.into_iter().flatten().filter_map(config_name).collect();
    vec![
        name(Kind::AgentGroup, group).to_owned(),
        number("/spec/priority"),
        number("/status/numAgents"),
        number("/status/numConnectedAgents"),
        number("/status/numHealthyAgents"),
        configs.join(","),
    ]
}

fn config_row(config: &Value) -> Vec<String> {
    let text = |pointer: &str| config.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
    let bytes = text("/spec/value").len().to_string();
    vec![name(Kind::AgentRemoteConfig, config).to_owned(), text("/spec/contentType"), bytes]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_well() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let ages =
            ["2026-11-21T11:59:01Z", "2026-11-21T11:30:00Z", "2026-11-21T02:00:00Z", "2026-11-01T12:00:00Z"];
        assert_eq!(ages.map(|when| age(when, now)), ["59s ago", "30m ago", "10h ago", "20d ago"]);
        assert_eq!(age("2026-11-21T12:00:05Z", now), "0s ago");
        assert_eq!(age("", now), "-");
    }
}
