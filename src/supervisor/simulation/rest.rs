//! Once the world has calmed down, everything must be in order within bounded time, without a person (I4).

use std::time::Duration;

use super::{
    fate::Fate,
    world::{Event, World, hash},
};
use crate::{
    supervisor::machine::{ConfigHash, Input, Layers},
    wire::proto::RemoteConfigStatuses,
};

/// Longer than anything takes to come to rest.
const LONG: Duration = Duration::from_secs(3600);

impl World {
    pub(super) fn come_to_rest(&mut self) -> Result<(), String> {
        self.note(|| "the world calms down".to_owned());
        self.calm = true;
        self.disk.works = true;
        if self.host_broken {
            self.newest_host += 1;
            (self.host, self.host_broken) = (self.newest_host, false);
        }
        self.at(Duration::from_millis(5), Event::SupervisorStarts);
        let end = self.now + LONG;
        for quarter in 1..=4 {
            // An offer repeated: what the host stood in the way of is tried again.
            self.at(Duration::from_secs(1), Event::Offers);
            self.at(Duration::from_secs(1), Event::OffersPackage);
            self.pass_until(end - LONG / 4 * (4 - quarter))?;
            self.tell(Input::Resume)?;
        }
        self.is_in_order()
    }

    fn pass_until(&mut self, end: Duration) -> Result<(), String> {
        let mut steps = 0;
        while self.next_at().is_some_and(|next| next < end) {
            steps += 1;
            if steps > 20_000 {
                return Err("I4: no rest: too much happens".to_owned());
            }
            self.advance()?;
        }
        self.now = end;
        Ok(())
    }

    fn is_in_order(&self) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("I4: {what}: {self:#?}"));
        let Some(supervisor) = &self.supervisor else { return wrong("no supervisor runs") };
        let Some(process) = &self.process else {
            return if self.options.rollback { wrong("no Collector runs") } else { Ok(()) };
        };
        if !self.options.rollback {
            return Ok(());
        }
        let machine = &supervisor.machine;
        if !process.well || process.layers != Layers::Config(machine.live().clone()) {
            return wrong("the Collector does not run well on the config in force");
        }
        if machine.live() != machine.last_good() || machine.applying().is_some() {
            return wrong("the config in force has not proven itself");
        }
        if supervisor.unsaved || self.disk.state.config.live != *machine.live() {
            return wrong("what runs is not on disk");
        }
        self.packages_are_in_order()?;
        self.server_knows(machine.live().as_ref())
    }

    fn server_knows(&self, live: Option<&ConfigHash>) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("I4: {what}: {self:#?}"));
        let Some(desired) = self.desired else { return Ok(()) };
        let named = self.told.as_ref().is_some_and(|told| told.last_remote_config_hash == [desired]);
        if !named {
            return wrong("the server does not know how it went with its config");
        }
        let failed = self.failed.contains(&(self.host.to_string(), hash(desired)));
        let applied = self.is_told(RemoteConfigStatuses::Applied);
        if failed {
            if applied || live == Some(&hash(desired)) {
                return wrong("a config that failed is in force");
            }
            return if self.is_told(RemoteConfigStatuses::Failed) {
                Ok(())
            } else {
                wrong("its end is not told")
            };
        }
        if !Fate::of(desired).lasts() {
            return wrong("a bad config did not fail");
        }
        if applied && live == Some(&hash(desired)) { Ok(()) } else { wrong("a good config is not applied") }
    }
}
