//! Connection settings: from what an operator writes to what an agent is offered, over real sockets.

use opamp::wire::proto::{
    AgentToServer, ConnectionSettingsOffers, ConnectionSettingsStatus, ConnectionSettingsStatuses, Headers,
};
use serde_json::{Value, json};

use crate::{
    agent::{CAPABILITIES, Identity, Socket, exchange},
    harness::Bench,
};

const GROUPS: &str = "/api/v1/namespaces/default/agentgroups";
/// Takes settings for OpAMP, and says what comes of them.
const OPAMP: u64 = 0x100 | 0x8000;
const OWN_TRACES: u64 = 0x20;
const OWN_METRICS: u64 = 0x40;
const OWN_LOGS: u64 = 0x80;
const OTHER: u64 = 0x200;

fn able(bits: u64, message: AgentToServer) -> AgentToServer {
    AgentToServer { capabilities: CAPABILITIES | bits, ..message }
}

fn group(name: &str, priority: i64, settings: &Value) -> Value {
    json!({"metadata": {"name": name}, "spec": {"priority": priority,
        "selector": {"nonIdentifyingAttributes": {"os.type": "linux"}},
        "agentConfig": {"connectionSettings": settings}}})
}

fn metrics(path: &str) -> Value {
    json!({"ownMetrics": {"destinationEndpoint": format!("https://otel.example.com{path}")}})
}

fn all_classes() -> Value {
    let to = |signal: &str| json!({"destinationEndpoint": format!("https://otel.example.com/v1/{signal}")});
    json!({"opamp": {"headers": {"X-Team": ["a"]}}, "ownMetrics": to("metrics"), "ownLogs": to("logs"),
        "ownTraces": to("traces"), "otherConnections": {"otlp/backend": {"destinationEndpoint": "backend:4317"}}})
}

fn status(
    agent: &mut Identity,
    offer: &ConnectionSettingsOffers,
    status: ConnectionSettingsStatuses,
    error: &str,
) -> AgentToServer {
    AgentToServer {
        connection_settings_status: Some(ConnectionSettingsStatus {
            last_connection_settings_hash: offer.hash.clone(),
            status: status as i32,
            error_message: error.to_owned(),
        }),
        ..agent.heartbeat()
    }
}

fn pairs(headers: Option<&Headers>) -> Vec<(&str, &str)> {
    let headers = headers.map_or(&[][..], |headers| &headers.headers);
    headers.iter().map(|header| (header.key.as_str(), header.value.as_str())).collect()
}

async fn made(bench: &Bench, group: Value) {
    let answer = bench.api("POST", GROUPS, Some(group)).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
}

#[tokio::test]
async fn s_cs_01_an_agent_is_offered_the_classes_that_it_takes_and_no_others() {
    let bench = Bench::new().await;
    made(&bench, group("all", 1, &all_classes())).await;
    for (last, bits) in
        (1..).zip([0, OPAMP, OWN_METRICS, OWN_LOGS, OWN_TRACES, OTHER, OPAMP | OWN_LOGS | OTHER])
    {
        let mut agent = Identity::new(last);
        let mut socket = Socket::connect(bench.server.opamp).await;
        let answer = socket.ask(&able(bits, agent.full_report())).await;
        assert_eq!(answer.connection_settings.is_some(), bits != 0, "{bits:#x}");
        let offer = answer.connection_settings.unwrap_or_default();
        assert_eq!(offer.opamp.is_some(), bits & OPAMP != 0, "{bits:#x}");
        assert_eq!(offer.own_metrics.is_some(), bits & OWN_METRICS != 0, "{bits:#x}");
        assert_eq!(offer.own_logs.is_some(), bits & OWN_LOGS != 0, "{bits:#x}");
        assert_eq!(offer.own_traces.is_some(), bits & OWN_TRACES != 0, "{bits:#x}");
        assert_eq!(offer.other_connections.contains_key("otlp/backend"), bits & OTHER != 0, "{bits:#x}");
    }
}

