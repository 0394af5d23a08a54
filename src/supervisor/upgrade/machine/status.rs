//! What the server is told of packages: all that are held or on their way (C-PK-17), each with how far it is.

use std::{collections::BTreeMap, time::Duration};

use super::{
    super::terms::{Offered, Record, Stage, Work},
    Packages,
};
use crate::wire::proto::{PackageDownloadDetails, PackageStatus, PackageStatusEnum, PackageStatuses};

/// Progress is told no more often than that.
const EACH: Duration = Duration::from_secs(1);

/// A download on its way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Transfer {
    have: u64,
    total: Option<u64>,
    /// When it was told last, and how much there was then.
    told: Option<(Duration, u64)>,
    /// In bytes a second.
    rate: f64,
}

impl Transfer {
    /// Whether that is to be told.
    pub(super) fn went_on(&mut self, have: u64, total: Option<u64>, now: Duration) -> bool {
        (self.have, self.total) = (have, total);
        let Some((at, had)) = self.told else {
            self.told = Some((now, have));
            return true;
        };
        let passed = now.saturating_sub(at);
        if passed < EACH {
            return false;
        }
        #[allow(clippy::cast_precision_loss, reason = "for people")]
        let fresh = have.saturating_sub(had) as f64;
        self.rate = fresh / passed.as_secs_f64();
        self.told = Some((now, have));
        true
    }

    #[allow(clippy::cast_precision_loss, reason = "for people")]
    fn details(&self) -> PackageDownloadDetails {
        let percent = match self.total {
            Some(total) if total > 0 => self.have as f64 / total as f64 * 100.0,
            _ => 0.0,
        };
        PackageDownloadDetails { download_percent: percent.min(100.0), download_bytes_per_second: self.rate }
    }
}

impl Packages {
    /// As the server is told.
    #[must_use]
    pub fn statuses(&self) -> PackageStatuses {
        let record = &self.record;
        let offered = record.offer.iter().flat_map(|offer| offer.packages.keys());
        let names = record.held.keys().chain(offered).chain(record.work.iter().map(|work| &work.name));
        let packages: BTreeMap<_, _> = names.map(|name| (name.clone(), self.status(name))).collect();
        let hash = record.offer.as_ref().map(|offer| offer.all_packages_hash.clone());
        PackageStatuses {
            packages: packages.into_iter().collect(),
            server_provided_all_packages_hash: hash.unwrap_or_default(),
            error_message: record.unusable.clone(),
        }
    }

    fn status(&self, name: &str) -> PackageStatus {
        let record = &self.record;
        let (held, work) = (record.held.get(name), record.work.as_ref().filter(|work| work.name == name));
        let offered = offered(record, name, work);
        let (version, hash) = match (offered, held) {
            (Some(offered), _) => (offered.version.clone(), offered.hash.clone()),
            // It was offered once, or it would not be here.
            (None, Some(held)) => (held.version.clone(), held.hash.clone()),
            (None, None) => Default::default(),
        };
        let failed = record.failed.get(name).filter(|_| work.is_none());
        let has = held.is_some_and(|held| offered.is_none_or(|offered| held.artefact == offered.artefact));
        let status = match (work.map(|work| work.stage), failed) {
            (Some(Stage::Downloading), _) => PackageStatusEnum::Downloading,
            (Some(_), _) => PackageStatusEnum::Installing,
            (None, Some(_)) => PackageStatusEnum::InstallFailed,
            (None, None) if has => PackageStatusEnum::Installed,
            (None, None) => PackageStatusEnum::InstallPending,
        };
        PackageStatus {
            name: name.to_owned(),
            agent_has_version: held.map(|held| held.version.clone()).unwrap_or_default(),
            agent_has_hash: held.map(|held| held.hash.clone()).unwrap_or_default(),
            server_offered_version: version,
            server_offered_hash: hash,
            status: status as i32,
            error_message: failed.map(|failed| failed.why.clone()).unwrap_or_default(),
            download_details: (status == PackageStatusEnum::Downloading).then(|| self.transfer.details()),
        }
    }
}

fn offered<'a>(record: &'a Record, name: &str, work: Option<&'a Work>) -> Option<&'a Offered> {
    let offered = record.offer.as_ref().and_then(|offer| offer.packages.get(name));
    work.map(|work| &work.offered).or(offered)
}
