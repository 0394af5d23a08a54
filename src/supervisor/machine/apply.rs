//! A config on its way from offer to proof.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Blame, CheckToken, Condition, ConfigHash, Effect, Generation, Layers, Machine, Outcome, ReloadRule,
    Rollback, Running,
    process::{Process, Then},
};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Apply {
    Idle,
    Checking {
        config: ConfigHash,
    },
    /// It fits; that it is switched to is being made durable.
    Arming {
        config: ConfigHash,
        how: Switch,
    },
    Proving {
        config: ConfigHash,
        proof: Proof,
        deadline: Option<Duration>,
        /// What was broken for good before the switch: that is not this config's doing.
        baseline: BTreeSet<String>,
        last_word: String,
    },
}

/// Whose good word counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Of any life of this process.
    Process(Generation),
    /// Of a life of the config after this one, in the same process.
    SessionAfter(u64),
}

impl Proof {
    /// Whether a word of this life of this process is one that proves something.
    pub(super) fn counts(self, generation: Generation, session: u64) -> bool {
        match self {
            Self::Process(process) => process == generation,
            Self::SessionAfter(before) => session > before,
        }
    }
}

/// How a config is switched to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Switch {
    /// SIGHUP, where the process can take it.
    Reload,
    Restart,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is what already runs.
    Same,
    /// It fits; only contents of files differ.
    Contents,
    /// It fits; the list of files differs.
    Files,
    Refused(String),
    /// It could not be judged: the host stood in the way.
    Unable(String),
}

impl Apply {
    pub(super) const fn config(&self) -> Option<&ConfigHash> {
        match self {
            Self::Checking { config } | Self::Arming { config, .. } | Self::Proving { config, .. } => {
                Some(config)
            }
            Self::Idle => None,
        }
    }

    pub(super) const fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Proving { deadline, .. } => *deadline,
            Self::Idle | Self::Checking { .. } | Self::Arming { .. } => None,
        }
    }

    /// The host stood still so long.
    pub(super) fn shift(&mut self, time: Duration) {
        if let Self::Proving { deadline: Some(deadline), .. } = self {
            *deadline += time;
        }
    }

    /// Past its checks: what runs is about to be touched, or was.
    pub(super) const fn is_at_work(&self) -> bool {
        matches!(self, Self::Arming { .. } | Self::Proving { .. })
    }
}

impl Machine {
    /// What the next process is to run.
    pub(super) fn wanted(&self) -> Running {
        match &self.apply {
            Apply::Proving { config, .. } => Some(config.clone()),
            Apply::Idle | Apply::Checking { .. } | Apply::Arming { .. } => self.live.clone(),
        }
    }

    /// The newest offer wins; what is being proven is finished first.
    pub(super) fn offered(&mut self, config: ConfigHash, now: Duration) {
        if self.ending {
            return;
        }
        if self.paused || self.proves_host() || self.tries_binary() {
            self.mailbox = Some(config);
            return;
        }
        match &self.apply {
            Apply::Arming { config: trial, .. } | Apply::Proving { config: trial, .. } => {
                self.mailbox = (*trial != config).then_some(config);
            }
            Apply::Checking { config: under_check } if *under_check == config => {}
            Apply::Idle | Apply::Checking { .. } => self.consider(config, now),
        }
    }

    fn consider(&mut self, config: ConfigHash, now: Duration) {
        self.apply = Apply::Idle;
        if let Some(why) = self.still_put_off(&config, now) {
            return self.emit(Effect::Status { config, outcome: Outcome::PutOff(why) });
        }
        if self.live.as_ref() == Some(&config) {
            return self.emit(Effect::Status { config, outcome: Outcome::Applied });
        }
        if let Some(why) = self.quarantine.reason(&config) {
            let outcome = Outcome::Failed(why.to_owned());
            return self.emit(Effect::Status { config, outcome });
        }
        self.emit(Effect::Status { config: config.clone(), outcome: Outcome::Applying });
        self.judge(config);
    }

