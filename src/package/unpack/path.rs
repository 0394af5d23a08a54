//! Which paths of an archive are taken.

use std::path::{Component, Path, PathBuf};

const LENGTH: usize = 1024;
const DEPTH: usize = 16;

/// The path inside the directory; empty for the directory itself (`./`).
pub(super) fn relative(bytes: &[u8]) -> Result<PathBuf, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
    if text.len() > LENGTH {
        return Err("has more than 1024 bytes");
    }
    if text.chars().any(|letter| letter.is_control() || letter == '\\') {
        return Err("has a control character or a backslash");
    }
    let mut path = PathBuf::new();
    for part in Path::new(text).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir => return Err("leads out of the directory"),
            Component::RootDir | Component::Prefix(_) => return Err("is absolute"),
        }
    }
    if path.components().count() > DEPTH {
        return Err("has more than 16 parts");
    }
    Ok(path)
}
