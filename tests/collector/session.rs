//! One OpAMP session as the real extension holds it; the fake one must not differ.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use opamp::{
    collector::{
        binary::{Binary, Configs},
        components::{Components, Section},
    },
    os::child::{Child, Exit, Signal, Spawned},
    wire::{
        DEFAULT_MESSAGE_LIMIT, attrs, frame,
        proto::{AgentToServer, ServerToAgent, ServerToAgentFlags},
    },
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream, unix::pipe},
};
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};

use crate::{collector, fake, in_time, write};

const UID: &str = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b";

struct Peer(WebSocketStream<TcpStream>);

impl Peer {
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = in_time(listener.accept()).await.unwrap();
        Self(in_time(accept_async(stream)).await.unwrap())
    }

    /// The next message that has what is looked for; the others are answered and passed over.
    async fn until<T>(&mut self, wanted: impl Fn(&AgentToServer) -> Option<T>) -> T {
        loop {
            let Message::Binary(bytes) = in_time(self.0.next()).await.expect("a message").unwrap() else {
                continue;
            };
            let message: AgentToServer = frame::decode(&bytes, DEFAULT_MESSAGE_LIMIT).unwrap();
            if let Some(found) = wanted(&message) {
                return found;
            }
        }
    }

    /// Waits for the end of the session; whether a goodbye came before it.
    async fn gone(&mut self) -> bool {
        let mut goodbye = false;
        while let Some(Ok(message)) = in_time(self.0.next()).await {
            if let Message::Binary(bytes) = message {
                let message: AgentToServer = frame::decode(&bytes, DEFAULT_MESSAGE_LIMIT).unwrap();
                goodbye |= message.agent_disconnect.is_some();
            }
        }
        goodbye
    }

    async fn ask(&mut self, flags: ServerToAgentFlags) {
        let message = ServerToAgent { flags: flags as u64, ..Default::default() };
        let bytes = frame::encode(&message, DEFAULT_MESSAGE_LIMIT).unwrap();
        in_time(self.0.send(Message::Binary(bytes.into()))).await.unwrap();
    }
}

async fn drain(mut pipe: pipe::Receiver) -> String {
    let mut text = Vec::new();
    let _ = pipe.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

/// Says whether each of the two lives of the config said goodbye.
async fn the_whole_session(binary: Binary) -> [bool; 2] {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let overlay = format!(
        "receivers: {{nop: }}\nexporters: {{debug: }}\nextensions: {{opamp: {{instance_uid: {UID}, server: {{ws: \
         {{endpoint: 'ws://{}/v1/opamp', tls: {{insecure: true}}}}}}}}}}\nservice: {{extensions: [opamp], pipelines: \
         {{traces: {{receivers: [nop], exporters: [debug]}}}}, telemetry: {{metrics: {{level: none}}}}}}\n",
        listener.local_addr().unwrap()
    );
    let (_dir, layers) = write(&[&overlay]);
    let args = binary.run_args(&Configs { layers: &layers, overlay: None });
    let Spawned { child, stdout, stderr } = Child::spawn(&binary.spec().args(args)).unwrap();
    let output = tokio::spawn(async { tokio::join!(drain(stdout), drain(stderr)) });

    let mut peer = Peer::accept(&listener).await;
    let first = peer.until(|message| Some(message.clone())).await;
    let description = first.agent_description.unwrap();
    let uid = attrs::get(&description.identifying_attributes, "service.instance.id").unwrap();
    assert_eq!(uid, UID);
    let hashed = first.available_components.unwrap();
    assert!(hashed.components.is_empty() && hashed.hash.len() == 32, "C-AC-04");
    let healthy =
        |message: &AgentToServer| message.health.as_ref().filter(|health| health.healthy).map(|_| ());
    if first.health.is_none_or(|health| !health.healthy) {
        peer.until(healthy).await;
    }
    // C-AC-05; and our hash of the same list is the extension's (C-AC-03).
    peer.ask(ServerToAgentFlags::ReportAvailableComponents).await;
    let full =
        peer.until(|message| message.available_components.clone().filter(|c| !c.components.is_empty())).await;
    let components = Components::from_wire(&full);
    assert!(components.has(Section::Exporters, "debug") && components.has(Section::Extensions, "opamp"));
    assert_eq!(full.hash, hashed.hash);
    assert_eq!(components.hash(), full.hash);
    assert_eq!(components.to_wire(), full);
    peer.ask(ServerToAgentFlags::ReportFullState).await;
    let config = peer.until(|message| message.effective_config.clone()?.config_map).await;
    assert!(String::from_utf8_lossy(&config.config_map[""].body).contains("debug"));

    child.signal(Signal::SIGHUP).unwrap();
    let reloaded = peer.gone().await;
    let mut peer = Peer::accept(&listener).await;
    peer.until(healthy).await;
    assert_eq!(child.try_wait().unwrap(), None, "it keeps its pid");

    child.signal(Signal::SIGTERM).unwrap();
    let ended = peer.gone().await;
    let exit = in_time(tokio::time::timeout(Duration::from_secs(20), child.wait())).await;
    let output = output.await.unwrap();
    assert_eq!(exit.expect("an end").unwrap(), Exit::Code(0), "{output:?}");
    [reloaded, ended]
}

#[tokio::test]
async fn c_ac_03_to_05_the_real_collectors_session() {
    // Now and then it hangs up before its goodbye is out.
    the_whole_session(collector()).await;
}

#[tokio::test]
async fn c_ac_03_to_05_the_fake_collectors_session() {
    assert_eq!(the_whole_session(fake()).await, [true; 2]);
}
