//! A small OpAMP agent over either transport. It says what it is told to say, and counts its messages.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use opamp::wire::{
    CONTENT_TYPE, INSTANCE_UID_HEADER, InstanceUid, attrs, body, frame,
    proto::{
        AgentConfigMap, AgentConfigObject, AgentDescription, AgentDisconnect, AgentToServer,
        AvailableComponents, ComponentDetails, ComponentHealth, EffectiveConfig, RemoteConfigStatus,
        RemoteConfigStatuses, ServerToAgent,
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, protocol::CloseFrame},
};

use crate::harness::{Answer, WITHIN, http};

/// What a Collector under our supervisor can do.
pub(crate) const CAPABILITIES: u64 = 0x7c07;
pub(crate) const LIMIT: usize = 1 << 26;

/// What an agent says of itself, and how far it has counted. It outlives connections.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) uid: InstanceUid,
    pub(crate) sequence_num: u64,
}

impl Identity {
    pub(crate) fn new(last: u16) -> Self {
        let mut bytes = *InstanceUid::v7(1_700_000_000_000, [0; 10]).as_bytes();
        bytes[14..].copy_from_slice(&last.to_be_bytes());
        Self { uid: InstanceUid::from_bytes(bytes), sequence_num: 0 }
    }

    pub(crate) fn path(&self) -> String {
        format!("/api/v1/namespaces/default/agents/{}", self.uid)
    }

    /// A message with nothing but what each must have.
    pub(crate) fn heartbeat(&mut self) -> AgentToServer {
        let sequence_num = self.sequence_num;
        self.sequence_num += 1;
        AgentToServer {
            instance_uid: self.uid.to_vec(),
            sequence_num,
            capabilities: CAPABILITIES,
            ..Default::default()
        }
    }

    pub(crate) fn full_report(&mut self) -> AgentToServer {
        let leaf = |healthy: bool, status: &str| ComponentHealth {
            healthy,
            status: status.to_owned(),
            start_time_unix_nano: 1_700_000_000_000_000_000,
            status_time_unix_nano: 1_700_000_001_000_000_000,
            ..Default::default()
        };
        let traces = ComponentHealth {
            component_health_map: [("receiver:otlp".to_owned(), leaf(true, "StatusOK"))].into(),
            ..leaf(true, "StatusOK")
        };
        let module = ComponentDetails {
            metadata: vec![attrs::string(
                "code.namespace",
                "go.opentelemetry.io/collector/receiver/otlpreceiver v0.149.0",
            )],
            ..Default::default()
        };
        let receivers = ComponentDetails {
            sub_component_map: [("otlp".to_owned(), module)].into(),
            ..Default::default()
        };
        let file = AgentConfigObject {
            body: b"receivers: {}\n".to_vec(),
            content_type: "text/yaml".to_owned(),
            role: String::new(),
        };
        AgentToServer {
            agent_description: Some(AgentDescription {
                identifying_attributes: vec![
                    attrs::string("service.name", "otelcol"),
                    attrs::string("service.version", "0.149.0"),
                    attrs::string("service.instance.id", self.uid.to_string()),
                ],
                non_identifying_attributes: vec![
                    attrs::string("os.type", "linux"),
                    attrs::string("host.name", "edge-1"),
                ],
            }),
            health: Some(ComponentHealth {
                component_health_map: [("pipeline:traces".to_owned(), traces)].into(),
                ..leaf(true, "StatusOK")
            }),
            effective_config: Some(EffectiveConfig {
                config_map: Some(AgentConfigMap { config_map: [(String::new(), file)].into() }),
            }),
            remote_config_status: Some(RemoteConfigStatus::default()),
            available_components: Some(AvailableComponents {
                components: [("receivers".to_owned(), receivers)].into(),
                hash: vec![0xab, 0xcd],
            }),
            ..self.heartbeat()
        }
    }

    pub(crate) fn config_status(
        &mut self,
        hash: &[u8],
        status: RemoteConfigStatuses,
        error: &str,
    ) -> AgentToServer {
        AgentToServer {
            remote_config_status: Some(RemoteConfigStatus {
                last_remote_config_hash: hash.to_vec(),
                status: status as i32,
                error_message: error.to_owned(),
            }),
            ..self.heartbeat()
        }
    }

    pub(crate) fn goodbye(&mut self) -> AgentToServer {
        AgentToServer { agent_disconnect: Some(AgentDisconnect {}), ..self.heartbeat() }
    }
}

pub(crate) struct Socket<S = MaybeTlsStream<TcpStream>>(pub(crate) WebSocketStream<S>);

impl Socket {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::connect_at(address, "/v1/opamp").await
    }

    pub(crate) async fn connect_at(address: SocketAddr, path: &str) -> Self {
        Self(connect_async(format!("ws://{address}{path}")).await.unwrap().0)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(crate) async fn send(&mut self, message: &AgentToServer) {
        let bytes = frame::encode(message, LIMIT).unwrap();
        self.0.send(Message::Binary(bytes.into())).await.unwrap();
    }

    pub(crate) async fn recv(&mut self) -> ServerToAgent {
        loop {
            let message = timeout(WITHIN, self.0.next()).await.expect("a message in time");
            match message.expect("an open connection").unwrap() {
                Message::Binary(bytes) => return frame::decode(&bytes, LIMIT).unwrap(),
                Message::Close(frame) => panic!("closed: {frame:?}"),
                _ => {}
            }
        }
    }

    pub(crate) async fn ask(&mut self, message: &AgentToServer) -> ServerToAgent {
        self.send(message).await;
        self.recv().await
    }

    /// Reads on until the server closes.
    pub(crate) async fn closed(&mut self) -> Option<CloseFrame> {
        loop {
            match timeout(WITHIN, self.0.next()).await.expect("a close in time") {
                Some(Ok(Message::Close(frame))) => return frame,
                Some(Ok(_)) => {}
                Some(Err(error)) => panic!("no closing handshake: {error}"),
                None => return None,
            }
        }
    }
}

/// One exchange over plain HTTP, raw.
pub(crate) async fn post(address: SocketAddr, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut all = vec![("content-type", CONTENT_TYPE)];
    all.extend_from_slice(headers);
    http(address, "POST", "/v1/opamp", &all, body).await
}

pub(crate) async fn exchange(address: SocketAddr, message: &AgentToServer) -> ServerToAgent {
    let uid = InstanceUid::try_from(&*message.instance_uid).map(|uid| uid.to_string()).unwrap_or_default();
    let headers = [(INSTANCE_UID_HEADER, &*uid)];
    let known = if uid.is_empty() { &[] } else { &headers[..] };
    let answer = post(address, known, &body::encode(message, LIMIT).unwrap()).await;
    assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, CONTENT_TYPE));
    body::decode(&answer.body, None, LIMIT).unwrap()
}
