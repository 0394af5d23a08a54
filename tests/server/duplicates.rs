//! Several connections under one instance uid: one agent that connected anew, or two agents.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use opamp::wire::{
    InstanceUid, frame,
    proto::{AgentToServer, ServerToAgent, ServerToAgentFlags},
};
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    sync::mpsc,
    time::{interval, timeout},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

use crate::{
    agent::{Identity, LIMIT, Socket, exchange},
    harness::{Bench, WITHIN},
};

/// A connection whose agent reads all the time, and so answers pings.
struct Live {
    sink: SplitSink<WebSocketStream<MaybeTlsStream<TcpStream>>, Message>,
    inbox: mpsc::UnboundedReceiver<ServerToAgent>,
}

impl Live {
    async fn connect(bench: &Bench) -> Self {
        let (sink, mut stream) = Socket::connect(bench.server.opamp).await.0.split();
        let (forward, inbox) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = stream.next().await {
                if let Message::Binary(bytes) = message {
                    let _ = forward.send(frame::decode(&bytes, LIMIT).unwrap());
                }
            }
        });
        Self { sink, inbox }
    }

    async fn send(&mut self, message: &AgentToServer) {
        self.sink.send(Message::Binary(frame::encode(message, LIMIT).unwrap().into())).await.unwrap();
    }

    async fn recv(&mut self) -> ServerToAgent {
        timeout(WITHIN, self.inbox.recv()).await.expect("a message in time").expect("an open connection")
    }

    async fn ask(&mut self, message: &AgentToServer) -> ServerToAgent {
        self.send(message).await;
        self.recv().await
    }
}

fn new_uid(reply: &ServerToAgent) -> Option<InstanceUid> {
    let given = reply.agent_identification.as_ref()?;
    let uid: InstanceUid = given.new_instance_uid.as_slice().try_into().expect("S-ID-02: 16 bytes");
    assert_eq!(uid.as_bytes()[6] >> 4, 7, "S-ID-03: a UUIDv7, not {uid}");
    Some(uid)
}

const FULL_STATE: u64 = ServerToAgentFlags::ReportFullState as u64;

