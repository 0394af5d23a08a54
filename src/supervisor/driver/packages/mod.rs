//! Packages: doing what [`upgrade::machine`](crate::supervisor::upgrade::machine) asks for.
//!
//! - `fetching`: download, verify, unpack, each beside the driver; `way`: how to get at a server for that
//! - `preflight`: a new Collector is asked what it is, and whether it would run what runs
//! - `supervisor`: another supervisor by package; `collector`: the switch to another Collector, and back; `addons`: files beside it; `lost`: a version that is gone or altered
//! - `telling`: what people and the server are told
//!
//! The record is part of the journal's state: each stage is on disk before its work begins, and what is installed before
//! it is said. What runs beside reports back with the token of its stage.

mod addons;
mod collector;
mod fetching;
mod lost;
mod preflight;
mod supervisor;
mod telling;
mod way;

use std::sync::Arc;

use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
};

pub(in crate::supervisor) use lost::shelf;
pub(super) use telling::Waiting;

use supervisor::Awaited;

use super::{Driver, Prepared, way_back::Before};
use crate::{
    os::clock,
    package::Verified,
    supervisor::{
        config::PackagesConfig,
        machine::Running,
        setup::Outfit,
        upgrade::{
            Failed, Kind, Offer, Places, Record, Rules, Stage, Then, Work,
            download::Downloaded,
            machine::{Effect, Finished, Input, Packages, Token},
        },
    },
    transport::client::Update,
    wire::proto::PackagesAvailable,
};

/// Packages, as far as they are on their way.
pub(in crate::supervisor) struct Shelf {
    pub(super) machine: Packages,
    places: Places,
    /// What runs beside; it ends with what it was for.
    task: Option<JoinHandle<()>>,
    told: (mpsc::Sender<Told>, mpsc::Receiver<Told>),
    /// One at a time reads and writes files: what runs on a thread of its own cannot be stopped.
    disk: Arc<Mutex<()>>,
    at_hand: AtHand,
    /// What is on trial, by whose token its end is told.
    trial: Option<OnTrial>,
    /// What runs in place of a version that was lost is being looked for.
    recovering: bool,
    /// A supervisor that is to take the place of this one.
    successor: Option<Awaited>,
}

/// What the last stage left for the next one.
#[derive(Default)]
enum AtHand {
    #[default]
    Nothing,
    Downloaded(Downloaded),
    Verified(Box<Verified>),
    /// Fit to be switched to with what runs, as soon as nothing else is on its way.
    Fit(Box<Fit>),
}

/// A Collector that passed its preflight.
#[derive(Debug)]
pub(super) struct Fit {
    outfit: Outfit,
    /// The config that it was asked about.
    with: Running,
    prepared: Prepared,
}

struct OnTrial {
    token: Token,
    /// The version that it must say it is.
    version: String,
    /// What is gone back to.
    back: Back,
}

enum Back {
    Collector(Box<Before>),
    /// Another version of an add-on, or none.
    AddOn(String),
}

/// Word of what runs beside.
pub(in crate::supervisor) struct Told {
    token: Token,
    what: What,
}

enum What {
    Progress {
        have: u64,
        total: Option<u64>,
    },
    Downloaded(Downloaded),
    Verified {
        verified: Box<Verified>,
        version: String,
    },
    Unpacked {
        slot: String,
        program: String,
    },
    Fit(Box<Fit>),
    Failed(Failed),
    /// What runs in place of a version that was lost.
    Recovered(Box<Result<Outfit, String>>),
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Told").field("token", &self.token).finish_non_exhaustive()
    }
}

impl Shelf {
    pub(in crate::supervisor) fn new(machine: Packages, places: Places) -> Self {
        Self {
            machine,
            places,
            task: None,
            told: mpsc::channel(8),
            disk: Arc::default(),
            at_hand: AtHand::Nothing,
            trial: None,
            recovering: false,
            successor: None,
        }
    }

    pub(super) async fn told(&mut self) -> Told {
        match self.told.1.recv().await {
            Some(told) => told,
            // It holds a sender itself.
            None => std::future::pending().await,
        }
    }

