//! The machine, driven by hand, with a host that does what is asked of it. `endings`: what fails, is killed, or waits.

mod endings;

use super::*;
use crate::{
    supervisor::{config::Downgrade, upgrade::terms::Artefact},
    wire::proto::{PackageStatus, PackageStatusEnum as Status},
};

const RULES: Rules = Rules { accepts: true, allow: None, downgrade: Downgrade::Deny };

struct Bench {
    packages: Packages,
    now: Duration,
    /// What was asked to be run, in order.
    ran: Vec<(String, Stage)>,
    /// The stage at which the host stops answering.
    until: Option<Stage>,
    fails: Option<(Stage, Failed)>,
    version: String,
    removed: Vec<String>,
    dropped: u32,
}

impl Bench {
    fn new() -> Self {
        Self::with(Record::default())
    }

    fn with(record: Record) -> Self {
        let packages = Packages::new(RULES, record, None, false);
        let (now, version) = (Duration::from_secs(1000), "1.0.0".to_owned());
        Self { packages, now, ran: vec![], until: None, fails: None, version, removed: vec![], dropped: 0 }
    }

    /// A supervisor that was killed and starts again, with so much of the download there.
    fn again(self, had: u64) -> Self {
        let mut next = Self::with(self.packages.record().clone());
        let mut record = next.packages.record().clone();
        record.begin();
        next.packages = Packages::new(RULES, record, None, false);
        next.until = self.until;
        next.packages.take_up(had, next.now);
        next.perform();
        next
    }

    fn offer(&mut self, offer: Offer) {
        self.packages.handle(Input::Offer(offer), self.now);
        self.perform();
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.packages.handle_timeout(self.now);
        self.perform();
    }

    fn perform(&mut self) {
        while let Some(effect) = self.packages.poll_effect() {
            let input = match effect {
                Effect::Run { token, work } => {
                    self.ran.push((work.name.clone(), work.stage));
                    if self.until == Some(work.stage) {
                        continue;
                    }
                    Input::Done { token, result: self.result(&work) }
                }
                Effect::Remove { name, .. } => {
                    self.removed.push(name.clone());
                    Input::Removed { name, result: Ok(()) }
                }
                Effect::Drop { .. } => {
                    self.dropped += 1;
                    continue;
                }
                Effect::Changed | Effect::Report | Effect::Settled => continue,
            };
            self.packages.handle(input, self.now);
        }
    }

    fn result(&mut self, work: &Work) -> Result<Finished, Failed> {
        if let Some((_, failed)) = self.fails.take_if(|(stage, _)| *stage == work.stage) {
            return Err(failed);
        }
        Ok(match work.stage {
            Stage::Downloading => Finished::Downloaded,
            Stage::Verifying if work.offered.version.is_empty() => {
                Finished::Verified { version: self.version.clone() }
            }
            Stage::Verifying => Finished::Verified { version: work.offered.version.clone() },
            Stage::Extracting => {
                Finished::Unpacked { slot: format!("slot-{}", work.name), program: "p".to_owned() }
            }
            Stage::Preflight => Finished::Fit,
            Stage::Trial => Finished::Proven { at: 77 },
        })
    }

    /// Answers what was left unanswered.
    fn finish(&mut self, result: Result<Finished, Failed>) {
        let token = self.packages.token;
        self.packages.handle(Input::Done { token, result }, self.now);
        self.perform();
    }

    fn status(&self, name: &str) -> PackageStatus {
        let statuses = self.packages.statuses();
        let status = statuses.packages.get(name).unwrap_or_else(|| panic!("{name} is not in {statuses:?}"));
        assert_eq!(status.name, name, "C-PK-21");
        status.clone()
    }

    fn state(&self, name: &str) -> Status {
        Status::try_from(self.status(name).status).unwrap()
    }

    fn stages(&self) -> Vec<Stage> {
        self.ran.iter().map(|(_, stage)| *stage).collect()
    }
}

fn package(kind: Kind, artefact: u8, version: &str) -> Offered {
    Offered {
        kind,
        version: version.to_owned(),
        hash: vec![artefact, 0xaa],
        url: "https://s/p".to_owned(),
        artefact: Artefact(vec![artefact; 32]),
        signature: Vec::new(),
        headers: Vec::new(),
    }
}

