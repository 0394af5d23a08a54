//! Waits until agents have answered for the config that the server wants them to run.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::client::Client;
use super::error::Error;
use super::kind::Kind;
use super::model::{Agent, ConfigState};
use super::output;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// An agent that has been given a config.
#[derive(Debug)]
pub(super) struct Pushed {
    uid: String,
    last: Value,
}

impl Pushed {
    /// `answer` is the agent as the server gave it back.
    pub(super) fn new(answer: &Value, uid: &str) -> Self {
        Self { uid: uid.to_owned(), last: answer.clone() }
    }
}

/// Prints each agent's answer as it comes; an error when one failed or did not answer in time.
pub(super) async fn for_answers(
    client: &Client,
    namespace: &str,
    mut pending: Vec<Pushed>,
    timeout: Duration,
) -> Result<(), Error> {
    let total = pending.len();
    let deadline = Instant::now() + timeout;
    let mut failed = 0;
    let mut pause = FIRST_PAUSE;
    for pushed in pending.iter().filter(|pushed| !Agent(&pushed.last).connected()) {
        eprintln!("agent/{} is not connected; it gets the config when it is back", output::cell(&pushed.uid));
    }
    loop {
        let mut silent = Vec::new();
        for pushed in pending {
            match Agent(&pushed.last).config_state() {
                ConfigState::Applied => say(&pushed, "APPLIED")?,
                ConfigState::Failed(message) => {
                    failed += 1;
                    say(&pushed, &format!("FAILED: {message}"))?;
                }
                ConfigState::Unresolved(message) => {
                    failed += 1;
                    say(&pushed, &format!("not offered: {message}"))?;
                }
                ConfigState::Pending => silent.push(pushed),
                ConfigState::None => return Err(no_hash(client, &pushed)),
            }
        }
        pending = silent;
        if pending.is_empty() || Instant::now() >= deadline {
            break;
        }
        sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        for pushed in &mut pending {
            pushed.last = client.get(&Kind::Agent.object(namespace, &pushed.uid), &[]).await?;
        }
    }
    for pushed in &pending {
        let connected = Agent(&pushed.last).connected();
        say(pushed, if connected { "no answer in time" } else { "not connected, no answer in time" })?;
    }
    match (failed, pending.len()) {
        (0, 0) => Ok(()),
        (failed, pending) => Err(Error::NotApplied { failed, pending, total }),
    }
}

fn say(pushed: &Pushed, result: &str) -> Result<(), Error> {
    let hash: String = Agent(&pushed.last).desired_hash().chars().take(12).collect();
    output::print(&output::clean(&format!("agent/{} {hash} {result}\n", pushed.uid)))
}

fn no_hash(client: &Client, pushed: &Pushed) -> Error {
    let what =
        "it does not say which config it wants the agent to run, so no answer can be told; use --no-wait";
    Error::Answer { url: format!("{}, agent {}", client.server(), pushed.uid), what: what.to_owned() }
}
