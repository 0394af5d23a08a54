//! Values that name files, and whether they lie below a directory that is allowed.
//!
//! By the text alone: a symbolic link below an allowed directory leads where it leads. That is the kernel's to
//! keep (`agent.access_dirs`).

use std::fmt;

/// One entry of `restrictions.paths.allow`: a file, or a directory with everything below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    written: String,
    /// Without a trailing slash; `None` when the entry is meant to the letter only.
    base: Option<String>,
}

/// An entry of `restrictions.paths.allow` that means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it must be an absolute path without .. and without * ? [ {{, or a value to the letter that holds ${{…}}"
)]
pub struct InvalidPath;

impl std::str::FromStr for Allowed {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        let written = text.to_owned();
        if text.contains("${") {
            return Ok(Self { written, base: None });
        }
        let plain = text.starts_with('/') && !text.contains(GLOB) && !climbs(text);
        if plain { Ok(Self { written, base: Some(tidy(text)) }) } else { Err(InvalidPath) }
    }
}

impl AsRef<str> for Allowed {
    fn as_ref(&self) -> &str {
        &self.written
    }
}

/// Where the fixed part of a pattern ends.
const GLOB: [char; 5] = ['*', '?', '[', '{', '\\'];

/// Why a value that names a file is not allowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Denied {
    Outside(String),
    Unclear(&'static str),
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outside(path) => {
                let shown: String = path.chars().take(120).collect();
                write!(f, "the path {shown:?} is not allowed")
            }
            Self::Unclear(why) => write!(f, "a path cannot be judged: {why}"),
        }
    }
}

/// Prefixes under which a value names a file or a socket of this host.
const SCHEMES: [&str; 5] = ["file:", "unix:", "unixgram:", "unixpacket:", "npipe:"];

/// Whether a value looks like a path, whatever its key.
pub(super) fn looks_like_path(value: &str) -> bool {
    let lower = value.get(..12.min(value.len())).unwrap_or(value).to_ascii_lowercase();
    let drive = matches!(value.as_bytes(), [letter, b':', b'/' | b'\\', ..] if letter.is_ascii_alphabetic());
    drive
        || SCHEMES
            .iter()
            .chain(&["unix-abstract:", "/", "./", "../", "~/", "\\\\"])
            .any(|start| lower.starts_with(start))
        || climbs(value)
}

/// Judges a value that is a path.
pub(super) fn judge(value: &str, allowed: &[Allowed]) -> Result<(), Denied> {
    if allowed.iter().any(|entry| entry.written == value) {
        return Ok(());
    }
    let path = match SCHEMES.iter().find(|scheme| starts_with_ignoring_case(value, scheme)) {
        Some(scheme) => {
            let rest = &value[scheme.len()..];
            if rest.contains(['%', '?', '#']) {
                return Err(Denied::Unclear("it is a URL with characters that have a meaning of their own"));
            }
            rest.strip_prefix("//").unwrap_or(rest)
        }
        None => value,
    };
    if path.chars().any(|letter| letter.is_control()) {
        return Err(Denied::Unclear("it holds a control character"));
    }
    if climbs(path) {
        return Err(Denied::Unclear("it holds \"..\""));
    }
    if path.contains('\\') {
        return Err(Denied::Unclear("it holds a backslash"));
    }
    if !path.starts_with('/') {
        return Err(Denied::Unclear("it is relative to where the Collector runs; write it from / on"));
    }
    let fixed = match path.find(GLOB) {
        Some(glob) => &path[..path[..glob].rfind('/').map_or(0, |slash| slash + 1)],
        None => path,
    };
    let fixed = tidy(fixed);
    if allowed.iter().filter_map(|entry| entry.base.as_deref()).any(|base| is_below(&fixed, base)) {
        return Ok(());
    }
    Err(Denied::Outside(path.to_owned()))
}

fn is_below(path: &str, base: &str) -> bool {
    path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether one of its parts is `..`, those of a pattern's alternatives included.
fn climbs(path: &str) -> bool {
    path.contains("..") && path.split(['/', '\\', '{', '}', ',']).any(|part| part == "..")
}

/// Without doubled slashes, `.` and the slash at the end; the root is empty.
fn tidy(path: &str) -> String {
    let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
    parts.fold(String::new(), |path, part| path + "/" + part)
}

fn starts_with_ignoring_case(value: &str, start: &str) -> bool {
    value.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed() -> Vec<Allowed> {
        ["/var/log", "/etc/otel/ca.crt", "${env:DIR}/a"].map(|entry| entry.parse().unwrap()).to_vec()
    }

    #[test]
    fn what_lies_below_an_allowed_directory_is_allowed() {
        for path in [
            "/var/log",
            "/var/log/",
            "/var//log/./a.log",
            "/var/log/*.log",
            "/var/log/**/x-[0-9].log",
            "/var/log/{a,b}.log",
            "/etc/otel/ca.crt",
            "file:///var/log/a",
            "FILE:/var/log/a",
            "unix:///var/log/s.sock",
            "${env:DIR}/a",
            "/var/log/..a",
        ] {
            assert_eq!(judge(path, &allowed()), Ok(()), "{path}");
        }
        assert_eq!(judge("/x", &["/".parse().unwrap()]), Ok(()));
    }

    #[test]
    fn what_does_not_is_not_whatever_its_form() {
        for path in [
            "/etc/passwd",
            "/var/logs/a",
            "/var/log*",
            "/var/*/a",
            "/*",
            "/var/{log,../etc}/a",
            "/etc/otel/ca.crt.key",
            "file:///etc/passwd",
            "file://var/log/a",
            "file:///var/log/%2e%2e/a",
            "unix:/run/docker.sock",
            "unix:run/docker.sock",
            "npipe:////./pipe/x",
            "/var/log/../../etc/passwd",
            "/var/log/..",
            "/var/log/{../../etc/passwd,x}",
            "/var/log/\\../x",
            "var/log/a",
            "a.log",
            "",
            " /var/log/a",
            "/var/log/a\n",
            "~/x",
            "C:\\x",
        ] {
            assert!(judge(path, &allowed()).is_err(), "{path}");
        }
        assert!(judge("/x", &[]).is_err());
        for entry in ["var/log", "", "/var/log/*", "/var/../etc", "C:\\"] {
            assert_eq!(entry.parse::<Allowed>(), Err(InvalidPath), "{entry}");
        }
    }
}