#[tokio::test]
async fn f_108_an_agent_whose_older_connection_is_half_open_keeps_its_uid() {
    let bench = Bench::new().await;
    let mut agent = Identity::new(1);
    let mut old = Socket::connect(bench.server.opamp).await;
    old.ask(&agent.full_report()).await;
    // Nobody reads here from now on; a message is still under way.
    let late = agent.heartbeat();
    let mut new = Live::connect(&bench).await;
    let reply = new.ask(&agent.heartbeat()).await;
    assert_eq!(reply.flags, FULL_STATE, "one message is missing");
    new.ask(&agent.full_report()).await;
    old.send(&late).await;

    let MaybeTlsStream::Plain(raw) = old.0.get_mut() else { panic!("no TLS here") };
    let mut bytes = Vec::new();
    timeout(WITHIN, raw.read_to_end(&mut bytes)).await.expect("an end in time").unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("rival") && text.contains("replaced by a newer connection"), "{text:?}");

    let reply = new.ask(&agent.heartbeat()).await;
    assert_eq!((reply.flags, new_uid(&reply)), (0, None), "the late message took nothing over");
    let shown = bench.get(&agent.path()).await;
    assert_eq!((&shown["status"]["connected"], &shown["status"]["sequenceNum"]), (&true.into(), &4.into()));
    let agents = bench.get("/api/v1/namespaces/default/agents").await;
    assert_eq!(agents["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn f_100_s_id_02_03_04_05_s_ws_02_of_two_agents_with_one_uid_the_second_is_told_another() {
    let bench = Bench::new().await;
    let mut first = Identity::new(1);
    let mut second = first.clone();
    let mut one = Live::connect(&bench).await;
    one.ask(&first.full_report()).await;
    let mut two = Live::connect(&bench).await;
    assert_eq!(new_uid(&two.ask(&second.full_report()).await), None, "it may be the same agent");
    // What the first says meanwhile is answered.
    assert_eq!(new_uid(&one.ask(&first.heartbeat()).await), None);

    let told = two.recv().await;
    let uid = new_uid(&told).expect("a uid of its own, unprompted");
    assert_eq!(one.recv().await.flags, FULL_STATE, "what is known of the first may be the second's");
    assert_eq!(new_uid(&one.ask(&first.full_report()).await), None);
    // Until it takes its uid, the second is told again and taken for nobody.
    assert_eq!(new_uid(&two.ask(&second.heartbeat()).await), Some(uid));
    second.uid = uid;
    assert_eq!(two.ask(&second.heartbeat()).await.flags, FULL_STATE);
    two.ask(&second.full_report()).await;

    for agent in [&first, &second] {
        assert_eq!(bench.get(&agent.path()).await["status"]["connected"], true);
    }
    assert_eq!(one.ask(&first.heartbeat()).await.flags, 0);
    assert_eq!(two.ask(&second.heartbeat()).await.flags, 0);
    let metrics = bench.api("GET", "/metrics", None).await.text();
    assert!(metrics.contains("opamp_server_duplicate_uids_total 1\n"), "{metrics}");
}

#[tokio::test]
async fn f_108_an_agent_that_only_tries_a_second_connection_stays_on_the_first() {
    let bench = Bench::new().await;
    let mut agent = Identity::new(1);
    let mut first = Live::connect(&bench).await;
    first.ask(&agent.full_report()).await;
    let mut trial = Socket::connect(bench.server.opamp).await;
    trial.ask(&agent.heartbeat()).await;
    // The first one answers its ping meanwhile, which nobody can see; its next message is answered after that.
    first.ask(&agent.heartbeat()).await;
    trial.send(&agent.goodbye()).await;
    trial.0.close(None).await.unwrap();
    assert_eq!(first.recv().await.flags, FULL_STATE);
    let reply = first.ask(&agent.full_report()).await;
    assert_eq!((reply.flags, new_uid(&reply)), (0, None));
    assert_eq!(bench.get(&agent.path()).await["status"]["connected"], true);
}

#[tokio::test]
async fn f_100_s_id_04_05_over_plain_http_interleaving_numbers_give_a_duplicate_away() {
    let bench = Bench::new().await;
    let mut first = Identity::new(1);
    let mut second = first.clone();
    first.sequence_num = 40;
    let mut told = None;
    for _ in 0..3 {
        assert_eq!(new_uid(&exchange(bench.server.opamp, &first.full_report()).await), None);
        let mut report = second.full_report();
        report.health.as_mut().unwrap().start_time_unix_nano += 1_000_000;
        told = new_uid(&exchange(bench.server.opamp, &report).await);
    }
    second.uid = told.expect("a uid of its own");
    assert_eq!(exchange(bench.server.opamp, &first.heartbeat()).await.flags, FULL_STATE);
    exchange(bench.server.opamp, &first.full_report()).await;
    assert_eq!(exchange(bench.server.opamp, &second.heartbeat()).await.flags, FULL_STATE);
    exchange(bench.server.opamp, &second.full_report()).await;
    for agent in [&mut first, &mut second] {
        let reply = exchange(bench.server.opamp, &agent.heartbeat()).await;
        assert_eq!((reply.flags, new_uid(&reply)), (0, None));
    }
    let agents = bench.get("/api/v1/namespaces/default/agents?connected=true").await;
    assert_eq!(agents["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn f_100_s_id_04_05_an_agent_that_polls_under_the_uid_of_a_connected_one_is_told_another() {
    let bench = Bench::new().await;
    let mut first = Identity::new(1);
    let mut second = first.clone();
    let mut socket = Live::connect(&bench).await;
    socket.ask(&first.full_report()).await;
    let mut polls = interval(Duration::from_millis(200));
    let polling = async {
        loop {
            polls.tick().await;
            if let Some(uid) = new_uid(&exchange(bench.server.opamp, &second.full_report()).await) {
                return uid;
            }
        }
    };
    second.uid = timeout(WITHIN, polling).await.expect("a uid of its own");
    exchange(bench.server.opamp, &second.full_report()).await;
    assert_eq!(socket.recv().await.flags, FULL_STATE);
    socket.ask(&first.full_report()).await;
    assert_eq!(bench.get(&first.path()).await["status"]["connectionType"], "WebSocket");
    assert_eq!(bench.get(&second.path()).await["status"]["connectionType"], "HTTP");
}
