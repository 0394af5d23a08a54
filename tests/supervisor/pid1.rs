//! As PID 1 of a container: strangers are reaped, the Collector's status stays right, SIGTERM ends all.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use nix::libc::{SIGKILL, SIGTERM};

use super::harness::{Host, Server, fake_collector, gone, kill};

/// The children of a process, as the host numbers them.
fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn name_and_state(pid: i32) -> (String, String) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().to_owned()
    };
    (field("Name:"), field("State:"))
}

#[tokio::test]
async fn f_86_pid_1_reaps_strangers_and_keeps_the_collectors_status_right() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let wrapper = dir.path().join("collector.sh");
    // Orphans by the hundred before each run of the Collector: all of them become children of PID 1.
    let orphans = std::env::var("ORPHANS").unwrap_or_else(|_| "300".to_owned());
    let script = format!(
        "#!/bin/sh\ni=0\ncase $1 in -*) ;; *) i={orphans} ;; esac\nwhile [ $i -lt {orphans} ]; do (setsid true &); i=$((i+1)); done\nexec {} \"$@\"\n",
        fake_collector().display()
    );
    fs::write(&wrapper, script).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let host = Host::new(&server.endpoint, &wrapper).fake("");
    let unshare = host.start_through(&["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]);
    server.until("the agent is healthy", |known| known.healthy()).await;
    let [supervisor] = children(unshare.pid())[..] else { panic!("one PID 1 in the namespace") };

    let collector = |pids: Vec<i32>| pids.into_iter().find(|pid| name_and_state(*pid).0.starts_with("fake"));
    let first = collector(children(supervisor)).expect("the Collector runs");
    kill(first, SIGKILL);
    server
        .until("the death is told with its signal", |known| {
            let health = known.view.as_ref().and_then(|view| view.report.health.as_ref());
            health.is_some_and(|health| health.last_error.contains("SIGKILL"))
        })
        .await;
    server.until("another one is healthy", |known| known.healthy()).await;

    let reaped = async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while children(supervisor).into_iter().any(|pid| name_and_state(pid).1.starts_with('Z')) {
            tick.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reaped).await.expect("no zombie is left");
    kill(supervisor, SIGTERM);
    gone(supervisor).await;
    assert!(unshare.ended().await.0.success());
    server.until("the goodbye", |known| known.goodbyes == 1).await;
}
