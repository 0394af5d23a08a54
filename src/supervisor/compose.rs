//! The Collector's config as a list of files: the layers as they were received, in the order that
//! `agent.config_files` gives, and one overlay last. No layer is ever re-serialised.
//!
//! What the supervisor must own is in the overlay and nowhere else, so that no layer, local or remote, can
//! disconnect it: the opamp extension's endpoint, identity and capabilities (or a health check of its own, for
//! a Collector without that extension), the union of all `service.extensions`, and the instance id of the
//! resource. File names are generated; the keys of a remote config map only name layers in messages.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::config::{AgentConfig, ConfigFile};
use crate::{
    collector::{
        components::{Components, Section},
        lint::{Budget, Diagnostic, Layer, ServiceExtensions, View},
    },
    wire::{InstanceUid, proto::AgentConfigMap},
};

/// The name of the overlay's file.
const OVERLAY: &str = "99-overlay.yaml";
/// The health check that is ours, in a Collector without the opamp extension.
pub(super) const OWN_HEALTH_CHECK: &str = "health_check/opamp_supervisor";

/// A remote layer without a name, for people.
const NAMELESS: &str = "remote config";

/// How the supervisor hears from this Collector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contact {
    /// Through its opamp extension, which dials this endpoint.
    Extension { endpoint: String },
    /// Through its health check extension on this loopback port.
    HealthCheck { port: u16 },
    /// Only as a process.
    Process,
}

impl Contact {
    /// The best that a Collector with these components offers.
    #[must_use]
    pub fn best(components: &Components, endpoint: String, probe_port: u16) -> Self {
        let has = |kind| components.has(Section::Extensions, kind);
        if has("opamp") {
            Self::Extension { endpoint }
        } else if has("health_check") {
            Self::HealthCheck { port: probe_port }
        } else {
            Self::Process
        }
    }
}

/// What the overlay and the generated layers are made from.
#[derive(Clone, Debug)]
pub struct Host<'a> {
    pub agent: &'a AgentConfig,
    pub instance_uid: InstanceUid,
    pub contact: Contact,
    pub idle: Idle,
    /// The extension is asked to describe the whole resource.
    pub describe_resource: bool,
    /// Keys of `service.telemetry`: where the server wants the Collector's own telemetry.
    pub telemetry: &'a Map<String, Value>,
}

/// What to run when no layer has a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// This Collector runs without one.
    NoPipeline,
    /// A pipeline that does nothing.
    Nop,
}

/// One file of the Collector's `--config` list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveFile {
    /// Its generated name on disk.
    pub name: String,
    /// What people call it.
    pub label: String,
    pub contents: Vec<u8>,
    /// It is from the server.
    pub remote: bool,
}

/// A whole config.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Composed {
    pub files: Vec<LiveFile>,
    /// Local layers that could not be read and are left out.
    pub missing: Vec<String>,
}

/// Why there is no config.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    #[error("{}", list(.0))]
    Unreadable(Vec<Diagnostic>),
    #[error(
        "{layer}:{line}: service.extensions is given by an expression, so the supervisor cannot add what it \
         needs to it; write the list out"
    )]
    ExtensionsNotLiteral { layer: String, line: usize },
    #[error(
        "agent.config_files: {} cannot be read, and agent.require_config_files is true; create what is missing, \
         or take it off the list", .0.join(", ")
    )]
    Missing(Vec<String>),
}

fn list(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl Composed {
    /// The layers as a person sees them, for checks; the overlay is not among them.
    pub fn layers(&self) -> Result<Vec<Layer<'_>>, Diagnostic> {
        let layers = self.files.iter().filter(|file| file.name != OVERLAY);
        let layers = layers.map(|file| Layer::from_bytes(&file.label, &file.contents));
        layers.collect()
    }

    /// Those of them that are from the server.
    pub fn remote_layers(&self) -> Result<Vec<Layer<'_>>, Diagnostic> {
        let layers = self.files.iter().filter(|file| file.remote);
        layers.map(|file| Layer::from_bytes(&file.label, &file.contents)).collect()
    }

    /// Whether the same files would be read, whatever is in them.
    #[must_use]
    pub fn same_files(&self, other: &Self) -> bool {
        self.files.iter().map(|file| &file.name).eq(other.files.iter().map(|file| &file.name))
    }
}

