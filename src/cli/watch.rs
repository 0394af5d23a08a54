//! `watch`: a line for every agent, and one more each time something about it changes.
//!
//! The server's stream says what changed (`ADDED`, `MODIFIED`, `DELETED`, after the first round a `BOOKMARK`); a server
//! without one is asked for its list now and then.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::args::Watch;
use super::client::Client;
use super::error::Error;
use super::get::{config_word, yes_no};
use super::model::Agent;
use super::select::View as Detail;
use super::{output, select, sse};

/// Between two looks at the list of a server without a stream, and between two attempts to reach a lost one.
const POLL: Duration = Duration::from_secs(2);
/// Before a stream that ended is opened again.
const AGAIN: Duration = Duration::from_millis(250);
/// A stream that says nothing for so long, not even that it lives, is dead.
const SILENCE: Duration = Duration::from_secs(60);
const WIDTHS: [usize; 7] = [9, 36, 20, 9, 7, 10, 12];

pub(super) async fn run(client: &Client, watch: &Watch) -> Result<(), Error> {
    let mut view = View { watch, contact: Contact::Never, printed: HashMap::new() };
    loop {
        match (view.follow(client).await, view.contact) {
            (Ok(()), _) => sleep(AGAIN).await,
            (Err(Error::Unreachable { .. }), Contact::Lost) => sleep(POLL).await,
            (Err(e @ Error::Unreachable { .. }), Contact::There) => {
                eprintln!("{}; trying again", output::clean(&e.to_string()));
                view.contact = Contact::Lost;
            }
            (Err(e), _) => return Err(e),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Contact {
    Never,
    There,
    Lost,
}

struct View<'a> {
    watch: &'a Watch,
    contact: Contact,
    /// What was printed last of each agent.
    printed: HashMap<String, [String; 5]>,
}

impl View<'_> {
    /// Shows what changes until the stream ends; without a stream, looks once and waits.
    async fn follow(&mut self, client: &Client) -> Result<(), Error> {
        let stream = client.events().await?;
        self.answered(client)?;
        let Some(mut stream) = stream else {
            self.look(client).await?;
            sleep(POLL).await;
            return Ok(());
        };
        let mut parser = sse::Parser::default();
        let mut first_round = Some(HashSet::new());
        while let Ok(Ok(Some(bytes))) = timeout(SILENCE, stream.chunk()).await {
            let Ok(events) = parser.push(&bytes) else { return Ok(()) };
            for event in events {
                let event: Value = serde_json::from_str(&event.data).unwrap_or(Value::Null);
                let object = event.get("object").unwrap_or(&Value::Null);
                match event.get("type").and_then(Value::as_str) {
                    Some("ADDED" | "MODIFIED") => {
                        if let Some(seen) = &mut first_round {
                            seen.insert(Agent(object).uid().to_owned());
                        }
                        self.show(Agent(object))?;
                    }
                    Some("DELETED") => self.forget(Agent(object).uid())?,
                    Some("BOOKMARK") => {
                        if let Some(seen) = first_round.take() {
                            self.keep_only(&seen)?;
                        }
                    }
                    Some("ERROR") => return Ok(()),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn answered(&mut self, client: &Client) -> Result<(), Error> {
        let names = ["TIME", "INSTANCE UID", "NAME", "CONNECTED", "HEALTHY", "CONFIG", "CONFIG HASH"];
        match std::mem::replace(&mut self.contact, Contact::There) {
            Contact::Never => print_line(&names.map(str::to_owned))?,
            Contact::There => {}
            Contact::Lost => eprintln!("{} answers again", output::clean(client.server())),
        }
        Ok(())
    }

    async fn look(&mut self, client: &Client) -> Result<(), Error> {
        let mut seen = HashSet::new();
        for namespace in select::namespaces(client, &self.watch.scope).await? {
            for agent in select::agents(client, &namespace, &self.watch.selector, Detail::Summary).await? {
                seen.insert(Agent(&agent).uid().to_owned());
                self.show(Agent(&agent))?;
            }
        }
        self.keep_only(&seen)
    }

    /// Prints an agent that is asked for, when it looks different from the last time.
    fn show(&mut self, agent: Agent<'_>) -> Result<(), Error> {
        let scope = &self.watch.scope;
        let in_scope = scope.all_namespaces || agent.namespace() == scope.namespace.name();
        if !in_scope || !self.watch.selector.iter().all(|selector| selector.matches(agent)) {
            return self.forget(agent.uid());
        }
        let state = state(agent);
        if self.printed.get(agent.uid()) != Some(&state) {
            print_state(agent.uid(), &state)?;
            self.printed.insert(agent.uid().to_owned(), state);
        }
        Ok(())
    }

    fn forget(&mut self, uid: &str) -> Result<(), Error> {
        match self.printed.remove(uid) {
            Some(_) => print_state(uid, &["(gone)", "", "", "", ""].map(str::to_owned)),
            None => Ok(()),
        }
    }

    fn keep_only(&mut self, seen: &HashSet<String>) -> Result<(), Error> {
        let gone: Vec<String> = self.printed.keys().filter(|uid| !seen.contains(*uid)).cloned().collect();
        gone.iter().try_for_each(|uid| self.forget(uid))
    }
}

fn state(agent: Agent<'_>) -> [String; 5] {
    [
        agent.name().to_owned(),
        agent.presence().to_owned(),
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
