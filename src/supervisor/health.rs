//! The health that is reported: one tree, folded from what the process does and what the Collector says.
//!
//! While a process runs, the word of the Collector (its opamp extension's tree, or the health probe) counts;
//! when it does not, the supervisor says why. Times are wall-clock nanoseconds, passed in.

use std::collections::{BTreeMap, BTreeSet};

use super::machine::{Condition, Mode, ProcessState};
use crate::wire::proto::ComponentHealth;

/// The Collector's state, and its last word on itself.
#[derive(Clone, Debug, Default)]
pub struct Health {
    stage: Stage,
    since: u64,
    started: u64,
    word: Option<ComponentHealth>,
    /// A reload is under way: "not ready yet" from the new life is no news.
    reloading: bool,
    /// The local layers that the config does without, and since when it does.
    left_out: Vec<String>,
    left_out_since: u64,
    mode: Mode,
    /// Since when offers of the server are held, if they are.
    paused_since: Option<u64>,
    /// What a person should mend, by what it is about, and since when it is so.
    remarks: BTreeMap<&'static str, (String, u64)>,
}

/// What the names of the supervisor's own components begin with.
pub(in crate::supervisor) const OWN_COMPONENTS: &str = "supervisor:";
/// The component that says that management is paused.
const MANAGEMENT: &str = "supervisor:management";
/// The component that says which local layers are left out.
const CONFIG_FILES: &str = "supervisor:config_files";

#[derive(Clone, Debug, Default, PartialEq)]
enum Stage {
    #[default]
    Starting,
    /// Starting again, because the one before ended like this.
    StartingAfter(String),
    Running,
    Stopping,
    Stopped,
    Failed(String),
}

