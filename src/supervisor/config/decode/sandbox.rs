//! `agent.run_as`, `agent.access_dirs` and the like: what the Collector gives up.

use std::path::PathBuf;

use super::super::{
    context::{Context, short},
    model::{AccessRule, SandboxConfig},
};
use crate::os::sandbox::{Capabilities, FileAccess, Limits};

pub(super) fn decode(context: &mut Context<'_>) -> SandboxConfig {
    SandboxConfig {
        run_as: context.text("agent.run_as").filter(|text| !text.is_empty()).map(str::to_owned),
        no_new_privs: context.bool("agent.no_new_privs").unwrap_or(false),
        capabilities: capabilities(context),
        limits: Limits {
            open_files: limit(context, "agent.limits.open_files"),
            processes: limit(context, "agent.limits.processes"),
        },
        access: access(context),
        access_rule: match context.bool("agent.access_dirs.required") {
            Some(true) => AccessRule::Required,
            Some(false) | None => AccessRule::AsFarAsTheKernelCan,
        },
    }
}

/// A list that is written and empty keeps none.
fn capabilities(context: &mut Context<'_>) -> Option<Capabilities> {
    let key = "agent.capabilities";
    if !context.is_written(key) {
        return None;
    }
    let mut kept = Vec::new();
    for (at, text) in context.texts(key).unwrap_or_default() {
        match text.parse::<Capabilities>() {
            Ok(capability) => kept.push(capability),
            Err(error) => context.problem_at(at, key, format!("{key}: {:?}: {error}", short(text))),
        }
    }
    Some(kept.into_iter().collect())
}

fn limit(context: &mut Context<'_>, key: &str) -> Option<u64> {
    let number = context.int(key)?;
    match u64::try_from(number) {
        Ok(number) if number > 0 => Some(number),
        _ => {
            let got = context.got(key);
            context.problem(
                key,
                format!("{key} must be greater than zero, got {got}; delete the key for no limit"),
            );
            None
        }
    }
}

fn access(context: &mut Context<'_>) -> Option<FileAccess> {
    if !context.is_written("agent.access_dirs") {
        return None;
    }
    for list in ["read", "write"] {
        let key = format!("agent.access_dirs.{list}.deny");
        if let Some((at, _)) = context.texts(&key).unwrap_or_default().first() {
            let message = format!(
                "{key} cannot be kept: the kernel's rules only allow; list under agent.access_dirs.{list}.allow what \
                 lies beside it"
            );
            context.problem_at(*at, &key, message);
        }
    }
    Some(FileAccess {
        read: directories(context, "agent.access_dirs.read.allow"),
        write: directories(context, "agent.access_dirs.write.allow"),
        execute: directories(context, "agent.access_dirs.execute.allow"),
    })
}

fn directories(context: &mut Context<'_>, key: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for (at, text) in context.texts(key).unwrap_or_default() {
        if !text.starts_with('/') || text.contains('\0') {
            let message = format!("{key}: {:?} must be an absolute path", short(text));
            context.problem_at(at, key, message);
        }
        paths.push(PathBuf::from(text));
    }
    paths
}
