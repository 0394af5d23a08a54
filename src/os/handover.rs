//! One process becoming another program: what of it must not be lost goes along, and comes out at the other end.
//!
//! Same process, same children, same environment and arguments. Descriptors are close-on-exec all the time but for
//! the moment of the exec; their numbers and a note travel in a sealed memory file whose number is in one variable of
//! the environment, which the next program takes out again before any child could see it. Signals that come
//! meanwhile wait (see [`super::signals`]).
//!
//! Not here: when this is done and what the note says, which is `supervisor::succession`'s.

use std::{
    collections::BTreeMap,
    env,
    ffi::{CString, OsString},
    fmt,
    fs::File,
    io::{self, Read, Seek, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::Path,
};

use nix::{
    fcntl::{FcntlArg, FdFlag, SealFlag, fcntl},
    libc,
    sys::memfd::{MFdFlags, memfd_create},
    unistd::execve,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::signals;

/// Where the number of the memory file is.
const VARIABLE: &str = "OPAMP_SUPERVISOR_HANDOVER";
/// A note that is longer is none of ours.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// Descriptors by name, and a note.
#[derive(Default)]
pub struct Handover {
    descriptors: BTreeMap<String, OwnedFd>,
    pub note: Value,
}

/// The note may hold secrets.
impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover").field("descriptors", &self.descriptors).finish_non_exhaustive()
    }
}

/// The memory file's content.
#[derive(Serialize, Deserialize)]
struct Sheet {
    descriptors: BTreeMap<String, RawFd>,
    note: Value,
}

impl Handover {
    /// A note, and no descriptor yet.
    #[must_use]
    pub fn with(note: Value) -> Self {
        Self { descriptors: BTreeMap::new(), note }
    }

    /// Adds what is behind this descriptor.
    pub fn add(&mut self, name: &str, fd: impl AsFd) -> io::Result<()> {
        self.descriptors.insert(name.to_owned(), fd.as_fd().try_clone_to_owned()?);
        Ok(())
    }

    /// Another descriptor for the same; the one that goes along stays.
    pub fn copy(&self, name: &str) -> io::Result<OwnedFd> {
        let missing = || io::Error::other(format!("{name} was not handed over"));
        self.descriptors.get(name).ok_or_else(missing)?.try_clone()
    }

    /// What the program before in this process left, if there was one. To be called first in `main`, before there
    /// is a thread.
    #[allow(unsafe_code)]
    pub fn take_up() -> Option<io::Result<Self>> {
        let number = env::var_os(VARIABLE)?;
        // SAFETY: the caller has no other thread yet, so nobody reads the environment meanwhile.
        unsafe { env::remove_var(VARIABLE) };
        let number = number.to_str().and_then(|number| number.parse().ok());
        let unreadable = || io::Error::other(format!("{VARIABLE} is no number"));
        Some(number.ok_or_else(unreadable).and_then(Self::read))
    }

    fn read(number: RawFd) -> io::Result<Self> {
        let mut sheet = Vec::new();
        let mut file = File::from(claim(number)?);
        file.rewind()?;
        file.take(MOST_BYTES).read_to_end(&mut sheet)?;
        let Sheet { descriptors, note } = serde_json::from_slice(&sheet)?;
        let claimed = descriptors.into_iter().map(|(name, number)| Ok((name, claim(number)?)));
        Ok(Self { descriptors: claimed.collect::<io::Result<_>>()?, note })
    }

    /// Becomes this program, with the arguments and the environment of this process. On the main thread, as the
    /// children are tied to it. Returns only to say why not; then everything is as it was.
    #[must_use]
    pub fn become_program(&self, executable: &Path) -> io::Error {
        match self.try_to_become(executable) {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    fn try_to_become(&self, executable: &Path) -> io::Result<std::convert::Infallible> {
        let sheet = self.sheet()?;
        let program = CString::new(executable.as_os_str().as_bytes())?;
        let args = env::args_os().map(|arg| CString::new(arg.into_vec()));
        let args = args.collect::<Result<Vec<_>, _>>()?;
        let number = (OsString::from(VARIABLE), OsString::from(sheet.as_raw_fd().to_string()));
        let env = env::vars_os().filter(|(name, _)| name != VARIABLE).chain([number]);
        let env = env.map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            CString::new(name.into_vec())
        });
        let env = env.collect::<Result<Vec<_>, _>>()?;
        let _held = signals::hold();
        let _open = Inheritable::make(self.descriptors.values().map(AsFd::as_fd).chain([sheet.as_fd()]))?;
        Ok(execve(&program, &args, &env)?)
    }

    fn sheet(&self) -> io::Result<File> {
        let descriptors = self.descriptors.iter().map(|(name, fd)| (name.clone(), fd.as_raw_fd()));
        let sheet = Sheet { descriptors: descriptors.collect(), note: self.note.clone() };
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let mut file = File::from(memfd_create("handover", flags)?);
        file.write_all(&serde_json::to_vec(&sheet)?)?;
        let seals =
            SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        Ok(file)
    }
}

/// Descriptors that outlive an exec, until this is dropped.
struct Inheritable<'a>(Vec<BorrowedFd<'a>>);

impl<'a> Inheritable<'a> {
    fn make(descriptors: impl Iterator<Item = BorrowedFd<'a>>) -> io::Result<Self> {
        let mut made = Self(Vec::new());
        for fd in descriptors {
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
            made.0.push(fd);
        }
        Ok(made)
    }
}

impl Drop for Inheritable<'_> {
    fn drop(&mut self) {
        for fd in &self.0 {
            // It cannot fail for a descriptor that is open.
            let _ = fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
        }
    }
}

/// Owns a descriptor that came through an exec.
#[allow(unsafe_code)]
fn claim(number: RawFd) -> io::Result<OwnedFd> {
    if number <= libc::STDERR_FILENO {
        return Err(io::Error::other(format!("descriptor {number} is nobody's to hand over")));
    }
    // SAFETY: fcntl with F_SETFD takes integers; for a number that is not open it fails.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and the program before left it for this one; each number stands in the sheet once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_cannot_be_becomes_nothing_and_leaves_all_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let mut handover = Handover::with("text".into());
        handover.add("lock", File::create(dir.path().join("lock")).unwrap()).unwrap();
        let broken = dir.path().join("broken");
        std::fs::write(&broken, "no program").unwrap();
        std::os::unix::fs::chown(&broken, None, None).unwrap();
        std::fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let error = handover.become_program(&broken);
        assert_eq!(error.raw_os_error(), Some(libc::ENOEXEC), "{error}");
        let error = handover.become_program(&dir.path().join("none"));
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let flags = fcntl(&handover.descriptors["lock"], FcntlArg::F_GETFD).unwrap();
        assert_eq!(FdFlag::from_bits_truncate(flags), FdFlag::FD_CLOEXEC);
        let mask = nix::sys::signal::SigSet::thread_get_mask().unwrap();
        assert!(!mask.contains(nix::sys::signal::SIGTERM));
    }

    #[test]
    fn a_sheet_says_what_is_in_it_and_cannot_be_changed() {
        let handover = Handover::with("text".into());
        let mut sheet = handover.sheet().unwrap();
        sheet.write_all(b"more").unwrap_err();
        let number = OwnedFd::from(sheet);
        let copy = std::os::fd::IntoRawFd::into_raw_fd(number);
        assert_eq!(Handover::read(copy).unwrap().note, "text");
        assert!(Handover::read(2).is_err() && Handover::read(100_000).is_err());
    }
}
