//! What each key is for, in words of the schema.

/// The words for a key.
#[derive(Clone, Copy, Default)]
pub(super) struct Text {
    path: &'static str,
    pub(super) says: &'static str,
    /// As JSON; empty where there is none.
    pub(super) default: &'static str,
    pub(super) range: Option<(i64, i64)>,
}

pub(super) fn text(path: &str) -> Option<Text> {
    TEXTS.iter().find(|text| text.path == path).copied()
}

#[cfg(test)]
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    TEXTS.iter().map(|text| text.path)
}

const fn says(path: &'static str, says: &'static str) -> Text {
    Text { path, says, default: "", range: None }
}

const fn with(path: &'static str, default: &'static str, says: &'static str) -> Text {
    Text { path, says, default, range: None }
}

const fn ranged(path: &'static str, range: (i64, i64), default: &'static str, says: &'static str) -> Text {
    Text { path, says, default, range: Some(range) }
}

static TEXTS: &[Text] = &[
    says("server", "The OpAMP server and how to reach it."),
    says(
        "server.endpoint",
        "URL of the server: ws:// and wss:// keep one connection, http:// and https:// poll.",
    ),
    says("server.headers", "Sent on connect. A string is split at commas, a list is not."),
    says("server.client_certificate", "A client certificate of this agent's own, signed by the server."),
    with(
        "server.client_certificate.request",
        "false",
        "Ask for one, and for the next one in time; its key stays here.",
    ),
    with(
        "server.settings_apply_timeout",
        "\"60s\"",
        "How long a connection that the server offers has to prove itself.",
    ),
    says(
        "server.proxy_url",
        "The proxy to go through: http://, https:// or socks5://, with user:password@ where it asks. Without it HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY of the environment count.",
    ),
    says("server.proxy_connect_headers", "Sent to a proxy that speaks HTTP, and not to the server."),
    ranged(
        "server.max_recv_msg_size_mib",
        (1, 1024),
        "64",
        "The largest message that is taken from the server, also after inflation.",
    ),
    ranged(
        "server.max_send_msg_size_mib",
        (1, 1024),
        "4",
        "The largest message that is sent to it, before compression; a larger one is dropped, and the log says so.",
    ),
    says("server.tls", "For wss:// and https://, and toward an https:// proxy."),
    says("server.tls.ca_file", "PEM file of certificates to trust; without one, the system's are trusted."),
    says("server.tls.ca_pem", "The same as text."),
    with("server.tls.include_system_ca_certs_pool", "false", "Trust the system's certificates besides."),
    says("server.tls.cert_file", "PEM file of the client certificate."),
    says("server.tls.cert_pem", "The same as text."),
    says("server.tls.key_file", "PEM file of the client certificate's key."),
    says("server.tls.key_pem", "The same as text."),
    with("server.tls.min_version", "\"1.2\"", "The lowest version of TLS: 1.2 or 1.3."),
    with("server.tls.max_version", "\"1.3\"", "The highest version of TLS: 1.2 or 1.3."),
    says(
        "server.tls.cipher_suites",
        "The only cipher suites to offer, by their names in Go. A list that names none of TLS 1.3 limits TLS 1.2 alone.",
    ),
    says(
        "server.tls.reload_interval",
        "How often a standing connection looks whether the files changed, to be made anew with them. Each new connection reads them anyway.",
    ),
    says(
        "server.tls.curve_preferences",
        "The only curves to offer, the best liked first: X25519, P256, P384.",
    ),
    says("server.tls.tpm", "A key in a TPM; enabled: true is refused."),
    with("server.tls.insecure", "false", "Plain text; the scheme of the endpoint decides instead."),
    with("server.tls.insecure_skip_verify", "false", "Take whoever answers for the server; for a lab only."),
    says("server.tls.server_name_override", "The name to expect in the server's certificate."),
    says("server.auth", "An entry of extensions that authenticates requests."),
    says("extensions", "Extensions of the supervisor itself."),
    says("agent", "The Collector and how it is run."),
    says("agent.executable", "The Collector's binary."),
    says("agent.instance_id", "The identity of a first start, a UUID; made up when absent."),
    says("agent.orphan_detection_interval", "How often a Collector looks for its supervisor."),
    says("agent.description", "Added to, or in place of, what the Collector says of itself."),
    says("agent.description.identifying_attributes", "Attributes that tell this agent from others."),
    says("agent.description.non_identifying_attributes", "Other attributes."),
    with(
        "agent.description.include_resource_attributes",
        "false",
        "Add all attributes of the Collector's own resource, where its extension can.",
    ),
    with(
        "agent.config_apply_timeout",
        "\"60s\"",
        "How long a new config has until the Collector is healthy with it.",
    ),
    with(
        "agent.bootstrap_timeout",
        "\"3s\"",
        "How long the binary has to say what it is; at least ten seconds are given.",
    ),
    ranged(
        "agent.opamp_server_port",
        (0, 65535),
        "0",
        "Port of the local endpoint for the Collector's extension; 0 takes a free one.",
    ),
    says("agent.opamp_server_socket", "A socket for the local endpoint."),
    says("agent.opamp_server_socket.transport", "Kind of the socket."),
    says("agent.opamp_server_socket.endpoint", "Place of the socket."),
    with(
        "agent.passthrough_logs",
        "false",
        "Put the Collector's output into the supervisor's log instead of a file.",
    ),
    ranged(
        "agent.collector_crash_log_snippet_kib",
        (0, 1024),
        "0",
        "So much of a dead Collector's output is told with its death.",
    ),
    with("agent.automatic_config_rollback", "true", "Undo a config that fails after the switch."),
    says(
        "agent.use_hup_config_reload",
        "true: reload by SIGHUP; false: always restart; absent: SIGHUP when only contents changed.",
    ),
    with(
        "agent.validate_config",
        "true",
        "Let the Collector's own validate judge a config before it is used.",
    ),
    says(
        "agent.config_files",
        "Layers of the Collector's config, a later one wins; $OWN_TELEMETRY_CONFIG, $OPAMP_EXTENSION_CONFIG and $REMOTE_CONFIG stand for what is generated and sent.",
    ),
    with(
        "agent.require_config_files",
        "false",
        "A file of config_files that cannot be read is an error, and not left out.",
    ),
    says("agent.args", "More arguments for the Collector."),
    says("agent.env", "More environment variables for the Collector."),
    says(
        "agent.run_as",
        "The user of the Collector: user or user:group, names or numbers; for a supervisor that is root.",
    ),
    with(
        "agent.no_new_privs",
        "false",
        "No program that the Collector starts gains rights by set-user-id or file capabilities.",
    ),
    says("agent.capabilities", "The only capabilities that the Collector keeps."),
    says("agent.limits", "What the Collector may use of the host."),
    says("agent.limits.open_files", "Files that it may have open."),
    says("agent.limits.processes", "Processes and threads of its user."),
    says(
        "agent.access_dirs",
        "The files that the Collector may use, kept by Landlock; without the section all.",
    ),
    with("agent.access_dirs.required", "false", "No start on a kernel without Landlock."),
    says("agent.access_dirs.read", "What it may read."),
    says("agent.access_dirs.read.allow", "Files and directories, with all below them."),
    says("agent.access_dirs.read.deny", "What of these it may not read."),
    says("agent.access_dirs.write", "What it may read and change."),
    says("agent.access_dirs.write.allow", "Files and directories, with all below them."),
    says("agent.access_dirs.write.deny", "What of these it may not change."),
    says("agent.access_dirs.execute", "What it may read and run."),
    says("agent.access_dirs.execute.allow", "Files and directories, with all below them."),
    says(
        "agent.startup_fallback_configs",
        "What to run while the server was never reached, and when nothing else will run.",
    ),
    says("agent.package", "Packages from the server."),
    says(
        "agent.package.agent_binary",
        "The Collector's file inside an archive; without it the one that is called as the package, or the only one.",
    ),
    says("agent.package.verifier", "Who vouches for packages."),
    says("agent.package.verifier.type", "Kind of the verifier."),
    says("agent.health_check_port", "A port for the Collector's health check."),
    says("capabilities", "What the server may do and what it is told."),
    with("capabilities.accepts_remote_config", "false", "The server may send configs."),
    with("capabilities.accepts_restart_command", "false", "The server may restart the Collector."),
    with(
        "capabilities.accepts_opamp_connection_settings",
        "false",
        "The server may move this agent to another server.",
    ),
    with("capabilities.reports_effective_config", "true", "The server is told the config in effect."),
    with(
        "capabilities.reports_own_metrics",
        "true",
        "The server may say where the Collector's own metrics go.",
    ),
    with("capabilities.reports_own_logs", "false", "The server may say where the Collector's own logs go."),
    with(
        "capabilities.reports_own_traces",
        "false",
        "The server may say where the Collector's own traces go.",
    ),
    with("capabilities.reports_health", "true", "The server is told the health."),
    with("capabilities.reports_remote_config", "false", "The server is told how it went with a config."),
    with(
        "capabilities.reports_available_components",
        "false",
        "The server is told the components of the binary.",
    ),
    with("capabilities.reports_heartbeat", "true", "The server hears from this agent in silence too."),
    with(
        "capabilities.reports_services",
        "false",
        "The server may ask what listens on this host, and which receiver is for it.",
    ),
    with(
        "capabilities.accepts_packages",
        "false",
        "The server may offer packages: another Collector, add-ons, another supervisor; needs packages.signature.",
    ),
    with(
        "capabilities.reports_connection_settings_status",
        "false",
        "The server is told how it went with connection settings; on when any are accepted.",
    ),
    says("storage", "Where state is kept."),
    with("storage.directory", "\"/var/lib/otelcol/supervisor\"", "Private to one supervisor."),
    says("storage.secrets", "Encryption of stored connection settings."),
    with("storage.secrets.key_source", "\"\"", "Where the key comes from."),
    says("storage.secrets.key_name", "The key's name there."),
    says("storage.secrets.keychain_path", "The keychain's path."),
    says("packages", "Which packages of the server are taken, and how they are tried."),
    says("packages.allow", "Names of packages that may be installed; without it, any that is signed."),
    says("packages.signature", "Who has to have signed them."),
    says(
        "packages.signature.public_key_files",
        "Files with public keys of minisign's, one of which must have signed; read again for each package.",
    ),
    ranged(
        "packages.signature.least_epoch",
        (0, 4_294_967_295),
        "0",
        "Signatures of an older epoch are revoked.",
    ),
    with(
        "packages.signature.insecure_skip_signature",
        "false",
        "Take whatever the server offers; for labs only.",
    ),
    says("packages.download", "Where they may come from."),
    says(
        "packages.download.allow",
        "Hosts and networks of one's own that may be asked; the OpAMP server's own host always may.",
    ),
    with("packages.download.plain_http", "false", "Without TLS too; what comes is verified all the same."),
    ranged("packages.download.max_size_mib", (1, 1_048_576), "1024", "The largest package that is taken."),
    with(
        "packages.downgrade",
        "\"deny\"",
        "Whether a version below the highest that proved itself here may be installed.",
    ),
    with("packages.keep_previous", "\"168h\"", "How long the version before stays on the disk."),
    says("packages.trial", "What a new Collector has to show before it stays."),
    with("packages.trial.first_health", "\"60s\"", "How long it may take to become healthy; 1s to 1h."),
    with("packages.trial.healthy_for", "\"3m\"", "How long it has to be healthy after that; 1s to 1h."),
    with(
        "packages.supervisor_trial",
        "\"60s\"",
        "How long another supervisor has to reach the server, however it came, else this one runs again; 5s to 1h.",
    ),
    says("restrictions", "What remote configs may ask for; a list that is absent restricts nothing."),
    says("restrictions.components", "Types of components that may be used."),
    says("restrictions.components.receivers", "Receivers that may be used."),
    says("restrictions.components.processors", "Processors that may be used."),
    says("restrictions.components.exporters", "Exporters that may be used."),
    says("restrictions.components.extensions", "Extensions that may be used."),
    says("restrictions.components.connectors", "Connectors that may be used."),
    says("restrictions.paths", "Paths that may be named."),
    says("restrictions.paths.allow", "Patterns of such paths."),
    says("restrictions.endpoints", "Endpoints that may be named."),
    says("restrictions.endpoints.allow", "Patterns of such endpoints."),
    says("restrictions.env", "Environment variables that may be read."),
    says("restrictions.env.allow", "Patterns of their names."),
    says("telemetry", "What the supervisor says of itself."),
    says("telemetry.logs", "Its log."),
    with("telemetry.logs.level", "\"info\"", "debug, info, warn, error, or a number from -1 to 5."),
    with("telemetry.logs.output_paths", "[\"stdout\"]", "stdout, stderr or paths of files."),
    says("telemetry.logs.error_output_paths", "Where the logger's own errors go."),
    with("telemetry.logs.encoding", "\"json\"", "How a line is written."),
    says(
        "telemetry.logs.processors",
        "Where the log goes over OTLP: batch or simple, with an otlp exporter (http/protobuf).",
    ),
    says("telemetry.metrics", "Its numbers."),
    with("telemetry.metrics.level", "\"basic\"", "none sends nothing."),
    says("telemetry.metrics.readers", "Where they go: periodic, with an otlp exporter (http/protobuf)."),
    says("telemetry.traces", "Its spans."),
    with("telemetry.traces.level", "\"basic\"", "none sends nothing."),
    says("telemetry.traces.propagators", "How a trace's context is passed on."),
    says(
        "telemetry.traces.processors",
        "Where they go: batch or simple, with an otlp exporter (http/protobuf).",
    ),
    says(
        "telemetry.resource",
        "As whose: a map of attributes, or attributes, attributes_list, schema_url and detection/development.",
    ),
    says("healthcheck", "Health over HTTP; off unless endpoint names a port."),
    says("healthcheck.endpoint", "host:port; /health follows the Collector, /health/live the supervisor."),
    with("healthcheck.transport", "\"tcp\"", "tcp4 and tcp6 take addresses of one family only."),
    says("healthcheck.tls", "HTTPS in place of HTTP."),
    says("healthcheck.tls.cert_file", "PEM file of the certificate."),
    says("healthcheck.tls.cert_pem", "The same as text."),
    says("healthcheck.tls.key_file", "PEM file of the certificate's key."),
    says("healthcheck.tls.key_pem", "The same as text."),
    says(
        "healthcheck.tls.client_ca_file",
        "PEM file of who vouches for clients; without it anybody may ask.",
    ),
    with("healthcheck.tls.min_version", "\"1.2\"", "The lowest version of TLS: 1.2 or 1.3."),
    with("healthcheck.tls.max_version", "\"1.3\"", "The highest version of TLS: 1.2 or 1.3."),
    says(
        "healthcheck.tls.cipher_suites",
        "Cannot be chosen: all suites offered are AEAD with forward secrecy.",
    ),
    says("healthcheck.tls.curve_preferences", "Cannot be chosen: X25519, P256 and P384 are offered."),
    says("healthcheck.tls.tpm", "A key in a TPM; enabled: true is refused."),
    says("healthcheck.tls.ca_file", "Whom a client trusts."),
    says("healthcheck.tls.ca_pem", "The same as text."),
    says("healthcheck.tls.include_system_ca_certs_pool", "Whom a client trusts besides."),
    says("healthcheck.tls.reload_interval", "How often to read the files again."),
    says("healthcheck.tls.client_ca_file_reload", "Whether to read client_ca_file again."),
    says("healthcheck.cors", "For pages of other origins."),
    says("healthcheck.auth", "Who may ask; refused, since nobody would be kept out."),
    says("healthcheck.max_request_body_size", "The largest body of a request."),
    says("healthcheck.include_metadata", "Keep headers for authenticators."),
    says("healthcheck.response_headers", "Added to each answer: a map, or a list of name and value."),
    says("healthcheck.compression_algorithms", "Encodings of requests."),
    says(
        "healthcheck.read_timeout",
        "How long a request may take; the shortest of this, read_header_timeout and idle_timeout counts.",
    ),
    with("healthcheck.read_header_timeout", "\"5s\"", "How long a request's head may take."),
    with("healthcheck.write_timeout", "\"10s\"", "How long an answer may take to be read."),
    says("healthcheck.idle_timeout", "How long a connection may be silent."),
    with("healthcheck.keep_alives_enabled", "true", "Several requests on one connection."),
    says("healthcheck.middlewares", "Refused where there are any, since nobody would be kept out."),
];
