//! The scene: a private directory, free ports, the server and the supervisor in it.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use super::http;
use super::process::{self, Program, until};
use super::rest::Rest;

const START: Duration = Duration::from_secs(15);
const STOP: Duration = Duration::from_secs(20);

pub(super) struct Stand {
    dir: PathBuf,
    programs: PathBuf,
    collector: PathBuf,
    opamp: SocketAddr,
    api: SocketAddr,
    otlp: SocketAddr,
    server: Option<Program>,
    supervisor: Option<Program>,
    pids: Arc<Mutex<Vec<u32>>>,
}

/// What a signal handler needs to leave nothing behind.
pub(super) struct EmergencyStop(Arc<Mutex<Vec<u32>>>);

impl EmergencyStop {
    /// Kills every program that was started, with its children.
    pub(super) fn stop(&self) {
        let ours = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for process in process::all() {
            if ours.contains(&process.pid) || ours.contains(&process.parent) {
                let _ = process::send(process.pid, Signal::SIGKILL);
            }
        }
    }
}

impl Stand {
    pub(super) fn new(programs: &Path, collector: &Path) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("opamp-quickstart-{}", std::process::id()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&dir)
            .with_context(|| format!("cannot make {}", dir.display()))?;
        let [opamp, api, otlp] = free_ports()?;
        let stand = Self {
            dir,
            programs: fs::canonicalize(programs)?,
            collector: fs::canonicalize(collector)?,
            opamp,
            api,
            otlp,
            server: None,
            supervisor: None,
            pids: Arc::default(),
        };
        stand.write_files()?;
        Ok(stand)
    }

    fn write_files(&self) -> Result<()> {
        let Self { dir, opamp, otlp, .. } = self;
        let collector = serde_json::to_string(&self.collector)?;
        let storage = serde_json::to_string(&dir.join("supervisor"))?;
        let base = serde_json::to_string(&dir.join("base.yaml"))?;
        let supervisor = format!(
            "server:\n  endpoint: ws://{opamp}/v1/opamp\ncapabilities:\n  accepts_remote_config: true\n  accepts_restart_command: true\n  reports_available_components: true\n\
             agent:\n  executable: {collector}\n  config_files: [{base}]\n  description:\n    \
             non_identifying_attributes:\n      deployment.environment.name: quickstart\n\
             storage:\n  directory: {storage}\n"
        );
        fs::write(dir.join("supervisor.yaml"), supervisor)?;
        // Port 8888, where a Collector shows its own metrics unless told otherwise, may be another's.
        fs::write(dir.join("base.yaml"), "service: {telemetry: {metrics: {level: none}}}\n")?;
        fs::write(self.pipeline_file(), pipeline(*otlp, "debug/tour", "detailed"))?;
        fs::write(self.bad_file(), pipeline(*otlp, "nosuchexporter", "detailed"))?;
        fs::write(self.other_file(), pipeline(*otlp, "debug/tour", "normal"))?;
        Ok(())
    }

    pub(super) fn start_server(&mut self) -> Result<()> {
        let mut command = Command::new(self.program("opamp-server"));
        command.args(["--opamp-listen", &self.opamp.to_string(), "--api-listen", &self.api.to_string()]);
        command.arg("--data-dir").arg(self.dir.join("server"));
        let mut server = Program::start("opamp-server", command, &self.dir.join("server.log"))?;
        self.note(server.pid());
        let api = self.api;
        let ready = until(START, "opamp-server is ready", || {
            server.check_alive()?;
            let answer = http::get(api, "/readyz", None)?;
            ensure!(answer.status == 200, "/readyz says {}", answer.status);
            Ok(())
        });
        self.server = Some(server);
        ready
    }

    pub(super) fn start_supervisor(&mut self) -> Result<()> {
        let mut command = Command::new(self.program("opamp-supervisor"));
        command.arg("--config").arg(self.dir.join("supervisor.yaml"));
        let supervisor = Program::start("opamp-supervisor", command, &self.dir.join("supervisor.log"))?;
        self.note(supervisor.pid());
        self.supervisor = Some(supervisor);
        Ok(())
    }

    pub(super) fn stop_server(&mut self) -> Result<()> {
        let mut server = self.server.take().context("the server does not run")?;
        let status = server.terminate(STOP)?;
        ensure!(status.success(), "opamp-server ended with {status}");
        Ok(())
    }

    pub(super) fn stop_supervisor(&mut self) -> Result<()> {
        let mut supervisor = self.supervisor.take().context("the supervisor does not run")?;
        let status = supervisor.terminate(STOP)?;
        ensure!(status.success(), "opamp-supervisor ended with {status}");
        Ok(())
    }

    /// Stops what still runs: the supervisor first, so that the server hears its goodbye.
    pub(super) fn stop(&mut self) -> Result<()> {
        let supervisor = if self.supervisor.is_some() { self.stop_supervisor() } else { Ok(()) };
        let server = if self.server.is_some() { self.stop_server() } else { Ok(()) };
        if supervisor.is_err() || server.is_err() {
            self.emergency_stop().stop();
        }
        supervisor.and(server)
    }

    fn note(&self, pid: u32) {
        self.pids.lock().unwrap_or_else(PoisonError::into_inner).push(pid);
    }

    pub(super) fn emergency_stop(&self) -> EmergencyStop {
        EmergencyStop(self.pids.clone())
    }

    pub(super) fn rest(&self) -> Result<Rest> {
        let token = fs::read_to_string(self.token_file())
            .with_context(|| format!("no token in {}", self.token_file().display()))?;
        Ok(Rest { to: self.api, token: token.trim().to_owned() })
    }

    /// `opampctl` with this server and its token.
    pub(super) fn opampctl(&self, arguments: &[&str]) -> Result<std::process::Output> {
        let mut command = Command::new(self.program("opampctl"));
        command.args(["--server", &self.api_url(), "--token-file"]).arg(self.token_file()).args(arguments);
        command.output().context("cannot run opampctl")
    }

    pub(super) fn supervisor(&mut self) -> Result<&mut Program> {
        self.supervisor.as_mut().context("the supervisor does not run")
    }

    pub(super) fn collector_pid(&mut self) -> Result<u32> {
        self.supervisor()?.check_alive()?;
        let parent = self.supervisor()?.pid();
        process::child_of(parent, &self.collector)
    }

    pub(super) fn print_logs(&self) {
        for name in ["server.log", "supervisor.log", "supervisor/logs/agent.log"] {
            let path = self.dir.join(name);
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("--- the end of {}", path.display());
            for line in lines.iter().skip(lines.len().saturating_sub(25)) {
                eprintln!("{line}");
            }
        }
    }

    pub(super) fn remove(&self) {
        if let Err(e) = fs::remove_dir_all(&self.dir) {
            eprintln!("{} stays: {e}", self.dir.display());
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn otlp(&self) -> SocketAddr {
        self.otlp
    }

    pub(super) fn api_url(&self) -> String {
        format!("http://{}", self.api)
    }

    pub(super) fn token_file(&self) -> PathBuf {
        self.dir.join("server/admin.token")
    }

    pub(super) fn pipeline_file(&self) -> PathBuf {
        self.dir.join("pipeline.yaml")
    }

    /// Names a component that no Collector has.
    pub(super) fn bad_file(&self) -> PathBuf {
        self.dir.join("wrong-component.yaml")
    }

    /// A good config that differs from the pipeline.
    pub(super) fn other_file(&self) -> PathBuf {
        self.dir.join("other.yaml")
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }
}

fn pipeline(otlp: SocketAddr, exporter: &str, verbosity: &str) -> String {
    format!(
        "# OTLP over HTTP in, text out.\nreceivers:\n  otlp:\n    protocols:\n      http:\n        endpoint: {otlp}\n\
         processors:\n  batch/tour:\n    timeout: 50ms\nexporters:\n  {exporter}:\n    verbosity: {verbosity}\n\
         service:\n  pipelines:\n    traces:\n      receivers: [otlp]\n      processors: [batch/tour]\n      \
         exporters: [{exporter}]\n"
    )
}

/// Ports that were free a moment ago; all are held until the last is chosen, so that they differ.
fn free_ports<const N: usize>() -> Result<[SocketAddr; N]> {
    let mut held = Vec::new();
    let mut addresses = [SocketAddr::from(([127, 0, 0, 1], 0)); N];
    for address in &mut addresses {
        let listener = TcpListener::bind(*address).context("no free port on 127.0.0.1")?;
        *address = listener.local_addr()?;
        held.push(listener);
    }
    Ok(addresses)
}
