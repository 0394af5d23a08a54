//! `context ls` and `context use`: no server is asked.

use std::fs;
use std::io::Write;
use std::path::Path;

use super::args::{ContextCommand, Global};
use super::error::Error;
use super::output;
use super::settings::{Environment, Found};

pub(super) fn run(command: &ContextCommand, global: &Global, env: &Environment) -> Result<(), Error> {
    let found = Found::look(global, env)?.ok_or_else(|| {
        Error::Setting(
            "there is no configuration file; write ~/.config/opampctl/config.yaml or say --config".to_owned(),
        )
    })?;
    match command {
        ContextCommand::Ls => output::print(&list(&found)),
        ContextCommand::Use { name } => {
            found.context(name)?;
            replace(&found.path, &with_current(&found.text, name)).map_err(|e| Error::Config {
                path: found.path.clone(),
                what: format!("cannot be written: {e}"),
            })?;
            output::print(&format!("current context: {}\n", output::cell(name)))
        }
    }
}

fn list(found: &Found) -> String {
    let rows = found.file.contexts.iter().map(|context| {
        let cluster = found.file.clusters.iter().find(|cluster| cluster.name == context.cluster);
        let endpoint = cluster.map_or("?", |cluster| cluster.opampcommander.endpoint.as_str());
        let mark = if context.name == found.file.current_context { "*" } else { "" };
        [mark, &context.name, &context.cluster, endpoint, &context.user].map(str::to_owned).to_vec()
    });
    output::table(&["CURRENT", "NAME", "CLUSTER", "SERVER", "USER"], rows.collect())
}

/// The file's text with another current context; nothing else of it is touched, comments least of all.
fn with_current(text: &str, name: &str) -> String {
    // A JSON string is a YAML string, whatever the name holds.
    let line = format!("currentContext: {}", serde_json::Value::from(name));
    let mut replaced = false;
    let lines: Vec<&str> = text
        .lines()
        .map(|old| {
            let hit = !replaced && old.starts_with("currentContext:");
            replaced |= hit;
            if hit { line.as_str() } else { old }
        })
        .collect();
    let rest = lines.join("\n") + "\n";
    if replaced { rest } else { format!("{line}\n{rest}") }
}

/// Writes beside the file and renames, so that a crash leaves the old or the new one; keeps its permissions.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let path = fs::canonicalize(path)?;
    let mut beside = path.clone().into_os_string();
    beside.push(format!(".{}.tmp", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&beside)?;
    let written = fs::metadata(&path)
        .and_then(|metadata| file.set_permissions(metadata.permissions()))
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        // The error that counts is the one above.
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_current_context_changes() {
        let text = "# mine\ncurrentContext: a # here\ncontexts: []\n";
        assert_eq!(with_current(text, "b"), "# mine\ncurrentContext: \"b\"\ncontexts: []\n");
        assert_eq!(with_current("contexts: []\n", "b"), "currentContext: \"b\"\ncontexts: []\n");
    }
}