    fn drop_work(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.at_hand = AtHand::Nothing;
    }

    /// What is to be kept on disk.
    pub(super) fn record(&self) -> Record {
        self.machine.record().clone()
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.drop_work();
    }
}

/// What of the file decides about packages.
pub(in crate::supervisor) fn rules(accepts: bool, packages: &PackagesConfig) -> Rules {
    Rules {
        accepts: accepts && packages.signature.can_verify(),
        allow: packages.allow.clone(),
        downgrade: packages.downgrade,
    }
}

/// Refused until it is offered again.
#[allow(clippy::needless_pass_by_value, reason = "errors are given away here")]
fn refused(why: impl ToString) -> Failed {
    Failed { why: why.to_string(), then: Then::WaitForOffer }
}

/// The host stood in the way.
#[allow(clippy::needless_pass_by_value, reason = "errors are given away here")]
fn put_off(why: impl ToString) -> Failed {
    Failed { why: why.to_string(), then: Then::TryAgain }
}

/// Never tried again on this host.
#[allow(clippy::needless_pass_by_value, reason = "errors are given away here")]
fn condemned(why: impl ToString) -> Failed {
    Failed { why: why.to_string(), then: Then::Quarantine }
}

impl Driver {
    /// Goes on with what an earlier life left.
    pub(super) fn take_up_packages(&mut self) {
        let part = self.shelf.machine.record().work.as_ref().map(|work| work.offered.artefact.clone());
        let had = part.and_then(|part| std::fs::metadata(self.shelf.places.part(&part)).ok());
        self.shelf.machine.take_up(had.map_or(0, |facts| facts.len()), clock::boottime());
        self.perform_packages();
        if !self.shelf.machine.is_at_work() {
            self.shelf.places.forget_parts(None);
        }
        self.tidy_packages();
    }

    pub(super) fn packages_offered(&mut self, offered: PackagesAvailable) {
        if let Some(refusal) = self.parts.journal.refusal() {
            return tracing::error!("offered packages are ignored: {refusal}");
        }
        let offer = Offer::of_wire(offered);
        let names: Vec<_> = offer.packages.keys().map(String::as_str).collect();
        tracing::info!(packages = names.join(", "), "the server offers packages");
        self.tell_packages(Input::Offer(offer));
    }

    pub(super) fn tell_packages(&mut self, input: Input) {
        self.shelf.machine.saw(clock::wall_millis() / 1000);
        self.shelf.machine.handle(input, clock::boottime());
        self.perform_packages();
    }

    pub(super) fn packages_timeout(&mut self) {
        self.shelf.machine.handle_timeout(clock::boottime());
        self.perform_packages();
    }

    fn perform_packages(&mut self) {
        while let Some(effect) = self.shelf.machine.poll_effect() {
            match effect {
                Effect::Run { token, work } => self.run_stage(token, work),
                Effect::Drop { .. } => {
                    tracing::info!("the package at work is not offered any more, and is dropped");
                    self.shelf.drop_work();
                    self.shelf.places.forget_parts(None);
                }
                Effect::Remove { name, held } => self.remove_add_on(&name, &held),
                Effect::Changed => self.packages_changed(),
                Effect::Report => self.report_packages(),
                Effect::Settled => self.packages_settled(),
            }
        }
    }

    /// A stage is on disk before its work begins: without that word, it does not begin (F-54, F-56).
    fn run_stage(&mut self, token: Token, work: Work) {
        let stage = work.stage;
        let saved = self.save();
        let runs_already = stage == Stage::Trial && self.parts.machine.tries_binary();
        if let Err(why) = saved
            && !runs_already
        {
            let failed = put_off(format!("the journal cannot be written: {why}"));
            return self.stage_done(token, Err(failed));
        }
        self.report_packages();
        tracing::debug!(package = work.name, ?stage, "the package goes on");
        match (stage, work.offered.kind) {
            (Stage::Downloading, _) => self.begin_download(token, &work),
            (Stage::Verifying, _) => self.begin_verification(token, &work),
            (Stage::Extracting, _) => self.begin_unpacking(token, work),
            // It is asked by whoever puts it in place.
            (Stage::Preflight, Kind::Supervisor) => self.stage_done(token, Ok(Finished::Fit)),
            (Stage::Trial, Kind::Supervisor) => self.begin_succession(token, &work),
            (Stage::Preflight, _) => self.begin_preflight(token, &work),
            (Stage::Trial, Kind::AddOn) => self.place_add_on(token, &work),
            (Stage::Trial, Kind::Collector) => self.begin_trial(token, &work),
        }
    }

