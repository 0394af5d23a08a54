//! The opamp extension's side of the supervisor's local endpoint.

use std::{collections::BTreeMap, env::consts, time::Duration};

use futures_util::{SinkExt, StreamExt};
use opamp::wire::{
    DEFAULT_MESSAGE_LIMIT, InstanceUid, attrs, frame,
    proto::{
        AgentCapabilities, AgentConfigMap, AgentConfigObject, AgentDescription, AgentDisconnect,
        AgentToServer, ComponentHealth, CustomCapabilities, CustomMessage, EffectiveConfig, ServerToAgent,
        ServerToAgentFlags,
    },
};
use tokio::{net::TcpStream, select, sync::watch, time::sleep};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::{answers, config::Config, config::OpampSettings, event, switches::Switches};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Everything the session may have to tell.
pub(crate) struct Session {
    settings: OpampSettings,
    uid: InstanceUid,
    sequence_num: u64,
    version: String,
    /// Its status while it is not healthy.
    unhealthy: String,
    config_yaml: String,
    pipelines: Vec<String>,
    components: opamp::collector::components::Components,
    hangs_up: bool,
    /// The custom capability of a component, and how often it sends back what it gets.
    custom: Option<(String, usize)>,
    healthy: watch::Receiver<bool>,
    stop: watch::Receiver<bool>,
    /// It had a session already.
    spoke: bool,
}

impl Session {
    pub(crate) fn new(
        settings: OpampSettings,
        config: &Config,
        switches: &Switches,
        healthy: watch::Receiver<bool>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let uid = settings.instance_uid.as_deref().and_then(|uid| uid.parse().ok());
        Self {
            settings,
            uid: uid.unwrap_or(InstanceUid::from_bytes([7; 16])),
            sequence_num: 0,
            unhealthy: switches.text("unhealthy").unwrap_or("StatusRecoverableError").to_owned(),
            version: switches.said_version().to_owned(),
            config_yaml: config.yaml(),
            pipelines: config.pipelines(),
            components: answers::known(switches),
            hangs_up: switches.has("hang_up"),
            custom: switches.text("custom").map(|name| (name.to_owned(), switches.number("custom_flood", 1))),
            healthy,
            stop,
            spoke: false,
        }
    }

    /// Connects and stays connected until told to stop.
    pub(crate) async fn run(mut self) {
        while !*self.stop.borrow() {
            match connect_async(self.settings.endpoint.as_str()).await {
                Ok((socket, _)) => {
                    if let Err(error) = self.talk(socket).await {
                        eprintln!("error\topamp\tconnection lost: {error}");
                    }
                    if self.hangs_up {
                        return;
                    }
                }
                Err(error) => eprintln!("error\topamp\tFailed to connect to the OpAMP server: {error}"),
            }
            select! {
                () = sleep(Duration::from_millis(500)) => {}
                _ = self.stop.changed() => {}
            }
        }
    }

