//! Every way to be wrong, with the exact words, line and column.

use crate::support::{LEAST, bad, with};

/// One line under `agent:`, which stands in line 5, and what is said of it.
#[test]
fn wrong_agent_values() {
    for (line, message) in [
        (
            "opamp_server_port: 70000",
            "agent::opamp_server_port must be a valid port number (0 to 65535), got 70000; 0 takes a free one",
        ),
        (
            "opamp_server_port: -1",
            "agent::opamp_server_port must be a valid port number (0 to 65535), got -1; 0 takes a free one",
        ),
        (
            "opamp_server_port: '4320'",
            "agent.opamp_server_port must be a whole number, without quotes, got \"4320\"",
        ),
        (
            "opamp_server_port: 43.5",
            "agent.opamp_server_port must be a whole number, without quotes, got 43.5",
        ),
        ("passthrough_logs: yes", "agent.passthrough_logs must be true or false, without quotes, got yes"),
        (
            "use_hup_config_reload: 'true'",
            "agent.use_hup_config_reload must be true or false, without quotes, got \"true\"",
        ),
        (
            "config_apply_timeout: 0s",
            "agent::config_apply_timeout must be valid duration, greater than zero such as 5s, got 0s",
        ),
        (
            "config_apply_timeout: 5",
            "agent.config_apply_timeout must be a duration with a unit, such as 300ms, 5s or 1m30s, got 5",
        ),
        (
            "bootstrap_timeout: -3s",
            "agent::bootstrap_timeout must be positive, greater than zero such as 5s, got -3s",
        ),
        (
            "orphan_detection_interval: 0",
            "agent::orphan_detection_interval must be positive, greater than zero such as 5s, got 0",
        ),
        (
            "instance_id: seven",
            "agent::instance_id must be a valid UUID string when set: \"seven\" is not a UUID (expected a form such as 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b)",
        ),
        ("run_as: [otelcol]", "agent.run_as must be a string, got a list"),
        ("no_new_privs: yes", "agent.no_new_privs must be true or false, without quotes, got yes"),
        ("limits: 5", "agent.limits must be a map, got 5"),
        ("args: {a: b}", "agent.args must be a list of strings, got a map"),
        ("env: [A=b]", "agent.env must be a map of strings"),
        ("description: text", "agent.description must be a map, got text"),
        (
            "collector_crash_log_snippet_kib: -1",
            "agent::collector_crash_log_snippet_kib must be non-negative, got -1",
        ),
        (
            "collector_crash_log_snippet_kib: 1025",
            "agent::collector_crash_log_snippet_kib must be less than or equal to 1024, got 1025",
        ),
        (
            "executble: /col",
            "decoding failed: agent.executble is not a known key; did you mean agent.executable?",
        ),
        (
            "endpoint: ws://h/",
            "decoding failed: agent.endpoint is not a known key; did you mean server.endpoint?",
        ),
        (
            "zzzzzzzzzzzzzzzz: 1",
            "decoding failed: agent.zzzzzzzzzzzzzzzz is not a known key; remove it; the nearest known key is agent.executable",
        ),
    ] {
        assert_eq!(bad(&with("", line, "")), [format!("supervisor.yaml:5:3: {message}")], "{line}");
    }
}

