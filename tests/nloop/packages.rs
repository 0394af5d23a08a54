//! One run of an upgrade: a Collector is offered as a package, the fault strikes somewhere between the offer and the last word
//! about it, the supervisor is started again, and all is well.

use std::{fs, os::unix::process::ExitStatusExt, process::Command, sync::Arc};

use nix::libc::SIGKILL;
use opamp::wire::proto::{PackageStatus, PackageStatusEnum, PackagesAvailable};
use tempfile::TempDir;

use crate::{
    fault::{Fault, Kind, Whom, strace},
    harness::{Host, Known, Server, fake_collector, gone, kill},
    run::{child_of, copy, processes_of},
    store::{Says, Store, archive, collector, offer, supervisor},
};

const INSTALLED: i32 = PackageStatusEnum::Installed as i32;
const FAILED: i32 = PackageStatusEnum::InstallFailed as i32;
const NEW: &str = "0.150.0";

/// What happens while the fault strikes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Upgrade {
    /// The new Collector proves itself.
    Kept,
    /// It ends at once, and the one before runs again.
    Undone,
    /// Another supervisor takes the place of the one that runs.
    Itself,
}

impl Upgrade {
    const fn package(self) -> &'static str {
        if matches!(self, Self::Itself) { "opamp-supervisor" } else { "otelcol" }
    }

    /// Where its versions are.
    const fn place(self) -> &'static str {
        if matches!(self, Self::Itself) { "supervisors" } else { "versions" }
    }
}

/// What is offered, and what the supervisor's directory looks like before.
#[derive(Clone)]
pub(crate) struct Stage {
    upgrade: Upgrade,
    store: Arc<Store>,
    offered: PackagesAvailable,
    state: Arc<TempDir>,
}

impl Stage {
    pub(crate) async fn of(upgrade: Upgrade) -> Self {
        let store = Store::new().await;
        let program = match upgrade {
            Upgrade::Kept => collector("wrong_version=0.150.0"),
            Upgrade::Undone => collector("wrong_version=0.150.0,crash_at_start"),
            Upgrade::Itself => supervisor("another"),
        };
        let name = upgrade.package();
        let package = store.add(archive(&[(name, 0o755, &program)]), &Says { name, ..Says::version(NEW) });
        let offered = offer(&[(name, &package)]);
        let server = Server::start().await;
        let host = host(&server, &store);
        let supervisor = host.start();
        server.until("the agent is healthy", Known::healthy).await;
        assert!(supervisor.stop().await.success());
        let state = tempfile::tempdir().unwrap();
        copy(&host.state(), &state.path().join("state"));
        Self { upgrade, store: Arc::new(store), offered, state: Arc::new(state) }
    }

    const fn end(&self) -> i32 {
        if matches!(self.upgrade, Upgrade::Undone) { FAILED } else { INSTALLED }
    }

    /// Whether this is the last word. What the host stood in the way of is tried again.
    fn ends_with(&self, known: &Known) -> bool {
        let version = if self.upgrade == Upgrade::Kept { NEW } else { "0.149.0" };
        let told = known.package(self.upgrade.package());
        // Installed is what nothing looks like, too.
        known.healthy()
            && !told.server_offered_hash.is_empty()
            && told.status == self.end()
            && !is_put_off(&told)
            && version_of(known) == version
    }

    /// The files that matter: state, what is downloaded, what is unpacked, links, which process was started.
    fn files(&self, host: &Host) -> Vec<String> {
        let package = &self.offered.packages[self.upgrade.package()];
        let hash: String =
            package.file.as_ref().unwrap().content_hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let (part, id) = (format!("staging/{}.part", &hash[..12]), format!("{NEW}-{}", &hash[..12]));
        let mut files: Vec<String> =
            ["", "staging", self.upgrade.place(), "current", "previous", "current.new", "previous.new"]
                .map(str::to_owned)
                .to_vec();
        for name in ["state.json", "state.json.bak", "run/agent.json"] {
            let (directory, file) =
                name.rsplit_once('/').map_or(("", name), |(directory, file)| (directory, file));
            files.extend([
                name.to_owned(),
                format!("{directory}/.{file}.tmp").trim_start_matches('/').to_owned(),
            ]);
        }
        files.extend([
            part.clone(),
            format!("{part}.json"),
            format!("staging/.{}.part.json.tmp", &hash[..12]),
        ]);
        let (place, program) = (self.upgrade.place(), format!("/files/{}", self.upgrade.package()));
        for slot in [format!("{place}/{id}"), format!("{place}/x-{id}"), format!("{place}/.trash-{id}")] {
            for below in ["", "/files", &program, "/manifest.json", "/.complete"] {
                files.push(format!("{slot}{below}"));
            }
        }
        let whole = files.iter().map(|file| host.state().join(file).display().to_string());
        whole.map(|file| file.trim_end_matches('/').to_owned()).collect()
    }
}

