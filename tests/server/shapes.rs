//! Answers have the fields that Commander's recorded ones have, with the same types; more fields are fine.

use serde_json::{Value, json};

use crate::{
    agent::{Identity, Socket},
    harness::Bench,
};

/// Fields by answer, from `commander-shapes.txt`.
fn recorded(answer: &str) -> Vec<(&'static str, &'static str)> {
    let lines = include_str!("commander-shapes.txt").lines().filter(|line| !line.starts_with('#'));
    let fields = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields.filter(|parts| parts[0] == answer).map(|parts| (parts[1], parts[2])).collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The values at a pointer where `/0` is any element.
fn at<'a>(value: &'a Value, pointer: &str) -> Vec<&'a Value> {
    pointer.split('/').filter(|part| !part.is_empty()).fold(vec![value], |found, part| match part {
        "0" => found.iter().filter_map(|value| value.as_array()).flatten().collect(),
        name => found.iter().filter_map(|value| value.get(name)).collect(),
    })
}

fn assert_shape(answer: &str, value: &Value) {
    let fields = recorded(answer);
    assert!(fields.len() > 1, "no fields recorded for {answer}");
    for (pointer, wanted) in fields {
        let kinds: Vec<_> = at(value, pointer).into_iter().map(kind).collect();
        let right = kinds.iter().any(|kind| *kind == wanted || wanted == "null");
        assert!(right, "{answer} {pointer}: wanted {wanted}, found {kinds:?} in {value:#}");
    }
}

#[tokio::test]
async fn answers_have_the_recorded_fields() {
    let bench = Bench::new().await;
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    socket.ask(&agent.full_report()).await;

    assert_shape("version", &bench.get("/api/v1/version").await);
    assert_shape("auth-info", &bench.get("/api/v1/auth/info").await);
    assert_shape("namespace-list", &bench.get("/api/v1/namespaces").await);
    let team = json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "team-a", "createdAt": null},
        "status": {"conditions": null}});
    let made = bench.api("POST", "/api/v1/namespaces", Some(team)).await;
    assert_eq!((made.status, made.headers["location"].as_str()), (201, "/api/v1/namespaces/team-a"));
    assert_shape("namespace", &made.json());

    assert_shape(
        "agent-list",
        &bench.get("/api/v1/namespaces/default/agents?connected=true&limit=100").await,
    );
    // What Commander's own `restart agent` sends.
    let restart = json!({"metadata": {"instanceUid": "00000000-0000-0000-0000-000000000000", "namespace": ""},
        "spec": {"restartRequiredAt": "2026-11-21T04:05:52Z"},
        "status": {"componentHealth": {"healthy": false}, "connected": false}});
    let put = bench.api("PUT", &agent.path(), Some(restart)).await;
    assert_eq!(put.status, 200);
    assert_shape("agent", &put.json());
    assert_eq!(put.json()["spec"]["restartRequiredAt"], "2026-11-21T04:05:52Z");

    let settings = json!({"ownMetrics": {"destinationEndpoint": "http://127.0.0.1:4318/v1/metrics"}});
    let group = json!({"kind": "AgentGroup", "apiVersion": "v1",
        "metadata": {"namespace": "default", "name": "linux", "attributes": null, "createdAt": null},
        "spec": {"priority": 10,
            "selector": {"identifyingAttributes": {"service.name": "otelcol"}, "nonIdentifyingAttributes": {"os.type": "linux"}},
            "agentConfig": {"agentRemoteConfigs": [{"agentRemoteConfigRef": "base"}], "connectionSettings": settings}},
        "status": {"numAgents": 0, "conditions": null}});
    let made = bench.api("POST", "/api/v1/namespaces/default/agentgroups", Some(group)).await;
    let location = "/api/v1/namespaces/default/agentgroups/linux";
    assert_eq!((made.status, made.headers["location"].as_str()), (201, location));
    assert_shape("agentgroup", &made.json());
    assert_eq!(made.json()["status"]["numHealthyAgents"], 1);
    assert_eq!(bench.api("DELETE", location, None).await.status, 204);
    let listed = "/api/v1/namespaces/default/agentgroups?continue=&includeDeleted=true&limit=100";
    assert_shape("agentgroup-list", &bench.get(listed).await);

    // What Commander's own `create agentpackage` sends.
    let package = json!({"kind": "AgentPackage", "apiVersion": "v1",
        "metadata": {"name": "otelcol", "namespace": "default", "attributes": null, "createdAt": null},
        "spec": {"packageType": "TopLevel", "version": "0.149.0", "downloadUrl": "https://127.0.0.1/otelcol.tar.gz",
            "contentHash": "YWJj", "signature": "", "headers": null, "hash": "YWJj"},
        "status": {"conditions": null}});
    let made = bench.api("POST", "/api/v1/namespaces/default/agentpackages", Some(package.clone())).await;
    let location = "/api/v1/namespaces/default/agentpackages/otelcol";
    assert_eq!((made.status, made.headers["location"].as_str()), (201, location));
    assert_shape("agentpackage", &made.json());
    assert_eq!(made.json()["spec"], package["spec"]);
    let listed = bench.get("/api/v1/namespaces/default/agentpackages?continue=&limit=100").await;
    assert_shape("agentpackage-list", &listed);

    let missing = bench.api("GET", "/api/v1/namespaces/default/agentgroups/nope", None).await;
    assert_eq!(missing.status, 404);
    assert_shape("problem", &missing.json());
    assert_eq!(missing.json()["instance"], "/api/v1/namespaces/default/agentgroups/nope");
}
