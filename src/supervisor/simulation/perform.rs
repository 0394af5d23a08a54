//! Doing what the machine asks for, as the driver does, and looking that it may ask for it.

use std::time::Duration;

use super::{
    Plant,
    fate::Fate,
    packages::PackageFate,
    world::{Event, Process, World},
};
use crate::{
    supervisor::{
        machine::{
            Blame, CheckToken, Condition, ConfigHash, Effect, Generation, Input, Layers, Mode, Outcome,
            Verdict,
        },
        record,
    },
    wire::proto::{RemoteConfigStatus, RemoteConfigStatuses},
};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn well() -> Condition {
    Condition { well: true, ..Condition::default() }
}

impl World {
    pub(super) fn perform(&mut self) -> Result<(), String> {
        loop {
            while let Some(effect) =
                self.supervisor.as_mut().and_then(|supervisor| supervisor.machine.poll_effect())
            {
                self.note(|| format!("  → {effect:?}"));
                self.perform_one(effect)?;
            }
            if self.perform_package()? {
                continue;
            }
            self.switch_when_free();
            if self.is_idle() {
                break;
            }
        }
        self.something_runs_or_will()
    }

    /// Neither machine asks for anything.
    fn is_idle(&mut self) -> bool {
        let Some(supervisor) = &mut self.supervisor else { return true };
        !supervisor.machine.has_effects() && !supervisor.packages.has_effects()
    }

    /// I1: a supervisor that is not ending has a Collector, or a time at which it gets one.
    fn something_runs_or_will(&self) -> Result<(), String> {
        let Some(supervisor) = &self.supervisor else { return Ok(()) };
        if self.process.is_none() && !supervisor.ending && supervisor.machine.poll_timeout().is_none() {
            return Err(format!("I1: nothing runs and nothing is planned: {:?}", supervisor.machine));
        }
        Ok(())
    }

    fn perform_one(&mut self, effect: Effect) -> Result<(), String> {
        match effect {
            Effect::Check { token, config } => self.check(token, &config),
            Effect::Arm { config } => {
                let Some(supervisor) = &mut self.supervisor else { return Ok(()) };
                record::armed(&mut supervisor.state, &config);
                let armed = self.save();
                self.feed(Input::Armed(armed));
                Ok(())
            }
            Effect::Spawn { generation, layers } => self.spawn(generation, &layers),
            Effect::Reload { generation, config } => self.reload(generation, &Layers::Config(config)),
            Effect::Stop { generation } => {
                if !self.random.percent(5) {
                    let takes = self.random.millis(5, 2_000);
                    self.at(takes, Event::Stopped(generation));
                }
                Ok(())
            }
            Effect::Kill { generation } => {
                self.at(ms(1), Event::Stopped(generation));
                Ok(())
            }
            Effect::Status { config, outcome } => self.status(&config, outcome),
            Effect::Committed { .. } => {
                self.counts.committed += 1;
                self.save_or_later();
                Ok(())
            }
            Effect::Restored | Effect::Paused(_) => {
                self.save_or_later();
                Ok(())
            }
            Effect::Mode(mode) => {
                self.counts.safe += u32::from(matches!(mode, Mode::Safe { .. }));
                Ok(())
            }
            Effect::Process(_) => Ok(()),
            Effect::BinaryProven => {
                self.binary_proven();
                Ok(())
            }
            Effect::BinaryFailed { why, blame } => {
                self.binary_failed(why, blame);
                Ok(())
            }
            Effect::StepBack { .. } => {
                self.step_back();
                self.feed(Input::SteppedBack);
                Ok(())
            }
            Effect::Finished => self.finished(),
        }
    }

    /// Without doing yet what the machine asks for.
    pub(super) fn feed(&mut self, input: Input) {
        let now = self.now;
        if let Some(supervisor) = &mut self.supervisor {
            supervisor.machine.handle(input, now);
        }
    }

