//! A server in the test, a supervisor as a process, and ways to wait for what they do.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use opamp::{
    protocol::{
        report::carried,
        server::{AgentView, Desired, Session},
    },
    transport::accept::{AgentLink, Listener},
    wire::{
        InstanceUid, ServerCaps,
        proto::{
            AgentConfigMap, AgentConfigObject, AgentRemoteConfig, AgentToServer, RemoteConfigStatus,
            RemoteConfigStatuses, ServerCapabilities, ServerToAgent,
        },
    },
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    sync::{mpsc, watch},
    time::timeout,
};

/// Longer than anything here takes; a wait that reaches it has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(40);

/// What a test asks of the server.
enum Order {
    Offer(AgentRemoteConfig),
    Restart,
    Say(Box<ServerToAgent>),
}

/// What the server knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) view: Option<AgentView>,
    pub(crate) connected: bool,
    pub(crate) connections: u32,
    pub(crate) goodbyes: u32,
}

impl Known {
    pub(crate) fn healthy(&self) -> bool {
        let health = self.view.as_ref().and_then(|view| view.report.health.as_ref());
        self.connected && health.is_some_and(|health| health.healthy)
    }

    pub(crate) fn status(&self) -> RemoteConfigStatus {
        let status = self.view.as_ref().and_then(|view| view.report.remote_config_status.clone());
        status.unwrap_or_default()
    }

    pub(crate) fn settled(&self, config: &AgentRemoteConfig) -> bool {
        let status = self.status();
        status.last_remote_config_hash == config.config_hash
            && status.status != RemoteConfigStatuses::Applying as i32
    }

    pub(crate) fn effective(&self) -> String {
        let config = self.view.as_ref().and_then(|view| view.report.effective_config.clone());
        let bodies = config.and_then(|config| config.config_map).unwrap_or_default().config_map;
        bodies.values().map(|object| String::from_utf8_lossy(&object.body).into_owned()).collect()
    }
}

/// An OpAMP server for one agent.
pub(crate) struct Server {
    pub(crate) endpoint: String,
    known: watch::Receiver<Known>,
    messages: Arc<Mutex<Vec<AgentToServer>>>,
    orders: mpsc::Sender<Order>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = Listener::bind(0).await.unwrap();
        let endpoint = listener.endpoint();
        let (tell, known) = watch::channel(Known::default());
        let (orders, taken) = mpsc::channel(8);
        let messages = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(serve(listener, tell, messages.clone(), taken));
        Self { endpoint, known, messages, orders }
    }

    /// Waits until what the server knows is so.
    pub(crate) async fn until(&self, what: &str, so: impl Fn(&Known) -> bool) -> Known {
        let mut known = self.known.clone();
        let waited = timeout(DEADLINE, known.wait_for(|known| so(known))).await;
        match waited {
            Ok(known) => known.unwrap().clone(),
            Err(_) => panic!("not within {DEADLINE:?}: {what}; the server knows {:?}", self.known.borrow()),
        }
    }

    /// Offers a config and waits for its end.
    pub(crate) async fn push(&self, config: &AgentRemoteConfig) -> RemoteConfigStatus {
        self.offer(config).await;
        self.until("the config is applied or failed", |known| known.settled(config)).await.status()
    }

    pub(crate) async fn offer(&self, config: &AgentRemoteConfig) {
        self.orders.send(Order::Offer(config.clone())).await.unwrap();
    }

    pub(crate) async fn restart(&self) {
        self.orders.send(Order::Restart).await.unwrap();
    }

    /// Sends a message as it is, whatever a server in its right mind would do.
    pub(crate) async fn say(&self, message: ServerToAgent) {
        self.orders.send(Order::Say(Box::new(message))).await.unwrap();
    }

    /// Messages so far.
    pub(crate) fn messages(&self) -> Vec<AgentToServer> {
        self.messages.lock().unwrap().clone()
    }
}

async fn serve(
    mut listener: Listener,
    tell: watch::Sender<Known>,
    messages: Arc<Mutex<Vec<AgentToServer>>>,
    mut orders: mpsc::Receiver<Order>,
) {
    let mut desired = None;
    loop {
        let Ok(link) = listener.accept().await else { continue };
        tell.send_modify(|known| known.connections += 1);
        converse(link, &tell, &messages, &mut orders, &mut desired).await;
        tell.send_modify(|known| known.connected = false);
    }
}

