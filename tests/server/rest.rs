//! REST: what is written is read back, lists page, and bad requests say what is wrong.

use serde_json::{Value, json};

use crate::{
    agent::{Identity, exchange},
    harness::Bench,
};

const CONFIGS: &str = "/api/v1/namespaces/default/agentremoteconfigs";
const GROUPS: &str = "/api/v1/namespaces/default/agentgroups";
const AGENTS: &str = "/api/v1/namespaces/default/agents";

fn config(name: &str, value: &str) -> Value {
    json!({"kind": "AgentRemoteConfig", "apiVersion": "v1", "metadata": {"name": name}, "spec": {"value": value}})
}

#[tokio::test]
async fn agent_remote_configs_round_trip() {
    let bench = Bench::new().await;
    let made = bench.api("POST", CONFIGS, Some(config("base", "a: 1\n"))).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.headers["location"], format!("{CONFIGS}/base"));
    let one = bench.get(&format!("{CONFIGS}/base")).await;
    assert_eq!(one["spec"], json!({"value": "a: 1\n", "contentType": "text/yaml"}));
    assert_eq!(one["status"]["conditions"][0]["type"], "Created");

    // Commander answers 500 to this.
    let again = bench.api("POST", CONFIGS, Some(config("base", "a: 2\n"))).await;
    assert_eq!(again.status, 409);
    assert_eq!(again.headers["content-type"], "application/problem+json");
    let put = bench.api("PUT", &format!("{CONFIGS}/base"), Some(config("base", "a: 2\n"))).await.json();
    assert_eq!(
        (&put["spec"]["value"], &put["metadata"]["createdAt"]),
        (&json!("a: 2\n"), &one["metadata"]["createdAt"])
    );
    assert_eq!(bench.api("PUT", &format!("{CONFIGS}/gone"), Some(config("gone", ""))).await.status, 404);
    assert_eq!(bench.api("DELETE", &format!("{CONFIGS}/base"), None).await.status, 204);
    assert_eq!(bench.api("DELETE", &format!("{CONFIGS}/base"), None).await.status, 404);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let bench = Bench::new().await;
    for name in ["a", "b", "c", "d", "e"] {
        assert_eq!(bench.api("POST", CONFIGS, Some(config(name, ""))).await.status, 201);
    }
    let (mut names, mut next) = (Vec::new(), String::new());
    for left in [3, 1, 0] {
        let page = bench.get(&format!("{CONFIGS}?limit=2&continue={next}")).await;
        assert_eq!(page["metadata"]["remainingItemCount"], left);
        names.extend(page["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].clone()));
        next = page["metadata"]["continue"].as_str().unwrap().to_owned();
    }
    assert_eq!((names, next.as_str()), (["a", "b", "c", "d", "e"].map(Value::from).to_vec(), ""));
    assert_eq!(bench.api("GET", &format!("{CONFIGS}?limit=x"), None).await.status, 400);
}

#[tokio::test]
async fn bad_requests_say_what_is_wrong_and_where() {
    let bench = Bench::new().await;
    let group = |spec: Value| json!({"metadata": {"name": "g"}, "spec": spec});
    let cases = [
        (CONFIGS, config("Upper Case", ""), "body.metadata.name"),
        (CONFIGS, json!({"metadata": {"name": "a"}}), "body.spec"),
        (
            CONFIGS,
            json!({"kind": "AgentGroup", "metadata": {"name": "a"}, "spec": {"value": ""}}),
            "body.kind",
        ),
        (
            CONFIGS,
            json!({"metadata": {"name": "a", "namespace": "b"}, "spec": {"value": ""}}),
            "body.metadata.namespace",
        ),
        // A lost selector would select everything.
        (GROUPS, group(json!({"selektor": {"identifyingAttributes": {"a": "b"}}})), "body"),
        (
            GROUPS,
            group(json!({"agentConfig": {"agentRemoteConfigs": [{}]}})),
            "body.spec.agentConfig.agentRemoteConfigs[0]",
        ),
    ];
    for (path, body, location) in cases {
        let answer = bench.api("POST", path, Some(body.clone())).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.json()["errors"][0]["location"], location, "{}", answer.text());
    }
    let nowhere = "/api/v1/namespaces/nowhere/agentremoteconfigs";
    assert_eq!(bench.api("POST", nowhere, Some(config("a", ""))).await.status, 404);
    assert_eq!(bench.api("PATCH", CONFIGS, None).await.status, 405);
    assert_eq!(bench.api("GET", &format!("{AGENTS}/not-a-uid"), None).await.status, 400);
    assert_eq!(bench.api("GET", &format!("{AGENTS}/{}", Identity::new(9).uid), None).await.status, 404);
    for query in
        ["selector=x", "nonIdentifyingSelector==x", "connected=maybe", "labelSelector=a+in+b", "view=x"]
    {
        let answer = bench.api("GET", &format!("{AGENTS}?{query}"), None).await;
        assert_eq!(answer.status, 400, "{query}");
    }
}