    fn check(&mut self, token: CheckToken, config: &ConfigHash) -> Result<(), String> {
        if self.files.as_ref() == Some(&Layers::Config(Some(config.clone()))) {
            self.feed(Input::Checked { token, verdict: Verdict::Same });
            return Ok(());
        }
        let takes = self.random.millis(5, 400);
        let verdict = match Fate::of(config.0[0]) {
            Fate::Refused => Verdict::Refused("wrong".to_owned()),
            Fate::KillsTheChecker => {
                self.at(takes, Event::SupervisorDies);
                return Ok(());
            }
            _ if !self.disk.works => Verdict::Unable("the disk is full".to_owned()),
            _ if self.random.percent(70) => Verdict::Contents,
            _ => Verdict::Files,
        };
        self.at(takes, Event::Checked(token, verdict));
        Ok(())
    }

    fn spawn(&mut self, generation: Generation, layers: &Layers) -> Result<(), String> {
        if let Some(process) = &self.process {
            return Err(format!("I2: {generation:?} is started while {process:?} runs"));
        }
        self.not_quarantined(layers)?;
        self.may_be_run(self.store.program)?;
        self.lives_of_config += 1;
        let life = self.lives_of_config;
        self.files = Some(layers.clone());
        self.process = Some(Process { generation, layers: layers.clone(), life, heard: false, well: false });
        self.live_out(generation, life, layers);
        Ok(())
    }

    fn reload(&mut self, generation: Generation, layers: &Layers) -> Result<(), String> {
        self.counts.reloads += 1;
        self.files = Some(layers.clone());
        self.not_quarantined(layers)?;
        self.lives_of_config += 1;
        let life = self.lives_of_config;
        match &mut self.process {
            Some(process) if process.generation == generation && process.heard => {
                (process.layers, process.life, process.well) = (layers.clone(), life, false);
            }
            other => return Err(format!("F-109: SIGHUP for {generation:?} to {other:?}")),
        }
        self.live_out(generation, life, layers);
        Ok(())
    }

    /// I5: what failed for good on this host is not run on it again.
    fn not_quarantined(&self, layers: &Layers) -> Result<(), String> {
        let (Layers::Config(Some(config)), Some(supervisor)) = (layers, &self.supervisor) else {
            return Ok(());
        };
        let failed = self.failed.contains(&(supervisor.host.clone(), config.clone()));
        if failed && self.options.rollback {
            return Err(format!("I5: {config} failed for good, and runs again"));
        }
        Ok(())
    }

    /// What becomes of a Collector on these layers.
    fn live_out(&mut self, generation: Generation, life: u64, layers: &Layers) {
        let fate = match layers {
            Layers::Fallback => Fate::Good,
            Layers::Config(_) if self.host_broken => Fate::EndsAtOnce,
            Layers::Config(None) => Fate::Good,
            Layers::Config(Some(config)) => Fate::of(config.0[0]),
        };
        let up = self.random.millis(20, 2_000);
        if self.live_out_program(generation, life, up) {
            return;
        }
        let says = |condition| Event::Says(generation, life, condition);
        let ends = |blame| Event::Ends(generation, life, blame);
        match fate {
            Fate::Good | Fate::Refused | Fate::KillsTheChecker => self.at(up, says(well())),
            Fate::PortTaken if self.calm => self.at(up, says(well())),
            Fate::PortTaken => self.at(up, ends(Blame::Host)),
            Fate::EndsAtOnce => self.at(up, ends(Blame::Config)),
            Fate::Ends(after) => {
                self.at(up, says(well()));
                self.at(up + after, ends(Blame::Config));
            }
            Fate::NeverHealthy => {
                let why = "not yet".to_owned();
                self.at(up, says(Condition { why, ..Condition::default() }));
            }
            Fate::Sick(after) => {
                self.at(up, says(well()));
                // One of its own: what was broken before a switch would not count after it.
                let faults = [format!("exporter: broken by {layers:?}")].into();
                self.at(up + after, says(Condition { faults, ..Condition::default() }));
            }
            Fate::Hangs(after) => {
                self.at(up, says(well()));
                self.at(up + after, Event::Silent(generation, life));
            }
            Fate::KillsTheSwitcher => self.at(up, Event::SupervisorDies),
            Fate::KillsTheWatcher => {
                self.at(up, says(well()));
                self.at(up + ms(2_000), Event::SupervisorDies);
            }
        }
    }

