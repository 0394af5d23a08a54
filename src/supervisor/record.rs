//! What the journal's state means to the rest of the supervisor: the machine's start, the status for the
//! server, the cache of what the binary is.

use super::{
    control::{ConfigStatus, LastOutcome, hex},
    journal::{AgentRecord, State, StatusRecord, Trial},
    machine::{ConfigHash, Outcome, Past, Running},
};
use crate::{
    collector::{binary::BinaryIdentity, bootstrap::Facts},
    wire::proto::{RemoteConfigStatus, RemoteConfigStatuses},
};

/// What the machine continues with. The config that failed last is not tried again just because it is offered
/// again; one that was only put off is still the offer at work.
pub(super) fn past(state: &State) -> Past {
    let failed = match &state.config.status {
        Some(StatusRecord { hash, .. }) if unfinished_offer(state).as_ref() == Some(hash) => None,
        Some(StatusRecord { hash, outcome: Outcome::Failed(why) }) => Some((hash.clone(), why.clone())),
        _ => None,
    };
    Past { live: state.config.live.clone(), last_good: state.config.last_good.clone(), failed }
}

/// Configs without a body are not known any more: with no status of theirs, the server sends them again.
/// Says which were forgotten.
pub(super) fn forget_lost(state: &mut State, stored: impl Fn(&ConfigHash) -> bool) -> Vec<ConfigHash> {
    let lost: Vec<_> = state.configs().into_iter().filter(|hash| !stored(hash)).collect();
    let config = &mut state.config;
    let gone = |hash: &ConfigHash| lost.contains(hash);
    config.trial.take_if(|trial| gone(&trial.hash));
    config.last_good.take_if(|hash| gone(hash));
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

/// Notes how it went with a config, and which one is in force after that.
pub(super) fn outcome(state: &mut State, hash: &ConfigHash, outcome: Outcome, live: &Running) {
    let config = &mut state.config;
    config.live.clone_from(live);
    match &outcome {
        Outcome::Applying => config.trial = Some(Trial::offered(hash.clone())),
        // Tried again, at the latest by the next supervisor.
        Outcome::PutOff(_) => {
            config.trial.get_or_insert_with(|| Trial::offered(hash.clone()));
        }
        Outcome::Applied => config.trial = None,
        Outcome::Failed(_) => config.trial = None,
    }
    config.status = Some(StatusRecord { hash: hash.clone(), outcome });
}

/// A config has proven itself for good.
pub(super) fn committed(state: &mut State, hash: &ConfigHash) {
    state.config.last_good = Some(hash.clone());
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
    ConfigStatus {
        live: hex(state.config.live.as_ref()),
        last_good: hex(state.config.last_good.as_ref()),
        last,
        ..ConfigStatus::default()
    }
}

/// What an earlier start learnt of the binary, if it can still be read.
pub(super) fn facts(state: &State) -> Option<(BinaryIdentity, Facts)> {
    let record = state.agent.as_ref()?;
    let facts = serde_json::from_value(record.facts.clone()).ok()?;
    Some((BinaryIdentity { file: record.file.clone(), sha256: record.sha256.clone() }, facts))
}

/// Keeps what was learnt for the next start.
pub(super) fn keep_facts(state: &mut State, identity: &BinaryIdentity, facts: &Facts) {
    let BinaryIdentity { file, sha256 } = identity.clone();
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
    use super::*;
    use crate::wire::InstanceUid;

    /// With the config in force that the machine would name.
    fn note(state: &mut State, hash: &ConfigHash, ended: Outcome) {
        let live = if ended == Outcome::Applied { Some(hash.clone()) } else { state.config.live.clone() };
        outcome(state, hash, ended, &live);
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
        assert_eq!(state.config.live, Some(a.clone()), "a failure leaves what runs");
        assert_eq!(past(&state).last_good, None, "applied is not yet proven for good");
        committed(&mut state, &a);
        assert_eq!(past(&state).last_good, Some(a));
        assert_eq!((unfinished_offer(&state), past(&state).failed), (None, Some((b, "no".into()))));
    }

    #[test]
    fn f_54_what_was_put_off_is_failed_for_the_server_and_unfinished_for_us() {
        let mut state = State::new(InstanceUid::from_bytes([1; 16]));
        let a = ConfigHash(vec![0xaa]);
        note(&mut state, &a, Outcome::Applying);
        note(&mut state, &a, Outcome::PutOff("the disk is full".into()));
        assert_eq!(remote_config_status(&state).status, RemoteConfigStatuses::Failed as i32);
        let again: State = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
        assert_eq!((unfinished_offer(&again), past(&again).failed), (Some(a), None));
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
