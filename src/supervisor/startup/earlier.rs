//! What an earlier life left: its state, and perhaps its Collector.

use std::{path::Path, time::Duration};

use prost::Message;

use super::StartError;
use crate::{
    os::{
        clock,
        orphan::{Swept, sweep},
    },
    supervisor::{
        check::is_within,
        config::SupervisorConfig,
        journal::{ConfigState, Journal, JournalError, Opened, State},
        legacy::Legacy,
        record,
    },
    wire::{InstanceUid, proto::AgentRemoteConfig},
};

/// What a Collector that outlived its supervisor gets: it was told to stop already when that one died.
const ORPHAN_GRACE: Duration = Duration::from_secs(5);
/// Before this is on disk, nothing else is done with the state: a crash in between costs nothing.
fn take_over_once(
    legacy: Option<Legacy>,
    journal: &mut Journal,
    state: &mut State,
) -> Result<(), JournalError> {
    let lived = state.config != ConfigState::default();
    match legacy {
        Some(legacy) if !state.legacy_sought && !lived => legacy.take_over(journal, state),
        _ => Ok(()),
    }
}

/// Opens the journal; at the first start, what the established supervisor left is taken over.
pub(super) fn open_journal(
    storage: &Path,
    config: &SupervisorConfig,
) -> Result<(Journal, State), StartError> {
    let legacy = Legacy::find(storage);
    let fresh = match legacy.as_ref().and_then(|legacy| legacy.instance_uid) {
        Some(uid) => uid,
        None => identity(config)?,
    };
    let Opened { mut journal, mut state, notes } = Journal::open(storage, fresh)?;
    for note in notes {
        tracing::warn!("{note}");
    }
    for lost in record::forget_lost(&mut state, |hash| journal.configs.is_stored(hash)) {
        tracing::warn!(config = %lost, "the body of this config is lost; the server is asked for it again");
    }
    take_over_once(legacy, &mut journal, &mut state)?;
    forget_forbidden(&journal, &mut state, config);
    Ok((journal, state))
}

/// Restrictions hold for what is stored as for what is offered. What is forgotten here the server offers again,
/// and hears then what is wrong with it.
fn forget_forbidden(journal: &Journal, state: &mut State, config: &SupervisorConfig) {
    let Some(restrictions) = &config.restrictions else { return };
    let within = |hash: &_| {
        let offer = journal.configs.load(hash).ok().and_then(|body| AgentRemoteConfig::decode(&*body).ok());
        offer.is_some_and(|offer| offer.config.is_none_or(|map| is_within(restrictions, &map)))
    };
    for hash in record::forget_lost(state, within) {
        tracing::warn!(config = %hash, "this config is not within restrictions any more and is not run");
    }
}

/// Who this is when nothing is stored: what the file says, else somebody new.
fn identity(config: &SupervisorConfig) -> Result<InstanceUid, StartError> {
    match config.agent.instance_id {
        Some(given) => Ok(given),
        None => Ok(InstanceUid::v7(clock::wall_millis(), clock::random()?)),
    }
}

/// Ends what a killed supervisor left behind, if it still is what was written down.
pub(super) async fn sweep_orphan(journal: &Journal) {
    let Some(facts) = journal.recorded_process() else { return };
    match sweep(&facts, ORPHAN_GRACE).await {
        Ok(Swept::NotThere) => {}
        Ok(swept) => {
            tracing::warn!(pid = facts.pid, ?swept, "a Collector was left behind by an earlier supervisor")
        }
        Err(error) => tracing::warn!(pid = facts.pid, %error, "a Collector left behind could not be ended"),
    }
}
