//! The checked tree to the typed configuration: defaults, and the rules of single keys. Shapes and unknown keys
//! were judged before, by `walk`. Called by [`super::parse`] alone.
//!
//! - `server`, `agent`, `telemetry`, `healthcheck`: one section each; the small sections are here
//! - `exports`, `resource`: what of `telemetry` leaves over OTLP, read in `part`s
//! - `restrictions`: what remote configs may ask for; `sandbox`: what the Collector gives up;
//!   `packages`: which packages are taken
//! - `tls`: what the TLS blocks of `server` and `healthcheck` have in common
//! - `reserved`: rules of keys that have no effect yet
//!
//! Where the established supervisor has a wording for an error, it is in the message as it is there.

mod agent;
mod exports;
mod healthcheck;
mod packages;
mod part;
mod reserved;
mod resource;
mod restrictions;
mod sandbox;
mod server;
mod telemetry;
mod tls;

use std::{path::PathBuf, time::Duration};

use super::{
    DEFAULT_STORAGE_DIRECTORY,
    context::Context,
    model::{Capabilities, StorageConfig, SupervisorConfig},
};

/// `None` when something required is missing or wrong, which is then among the context's problems.
pub(super) fn decode(context: &mut Context<'_>) -> Option<SupervisorConfig> {
    let server = server::decode(context);
    let agent = agent::decode(context);
    let capabilities = capabilities(context);
    let storage = storage(context);
    let telemetry = telemetry::decode(context);
    let healthcheck = healthcheck::decode(context);
    let restrictions = restrictions::decode(context);
    let packages = packages::decode(context);
    reserved::check(context);
    Some(SupervisorConfig {
        server: server?,
        agent: agent?,
        capabilities,
        storage,
        telemetry,
        healthcheck,
        restrictions,
        packages,
    })
}

fn capabilities(context: &Context<'_>) -> Capabilities {
    let default = Capabilities::default();
    let of = |name: &str, default| context.bool(&format!("capabilities.{name}")).unwrap_or(default);
    let accepts_remote_config = of("accepts_remote_config", default.accepts_remote_config);
    Capabilities {
        accepts_remote_config,
        accepts_restart_command: of("accepts_restart_command", default.accepts_restart_command),
        accepts_opamp_connection_settings: of(
            "accepts_opamp_connection_settings",
            default.accepts_opamp_connection_settings,
        ),
        accepts_packages: of("accepts_packages", default.accepts_packages),
        reports_effective_config: of("reports_effective_config", default.reports_effective_config),
        reports_own_metrics: of("reports_own_metrics", default.reports_own_metrics),
        reports_own_logs: of("reports_own_logs", default.reports_own_logs),
        reports_own_traces: of("reports_own_traces", default.reports_own_traces),
        reports_health: of("reports_health", default.reports_health),
        reports_remote_config: accepts_remote_config
            || of("reports_remote_config", default.reports_remote_config),
        reports_available_components: of(
            "reports_available_components",
            default.reports_available_components,
        ),
        reports_heartbeat: of("reports_heartbeat", default.reports_heartbeat),
        reports_services: of("reports_services", default.reports_services),
        reports_connection_settings_status: of(
            "reports_connection_settings_status",
            default.reports_connection_settings_status,
        ),
    }
}

fn storage(context: &mut Context<'_>) -> StorageConfig {
    let key = "storage.directory";
    let directory = context.text(key).unwrap_or(DEFAULT_STORAGE_DIRECTORY);
    if directory.is_empty() {
        let message =
            format!("storage.directory must not be empty; delete the key for {DEFAULT_STORAGE_DIRECTORY}");
        context.problem(key, message);
    }
    StorageConfig { directory: PathBuf::from(directory) }
}

/// A duration that must be above zero; `rule` is the wording for one that is not.
fn positive(context: &mut Context<'_>, key: &str, rule: &str) -> Option<Duration> {
    let nanos = context.duration(key)?;
    match u64::try_from(nanos) {
        Ok(nanos) if nanos > 0 => Some(Duration::from_nanos(nanos)),
        _ => {
            let got = context.got(key);
            context.problem(key, format!("{rule}, greater than zero such as 5s, got {got}"));
            None
        }
    }
}
