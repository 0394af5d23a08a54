//! What a server says to an agent, in an answer or unprompted, and what it need not say again.

use super::{AgentView, Desired, Insistence, Session};
use crate::{
    protocol::{custom, settings},
    wire::proto::{
        AgentCapabilities, AgentIdentification, AgentRemoteConfig, CommandType, ConnectionSettingsOffers,
        CustomCapabilities, CustomMessage, PackagesAvailable, ServerCapabilities, ServerToAgent,
        ServerToAgentCommand,
    },
};

/// The agent does not accept the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent does not have the capability AcceptsRestartCommand")]
pub struct NotSupported;

/// A hash that was named to the agent, and how often.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    hash: Vec<u8>,
    times: u8,
}

impl Said {
    /// Whether nothing but this was said, as far as is known.
    fn is_about(&self, hash: &[u8]) -> bool {
        self.hash.split_last().is_none_or(|(_, said)| said == hash)
    }

    /// Whether to say it once more; counts it if so.
    fn again(&mut self, hash: &[u8], attempts: u8) -> bool {
        if self.hash != hash {
            *self = Self { hash: hash.to_vec(), times: 0 };
        }
        let due = self.times < attempts;
        self.times += u8::from(due);
        due
    }
}

/// The start of every message: whom it is for (S-ID-01).
pub(super) fn named(view: &AgentView) -> ServerToAgent {
    ServerToAgent { instance_uid: view.instance_uid.to_vec(), ..Default::default() }
}

impl Session {
    /// What is to be said unprompted, if anything (S-RC-07). Before the agent spoke there is nothing.
    pub fn push(&mut self, view: &AgentView, desired: &Desired<'_>) -> Option<ServerToAgent> {
        if !self.greeted {
            return None;
        }
        let nothing = named(view);
        let mut message = nothing.clone();
        self.ask_state_into(&mut message, view);
        self.offer_into(&mut message, view, desired);
        (message != nothing).then_some(message)
    }

    /// What is wanted of the agent and not yet so.
    pub(super) fn offer_into(
        &mut self,
        message: &mut ServerToAgent,
        view: &AgentView,
        desired: &Desired<'_>,
    ) {
        message.remote_config = self.offer(view, desired).cloned();
        message.connection_settings = self.offer_settings(view, desired);
        message.packages_available = self.offer_packages(view, desired);
        message.agent_identification =
            desired.new_instance_uid.map(|uid| AgentIdentification { new_instance_uid: uid.to_vec() });
        self.tell_custom(message, desired.custom_capabilities);
    }

    /// The list goes out when it is not what the agent was told last (B-CU-01).
    fn tell_custom(&mut self, message: &mut ServerToAgent, ours: &[String]) {
        if self.told_custom.as_deref() != Some(ours) {
            self.told_custom = Some(ours.to_vec());
            message.custom_capabilities = Some(CustomCapabilities { capabilities: ours.to_vec() });
        }
    }

    /// The first message of a session carries the capabilities (S-CP-02), the others need not (S-CP-03).
    pub(super) fn greet(&mut self, message: &mut ServerToAgent) {
        if !std::mem::replace(&mut self.greeted, true) {
            message.capabilities = self.caps.bits();
        }
    }

    /// The restart command, alone in its message (S-CM-01), for an agent that takes it (S-CM-02).
    pub fn restart(&mut self, view: &AgentView) -> Result<ServerToAgent, NotSupported> {
        if !view.capabilities.has(AgentCapabilities::AcceptsRestartCommand) {
            return Err(NotSupported);
        }
        let mut message = named(view);
        self.greet(&mut message);
        message.command = Some(ServerToAgentCommand { r#type: CommandType::Restart as i32 });
        Ok(message)
    }

    /// The wanted config, if the agent takes one, does not report it already, and was not offered it since
    /// (S-RC-03, S-RC-06).
    fn offer<'a>(&mut self, view: &AgentView, desired: &Desired<'a>) -> Option<&'a AgentRemoteConfig> {
        let wanted = desired.remote_config?;
        let offers = self.caps.has(ServerCapabilities::OffersRemoteConfig);
        let takes = view.capabilities.has(AgentCapabilities::AcceptsRemoteConfig);
        if !offers || !takes || view.reported_config_hash() == Some(&*wanted.config_hash) {
            return None;
        }
        let attempts = self.attempts_with(view, AgentCapabilities::ReportsRemoteConfig);
        self.offered.again(&wanted.config_hash, attempts).then_some(wanted)
    }

