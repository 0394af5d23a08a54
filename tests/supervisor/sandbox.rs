//! What the Collector gives up, seen from outside: on the real Collector, as far as this kernel and user allow.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use nix::libc::{SIGHUP, SIGKILL};
use opamp::{
    os::sandbox::landlock_version,
    wire::proto::{RemoteConfigStatus, RemoteConfigStatuses},
};

use super::harness::{Host, Known, Server, config, fake_collector, gone, kill, real_collector};

const NOBODY: &str = "54321:54322";

fn with_verbosity(verbosity: &str) -> String {
    format!(
        "receivers: {{nop: {{}}}}\nexporters: {{debug: {{verbosity: {verbosity}}}}}\nservice:\n  telemetry: {{metrics: {{level: none}}}}\n  \
         pipelines: {{traces: {{receivers: [nop], exporters: [debug]}}}}\n"
    )
}

fn is(status: &RemoteConfigStatus, wanted: RemoteConfigStatuses) -> bool {
    status.status == wanted as i32
}

fn remark(known: &Known) -> String {
    let health = known.view.as_ref().and_then(|view| view.report.health.clone()).unwrap_or_default();
    let remark = health.component_health_map.get("supervisor:agent.access_dirs");
    remark.map(|remark| remark.last_error.clone()).unwrap_or_default()
}

/// A field of `/proc/PID/status`.
fn status(pid: i32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("no {field} in {text}")).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Both halves are tested wherever they can be: the rules where the kernel has them, the report where it has not.
#[tokio::test]
async fn c_se_03_landlock_keeps_the_collector_from_files_that_are_not_allowed_or_its_absence_is_said() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &real_collector());
    let (open, closed) = (host.dir.path().join("open"), host.dir.path().join("closed"));
    for dir in [&open, &closed] {
        fs::create_dir(dir).unwrap();
        fs::write(dir.join("verbosity"), "detailed").unwrap();
    }
    let host = host.agent(&format!("access_dirs:\n  read: {{allow: [\"{}\"]}}", open.display()));
    let supervisor = host.start();
    let known = server.until("the agent is healthy", |known| known.healthy()).await;
    let reading = |dir: &std::path::Path| {
        config("p.yaml", &with_verbosity(&format!("'${{file:{}/verbosity}}'", dir.display())))
    };
    let status = server.push(&reading(&open)).await;
    assert!(is(&status, RemoteConfigStatuses::Applied), "{status:?}");
    let status = server.push(&reading(&closed)).await;
    if landlock_version().is_some() {
        assert!(is(&status, RemoteConfigStatuses::Failed), "{status:?}");
        assert!(status.error_message.contains("permission denied"), "{}", status.error_message);
        assert_eq!(remark(&known), "");
    } else {
        assert!(is(&status, RemoteConfigStatuses::Applied), "{status:?}");
        assert!(remark(&known).contains("this kernel has no Landlock"), "{}", remark(&known));
        assert!(host.log().contains("agent.access_dirs is not kept"));
    }
    assert!(supervisor.stop().await.success());
}

/// A kernel without it, as the supervisor sees it.
const WITHOUT_LANDLOCK: [&str; 7] = [
    "strace",
    "-D",
    "-f",
    "-qq",
    "-o/dev/null",
    "-etrace=landlock_create_ruleset",
    "-einject=landlock_create_ruleset:error=ENOSYS",
];

#[tokio::test]
async fn without_landlock_the_collector_runs_and_it_is_said_unless_it_is_required() {
    let server = Server::start().await;
    let host =
        Host::new(&server.endpoint, &fake_collector()).fake("").agent("access_dirs:\n  read: {allow: [/]}");
    let supervisor = host.start_through(&WITHOUT_LANDLOCK);
    let known =
        server.until("the agent is healthy, and told", |known| known.healthy() && !remark(known).is_empty());
    assert!(remark(&known.await).contains("agent.access_dirs is not kept: this kernel has no Landlock"));
    assert!(host.log().contains("agent.access_dirs is not kept"));
    assert!(supervisor.stop().await.success());

    let host = Host::new(&server.endpoint, &fake_collector()).fake("").agent("access_dirs: {required: true}");
    let (status, said) = host.start_through(&WITHOUT_LANDLOCK).ended().await;
    assert_eq!(status.code(), Some(78), "{said}");
    assert!(said.contains("agent.access_dirs.required: this kernel has no Landlock"), "{said}");
}

#[tokio::test]
async fn c_se_02_run_as_capabilities_limits_and_no_new_privs_hold_for_the_collector_and_it_reads_its_config()
{
    assert!(nix::unistd::geteuid().is_root(), "only root can run something as somebody else");
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &real_collector()).agent(&format!(
        "run_as: \"{NOBODY}\"\nno_new_privs: true\ncapabilities: [CAP_NET_BIND_SERVICE]\n\
         limits: {{open_files: 777, processes: 555}}\naccess_dirs: {{}}"
    ));
    fs::set_permissions(host.dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let pid = host.collector_pid();
    for (field, value) in [
        ("Uid", "54321 54321 54321 54321"),
        ("Gid", "54322 54322 54322 54322"),
        ("Groups", "54322"),
        ("NoNewPrivs", "1"),
        ("CapInh", "0000000000000400"),
        ("CapPrm", "0000000000000400"),
        ("CapEff", "0000000000000400"),
        ("CapBnd", "0000000000000400"),
        ("CapAmb", "0000000000000400"),
    ] {
        assert_eq!(status(pid, field), value, "{field}");
    }
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    for (limit, value) in [("Max open files", "777"), ("Max processes", "555")] {
        let line = limits.lines().find(|line| line.starts_with(limit)).unwrap();
        assert_eq!(line[limit.len()..].split_whitespace().next(), Some(value), "{line}");
    }

    // A reload and a check read files that are its group's, and nobody else's.
    let status = server.push(&config("p.yaml", &with_verbosity("detailed"))).await;
    assert!(is(&status, RemoteConfigStatuses::Applied), "{status:?}");
    assert_eq!(host.collector_pid(), pid, "reloaded, not restarted");
    for (path, mode, gid) in [
        ("", 0o710, 54322),
        ("live", 0o710, 54322),
        ("live/99-overlay.yaml", 0o640, 54322),
        ("configs", 0o700, 0),
        ("state.json", 0o600, 0),
    ] {
        let meta = fs::metadata(host.state().join(path)).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.gid(), meta.uid()), (mode, gid, 0), "{path}");
    }
    // It still goes with its supervisor.
    kill(supervisor.pid(), SIGKILL);
    supervisor.ended().await;
    gone(pid).await;
}

#[tokio::test]
async fn a_sandbox_that_cannot_be_is_78_and_another_one_is_taken_up_by_a_reload() {
    let server = Server::start().await;
    for (agent, said) in [
        ("run_as: no-such-user", "agent.run_as: there is no user \"no-such-user\""),
        ("run_as: '54321'", "write user:group"),
    ] {
        let host = Host::new(&server.endpoint, &fake_collector()).fake("").agent(agent);
        let (status, stderr) = host.start().ended().await;
        assert_eq!(status.code(), Some(78), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let first = host.collector_pid();
    assert_eq!(status(first, "NoNewPrivs"), "0");
    fs::write(host.dir.path().join("supervisor.yaml"), format!("{}  no_new_privs: true\n", host.yaml()))
        .unwrap();
    kill(supervisor.pid(), SIGHUP);
    server.until("another process", |known| known.healthy() && host.runs_another(first)).await;
    assert_eq!(status(host.collector_pid(), "NoNewPrivs"), "1");
    assert!(supervisor.stop().await.success());
}
