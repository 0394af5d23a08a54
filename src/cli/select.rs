//! Which agents a command means.

use std::io::{IsTerminal, Write};
use std::str::FromStr;

use serde_json::Value;

use super::args::Targets;
use super::client::Client;
use super::error::Error;
use super::kind::Kind;
use super::model::Agent;

/// These attributes the OpAMP specification makes identifying, so the server can look for them.
const ALWAYS_IDENTIFYING: [&str; 3] = ["service.name", "service.version", "service.instance.id"];

/// `k=v,k=v`: all of them must hold, each as an identifying or a non-identifying attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selector(Vec<(String, String)>);

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pairs = text.split(',').map(|pair| match pair.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok((key.trim().to_owned(), value.trim().to_owned()))
            }
            _ => Err(format!("{pair:?} is not key=value")),
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }
}

impl Selector {
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub(super) fn matches(&self, agent: Agent<'_>) -> bool {
        self.0.iter().all(|(key, value)| agent.has_attribute(key, value))
    }
}

/// How much of each agent is asked for. A server that knows no views sends all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Full,
    /// Without effective config, components and the health of each component.
    Summary,
}

/// The agents of one namespace that match every selector.
pub(super) async fn agents(
    client: &Client,
    namespace: &str,
    selectors: &[Selector],
    view: View,
) -> Result<Vec<Value>, Error> {
    let pairs = selectors.iter().flat_map(|selector| &selector.0);
    let mut query: Vec<(&str, String)> = pairs
        .filter(|(key, _)| ALWAYS_IDENTIFYING.contains(&key.as_str()))
        .map(|(key, value)| ("selector", format!("{key}={value}")))
        .collect();
    if view == View::Summary {
        query.push(("view", "summary".to_owned()));
    }
    let mut found = client.list(&Kind::Agent.collection(namespace), &query).await?;
    found.retain(|agent| selectors.iter().all(|selector| selector.matches(Agent(agent))));
    Ok(found)
}

/// The names of all namespaces, or the one that was asked for.
pub(super) async fn namespaces(client: &Client, scope: &super::args::Scope) -> Result<Vec<String>, Error> {
    if !scope.all_namespaces {
        return Ok(vec![scope.namespace.name().to_owned()]);
    }
    let found = client.list(&["namespaces"], &[]).await?;
    let name = |namespace: &Value| namespace.pointer("/metadata/name")?.as_str().map(str::to_owned);
    Ok(found.iter().filter_map(name).collect())
}

/// The agents that a changing command acts on; when they are several, only after a yes.
pub(super) async fn targets(
    client: &Client,
    uids: &[String],
    targets: &Targets,
    what: &str,
) -> Result<Vec<Value>, Error> {
    let namespace = targets.namespace.name();
    let mut found = Vec::new();
    if uids.is_empty() {
        found = agents(client, namespace, &targets.selector, View::Summary).await?;
    }
    for uid in uids {
        found.push(client.get(&Kind::Agent.object(namespace, uid), &[]).await?);
    }
    match found.len() {
        0 => {
            return Err(Error::NotFound(format!(
                "no agent in namespace {namespace} matches; nothing was changed"
            )));
        }
        1 => {}
        _ if !uids.is_empty() => {}
        count => confirm(&found, count, targets, what)?,
    }
    Ok(found)
}

fn confirm(found: &[Value], count: usize, targets: &Targets, what: &str) -> Result<(), Error> {
    let mut text = format!("{count} agents match:\n");
    for agent in found.iter().take(10) {
        let agent = Agent(agent);
        text += &format!("  {} {}\n", agent.uid(), agent.name());
    }
    if count > 10 {
        text += &format!("  and {} more\n", count - 10);
    }
    eprint!("{}", super::output::clean(&text));
    if targets.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Error::Usage(format!("to {what} {count} agents without being asked, say --yes")));
    }
    eprint!("{what} all {count}? [y/N] ");
    std::io::stderr().flush().map_err(Error::Output)?;
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|source| Error::Read { path: "standard input".into(), source })?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Error::Declined),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_pair_must_hold_in_either_kind_of_attribute() {
        let agent = json!({"metadata": {"description": {
            "identifyingAttributes": {"service.name": "otelcol"},
            "nonIdentifyingAttributes": {"os.type": "linux"}}}});
        let matches = |text: &str| text.parse::<Selector>().unwrap().matches(Agent(&agent));
        assert!(matches("service.name=otelcol,os.type=linux"));
        assert!(!matches("service.name=otelcol,os.type=darwin"));
        assert!(!matches("absent=x"));
    }

    #[test]
    fn a_pair_without_equals_is_an_error() {
        assert!("a".parse::<Selector>().is_err());
        assert!("=b".parse::<Selector>().is_err());
        assert!("".parse::<Selector>().is_err());
        assert_eq!("a=b=c".parse::<Selector>(), Ok(Selector(vec![("a".into(), "b=c".into())])));
    }
}