fn offer(hash: u8, packages: &[(&str, Offered)]) -> Offer {
    let packages = packages.iter().map(|(name, offered)| ((*name).to_owned(), offered.clone())).collect();
    Offer { all_packages_hash: vec![hash], packages }
}

fn collector(hash: u8) -> Offer {
    offer(hash, &[("otelcol", package(Kind::Collector, hash, &format!("1.{hash}.0")))])
}

fn no(then: Then) -> Failed {
    Failed { why: "it will not do".to_owned(), then }
}

#[test]
fn c_pk_03_06_a_package_goes_through_every_stage_and_is_held() {
    let mut bench = Bench::new();
    bench.offer(collector(1));
    let all = [Stage::Downloading, Stage::Verifying, Stage::Extracting, Stage::Preflight, Stage::Trial];
    assert_eq!(bench.stages(), all);
    let record = bench.packages.record();
    let (name, held) = record.collector().unwrap();
    assert_eq!(
        (name.as_str(), held.version.as_str(), held.slot.as_str()),
        ("otelcol", "1.1.0", "slot-otelcol")
    );
    assert_eq!((&record.work, &record.trial, record.floor["otelcol"].as_str()), (&None, &None, "1.1.0"));
    assert_eq!(record.before, Some(Before { binary: None, since: 77 }));
}

#[test]
fn c_pk_01_02_04_f_51_the_same_offer_a_thousand_times_is_one_install() {
    let mut bench = Bench::new();
    for _ in 0..1000 {
        bench.offer(collector(1));
        bench.wait(Duration::from_secs(1));
    }
    assert_eq!(bench.ran.len(), 5);
    let other_hash = Offer { all_packages_hash: vec![9], ..collector(1) };
    bench.offer(other_hash);
    assert_eq!(bench.ran.len(), 5, "the package in it is the same");
}

#[test]
fn c_pk_07_09_the_same_file_under_another_package_hash_is_not_fetched_again() {
    let mut bench = Bench::new();
    bench.offer(collector(1));
    let mut renamed = collector(1);
    renamed.all_packages_hash = vec![2];
    renamed.packages.get_mut("otelcol").unwrap().hash = vec![0xbb];
    bench.offer(renamed);
    assert_eq!(bench.ran.len(), 5);
    assert_eq!(
        (bench.status("otelcol").agent_has_hash, bench.state("otelcol")),
        (vec![0xbb], Status::Installed)
    );
}

#[test]
fn c_pk_14_a_newer_version_takes_the_place_of_the_one_held() {
    let mut bench = Bench::new();
    bench.offer(collector(1));
    bench.offer(collector(2));
    let record = bench.packages.record();
    assert_eq!((record.held.len(), record.held["otelcol"].version.as_str()), (1, "1.2.0"));
    let before = record.before.as_ref().unwrap().binary.as_ref().unwrap();
    assert_eq!(before.1.version, "1.1.0");
    bench.offer(offer(3, &[("contrib", package(Kind::Collector, 3, "0.1.0"))]));
    let held: Vec<_> = bench.packages.record().held.keys().cloned().collect();
    assert_eq!(held, ["contrib"], "there is one Collector, whatever it is called");
}

#[test]
fn c_pk_05_add_ons_come_first_and_go_when_they_are_offered_no_more() {
    let mut bench = Bench::new();
    let both = [
        ("otelcol", package(Kind::Collector, 1, "1.0.0")),
        ("zz", package(Kind::AddOn, 2, "1.0.0")),
        (crate::supervisor::upgrade::SUPERVISOR, package(Kind::Supervisor, 3, "1.0.0")),
    ];
    bench.offer(offer(1, &both));
    let mut names: Vec<_> = bench.ran.iter().map(|(name, _)| name.as_str()).collect();
    names.dedup();
    assert_eq!(names, ["zz", "otelcol", "opamp-supervisor"]);
    assert!(!bench.ran.contains(&("zz".to_owned(), Stage::Preflight)));
    bench.offer(offer(2, &[]));
    assert_eq!(bench.removed, ["zz"]);
    let held: Vec<_> = bench.packages.record().held.keys().cloned().collect();
    assert_eq!(held, ["opamp-supervisor", "otelcol"], "what runs the host stays");
    assert_eq!(bench.state("otelcol"), Status::Installed);
}

