//! A custom capability on both ends, with nothing but `wire`, `protocol` and `transport`: a server and an agent tell
//! each other what they can do, talk in messages of their own, and part in order.
//!
//! ```text
//! cargo run --example custom_capability
//! ```

use std::{
    error::Error,
    process::ExitCode,
    sync::LazyLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use opamp::{
    protocol::{
        client::{Client, ClientOptions, DEFAULT_HEARTBEAT, Event, Link},
        server::{AgentView, Desired, Session},
    },
    transport::{
        LinkEnd, Target,
        accept::{AgentLink, Listener},
        client::{Notice, spawn},
    },
    wire::{
        AgentCaps, InstanceUid, ServerCaps, attrs,
        proto::{AgentCapabilities, AgentDescription, CustomCapabilities, CustomMessage, ServerCapabilities},
    },
};
use rand::{TryRngCore, rngs::OsRng};

/// A reversed domain name that is yours, a short name, and a version (B-CU-03).
const CAPABILITY: &str = "org.example.weather/v1";
const WITHIN: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match tokio::time::timeout(WITHIN, talk()).await {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => failed(&*error),
        Err(_) => failed(&format!("nothing happened within {WITHIN:?}")),
    }
}

fn failed(why: &(impl std::fmt::Display + ?Sized)) -> ExitCode {
    eprintln!("custom_capability: {why}");
    ExitCode::FAILURE
}

/// Both ends, over a socket on this host.
async fn talk() -> Result<(), Box<dyn Error>> {
    let mut listener = Listener::bind(0).await?;
    let endpoint = listener.endpoint();
    let server = async { serve(listener.accept().await?).await };
    tokio::try_join!(server, agent(&endpoint))?;
    Ok(())
}

/// A message of the capability.
fn custom(kind: &str, text: &str) -> CustomMessage {
    CustomMessage { capability: CAPABILITY.into(), r#type: kind.into(), data: text.into() }
}

fn text(message: &CustomMessage) -> String {
    format!("{} {:?}", message.r#type, String::from_utf8_lossy(&message.data))
}

/// The server's end: one agent, for as long as it stays.
async fn serve(mut link: AgentLink) -> Result<(), Box<dyn Error>> {
    let ours = [CAPABILITY.to_owned()];
    let wanted = Desired { custom_capabilities: &ours, ..Desired::default() };
    let mut session = Session::new(ServerCaps::of(&[ServerCapabilities::AcceptsStatus]));
    let mut view: Option<AgentView> = None;
    loop {
        let message = match link.recv().await {
            Ok(message) => message,
            Err(LinkEnd::Closed { .. }) => return Ok(()),
            Err(end) => return Err(end.into()),
        };
        let uid = InstanceUid::try_from(&*message.instance_uid)?;
        let view = view.get_or_insert_with(|| AgentView::new(uid));
        let received = session.receive(view, message);
        link.send(&session.reply(view, &wanted)).await?;
        if let Some(heard) = received.custom_message {
            println!("server heard {}", text(&heard));
            let said = match &*heard.r#type {
                "question" => vec![custom("answer", "it rains"), custom("question", "and yours?")],
                _ => vec![custom("thanks", "")],
            };
            for one in said {
                link.send(&session.custom(view, &ours, one)?).await?;
            }
        }
        if received.disconnect {
            println!("server heard a goodbye");
        }
    }
}

/// The agent's end, until it was thanked.
async fn agent(endpoint: &str) -> Result<(), Box<dyn Error>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut random = [0; 10];
    OsRng.try_fill_bytes(&mut random)?;
    let options = ClientOptions {
        instance_uid: InstanceUid::v7(u64::try_from(now.as_millis())?, random),
        capabilities: AgentCaps::of(&[AgentCapabilities::ReportsStatus, AgentCapabilities::ReportsHeartbeat]),
        link: Link::WebSocket,
        heartbeat: DEFAULT_HEARTBEAT,
    };
    let mut client = Client::new(options, OsRng.try_next_u64()?);
    client.set_description(AgentDescription {
        identifying_attributes: vec![attrs::string("service.name", "weather-station")],
        ..Default::default()
    });
    client.set_custom_capabilities(CustomCapabilities { capabilities: vec![CAPABILITY.into()] });
    let (handle, mut notices) = spawn(client, Target::new(endpoint.parse()?), clock);
    while let Some(notice) = notices.recv().await {
        match notice {
            Notice::Event(Event::CustomCapabilities(list)) => {
                println!("agent knows that the server has {:?}", list.capabilities);
                handle.send_custom(custom("question", "how is the weather?"))?;
            }
            Notice::Event(Event::CustomMessage(heard)) => {
                println!("agent heard {}", text(&heard));
                match &*heard.r#type {
                    "question" => handle.send_custom(custom("answer", "the sun shines"))?,
                    "thanks" => break,
                    _ => {}
                }
            }
            Notice::Event(Event::NotSent(why)) => return Err(why.into()),
            Notice::Disconnected(ended) => return Err(ended.why.into()),
            Notice::Connected | Notice::Redirected(_) | Notice::Event(_) => {}
        }
    }
    handle.shutdown(notices).await;
    Ok(())
}

/// Time since this program first asked.
fn clock() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}