#[tokio::test]
async fn s_cs_05_s_hb_03_what_is_not_written_is_where_the_agent_came_to_and_a_heartbeat() {
    let bench = Bench::new().await;
    made(&bench, group("team", 1, &json!({"opamp": {"headers": {"X-Team": ["a", "b"]}}}))).await;
    let (mut ws, mut http) = (Identity::new(1), Identity::new(2));
    let mut socket = Socket::connect(bench.server.opamp).await;
    let offer = socket.ask(&able(OPAMP, ws.full_report())).await.connection_settings.unwrap().opamp.unwrap();
    let address = bench.server.opamp;
    assert_eq!(offer.destination_endpoint, format!("ws://{address}/v1/opamp"));
    assert_eq!((offer.heartbeat_interval_seconds, offer.certificate), (30, None));
    assert_eq!(pairs(offer.headers.as_ref()), [("X-Team", "a"), ("X-Team", "b")]);
    let offer = exchange(address, &able(OPAMP, http.full_report())).await.connection_settings.unwrap();
    assert_eq!(offer.opamp.unwrap().destination_endpoint, format!("http://{address}/v1/opamp"));
    // What is written is said: another place (S-CS-04), and no heartbeats.
    let elsewhere = json!({"opamp": {"destinationEndpoint": "wss://b.example.com/v1/opamp", "heartbeatIntervalSeconds": 0}});
    made(&bench, group("move", 2, &elsewhere)).await;
    let offer = socket.recv().await.connection_settings.unwrap().opamp.unwrap();
    assert_eq!(offer.destination_endpoint, "wss://b.example.com/v1/opamp");
    assert_eq!((offer.heartbeat_interval_seconds, offer.headers), (0, None));
}

#[tokio::test]
async fn s_cs_06_07_settings_are_offered_until_the_agent_names_their_hash_and_its_word_is_shown() {
    let bench = Bench::new().await;
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    let bits = OPAMP | OWN_METRICS;
    assert!(socket.ask(&able(bits, agent.full_report())).await.connection_settings.is_none());
    assert_eq!(bench.get(&agent.path()).await["status"]["connectionSettingsState"], "Unmanaged");

    made(&bench, group("one", 1, &metrics("/v1/metrics"))).await;
    let offer = socket.recv().await.connection_settings.unwrap();
    let shown = bench.get(&agent.path()).await["status"].clone();
    let hex: String = offer.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(shown["connectionSettingsState"], "Pending");
    assert_eq!(shown["desiredConnectionSettingsHash"], json!(hex));
    assert_eq!(shown["desiredConnectionSettings"], json!(["ownMetrics"]));
    // One that names another hash is told again; one that named this one is not.
    let stale = ConnectionSettingsOffers { hash: vec![1], ..Default::default() };
    let report = status(&mut agent, &stale, ConnectionSettingsStatuses::Applied, "");
    assert_eq!(socket.ask(&able(bits, report)).await.connection_settings, Some(offer.clone()));
    let failed =
        status(&mut agent, &offer, ConnectionSettingsStatuses::Failed, "no route to otel.example.com");
    assert_eq!(socket.ask(&able(bits, failed)).await.connection_settings, None);
    let shown = bench.get(&agent.path()).await["status"].clone();
    assert_eq!(shown["connectionSettingsState"], "Failed");
    assert_eq!(shown["connectionSettingsStatus"]["errorMessage"], "no route to otel.example.com");
    assert_eq!(shown["connectionSettingsStatus"]["lastConnectionSettingsHash"], json!(hex));
    let conditions = shown["conditions"].as_array().unwrap();
    let told = conditions.iter().find(|one| one["type"] == "ConnectionSettingsApplied").unwrap();
    assert_eq!((&told["status"], &told["reason"]), (&json!("False"), &json!("Failed")));
    assert_eq!(told["message"], "no route to otel.example.com");

    // It is stored: a restarted server still knows, and tells it nothing that it knows already.
    drop(socket);
    let bench = bench.restart().await;
    assert_eq!(bench.get(&agent.path()).await["status"]["connectionSettingsState"], "Failed");
    let mut socket = Socket::connect(bench.server.opamp).await;
    assert_eq!(socket.ask(&able(bits, agent.heartbeat())).await.connection_settings, None);
    let applied = status(&mut agent, &offer, ConnectionSettingsStatuses::Applied, "");
    socket.ask(&able(bits, applied)).await;
    assert_eq!(bench.get(&agent.path()).await["status"]["connectionSettingsState"], "Applied");
}