#[test]
fn wrong_items_of_lists_and_maps_are_at_the_item() {
    for (agent, message) in [
        (
            "config_files:\n  - ok.yaml\n  - $REMOTE",
            "7:7: agent::config_files contains invalid special file: \"$REMOTE\". Must be one of [$OWN_TELEMETRY_CONFIG $OPAMP_EXTENSION_CONFIG $REMOTE_CONFIG]",
        ),
        ("config_files:\n  - ''", "6:7: agent.config_files contains an empty path; remove the entry"),
        ("args:\n  - a\n  - [b]", "7:7: agent.args[1] must be a string, got a list"),
        ("env:\n  A: {b: c}", "6:5: agent.env.A must be a string, got a map"),
        (
            "env:\n  A=B: c",
            "6:5: agent.env: \"A=B\" is no name of an environment variable; it must have no = and not be empty",
        ),
        (
            "capabilities: [CAP_KILL, CAP_SWIM]",
            "5:28: agent.capabilities: \"CAP_SWIM\": the kernel has no capability of this name; write it as in CAP_NET_BIND_SERVICE",
        ),
        (
            "limits: {open_files: 0}",
            "5:12: agent.limits.open_files must be greater than zero, got 0; delete the key for no limit",
        ),
        (
            "limits: {processes: many}",
            "5:12: agent.limits.processes must be a whole number, without quotes, got many",
        ),
        (
            "access_dirs: {read: {allow: [/var/log], deny: [/var/log/private]}}",
            "5:50: agent.access_dirs.read.deny cannot be kept: the kernel's rules only allow; list under agent.access_dirs.read.allow what lies beside it",
        ),
        (
            "access_dirs: {write: {allow: [data]}}",
            "5:33: agent.access_dirs.write.allow: \"data\" must be an absolute path",
        ),
        (
            "startup_fallback_configs: ['']",
            "5:30: agent.startup_fallback_configs contains an empty path; remove the entry",
        ),
        (
            "startup_fallback_configs: [/there, /missing]",
            "5:38: could not stat agent.startup_fallback_configs path: /missing: entity not found; create it, or remove the entry",
        ),
        (
            "description:\n  identifying_attributes:\n    a: [1]",
            "7:7: agent.description.identifying_attributes.a must be a string, got a list",
        ),
    ] {
        assert_eq!(bad(&with("", agent, "")), [format!("supervisor.yaml:{message}")], "{agent}");
    }
}

/// One or more lines under `server:`, from line 3 on.
#[test]
fn wrong_server_values() {
    for (server, message) in [
        (
            "headers: text",
            "3:3: server.headers must be a map from header names to a string or a list of strings",
        ),
        (
            "headers: {'A B': c}",
            "3:13: server.headers: \"A B\" is no HTTP header name; use letters, digits and - as in X-Api-Key",
        ),
        (
            "headers: {A: \"b\\nc\"}",
            "3:13: server.headers.A holds a character that an HTTP header cannot carry, such as a line break; remove it",
        ),
        (
            "tls: {ca_file: /a, ca_pem: B}",
            "3:22: invalid server::tls settings: provide either ca_file or ca_pem, but not both",
        ),
        (
            "tls: {key_file: /a, key_pem: B, cert_file: /c}",
            "3:23: invalid server::tls settings: provide either key_file or key_pem, but not both",
        ),
        (
            "tls: {cert_file: /a}",
            "3:9: invalid server::tls settings: for a certificate provide both certificate and key, or neither; add server.tls.key_file or server.tls.key_pem",
        ),
        (
            "tls:\n  key_pem: A",
            "4:5: invalid server::tls settings: for a certificate provide both certificate and key, or neither; add server.tls.cert_file or server.tls.cert_pem",
        ),
        (
            "tls:\n  min_version: '1.3'\n  max_version: '1.2'",
            "4:5: invalid server::tls settings: min_version cannot be greater than max_version",
        ),
        (
            "tls:\n  max_version: '1.1'",
            "4:5: invalid server::tls settings: unsupported max_version \"1.1\"; write \"1.2\" or \"1.3\"",
        ),
        (
            "tls:\n  min_version: SSLv3",
            "4:5: invalid server::tls settings: unsupported min_version SSLv3; write \"1.2\" or \"1.3\"",
        ),
        (
            "tls:\n  tpm: {enabled: true}",
            "4:5: invalid server::tls settings: tpm is not supported: a key in a TPM cannot be used; use server.tls.key_file and set tpm.enabled to false",
        ),
        (
            "tls: {ca: /x}",
            "3:9: decoding failed: server.tls.ca is not a known key; did you mean server.tls.ca_file?",
        ),
        ("auth: basic", "3:3: server.auth references \"basic\" which is not configured under extensions"),
    ] {
        assert_eq!(bad(&with(server, "", "")), [format!("supervisor.yaml:{message}")], "{server}");
    }
}

