//! The words of the machine: what it is made with, told and asked for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    BinaryRules, CheckToken, Condition, ConfigHash, Generation, Inherited, Refresh, Running, Verdict,
};

/// When SIGHUP is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadRule {
    /// When contents changed and the list of files did not.
    ContentsOnly,
    /// Never: restart.
    Never,
}

/// What becomes of a config that fails after the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollback {
    /// The one before runs again.
    Automatic,
    /// It stays in force (`agent.automatic_config_rollback: false`).
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
    pub rollback: Rollback,
}

/// What an earlier life left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// In force, but perhaps not yet proven for good.
    pub live: Running,
    pub last_good: Running,
    /// What was the last good one before that.
    pub previous: Option<Running>,
    /// What failed on this host as it is now, each with the reason: it is not tried again. Oldest first.
    pub quarantine: Vec<(ConfigHash, String)>,
    /// Offers are held.
    pub paused: bool,
    /// The operator has configs for the time before the server is reached for the first time.
    pub fallback: bool,
    /// The binary that runs has yet to prove itself.
    pub binary: Option<BinaryRules>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    Start,
    /// In its place: the Collector runs already.
    Inherit(Inherited),
    /// The server offers this config; its body is stored.
    Offer(ConfigHash),
    Checked {
        token: CheckToken,
        verdict: Verdict,
    },
    /// Whether it could be made durable that this config is being switched to.
    Armed(Result<(), String>),
    SpawnFailed {
        generation: Generation,
        why: String,
        blame: Blame,
    },
    Exited {
        generation: Generation,
        how: String,
        blame: Blame,
    },
    /// The files of what is on trial could not be put in place for a reload.
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
    /// It was heard from, and now it has not answered for too long.
    Silent {
        generation: Generation,
        why: String,
    },
    /// The server was reached.
    ServerReached,
    /// What the host adds to each config, or the binary, is another one: what failed may do now, except for
    /// what failed on this one too.
    HostChanged {
        failed: Vec<(ConfigHash, String)>,
    },
    /// This config must not be tried again: earlier lives of the supervisor ended over it.
    Condemn {
        config: ConfigHash,
        why: String,
    },
    /// The answer to [`Effect::StepBack`]: it is done.
    SteppedBack,
    /// The server asks for a restart.
    Restart,
    /// The host's own part of the config is another one: `supervisor.yaml` was read again.
    Refresh(Refresh),
    /// The driver has another binary, which the Collector is to run on trial.
    SwitchBinary(BinaryRules),
    /// What runs on trial is not what was installed.
    BinaryWrong {
        why: String,
    },
    /// The answer to [`Effect::BinaryFailed`]: the binary of before is there again.
    BinarySteppedBack,
    /// The driver has another binary, which needs no proof.
    BinaryRestored,
    /// A person on the host wants what was before: the binary if one is on trial, else the config.
    RollBack,
    /// A person on the host wants offers to be held, and to be taken again.
    Pause,
    Resume,
    /// The host was suspended for so long.
    Slept(Duration),
    Shutdown,
    /// A second signal: stop waiting for the Collector's own pace.
    Hurry,
}

/// What a process is started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layers {
    /// The host's own layers, and a remote config on top of them if there is one.
    Config(Running),
    /// The operator's fallback configs, or the least that keeps management alive.
    Fallback,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Judge this config without touching what runs; answer with [`Input::Checked`].
    Check {
        token: CheckToken,
        config: ConfigHash,
    },
    /// Make it durable that this config is being switched to; answer with [`Input::Armed`].
    Arm {
        config: ConfigHash,
    },
    /// Write the files of these layers, then start a process.
    Spawn {
        generation: Generation,
        layers: Layers,
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
    /// Another config is in force without an offer: make that durable.
    Restored,
    /// Make it durable whether offers are held.
    Paused(bool),
    /// The Collector does not do with the host's own part as it is: what was in force before is wanted again.
    StepBack {
        why: String,
    },
    /// The binary has proven itself: make that durable.
    BinaryProven,
    /// The binary of before is wanted again; answer with [`Input::BinarySteppedBack`].
    BinaryFailed {
        why: String,
        blame: Blame,
    },
    /// The state of the process, for the health report.
    Process(ProcessState),
    /// What the Collector runs with, for the health report.
    Mode(Mode),
    /// The Collector is gone and stays so: the supervisor may end.
    Finished,
}

/// Why the Collector does not run what it should.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Normal,
    /// On the operator's fallback configs until the server is reached for the first time.
    Unreached,
    /// On a config that keeps management alive, because the last good one does not run.
    Safe { why: String },
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
    /// Somebody on the host ended the Collector, or there is nothing to start: that says nothing about a
    /// config.
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
        /// It keeps dying.
        looping: bool,
    },
}

impl ProcessState {
    /// What failed and when it is tried again, for people.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let Self::Failed { how, retry_in, looping } = self else { return None };
        let when = if retry_in.is_zero() { "at once".to_owned() } else { format!("in {retry_in:.1?}") };
        let looping = if *looping { " (crash loop)" } else { "" };
        Some(format!("the Collector {how}; it is started again {when}{looping}"))
    }
}
