//! The container: what `packaging/container/` says, run in namespaces with the same mounts, users and rights, since
//! an engine is not everywhere. The root is read-only, the state directory an emptyDir of a foreign group, the
//! supervisor is PID 1 and nobody special.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command as Blocking, Stdio},
    time::Duration,
};

use nix::libc::SIGTERM;
use opamp::wire::proto::RemoteConfigStatuses;
use serde_yaml::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
};

use super::harness::{Server, alive, config, gone, kill, real_collector};

const POD: &str = include_str!("../../packaging/container/pod.yaml");
const SETTINGS: &str = include_str!("../../packaging/container/supervisor.yaml");
const DOCKERFILE: &str = include_str!("../../packaging/container/Dockerfile");

/// Makes the root, and becomes PID 1 in it. Arguments: root, state directory, group of it, config directory, uid.
const ENTER: &str = r#"
set -eu
root=$1 state=$2 group=$3 config=$4 uid=$5
mount --make-rprivate /
mount --bind "$root" "$root"
for dir in lib lib64 usr/lib usr/lib64; do
    [ -d "/$dir" ] && [ ! -L "/$dir" ] && mount --bind -o ro "/$dir" "$root/$dir"
done
mount -t proc proc "$root/proc"
mount --bind /dev/null "$root/dev/null"
mount -t tmpfs -o mode=2770,uid=0,gid="$group",size=64m,nosuid,nodev,noexec state "$root$state"
mount --bind "$root$config" "$root$config"
mount -o remount,bind,ro "$root$config"
mount -o remount,bind,ro "$root"
cd "$root"
exec setpriv --no-new-privs chroot --userspec="$uid:$uid" --groups="$group" "$root" \
    /usr/bin/opamp-supervisor --config "$config/supervisor.yaml"
"#;

/// What the manifest says of the sidecar.
struct Pod {
    state: String,
    config: String,
    group: u64,
    uid: u64,
}

fn pod() -> Pod {
    let pod: Value = serde_yaml::from_str(POD).unwrap();
    let spec = &pod["spec"];
    let sidecar = &spec["initContainers"][0];
    let mounts = sidecar["volumeMounts"].as_sequence().unwrap();
    let mount = |name: &str| {
        let mount = mounts.iter().find(|mount| mount["name"] == *name).unwrap();
        mount["mountPath"].as_str().unwrap().to_owned()
    };
    assert_eq!(sidecar["securityContext"]["readOnlyRootFilesystem"], true);
    Pod {
        state: mount("state"),
        config: mount("config"),
        group: spec["securityContext"]["fsGroup"].as_u64().unwrap(),
        uid: sidecar["securityContext"]["runAsUser"].as_u64().unwrap(),
    }
}

