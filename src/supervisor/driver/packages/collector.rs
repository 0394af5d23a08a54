//! The switch to another Collector, and back.
//!
//! Whether it proves itself is [`machine`](crate::supervisor::machine)'s to say; here are its outfit, its facts on disk, and
//! the way back as long as that may be wanted.

use std::path::PathBuf;

use super::{AtHand, Back, Driver, Fit, OnTrial, condemned, lost::Wanted, put_off, refused};
use crate::{
    os::clock,
    supervisor::{
        control::Answer,
        driver::way_back::Before,
        machine::{Blame, Input, Outcome},
        record,
        setup::{Outfit, binary_rules},
        upgrade::{Kind, Work, machine::Finished, machine::Input as Told, machine::Token, version},
    },
    wire::{attrs, proto::AgentDescription},
};

impl Driver {
    /// It is on disk that it is on trial. The switch waits until nothing else is on its way.
    pub(super) fn begin_trial(&mut self, token: Token, work: &Work) {
        let Some(held) = &work.made else {
            return self.stage_done(token, Err(put_off("it is not unpacked")));
        };
        let version = held.version.clone();
        if self.parts.machine.tries_binary() {
            // It was on trial when the supervisor started.
            let back = self.parts.back.take().map(|outfit| self.as_it_is_with(outfit));
            let back = Back::Collector(back.unwrap_or_else(|| self.as_it_is()));
            self.shelf.trial = Some(OnTrial { token, version, back });
            return;
        }
        if matches!(self.shelf.at_hand, AtHand::Fit(_)) {
            self.switch_when_free();
        } else {
            self.stage_done(token, Err(put_off("what was asked of it is not known")));
        }
    }

    /// Called at each turn: switches as soon as nothing stands in the way.
    pub(in crate::supervisor::driver) fn switch_when_free(&mut self) {
        let ready = matches!(self.shelf.at_hand, AtHand::Fit(_)) && !self.stopping;
        let Some(work) = self.shelf.machine.record().work.clone().filter(|_| ready) else { return };
        let on_trial = self.shelf.machine.record().trial.is_some();
        if !on_trial || !self.may_change_host() || self.telemetry.is_checking() {
            return;
        }
        let AtHand::Fit(fit) = std::mem::take(&mut self.shelf.at_hand) else { return };
        let token = self.shelf.machine.token();
        if fit.with != *self.parts.machine.live() {
            tracing::info!("another config is in force: the new Collector is asked about that one");
            return self.ask_again(token, &work);
        }
        self.switch(token, &work, *fit);
    }

    fn ask_again(&mut self, token: Token, work: &Work) {
        self.begin_preflight(token, work);
    }

    fn switch(&mut self, token: Token, work: &Work, fit: Fit) {
        let version = work.made.as_ref().map(|made| made.version.clone()).unwrap_or_default();
        tracing::info!(package = work.name, version, "the Collector is switched to the new one, on trial");
        let back = Back::Collector(self.as_it_is());
        self.shelf.trial = Some(OnTrial { token, version, back });
        let Fit { outfit, prepared, .. } = fit;
        self.equip(outfit);
        self.current = None;
        self.candidate = Some(prepared);
        self.outfit_changed();
        self.tell(Input::SwitchBinary(binary_rules(&self.parts.config.packages)));
    }

    /// Whoever is told something about the binary is told anew.
    fn outfit_changed(&mut self) {
        self.follow_rules();
        self.describe();
        self.report_components();
        self.look_at_host();
    }

    /// The Collector says who it is.
    pub(in crate::supervisor::driver) fn look_at_version(&mut self, said: &AgentDescription) {
        let Some(OnTrial { version: expected, back: Back::Collector(_), .. }) = &self.shelf.trial else {
            return;
        };
        let Some(said) = attrs::get(&said.identifying_attributes, "service.version") else {
            return;
        };
        // A distribution may say of itself what it wants; only a version can be the wrong one.
        if version(&said).is_some_and(|said| Some(said) != version(expected)) {
            let why =
                format!("the new Collector says that it is version {said}, and the package is {expected}");
            self.tell(Input::BinaryWrong { why });
        }
    }

    pub(in crate::supervisor::driver) fn binary_proven(&mut self) {
        let Some(OnTrial { token, version, back }) = self.shelf.trial.take() else { return };
        tracing::info!(version, "the trial is over: the new one has proven itself");
        if let Back::AddOn(name) = &back {
            tracing::info!(package = name, "the Collector is well with the add-on");
        }
        let at = clock::wall_millis() / 1000;
        self.stage_done(token, Ok(Finished::Proven { at }));
        self.calm_down();
        self.try_failed_config_again();
    }