#[tokio::test]
async fn agents_are_found_by_attributes_labels_and_part_of_the_uid() {
    let bench = Bench::new().await;
    let (mut one, mut two) = (Identity::new(1), Identity::new(2));
    exchange(bench.server.opamp, &one.full_report()).await;
    let mut report = two.full_report();
    report.agent_description.as_mut().unwrap().non_identifying_attributes.clear();
    exchange(bench.server.opamp, &report).await;
    exchange(bench.server.opamp, &two.goodbye()).await;
    let labels = json!({"metadata": {"labels": {"ring": "canary"}}});
    assert_eq!(bench.api("PUT", &one.path(), Some(labels)).await.status, 200);

    let cases = [
        ("", 2),
        ("selector=service.name%3Dotelcol", 2),
        ("selector=service.name%3Dotelcol&selector=service.version%3D0.1", 0),
        ("nonIdentifyingSelector=os.type%3Dlinux", 1),
        ("labelSelector=ring%3Dcanary,os.type+in+(linux,darwin)", 1),
        ("labelSelector=!ring", 1),
        ("connected=true", 1),
        ("connected=false", 1),
    ];
    for (query, count) in cases {
        let found = bench.get(&format!("{AGENTS}?{query}")).await;
        assert_eq!(found["items"].as_array().unwrap().len(), count, "{query}");
    }
    let tail = &two.uid.to_string()[30..];
    let found = bench.get(&format!("{AGENTS}/search?q={tail}")).await;
    assert_eq!(found["items"][0]["metadata"]["instanceUid"], two.uid.to_string());
    assert_eq!(bench.api("GET", &format!("{AGENTS}/search?q=%25"), None).await.status, 400);

    let summary = bench.get(&format!("{AGENTS}?view=summary&connected=true")).await;
    let status = &summary["items"][0]["status"];
    assert_eq!(
        (&status["effectiveConfig"], &status["availableComponents"]),
        (&Value::Null, &json!({"hash": "abcd"}))
    );
    let groups = json!({"metadata": {"name": "g"}, "spec": {"selector": {"nonIdentifyingAttributes": {"os.type": "linux"}}}});
    // The older path.
    assert_eq!(bench.api("POST", "/api/v1/agentgroups", Some(groups)).await.status, 201);
    assert_eq!(bench.get(&format!("{}/agentgroups", one.path())).await["items"][0]["metadata"]["name"], "g");
    assert_eq!(bench.get(&format!("{GROUPS}/g/agents")).await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_agents_spec_merges_and_what_cannot_work_is_refused() {
    let bench = Bench::new().await;
    let mut agent = Identity::new(1);
    let mut report = agent.full_report();
    // Without AcceptsRestartCommand.
    report.capabilities &= !0x400;
    exchange(bench.server.opamp, &report).await;
    let put = |body: Value| bench.api("PUT", agent_path(&agent), Some(body));
    assert_eq!(put(json!({"spec": {"restartRequiredAt": "2026-11-21T04:05:52Z"}})).await.status, 409);
    let unknown = put(json!({"spec": {"remoteConfig": {"remoteConfigNames": ["nope"]}}})).await;
    assert_eq!(
        (unknown.status, &unknown.json()["errors"][0]["location"]),
        (400, &json!("body.spec.remoteConfig.remoteConfigNames"))
    );
    assert_eq!(put(json!({"spec": {"newInstanceUid": "x"}})).await.status, 400);
    assert_eq!(put(json!({"spec": {"remoteConfigs": {}}})).await.status, 400);

    let map = json!({"extra": {"body": "a: 1", "contentType": "text/yaml"}});
    put(json!({"spec": {"remoteConfig": {"configMap": map}}})).await;
    bench.api("POST", CONFIGS, Some(config("base", "b: 1"))).await;
    let now = put(json!({"spec": {"remoteConfig": {"remoteConfigNames": ["base"]}}})).await.json();
    assert_eq!(now["spec"]["remoteConfig"], json!({"remoteConfigNames": ["base"], "configMap": map}));
    assert_eq!(now["status"]["desiredConfigNames"], json!(["base", "extra"]));
    let now = put(json!({"spec": {"remoteConfig": null}})).await.json();
    assert_eq!((&now["spec"], &now["status"]["desiredConfigNames"]), (&json!({}), &json!([])));

    // Connected agents are not forgotten.
    assert_eq!(bench.api("DELETE", agent_path(&agent), None).await.status, 409);
    exchange(bench.server.opamp, &agent.clone().goodbye()).await;
    assert_eq!(bench.api("DELETE", agent_path(&agent), None).await.status, 204);
    assert_eq!(bench.api("GET", agent_path(&agent), None).await.status, 404);
}

fn agent_path(agent: &Identity) -> &'static str {
    Box::leak(agent.path().into_boxed_str())
}

#[tokio::test]
async fn a_namespace_goes_only_when_it_is_empty() {
    let bench = Bench::new().await;
    let named = json!({"metadata": {"name": "team"}});
    assert_eq!(bench.api("POST", "/api/v1/namespaces", Some(named.clone())).await.status, 201);
    assert_eq!(bench.api("POST", "/api/v1/namespaces", Some(named.clone())).await.status, 409);
    assert_eq!(bench.api("PUT", "/api/v1/namespaces/team", Some(named)).await.status, 200);
    assert_eq!(
        bench.api("POST", "/api/v1/namespaces/team/agentremoteconfigs", Some(config("a", ""))).await.status,
        201
    );
    assert_eq!(bench.api("DELETE", "/api/v1/namespaces/team", None).await.status, 409);
    assert_eq!(bench.api("DELETE", "/api/v1/namespaces/team/agentremoteconfigs/a", None).await.status, 204);
    assert_eq!(bench.api("DELETE", "/api/v1/namespaces/team", None).await.status, 204);
    assert_eq!(bench.api("DELETE", "/api/v1/namespaces/default", None).await.status, 409);
}
