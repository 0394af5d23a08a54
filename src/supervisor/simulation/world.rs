//! The world around one supervisor: time, its Collector, its server, its disk, and everything that happens to
//! them. What must hold at every step is checked here and in `perform`.

use std::{cell::RefCell, collections::BTreeSet, time::Duration};

use super::{
    Counts,
    disk::Disk,
    fate::{Fate, Options, Random},
    packages::Store,
};
use crate::{
    supervisor::{
        journal::State,
        machine::{
            Blame, CheckToken, Condition, ConfigHash, Generation, Input, Layers, Machine, ReloadRule,
            Rollback, Settings, Verdict,
        },
        record,
        upgrade::{
            Failed,
            machine::{Finished, Packages, Token},
        },
    },
    wire::proto::{RemoteConfigStatus, RemoteConfigStatuses},
};

/// Configs are named by one byte.
pub(super) const CONFIGS: u64 = 32;

pub(super) fn hash(config: u8) -> ConfigHash {
    ConfigHash(vec![config])
}

/// Something that will happen. What is about a process names its generation and the life of its config.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Checked(CheckToken, Verdict),
    Says(Generation, u64, Condition),
    Silent(Generation, u64),
    /// It ends by itself.
    Ends(Generation, u64, Blame),
    /// It ends as it was asked to.
    Stopped(Generation),
    SaveAgain,
    SupervisorDies,
    SupervisorStarts,
    /// It says that it is another version than the one installed.
    Lies(Generation),
    /// A stage of a package comes to its end.
    Stage(Token, u8, Result<Finished, Failed>),
    /// The server sends what it wants.
    Offers,
    OffersPackage,
}

/// The Collector's process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) generation: Generation,
    pub(super) layers: Layers,
    /// The life of its config; grows with each reload.
    pub(super) life: u64,
    pub(super) heard: bool,
    pub(super) well: bool,
}

/// A supervisor at work.
#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) machine: Machine,
    pub(super) packages: Packages,
    pub(super) state: State,
    pub(super) host: String,
    pub(super) unsaved: bool,
    pub(super) ending: bool,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) options: Options,
    pub(super) random: Random,
    pub(super) now: Duration,
    pub(super) disk: Disk,
    pub(super) supervisor: Option<Supervisor>,
    pub(super) process: Option<Process>,
    /// What the files that the Collector reads are made from.
    pub(super) files: Option<Layers>,
    pub(super) agenda: Vec<(Duration, Event)>,
    pub(super) desired: Option<u8>,
    pub(super) told: Option<RemoteConfigStatus>,
    /// What the host is like; its own layers end the Collector while it is broken.
    pub(super) host: u32,
    pub(super) newest_host: u32,
    pub(super) host_broken: bool,
    /// What can be gone back to after a reload.
    pub(super) host_before: Option<(u32, bool)>,
    /// What was said to have failed for good, on which host.
    pub(super) failed: BTreeSet<(String, ConfigHash)>,
    pub(super) lives_of_config: u64,
    pub(super) calm: bool,
    pub(super) counts: Counts,
    pub(super) store: Store,
    story: Option<RefCell<Vec<String>>>,
}

impl World {
    pub(super) fn new(options: Options, say: bool) -> Self {
        Self {
            options,
            random: Random::new(options.seed),
            now: Duration::from_secs(1000),
            disk: Disk::new(),
            supervisor: None,
            process: None,
            files: None,
            agenda: Vec::new(),
            desired: None,
            told: None,
            host: 0,
            newest_host: 0,
            host_broken: false,
            host_before: None,
            failed: BTreeSet::new(),
            lives_of_config: 0,
            calm: false,
            counts: Counts::default(),
            store: Store::default(),
            story: say.then(RefCell::default),
        }
    }

    /// For a replay.
    pub(super) fn note(&self, what: impl FnOnce() -> String) {
        if let Some(story) = &self.story {
            story.borrow_mut().push(format!("{:>12.3?}  {}", self.now, what()));
        }
    }

    /// What happened, if it was to be kept.
    pub(super) fn story(&self) -> String {
        self.story.as_ref().map(|story| story.borrow().join("\n")).unwrap_or_default()
    }

