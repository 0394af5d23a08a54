//! A file that others write, watched by name: an editor's rename-over, a symlink that is pointed elsewhere (as
//! Kubernetes does with a ConfigMap) and a plain write are all noticed, whichever inode is behind the name.
//!
//! Watched are the directories of the file and of each symlink on the way to it. What happens to other names
//! in them is dropped; what happens to these is told once it has settled, and only if it made a difference.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    os::fd::{AsFd, AsRawFd, RawFd},
    path::{Component, Path, PathBuf, absolute},
    sync::Arc,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::Notify,
    task::JoinHandle,
    time::sleep,
};

use super::fs::FileIdentity;

/// Symlinks on the way to a file; the kernel's own limit.
const MOST_LINKS: usize = 40;

/// A watched file. Dropping it ends the watch.
#[derive(Debug)]
pub struct FileWatch {
    changed: Arc<Notify>,
    task: JoinHandle<()>,
}

impl FileWatch {
    /// Watches from here on. A change is told when nothing more happened to the file's names for `settle`.
    #[allow(unsafe_code)]
    pub fn start(path: &Path, settle: Duration) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let path = absolute(path)?;
        // SAFETY: the Inotify keeps its descriptor open and the same for as long as the AsyncFd owns it.
        let fd = unsafe { AsyncFd::register_with_interest(Fd(inotify), Interest::READABLE) }?;
        let mut watcher = Watcher { fd, path, names: BTreeMap::new(), seen: None };
        watcher.follow()?;
        watcher.seen = watcher.look();
        let changed = Arc::new(Notify::new());
        let tell = changed.clone();
        let task = tokio::spawn(async move {
            let Err(error) = watcher.run(settle, &tell).await;
            tracing::warn!(path = %watcher.path.display(), %error, "this file is not watched any more");
        });
        Ok(Self { changed, task })
    }

    /// Resolves when the file is another one since the last time; may be cancelled without losing a change.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Fd(Inotify);

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

struct Watcher {
    fd: AsyncFd<Fd>,
    path: PathBuf,
    /// What counts in each watched directory.
    names: BTreeMap<WatchDescriptor, Vec<OsString>>,
    seen: Option<FileIdentity>,
}

enum Never {}

impl Watcher {
    async fn run(&mut self, settle: Duration, tell: &Notify) -> Result<Never, io::Error> {
        loop {
            while !self.concerned().await? {}
            sleep(settle).await;
            // What came meanwhile is seen by looking now.
            while self.read()?.is_some() {}
            self.follow()?;
            let now = self.look();
            if now != self.seen {
                self.seen = now;
                tell.notify_one();
            }
        }
    }

    fn look(&self) -> Option<FileIdentity> {
        FileIdentity::of(&self.path).ok()
    }

    /// Waits for events; whether one of them is about the file.
    async fn concerned(&mut self) -> io::Result<bool> {
        let mut ready = self.fd.readable().await?;
        ready.clear_ready();
        drop(ready);
        let mut concerned = false;
        while let Some(about) = self.read()? {
            concerned |= about;
        }
        Ok(concerned)
    }

