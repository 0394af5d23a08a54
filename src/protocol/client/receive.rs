//! What a reply or a push from the server means.

use std::time::Duration;

use super::{Client, Effect, Event, Phase, Retry};
use crate::{
    protocol::{report::Parts, settings},
    wire::{
        InstanceUid, ServerCaps,
        proto::{
            AgentCapabilities, CommandType, ConnectionSettingsOffers, ServerErrorResponse,
            ServerErrorResponseType, ServerToAgent, ServerToAgentCommand, ServerToAgentFlags,
            server_error_response::Details,
        },
    },
};

impl Client {
    /// Processes one message by the fields that are set (C-SQ-15).
    pub fn received(&mut self, message: ServerToAgent, now: Duration) {
        if self.phase == Phase::Stopping {
            // Over HTTP the goodbye waits for the exchange that was under way.
            self.phase = Phase::Online { greeted: true, last_sent: now, in_flight: false };
            return self.say_goodbye(now);
        }
        let Phase::Online { greeted, in_flight, .. } = &mut self.phase else { return };
        *in_flight = false;
        let mut mine = [Some(self.uid), self.former_uid].into_iter().flatten();
        let addressed =
            message.instance_uid.is_empty() || mine.any(|uid| message.instance_uid == uid.as_bytes());
        if !addressed {
            return self.tell(Event::Ignored("it is addressed to another instance uid"));
        }
        if let Some(error) = message.error_response {
            return self.refused(error, now);
        }
        let first = !std::mem::replace(greeted, true);
        self.unconfirmed = Parts::NONE;
        self.asked();
        self.backoff.reset();
        if first {
            self.tell(Event::Synced);
        }
        let others = self.learn_capabilities(message.capabilities);
        match message.command {
            Some(command) => self.command(command),
            None => self.act(message),
        }
        if others || (first && !self.server_caps.is_unspecified()) {
            // Last: who asks for something now should know what the server says unasked.
            self.tell(Event::ServerCapabilities(self.server_caps));
        }
    }

    fn act(&mut self, message: ServerToAgent) {
        if let Some(identification) = &message.agent_identification {
            self.adopt(&identification.new_instance_uid);
        }
        let flag = |flag: ServerToAgentFlags| message.flags & flag as u64 != 0;
        if flag(ServerToAgentFlags::ReportFullState) {
            self.dirty = Parts::ALL;
            self.speak = true;
            self.ask_anew();
        }
        if flag(ServerToAgentFlags::ReportAvailableComponents)
            && self.caps.has(AgentCapabilities::ReportsAvailableComponents)
        {
            self.components_in_full = true;
        }
        // Before the config: it may be one for the binary that comes with it.
        if let Some(packages) = message.packages_available {
            self.offered(AgentCapabilities::AcceptsPackages, Event::Packages(packages));
        }
        if let Some(config) = message.remote_config {
            self.offered(AgentCapabilities::AcceptsRemoteConfig, Event::RemoteConfig(config));
        }
        if let Some(settings) = message.connection_settings {
            self.settings_offered(&settings);
        }
        if let Some(capabilities) = message.custom_capabilities {
            self.asks.peer.clone_from(&capabilities.capabilities);
            self.sift();
            self.tell(Event::CustomCapabilities(capabilities));
        }
        match message.custom_message {
            Some(custom) if self.custom_capabilities().contains(&custom.capability) => {
                self.tell(Event::CustomMessage(custom));
            }
            Some(_) => {
                self.tell(Event::Ignored("its custom message is of a capability that this agent lacks"))
            }
            None => {}
        }
    }

    /// An offer that belongs to a capability this agent lacks is ignored (C-CP-05).
    fn offered(&mut self, needs: AgentCapabilities, event: Event) {
        if self.caps.has(needs) {
            self.tell(event);
        } else {
            self.tell(Event::Ignored("it offers something that this agent does not accept"));
        }
    }

    /// Each class of settings belongs to a capability of its own; the classes that this agent does not take are
    /// left out (C-CP-05).
    fn settings_offered(&mut self, offered: &ConnectionSettingsOffers) {
        if offered.opamp.as_ref().is_some_and(|opamp| opamp.certificate.is_some()) {
            self.answered();
        }
        let taken = settings::for_agent(offered, self.caps);
        if settings::is_empty(&taken) && !settings::is_empty(offered) {
            self.tell(Event::Ignored("it offers connection settings that this agent does not accept"));
        } else {
            self.tell(Event::ConnectionSettings(Box::new(taken)));
        }
    }

    /// Capabilities come with the first reply and may be left out afterwards (S-CP-03). Whether they are others now.
    fn learn_capabilities(&mut self, bits: u64) -> bool {
        let caps = ServerCaps::from_wire(bits);
        let others = !caps.is_unspecified() && caps != self.server_caps;
        if others {
            self.server_caps = caps;
            self.give_up_requests();
        }
        others
    }

    /// A command stands alone: everything else in its message is ignored (C-CM-01).
    fn command(&mut self, command: ServerToAgentCommand) {
        if CommandType::try_from(command.r#type) == Ok(CommandType::Restart) {
            self.offered(AgentCapabilities::AcceptsRestartCommand, Event::Restart);
        } else {
            self.tell(Event::Ignored("its command is unknown"));
        }
    }

    /// A new identity knows nothing of what was said under the old one, so everything is said again.
    fn adopt(&mut self, new: &[u8]) {
        match InstanceUid::try_from(new) {
            Ok(uid) if uid != self.uid => {
                self.former_uid = Some(std::mem::replace(&mut self.uid, uid));
                self.dirty = Parts::ALL;
                self.speak = true;
                self.uid_given();
                self.tell(Event::InstanceUid(uid));
            }
            Ok(_) => self.uid_given(),
            Err(_) => self.tell(Event::Ignored("its new_instance_uid does not have 16 bytes")),
        }
    }

    fn refused(&mut self, error: ServerErrorResponse, now: Duration) {
        if ServerErrorResponseType::try_from(error.r#type) == Ok(ServerErrorResponseType::Unavailable) {
            let after = error
                .details
                .map(|Details::RetryInfo(info)| Duration::from_nanos(info.retry_after_nanoseconds));
            self.tell(Event::Refused(error));
            self.effects.push_back(Effect::Close);
            self.wait(Retry::Overloaded { after }, now);
        } else {
            self.unconfirmed = Parts::NONE;
            self.answered();
            self.tell(Event::Refused(error));
        }
    }

    fn tell(&mut self, event: Event) {
        self.effects.push_back(Effect::Event(event));
    }
}
