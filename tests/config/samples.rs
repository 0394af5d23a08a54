//! Sample files as people have them: each loads, and the fullest uses every key there is.

use crate::support::good;

#[test]
fn a_file_with_every_key_loads() {
    let loaded = good(include_str!("samples/every-key.yaml"));
    assert_eq!(loaded.config.server.headers.len(), 2);
    assert!(loaded.notices.iter().any(|notice| notice.key == "telemetry.resource"));
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
