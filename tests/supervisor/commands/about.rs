//! What the program says of itself, and its exit codes.

use super::super::harness::{Host, fake_collector};

const NOWHERE: &str = "ws://127.0.0.1:9/v1/opamp";

#[tokio::test]
async fn version_completions_and_man_need_neither_file_nor_supervisor() {
    let host = Host::new(NOWHERE, &fake_collector());
    assert!(host.command(&["version"]).await.with(0).contains(env!("CARGO_PKG_VERSION")));
    let version = host.command(&["version", "-o", "json"]).await.json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    for shell in ["bash", "zsh", "fish"] {
        let script = host.command(&["completions", shell]).await.with(0);
        assert!(script.contains("opamp-supervisor") && script.contains("status"), "{script}");
    }
    let page = host.command(&["man"]).await.with(0);
    assert!(page.starts_with(".ie") && page.contains("opamp\\-supervisor\\-status"), "{page}");
    let page = host.command(&["man", "status"]).await.with(0);
    assert!(page.contains("opamp\\-supervisor\\-status") && page.contains("socket"), "{page}");
    assert!(!host.state().exists(), "nothing is made");
}

#[tokio::test]
async fn exit_codes_tell_what_went_wrong() {
    let host = Host::new(NOWHERE, &fake_collector());
    let broken = Host::new(NOWHERE, &fake_collector()).agent("args: [");
    for (host, words, code) in [
        (&host, &["statsu"][..], 64),
        (&host, &["status", "--lines", "3"], 64),
        (&host, &["man", "nothing"], 64),
        (&host, &["completions", "word"], 64),
        (&host, &["status"], 3),
        (&host, &["status", "--socket", "/nonexistent/run/control.sock"], 3),
        (&host, &["logs"], 1),
        (&broken, &["status"], 78),
    ] {
        let said = host.command(words).await;
        assert_eq!(said.code, Some(code), "{words:?}: {said:?}");
    }
    // A file that is wrong elsewhere still says where the state is.
    let wrong = Host::new(NOWHERE, &fake_collector()).agent("executible: x");
    assert!(wrong.command(&["status"]).await.with(3).contains("does not run"));
}

#[tokio::test]
async fn without_a_command_the_config_is_needed_and_may_be_given_as_go_programs_take_it() {
    let run = async |args: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_opamp-supervisor"));
        let output = command.args(args).output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = run(&[]).await;
    assert!(code == Some(64) && said.contains("--config"), "{said}");
    for args in
        [&["-config", "/nonexistent/x"][..], &["-config=/nonexistent/x"], &["--config=/nonexistent/x"]]
    {
        let (code, said) = run(args).await;
        assert!(code == Some(78) && said.contains("/nonexistent/x"), "{args:?}: {said}");
    }
    assert_eq!(run(&["-confg", "x"]).await.0, Some(64));
}
