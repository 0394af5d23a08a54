//! The agent plane over both transports.

use opamp::wire::{
    body, frame,
    proto::{AgentToServer, ServerErrorResponseType, ServerToAgent, ServerToAgentFlags},
};
use serde_json::json;

use crate::{
    agent::{Identity, LIMIT, Socket, exchange, post},
    harness::{Bench, http},
};

#[tokio::test]
async fn ws_first_report_is_answered_and_the_agent_appears() {
    let bench = Bench::new().await;
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    let reply = socket.ask(&agent.full_report()).await;
    // S-ID-01, S-CP-02, S-CP-04; nothing is missing, so nothing is asked for.
    assert_eq!(reply.instance_uid, agent.uid.to_vec());
    assert_eq!((reply.capabilities, reply.flags), (0b11_1111, 0));
    // S-SQ-04, S-SQ-05, S-CP-03.
    let ack = socket.ask(&agent.heartbeat()).await;
    assert_eq!(ack, ServerToAgent { instance_uid: agent.uid.to_vec(), ..Default::default() });

    let shown = bench.get(&agent.path()).await;
    assert_eq!(shown["status"]["connected"], true);
    assert_eq!(shown["status"]["connectionType"], "WebSocket");
    assert_eq!(shown["status"]["sequenceNum"], 1);
    let health = &shown["status"]["componentHealth"];
    assert_eq!(health["components"]["pipeline:traces"]["components"]["receiver:otlp"]["healthy"], true);
    assert_eq!(shown["status"]["availableComponents"]["hash"], "abcd");
}

#[tokio::test]
async fn ws_s_sq_02_a_gap_is_answered_by_asking_for_everything() {
    let bench = Bench::new().await;
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    socket.ask(&agent.full_report()).await;
    agent.sequence_num += 1;
    let reply = socket.ask(&agent.heartbeat()).await;
    assert_eq!(reply.flags, ServerToAgentFlags::ReportFullState as u64);
    let reply = socket.ask(&agent.full_report()).await;
    assert_eq!(reply.flags, 0);
}

#[tokio::test]
async fn ws_s_ws_03_s_ad_02_a_closed_or_parting_agent_is_shown_so() {
    let bench = Bench::new().await;
    let (mut lost, mut parting) = (Identity::new(1), Identity::new(2));
    let mut socket = Socket::connect_at(bench.server.opamp, "/api/v1/opamp").await;
    socket.ask(&lost.full_report()).await;
    drop(socket);
    bench.until(&lost.path(), |agent| agent["status"]["connected"] == false).await;

    let mut socket = Socket::connect(bench.server.opamp).await;
    socket.ask(&parting.full_report()).await;
    // Answered like any other message.
    socket.ask(&parting.goodbye()).await;
    assert_eq!(bench.get(&parting.path()).await["status"]["connected"], false);
}