#[test]
fn c_pk_15_19_20_21_22_23_24_25_28_30_each_stage_is_told() {
    let mut bench = Bench::new();
    bench.until = Some(Stage::Downloading);
    bench.offer(collector(1));
    let told = bench.status("otelcol");
    assert_eq!(bench.state("otelcol"), Status::Downloading);
    assert_eq!((told.agent_has_version.as_str(), told.agent_has_hash.len()), ("", 0));
    assert_eq!((told.server_offered_version.as_str(), &told.server_offered_hash), ("1.1.0", &vec![1, 0xaa]));
    let token = bench.packages.token;
    for (second, have) in [(0, 0), (0, 10), (1, 50), (1, 60), (2, 80)] {
        let now = bench.now + Duration::from_secs(second);
        bench.packages.handle(Input::Progress { token, have, total: Some(200) }, now);
    }
    let reports = std::iter::from_fn(|| bench.packages.poll_effect());
    assert_eq!(reports.filter(|effect| *effect == Effect::Report).count(), 3, "once a second");
    let details = bench.status("otelcol").download_details.unwrap();
    assert_eq!((details.download_percent, details.download_bytes_per_second), (40.0, 30.0));
    for (stage, result) in [
        (Stage::Verifying, Finished::Downloaded),
        (Stage::Extracting, Finished::Verified { version: "1.1.0".to_owned() }),
        (Stage::Preflight, Finished::Unpacked { slot: "s".to_owned(), program: "p".to_owned() }),
        (Stage::Trial, Finished::Fit),
    ] {
        bench.until = Some(stage);
        bench.finish(Ok(result));
        let told = bench.status("otelcol");
        assert_eq!((bench.state("otelcol"), told.download_details), (Status::Installing, None), "{stage:?}");
        assert_eq!((told.error_message.as_str(), told.server_offered_hash.len()), ("", 2));
    }
    bench.finish(Ok(Finished::Proven { at: 1 }));
    let told = bench.status("otelcol");
    assert_eq!((bench.state("otelcol"), told.error_message.as_str()), (Status::Installed, ""));
    assert_eq!((told.agent_has_version.as_str(), told.agent_has_hash), ("1.1.0", vec![1, 0xaa]));
    assert_eq!(bench.packages.statuses().server_provided_all_packages_hash, [1]);
}

#[test]
fn c_pk_16_17_26_27_29_what_failed_is_told_with_the_reason_beside_what_is_held() {
    let mut bench = Bench::new();
    bench.offer(collector(1));
    bench.fails = Some((Stage::Preflight, no(Then::Quarantine)));
    let mut next = collector(2);
    next.packages.insert("geo".to_owned(), package(Kind::AddOn, 9, "1.0.0"));
    bench.offer(next);
    let told = bench.status("otelcol");
    assert_eq!(
        (bench.state("otelcol"), told.error_message.as_str()),
        (Status::InstallFailed, "it will not do")
    );
    assert_eq!((told.agent_has_version.as_str(), told.server_offered_version.as_str()), ("1.1.0", "1.2.0"));
    assert_eq!(told.server_offered_hash, [2, 0xaa]);
    assert_eq!((bench.state("geo"), bench.status("geo").error_message.as_str()), (Status::Installed, ""));
    assert_eq!(bench.packages.statuses().packages.len(), 2);
    assert_eq!(bench.packages.statuses().error_message, "");
}

#[test]
fn c_pk_31_an_offer_that_makes_no_sense_fails_as_a_whole() {
    let mut bench = Bench::new();
    bench.offer(collector(1));
    let two = [("a", package(Kind::Collector, 2, "1.0.0")), ("b", package(Kind::Collector, 3, "1.0.0"))];
    bench.offer(offer(2, &two));
    let told = bench.packages.statuses();
    assert!(told.error_message.contains("several packages are offered as the Collector: a, b"), "{told:?}");
    assert_eq!((told.server_provided_all_packages_hash, bench.ran.len()), (vec![2], 5));
    bench.offer(collector(1));
    assert_eq!(bench.packages.statuses().error_message, "");
    let many: Vec<_> = (0..65).map(|n| (format!("p{n}"), package(Kind::AddOn, 1, "1.0.0"))).collect();
    let many = Offer { all_packages_hash: vec![3], packages: many.into_iter().collect() };
    bench.offer(many);
    assert!(bench.packages.statuses().error_message.contains("65 packages"));
}
