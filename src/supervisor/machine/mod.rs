//! What to do with the Collector: one pure machine for its process and for the config it runs.
//!
//! ```text
//! process                                        apply
//!
//!   Down ──start──▶ Running ◀──────────┐           Idle ──offer──▶ Checking ──refused──▶ Idle, FAILED
//!                    │    │            │                              │ fit
//!        asked to    │    │ died       │ spawn                        ▼
//!        stop        ▼    ▼            │                           Arming ──not durable──▶ Idle, put off
//!              Stopping  Waiting ──────┘                              │ on disk
//!                 │  gone                                             ▼
//!                 └──▶ Down, or Running again                      Proving ──healthy──▶ Idle, APPLIED
//!                                                                     │ died, or silent for too long
//!                                                                     ▼
//!                                                                  Idle, FAILED; the previous config runs
//!
//! after APPLIED
//!
//!   on probation ──30 s well──▶ committed: the last good config
//!         └── ended the Collector, or broke a component for 10 s ──▶ FAILED; the config before it runs
//!
//! the last good config ends 3 times before it was ever healthy
//!
//!   safe mode: the fallback runs ──each minute, or when something changed──▶ the last good one is tried
//!         ▲                                                                     │ healthy ──▶ left
//!         └──────────────────────────── ended, or not healthy ──────────────────┘
//! ```
//!
//! Everything that can be checked is checked before the running Collector is touched. While one config is at
//! work, the newest offer waits in a mailbox of one. Each process and each check has a generation, so that
//! what is late cannot act on what is newer. The driver performs the [`Effect`]s and owns clock, processes and
//! files; [`super::journal`] makes them durable before they are announced.
//!
//! - `terms`: the words of the machine, in and out
//! - `process`: start, stop, death; `restart`: when to start again
//! - `apply`: a config on its way from offer to proof; `probation`: what comes after
//! - `put_off`: offers that the host stands in the way of; `quarantine`: those that failed
//! - `safe`: what runs when the last good config does not
//! - `inherit`: a Collector that runs already when the supervisor begins
//! - `operator`: what a person on the host asks for; `refresh`: the host's own part changes; `binary`: another
//!   Collector on trial

mod apply;
mod binary;
mod inherit;
mod operator;
mod probation;
mod process;
mod put_off;
mod quarantine;
mod refresh;
mod restart;
mod safe;
mod terms;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    time::Duration,
};

use apply::Apply;
pub use apply::Verdict;
pub use binary::BinaryRules;
use binary::BinaryTrial;
pub use inherit::{Acquaintance, Inherited};
pub use probation::Condition;
use probation::Probation;
use process::Process;
use put_off::PutOff;
use quarantine::Quarantine;
use refresh::HostTrial;
pub use refresh::Refresh;
use restart::RestartPolicy;
use safe::Safe;
pub use terms::{
    Blame, Effect, Input, Layers, Mode, Outcome, Past, ProcessState, ReloadRule, Rollback, Settings,
};

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

/// The machine. See the module's diagram.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    process: Process,
    /// What the newest process was given.
    running: Layers,
    /// Whether the newest process was ever well.
    was_well: bool,
    apply: Apply,
    mailbox: Option<ConfigHash>,
    live: Running,
    /// What is fallen back to.
    last_good: Running,
    /// What was the last good one before that.
    previous: Option<Running>,
    /// There while the live config is not the last good one.
    probation: Option<Probation>,
    /// What is broken for good now.
    faults: BTreeSet<String>,
    quarantine: Quarantine,
    put_off: Option<PutOff>,
    /// There while the host's own part may still be undone.
    host_trial: Option<HostTrial>,
    /// There while the binary may still be undone.
    binary: Option<BinaryTrial>,
    restarts: RestartPolicy,
    /// Starts of the last good config, in a row, that came to nothing.
    failed_starts: u32,
    safe: Option<Safe>,
    /// The server was never reached, and there are fallback configs for that time.
    unreached: bool,
    paused: bool,
    generation: Generation,
    check: CheckToken,
    ending: bool,
    effects: VecDeque<Effect>,
}

impl Machine {
    /// A machine that continues with what an earlier life left.
    #[must_use]
    pub fn new(settings: Settings, past: Past, seed: u64) -> Self {
        let unreached = past.fallback && past.live.is_none();
        let mut machine = Self {
            settings,
            process: Process::Down,
            running: Layers::Config(None),
            was_well: false,
            apply: Apply::Idle,
            mailbox: None,
            live: past.live,
            last_good: past.last_good,
            previous: past.previous,
            probation: None,
            faults: BTreeSet::new(),
            quarantine: Quarantine::of(past.quarantine),
            put_off: None,
            host_trial: None,
            binary: past.binary.map(|rules| BinaryTrial::new(rules, BTreeSet::new())),
            restarts: RestartPolicy::new(seed),
            failed_starts: 0,
            safe: None,
            unreached,
            paused: past.paused,
            generation: Generation(0),
            check: CheckToken(0),
            ending: false,
            effects: VecDeque::new(),
        };
        machine.put_on_probation(machine.last_good.clone(), BTreeSet::new());
        if unreached {
            machine.emit(Effect::Mode(Mode::Unreached));
        }
        machine
    }

