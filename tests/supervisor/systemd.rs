//! Under a service manager: what it is told over its notify socket.

use std::{fs, path::Path, time::Duration};

use nix::libc::SIGHUP;
use tokio::{net::UnixDatagram, time::timeout};

use super::harness::{Host, Server, fake_collector, kill};

struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    fn listen(path: &Path) -> Self {
        Self { socket: UnixDatagram::bind(path).unwrap(), heard: Vec::new() }
    }

    /// Listens until a line starts with this and contains that.
    async fn hears(&mut self, start: &str, part: &str) {
        let fits = |line: &String| line.starts_with(start) && line.contains(part);
        let listening = async {
            while !self.heard.iter().any(fits) {
                let mut buffer = [0; 4096];
                let read = self.socket.recv(&mut buffer).await.unwrap();
                let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
                self.heard.extend(text.lines().map(str::to_owned));
            }
        };
        let in_time = timeout(Duration::from_secs(30), listening).await;
        assert!(in_time.is_ok(), "no {start}…{part} in {:?}", self.heard);
        self.heard.clear();
    }
}

#[tokio::test]
async fn ready_status_watchdog_and_stopping_come_when_they_should() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let mut manager = Manager::listen(&path);
    let host = Host::new(&server.endpoint, &fake_collector())
        .fake("crash_at_start")
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .env("WATCHDOG_USEC", "200000");
    let supervisor = host.start();
    manager.hears("READY=1", "").await;
    manager.hears("STATUS=", "code 1").await;
    manager.hears("WATCHDOG=1", "").await;
    manager.hears("WATCHDOG=1", "").await;
    fs::write(host.dir.path().join("switches"), "").unwrap();
    manager.hears("STATUS=", "Collector: healthy").await;
    let (stopped, ()) = tokio::join!(supervisor.stop(), manager.hears("STOPPING=1", ""));
    assert!(stopped.success());
}

#[tokio::test]
async fn a_reload_is_told_from_its_beginning_to_its_end() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let mut manager = Manager::listen(&path);
    let host =
        Host::new(&server.endpoint, &fake_collector()).fake("").env("NOTIFY_SOCKET", path.to_str().unwrap());
    let supervisor = host.start();
    manager.hears("READY=1", "").await;
    server.until("the agent is healthy", |known| known.healthy()).await;
    let file = host.dir.path().join("supervisor.yaml");
    for (text, status) in [
        (format!("{}nonsense: 1\n", host.yaml()), "STATUS=supervisor.yaml on disk is not in force: "),
        (host.yaml().to_owned(), "STATUS=Collector: healthy"),
    ] {
        // What is noticed of the write is a reload of its own, told in the same way.
        fs::write(&file, text).unwrap();
        kill(supervisor.pid(), SIGHUP);
        manager.hears("RELOADING=1", "").await;
        manager.hears("READY=1", "").await;
        manager.hears(status, "").await;
        manager.hears("RELOADING=1", "").await;
        manager.hears("READY=1", "").await;
    }
    assert!(supervisor.stop().await.success());
}