#[tokio::test]
async fn s_ot_01_02_03_telemetry_goes_with_the_first_answer_again_when_it_changed_and_not_otherwise() {
    let bench = Bench::new().await;
    made(&bench, group("one", 1, &metrics("/v1/metrics"))).await;
    let (mut ws, mut http) = (Identity::new(1), Identity::new(2));
    let mut socket = Socket::connect(bench.server.opamp).await;
    // Neither says what came of an offer, so only the server's memory keeps it from saying it again.
    let first = socket.ask(&able(OWN_METRICS, ws.full_report())).await.connection_settings.unwrap();
    assert_eq!(first.own_metrics.unwrap().destination_endpoint, "https://otel.example.com/v1/metrics");
    assert_eq!(bench.get(&ws.path()).await["status"]["connectionSettingsState"], "Unreported");
    for _ in 0..3 {
        assert_eq!(socket.ask(&able(OWN_METRICS, ws.heartbeat())).await.connection_settings, None);
    }
    let bits = OWN_METRICS | 0x8000;
    let first =
        exchange(bench.server.opamp, &able(bits, http.full_report())).await.connection_settings.unwrap();
    let report = status(&mut http, &first, ConnectionSettingsStatuses::Applied, "");
    assert_eq!(exchange(bench.server.opamp, &able(bits, report)).await.connection_settings, None);
    assert_eq!(exchange(bench.server.opamp, &able(bits, http.heartbeat())).await.connection_settings, None);

    // Another destination: at once on a WebSocket, with the next poll over plain HTTP.
    let path = format!("{GROUPS}/one");
    let answer = bench.api("PUT", &path, Some(group("one", 1, &metrics("/other/v1/metrics")))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let again = socket.recv().await.connection_settings.unwrap();
    assert_eq!(again.own_metrics.unwrap().destination_endpoint, "https://otel.example.com/other/v1/metrics");
    let again =
        exchange(bench.server.opamp, &able(bits, http.heartbeat())).await.connection_settings.unwrap();
    assert_ne!(again.hash, first.hash);
}

#[tokio::test]
async fn a_tie_keeps_what_is_wanted_and_is_said_on_agent_and_group() {
    let bench = Bench::new().await;
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    made(&bench, group("a", 1, &metrics("/a"))).await;
    let offer = socket.ask(&able(OWN_METRICS, agent.full_report())).await.connection_settings.unwrap();
    made(&bench, group("b", 1, &metrics("/b"))).await;
    let shown = bench.get(&agent.path()).await["status"].clone();
    assert_eq!(shown["connectionSettingsState"], "Unresolved");
    let hex: String = offer.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(shown["desiredConnectionSettingsHash"], json!(hex));
    for name in ["a", "b"] {
        let group = bench.get(&format!("{GROUPS}/{name}")).await;
        let conditions = group["status"]["conditions"].as_array().unwrap().clone();
        let told = conditions.iter().find(|one| one["type"] == "ConnectionSettingsApplied").unwrap();
        assert!(told["message"].as_str().unwrap().contains("for ownMetrics"), "{told}");
    }
    // What is set on the agent itself decides.
    let own = json!({"spec": {"connectionSettings": metrics("/own")}});
    assert_eq!(bench.api("PUT", &agent.path(), Some(own)).await.status, 200);
    let offer = socket.recv().await.connection_settings.unwrap();
    assert_eq!(offer.own_metrics.unwrap().destination_endpoint, "https://otel.example.com/own");
    // One level down, what is left out stays and null goes.
    let more = json!({"spec": {"connectionSettings": {"opamp": {"heartbeatIntervalSeconds": 5}}}});
    let spec = bench.api("PUT", &agent.path(), Some(more)).await.json()["spec"]["connectionSettings"].clone();
    assert_eq!(spec["ownMetrics"]["destinationEndpoint"], "https://otel.example.com/own");
    let less = json!({"spec": {"connectionSettings": {"ownMetrics": null}}});
    let spec = bench.api("PUT", &agent.path(), Some(less)).await.json()["spec"]["connectionSettings"].clone();
    assert_eq!(spec, json!({"opamp": {"heartbeatIntervalSeconds": 5}}));
}

#[tokio::test]
async fn s_cs_05_s_ot_04_05_s_ct_02_wrong_settings_are_refused_with_their_place() {
    let bench = Bench::new().await;
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    socket.ask(&able(OPAMP, agent.full_report())).await;
    let to = |endpoint: &str| json!({"destinationEndpoint": endpoint});
    let good = "https://otel.example.com/v1/metrics";
    for (settings, place) in [
        (json!({"opamp": to("ftp://a.example.com/")}), "opamp.destinationEndpoint"),
        (json!({"opamp": to("wss://")}), "opamp.destinationEndpoint"),
        (json!({"opamp": to("wss://u:secret@a.example.com/")}), "opamp.destinationEndpoint"),
        (json!({"ownMetrics": {"headers": {"a": ["b"]}}}), "ownMetrics.destinationEndpoint"),
        (json!({"ownMetrics": to("https://otel.example.com")}), "ownMetrics.destinationEndpoint"),
        (json!({"ownLogs": to("http://otel.example.com/v1/logs")}), "ownLogs.destinationEndpoint"),
        (json!({"ownTraces": to("otel.example.com:4318")}), "ownTraces.destinationEndpoint"),
        (json!({"ownMetrics": {"destinationEndpoint": good, "proxy": {"url": ""}}}), "ownMetrics.proxy.url"),
        (json!({"opamp": {"proxy": {"url": "proxy"}}}), "opamp.proxy.url"),
        (json!({"opamp": {"headers": {"a b": ["c"]}}}), "opamp.headers.a b"),
        (json!({"opamp": {"headers": {"Authorization": ["secret\r\nX: y"]}}}), "opamp.headers.Authorization"),
        (json!({"opamp": {"headers": {"Host": ["x"]}}}), "opamp.headers.Host"),
        (json!({"opamp": {"tls": {"minVersion": "1.4"}}}), "opamp.tls.minVersion"),
        (json!({"opamp": {"tls": {"minVersion": "1.3", "maxVersion": "TLSv1.2"}}}), "opamp.tls.minVersion"),
        (json!({"opamp": {"tls": {"caPemContents": "x"}}}), "opamp.tls.caPemContents"),
        (
            json!({"ownMetrics": {"destinationEndpoint": good, "heartbeatIntervalSeconds": 1}}),
            "ownMetrics.heartbeatIntervalSeconds",
        ),
        (json!({"opamp": {"heartbeatIntervalSeconds": 86401}}), "opamp.heartbeatIntervalSeconds"),
    ] {
        let on_group = bench.api("POST", GROUPS, Some(group("g", 1, &settings))).await;
        let body = json!({"spec": {"connectionSettings": settings}});
        let on_agent = bench.api("PUT", &agent.path(), Some(body)).await;
        for (answer, field) in [(on_group, "spec.agentConfig"), (on_agent, "spec")] {
            assert_eq!(answer.status, 400, "{settings}");
            let location = format!("body.{field}.connectionSettings.{place}");
            assert_eq!(answer.json()["errors"][0]["location"], json!(location), "{}", answer.text());
            assert!(!answer.text().contains("secret"), "{}", answer.text());
        }
    }
    let misspelt = json!({"spec": {"connectionSettings": {"ownMetric": to(good)}}});
    let answer = bench.api("PUT", &agent.path(), Some(misspelt)).await;
    assert!(answer.status == 400 && answer.text().contains("ownMetric"), "{}", answer.text());
    // Within the host, and where somebody says so, telemetry may go unencrypted.
    for settings in [
        json!({"ownLogs": to("http://127.0.0.1:4318/v1/logs"), "opamp": {"destinationEndpoint": "", "headers": null}}),
        json!({"ownLogs": {"destinationEndpoint": "http://otel:4318/v1/logs", "insecure": true}}),
    ] {
        let body = json!({"spec": {"connectionSettings": settings}});
        let answer = bench.api("PUT", &agent.path(), Some(body)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(
            answer.json()["spec"]["connectionSettings"].get("opamp"),
            None,
            "nothing was written in it"
        );
    }
}

/// The established supervisor is such an agent: it connects anew for each offer, and would do so for ever.
#[tokio::test]
async fn s_ot_03_an_agent_that_never_answers_is_offered_once_however_often_it_connects() {
    let bench = Bench::new().await;
    made(&bench, group("one", 1, &metrics("/v1/metrics"))).await;
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    let first = socket.ask(&able(OWN_METRICS, agent.full_report())).await.connection_settings;
    assert!(first.is_some());
    for _ in 0..2 {
        socket = Socket::connect(bench.server.opamp).await;
        assert_eq!(socket.ask(&able(OWN_METRICS, agent.full_report())).await.connection_settings, None);
    }
    let path = format!("{GROUPS}/one");
    let answer = bench.api("PUT", &path, Some(group("one", 1, &metrics("/other/v1/metrics")))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(socket.recv().await.connection_settings.is_some(), "others are news");
}
