//! Values that are set arrive, in each way of writing them.

use std::{path::PathBuf, time::Duration};

use opamp::supervisor::config::{
    Attribute, Family, LogEncoding, LogLevel, LogOutput, Pem, PemKey, SupervisorConfig, TlsVersion, Transport,
};

use crate::support::{config, good, notices, with};

fn header(config: &SupervisorConfig, name: &str) -> Vec<String> {
    config.server.headers[name].iter().map(|value| value.expose().to_owned()).collect()
}

#[test]
fn headers_are_split_at_commas_and_lists_are_kept() {
    let config = config(&with("headers:\n  One: a\n  Two: a, b,c\n  List: ['a, b', c]\n  Number: 5", "", ""));
    assert_eq!(header(&config, "One"), ["a"]);
    assert_eq!(header(&config, "Two"), ["a", "b", "c"]);
    assert_eq!(header(&config, "List"), ["a, b", "c"]);
    assert_eq!(header(&config, "Number"), ["5"]);
}

#[test]
fn each_scheme_chooses_transport_and_security() {
    for (scheme, transport, secure) in [
        ("ws", Transport::WebSocket, false),
        ("wss", Transport::WebSocket, true),
        ("http", Transport::Http, false),
        ("HTTPS", Transport::Http, true),
    ] {
        let text = format!("server: {{endpoint: '{scheme}://h:1/p'}}\nagent: {{executable: /col}}\n");
        let endpoint = config(&text).server.endpoint;
        assert_eq!((endpoint.transport(), endpoint.is_secure()), (transport, secure), "{scheme}");
        assert_eq!(endpoint.to_string(), format!("{}://h:1/p", scheme.to_lowercase()));
    }
}

#[test]
fn the_tls_block_arrives() {
    let tls = "tls:\n  ca_file: /ca.pem\n  include_system_ca_certs_pool: true\n  cert_file: /c.pem\n  \
               key_pem: KEY\n  min_version: 1.2\n  max_version: \"1.2\"\n  server_name_override: other";
    let tls = config(&with(tls, "", "")).server.tls;
    assert_eq!(tls.ca, Some(Pem::File(PathBuf::from("/ca.pem"))));
    let identity = tls.identity.unwrap();
    assert_eq!(identity.cert, Pem::File(PathBuf::from("/c.pem")));
    assert!(matches!(identity.key, PemKey::Text(key) if key.expose() == "KEY"));
    assert_eq!((tls.min_version, tls.max_version), (TlsVersion::V1_2, TlsVersion::V1_2));
    assert!(tls.include_system_ca_certs_pool);
    assert_eq!(tls.server_name_override.as_deref(), Some("other"));
}

#[test]
fn what_rustls_cannot_honour_is_said() {
    let tls = "tls:\n  min_version: '1.0'\n  cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA, TLS_AES_128_GCM_SHA256]\n  \
               curve_preferences: [P521, P256]\n  insecure: true\n  insecure_skip_verify: true\n  \
               reload_interval: 1h\n  tpm: {enabled: false}";
    assert_eq!(
        notices(&with(tls, "", "")),
        [
            "4:5: server.tls.min_version 1.0 is raised to 1.2, the lowest that is spoken here",
            "5:5: server.tls.cipher_suites: cipher suite \"TLS_RSA_WITH_AES_128_CBC_SHA\" is not spoken here; there are \
             TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256, \
             TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, \
             TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, \
             TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256; it is left out",
            "6:5: server.tls.curve_preferences: curve \"P521\" is not spoken here; there are X25519, P256 and P384; it is left out",
            "7:5: server.tls.insecure has no effect with wss://; to send in plain text change the scheme of server.endpoint",
            "8:5: server.tls.insecure_skip_verify is on: whoever answers is taken for the server; use server.tls.ca_file instead",
        ]
    );
    let usual = "server:\n  endpoint: ws://h/\n  tls: {insecure: true}\nagent: {executable: /col}\n";
    assert_eq!(notices(usual), Vec::<String>::new());
    let plain = usual.replace("true}", "true, ca_file: /ca}");
    assert_eq!(
        notices(&plain),
        ["3:3: server.tls has no effect with ws://; it is used with wss:// and https:// only"]
    );
}

