//! What the journal's state means to the rest of the supervisor: the machine's start, the status for the
//! server, the cache of what the binary is.

use std::path::Path;

use super::{
    control::{ConfigStatus, FailedConfig, LastOutcome, LastSuccession, OnTrial, SupervisorStatus, hex},
    journal::{
        AgentRecord, ConfigState, Phase, Previous, Quarantined, State, StatusRecord, SuccessionEnd,
        SupervisorState, Trial,
    },
    machine::{BinaryRules, ConfigHash, Machine, Outcome, Past},
};
use crate::{
    collector::{binary::BinaryIdentity, bootstrap::Facts},
    wire::proto::{RemoteConfigStatus, RemoteConfigStatuses},
};

/// Lives of the supervisor that may end while one offer is in one phase; the next one gives it up (F-106).
const LIVES: u32 = 2;
/// Failures that administrators are shown.
const SHOWN: usize = 10;
/// Failures that are remembered, those on earlier binaries and layers included.
const FAILURES: usize = 64;

/// What the machine continues with, on a host with this digest.
pub(super) fn past(state: &State, host: &str, fallback: bool, binary: Option<BinaryRules>) -> Past {
    Past {
        live: state.config.live.clone(),
        last_good: state.config.last_good.clone(),
        previous: state.config.previous.as_ref().map(|previous| previous.hash.clone()),
        quarantine: failures(state, host),
        paused: state.paused,
        fallback,
        binary,
    }
}

/// What failed on a host with this digest.
pub(super) fn failures(state: &State, host: &str) -> Vec<(ConfigHash, String)> {
    let here = state.quarantine.iter().filter(|failed| failed.host.is_empty() || failed.host == host);
    here.map(|failed| (failed.hash.clone(), failed.why.clone())).collect()
}

/// What the machine holds, on a host with this digest.
pub(super) fn follow(state: &mut State, machine: &Machine, host: &str) {
    let config = &mut state.config;
    if config.live != *machine.live() {
        config.watched = 1;
    }
    config.live.clone_from(machine.live());
    config.last_good.clone_from(machine.last_good());
    config.previous = machine.previous().clone().map(|hash| Previous { hash });
    if config.live == config.last_good {
        config.watched = 0;
    }
    state.paused = machine.is_paused();
    let known = machine.quarantined();
    let elsewhere = |failed: &Quarantined| !failed.host.is_empty() && failed.host != host;
    state.quarantine.retain(elsewhere);
    let here = known.iter().map(|(hash, why)| (hash.clone(), host.to_owned(), why.clone()));
    state.quarantine.extend(here.map(|(hash, host, why)| Quarantined { hash, host, why }));
    let excess = state.quarantine.len().saturating_sub(FAILURES);
    state.quarantine.drain(..excess);
}

/// A new life of the supervisor watches the live config; says whether that is to be made durable.
pub(super) fn watches(state: &mut State) -> bool {
    let config = &mut state.config;
    let watches = config.live.is_some() && config.live != config.last_good;
    config.watched = if watches { config.watched.saturating_add(1) } else { 0 };
    watches
}

/// The config over which earlier lives of the supervisor ended, again and again, with the reason (F-106).
pub(super) fn condemned(state: &State) -> Option<(ConfigHash, String)> {
    let doing = |phase| match phase {
        Phase::Checking => "while it was checked",
        Phase::Proving => "while the Collector was switched to it",
    };
    let (hash, what) = match &state.config {
        ConfigState { trial: Some(trial), .. } if trial.entered() >= LIVES => {
            (&trial.hash, doing(trial.phase))
        }
        ConfigState { live: Some(live), watched, .. } if *watched >= LIVES => {
            (live, "while it was on probation")
        }
        _ => return None,
    };
    Some((hash.clone(), format!("the supervisor itself ended {LIVES} times {what}; it is not tried again")))
}

/// The supervisor ends as it was asked to: nobody died over the offer at work.
pub(super) fn calm(state: &mut State) {
    if let Some(trial) = &mut state.config.trial {
        trial.entries.clear();
    }
    state.config.watched = 0;
    if let Some(candidate) = &mut state.connection.candidate {
        candidate.entries = 0;
    }
}

