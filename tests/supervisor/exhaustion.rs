//! A Collector that takes all there is, processes or memory: the supervisor stays alive and says what it was.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
    time::Duration,
};

use nix::libc::SIGKILL;
use opamp::wire::proto::{RemoteConfigStatus, RemoteConfigStatuses};
use tokio::time::{interval, timeout};

use super::harness::{Host, Known, Server, config, fake_collector, kill};

const GOOD: &str = "receivers: {otlp: {}}\nexporters: {debug: {}}\nservice: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n";

fn is(status: &RemoteConfigStatus, wanted: RemoteConfigStatuses) -> bool {
    status.status == wanted as i32
}

fn why(known: &Known) -> String {
    let health = known.view.as_ref().and_then(|view| view.report.health.clone()).unwrap_or_default();
    health.last_error
}

/// Waits, looking every few milliseconds: for what no message tells of.
async fn until(what: &str, so: impl Fn() -> bool) {
    let waiting = async {
        let mut tick = interval(Duration::from_millis(10));
        while !so() {
            tick.tick().await;
        }
    };
    assert!(timeout(Duration::from_secs(40), waiting).await.is_ok(), "not in time: {what}");
}

fn processes_of(uid: u32) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let owned = entries.filter(|entry| entry.metadata().is_ok_and(|meta| meta.uid() == uid));
    owned.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok()).collect()
}

/// A user that nobody else is. Whatever comes of the test, nothing of it is left.
struct Bomber(u32);

impl Bomber {
    fn new() -> Self {
        Self(1_000_000 + std::process::id())
    }
}

impl Drop for Bomber {
    fn drop(&mut self) {
        for pid in processes_of(self.0) {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }
}

#[tokio::test]
async fn f_66_a_fork_bomb_ends_at_its_limit_and_goes_with_its_group_and_the_supervisor_lives() {
    let bomber = Bomber::new();
    let uid = bomber.0;
    assert!(
        nix::unistd::geteuid().is_root(),
        "the kernel does not limit root, so the Collector is somebody else"
    );
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector())
        .fake("")
        .agent(&format!("run_as: \"{uid}:{uid}\"\nlimits: {{processes: 40}}"));
    fs::set_permissions(host.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let quiet = host.collector_pid();
    fs::write(host.dir.path().join("switches"), "fork_bomb").unwrap();
    kill(quiet, SIGKILL);
    until("the bomb is at its limit", || host.events().iter().any(|event| event.contains("no more than")))
        .await;
    let most = processes_of(uid).len();
    assert!((20..=40).contains(&most), "{most} processes");

    // The supervisor is alive: its own user has no such limit, and one process more may become the other user.
    let status = server.push(&config("p.yaml", GOOD)).await;
    assert!(is(&status, RemoteConfigStatuses::Applied), "{status:?}");

    fs::write(host.dir.path().join("switches"), "").unwrap();
    let bomb = host.collector_pid();
    kill(bomb, SIGKILL);
    server
        .until("another Collector with its config", |known| {
            known.healthy() && host.runs_another(bomb) && known.effective().contains("debug")
        })
        .await;
    until("the whole group is gone", || processes_of(uid).len() == 1).await;
    assert!(supervisor.stop().await.success());
    until("nothing is left", || processes_of(uid).is_empty()).await;
}

#[tokio::test]
async fn f_67_a_collector_without_memory_is_said_to_be_so_started_again_and_its_config_kept() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    out_of_memory(&server, &host, "oom=8", "out of memory: cannot allocate 8 MiB").await;
    assert!(supervisor.stop().await.success());
}

/// As above, and the kernel kills it, which leaves no word behind.
#[tokio::test]
async fn f_67_a_collector_that_the_kernel_killed_for_memory_is_told_from_one_that_somebody_killed() {
    let Some(group) = Group::with_memory(128 << 20) else {
        // Nothing here may make a control group: the counter itself is tested in `os::oom`.
        assert!(!nix::unistd::geteuid().is_root() || Group::place().is_none(), "root could not make a group");
        return;
    };
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let join = format!("echo $$ > {}; exec \"$@\"", group.0.join("cgroup.procs").display());
    let supervisor = host.start_through(&["sh", "-c", &join, "sh"]);
    out_of_memory(&server, &host, "oom=4096", "killed by SIGKILL: out of memory (by the kernel").await;
    let collector = host.collector_pid();
    kill(collector, SIGKILL);
    let known = server.until("its end is told", |known| why(known).contains("SIGKILL")).await;
    assert!(!why(&known).contains("memory"), "{}", why(&known));
    assert!(supervisor.stop().await.success());
}

/// Applies a config, has the Collector run out of memory, and sees it come back with that config.
async fn out_of_memory(server: &Server, host: &Host, switch: &str, said: &str) {
    server.until("the agent is healthy", |known| known.healthy()).await;
    let offer = config("p.yaml", GOOD);
    assert!(is(&server.push(&offer).await, RemoteConfigStatuses::Applied));
    fs::write(host.dir.path().join("switches"), switch).unwrap();
    let collector = host.collector_pid();
    kill(collector, SIGKILL);
    server.until("the cause is told", |known| why(known).contains(said)).await;
    fs::write(host.dir.path().join("switches"), "").unwrap();
    let known = server
        .until("it is back with its config", |known| {
            known.healthy() && host.runs_another(collector) && known.effective().contains("debug")
        })
        .await;
    assert!(
        known.settled(&offer) && is(&known.status(), RemoteConfigStatuses::Applied),
        "{:?}",
        known.status()
    );
}

/// A control group with a limit, removed in the end.
struct Group(PathBuf);

impl Group {
    /// Where groups with a limit of memory can be made, and the name of the limit.
    fn place() -> Option<(PathBuf, &'static str)> {
        let old = PathBuf::from("/sys/fs/cgroup/memory");
        if old.join("memory.limit_in_bytes").exists() {
            return Some((old, "memory.limit_in_bytes"));
        }
        let new = PathBuf::from("/sys/fs/cgroup");
        let delegated = fs::read_to_string(new.join("cgroup.subtree_control")).ok()?;
        delegated.split_whitespace().any(|controller| controller == "memory").then_some((new, "memory.max"))
    }

    fn with_memory(bytes: u64) -> Option<Self> {
        let (place, limit) = Self::place()?;
        let group = Self(place.join(format!("opamp-test-{}", std::process::id())));
        fs::create_dir(&group.0).ok()?;
        fs::write(group.0.join(limit), bytes.to_string()).ok()?;
        Some(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