#[test]
fn the_agent_section_arrives() {
    let agent = "instance_id: 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b\n\
                 description:\n  identifying_attributes: {service.name: gate}\n  \
                 non_identifying_attributes: {rack: 1.20}\n\
                 config_apply_timeout: 1m30s\nbootstrap_timeout: 300ms\nopamp_server_port: 0x10E1\n\
                 passthrough_logs: true\ncollector_crash_log_snippet_kib: 64\nuse_hup_config_reload: false\nvalidate_config: false\n\
                 args: [--set, 'a=b', 7]\nenv: {A: x, B: 1.20, C: }";
    let agent = config(&with("", agent, "")).agent;
    assert_eq!(agent.instance_id.unwrap().to_string(), "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b");
    assert_eq!(agent.description.identifying_attributes["service.name"], "gate");
    assert_eq!(agent.description.non_identifying_attributes["rack"], "1.20");
    assert_eq!(agent.config_apply_timeout, Some(Duration::from_secs(90)));
    assert_eq!(agent.bootstrap_timeout, Duration::from_millis(300));
    assert_eq!(agent.opamp_server_port, 4321);
    assert_eq!(agent.use_hup_config_reload, Some(false));
    assert!(agent.passthrough_logs && !agent.validate_config);
    assert_eq!(agent.crash_log_snippet, 64 * 1024);
    assert_eq!(agent.args, ["--set", "a=b", "7"]);
    let env: Vec<_> = agent.env.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(env, [("A", "x"), ("B", "1.20"), ("C", "")]);
}

#[test]
fn log_levels_and_outputs_are_zaps() {
    for (level, expected) in [
        ("debug", LogLevel::Debug),
        ("-1", LogLevel::Debug),
        ("INFO", LogLevel::Info),
        ("0", LogLevel::Info),
        ("warn", LogLevel::Warn),
        ("error", LogLevel::Error),
        ("fatal", LogLevel::Error),
        ("5", LogLevel::Error),
    ] {
        let logs = format!("telemetry:\n  logs: {{level: {level}}}\n");
        assert_eq!(config(&with("", "", &logs)).telemetry.logs.level, expected, "{level}");
    }
    let logs =
        "telemetry:\n  logs: {output_paths: [stderr, /var/log/s.log, 'file:///x'], encoding: console}\n";
    let logs = config(&with("", "", logs)).telemetry.logs;
    let file = |path: &str| LogOutput::File(PathBuf::from(path));
    assert_eq!(logs.output_paths, [LogOutput::Stderr, file("/var/log/s.log"), file("/x")]);
    assert_eq!(logs.encoding, LogEncoding::Console);
}

#[test]
fn where_health_is_served_arrives() {
    let health = |rest: &str| config(&with("", "", &format!("healthcheck: {{{rest}}}\n"))).healthcheck;
    assert_eq!(health(""), None);
    for (endpoint, host, port) in
        [("localhost:13133", "localhost", 13133), ("':8080'", "", 8080), ("'[::1]:0'", "::1", 0)]
    {
        let health = health(&format!("endpoint: {endpoint}")).unwrap();
        assert_eq!((health.host.as_str(), health.port, health.family), (host, port, Family::Any));
    }
    let rest = "endpoint: 'h:1', transport: tcp4, read_timeout: 0s, idle_timeout: 2s, write_timeout: 3s, \
                keep_alives_enabled: false, response_headers: [{name: A, value: b}]";
    let all = health(rest).unwrap();
    assert_eq!((all.family, all.keep_alives_enabled), (Family::V4, false));
    assert_eq!(
        (all.read_header_timeout, all.write_timeout),
        (Duration::from_secs(2), Duration::from_secs(3))
    );
    assert_eq!((all.response_headers[0].0.as_str(), all.response_headers[0].1.expose()), ("A", "b"));
}

