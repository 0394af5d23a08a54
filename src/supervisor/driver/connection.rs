//! Offers of connection settings: written down, handed to whom each class concerns, and told how it went.
//!
//! Not here: what is done about the connection to the server (`moving`) and the agent's own telemetry
//! (`own_telemetry`).

use super::Driver;
use crate::{
    supervisor::{
        connection::{classes, forget, is_settled, opened, to_wire},
        journal::{Class, SettingsHash, SettingsStatus, Taken},
    },
    transport::client::Update,
    wire::proto::{ConnectionSettingsOffers, ConnectionSettingsStatus, ConnectionSettingsStatuses},
};

impl Driver {
    /// The server offers settings of its own connection or of others. The same offer again is answered from what
    /// is known, and touches nothing.
    pub(super) fn settings_offered(&mut self, offer: ConnectionSettingsOffers) {
        let status = opened(&offer);
        if self.parts.state.connection.status.as_ref().is_some_and(|known| known.hash == status.hash) {
            return self.report_settings_status();
        }
        if self.parts.machine.is_paused() || !self.parts.moving.is_settled() {
            tracing::info!(settings = %status.hash, "the offered connection settings have to wait");
            return self.parts.moving.hold(offer);
        }
        if let Some(refusal) = self.parts.journal.refusal() {
            return self.fail_settings(status, &refusal.to_string());
        }
        let hash = status.hash.clone();
        tracing::info!(settings = %hash, "the server offers connection settings");
        let before = self.parts.state.connection.status.replace(status);
        if let Err(why) = self.save() {
            // Unless that is on disk, a crash would leave the server without an answer.
            let status = std::mem::replace(&mut self.parts.state.connection.status, before);
            return self.fail_settings(status.unwrap_or_else(|| opened(&offer)), &why);
        }
        self.report_settings_status();
        for class in classes(&offer) {
            let ended = match class {
                // Below: it may leave the connection, so everything else is told before.
                Class::OpAmp => continue,
                Class::OwnTelemetry => self.telemetry_offered(&hash, &offer),
                Class::Other => {
                    Some(Err("this supervisor does not take connections of the Collector".to_owned()))
                }
            };
            if let Some(ended) = ended {
                self.settings_ended(&hash, class, ended);
            }
        }
        if let Some(ended) = offer.opamp.as_ref().and_then(|opamp| self.opamp_offered(&hash, opamp)) {
            self.settings_ended(&hash, Class::OpAmp, ended);
        }
    }

    /// What was under way when an earlier supervisor ended, and is taken up by nobody, came to nothing.
    pub(super) fn take_up_settings(&mut self) {
        let connection = &self.parts.state.connection;
        let Some(status) = &connection.status else { return };
        let under_way = |class: Class| class == Class::OpAmp && connection.candidate.is_some();
        let left = status.classes.iter().filter(|(class, _)| !under_way(**class));
        let left = left.filter(|(_, taken)| **taken == Taken::Applying);
        let left: Vec<_> = left.map(|(class, _)| *class).collect();
        let hash = status.hash.clone();
        for class in left {
            let why = "the supervisor ended while it was being applied; offer it again".to_owned();
            self.settings_ended(&hash, class, Err(why));
        }
    }

    /// What came of one class of an offer; nobody is told of an offer that was replaced by another.
    pub(super) fn settings_ended(&mut self, hash: &SettingsHash, class: Class, ended: Result<(), String>) {
        let taken = match ended {
            Ok(()) => Taken::Applied,
            Err(why) => {
                if class == Class::OpAmp {
                    self.certificate_useless();
                }
                let error = self.mask().text(&why);
                tracing::error!(settings = %hash, ?class, "the offered connection settings failed: {error}");
                Taken::Failed { error }
            }
        };
        let Some(status) = self.parts.state.connection.status.as_mut().filter(|status| status.hash == *hash)
        else {
            // What it changed is to last all the same.
            return self.save_or_later();
        };
        status.classes.insert(class, taken);
        if is_settled(status) {
            tracing::info!(settings = %hash, "the offered connection settings are dealt with");
        }
        self.save_or_later();
        self.report_settings_status();
    }

    /// Says no without a change on disk.
    fn fail_settings(&mut self, mut status: SettingsStatus, why: &str) {
        tracing::error!(settings = %status.hash, "the offered connection settings are refused: {why}");
        for taken in status.classes.values_mut() {
            *taken = Taken::Failed { error: why.to_owned() };
        }
        self.parts.client.update(Update::ConnectionSettingsStatus(to_wire(&status)));
    }

    /// What the server is told of its last offer of connection settings. While nothing is said that is not on disk,
    /// and no failure to a server that has yet to be left.
    pub(super) fn report_settings_status(&self) {
        if self.parts.moving.is_reverting() {
            return;
        }
        let Some(status) = &self.parts.state.connection.status else { return };
        let mut told = to_wire(status);
        if let Some(unsaved) = &self.unsaved
            && told.status == ConnectionSettingsStatuses::Applied as i32
        {
            told.status = ConnectionSettingsStatuses::Applying as i32;
            told.error_message = format!("applied once that is on disk: {}", unsaved.why);
        }
        self.parts.client.update(Update::ConnectionSettingsStatus(told));
    }

    /// Nothing of what was offered holds any more: whoever offered it may do so again.
    pub(super) fn forget_settings(&mut self, why: &str) {
        tracing::warn!("what the server offered for its connection is forgotten: {why}");
        forget(&mut self.parts.state.connection);
        self.parts.moving.forget();
        self.parts.journal.forget_copy();
        self.save_or_later();
        self.parts.client.update(Update::ConnectionSettingsStatus(ConnectionSettingsStatus::default()));
    }
}
