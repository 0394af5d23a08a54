//! Shared by this room's tests: small scripts in a Collector's place, and a deadline on every wait.

use std::{fs, future::Future, os::unix::fs::PermissionsExt, time::Duration};

use tempfile::TempDir;
use tokio::time::timeout;

use super::binary::Binary;

/// Far beyond what anything here takes on a loaded machine.
pub(super) async fn in_time<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), work).await.expect("nothing happened for 60 s")
}

/// A shell script as the binary; it lives as long as the directory.
pub(super) fn script(body: &str) -> (TempDir, Binary) {
    let dir = tempfile::tempdir().unwrap();
    let executable = dir.path().join("otelcol");
    fs::write(&executable, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&executable, fs::Permissions::from_mode(0o755)).unwrap();
    (dir, Binary { executable, ..Default::default() })
}
