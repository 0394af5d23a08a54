//! `verify`: whether this executable could take over on this host. The running supervisor asks it of one that is to
//! take its place; nothing is started, written or locked.

use std::{io::Write, path::Path};

use serde_json::json;

use super::{CommandError, Format, OK, json as write_json};
use crate::{
    os::fs::private_dir_of,
    supervisor::{compose::require_local_files, config, journal::peek, owned::refuse_owned, target},
};

pub(super) fn run(file: &Path, format: Format, out: &mut dyn Write) -> Result<u8, CommandError> {
    let config = config::load(file, &|name| std::env::var(name).ok())?.config;
    let no = |why: String| CommandError::CannotTakeOver(why);
    refuse_owned(&config.agent.args).map_err(|error| no(error.to_string()))?;
    require_local_files(&config.agent).map_err(|error| no(error.to_string()))?;
    target::of(&config.server).map_err(|error| no(error.to_string()))?;
    let storage = private_dir_of(&config.storage.directory);
    if let Some(schema) = peek(&storage)?.and_then(|peeked| peeked.newer) {
        return Err(no(format!("state.json was written by a newer supervisor (schema {schema})")));
    }
    let version = env!("CARGO_PKG_VERSION");
    match format {
        Format::Json => write_json(&json!({ "version": version, "storage": storage }), out)?,
        Format::Text => writeln!(out, "opamp-supervisor {version} could take over in {}", storage.display())?,
    }
    Ok(OK)
}
