//! Who the agent is, as the server is told: description, capabilities, components.

use std::collections::BTreeMap;

use super::config::{AgentConfig, Capabilities, PackagesConfig};
use crate::{
    collector::bootstrap::Facts,
    os::host,
    wire::{
        AgentCaps, InstanceUid, attrs,
        proto::{AgentCapabilities as Bit, AgentDescription, KeyValue},
    },
};

/// What this supervisor does of what the file allows. What is not built yet is not advertised.
#[must_use]
pub fn capabilities(allowed: &Capabilities, packages: &PackagesConfig) -> AgentCaps {
    let mut caps = AgentCaps::of(&[Bit::ReportsStatus]);
    let mut add = |wanted: bool, bits: &[Bit]| {
        if wanted {
            bits.iter().for_each(|bit| caps = caps.with(*bit));
        }
    };
    add(allowed.accepts_remote_config, &[Bit::AcceptsRemoteConfig, Bit::ReportsRemoteConfig]);
    add(allowed.reports_remote_config, &[Bit::ReportsRemoteConfig]);
    add(allowed.accepts_restart_command, &[Bit::AcceptsRestartCommand]);
    add(allowed.reports_effective_config, &[Bit::ReportsEffectiveConfig]);
    add(allowed.reports_health, &[Bit::ReportsHealth]);
    add(allowed.reports_heartbeat, &[Bit::ReportsHeartbeat]);
    let own = [
        (allowed.reports_own_metrics, Bit::ReportsOwnMetrics),
        (allowed.reports_own_traces, Bit::ReportsOwnTraces),
        (allowed.reports_own_logs, Bit::ReportsOwnLogs),
    ];
    for (wanted, bit) in own {
        add(wanted, &[bit, Bit::ReportsConnectionSettingsStatus]);
    }
    // What nobody could verify is not asked for.
    let packages = allowed.accepts_packages && packages.signature.can_verify();
    add(packages, &[Bit::AcceptsPackages, Bit::ReportsPackageStatuses]);
    add(allowed.reports_available_components, &[Bit::ReportsAvailableComponents]);
    // Who may offer something is told how it went.
    let told = allowed.accepts_opamp_connection_settings || allowed.reports_connection_settings_status;
    add(allowed.accepts_opamp_connection_settings, &[Bit::AcceptsOpAmpConnectionSettings]);
    add(told, &[Bit::ReportsConnectionSettingsStatus]);
    caps
}

/// The description: what the binary and the host say, then what the Collector itself says, then the file.
#[must_use]
pub fn description(
    config: &AgentConfig,
    uid: InstanceUid,
    facts: Option<&Facts>,
    said: Option<&AgentDescription>,
) -> AgentDescription {
    let mut identifying = Vec::new();
    if let Some(facts) = facts {
        identifying.push(attrs::string("service.name", &facts.command));
        identifying.push(attrs::string("service.version", &facts.version));
    }
    let host = host::attributes().into_iter();
    let mut non_identifying: Vec<KeyValue> = host.map(|(key, value)| attrs::string(key, value)).collect();
    if let Some(said) = said {
        overlay(&mut identifying, &said.identifying_attributes);
        overlay(&mut non_identifying, &said.non_identifying_attributes);
    }
    attrs::set(&mut identifying, "service.instance.id", uid.to_string());
    set_all(&mut identifying, &config.description.identifying_attributes);
    set_all(&mut non_identifying, &config.description.non_identifying_attributes);
    identifying.sort_by(|a, b| a.key.cmp(&b.key));
    non_identifying.sort_by(|a, b| a.key.cmp(&b.key));
    AgentDescription { identifying_attributes: identifying, non_identifying_attributes: non_identifying }
}

fn overlay(attributes: &mut Vec<KeyValue>, others: &[KeyValue]) {
    for other in others {
        match attributes.iter_mut().find(|mine| mine.key == other.key) {
            Some(mine) => mine.clone_from(other),
            None => attributes.push(other.clone()),
        }
    }
}

fn set_all(attributes: &mut Vec<KeyValue>, values: &BTreeMap<String, String>) {
    values.iter().for_each(|(key, value)| attrs::set(attributes, key, value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_se_07_c_cp_03_remote_config_is_opt_in() {
        let packages = PackagesConfig::default();
        let caps = capabilities(&Capabilities::default(), &packages);
        assert!(
            caps.has(Bit::ReportsStatus) && caps.has(Bit::ReportsHealth) && caps.has(Bit::ReportsHeartbeat)
        );
        assert!(!caps.has(Bit::AcceptsRemoteConfig) && !caps.has(Bit::AcceptsRestartCommand));
        let allowed = Capabilities { accepts_remote_config: true, ..Capabilities::default() };
        let caps = capabilities(&allowed, &packages);
        assert!(caps.has(Bit::ReportsRemoteConfig), "who accepts also reports");
    }
}
