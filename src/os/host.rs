//! Facts of this host for the agent description's non-identifying attributes, under the names of
//! OpenTelemetry's semantic conventions. What cannot be read is left out.

use std::{collections::BTreeMap, fs};

use nix::{sys::utsname, unistd};

/// `os.type`, `os.description`, `os.version`, `host.arch`, `host.name` and, where there is one, `host.id`.
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
    let kernel = uname.as_ref().map(|uname| uname.release().to_string_lossy().into_owned());
    let linux = kernel.as_ref().map(|version| format!("Linux {version}"));
    add("os.description", value("PRETTY_NAME", &release).or(linux));
    add("os.version", value("VERSION_ID", &release).or(kernel));
    add("host.arch", uname.map(|uname| arch(&uname.machine().to_string_lossy())));
    add("host.name", unistd::gethostname().ok().map(|name| name.to_string_lossy().into_owned()));
    add("host.id", fs::read_to_string("/etc/machine-id").ok().map(|id| id.trim().to_owned()));
    facts
}

/// `os.type` and `host.arch` of this program: what a package has to be for.
#[must_use]
pub fn platform() -> (&'static str, String) {
    (std::env::consts::OS, arch(std::env::consts::ARCH))
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
fn value(key: &str, release: &str) -> Option<String> {
    let value = release.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?.trim();
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
    fn a_value_of_os_release_is_unquoted() {
        let pretty_name = |release| value("PRETTY_NAME", release);
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
        for name in ["os.description", "os.version", "host.name"] {
            assert!(!facts[name].is_empty(), "{name}");
        }
        assert_eq!(arch("x86_64"), "amd64");
        assert_eq!(arch("aarch64"), "arm64");
    }
}
