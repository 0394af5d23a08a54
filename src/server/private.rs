//! Files in the data directory that only their owner may read, and the key among them of which agents' credentials are
//! worked out.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::identity::{Digest, MasterKey};

const KEY: &str = "agents.key";

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot read the key of agents' credentials {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write the key of agents' credentials {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error(
        "{path} is no key of agents' credentials (64 hexadecimal digits); restore it, or delete it to have a new one \
         made (agents are then offered new credentials)"
    )]
    Malformed { path: PathBuf },
}

/// Writes under a temporary name first, so that there is never half a file.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let _ = fs::remove_file(&temporary);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), |directory| fs::File::open(directory)?.sync_all())
}

/// Reads the key of this directory, or makes one.
pub fn agents_key(dir: &Path) -> Result<MasterKey, KeyError> {
    let path = dir.join(KEY);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let parsed = Digest::try_from(text.trim().to_owned());
            parsed.map(|bytes| MasterKey::new(bytes.bytes())).map_err(|_| KeyError::Malformed { path })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let bytes: [u8; 32] = rand::random();
            let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            write(&path, &format!("{text}\n")).map_err(|source| KeyError::Write { path, source })?;
            Ok(MasterKey::new(bytes))
        }
        Err(source) => Err(KeyError::Read { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_made_once_private_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let made = agents_key(dir.path()).unwrap();
        let mode = fs::metadata(dir.path().join(KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = agents_key(dir.path()).unwrap();
        assert_eq!(made.credential("a", "b"), again.credential("a", "b"));
        fs::write(dir.path().join(KEY), "secret").unwrap();
        let refused = agents_key(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("agents.key") && !refused.contains("secret"), "{refused}");
    }
}
