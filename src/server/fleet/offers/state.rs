//! Where an agent is with its packages: with each, and all in all.

use serde::Serialize;

use super::{Again, Artefact};
use crate::{
    server::fleet::Agent,
    wire::proto::{AgentCapabilities, PackageStatus, PackageStatusEnum},
};

/// Where an agent is with one package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackageState {
    /// It is not its turn yet.
    Waiting,
    /// Offered, and not yet begun.
    Pending,
    Downloading,
    Installing,
    Installed,
    /// With what the agent says of it.
    Failed(String),
    /// Offered to an agent that does not say what becomes of it.
    Unreported,
}

impl PackageState {
    /// Offered, and nobody knows yet what comes of it.
    #[must_use]
    pub const fn is_in_flight(&self) -> bool {
        matches!(self, Self::Pending | Self::Downloading | Self::Installing)
    }
}

/// Where an agent is with all that is wanted of it: with what needs most to be looked at, which is the last one here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum PackagesState {
    /// No package is wanted.
    Unmanaged,
    Installed,
    Unreported,
    Waiting,
    Pending,
    Installing,
    Downloading,
    Failed,
    /// An offer gives it nothing, or not all, until somebody mends something.
    Unresolved,
}

impl PackagesState {
    /// Those that one package may have.
    pub const OF_ONE: [Self; 7] = [
        Self::Waiting,
        Self::Pending,
        Self::Downloading,
        Self::Installing,
        Self::Installed,
        Self::Failed,
        Self::Unreported,
    ];
}

impl From<PackageState> for PackagesState {
    fn from(state: PackageState) -> Self {
        match state {
            PackageState::Waiting => Self::Waiting,
            PackageState::Pending => Self::Pending,
            PackageState::Downloading => Self::Downloading,
            PackageState::Installing => Self::Installing,
            PackageState::Installed => Self::Installed,
            PackageState::Failed(_) => Self::Failed,
            PackageState::Unreported => Self::Unreported,
        }
    }
}

impl Agent {
    #[must_use]
    pub fn packages_state(&self) -> PackagesState {
        if self.packages.refusals.iter().any(|refusal| refusal.why.is_problem()) {
            return PackagesState::Unresolved;
        }
        let states = self.packages.wanted.values().map(|wanted| self.state_of(&wanted.artefact).into());
        states.max().unwrap_or(PackagesState::Unmanaged)
    }

    /// Where it is with a package that is wanted of it.
    #[must_use]
    pub fn state_of(&self, wanted: &Artefact) -> PackageState {
        let given = self.packages.given.get(&wanted.name).filter(|given| given.artefact.hash == wanted.hash);
        match given.map(|given| given.again) {
            None | Some(Again::Waiting) => PackageState::Waiting,
            Some(Again::Due | Again::Sent(_)) => PackageState::Pending,
            Some(Again::No) => self.reported(wanted),
        }
    }

    /// Where it says that it is with a package that it was given.
    fn reported(&self, artefact: &Artefact) -> PackageState {
        if !self.can(AgentCapabilities::ReportsPackageStatuses) {
            return PackageState::Unreported;
        }
        match self.says(artefact) {
            Some(status) => match status.status() {
                PackageStatusEnum::Installed if status.agent_has_hash == artefact.hash => {
                    PackageState::Installed
                }
                PackageStatusEnum::Installed | PackageStatusEnum::InstallPending => PackageState::Pending,
                PackageStatusEnum::Installing => PackageState::Installing,
                PackageStatusEnum::Downloading => PackageState::Downloading,
                PackageStatusEnum::InstallFailed => PackageState::Failed(status.error_message.clone()),
            },
            None => match self.refused_offer() {
                Some(why) => PackageState::Failed(why.to_owned()),
                None => PackageState::Pending,
            },
        }
    }

    /// Why it took nothing of what it was offered.
    fn refused_offer(&self) -> Option<&str> {
        let statuses = self.view.report.package_statuses.as_ref()?;
        let about_this = self.view.reported_packages_hash() == self.packages.all_packages_hash();
        Some(statuses.error_message.as_str()).filter(|error| about_this && !error.is_empty())
    }

    /// What it says of just this one.
    pub(super) fn says(&self, artefact: &Artefact) -> Option<&PackageStatus> {
        let statuses = self.view.report.package_statuses.as_ref()?;
        statuses.packages.get(&artefact.name).filter(|status| status.server_offered_hash == artefact.hash)
    }
}
