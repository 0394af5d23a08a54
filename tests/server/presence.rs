//! Who is there, who fell silent, who left: as REST, metrics and lists tell it.

use jiff::SignedDuration;
use opamp::wire::proto::{
    AgentCapabilities, AgentToServer, ConnectionSettingsStatus, ConnectionSettingsStatuses,
    RemoteConfigStatuses,
};
use serde_json::{Value, json};

use crate::{
    agent::{CAPABILITIES, Identity, Socket, exchange},
    harness::Bench,
};

const LIST: &str = "/api/v1/namespaces/default/agents";

#[tokio::test]
async fn s_hb_01_02_04_s_ht_05_whoever_should_have_spoken_and_did_not_is_stale_and_gone_in_the_end() {
    let bench = Bench::with(|options| {
        options.windows.stale_after = Some(SignedDuration::from_secs(2));
        options.windows.gone_after = SignedDuration::from_secs(6);
    })
    .await;
    let (mut beats, mut quiet, mut polls) = (Identity::new(1), Identity::new(2), Identity::new(3));
    let (mut one, mut two) =
        (Socket::connect(bench.server.opamp).await, Socket::connect(bench.server.opamp).await);
    one.ask(&beats.full_report()).await;
    let mut report = quiet.full_report();
    report.capabilities = CAPABILITIES & !(AgentCapabilities::ReportsHeartbeat as u64);
    two.ask(&report).await;
    exchange(bench.server.opamp, &polls.full_report()).await;

    let stale = |agent: &Value| agent["status"]["presence"] == "Stale";
    let shown = bench.until(&beats.path(), stale).await;
    assert_eq!(shown["status"]["connected"], true, "its connection stands");
    let shown = bench.until(&polls.path(), stale).await;
    assert_eq!(shown["status"]["connected"], false, "a poll that does not come is all there is to know");
    let list = bench.get(&format!("{LIST}?presence=Stale")).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    assert_eq!(
        bench.get(&quiet.path()).await["status"]["presence"],
        "Connected",
        "nothing is expected of it"
    );
    let metrics = bench.api("GET", "/metrics", None).await.text();
    assert!(metrics.contains("opamp_server_agents_by_presence{presence=\"Stale\"} 2\n"), "{metrics}");
    let wrong = bench.api("GET", &format!("{LIST}?presence=stale"), None).await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.text().contains("Connected, Stale, Disconnected or Gone"), "{}", wrong.text());

    // Any message is a sign of life.
    one.ask(&beats.config_status(b"", RemoteConfigStatuses::Unset, "")).await;
    assert_eq!(bench.get(&beats.path()).await["status"]["presence"], "Connected");
    bench.until(&polls.path(), |agent| agent["status"]["presence"] == "Gone").await;
    exchange(bench.server.opamp, &polls.heartbeat()).await;
    assert_eq!(bench.get(&polls.path()).await["status"]["presence"], "Connected");
}

#[tokio::test]
async fn s_ad_01_02_s_ws_03_whoever_says_goodbye_or_closes_is_disconnected_at_once() {
    let bench = Bench::new().await;
    let (mut polls, mut parting, mut lost) = (Identity::new(1), Identity::new(2), Identity::new(3));
    exchange(bench.server.opamp, &polls.full_report()).await;
    exchange(bench.server.opamp, &polls.goodbye()).await;
    let mut socket = Socket::connect(bench.server.opamp).await;
    // Two agents on one stream: one takes its leave, the other is there until the stream ends.
    socket.ask(&parting.full_report()).await;
    socket.ask(&lost.full_report()).await;
    socket.ask(&parting.goodbye()).await;
    for agent in [&polls, &parting] {
        let status = bench.get(&agent.path()).await["status"].clone();
        assert_eq!((&status["presence"], &status["connected"]), (&"Disconnected".into(), &false.into()));
    }
    assert_eq!(bench.get(&lost.path()).await["status"]["presence"], "Connected");
    drop(socket);
    bench.until(&lost.path(), |agent| agent["status"]["presence"] == "Disconnected").await;
}

#[tokio::test]
async fn s_hb_02_04_an_agent_that_took_an_interval_is_stale_when_it_missed_it_three_times() {
    let bench = Bench::new().await;
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    let settings = AgentCapabilities::AcceptsOpAmpConnectionSettings as u64
        | AgentCapabilities::ReportsConnectionSettingsStatus as u64;
    let able = |message| AgentToServer { capabilities: CAPABILITIES | settings, ..message };
    socket.ask(&able(agent.full_report())).await;
    let spec = json!({"spec": {"connectionSettings": {"opamp": {"heartbeatIntervalSeconds": 1}}}});
    let put = bench.api("PUT", &agent.path(), Some(spec)).await;
    assert_eq!(put.status, 200, "{}", put.text());
    let offer = socket.recv().await.connection_settings.expect("an offer");
    let taken = ConnectionSettingsStatus {
        last_connection_settings_hash: offer.hash,
        status: ConnectionSettingsStatuses::Applied as i32,
        error_message: String::new(),
    };
    socket.ask(&able(AgentToServer { connection_settings_status: Some(taken), ..agent.heartbeat() })).await;
    assert_eq!(bench.get(&agent.path()).await["status"]["presence"], "Connected");
    let shown = bench.until(&agent.path(), |agent| agent["status"]["presence"] == "Stale").await;
    assert_eq!(shown["status"]["connected"], true);
}
