//! What is done to the supervisor before the world calms down.

use std::time::Duration;

use super::{
    packages::ARTEFACTS,
    world::{CONFIGS, World},
};
use crate::supervisor::{
    machine::{Blame, Input, Refresh},
    record,
};

/// So many numbers stand for something, the likelier things for several.
pub(super) const KINDS: u64 = 24;

impl World {
    pub(super) fn harm(&mut self, what: u64) -> Result<(), String> {
        match what {
            0..=4 => {
                self.desired = Some(u8::try_from(self.random.below(CONFIGS)).unwrap_or_default());
                self.offer()
            }
            5 | 6 => self.offer(),
            7 | 8 => match &self.process {
                Some(process) => {
                    let generation = process.generation;
                    self.note(|| "somebody kills the Collector".to_owned());
                    self.ended(generation, Blame::Outside)
                }
                None => Ok(()),
            },
            9 | 10 if self.options.kills_supervisor => {
                self.kill_supervisor();
                Ok(())
            }
            11 | 12 if self.options.breaks_disk => {
                self.disk.works = !self.disk.works;
                self.note(|| format!("the disk works: {}", self.disk.works));
                Ok(())
            }
            13 if self.options.changes_host => {
                self.newest_host += 1;
                self.host = self.newest_host;
                self.host_broken = self.random.percent(40);
                self.note(|| format!("the host is another one, broken: {}", self.host_broken));
                Ok(())
            }
            13 => self.reload_host(),
            14 => self.tell(Input::Restart),
            15 => self.tell(Input::RollBack),
            16 => self.tell(Input::Pause),
            17 => self.tell(Input::Resume),
            18 => {
                let pause = self.random.millis(1_000, 3_600_000);
                self.note(|| format!("the host sleeps for {pause:?}"));
                self.sleep(pause)
            }
            19..=21 => {
                self.store.wanted = Some(u8::try_from(self.random.below(ARTEFACTS)).unwrap_or_default());
                self.offer_package()
            }
            22 => {
                self.store.wanted = None;
                self.offer_package()
            }
            _ => self.ask_to_end(),
        }
    }

    /// The whole host is suspended: time goes on, and nothing else does.
    fn sleep(&mut self, pause: Duration) -> Result<(), String> {
        self.now += pause;
        self.agenda.iter_mut().for_each(|(at, _)| *at += pause);
        self.feed(Input::Slept(pause));
        self.timer()
    }

    /// A person edits what the host adds, and has it read again.
    fn reload_host(&mut self) -> Result<(), String> {
        if !self.supervisor.as_ref().is_some_and(|supervisor| supervisor.machine.is_at_rest()) {
            return Ok(());
        }
        self.host_before = Some((self.host, self.host_broken));
        self.newest_host += 1;
        (self.host, self.host_broken) = (self.newest_host, self.random.percent(50));
        self.files = None;
        self.note(|| format!("another host's part is read, broken: {}", self.host_broken));
        self.look_at_host()?;
        let refresh = if self.random.percent(50) { Refresh::Contents } else { Refresh::Process };
        self.tell(Input::Refresh(refresh))
    }

    /// The host's part from before is in force again.
    pub(super) fn step_back(&mut self) {
        if let Some((host, broken)) = self.host_before.take() {
            (self.host, self.host_broken) = (host, broken);
            self.files = None;
            let Some(supervisor) = &mut self.supervisor else { return };
            supervisor.host = host.to_string();
            let failed = record::failures(&supervisor.state, &supervisor.host);
            self.feed(Input::HostChanged { failed });
        }
    }

    fn ask_to_end(&mut self) -> Result<(), String> {
        if let Some(supervisor) = &mut self.supervisor {
            supervisor.ending = true;
            return self.tell(Input::Shutdown);
        }
        Ok(())
    }
}
