//! What the Collector gives up, on this host: from `supervisor.yaml` to what a spawn needs.
//!
//! Every run of the binary is held to it, the short ones of a check too: they expand what a config refers to.
//! Called by `setup`; the kernel's part is `os::sandbox`.

use std::path::Path;

use super::config::{AccessRule, AgentConfig};
use crate::os::{
    fs::FsError,
    sandbox::{Account, AccountError, Confinement, landlock_version, let_read},
};

/// The directories below the storage directory that hold what the Collector reads.
const READ_BY_COLLECTOR: [&str; 4] = ["live", "staging", OWN_TELEMETRY, ADD_ONS];
/// Where certificates of its own telemetry are.
pub(super) const OWN_TELEMETRY: &str = "own-telemetry";

/// Where add-ons that came as packages are.
pub(super) const ADD_ONS: &str = "addons";

/// The Collector cannot be held to what the file says.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("agent.run_as: {0}")]
    Account(#[from] AccountError),
    #[error(
        "agent.access_dirs.required: {NO_LANDLOCK}; take a kernel that has it (Linux 5.13 or newer, with landlock \
         among its security modules), or set it to false"
    )]
    NoLandlock,
}

const NO_LANDLOCK: &str = "this kernel has no Landlock";

/// What every run of the binary gives up.
pub(super) fn confinement(agent: &AgentConfig, storage: &Path) -> Result<Confinement, SandboxError> {
    let sandbox = &agent.sandbox;
    if lacks_landlock(agent) && sandbox.access_rule == AccessRule::Required {
        return Err(SandboxError::NoLandlock);
    }
    let account = sandbox.run_as.as_deref().map(Account::find).transpose()?;
    let access = sandbox.access.clone().map(|mut access| {
        access.read.extend(READ_BY_COLLECTOR.map(|room| storage.join(room)));
        access
    });
    Ok(Confinement {
        account,
        no_new_privileges: sandbox.no_new_privs,
        capabilities: sandbox.capabilities,
        limits: sandbox.limits,
        access,
    })
}

/// What is asked for and not kept, for a person.
pub(super) fn not_kept(agent: &AgentConfig) -> Option<String> {
    lacks_landlock(agent).then(|| {
        format!("agent.access_dirs is not kept: {NO_LANDLOCK}, so the Collector may use every file that its user may")
    })
}

fn lacks_landlock(agent: &AgentConfig) -> bool {
    agent.sandbox.access.is_some() && landlock_version().is_none()
}

/// Lets the Collector's user find its files in a storage directory that is private otherwise.
pub(super) fn open_way(confinement: &Confinement, storage: &Path) -> Result<(), FsError> {
    let Some(reader) = confinement.reader() else { return Ok(()) };
    let rooms = [storage.to_owned(), storage.join("staging"), storage.join(ADD_ONS)];
    rooms.iter().filter(|room| room.exists()).try_for_each(|room| let_read(room, Some(reader)))
}
