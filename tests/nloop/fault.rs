//! What goes wrong, in strace's words.

use std::path::Path;

/// A kind of system call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Write,
    Fsync,
    Rename,
    Open,
    Remove,
    Fork,
    Exec,
}

impl Kind {
    /// What a supervisor that replaces itself goes through, besides.
    pub(crate) const OF_EXCHANGE: [Self; 6] =
        [Self::Write, Self::Fsync, Self::Rename, Self::Open, Self::Remove, Self::Exec];
    pub(crate) const ALL: [Self; 6] =
        [Self::Write, Self::Fsync, Self::Rename, Self::Open, Self::Remove, Self::Fork];

    const fn calls(self) -> &'static str {
        match self {
            Self::Write => "write,pwrite64,writev",
            Self::Fsync => "fsync,fdatasync",
            Self::Rename => "rename,renameat,renameat2",
            Self::Open => "openat",
            Self::Remove => "unlink,unlinkat,rmdir",
            // A Collector's exec is the child's; around it is what can happen to the supervisor.
            Self::Fork => "clone,clone3,fork,vfork",
            Self::Exec => "execve",
        }
    }
}

/// What happens at the call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// SIGKILL before it is done.
    Kill,
    /// It fails with this error, once.
    Error(&'static str),
}

/// Whose calls count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// The one that the journal is written on.
    MainThread,
    /// Those that download and unpack too, each counted by itself. The Collector has nothing to do with their files.
    EveryThread,
}

/// The command that runs a supervisor with the fault at its Nth call; what was struck is in `told`. Only what
/// concerns these files counts; a child of the supervisor is never struck.
pub(crate) fn strace(
    kind: Kind,
    fault: Fault,
    n: usize,
    files: &[String],
    told: &Path,
    whom: Whom,
) -> Vec<String> {
    let what = match fault {
        Fault::Kill => "signal=SIGKILL".to_owned(),
        Fault::Error(error) => format!("error={error}"),
    };
    let calls = kind.calls();
    let mut words: Vec<String> = ["strace", "-qq", "-o"].map(str::to_owned).to_vec();
    words.push(told.display().to_string());
    if whom == Whom::EveryThread && !matches!(kind, Kind::Fork | Kind::Exec) {
        // With --seccomp-bpf, which is faster, it sends no signals.
        words.push("-f".to_owned());
    }
    words.extend(["-e".into(), format!("trace={calls}"), "-e".into()]);
    words.push(format!("inject={calls}:{what}:when={n}"));
    if !matches!(kind, Kind::Fork | Kind::Exec) {
        words.extend(files.iter().flat_map(|file| ["-P".to_owned(), file.clone()]));
    }
    // A strace that is killed would leave the supervisor running.
    words.extend(["setpriv", "--pdeathsig", "KILL"].map(str::to_owned));
    words
}
