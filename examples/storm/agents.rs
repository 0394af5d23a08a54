//! The agents: the client machine of this project over its own transport, with what a Collector's supervisor says.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use opamp::{
    protocol::client::{Client, ClientOptions, Event, Link},
    transport::{
        Target,
        client::{ClientHandle, Notice, Update, spawn},
    },
    wire::{
        AgentCaps, InstanceUid, attrs,
        proto::{
            AgentCapabilities, AgentConfigMap, AgentConfigObject, AgentDescription, AvailableComponents,
            ComponentDetails, ComponentHealth, CustomCapabilities, EffectiveConfig, RemoteConfigStatus,
        },
    },
};
use tokio::sync::{Notify, mpsc};

use crate::server::Server;

pub(crate) struct Agents {
    handles: Vec<ClientHandle>,
    tally: Arc<Tally>,
}

#[derive(Default)]
struct Tally {
    online: AtomicUsize,
    /// Connections on which an agent was answered, of all agents.
    answered: AtomicUsize,
    changed: Notify,
}

impl Agents {
    pub(crate) fn new(count: usize, server: &Server, heartbeat: Duration) -> Result<Self> {
        let url: url::Url = format!("ws://{}/v1/opamp", server.opamp).parse()?;
        let tally = Arc::new(Tally::default());
        let handles = (0..count)
            .map(|number| {
                let options = ClientOptions {
                    instance_uid: uid(number),
                    capabilities: capabilities(),
                    link: Link::WebSocket,
                    heartbeat,
                };
                let client = Client::new(options, number as u64);
                let (handle, notices) = spawn(client, Target::new(url.clone()), clock);
                say(&handle, number);
                tokio::spawn(follow(notices, tally.clone()));
                handle
            })
            .collect();
        Ok(Self { handles, tally })
    }

    pub(crate) fn online(&self) -> usize {
        self.tally.online.load(Ordering::Relaxed)
    }

    /// Until all are online and were answered so often.
    pub(crate) async fn until_answered(&self, connections: usize) {
        loop {
            let changed = self.tally.changed.notified();
            let answered = self.tally.answered.load(Ordering::Relaxed);
            if answered >= connections * self.handles.len() && self.online() == self.handles.len() {
                return;
            }
            changed.await;
        }
    }
}

async fn follow(mut notices: mpsc::Receiver<Notice>, tally: Arc<Tally>) {
    let mut synced = false;
    while let Some(notice) = notices.recv().await {
        match notice {
            Notice::Event(Event::Synced) if !synced => {
                synced = true;
                tally.online.fetch_add(1, Ordering::Relaxed);
                tally.answered.fetch_add(1, Ordering::Relaxed);
            }
            Notice::Disconnected(_) if synced => {
                synced = false;
                tally.online.fetch_sub(1, Ordering::Relaxed);
            }
            _ => continue,
        }
        tally.changed.notify_one();
    }
}

fn clock() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

fn uid(number: usize) -> InstanceUid {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&(number as u64).to_be_bytes());
    InstanceUid::v7(1_760_000_000_000, random)
}

fn capabilities() -> AgentCaps {
    [
        AgentCapabilities::AcceptsRemoteConfig,
        AgentCapabilities::ReportsEffectiveConfig,
        AgentCapabilities::ReportsHealth,
        AgentCapabilities::ReportsRemoteConfig,
        AgentCapabilities::ReportsHeartbeat,
        AgentCapabilities::ReportsAvailableComponents,
    ]
    .into_iter()
    .fold(AgentCaps::default(), AgentCaps::with)
}

/// What a Collector says of itself, of the usual size.
fn say(handle: &ClientHandle, number: usize) {
    handle.update(Update::Description(AgentDescription {
        identifying_attributes: vec![
            attrs::string("service.name", "otelcol"),
            attrs::string("service.version", "0.149.0"),
            attrs::string("service.instance.id", uid(number).to_string()),
        ],
        non_identifying_attributes: vec![
            attrs::string("os.type", "linux"),
            attrs::string("host.name", format!("edge-{number}")),
        ],
    }));
    let leaf = || ComponentHealth { healthy: true, status: "StatusOK".to_owned(), ..Default::default() };
    let pipelines = ["pipeline:traces", "pipeline:metrics", "pipeline:logs", "extensions"];
    handle.update(Update::Health(ComponentHealth {
        start_time_unix_nano: 1_760_000_000_000_000_000 + number as u64,
        component_health_map: pipelines.map(|name| (name.to_owned(), leaf())).into(),
        ..leaf()
    }));
    let body = "receivers: {otlp: {protocols: {grpc: {}, http: {}}}}\n".repeat(30).into_bytes();
    let file = AgentConfigObject { body, content_type: "text/yaml".to_owned(), role: String::new() };
    handle.update(Update::EffectiveConfig(EffectiveConfig {
        config_map: Some(AgentConfigMap { config_map: [(String::new(), file)].into() }),
    }));
    handle.update(Update::RemoteConfigStatus(RemoteConfigStatus::default()));
    handle.update(Update::CustomCapabilities(CustomCapabilities::default()));
    let component = |name: &str| (name.to_owned(), ComponentDetails::default());
    handle.update(Update::AvailableComponents(AvailableComponents {
        components: ["receivers", "processors", "exporters", "extensions", "connectors"]
            .map(component)
            .into(),
        hash: vec![0xab; 32],
    }));
}
