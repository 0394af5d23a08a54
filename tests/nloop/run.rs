//! One run: a config is offered, the fault strikes, the supervisor is started again, and all is well.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use nix::libc::SIGKILL;
use opamp::wire::proto::{AgentRemoteConfig, RemoteConfigStatus, RemoteConfigStatuses};
use tempfile::TempDir;

use crate::{
    fault::{Fault, Kind, Whom, strace},
    harness::{Host, Server, Supervisor, alive, config, fake_collector, gone, kill},
};

const APPLIED: i32 = RemoteConfigStatuses::Applied as i32;
const FAILED: i32 = RemoteConfigStatuses::Failed as i32;

/// What happens while the fault strikes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Story {
    /// A config is applied in place of another.
    Good,
    /// A config that ends the Collector is tried and rolled back.
    Bad,
    /// A config is applied on a host where nothing was before.
    First,
}

impl Story {
    fn offer(self) -> AgentRemoteConfig {
        match self {
            Self::Good | Self::First => config("p.yaml", &pipeline("offered", "")),
            Self::Bad => config("p.yaml", &pipeline("offered", "# crash_marker\n")),
        }
    }

    const fn end(self) -> i32 {
        if matches!(self, Self::Bad) { FAILED } else { APPLIED }
    }

    /// Whether this is the last word. A config that the host stood in the way of is FAILED until it is tried again.
    fn ends_with(self, said: &RemoteConfigStatus) -> bool {
        said.status == self.end() && !said.error_message.contains("tried again")
    }

    /// The pipeline that runs in the end.
    const fn survivor(self) -> &'static str {
        if matches!(self, Self::Bad) { "traces/before" } else { "traces/offered" }
    }
}

fn pipeline(name: &str, more: &str) -> String {
    format!(
        "receivers: {{nop: }}\nexporters: {{nop: }}\n\
         service: {{pipelines: {{traces/{name}: {{receivers: [nop], exporters: [nop]}}}}}}\n{more}"
    )
}

/// What the supervisor's directory looks like before.
#[derive(Clone)]
pub(crate) struct Template {
    story: Story,
    state: Option<Arc<TempDir>>,
}

fn host(server: &Server) -> Host {
    Host::new(&server.endpoint, &fake_collector()).fake("config_marker=crash_marker")
}

impl Template {
    pub(crate) async fn of(story: Story) -> Self {
        if story == Story::First {
            return Self { story, state: None };
        }
        let server = Server::start().await;
        let host = host(&server);
        let supervisor = host.start();
        server.until("the agent is healthy", |known| known.healthy()).await;
        assert_eq!(server.push(&config("p.yaml", &pipeline("before", ""))).await.status, APPLIED);
        assert!(supervisor.stop().await.success());
        let state = tempfile::tempdir().unwrap();
        copy(&host.state(), &state.path().join("state"));
        Self { story, state: Some(Arc::new(state)) }
    }

