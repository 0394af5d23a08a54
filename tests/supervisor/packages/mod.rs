//! Packages on a host: the built supervisor, a server that offers, a server of files, and Collectors of many kinds.

mod itself;
mod killed;
mod large;
mod people;
mod real;
mod refused;
mod store;
mod upgrade;

use opamp::wire::proto::{PackageStatus, PackageStatusEnum, PackagesAvailable, ServerToAgent};
use store::Store;

use crate::harness::{Host, Known, Server, fake_collector};

const INSTALLED: i32 = PackageStatusEnum::Installed as i32;
const FAILED: i32 = PackageStatusEnum::InstallFailed as i32;

/// A host that takes packages of this store, with short trials.
fn host(server: &Server, store: &Store) -> Host {
    host_with(server, store, "trial: {first_health: 5s, healthy_for: 1s}")
}

fn host_with(server: &Server, store: &Store, rules: &str) -> Host {
    let key = store.public_key().display().to_string();
    Host::new(&server.endpoint, &fake_collector()).capability("accepts_packages: true").fake("").top(&format!(
        "packages: {{signature: {{public_key_files: [\"{key}\"], least_epoch: 1}}, download: {{plain_http: true}}, {rules}}}"
    ))
}

async fn say(server: &Server, offer: &PackagesAvailable) {
    server.say(ServerToAgent { packages_available: Some(offer.clone()), ..ServerToAgent::default() }).await;
}

/// Whether all of the offer came to an end.
fn ended(known: &Known, offer: &PackagesAvailable) -> bool {
    let told = known.packages();
    told.server_provided_all_packages_hash == offer.all_packages_hash
        && offer.packages.iter().all(|(name, package)| {
            told.packages.get(name).is_some_and(|status| {
                status.server_offered_hash == package.hash && [INSTALLED, FAILED].contains(&status.status)
            })
        })
}

/// Offers, and waits for the end.
async fn push(server: &Server, offer: &PackagesAvailable) -> Known {
    server.offer_packages(offer).await;
    server.until("the packages are installed or failed", |known| ended(known, offer)).await
}

/// Offers one Collector, and waits for its end.
async fn install(server: &Server, package: &opamp::wire::proto::PackageAvailable) -> PackageStatus {
    push(server, &store::offer(&[("otelcol", package)])).await.package("otelcol")
}

fn version_of(known: &Known) -> String {
    let description =
        known.view.as_ref().and_then(|view| view.report.description.clone()).unwrap_or_default();
    opamp::wire::attrs::get(&description.identifying_attributes, "service.version").unwrap_or_default()
}

/// Waits until a Collector of this version is healthy.
async fn runs(server: &Server, version: &str) {
    let so = |known: &Known| known.healthy() && version_of(known) == version;
    server.until(&format!("version {version} runs and is healthy"), so).await;
}
