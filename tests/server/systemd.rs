//! Under a service manager: what it is told over its notify socket.

use std::process::{Command, Stdio};

use tokio::{net::UnixDatagram, time::timeout};

use crate::harness::WITHIN;

async fn hears(manager: &UnixDatagram, mark: &str) -> String {
    let listening = async {
        loop {
            let mut buffer = [0; 4096];
            let read = manager.recv(&mut buffer).await.unwrap();
            let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
            if text.lines().any(|line| line == mark) {
                return text;
            }
        }
    };
    timeout(WITHIN, listening).await.unwrap_or_else(|_| panic!("no {mark}"))
}

#[tokio::test]
async fn ready_status_watchdog_and_stopping_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_opamp-server"));
    command.args(["--opamp-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(dir.path().join("data")).env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let mut server = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
    let ready = hears(&manager, "READY=1").await;
    assert!(ready.contains("STATUS=agents connect to 127.0.0.1:"), "{ready}");
    hears(&manager, "WATCHDOG=1").await;
    hears(&manager, "WATCHDOG=1").await;
    let pid = nix::unistd::Pid::from_raw(server.id().unwrap().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    hears(&manager, "STOPPING=1").await;
    assert!(timeout(WITHIN, server.wait()).await.unwrap().unwrap().success());
}
