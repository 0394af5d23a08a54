//! The way back from a `supervisor.yaml` that passed its checks and that the Collector does not do with: the
//! `agent` part of it that was in force before, with the files as they were.

use super::{Driver, Prepared};
use crate::{
    collector::components::Components,
    supervisor::{config::AgentConfig, machine::Input, own_telemetry::OwnTelemetry, setup::Outfit},
    wire::proto::AgentDescription,
};

/// The host's part that was in force before.
pub(super) struct Before {
    agent: AgentConfig,
    outfit: Outfit,
    components: Option<Components>,
    said: Option<AgentDescription>,
    files: Option<Prepared>,
    telemetry: OwnTelemetry,
}

impl Driver {
    /// To be kept while another part is on trial.
    pub(super) fn as_it_is(&self) -> Box<Before> {
        Box::new(Before {
            agent: self.parts.config.agent.clone(),
            outfit: self.parts.outfit.clone(),
            components: self.parts.components.clone(),
            said: self.said.clone(),
            files: self.current.clone(),
            telemetry: self.telemetry.in_force.clone(),
        })
    }

    /// The same of an outfit that ran before this life of the supervisor.
    pub(super) fn as_it_is_with(&self, outfit: Outfit) -> Box<Before> {
        let components = outfit.facts.as_ref().map(|facts| facts.components.clone());
        Box::new(Before { outfit, components, said: None, files: None, ..*self.as_it_is() })
    }

    /// The binary from before is in place again.
    pub(super) fn outfit_back(&mut self, before: Before) {
        let Before { outfit, components, said, files, .. } = before;
        self.said = said;
        self.parts.components = components;
        self.parts.outfit = outfit;
        self.keep_outfit_facts();
        self.current = files;
        self.candidate = None;
    }

    /// What was proven needs no way back.
    pub(super) fn forget_way_back(&mut self) {
        if self.before.is_some() && !self.parts.machine.may_step_back() {
            self.before = None;
        }
    }

    /// The machine starts the Collector again, if it does not run any more.
    pub(super) fn step_back(&mut self, why: &str) {
        match self.before.take() {
            Some(before) => self.go_back_to(*before, why),
            None => tracing::error!("there is no way back: {why}"),
        }
        self.tell(Input::SteppedBack);
    }

    fn go_back_to(&mut self, before: Before, why: &str) {
        let Before { agent, outfit, components, said, files, telemetry } = before;
        let path = self.parts.reloads.path().display().to_string();
        // The Collector's last words may repeat what it was given.
        let why = self.secrets().text(why);
        if telemetry != self.telemetry.in_force {
            tracing::error!(
                "the offered telemetry settings are taken back, what was before is in force again: {why}"
            );
            self.current = files;
            self.candidate = None;
            self.telemetry_taken_back(telemetry, &why);
            return self.follow_rules();
        }
        tracing::error!("`agent` of {path} is taken back, and what was in force before is again: {why}");
        self.parts.config.agent.clone_from(&agent);
        self.outfit_back(Before { agent, outfit, components, said, files, telemetry });
        self.follow_rules();
        self.describe();
        self.report_components();
        let told = format!("`agent` was taken back: {why}");
        self.askers.taken_back(&told);
        self.refused(Some(told));
        self.look_at_sandbox();
        self.look_at_host();
    }
}
