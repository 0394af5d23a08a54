//! Making durable what happened, and saying it only then.
//!
//! What cannot be written is tried again every second: until then a config that runs is not said to be applied
//! (I6), and none is switched to (F-55, F-56).

use std::time::Duration;

use tokio::time::Instant;

use super::{Driver, wall_nanos};
use crate::{
    supervisor::{
        host_key::host_key,
        machine::{ConfigHash, Input, Outcome},
        record, sandbox, succession,
        upgrade::machine::Input as Told,
    },
    transport::client::Update,
    wire::proto::RemoteConfigStatuses,
};

/// From one try to write to the next.
const AGAIN: Duration = Duration::from_secs(1);

/// The state on disk is an older one.
pub(super) struct Unsaved {
    pub(super) again: Instant,
    pub(super) why: String,
}

impl Driver {
    /// What was offered is to be switched to.
    pub(super) fn arm(&mut self, config: &ConfigHash) {
        record::armed(&mut self.parts.state, config);
        let armed = self.save().map_err(|why| format!("the config is not switched to: {why}"));
        self.tell(Input::Armed(armed));
    }

    /// Durable first, said second.
    pub(super) fn status(&mut self, config: &ConfigHash, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Failed(why) => Outcome::Failed(self.reason(&why)),
            Outcome::PutOff(why) => Outcome::PutOff(self.reason(&why)),
            Outcome::Applying | Outcome::Applied => outcome,
        };
        // While the host stays as it is, each try ends the same way; that is written and logged once.
        let known = self.parts.state.config.status.as_ref();
        let repeated = known.is_some_and(|known| known.hash == *config && known.outcome == outcome);
        if repeated && matches!(outcome, Outcome::PutOff(_)) {
            return self.report_status();
        }
        match &outcome {
            Outcome::Applying => {}
            Outcome::Applied => tracing::info!(%config, "the config is applied"),
            Outcome::Failed(why) | Outcome::PutOff(why) => {
                tracing::error!(%config, "the config failed: {why}");
            }
        }
        self.measure_apply(config, &outcome);
        let ended = outcome != Outcome::Applying;
        record::outcome(&mut self.parts.state, config, outcome);
        self.save_or_later();
        if ended {
            self.tidy();
        }
        self.report_status();
    }

    /// Reasons quote configs and what the Collector printed.
    fn reason(&self, why: &str) -> String {
        self.with_last_words(self.mask().text(why))
    }

    pub(super) fn committed(&mut self, config: &ConfigHash) {
        tracing::info!(%config, "the config has proven itself");
        self.save_or_later();
        self.tidy();
        self.calm_down();
    }

    /// Another config is in force without an offer.
    pub(super) fn restored(&mut self) {
        self.save_or_later();
        self.tidy();
    }

    pub(super) fn paused(&mut self, paused: bool) {
        self.tell_packages(if paused { Told::Pause } else { Told::Resume });
        tracing::warn!(paused, "a person on the host decides whether offers of the server are held");
        self.save_or_later();
        self.health.paused(paused, wall_nanos());
        self.report_health();
        self.take_held_settings();
    }

    /// What the server is told of its last config.
    pub(super) fn report_status(&self) {
        let mut status = record::remote_config_status(&self.parts.state);
        if let Some(unsaved) = &self.unsaved
            && status.status == RemoteConfigStatuses::Applied as i32
        {
            status.status = RemoteConfigStatuses::Applying as i32;
            status.error_message = format!("it runs, and is applied once that is on disk: {}", unsaved.why);
        }
        self.parts.client.update(Update::RemoteConfigStatus(status));
    }

    pub(super) fn save_or_later(&mut self) {
        // It is tried again, and it was logged.
        let _ = self.save();
    }

    pub(super) fn save(&mut self) -> Result<(), String> {
        record::follow(&mut self.parts.state, &self.parts.machine, &self.parts.host);
        self.parts.state.packages = self.shelf.record();
        let refused = self.parts.journal.refusal().is_some();
        match self.parts.journal.commit(&self.parts.state) {
            Ok(()) => {
                self.unsaved = None;
                Ok(())
            }
            // A state of a newer supervisor stays as it is: there is nothing to try again.
            Err(error) if refused => Err(error.to_string()),
            Err(error) => {
                let why = error.to_string();
                if self.unsaved.is_none() {
                    tracing::error!(
                        "the journal cannot be written, which is tried again every second: {why}"
                    );
                }
                self.unsaved = Some(Unsaved { again: Instant::now() + AGAIN, why: why.clone() });
                Err(why)
            }
        }
    }

    pub(super) fn save_again(&mut self) {
        if self.save().is_ok() {
            tracing::info!("the journal is written again");
            self.tidy();
            self.report_status();
            self.report_settings_status();
            self.report_packages();
        }
    }

    /// For whoever looks at the agent: a fence that the kernel does not keep.
    pub(super) fn look_at_sandbox(&mut self) {
        let told = sandbox::not_kept(&self.parts.config.agent);
        if let Some(told) = &told {
            tracing::warn!("{told}");
        }
        self.health.remark("agent.access_dirs", told, wall_nanos());
    }

    /// What failed may do now, if the host adds something else to it.
    pub(super) fn look_at_host(&mut self) {
        let binary = self.parts.state.agent.as_ref().map(|agent| agent.sha256.as_str());
        let host = host_key(&self.parts.config, binary);
        if host != self.parts.host {
            tracing::info!(
                "the host's own part of the config is another one: what failed may be tried again"
            );
            let failed = record::failures(&self.parts.state, &host);
            self.parts.host = host;
            self.tell(Input::HostChanged { failed });
        }
    }

    /// This life of the supervisor ends as it should.
    pub(super) fn calm(&mut self) {
        record::calm(&mut self.parts.state);
        self.shelf.machine.calm();
        self.parts.state.packages = self.shelf.record();
    }

    /// Asked to end: nobody died over the offer at work.
    pub(super) fn leave_calmly(&mut self) {
        let before = self.parts.state.clone();
        self.calm();
        succession::calm(&mut self.parts.state.supervisor);
        if self.parts.state != before || self.unsaved.is_some() {
            self.save_or_later();
        }
    }
}