    async fn talk(&mut self, mut socket: Socket) -> Result<(), Box<dyn std::error::Error>> {
        let mut first = self.full();
        // The extension is unhealthy until all pipelines are up; when it dials again, they are.
        if !std::mem::replace(&mut self.spoke, true) {
            first.health = Some(ComponentHealth { healthy: false, ..Default::default() });
        }
        self.send(&mut socket, first).await?;
        let health = AgentToServer { health: Some(self.health()), ..Default::default() };
        self.send(&mut socket, health).await?;
        let (mut healthy, mut stop) = (self.healthy.clone(), self.stop.clone());
        healthy.mark_unchanged();
        while !*stop.borrow_and_update() {
            if self.hangs_up && *self.healthy.borrow() {
                return Ok(());
            }
            select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Binary(bytes))) => {
                        let message: ServerToAgent = frame::decode(&bytes, DEFAULT_MESSAGE_LIMIT)?;
                        self.received(&mut socket, &message).await?;
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.into()),
                    None => return Err("closed by the server".into()),
                },
                _ = healthy.changed() => {
                    let health = AgentToServer { health: Some(self.health()), ..Default::default() };
                    self.send(&mut socket, health).await?;
                }
                _ = stop.changed() => {}
            }
        }
        let health = Some(ComponentHealth { healthy: false, ..Default::default() });
        self.send(&mut socket, AgentToServer { health, ..Default::default() }).await?;
        let last = AgentToServer { agent_disconnect: Some(AgentDisconnect {}), ..Default::default() };
        self.send(&mut socket, last).await?;
        socket.close(None).await?;
        Ok(())
    }

    async fn received(
        &mut self,
        socket: &mut Socket,
        message: &ServerToAgent,
    ) -> Result<(), Box<dyn std::error::Error>> {
        if let Some(identification) = &message.agent_identification {
            self.uid = InstanceUid::try_from(identification.new_instance_uid.as_slice())?;
        }
        if message.flags & ServerToAgentFlags::ReportFullState as u64 != 0 {
            let full = self.full();
            self.send(socket, full).await?;
        }
        if message.flags & ServerToAgentFlags::ReportAvailableComponents as u64 != 0 {
            let available_components = Some(self.components.to_wire());
            self.send(socket, AgentToServer { available_components, ..Default::default() }).await?;
        }
        if let Some(of_server) = &message.custom_capabilities {
            event(&format!("custom capabilities of the server: {}", of_server.capabilities.join(" ")));
        }
        if let Some(message) = &message.custom_message {
            self.echo(socket, message).await?;
        }
        Ok(())
    }

    /// What a component with a custom capability does: sends its messages back.
    async fn echo(
        &mut self,
        socket: &mut Socket,
        message: &CustomMessage,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let Some((_, times)) = self.custom.clone().filter(|(name, _)| *name == message.capability) else {
            event(&format!("custom message of {}", message.capability));
            return Ok(());
        };
        for _ in 0..times {
            let custom_message = Some(CustomMessage { r#type: "echo".to_owned(), ..message.clone() });
            self.send(socket, AgentToServer { custom_message, ..Default::default() }).await?;
        }
        Ok(())
    }

    async fn send(
        &mut self,
        socket: &mut Socket,
        mut message: AgentToServer,
    ) -> Result<(), Box<dyn std::error::Error>> {
        self.sequence_num += 1;
        message.instance_uid = self.uid.to_vec();
        message.sequence_num = self.sequence_num;
        message.capabilities = [
            AgentCapabilities::ReportsStatus,
            AgentCapabilities::ReportsEffectiveConfig,
            AgentCapabilities::ReportsHealth,
            AgentCapabilities::ReportsAvailableComponents,
        ]
        .iter()
        .fold(0, |bits, capability| bits | *capability as u64);
        let frame = frame::encode(&message, DEFAULT_MESSAGE_LIMIT)?;
        socket.send(Message::Binary(frame.into())).await?;
        Ok(())
    }

    fn full(&self) -> AgentToServer {
        let body = self.config_yaml.clone().into_bytes();
        let object = AgentConfigObject { body, content_type: "text/yaml".to_owned(), ..Default::default() };
        let config_map = BTreeMap::from([(String::new(), object)]);
        AgentToServer {
            agent_description: Some(self.description()),
            health: Some(self.health()),
            effective_config: Some(EffectiveConfig { config_map: Some(AgentConfigMap { config_map }) }),
            available_components: Some(self.components.wire_hash_only()),
            custom_capabilities: self
                .custom
                .as_ref()
                .map(|(name, _)| CustomCapabilities { capabilities: vec![name.clone()] }),
            ..Default::default()
        }
    }

    fn description(&self) -> AgentDescription {
        AgentDescription {
            identifying_attributes: vec![
                attrs::string("service.instance.id", self.uid.to_string()),
                attrs::string("service.name", "otelcol-fake"),
                attrs::string("service.version", self.version.as_str()),
            ],
            non_identifying_attributes: vec![
                attrs::string("host.arch", consts::ARCH),
                attrs::string("os.type", consts::OS),
            ],
        }
    }

    fn health(&self) -> ComponentHealth {
        let healthy = *self.healthy.borrow();
        let status = if healthy { "StatusOK" } else { &self.unhealthy }.to_owned();
        let last_error = if healthy { "" } else { "not ready" }.to_owned();
        let one = ComponentHealth { healthy, status, last_error, ..Default::default() };
        let parts = self.pipelines.iter().map(|name| (format!("pipeline:{name}"), one.clone()));
        ComponentHealth { component_health_map: parts.collect(), ..one.clone() }
    }
}
