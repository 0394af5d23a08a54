//! Sample files as people have them: each loads, and the fullest uses every key there is.

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

#[test]
fn the_packaged_example_loads_without_a_word() {
    let text = include_str!("../../packaging/supervisor.example.yaml");
    let least = good(text);
    assert_eq!(least.notices, []);

    // Prose starts with "# ", a key that is commented out with "#" alone or with an indent of two or more.
    let all: String = text
        .lines()
        .map(|line| match line.split_once('#') {
            Some((indent, rest)) if indent.trim().is_empty() => match rest.strip_prefix(' ') {
                Some(prose) if !prose.starts_with(' ') => "\n".to_owned(),
                _ => format!("{indent}{rest}\n"),
            },
            _ => format!("{line}\n"),
        })
        .collect();
    let mut all = good(&all);
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
