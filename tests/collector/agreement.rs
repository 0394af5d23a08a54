//! The linter must never refuse what the Collector takes, and must see what it is there to see.

use opamp::collector::{
    binary::Configs,
    bootstrap::learn,
    components::Components,
    lint::{Diagnostic, Layer, Options, View, has_errors, lint},
    validate::validate,
};

use crate::{DEADLINE, collector, in_time, write};

const BASE: &str = "receivers: {nop: }\nexporters: {debug: , nop: }\n\
    service: {pipelines: {traces: {receivers: [nop], exporters: [debug]}}}\n";

/// Layers that the Collector takes on top of [`BASE`]; the YAML of people, not of printers.
const TAKEN: &[&str] = &[
    "",
    "# only a comment\n",
    "---\n# a document\nreceivers:\n  nop/2:\n...\n",
    "receivers:\r\n  nop/2:\r\n",
    "\u{feff}receivers:\n  nop/2:\n",
    "receivers: &r\n  nop/2: &n\n  nop/3: *n\n",
    "receivers:\n  <<: {nop/2: }\n  nop/3:\n",
    "receivers:\n    'nop/2' :\n    \"nop/3\": {}\n    nop / 4: ~\n",
    "exporters: {debug: {verbosity: detailed}, }\n",
    "service:\n  pipelines:\n    traces: {receivers: [\n  nop,\n], exporters: [debug\n]}\n",
    "service:\n  pipelines:\n    logs:\n      receivers: [nop]\n      exporters:\n      - nop\n      - debug # both\n",
    "service: {telemetry: {logs: {level: info, initial_fields: {a: 'it''s', b: \"\\x41\", c: 1.20, d: 0777}}}}\n",
    "service:\n  telemetry:\n    logs:\n      initial_fields:\n        text: |\n          two\n          lines\n        folded: >-\n          a\n          b\n",
    "service:\n  telemetry:\n    logs: {initial_fields: {url: http://x:1/y#frag, time: 12:30:00, star: '*', tab: \"a\tb\"}}\n",
    "service:\n  telemetry:\n    logs:\n      initial_fields:\n        plain: a multi\n          line text\n        e: é\n",
    "receivers::nop/2:\n",
    "exporters: {debug: {verbosity: '${env:NOT_SET:-basic}'}}\n",
    "exporters: !!map {nop/2: !!null ~}\n",
    "receivers: {nop/2: }\n---\nthis: is not read\n",
];

/// Layers that it refuses on top of [`BASE`], for a cause that the linter is there to find.
const REFUSED: &[&str] = &[
    "receivers: [1, 2\n",
    "receivers:\n  nop:\n nop/2:\n",
    "receivers:\n\tnop/2:\n",
    "receivers: {nop: , nop: }\n",
    "receivers: *nowhere\n",
    "- a list\n",
    "a text\n",
    "receivers: {zz_unknown: }\n",
    "exporters::zz_unknown/2: {}\n",
    "processors: {x: &p {}, <<: {zz_unknown: *p}}\n",
    "extensions: {zz_unknown/a: }\n",
    "connectors: {zz_unknown: }\n",
    "service: {pipelines: {traces: {receivers: [nop/9]}}}\n",
    "service: {pipelines: {traces/2: {receivers: [nop], processors: [nop], exporters: [nop]}}}\n",
    "service: {extensions: [zz_unknown]}\n",
    "service: {pipelines: {traces: {exporters: [debug/${env:NONE:-x}y, zz]}}}\nexporters: {zzz: }\n",
];

async fn components() -> Components {
    let scratch = tempfile::tempdir().unwrap();
    in_time(learn(&collector(), scratch.path(), DEADLINE)).await.unwrap().components
}

fn look(top: &str, components: &Components) -> Vec<Diagnostic> {
    let layers = [Layer { name: "base", text: BASE }, Layer { name: "top", text: top }];
    lint(&layers, Some(components), &Options::default())
}

async fn taken_by_the_collector(top: &str) -> Result<(), String> {
    let (_dir, layers) = write(&[BASE, top]);
    let (binary, configs) = (collector(), Configs { layers: &layers, overlay: None });
    in_time(validate(&binary, &configs, DEADLINE)).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn what_the_collector_takes_has_no_error() {
    let components = components().await;
    for top in TAKEN {
        assert_eq!(taken_by_the_collector(top).await, Ok(()), "{top:?}");
        let found = look(top, &components);
        assert!(!has_errors(&found), "{top:?}: {found:?}");
    }
}

#[tokio::test]
async fn f_73_what_the_linter_refuses_the_collector_refuses_too() {
    let components = components().await;
    for top in REFUSED {
        assert!(taken_by_the_collector(top).await.is_err(), "{top:?}");
        let found = look(top, &components);
        assert!(has_errors(&found), "{top:?}: {found:?}");
    }
}

/// A later layer that empties `service` takes its pipelines away: merging is as the Collector does it.
#[tokio::test]
async fn a_null_replaces_what_is_below() {
    for (top, pipelines) in
        [("service:\n", false), ("service: {}\n", true), ("service: {pipelines: }\n", false)]
    {
        let layers = [Layer { name: "base", text: BASE }, Layer { name: "top", text: top }];
        let view = View::read(&layers, &Options::default().budget).unwrap();
        assert_eq!(view.has_pipelines(), pipelines, "{top:?}");
        let verdict = taken_by_the_collector(top).await;
        assert_eq!(verdict.is_ok(), pipelines, "{top:?}: {verdict:?}");
    }
}
