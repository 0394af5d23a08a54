//! Doing what the machine asks for.

use std::net::{Ipv4Addr, TcpListener};

use super::{
    Checked, Driver, Prepared,
    process::{Collector, Output},
    wall_nanos,
};
use crate::{
    collector::validate::{VALIDATE_DEADLINE, print_config},
    os::child::{Exit, Signal},
    supervisor::{
        check::Refusal,
        compose::{ComposeError, Contact},
        local::{Heard, Word},
        machine::{
            CheckToken, ConfigHash, Effect, Generation, Input, Outcome, ProcessState, Running, Verdict,
        },
        record,
    },
    wire::proto::{AgentConfigMap, AgentConfigObject, AgentRemoteConfig, EffectiveConfig},
};

impl Driver {
    pub(super) async fn perform(&mut self) {
        while let Some(effect) = self.parts.machine.poll_effect() {
            match effect {
                Effect::Check { token, config } => self.check(token, config),
                Effect::Spawn { generation, config } => self.spawn(generation, &config),
                Effect::Reload { generation, config } => self.reload(generation, &config),
                Effect::Stop { .. } => self.signal(Signal::SIGTERM),
                Effect::Kill { .. } => self.signal(Signal::SIGKILL),
                Effect::Status { config, outcome } => self.status(&config, outcome),
                Effect::Committed { config } => self.committed(&config),
                Effect::Process(state) => self.process(&state),
                Effect::Finished => self.finished = true,
            }
        }
    }

    fn check(&mut self, token: CheckToken, config: ConfigHash) {
        let body = match self.offered_body(&config) {
            Ok(body) => body,
            Err(why) => return self.tell(Input::Checked { token, verdict: Verdict::Unable(why) }),
        };
        let contact = self.current.as_ref().map(|current| current.contact.clone());
        let first = self.compose(&Some(config), Some(&body), contact.unwrap_or_else(|| self.fresh_contact()));
        if let (Ok(first), Some(current)) = (&first, &self.current)
            && first.composed == current.composed
        {
            return self.tell(Input::Checked { token, verdict: Verdict::Same });
        }
        let prepared = match first.and_then(|first| self.refreshed(first, &body)) {
            Ok(prepared) => prepared,
            Err(error) => {
                // What is wrong with the host's own layers says nothing about the offered config.
                let verdict = match self.compose(&None, None, self.parts.contact.clone()) {
                    Ok(_) => Verdict::Refused(error.to_string()),
                    Err(own) => Verdict::Unable(own.to_string()),
                };
                return self.tell(Input::Checked { token, verdict });
            }
        };
        let files = match &self.current {
            Some(current) if current.composed.same_files(&prepared.composed) => Verdict::Contents,
            _ => Verdict::Files,
        };
        let (checker, tell) = (self.checker(), self.checks.0.clone());
        let composed = prepared.composed.clone();
        self.candidate = Some(prepared);
        tokio::spawn(async move {
            let verdict = match checker.judge(&composed).await {
                Ok(()) => files,
                Err(Refusal::Unfit(why)) => Verdict::Refused(why),
                Err(Refusal::Unable(why)) => Verdict::Unable(why),
            };
            // The driver is gone only when everything ends.
            let _ = tell.send(Checked { token, verdict }).await;
        });
    }

    /// A config that differs from what runs, with a contact of its own where its proof needs one.
    fn refreshed(&self, prepared: Prepared, body: &AgentRemoteConfig) -> Result<Prepared, ComposeError> {
        match prepared.contact {
            Contact::HealthCheck { .. } => self.compose(&prepared.config, Some(body), self.fresh_contact()),
            Contact::Extension { .. } | Contact::Process => Ok(prepared),
        }
    }

    /// A probe on a port of its own proves which config it belongs to.
    fn fresh_contact(&self) -> Contact {
        match &self.parts.contact {
            Contact::HealthCheck { port } => Contact::HealthCheck { port: free_port().unwrap_or(*port) },
            other => other.clone(),
        }
    }

    /// Puts the files of a config in place: as they were checked, as they are, or made anew.
    fn put(&mut self, config: &Running) -> Result<Prepared, String> {
        let of = |prepared: &&Prepared| prepared.config == *config;
        let known = self.candidate.as_ref().filter(of).or_else(|| self.current.as_ref().filter(of)).cloned();
        let prepared = match known {
            Some(prepared) => prepared,
            None => self.prepare(config, self.fresh_contact()).map_err(|error| error.to_string())?,
        };
        self.parts.live.put(&prepared.composed).map_err(|error| error.to_string())?;
        self.say_what_is_left_out(&prepared);
        self.current = Some(prepared.clone());
        Ok(prepared)
    }

    /// In log and health, once for each change.
    fn say_what_is_left_out(&mut self, prepared: &Prepared) {
        let missing = &prepared.composed.missing;
        if !self.health.left_out(missing, wall_nanos()) {
            return;
        }
        for missing in missing {
            tracing::warn!("a file of agent.config_files is left out: {missing}");
        }
        if missing.is_empty() {
            tracing::info!("all files of agent.config_files are there again");
        }
        self.report_health();
    }

    fn spawn(&mut self, generation: Generation, config: &Running) {
        self.generation = generation;
        self.parts.endpoint.expect(generation);
        if let Err(why) = self.try_spawn(generation, config) {
            let why = format!("cannot be started: {why}");
            self.tell(Input::SpawnFailed { generation, why });
        }
    }

