//! What is known of packages, for administrators of the host.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bounded;
use crate::{
    supervisor::{
        mask::Mask,
        upgrade::{Kind, Record, machine::Packages},
    },
    wire::proto::PackageStatusEnum,
};

/// Of a host that ever had to do with packages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PackagesStatus {
    pub packages: Vec<PackageOnHost>,
    /// Why nothing of the last offer could be taken.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// The Collector that `rollback --package` goes back to; `agent.executable` when it is no package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<TrialStatus>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PackageOnHost {
    pub name: String,
    /// `collector`, `add_on` or `supervisor`, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// What is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What the server offers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered: Option<String>,
    /// `installed`, `install_pending`, `downloading`, `installing` or `install_failed`.
    pub status: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// Of a download on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
}

/// A Collector that has yet to prove itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrialStatus {
    pub version: String,
    /// How long it still has to be healthy, at the least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy_left_s: Option<u64>,
    /// Starts of the supervisor that may still go on with it.
    pub tries_left: u32,
}

/// None of a host that never had to do with packages. `left` is of a trial.
pub(in crate::supervisor) fn packages_status(
    packages: &Packages,
    left: Option<Duration>,
    mask: &Mask,
) -> Option<PackagesStatus> {
    let record: &Record = packages.record();
    if record.is_unused() {
        return None;
    }
    let told = packages.statuses();
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let mut on_host: Vec<_> = told.packages.values().collect();
    on_host.sort_by(|one, other| one.name.cmp(&other.name));
    let on_host = on_host.into_iter().map(|status| {
        let held = record.held.get(&status.name).map(|held| held.kind);
        let offered = record.offer.as_ref().and_then(|offer| offer.packages.get(&status.name));
        let details = status.download_details.as_ref();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percentage")]
        let percent = details.map(|details| details.download_percent.clamp(0.0, 100.0) as u8);
        PackageOnHost {
            name: status.name.clone(),
            kind: held.or(offered.map(|offered| offered.kind)),
            version: some(&status.agent_has_version),
            offered: offered.and_then(|offered| some(&offered.version)),
            status: word(status.status),
            error: bounded(&mask.text(&status.error_message)),
            percent,
        }
    });
    let before = record.before.as_ref().map(|before| before.binary.as_ref());
    Some(PackagesStatus {
        packages: on_host.collect(),
        error: bounded(&told.error_message),
        previous: before.map(|binary| {
            binary.map_or_else(|| "agent.executable".to_owned(), |(_, held)| held.version.clone())
        }),
        trial: record.trial.as_ref().map(|trial| TrialStatus {
            version: trial.target.version.clone(),
            healthy_left_s: left.map(|left| left.as_secs()),
            tries_left: trial.tries_left,
        }),
    })
}

fn word(status: i32) -> String {
    let name = PackageStatusEnum::try_from(status).unwrap_or_default();
    match name {
        PackageStatusEnum::Installed => "installed",
        PackageStatusEnum::InstallPending => "install_pending",
        PackageStatusEnum::Installing => "installing",
        PackageStatusEnum::InstallFailed => "install_failed",
        PackageStatusEnum::Downloading => "downloading",
    }
    .to_owned()
}
