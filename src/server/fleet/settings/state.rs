//! How far an agent is with the connection settings that are wanted of it.

use serde::Serialize;

use crate::{
    server::fleet::{Agent, Catalogue},
    wire::proto::{AgentCapabilities, ConnectionSettingsStatuses},
};

/// Where an agent is with the connection settings that are wanted of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum SettingsState {
    /// None are wanted that the agent would take.
    Unmanaged,
    /// Wanted, and not yet reported back.
    Pending,
    Applying,
    Applied,
    Failed,
    /// Wanted, of an agent that does not say what comes of it.
    Unreported,
    /// What is wanted cannot be worked out; see the agent's condition.
    Unresolved,
}

impl Agent {
    #[must_use]
    pub fn settings_state(&self) -> SettingsState {
        if self.unsettled.is_some() {
            return SettingsState::Unresolved;
        }
        let Some(wanted) = &self.settings else { return SettingsState::Unmanaged };
        let status = self.view.report.connection_settings_status.as_ref();
        match status.filter(|status| status.last_connection_settings_hash == wanted.offers().hash) {
            None if !self.can(AgentCapabilities::ReportsConnectionSettingsStatus) => {
                SettingsState::Unreported
            }
            None => SettingsState::Pending,
            Some(status) => match status.status() {
                ConnectionSettingsStatuses::Unset => SettingsState::Pending,
                ConnectionSettingsStatuses::Applying => SettingsState::Applying,
                ConnectionSettingsStatuses::Applied => SettingsState::Applied,
                ConnectionSettingsStatuses::Failed => SettingsState::Failed,
            },
        }
    }

    /// Works out the wanted settings; says whether they are others than before. If they cannot be worked out, those
    /// from before stay.
    pub(in crate::server::fleet) fn settle(&mut self, catalogue: &Catalogue) -> bool {
        match catalogue.connection_settings(self) {
            Ok(settings) => {
                self.unsettled = None;
                let changed = self.settings != settings;
                self.settings = settings;
                changed
            }
            Err(problem) => {
                self.unsettled = Some(problem);
                false
            }
        }
    }
}