/// The Collector is about to be switched to the offer at work.
pub(super) fn armed(state: &mut State, hash: &ConfigHash) {
    enter(state, hash, Phase::Proving);
}

fn enter(state: &mut State, hash: &ConfigHash, phase: Phase) {
    let same = state.config.trial.take().filter(|trial| trial.hash == *hash);
    let mut trial = same.unwrap_or_else(|| Trial::of(hash.clone()));
    trial.enter(phase);
    state.config.trial = Some(trial);
}

/// Configs without a body are not known any more: with no status of theirs, the server sends them again.
/// Says which were forgotten.
pub(super) fn forget_lost(state: &mut State, stored: impl Fn(&ConfigHash) -> bool) -> Vec<ConfigHash> {
    let lost: Vec<_> = state.configs().into_iter().filter(|hash| !stored(hash)).collect();
    let config = &mut state.config;
    let gone = |hash: &ConfigHash| lost.contains(hash);
    config.trial.take_if(|trial| gone(&trial.hash));
    config.last_good.take_if(|hash| gone(hash));
    config.previous.take_if(|previous| previous.hash.as_ref().is_some_and(gone));
    if config.live.as_ref().is_some_and(gone) {
        config.live.clone_from(&config.last_good);
    }
    config.status.take_if(|status| gone(&status.hash));
    lost
}

/// The offer that an earlier life of the supervisor did not bring to an end.
pub(super) fn unfinished_offer(state: &State) -> Option<ConfigHash> {
    state.config.trial.as_ref().map(|trial| trial.hash.clone())
}

/// Notes how it went with a config.
pub(super) fn outcome(state: &mut State, hash: &ConfigHash, outcome: Outcome) {
    match &outcome {
        Outcome::Applying => enter(state, hash, Phase::Checking),
        // Tried again, at the latest by the next supervisor; nobody died over it.
        Outcome::PutOff(_) => state.config.trial = Some(Trial::of(hash.clone())),
        Outcome::Applied | Outcome::Failed(_) => state.config.trial = None,
    }
    state.config.status = Some(StatusRecord { hash: hash.clone(), outcome });
}

/// The status as the server is told it; before the first config it is UNSET.
pub(super) fn remote_config_status(state: &State) -> RemoteConfigStatus {
    let Some(StatusRecord { hash, outcome }) = &state.config.status else {
        return RemoteConfigStatus::default();
    };
    let (status, error_message) = match outcome {
        Outcome::Applying => (RemoteConfigStatuses::Applying, String::new()),
        Outcome::Applied => (RemoteConfigStatuses::Applied, String::new()),
        Outcome::Failed(why) | Outcome::PutOff(why) => (RemoteConfigStatuses::Failed, why.clone()),
    };
    RemoteConfigStatus { last_remote_config_hash: hash.0.clone(), status: status as i32, error_message }
}

/// The config for administrators of this host, as far as the state on disk tells.
pub(super) fn config_status(state: &State) -> ConfigStatus {
    let last = state.config.status.as_ref().map(|StatusRecord { hash, outcome }| {
        let (outcome, error) = match outcome {
            Outcome::Applying => ("applying", ""),
            Outcome::Applied => ("applied", ""),
            Outcome::Failed(why) | Outcome::PutOff(why) => ("failed", why.as_str()),
        };
        LastOutcome { hash: hash.to_string(), outcome: outcome.to_owned(), error: error.to_owned() }
    });
    let newest = state.quarantine.len().saturating_sub(SHOWN);
    let failed = state.quarantine[newest..]
        .iter()
        .map(|failed| FailedConfig { hash: failed.hash.to_string(), why: failed.why.clone() });
    ConfigStatus {
        live: hex(state.config.live.as_ref()),
        last_good: hex(state.config.last_good.as_ref()),
        last,
        paused: state.paused,
        failed: failed.collect(),
        ..ConfigStatus::default()
    }
}