/// The image's files, as the Dockerfile puts them there.
fn image(pod: &Pod, health: u16) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path.trim_start_matches('/'));
    for dir in ["proc", "dev", "usr/bin", "usr/lib", "usr/lib64", &pod.state, &pod.config] {
        fs::create_dir_all(at(dir)).unwrap();
    }
    for dir in ["lib", "lib64"] {
        match fs::read_link(Path::new("/").join(dir)) {
            Ok(target) => std::os::unix::fs::symlink(target, at(dir)).unwrap(),
            Err(_) => fs::create_dir(at(dir)).unwrap(),
        }
    }
    fs::write(at("dev/null"), "").unwrap();
    // The engine writes this one.
    fs::write(at("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
    fs::copy(env!("CARGO_BIN_EXE_opamp-supervisor"), at("usr/bin/opamp-supervisor")).unwrap();
    fs::copy(real_collector(), at("usr/bin/otelcol")).unwrap();
    // Pods have addresses of their own; here the port must be free on this host.
    let settings = SETTINGS.replace("0.0.0.0:13134", &format!("127.0.0.1:{health}"));
    assert!(settings.contains(&health.to_string()), "{settings}");
    fs::write(at(&pod.config).join("supervisor.yaml"), settings).unwrap();
    fs::set_permissions(root.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    root
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The status line of an answer.
async fn asked(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut answer));
    read.await.expect("an answer").unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

/// The processes of a group of children, from the first one down.
fn below(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = text.split_whitespace().map(|child| child.parse().unwrap());
    children.flat_map(|child| [vec![child], below(child)].concat()).collect()
}

fn status_field(pid: i32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn c_se_02_the_sidecar_does_its_job_as_nobody_on_a_read_only_root() {
    let server = Server::start().await;
    let (pod, health) = (pod(), free_port());
    let root = image(&pod, health);
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "enter"]);
    command.arg(root.path()).args([&pod.state, &pod.group.to_string(), &pod.config, &pod.uid.to_string()]);
    command.env("OPAMP_ENDPOINT", &server.endpoint).env("OPAMP_TOKEN", "t0ken");
    command.env("POD_NAME", "app").env("POD_NAMESPACE", "default");
    let log = tempfile::NamedTempFile::new().unwrap();
    let said = || fs::read_to_string(log.path()).unwrap();
    let to_log = || log.reopen().map(Stdio::from).unwrap();
    command.stdin(Stdio::null()).stdout(to_log()).stderr(to_log()).kill_on_drop(true);
    let mut container = command.spawn().unwrap();
    let outside = i32::try_from(container.id().unwrap()).unwrap();
    tokio::select! {
        _ = server.until("the agent is healthy", |known| known.healthy()) => {}
        _ = container.wait() => panic!("it does not run: {}", said()),
    }

    let [supervisor, collector] = below(outside)[..] else { panic!("{:?}", below(outside)) };
    assert_eq!(status_field(supervisor, "NSpid:"), format!("{supervisor} 1"), "it is PID 1");
    for pid in [supervisor, collector] {
        let uid = pod.uid;
        assert_eq!(status_field(pid, "Uid:"), format!("{uid} {uid} {uid} {uid}"));
        assert_eq!(status_field(pid, "Groups:"), pod.group.to_string());
        assert_eq!(status_field(pid, "CapEff:"), "0000000000000000");
    }
    for path in ["/health/live", "/health"] {
        assert!(asked(health, path).await.contains("200"), "the probe on {path}");
    }
    let port = free_port();
    let pushed = config(
        "pipeline.yaml",
        &format!(
            "receivers: {{otlp: {{protocols: {{http: {{endpoint: \"127.0.0.1:{port}\"}}}}}}}}\nexporters: {{debug: {{}}}}\n\
             service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{traces: {{receivers: [otlp], exporters: [debug]}}}}}}\n"
        ),
    );
    let status = server.push(&pushed).await;
    assert_eq!(status.status, RemoteConfigStatuses::Applied as i32, "{status:?}");
    let state = PathBuf::from(format!("/proc/{supervisor}/root{}/opamp-supervisor", pod.state));
    assert!(state.join("state.json").is_file(), "in a directory of its own on the shared one");

    kill(supervisor, SIGTERM);
    gone(supervisor).await;
    assert!(!alive(collector), "the Collector went before it");
    let ended = tokio::time::timeout(Duration::from_secs(10), container.wait()).await;
    assert!(ended.expect("the namespace ends").unwrap().success(), "{}", said());
    let said = said();
    assert!(said.contains("Everything is ready"), "the Collector's log is the container's: {said}");
    assert!(!said.contains("t0ken"), "and no secret is in it");
    server.until("the goodbye", |known| known.goodbyes == 1).await;
}

#[test]
fn dockerfile_manifest_and_settings_name_the_same_places() {
    let pod = pod();
    let settings: Value = serde_yaml::from_str(SETTINGS).unwrap();
    assert_eq!(settings["storage"]["directory"], pod.state.as_str());
    let executable = settings["agent"]["executable"].as_str().unwrap();
    assert!(DOCKERFILE.contains(&format!("${{COLLECTOR_PATH}} {executable}\n")));
    assert!(DOCKERFILE.contains(&format!("\"--config\", \"{}/supervisor.yaml\"", pod.config)));
    assert!(DOCKERFILE.contains(&format!("USER {0}:{0}\n", pod.uid)));
    let port = POD.split("containerPort: ").nth(1).unwrap().split('}').next().unwrap();
    assert!(settings["healthcheck"]["endpoint"].as_str().unwrap().ends_with(&format!(":{port}")));
    let toolchain = include_str!("../../rust-toolchain.toml");
    let version = toolchain.split("channel = \"").nth(1).unwrap().split('"').next().unwrap();
    assert!(DOCKERFILE.contains(&format!("rust:{version}-")), "built with {version}");
    for name in ["OPAMP_ENDPOINT", "OPAMP_TOKEN", "POD_NAME", "POD_NAMESPACE"] {
        assert!(
            SETTINGS.contains(&format!("${{env:{name}}}")) && POD.contains(&format!("name: {name}")),
            "{name}"
        );
    }
    assert!(Blocking::new("sh").args(["-n", "-c", ENTER]).status().unwrap().success());
}