    pub(super) fn run(&mut self) -> Result<(), String> {
        self.start_supervisor()?;
        let mut left = self.options.steps;
        while left > 0 {
            if self.random.percent(60) {
                self.advance()?;
            } else {
                left -= 1;
                let what = self.random.below(super::harm::KINDS);
                self.harm(what)?;
            }
        }
        self.come_to_rest()
    }

    /// The same with a schedule from outside: a number that stands for no harm lets time pass.
    pub(super) fn follow(&mut self, schedule: &[u64]) -> Result<(), String> {
        self.start_supervisor()?;
        for step in schedule {
            if *step < super::harm::KINDS { self.harm(*step)? } else { self.advance()? }
        }
        self.come_to_rest()
    }

    pub(super) fn at(&mut self, after: Duration, event: Event) {
        self.agenda.push((self.now + after, event));
    }

    /// When the next thing happens.
    pub(super) fn next_at(&self) -> Option<Duration> {
        let timer = self.timer_at();
        self.agenda.iter().map(|(at, _)| *at).chain(timer).min()
    }

    /// When one of the machines wants to be called.
    fn timer_at(&self) -> Option<Duration> {
        let supervisor = self.supervisor.as_ref()?;
        [supervisor.machine.poll_timeout(), supervisor.packages.poll_timeout()].into_iter().flatten().min()
    }

    /// To the next thing that happens.
    pub(super) fn advance(&mut self) -> Result<(), String> {
        let next = self
            .agenda
            .iter()
            .enumerate()
            .min_by_key(|(_, (at, _))| *at)
            .map(|(index, (at, _))| (index, *at));
        let timer = self.timer_at();
        match (next, timer) {
            (Some((index, at)), timer) if timer.is_none_or(|timer| at <= timer) => {
                let (at, event) = self.agenda.swap_remove(index);
                self.now = self.now.max(at);
                self.happen(event)
            }
            (_, Some(timer)) => {
                self.now = self.now.max(timer);
                self.timer()
            }
            (_, None) => Ok(()),
        }
    }

    pub(super) fn timer(&mut self) -> Result<(), String> {
        let now = self.now;
        let Some(supervisor) = &mut self.supervisor else { return Ok(()) };
        supervisor.packages.handle_timeout(now);
        for _ in 0..20 {
            if supervisor.machine.poll_timeout().is_none_or(|due| due > now) {
                return self.perform();
            }
            supervisor.machine.handle_timeout(now);
        }
        Err(format!("a timer that is due stays due: {:?} at {now:?}", supervisor.machine))
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        self.note(|| format!("{event:?}"));
        match event {
            Event::Checked(token, verdict) => self.tell(Input::Checked { token, verdict }),
            Event::Says(generation, life, condition) => self.says(generation, life, condition),
            Event::Silent(generation, life) => {
                if self.lives(generation, life) {
                    return self.tell(Input::Silent { generation, why: "has not answered".to_owned() });
                }
                Ok(())
            }
            Event::Ends(generation, life, blame) => {
                if self.lives(generation, life) {
                    self.ended(generation, blame)
                } else {
                    Ok(())
                }
            }
            Event::Stopped(generation) => {
                let there = self.process.as_ref().is_some_and(|process| process.generation == generation);
                if there { self.ended(generation, Blame::Outside) } else { Ok(()) }
            }
            Event::SaveAgain => self.save_again(),
            Event::SupervisorDies => {
                self.kill_supervisor();
                Ok(())
            }
            Event::SupervisorStarts if self.supervisor.is_none() => self.start_supervisor(),
            Event::SupervisorStarts => Ok(()),
            Event::Stage(token, artefact, result) => self.stage_ends(token, artefact, result),
            Event::Lies(generation) => {
                let there = self.process.as_ref().is_some_and(|process| process.generation == generation);
                if there { self.tell(Input::BinaryWrong { why: "it lies".to_owned() }) } else { Ok(()) }
            }
            Event::Offers => self.offer(),
            Event::OffersPackage => self.offer_package(),
        }
    }