    /// What the program makes of itself, whatever it is given; not all of them are bad.
    fn live_out_program(&mut self, generation: Generation, life: u64, up: Duration) -> bool {
        let Some(program) = self.store.program else { return false };
        let tried = self.supervisor.as_ref().is_some_and(|supervisor| supervisor.machine.tries_binary());
        let ends = Event::Ends(generation, life, Blame::Config);
        match PackageFate::of(program) {
            PackageFate::EndsAtOnce => self.at(up, ends),
            PackageFate::Ends(after) => {
                self.at(up, Event::Says(generation, life, well()));
                self.at(up + after, ends);
            }
            PackageFate::NeverHealthy => {
                let why = "not yet".to_owned();
                self.at(up, Event::Says(generation, life, Condition { why, ..Condition::default() }));
            }
            PackageFate::Lies => self.at(up, Event::Lies(generation)),
            PackageFate::KillsTheWatcher if tried => self.at(up, Event::SupervisorDies),
            _ => return false,
        }
        true
    }

    fn status(&mut self, config: &ConfigHash, outcome: Outcome) -> Result<(), String> {
        let Some(supervisor) = &mut self.supervisor else { return Ok(()) };
        let for_good = matches!(outcome, Outcome::Failed(_));
        self.counts.applied += u32::from(outcome == Outcome::Applied);
        self.counts.failed += u32::from(for_good);
        self.counts.undone +=
            u32::from(matches!(&outcome, Outcome::Failed(why) if why.starts_with("after it was")));
        record::outcome(&mut supervisor.state, config, outcome);
        let host = supervisor.host.clone();
        if self.save().is_ok() && for_good {
            self.failed.insert((host, config.clone()));
        }
        self.report_status()
    }

    /// The same rule as the driver's: applied is said once it is on disk.
    pub(super) fn report_status(&mut self) -> Result<(), String> {
        let Some(supervisor) = &self.supervisor else { return Ok(()) };
        let mut told = record::remote_config_status(&supervisor.state);
        let hides = self.options.plant != Some(Plant::SaysAppliedBeforeItIsOnDisk);
        if supervisor.unsaved && hides && told.status == RemoteConfigStatuses::Applied as i32 {
            told.status = RemoteConfigStatuses::Applying as i32;
        }
        self.note(|| format!("     told {:?} {:?}", told.last_remote_config_hash, told.status));
        self.is_durable(&told)?;
        self.told = Some(told);
        Ok(())
    }

    /// I6: applied is on disk before it is said.
    fn is_durable(&self, told: &RemoteConfigStatus) -> Result<(), String> {
        let disk = &self.disk.state.config;
        let durable = record::remote_config_status(&self.disk.state) == *told
            && disk.live.as_ref().is_some_and(|live| live.0 == told.last_remote_config_hash);
        if told.status == RemoteConfigStatuses::Applied as i32 && !durable {
            return Err(format!("I6: {told:?} is said while {disk:?} is on disk"));
        }
        Ok(())
    }

    pub(super) fn save_or_later(&mut self) {
        let _ = self.save();
    }

    pub(super) fn save(&mut self) -> Result<(), String> {
        let Some(supervisor) = &mut self.supervisor else { return Ok(()) };
        record::follow(&mut supervisor.state, &supervisor.machine, &supervisor.host);
        supervisor.state.packages = supervisor.packages.record().clone();
        let written = self.disk.write(&supervisor.state);
        let again = written.is_err() && !supervisor.unsaved;
        supervisor.unsaved = written.is_err();
        if again {
            self.counts.unsaved += 1;
            self.at(Duration::from_secs(1), Event::SaveAgain);
        }
        written
    }

    pub(super) fn save_again(&mut self) -> Result<(), String> {
        let Some(supervisor) = &mut self.supervisor else { return Ok(()) };
        if !supervisor.unsaved {
            return Ok(());
        }
        if self.save().is_ok() {
            return self.report_status();
        }
        self.at(Duration::from_secs(1), Event::SaveAgain);
        Ok(())
    }

    /// It ended as it was asked to, and is started again a little later.
    fn finished(&mut self) -> Result<(), String> {
        if let Some(supervisor) = &mut self.supervisor {
            record::calm(&mut supervisor.state);
            supervisor.packages.calm();
        }
        self.save_or_later();
        if self.process.is_some() {
            return Err("F-85: the supervisor ends and its Collector runs".to_owned());
        }
        self.kill_supervisor();
        Ok(())
    }
}
