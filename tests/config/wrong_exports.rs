//! What can be wrong with `telemetry` where it leaves the supervisor, with the exact words, line and column.

use crate::support::{bad, with};

/// The value of a processor of logs, in line 7 from column 18 on.
#[test]
fn wrong_processors_of_logs() {
    for (processors, message) in [
        ("[5]", "7:18: telemetry.logs.processors[0] must be a map, got 5"),
        ("[{}]", "7:18: telemetry.logs.processors[0] must have one key, which says what it is"),
        (
            "[{loud: {}}]",
            "7:19: telemetry.logs.processors[0].loud is not a known processor; there are batch and simple",
        ),
        ("[{batch: []}]", "7:19: telemetry.logs.processors[0].batch must be a map, got a list"),
        (
            "[{batch: {}}]",
            "7:19: telemetry.logs.processors[0].batch.exporter must be specified, for example otlp",
        ),
        (
            "[{simple: {exporter: {}}}]",
            "7:28: telemetry.logs.processors[0].simple.exporter must have one key, which says what it is",
        ),
        (
            "[{simple: {delay: 1, exporter: {console: }}}]",
            "7:28: decoding failed: telemetry.logs.processors[0].simple.delay is not a known key; there are exporter",
        ),
        (
            "[{batch: {max_queue_size: 0, exporter: {console: }}}]",
            "7:27: telemetry.logs.processors[0].batch.max_queue_size must be a whole number of at least 1, got 0",
        ),
        (
            "[{batch: {schedule_delay: 5s, exporter: {console: }}}]",
            "7:27: telemetry.logs.processors[0].batch.schedule_delay must be a whole number of at least 0, got 5s",
        ),
    ] {
        let text = with("", "", &format!("telemetry:\n  logs:\n    processors: {processors}\n"));
        let said: Vec<_> = bad(&text);
        assert_eq!(said, [format!("supervisor.yaml:{message}")], "{processors}");
    }
}

/// What stands in the `otlp` of a reader, in line 7.
#[test]
fn wrong_otlp_exporters() {
    let otlp = "telemetry.metrics.readers[0].periodic.exporter.otlp";
    for (value, column, message) in [
        (
            "endpoint: 'ftp://h'",
            70,
            ".endpoint must begin with http:// or https://; write it as http://localhost:4318 or https://host:4318",
        ),
        (
            "endpoint: 'http://u:p@h'",
            70,
            ".endpoint holds a user or a password, which belong into headers; write it as http://localhost:4318 or https://host:4318",
        ),
        (
            "endpoint: 'http://'",
            70,
            ".endpoint is no URL; write it as http://localhost:4318 or https://host:4318",
        ),
        ("compression: zstd", 38, ".compression must be gzip or none, got zstd"),
        ("client_key: /k", 38, " needs both client_certificate and client_key, or neither"),
        ("timeout: 0", 70, ".timeout must be a whole number of at least 1, got 0"),
        (
            "headers: [{name: A B, value: c}]",
            80,
            ".headers: \"A B\" is no header that can be sent; use a name of letters, digits and -, and a value of one line",
        ),
        ("headers: x", 70, ".headers must be a list of maps with name and value"),
        ("headers_list: x", 70, ".headers_list must be name=value,…"),
    ] {
        let text = format!(
            "telemetry:\n  metrics:\n    readers: [{{periodic: {{exporter: {{otlp: {{protocol: http/protobuf, {value}}}}}}}}}]\n"
        );
        let said = bad(&with("", "", &text));
        assert_eq!(said, [format!("supervisor.yaml:7:{column}: {otlp}{message}")], "{value}");
    }
    let unknown = "telemetry: {metrics: {readers: [{periodic: {exporter: {otlp: {protocol: http/protobuf, endpont: x}}}}]}}\n";
    let said = bad(&with("", "", unknown));
    assert!(
        said[0].contains(&format!(
            "decoding failed: {otlp}.endpont is not a known key; there are protocol, endpoint"
        )),
        "{said:?}"
    );
}

#[test]
fn wrong_resources() {
    for (value, message) in [
        ("{a: [b]}", "6:14: telemetry.resource.a must be a string, got a list"),
        ("{attributes: [{value: 1}]}", "6:27: telemetry.resource.attributes: each needs a name and a value"),
        (
            "{attributes: [{name: a, value: x, type: int}]}",
            "6:27: telemetry.resource.attributes: the value of a must be of its type (int), got x",
        ),
        ("{attributes_list: a}", "6:14: telemetry.resource.attributes_list must be name=value,…, got a"),
        (
            "{schema_url: s, service.name: x}",
            "6:29: decoding failed: telemetry.resource.service.name is not known or not of its type; there are attributes (a list), attributes_list, schema_url and detection/development",
        ),
    ] {
        let text = with("", "", &format!("telemetry:\n  resource: {value}\n"));
        assert_eq!(bad(&text), [format!("supervisor.yaml:{message}")], "{value}");
    }
}
