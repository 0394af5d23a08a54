//! What administrators on this host ask for through the control socket.

use super::{Driver, wall_nanos};
use crate::{
    os::clock,
    supervisor::{
        connection::{certificate_ends, to_wire},
        control::{
            AgentStatus, Answer, Asked, CollectorStatus, ConfigStatus, FILE, LastOutcome, OFFER, Request,
            ServerStatus, Status, SupervisorStatus, bounded, hex, time_of,
        },
        health::OWN_COMPONENTS,
        machine::{Input, Running},
        mask::Mask,
        record,
        succession::{Successor, Wanted},
    },
};

impl Driver {
    /// What changes something is done, and on disk, before it is answered.
    pub(super) async fn requested(&mut self, Asked { request, reply }: Asked) {
        let answer = match request {
            Request::Status => Answer::Status(Box::new(self.whole_status())),
            Request::RollBack if self.parts.machine.tries_binary() => self.roll_back_package().await,
            Request::RollBack => self.roll_back().await,
            Request::RollBackPackage => self.roll_back_package().await,
            Request::Pause => self.hold(Input::Pause, "offers of the server are held").await,
            Request::Mask { text } => Answer::Masked { text: self.secrets().text(&text) },
            Request::Reload => return self.reload_for(reply),
            Request::Reexec { executable } => {
                let own = || self.parts.succession.executable().to_owned();
                let executable = executable.unwrap_or_else(own);
                let successor = Successor { executable, wanted: Wanted::ByPerson };
                return self.become_another(successor, "a person on the host asks for it", Some(reply));
            }
            Request::Resume => self.hold(Input::Resume, "offers of the server are taken again").await,
        };
        // Whoever asked may have hung up.
        let _ = reply.send(answer);
    }

    async fn roll_back(&mut self) -> Answer {
        let machine = &self.parts.machine;
        if !machine.can_roll_back() {
            let why = format!("there is no config to go back to: {} runs", name(machine.live()));
            return Answer::Refused { why };
        }
        let from = if machine.is_proving() { machine.applying() } else { machine.live().as_ref() };
        let from = name(&from.cloned());
        tracing::warn!("a person on the host goes back from {from} to the config before");
        self.tell(Input::RollBack);
        self.perform().await;
        let to = name(self.parts.machine.live());
        Answer::Done { said: format!("back from {from} to {to}{}", self.not_on_disk()) }
    }

    async fn hold(&mut self, input: Input, said: &str) -> Answer {
        self.tell(input);
        self.perform().await;
        Answer::Done { said: format!("{said}{}", self.not_on_disk()) }
    }

    pub(super) fn not_on_disk(&self) -> String {
        let Some(unsaved) = &self.unsaved else { return String::new() };
        format!("; a restart forgets it, because the journal cannot be written: {}", unsaved.why)
    }

    fn whole_status(&self) -> Status {
        let mask = self.secrets();
        let shown = |text: &str| bounded(&mask.text(text));
        Status {
            supervisor: self.supervisor_status(),
            agent: AgentStatus {
                instance_uid: self.parts.state.instance_uid.to_string(),
                name: self.parts.outfit.facts.as_ref().map(|facts| facts.command.clone()),
                version: self.parts.outfit.facts.as_ref().map(|facts| facts.version.clone()),
                executable: Some(self.parts.outfit.binary.executable.display().to_string()),
            },
            server: Some(self.server_status(&mask)),
            collector: self.collector_status(&mask),
            config: self.config_status(&mask),
            packages: self.packages_status(&mask),
            notices: self.health.remarks().map(shown).chain(self.parts.reloads.notices()).collect(),
        }
    }

    fn server_status(&self, mask: &Mask) -> ServerStatus {
        let connection = &self.parts.state.connection;
        let server = self.server();
        let source = if connection.valid.is_some() || connection.candidate.is_some() { OFFER } else { FILE };
        ServerStatus {
            endpoint: server.endpoint.to_string(),
            connected: self.away.is_none(),
            since: time_of(self.server_since).unwrap_or_default(),
            why: self.away.as_deref().map(|why| bounded(&mask.text(why))),
            source: source.to_owned(),
            certificate_expires: certificate_ends(&server).map(|end| end.to_string()),
            offer: connection.status.as_ref().map(|status| {
                let told = to_wire(status);
                let outcome = told.status().as_str_name().rsplit('_').next().unwrap_or_default();
                LastOutcome {
                    hash: status.hash.to_string(),
                    outcome: outcome.to_ascii_lowercase(),
                    error: bounded(&mask.text(&told.error_message)),
                }
            }),
        }
    }

    fn supervisor_status(&self) -> SupervisorStatus {
        let successions = &self.parts.succession;
        let mut status = SupervisorStatus {
            running: true,
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            pid: Some(std::process::id()),
            since: time_of(self.started),
            executable: Some(successions.executable().display().to_string()),
            ..record::supervisor_status(&self.parts.state, &self.parts.storage)
        };
        if let Some(trial) = &mut status.trial {
            trial.left_s = successions.time_left().map(|left| left.as_secs());
        }
        status
    }

    fn collector_status(&self, mask: &Mask) -> CollectorStatus {
        let log = self.parts.storage.join("logs").join("agent.log");
        let mut status = CollectorStatus {
            pid: self.collector.as_ref().map(super::process::Collector::pid),
            log: (!self.parts.config.agent.passthrough_logs).then(|| log.display().to_string()),
            ..CollectorStatus::of(&self.health.tree())
        };
        status.error = mask.text(&status.error);
        // What is of the supervisor is told in its own place.
        status.unwell.retain(|unwell| !unwell.component.starts_with(OWN_COMPONENTS));
        for unwell in &mut status.unwell {
            unwell.error = mask.text(&unwell.error);
        }
        status
    }

    fn config_status(&self, mask: &Mask) -> ConfigStatus {
        let left = self.parts.machine.probation_left(clock::boottime());
        let mut status = record::config_status(&self.parts.state);
        let texts = status.last.iter_mut().map(|last| &mut last.error);
        for text in texts.chain(status.failed.iter_mut().map(|failed| &mut failed.why)) {
            *text = bounded(&mask.text(text));
        }
        ConfigStatus {
            live: hex(self.parts.machine.live().as_ref()),
            probation_left_s: left.map(|left| left.as_secs()),
            at_work: hex(self.parts.machine.applying()),
            missing: self
                .current
                .as_ref()
                .map(|current| current.composed.missing.clone())
                .unwrap_or_default(),
            ..status
        }
    }

    /// The connection to the server came or went.
    pub(super) fn server_changed(&mut self, away: Option<String>) {
        if away.is_none() != self.away.is_none() {
            self.server_since = wall_nanos();
        }
        self.measure_server(away.is_none());
        self.away = away;
    }
}

fn name(config: &Running) -> String {
    config.as_ref().map_or_else(|| "the host's own config".to_owned(), |hash| format!("config {hash}"))
}
