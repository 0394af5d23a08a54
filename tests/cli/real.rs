//! `opampctl` with the real `opamp-server`: what the stub promises, the server keeps.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::stub::{Said, bare, said};

pub(super) const SOON: Duration = Duration::from_secs(20);

pub(super) struct Server {
    pub(super) dir: tempfile::TempDir,
    url: String,
    pub(super) opamp: String,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

impl Server {
    pub(super) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(super) fn start_with(more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (api, opamp) = (free_address(), free_address());
        let child = Command::new(env!("CARGO_BIN_EXE_opamp-server"))
            .args(more)
            .args(["--opamp-listen", &opamp, "--api-listen", &api, "--data-dir"])
            .arg(dir.path().join("data"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { dir, url: format!("http://{api}"), opamp, child };
        let start = Instant::now();
        while server.run(&["version"]).code != 0 {
            assert!(start.elapsed() < SOON, "{:?}", server.run(&["version"]));
        }
        server
    }

    fn token(&self) -> std::path::PathBuf {
        self.dir.path().join("data/admin.token")
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Said {
        let mut command = bare(self.dir.path());
        command.args(["--server", &self.url, "--token-file"]).arg(self.token()).args(arguments);
        said(command.output().unwrap())
    }

    /// What makes a command ask this server.
    pub(super) fn flags(&self) -> String {
        format!("--server {} --token-file {}", self.url, self.token().display())
    }

    pub(super) fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

const OBJECTS: &str = "
kind: AgentRemoteConfig
metadata: {name: base}
spec:
  value: |
    receivers: {nop: {}}  # 1.20 stays 1.20
---
kind: AgentGroup
metadata: {name: linux}
spec:
  priority: 10
  selector: {nonIdentifyingAttributes: {os.type: linux}}
  agentConfig: {agentRemoteConfigs: [{agentRemoteConfigRef: base}]}
";

#[test]
fn objects_are_applied_shown_and_deleted() {
    let server = Server::start();
    let file = server.file("objects.yaml", OBJECTS);
    let first = server.run(&["apply", "-f", &file]);
    assert_eq!(first.out, "agentremoteconfig/base created\nagentgroup/linux created\n", "{first:?}");
    let again = server.run(&["apply", "-f", &file]);
    assert_eq!(again.out, "agentremoteconfig/base unchanged\nagentgroup/linux unchanged\n", "{again:?}");
    let other = server.file("objects.yaml", &OBJECTS.replace("priority: 10", "priority: 20"));
    let changed = server.run(&["apply", "-f", &other]);
    assert_eq!(changed.out, "agentremoteconfig/base unchanged\nagentgroup/linux configured\n", "{changed:?}");

    let shown = server.run(&["get", "arc", "base", "-o", "yaml"]).out;
    assert!(shown.contains("1.20 stays 1.20"), "{shown}");
    let groups = server.run(&["get", "ag"]).out;
    let row: Vec<&str> = groups.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, ["linux", "20", "0", "0", "0", "base"]);
    assert_eq!(server.run(&["get", "ns", "-o", "name"]).out, "namespace/default\n");

    assert_eq!(server.run(&["delete", "ag", "linux"]).out, "agentgroup/linux deleted\n");
    assert_eq!(server.run(&["delete", "arc", "base"]).out, "agentremoteconfig/base deleted\n");
    assert_eq!(server.run(&["get", "arc", "base"]).code, 1);
    let empty = server.run(&["get", "agents", "-A"]);
    assert_eq!((empty.code, empty.err.as_str()), (0, "no agents\n"));
}

#[test]
fn who_we_are_and_what_is_refused() {
    let server = Server::start();
    assert_eq!(server.run(&["whoami"]).code, 0);
    let versions = server.run(&["version"]).out;
    assert!(versions.lines().any(|line| line.starts_with("server: v")), "{versions}");

    let mut anonymous = bare(Path::new("/nonexistent"));
    let anonymous = said(anonymous.args(["--server", &server.url, "get", "agents"]).output().unwrap());
    assert_eq!(anonymous.code, 1);
    assert!(anonymous.err.contains("--token-file"), "{}", anonymous.err);

    let uid = "01900000-0000-7000-8000-aabbccddeeff";
    let file = server.file("x.yaml", "receivers: {nop: {}}\n");
    let push = server.run(&["config", "push", "-f", &file, "--agent", uid]);
    assert_eq!(push.code, 1);
    assert!(push.err.contains("404"), "{}", push.err);
    let made = server.run(&["get", "arc", "-o", "name"]);
    assert_eq!((made.code, made.out.as_str()), (0, ""), "a push to nobody leaves nothing behind");
    let restart = server.run(&["restart", uid]);
    assert_eq!(restart.code, 1);
}

#[test]
fn a_token_is_printed_once_and_what_is_not_there_is_said() {
    let server = Server::start();
    let made = server.run(&["create", "enrollmenttoken", "rack", "--ttl", "1h", "--max-uses", "5"]);
    assert_eq!(made.code, 0, "{made:?}");
    assert!(made.out.starts_with("oet_") && made.out.lines().count() == 1, "{made:?}");
    assert!(made.err.contains("5 agents") && made.err.contains("server:"), "{made:?}");
    assert!(!made.err.contains(made.out.trim()));
    let listed = server.run(&["get", "enrollmenttokens"]);
    assert!(listed.out.contains("rack") && listed.out.contains("Active"), "{listed:?}");
    let whole = server.run(&["get", "et", "rack", "-o", "yaml"]);
    assert!(whole.out.contains("maxUses: 5") && !whole.out.contains("oet_"), "{whole:?}");
    let again = server.run(&["create", "enrollmenttoken", "rack"]);
    assert!(again.code == 1 && again.err.contains("already exists"), "{again:?}");
    for wrong in [
        ["revoke", "identity", "nobody"],
        ["approve", "certificaterequest", "nothing"],
        ["deny", "csr", "nothing"],
        ["rotate", "id", "nobody"],
    ] {
        let said = server.run(&wrong);
        assert!(said.code == 1 && said.err.contains("there is no"), "{said:?}");
    }
    let misused = server.run(&["revoke", "agent", "x"]);
    assert!(misused.code == 64 && misused.err.contains("revoke is for identity"), "{misused:?}");
    assert_eq!(server.run(&["get", "identities"]).err, "no identities\n");
    assert_eq!(server.run(&["delete", "et", "rack"]).out, "enrollmenttoken/rack deleted\n");
}
