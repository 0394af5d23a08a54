//! `package offer`, `withdraw`, `retry`: what operators want of agents' packages.

use serde_json::{Value, json};

use super::{
    super::{
        apply,
        args::{Offer, OneOffer},
        client::Client,
        kind::Kind,
        manifest::{self, Manifest},
        model::Agent,
        output, select,
    },
    Error, status,
};

/// These are identifying wherever an agent says them.
const ALWAYS_IDENTIFYING: [&str; 4] =
    ["service.name", "service.namespace", "service.version", "service.instance.id"];

pub(in crate::cli) async fn run(client: &Client, offer: &Offer) -> Result<(), Error> {
    let namespace = offer.targets.namespace.name();
    let name = offer.name.clone().unwrap_or_else(|| offer.packages[0].clone());
    manifest::check_name(&name).map_err(Error::Usage)?;
    for package in &offer.packages {
        if client.find(&Kind::AgentPackage.object(namespace, package)).await?.is_none() {
            let what = format!(
                "there is no agentpackage {package} in namespace {namespace}; opampctl get agentpackages shows those that \
                 there are"
            );
            return Err(Error::NotFound(what));
        }
    }
    let agents = select::targets(client, &offer.agent, &offer.targets, "offer to").await?;
    let body = json!({
        "kind": "PackageOffer",
        "apiVersion": "v1",
        "metadata": {"namespace": namespace, "name": name},
        "spec": spec(offer, &agents),
    });
    let manifest =
        Manifest { kind: Kind::PackageOffer, namespace: namespace.to_owned(), name: name.clone(), body };
    let change = apply::put(client, &manifest).await?;
    output::print(&format!("packageoffer/{name} {}\n", change.word()))?;
    if !offer.wait {
        return Ok(());
    }
    status::follow(client, namespace, &name, Some(offer.timeout)).await
}

fn spec(offer: &Offer, agents: &[Value]) -> Value {
    let mut spec = json!({"packages": offer.packages});
    if !offer.agent.is_empty() {
        spec["agents"] = json!(offer.agent);
    }
    let (mut identifying, mut others) = (json!({}), json!({}));
    for (key, value) in offer.targets.selector.iter().flat_map(|selector| selector.pairs()) {
        let said = agents.iter().any(|agent| Agent(agent).identifies_by(key));
        let map = if ALWAYS_IDENTIFYING.contains(&key) || said { &mut identifying } else { &mut others };
        map[key] = json!(value);
    }
    for (key, map) in [("identifyingAttributes", identifying), ("nonIdentifyingAttributes", others)] {
        if map.as_object().is_some_and(|map| !map.is_empty()) {
            spec["selector"][key] = map;
        }
    }
    for (key, given) in [("maxInFlight", &offer.max_in_flight), ("maxFailed", &offer.max_failed)] {
        if let Some(text) = given {
            // What is no number is judged by the server, with its place.
            spec[key] = text.parse::<u32>().map_or_else(|_| json!(text), |count| json!(count));
        }
    }
    if offer.priority != 0 {
        spec["priority"] = json!(offer.priority);
    }
    if offer.pause {
        spec["paused"] = json!(true);
    }
    spec
}

pub(in crate::cli) async fn withdraw(client: &Client, one: &OneOffer) -> Result<(), Error> {
    let path = Kind::PackageOffer.object(one.namespace.name(), &one.offer);
    client.delete(&path).await.map_err(|error| missing(error, &one.offer))?;
    output::print(&format!("packageoffer/{} withdrawn\n", one.offer))
}

pub(in crate::cli) async fn retry(client: &Client, one: &OneOffer) -> Result<(), Error> {
    let mut path = Kind::PackageOffer.object(one.namespace.name(), &one.offer);
    path.push("retry");
    let offer = client.post(&path, &json!({})).await.map_err(|error| missing(error, &one.offer))?;
    let number = |key: &str| offer["status"][key].as_u64().unwrap_or(0);
    let (waiting, flying) = (number("waiting"), number("inFlight"));
    output::print(&format!(
        "packageoffer/{} goes on: {flying} agents are at it, {waiting} wait for their turn\n",
        one.offer
    ))
}

pub(super) fn missing(error: Error, name: &str) -> Error {
    match error {
        Error::Api { status: 404, .. } => Error::NotFound(format!("there is no packageoffer {name}")),
        error => error,
    }
}
