//! Rules of keys that are read and not acted on yet: a file that is wrong today is not accepted to fail later.

use super::{super::context::Context, positive};

/// Largest `agent.collector_crash_log_snippet_kib`.
const MAX_SNIPPET_KIB: i64 = 1024;

pub(super) fn check(context: &mut Context<'_>) {
    positive(context, "agent.orphan_detection_interval", "agent::orphan_detection_interval must be positive");
    snippet(context);
    auth(context);
}

fn snippet(context: &mut Context<'_>) {
    let key = "agent.collector_crash_log_snippet_kib";
    let rule = match context.int(key) {
        Some(kib) if kib < 0 => "must be non-negative".to_owned(),
        Some(kib) if kib > MAX_SNIPPET_KIB => format!("must be less than or equal to {MAX_SNIPPET_KIB}"),
        _ => return,
    };
    let got = context.got(key);
    context.problem(key, format!("agent::collector_crash_log_snippet_kib {rule}, got {got}"));
}

fn auth(context: &mut Context<'_>) {
    let key = "server.auth";
    let Some(id) = context.text(key).filter(|id| !id.is_empty()) else { return };
    if context.entries("extensions").iter().all(|entry| entry.key != id) {
        let message = format!("server.auth references {id:?} which is not configured under extensions");
        context.problem(key, message);
    }
}