    pub(super) fn judge(&mut self, config: ConfigHash) {
        self.check.0 += 1;
        self.emit(Effect::Check { token: self.check, config: config.clone() });
        self.apply = Apply::Checking { config };
    }

    pub(super) fn checked(&mut self, token: CheckToken, verdict: Verdict, now: Duration) {
        let Apply::Checking { config } = &self.apply else { return };
        if token != self.check || self.ending {
            return;
        }
        let config = config.clone();
        match verdict {
            Verdict::Refused(why) => {
                self.apply = Apply::Idle;
                self.failed(config, why);
                self.next_offer(now);
            }
            Verdict::Unable(why) => {
                self.apply = Apply::Idle;
                self.put_off_until_later(config, &why, now);
                self.next_offer(now);
            }
            // The same files prove nothing while the Collector that reads them is not well.
            Verdict::Same if self.runs_well() => {
                let proven = self.probation.is_none();
                self.apply = Apply::Idle;
                self.applied(config, self.faults.clone(), now);
                if proven {
                    self.commit();
                }
            }
            Verdict::Contents if self.settings.reload == ReloadRule::ContentsOnly => {
                self.arm(config, Switch::Reload);
            }
            Verdict::Same | Verdict::Contents | Verdict::Files => self.arm(config, Switch::Restart),
        }
    }

    fn runs_well(&self) -> bool {
        matches!(self.process, Process::Running { .. }) && self.restarts.is_healthy()
    }

    fn arm(&mut self, config: ConfigHash, how: Switch) {
        self.emit(Effect::Arm { config: config.clone() });
        self.apply = Apply::Arming { config, how };
    }

    /// Without a word on disk about it, nothing is switched (F-55, F-56).
    pub(super) fn armed(&mut self, armed: Result<(), String>, now: Duration) {
        if !matches!(self.apply, Apply::Arming { .. }) || self.ending {
            return;
        }
        let Apply::Arming { config, how } = std::mem::replace(&mut self.apply, Apply::Idle) else { return };
        match armed {
            Ok(()) => self.switch(config, how, now),
            Err(why) => {
                self.put_off_until_later(config, &why, now);
                self.next_offer(now);
            }
        }
    }

    /// SIGHUP goes only to a process that was heard from: before its handler stands, it would die of it.
    fn switch(&mut self, config: ConfigHash, how: Switch, now: Duration) {
        let reload = match self.process {
            Process::Running { session: Some(session) } if how == Switch::Reload => Some(session),
            _ => None,
        };
        // What was put on trial before was well enough to be followed by this.
        self.host_trial = None;
        let next = Generation(self.generation.0 + 1);
        let proof = reload.map_or(Proof::Process(next), Proof::SessionAfter);
        // What it breaks itself is no excuse for it.
        let same = self.running == Layers::Config(Some(config.clone()));
        let baseline = if same { BTreeSet::new() } else { self.faults.clone() };
        let last_word = String::new();
        self.apply = Apply::Proving { config, proof, deadline: None, baseline, last_word };
        if reload.is_some() {
            self.proving_starts(now);
            self.running = Layers::Config(self.wanted());
            self.emit(Effect::Reload { generation: self.generation, config: self.wanted() });
        } else {
            self.run_anew(now);
        }
    }

    /// The time to prove itself begins when the Collector gets the config.
    pub(super) fn proving_starts(&mut self, now: Duration) {
        let due = now + self.settings.first_health;
        let generation = self.generation;
        if let Apply::Proving { deadline, proof, .. } = &mut self.apply {
            *deadline = Some(due);
            if let Proof::Process(process) = proof {
                *process = generation;
            }
        }
    }