/// The supervisors that took each other's place, as far as the state on disk tells.
pub(super) fn supervisor_status(state: &State, storage: &Path) -> SupervisorStatus {
    let SupervisorState { active, trial, last, .. } = &state.supervisor;
    let name = |path: &Path| path.display().to_string();
    let runs = trial.as_ref().map(|trial| &trial.target).or(active.as_ref().map(|active| &active.program));
    let trial = trial.as_ref().map(|trial| OnTrial {
        number: trial.number,
        executable: name(&trial.target.executable),
        sha256: trial.target.sha256.clone(),
        version: trial.target.version.clone(),
        previous: name(&trial.previous.executable),
        tries_left: trial.tries_left,
        left_s: None,
    });
    let last = last.as_ref().map(|last| {
        let (outcome, error) = match &last.end {
            SuccessionEnd::Committed => ("committed", ""),
            SuccessionEnd::Refused { why } => ("refused", why.as_str()),
            SuccessionEnd::Undone { why } => ("undone", why.as_str()),
        };
        LastSuccession {
            number: last.number,
            executable: name(&last.executable),
            sha256: last.sha256.clone(),
            outcome: outcome.to_owned(),
            error: error.to_owned(),
        }
    });
    SupervisorStatus {
        storage: storage.display().to_string(),
        sha256: runs.map(|program| program.sha256.clone()),
        trial,
        last,
        ..SupervisorStatus::default()
    }
}

/// What an earlier start learnt of the binary that ran last, if it can still be read.
pub(super) fn facts(state: &State) -> Option<(BinaryIdentity, Facts)> {
    let record = state.agent.as_ref()?;
    let facts = serde_json::from_value(record.facts.clone()).ok()?;
    Some((identity(record), facts))
}

/// Which binary a record is of.
pub(super) fn identity(record: &AgentRecord) -> BinaryIdentity {
    BinaryIdentity { file: record.file.clone(), sha256: record.sha256.clone() }
}

/// What is known of the binary with this content.
pub(super) fn facts_of(state: &State, sha256: &str) -> Option<Facts> {
    let known = [&state.agent, &state.agent_before].into_iter().flatten();
    let record = known.into_iter().find(|record| record.sha256 == sha256)?;
    serde_json::from_value(record.facts.clone()).ok()
}

/// Keeps what was learnt for the next start, beside what is known of the binary before.
pub(super) fn keep_facts(state: &mut State, identity: &BinaryIdentity, facts: &Facts) {
    let BinaryIdentity { file, sha256 } = identity.clone();
    if let Some(before) = state.agent.take_if(|before| before.sha256 != sha256) {
        state.agent_before = Some(before);
    }
    state.agent = Some(AgentRecord { file, sha256, facts: on_disk(facts) });
}

/// More is known of the same binary.
pub(super) fn learn_more(state: &mut State, facts: &Facts) {
    if let Some(record) = &mut state.agent {
        record.facts = on_disk(facts);
    }
}