    pub(super) fn lives(&self, generation: Generation, life: u64) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|process| process.generation == generation && process.life == life)
    }

    fn says(&mut self, generation: Generation, life: u64, condition: Condition) -> Result<(), String> {
        match &mut self.process {
            Some(process) if process.generation == generation && process.life == life => {
                (process.heard, process.well) = (true, condition.well);
            }
            _ => return Ok(()),
        }
        self.tell(Input::Reported { generation, session: life, condition })
    }

    pub(super) fn ended(&mut self, generation: Generation, blame: Blame) -> Result<(), String> {
        if self.options.plant != Some(super::Plant::LeavesTheOldProcess) {
            self.process = None;
        }
        self.tell(Input::Exited { generation, how: "ended".to_owned(), blame })
    }

    /// The server sends what it wants, if the agent does not say that it has it already.
    pub(super) fn offer(&mut self) -> Result<(), String> {
        let Some(config) = self.desired else { return Ok(()) };
        if self.supervisor.is_none() {
            return Ok(());
        }
        self.note(|| format!("the server offers {config} ({:?})", Fate::of(config)));
        self.look_at_host()?;
        self.tell(Input::Offer(hash(config)))
    }

    pub(super) fn look_at_host(&mut self) -> Result<(), String> {
        let host = self.host.to_string();
        let Some(supervisor) = &mut self.supervisor else { return Ok(()) };
        if supervisor.host != host {
            let failed = record::failures(&supervisor.state, &host);
            supervisor.host = host;
            return self.tell(Input::HostChanged { failed });
        }
        Ok(())
    }

    pub(super) fn tell(&mut self, input: Input) -> Result<(), String> {
        let now = self.now;
        let Some(supervisor) = &mut self.supervisor else { return Ok(()) };
        supervisor.machine.handle(input, now);
        self.perform()
    }

    pub(super) fn start_supervisor(&mut self) -> Result<(), String> {
        self.counts.lives += 1;
        let settings = Settings {
            first_health: Duration::from_secs(60),
            probation: Duration::from_secs(30),
            stop_grace: Duration::from_secs(20),
            reload: if self.options.seed.is_multiple_of(3) {
                ReloadRule::Never
            } else {
                ReloadRule::ContentsOnly
            },
            rollback: if self.options.rollback { Rollback::Automatic } else { Rollback::Never },
        };
        let mut state = self.disk.state.clone();
        let host = self.host.to_string();
        let (packages, trial) = self.begin_packages();
        let mut past = record::past(&state, &host, self.options.has_fallback, trial);
        match self.options.plant {
            Some(super::Plant::ForgetsQuarantine) => past.quarantine.clear(),
            Some(super::Plant::ForgetsTrial) => state.config.trial = None,
            _ => {}
        }
        self.note(|| format!("a supervisor starts with {past:?}"));
        let machine = Machine::new(settings, past, self.options.seed);
        let condemned = record::condemned(&state);
        let watches = record::watches(&mut state);
        let unfinished = record::unfinished_offer(&state);
        self.supervisor = Some(Supervisor { machine, packages, state, host, unsaved: false, ending: false });
        if watches {
            self.save_or_later();
        }
        if let Some((config, why)) = condemned {
            self.counts.condemned += 1;
            self.feed(Input::Condemn { config, why });
        }
        self.feed(Input::Start);
        let known =
            |hash: &ConfigHash| self.supervisor.as_ref().is_some_and(|it| it.machine.is_quarantined(hash));
        if let Some(config) = unfinished.filter(|hash| !known(hash)) {
            self.feed(Input::Offer(config));
        }
        self.take_up_packages()?;
        self.report_status()?;
        let connects = self.random.millis(1, 3_000);
        self.at(connects, Event::Offers);
        self.at(connects, Event::OffersPackage);
        self.tell(Input::ServerReached)
    }

    /// Its Collector goes with it.
    pub(super) fn kill_supervisor(&mut self) {
        if self.supervisor.take().is_some() {
            self.note(|| "the supervisor is killed".to_owned());
            self.process = None;
            self.files = None;
            self.agenda.retain(|(_, event)| matches!(event, Event::Offers));
            let after = self.random.millis(10, 5_000);
            self.at(after, Event::SupervisorStarts);
        }
    }

    pub(super) fn is_told(&self, status: RemoteConfigStatuses) -> bool {
        self.told.as_ref().is_some_and(|told| told.status == status as i32)
    }
}
