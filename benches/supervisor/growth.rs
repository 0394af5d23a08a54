//! Whether memory grows with what was done: configs applied, restarts by command.

use anyhow::{Result, ensure};
use serde_json::json;

use super::{
    figures::{Figures, memory},
    look, look_at, offline, push, put,
    rest::{Agent, Rest},
    settle,
    stand::Stand,
};

/// After so many of each, the supervisor has seen everything once.
const SETTLED_IN: u64 = 100;

pub(super) fn measure(stand: &mut Stand, figures: &Figures, most: u64) -> Result<()> {
    stand.start_server()?;
    let rest = stand.rest()?;
    stand.start_supervisor()?;
    let agent = look(&rest, "the agent is healthy", Agent::healthy)?;
    let uid = agent.text("/metadata/instanceUid")?.to_owned();
    let supervisor = stand.supervisor()?.pid();
    for round in 0..most {
        if round == SETTLED_IN.min(most / 2) {
            settle(&rest, &uid, rest.agent(&uid)?.sequence_num())?;
            figures.one("rss_kib_after_100_configs_and_restarts", memory(supervisor)?);
        }
        push(&rest, &uid, &round.to_string())?;
        restart(&rest, &uid, supervisor, round)?;
    }
    settle(&rest, &uid, rest.agent(&uid)?.sequence_num())?;
    figures.one("rss_kib_after_1000_configs_and_restarts", memory(supervisor)?);
    Ok(())
}

/// Asks for a restart, and waits for another process that is healthy.
fn restart(rest: &Rest, uid: &str, supervisor: u32, round: u64) -> Result<()> {
    let before = offline::child(supervisor);
    let said = rest.agent(uid)?.sequence_num();
    // A time that no process was started after, and another one each time.
    let (hours, minutes, seconds) = (round / 3600, round / 60 % 60, round % 60);
    let at = format!("2100-01-01T{hours:02}:{minutes:02}:{seconds:02}Z");
    let body = json!({ "spec": { "restartRequiredAt": at } });
    put(rest, &format!("/api/v1/namespaces/default/agents/{uid}"), &body)?;
    look_at(rest, uid, "it was restarted", |agent| {
        ensure!(offline::child(supervisor) != before, "it still runs");
        // It says that it stops, and that it is well.
        ensure!(agent.healthy() && agent.sequence_num() > said + 1, "not yet well");
        Ok(())
    })
}