/// Facts are strings and lists; they always have a JSON form.
fn on_disk(facts: &Facts) -> serde_json::Value {
    serde_json::to_value(facts).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        supervisor::machine::{ReloadRule, Rollback, Settings},
        wire::InstanceUid,
    };

    fn note(state: &mut State, hash: &ConfigHash, ended: Outcome) {
        if ended == Outcome::Applied {
            state.config.live = Some(hash.clone());
        }
        outcome(state, hash, ended);
    }

    #[test]
    fn c_rc_02_03_the_status_names_the_hash_and_survives_in_the_state() {
        let mut state = State::new(InstanceUid::from_bytes([1; 16]));
        assert_eq!(remote_config_status(&state), RemoteConfigStatus::default());
        let (a, b) = (ConfigHash(vec![0xaa]), ConfigHash(vec![0xbb]));
        note(&mut state, &a, Outcome::Applying);
        assert_eq!(unfinished_offer(&state), Some(a.clone()));
        note(&mut state, &a, Outcome::Applied);
        assert_eq!(remote_config_status(&state).status, RemoteConfigStatuses::Applied as i32);
        note(&mut state, &b, Outcome::Failed("no".into()));
        let told = remote_config_status(&state);
        assert_eq!((told.last_remote_config_hash, told.error_message), (vec![0xbb], "no".to_owned()));
        assert_eq!(state.config.live, Some(a), "a failure leaves what runs");
        assert_eq!(unfinished_offer(&state), None);
    }

    #[test]
    fn f_54_what_was_put_off_is_failed_for_the_server_and_unfinished_for_us() {
        let mut state = State::new(InstanceUid::from_bytes([1; 16]));
        let a = ConfigHash(vec![0xaa]);
        note(&mut state, &a, Outcome::Applying);
        note(&mut state, &a, Outcome::PutOff("the disk is full".into()));
        assert_eq!(remote_config_status(&state).status, RemoteConfigStatuses::Failed as i32);
        let again: State = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
        assert_eq!((unfinished_offer(&again), past(&again, "", false, None).quarantine), (Some(a), vec![]));
    }

    #[test]
    fn a_failure_counts_on_the_host_that_it_was_seen_on() {
        let mut state = State::new(InstanceUid::from_bytes([1; 16]));
        let failed = |number: u8, host: &str| Quarantined {
            hash: ConfigHash(vec![number]),
            host: host.into(),
            why: "no".into(),
        };
        state.quarantine = vec![failed(1, ""), failed(2, "here"), failed(3, "elsewhere")];
        let machine = |state: &State, host| {
            let settings = Settings {
                first_health: Duration::ZERO,
                probation: Duration::ZERO,
                stop_grace: Duration::ZERO,
                reload: ReloadRule::Never,
                rollback: Rollback::Automatic,
            };
            Machine::new(settings, past(state, host, false, None), 1)
        };
        let known = |host| machine(&state, host).quarantined().iter().map(|(hash, _)| hash.0[0]).collect();
        let here: Vec<u8> = known("here");
        assert_eq!((here, known("elsewhere")), (vec![1, 2], vec![1, 3]));
        let before = machine(&state, "here");
        follow(&mut state, &before, "here");
        let hosts: Vec<_> = state.quarantine.iter().map(|failed| (failed.hash.0[0], &*failed.host)).collect();
        assert_eq!(hosts, [(3, "elsewhere"), (1, "here"), (2, "here")]);
    }

    #[test]
    fn f_106_the_third_life_gives_up_what_two_ended_over() {
        let mut state = State::new(InstanceUid::from_bytes([1; 16]));
        let a = ConfigHash(vec![0xaa]);
        for life in 1..=2 {
            assert_eq!(condemned(&state), None, "life {life}");
            outcome(&mut state, &a, Outcome::Applying);
            armed(&mut state, &a);
        }
        assert!(condemned(&state).unwrap().1.contains("2 times while the Collector was switched to it"));
        calm(&mut state);
        assert_eq!(condemned(&state), None, "an end that was asked for does not count");

        outcome(&mut state, &a, Outcome::Applied);
        (state.config.live, state.config.watched) = (Some(a.clone()), 1);
        assert_eq!(condemned(&state), None);
        assert!(watches(&mut state), "the second life");
        assert_eq!(condemned(&state).map(|(hash, _)| hash), Some(a));
    }

    #[test]
    fn a_config_whose_body_is_lost_is_asked_for_again() {
        let (a, b) = (ConfigHash(vec![0xaa]), ConfigHash(vec![0xbb]));
        let mut state = State::new(InstanceUid::from_bytes([1; 16]));
        note(&mut state, &a, Outcome::Applied);
        note(&mut state, &b, Outcome::Applying);
        let whole = state.clone();
        assert_eq!((forget_lost(&mut state, |_| true), &state), (vec![], &whole));
        assert_eq!(forget_lost(&mut state, |hash| *hash == a), [b]);
        assert_eq!(
            (&state.config.live, &state.config.trial, &state.config.status),
            (&Some(a.clone()), &None, &None)
        );
        note(&mut state, &a, Outcome::Applied);
        forget_lost(&mut state, |_| false);
        assert_eq!(state.config, Default::default());
    }
}
