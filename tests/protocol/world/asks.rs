//! What either end asks of the other besides its state: settings, custom messages, certificates, uids.

use super::*;
use crate::agent::CUSTOM;
use opamp::{protocol::client::Client, wire::proto::CustomMessage};

impl World {
    /// One of these things is wanted now.
    pub(super) fn asking(&mut self) {
        match self.random.below(7) {
            0 => {
                let number = self.random.below(20);
                self.server.want_settings(number);
            }
            1 => self.agent.asks_for_certificate(),
            2 => self.agent.asks_for_uid(),
            3 => {
                let has = !self.server.custom.is_empty();
                self.server.custom = if has { Vec::new() } else { vec![CUSTOM.to_owned()] };
            }
            4 => {
                if let Some((connection, message)) = self.server.says_custom() {
                    self.down(connection, None, message);
                }
            }
            _ => self.agent.says_custom(),
        }
    }

    /// What the agent asked for in the message that the server just processed.
    pub(super) fn server_heard(&mut self) -> Result<(), String> {
        let heard = std::mem::take(&mut self.server.heard);
        if heard.wants_uid && self.server.new_uid.is_none() {
            self.counts.wishes_for_uid += 1;
            let mut bytes = [3; 16];
            bytes[..8].copy_from_slice(&self.random.next().to_be_bytes());
            self.server.new_uid = Some(InstanceUid::from_bytes(bytes));
        }
        if let Some(request) = heard.connection_settings_request {
            if !self.options.server_caps.has(ServerCapabilities::AcceptsConnectionSettingsRequest) {
                return Err("a certificate is asked for of a server that gives none (C-CR-03)".into());
            }
            self.counts.certificates += 1;
            let csr = request.opamp.and_then(|opamp| opamp.certificate_request).map(|request| request.csr);
            self.agent.csr.take_if(|wanted| Some(wanted.as_bytes()) == csr.as_deref());
        }
        if let Some(message) = heard.custom_message {
            self.counts.custom += 1;
            newer(&mut self.custom_heard, &message)?;
        }
        Ok(())
    }

    pub(super) fn agent_is_told(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::ConnectionSettings(offer) => self.agent.settings_offered(&offer.hash),
            Event::CustomMessage(message) => {
                self.counts.custom += 1;
                newer(&mut self.agent.custom_heard, message)?;
            }
            Event::NoRequests(_) | Event::Refused(_) => self.agent.csr = None,
            _ => {}
        }
        Ok(())
    }

    /// What was asked was heard, and each end knows what the other has.
    pub(super) fn check_asks(&self, client: &Client) -> Result<(), String> {
        if let Some(csr) = &self.agent.csr {
            return Err(format!("the server does not know of the certificate request {csr} (C-CR-02)"));
        }
        if client.peer_custom_capabilities() != self.server.custom {
            let known = client.peer_custom_capabilities();
            return Err(format!(
                "the agent knows {known:?}, the server has {:?} (B-CU-02)",
                self.server.custom
            ));
        }
        let takes = self.agent.caps.has(AgentCapabilities::AcceptsOpAmpConnectionSettings);
        let reports = self.agent.caps.has(AgentCapabilities::ReportsConnectionSettingsStatus);
        let status = client.report().connection_settings_status.as_ref();
        let hash = status.map(|status| &status.last_connection_settings_hash);
        let offers = self.options.server_caps.has(ServerCapabilities::OffersConnectionSettings);
        match &self.server.settings {
            Some(wanted) if offers && takes && reports && hash != Some(&wanted.hash) => Err(format!(
                "the agent does not know the wanted settings: {status:?}, not {wanted:?} (S-CS-07)"
            )),
            _ => Ok(()),
        }
    }
}

/// Each number is heard once at most, and in the order in which they were sent.
fn newer(last: &mut u64, message: &CustomMessage) -> Result<(), String> {
    let number = u64::from(message.data.first().copied().unwrap_or_default()) + 1;
    if number <= *last {
        return Err(format!("custom message {number} after {last} (B-CU-06)"));
    }
    *last = number;
    Ok(())
}
