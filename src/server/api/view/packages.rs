//! What agents are offered to install, what they say of it, and how far an offer is. Of files that lie elsewhere the headers are
//! not shown here: they hold tokens.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use crate::{
    server::fleet::{
        Agent, Fleet,
        offers::{Artefact, PackageState, PackagesState, Phase, Refusal},
        resource::PackageOffer,
    },
    wire::proto::{PackageStatus, PackageStatusEnum, PackageStatuses},
};

/// Agents of an offer that are named with what keeps it from them.
const PROBLEMS: usize = 10;

/// The fields of an agent's `status`.
pub(super) fn fields(agent: &Agent) -> Vec<(&'static str, Value)> {
    let mut fields = vec![("packagesState", json!(agent.packages_state()))];
    if let Some(hash) = agent.packages.all_packages_hash() {
        fields.push(("desiredPackagesHash", json!(HEXLOWER.encode(hash))));
    }
    let desired = desired(agent);
    if !desired.is_empty() {
        fields.push(("desiredPackages", json!(desired)));
    }
    let refusal = |refusal: &Refusal| json!({"offer": refusal.offer, "message": refusal.why.to_string()});
    if !agent.packages.refusals.is_empty() {
        let refusals: Vec<_> = agent.packages.refusals.iter().map(refusal).collect();
        fields.push(("packageRefusals", json!(refusals)));
    }
    if let Some(statuses) = &agent.view.report.package_statuses {
        fields.push(("packageStatuses", reported(statuses)));
    }
    fields
}

/// By package: what is wanted now, or what was given earlier where nothing is.
fn desired(agent: &Agent) -> BTreeMap<&str, Value> {
    let mut shown = BTreeMap::new();
    for (name, wanted) in &agent.packages.wanted {
        let artefact = &wanted.artefact;
        let mut value = package(artefact, &wanted.offers, &agent.state_of(artefact));
        let given = agent.packages.given.get(name).map(|given| &given.artefact);
        if let Some(given) = given.filter(|given| given.hash != artefact.hash) {
            value["offeredVersion"] = json!(given.version);
        }
        shown.insert(name.as_str(), value);
    }
    for (name, given) in &agent.packages.given {
        shown.entry(name).or_insert_with(|| {
            package(&given.artefact, std::slice::from_ref(&given.offer), &agent.state_of(&given.artefact))
        });
    }
    shown
}

fn package(artefact: &Artefact, offers: &[String], state: &PackageState) -> Value {
    let mut shown = json!({
        "type": artefact.package_type,
        "version": artefact.version,
        "hash": HEXLOWER.encode(&artefact.hash),
        "contentHash": artefact.content_hash,
        "packageOffers": offers,
        "state": PackagesState::from(state.clone()),
    });
    if let PackageState::Failed(why) = state {
        shown["errorMessage"] = json!(why);
    }
    shown
}

/// Commander's shape, with all that the agent says.
fn reported(statuses: &PackageStatuses) -> Value {
    let packages: BTreeMap<_, _> =
        statuses.packages.iter().map(|(name, package)| (name, status(package))).collect();
    json!({
        "packages": packages,
        "serverProvidedAllPackagesHash": HEXLOWER.encode(&statuses.server_provided_all_packages_hash),
        "errorMessage": statuses.error_message,
    })
}

fn status(package: &PackageStatus) -> Value {
    let word = match package.status() {
        PackageStatusEnum::Installed => "Installed",
        PackageStatusEnum::InstallPending => "InstallPending",
        PackageStatusEnum::Installing => "Installing",
        PackageStatusEnum::InstallFailed => "InstallFailed",
        PackageStatusEnum::Downloading => "Downloading",
    };
    let mut shown = json!({
        "name": package.name,
        "agentHasVersion": package.agent_has_version,
        "agentHasHash": HEXLOWER.encode(&package.agent_has_hash),
        "serverOfferedVersion": package.server_offered_version,
        "serverOfferedHash": HEXLOWER.encode(&package.server_offered_hash),
        "status": word,
        "errorMessage": package.error_message,
    });
    if let Some(details) = &package.download_details {
        shown["downloadDetails"] = json!({
            "downloadPercent": details.download_percent,
            "downloadBytesPerSecond": details.download_bytes_per_second,
        });
    }
    shown
}

/// Whether an agent has what it is to have, where it is with that, and why not.
pub(super) fn installed(agent: &Agent) -> (Option<bool>, PackagesState, String) {
    let state = agent.packages_state();
    let holds = match state {
        PackagesState::Installed => Some(true),
        PackagesState::Failed | PackagesState::Unresolved => Some(false),
        _ => None,
    };
    let refusal = agent.packages.refusals.iter().find(|refusal| refusal.why.is_problem());
    let failure = || {
        agent.packages.wanted.iter().find_map(|(name, wanted)| match agent.state_of(&wanted.artefact) {
            PackageState::Failed(why) => Some(format!("{name} {}: {why}", wanted.artefact.version)),
            _ => None,
        })
    };
    let why = refusal.map(|refusal| format!("package offer {:?}: {}", refusal.offer, refusal.why));
    (holds, state, why.or_else(failure).unwrap_or_default())
}

/// An offer with how far it is, and what keeps it from agents.
pub(in crate::server::api) fn offer(fleet: &Fleet, offer: &PackageOffer) -> Value {
    let progress = fleet.progress(offer);
    let phase = progress.phase(offer);
    let reason = match phase {
        Phase::Stopped => progress.stop(offer).unwrap_or_default(),
        Phase::Progressing if progress.targets == 0 => match fleet.refused(offer).next() {
            Some((uid, why)) => format!("no agent can have it; agent {uid}: {why}"),
            None => "no agent that could have it is known yet".to_owned(),
        },
        Phase::Progressing | Phase::Paused | Phase::Complete => String::new(),
    };
    let problems: Vec<_> = fleet
        .refused(offer)
        .take(PROBLEMS)
        .map(|(uid, why)| json!({"instanceUid": uid, "message": why.to_string()}))
        .collect();
    json!({
        "kind": "PackageOffer",
        "apiVersion": "v1",
        "metadata": offer.metadata,
        "spec": offer.spec,
        "status": {
            "phase": format!("{phase:?}"),
            "reason": reason,
            "targets": progress.targets,
            "waiting": progress.waiting,
            "inFlight": progress.in_flight,
            "installed": progress.installed,
            "failed": progress.failed,
            "unreported": progress.unreported,
            "excluded": progress.excluded,
            "problems": problems,
            "conditions": offer.conditions,
        },
    })
}
