//! Shared by this room's tests: real processes, and a deadline on every wait.

use std::{future::Future, time::Duration};

use tokio::{io::AsyncReadExt, net::unix::pipe, time::timeout};

use super::child::Spec;

/// Far beyond what anything here takes on a loaded machine.
pub(super) async fn in_time<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), work).await.expect("nothing happened for 30 s")
}

pub(super) fn shell(script: &str) -> Spec {
    Spec::new("/bin/sh").args(["-c", script])
}

/// The next line of a child's output.
pub(super) async fn line(pipe: &mut pipe::Receiver) -> String {
    let mut line = Vec::new();
    loop {
        match in_time(pipe.read_u8()).await.expect("the child closed its output") {
            b'\n' => return String::from_utf8(line).unwrap(),
            byte => line.push(byte),
        }
    }
}
