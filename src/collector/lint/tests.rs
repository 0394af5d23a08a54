mod random;

use std::time::Instant;

use super::*;
use crate::collector::components::Section;

const GOOD: &str = "\
# a comment
receivers:
  otlp: &r
    protocols: {grpc: , http: {endpoint: \"${env:HOST}:4318\"}}
  otlp/2: *r
exporters: {debug: , otlphttp/a b: {endpoint: http://x}}
connectors:
  forward:
extensions: {health_check: }
service:
  extensions: [health_check]
  pipelines:
    traces: {receivers: [otlp, otlp/2], exporters: [forward]}
    traces/2:
      receivers: [forward]
      exporters:
      - debug
      - otlphttp/a b
";

fn components() -> Components {
    let mut components = Components { complete: true, ..Default::default() };
    for (section, kinds) in [
        (Section::Receivers, &["otlp", "nop"][..]),
        (Section::Exporters, &["debug", "nop", "otlp", "otlphttp"]),
        (Section::Extensions, &["health_check", "opamp"]),
        (Section::Connectors, &["forward"]),
    ] {
        for kind in kinds {
            components.insert(section, *kind, None);
        }
    }
    components
}

fn lint_layers(texts: &[&str]) -> Vec<String> {
    let names = ["base.yaml", "pipeline.yaml", "top.yaml"];
    let layers: Vec<_> = texts.iter().zip(names).map(|(text, name)| Layer { name, text }).collect();
    let found = lint(&layers, Some(&components()), &Options::default());
    found.iter().map(|d| format!("{:?} {d}", d.severity)).collect()
}

fn lint_one(text: &str) -> Vec<String> {
    lint_layers(&[text])
}

#[test]
fn a_good_config_has_nothing_to_say() {
    assert_eq!(lint_one(GOOD), [""; 0]);
    assert_eq!(lint_one(""), [""; 0]);
    assert_eq!(lint_one("# nothing\n---\n"), [""; 0]);
    assert_eq!(lint_one(&GOOD.replace('\n', "\r\n")), [""; 0]);
    assert_eq!(lint_one(&format!("\u{feff}{GOOD}")), [""; 0]);
}

#[test]
fn f_73_an_unknown_component_is_named_with_what_there_is() {
    let text = GOOD.replace("otlphttp/a b", "otlphtp/a b");
    assert_eq!(
        lint_one(&text),
        [
            "Error base.yaml:6:22: exporter \"otlphtp\" is not in this Collector; available exporters: debug, nop, \
           otlp, otlphttp (did you mean \"otlphttp\"?)"
        ]
    );
    assert_eq!(
        lint_one("processors: {batch: }")[0],
        "Error base.yaml:1:14: processor \"batch\" is not in this Collector; it has no processors"
    );
}

#[test]
fn f_73_without_a_complete_list_the_collector_judges() {
    let mut components = components();
    components.complete = false;
    let layers = [Layer { name: "a", text: "processors: {batch: }" }];
    let options = Options { scope: Scope::Partial, ..Default::default() };
    let found = lint(&layers, Some(&components), &options);
    assert_eq!((found.len(), found[0].severity), (1, Severity::Warning));
    assert_eq!(lint(&layers, None, &options), []);
}

#[test]
fn f_73_a_reference_without_definition() {
    let text = GOOD.replace("receivers: [otlp, otlp/2]", "receivers: [otlp, otlp/3]");
    assert_eq!(
        lint_one(&text),
        [
            "Warning base.yaml:5:3: receiver \"otlp/2\" is defined but not used by any pipeline",
            "Error base.yaml:13:32: pipeline \"traces\" uses receiver \"otlp/3\", which is not defined under receivers \
             (did you mean \"otlp/2\"?)",
        ]
    );
    let text = GOOD.replace("extensions: [health_check]", "extensions: [health_chek]");
    assert!(lint_one(&text).iter().any(|line| line.contains(
        "base.yaml:11:16: service.extensions uses extension \"health_chek\", which is not defined under extensions"
    )));
}

#[test]
fn layers_are_judged_together() {
    let upper = "service: {pipelines: {logs: {receivers: [otlp], exporters: [nop]}}}";
    assert_eq!(
        lint_layers(&[GOOD, upper]),
        [
            "Error pipeline.yaml:1:61: pipeline \"logs\" uses exporter \"nop\", which is not defined under exporters"
        ]
    );
    assert_eq!(lint_layers(&[GOOD, "exporters: {nop: }", upper]), [""; 0]);
    assert_eq!(lint_layers(&[GOOD, "exporters::nop: {}", upper]), [""; 0], "`::` separates levels");
    // A list is replaced, a mapping is merged.
    let replaced = lint_layers(&[GOOD, "service: {pipelines: {traces: {receivers: [otlp]}}}"]);
    assert_eq!(
        replaced,
        ["Warning base.yaml:5:3: receiver \"otlp/2\" is defined but not used by any pipeline"]
    );
}

#[test]
fn a_part_of_a_config_is_not_asked_for_the_rest() {
    let layers = [Layer {
        name: "remote",
        text: "service: {pipelines: {logs: {receivers: [otlp], exporters: [debug]}}}",
    }];
    let options = Options { scope: Scope::Partial, ..Default::default() };
    assert_eq!(lint(&layers, Some(&components()), &options), []);
    assert_eq!(lint(&layers, Some(&components()), &Options::default()).len(), 2);
}

#[test]
fn f_81_what_only_the_collector_can_resolve_is_left_alone() {
    for text in [
        "exporters: ${file:exporters.yaml}\nreceivers: {otlp: }\n\
         service: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}",
        "service: ${http:http://localhost/service}\nreceivers: {otlp: }",
        "exporters: {'${env:KIND}': }\nreceivers: {otlp: }\n\
         service: {pipelines: {traces: {receivers: [otlp], exporters: ['${env:KIND}', x]}}}",
        "receivers: {otlp: }\nservice: {pipelines: {traces: '${env:PIPELINE}'}}",
    ] {
        assert_eq!(lint_one(text), [""; 0], "{text}");
    }
}

#[test]
fn f_73_invalid_yaml_has_a_position() {
    for (text, place) in [
        ("receivers:\n  otlp: [1, 2\nexporters: {}\n", "base.yaml:"),
        ("a: b: c\n", "base.yaml:1:5: YAML: "),
        ("- x\n", "base.yaml:1:1: a config must be a mapping"),
        ("just text\n", "base.yaml:1:1: a config must be a mapping"),
        ("? [a]\n: b\n", "base.yaml:1:3: a key must be"),
        ("a: *nowhere\n", "base.yaml:1:4: YAML: "),
        ("a: &a [*a]\n", "base.yaml:1:8: this alias refers to a value that contains it"),
        ("<<: 1\n", "base.yaml:1:5: << takes a mapping"),
    ] {
        let found = lint_one(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].starts_with(&format!("Error {place}")), "{text}: {found:?}");
    }
    assert!(lint_one("a: 1\n---\nb: 2\n")[0].starts_with("Warning base.yaml:2:"));
}

#[test]
fn what_libyaml_takes_is_not_refused() {
    let text = "receivers: {otlp: }\nservice:\n  pipelines:\n    traces: {receivers: [\n  otlp,\n], exporters: [zz]}\n";
    let found = lint_one(text);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("Warning base.yaml:5:3: YAML: invalid indentation; the Collector takes it"),
        "{found:?}"
    );
    assert!(
        found[1].starts_with("Error base.yaml:5:3: pipeline \"traces\" uses exporter \"zz\""),
        "{found:?}"
    );
    let bomb: String = (1..10).fold("a0: &a0 [x, x]\n".to_owned(), |text, level| {
        let below = format!("*a{}", level - 1);
        text + &format!("a{level}: &a{level} [{}]\n", [below.as_str(); 10].join(", "))
    });
    let found = lint_one(&format!("{bomb}b:\n  c: [\n1]\n"));
    assert!(found.len() == 1 && found[0].contains("more than 20000 values"), "{found:?}");
}

#[test]
fn f_80_bombs_are_refused_quickly() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let below = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", [below.as_str(); 10].join(", "));
    }
    let mut deep_alias = String::from("a0: &a0 {x: {x: {x: {x: {x: {x: 1}}}}}}\n");
    for level in 1..2000 {
        deep_alias += &format!("a{level}: &a{level} {{x: {{x: *a{}}}}}\n", level - 1);
    }
    let nested = |depth: usize| (0..depth).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<String>();
    let wide: String = (0..100_000).map(|n| format!("{n}: \n")).collect();
    for (what, text, reason) in [
        ("alias bomb", bomb, "more than 20000 values"),
        ("deep aliases", deep_alias, "nested more than 64 levels"),
        ("50 MiB", "a: b\n".repeat(10 << 20), "config of 52428800 bytes"),
        ("10k deep, flow", "[".repeat(10_000), "recursion limit"),
        ("10k deep, flow maps", "{a: ".repeat(10_000), "recursion limit"),
        ("deep blocks", nested(1_000), "nested more than 64 levels"),
        ("deep keys", "a::".repeat(300) + "b: 1", "nested more than 64 levels"),
        ("sequences", "- ".repeat(10_000), "nested more than 64 levels"),
        ("wide", wide, "more than 20000 values"),
        ("NUL", "a: \"x\0\"".to_owned(), "base.yaml:1:6: NUL character"),
        ("duplicate", "a: 1\nb: {c: 1, c: 2}\n".to_owned(), "2:11: key \"c\" is here twice, first in line 2"),
        ("open quote", format!("a: \"{}", "x".repeat(1 << 19)), "YAML: "),
        ("1 MiB of [", "[".repeat(1 << 20), "recursion limit"),
        ("1 MiB of [ after a fault", format!("a:\n  b: [\n1]\n{}", "[".repeat(1_000_000)), "YAML: "),
        ("1 MiB of {a: after a fault", format!("a:\n  b: [\n1]\n{}", "{a: ".repeat(250_000)), "YAML: "),
        ("many ? after a fault", format!("a:\n  b: [\n1]\n{}", "? ".repeat(120_000)), "nested more than 64"),
        ("many anchors after a fault", format!("a:\n  b: [\n1]\n{}", "&a ".repeat(80_000)), "base.yaml:"),
        ("one long line of keys", "a: ".repeat(300_000), "YAML: "),
    ] {
        let start = Instant::now();
        let found = lint_one(&text);
        let took = start.elapsed();
        assert!(found.len() == 1 && found[0].contains(reason), "{what}: {found:?}");
        // The limit is 100 ms in the shipped build; an unoptimised one on a busy machine is far slower.
        assert!(took.as_millis() < 2_000, "{what}: {took:?}");
    }
}

