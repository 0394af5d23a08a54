//! The machine, driven by hand: every edge of the diagram.

use std::time::Duration;

use super::*;

const SETTINGS: Settings = Settings {
    first_health: Duration::from_secs(60),
    probation: Duration::from_secs(30),
    stop_grace: Duration::from_secs(20),
    reload: ReloadRule::ContentsOnly,
    rollback: Rollback::Automatic,
};

pub(super) struct Bench {
    pub(super) machine: Machine,
    /// What the journal answers.
    disk: Result<(), String>,
    now: Duration,
}

impl Bench {
    fn new() -> Self {
        Self::with(Past::default())
    }

    pub(super) fn with(past: Past) -> Self {
        Self::under(SETTINGS, past)
    }

    pub(super) fn under(settings: Settings, past: Past) -> Self {
        Self { machine: Machine::new(settings, past, 1), disk: Ok(()), now: Duration::from_secs(1000) }
    }

    /// A machine whose Collector runs and was heard from.
    pub(super) fn running() -> Self {
        let mut bench = Self::new();
        bench.tell(Input::Start);
        bench.healthy(1, 1);
        bench
    }

    pub(super) const fn now(&self) -> Duration {
        self.now
    }

    pub(super) fn tell(&mut self, input: Input) -> Vec<Effect> {
        self.machine.handle(input, self.now);
        self.effects()
    }

    /// What is asked for; the shell answers by itself.
    fn effects(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::Arm { .. } => self.machine.handle(Input::Armed(self.disk.clone()), self.now),
                effect => {
                    let answer = match effect {
                        Effect::StepBack { .. } => Some(Input::SteppedBack),
                        Effect::BinaryFailed { .. } => Some(Input::BinarySteppedBack),
                        _ => None,
                    };
                    effects.push(effect);
                    if let Some(answer) = answer {
                        self.machine.handle(answer, self.now);
                    }
                }
            }
        }
        effects
    }

    pub(super) fn healthy(&mut self, generation: u64, session: u64) -> Vec<Effect> {
        self.tell(reported(generation, session, true))
    }

    pub(super) fn exited(&mut self, generation: u64) -> Vec<Effect> {
        self.ended(generation, Blame::Config)
    }

    pub(super) fn ended(&mut self, generation: u64, blame: Blame) -> Vec<Effect> {
        let how = "was killed by SIGKILL".into();
        self.tell(Input::Exited { generation: Generation(generation), how, blame })
    }

    pub(super) fn offer(&mut self, config: u8) -> Vec<Effect> {
        self.tell(Input::Offer(hash(config)))
    }

    pub(super) fn checked(&mut self, token: u64, verdict: Verdict) -> Vec<Effect> {
        self.tell(Input::Checked { token: CheckToken(token), verdict })
    }

    pub(super) fn wait(&mut self, time: Duration) -> Vec<Effect> {
        self.now += time;
        self.machine.handle_timeout(self.now);
        self.effects()
    }
}

pub(super) fn hash(config: u8) -> ConfigHash {
    ConfigHash(vec![config])
}

fn reported(generation: u64, session: u64, healthy: bool) -> Input {
    let condition = Condition { well: healthy, faults: BTreeSet::new(), why: "not yet".into() };
    Input::Reported { generation: Generation(generation), session, condition }
}

pub(super) fn status(config: u8, outcome: Outcome) -> Effect {
    Effect::Status { config: hash(config), outcome }
}

pub(super) fn spawn(generation: u64, config: Option<u8>) -> Effect {
    Effect::Spawn { generation: Generation(generation), layers: Layers::Config(config.map(hash)) }
}

pub(super) fn failure(effects: &[Effect]) -> &str {
    let why = effects.iter().find_map(|effect| match effect {
        Effect::Status { outcome: Outcome::Failed(why) | Outcome::PutOff(why), .. } => Some(why.as_str()),
        _ => None,
    });
    why.unwrap_or_else(|| panic!("no FAILED in {effects:?}"))
}

