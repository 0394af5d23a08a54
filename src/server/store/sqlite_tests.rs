use super::*;
use crate::{
    server::fleet::{
        Agent,
        resource::{AgentRemoteConfig, AgentRemoteConfigSpec, Metadata},
    },
    server::store::record::AgentRecord,
    wire::{
        AgentCaps, InstanceUid, attrs,
        proto::{
            AgentConfigMap, AgentConfigObject, AgentDescription, AvailableComponents, ComponentHealth,
            EffectiveConfig,
        },
    },
};
use jiff::Timestamp;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn agent(last: u8) -> Agent {
    let mut agent = Agent::new(InstanceUid::from_bytes([last; 16]), at(10));
    agent.view.sequence_num = Some(u64::MAX);
    agent.view.capabilities = AgentCaps::from_wire(0x807);
    agent.labels.insert("team".to_owned(), "a".to_owned());
    let report = &mut agent.view.report;
    report.description = Some(AgentDescription {
        identifying_attributes: vec![attrs::string("service.namespace", "shop")],
        ..Default::default()
    });
    report.health = Some(ComponentHealth { healthy: true, ..Default::default() });
    let object = AgentConfigObject { body: b"receivers: {}".to_vec(), ..Default::default() };
    let config_map = [(String::new(), object)].into();
    report.effective_config = Some(EffectiveConfig { config_map: Some(AgentConfigMap { config_map }) });
    report.available_components = Some(AvailableComponents { hash: vec![1, 2], ..Default::default() });
    agent.redescribe();
    agent
}

fn config(value: &str) -> AgentRemoteConfig {
    AgentRemoteConfig {
        metadata: Metadata {
            namespace: "default".to_owned(),
            name: "base".to_owned(),
            attributes: None,
            created_at: at(1),
            deleted_at: None,
        },
        spec: AgentRemoteConfigSpec {
            value: value.to_owned(),
            content_type: "text/yaml".to_owned(),
            schema_refs: None,
        },
        conditions: Vec::new(),
    }
}

fn put(agent: &Agent) -> Change {
    Change::Agent(Box::new(AgentRecord::of(agent)))
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("server.db");
    let store = SqliteStore::open(&path).unwrap();
    let seen = Change::Seen { uid: agent(1).view.instance_uid, sequence_num: Some(7), last_seen: at(99) };
    store.write(vec![put(&agent(1)), put(&agent(2)), Change::Config(config("a: 1"))]).await.unwrap();
    store.write(vec![seen, Change::DeleteAgent(agent(2).view.instance_uid)]).await.unwrap();
    // Not closed: as after a kill.
    drop(store);

    let store = SqliteStore::open(&path).unwrap();
    let snapshot = store.load().await.unwrap();
    let [kept] = &snapshot.agents[..] else { panic!("{} agents", snapshot.agents.len()) };
    let mut expected = agent(1);
    expected.view.sequence_num = Some(7);
    assert_eq!(kept.view, expected.view);
    assert_eq!((kept.last_seen, kept.namespace.as_str()), (at(99), "shop"));
    assert_eq!(kept.labels, expected.labels);
    assert_eq!(snapshot.configs, [config("a: 1")]);
    store.close().await.unwrap();
    assert!(matches!(store.write(Vec::new()).await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn equal_bodies_are_stored_once_and_dropped_when_unused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("server.db");
    let count = |path: &Path| -> i64 {
        let sql = Connection::open(path).unwrap();
        sql.query_row("SELECT count(*) FROM bodies", [], |row| row.get(0)).unwrap()
    };
    let store = SqliteStore::open(&path).unwrap();
    store.write((1..50).map(|n| put(&agent(n))).collect()).await.unwrap();
    assert_eq!(count(&path), 2);
    store.write(vec![Change::Config(config("a: 1"))]).await.unwrap();
    store.write(vec![Change::Config(config("a: 2"))]).await.unwrap();
    assert_eq!(count(&path), 4);
    store.close().await.unwrap();
    SqliteStore::open(&path).unwrap().close().await.unwrap();
    assert_eq!(count(&path), 3);
}

#[test]
fn a_newer_a_foreign_and_a_damaged_file_are_refused_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let newer = dir.path().join("newer.db");
    drop(SqliteStore::open(&newer).unwrap());
    Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let refused = SqliteStore::open(&newer).err().unwrap().to_string();
    assert!(refused.contains("schema 99") && refused.contains("newer.db"), "{refused}");

    let foreign = dir.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE photos (id)").unwrap();
    assert!(matches!(SqliteStore::open(&foreign), Err(StoreError::Foreign { .. })));

    let damaged = dir.path().join("damaged.db");
    std::fs::write(&damaged, "this is not a database, and has been none for a long time".repeat(40)).unwrap();
    let before = std::fs::read(&damaged).unwrap();
    let refused = SqliteStore::open(&damaged).err().unwrap().to_string();
    assert!(refused.contains("damaged"), "{refused}");
    assert_eq!(std::fs::read(&damaged).unwrap(), before);
}

#[tokio::test]
async fn connection_settings_of_an_older_database_do_not_come_to_have_an_effect() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("server.db");
    let sql = Connection::open(&path).unwrap();
    sql.execute_batch(schema::MIGRATIONS[0]).unwrap();
    sql.pragma_update(None, "application_id", schema::APPLICATION_ID).unwrap();
    sql.pragma_update(None, "user_version", 1).unwrap();
    let group = r#"{"metadata": {"namespace": "default", "name": "g", "attributes": null,
        "createdAt": "2026-01-01T00:00:00Z"}, "conditions": [], "spec": {"priority": 7, "selector": {},
        "agentConfig": {"connectionSettings": {"whatever": [1]}}}}"#;
    sql.execute("INSERT INTO resources VALUES ('AgentGroup', 'default', 'g', ?1, NULL)", [group]).unwrap();
    let known = r#"{"labels": {"team": "a"}, "spec": {"connectionSettings": {"whatever": 1}}, "managed": true,
        "since": {"connected": "2026-01-01T00:00:00Z", "health": "2026-01-01T00:00:00Z",
        "config": "2026-01-01T00:00:00Z"}, "restartPending": false, "transport": null}"#;
    let insert = "INSERT INTO agents VALUES (?1, NULL, 0, 0, x'', NULL, NULL, ?2)";
    sql.execute(insert, rusqlite::params![[1u8; 16], known]).unwrap();
    drop(sql);

    let store = SqliteStore::open(&path).unwrap();
    let snapshot = store.load().await.unwrap();
    let ([group], [agent]) = (&snapshot.groups[..], &snapshot.agents[..]) else { panic!("{snapshot:?}") };
    assert_eq!(group.spec.agent_config.as_ref().unwrap().connection_settings, None);
    assert_eq!((group.spec.priority, agent.labels["team"].as_str()), (7, "a"));
    assert_eq!((&agent.spec.connection_settings, agent.managed), (&None, true));
}