#[test]
fn wrong_endpoints() {
    for (endpoint, message) in [
        (
            "''",
            "server::endpoint must be specified; set server.endpoint, for example wss://opamp.example.com:4320/v1/opamp",
        ),
        (
            "tcp://h:1",
            "invalid scheme \"tcp\" for server::endpoint, must be one of \"http\", \"https\", \"ws\", or \"wss\"; for example wss://opamp.example.com:4320/v1/opamp",
        ),
        (
            "localhost:4320",
            "invalid scheme \"localhost\" for server::endpoint, must be one of \"http\", \"https\", \"ws\", or \"wss\"; for example wss://opamp.example.com:4320/v1/opamp",
        ),
        (
            "127.0.0.1:4320",
            "invalid URL for server::endpoint: relative URL without a base; write it in full, for example wss://opamp.example.com:4320/v1/opamp",
        ),
        (
            "'ws://'",
            "invalid URL for server::endpoint: empty host; write it in full, for example wss://opamp.example.com:4320/v1/opamp",
        ),
        (
            "ws://h:99999/",
            "invalid URL for server::endpoint: invalid port number; write it in full, for example wss://opamp.example.com:4320/v1/opamp",
        ),
        ("[ws://h]", "server.endpoint must be a string, got a list"),
    ] {
        let text = format!("server:\n  endpoint: {endpoint}\nagent: {{executable: /col}}\n");
        assert_eq!(bad(&text), [format!("supervisor.yaml:2:3: {message}")], "{endpoint}");
    }
}

/// One section at the end, from line 5 on.
#[test]
fn wrong_values_of_other_sections() {
    for (rest, message) in [
        (
            "storage: {directory: ''}",
            "5:11: storage.directory must not be empty; delete the key for /var/lib/otelcol/supervisor",
        ),
        (
            "storage:\n  secrets: {key_source: vault}",
            "6:13: storage.secrets.key_source must be one of env, systemd_credential, keychain, dpapi, got vault",
        ),
        (
            "capabilities:\n  accepts_remote_config: 1",
            "6:3: capabilities.accepts_remote_config must be true or false, without quotes, got 1",
        ),
        (
            "capabilities:\n  accept_remote_config: true",
            "6:3: decoding failed: capabilities.accept_remote_config is not a known key; did you mean capabilities.accepts_remote_config?",
        ),
        (
            "telemetry:\n  logs:\n    level: loud",
            "7:5: telemetry.logs.level must be one of debug, info, warn, error, or a number from -1 to 5, got loud",
        ),
        (
            "telemetry:\n  logs:\n    encoding: xml",
            "7:5: telemetry.logs.encoding must be one of json, console, got xml",
        ),
        (
            "telemetry:\n  logs:\n    output_paths: [udp://h]",
            "7:20: telemetry.logs.output_paths takes stdout, stderr or the path of a file, got \"udp://h\"",
        ),
        (
            "telemetry:\n  metrics: {level: high}",
            "6:13: telemetry.metrics.level must be one of none, basic, normal, detailed, got high",
        ),
        ("telemetry:\n  traces: {processors: x}", "6:12: telemetry.traces.processors must be a list, got x"),
        (
            "healthcheck:\n  endpoint: localhost:-1",
            "6:3: healthcheck::endpoint must contain a valid port number, got -1; write host:port with a port up to 65535",
        ),
        (
            "healthcheck:\n  read_timeout: soon",
            "6:3: healthcheck.read_timeout must be a duration with a unit, such as 300ms, 5s or 1m30s, got soon",
        ),
        (
            "healthcheck:\n  endpoint: h:1\n  write_timeout: -1s",
            "7:3: healthcheck::write_timeout must be positive, greater than zero such as 5s, got -1s",
        ),
        (
            "healthcheck:\n  transport: unix",
            "6:3: healthcheck.transport must be one of tcp, tcp4, tcp6, got unix",
        ),
        (
            "healthcheck:\n  endpoint: h:1\n  tls: {min_version: '1.3'}",
            "7:3: invalid healthcheck::tls settings: a server needs a certificate; add healthcheck.tls.cert_file and healthcheck.tls.key_file, or delete healthcheck.tls for plain HTTP",
        ),
        (
            "healthcheck:\n  tls: {cert_file: /c}",
            "6:9: invalid healthcheck::tls settings: for a certificate provide both certificate and key, or neither; add healthcheck.tls.key_file or healthcheck.tls.key_pem",
        ),
        (
            "healthcheck:\n  endpoint: h:1\n  auth: {authenticator: basic}",
            "7:3: healthcheck.auth is not supported: health would be served without it; delete it and restrict access with healthcheck.tls.client_ca_file or a loopback address",
        ),
        (
            "healthcheck:\n  response_headers: {A: [b]}",
            "6:22: healthcheck.response_headers must be a map of strings, or a list of maps with name and value",
        ),
        (
            "healthcheck:\n  response_headers: {A B: c}",
            "6:22: healthcheck.response_headers: \"A B\" is no header that can be sent; use a name of letters, digits and -, and a value of one line",
        ),
        ("agents: {}", "5:1: decoding failed: agents is not a known key; did you mean agent?"),
        (
            "storage.directory: /x",
            "5:1: decoding failed: storage.directory is not a known key; nest it: one map per level of storage.directory",
        ),
        (
            "storage:\n  secrets::key_name: x",
            "6:3: decoding failed: storage.secrets::key_name is not a known key; nest it: one map per level of storage.secrets.key_name",
        ),
        ("server::endpoint: ws://two/", "5:1: \"endpoint\" is given twice, first in line 2; keep one"),
    ] {
        assert_eq!(bad(&with("", "", rest)), [format!("supervisor.yaml:{message}")], "{rest}");
    }
}