#[test]
fn f_60_a_death_restarts_at_once_with_the_same_config() {
    let mut bench = Bench::running();
    let effects = bench.exited(1);
    assert!(effects.contains(&spawn(2, None)), "{effects:?}");
    assert!(bench.exited(1).is_empty(), "an exit of an older process changes nothing");
}

#[test]
fn f_61_repeated_deaths_wait_longer_and_longer() {
    let mut bench = Bench::running();
    bench.exited(1);
    assert!(!bench.exited(2).iter().any(|effect| matches!(effect, Effect::Spawn { .. })));
    let until = bench.machine.poll_timeout().unwrap();
    assert!(until > bench.now && until < bench.now + Duration::from_millis(301));
    assert!(bench.wait(Duration::from_millis(301)).contains(&spawn(3, None)));
}

#[test]
fn c_rc_03_contents_reload_and_applied_on_proof_after_the_switch() {
    let mut bench = Bench::running();
    assert_eq!(bench.offer(7)[0], status(7, Outcome::Applying));
    let effects = bench.checked(1, Verdict::Contents);
    assert_eq!(effects, [Effect::Reload { generation: Generation(1), config: Some(hash(7)) }]);
    assert!(bench.healthy(1, 1).is_empty(), "the word of the life before the reload proves nothing");
    assert!(bench.tell(reported(1, 2, false)).is_empty());
    assert_eq!(bench.healthy(1, 2), [status(7, Outcome::Applied)]);
    assert!(bench.healthy(1, 2).is_empty(), "it is said once");
}

#[test]
fn f_109_no_sighup_before_the_process_was_heard_from() {
    let mut bench = Bench::new();
    bench.tell(Input::Start);
    bench.offer(7);
    let effects = bench.checked(1, Verdict::Contents);
    assert!(effects.contains(&Effect::Stop { generation: Generation(1) }), "{effects:?}");
    assert!(bench.exited(1).contains(&spawn(2, Some(7))));
    assert_eq!(bench.healthy(2, 5), [status(7, Outcome::Applied)]);
}

#[test]
fn f_73_a_refused_config_touches_nothing() {
    let mut bench = Bench::running();
    bench.offer(7);
    let effects = bench.checked(1, Verdict::Refused("3:1: no such exporter".into()));
    assert_eq!(effects, [status(7, Outcome::Failed("3:1: no such exporter".into()))]);
    assert_eq!(bench.machine.live(), &None);
}

#[test]
fn f_74_a_config_that_kills_the_collector_is_rolled_back() {
    let mut bench = Bench::running();
    bench.offer(1);
    bench.checked(1, Verdict::Contents);
    bench.healthy(1, 2);
    bench.offer(2);
    bench.checked(2, Verdict::Files);
    assert!(bench.exited(1).contains(&spawn(2, Some(2))));
    let effects = bench.exited(2);
    assert!(
        failure(&effects).contains("SIGKILL") && failure(&effects).contains("rolled back to the config 01")
    );
    assert!(effects.contains(&spawn(3, Some(1))), "the one before runs again, at once: {effects:?}");
}

#[test]
fn f_35_a_config_that_never_becomes_healthy_is_rolled_back_in_time() {
    let mut bench = Bench::running();
    bench.offer(7);
    bench.checked(1, Verdict::Contents);
    bench.tell(reported(1, 2, false));
    assert!(bench.wait(Duration::from_secs(59)).is_empty());
    let effects = bench.wait(Duration::from_secs(1));
    assert!(failure(&effects).contains("not healthy within 60s on the new config: not yet"), "{effects:?}");
    assert!(effects.contains(&Effect::Stop { generation: Generation(1) }));
    assert!(bench.exited(1).contains(&spawn(2, None)));
}

