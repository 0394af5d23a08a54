//! Every key of `supervisor.yaml`: its path, its shape, and whether it is acted on.
//!
//! The one place to add a key. Unknown-key errors, shape errors and notices all come from here.

use Shape::{
    Any, AnyList, AnyMap, Bool, Duration, Headers, Int, OneOf, Secret, SecretMap, Section, Text, TextMap,
    Texts,
};

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A map whose keys are in this table too.
    Section,
    Text,
    /// Text that is never shown.
    Secret,
    Bool,
    Int,
    /// A Go duration.
    Duration,
    /// One of these words, in any case.
    OneOf(&'static [&'static str]),
    /// A list of strings, or one string that is split at commas.
    Texts,
    /// A map of strings.
    TextMap,
    /// A map of strings that are never shown.
    SecretMap,
    /// A map of string → string split at commas, or list of strings; never shown.
    Headers,
    /// A map whose content is not ours to judge.
    AnyMap,
    /// A list whose content is not ours to judge.
    AnyList,
    /// Anything.
    Any,
}

/// Whether a key is acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Acted,
    /// Read and checked, and without effect so far; what happens instead.
    NotYet(&'static str),
    /// Still acted on; what to write instead.
    Deprecated(&'static str),
    /// Checked, and without effect by design; why.
    Ignored(&'static str),
    /// Without effect for good; why, and what took its place.
    Removed(&'static str),
}

pub(super) struct Key {
    pub path: &'static str,
    pub shape: Shape,
    pub status: Status,
}

/// The row of a dotted path.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

const fn acted(path: &'static str, shape: Shape) -> Key {
    Key { path, shape, status: Status::Acted }
}

const fn not_yet(path: &'static str, shape: Shape, instead: &'static str) -> Key {
    Key { path, shape, status: Status::NotYet(instead) }
}

const fn ignored(path: &'static str, shape: Shape, why: &'static str) -> Key {
    Key { path, shape, status: Status::Ignored(why) }
}

const fn deprecated(path: &'static str, shape: Shape, instead: &'static str) -> Key {
    Key { path, shape, status: Status::Deprecated(instead) }
}

const fn removed(path: &'static str, why: &'static str) -> Key {
    Key { path, shape: Shape::Any, status: Status::Removed(why) }
}

const KEY_SOURCES: Shape = OneOf(&["", "env", "systemd_credential", "keychain", "dpapi"]);
const TELEMETRY_LEVELS: Shape = OneOf(&["none", "basic", "normal", "detailed"]);

const HEALTH_CHECK_PORT: &str = "removed in 0.126: the Collector's health comes from its opamp extension or \
                                 from a health_check extension; delete the key";
const REPORTS_REMOTE_CONFIG: &str = "capabilities.accepts_remote_config, which turns the report on too";

const CREDENTIALS: &str = "requests go out without it; put the credentials into server.headers, for example \
                           Authorization: Bearer ${file:/etc/opamp/token}";
const NO_ORPHANS: &str = "the kernel ends the Collector with its supervisor, and the next start ends what outlived \
                          even that; nothing is polled";
const LOOPBACK: &str =
    "the Collector's extension dials a loopback port; choose it with agent.opamp_server_port";
const MINISIGN: &str = "packages are verified by minisign signatures, with the keys of packages.signature";
const NO_SECRETS: &str =
    "offered connection settings are stored as they are, readable by the supervisor's user alone";
const OF_CLIENTS: &str = "it says whom a client trusts; whom this endpoint trusts is in client_ca_file";
const READ_AT_START: &str = "certificates are read at the start of the supervisor";
const NO_CORS: &str = "answers carry no CORS headers, so a page of another origin cannot read them";
const NO_BODIES: &str = "bodies of requests are not read";

const NO_PROPAGATION: &str = "OpAMP messages carry no trace context, so none is propagated";
const NO_LOGGER_ERRORS: &str = "the logger has no errors of its own; a place that cannot be written to keeps \
                                no line from the others";

/// All keys, in the order of the documentation.
pub(super) static KEYS: &[Key] = &[
    acted("server", Section),
    acted("server.endpoint", Text),
    acted("server.headers", Headers),
    acted("server.client_certificate", Section),
    acted("server.client_certificate.request", Bool),
    acted("server.settings_apply_timeout", Duration),
    acted("server.proxy_url", Secret),
    acted("server.proxy_connect_headers", Headers),
    acted("server.max_recv_msg_size_mib", Int),
    acted("server.max_send_msg_size_mib", Int),
    acted("server.tls", Section),
    acted("server.tls.ca_file", Text),
    acted("server.tls.ca_pem", Text),
    acted("server.tls.include_system_ca_certs_pool", Bool),
    acted("server.tls.cert_file", Text),
    acted("server.tls.cert_pem", Text),
    acted("server.tls.key_file", Text),
    acted("server.tls.key_pem", Secret),
    acted("server.tls.min_version", Text),
    acted("server.tls.max_version", Text),
    acted("server.tls.cipher_suites", Texts),
    acted("server.tls.reload_interval", Duration),
    acted("server.tls.curve_preferences", Texts),
    acted("server.tls.tpm", AnyMap),
    acted("server.tls.insecure", Bool),
    acted("server.tls.insecure_skip_verify", Bool),
    acted("server.tls.server_name_override", Text),
    not_yet("server.auth", Text, CREDENTIALS),
    not_yet("extensions", AnyMap, CREDENTIALS),
    acted("agent", Section),
    acted("agent.executable", Text),
    acted("agent.instance_id", Text),
    ignored("agent.orphan_detection_interval", Duration, NO_ORPHANS),
    acted("agent.description", Section),
    acted("agent.description.identifying_attributes", TextMap),
    acted("agent.description.non_identifying_attributes", TextMap),
    acted("agent.description.include_resource_attributes", Bool),
    acted("agent.config_apply_timeout", Duration),
    acted("agent.bootstrap_timeout", Duration),
    acted("agent.opamp_server_port", Int),
    acted("agent.opamp_server_socket", Section),
    ignored("agent.opamp_server_socket.transport", Text, LOOPBACK),
    ignored("agent.opamp_server_socket.endpoint", Text, LOOPBACK),
    acted("agent.passthrough_logs", Bool),
    acted("agent.collector_crash_log_snippet_kib", Int),
    acted("agent.automatic_config_rollback", Bool),
    acted("agent.use_hup_config_reload", Bool),
    acted("agent.validate_config", Bool),
    acted("agent.config_files", Texts),
    acted("agent.require_config_files", Bool),
    acted("agent.args", Texts),
    acted("agent.env", SecretMap),
    acted("agent.run_as", Text),
    acted("agent.no_new_privs", Bool),
    acted("agent.capabilities", Texts),
    acted("agent.limits", Section),
    acted("agent.limits.open_files", Int),
    acted("agent.limits.processes", Int),
    acted("agent.access_dirs", Section),
    acted("agent.access_dirs.required", Bool),
    acted("agent.access_dirs.read", Section),
    acted("agent.access_dirs.read.allow", Texts),
    acted("agent.access_dirs.read.deny", Texts),
    acted("agent.access_dirs.write", Section),
    acted("agent.access_dirs.write.allow", Texts),
    acted("agent.access_dirs.write.deny", Texts),
    acted("agent.access_dirs.execute", Section),
    acted("agent.access_dirs.execute.allow", Texts),
    acted("agent.startup_fallback_configs", Texts),
    acted("agent.package", Section),
    acted("agent.package.agent_binary", Text),
    acted("agent.package.verifier", Section),
    ignored("agent.package.verifier.type", Text, MINISIGN),
    removed("agent.health_check_port", HEALTH_CHECK_PORT),
    acted("capabilities", Section),
    acted("capabilities.accepts_remote_config", Bool),
    acted("capabilities.accepts_restart_command", Bool),
    acted("capabilities.accepts_opamp_connection_settings", Bool),
    acted("capabilities.reports_effective_config", Bool),
    acted("capabilities.reports_own_metrics", Bool),
    acted("capabilities.reports_own_logs", Bool),
    acted("capabilities.reports_own_traces", Bool),
    acted("capabilities.reports_health", Bool),
    deprecated("capabilities.reports_remote_config", Bool, REPORTS_REMOTE_CONFIG),
    acted("capabilities.reports_available_components", Bool),
    acted("capabilities.reports_heartbeat", Bool),
    acted("capabilities.reports_services", Bool),
    acted("capabilities.accepts_packages", Bool),
    acted("capabilities.reports_connection_settings_status", Bool),
    acted("storage", Section),
    acted("storage.directory", Text),
    acted("storage.secrets", Section),
    not_yet("storage.secrets.key_source", KEY_SOURCES, NO_SECRETS),
    not_yet("storage.secrets.key_name", Text, NO_SECRETS),
    not_yet("storage.secrets.keychain_path", Text, NO_SECRETS),
    acted("packages", Section),
    acted("packages.allow", Texts),
    acted("packages.signature", Section),
    acted("packages.signature.public_key_files", Texts),
    acted("packages.signature.least_epoch", Int),
    acted("packages.signature.insecure_skip_signature", Bool),
    acted("packages.download", Section),
    acted("packages.download.allow", Texts),
    acted("packages.download.plain_http", Bool),
    acted("packages.download.max_size_mib", Int),
    acted("packages.downgrade", OneOf(&["deny", "within_minor", "allow"])),
    acted("packages.keep_previous", Duration),
    acted("packages.trial", Section),
    acted("packages.trial.first_health", Duration),
    acted("packages.trial.healthy_for", Duration),
    acted("packages.supervisor_trial", Duration),
    acted("restrictions", Section),
    acted("restrictions.components", Section),
    acted("restrictions.components.receivers", Texts),
    acted("restrictions.components.processors", Texts),
    acted("restrictions.components.exporters", Texts),
    acted("restrictions.components.extensions", Texts),
    acted("restrictions.components.connectors", Texts),
    acted("restrictions.paths", Section),
    acted("restrictions.paths.allow", Texts),
    acted("restrictions.endpoints", Section),
    acted("restrictions.endpoints.allow", Texts),
    acted("restrictions.env", Section),
    acted("restrictions.env.allow", Texts),
    acted("telemetry", Section),
    acted("telemetry.logs", Section),
    acted("telemetry.logs.level", Text),
    acted("telemetry.logs.output_paths", Texts),
    ignored("telemetry.logs.error_output_paths", Texts, NO_LOGGER_ERRORS),
    acted("telemetry.logs.encoding", OneOf(&["json", "console"])),
    acted("telemetry.logs.processors", AnyList),
    acted("telemetry.metrics", Section),
    acted("telemetry.metrics.level", TELEMETRY_LEVELS),
    acted("telemetry.metrics.readers", AnyList),
    acted("telemetry.traces", Section),
    acted("telemetry.traces.level", TELEMETRY_LEVELS),
    ignored("telemetry.traces.propagators", AnyList, NO_PROPAGATION),
    acted("telemetry.traces.processors", AnyList),
    acted("telemetry.resource", AnyMap),
    acted("healthcheck", Section),
    acted("healthcheck.endpoint", Text),
    acted("healthcheck.transport", OneOf(&["", "tcp", "tcp4", "tcp6"])),
    acted("healthcheck.tls", Section),
    acted("healthcheck.tls.cert_file", Text),
    acted("healthcheck.tls.cert_pem", Text),
    acted("healthcheck.tls.key_file", Text),
    acted("healthcheck.tls.key_pem", Secret),
    acted("healthcheck.tls.client_ca_file", Text),
    acted("healthcheck.tls.min_version", Text),
    acted("healthcheck.tls.max_version", Text),
    acted("healthcheck.tls.cipher_suites", Texts),
    acted("healthcheck.tls.curve_preferences", Texts),
    acted("healthcheck.tls.tpm", AnyMap),
    ignored("healthcheck.tls.ca_file", Text, OF_CLIENTS),
    ignored("healthcheck.tls.ca_pem", Text, OF_CLIENTS),
    ignored("healthcheck.tls.include_system_ca_certs_pool", Bool, OF_CLIENTS),
    ignored("healthcheck.tls.reload_interval", Duration, READ_AT_START),
    ignored("healthcheck.tls.client_ca_file_reload", Bool, READ_AT_START),
    ignored("healthcheck.cors", AnyMap, NO_CORS),
    acted("healthcheck.auth", AnyMap),
    ignored("healthcheck.max_request_body_size", Int, NO_BODIES),
    ignored("healthcheck.include_metadata", Bool, "no authenticator is there that could use metadata"),
    acted("healthcheck.response_headers", Any),
    ignored("healthcheck.compression_algorithms", Texts, NO_BODIES),
    acted("healthcheck.read_timeout", Duration),
    acted("healthcheck.read_header_timeout", Duration),
    acted("healthcheck.write_timeout", Duration),
    acted("healthcheck.idle_timeout", Duration),
    acted("healthcheck.keep_alives_enabled", Bool),
    acted("healthcheck.middlewares", AnyList),
];

#[cfg(test)]
mod tests {
    use super::{
        super::yaml::{Node, Value, parse},
        KEYS, Shape, find,
    };

    #[test]
    fn every_key_is_listed_once_and_hangs_under_a_section() {
        for (index, key) in KEYS.iter().enumerate() {
            assert!(KEYS[..index].iter().all(|other| other.path != key.path), "{} twice", key.path);
            if let Some((parent, _)) = key.path.rsplit_once('.') {
                assert_eq!(find(parent).map(|parent| parent.shape), Some(Shape::Section), "{}", key.path);
            }
        }
    }

    #[test]
    fn the_sample_of_every_key_has_every_key() {
        let document = parse(include_str!("../../../tests/config/samples/every-key.yaml")).unwrap();
        for key in KEYS {
            let mut node: &Node = &document.root;
            for name in key.path.split('.') {
                let Value::Map(entries) = &node.value else { panic!("{} has no map above it", key.path) };
                let entry = entries.iter().find(|entry| entry.key == name);
                node = &entry.unwrap_or_else(|| panic!("{} is not in the sample", key.path)).node;
            }
        }
    }
}