/// Refuses a start without a local layer that is required. What vanishes later is found when it is composed.
pub fn require_local_files(agent: &AgentConfig) -> Result<(), ComposeError> {
    let mut composed = Composed::default();
    for (position, entry) in agent.config_files.iter().enumerate() {
        if let ConfigFile::Path(path) = entry {
            composed.add_local(position, path);
        }
    }
    composed.refuse_missing(agent)
}

/// One file of a remote config.
#[derive(Clone, Copy, Debug)]
pub struct RemoteLayer<'a> {
    /// What people call it.
    pub label: &'a str,
    pub body: &'a [u8],
}

/// Composes a config from the host's layers and a remote config, if there is one: in name order, the empty
/// name last.
pub fn compose(host: &Host<'_>, remote: Option<&AgentConfigMap>) -> Result<Composed, ComposeError> {
    let map = remote.map(|remote| &remote.config_map);
    let mut objects: Vec<_> = map.into_iter().flatten().collect();
    objects.sort_by_key(|(name, _)| (name.is_empty(), *name));
    let layers = objects.into_iter().map(|(name, object)| RemoteLayer {
        label: if name.is_empty() { NAMELESS } else { name },
        body: &object.body,
    });
    compose_layers(host, &layers.collect::<Vec<_>>())
}

/// Composes a config from the host's layers and remote ones in the order given.
pub fn compose_layers(host: &Host<'_>, remote: &[RemoteLayer<'_>]) -> Result<Composed, ComposeError> {
    let mut composed = Composed::default();
    for (position, entry) in host.agent.config_files.iter().enumerate() {
        match entry {
            ConfigFile::Path(path) => composed.add_local(position, path),
            ConfigFile::OwnTelemetry => composed.add_own_telemetry(position, host),
            // What stands here elsewhere is part of the overlay, where nothing can override it.
            ConfigFile::OpampExtension => {}
            ConfigFile::Remote => composed.add_remote(position, remote),
        }
    }
    composed.refuse_missing(host.agent)?;
    composed.add_overlay(host)?;
    Ok(composed)
}

/// What runs when what should run does not: the operator's fallback configs, else nothing but what keeps
/// management alive.
pub fn compose_fallback(host: &Host<'_>) -> Result<Composed, ComposeError> {
    let mut composed = Composed::default();
    composed.add_own_telemetry(0, host);
    for (position, path) in (1..).zip(&host.agent.startup_fallback_configs) {
        composed.add_local(position, path);
    }
    if host.agent.startup_fallback_configs.is_empty() {
        // It takes no port, for a port in use may be why it runs.
        let least = json!({ "service": { "telemetry": { "metrics": { "level": "none" } } } });
        composed.add(
            "01-least.yaml".to_owned(),
            "the supervisor's least layer",
            least.to_string().into_bytes(),
        );
    }
    composed.add_overlay(host)?;
    Ok(composed)
}

impl Composed {
    fn add(&mut self, name: String, label: impl Into<String>, contents: Vec<u8>) {
        self.files.push(LiveFile { name, label: label.into(), contents, remote: false });
    }

    fn add_own_telemetry(&mut self, position: usize, host: &Host<'_>) {
        let layer = own_telemetry(host).to_string().into_bytes();
        self.add(format!("{position:02}-own-telemetry.yaml"), "the supervisor's own telemetry layer", layer);
    }

    fn add_overlay(&mut self, host: &Host<'_>) -> Result<(), ComposeError> {
        let overlay = overlay(host, self)?.to_string().into_bytes();
        self.add(OVERLAY.to_owned(), "the supervisor's overlay", overlay);
        Ok(())
    }

    fn add_local(&mut self, position: usize, path: &PathBuf) {
        match std::fs::read(path) {
            Ok(contents) => {
                self.add(format!("{position:02}-local.yaml"), path.display().to_string(), contents);
            }
            Err(error) => self.missing.push(format!("{}: {error}", path.display())),
        }
    }

    fn refuse_missing(&self, agent: &AgentConfig) -> Result<(), ComposeError> {
        if agent.require_config_files && !self.missing.is_empty() {
            return Err(ComposeError::Missing(self.missing.clone()));
        }
        Ok(())
    }