    fn stage_done(&mut self, token: Token, result: Result<Finished, Failed>) {
        if let Err(failed) = &result {
            let record = self.shelf.machine.record();
            let name = record.work.as_ref().map(|work| work.name.clone()).unwrap_or_default();
            tracing::error!(package = name, "the package is not installed: {}", failed.why);
            self.shelf.drop_work();
        }
        self.tell_packages(Input::Done { token, result });
    }

    pub(super) fn packages_told(&mut self, Told { token, what }: Told) {
        let is_late = token != self.shelf.machine.token();
        let result = match what {
            What::Recovered(found) => return self.recovered(*found),
            _ if is_late => return,
            What::Progress { have, total } => {
                return self.tell_packages(Input::Progress { token, have, total });
            }
            What::Downloaded(downloaded) => {
                self.shelf.at_hand = AtHand::Downloaded(downloaded);
                Ok(Finished::Downloaded)
            }
            What::Verified { verified, version } => {
                self.shelf.at_hand = AtHand::Verified(verified);
                Ok(Finished::Verified { version })
            }
            What::Unpacked { slot, program } => Ok(Finished::Unpacked { slot, program }),
            What::Fit(fit) => {
                self.shelf.at_hand = AtHand::Fit(fit);
                Ok(Finished::Fit)
            }
            What::Failed(failed) => Err(failed),
        };
        self.stage_done(token, result);
    }

    /// On disk first, then said (I6).
    fn packages_changed(&mut self) {
        self.save_or_later();
        self.report_packages();
    }

    /// What is installed is said when that is on disk.
    pub(super) fn report_packages(&self) {
        let accepts = self.parts.config.capabilities.accepts_packages;
        if self.unsaved.is_none() && (accepts || !self.shelf.machine.record().is_unused()) {
            self.parts.client.update(Update::PackageStatuses(self.masked_statuses()));
        }
    }

    fn packages_settled(&mut self) {
        self.shelf.drop_work();
        self.shelf.places.forget_parts(None);
        self.tidy_packages();
        self.take_held_config();
    }

    /// Removes the versions that nothing refers to, and puts the links right.
    fn tidy_packages(&mut self) {
        self.shelf.machine.keep_before(self.parts.config.packages.keep_previous, clock::wall_millis() / 1000);
        let record = self.shelf.machine.record();
        if record.is_unused() {
            return;
        }
        let before = record.before.as_ref().and_then(|before| before.binary.as_ref()).map(|(_, held)| held);
        let current = record.collector().map(|(_, held)| held);
        let trial = record.trial.as_ref().map(|trial| &trial.target);
        let made = record.work.as_ref().and_then(|work| work.made.as_ref());
        if let Err(error) = self.shelf.places.point_collectors(current, before) {
            tracing::warn!("links to the Collectors are not right: {error}");
        }
        let kept = [current, before, trial, made].into_iter().flatten();
        let kept: Vec<_> =
            kept.filter(|held| held.kind == Kind::Collector).map(|held| held.slot.as_str()).collect();
        self.shelf.places.keep_only(Kind::Collector, "otelcol", &kept);
        self.tidy_supervisors();
        let record = self.shelf.machine.record();
        for (name, held) in record.held.iter().filter(|(_, held)| held.kind == Kind::AddOn) {
            self.shelf.places.keep_only(Kind::AddOn, name, &[held.slot.as_str()]);
        }
    }
}
