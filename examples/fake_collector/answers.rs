//! What the short commands print, in the real one's form.

use std::{collections::BTreeMap, fmt::Write, thread};

use opamp::collector::{
    components::{Components, Section},
    lint::{Layer, Options, Severity, View, lint},
};

use crate::{args::Args, config::Config, event, switches::Switches};

pub(crate) const FEATURE_GATES: &str = "\
ID                                   Enabled  Stage   Description
otelcol.printInitialConfig           true     Beta    if set to true, enable the print-config command
service.AllowNoPipelines             false    Alpha   Allow starting the Collector without starting any pipelines.
telemetry.newPipelineTelemetry       false    Alpha   Injects component-identifying scope attributes
";

/// Everything there is, by section; those marked have an alias, which hides them from `components`.
fn types(section: Section, switches: &Switches) -> Vec<(&'static str, Listed)> {
    use Listed::{Hidden, Shown};
    match section {
        Section::Receivers => {
            vec![("file_log", Hidden), ("filelog", Hidden), ("nop", Shown), ("otlp", Shown)]
        }
        Section::Processors => vec![("batch", Shown), ("memory_limiter", Shown)],
        Section::Exporters => {
            vec![
                ("debug", Shown),
                ("nop", Shown),
                ("otlp", Hidden),
                ("otlp_grpc", Hidden),
                ("otlphttp", Hidden),
            ]
        }
        Section::Extensions if switches.has("no_extension") => vec![("health_check", Shown)],
        Section::Extensions => vec![("health_check", Shown), ("opamp", Shown)],
        Section::Connectors => vec![("forward", Shown)],
    }
}

#[derive(PartialEq)]
enum Listed {
    Shown,
    Hidden,
}

/// What the extension reports, and what the linter is to know.
pub(crate) fn known(switches: &Switches) -> Components {
    let mut known = Components { complete: true, ..Default::default() };
    for section in Section::ALL {
        for (kind, _) in types(section, switches) {
            known.insert(section, kind, Some(module(section, kind)));
        }
    }
    known
}

fn module(section: Section, kind: &str) -> String {
    format!("example.com/fake/{}/{kind} v0.149.0", section.singular())
}

pub(crate) fn components(switches: &Switches) -> String {
    let mut text = format!(
        "buildinfo:\n    command: otelcol-fake\n    description: a fake Collector\n    version: {}\n",
        switches.version()
    );
    for section in Section::ALL {
        let shown: Vec<_> =
            types(section, switches).into_iter().filter(|(_, listed)| *listed == Listed::Shown).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{section}:{}", if shown.is_empty() { " []" } else { "" });
        for (kind, _) in shown {
            let module = module(section, kind);
            let _ = writeln!(
                text,
                "    - name: {kind}\n      module: {module}\n      stability:\n        logs: Beta"
            );
        }
    }
    text + "providers:\n    - scheme: file\n      module: example.com/fake/fileprovider v1.55.0\n"
}

pub(crate) fn validate(args: &Args) -> i32 {
    event("validate");
    if Switches::of_process().has("hang_validate") {
        loop {
            thread::park();
        }
    }
    match load(args) {
        Ok((_, switches)) if switches.has("hang_validate") => loop {
            thread::park();
        },
        Ok(_) => 0,
        Err(error) => {
            eprintln!("Error: {error}");
            1
        }
    }
}

pub(crate) fn print_config(args: &Args) -> i32 {
    let printed = Config::load(args).and_then(|mut config| {
        config.merge()?;
        print!("{}", config.yaml());
        Ok(())
    });
    match printed {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("Error: {error}");
            1
        }
    }
}

/// The config with its switches, if the Collector would take it.
pub(crate) fn load(args: &Args) -> Result<(Config, Switches), String> {
    let mut config = Config::load(args)?;
    let switches = Switches::with_configs(config.texts());
    judge(&config, &switches, &args.gates)?;
    config.merge()?;
    Ok((config, switches))
}

fn judge(config: &Config, switches: &Switches, gates: &[String]) -> Result<(), String> {
    let layers: Vec<_> = config.layers.iter().map(|(name, text)| Layer { name, text }).collect();
    let view = View::read(&layers, &Options::default().budget).map_err(|found| {
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        format!("failed to get config: cannot resolve the configuration: {}", found.join("\n"))
    })?;
    let known = known(switches);
    let unknown = unknown_types(&view, &known);
    if !unknown.is_empty() {
        return Err(format!(
            "failed to get config: cannot unmarshal the configuration: decoding failed due to the following \
             error(s):\n\n{unknown}"
        ));
    }
    let found = lint(&layers, Some(&known), &Options::default());
    let errors = found.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    let mut errors: Vec<_> = errors.map(|diagnostic| diagnostic.message.clone()).collect();
    if !view.has_pipelines()
        && !gates.iter().any(|gate| gate.trim_start_matches('+') == "service.AllowNoPipelines")
    {
        errors.push("service::pipelines: service must have at least one pipeline".to_owned());
    }
    if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
}

fn unknown_types(view: &View<'_>, known: &Components) -> String {
    let mut lines = BTreeMap::new();
    for section in Section::ALL {
        for id in view.component_ids(section) {
            let kind = id.split('/').next().unwrap_or(&id).to_owned();
            if !known.has(section, &kind) {
                let values: Vec<_> = known.types(section).collect();
                let values = values.join(" ");
                let line =
                    format!("'{section}' unknown type: {kind:?} for id: {id:?} (valid values: [{values}])");
                lines.entry(section).or_insert(line);
            }
        }
    }
    lines.into_values().collect::<Vec<_>>().join("\n")
}