fn is_put_off(told: &PackageStatus) -> bool {
    let why = &told.error_message;
    [
        "journal cannot be written",
        "No space left",
        "Input/output error",
        "Read-only file system",
        "Disk quota exceeded",
        "quota",
        "is not at hand",
        "Too many open files",
        "Cannot allocate",
        "temporarily unavailable",
        "no process or descriptor",
    ]
    .iter()
    .any(|words| why.contains(words))
}

fn version_of(known: &Known) -> String {
    let description =
        known.view.as_ref().and_then(|view| view.report.description.clone()).unwrap_or_default();
    opamp::wire::attrs::get(&description.identifying_attributes, "service.version").unwrap_or_default()
}

fn host(server: &Server, store: &Store) -> Host {
    let key = store.public_key().display().to_string();
    Host::new(&server.endpoint, &fake_collector()).capability("accepts_packages: true").fake("").top(&format!(
        "packages: {{signature: {{public_key_files: [\"{key}\"]}}, download: {{plain_http: true}}, trial: {{first_health: 20s, healthy_for: 1s}}}}"
    ))
}

/// Whether the fault struck.
pub(crate) async fn once(stage: Stage, kind: Kind, fault: Fault, n: usize) -> bool {
    let server = Server::start().await;
    let host = host(&server, &stage.store);
    copy(&stage.state.path().join("state"), &host.state());
    server.offer_packages(&stage.offered).await;
    let told = host.dir.path().join("told");
    let words = strace(kind, fault, n, &stage.files(&host), &told, Whom::EveryThread);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let supervisor = host.start_through(&words);
    let killed = tokio::select! {
        () = gone(supervisor.pid()) => true,
        _ = server.until("it comes to an end", |known| stage.ends_with(known) || is_put_off(&known.package(stage.upgrade.package()))) => false,
    };
    let struck = killed || fs::read_to_string(&told).unwrap().contains("(INJECTED)");
    if !killed {
        kill(child_of(supervisor.pid()), SIGKILL);
    }
    let (status, _) = supervisor.ended().await;
    assert!(status.signal() == Some(SIGKILL) || status.code().is_some_and(|code| code != 101), "{status}");
    server.until("the connection is gone", |known| !known.connected).await;
    let was_installed = said(&server, stage.upgrade).contains(&INSTALLED);
    for pid in processes_of(&host) {
        gone(pid).await;
    }
    comes_to_rest(&server, &host, &stage, was_installed).await;
    struck
}

/// Every state that was told of the package.
fn said(server: &Server, upgrade: Upgrade) -> Vec<i32> {
    let messages = server.messages().into_iter().filter_map(|message| message.package_statuses);
    messages.filter_map(|statuses| Some(statuses.packages.get(upgrade.package())?.status)).collect()
}

/// Plainly started again: one Collector, the right one, and the right word to the server.
async fn comes_to_rest(server: &Server, host: &Host, stage: &Stage, was_installed: bool) {
    let before = server.messages().len();
    let again = host.start();
    server.until("it comes to rest (I1, I4)", |known| stage.ends_with(known)).await;
    let running = processes_of(host);
    let collectors = running.iter().filter(|pid| **pid != again.pid()).count();
    assert_eq!(collectors, 1, "I2: {running:?}");
    if was_installed {
        let later = server.messages().split_off(before);
        let words = later.into_iter().filter_map(|message| message.package_statuses);
        let states: Vec<_> = words
            .filter_map(|statuses| Some(statuses.packages.get(stage.upgrade.package())?.status))
            .collect();
        assert!(states.iter().all(|state| *state == INSTALLED), "I6: installed was said, then {states:?}");
    }
    assert!(again.stop().await.success());
    let state: serde_json::Value =
        serde_json::from_slice(&fs::read(host.state().join("state.json")).unwrap()).unwrap();
    let held = state["packages"]["held"][stage.upgrade.package()]["version"] == NEW;
    assert_eq!(held, stage.upgrade != Upgrade::Undone, "{state}");
    let staged =
        Command::new("find").arg(host.state().join("staging")).args(["-name", "*.part*"]).output().unwrap();
    assert!(staged.stdout.is_empty(), "left behind: {}", String::from_utf8_lossy(&staged.stdout));
}
