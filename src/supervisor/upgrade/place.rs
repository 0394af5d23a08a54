//! Where packages are on this host.
//!
//! ```text
//!   <storage.directory>/
//!     versions/<ver>-<sha12>/…            Collectors; current and previous beside are links to two of them
//!     addons/<name>/<ver>-<sha12>/…       add-ons; addons/<name>/current is a link to the files of the one in force
//!     supervisors/<ver>-<sha12>/…         supervisors
//!     staging/<sha12>.part                what is being downloaded
//! ```
//!
//! Links are for people and for configs. What is run is what the journal names.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;

use super::{
    policy::version,
    terms::{Artefact, Held, Kind},
};
use crate::{
    os::fs::{FsError, failed, sync_dir},
    package::slots::{Entry, Slot, SlotError, Slots},
};

const FILES: &str = "files";

/// The places below a storage directory.
#[derive(Clone, Debug)]
pub struct Places(PathBuf);

/// A program of a package, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub path: PathBuf,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// A package that is held and cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error(transparent)]
    Slot(#[from] SlotError),
    #[error("{} is gone", .0.display())]
    Gone(PathBuf),
}

impl Places {
    #[must_use]
    pub fn of(storage: &Path) -> Self {
        Self(storage.to_owned())
    }

    fn directory(&self, kind: Kind, name: &str) -> PathBuf {
        match kind {
            Kind::Collector => self.0.join("versions"),
            Kind::Supervisor => self.0.join("supervisors"),
            Kind::AddOn => self.0.join("addons").join(name),
        }
    }

    /// Whether this program is a Collector that came as a package.
    #[must_use]
    pub fn has(&self, program: &Path) -> bool {
        program.starts_with(self.directory(Kind::Collector, ""))
    }

    /// The versions of a package; what was left half done there goes.
    pub fn slots(&self, kind: Kind, name: &str) -> Result<Slots, FsError> {
        Slots::open(&self.directory(kind, name))
    }

    /// Where an artefact is downloaded to.
    #[must_use]
    pub fn part(&self, artefact: &Artefact) -> PathBuf {
        let name: String = artefact.to_string().chars().take(12).collect();
        self.0.join("staging").join(format!("{name}.part"))
    }

    /// Removes what was downloaded, but for this artefact.
    pub fn forget_parts(&self, keep: Option<&Artefact>) {
        let keep = keep.map(|artefact| self.part(artefact));
        for entry in fs::read_dir(self.0.join("staging")).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let part =
                name.to_str().is_some_and(|name| name.ends_with(".part") || name.ends_with(".part.json"));
            let kept =
                keep.as_ref().is_some_and(|keep| path == *keep || path == keep.with_extension("part.json"));
            if part
                && !kept
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::debug!(path = %path.display(), %error, "a part of a download stays");
            }
        }
    }

    fn slot(&self, name: &str, held: &Held) -> Result<Slot, Unfit> {
        let directory = self.directory(held.kind, name);
        let found = Slots::existing(&directory).into_iter().find(|slot| slot.id().to_string() == held.slot);
        found.ok_or_else(|| Unfit::Gone(directory.join(&held.slot)))
    }

    /// The program of a package that is held. Whether its bytes are the ones that were installed, the caller looks.
    pub fn program(&self, name: &str, held: &Held) -> Result<Program, Unfit> {
        let slot = self.slot(name, held)?;
        let path = slot.files().join(&held.program);
        let entry = slot.manifest().files.iter().find(|entry| entry.path == Path::new(&held.program));
        let entry = entry.ok_or_else(|| Unfit::Gone(path.clone()))?;
        if !path.is_file() {
            return Err(Unfit::Gone(path));
        }
        Ok(Program { path, sha256: HEXLOWER.encode(&entry.sha256) })
    }

    /// The newest Collector that is whole, for when nothing is known any more (F-17).
    #[must_use]
    pub fn newest_collector(&self) -> Option<(String, Held)> {
        let slots = Slots::existing(&self.directory(Kind::Collector, ""));
        let whole = slots.into_iter().filter(|slot| slot.check().is_ok());
        let newest = whole.max_by_key(|slot| version(&slot.manifest().version))?;
        let manifest = newest.manifest();
        let mut programs = manifest.files.iter().filter(|entry| entry.executable);
        let named =
            |entry: &&Entry| entry.path.file_name().is_some_and(|name| name == manifest.name.as_str());
        let program = programs.clone().find(named).or_else(|| programs.next())?;
        let held = Held {
            kind: Kind::Collector,
            version: manifest.version.clone(),
            hash: Vec::new(),
            artefact: Artefact(manifest.artefact.to_vec()),
            slot: newest.id().to_string(),
            program: program.path.to_str()?.to_owned(),
        };
        Some((manifest.name.clone(), held))
    }

    /// The link by which configs name an add-on.
    #[must_use]
    pub fn link(&self, name: &str) -> PathBuf {
        self.directory(Kind::AddOn, name).join("current")
    }

    /// Has an add-on's link lead to this version, or nowhere.
    pub fn point(&self, name: &str, held: Option<&Held>) -> Result<(), FsError> {
        link(&self.link(name), held.map(|held| Path::new(&held.slot).join(FILES)).as_deref())
    }

    /// Derives the links to the Collectors (F-19).
    pub fn point_collectors(&self, current: Option<&Held>, previous: Option<&Held>) -> Result<(), FsError> {
        let target = |held: &Held| Path::new("versions").join(&held.slot);
        link(&self.0.join("current"), current.map(target).as_deref())?;
        link(&self.0.join("previous"), previous.map(target).as_deref())
    }

    /// Removes every version but these; of what cannot be removed, something is said.
    pub fn keep_only(&self, kind: Kind, name: &str, keep: &[&str]) {
        let directory = self.directory(kind, name);
        if !directory.exists() {
            return;
        }
        let removed = Slots::open(&directory).and_then(|slots| {
            let gone = slots.all().into_iter().filter(|slot| !keep.contains(&slot.id().to_string().as_str()));
            gone.into_iter().try_for_each(|slot| slots.remove(slot.id()))
        });
        if let Err(error) = removed {
            tracing::warn!("an old version of {name} stays: {error}");
        }
    }

    /// Removes an add-on with all its versions.
    pub fn remove_add_on(&self, name: &str) -> Result<(), FsError> {
        let directory = self.directory(Kind::AddOn, name);
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed("remove", &directory)(error))
            }
            _ => Ok(()),
        }
    }
}

