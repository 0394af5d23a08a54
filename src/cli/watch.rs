//! `watch`: a line for every agent, and one more each time something about it changes.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use super::args::Watch;
use super::client::Client;
use super::error::Error;
use super::get::{config_word, yes_no};
use super::model::Agent;
use super::{output, select, sse};

/// Without a stream, and at the latest even with one.
const POLL: Duration = Duration::from_secs(2);
const WITH_STREAM: Duration = Duration::from_secs(30);
/// Several events at once are one look.
const GATHER: Duration = Duration::from_millis(100);
const WIDTHS: [usize; 7] = [9, 36, 20, 9, 7, 8, 12];

pub(super) async fn run(client: &Client, watch: &Watch) -> Result<(), Error> {
    let mut view = View::default();
    print_line(
        &["TIME", "INSTANCE UID", "NAME", "CONNECTED", "HEALTHY", "CONFIG", "CONFIG HASH"].map(str::to_owned),
    )?;
    let mut stream = Stream::open(client).await?;
    view.refresh(client, watch).await?;
    let mut lost = false;
    loop {
        stream.changed().await;
        match view.refresh(client, watch).await {
            Ok(()) if lost => {
                eprintln!("{} answers again", client.server());
                stream = Stream::open(client).await?;
                lost = false;
            }
            Ok(()) => stream.reopen(client).await,
            Err(e @ Error::Unreachable { .. }) => {
                if !lost {
                    eprintln!("{}; trying again", output::clean(&e.to_string()));
                }
                lost = true;
                stream = Stream::None;
            }
            Err(e) => return Err(e),
        }
    }
}

/// What was printed last of each agent.
#[derive(Default)]
struct View {
    printed: HashMap<String, [String; 5]>,
}

impl View {
    async fn refresh(&mut self, client: &Client, watch: &Watch) -> Result<(), Error> {
        let mut seen = HashMap::new();
        for namespace in select::namespaces(client, &watch.scope).await? {
            for agent in select::agents(client, &namespace, &watch.selector).await? {
                let agent = Agent(&agent);
                seen.insert(agent.uid().to_owned(), state(agent));
            }
        }
        for (uid, state) in &seen {
            if self.printed.get(uid) != Some(state) {
                print_state(uid, state)?;
            }
        }
        for uid in self.printed.keys().filter(|uid| !seen.contains_key(*uid)) {
            print_state(uid, &["(deleted)", "", "", "", ""].map(str::to_owned))?;
        }
        self.printed = seen;
        Ok(())
    }
}

fn state(agent: Agent<'_>) -> [String; 5] {
    [
        agent.name().to_owned(),
        yes_no(Some(agent.connected())),
        yes_no(agent.healthy()),
        config_word(&agent.config_state()).to_owned(),
        agent.reported_hash().chars().take(12).collect(),
    ]
}

fn print_state(uid: &str, state: &[String; 5]) -> Result<(), Error> {
    let now = jiff::Timestamp::now().strftime("%H:%M:%SZ").to_string();
    let [name, connected, healthy, config, hash] = state.clone();
    print_line(&[now, uid.to_owned(), name, connected, healthy, config, hash])
}

fn print_line(cells: &[String; 7]) -> Result<(), Error> {
    let cells = cells.iter().zip(WIDTHS).map(|(text, width)| format!("{:width$}", output::cell(text)));
    output::print(&format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end()))
}

/// Where the news of a change comes from.
enum Stream {
    Open {
        answer: reqwest::Response,
        parser: sse::Parser,
    },
    /// It has ended and may be opened again.
    Ended,
    /// The server has none: look now and then.
    None,
}

impl Stream {
    async fn open(client: &Client) -> Result<Self, Error> {
        let answer = client.events().await?;
        Ok(answer.map_or(Self::None, |answer| Self::Open { answer, parser: sse::Parser::default() }))
    }

    async fn reopen(&mut self, client: &Client) {
        if matches!(self, Self::Ended) {
            *self = Self::open(client).await.unwrap_or(Self::Ended);
        }
    }

    /// Returns when it is time to look again.
    async fn changed(&mut self) {
        let Self::Open { answer, parser } = self else { return sleep(POLL).await };
        let mut deadline = Instant::now() + WITH_STREAM;
        loop {
            match timeout_at(deadline, answer.chunk()).await {
                Err(_elapsed) => return,
                Ok(Ok(Some(bytes))) => match parser.push(&bytes) {
                    Ok(events) if events.iter().any(is_about_agents) => {
                        deadline = deadline.min(Instant::now() + GATHER);
                    }
                    Ok(_) => {}
                    Err(sse::TooLong) => break,
                },
                Ok(Ok(None) | Err(_)) => break,
            }
        }
        *self = Self::Ended;
        sleep(GATHER).await;
    }
}

/// An event that says it is about something else needs no look at the agents.
fn is_about_agents(event: &sse::Event) -> bool {
    let value: Value = serde_json::from_str(&event.data).unwrap_or(Value::Null);
    value.get("kind").and_then(Value::as_str).is_none_or(|kind| kind.eq_ignore_ascii_case("agent"))
}
