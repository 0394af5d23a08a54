//! `storage.directory` alone, of a file whose other values may be wrong: the commands on the host are needed
//! most when they are.

use std::path::{Path, PathBuf};

use super::{
    ConfigError, DEFAULT_STORAGE_DIRECTORY, Position, Problem, Sources, context, expand, read_bounded,
    read_failed, stat, yaml,
};

/// Reads where the state of the supervisor with this file is kept.
///
/// # Errors
/// The file cannot be read, or is no YAML.
pub fn storage_directory(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, ConfigError> {
    let text = read_bounded(path).map_err(|source| read_failed(path, source))?;
    let sources = Sources { env, read: &read_bounded, stat: &stat };
    let document = yaml::parse(&text).and_then(|document| yaml::nest(document.root));
    let root = document.map_err(|fault| ConfigError::Invalid {
        file: path.display().to_string(),
        problems: vec![Problem { at: fault.at, key: String::new(), message: fault.message }],
    })?;
    let root = expand::Expander::new(&sources).node(root, "", Position::START, 0);
    let context = context::Context::new(&root, sources, Vec::new(), Vec::new());
    let directory = context.text("storage.directory").unwrap_or(DEFAULT_STORAGE_DIRECTORY);
    Ok(PathBuf::from(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_whatever_else_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("supervisor.yaml");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            storage_directory(&path, &|name| (name == "DIR").then(|| "/from/env".to_owned()))
        };
        assert_eq!(read("sorage: 1\nstorage::directory: /x\n").unwrap(), Path::new("/x"));
        assert_eq!(read("storage: {directory: '${env:DIR}/y'}").unwrap(), Path::new("/from/env/y"));
        assert_eq!(read("agent: [").unwrap_err().to_string().lines().count(), 1);
        assert_eq!(read("agent: 1").unwrap(), Path::new(DEFAULT_STORAGE_DIRECTORY));
    }
}