    /// The one before is there again before the machine starts it.
    pub(in crate::supervisor::driver) fn binary_failed(&mut self, why: &str, blame: Blame) {
        let Some(OnTrial { token, back, .. }) = self.shelf.trial.take() else {
            tracing::error!("there is no way back: {why}");
            return self.tell(Input::BinarySteppedBack);
        };
        // The Collector's last words may repeat what it was given.
        let why = self.with_last_words(self.mask().text(why));
        let to = match back {
            Back::Collector(before) => self.back_to(*before),
            Back::AddOn(name) => self.add_on_back(&name),
        };
        let why = format!("{why}; {to}");
        let failed = match blame {
            Blame::Config => condemned(why),
            // A try stops the Collector, so it waits to be asked for.
            Blame::Outside | Blame::Host => refused(why),
        };
        self.tell(Input::BinarySteppedBack);
        self.stage_done(token, Err(failed));
    }

    /// What runs again, in words.
    fn back_to(&mut self, before: Before) -> String {
        self.outfit_back(before);
        self.outfit_changed();
        let version = self.parts.outfit.facts.as_ref().map(|facts| facts.version.clone()).unwrap_or_default();
        format!("rolled back to the Collector {version} from before")
    }

    /// A person on the host wants the Collector before.
    pub(in crate::supervisor::driver) async fn roll_back_package(&mut self) -> Answer {
        const WHY: &str = "rolled back by a person on the host";
        if self.parts.machine.tries_binary() {
            self.tell(Input::RollBack);
            self.perform().await;
            return Answer::Done {
                said: format!("the trial is ended, {} runs again", self.running_version()),
            };
        }
        if !self.may_change_host() {
            let why = "something else is on its way to the Collector; try again when that is done".to_owned();
            return Answer::Refused { why };
        }
        let Some(before) = self.shelf.machine.record().before.clone() else {
            return Answer::Refused { why: "there is no Collector to go back to".to_owned() };
        };
        let program = match &before.binary {
            Some((name, held)) => match self.shelf.places.program(name, held) {
                Ok(program) => Wanted::Installed(program),
                Err(error) => {
                    return Answer::Refused { why: format!("the Collector before cannot be run: {error}") };
                }
            },
            None => Wanted::Local(self.parts.config.agent.executable.clone()),
        };
        let from = self.running_version();
        let outfit = match self.outfit_of(&program).await {
            Ok(outfit) => outfit,
            Err(why) => return Answer::Refused { why: format!("the Collector before cannot be run: {why}") },
        };
        tracing::warn!("a person on the host goes back from the Collector {from} to the one before");
        self.tell_packages(Told::WentBack { why: WHY.to_owned() });
        self.run_for_good(outfit);
        self.perform().await;
        Answer::Done { said: format!("back from {from} to {}{}", self.running_version(), self.not_on_disk()) }
    }

    /// The Collector is another one from here on, without a trial.
    pub(super) fn run_for_good(&mut self, outfit: Outfit) {
        self.equip(outfit);
        self.current = None;
        self.candidate = None;
        self.outfit_changed();
        self.tell(Input::BinaryRestored);
    }

    fn running_version(&self) -> String {
        let facts = self.parts.outfit.facts.as_ref();
        facts.map_or_else(
            || "the Collector".to_owned(),
            |facts| format!("{} {}", facts.command, facts.version),
        )
    }

    /// The Collector that is a package, if it is one.
    pub(in crate::supervisor::driver) fn packaged_program(&self) -> Option<PathBuf> {
        let program = &self.parts.outfit.binary.executable;
        self.shelf.places.has(program).then(|| program.clone())
    }

    /// A config that failed with the binary before may do with this one.
    fn try_failed_config_again(&mut self) {
        let Some(last) = &self.parts.state.config.status else { return };
        let (hash, failed) = (last.hash.clone(), matches!(last.outcome, Outcome::Failed(_)));
        if failed && !self.parts.machine.is_quarantined(&hash) && self.parts.journal.configs.is_stored(&hash)
        {
            tracing::info!(config = %hash, "the config that failed before is tried with the new Collector");
            self.tell(Input::Offer(hash));
        }
    }

    /// What is known of the binary is kept for the next start.
    pub(in crate::supervisor::driver) fn keep_outfit_facts(&mut self) {
        if let Some(facts) = &self.parts.outfit.facts {
            record::keep_facts(&mut self.parts.state, &self.parts.outfit.identity, facts);
        }
        self.save_or_later();
    }

    /// Whether a package is on its way that a config which comes now may be for.
    pub(super) fn awaits_package(&self) -> bool {
        let work = self.shelf.machine.record().work.as_ref();
        work.is_some_and(|work: &Work| work.offered.kind != Kind::Supervisor)
    }
}