/// Replaces a link in one step; one that is right is left alone.
fn link(path: &Path, target: Option<&Path>) -> Result<(), FsError> {
    let there = fs::read_link(path).ok();
    if there.as_deref() == target && (target.is_some() || fs::symlink_metadata(path).is_err()) {
        return Ok(());
    }
    let Some(target) = target else {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
            _ => Ok(()),
        };
    };
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(failed("create", parent))?;
    let temp = path.with_extension("new");
    // A leftover of an earlier life.
    let _ = fs::remove_file(&temp);
    symlink(target, &temp).map_err(failed("create", &temp))?;
    fs::rename(&temp, path).map_err(failed("put in place", path))?;
    sync_dir(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(slot: &str) -> Held {
        Held {
            kind: Kind::Collector,
            version: "1.0.0".to_owned(),
            hash: vec![],
            artefact: Artefact(vec![1; 32]),
            slot: slot.to_owned(),
            program: "otelcol".to_owned(),
        }
    }

    #[test]
    fn f_19_links_are_made_again_whatever_became_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::of(dir.path());
        let (one, two) = (held("1.0.0-aa"), held("2.0.0-bb"));
        let current = || fs::read_link(dir.path().join("current")).ok();
        places.point_collectors(Some(&one), None).unwrap();
        assert_eq!(current(), Some(PathBuf::from("versions/1.0.0-aa")));
        places.point_collectors(Some(&two), Some(&one)).unwrap();
        assert_eq!(current(), Some(PathBuf::from("versions/2.0.0-bb")));
        fs::remove_file(dir.path().join("current")).unwrap();
        symlink("/etc", dir.path().join("current")).unwrap();
        places.point_collectors(Some(&two), Some(&one)).unwrap();
        assert_eq!(current(), Some(PathBuf::from("versions/2.0.0-bb")));
        fs::remove_file(dir.path().join("current")).unwrap();
        fs::write(dir.path().join("current"), "a file in its place").unwrap();
        places.point_collectors(Some(&two), None).unwrap();
        assert_eq!(current(), Some(PathBuf::from("versions/2.0.0-bb")));
        places.point_collectors(None, None).unwrap();
        assert_eq!((current(), fs::read_dir(dir.path()).unwrap().count()), (None, 0));
    }

    #[test]
    fn f_53_parts_of_what_is_not_wanted_go() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::of(dir.path());
        fs::create_dir(dir.path().join("staging")).unwrap();
        let (one, two) = (Artefact(vec![1; 32]), Artefact(vec![2; 32]));
        for artefact in [&one, &two] {
            fs::write(places.part(artefact), "x").unwrap();
            fs::write(places.part(artefact).with_extension("part.json"), "{}").unwrap();
        }
        places.forget_parts(Some(&two));
        assert_eq!((places.part(&one).exists(), places.part(&two).exists()), (false, true));
        assert_eq!(fs::read_dir(dir.path().join("staging")).unwrap().count(), 2);
        places.forget_parts(None);
        assert_eq!(fs::read_dir(dir.path().join("staging")).unwrap().count(), 0);
    }

    #[test]
    fn f_20_a_version_that_is_gone_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = Places::of(dir.path()).program("otelcol", &held("1.0.0-aa")).unwrap_err();
        assert!(error.to_string().ends_with("versions/1.0.0-aa is gone"), "{error}");
    }
}
