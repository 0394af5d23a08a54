//! Facts of this host for the agent description's non-identifying attributes, under the names of
//! OpenTelemetry's semantic conventions. What cannot be read is left out.

use std::{collections::BTreeMap, fs};

use nix::{sys::utsname, unistd};

/// `os.type`, `os.description`, `host.arch`, `host.name` and, where there is one, `host.id`.
#[must_use]
pub fn attributes() -> BTreeMap<&'static str, String> {
    let mut facts = BTreeMap::from([("os.type", "linux".to_owned())]);
    let release = fs::read_to_string("/etc/os-release")
        .or_else(|_| fs::read_to_string("/usr/lib/os-release"))
        .unwrap_or_default();
    let mut add = |name, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            facts.insert(name, value);
        }
    };
    let uname = utsname::uname().ok();
    let kernel = uname.as_ref().map(|uname| format!("Linux {}", uname.release().to_string_lossy()));
    add("os.description", pretty_name(&release).or(kernel));
    add("host.arch", uname.map(|uname| arch(&uname.machine().to_string_lossy())));
    add("host.name", unistd::gethostname().ok().map(|name| name.to_string_lossy().into_owned()));
    add("host.id", fs::read_to_string("/etc/machine-id").ok().map(|id| id.trim().to_owned()));
    facts
}

/// The conventions' names, which are Go's, not the kernel's.
fn arch(machine: &str) -> String {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i486" | "i586" | "i686" => "x86",
        "armv6l" | "armv7l" => "arm32",
        other => other,
    }
    .to_owned()
}

/// A value of os-release is a shell word: bare, or in quotes with backslashes.
fn pretty_name(release: &str) -> Option<String> {
    let value = release.lines().find_map(|line| line.trim().strip_prefix("PRETTY_NAME="))?.trim();
    let quote = value.chars().next().filter(|first| matches!(first, '"' | '\''));
    let inner = match quote {
        Some(quote) => value.strip_prefix(quote)?.strip_suffix(quote)?,
        None => value,
    };
    if quote == Some('\'') {
        return Some(inner.to_owned());
    }
    let mut escaped = false;
    let plain = inner.chars().filter(|&c| {
        escaped = c == '\\' && !escaped;
        !escaped
    });
    Some(plain.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pretty_name_is_unquoted() {
        let release = "NAME=x\nPRETTY_NAME=\"Debian \\\"13\\\" \\\\ $\"\nID=debian\n";
        assert_eq!(pretty_name(release).as_deref(), Some("Debian \"13\" \\ $"));
        assert_eq!(pretty_name("PRETTY_NAME=Alpine").as_deref(), Some("Alpine"));
        assert_eq!(pretty_name("PRETTY_NAME='a\\b'").as_deref(), Some("a\\b"));
        assert_eq!(pretty_name("PRETTY_NAME=\"open"), None);
        assert_eq!(pretty_name("NAME=x"), None);
    }

    #[test]
    fn this_host_has_a_name_and_an_architecture() {
        let facts = attributes();
        assert_eq!(facts["os.type"], "linux");
        assert!(!facts["os.description"].is_empty() && !facts["host.name"].is_empty());
        assert_eq!(arch("x86_64"), "amd64");
        assert_eq!(arch("aarch64"), "arm64");
    }
}
