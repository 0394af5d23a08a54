//! What the child does between fork and exec with what was prepared. Only async-signal-safe calls.

use std::{
    io,
    os::fd::{AsRawFd, RawFd},
    ptr,
};

use nix::libc;

use super::{Account, Capabilities, Prepared};

/// Of the kernel's interface; the C library has no names for these.
const LANDLOCK_VERSION: u32 = 1;
const LANDLOCK_RULE_PATH_BENEATH: libc::c_int = 1;
const LANDLOCK_READ_FILE_AND_DIR: u64 = 1 << 2 | 1 << 3;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;
const HIGHEST_CAPABILITY: libc::c_ulong = 63;

/// The version of Landlock that this kernel has; `None` without it.
#[allow(unsafe_code)]
#[must_use]
pub fn landlock_version() -> Option<u32> {
    // SAFETY: with this flag the call takes no attributes and touches no memory.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            ptr::null::<libc::c_void>(),
            0_usize,
            LANDLOCK_VERSION,
        )
    };
    u32::try_from(version).ok().filter(|version| *version > 0)
}

impl Prepared {
    /// In the child. What only root may do comes before root is left.
    pub(in crate::os) fn apply(&self) -> io::Result<()> {
        self.limit()?;
        if self.no_new_privileges || self.rules.is_some() {
            prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0)?;
        }
        if let Some(rules) = &self.rules {
            restrict(rules.as_raw_fd())?;
        }
        if let Some(kept) = self.capabilities {
            bound(kept);
        }
        if let Some(account) = &self.account {
            if self.capabilities.is_some() {
                prctl(libc::PR_SET_KEEPCAPS, 1, 0)?;
            }
            account.become_it()?;
        }
        self.capabilities.map_or(Ok(()), keep)
    }

    #[allow(unsafe_code)]
    fn limit(&self) -> io::Result<()> {
        let limits = &self.limits;
        for (resource, most) in
            [(libc::RLIMIT_NOFILE, limits.open_files), (libc::RLIMIT_NPROC, limits.processes)]
        {
            let Some(most) = most else { continue };
            let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
            // SAFETY: `limit` is a valid rlimit for the whole call.
            check(unsafe { libc::setrlimit(resource, &raw const limit) }.into())?;
        }
        Ok(())
    }
}

impl Account {
    #[allow(unsafe_code)]
    fn become_it(&self) -> io::Result<()> {
        // SAFETY: pointer and length are those of a vector that is not touched; the others take numbers.
        unsafe {
            check(libc::setgroups(self.groups.len(), self.groups.as_ptr()).into())?;
            check(libc::setresgid(self.gid, self.gid, self.gid).into())?;
            check(libc::setresuid(self.uid, self.uid, self.uid).into())
        }
    }
}

/// What the kernel's rule about a directory looks like.
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: RawFd,
}

/// Brings the rules into force, and one about the process itself that nobody could make before it was there.
#[allow(unsafe_code)]
fn restrict(rules: RawFd) -> io::Result<()> {
    // SAFETY: the path is a literal that ends in a zero; the rule lives on this stack for the whole call.
    unsafe {
        let itself = libc::open(c"/proc/self".as_ptr(), libc::O_PATH | libc::O_CLOEXEC);
        if itself >= 0 {
            let rule = PathBeneath { allowed: LANDLOCK_READ_FILE_AND_DIR, parent: itself };
            let (call, kind) = (libc::SYS_landlock_add_rule, LANDLOCK_RULE_PATH_BENEATH);
            check(libc::syscall(call, rules, kind, &raw const rule, 0_u32))?;
        }
        check(libc::syscall(libc::SYS_landlock_restrict_self, rules, 0_u32))
    }
}

/// Takes the others out of reach for good. Without the right to do so there is nothing in reach.
fn bound(kept: Capabilities) {
    for number in 0..=HIGHEST_CAPABILITY {
        if kept.0 >> number & 1 == 0 {
            // Not known to this kernel, or not ours to drop.
            let _ = prctl(libc::PR_CAPBSET_DROP, number, 0);
        }
    }
}

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Keeps these of what is there, through the exec too.
#[allow(unsafe_code)]
#[allow(clippy::cast_possible_truncation)]
fn keep(kept: Capabilities) -> io::Result<()> {
    let header = Header { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut sets = [Sets { effective: 0, permitted: 0, inheritable: 0 }; 2];
    // SAFETY: header and sets have the kernel's layout for this version and live for the whole call.
    unsafe { check(libc::syscall(libc::SYS_capget, &raw const header, sets.as_mut_ptr())) }?;
    for (half, set) in sets.iter_mut().enumerate() {
        let left = (kept.0 >> (32 * half)) as u32 & set.permitted;
        *set = Sets { effective: left, permitted: left, inheritable: left };
    }
    // SAFETY: as above.
    unsafe { check(libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr())) }?;
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, 0)?;
    for number in 0..=HIGHEST_CAPABILITY {
        if sets[(number / 32) as usize].permitted >> (number % 32) & 1 == 1 {
            prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong, number)?;
        }
    }
    Ok(())
}

#[allow(unsafe_code)]
fn prctl(option: libc::c_int, first: libc::c_ulong, second: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the options used here take numbers only.
    check(unsafe { libc::prctl(option, first, second, 0 as libc::c_ulong, 0 as libc::c_ulong) }.into())
}

fn check(returned: libc::c_long) -> io::Result<()> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