#[test]
fn what_is_exported_arrives() {
    let text = "telemetry:
  logs:
    processors:
      - batch: {schedule_delay: 200, max_queue_size: 10, exporter: {otlp: {protocol: http/protobuf, endpoint: 'h:1', insecure: false, headers_list: 'a=b', compression: gzip}}}
      - simple: {exporter: {otlp: {protocol: http/protobuf, endpoint: 'https://h/custom', headers: [{name: X, value: y}], timeout: 500}}}
  metrics:
    readers: [{periodic: {interval: 1000, exporter: {otlp: {protocol: http/protobuf}}}}]
  traces:
    level: none
    processors: [{simple: {exporter: {otlp: {protocol: http/protobuf}}}}]
  resource: {service.name: edge, service.instance.id: null}
";
    let loaded = good(&with("", "", text));
    assert_eq!(loaded.notices, []);
    let exports = loaded.config.telemetry.exports;
    let [batch, simple] = &exports.logs[..] else { panic!("{exports:?}") };
    assert_eq!(batch.export.endpoint.0.as_str(), "https://h:1/v1/logs");
    assert_eq!((batch.delay, batch.queue, batch.batch), (Duration::from_millis(200), 10, 10));
    assert!(batch.export.gzip && batch.export.headers[0].1.expose() == "b");
    assert_eq!((simple.delay, simple.export.timeout), (Duration::ZERO, Duration::from_millis(500)));
    assert_eq!(simple.export.endpoint.0.as_str(), "https://h/custom");
    assert_eq!(exports.metrics[0].export.endpoint.0.as_str(), "http://localhost:4318/v1/metrics");
    assert_eq!(exports.metrics[0].interval, Duration::from_secs(1));
    assert_eq!(exports.spans, [], "level: none");
    assert_eq!(exports.resource.attributes["service.name"], Some(Attribute::Text("edge".into())));
    assert_eq!(exports.resource.attributes["service.instance.id"], None);
    assert!(!format!("{exports:?}").contains("\"y\""), "headers are secrets");
}

#[test]
fn a_resource_may_be_declared() {
    let text = "telemetry:
  resource:
    attributes_list: a=1,b=2
    attributes:
      - {name: a, value: own}
      - {name: flag, value: true, type: bool}
      - {name: ratio, value: 0.5, type: double}
      - {name: sites, value: [n, s], type: string_array}
    schema_url: https://s/1
    detection/development: {detectors: [{host: }, {process: }, {service: }]}
";
    let resource = config(&with("", "", text)).telemetry.exports.resource;
    let text = |text: &str| Some(Attribute::Text(text.to_owned()));
    assert_eq!((&resource.attributes["a"], &resource.attributes["b"]), (&text("own"), &text("2")));
    assert_eq!(resource.attributes["flag"], Some(Attribute::Bool(true)));
    assert_eq!(resource.attributes["ratio"], Some(Attribute::Double("0.5".into())));
    assert_eq!(resource.attributes["sites"], Some(Attribute::Texts(vec!["n".into(), "s".into()])));
    assert!(resource.detect_host && resource.detect_process && resource.schema_url == "https://s/1");
    // An attribute of that name is no declaration.
    let plain = config(&with("", "", "telemetry: {resource: {attributes: x}}\n"));
    assert_eq!(plain.telemetry.exports.resource.attributes["attributes"], text("x"));
}

#[test]
fn what_cannot_be_exported_is_named_with_what_to_write() {
    let text = "telemetry:
  logs:
    processors:
      - batch: {exporter: {otlp: {protocol: grpc, endpoint: 'http://h:4317'}}}
      - simple: {exporter: {console: {}}}
  metrics:
    readers:
      - pull: {exporter: {prometheus: {}}}
      - periodic: {exporter: {otlp: {protocol: http/protobuf, temporality_preference: delta}}}
  traces: {propagators: [tracecontext]}
  resource: {detection/development: {detectors: [{container: }]}}
";
    assert_eq!(
        notices(&with("", "", text)),
        [
            "8:28: telemetry.logs.processors[0].batch.exporter.otlp is left out: protocol grpc is not spoken here; write protocol: http/protobuf and the endpoint of OTLP over HTTP, usually port 4318",
            "9:29: telemetry.logs.processors[1].simple.exporter.console is left out: the supervisor's log goes to telemetry.logs.output_paths",
            "12:9: telemetry.metrics.readers[0].pull is left out: metrics are sent, not fetched; write periodic with an otlp exporter",
            "13:63: telemetry.metrics.readers[1].periodic.exporter.otlp.temporality_preference has no effect: sums are sent as cumulative",
            "14:12: telemetry.traces.propagators has no effect: OpAMP messages carry no trace context, so none is propagated",
            "15:51: telemetry.resource: there is no detector container, so it adds nothing; there are host, process and service",
        ]
    );
}

