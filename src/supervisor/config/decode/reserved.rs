//! Rules of keys without effect: a file that is wrong today is not accepted to fail later.

use super::{super::context::Context, positive};

pub(super) fn check(context: &mut Context<'_>) {
    positive(context, "agent.orphan_detection_interval", "agent::orphan_detection_interval must be positive");
    auth(context);
}

fn auth(context: &mut Context<'_>) {
    let key = "server.auth";
    let Some(id) = context.text(key).filter(|id| !id.is_empty()) else { return };
    if context.entries("extensions").iter().all(|entry| entry.key != id) {
        let message = format!("server.auth references {id:?} which is not configured under extensions");
        context.problem(key, message);
    }
}
