//! The collector room against a real Collector: `$OTELCOL`, else the one `tests/run.sh` builds.

mod agreement;
mod bootstrap;
mod fake;
mod session;

use std::{fs, future::Future, path::PathBuf, time::Duration};

use opamp::collector::binary::Binary;
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(30);

/// The real Collector. Its absence is a failure, not a reason to skip.
fn collector() -> Binary {
    let built = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/collector/otelcol-example");
    let executable = std::env::var_os("OTELCOL").map_or(built, PathBuf::from);
    assert!(
        executable.is_file(),
        "no Collector at {}: run tests/run.sh, which builds one, or set OTELCOL to one that is built from \
         packaging/collector/builder.yaml",
        executable.display()
    );
    Binary { executable, ..Default::default() }
}

/// The fake Collector, which a plain `cargo test` builds.
fn fake() -> Binary {
    let test = std::env::current_exe().unwrap();
    let executable = test.parent().unwrap().with_file_name("examples").join("fake_collector");
    assert!(
        executable.is_file(),
        "no fake Collector at {}: cargo build --example fake_collector",
        executable.display()
    );
    Binary { executable, ..Default::default() }
}

/// Config files in a directory of their own, as `--config` values.
fn write(texts: &[&str]) -> (TempDir, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let uris = texts.iter().enumerate().map(|(index, text)| {
        let path = dir.path().join(format!("{index}.yaml"));
        fs::write(&path, text).unwrap();
        format!("file:{}", path.display())
    });
    let uris = uris.collect();
    (dir, uris)
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), work).await.expect("nothing happened for 120 s")
}
