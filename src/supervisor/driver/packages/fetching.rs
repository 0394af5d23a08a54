//! Download, verify, unpack: each beside the driver, each with what the one before left.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use super::{AtHand, Driver, Told, What, condemned, put_off, refused};
use crate::{
    os::{clock, host, space::Room},
    package::{
        Claims, Keys, Limits, PackageName, Refused, Trust, Verified,
        slots::{Slot, SlotError, Slots},
    },
    supervisor::{
        config::SignatureRules,
        upgrade::{
            Failed, Kind, Offered, SUPERVISOR, Work,
            download::{DownloadError, Downloaded, Job, Progress, download},
            machine::Token,
            version,
        },
    },
};

/// The established supervisor's name of the Collector's file in an archive.
const USUAL: &str = "otelcol-contrib";

/// Who has to have signed a package, as the files say now.
pub(super) struct Judge {
    name: PackageName,
    offered: Offered,
    keys: Option<Keys>,
    least_epoch: u32,
    now: Timestamp,
}

impl Judge {
    fn new(name: &str, offered: &Offered, rules: &SignatureRules, seen: u64) -> Result<Self, Failed> {
        let keys = if rules.skip { None } else { Some(keys(rules)?) };
        let wall = clock::wall_millis() / 1000;
        // A clock that was set back makes nothing valid again (F-26).
        let now = Timestamp::from_second(i64::try_from(wall.max(seen)).unwrap_or(i64::MAX));
        Ok(Self {
            name: name.parse().map_err(refused)?,
            offered: offered.clone(),
            keys,
            least_epoch: rules.least_epoch,
            now: now.map_err(put_off)?,
        })
    }

    fn ask<T>(&self, ask: impl FnOnce(&crate::package::Offered<'_>, Option<&Trust<'_>>) -> T) -> T {
        let offered = crate::package::Offered {
            name: &self.name,
            version: &self.offered.version,
            content_hash: &self.offered.artefact.0,
            signature: &self.offered.signature,
        };
        let (os, arch) = host::platform();
        let trust = self.keys.as_ref().map(|keys| Trust {
            keys,
            least_epoch: self.least_epoch,
            os,
            arch: &arch,
            now: self.now,
        });
        ask(&offered, trust.as_ref())
    }

    /// What can be told before the download.
    fn foresee(&self) -> Result<Option<Claims>, Refused> {
        self.ask(|offered, trust| trust.map(|trust| Claims::foreseen(offered, trust)).transpose())
    }

    fn verify(&self, file: fs::File) -> Result<Verified, Refused> {
        self.ask(|offered, trust| Verified::of(file, offered, trust))
    }
}

fn keys(rules: &SignatureRules) -> Result<Keys, Failed> {
    let mut keys = Keys::default();
    for path in &rules.public_key_files {
        let name = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| {
            put_off(format!("packages.signature.public_key_files: cannot read {name}: {error}"))
        })?;
        keys.add(&name, &text)
            .map_err(|error| put_off(format!("packages.signature.public_key_files: {error}")))?;
    }
    Ok(keys)
}

impl Driver {
    fn judge_of(&self, work: &Work) -> Result<Judge, Failed> {
        let seen = self.shelf.machine.record().seen;
        Judge::new(&work.name, &work.offered, &self.parts.config.packages.signature, seen)
    }

    /// What a signature says is looked at first: what would be refused is not fetched.
    pub(super) fn begin_download(&mut self, token: Token, work: &Work) {
        self.shelf.places.forget_parts(Some(&work.offered.artefact));
        let job = self.judge_of(work).and_then(|judge| {
            let claims = judge.foresee().map_err(|why| of_refusal(&why))?;
            let size = claims.map(|claims| claims.size);
            let job = self.download_job(&work.offered, size, &self.shelf.places).map_err(refused)?;
            room_for(&job)?;
            Ok(job)
        });
        match job {
            Ok(job) => {
                tracing::info!(
                    package = work.name,
                    version = work.offered.version,
                    "the package is downloaded"
                );
                let tell = self.shelf.told.0.clone();
                self.shelf.task = Some(tokio::spawn(fetch(job, token, tell)));
            }
            Err(failed) => self.stage_done(token, Err(failed)),
        }
    }

