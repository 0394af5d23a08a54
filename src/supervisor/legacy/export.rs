//! The way back: the journal's state as the files that the established supervisor reads at its start.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{CONFIG, PersistentState, STATE, Status, TELEMETRY};
use crate::{
    os::fs::{FsError, PRIVATE, failed, write_atomic},
    supervisor::{
        journal::{JournalError, Peeked, State, StatusRecord},
        machine::Outcome,
    },
    wire::proto::RemoteConfigStatuses,
};

/// Writes the files into a directory; says which. The config is the one that runs, not one that failed: the
/// other supervisor runs what it finds without a check.
pub(in crate::supervisor) fn export(
    storage: &Path,
    peeked: &Peeked,
    to: &Path,
) -> Result<Vec<PathBuf>, JournalError> {
    let Peeked { state, configs, .. } = peeked;
    let body = state.config.live.as_ref().map(|live| configs.load(live)).transpose()?;
    fs::create_dir_all(to).map_err(failed("create directory", to))?;
    let mut written = Vec::new();
    let mut write = |name: &str, bytes: &[u8]| -> Result<(), FsError> {
        write_atomic(&to.join(name), bytes, PRIVATE)?;
        written.push(to.join(name));
        Ok(())
    };
    // The state last: it is what the other one looks for.
    match body {
        Some(body) => write(CONFIG, &body)?,
        None => remove(&to.join(CONFIG))?,
    }
    let telemetry = storage.join(TELEMETRY);
    if to != storage && telemetry.exists() {
        write(TELEMETRY, &fs::read(&telemetry).map_err(failed("read", &telemetry))?)?;
    }
    let left = PersistentState {
        instance_id: state.instance_uid.to_string(),
        last_remote_config_status: status(state),
    };
    let text = serde_yaml::to_string(&left).map_err(std::io::Error::other);
    write(STATE, text.map_err(failed("serialise", &to.join(STATE)))?.as_bytes())?;
    Ok(written)
}

/// One that is left over would be run.
fn remove(path: &Path) -> Result<(), FsError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// A failure that is final stays one; of an offer that is at work nothing is said, so that it comes again.
fn status(state: &State) -> Option<Status> {
    let at_work = state.config.trial.as_ref().map(|trial| &trial.hash);
    if let Some(StatusRecord { hash, outcome: Outcome::Failed(why) }) = &state.config.status
        && at_work != Some(hash)
    {
        return Some(Status {
            status: RemoteConfigStatuses::Failed as i32,
            last_remote_config_hash: hash.to_string(),
            error_message: why.clone(),
        });
    }
    state.config.live.as_ref().map(|live| Status {
        status: RemoteConfigStatuses::Applied as i32,
        last_remote_config_hash: live.to_string(),
        error_message: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::{
        supervisor::{
            journal::{Journal, Opened, Trial, peek},
            legacy::Legacy,
            machine::ConfigHash,
        },
        wire::{InstanceUid, proto::AgentRemoteConfig},
    };

    fn hash(byte: u8) -> ConfigHash {
        ConfigHash(vec![byte, 0x12])
    }

    /// What becomes of a state that goes to the established supervisor and comes back.
    fn there_and_back(change: impl Fn(&mut State)) -> (State, State) {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let Opened { mut journal, mut state, .. } =
            Journal::open(from.path(), InstanceUid::from_bytes([7; 16])).unwrap();
        for byte in [1, 2] {
            let config = AgentRemoteConfig { config_hash: hash(byte).0, config: Some(Default::default()) };
            journal.configs.store(&hash(byte), &config.encode_to_vec()).unwrap();
        }
        change(&mut state);
        journal.commit(&state).unwrap();
        export(from.path(), &peek(from.path()).unwrap().unwrap(), to.path()).unwrap();
        let legacy = Legacy::find(to.path()).unwrap();
        assert_eq!(legacy.notes, [""; 0]);
        let Opened { mut journal, state: mut back, .. } =
            Journal::open(to.path(), legacy.instance_uid.unwrap()).unwrap();
        legacy.take_over(&mut journal, &mut back).unwrap();
        (state, back)
    }

    #[test]
    fn identity_config_and_status_survive_the_way_there_and_back() {
        let applied = |state: &mut State| {
            (state.config.live, state.config.last_good) = (Some(hash(1)), Some(hash(1)));
            state.config.status = Some(StatusRecord { hash: hash(1), outcome: Outcome::Applied });
        };
        let failed = |state: &mut State| {
            let why = "no: \"such\" exporter\nat all".to_owned();
            state.config.status = Some(StatusRecord { hash: hash(2), outcome: Outcome::Failed(why) });
        };
        for change in
            [&applied as &dyn Fn(&mut State), &failed, &|state| (applied(state), failed(state)).1, &|_| ()]
        {
            let (before, back) = there_and_back(change);
            assert_eq!(back.instance_uid, before.instance_uid);
            assert_eq!(
                (&back.config.live, &back.config.status),
                (&before.config.live, &before.config.status)
            );
            let failed =
                matches!(&back.config.status, Some(StatusRecord { outcome: Outcome::Failed(_), .. }));
            assert_eq!(back.quarantine.len(), usize::from(failed), "what failed is not tried again");
        }
    }

    #[test]
    fn an_offer_at_work_is_left_to_be_offered_again() {
        let (_, back) = there_and_back(|state| {
            (state.config.live, state.config.last_good) = (Some(hash(1)), Some(hash(1)));
            state.config.trial = Some(Trial::of(hash(2)));
            state.config.status =
                Some(StatusRecord { hash: hash(2), outcome: Outcome::Failed("the disk is full".into()) });
        });
        let status = StatusRecord { hash: hash(1), outcome: Outcome::Applied };
        assert_eq!((back.config.live, back.config.status), (Some(hash(1)), Some(status)));
    }
}
