//! A server, operators and hosts: processes with files of their own, and ways to wait for what they do.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here takes; a wait that reaches it has failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// Asks until there is an answer.
pub(crate) fn until<T>(mut ask: impl FnMut() -> Option<T>, why: impl FnOnce() -> String) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {}", why());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// On a disk: what a supervisor keeps in memory it takes no certificate for.
fn dir() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A program that runs, ended with this.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let said = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }

    /// SIGTERM, and the end of it.
    pub(crate) fn stop(mut self) {
        kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM).unwrap();
        let status = until(|| self.ended(), || "it ends after SIGTERM".to_owned());
        assert!(status.success(), "{status}");
    }
}

/// `opamp-server` over TLS, whose agents must prove who they are, with a certificate of a CA of its own.
pub(crate) struct Server {
    dir: TempDir,
    pub(crate) opamp: SocketAddr,
    api: SocketAddr,
    _running: Running,
}

impl Server {
    pub(crate) fn start(more: &[&str]) -> Self {
        let dir = dir();
        write_certificates(dir.path());
        let log = dir.path().join("log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_opamp-server"));
        command.args(["--opamp-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(dir.path().join("data"));
        command.arg("--opamp-tls-cert").arg(dir.path().join("server.pem"));
        command.arg("--opamp-tls-key").arg(dir.path().join("server.key")).args(more);
        let mut running = Running::start(command, &log);
        let after = |mark: &str| {
            let log = read(&log);
            log.split_once(mark)?.1.split(['"', '/', ' ', '\n']).next()?.parse::<SocketAddr>().ok()
        };
        let (opamp, api) = until(
            || {
                assert_eq!(running.ended(), None, "{}", read(&log));
                after("address=").zip(after("page=http://"))
            },
            || read(&log),
        );
        Self { dir, opamp, api, _running: running }
    }

    pub(crate) fn log(&self) -> String {
        read(&self.dir.path().join("log"))
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("wss://{}/v1/opamp", self.opamp)
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opampctl"));
        command.env_clear().env("HOME", self.dir.path()).stdin(Stdio::null());
        command.arg("--server").arg(format!("http://{}", self.api));
        command.arg("--token-file").arg(self.dir.path().join("data/admin.token"));
        command.args(words).output().unwrap()
    }

    /// What `opampctl` prints for these words, which it takes.
    pub(crate) fn ctl(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A new enrolment token.
    pub(crate) fn token(&self, name: &str, more: &[&str]) -> String {
        self.ctl(&[&["create", "enrollmenttoken", name], more].concat()).trim().to_owned()
    }

    /// Has `opampctl` apply this text.
    pub(crate) fn apply(&self, text: &str) -> String {
        let path = self.dir.path().join("objects.yaml");
        fs::write(&path, text).unwrap();
        self.ctl(&["apply", "-f", path.to_str().unwrap()])
    }

    /// The objects of a kind.
    pub(crate) fn all(&self, kind: &str) -> Vec<Value> {
        let listed: Value = serde_json::from_str(&self.ctl(&["get", kind, "-o", "json"])).unwrap();
        listed["items"].as_array().unwrap_or_else(|| panic!("{listed:#}")).clone()
    }

    /// Waits until the one object of a kind is as wanted.
    pub(crate) fn one(&self, kind: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        until(
            || {
                let mut all = self.all(kind);
                assert!(all.len() < 2, "more than one of {kind}: {all:#?}");
                all.pop().filter(|one| wanted(one))
            },
            || format!("{kind}: {what}: {:#?}; the server's log:\n{}", self.all(kind), self.log()),
        )
    }
}

/// A CA, and a certificate of it for a server on loopback.
fn write_certificates(dir: &Path) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "the operators' CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &ca).unwrap();
    fs::write(dir.join("ca.pem"), ca.pem()).unwrap();
    fs::write(dir.join("server.pem"), certificate.pem()).unwrap();
    fs::write(dir.join("server.key"), key.serialize_pem()).unwrap();
}

/// Built by `cargo build --examples`.
pub(crate) fn fake_collector() -> PathBuf {
    let collector = Path::new(env!("CARGO_BIN_EXE_opampctl")).with_file_name("examples/fake_collector");
    assert!(collector.is_file(), "{} is built by `cargo build --examples`", collector.display());
    collector
}

/// A host with a `supervisor.yaml` and the fake Collector.
pub(crate) struct Host {
    dir: TempDir,
}

impl Host {
    /// One that enrols with this token; more lines go under `server:`.
    pub(crate) fn new(server: &Server, token: &str, more: &str) -> Self {
        let dir = dir();
        let collector = fake_collector();
        let yaml = format!(
            "server:\n  endpoint: {}\n  headers: {{Authorization: Bearer {token}}}\n  tls: {{ca_file: {}}}\n{more}\
             capabilities: {{accepts_opamp_connection_settings: true}}\n\
             storage: {{directory: {2}/state}}\n\
             telemetry: {{logs: {{output_paths: [{2}/log]}}}}\n\
             agent: {{executable: {3}}}\n",
            server.endpoint(),
            server.ca().display(),
            dir.path().display(),
            collector.display()
        );
        let host = Self { dir };
        host.write(&yaml);
        host
    }

    fn write(&self, yaml: &str) {
        fs::write(self.dir.path().join("supervisor.yaml"), yaml).unwrap();
    }

    /// Has it take packages that this key signed, after short trials.
    pub(crate) fn takes_packages(&self, key: &Path) {
        let yaml = read(&self.dir.path().join("supervisor.yaml"));
        let yaml = yaml.replace("capabilities: {", "capabilities: {accepts_packages: true, ");
        self.write(&format!(
            "{yaml}packages: {{signature: {{public_key_files: [{}]}}, trial: {{first_health: 20s, healthy_for: 2s}}}}\n",
            key.display()
        ));
    }

    /// Puts another token into its file.
    pub(crate) fn change_token(&self, before: &str, token: &str) {
        let yaml = read(&self.dir.path().join("supervisor.yaml"));
        self.write(&yaml.replace(before, token));
    }

    fn supervisor(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opamp-supervisor"));
        command.args(words).arg("--config").arg(self.dir.path().join("supervisor.yaml"));
        command
    }

    pub(crate) fn start(&self) -> Running {
        Running::start(self.supervisor(&[]), &self.dir.path().join("said"))
    }

    /// Waits until `opamp-supervisor status` prints all these words.
    pub(crate) fn shows(&self, words: &[&str]) {
        until(
            || Some(self.status()).filter(|status| words.iter().all(|word| status.contains(word))),
            || format!("{words:?} is not in {}; the supervisor's log:\n{}", self.status(), self.log()),
        );
    }

    /// What `opamp-supervisor status` prints.
    pub(crate) fn status(&self) -> String {
        String::from_utf8(self.supervisor(&["status"]).output().unwrap().stdout).unwrap()
    }

    pub(crate) fn log(&self) -> String {
        read(&self.dir.path().join("log")) + &read(&self.dir.path().join("said"))
    }

    /// Waits until the supervisor's log has this so many times.
    pub(crate) fn logs(&self, words: &str, times: usize) {
        until(
            || Some(()).filter(|()| self.log().matches(words).count() >= times),
            || format!("{words:?} is not {times} times in {}", self.log()),
        );
    }

    /// What is on disk, both copies.
    pub(crate) fn stored(&self) -> String {
        ["state.json", "state.json.bak"].map(|name| read(&self.dir.path().join("state").join(name))).concat()
    }
}
