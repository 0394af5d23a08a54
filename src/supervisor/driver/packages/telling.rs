//! What people and the server are told of packages, without secrets; and configs that wait for a Collector.

use tokio::time::Instant;

use super::Driver;
use crate::{
    os::clock,
    supervisor::{
        control::{PackagesStatus, packages_status},
        mask::Mask,
    },
    wire::proto::{AgentRemoteConfig, PackageStatuses},
};

/// How long a config waits for a package that is not on trial yet: it may be meant for that.
const WAITS: std::time::Duration = std::time::Duration::from_secs(60);

/// A config that came while another Collector or an add-on was on its way.
pub(in crate::supervisor::driver) struct Waiting {
    offer: AgentRemoteConfig,
    until: Instant,
}

impl Driver {
    pub(super) fn masked_statuses(&self) -> PackageStatuses {
        let mask = self.secrets();
        let mut statuses = self.shelf.machine.statuses();
        for status in statuses.packages.values_mut() {
            status.error_message = mask.text(&status.error_message);
        }
        statuses
    }

    /// For administrators of the host.
    pub(in crate::supervisor::driver) fn packages_status(&self, mask: &Mask) -> Option<PackagesStatus> {
        let left = self.parts.machine.binary_time_left(clock::boottime());
        packages_status(&self.shelf.machine, left, mask)
    }

    /// Holds a config while a package is on its way, so that it is judged with what it came with.
    pub(in crate::supervisor::driver) fn hold_for_package(
        &mut self,
        offer: AgentRemoteConfig,
    ) -> Option<AgentRemoteConfig> {
        if !self.awaits_package() || self.parts.machine.tries_binary() {
            return Some(offer);
        }
        tracing::info!("the offered config waits for the package that is on its way");
        self.waiting = Some(Waiting { offer, until: Instant::now() + WAITS });
        None
    }

    pub(in crate::supervisor::driver) fn config_waits_until(&self) -> Option<Instant> {
        self.waiting.as_ref().map(|waiting| waiting.until)
    }

    /// What it waited for is there, or takes too long.
    pub(in crate::supervisor::driver) fn take_held_config(&mut self) {
        let over = !self.awaits_package() || self.parts.machine.tries_binary();
        let due = |waiting: &mut Waiting| over || Instant::now() >= waiting.until;
        if let Some(Waiting { offer, .. }) = self.waiting.take_if(due) {
            self.consider_config(offer);
        }
    }
}