    fn host(&self, server: &Server) -> Host {
        let host = host(server);
        if let Some(state) = &self.state {
            copy(&state.path().join("state"), &host.state());
        }
        host
    }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// The files that matter: state, configs, what the Collector reads, which process was started, the logs.
fn files(host: &Host, offer: &AgentRemoteConfig) -> Vec<String> {
    let stored =
        format!("configs/{}", offer.config_hash.iter().map(|b| format!("{b:02x}")).collect::<String>());
    let mut files = Vec::new();
    for (dir, names) in [
        ("", &["state.json", "state.json.bak"][..]),
        (&stored, &["offer.pb"]),
        ("live", &["00-own-telemetry.yaml", "02-remote-0.yaml", "99-overlay.yaml"]),
        ("run", &["agent.json", "local-port", "local-token"]),
        ("logs", &["agent.log"]),
        ("staging", &[]),
    ] {
        let dir = host.state().join(dir);
        files.extend(names.iter().flat_map(|name| [dir.join(name), dir.join(format!(".{name}.tmp"))]));
        files.push(dir);
    }
    files.extend([host.state().join("lock"), host.dir.path().join("supervisor.log")]);
    files.iter().map(|file| file.to_str().unwrap().trim_end_matches('/').to_owned()).collect()
}

/// Whether the fault struck.
pub(crate) async fn once(template: Template, kind: Kind, fault: Fault, n: usize) -> bool {
    let story = template.story;
    let offer = story.offer();
    let server = Server::start().await;
    let host = template.host(&server);
    server.offer(&offer).await;
    let told = host.dir.path().join("told");
    let words = strace(kind, fault, n, &files(&host, &offer), &told, Whom::MainThread);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let supervisor = host.start_through(&words);
    let killed = until_struck_or_settled(&server, &supervisor, &offer).await;
    let struck = killed || fs::read_to_string(&told).unwrap().contains("(INJECTED)");
    if !killed {
        // An error was lived with; how things stand on the disk now shows only after a hard end.
        kill(child_of(supervisor.pid()), SIGKILL);
    }
    let (status, _) = supervisor.ended().await;
    assert!(status.signal() == Some(SIGKILL) || status.code().is_some_and(|code| code != 101), "{status}");
    server.until("the connection is gone", |known| !known.connected).await;
    let last = statuses(&server, 0, &offer).pop();
    for pid in processes_of(&host) {
        gone(pid).await;
    }
    comes_to_rest(&server, &host, story, &offer, last).await;
    struck
}

/// `true` when the supervisor was killed before the config came to its end.
async fn until_struck_or_settled(
    server: &Server,
    supervisor: &Supervisor,
    offer: &AgentRemoteConfig,
) -> bool {
    let settled = server.until("the config comes to an end", |known| {
        known.connected && known.settled(offer) && known.healthy()
    });
    tokio::select! {
        () = gone(supervisor.pid()) => true,
        _ = settled => false,
    }
}

/// Plainly started again: one Collector, the right config, the right word to the server, a readable state.
async fn comes_to_rest(
    server: &Server,
    host: &Host,
    story: Story,
    offer: &AgentRemoteConfig,
    last: Option<RemoteConfigStatus>,
) {
    let before = server.messages().len();
    let again = host.start();
    server
        .until("it comes to rest (I1, I4)", |known| {
            let said = statuses(server, before, offer).pop();
            known.healthy()
                && said.is_some_and(|said| story.ends_with(&said))
                && known.effective().contains(story.survivor())
        })
        .await;
    let first = statuses(server, before, offer).swap_remove(0);
    if let Some(last) = last.filter(|last| last.status == APPLIED || story.ends_with(last)) {
        assert_eq!(first.status, last.status, "what was told last is so after the restart: {last:?}");
    }
    let running = processes_of(host);
    assert_eq!(running, [host.collector_pid()], "exactly one Collector (I2)");
    assert!(again.stop().await.success());
    assert!(!alive(running[0]) && processes_of(host).is_empty(), "nothing is left");
    let state = fs::read(host.state().join("state.json")).unwrap();
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
    let hash: String = offer.config_hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(state["config"]["live"] == hash, story != Story::Bad, "{state}");
}

/// What was said of this offer since then.
fn statuses(server: &Server, since: usize, offer: &AgentRemoteConfig) -> Vec<RemoteConfigStatus> {
    let messages = server.messages().split_off(since);
    let said = messages.into_iter().filter_map(|message| message.remote_config_status);
    said.filter(|said| said.last_remote_config_hash == offer.config_hash).collect()
}

/// Everything that runs on this host's files, supervisor aside.
pub(crate) fn processes_of(host: &Host) -> Vec<i32> {
    let state = host.state().display().to_string();
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        let command = fs::read(PathBuf::from(format!("/proc/{pid}/cmdline"))).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).into_owned();
        command.contains(&state) && !command.contains("strace") && alive(*pid)
    })
    .collect()
}

pub(crate) fn child_of(pid: i32) -> i32 {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    text.trim().parse().unwrap_or_else(|_| panic!("strace has one child: {text:?}"))
}
