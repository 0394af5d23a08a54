//! How an agent is with its connection settings. What they are stands in the specs that somebody wrote; here are only
//! their classes and hashes, for headers hold tokens.

use serde_json::{Value, json};

use crate::{
    server::fleet::{
        Agent,
        settings::{SettingsState, Wanted},
    },
    wire::proto::ConnectionSettingsStatuses,
};
use data_encoding::HEXLOWER;

/// The fields of an agent's `status`.
pub(super) fn fields(agent: &Agent) -> [(&'static str, Value); 4] {
    let reported = agent.view.report.connection_settings_status.as_ref();
    let word = match reported.map_or(ConnectionSettingsStatuses::Unset, |status| status.status()) {
        ConnectionSettingsStatuses::Unset => "UNSET",
        ConnectionSettingsStatuses::Applied => "APPLIED",
        ConnectionSettingsStatuses::Applying => "APPLYING",
        ConnectionSettingsStatuses::Failed => "FAILED",
    };
    let status = json!({
        "status": word,
        "lastConnectionSettingsHash": reported.map_or_else(String::new, |s| HEXLOWER.encode(&s.last_connection_settings_hash)),
        "errorMessage": reported.map_or("", |status| &status.error_message),
    });
    let wanted = agent.settings.as_ref();
    let hash = wanted.map_or_else(String::new, |wanted| HEXLOWER.encode(&wanted.offers().hash));
    [
        ("connectionSettingsStatus", status),
        ("connectionSettingsState", json!(agent.settings_state())),
        ("desiredConnectionSettingsHash", json!(hash)),
        ("desiredConnectionSettings", json!(wanted.map_or_else(Vec::new, Wanted::classes))),
    ]
}

/// Whether they are in force, and why not.
pub(super) fn applied(agent: &Agent) -> (Option<bool>, SettingsState, String) {
    let state = agent.settings_state();
    let holds = match state {
        SettingsState::Applied => Some(true),
        SettingsState::Failed | SettingsState::Unresolved => Some(false),
        SettingsState::Unmanaged
        | SettingsState::Pending
        | SettingsState::Applying
        | SettingsState::Unreported => None,
    };
    let said = agent.view.report.connection_settings_status.as_ref();
    let why = match (&agent.unsettled, state) {
        (Some(problem), _) => problem.to_string(),
        (None, SettingsState::Failed) => said.map_or_else(String::new, |status| status.error_message.clone()),
        _ => String::new(),
    };
    (holds, state, why)
}
