//! What to do with the Collector: one pure machine for its process and for the config it runs.
//!
//! ```text
//! process                                        apply
//!
//!   Down ──start──▶ Running ◀──────────┐           Idle ──offer──▶ Checking ──refused──▶ Idle, FAILED
//!                    │    │            │                              │ fit
//!        asked to    │    │ died       │ spawn                        ▼
//!        stop        ▼    ▼            │                           Proving ──healthy──▶ Idle, APPLIED
//!              Stopping  Waiting ──────┘                              │ died, or silent for too long
//!                 │  gone                                             ▼
//!                 └──▶ Down, or Running again                      Idle, FAILED; the previous config runs
//!
//! after APPLIED
//!
//!   on probation ──30 s well──▶ committed: the last good config
//!         └── ended the Collector, or broke a component for 10 s ──▶ FAILED; the config before it runs
//! ```
//!
//! Everything that can be checked is checked before the running Collector is touched. While one config is at
//! work, the newest offer waits in a mailbox of one. Each process and each check has a generation, so that
//! what is late cannot act on what is newer. The driver performs the [`Effect`]s and owns clock, processes and
//! files; [`super::journal`] makes them durable before they are announced.
//!
//! - `process`: start, stop, death; `restart`: when to start again
//! - `apply`: a config on its way from offer to proof; `probation`: what comes after
//! - `put_off`: offers that the host stands in the way of

mod apply;
mod probation;
mod process;
mod put_off;
mod restart;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    time::Duration,
};

use apply::Apply;
pub use apply::Verdict;
pub use probation::Condition;
use probation::Probation;
use process::Process;
use put_off::PutOff;
use restart::RestartPolicy;

/// The opaque hash that a server gave a config.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfigHash(pub Vec<u8>);

impl fmt::Display for ConfigHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ConfigHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the Collector runs: a remote config on top of the host's own layers, or those alone.
pub type Running = Option<ConfigHash>;

/// The generation of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Generation(pub u64);

/// The generation of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CheckToken(pub u64);

/// When SIGHUP is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadRule {
    /// When contents changed and the list of files did not.
    ContentsOnly,
    /// Never: restart.
    Never,
}

/// The machine's durations and rules.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a new config may take to become healthy.
    pub first_health: Duration,
    /// How long it is watched after that.
    pub probation: Duration,
    /// How long a Collector may take to stop before it is killed.
    pub stop_grace: Duration,
    pub reload: ReloadRule,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    Start,
    /// The server offers this config; its body is stored.
    Offer(ConfigHash),
    Checked {
        token: CheckToken,
        verdict: Verdict,
    },
    SpawnFailed {
        generation: Generation,
        why: String,
    },
    Exited {
        generation: Generation,
        how: String,
        blame: Blame,
    },
    /// The files of the config on trial could not be put in place for a reload.
    SwitchFailed {
        why: String,
    },
    /// The Collector, or a probe of it, says how it is. `session` grows with each new life of the config
    /// in one process, so that a word from before a reload proves nothing about what came after.
    Reported {
        generation: Generation,
        session: u64,
        condition: Condition,
    },
    /// The server asks for a restart.
    Restart,
    Shutdown,
    /// A second signal: stop waiting for the Collector's own pace.
    Hurry,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Judge this config without touching what runs; answer with [`Input::Checked`].
    Check {
        token: CheckToken,
        config: ConfigHash,
    },
    /// Write the files of this config, then start a process.
    Spawn {
        generation: Generation,
        config: Running,
    },
    /// Write the files of this config, then tell the process to read them.
    Reload {
        generation: Generation,
        config: Running,
    },
    Stop {
        generation: Generation,
    },
    Kill {
        generation: Generation,
    },
    /// Make this durable, then tell the server.
    Status {
        config: ConfigHash,
        outcome: Outcome,
    },
    /// Make it durable that this config has proven itself for good.
    Committed {
        config: ConfigHash,
    },
    /// The state of the process, for the health report.
    Process(ProcessState),
    /// The Collector is gone and stays so: the supervisor may end.
    Finished,
}

/// How it went with a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Applying,
    Applied,
    Failed(String),
    /// FAILED for the server; the host stood in the way, so the offer is not held against the config.
    PutOff(String),
}

/// What a failure is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// It would fail again: the same offer is not tried a second time.
    Config,
    /// Somebody on the host ended the Collector: that says nothing about a config that had proven itself.
    Outside,
    /// A port in use, no memory, a full disk: once that is mended, the same config may do.
    Host,
}

