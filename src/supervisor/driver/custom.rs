//! Custom messages: between the server and the Collector's components, and to the supervisor itself.
//!
//! The server is told the custom capabilities of both as one list; the Collector's extension is told the
//! server's. A message goes where its capability is advertised and is otherwise ignored; the supervisor's own
//! capability is `discovery`, where the file allows it. Nothing here waits: what
//! finds a queue full, or is too large, is dropped, counted and told of in the log.

use std::time::Duration;

use tokio::{sync::mpsc, task::spawn_blocking};

use super::Driver;
use crate::{
    os::clock,
    protocol::custom::DISCOVERY,
    supervisor::discovery,
    telemetry::otlp::Direction,
    transport::client::Update,
    wire::proto::{CustomCapabilities, CustomMessage},
};

/// A longer message is not passed on, either way.
const LARGEST: usize = 1024 * 1024;
/// Capabilities of one peer that are passed on, and how long the name of one may be.
const MOST_NAMES: usize = 64;
const LONGEST_NAME: usize = 255;
/// From one line about dropped messages to the next.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// From one look at who listens on this host to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who has which custom capabilities, as far as the supervisor is told.
#[derive(Debug)]
pub(super) struct Custom {
    /// Those of the Collector's components, and the session that told them.
    collector: (u64, Vec<String>),
    /// Those of the server.
    server: Vec<String>,
    /// What the server was told last.
    advertised: Vec<String>,
    to_server: Drops,
    to_collector: Drops,
    /// When the last look at this host began, and whether it is still under way.
    look: (Option<Duration>, bool),
    answers: (mpsc::Sender<CustomMessage>, mpsc::Receiver<CustomMessage>),
}

/// Messages that were dropped.
#[derive(Debug, Default)]
struct Drops {
    told: Option<Duration>,
    untold: u64,
}

