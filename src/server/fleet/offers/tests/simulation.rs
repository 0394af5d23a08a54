//! A fleet under a seeded world: agents come and go, install and fail, forget, and the server restarts; operators change,
//! pause, withdraw and retry. After each step the limits hold; when the world is quiet, it ends.

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::*;

const AGENTS: u16 = 40;
const STEPS: usize = 200;

struct Simulation {
    world: World,
    random: StdRng,
    limit: usize,
    version: u32,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let limit = random.random_range(0..6);
        let mut simulation = Self { world: World::of(AGENTS), random, limit, version: 0 };
        simulation.release();
        simulation
    }

    fn release(&mut self) {
        self.version += 1;
        self.world.otelcol("otelcol", &format!("0.{}.0", self.version));
        self.write(false);
    }

    fn write(&mut self, paused: bool) {
        let limit = self.limit;
        self.world.offer(
            "all",
            json!({"packages": ["otelcol"], "maxInFlight": limit, "maxFailed": "20%", "paused": paused}),
        );
    }

    fn step(&mut self) {
        let number = self.random.random_range(0..AGENTS);
        match self.random.random_range(0..100) {
            0 => self.release(),
            1 => self.write(true),
            2..5 => self.write(false),
            5 => {
                self.world.withdraw("all");
                self.write(false);
            }
            6..9 => self.restart(),
            9..13 => self.retry(),
            13..25 => {
                let connected = self.world.agent(number).connected.is_none().then_some(Transport::WebSocket);
                self.world.agent_mut(number).set_connected(connected, NOW);
            }
            _ => self.answer(),
        }
        let before = self.world.in_flight().len();
        let phase = self.world.counts("all").0;
        self.world.roll();
        self.check(before, phase);
    }

    /// One of those that were offered something says what becomes of it.
    fn answer(&mut self) {
        let flying = self.world.in_flight();
        let Some(&number) = flying.choose(&mut self.random) else { return };
        self.world.told(number);
        let word = match self.random.random_range(0..10) {
            0 => PackageStatusEnum::InstallFailed,
            1..4 => PackageStatusEnum::Downloading,
            4 => PackageStatusEnum::Installing,
            _ => PackageStatusEnum::Installed,
        };
        self.world.says(number, word);
    }

    fn retry(&mut self) {
        let offer = self.world.fleet.catalogue.offers.get_mut(&key("all")).unwrap();
        offer.conditions.clear();
        self.world.fleet.retry(&key("all"), NOW);
    }

    /// What was given comes back from the store, or, now and then, is lost.
    fn restart(&mut self) {
        let lost = self.random.random_range(0..AGENTS);
        for number in 0..AGENTS {
            let agent = self.world.agent_mut(number);
            let text = serde_json::to_string(&agent.packages.given).unwrap();
            agent.packages = match number == lost {
                true => Packages::default(),
                false => Packages::stored(serde_json::from_str(&text).unwrap()),
            };
        }
        self.world.fleet.reconsider(DEFAULT_NAMESPACE, NOW);
    }

    /// Beyond the limit nobody is added, and nobody at all to what is stopped or paused.
    fn check(&self, before: usize, phase: Phase) {
        let now = self.world.in_flight().len();
        let (_, progress) = self.world.progress("all");
        let known = AGENTS as usize;
        assert_eq!(progress.targets, known);
        assert_eq!(
            progress.waiting
                + progress.in_flight
                + progress.installed
                + progress.failed
                + progress.unreported,
            progress.targets
        );
        assert_eq!(progress.in_flight, now);
        if self.limit > 0 {
            assert!(now <= self.limit.max(before), "{now} of {}", self.limit);
        }
        if matches!(phase, Phase::Stopped | Phase::Paused) {
            // An agent whose offer was lost may say by itself that it was offered it.
            assert!(now <= before + 1, "{phase:?}: {before} before, {now} now");
        }
    }

    /// All agents are there, nothing fails any more, and somebody tries again.
    fn settle(&mut self) {
        for number in 0..AGENTS {
            self.world.agent_mut(number).set_connected(Some(Transport::WebSocket), NOW);
        }
        self.write(false);
        self.retry();
        self.world.roll();
        for _ in 0..AGENTS {
            for number in self.world.in_flight() {
                self.world.told(number);
                self.world.says(number, PackageStatusEnum::Installed);
            }
        }
        let all = AGENTS as usize;
        assert_eq!(self.world.counts("all"), (Phase::Complete, [all, 0, 0, all, 0]));
    }
}

#[test]
fn no_more_agents_than_allowed_are_at_it_at_once_and_in_the_end_all_have_it() {
    for seed in 0..12 {
        let mut simulation = Simulation::new(seed);
        for _ in 0..STEPS {
            simulation.step();
        }
        simulation.settle();
    }
}
