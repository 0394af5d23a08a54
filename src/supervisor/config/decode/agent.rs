//! `agent`: the Collector and how it is run.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    super::{
        context::{Context, item_text, short},
        error::reason,
        model::{AgentConfig, AgentDescription, ConfigFile},
        secret::Secret,
    },
    positive,
};
use crate::wire::InstanceUid;

/// Largest `agent.collector_crash_log_snippet_kib`.
const MAX_SNIPPET_KIB: usize = 1024;

const BOOTSTRAP_TIMEOUT: Duration = Duration::from_secs(3);

const OWN_TELEMETRY: &str = "$OWN_TELEMETRY_CONFIG";
const OPAMP_EXTENSION: &str = "$OPAMP_EXTENSION_CONFIG";
const REMOTE: &str = "$REMOTE_CONFIG";

pub(super) fn decode(context: &mut Context<'_>) -> Option<AgentConfig> {
    let executable = executable(context);
    let instance_id = instance_id(context);
    let description = AgentDescription {
        identifying_attributes: texts_by_name(context, "agent.description.identifying_attributes"),
        non_identifying_attributes: texts_by_name(context, "agent.description.non_identifying_attributes"),
        include_resource_attributes: context
            .bool("agent.description.include_resource_attributes")
            .unwrap_or(false),
    };
    let config_apply_timeout =
        positive(context, "agent.config_apply_timeout", "agent::config_apply_timeout must be valid duration");
    let bootstrap_timeout =
        positive(context, "agent.bootstrap_timeout", "agent::bootstrap_timeout must be positive")
            .unwrap_or(BOOTSTRAP_TIMEOUT);
    let opamp_server_port = port(context);
    let config_files = config_files(context);
    let startup_fallback_configs = fallback_configs(context);
    let args = args(context);
    let env = env(context);
    let sandbox = super::sandbox::decode(context);
    Some(AgentConfig {
        executable: executable?,
        packaged_binary: context
            .text("agent.package.agent_binary")
            .filter(|text| !text.is_empty())
            .map(str::to_owned),
        instance_id,
        description,
        config_apply_timeout,
        bootstrap_timeout,
        opamp_server_port,
        passthrough_logs: context.bool("agent.passthrough_logs").unwrap_or(false),
        crash_log_snippet: snippet(context),
        use_hup_config_reload: context.bool("agent.use_hup_config_reload"),
        validate_config: context.bool("agent.validate_config").unwrap_or(true),
        automatic_config_rollback: context.bool("agent.automatic_config_rollback").unwrap_or(true),
        startup_fallback_configs,
        config_files,
        require_config_files: context.bool("agent.require_config_files").unwrap_or(false),
        args,
        env,
        sandbox,
    })
}

fn executable(context: &mut Context<'_>) -> Option<PathBuf> {
    let key = "agent.executable";
    let text = match (context.entry(key), context.text(key)) {
        (Some(_), None) => return None,
        (_, text) => text.unwrap_or_default(),
    };
    if text.is_empty() {
        context.problem(
            key,
            "agent::executable must be specified; set agent.executable to the path of the Collector's binary",
        );
        return None;
    }
    let path = Path::new(text);
    if let Err(error) = (context.sources.stat)(path) {
        let message = format!(
            "could not stat agent::executable path: {}: {}; set it to the path of the Collector's binary",
            path.display(),
            reason(&error)
        );
        context.problem(key, message);
        return None;
    }
    Some(path.to_owned())
}

/// Each is looked for now: the day it is needed is a bad one to find that it is not there.
fn fallback_configs(context: &mut Context<'_>) -> Vec<PathBuf> {
    let key = "agent.startup_fallback_configs";
    let mut paths = Vec::new();
    for (at, text) in context.texts(key).unwrap_or_default() {
        if text.is_empty() {
            context.problem_at(at, key, format!("{key} contains an empty path; remove the entry"));
        } else if let Err(error) = (context.sources.stat)(Path::new(text)) {
            let why = reason(&error);
            context.problem_at(
                at,
                key,
                format!("could not stat {key} path: {text}: {why}; create it, or remove the entry"),
            );
        } else {
            paths.push(PathBuf::from(text));
        }
    }
    paths
}

fn instance_id(context: &mut Context<'_>) -> Option<InstanceUid> {
    let key = "agent.instance_id";
    let text = context.text(key).filter(|text| !text.is_empty())?;
    match text.parse() {
        Ok(uid) => Some(uid),
        Err(error) => {
            let message = format!("agent::instance_id must be a valid UUID string when set: {error}");
            context.problem(key, message);
            None
        }
    }
}

