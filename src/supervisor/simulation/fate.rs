//! What a run is made of: its seed, what configs do to a Collector, and how hostile the world is.

use std::time::Duration;

#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5dee_ce66d)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(super) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(super) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

/// A fault of the supervisor's shell, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plant {
    SaysAppliedBeforeItIsOnDisk,
    ForgetsQuarantine,
    ForgetsTrial,
    LeavesTheOldProcess,
    RunsWhatIsUnverified,
    SaysInstalledBeforeItIsOnDisk,
    ForgetsFailedPackages,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) seed: u64,
    /// Things that are done to the supervisor before the world calms down.
    pub(super) steps: u64,
    pub(super) kills_supervisor: bool,
    pub(super) breaks_disk: bool,
    pub(super) changes_host: bool,
    pub(super) has_fallback: bool,
    pub(super) rollback: bool,
    pub(super) plant: Option<Plant>,
}

impl Options {
    pub(super) fn of(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x0f0f);
        Self {
            seed,
            steps: 10 + random.below(50),
            kills_supervisor: random.percent(60),
            breaks_disk: random.percent(40),
            changes_host: random.percent(40),
            has_fallback: random.percent(30),
            rollback: random.percent(90),
            plant: None,
        }
    }
}

/// What a config does to whoever runs or judges it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Good,
    /// Its text is wrong.
    Refused,
    /// It ends the Collector after this time; before that, once it is up, all is well.
    Ends(Duration),
    /// It ends the Collector before it is up.
    EndsAtOnce,
    /// A port that somebody else has, until the world calms down.
    PortTaken,
    NeverHealthy,
    /// A component is broken for good, after this time.
    Sick(Duration),
    /// It stops answering after this time.
    Hangs(Duration),
    /// The supervisor ends over it.
    KillsTheChecker,
    KillsTheSwitcher,
    KillsTheWatcher,
}

impl Fate {
    /// The same for the same config, whoever asks and whenever.
    pub(super) fn of(config: u8) -> Self {
        let mut random = Random::new(u64::from(config).wrapping_mul(0x9e37_79b9));
        match config % 16 {
            0..=4 => Self::Good,
            5 | 6 => Self::Refused,
            7 => Self::Ends(random.millis(1_000, 25_000)),
            8 => Self::EndsAtOnce,
            9 => Self::PortTaken,
            10 => Self::NeverHealthy,
            11 => Self::Sick(random.millis(1_000, 15_000)),
            12 => Self::Hangs(random.millis(1_000, 20_000)),
            13 => Self::KillsTheChecker,
            14 => Self::KillsTheSwitcher,
            _ => Self::KillsTheWatcher,
        }
    }

    /// Whether it can stay in force for good.
    pub(super) const fn lasts(self) -> bool {
        matches!(self, Self::Good | Self::PortTaken)
    }
}