    pub(super) fn begin_verification(&mut self, token: Token, work: &Work) {
        let AtHand::Downloaded(downloaded) = std::mem::take(&mut self.shelf.at_hand) else {
            return self.stage_done(token, Err(put_off("what was downloaded is not at hand")));
        };
        let judge = self.judge_of(work);
        let job = self.download_job(&work.offered, None, &self.shelf.places).map_err(refused);
        let (judge, job) = match (judge, job) {
            (Ok(judge), Ok(job)) => (judge, job),
            (Err(failed), _) | (_, Err(failed)) => return self.stage_done(token, Err(failed)),
        };
        let (tell, disk) = (self.shelf.told.0.clone(), self.shelf.disk.clone());
        self.shelf.task = Some(tokio::spawn(async move {
            let _guard = disk.lock().await;
            let what = match verify(downloaded, judge, job).await {
                Ok((verified, version)) => What::Verified { verified: Box::new(verified), version },
                Err(failed) => What::Failed(failed),
            };
            // The driver is gone only when everything ends.
            let _ = tell.send(Told { token, what }).await;
        }));
    }

    pub(super) fn begin_unpacking(&mut self, token: Token, work: Work) {
        let AtHand::Verified(mut verified) = std::mem::take(&mut self.shelf.at_hand) else {
            return self.stage_done(token, Err(put_off("what was verified is not at hand")));
        };
        let (tell, disk) = (self.shelf.told.0.clone(), self.shelf.disk.clone());
        let places = self.shelf.places.clone();
        let program = match work.offered.kind {
            Kind::Supervisor => Some(SUPERVISOR.to_owned()),
            Kind::Collector | Kind::AddOn => self.parts.config.agent.packaged_binary.clone(),
        };
        self.shelf.task = Some(tokio::spawn(async move {
            let guard = disk.lock_owned().await;
            let unpacked = tokio::task::spawn_blocking(move || {
                let _guard = guard;
                let slots = places.slots(work.offered.kind, &work.name).map_err(put_off)?;
                unpack(&slots, &mut verified, &work, program.as_deref())
            });
            let what = match unpacked.await {
                Ok(Ok((slot, program))) => What::Unpacked { slot, program },
                Ok(Err(failed)) => What::Failed(failed),
                Err(error) => What::Failed(put_off(format!("it could not be unpacked: {error}"))),
            };
            // The driver is gone only when everything ends.
            let _ = tell.send(Told { token, what }).await;
        }));
    }
}

async fn fetch(job: Job, token: Token, tell: mpsc::Sender<Told>) {
    let (progress, mut seen) = watch::channel(Progress::default());
    let fetched = download(job, &progress);
    tokio::pin!(fetched);
    let what = loop {
        tokio::select! {
            fetched = &mut fetched => break match fetched {
                Ok(downloaded) => What::Downloaded(downloaded),
                Err(error) => What::Failed(of_download(&error)),
            },
            Ok(()) = seen.changed() => {
                let Progress { have, total } = *seen.borrow_and_update();
                // Progress that nobody has time for is not worth waiting for.
                let _ = tell.try_send(Told { token, what: What::Progress { have, total } });
            }
        }
    };
    // The driver is gone only when everything ends.
    let _ = tell.send(Told { token, what }).await;
}