fn port(context: &mut Context<'_>) -> u16 {
    let key = "agent.opamp_server_port";
    let Some(number) = context.int(key) else { return 0 };
    u16::try_from(number).unwrap_or_else(|_| {
        let got = context.got(key);
        let rule = "agent::opamp_server_port must be a valid port number (0 to 65535)";
        context.problem(key, format!("{rule}, got {got}; 0 takes a free one"));
        0
    })
}

/// In bytes.
fn snippet(context: &mut Context<'_>) -> usize {
    let key = "agent.collector_crash_log_snippet_kib";
    let Some(kib) = context.int(key) else { return 0 };
    let rule = match usize::try_from(kib) {
        Ok(kib) if kib <= MAX_SNIPPET_KIB => return kib * 1024,
        Ok(_) => format!("must be less than or equal to {MAX_SNIPPET_KIB}"),
        Err(_) => "must be non-negative".to_owned(),
    };
    let got = context.got(key);
    context.problem(key, format!("agent::collector_crash_log_snippet_kib {rule}, got {got}"));
    0
}

fn texts_by_name(context: &mut Context<'_>, key: &str) -> BTreeMap<String, String> {
    let mut map = BTreeMap::new();
    for entry in context.entries(key) {
        if entry.key.is_empty() {
            context.problem_at(entry.at, key, format!("{key}: an attribute has an empty name; name it"));
        }
        if let Some(text) = item_text(&entry.node) {
            map.insert(entry.key.clone(), text.to_owned());
        }
    }
    map
}

fn args(context: &mut Context<'_>) -> Vec<String> {
    let key = "agent.args";
    let mut args = Vec::new();
    for (at, text) in context.texts(key).unwrap_or_default() {
        if text.contains('\0') {
            context.problem_at(at, key, "agent.args: an argument cannot hold a NUL character; remove it");
        }
        args.push(text.to_owned());
    }
    args
}

fn env(context: &mut Context<'_>) -> BTreeMap<String, Secret> {
    let key = "agent.env";
    let mut env = BTreeMap::new();
    for entry in context.entries(key) {
        let name = short(&entry.key);
        if entry.key.is_empty() || entry.key.contains(['=', '\0']) {
            let message = format!(
                "{key}: {name:?} is no name of an environment variable; it must have no = and not be empty"
            );
            context.problem_at(entry.at, key, message);
        }
        let text = item_text(&entry.node).unwrap_or_default();
        if text.contains('\0') {
            context.problem_at(entry.at, key, format!("{key}.{name} cannot hold a NUL character; remove it"));
        }
        env.insert(entry.key.clone(), Secret::new(text));
    }
    env
}

/// The layers as listed, and the special ones that are missing where they belong: own telemetry first, the
/// extension's and the remote config last.
fn config_files(context: &mut Context<'_>) -> Vec<ConfigFile> {
    let key = "agent.config_files";
    let mut files: Vec<ConfigFile> = Vec::new();
    for (at, text) in context.texts(key).unwrap_or_default() {
        let file = match text {
            OWN_TELEMETRY => ConfigFile::OwnTelemetry,
            OPAMP_EXTENSION => ConfigFile::OpampExtension,
            REMOTE => ConfigFile::Remote,
            "" => {
                context.problem_at(at, key, "agent.config_files contains an empty path; remove the entry");
                continue;
            }
            special if special.starts_with('$') => {
                let message = format!(
                    "agent::config_files contains invalid special file: {:?}. Must be one of \
                     [{OWN_TELEMETRY} {OPAMP_EXTENSION} {REMOTE}]",
                    short(special)
                );
                context.problem_at(at, key, message);
                continue;
            }
            path => ConfigFile::Path(PathBuf::from(path)),
        };
        if files.contains(&file) {
            context.notice(
                key,
                format!("agent.config_files lists {} twice; the last place counts", short(text)),
            );
            files.retain(|other| *other != file);
        }
        files.push(file);
    }
    if !files.contains(&ConfigFile::OwnTelemetry) {
        files.insert(0, ConfigFile::OwnTelemetry);
    }
    for last in [ConfigFile::OpampExtension, ConfigFile::Remote] {
        if !files.contains(&last) {
            files.push(last);
        }
    }
    files
}
