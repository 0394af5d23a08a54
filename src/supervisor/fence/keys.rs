//! Which keys of a component's config take paths, and which take endpoints.
//!
//! No list of components is kept: a key says what it is by its name, and a value that looks like a path or an
//! endpoint is judged under any key. What slips through both is a bare host name or a relative path under a key
//! of an unusual name; `docs/supervisor.md` says so.

const PATHS: [&str; 12] = [
    "path",
    "paths",
    "file",
    "files",
    "filename",
    "filenames",
    "dir",
    "dirs",
    "directory",
    "directories",
    "folder",
    "socket",
];

/// The list of files that a receiver reads, and those it leaves out.
const GLOBS: [&str; 2] = ["include", "exclude"];

/// Parts of URLs that begin with a slash and are no files.
const URL_PATHS: [&str; 2] = ["url_path", "metrics_path"];

/// Ends of such keys.
const ENDPOINTS: [&str; 28] = [
    "endpoint",
    "endpoints",
    "url",
    "urls",
    "uri",
    "uris",
    "host",
    "hosts",
    "hostname",
    "hostnames",
    "host_name",
    "address",
    "addresses",
    "addr",
    "addrs",
    "server",
    "servers",
    "broker",
    "brokers",
    "target",
    "targets",
    "proxy",
    "dsn",
    "datasource",
    "connection_string",
    "data_source_name",
    "nodes",
    "peers",
];

/// Whether the values of this key are files or directories.
pub(super) fn is_path(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    GLOBS.contains(&key.as_str()) || PATHS.contains(&last_word(&key))
}

/// Whether the values of this key are parts of URLs.
pub(super) fn is_url_path(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    URL_PATHS.iter().any(|known| key.ends_with(known))
}

/// Whether the values of this key are peers on the network.
pub(super) fn is_endpoint(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ENDPOINTS.iter().any(|known| key.ends_with(known))
}

/// Values of such keys that are no files: the Collector's own streams, and switches.
pub(super) fn is_no_path(value: &str) -> bool {
    matches!(value, "" | "stdout" | "stderr" | "true" | "false")
}

fn last_word(key: &str) -> &str {
    key.rsplit(['_', '-', '.']).next().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_say_by_their_names_what_they_take() {
        for key in [
            "path",
            "ca_file",
            "cert_file",
            "include",
            "directory",
            "output_paths",
            "save_to_file",
            "KEY_FILE",
        ] {
            assert!(is_path(key) && !is_endpoint(key), "{key}");
        }
        for key in [
            "endpoint",
            "traces_endpoint",
            "token_url",
            "brokers",
            "targets",
            "proxy_url",
            "api_server",
            "tokenUrl",
        ] {
            assert!(is_endpoint(key) && !is_path(key), "{key}");
        }
        for key in ["headers", "verbosity", "mode", "profile", "hourly", "topic", "sampling_percentage"] {
            assert!(!is_endpoint(key) && !is_path(key), "{key}");
        }
        assert!(is_url_path("traces_url_path") && is_url_path("metrics_path") && !is_url_path("path"));
    }
}
