//! What an absent key means.

use std::{path::PathBuf, time::Duration};

use opamp::supervisor::config::{
    Capabilities, ConfigFile, DEFAULT_STORAGE_DIRECTORY, LogEncoding, LogLevel, LogOutput, TlsVersion,
    Transport,
};

use crate::support::{LEAST, config, good, notices, with};

#[test]
fn the_least_file_takes_every_default() {
    let loaded = good(LEAST);
    assert_eq!(loaded.notices, []);
    let config = loaded.config;

    assert_eq!(config.server.endpoint.url().as_str(), "ws://127.0.0.1:4320/v1/opamp");
    assert_eq!(config.server.endpoint.transport(), Transport::WebSocket);
    assert!(!config.server.endpoint.is_secure());
    assert!(config.server.headers.is_empty());
    let tls = &config.server.tls;
    assert_eq!((tls.min_version, tls.max_version), (TlsVersion::V1_2, TlsVersion::V1_3));
    assert!(tls.ca.is_none() && tls.identity.is_none() && tls.server_name_override.is_none());
    assert!(!tls.insecure && !tls.insecure_skip_verify && !tls.include_system_ca_certs_pool);

    let agent = &config.agent;
    assert_eq!(agent.executable, PathBuf::from("/col"));
    assert_eq!(agent.instance_id, None);
    assert_eq!(agent.config_apply_timeout, None);
    assert_eq!(agent.bootstrap_timeout, Duration::from_secs(3));
    assert_eq!(agent.opamp_server_port, 0);
    assert_eq!(agent.use_hup_config_reload, None);
    assert!(agent.validate_config && !agent.passthrough_logs);
    assert!(agent.args.is_empty() && agent.env.is_empty());
    assert!(agent.description.identifying_attributes.is_empty());
    assert_eq!(
        agent.config_files,
        [ConfigFile::OwnTelemetry, ConfigFile::OpampExtension, ConfigFile::Remote]
    );

    assert_eq!(config.storage.directory, PathBuf::from(DEFAULT_STORAGE_DIRECTORY));
    assert_eq!(DEFAULT_STORAGE_DIRECTORY, "/var/lib/otelcol/supervisor");
    let logs = &config.telemetry.logs;
    assert_eq!((logs.level, logs.encoding), (LogLevel::Info, LogEncoding::Json));
    assert_eq!(logs.output_paths, [LogOutput::Stdout]);
}

#[test]
fn capabilities_have_the_documented_defaults() {
    let documented = Capabilities {
        accepts_remote_config: false,
        accepts_restart_command: false,
        accepts_opamp_connection_settings: false,
        accepts_packages: false,
        reports_effective_config: true,
        reports_own_metrics: true,
        reports_own_logs: false,
        reports_own_traces: false,
        reports_health: true,
        reports_remote_config: false,
        reports_available_components: false,
        reports_heartbeat: true,
        reports_services: false,
        reports_connection_settings_status: false,
    };
    assert_eq!(config(LEAST).capabilities, documented);
    let accepting = config(&format!("{LEAST}capabilities: {{accepts_remote_config: true}}\n")).capabilities;
    assert!(accepting.accepts_remote_config && accepting.reports_remote_config);
}

#[test]
fn a_null_key_is_an_absent_key() {
    let text = with("headers:\ntls: ~", "args: null\ndescription:", "storage:\ncapabilities:\ntelemetry:\n");
    assert_eq!(config(&text), config(&with("", "", "")));
    assert_eq!(notices(&text), Vec::<String>::new());
}

#[test]
fn missing_special_config_files_are_added_where_they_belong() {
    use ConfigFile::{OpampExtension, OwnTelemetry, Path, Remote};
    let path = |path: &str| Path(PathBuf::from(path));
    for (list, layers) in [
        ("[]", vec![OwnTelemetry, OpampExtension, Remote]),
        ("[a.yaml, b.yaml]", vec![OwnTelemetry, path("a.yaml"), path("b.yaml"), OpampExtension, Remote]),
        ("[$REMOTE_CONFIG, a.yaml]", vec![OwnTelemetry, Remote, path("a.yaml"), OpampExtension]),
        (
            "[a.yaml, $OPAMP_EXTENSION_CONFIG, $OWN_TELEMETRY_CONFIG, $REMOTE_CONFIG, b.yaml]",
            vec![path("a.yaml"), OpampExtension, OwnTelemetry, Remote, path("b.yaml")],
        ),
    ] {
        assert_eq!(
            config(&with("", &format!("config_files: {list}"), "")).agent.config_files,
            layers,
            "{list}"
        );
    }
    let twice = with("", "config_files: [a.yaml, b.yaml, a.yaml]", "");
    assert_eq!(
        config(&twice).agent.config_files,
        [OwnTelemetry, path("b.yaml"), path("a.yaml"), OpampExtension, Remote]
    );
    assert_eq!(notices(&twice), ["5:3: agent.config_files lists a.yaml twice; the last place counts"]);
}