/// A part that an earlier life left may be torn: what does not match with it is fetched once more as a whole.
async fn verify(downloaded: Downloaded, judge: Judge, job: Job) -> Result<(Verified, String), Failed> {
    let resumed = downloaded.resumed;
    let (judge, verified) = aside(judge, downloaded).await?;
    let verified = match verified {
        Err(Refused::Hash { .. }) if resumed => {
            fs::remove_file(&job.file)
                .map_err(|error| put_off(format!("the torn download stays: {error}")))?;
            let whole = download(job, &watch::channel(Progress::default()).0).await;
            aside(judge, whole.map_err(|error| of_download(&error))?).await?
        }
        verified => (judge, verified),
    };
    let (judge, verified) = verified;
    let verified = verified.map_err(|why| of_refusal(&why))?;
    let version = match verified.claims() {
        Some(claims) => claims.version.to_string(),
        None => version(&judge.offered.version)
            .ok_or_else(|| {
                refused(format!("{:?} is no version; it must be like 0.150.0", judge.offered.version))
            })?
            .to_string(),
    };
    Ok((verified, version))
}

/// Reading it all takes a while: on a thread of its own.
async fn aside(judge: Judge, downloaded: Downloaded) -> Result<(Judge, Result<Verified, Refused>), Failed> {
    let verified = tokio::task::spawn_blocking(move || {
        let verified = judge.verify(downloaded.file);
        (judge, verified)
    });
    verified.await.map_err(|error| put_off(format!("it could not be verified: {error}")))
}

/// The slot, and the program in it.
fn unpack(
    slots: &Slots,
    verified: &mut Verified,
    work: &Work,
    program: Option<&str>,
) -> Result<(String, String), Failed> {
    let name: PackageName = work.name.parse().map_err(refused)?;
    let made = work.made.as_ref().and_then(|made| version(&made.version));
    let version = made.ok_or_else(|| put_off("its version is not known"))?;
    let bare = program.unwrap_or(&work.name);
    let slot =
        slots.install(verified, &name, &version, bare, Limits::default()).map_err(|error| of_slot(&error))?;
    let id = slot.id().to_string();
    if work.offered.kind == Kind::AddOn {
        return Ok((id, String::new()));
    }
    let found = match program {
        Some(program) => slot.executable(program),
        None => {
            [work.name.as_str(), USUAL].iter().find_map(|name| slot.executable(name)).or_else(|| only(&slot))
        }
    };
    let path = found.and_then(|path| path.strip_prefix(slot.files()).map(PathBuf::from).ok());
    match path.as_ref().and_then(|path| path.to_str()) {
        Some(path) => {
            is_program(&slot.files().join(path))?;
            Ok((id, path.to_owned()))
        }
        None => {
            let wanted = program.unwrap_or(&work.name);
            Err(condemned(format!(
                "there is no executable {wanted:?} in it; for another name, set agent.package.agent_binary"
            )))
        }
    }
}

/// A script would run what was not verified.
fn is_program(path: &Path) -> Result<(), Failed> {
    let mut magic = [0; 4];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    match read {
        Ok(()) if magic == *b"\x7fELF" => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(put_off(error)),
        _ => Err(condemned("its program is a script or something else that is no program of its own (ELF)")),
    }
}

/// The one executable that there is.
fn only(slot: &Slot) -> Option<PathBuf> {
    let mut programs = slot.manifest().files.iter().filter(|entry| entry.executable);
    let first = programs.next()?;
    programs.next().is_none().then(|| slot.files().join(&first.path))
}

/// Room for what is to come, for what it unpacks to, and for everybody else.
fn room_for(job: &Job) -> Result<(), Failed> {
    let Some(size) = job.wanted.size else { return Ok(()) };
    let there = fs::metadata(&job.file).map_or(0, |facts| facts.len());
    let directory = job.file.parent().unwrap_or(&job.file);
    Room::on(directory).map_err(put_off)?.takes(size.saturating_sub(there), size).map_err(put_off)
}

fn of_download(error: &DownloadError) -> Failed {
    if error.may_pass() { put_off(error) } else { refused(error) }
}

fn of_refusal(why: &Refused) -> Failed {
    if why.may_pass() { put_off(why) } else { refused(why) }
}

fn of_slot(error: &SlotError) -> Failed {
    if error.may_pass() { put_off(error) } else { condemned(error) }
}
