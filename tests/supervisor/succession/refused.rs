//! What is never run: all is as before, and whoever asked hears why.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{
    super::harness::{Host, Server, built_supervisor, fake_collector},
    another, runs, script, status,
};

#[tokio::test]
async fn what_is_no_supervisor_or_does_not_take_over_is_never_run() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let collector = host.collector_pid();
    let at = |name: &str, text: &str, mode: u32| -> PathBuf {
        let path = host.dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let exposed = another(&host, "exposed");
    fs::set_permissions(&exposed, fs::Permissions::from_mode(0o757)).unwrap();
    let cases = [
        (host.dir.path().join("nowhere"), "cannot find"),
        (host.dir.path().to_owned(), "is not a file"),
        (at("text", "no program", 0o755), "in no format that this host runs"),
        (at("plain", "#!/bin/sh\n", 0o644), "may not be executed"),
        (
            at("fails", "#!/bin/sh\necho no such luck >&2; exit 1\n", 0o755),
            "exited with code 1): no such luck",
        ),
        (at("talks", "#!/bin/sh\necho hello\n", 0o755), "not in words of a supervisor"),
        (exposed, "may be written to by others (mode 757)"),
        (script(&host, "elsewhere", "").with_file_name("elsewhere2"), "cannot find"),
    ];
    for (number, (executable, why)) in (1..).zip(&cases) {
        let said = host.command(&["reexec", "--executable", executable.to_str().unwrap()]).await.with(1);
        assert!(said.contains(why), "{why:?} in {said}");
        let last = status(&host).await["supervisor"]["last"].clone();
        assert_eq!((last["outcome"].as_str(), last["number"].as_u64()), (Some("refused"), Some(number)));
        assert!(last["error"].as_str().unwrap().contains(why), "{last}");
    }
    assert_eq!((runs(&supervisor), host.collector_pid()), (built_supervisor(), collector));
    let known = server.until("still there", |known| known.healthy()).await;
    assert_eq!(known.connections, 1);
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_110_one_that_cannot_be_executed_after_all_leaves_everything_as_it_was() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("tally");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let collector = host.collector_pid();
    // The kernel finds only at the exec that the interpreter has gone.
    let vanishing = host.dir.path().join("vanishing");
    let interpreter = host.dir.path().join("interpreter");
    fs::copy("/bin/sh", &interpreter).unwrap();
    let text = format!(
        "#!{0}\nif [ \"$1\" = verify ]; then rm {0}; exec {1} \"$@\"; fi\n",
        interpreter.display(),
        built_supervisor().display()
    );
    fs::write(&vanishing, text).unwrap();
    fs::set_permissions(&vanishing, fs::Permissions::from_mode(0o755)).unwrap();
    let said = host.command(&["reexec", "--executable", vanishing.to_str().unwrap()]).await.with(1);
    assert!(said.contains("cannot be executed"), "{said}");
    assert_eq!((runs(&supervisor), host.collector_pid()), (built_supervisor(), collector));
    let log = || fs::metadata(host.state().join("logs/agent.log")).unwrap().len();
    let before = log();
    server.until("its output is read on", |_| log() > before).await;
    let state = fs::read_to_string(host.state().join("state.json")).unwrap();
    assert!(!state.contains("\"trial\""), "{state}");
    super::exchange(&host, &another(&host, "new")).await;
    assert!(supervisor.stop().await.success(), "signals are heard as ever");
    super::output::nothing_is_lost(&host, 100);
}

/// The same state as a later supervisor would have written it.
fn of_schema_99(state: &str) -> String {
    let [brace, _, body] = state.splitn(3, '\n').collect::<Vec<_>>()[..] else { panic!("{state}") };
    let body = body.replace("\"schema\": 1,", "\"schema\": 99,");
    format!("{brace}\n  \"crc32\": \"{:08x}\",\n{body}", crc32fast::hash(body.as_bytes()))
}

#[tokio::test]
async fn f_18_over_a_state_of_a_newer_schema_nobody_takes_over() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    assert!(host.command(&["verify"]).await.with(0).contains("could take over"));
    assert!(supervisor.stop().await.success());
    let path = host.state().join("state.json");
    let newer = of_schema_99(&fs::read_to_string(&path).unwrap());
    fs::write(&path, &newer).unwrap();
    assert!(host.command(&["verify"]).await.with(78).contains("newer supervisor (schema 99)"));
    let again = host.start();
    server.until("it is back", |known| known.connections == 2 && known.healthy()).await;
    let said = host.command(&["reexec"]).await.with(1);
    assert!(said.contains("schema 99"), "{said}");
    assert!(again.stop().await.success());
    assert_eq!(fs::read_to_string(&path).unwrap(), newer, "it is not modified");
}

#[tokio::test]
async fn verify_says_what_is_wrong_with_the_file() {
    let host = Host::new("ws://127.0.0.1:9/v1/opamp", Path::new("/nowhere"));
    let said = host.command(&["verify"]).await.with(78);
    assert!(said.contains("agent.executable") || said.contains("agent::executable"), "{said}");
}