impl Drops {
    /// How many there are to tell of, when it is time to tell.
    fn one_more(&mut self, now: Duration) -> Option<u64> {
        self.untold += 1;
        if self.told.is_some_and(|told| now < told + TOLD_EVERY) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

impl Default for Custom {
    fn default() -> Self {
        Self {
            collector: Default::default(),
            server: Vec::new(),
            advertised: Vec::new(),
            to_server: Drops::default(),
            to_collector: Drops::default(),
            look: (None, false),
            answers: mpsc::channel(1),
        }
    }
}

impl Custom {
    /// The next answer that a look at this host gave.
    pub(super) async fn answer(&mut self) -> CustomMessage {
        match self.answers.1.recv().await {
            Some(answer) => answer,
            // It holds a sender itself.
            None => std::future::pending().await,
        }
    }

    /// The list for the server, if it is another one than it was told (B-CU-01).
    fn advertisement(&mut self, own: &[&str]) -> Option<Vec<String>> {
        let mut all: Vec<String> = own.iter().map(|name| (*name).to_owned()).collect();
        all.extend(self.collector.1.iter().cloned());
        all.sort();
        all.dedup();
        if all == self.advertised {
            return None;
        }
        self.advertised.clone_from(&all);
        Some(all)
    }

    /// The Collector's own list replaces what was known of it (B-CU-02).
    fn of_collector(&mut self, session: u64, said: CustomCapabilities) {
        self.collector = (session, bounded(said));
    }

    /// A session of the Collector ended; one that began since then still counts.
    fn session_over(&mut self, session: u64) {
        if self.collector.0 == session {
            self.collector = Default::default();
        }
    }

    fn is_of_collector(&self, capability: &str) -> bool {
        self.collector.1.iter().any(|known| known == capability)
    }
}

/// A peer's list within bounds.
fn bounded(said: CustomCapabilities) -> Vec<String> {
    let count = said.capabilities.len();
    let fits =
        |name: &String| !name.is_empty() && name.len() <= LONGEST_NAME && !name.chars().any(char::is_control);
    let kept: Vec<_> = said.capabilities.into_iter().filter(fits).take(MOST_NAMES).collect();
    if kept.len() < count {
        tracing::warn!("{} custom capabilities are left out: too many, or no names", count - kept.len());
    }
    kept
}

impl Driver {
    /// The Collector's components say what they can do.
    pub(super) fn collector_customizes(&mut self, session: u64, said: CustomCapabilities) {
        self.custom.of_collector(session, said);
        self.advertise();
    }

    /// The Collector's session is over, and with it what its components could do.
    pub(super) fn collector_left(&mut self, session: u64) {
        self.custom.session_over(session);
        self.advertise();
    }

    /// The Collector itself is another one, or none.
    pub(super) fn collector_replaced(&mut self) {
        self.collector_left(self.custom.collector.0);
    }

    /// Tells the server the capabilities of supervisor and Collector.
    pub(super) fn advertise(&mut self) {
        let own: &[&str] = if self.tells_services() { &[DISCOVERY] } else { &[] };
        if let Some(capabilities) = self.custom.advertisement(own) {
            self.parts.client.update(Update::CustomCapabilities(CustomCapabilities { capabilities }));
        }
    }

    /// The server says what it can do.
    pub(super) fn server_customizes(&mut self, said: CustomCapabilities) {
        self.custom.server = bounded(said);
        self.parts.endpoint.set_custom_capabilities(self.custom.server.clone());
    }

    /// A message of the server.
    pub(super) fn custom_of_server(&mut self, message: CustomMessage) {
        if message.capability == DISCOVERY && self.tells_services() {
            return self.asked_for_services(&message);
        }
        if !self.custom.is_of_collector(&message.capability) {
            return tracing::debug!(
                capability = %message.capability, kind = %message.r#type,
                "a custom message of the server is ignored: nobody here has its capability"
            );
        }
        if !self.custom.server.contains(&message.capability) {
            let why = format!("the server does not advertise {}", message.capability);
            return self.not_passed(Direction::ToCollector, &why);
        }
        if message.data.len() > LARGEST {
            return self.not_passed(Direction::ToCollector, &too_large(&message));
        }
        if let Err(why) = self.parts.endpoint.pass(message) {
            self.not_passed(Direction::ToCollector, &why.to_string());
        }
    }

    const fn tells_services(&self) -> bool {
        self.parts.config.capabilities.reports_services
    }

    /// The server asks what listens on this host: it is looked up beside, one look at a time.
    fn asked_for_services(&mut self, message: &CustomMessage) {
        let question = match discovery::asked(message) {
            Some(Ok(question)) => question,
            Some(Err(answer)) => return self.send_custom(answer),
            None => return tracing::debug!(kind = %message.r#type, "a message of an unknown type is ignored"),
        };
        let now = clock::boottime();
        let (began, under_way) = self.custom.look;
        if under_way || began.is_some_and(|began| now < began + LOOK_EVERY) {
            return self.send_custom(question.put_off("busy; ask again in a second"));
        }
        tracing::info!("the server asks what listens on this host");
        self.custom.look = (Some(now), true);
        let own = self.collector.as_ref().map(super::process::Collector::pid);
        let own: Vec<_> = own.into_iter().chain(i32::try_from(std::process::id())).collect();
        let (components, tell) = (self.parts.components.clone(), self.custom.answers.0.clone());
        tokio::spawn(async move {
            let look = spawn_blocking(move || question.answer(components.as_ref(), &own));
            // A look does not panic, and the driver is gone only when everything ends.
            if let Ok(answer) = look.await {
                let _ = tell.send(answer).await;
            }
        });
    }

    /// A look at this host has ended.
    pub(super) fn services_found(&mut self, answer: CustomMessage) {
        self.custom.look.1 = false;
        self.send_custom(answer);
    }

    /// A message of the Collector's components for the server.
    pub(super) fn custom_of_collector(&mut self, message: CustomMessage) {
        if message.data.len() > LARGEST {
            return self.not_passed(Direction::ToServer, &too_large(&message));
        }
        self.send_custom(message);
    }

    fn send_custom(&mut self, message: CustomMessage) {
        if let Err(why) = self.parts.client.send_custom(message) {
            self.not_passed(Direction::ToServer, &why.to_string());
        }
    }

    /// One is dropped.
    pub(super) fn not_passed(&mut self, direction: Direction, why: &str) {
        self.parts.instruments.meters.custom_dropped(direction);
        let (drops, to) = match direction {
            Direction::ToServer => (&mut self.custom.to_server, "the server"),
            Direction::ToCollector => (&mut self.custom.to_collector, "the Collector"),
        };
        if let Some(count) = drops.one_more(clock::boottime()) {
            tracing::warn!(count, "custom messages do not go to {to}: {why}");
        }
    }
}

fn too_large(message: &CustomMessage) -> String {
    format!("one of {} has {} bytes, and {LARGEST} is the most", message.capability, message.data.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(names: &[&str]) -> CustomCapabilities {
        CustomCapabilities { capabilities: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn b_cu_01_02_the_union_is_told_when_it_changes_and_the_last_list_of_each_counts() {
        let mut custom = Custom::default();
        assert_eq!(custom.advertisement(&[]), None, "nobody has any: nothing is said");
        let own = ["io.example.own"];
        assert_eq!(custom.advertisement(&own).unwrap(), own);
        custom.of_collector(1, said(&["com.example.b", "com.example.a", "io.example.own"]));
        let all = ["com.example.a", "com.example.b", "io.example.own"];
        assert_eq!(custom.advertisement(&own).unwrap(), all);
        assert_eq!(custom.advertisement(&own), None);
        custom.of_collector(2, said(&["com.example.b"]));
        assert_eq!(custom.advertisement(&own).unwrap(), ["com.example.b", "io.example.own"]);
        assert!(custom.is_of_collector("com.example.b") && !custom.is_of_collector("com.example.a"));
        custom.session_over(1);
        assert_eq!(custom.advertisement(&own), None, "the newer session still stands");
        custom.session_over(2);
        assert_eq!(custom.advertisement(&own).unwrap(), own);
    }

    #[test]
    fn what_a_peer_lists_is_bounded() {
        let many: Vec<_> = (0..100).map(|n| format!("com.example.c{n}")).collect();
        let long = "x".repeat(LONGEST_NAME + 1);
        let mut list = CustomCapabilities { capabilities: vec![String::new(), long, "a\nb".into()] };
        list.capabilities.extend(many);
        let kept = bounded(list);
        assert_eq!((kept.len(), kept[0].as_str()), (MOST_NAMES, "com.example.c0"));
    }

    #[test]
    fn dropped_messages_are_told_of_at_once_and_then_each_minute_with_their_count() {
        let mut drops = Drops::default();
        let at = Duration::from_secs;
        assert_eq!(drops.one_more(at(5)), Some(1));
        assert_eq!((drops.one_more(at(6)), drops.one_more(at(64))), (None, None));
        assert_eq!(drops.one_more(at(65)), Some(3));
    }
}
