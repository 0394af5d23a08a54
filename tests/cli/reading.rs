//! Commands that change nothing.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use super::stub::{Stub, agent};

#[test]
fn get_agents_reads_every_page_and_prints_a_table() {
    let stub = Stub::with_agents(&[("u1", "a"), ("u2", "b"), ("u3", "c")]);
    let said = stub.run(&["get", "agents"]);
    assert_eq!(said.code, 0, "{said:?}");
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines.len(), 4, "{}", said.out);
    assert!(lines[0].starts_with("INSTANCE UID  NAME"), "{}", lines[0]);
    assert_eq!(
        lines[1].split_whitespace().take(7).collect::<Vec<_>>(),
        ["u1", "a", "0.149.0", "h1", "yes", "yes", "-"]
    );
}

#[test]
fn one_agent_comes_out_whole_in_json_and_yaml() {
    let stub = Stub::with_agents(&[("u1", "a")]);
    let json: Value = serde_json::from_str(&stub.run(&["get", "agent", "u1", "-o", "json"]).out).unwrap();
    assert_eq!(json, agent("u1", "a"));
    let yaml: Value = serde_yaml::from_str(&stub.run(&["get", "agent", "u1", "-o", "yaml"]).out).unwrap();
    assert_eq!(yaml, agent("u1", "a"));
    let list: Value = serde_json::from_str(&stub.run(&["get", "agents", "-o", "json"]).out).unwrap();
    assert_eq!(list["items"][0], agent("u1", "a"));
}

#[test]
fn a_selector_looks_at_both_kinds_of_attributes() {
    let stub = Stub::with_agents(&[("u1", "a"), ("u2", "b")]);
    assert_eq!(
        stub.run(&["get", "agents", "-l", "service.name=b,os.type=linux", "-o", "name"]).out,
        "agent/u2\n"
    );
    assert!(stub.calls()[0].contains("selector=service.name%3Db"));
    let none = stub.run(&["get", "agents", "-l", "os.type=plan9"]);
    assert_eq!((none.code, none.err.as_str()), (0, "no agents\n"));
}

#[test]
fn all_namespaces_are_walked() {
    let stub = Stub::with_agents(&[("u1", "a")]);
    let mut other = agent("u9", "z");
    other["metadata"]["namespace"] = "team".into();
    stub.world.lock().unwrap().objects.insert("agents/u9".into(), other);
    assert_eq!(stub.run(&["get", "agents", "-o", "name"]).out, "agent/u1\n");
    assert_eq!(stub.run(&["get", "agents", "-n", "team", "-o", "name"]).out, "agent/u9\n");
    assert_eq!(stub.run(&["get", "agents", "-A", "-o", "name"]).out, "agent/u1\nagent/u9\n");
    assert!(stub.run(&["get", "agents", "-A"]).out.starts_with("NAMESPACE"));
    assert_eq!(stub.run(&["get", "ns", "-o", "name"]).out, "namespace/default\nnamespace/team\n");
}

#[test]
fn what_an_agent_calls_itself_cannot_steer_the_terminal() {
    let stub = Stub::with_agents(&[("u1", "evil\u{1b}]0;owned\u{7}\u{9b}2J")]);
    for format in ["table", "wide", "json", "yaml", "name"] {
        let out = stub.run(&["get", "agents", "-o", format]).out;
        assert!(!out.chars().any(|c| c.is_control() && c != '\n'), "{format}: {out:?}");
    }
}

#[test]
fn whoami_and_version() {
    let stub = Stub::start();
    assert_eq!(stub.run(&["whoami"]).out, "admin@x\n");
    let version = stub.run(&["version"]).out;
    assert!(version.starts_with("client: ") && version.contains("server: v9 linux/amd64"), "{version}");
    assert_eq!(stub.run(&["version", "--client-only"]).out.lines().count(), 1);
}

#[test]
fn watch_prints_an_agent_again_when_it_changes() {
    let stub = Stub::with_agents(&[("u1", "a")]);
    let mut command = stub.command(&["watch"]);
    let mut child = Running(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let (lines, received) = mpsc::channel();
    let out = BufReader::new(child.0.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            let _ = lines.send(line);
        }
    });
    let next = || received.recv_timeout(Duration::from_secs(10)).expect("a line in time");
    assert!(next().starts_with("TIME"));
    let first = next();
    assert_eq!(first.split_whitespace().skip(1).take(4).collect::<Vec<_>>(), ["u1", "a", "yes", "yes"]);
    let mut changed = agent("u1", "a");
    stub.events.send(json!({"type": "MODIFIED", "object": changed}).to_string()).unwrap();
    changed["status"]["connected"] = false.into();
    stub.events.send(json!({"type": "MODIFIED", "object": changed}).to_string()).unwrap();
    let second = next();
    assert_eq!(second.split_whitespace().skip(1).take(4).collect::<Vec<_>>(), ["u1", "a", "no", "yes"]);
    stub.events
        .send(json!({"type": "DELETED", "object": {"metadata": {"instanceUid": "u1"}}}).to_string())
        .unwrap();
    assert!(next().contains("u1                                    (gone)"));
}

/// A child that does not outlive its test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
