//! Sample files as people have them: each loads, and the fullest uses every key there is.

use serde_json::Value;

use crate::support::{good, verdict};

#[test]
fn a_file_with_every_key_loads() {
    let loaded = good(include_str!("samples/every-key.yaml"));
    assert_eq!(loaded.config.server.headers.len(), 2);
    assert!(loaded.notices.iter().any(|notice| notice.key == "healthcheck.cors"));
}

#[test]
fn files_of_the_established_supervisor_load() {
    for text in [
        include_str!("samples/minimal.yaml"),
        include_str!("samples/container.yaml"),
        include_str!("samples/package.yaml"),
        include_str!("samples/newer.yaml"),
    ] {
        good(text);
    }
}

/// With all that is commented out: prose starts with "# ", a key with "#" alone or with an indent of two or more.
fn uncommented(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once('#') {
        Some((indent, rest)) if indent.trim().is_empty() => match rest.strip_prefix(' ') {
            Some(prose) if !prose.starts_with(' ') => "\n".to_owned(),
            _ => format!("{indent}{rest}\n"),
        },
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// The paths of the keys that the schema has below here, with what it says of each.
fn described(schema: &Value, above: &str, found: &mut Vec<(String, String)>) {
    for (key, below) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{above}{key}");
        found.push((path.clone(), below["description"].as_str().unwrap_or_default().to_owned()));
        let path = format!("{path}.");
        described(below, &path, found);
        below["anyOf"].as_array().into_iter().flatten().for_each(|one| described(one, &path, found));
    }
}

/// Keys that only say no to something, hold nothing but keys without effect, or say the same as another one.
const WITHOUT_USE: [&str; 19] = [
    "agent.access_dirs.read.deny",
    "agent.access_dirs.write.deny",
    "agent.opamp_server_socket",
    "agent.package.verifier",
    "capabilities.reports_connection_settings_status",
    "capabilities.reports_remote_config",
    "healthcheck.auth",
    "healthcheck.middlewares",
    "healthcheck.tls.cert_pem",
    "healthcheck.tls.cipher_suites",
    "healthcheck.tls.curve_preferences",
    "healthcheck.tls.key_pem",
    "healthcheck.tls.tpm",
    "server.tls.ca_pem",
    "server.tls.cert_pem",
    "server.tls.insecure",
    "server.tls.key_pem",
    "server.tls.tpm",
    "storage.secrets",
];

#[test]
fn the_packaged_example_has_every_key_that_has_an_effect() {
    let example: Value =
        serde_yaml::from_str(&uncommented(include_str!("../../packaging/supervisor.example.yaml"))).unwrap();
    let schema = serde_json::from_str(include_str!("../../packaging/supervisor.schema.json")).unwrap();
    let mut keys = Vec::new();
    described(&schema, "", &mut keys);
    assert!(keys.len() > 150, "the schema was not understood");
    let idle = ["Not acted on", "No effect", "has no effect"];
    let missing: Vec<_> = keys
        .iter()
        .filter(|(_, says)| !idle.iter().any(|words| says.contains(words)))
        .map(|(path, _)| path)
        .filter(|path| !WITHOUT_USE.contains(&path.as_str()))
        .filter(|path| example.pointer(&format!("/{}", path.replace('.', "/"))).is_none())
        .collect();
    assert_eq!(missing, Vec::<&String>::new());
}

#[test]
fn the_packaged_example_loads_without_a_word() {
    let text = include_str!("../../packaging/supervisor.example.yaml");
    let least = good(text);
    assert_eq!(least.notices, []);

    let mut all = good(&uncommented(text));
    assert_eq!(all.notices, []);
    assert_eq!(all.config.server.headers.len(), 2);
    assert_eq!(all.config.agent.config_files.len(), 4);
    assert_eq!(all.config.storage, least.config.storage);
    assert_eq!(all.config.telemetry.logs, least.config.telemetry.logs);
    assert_eq!(all.config.telemetry.exports.logs.len(), 1);
    all.config.capabilities.reports_available_components =
        least.config.capabilities.reports_available_components;
    assert_eq!(all.config.capabilities, least.config.capabilities);
}

proptest::proptest! {
    /// Whatever is cut out of a file or put into it, the answer is a verdict and never a panic.
    #[test]
    fn a_damaged_file_is_judged(from in 0_usize..4000, length in 0_usize..60, put in "[ -~\\n$\\{\\}*&<:\\[\\]]{0,12}") {
        let sample = include_str!("samples/every-key.yaml");
        let (from, to) = (from.min(sample.len()), (from + length).min(sample.len()));
        if let Err(error) = verdict(&format!("{}{put}{}", &sample[..from], &sample[to..])) {
            proptest::prop_assert!(error.to_string().starts_with("supervisor.yaml:"));
        }
    }
}