/// The process as a person sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessState {
    Starting,
    /// Stopping because somebody asked.
    Stopping,
    Stopped,
    /// Died or could not be started; it is tried again after the delay.
    Failed {
        how: String,
        retry_in: Duration,
    },
}

impl ProcessState {
    /// What failed and when it is tried again, for people.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let Self::Failed { how, retry_in } = self else { return None };
        let when = if retry_in.is_zero() { "at once".to_owned() } else { format!("in {retry_in:.1?}") };
        Some(format!("the Collector {how}; it is started again {when}"))
    }
}

/// What an earlier life left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// In force, but perhaps not yet proven for good.
    pub live: Running,
    pub last_good: Running,
    /// What failed last, with the reason: it is not tried again.
    pub failed: Option<(ConfigHash, String)>,
}

/// The machine. See the module's diagram.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    process: Process,
    apply: Apply,
    mailbox: Option<ConfigHash>,
    live: Running,
    /// What is fallen back to.
    last_good: Running,
    /// There while the live config is not the last good one.
    probation: Option<Probation>,
    /// What was broken for good before the last switch, and what is now.
    baseline: BTreeSet<String>,
    faults: BTreeSet<String>,
    failed: Option<(ConfigHash, String)>,
    put_off: Option<PutOff>,
    restarts: RestartPolicy,
    generation: Generation,
    check: CheckToken,
    ending: bool,
    effects: VecDeque<Effect>,
}

impl Machine {
    /// A machine that continues with what an earlier life left.
    #[must_use]
    pub fn new(settings: Settings, past: Past, seed: u64) -> Self {
        let mut machine = Self {
            settings,
            process: Process::Down,
            apply: Apply::Idle,
            mailbox: None,
            live: past.live,
            last_good: past.last_good,
            probation: None,
            baseline: BTreeSet::new(),
            faults: BTreeSet::new(),
            failed: past.failed,
            put_off: None,
            restarts: RestartPolicy::new(seed),
            generation: Generation(0),
            check: CheckToken(0),
            ending: false,
            effects: VecDeque::new(),
        };
        machine.put_on_probation(machine.last_good.clone());
        machine
    }

    /// The config that is proven and in force.
    #[must_use]
    pub const fn live(&self) -> &Running {
        &self.live
    }

    /// Whether a switched config still has to prove itself.
    #[must_use]
    pub const fn is_proving(&self) -> bool {
        matches!(self.apply, Apply::Proving { .. })
    }

    /// The config that is being checked or proven.
    #[must_use]
    pub const fn applying(&self) -> Option<&ConfigHash> {
        self.apply.config()
    }

    /// The configs that are on their way, being checked or proven and waiting behind that, and the one to go
    /// back to.
    pub fn at_work(&self) -> impl Iterator<Item = &ConfigHash> {
        let back = self.probation.as_ref().and_then(Probation::fallback);
        self.apply.config().into_iter().chain(&self.mailbox).chain(back)
    }

    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let put_off = self.put_off.as_ref().and_then(PutOff::deadline);
        let probation = self.probation.as_ref().filter(|_| !self.is_proving()).and_then(Probation::deadline);
        [self.process.deadline(), self.apply.deadline(), put_off, probation].into_iter().flatten().min()
    }

    pub fn handle_timeout(&mut self, now: Duration) {
        self.process_timeout(now);
        self.apply_timeout(now);
        self.put_off_timeout(now);
        self.probation_timeout(now);
    }

    pub fn handle(&mut self, input: Input, now: Duration) {
        match input {
            Input::Start => self.start(now),
            Input::Offer(config) => self.offered(config, now),
            Input::Checked { token, verdict } => self.checked(token, verdict, now),
            Input::SpawnFailed { generation, why } => self.ended(generation, why, Blame::Host, now),
            Input::Exited { generation, how, blame } => self.ended(generation, how, blame, now),
            Input::SwitchFailed { why } => {
                self.trial_failed(&why, Blame::Host, now);
                self.next_offer(now);
            }
            Input::Reported { generation, session, condition } => {
                self.reported(generation, session, condition, now);
            }
            Input::Restart => self.restart(now),
            Input::Shutdown => self.shutdown(now),
            Input::Hurry => self.hurry(),
        }
    }

    fn emit(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }
}