    pub(super) fn reported(
        &mut self,
        generation: Generation,
        session: u64,
        condition: Condition,
        now: Duration,
    ) {
        let Process::Running { session: heard } = &mut self.process else { return };
        if generation != self.generation {
            return;
        }
        *heard = Some(session.max(heard.unwrap_or(0)));
        self.restarts.healthy(condition.well, now);
        self.faults.clone_from(&condition.faults);
        self.host_reported(generation, session, &condition, now);
        self.binary_reported(&condition, now);
        let Apply::Proving { config, proof, baseline, last_word, .. } = &mut self.apply else {
            return self.lives_on(&condition, now);
        };
        if !proof.counts(generation, session) {
            return;
        }
        if !condition.is_no_worse_than(baseline) {
            *last_word = condition.why;
            return;
        }
        let (config, baseline) = (config.clone(), std::mem::take(baseline));
        self.apply = Apply::Idle;
        self.was_well = true;
        self.applied(config, baseline, now);
        self.watch(&condition, now);
    }

    /// Word of a process that has nothing to prove.
    fn lives_on(&mut self, condition: &Condition, now: Duration) {
        if self.running == Layers::Fallback {
            return;
        }
        // With a part of it broken, it still does more than the fallback.
        if condition.well || !condition.faults.is_empty() {
            self.was_well = true;
            self.leave_fallback();
        }
        self.watch(condition, now);
    }

    fn applied(&mut self, config: ConfigHash, baseline: BTreeSet<String>, now: Duration) {
        self.put_off = None;
        self.leave_fallback();
        if self.live.as_ref() != Some(&config) {
            let before = self.live.replace(config.clone());
            self.put_on_probation(before, baseline);
        }
        self.emit(Effect::Status { config, outcome: Outcome::Applied });
        self.next_offer(now);
    }

    /// The config on trial failed: the one before is wanted again, unless failed ones stay in force.
    pub(super) fn trial_failed(&mut self, why: &str, blame: Blame, now: Duration) {
        if self.settings.rollback == Rollback::Automatic || blame != Blame::Config {
            return self.give_up_trial(why, blame, now);
        }
        let Apply::Proving { config, .. } = std::mem::replace(&mut self.apply, Apply::Idle) else { return };
        self.live = Some(config.clone());
        self.probation = None;
        self.failed(config, format!("{why}; it stays in force, as agent.automatic_config_rollback is false"));
    }

    /// The config on trial is given up; the one before is wanted again.
    pub(super) fn give_up_trial(&mut self, why: &str, blame: Blame, now: Duration) {
        let Apply::Proving { config, .. } = std::mem::replace(&mut self.apply, Apply::Idle) else { return };
        let why = format!("{why}; {}", self.rolled_back());
        self.probation_starts_again();
        self.back_to_safe_mode(now);
        match blame {
            Blame::Config => self.failed(config, why),
            Blame::Outside | Blame::Host => self.put_off_until_offered(config, &why, now),
        }
    }

    /// What runs again, in words.
    pub(super) fn rolled_back(&self) -> String {
        match &self.live {
            Some(hash) => format!("rolled back to the config {hash} from before"),
            None => "rolled back to the host's own config".to_owned(),
        }
    }

    pub(super) fn next_offer(&mut self, now: Duration) {
        if self.apply == Apply::Idle
            && !self.paused
            && !self.proves_host()
            && !self.tries_binary()
            && let Some(config) = self.mailbox.take()
        {
            self.consider(config, now);
        }
    }

    pub(super) fn apply_timeout(&mut self, now: Duration) {
        let Apply::Proving { deadline: Some(due), last_word, .. } = &self.apply else { return };
        if now < *due {
            return;
        }
        let heard = if last_word.is_empty() { "nothing was heard from it" } else { last_word };
        let why = format!(
            "the Collector was not healthy within {:?} on the new config: {heard}",
            self.settings.first_health
        );
        self.trial_failed(&why, Blame::Config, now);
        if matches!(self.process, Process::Running { .. }) {
            self.stop(Then::Start, now);
        }
        self.next_offer(now);
    }
}
