//! What to spawn, and why it did not start, in words that say what to do.

use std::{
    collections::BTreeMap,
    env,
    ffi::{CString, OsString},
    fmt, io, iter,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::PermissionsExt,
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    thread,
    time::Duration,
};

use nix::{
    libc,
    sys::{
        signal::{SigSet, SigmaskHow},
        statvfs::{FsFlags, statvfs},
    },
};

use super::{super::sandbox::Confinement, pidfd};

/// A command: stdin is null, stdout and stderr are pipes, the environment is the inherited one plus `env`.
#[derive(Clone, Default)]
pub struct Spec {
    pub executable: PathBuf,
    pub args: Vec<OsString>,
    pub env: Vec<(OsString, OsString)>,
    /// The working directory; the supervisor's own when not given.
    pub cwd: Option<PathBuf>,
    pub confinement: Confinement,
}

impl Spec {
    #[must_use]
    pub fn new(executable: impl Into<PathBuf>) -> Self {
        Self { executable: executable.into(), ..Self::default() }
    }

    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }
}

/// Values of environment variables are often secrets: names only.
impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Spec")
            .field("executable", &self.executable)
            .field("args", &self.args)
            .field("env", &names)
            .field("cwd", &self.cwd)
            .field("confinement", &self.confinement)
            .finish()
    }
}

/// A child did not start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error("{} does not exist: install it, or set agent.executable to where it is", path.display())]
    Missing { path: PathBuf },
    #[error("{} exists but what it needs to run does not: the interpreter of its #! line, or its dynamic loader (a binary built for another C library)", path.display())]
    MissingInterpreter { path: PathBuf },
    #[error("{} is a directory: agent.executable must name a file", path.display())]
    IsDirectory { path: PathBuf },
    #[error("{} is on a file system mounted noexec: move it, or remount that file system with exec", path.display())]
    NoExec { path: PathBuf },
    #[error("{} may not be executed by uid {uid}: chmod +x it, and check the directories above it", path.display())]
    NotExecutable { path: PathBuf, uid: u32 },
    #[error("{} may not be executed under agent.run_as or agent.access_dirs: let that user run it, and list what its #! line or loader needs under agent.access_dirs.execute.allow", path.display())]
    Confined { path: PathBuf },
    #[error("{} is in no format that this host runs: built for another architecture, or not a program", path.display())]
    WrongFormat { path: PathBuf },
    #[error("working directory {} cannot be entered", cwd.display())]
    WorkingDirectory { cwd: PathBuf, source: io::Error },
    #[error("{} is still being written by another process", path.display())]
    Busy { path: PathBuf },
    #[error("no process or descriptor left to start {}", path.display())]
    Resources { path: PathBuf, source: io::Error },
    #[error(
        "cannot watch process {pid} (pidfd_open: Linux 5.4 or newer is needed, and a seccomp profile that allows it)"
    )]
    Watch { pid: i32, source: io::Error },
    #[error("cannot start {}", path.display())]
    Other { path: PathBuf, source: io::Error },
}

impl SpawnError {
    /// Whether the same call may work a little later, with nobody doing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Resources { .. })
    }

    fn explain(spec: &Spec, source: io::Error) -> Self {
        let path = spec.executable.clone();
        if let Some(cwd) = &spec.cwd
            && let Err(source) = std::fs::read_dir(cwd)
        {
            return Self::WorkingDirectory { cwd: cwd.clone(), source };
        }
        match source.raw_os_error() {
            Some(libc::ENOENT) if path.exists() => Self::MissingInterpreter { path },
            Some(libc::ENOENT | libc::ENOTDIR) => Self::Missing { path },
            Some(libc::EACCES | libc::EPERM) => match refused(path, source) {
                Self::Other { path, .. } if spec.confinement.may_refuse() => Self::Confined { path },
                other => other,
            },
            Some(libc::ENOEXEC) => Self::WrongFormat { path },
            Some(libc::ETXTBSY) => Self::Busy { path },
            Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE) => {
                Self::Resources { path, source }
            }
            _ => Self::Other { path, source },
        }
    }
}

fn refused(path: PathBuf, source: io::Error) -> SpawnError {
    match std::fs::metadata(&path) {
        Ok(meta) if meta.is_dir() => SpawnError::IsDirectory { path },
        Ok(_) if on_noexec(&path) => SpawnError::NoExec { path },
        Ok(meta) if meta.permissions().mode() & 0o111 != 0 => SpawnError::Other { path, source },
        _ => SpawnError::NotExecutable { path, uid: nix::unistd::geteuid().as_raw() },
    }
}

fn on_noexec(path: &Path) -> bool {
    statvfs(path).is_ok_and(|fs| fs.flags().contains(FsFlags::ST_NOEXEC))
}

/// Waits between attempts while somebody still has the executable open for writing.
const BUSY_WAITS: [Duration; 3] =
    [Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(50)];

/// Forks and execs on the calling thread; returns once the exec has happened.
pub(super) fn start(spec: &Spec) -> Result<process::Child, SpawnError> {
    pidfd::keep_statuses();
    let mut command = command(spec).map_err(|source| SpawnError::explain(spec, source))?;
    let mut waits = BUSY_WAITS.iter();
    loop {
        match start_once(&mut command) {
            Ok(child) => return Ok(child),
            Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) => match waits.next() {
                Some(wait) => thread::sleep(*wait),
                None => return Err(SpawnError::explain(spec, error)),
            },
            Err(error) => return Err(SpawnError::explain(spec, error)),
        }
    }
}

/// Signals stay blocked across the fork: one that arrives before the exec is delivered to the new
/// program, not swallowed by our handlers in the copy of this process.
fn start_once(command: &mut Command) -> io::Result<process::Child> {
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let child = command.spawn();
    before.thread_set_mask()?;
    child
}

#[allow(unsafe_code)]
fn command(spec: &Spec) -> io::Result<Command> {
    let mut command = Command::new(&spec.executable);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    if let Some(cwd) = &spec.cwd {
        command.current_dir(cwd);
    }
    let image = image(spec)?;
    let confinement = spec.confinement.prepare(&spec.executable)?;
    let parent = process::id().cast_signed();
    // SAFETY: the closure makes async-signal-safe calls only and does not allocate.
    unsafe { command.pre_exec(move || pidfd::become_program(parent, &confinement, &image)) };
    Ok(command)
}

fn image(spec: &Spec) -> io::Result<pidfd::Image> {
    let args = iter::once(spec.executable.as_os_str()).chain(spec.args.iter().map(|arg| &**arg));
    let args = args.map(|arg| CString::new(arg.as_bytes())).collect::<Result<_, _>>()?;
    let mut env: BTreeMap<OsString, OsString> = env::vars_os().collect();
    env.extend(spec.env.iter().cloned());
    let env = env.into_iter().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        CString::new(name.into_vec())
    });
    Ok(pidfd::Image::new(args, env.collect::<Result<_, _>>()?))
}
