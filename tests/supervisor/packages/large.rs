//! A package that is larger than the memory of the hosts that it is for.

use std::fs;

use super::{
    INSTALLED, host, install, runs,
    store::{Says, Store, archive, collector},
};
use crate::harness::Server;

const MIB: usize = 1 << 20;

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).take(length / 8).flatten().collect()
}

/// A line of the process's status, in KiB.
fn memory(pid: i32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    line.trim_matches([':', ' ', '\t']).trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn a_package_of_200_mb_is_never_in_memory() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host(&server, &store);
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let idle = memory(supervisor.pid(), "VmRSS");
    // What only a first time costs is not what a large one costs.
    assert_eq!(install(&server, &store.collector("0.150.0", "")).await.status, INSTALLED);
    let files =
        [("otelcol", 0o755, &collector("wrong_version=0.151.0")[..]), ("ballast", 0o644, &noise(194 * MIB))];
    let artefact = archive(&files);
    assert!(artefact.len() > 190 * MIB);
    let package = store.add(artefact, &Says::version("0.151.0"));
    let before = memory(supervisor.pid(), "VmRSS");
    // From here on the peak is counted anew.
    fs::write(format!("/proc/{}/clear_refs", supervisor.pid()), "5").unwrap();
    let told = install(&server, &package).await;
    assert_eq!((told.status, told.error_message.as_str()), (INSTALLED, ""));
    let peak = memory(supervisor.pid(), "VmHWM");
    let more = peak.saturating_sub(before);
    println!("200 MB: {idle} KiB idle, {before} KiB after a small one, {peak} KiB at most, {more} KiB more");
    assert!(more < 16 * 1024, "{more} KiB more");
    assert!(supervisor.stop().await.success());
}