#[tokio::test]
async fn ws_b_ws_07_several_agents_on_one_connection() {
    let bench = Bench::new().await;
    let (mut one, mut two) = (Identity::new(1), Identity::new(2));
    let mut socket = Socket::connect(bench.server.opamp).await;
    assert_eq!(socket.ask(&one.full_report()).await.instance_uid, one.uid.to_vec());
    assert_eq!(socket.ask(&two.full_report()).await.instance_uid, two.uid.to_vec());
    let agents = bench.get("/api/v1/namespaces/default/agents?connected=true").await;
    assert_eq!(agents["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn http_plain_and_gzipped_bodies_s_ht_01_02_03() {
    let bench = Bench::new().await;
    let mut agent = Identity::new(1);
    let reply = exchange(bench.server.opamp, &agent.full_report()).await;
    assert_eq!((reply.instance_uid, reply.capabilities), (agent.uid.to_vec(), 0b11_1111));
    let value = "x".repeat(4000);
    let spec = json!({"metadata": {"name": "big"}, "spec": {"value": value}});
    assert_eq!(
        bench.api("POST", "/api/v1/namespaces/default/agentremoteconfigs", Some(spec)).await.status,
        201
    );
    let assigned = json!({"spec": {"remoteConfig": {"remoteConfigNames": ["big"]}}});
    assert_eq!(bench.api("PUT", &agent.path(), Some(assigned)).await.status, 200);

    let zipped = body::gzip(&body::encode(&agent.heartbeat(), LIMIT).unwrap());
    let headers = [("content-encoding", "gzip"), ("accept-encoding", "gzip, br")];
    let answer = post(bench.server.opamp, &headers, &zipped).await;
    assert_eq!((answer.status, answer.headers["content-encoding"].as_str()), (200, "gzip"));
    assert!(answer.body.len() < 400);
    let reply: ServerToAgent = body::decode(&answer.body, Some("gzip"), LIMIT).unwrap();
    // S-HT-04: kept for the agent's next request.
    let offer = reply.remote_config.expect("an offer");
    assert_eq!(offer.config.unwrap().config_map["big"].body, value.as_bytes());
    assert_eq!(bench.get(&agent.path()).await["status"]["connectionType"], "HTTP");

    exchange(bench.server.opamp, &agent.goodbye()).await;
    assert_eq!(bench.get(&agent.path()).await["status"]["connected"], false);
}

#[tokio::test]
async fn s_tc_01_03_the_media_type_decides_between_the_transports() {
    let bench = Bench::new().await;
    let bytes = body::encode(&Identity::new(1).full_report(), LIMIT).unwrap();
    let with = |kind: &'static str, path: &'static str| {
        let (bytes, address) = (bytes.clone(), bench.server.opamp);
        async move { http(address, "POST", path, &[("content-type", kind)], &bytes).await.status }
    };
    assert_eq!(with("application/x-protobuf; charset=utf-8", "/v1/opamp").await, 200);
    assert_eq!(with("Application/X-Protobuf", "/api/v1/opamp").await, 200);
    assert_eq!(with("application/json", "/v1/opamp").await, 426);
    assert_eq!(with("application/x-protobuf", "/nowhere").await, 404);
}

#[tokio::test]
async fn s_th_04_05_06_a_malformed_message_is_answered_with_bad_request() {
    let bench = Bench::new().await;
    let answer = post(bench.server.opamp, &[], &[0xff, 0xff, 0xff]).await;
    assert_eq!(answer.status, 200);
    let reply: ServerToAgent = body::decode(&answer.body, None, LIMIT).unwrap();
    let error = reply.error_response.expect("an error response");
    assert_eq!(error.r#type(), ServerErrorResponseType::BadRequest);
    assert!(!error.error_message.is_empty());

    let short = AgentToServer { instance_uid: vec![1; 5], ..Default::default() };
    let reply = exchange(bench.server.opamp, &short).await;
    assert!(reply.error_response.unwrap().error_message.contains("5 bytes"));
    assert_eq!(reply.capabilities, 0, "S-HL-03: nothing beside the error");

    let mut socket = Socket::connect(bench.server.opamp).await;
    let bad = [1, 2, 3];
    for _ in 0..9 {
        use futures_util::SinkExt;
        socket.0.send(tokio_tungstenite::tungstenite::Message::Binary(bad.to_vec().into())).await.unwrap();
        let reply = socket.recv().await;
        assert!(reply.error_response.unwrap().error_message.contains("reserved"));
    }
    // It still works for good ones, and is closed only after ten bad ones in a row.
    let mut agent = Identity::new(1);
    assert!(socket.ask(&agent.full_report()).await.error_response.is_none());
    assert!(frame::decode::<AgentToServer>(&bad, 10).is_err());
}

#[tokio::test]
async fn c_id_05_s_id_02_a_uid_is_chosen_for_an_agent_that_asks_and_it_stays_one_agent() {
    let bench = Bench::new().await;
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    let mut first = agent.full_report();
    first.flags = 1;
    let reply = socket.ask(&first).await;
    let new = reply.agent_identification.expect("a uid").new_instance_uid;
    let temporary = agent.path();
    agent.uid = new.as_slice().try_into().unwrap();
    let reply = socket.ask(&agent.heartbeat()).await;
    assert_eq!((reply.instance_uid, reply.flags), (new, 0), "it is known, and nothing is lost");
    assert_eq!(bench.get(&agent.path()).await["status"]["connected"], true);
    assert_eq!(bench.api("GET", &temporary, None).await.status, 404);
}
