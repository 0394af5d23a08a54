//! Offered configs: kept before anything is done with them, and found again when their turn comes.

use prost::Message;

use super::Driver;
use crate::{
    supervisor::{
        machine::{ConfigHash, Input, Outcome},
        record,
    },
    wire::proto::AgentRemoteConfig,
};

impl Driver {
    /// Stores the offer, so that nothing is lost from here on, then considers it. What cannot be stored is
    /// held until it can be.
    pub(super) fn offered(&mut self, offer: AgentRemoteConfig) {
        let Some(offer) = self.parts.reloads.hold(offer) else { return };
        if let Some(offer) = self.hold_for_package(offer) {
            self.consider_config(offer);
        }
    }

    pub(super) fn consider_config(&mut self, offer: AgentRemoteConfig) {
        let hash = ConfigHash(offer.config_hash.clone());
        if offer.config.is_none() {
            // A server may name without its body what this agent already runs (S-RC-06).
            if self.parts.machine.live().as_ref() == Some(&hash) {
                return self.tell(Input::Offer(hash));
            }
            return tracing::warn!(config = %hash, "the server names a config without sending it; ignored");
        }
        if self.parts.machine.live().as_ref() != Some(&hash)
            && let Some(refusal) = self.parts.journal.refusal()
        {
            return self.refuse(&hash, &refusal.to_string());
        }
        tracing::info!(config = %hash, "the server offers a config");
        self.look_at_host();
        self.unstored = match self.parts.journal.configs.store(&hash, &offer.encode_to_vec()) {
            Ok(()) => None,
            Err(error) => {
                tracing::warn!(%error, config = %hash, "the offered config cannot be stored yet");
                Some(offer)
            }
        };
        self.tell(Input::Offer(hash));
    }

    /// Says no without a change on disk.
    fn refuse(&mut self, config: &ConfigHash, why: &str) {
        tracing::error!(%config, "the offered config is refused: {why}");
        let outcome = Outcome::PutOff(why.to_owned());
        record::outcome(&mut self.parts.state, config, outcome);
        self.report_status();
    }

    /// The body of the config at work; `Err` says why it cannot be had now.
    pub(super) fn offered_body(&mut self, hash: &ConfigHash) -> Result<AgentRemoteConfig, String> {
        if let Some(offer) = self.unstored.take_if(|offer| offer.config_hash == hash.0) {
            let stored = self.parts.journal.configs.store(hash, &offer.encode_to_vec());
            if let Err(error) = stored {
                self.unstored = Some(offer);
                return Err(format!("the config cannot be stored: {error}"));
            }
            return Ok(offer);
        }
        self.stored_body(hash)
    }

    fn stored_body(&self, hash: &ConfigHash) -> Result<AgentRemoteConfig, String> {
        let stored = self.parts.journal.configs.load(hash).map_err(|error| error.to_string())?;
        AgentRemoteConfig::decode(&*stored).map_err(|error| format!("the stored config is damaged: {error}"))
    }

    /// The body of a config that was taken before.
    pub(super) fn body_of(&self, hash: &ConfigHash) -> Option<AgentRemoteConfig> {
        let body = self.stored_body(hash);
        if let Err(error) = &body {
            tracing::error!(%error, config = %hash, "the host's own config runs without the remote one");
        }
        body.ok()
    }
}
