//! A Collector whose files are gone or altered: it is not run, what was before is, and it is fetched again (F-20, F-21).

use std::path::{Path, PathBuf};

use super::{Driver, Told, What};
use crate::{
    collector::binary::BinaryIdentity,
    supervisor::{
        config::AgentConfig,
        driver::wall_nanos,
        setup::{self, LearnError, Outfit},
        upgrade::{Beginning, Places, Program, Record, Rules, machine::Packages, machine::Token},
    },
};

/// A Collector that is to be run without a trial.
pub(super) enum Wanted {
    /// That of `agent.executable`, whatever it is.
    Local(PathBuf),
    Installed(Program),
}

impl Driver {
    /// Whether the program is still the one that was installed. That of `agent.executable` is whatever it is.
    pub(in crate::supervisor::driver) fn altered(&self) -> Option<String> {
        let program = self.packaged_program()?;
        let known = &self.parts.outfit.identity;
        match BinaryIdentity::of(&program, Some(known)) {
            Ok(now) if now.sha256 == known.sha256 => None,
            Ok(_) => Some(format!("{} is not what was installed", program.display())),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Looks beside for what can be run in its place.
    pub(in crate::supervisor::driver) fn replace_lost(&mut self, why: &str) {
        if self.parts.machine.tries_binary() || self.shelf.recovering {
            return;
        }
        self.shelf.recovering = true;
        tracing::error!("the installed Collector is not run, the one before is: {why}");
        self.health.remark(
            "packages",
            Some(format!("the installed Collector is not run: {why}")),
            wall_nanos(),
        );
        let mut record = self.shelf.machine.record().clone();
        let found = record.lose_collector(why);
        self.adopt_record(record);
        let program = self.program_of(&found);
        let (agent, storage) = (self.parts.config.agent.clone(), self.parts.storage.clone());
        let (local, tell) = (self.parts.endpoint.url().to_owned(), self.shelf.told.0.clone());
        tokio::spawn(async move {
            let found = outfit(&agent, &program, &local, &storage).await;
            // The driver is gone only when everything ends.
            let _ = tell.send(Told { token: Token(0), what: What::Recovered(Box::new(found)) }).await;
        });
    }

    fn program_of(&self, found: &Beginning) -> Wanted {
        let held = match found {
            Beginning::Local => None,
            Beginning::Installed(held) | Beginning::OnTrial(held) => Some(held),
        };
        let record = self.shelf.machine.record();
        let program = held.and_then(|held| self.shelf.places.program(&record.name_of(held), held).ok());
        program.map_or_else(|| Wanted::Local(self.parts.config.agent.executable.clone()), Wanted::Installed)
    }

    /// The machine goes on from another record.
    fn adopt_record(&mut self, record: Record) {
        let config = &self.parts.config;
        let rules: Rules = super::rules(config.capabilities.accepts_packages, &config.packages);
        let version = self.parts.outfit.facts.as_ref().map(|facts| facts.version.clone());
        self.shelf.drop_work();
        self.shelf.machine = Packages::new(rules, record, version, self.parts.machine.is_paused());
        self.take_up_packages();
        self.packages_changed();
    }

    pub(super) fn recovered(&mut self, found: Result<Outfit, String>) {
        self.shelf.recovering = false;
        match found {
            Ok(outfit) => self.run_for_good(outfit),
            Err(why) => tracing::error!("there is no other Collector to run: {why}"),
        }
    }

    pub(super) async fn outfit_of(&self, program: &Wanted) -> Result<Outfit, String> {
        let local = self.parts.endpoint.url().to_owned();
        outfit(&self.parts.config.agent, program, &local, &self.parts.storage).await
    }
}

/// What a program is, asked anew; what was installed is looked at first (I3).
async fn outfit(
    agent: &AgentConfig,
    program: &Wanted,
    local: &str,
    storage: &Path,
) -> Result<Outfit, String> {
    let (path, expected) = match program {
        Wanted::Local(path) => (path, None),
        Wanted::Installed(Program { path, sha256 }) => (path, Some(sha256)),
    };
    let identity = BinaryIdentity::of(path, None).map_err(|error| error.to_string())?;
    if expected.is_some_and(|expected| *expected != identity.sha256) {
        return Err(format!("{} is not what was installed", path.display()));
    }
    let facts = match setup::learn(agent, path, storage).await {
        Ok(facts) => Some(facts),
        Err(LearnError::Bootstrap(error)) => {
            tracing::error!("{} does not say what it is: {error}", path.display());
            None
        }
        Err(error) => return Err(error.to_string()),
    };
    Outfit::new(agent, path, identity, facts, local, storage).map_err(|error| error.to_string())
}

/// The record of a start, as the machine takes it up.
pub(in crate::supervisor) fn shelf(
    rules: Rules,
    record: Record,
    running: Option<String>,
    paused: bool,
    storage: &Path,
) -> super::Shelf {
    super::Shelf::new(Packages::new(rules, record, running, paused), Places::of(storage))
}