#[test]
fn what_is_required_is_asked_for_where_it_belongs() {
    let endpoint = "server::endpoint must be specified; set server.endpoint, for example wss://opamp.example.com:4320/v1/opamp";
    let executable =
        "agent::executable must be specified; set agent.executable to the path of the Collector's binary";
    assert_eq!(
        bad("storage: {}"),
        [format!("supervisor.yaml:1:1: {endpoint}"), format!("supervisor.yaml:1:1: {executable}")]
    );
    assert_eq!(
        bad("\nagent:\n  executable: ''\nserver: {}\n"),
        [format!("supervisor.yaml:3:3: {executable}"), format!("supervisor.yaml:4:1: {endpoint}")]
    );
    assert_eq!(
        bad(&LEAST.replace("/col", "/missing")),
        [
            "supervisor.yaml:2:9: could not stat agent::executable path: /missing: entity not found; set it to the path of the Collector's binary"
        ]
    );
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = "agent:\n  executable: /col\n  opamp_server_port: 70000\n  color: red\n\
                server:\n  endpoint: tcp://h\n  headers: 5\nextra: 1\n";
    let positions: Vec<String> =
        bad(text).iter().map(|line| line.splitn(4, ':').take(3).collect::<Vec<_>>().join(":")).collect();
    assert_eq!(
        positions,
        [
            "supervisor.yaml:3:3",
            "supervisor.yaml:4:3",
            "supervisor.yaml:6:3",
            "supervisor.yaml:7:3",
            "supervisor.yaml:8:1"
        ]
    );
}

#[test]
fn a_text_that_is_no_configuration() {
    let empty = "supervisor.yaml:1:1: the file is empty: server::endpoint must be specified, agent::executable must be specified";
    for text in ["", "\n\n", "# only a comment\n", "---\n", "~\n", "\u{feff}"] {
        assert_eq!(bad(text), [empty], "{text:?}");
    }
    for (text, message) in [
        ("- a\n- b\n", "1:1: the file must be a map with keys such as server and agent, got a list"),
        ("hello\n", "1:1: the file must be a map with keys such as server and agent, got hello"),
        ("a: 1\na: 2\n", "2:1: \"a\" is given twice, first in line 1; keep one"),
        ("[a]: 1\n", "1:1: a key must be plain text, not a list or a map"),
        ("a: {<<: 5}\n", "1:9: a merge key (<<) takes a map or a list of maps"),
    ] {
        assert_eq!(bad(text), [format!("supervisor.yaml:{message}")], "{text:?}");
    }
    let broken = bad("server:\n  endpoint: \"ws://h\nagent: x\n");
    assert!(broken[0].contains(": not valid YAML: "), "{broken:?}");
}

#[test]
fn hostile_yaml_is_bounded() {
    let deep = format!("a: {}{}", "[".repeat(60), "]".repeat(60));
    assert!(bad(&deep)[0].ends_with("nested deeper than 32 levels"));
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let inner = vec![format!("*a{}", level - 1); 10].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{inner}]\n"));
    }
    assert!(bad(&laughs)[0].ends_with("more than 20000 values, aliases counted as often as used"));
    assert!(bad("a: &a [*a]\n")[0].ends_with("an alias is used inside what it names"));
    let many: String = (0..200).map(|index| format!("key{index}: 1\n")).collect();
    let said = bad(&many);
    assert_eq!((said.len(), said.last().unwrap().as_str()), (51, "supervisor.yaml: and 152 more"));
}

#[test]
fn a_certificate_cannot_be_asked_for_where_it_would_not_be_taken() {
    let said = bad(&with("client_certificate: {request: true}", "", "")).join(" ");
    let words = "server.client_certificate.request needs capabilities.accepts_opamp_connection_settings";
    assert!(said.contains(words), "{said}");
}