impl Health {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self { since: now, ..Self::default() }
    }

    /// The process changed its state.
    pub fn process(&mut self, state: &ProcessState, now: u64) {
        let stage = match state {
            ProcessState::Starting => match std::mem::take(&mut self.stage) {
                Stage::Failed(why) | Stage::StartingAfter(why) => Stage::StartingAfter(why),
                _ => Stage::Starting,
            },
            ProcessState::Stopping => Stage::Stopping,
            ProcessState::Stopped => Stage::Stopped,
            ProcessState::Failed { .. } => Stage::Failed(state.failure().unwrap_or_default()),
        };
        match &stage {
            Stage::Starting | Stage::StartingAfter(_) => self.started = now,
            Stage::Stopped | Stage::Failed(_) => self.started = 0,
            Stage::Running | Stage::Stopping => {}
        }
        self.word = None;
        self.reloading = false;
        self.enter(stage, now);
    }

    /// The config in place does without these local layers. True when that is news.
    pub fn left_out(&mut self, missing: &[String], now: u64) -> bool {
        if self.left_out == missing {
            return false;
        }
        self.left_out = missing.to_vec();
        self.left_out_since = now;
        true
    }

    /// Offers of the server are held, or taken again.
    pub fn paused(&mut self, paused: bool, now: u64) {
        self.paused_since = paused.then_some(now);
    }

    /// What the Collector runs with is another thing now.
    pub fn mode(&mut self, mode: Mode) {
        self.mode = mode;
    }

    /// The Collector was told to read its files again.
    pub const fn reloading(&mut self) {
        self.reloading = true;
    }

    /// The Collector says how it is.
    pub fn said(&mut self, word: ComponentHealth, now: u64) {
        match self.stage {
            Stage::Starting | Stage::Running => {}
            // Until it is well, why it was started again is worth more than that it is not ready yet.
            Stage::StartingAfter(_) if word.healthy || !word.last_error.is_empty() => {}
            Stage::StartingAfter(_) | Stage::Stopping | Stage::Stopped | Stage::Failed(_) => return,
        }
        if self.reloading && !word.healthy && word.last_error.is_empty() {
            return;
        }
        self.reloading = false;
        self.word = Some(word);
        self.enter(Stage::Running, now);
    }

    /// The Collector's last word on itself, and when it was started.
    #[must_use]
    pub const fn word(&self) -> (Option<&ComponentHealth>, u64) {
        (self.word.as_ref(), self.started)
    }

    /// A Collector that runs already, and what it last said of itself.
    pub fn inherit(&mut self, word: Option<ComponentHealth>, started: u64, now: u64) {
        self.started = started;
        if let Some(word) = word {
            self.word = Some(word);
            self.enter(Stage::Running, now);
        }
    }

    /// Something beside the Collector that a person should mend, or that is mended. It shows as a component of
    /// its own, and makes no Collector unhealthy.
    pub fn remark(&mut self, about: &'static str, why: Option<String>, now: u64) {
        match why {
            Some(why) if self.remarks.get(about).is_some_and(|(known, _)| *known == why) => {}
            Some(why) => {
                self.remarks.insert(about, (why, now));
            }
            None => {
                self.remarks.remove(about);
            }
        }
    }

    /// What a person should mend.
    pub fn remarks(&self) -> impl Iterator<Item = &str> {
        self.remarks.values().map(|(why, _)| why.as_str())
    }

    fn enter(&mut self, stage: Stage, now: u64) {
        if self.stage != stage {
            self.stage = stage;
            self.since = now;
        }
    }

    /// The tree to report. A layer that is left out makes no healthy Collector unhealthy: it is a component of
    /// its own.
    #[must_use]
    pub fn tree(&self) -> ComponentHealth {
        let mut tree = self.of_process();
        if let Mode::Safe { why } = &self.mode {
            // It runs well, and it does not do what it is there for.
            tree.healthy = false;
            "StatusPermanentError".clone_into(&mut tree.status);
            let now =
                if tree.last_error.is_empty() { String::new() } else { format!("; now {}", tree.last_error) };
            tree.last_error = format!("safe mode: {why}{now}");
        }
        if !self.left_out.is_empty() {
            let component = ComponentHealth {
                status: "StatusRecoverableError".to_owned(),
                last_error: format!("left out of the config: {}", self.left_out.join("; ")),
                status_time_unix_nano: self.left_out_since,
                ..ComponentHealth::default()
            };
            tree.component_health_map.insert(CONFIG_FILES.to_owned(), component);
        }
        if let Some(since) = self.paused_since {
            let component = ComponentHealth {
                status: "StatusRecoverableError".to_owned(),
                last_error: "management is paused on the host: offers and restart commands are held"
                    .to_owned(),
                status_time_unix_nano: since,
                ..ComponentHealth::default()
            };
            tree.component_health_map.insert(MANAGEMENT.to_owned(), component);
        }
        for (about, (why, since)) in &self.remarks {
            let remark = ComponentHealth {
                last_error: why.clone(),
                status: "StatusRecoverableError".to_owned(),
                status_time_unix_nano: *since,
                ..ComponentHealth::default()
            };
            tree.component_health_map.insert(format!("{OWN_COMPONENTS}{about}"), remark);
        }
        tree
    }

    fn of_process(&self) -> ComponentHealth {
        let own = |status: &str, last_error: &str| ComponentHealth {
            healthy: false,
            start_time_unix_nano: self.started,
            last_error: last_error.to_owned(),
            status: status.to_owned(),
            status_time_unix_nano: self.since,
            ..ComponentHealth::default()
        };
        match (&self.stage, &self.word) {
            (Stage::Running, Some(word)) => self.of_word(word),
            (Stage::Starting | Stage::Running, _) => own("StatusStarting", "the Collector is starting"),
            (Stage::StartingAfter(why), _) => own("StatusStarting", why),
            (Stage::Stopping, _) => own("StatusStopping", "the Collector is stopping"),
            (Stage::Stopped, _) => own("StatusStopped", "the Collector was stopped"),
            (Stage::Failed(why), _) => own("StatusPermanentError", why),
        }
    }

    /// The Collector's own tree, with what it leaves open filled in.
    fn of_word(&self, word: &ComponentHealth) -> ComponentHealth {
        let mut tree = word.clone();
        tree.start_time_unix_nano = self.started;
        if tree.status.is_empty() {
            let status = if tree.healthy { "StatusOK" } else { "StatusStarting" };
            status.clone_into(&mut tree.status);
        }
        if tree.status_time_unix_nano == 0 {
            tree.status_time_unix_nano = self.since;
        }
        if !tree.healthy && tree.last_error.is_empty() {
            tree.last_error =
                first_error(word).unwrap_or_else(|| "the Collector says that it is not healthy".to_owned());
        }
        tree
    }
}

