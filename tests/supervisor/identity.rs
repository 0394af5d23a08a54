//! Who the agent is: its own choice at first, the server's word from then on.

use std::{fs, time::Duration};

use opamp::wire::{
    InstanceUid,
    proto::{AgentIdentification, RemoteConfigStatuses, ServerToAgent},
};
use tokio::time::{interval, timeout};
use uuid::Uuid;

use super::harness::{DEADLINE, Host, Known, Server, config, fake_collector};

const GOOD: &str = "receivers: {otlp: {}}\nexporters: {debug: {}}\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n";

/// The agent's half: what tells two agents with one uid apart is the server's.
#[tokio::test]
async fn f_100_c_id_02_03_04_07_another_uid_is_adopted_kept_and_passed_on_and_the_config_stays() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", Known::healthy).await;
    let own = InstanceUid::try_from(&*server.messages()[0].instance_uid).unwrap();
    assert_eq!(Uuid::from_bytes(*own.as_bytes()).get_version_num(), 7);
    let offer = config("pipeline.yaml", GOOD);
    assert_eq!(server.push(&offer).await.status, RemoteConfigStatuses::Applied as i32);

    let collector = host.collector_pid();
    let new = InstanceUid::from_bytes([9; 16]);
    let agent_identification = Some(AgentIdentification { new_instance_uid: new.to_vec() });
    server.say(ServerToAgent { agent_identification, ..Default::default() }).await;
    let described = |known: &Known| {
        let description = known.view.as_ref().and_then(|view| view.report.description.clone());
        known.healthy() && format!("{description:?}").contains(&new.to_string())
    };
    server.until("it describes itself anew", described).await;
    let restarted = async {
        let mut tick = interval(Duration::from_millis(10));
        while !host.runs_another(collector) {
            tick.tick().await;
        }
    };
    assert!(timeout(DEADLINE, restarted).await.is_ok(), "the Collector is started again");
    let known = server.until("it is well again", Known::healthy).await;
    assert!(known.settled(&offer) && known.status().status == RemoteConfigStatuses::Applied as i32);
    assert_eq!(server.messages().last().unwrap().instance_uid, new.to_vec());
    let files = fs::read_dir(host.state().join("live")).unwrap();
    let live: String = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    assert!(live.contains(&new.to_string()) && !live.contains(&own.to_string()), "the Collector reads it");

    assert!(supervisor.stop().await.success());
    let said = server.messages().len();
    let supervisor = host.start();
    server.until("it is back", |known| known.connections == 2 && known.healthy()).await;
    assert!(server.messages()[said..].iter().all(|message| message.instance_uid == new.to_vec()));
    assert!(supervisor.stop().await.success());
}
