//! The admin token: 256 random bits in a file that only its owner may read.

use std::{
    fmt, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::random_hex;
use crate::server::private;

/// The file's name in the data directory.
pub const FILE: &str = "admin.token";

/// A token that a person chose must have at least this many characters.
const SHORTEST: usize = 32;

pub struct Token(String);

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("cannot read the admin token {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write the admin token {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error(
        "the admin token in {path} has {length} characters, which is too few to be safe; delete the file to have a \
         new one made, or put at least {SHORTEST} random characters in it"
    )]
    Short { path: PathBuf, length: usize },
}

impl Token {
    /// Reads the token, or makes one at the first start.
    pub fn load_or_create(data_dir: &Path) -> Result<Self, TokenError> {
        let path = data_dir.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => Self::accept(&path, text.trim()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let token = Self(random_hex());
                private::write(&path, &format!("{}\n", token.0))
                    .map_err(|source| TokenError::Write { path: path.clone(), source })?;
                tracing::info!(path = %path.display(), "made an admin token; operators' requests must carry it");
                Ok(token)
            }
            Err(source) => Err(TokenError::Read { path, source }),
        }
    }

    fn accept(path: &Path, text: &str) -> Result<Self, TokenError> {
        if text.len() < SHORTEST {
            return Err(TokenError::Short { path: path.to_owned(), length: text.len() });
        }
        let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
        if mode & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "others may read the admin token; chmod it to 600");
        }
        Ok(Self(text.to_owned()))
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_private_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let made = Token::load_or_create(dir.path()).unwrap();
        assert_eq!(made.reveal().len(), 64);
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(Token::load_or_create(dir.path()).unwrap().reveal(), made.reveal());
        assert_eq!(format!("{made:?}"), "Token(***)");
    }

    #[test]
    fn an_empty_or_short_token_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "secret\n").unwrap();
        let refused = Token::load_or_create(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("6 characters") && !refused.contains("secret"), "{refused}");
    }
}