    /// The config that is in force.
    #[must_use]
    pub const fn live(&self) -> &Running {
        &self.live
    }

    /// The config that has proven itself for good.
    #[must_use]
    pub const fn last_good(&self) -> &Running {
        &self.last_good
    }

    /// What was the last good one before that.
    #[must_use]
    pub const fn previous(&self) -> &Option<Running> {
        &self.previous
    }

    /// What failed on this host as it is, with the reasons; oldest first.
    #[must_use]
    pub fn quarantined(&self) -> &[(ConfigHash, String)] {
        self.quarantine.entries()
    }

    /// Whether this config failed on this host as it is.
    #[must_use]
    pub fn is_quarantined(&self, config: &ConfigHash) -> bool {
        self.quarantine.reason(config).is_some()
    }

    /// Whether offers are held.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused
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

    /// The configs that are on their way, being checked or proven and waiting behind that, and those to go
    /// back to.
    pub fn at_work(&self) -> impl Iterator<Item = &ConfigHash> {
        let back = self.probation.as_ref().and_then(Probation::fallback);
        let previous = self.previous.iter().flatten();
        self.apply.config().into_iter().chain(&self.mailbox).chain(back).chain(previous)
    }

    /// Whether there is something to do.
    #[cfg(test)]
    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let settled = !self.apply.is_at_work() && !self.ending && !self.tries_binary();
        let put_off = self.put_off.as_ref().filter(|_| !self.tries_binary()).and_then(PutOff::deadline);
        let probation = self.probation.as_ref().filter(|_| settled).and_then(Probation::deadline);
        let safe = self.safe.as_ref().filter(|_| settled).and_then(Safe::deadline);
        let (host, binary) = (self.host_deadline(), self.binary_deadline());
        [self.process.deadline(), self.apply.deadline(), put_off, probation, safe, host, binary]
            .into_iter()
            .flatten()
            .min()
    }

    pub fn handle_timeout(&mut self, now: Duration) {
        self.process_timeout(now);
        self.apply_timeout(now);
        self.put_off_timeout(now);
        self.probation_timeout(now);
        self.safe_timeout(now);
        self.host_timeout(now);
        self.binary_timeout(now);
    }

    pub fn handle(&mut self, input: Input, now: Duration) {
        match input {
            Input::Start => self.start(now),
            Input::Inherit(inherited) => self.inherit(inherited, now),
            Input::Offer(config) => self.offered(config, now),
            Input::Checked { token, verdict } => self.checked(token, verdict, now),
            Input::Armed(armed) => self.armed(armed, now),
            Input::SpawnFailed { generation, why, blame } | Input::Exited { generation, how: why, blame } => {
                self.ended(generation, why, blame, now);
            }
            Input::SwitchFailed { why } => {
                if self.is_proving() {
                    self.trial_failed(&why, Blame::Host, now);
                } else {
                    self.step_back(why);
                }
                self.next_offer(now);
            }
            Input::Reported { generation, session, condition } => {
                self.reported(generation, session, condition, now);
            }
            Input::Silent { generation, why } => self.silent(generation, why, now),
            Input::ServerReached => self.server_reached(now),
            Input::HostChanged { failed } => self.host_changed(failed, now),
            Input::Condemn { config, why } => self.condemn(config, &why, now),
            Input::Restart => self.restart(now),
            Input::Refresh(refresh) => self.refresh(refresh, now),
            Input::SwitchBinary(rules) => self.switch_binary(rules, now),
            Input::BinaryWrong { why } => self.binary_is_wrong(&why, now),
            Input::BinarySteppedBack => self.binary_stepped_back(now),
            Input::BinaryRestored => self.binary_restored(now),
            Input::RollBack => self.roll_back(now),
            Input::Pause => self.pause(),
            Input::Resume => self.resume(now),
            Input::SteppedBack => self.stepped_back(now),
            Input::Slept(time) => self.slept(time),
            Input::Shutdown => self.shutdown(now),
            Input::Hurry => self.hurry(),
        }
    }

    /// The whole host stood still: that time proves nothing, for or against a config (F-59).
    fn slept(&mut self, time: Duration) {
        self.process.shift(time);
        self.apply.shift(time);
        self.shift_host_trial(time);
        self.shift_binary(time);
        if let Some(probation) = &mut self.probation {
            probation.shift(time);
        }
        if let Some(safe) = &mut self.safe {
            safe.shift(time);
        }
    }

    fn emit(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }
}