    /// One reading of what the kernel has; `None` when that is nothing.
    fn read(&self) -> io::Result<Option<bool>> {
        match self.fd.get_ref().0.read_events() {
            // An event without a name is about a directory itself, or says that some were lost.
            Ok(events) => {
                Ok(Some(events.iter().any(|event| match (&event.name, self.names.get(&event.wd)) {
                    (Some(name), Some(names)) => names.contains(name),
                    (Some(_), None) => false,
                    (None, _) => true,
                })))
            }
            Err(Errno::EAGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Watches the directories that lead to the file now, and no others.
    fn follow(&mut self) -> io::Result<()> {
        let flags = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        let mut names: BTreeMap<_, Vec<OsString>> = BTreeMap::new();
        let mut refused = None;
        for (dir, name) in way_to(&self.path) {
            match self.fd.get_ref().0.add_watch(&dir, flags) {
                Ok(watch) => names.entry(watch).or_default().push(name),
                // One that is not to be read is on the way all the same; others may tell enough.
                Err(error) => refused = Some(error),
            }
        }
        for old in self.names.keys().filter(|old| !names.contains_key(old)) {
            // The kernel has dropped it by itself when the directory is gone.
            let _ = self.fd.get_ref().0.rm_watch(*old);
        }
        self.names = names;
        match refused {
            Some(error) if self.names.is_empty() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Each name on the way to the file whose change could change what the path means: symlinks, and at the end
/// the file itself or the first name that is not there. `path` is absolute.
fn way_to(path: &Path) -> Vec<(PathBuf, OsString)> {
    let mut way = Vec::new();
    let mut here = PathBuf::from("/");
    let mut ahead = steps(path);
    let mut links = 0;
    while let Some(step) = ahead.pop() {
        let name = match step {
            Step::Up => {
                here.pop();
                continue;
            }
            Step::Root => {
                here = PathBuf::from("/");
                continue;
            }
            Step::Into(name) => name,
        };
        let next = here.join(&name);
        match fs::read_link(&next) {
            Ok(target) if links < MOST_LINKS => {
                links += 1;
                way.push((here.clone(), name));
                ahead.extend(steps(&target));
            }
            _ if ahead.is_empty() || !next.exists() => {
                way.push((here, name));
                break;
            }
            _ => here = next,
        }
    }
    way
}

enum Step {
    Root,
    Up,
    Into(OsString),
}

/// The last one first.
fn steps(path: &Path) -> Vec<Step> {
    let step = |component: Component<'_>| match component {
        Component::RootDir => Some(Step::Root),
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Into(name.to_owned())),
        Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(step).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::os::testing::in_time;

    const SETTLE: Duration = Duration::from_millis(20);

    /// Whether nothing was told of `quiet` by the time that a change of `path` is.
    async fn says_nothing_of(watch: &FileWatch, path: &Path, quiet: impl FnOnce()) {
        quiet();
        fs::write(path, "something else, longer").unwrap();
        in_time(watch.changed()).await;
    }

    #[tokio::test]
    async fn a_write_a_rename_over_a_removal_and_a_return_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("s.yaml"), dir.path().join("s.yaml.new"));
        fs::write(&path, "1").unwrap();
        let watch = FileWatch::start(&path, SETTLE).unwrap();
        fs::write(&path, "22").unwrap();
        in_time(watch.changed()).await;
        fs::write(&other, "333").unwrap();
        fs::rename(&other, &path).unwrap();
        in_time(watch.changed()).await;
        fs::remove_file(&path).unwrap();
        in_time(watch.changed()).await;
        fs::write(&path, "4444").unwrap();
        in_time(watch.changed()).await;
        says_nothing_of(&watch, &path, || fs::write(&other, "x").unwrap()).await;
    }

    #[tokio::test]
    async fn a_swapped_symlink_on_the_way_is_told_again_and_again() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let swap = |to: &str| {
            fs::create_dir(at(to)).unwrap();
            fs::write(at(to).join("s.yaml"), to).unwrap();
            symlink(to, at("..tmp")).unwrap();
            fs::rename(at("..tmp"), at("..data")).unwrap();
        };
        swap("..one");
        symlink("..data/s.yaml", at("s.yaml")).unwrap();
        let watch = FileWatch::start(&at("s.yaml"), SETTLE).unwrap();
        for to in ["..two", "..three", "..four"] {
            swap(to);
            in_time(watch.changed()).await;
        }
        fs::remove_dir_all(at("..one")).unwrap();
        fs::write(at("..four/s.yaml"), "in place").unwrap();
        in_time(watch.changed()).await;
    }

    #[tokio::test]
    async fn a_file_in_a_directory_that_is_not_there_cannot_be_watched_and_a_loop_ends() {
        let dir = tempfile::tempdir().unwrap();
        symlink("b", dir.path().join("a")).unwrap();
        symlink("a", dir.path().join("b")).unwrap();
        assert!(way_to(&dir.path().join("a")).len() <= MOST_LINKS + 1);
        let missing = dir.path().join("gone/s.yaml");
        let watch = FileWatch::start(&missing, SETTLE).unwrap();
        fs::create_dir(dir.path().join("gone")).unwrap();
        fs::write(&missing, "there now").unwrap();
        in_time(watch.changed()).await;
    }
}
