//! A server in the test, a supervisor as a process, and ways to wait for what they do.
//!
//! - `server`: an OpAMP server for one agent; `gate`: who stands in front of it

mod gate;
mod server;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::libc;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

pub(crate) use gate::{Ca, Gate, Rule, der};
pub(crate) use server::{Known, Server, config, sent};

/// Longer than anything here takes, the minute between two starts of a crashing Collector among it; a wait that reaches it
/// has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(100);

/// The fake Collector, which `cargo test` builds.
pub(crate) fn fake_collector() -> PathBuf {
    let deps = std::env::current_exe().unwrap();
    let path = deps.parent().unwrap().parent().unwrap().join("examples/fake_collector");
    assert!(path.is_file(), "{} is built by `cargo test` and `cargo build --examples`", path.display());
    path
}

/// The supervisor under test: `$SUPERVISOR_BIN`, else the one that is built with the tests.
pub(crate) fn built_supervisor() -> PathBuf {
    let built = || env!("CARGO_BIN_EXE_opamp-supervisor").into();
    std::env::var_os("SUPERVISOR_BIN").map_or_else(built, PathBuf::from)
}

/// A real Collector: `$OTELCOL`, else the one that `tests/run.sh` builds.
pub(crate) fn real_collector() -> PathBuf {
    built("OTELCOL", "target/collector/otelcol-example")
}

/// A real one that was built without the opamp extension.
pub(crate) fn real_collector_without_extension() -> PathBuf {
    built("OTELCOL_NOEXT", "target/collector/otelcol-noext")
}

/// Another version of the first one, with one component more.
pub(crate) fn next_collector() -> PathBuf {
    built("OTELCOL_NEXT", "target/collector/otelcol-next")
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
        Self::of(tempfile::tempdir().unwrap(), endpoint, executable)
    }

    /// With its files below this directory: those for passing things may be in memory.
    pub(crate) fn new_in(directory: &Path, endpoint: &str, executable: &Path) -> Self {
        Self::of(tempfile::tempdir_in(directory).unwrap(), endpoint, executable)
    }

    fn of(dir: TempDir, endpoint: &str, executable: &Path) -> Self {
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

    /// Adds a capability.
    pub(crate) fn capability(mut self, line: &str) -> Self {
        self.yaml = self.yaml.replace("capabilities: {", &format!("capabilities: {{{line}, "));
        self
    }

    /// Dials a server with these lines under `server:` instead.
    pub(crate) fn server(mut self, lines: &str) -> Self {
        let others = self.yaml.lines().filter(|line| !line.starts_with("server:"));
        let others: String = others.map(|line| format!("{line}\n")).collect();
        self.yaml = format!("server: {{{lines}}}\n{others}");
        self
    }

    /// Adds lines under `agent:`.
    pub(crate) fn agent(mut self, lines: &str) -> Self {
        lines.lines().for_each(|line| self.yaml.push_str(&format!("  {line}\n")));
        self
    }

    /// Local layers: one that keeps real Collectors off each other's port for metrics, and these.
    pub(crate) fn quiet(self, more: &[&str]) -> Self {
        let quiet = self.dir.path().join("quiet.yaml");
        fs::write(&quiet, "service: {telemetry: {metrics: {level: none}}}\n").unwrap();
        let files = [&[quiet.to_str().unwrap()], more].concat().join(", ");
        self.agent(&format!("config_files: [{files}]"))
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

    /// How often something was done to the Collector's process or to a run of its binary. What it hears over OpAMP is
    /// left out: that comes when it comes, also after it was reported healthy.
    pub(crate) fn deeds(&self) -> usize {
        self.events().iter().filter(|event| !event.contains(" custom ")).count()
    }

    /// The process that the supervisor wrote down, or is about to: a Collector may speak before.
    pub(crate) fn collector_pid(&self) -> i32 {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(pid) = self.written_down() {
                return pid;
            }
            assert!(Instant::now() < until, "a Collector is written down");
            std::thread::yield_now();
        }
    }

    /// Whether a Collector runs that is another process than this one.
    pub(crate) fn runs_another(&self, than: i32) -> bool {
        self.written_down().is_some_and(|pid| pid != than)
    }

    pub(crate) fn written_down(&self) -> Option<i32> {
        let text = fs::read_to_string(self.state().join("run/agent.json")).ok()?;
        let facts: serde_json::Value = serde_json::from_str(&text).unwrap();
        i32::try_from(facts["pid"].as_i64()?).ok()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("supervisor.log")).unwrap_or_default()
    }

    /// Waits until the fake Collector's event file has this.
    pub(crate) async fn happens(&self, what: &str) {
        let waiting = async {
            let mut tick = tokio::time::interval(Duration::from_millis(10));
            while !self.events().iter().any(|event| event.ends_with(what)) {
                tick.tick().await;
            }
        };
        assert!(timeout(DEADLINE, waiting).await.is_ok(), "{what:?} is not in {:?}", self.events());
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

    /// Starts this executable as the supervisor.
    pub(crate) fn start_as(&self, program: &Path) -> Supervisor {
        self.run(&[program.to_str().unwrap()])
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
        // A supervisor that runs watches the file.
        if fs::read_to_string(&path).ok().as_ref() != Some(&self.yaml) {
            fs::write(&path, &self.yaml).unwrap();
        }
        path
    }

    /// Starts it as the command that these words run.
    pub(crate) fn start_through(&self, words: &[&str]) -> Supervisor {
        self.run(&[words, &[built_supervisor().to_str().unwrap()]].concat())
    }

    fn run(&self, words: &[&str]) -> Supervisor {
        let path = self.write();
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