#[test]
fn keys_without_effect_are_noticed_by_name() {
    let agent = "startup_fallback_configs: []\nhealth_check_port: 13133\norphan_detection_interval: 5s";
    let rest = "capabilities:\n  reports_remote_config: true\n  accepts_packages: true\n\
                healthcheck: {endpoint: localhost, cors: {allowed_origins: ['*']}}\n";
    assert_eq!(
        notices(&with("", agent, rest)),
        [
            "6:3: agent.health_check_port has no effect, removed in 0.126: the Collector's health comes from its opamp extension or from a health_check extension; delete the key",
            "7:3: agent.orphan_detection_interval has no effect: the kernel ends the Collector with its supervisor, and the next start ends what outlived even that; nothing is polled",
            "9:3: capabilities.reports_remote_config is deprecated: use capabilities.accepts_remote_config, which turns the report on too",
            "10:3: capabilities.accepts_packages has no effect without a key to verify packages with: name one in packages.signature.public_key_files; opampctl package keygen makes one",
            "11:15: healthcheck.endpoint names no port, so health is not served; write host:port",
            "11:36: healthcheck.cors has no effect: answers carry no CORS headers, so a page of another origin cannot read them",
        ]
    );
}

#[test]
fn what_is_off_is_not_missed() {
    let rest = "capabilities: {accepts_packages: false, reports_own_metrics: false}\nextensions: {}\n\
                healthcheck: {cors: {}, compression_algorithms: [], include_metadata: false}\n";
    assert_eq!(notices(&with("", "package: {agent_binary: ''}", rest)), Vec::<String>::new());
}

#[test]
fn credentials_that_are_not_acted_on_are_said_with_what_to_do() {
    let said =
        notices(&with("auth: basicauth", "", "extensions: {basicauth: {client_auth: {username: u}}}\n"));
    assert_eq!(said.len(), 2);
    assert!(said.iter().all(|line| line.contains("put the credentials into server.headers")), "{said:?}");
}

#[test]
fn a_change_shows_as_inequality() {
    let before = config(&with("headers: {A: x}", "", ""));
    assert_eq!(before, config(&with("headers: {A: x}   # a comment", "", "")));
    assert_ne!(before, config(&with("headers: {A: y}", "", "")));
}

#[test]
fn anchors_and_merge_keys_are_followed() {
    let text = "server: {endpoint: 'ws://h/'}\nagent:\n  executable: /col\n  description:\n    \
                identifying_attributes: &ids {a: one, b: two}\n    \
                non_identifying_attributes: {<<: *ids, b: own}\n";
    let description = config(text).agent.description;
    assert_eq!(description.identifying_attributes["b"], "two");
    assert_eq!(description.non_identifying_attributes["a"], "one");
    assert_eq!(description.non_identifying_attributes["b"], "own");
}

#[test]
fn a_double_colon_at_the_top_separates_levels() {
    let flat = "server::endpoint: ws://h/\nagent::executable: /col\nserver:\n  headers: {A: b}\n\
                telemetry::logs::level: debug\ntelemetry: {logs: {encoding: console}}\n";
    let nested = "server: {endpoint: 'ws://h/', headers: {A: b}}\nagent: {executable: /col}\n\
                  telemetry: {logs: {level: debug, encoding: console}}\n";
    assert_eq!(config(flat), config(nested));
}

#[test]
fn a_section_of_restrictions_that_holds_nothing_still_restricts() {
    assert!(config(&with("", "", "")).restrictions.is_none());
    for text in ["restrictions:\n", "restrictions: {}\n", "restrictions: ~\n"] {
        let restrictions = config(&with("", "", text)).restrictions.expect(text);
        assert_eq!((restrictions.paths, restrictions.components.len()), (None, 0), "{text}");
    }
    let nothing = "restrictions:\n  components: {exporters: }\n  paths:\n  endpoints: {allow: }\n";
    let restrictions = config(&with("", "", nothing)).restrictions.unwrap();
    assert_eq!((restrictions.paths, restrictions.endpoints), (Some(vec![]), Some(vec![])));
    assert!(restrictions.components.values().all(std::collections::BTreeSet::is_empty));
    assert_eq!(restrictions.components.len(), 1);
}