#[test]
fn f_76_the_newest_offer_wins_and_the_mailbox_holds_one() {
    let mut bench = Bench::running();
    bench.offer(1);
    assert!(bench.offer(2).contains(&Effect::Check { token: CheckToken(2), config: hash(2) }));
    assert!(bench.checked(1, Verdict::Contents).is_empty(), "the result of an overtaken check");
    bench.checked(2, Verdict::Contents);
    for config in 3..100 {
        assert!(bench.offer(config).is_empty(), "they wait while one is proven");
    }
    let effects = bench.healthy(1, 2);
    assert_eq!(effects[..2], [status(2, Outcome::Applied), status(99, Outcome::Applying)]);
}

#[test]
fn f_78_a_bad_config_offered_again_fails_again_without_a_restart() {
    let mut bench = Bench::running();
    bench.offer(7);
    bench.checked(1, Verdict::Refused("bad".into()));
    assert_eq!(bench.offer(7), [status(7, Outcome::Failed("bad".into()))]);
    bench.offer(8);
    bench.checked(2, Verdict::Same);
    assert_eq!(bench.offer(8), [status(8, Outcome::Applied)]);
}

#[test]
fn f_64_a_collector_that_ignores_the_request_is_killed_at_the_grace() {
    let mut bench = Bench::running();
    assert!(bench.tell(Input::Shutdown).contains(&Effect::Stop { generation: Generation(1) }));
    assert!(bench.wait(Duration::from_secs(19)).is_empty());
    assert_eq!(bench.wait(Duration::from_secs(1)), [Effect::Kill { generation: Generation(1) }]);
    assert!(bench.exited(1).contains(&Effect::Finished));
}

#[test]
fn a_second_signal_hurries() {
    let mut bench = Bench::running();
    bench.tell(Input::Shutdown);
    assert_eq!(bench.tell(Input::Hurry), [Effect::Kill { generation: Generation(1) }]);
}

#[test]
fn f_85_nothing_starts_once_the_end_was_asked_for() {
    let mut bench = Bench::running();
    bench.offer(7);
    bench.tell(Input::Shutdown);
    assert!(bench.checked(1, Verdict::Files).is_empty());
    assert!(bench.offer(8).is_empty() && bench.tell(Input::Restart).is_empty());
    let effects = bench.exited(1);
    assert!(
        effects.contains(&Effect::Finished) && !effects.iter().any(|e| matches!(e, Effect::Spawn { .. }))
    );
}

#[test]
fn c_cm_01_a_restart_command_keeps_the_config() {
    let mut bench = Bench::running();
    bench.offer(7);
    bench.checked(1, Verdict::Contents);
    bench.healthy(1, 2);
    assert!(bench.tell(Input::Restart).contains(&Effect::Stop { generation: Generation(1) }));
    assert!(bench.exited(1).contains(&spawn(2, Some(7))));
}

#[test]
fn f_71_a_start_that_fails_is_retried_and_said() {
    let mut bench = Bench::new();
    bench.tell(Input::Start);
    let failed = |generation| {
        let (generation, why) = (Generation(generation), "no such file".into());
        Input::SpawnFailed { generation, why, blame: Blame::Outside }
    };
    assert!(bench.tell(failed(1)).contains(&spawn(2, None)), "once at once");
    let effects = bench.tell(failed(2));
    let said =
        |e: &Effect| matches!(e, Effect::Process(ProcessState::Failed { how, .. }) if how == "no such file");
    assert!(effects.iter().any(said) && bench.machine.poll_timeout().is_some());
}

#[test]
fn f_54_files_that_cannot_be_written_fail_the_config_and_leave_the_process() {
    let mut bench = Bench::running();
    bench.offer(7);
    bench.checked(1, Verdict::Contents);
    let effects = bench.tell(Input::SwitchFailed { why: "no space left".into() });
    assert!(failure(&effects).starts_with("no space left"));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Stop { .. } | Effect::Spawn { .. })));
}

