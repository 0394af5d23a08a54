//! Which Collector is run: the one of `agent.executable`, or a package; and what that is.

use std::path::{Path, PathBuf};

use super::{Start, StartError};
use crate::{
    collector::{binary::BinaryIdentity, bootstrap::Facts},
    supervisor::{
        record,
        setup::{self, LearnError, Outfit},
        upgrade::{Beginning, Held, Places},
    },
};

/// What is run, and what it is.
pub(super) struct Chosen {
    pub(super) program: PathBuf,
    pub(super) identity: BinaryIdentity,
    pub(super) facts: Option<Facts>,
    /// On trial: what is gone back to.
    pub(super) back: Option<Box<Chosen>>,
}

impl Start {
    /// Decides what runs, and learns what it is. A package whose files are not what was installed is not run (F-20,
    /// F-21); one on trial only when it is on disk that it is tried once more.
    pub(super) async fn choose(&mut self) -> Result<Chosen, StartError> {
        self.recover_lost();
        loop {
            match self.state.packages.begin() {
                Beginning::Local => {
                    let program = self.config.agent.executable.clone();
                    return self.learn(program, None).await;
                }
                Beginning::Installed(held) => match self.intact(&held) {
                    Ok((program, identity)) => return self.learn(program, Some(identity)).await,
                    Err(why) => {
                        tracing::error!("the installed Collector {} is not run: {why}", held.version);
                        self.state.packages.lose_collector(&why);
                        self.keep();
                    }
                },
                Beginning::OnTrial(held) => {
                    if let Some(chosen) = self.choose_on_trial(&held).await? {
                        return Ok(chosen);
                    }
                }
            }
        }
    }

    /// The state was lost, and what it named is there.
    fn recover_lost(&mut self) {
        if !self.state.packages.is_unused() {
            return;
        }
        if let Some((name, held)) = Places::of(&self.storage).newest_collector() {
            tracing::warn!(
                "what is installed was forgotten; the Collector {}, the newest that is whole, is taken up again",
                held.version
            );
            self.state.packages.held.insert(name, held);
        }
    }

    async fn choose_on_trial(&mut self, held: &Held) -> Result<Option<Chosen>, StartError> {
        let kept = self.journal.commit(&self.state).map_err(|error| error.to_string());
        let intact = kept.and_then(|()| self.intact(held));
        match intact {
            Ok((program, identity)) => {
                tracing::warn!("the Collector {} is still on trial", held.version);
                // First what is gone back to: what is learnt last is what is kept as the one that runs.
                let back = Box::pin(self.choose_in_force()).await?;
                let mut chosen = self.learn(program, Some(identity)).await?;
                chosen.back = Some(Box::new(back));
                Ok(Some(chosen))
            }
            Err(why) => {
                tracing::error!("the trial of the Collector {} does not go on: {why}", held.version);
                self.state.packages.put_trial_off();
                Ok(None)
            }
        }
    }

    /// What runs if nothing is on trial.
    async fn choose_in_force(&mut self) -> Result<Chosen, StartError> {
        let trial = self.state.packages.trial.take();
        let chosen = self.choose().await;
        self.state.packages.trial = trial;
        chosen
    }

    /// What runs, and on trial what is gone back to, with all that follows from what they are.
    pub(super) fn equip(&self, chosen: Chosen, local: &str) -> Result<(Outfit, Option<Outfit>), StartError> {
        let Chosen { program, identity, facts, back } = chosen;
        let outfit = Outfit::new(&self.config.agent, &program, identity, facts, local, &self.storage)?;
        let back = back.map(|back| self.equip(*back, local)).transpose()?;
        Ok((outfit, back.map(|(outfit, _)| outfit)))
    }

    fn intact(&self, held: &Held) -> Result<(PathBuf, BinaryIdentity), String> {
        let name = self.state.packages.name_of(held);
        let program = Places::of(&self.storage).program(&name, held).map_err(|error| error.to_string())?;
        let known = [&self.state.agent, &self.state.agent_before];
        let known =
            known.into_iter().flatten().map(record::identity).find(|known| known.sha256 == program.sha256);
        let identity =
            BinaryIdentity::of(&program.path, known.as_ref()).map_err(|error| error.to_string())?;
        if identity.sha256 == program.sha256 {
            return Ok((program.path, identity));
        }
        Err(format!("{} is not what was installed", program.path.display()))
    }

    /// What the binary is, from the cache when the file has not changed. A binary that does not answer is run
    /// all the same: its own words at the start say more.
    async fn learn(
        &mut self,
        program: PathBuf,
        identity: Option<BinaryIdentity>,
    ) -> Result<Chosen, StartError> {
        let identity = match identity {
            Some(identity) => identity,
            None => self.identity(&program)?,
        };
        if let Some(facts) = record::facts_of(&self.state, &identity.sha256) {
            return Ok(Chosen { program, identity, facts: Some(facts), back: None });
        }
        let facts = match setup::learn(&self.config.agent, &program, &self.storage).await {
            Ok(facts) => {
                record::keep_facts(&mut self.state, &identity, &facts);
                self.keep();
                Some(facts)
            }
            Err(LearnError::Scratch(error)) => return Err(StartError::Storage(error)),
            Err(LearnError::Sandbox(error)) => return Err(error.into()),
            Err(LearnError::Bootstrap(error)) => {
                tracing::error!(
                    "agent.executable does not say what it is: {error}; it is started without checks of components"
                );
                None
            }
        };
        Ok(Chosen { program, identity, facts, back: None })
    }

    fn identity(&self, program: &Path) -> Result<BinaryIdentity, StartError> {
        let known = self.state.agent.as_ref().map(record::identity);
        BinaryIdentity::of(program, known.as_ref()).map_err(StartError::Executable)
    }

    fn keep(&mut self) {
        if let Err(error) = self.journal.commit(&self.state) {
            tracing::warn!("what the Collector's binary is cannot be kept for the next start: {error}");
        }
    }
}