#[test]
fn f_80_many_findings_are_few_lines_and_quick() {
    let long = "x".repeat(60);
    let ids: String = (0..8_000).map(|n| format!("  {long}{n}: \n")).collect();
    let uses: String = (0..8_000).map(|n| format!("{long}_{n}, ")).collect();
    let text = format!("receivers:\n{ids}service: {{pipelines: {{traces: {{receivers: [{uses}]}}}}}}\n");
    let start = Instant::now();
    let found = lint(
        &[Layer { name: "l", text: &text }],
        Some(&components()),
        &Options { budget: Budget { bytes: 2 << 20, ..Budget::default() }, ..Default::default() },
    );
    let took = start.elapsed();
    assert!(has_errors(&found) && found.len() <= 3 * MAX_DIAGNOSTICS, "{}", found.len());
    assert!(took.as_millis() < 2_000, "{took:?}");
    let twice: String = (0..4_000).map(|n| format!("k{n}: \nk{n}: \n")).collect();
    assert!(lint_one(&twice).len() <= MAX_DIAGNOSTICS);
}

#[test]
fn merge_keys_are_applied_as_the_collector_does() {
    let text = "x: &x {debug: , nop: }\nexporters: {<<: *x, nop: {a: b}}\nreceivers: {<<: [{nop: }, {otlp: }]}\n\
                service: {pipelines: {traces: {receivers: [nop, otlp], exporters: [debug, nop]}}}";
    assert_eq!(lint_one(text), [""; 0]);
}

