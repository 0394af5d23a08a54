//! Whether another executable may take over: which file it is, whether it takes this host's files, and how to come
//! back from it. Runs beside everything else; nothing is touched.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use tokio::task::spawn_blocking;

use super::{Successor, Wanted};
use crate::{
    os::{
        child::Spec,
        executable::{OWN, Untrusted, digest, keep_own, trusted},
        fs::{FileIdentity, FsError, failed},
        run::{Limits, RunError, run},
    },
    supervisor::journal::{FailedSupervisor, Program, WayBack},
};

/// How long a dry run may take, and how much of what it says is read.
const DRY_RUN: Limits = Limits { deadline: Duration::from_secs(20), output: 16 * 1024 };
/// Where copies of supervisors are, below the storage directory.
const COPIES: &str = "supervisor";

/// What is examined, and what is known.
#[derive(Clone, Debug)]
pub(in crate::supervisor) struct Examination {
    pub(in crate::supervisor) successor: Successor,
    /// Where the one that runs was started from.
    pub(in crate::supervisor) own: PathBuf,
    /// Programs whose hash need not be computed again.
    pub(in crate::supervisor) known: Vec<Program>,
    pub(in crate::supervisor) failed: Vec<FailedSupervisor>,
    /// The `supervisor.yaml`.
    pub(in crate::supervisor) file: PathBuf,
    pub(in crate::supervisor) storage: PathBuf,
}

/// One that may take over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::supervisor) struct Candidate {
    pub(in crate::supervisor) target: Program,
    pub(in crate::supervisor) previous: Program,
    pub(in crate::supervisor) way_back: WayBack,
}

/// Why one may not.
#[derive(Debug, thiserror::Error)]
pub(in crate::supervisor) enum Unfit {
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    #[error("{} is not the file of the package: its SHA-256 is {found}", .executable.display())]
    AnotherFile { executable: PathBuf, found: String },
    #[error("{} failed before and is not tried again by itself: {why}", executable.display())]
    Failed { executable: PathBuf, why: String },
    #[error("{} does not run: {source}", executable.display())]
    DoesNotRun { executable: PathBuf, source: Box<RunError> },
    #[error("{} does not take over here ({how}): {said}", executable.display())]
    SaysNo { executable: PathBuf, how: String, said: String },
    #[error(
        "{} would keep its state in {}, and this one has it in {}: restart the supervisor for another storage.directory",
        executable.display(), theirs.display(), ours.display()
    )]
    Elsewhere { executable: PathBuf, theirs: PathBuf, ours: PathBuf },
    #[error("there would be no way back, as a copy of what runs now cannot be kept: {0}")]
    NoWayBack(#[source] FsError),
    #[error("there would be no way back, as what runs now does not run from where it would be: {0}")]
    NoWayBackRuns(#[source] Box<RunError>),
    #[error("the files cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

impl From<FsError> for Unfit {
    fn from(error: FsError) -> Self {
        Self::Untrusted(error.into())
    }
}

/// What `opamp-supervisor verify` says.
#[derive(Deserialize)]
struct Verified {
    version: String,
    storage: PathBuf,
}

/// On the main thread: it runs executables.
pub(in crate::supervisor) async fn examine(wanted: Examination) -> Result<Candidate, Unfit> {
    let executable = &wanted.successor.executable;
    // What runs is known by the name of the file itself.
    let executable = fs::canonicalize(executable).map_err(failed("find", executable))?;
    let file = trusted(&executable)?;
    let (file, sha256) = wanted.digest(&executable, file).await?;
    if let Wanted::ByPackage { sha256: expected } = &wanted.successor.wanted {
        if *expected != sha256 {
            return Err(Unfit::AnotherFile { executable, found: sha256 });
        }
        if let Some(failed) = wanted.failed.iter().find(|failed| failed.sha256 == sha256) {
            return Err(Unfit::Failed { executable, why: failed.why.clone() });
        }
    }
    let verified = wanted.verify(&executable).await?;
    if verified.storage != wanted.storage {
        return Err(Unfit::Elsewhere { executable, theirs: verified.storage, ours: wanted.storage });
    }
    let target = Program { executable, file, sha256, version: verified.version };
    let (previous, way_back) = wanted.way_back().await?;
    Ok(Candidate { target, previous, way_back })
}

impl Examination {
    /// Which file it is, from what is known where it is still the same.
    async fn digest(&self, path: &Path, now: FileIdentity) -> Result<(FileIdentity, String), Unfit> {
        if let Some(known) = self.known.iter().find(|known| known.file == now) {
            return Ok((now, known.sha256.clone()));
        }
        let path = path.to_owned();
        Ok(spawn_blocking(move || digest(&path)).await.map_err(io::Error::other)??)
    }

    async fn verify(&self, executable: &Path) -> Result<Verified, Unfit> {
        let config: &[&std::ffi::OsStr] = &["--config".as_ref(), self.file.as_os_str()];
        let spec = Spec::new(executable).args(["verify", "--output", "json"]).args(config);
        let failed =
            |source| Unfit::DoesNotRun { executable: executable.to_owned(), source: Box::new(source) };
        let finished = run(&spec, DRY_RUN).await.map_err(failed)?;
        let no = |how: &str, said: &[u8]| Unfit::SaysNo {
            executable: executable.to_owned(),
            how: how.to_owned(),
            said: String::from_utf8_lossy(said).trim().to_owned(),
        };
        if !finished.exit.success() {
            return Err(no(&finished.exit.to_string(), &finished.stderr));
        }
        serde_json::from_slice(&finished.stdout)
            .map_err(|_| no("not in words of a supervisor", &finished.stdout))
    }

    /// The one that runs, where it will be found again: where it was, or in a copy when another file is there now.
    async fn way_back(&self) -> Result<(Program, WayBack), Unfit> {
        let mine = FileIdentity::of(Path::new(OWN))?;
        let in_place = FileIdentity::of(&self.own).is_ok_and(|there| there == mine);
        let (file, sha256) = self.digest(Path::new(OWN), mine).await?;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        if in_place {
            let program = Program { executable: self.own.clone(), file, sha256, version };
            return Ok((program, WayBack::InPlace));
        }
        let copy = self.storage.join(COPIES).join(&sha256[..12]).join("opamp-supervisor");
        let to = copy.clone();
        let kept = spawn_blocking(move || keep_own(&to)).await.map_err(io::Error::other)?;
        kept.map_err(Unfit::NoWayBack)?;
        let file = FileIdentity::of(&copy)?;
        let spec = Spec::new(&copy).args(["version"]);
        run(&spec, DRY_RUN).await.map_err(|error| Unfit::NoWayBackRuns(Box::new(error)))?;
        Ok((Program { executable: copy, file, sha256, version }, WayBack::Copy))
    }
}

/// Whether this is still the file that was looked at, reading it again if need be. Blocks.
pub(in crate::supervisor) fn same_file(program: &Program) -> Result<(), Untrusted> {
    let now = trusted(&program.executable)?;
    if now != program.file && digest(&program.executable)?.1 != program.sha256 {
        return Err(Untrusted::Another(program.executable.clone()));
    }
    Ok(())
}

/// Removes the copies that nobody may be gone back to.
pub(in crate::supervisor) fn forget_copies(storage: &Path, keep: &[&Path]) {
    for entry in fs::read_dir(storage.join(COPIES)).into_iter().flatten().flatten() {
        let path = entry.path();
        if !keep.iter().any(|kept| kept.starts_with(&path))
            && let Err(error) = fs::remove_dir_all(&path)
        {
            tracing::debug!(path = %path.display(), %error, "a copy of an earlier supervisor stays");
        }
    }
}
