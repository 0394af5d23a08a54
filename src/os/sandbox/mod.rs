//! What a child gives up before it becomes the Collector: another user, capabilities, rights to files, limits.
//!
//! Everything that can fail or allocates is done here, before the fork; `apply` holds what the child does with
//! it. Landlock's rules only take away: what the kernel cannot keep yet is not kept, and [`landlock_version`]
//! says what it can.
//!
//! - `needs`: the files without which no Collector runs; `files`: those of ours that another user reads
//!
//! Not here: what is given up, which `supervisor.yaml` says. Called by `child::spawn`.

mod apply;
mod capability;
mod files;
mod needs;
#[cfg(test)]
mod tests;

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use landlock::{
    ABI, Access, AccessFs, BitFlags, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError,
    path_beneath_rules,
};
use nix::unistd::{Gid, Group, Uid, User};

pub use apply::landlock_version;
pub use capability::{Capabilities, UnknownCapability};
pub use files::let_read;

/// What a child gives up; by default nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confinement {
    pub account: Option<Account>,
    pub no_new_privileges: bool,
    /// The only capabilities that stay.
    pub capabilities: Option<Capabilities>,
    pub limits: Limits,
    pub access: Option<FileAccess>,
}

/// Upper bounds of a process (soft and hard).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    pub open_files: Option<u64>,
    /// Of all processes and threads of the child's user; the kernel does not count root's.
    pub processes: Option<u64>,
}

/// The only files that may be used, beside what every Collector needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileAccess {
    pub read: Vec<PathBuf>,
    /// To be read and changed.
    pub write: Vec<PathBuf>,
    /// To be read and run.
    pub execute: Vec<PathBuf>,
}

/// A user to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

/// There is no such user or group.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error("there is no user {0:?} on this host")]
    NoUser(String),
    #[error("there is no group {0:?} on this host")]
    NoGroup(String),
    #[error("user {0:?} has no group: write user:group")]
    NeedsGroup(String),
    #[error("only root may run the Collector as somebody else; run the supervisor as root, or as that user")]
    NotRoot,
    #[error("the host's users cannot be read: {0}")]
    Unreadable(io::Error),
}

impl Account {
    /// `user` or `user:group`, each a name or a number.
    pub fn find(written: &str) -> Result<Self, AccountError> {
        let (name, group) = match written.split_once(':') {
            Some((name, group)) => (name, Some(group)),
            None => (written, None),
        };
        let unreadable = |errno: nix::Error| AccountError::Unreadable(errno.into());
        let known = match name.parse() {
            Ok(number) => User::from_uid(Uid::from_raw(number)),
            Err(_) => User::from_name(name),
        };
        let known = known.map_err(unreadable)?;
        let uid = match (&known, name.parse()) {
            (Some(user), _) => user.uid.as_raw(),
            (None, Ok(number)) => number,
            (None, Err(_)) => return Err(AccountError::NoUser(name.to_owned())),
        };
        let gid = match (group, &known) {
            (Some(group), _) => match group.parse() {
                Ok(number) => number,
                Err(_) => match Group::from_name(group).map_err(unreadable)? {
                    Some(group) => group.gid.as_raw(),
                    None => return Err(AccountError::NoGroup(group.to_owned())),
                },
            },
            (None, Some(user)) => user.gid.as_raw(),
            (None, None) => return Err(AccountError::NeedsGroup(name.to_owned())),
        };
        if nix::unistd::geteuid().as_raw() == uid {
            return Ok(Self { uid, gid: nix::unistd::getegid().as_raw(), groups: Vec::new() });
        }
        if !nix::unistd::geteuid().is_root() {
            return Err(AccountError::NotRoot);
        }
        let mut groups = vec![gid];
        if let (None, Some(user)) = (group, &known)
            && let Ok(name) = std::ffi::CString::new(user.name.as_str())
        {
            let all = nix::unistd::getgrouplist(&name, Gid::from_raw(gid)).map_err(unreadable)?;
            groups = all.into_iter().map(Gid::as_raw).collect();
        }
        Ok(Self { uid, gid, groups })
    }

    fn reader(&self) -> Option<u32> {
        (!self.is_ours()).then_some(self.gid)
    }

    fn is_ours(&self) -> bool {
        self.uid == nix::unistd::geteuid().as_raw()
    }
}

/// All that the child needs, made before the fork.
#[derive(Debug)]
pub(in crate::os) struct Prepared {
    account: Option<Account>,
    no_new_privileges: bool,
    capabilities: Option<Capabilities>,
    limits: Limits,
    /// The rules; `None` where none are asked for, or the kernel keeps none.
    rules: Option<OwnedFd>,
}

impl Confinement {
    /// Opens what the rules are about as it is now.
    pub(in crate::os) fn prepare(&self, executable: &Path) -> io::Result<Prepared> {
        let rules = match &self.access {
            Some(access) => access.rules(executable).map_err(io::Error::other)?,
            None => None,
        };
        Ok(Prepared {
            account: self.account.clone().filter(|account| !account.is_ours()),
            no_new_privileges: self.no_new_privileges,
            capabilities: self.capabilities,
            limits: self.limits,
            rules,
        })
    }

    /// The group that reads files of ours which the child needs, where it is another user.
    #[must_use]
    pub fn reader(&self) -> Option<u32> {
        self.account.as_ref().and_then(Account::reader)
    }

    /// Whether a refusal to run something may be its doing.
    pub(in crate::os) fn may_refuse(&self) -> bool {
        self.access.is_some() || self.account.is_some()
    }
}

impl FileAccess {
    fn rules(&self, executable: &Path) -> Result<Option<OwnedFd>, RulesetError> {
        const NEWEST: ABI = ABI::V5;
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let run = read | AccessFs::Execute;
        let change = AccessFs::from_all(NEWEST) & !BitFlags::from(AccessFs::Execute);
        let rules: RulesetCreated = Ruleset::default()
            .handle_access(AccessFs::from_all(NEWEST))?
            .create()?
            .add_rules(path_beneath_rules(needs::READ, read))?
            .add_rules(path_beneath_rules(needs::EXECUTE, run))?
            .add_rules(path_beneath_rules(needs::WRITE, change))?
            .add_rules(path_beneath_rules([executable], run))?
            .add_rules(path_beneath_rules(&self.read, read))?
            .add_rules(path_beneath_rules(&self.write, change))?
            .add_rules(path_beneath_rules(&self.execute, run))?;
        Ok(rules.into())
    }
}