    fn try_spawn(&mut self, generation: Generation, config: &Running) -> Result<(), String> {
        let prepared = self.put(config)?;
        let configs = self.parts.live.configs(&prepared.composed);
        let spec = self.parts.binary.spec().args(self.parts.binary.run_args(&configs.as_configs()));
        let log = self.parts.storage.join("logs").join("agent.log");
        let output =
            if self.parts.config.agent.passthrough_logs { Output::Passthrough } else { Output::File(&log) };
        let mut collector = Collector::start(&spec, output).map_err(|error| error.to_string())?;
        tracing::info!(pid = collector.pid(), config = %name(config), "the Collector runs");
        self.write_down(&collector);
        self.watches += 1;
        collector.watch(&prepared.contact, generation, self.watches, self.probes.0.clone());
        self.collector = Some(collector);
        Ok(())
    }

    fn reload(&mut self, generation: Generation, config: &Running) {
        match self.put(config) {
            Ok(prepared) => {
                tracing::info!(config = %name(config), "the Collector reads its config again (SIGHUP)");
                self.health.reloading();
                self.signal(Signal::SIGHUP);
                self.watches += 1;
                if let Some(collector) = &mut self.collector {
                    collector.watch(&prepared.contact, generation, self.watches, self.probes.0.clone());
                }
            }
            Err(why) => {
                let why = format!("its files cannot be written: {why}");
                self.tell(Input::SwitchFailed { why });
            }
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(collector) = &self.collector {
            collector.signal(signal);
        }
    }

    pub(super) async fn bury(&mut self, exit: Exit) {
        let Some(collector) = self.collector.take() else { return };
        let generation = self.generation;
        let (how, blame) = collector.epitaph(exit).await;
        tracing::info!(%exit, "the Collector ended");
        if let Err(error) = self.parts.journal.forget_process() {
            tracing::debug!(%error, "the process stays written down");
        }
        self.tell(Input::Exited { generation, how, blame });
    }

    /// Durable first, said second.
    fn status(&mut self, config: &ConfigHash, outcome: Outcome) {
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
        let ended = outcome != Outcome::Applying;
        record::outcome(&mut self.parts.state, config, outcome, self.parts.machine.live());
        self.save();
        if ended {
            self.tidy();
        }
        self.report_status();
    }

    fn committed(&mut self, config: &ConfigHash) {
        tracing::info!(%config, "the config has proven itself");
        record::committed(&mut self.parts.state, config);
        self.save();
        self.tidy();
    }

    /// Removes the bodies of configs that nothing refers to any more.
    fn tidy(&self) {
        let mut keep = self.parts.state.configs();
        keep.extend(self.parts.machine.at_work().cloned());
        if let Err(error) = self.parts.journal.configs.keep_only(&keep) {
            tracing::debug!(%error, "old configs stay stored");
        }
    }

    /// So that a later supervisor finds the process if this one is killed.
    fn write_down(&self, collector: &Collector) {
        // One that is gone already leaves nothing to find.
        let Ok(facts) = collector.facts() else { return };
        if let Err(error) = self.parts.journal.record_process(&facts) {
            tracing::warn!(pid = collector.pid(), %error, "the Collector's process could not be written down");
        }
    }

    pub(super) fn save(&mut self) {
        if let Err(error) = self.parts.journal.commit(&self.parts.state) {
            tracing::error!(%error, "the journal cannot be written; what happens now is forgotten at a restart");
        }
    }

    fn process(&mut self, state: &ProcessState) {
        if let Some(why) = state.failure() {
            tracing::error!("{why}");
        }
        self.health.process(state, wall_nanos());
        self.report_health();
    }

    /// Without the opamp extension nobody reports the effective config, so the binary is asked for it.
    pub(super) fn ask_effective_config(&self, generation: Generation, session: u64) {
        let (Some(current), Some(facts)) = (&self.current, &self.parts.facts) else { return };
        if matches!(current.contact, Contact::Extension { .. }) {
            return;
        }
        let configs = self.parts.live.configs(&current.composed);
        let (binary, gates) = (self.parts.binary.clone(), facts.feature_gates.clone());
        let tell = self.probes.0.clone();
        tokio::spawn(async move {
            match print_config(&binary, &configs.as_configs(), &gates, VALIDATE_DEADLINE).await {
                Ok(text) => {
                    let word = Word::EffectiveConfig(effective(text));
                    let _ = tell.send(Heard { generation, session, word }).await;
                }
                Err(error) => tracing::debug!(%error, "the Collector does not print its config"),
            }
        });
    }
}

fn effective(text: String) -> EffectiveConfig {
    let object =
        AgentConfigObject { body: text.into(), content_type: "text/yaml".into(), ..Default::default() };
    let config_map = [(String::new(), object)].into();
    EffectiveConfig { config_map: Some(AgentConfigMap { config_map }) }
}

fn name(config: &Running) -> String {
    config.as_ref().map_or_else(|| "the host's own".to_owned(), ToString::to_string)
}

/// A port that was free a moment ago.
pub(in crate::supervisor) fn free_port() -> Option<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    listener.local_addr().ok().map(|address| address.port())
}