async fn converse(
    mut link: AgentLink,
    tell: &watch::Sender<Known>,
    messages: &Mutex<Vec<AgentToServer>>,
    orders: &mut mpsc::Receiver<Order>,
    desired: &mut Option<AgentRemoteConfig>,
) -> Option<()> {
    let mut session = Session::new(ServerCaps::of(&[
        ServerCapabilities::AcceptsStatus,
        ServerCapabilities::OffersRemoteConfig,
        ServerCapabilities::AcceptsEffectiveConfig,
    ]));
    loop {
        let message = tokio::select! {
            message = link.recv() => message.ok()?,
            Some(order) = orders.recv() => {
                if let Order::Offer(config) = &order {
                    desired.replace(config.clone());
                }
                // Whoever has not spoken yet is answered when it does.
                let Some(view) = tell.borrow().view.clone() else { continue };
                let push = match order {
                    Order::Restart => Some(session.restart(&view).unwrap()),
                    Order::Say(message) => Some(ServerToAgent { instance_uid: view.instance_uid.to_vec(), ..*message }),
                    Order::Offer(_) => {
                        session.push(&view, &Desired { remote_config: desired.as_ref(), ..Desired::default() })
                    }
                };
                if let Some(push) = push {
                    link.send(&push).await.ok()?;
                }
                continue;
            }
        };
        messages.lock().unwrap().push(message.clone());
        let uid = InstanceUid::try_from(&*message.instance_uid).unwrap();
        let mut view = tell.borrow().view.clone().unwrap_or_else(|| AgentView::new(uid));
        let received = session.receive(&mut view, message);
        let reply =
            session.reply(&mut view, &Desired { remote_config: desired.as_ref(), ..Desired::default() });
        tell.send_modify(|known| {
            known.view = Some(view);
            known.connected = !received.disconnect;
            known.goodbyes += u32::from(received.disconnect);
        });
        link.send(&reply).await.ok()?;
    }
}

/// How many messages carry health, and so on: for "says no more than it must".
pub(crate) fn sent(messages: &[AgentToServer], part: opamp::protocol::report::Part) -> usize {
    messages.iter().filter(|message| carried(message).has(part)).count()
}

/// A config as a server offers it.
pub(crate) fn config(name: &str, body: &str) -> AgentRemoteConfig {
    let object =
        AgentConfigObject { body: body.into(), content_type: "text/yaml".into(), ..Default::default() };
    AgentRemoteConfig {
        config_hash: Sha256::digest(format!("{name}\n{body}")).to_vec(),
        config: Some(AgentConfigMap { config_map: [(name.to_owned(), object)].into() }),
    }
}

/// The fake Collector, which `cargo test` builds.
pub(crate) fn fake_collector() -> PathBuf {
    let deps = std::env::current_exe().unwrap();
    let path = deps.parent().unwrap().parent().unwrap().join("examples/fake_collector");
    assert!(path.is_file(), "{} is built by `cargo test` and `cargo build --examples`", path.display());
    path
}

/// A real Collector: `$OTELCOL`, else the one that `tests/run.sh` builds.
pub(crate) fn real_collector() -> PathBuf {
    built("OTELCOL", "target/collector/otelcol-example")
}

/// A real one that was built without the opamp extension.
pub(crate) fn real_collector_without_extension() -> PathBuf {
    built("OTELCOL_NOEXT", "target/collector/otelcol-noext")
}

fn built(variable: &str, path: &str) -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let path = std::env::var_os(variable).map_or(default, PathBuf::from);
    assert!(path.is_file(), "no Collector at {}: run tests/run.sh, or set {variable}", path.display());
    path
}

/// A directory with a `supervisor.yaml`, and the supervisor that runs on it.
pub(crate) struct Host {
    pub(crate) dir: TempDir,
    yaml: String,
    env: Vec<(String, String)>,
}

impl Host {
    pub(crate) fn new(endpoint: &str, executable: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let yaml = format!(
            "server: {{endpoint: \"{endpoint}\"}}\n\
             capabilities: {{accepts_remote_config: true, accepts_restart_command: true, reports_available_components: true}}\n\
             storage: {{directory: \"{0}/state\"}}\n\
             telemetry: {{logs: {{output_paths: [\"{0}/supervisor.log\"]}}}}\n\
             agent:\n  executable: \"{1}\"\n",
            dir.path().display(),
            executable.display()
        );
        Self { dir, yaml, env: Vec::new() }
    }

    /// Dials a server with these lines under `server:` instead.
    pub(crate) fn server(mut self, lines: &str) -> Self {
        let rest = self.yaml.split_once('\n').unwrap().1.to_owned();
        self.yaml = format!("server: {{{lines}}}\n{rest}");
        self
    }

    /// Adds lines under `agent:`.
    pub(crate) fn agent(mut self, lines: &str) -> Self {
        lines.lines().for_each(|line| self.yaml.push_str(&format!("  {line}\n")));
        self
    }

    /// Adds a section of its own.
    pub(crate) fn top(mut self, lines: &str) -> Self {
        self.yaml.insert_str(0, &format!("{lines}\n"));
        self
    }

    /// Takes the place of the section `telemetry`.
    pub(crate) fn telemetry(mut self, lines: &str) -> Self {
        let others = self.yaml.lines().filter(|line| !line.starts_with("telemetry:"));
        self.yaml = others.map(|line| format!("{line}\n")).collect();
        self.top(lines)
    }