/// What a tree means for the config that runs. The extension calls everything but StatusOK unhealthy; an error
/// that a component may recover from by itself is no reason to give a config up.
#[must_use]
pub fn condition(word: &ComponentHealth) -> Condition {
    let mut faults = BTreeSet::new();
    collect_faults("", word, &mut faults);
    Condition {
        well: word.healthy || word.status == "StatusRecoverableError",
        faults,
        why: if word.last_error.is_empty() {
            first_error(word).unwrap_or_default()
        } else {
            word.last_error.clone()
        },
    }
}

fn collect_faults(path: &str, word: &ComponentHealth, faults: &mut BTreeSet<String>) {
    for (name, child) in &word.component_health_map {
        let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        collect_faults(&path, child, faults);
    }
    let broken = matches!(word.status.as_str(), "StatusPermanentError" | "StatusFatalError");
    if broken && word.component_health_map.is_empty() {
        let name = if path.is_empty() { "the Collector" } else { path };
        faults.insert(format!("{name}: {}", word.last_error));
    }
}

/// The first cause in a tree, with the component that names it.
fn first_error(word: &ComponentHealth) -> Option<String> {
    word.component_health_map.iter().find_map(|(name, child)| {
        if child.healthy {
            None
        } else if child.last_error.is_empty() {
            first_error(child)
        } else {
            Some(format!("{name}: {}", child.last_error))
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn word(healthy: bool) -> ComponentHealth {
        ComponentHealth { healthy, ..Default::default() }
    }

    #[test]
    fn c_hl_02_03_a_dead_collector_has_no_start_time_and_a_reason() {
        let mut health = Health::default();
        health.process(&ProcessState::Starting, 10);
        health.said(word(true), 11);
        assert!(health.tree().healthy);
        assert_eq!(health.tree().start_time_unix_nano, 10);
        let died = ProcessState::Failed {
            how: "was killed by SIGKILL".into(),
            retry_in: Duration::ZERO,
            looping: false,
        };
        health.process(&died, 20);
        let tree = health.tree();
        assert!(!tree.healthy && tree.last_error.contains("SIGKILL"));
        assert_eq!((tree.start_time_unix_nano, tree.status_time_unix_nano), (0, 20));
        health.said(word(true), 21);
        assert!(!health.tree().healthy, "a late word of a dead process counts for nothing");
        health.process(&ProcessState::Starting, 22);
        health.said(word(false), 23);
        assert!(health.tree().last_error.contains("SIGKILL"), "the reason stays until it is well again");
        health.said(word(true), 24);
        assert!(health.tree().healthy && health.tree().last_error.is_empty());
    }

    #[test]
    fn c_hl_03_the_cause_is_found_in_the_tree() {
        let mut health = Health::default();
        health.process(&ProcessState::Starting, 1);
        let mut sick = word(false);
        let child = ComponentHealth { last_error: "connection refused".into(), ..Default::default() };
        sick.component_health_map.insert("exporter:otlp".into(), child);
        health.said(sick, 2);
        assert_eq!(health.tree().last_error, "exporter:otlp: connection refused");
    }

    #[test]
    fn a_remark_is_seen_and_makes_nobody_unhealthy() {
        let mut health = Health::default();
        health.process(&ProcessState::Starting, 1);
        health.said(word(true), 2);
        health.remark("x", Some("mend it".into()), 3);
        health.remark("x", Some("mend it".into()), 4);
        let tree = health.tree();
        let remark = &tree.component_health_map["supervisor:x"];
        assert!(tree.healthy && !remark.healthy);
        assert_eq!((remark.last_error.as_str(), remark.status_time_unix_nano), ("mend it", 3));
        health.remark("x", None, 5);
        assert!(health.tree().component_health_map.is_empty());
    }

    #[test]
    fn a_reload_does_not_flap() {
        let mut health = Health::default();
        health.process(&ProcessState::Starting, 1);
        health.said(word(true), 2);
        health.reloading();
        health.said(word(false), 3);
        assert!(health.tree().healthy);
        health.said(word(true), 4);
        health.said(word(false), 5);
        assert!(!health.tree().healthy, "after the reload it is news again");
    }
}
