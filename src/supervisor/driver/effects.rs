//! Doing what the machine asks for.

use std::path::Path;

use super::{
    Checked, Driver,
    files::NotPut,
    process::{Collector, Destination, Epitaph},
    wall_nanos,
};
use crate::{
    collector::validate::{VALIDATE_DEADLINE, print_config},
    os::child::{Exit, Signal, SpawnError},
    supervisor::{
        check::Refusal,
        compose::Contact,
        local::{Heard, Word},
        machine::{
            Blame, CheckToken, ConfigHash, Effect, Generation, Input, Layers, Mode, ProcessState, Running,
            Verdict,
        },
        mask::printable,
    },
    wire::proto::{AgentConfigMap, AgentConfigObject, EffectiveConfig},
};

/// What stands before the end of a Collector's output.
const TAIL: &str = "\nCollector log tail:\n";

const UNREACHED: &str =
    "the server was never reached: the Collector runs agent.startup_fallback_configs until it is";

impl Driver {
    pub(super) async fn perform(&mut self) {
        while let Some(effect) = self.parts.machine.poll_effect() {
            match effect {
                Effect::Check { token, config } => self.check(token, config),
                Effect::Arm { config } => self.arm(&config),
                Effect::Spawn { generation, layers } => self.spawn(generation, &layers),
                Effect::Reload { generation, config } => self.reload(generation, &config),
                Effect::Stop { .. } => self.signal(Signal::SIGTERM),
                Effect::Kill { .. } => self.signal(Signal::SIGKILL),
                Effect::Status { config, outcome } => self.status(&config, outcome),
                Effect::Committed { config } => self.committed(&config),
                Effect::Restored => self.restored(),
                Effect::Paused(paused) => self.paused(paused),
                Effect::StepBack { why } => self.step_back(&why),
                Effect::BinaryProven => self.binary_proven(),
                Effect::BinaryFailed { why, blame } => self.binary_failed(&why, blame),
                Effect::Process(state) => self.process(&state),
                Effect::Mode(mode) => self.mode(mode),
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
        let layers = Layers::Config(Some(config));
        let first = self.compose(&layers, Some(&body), contact.unwrap_or_else(|| self.fresh_contact()));
        if let (Ok(first), Some(current)) = (&first, &self.current)
            && first.composed == current.composed
        {
            return self.tell(Input::Checked { token, verdict: Verdict::Same });
        }
        let prepared = match first.and_then(|first| self.refreshed(first, &body)) {
            Ok(prepared) => prepared,
            Err(error) => {
                // What is wrong with the host's own layers says nothing about the offered config.
                let verdict =
                    match self.compose(&Layers::Config(None), None, self.parts.outfit.contact.clone()) {
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

    fn spawn(&mut self, generation: Generation, layers: &Layers) {
        self.generation = generation;
        self.parts.endpoint.expect(generation);
        if let Err(error) = self.try_spawn(generation, layers) {
            // Layers that cannot be composed are of no use; a binary that does not start says nothing of them.
            let blame = match &error {
                NotStarted::NotPut(_) => Blame::Host,
                // There is another one to start.
                NotStarted::Altered(_) if self.parts.machine.tries_binary() => Blame::Config,
                NotStarted::Spawn(error) if self.parts.machine.tries_binary() && !error.is_transient() => {
                    Blame::Config
                }
                NotStarted::Altered(_) | NotStarted::Spawn(_) => Blame::Outside,
            };
            let why = format!("cannot be started: {error}");
            let lost = if let NotStarted::Altered(why) = &error { Some(why.clone()) } else { None };
            self.tell(Input::SpawnFailed { generation, why, blame });
            if let Some(why) = lost {
                self.replace_lost(&why);
            }
        }
    }

    fn try_spawn(&mut self, generation: Generation, layers: &Layers) -> Result<(), NotStarted> {
        if let Some(why) = self.altered() {
            return Err(NotStarted::Altered(why));
        }
        let prepared = self.put(layers)?;
        let configs = self.parts.live.configs(&prepared.composed);
        let spec =
            self.parts.outfit.binary.spec().args(self.parts.outfit.binary.run_args(&configs.as_configs()));
        let log = self.parts.storage.join("logs").join("agent.log");
        let into = self.destination(&log);
        let mut collector = Collector::start(&spec, into, self.parts.config.agent.crash_log_snippet)?;
        tracing::info!(pid = collector.pid(), config = %name(layers), "the Collector runs");
        self.write_down(&collector);
        self.parts.instruments.meters.agent_process(Some(collector.pid()));
        self.watches += 1;
        collector.watch(&prepared.contact, generation, self.watches, self.probes.0.clone());
        self.collector = Some(collector);
        self.expect_word(Some(&prepared.contact));
        Ok(())
    }

    /// Where the Collector's output goes.
    pub(super) const fn destination<'a>(&self, log: &'a Path) -> Destination<'a> {
        if self.parts.config.agent.passthrough_logs {
            Destination::Passthrough
        } else {
            Destination::File(log)
        }
    }

    fn reload(&mut self, generation: Generation, config: &Running) {
        let layers = Layers::Config(config.clone());
        match self.put(&layers) {
            Ok(prepared) => {
                tracing::info!(config = %name(&layers), "the Collector reads its config again (SIGHUP)");
                self.health.reloading();
                self.signal(Signal::SIGHUP);
                self.watches += 1;
                if let Some(collector) = &mut self.collector {
                    collector.watch(&prepared.contact, generation, self.watches, self.probes.0.clone());
                }
            }
            Err(why) => {
                let why = format!("its files cannot be put in place: {why}");
                if !self.parts.machine.is_proving() && !self.parts.machine.may_step_back() {
                    tracing::error!("the Collector runs on with the files from before: {why}");
                    self.refused(Some(why.clone()));
                }
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
        self.expect_word(None);
        self.collector_replaced();
        self.parts.instruments.meters.agent_process(None);
        let generation = self.generation;
        let Epitaph { how, blame, snippet } = collector.epitaph(exit).await;
        tracing::info!(%exit, "the Collector ended");
        if let Err(error) = self.parts.journal.forget_process() {
            tracing::debug!(%error, "the process stays written down");
        }
        let mask = self.mask();
        let (how, snippet) = (mask.text(&how), printable(&mask.text(&snippet)));
        self.last_words = (!snippet.is_empty()).then(|| (how.clone(), snippet));
        self.tell(Input::Exited { generation, how, blame });
    }

    /// A reason that tells of the last death, with the end of what the dead one printed.
    pub(super) fn with_last_words(&self, why: String) -> String {
        match &self.last_words {
            Some((how, words)) if why.contains(how.as_str()) && !why.contains(TAIL) => {
                format!("{why}{TAIL}{}", words.trim_end())
            }
            _ => why,
        }
    }

    /// Removes the bodies of configs that nothing refers to any more.
    pub(super) fn tidy(&self) {
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

    fn mode(&mut self, mode: Mode) {
        match &mode {
            Mode::Normal => tracing::info!("the Collector runs what it should again"),
            Mode::Unreached => tracing::warn!("{UNREACHED}"),
            Mode::Safe { why } => {
                tracing::error!("safe mode, the last good config is tried again each minute: {why}")
            }
        }
        let unreached = (mode == Mode::Unreached).then(|| UNREACHED.to_owned());
        self.health.remark("fallback", unreached, wall_nanos());
        self.health.mode(mode);
        self.report_health();
    }

    fn process(&mut self, state: &ProcessState) {
        if let Some(why) = state.failure() {
            tracing::error!("{why}");
        }
        self.measure_process(state);
        self.health.process(state, wall_nanos());
        self.report_health();
    }

    /// Without the opamp extension nobody reports the effective config, so the binary is asked for it.
    pub(super) fn ask_effective_config(&self, generation: Generation, session: u64) {
        let (Some(current), Some(facts)) = (&self.current, &self.parts.outfit.facts) else { return };
        if matches!(current.contact, Contact::Extension { .. }) {
            return;
        }
        let configs = self.parts.live.configs(&current.composed);
        let (binary, gates) = (self.parts.outfit.binary.clone(), facts.feature_gates.clone());
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

fn name(layers: &Layers) -> String {
    match layers {
        Layers::Config(Some(hash)) => hash.to_string(),
        Layers::Config(None) => "the host's own".to_owned(),
        Layers::Fallback => "fallback".to_owned(),
    }
}

/// There is no process.
#[derive(Debug, thiserror::Error)]
enum NotStarted {
    #[error(transparent)]
    NotPut(#[from] NotPut),
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// Nothing is run that was not installed as it is.
    #[error("{0}")]
    Altered(String),
}
