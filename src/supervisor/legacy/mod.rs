//! The files of the established supervisor. What it left in the storage directory is taken over once: who the
//! agent is, which config it was given, and how that went; its files are read and left as they are. The way back,
//! so that it can take over again, is `export`.

mod export;

use std::{fs, io, path::Path};

use prost::Message;
use serde::{Deserialize, Serialize};

pub(super) use export::export;

use super::{
    journal::{Journal, JournalError, Quarantined, State, StatusRecord, Trial},
    machine::{ConfigHash, Outcome},
};
use crate::wire::{
    InstanceUid,
    proto::{AgentRemoteConfig, RemoteConfigStatuses},
};

const STATE: &str = "persistent_state.yaml";
const CONFIG: &str = "last_recv_remote_config.dat";
const TELEMETRY: &str = "last_recv_own_telemetry_config.dat";

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Legacy {
    pub(super) instance_uid: Option<InstanceUid>,
    config: Option<AgentRemoteConfig>,
    status: Option<Status>,
    /// For the log: what was taken over and what could not be.
    pub(super) notes: Vec<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct PersistentState {
    #[serde(default)]
    instance_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_remote_config_status: Option<Status>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Status {
    #[serde(default)]
    status: i32,
    #[serde(default)]
    last_remote_config_hash: String,
    #[serde(default)]
    error_message: String,
}

impl Legacy {
    pub(super) fn find(storage: &Path) -> Option<Self> {
        if !storage.join(STATE).exists() {
            return None;
        }
        let mut found = Self::default();
        found.read_state(&storage.join(STATE));
        found.read_config(&storage.join(CONFIG));
        if storage.join(TELEMETRY).exists() {
            found
                .notes
                .push(format!("{TELEMETRY} is left as it is: own telemetry settings are not acted on yet"));
        }
        Some(found)
    }

    fn read_state(&mut self, path: &Path) {
        let read = fs::read_to_string(path).map_err(|error| error.to_string());
        let parsed = read.and_then(|text| match text.trim() {
            "" => Err("it is empty".to_owned()),
            text => serde_yaml::from_str::<PersistentState>(text).map_err(|error| error.to_string()),
        });
        match parsed {
            Ok(state) => {
                match state.instance_id.parse() {
                    Ok(uid) => self.instance_uid = Some(uid),
                    Err(error) => self.notes.push(format!("{}: instance_id: {error}", path.display())),
                }
                self.status = state.last_remote_config_status;
            }
            Err(error) => self.notes.push(format!("{} cannot be taken over: {error}", path.display())),
        }
    }

    fn read_config(&mut self, path: &Path) {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                return self.notes.push(format!("{} cannot be taken over: {error}", path.display()));
            }
        };
        match AgentRemoteConfig::decode(&*bytes) {
            Ok(config) if !config.config_hash.is_empty() => self.config = Some(config),
            Ok(_) => self.notes.push(format!("{} has no hash and is not taken over", path.display())),
            Err(error) => self.notes.push(format!("{} cannot be taken over: {error}", path.display())),
        }
    }

    /// Writes what was found into the journal. A config that was applied goes on running; one that failed
    /// stays failed; one in between is judged again.
    pub(super) fn take_over(self, journal: &mut Journal, state: &mut State) -> Result<(), JournalError> {
        for note in &self.notes {
            tracing::warn!("{note}");
        }
        state.legacy_sought = true;
        if let Some(config) = &self.config {
            let hash = ConfigHash(config.config_hash.clone());
            journal.configs.store(&hash, &config.encode_to_vec())?;
            let outcome = self.outcome_of(&hash);
            match &outcome {
                Some(Outcome::Applied) => {
                    state.config.live = Some(hash.clone());
                    state.config.last_good = Some(hash.clone());
                }
                Some(Outcome::Failed(why) | Outcome::PutOff(why)) => {
                    let (hash, why) = (hash.clone(), why.clone());
                    state.quarantine.push(Quarantined { hash, host: String::new(), why });
                }
                Some(Outcome::Applying) | None => state.config.trial = Some(Trial::of(hash.clone())),
            }
            state.config.status = outcome.map(|outcome| StatusRecord { hash, outcome });
        }
        if let Some(StatusRecord { hash, outcome: Outcome::Failed(why) }) = self.failed_besides() {
            // What was received last is what it ran: on probation here, as it was not proven.
            state.config.live = state.config.trial.take().map(|trial| trial.hash);
            let quarantined = Quarantined { hash: hash.clone(), host: String::new(), why: why.clone() };
            state.quarantine.push(quarantined);
            state.config.status = Some(StatusRecord { hash, outcome: Outcome::Failed(why) });
        }
        journal.commit(state)?;
        tracing::info!(uid = %state.instance_uid, "took over the state of the established supervisor");
        Ok(())
    }

    /// The failure of another config than the one that is there.
    fn failed_besides(&self) -> Option<StatusRecord> {
        let status = self.status.as_ref()?;
        let hash: ConfigHash = serde_yaml::from_str(&format!("'{}'", status.last_remote_config_hash)).ok()?;
        let same = self.config.as_ref().is_some_and(|config| config.config_hash == hash.0);
        let failed = status.status == RemoteConfigStatuses::Failed as i32 && !same && !hash.0.is_empty();
        failed.then(|| StatusRecord { hash, outcome: Outcome::Failed(status.error_message.clone()) })
    }

    /// What was said of this very config.
    fn outcome_of(&self, hash: &ConfigHash) -> Option<Outcome> {
        let status =
            self.status.as_ref().filter(|status| status.last_remote_config_hash == hash.to_string())?;
        match RemoteConfigStatuses::try_from(status.status) {
            Ok(RemoteConfigStatuses::Applied) => Some(Outcome::Applied),
            Ok(RemoteConfigStatuses::Failed) => Some(Outcome::Failed(status.error_message.clone())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::journal::Opened;

    const UID: &str = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b";

    fn left_behind(status: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let state = format!(
            "instance_id: {UID}\nlast_remote_config_status:\n  {status}\n  last_remote_config_hash: aabb\n"
        );
        fs::write(dir.path().join(STATE), state).unwrap();
        let config = AgentRemoteConfig { config_hash: vec![0xaa, 0xbb], config: Some(Default::default()) };
        fs::write(dir.path().join(CONFIG), config.encode_to_vec()).unwrap();
        dir
    }

    fn taken_over(dir: &Path) -> State {
        let legacy = Legacy::find(dir).unwrap();
        let fresh = legacy.instance_uid.unwrap_or(InstanceUid::from_bytes([9; 16]));
        let Opened { mut journal, mut state, .. } = Journal::open(dir, fresh).unwrap();
        legacy.take_over(&mut journal, &mut state).unwrap();
        drop(journal);
        let again = Journal::open(dir, InstanceUid::from_bytes([8; 16])).unwrap().state;
        assert_eq!(again, state, "it is on disk");
        state
    }

    #[test]
    fn a_crash_before_the_move_is_on_disk_costs_nothing() {
        let dir = left_behind("status: 1");
        // The journal was made, and then the power went.
        let found = Legacy::find(dir.path()).unwrap();
        Journal::open(dir.path(), found.instance_uid.unwrap()).unwrap();
        assert_eq!(taken_over(dir.path()).config.live, Some(ConfigHash(vec![0xaa, 0xbb])));
    }

    #[test]
    fn identity_and_an_applied_config_survive_the_move() {
        let dir = left_behind("status: 1");
        let state = taken_over(dir.path());
        assert_eq!(state.instance_uid.to_string(), UID);
        assert_eq!(state.config.live, Some(ConfigHash(vec![0xaa, 0xbb])));
        assert!(state.legacy_sought, "it happens once");
    }

    #[test]
    fn a_failed_config_stays_failed_and_one_in_between_is_judged_again() {
        let state = taken_over(left_behind("status: 3\n  error_message: no such exporter").path());
        assert_eq!(state.config.live, None);
        assert_eq!(state.config.status.unwrap().outcome, Outcome::Failed("no such exporter".into()));
        let state = taken_over(left_behind("status: 2").path());
        assert_eq!(state.config.trial.unwrap().hash, ConfigHash(vec![0xaa, 0xbb]));
    }

    #[test]
    fn an_empty_state_file_is_noted_and_panics_nobody() {
        let dir = left_behind("status: 1");
        fs::write(dir.path().join(STATE), "").unwrap();
        let legacy = Legacy::find(dir.path()).unwrap();
        assert!(legacy.notes[0].contains("it is empty"), "{:?}", legacy.notes);
        let state = taken_over(dir.path());
        assert_eq!(state.config.trial.unwrap().hash, ConfigHash(vec![0xaa, 0xbb]), "the config is kept");
    }
}
