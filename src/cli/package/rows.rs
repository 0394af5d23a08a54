//! AgentPackages and PackageOffers as rows of `get`.

use serde_json::Value;

pub(in crate::cli) const PACKAGE: [&str; 5] = ["NAME", "PACKAGE", "VERSION", "TYPE", "HOSTS"];
pub(in crate::cli) const OFFER: [&str; 8] =
    ["NAME", "PHASE", "PACKAGES", "AGENTS", "WAITING", "IN FLIGHT", "INSTALLED", "FAILED"];

pub(in crate::cli) fn package(package: &Value) -> Vec<String> {
    let text = |pointer: &str| package.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
    let variants = package.pointer("/spec/variants").and_then(Value::as_array);
    let hosts: Vec<_> = variants
        .into_iter()
        .flatten()
        .map(|one| format!("{}/{}", one["os"].as_str().unwrap_or("?"), one["arch"].as_str().unwrap_or("?")))
        .collect();
    let name = text("/metadata/name");
    let known_as = text("/spec/packageName");
    vec![
        name.clone(),
        if known_as.is_empty() { name } else { known_as },
        text("/spec/version"),
        text("/spec/packageType"),
        if hosts.is_empty() { "any".to_owned() } else { hosts.join(",") },
    ]
}

pub(in crate::cli) fn offer(offer: &Value) -> Vec<String> {
    let text = |pointer: &str| offer.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
    let packages = offer.pointer("/spec/packages").and_then(Value::as_array);
    let packages: Vec<_> = packages.into_iter().flatten().filter_map(Value::as_str).collect();
    let mut row = vec![text("/metadata/name"), text("/status/phase"), packages.join(",")];
    row.extend(["targets", "waiting", "inFlight", "installed", "failed"].map(|key| {
        offer["status"][key].as_u64().map_or_else(|| "-".to_owned(), |number| number.to_string())
    }));
    row
}