    /// One slot is always there, be it empty, so that a first remote config changes contents and not the list
    /// of files.
    fn add_remote(&mut self, position: usize, remote: &[RemoteLayer<'_>]) {
        if remote.is_empty() {
            self.add(format!("{position:02}-remote-0.yaml"), NAMELESS, Vec::new());
        }
        for (index, layer) in remote.iter().enumerate() {
            let name = format!("{position:02}-remote-{index}.yaml");
            let (label, contents) = (layer.label.to_owned(), layer.body.to_owned());
            self.files.push(LiveFile { name, label, contents, remote: true });
        }
    }
}

/// The Collector's own logs as JSON lines on its standard streams, the host's description in its resource, and
/// where the server wants its telemetry.
fn own_telemetry(host: &Host<'_>) -> Value {
    let description = &host.agent.description;
    let attributes = description.identifying_attributes.iter().chain(&description.non_identifying_attributes);
    let resource: Map<_, _> = attributes.map(|(key, value)| (key.clone(), json!(escape(value)))).collect();
    let logs = json!({ "encoding": "json", "output_paths": ["stdout"], "error_output_paths": ["stderr"] });
    let mut telemetry = json!({ "logs": logs, "resource": resource });
    for (signal, keys) in host.telemetry {
        match (&mut telemetry[signal], keys) {
            (Value::Object(ours), Value::Object(keys)) => ours.extend(keys.clone()),
            (other, keys) => *other = keys.clone(),
        }
    }
    json!({ "service": { "telemetry": telemetry } })
}

/// The Collector expands `$`; what a file of ours gives it is meant literally.
fn escape(value: &str) -> String {
    value.replace('$', "$$")
}

fn overlay(host: &Host<'_>, layers: &Composed) -> Result<Value, ComposeError> {
    let layers = layers.layers().map_err(|wrong| ComposeError::Unreadable(vec![wrong]))?;
    let view = View::read(&layers, &Budget::default()).map_err(ComposeError::Unreadable)?;
    let mut names = match view.service_extensions() {
        ServiceExtensions::Absent => Vec::new(),
        ServiceExtensions::Literal(names) => names,
        ServiceExtensions::NotLiteral { layer, line } => {
            return Err(ComposeError::ExtensionsNotLiteral { layer, line });
        }
    };
    let mut extensions = Map::new();
    match &host.contact {
        Contact::Extension { endpoint } => {
            // A remote layer may already name it; the union holds it once.
            names.retain(|name| name != "opamp");
            names.push("opamp".to_owned());
            let mut ours = opamp_extension(host.instance_uid, endpoint);
            if host.describe_resource {
                ours["agent_description"] = json!({ "include_resource_attributes": true });
            }
            if view.component_ids(Section::Extensions).iter().any(|id| id == "opamp") {
                take_back(&mut ours);
            }
            extensions.insert("opamp".to_owned(), ours);
        }
        Contact::HealthCheck { port } => {
            names.push(OWN_HEALTH_CHECK.to_owned());
            let endpoint = format!("127.0.0.1:{port}");
            extensions.insert(OWN_HEALTH_CHECK.to_owned(), json!({ "endpoint": endpoint }));
        }
        Contact::Process => {}
    }
    let mut service = json!({
        "telemetry": { "resource": { "service.instance.id": host.instance_uid.to_string() } },
    });
    if !names.is_empty() {
        service["extensions"] = json!(names);
    }
    let mut overlay = json!({ "service": service });
    if !extensions.is_empty() {
        overlay["extensions"] = Value::Object(extensions);
    }
    if host.idle == Idle::Nop && !view.has_pipelines() {
        overlay["receivers"] = json!({ "nop": {} });
        overlay["exporters"] = json!({ "nop": {} });
        overlay["service"]["pipelines"] = json!({ "traces": { "receivers": ["nop"], "exporters": ["nop"] } });
    }
    Ok(overlay)
}

/// What a layer's own block for the extension would otherwise add to ours: another parent to watch, other
/// headers. Only written where a layer has such a block, so that an older extension need not know these keys.
fn take_back(ours: &mut Value) {
    ours["ppid"] = json!(0);
    ours["server"]["ws"]["headers"] = Value::Null;
}

/// The extension as the supervisor needs it.
fn opamp_extension(uid: InstanceUid, endpoint: &str) -> Value {
    json!({
        "instance_uid": uid.to_string(),
        "server": { "ws": { "endpoint": endpoint, "tls": { "insecure": true } }, "http": null },
        "capabilities": {
            "reports_effective_config": true,
            "reports_health": true,
            "reports_available_components": true,
            "accepts_restart_command": false,
        },
    })
}