#[test]
fn the_lost_failure_is_impossible_the_same_files_are_proven_again_while_the_collector_is_sick() {
    let mut bench = Bench::running();
    bench.exited(1);
    bench.offer(7);
    let effects = bench.checked(1, Verdict::Same);
    assert!(effects.contains(&Effect::Stop { generation: Generation(2) }), "{effects:?}");
    assert!(!effects.contains(&status(7, Outcome::Applied)));
    bench.exited(2);
    assert_eq!(bench.healthy(3, 9), [status(7, Outcome::Applied)]);
}

#[test]
fn what_is_on_its_way_is_named_so_that_its_body_is_kept() {
    let mut bench = Bench::running();
    bench.offer(1);
    bench.checked(1, Verdict::Contents);
    bench.offer(2);
    assert_eq!(bench.machine.at_work().cloned().collect::<Vec<_>>(), [hash(1), hash(2)]);
    bench.healthy(1, 2);
    assert_eq!(bench.machine.at_work().cloned().collect::<Vec<_>>(), [hash(2)]);
}

#[test]
fn f_54_a_check_the_host_prevents_is_repeated_by_itself() {
    let mut bench = Bench::running();
    bench.offer(7);
    let why = bench.checked(1, Verdict::Unable("no space left".into()));
    assert_eq!(failure(&why), "no space left; tried again every 10 s");
    assert_eq!(bench.offer(7), why, "an offer of the same one in between gets the same answer");
    let again = bench.wait(Duration::from_secs(11));
    assert_eq!(again, [Effect::Check { token: CheckToken(2), config: hash(7) }]);
    bench.checked(2, Verdict::Contents);
    assert_eq!(bench.healthy(1, 2), [status(7, Outcome::Applied)]);
    assert_eq!(bench.wait(SETTINGS.probation), [Effect::Committed { config: hash(7) }]);
    assert_eq!(bench.machine.poll_timeout(), None);
}

#[test]
fn f_54_another_offer_or_the_end_takes_the_place_of_what_was_put_off() {
    let mut bench = Bench::running();
    bench.offer(7);
    bench.checked(1, Verdict::Unable("no space left".into()));
    assert_eq!(bench.offer(8)[0], status(8, Outcome::Applying));
    bench.checked(2, Verdict::Unable("no space left".into()));
    bench.tell(Input::Shutdown);
    bench.exited(1);
    assert_eq!(bench.machine.poll_timeout(), None);
}

#[test]
fn f_71_a_config_whose_port_was_taken_may_be_offered_again() {
    let mut bench = Bench::running();
    bench.offer(7);
    bench.checked(1, Verdict::Contents);
    let how = "exited with code 1: address already in use".to_owned();
    let effects = bench.tell(Input::Exited { generation: Generation(1), how, blame: Blame::Host });
    assert!(failure(&effects).contains("address already in use; rolled back"));
    assert!(effects.contains(&spawn(2, None)), "what ran before runs again");
    assert_eq!(failure(&bench.offer(7)), failure(&effects), "a server that repeats itself changes nothing");
    assert_eq!(bench.wait(Duration::from_secs(31)), [], "a try that stops the Collector is not made unasked");
    assert_eq!(bench.offer(7)[0], status(7, Outcome::Applying));
}

#[test]
fn f_71_a_restart_command_tries_again_what_the_host_kept_from_running() {
    let mut bench = Bench::running();
    bench.offer(7);
    bench.checked(1, Verdict::Contents);
    let how = "exited with code 1: address already in use".to_owned();
    bench.tell(Input::Exited { generation: Generation(1), how, blame: Blame::Host });
    bench.healthy(2, 1);
    let effects = bench.tell(Input::Restart);
    assert!(effects.contains(&Effect::Stop { generation: Generation(2) }), "{effects:?}");
    assert!(effects.contains(&Effect::Check { token: CheckToken(2), config: hash(7) }), "{effects:?}");
    bench.checked(2, Verdict::Contents);
    assert!(bench.exited(2).contains(&spawn(3, Some(7))), "it starts once, with the config");
    assert_eq!(bench.healthy(3, 2), [status(7, Outcome::Applied)]);
}
