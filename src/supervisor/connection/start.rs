//! Which server a start dials: the one that holds, or one that an earlier life was trying.

use super::over::{digest, over};
use crate::{
    supervisor::{
        config::SupervisorConfig,
        journal::{Class, ConnectionState, Taken},
        target::{self, TargetError},
    },
    transport::Target,
};

/// Lives of the supervisor that may end while one candidate is tried; the next one gives it up.
const LIVES: u32 = 2;

/// What to dial.
pub(in crate::supervisor) struct Beginning {
    /// The server that holds.
    pub valid: Target,
    /// The one to try first.
    pub candidate: Option<Target>,
}

/// The state is changed where it has to be: it must be on disk before anything is dialled.
pub(in crate::supervisor) fn begin(
    config: &SupervisorConfig,
    state: &mut ConnectionState,
) -> Result<Beginning, TargetError> {
    if let Some(why) = outdated(config, state) {
        tracing::warn!("what the server offered for its connection is forgotten: {why}");
        forget(state);
    }
    let valid = target::of(&over(&config.server, state.valid.as_ref()))?;
    let candidate = match &mut state.candidate {
        None => None,
        Some(candidate) if candidate.entries >= LIVES => {
            let why = format!("the supervisor ended {LIVES} times while they were tried");
            give_up(state, why);
            None
        }
        Some(candidate) => {
            candidate.entries += 1;
            match target::of(&over(&config.server, Some(&candidate.settings))) {
                Ok(target) => Some(target),
                Err(error) => {
                    give_up(state, format!("they cannot be used: {error}"));
                    None
                }
            }
        }
    };
    Ok(Beginning { valid, candidate })
}

/// Why offered settings do not hold any more.
pub(in crate::supervisor) fn outdated(
    config: &SupervisorConfig,
    state: &ConnectionState,
) -> Option<&'static str> {
    let kept = state.valid.iter().chain(state.candidate.as_ref().map(|candidate| &candidate.settings));
    let over = kept.map(|settings| &settings.over).next()?;
    if *over != digest(&config.server) {
        return Some("server in supervisor.yaml is another one since, and it has the last word");
    }
    let accepted = config.capabilities.accepts_opamp_connection_settings;
    (!accepted).then_some("capabilities.accepts_opamp_connection_settings is off in supervisor.yaml")
}

/// The server that offered them finds out that nothing of it holds, and may offer anew.
pub(in crate::supervisor) fn forget(state: &mut ConnectionState) {
    state.valid = None;
    state.candidate = None;
    state.status = None;
}

fn give_up(state: &mut ConnectionState, error: String) {
    tracing::error!("the offered connection settings are given up: {error}");
    let candidate = state.candidate.take();
    if let Some(asked) = &mut state.request {
        // If they are what came of it, the next one has to be another.
        asked.csr_pem = None;
    }
    let hash = candidate.map(|candidate| candidate.settings.offer);
    if let Some(status) = state.status.as_mut().filter(|status| Some(&status.hash) == hash.as_ref()) {
        status.classes.insert(Class::OpAmp, Taken::Failed { error });
    }
}