#[test]
fn service_extensions_are_the_union_of_the_layers() {
    let read = |texts: &[&str]| {
        let layers: Vec<_> = texts.iter().map(|text| Layer { name: "l.yaml", text }).collect();
        View::read(&layers, &Budget::default()).unwrap().service_extensions()
    };
    assert_eq!(read(&["receivers: {otlp: }", "service: {extensions: }"]), ServiceExtensions::Absent);
    assert_eq!(read(&["service: {extensions: []}"]), ServiceExtensions::Literal(vec![]));
    assert_eq!(
        read(&[GOOD, "service: {extensions: [pprof, health_check]}"]),
        ServiceExtensions::Literal(vec!["health_check".into(), "pprof".into()])
    );
    for text in [
        "service:\n  extensions: ${file:x}",
        "service:\n  extensions: [a, '${env:X}']",
        "a: \nservice: ${file:x}",
    ] {
        assert_eq!(
            read(&[text]),
            ServiceExtensions::NotLiteral { layer: "l.yaml".into(), line: 2 },
            "{text}"
        );
    }
}

#[test]
fn the_view_lists_ids_and_pipelines() {
    let layers = [Layer { name: "a", text: GOOD }];
    let view = View::read(&layers, &Budget::default()).unwrap();
    assert_eq!(view.component_ids(Section::Receivers), ["otlp", "otlp/2"]);
    assert!(view.has_pipelines());
    for text in ["", "service: ", "service: {pipelines: }", "service: {pipelines: {}}"] {
        let layers = [Layer { name: "a", text }];
        assert!(!View::read(&layers, &Budget::default()).unwrap().has_pipelines(), "{text}");
    }
    let layers = [Layer { name: "a", text: "service: {pipelines: '${file:p}'}" }];
    assert!(View::read(&layers, &Budget::default()).unwrap().has_pipelines());
    assert!(View::read(&[Layer { name: "a", text: "a: [" }], &Budget::default()).is_err());
}

#[test]
fn bytes_that_are_no_text_have_a_position() {
    let refused = Layer::from_bytes("x.yaml", b"a: b\nc: \xff").unwrap_err();
    assert_eq!(refused.to_string(), "x.yaml:2:4: not UTF-8 text");
    assert!(Layer::from_bytes("x.yaml", "a: ü".as_bytes()).is_ok());
}
