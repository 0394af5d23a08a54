//! The process syscalls that std and nix leave out or get wrong for us: pidfd, and `waitid` that
//! keeps the status of a death by a real-time signal. Called by `child`, `orphan` and `reaper` only.

use std::{
    ffi::CString,
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use nix::{libc, sys::signal::Signal};
use tokio::io::{Interest, unix::AsyncFd};

use super::{child::Exit, sandbox::Prepared};

/// A descriptor that goes on naming this very process when its number is reused (close-on-exec).
#[allow(unsafe_code)]
pub(super) fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel just returned this descriptor, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A descriptor that becomes readable when the process ends. Needs a tokio runtime.
#[allow(unsafe_code)]
pub(super) fn watch(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd keeps its descriptor open and the same for as long as the AsyncFd owns it.
    unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }.map_err(Into::into)
}

/// Signals the process behind the descriptor; ESRCH when it has been reaped.
#[allow(unsafe_code)]
pub(super) fn send(pidfd: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is borrowed for the call; a null info asks for kill(2)'s defaults.
    let rc = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal as i32, info, 0) };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What became of the child behind the descriptor, leaving it unreaped.
pub(super) fn peek(pidfd: BorrowedFd<'_>) -> io::Result<Option<Exit>> {
    let info = wait(libc::P_PIDFD, pidfd.as_raw_fd().unsigned_abs(), libc::WNOWAIT)?;
    Ok(info.map(|(_, exit)| exit))
}

/// The same, and the child's number is given back to the system.
pub(super) fn reap(pidfd: BorrowedFd<'_>) -> io::Result<Option<Exit>> {
    let info = wait(libc::P_PIDFD, pidfd.as_raw_fd().unsigned_abs(), 0)?;
    Ok(info.map(|(_, exit)| exit))
}

/// Some child that has ended, left unreaped. `None` when there is none, or no child at all.
pub(super) fn peek_any() -> io::Result<Option<i32>> {
    match wait(libc::P_ALL, 0, libc::WNOWAIT) {
        Ok(ended) => Ok(ended.map(|(pid, _)| pid)),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reaps one child by number; the caller knows that it is an unreaped child of this process.
pub(super) fn reap_pid(pid: i32) -> io::Result<Option<Exit>> {
    Ok(wait(libc::P_PID, pid.unsigned_abs(), 0)?.map(|(_, exit)| exit))
}

#[allow(unsafe_code)]
fn wait(kind: libc::idtype_t, id: libc::id_t, flags: i32) -> io::Result<Option<(i32, Exit)>> {
    // SAFETY: siginfo_t is plain data for which all zeroes is a valid value.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    loop {
        // SAFETY: `info` is a valid, writable siginfo_t for the whole call.
        let rc = unsafe { libc::waitid(kind, id, &raw mut info, libc::WEXITED | libc::WNOHANG | flags) };
        if rc == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: after a successful waitid the child fields of the union are the ones in force.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    Ok(Some((pid, Exit::from_siginfo(info.si_code, status))))
}

/// Makes sure that the kernel keeps the status of ended children for us: a process that starts with
/// SIGCHLD ignored would never learn how a child ended.
#[allow(unsafe_code)]
pub(super) fn keep_statuses() {
    // SAFETY: sigaction is plain data, zeroes are valid; both calls get valid pointers or null.
    unsafe {
        let mut now: libc::sigaction = mem::zeroed();
        if libc::sigaction(libc::SIGCHLD, std::ptr::null(), &raw mut now) == 0
            && now.sa_sigaction == libc::SIG_IGN
        {
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        }
    }
}

/// Between fork and exec, in the child: signals as a fresh process has them, no descriptor beyond
/// stdio, what the confinement takes away, and only then (a change of user would undo it) a SIGTERM when the
/// parent's thread ends; then the exec, which returns only to say why not.
/// Only async-signal-safe calls.
#[allow(unsafe_code)]
pub(super) fn become_program(parent: i32, confinement: &Prepared, image: &Image) -> io::Result<()> {
    // SAFETY: every call here is async-signal-safe; `empty` lives on this stack, and the image's
    // pointers lead into strings that it owns.
    unsafe {
        for signal in 1..=64 {
            // Fails for SIGKILL, SIGSTOP and the two that the C library keeps: nothing to reset there.
            libc::signal(signal, libc::SIG_DFL);
        }
        // Absent before Linux 5.11; what we open ourselves is close-on-exec anyway.
        libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        confinement.apply()?;
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM, 0, 0, 0) != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have died before the line above.
        if libc::getppid() != parent {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        let mut empty: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut empty);
        if libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        libc::execve(image.args.pointers[0], image.args.pointers.as_ptr(), image.env.pointers.as_ptr());
    }
    Err(io::Error::last_os_error())
}

/// What execve takes, made before the fork. It is called directly because the C library's execvp hands
/// a binary of another architecture to /bin/sh instead of failing.
pub(super) struct Image {
    args: Strings,
    env: Strings,
}

impl Image {
    /// The program is the first of the arguments.
    pub(super) fn new(args: Vec<CString>, env: Vec<CString>) -> Self {
        Self { args: Strings::new(args), env: Strings::new(env) }
    }
}

/// A null-terminated array of C strings.
struct Strings {
    pointers: Vec<*const libc::c_char>,
    _owned: Vec<CString>,
}

impl Strings {
    fn new(owned: Vec<CString>) -> Self {
        let pointers = owned.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect();
        Self { pointers, _owned: owned }
    }
}

// SAFETY: the pointers lead into heap strings that move along with them and are never written to.
#[allow(unsafe_code)]
unsafe impl Send for Strings {}
// SAFETY: as above; shared access only reads.
#[allow(unsafe_code)]
unsafe impl Sync for Strings {}