    /// Sets the fake Collector's switches.
    pub(crate) fn fake(self, switches: &str) -> Self {
        fs::write(self.dir.path().join("switches"), switches).unwrap();
        let file = self.dir.path().join("switches").display().to_string();
        let events = self.dir.path().join("events").display().to_string();
        self.env("FAKE_COLLECTOR_FILE", &file).env("FAKE_COLLECTOR_EVENTS", &events)
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// What is in `supervisor.yaml` when it starts.
    pub(crate) fn yaml(&self) -> &str {
        &self.yaml
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The lines of the fake Collector's event file.
    pub(crate) fn events(&self) -> Vec<String> {
        let text = fs::read_to_string(self.dir.path().join("events")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The process that the supervisor wrote down.
    pub(crate) fn collector_pid(&self) -> i32 {
        self.written_down().expect("a Collector is written down")
    }

    /// Whether a Collector runs that is another process than this one.
    pub(crate) fn runs_another(&self, than: i32) -> bool {
        self.written_down().is_some_and(|pid| pid != than)
    }

    fn written_down(&self) -> Option<i32> {
        let text = fs::read_to_string(self.state().join("run/agent.json")).ok()?;
        let facts: serde_json::Value = serde_json::from_str(&text).unwrap();
        i32::try_from(facts["pid"].as_i64()?).ok()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("supervisor.log")).unwrap_or_default()
    }

    /// Waits until the supervisor's log says this.
    pub(crate) async fn logs(&self, words: &str) {
        let waiting = async {
            let mut tick = tokio::time::interval(Duration::from_millis(10));
            while !self.log().contains(words) {
                tick.tick().await;
            }
        };
        assert!(timeout(DEADLINE, waiting).await.is_ok(), "{words:?} is not in {}", self.log());
    }

    pub(crate) fn start(&self) -> Supervisor {
        self.start_through(&[])
    }

    /// Runs a command of the supervisor on this host's file, to its end.
    pub(crate) async fn command(&self, words: &[&str]) -> Said {
        self.command_as(&[], words).await
    }

    /// The same through the command that the first words run.
    pub(crate) async fn command_as(&self, through: &[&str], words: &[&str]) -> Said {
        let path = self.write();
        let all = [through, &[env!("CARGO_BIN_EXE_opamp-supervisor")], words].concat();
        let mut command = Command::new(all[0]);
        command.args(&all[1..]).arg("--config").arg(path).envs(self.env.iter().cloned());
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = timeout(DEADLINE, output).await.expect("the command ends").unwrap();
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Writes the `supervisor.yaml`.
    pub(crate) fn write(&self) -> PathBuf {
        let path = self.dir.path().join("supervisor.yaml");
        fs::write(&path, &self.yaml).unwrap();
        path
    }

    /// Starts it as the command that these words run.
    pub(crate) fn start_through(&self, words: &[&str]) -> Supervisor {
        let path = self.write();
        let supervisor = std::env::var("SUPERVISOR_BIN");
        let supervisor = supervisor.as_deref().unwrap_or(env!("CARGO_BIN_EXE_opamp-supervisor"));
        let words = [words, &[supervisor]].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg("--config").arg(path).envs(self.env.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        Supervisor(command.spawn().unwrap())
    }
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// What it said, when it ended with this code.
    pub(crate) fn with(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.out + &self.err
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A running supervisor.
pub(crate) struct Supervisor(Child);

impl Supervisor {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.0.id().unwrap()).unwrap()
    }

    /// Waits for the end; the status and what was said on stderr.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let mut stderr = self.0.stderr.take().unwrap();
        let mut said = String::new();
        let reading = tokio::io::AsyncReadExt::read_to_string(&mut stderr, &mut said);
        let ended = timeout(DEADLINE, async { tokio::join!(self.0.wait(), reading).0 }).await;
        (ended.expect("the supervisor ends").unwrap(), said)
    }

    /// SIGTERM, and the end of it.
    pub(crate) async fn stop(self) -> ExitStatus {
        kill(self.pid(), libc::SIGTERM);
        self.ended().await.0
    }
}

pub(crate) fn kill(pid: i32, signal: i32) {
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid),
        nix::sys::signal::Signal::try_from(signal).unwrap(),
    )
    .unwrap();
}

use nix::libc;

pub(crate) fn alive(pid: i32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = state.rsplit_once(") ").map_or("", |(_, rest)| rest);
    !after_name.is_empty() && !after_name.starts_with('Z')
}

/// Waits until the process is gone, watched through a pidfd-free poll of /proc bounded by the deadline.
pub(crate) async fn gone(pid: i32) {
    let waiting = async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while alive(pid) {
            tick.tick().await;
        }
    };
    assert!(timeout(DEADLINE, waiting).await.is_ok(), "process {pid} is still there");
}
