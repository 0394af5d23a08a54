//! `status`: from the running supervisor, else from what it left on disk.

use std::{io::Write, path::Path};

use super::{CommandError, Format, NOT_RUNNING, OK, ask, human, json, place::Place};
use crate::supervisor::{
    config::Downgrade,
    control::{
        AgentStatus, Answer, AskError, CollectorStatus, ConfigStatus, Request, Status, SupervisorStatus,
        packages_status,
    },
    journal::{Peeked, State, peek},
    mask::{Mask, printable},
    record,
    upgrade::{Rules, machine::Packages},
};

pub(super) fn run(place: &Place, format: Format, out: &mut dyn Write) -> Result<u8, CommandError> {
    let (status, code) = gather(place)?;
    match format {
        Format::Json => json(&status, out)?,
        Format::Text => out.write_all(human::status(&status).as_bytes())?,
    }
    Ok(code)
}

/// The status, and the exit code that goes with it.
pub(super) fn gather(place: &Place) -> Result<(Status, u8), CommandError> {
    Ok(match ask(&place.socket, &Request::Status) {
        Ok(Answer::Status(status)) => (*status, OK),
        Ok(Answer::Refused { why }) => return Err(CommandError::Refused(printable(&why))),
        Ok(_) => return Err(AskError::Unexpected.into()),
        Err(AskError::NotRunning(_)) => (left_behind(&place.storage)?, NOT_RUNNING),
        Err(error) => return Err(error.into()),
    })
}

/// What the journal tells when nobody answers; it is read as it is, and neither locked nor repaired.
fn left_behind(storage: &Path) -> Result<Status, CommandError> {
    let supervisor =
        SupervisorStatus { storage: storage.display().to_string(), ..SupervisorStatus::default() };
    let Some(Peeked { state, collector, .. }) = peek(storage)? else {
        return Ok(Status {
            supervisor,
            agent: AgentStatus::default(),
            server: None,
            collector: CollectorStatus::default(),
            config: ConfigStatus::default(),
            packages: None,
            notices: vec!["no supervisor has kept anything there yet".to_owned()],
        });
    };
    let facts = record::facts(&state).map(|(_, facts)| facts);
    let collector = CollectorStatus { pid: collector.map(|facts| facts.pid), ..CollectorStatus::default() };
    let mut notices = Vec::new();
    if let Some(pid) = collector.pid {
        notices.push(format!("a Collector was left behind and still runs (pid {pid})"));
    }
    Ok(Status {
        supervisor: record::supervisor_status(&state, storage),
        agent: AgentStatus {
            instance_uid: state.instance_uid.to_string(),
            name: facts.as_ref().map(|facts| facts.command.clone()),
            version: facts.as_ref().map(|facts| facts.version.clone()),
            executable: None,
        },
        server: None,
        collector,
        config: record::config_status(&state),
        packages: packages_status(&packages_of(&state), None, &Mask::default()),
        notices,
    })
}

/// As a supervisor would take them up; what it takes decides nothing of what is told here.
fn packages_of(state: &State) -> Packages {
    let rules = Rules { accepts: false, allow: None, downgrade: Downgrade::Deny };
    Packages::new(rules, state.packages.clone(), None, state.paused)
}