    /// The wanted settings that the agent takes, if it does not report them already and was not offered them since
    /// (S-CS-06, S-CS-07).
    fn offer_settings(
        &mut self,
        view: &AgentView,
        desired: &Desired<'_>,
    ) -> Option<ConnectionSettingsOffers> {
        let wanted = desired.connection_settings?;
        let offers = self.caps.has(ServerCapabilities::OffersConnectionSettings);
        let taken = settings::for_agent(wanted, view.capabilities);
        let reported = view.report.connection_settings_status.as_ref();
        let known = reported.is_some_and(|status| status.last_connection_settings_hash == wanted.hash);
        if !offers || known || settings::is_empty(&taken) {
            return None;
        }
        let attempts = self.attempts_with(view, AgentCapabilities::ReportsConnectionSettingsStatus);
        self.offered_settings.again(&wanted.hash, attempts).then_some(taken)
    }

    /// The wanted packages, if the agent takes any (S-PK-01), does not name their hash already, and was not offered them
    /// since (S-PK-06).
    fn offer_packages(&mut self, view: &AgentView, desired: &Desired<'_>) -> Option<PackagesAvailable> {
        let wanted = desired.packages?;
        let offers = self.caps.has(ServerCapabilities::OffersPackages);
        let takes = view.capabilities.has(AgentCapabilities::AcceptsPackages);
        let reported = view.reported_packages_hash() == Some(wanted.all_packages_hash);
        // What was said since the agent spoke of packages last is what it will know.
        let known = reported && self.offered_packages.is_about(wanted.all_packages_hash);
        let again = wanted.insistence == Insistence::Again;
        if known && !again {
            self.offered_packages = Said::default();
        }
        if !offers || !takes || (known && !again) {
            return None;
        }
        let attempts = self.attempts_with(view, AgentCapabilities::ReportsPackageStatuses);
        // An offer that is made again is another one than that which was made before.
        let said = [wanted.all_packages_hash, &[u8::from(again)]].concat();
        self.offered_packages.again(&said, attempts).then(|| (wanted.available)())
    }

    /// How often something is offered at most. Of an agent that does not report what became of it, nothing can be
    /// learned by offering it again, unless it seems to have missed an answer.
    const fn attempts_with(&self, view: &AgentView, reports: AgentCapabilities) -> u8 {
        if self.missed || view.capabilities.has(reports) { self.attempts } else { 1 }
    }

    /// A custom message for the agent, of a capability that both ends advertise (B-CU-06). `ours` are those of
    /// [`Desired::custom_capabilities`].
    pub fn custom(
        &mut self,
        view: &AgentView,
        ours: &[String],
        message: CustomMessage,
    ) -> Result<ServerToAgent, custom::Refused> {
        let theirs = view.report.custom_capabilities.as_ref();
        custom::check(&message, ours, theirs.map_or(&[], |list| &list.capabilities))?;
        let mut whole = named(view);
        self.greet(&mut whole);
        self.tell_custom(&mut whole, ours);
        whole.custom_message = Some(message);
        Ok(whole)
    }

    /// Whether the map behind the reported hash is known neither from this agent nor from another.
    pub(super) fn lacks_components(&mut self, view: &mut AgentView, desired: &Desired<'_>) -> bool {
        if !view.capabilities.has(AgentCapabilities::ReportsAvailableComponents) {
            return false;
        }
        let Some(reported) = &mut view.report.available_components else { return false };
        if !reported.components.is_empty() {
            // Should the agent come back to the set that was asked for, it is asked again.
            self.asked_components = Said::default();
            return false;
        }
        if let Some(known) = desired.components.and_then(|store| store.by_hash(&reported.hash)) {
            reported.components = known;
            return false;
        }
        self.asked_components.again(&reported.hash, self.attempts)
    }
}
