//! Commands that change something.

use std::io::Write;
use std::process::Stdio;

use super::stub::{Stub, said};

const TWO: &str = "
kind: AgentRemoteConfig
metadata: {name: base}
spec:
  value: |
    receivers: {otlp: {}}  # 1.20 stays 1.20
---
kind: AgentGroup
apiVersion: v1
metadata: {name: linux}
spec: {priority: 10, selector: {nonIdentifyingAttributes: {os.type: linux}}}
";

#[test]
fn apply_creates_then_leaves_alone_then_replaces() {
    let stub = Stub::start();
    let file = stub.file("two.yaml", TWO);
    let first = stub.run(&["apply", "-f", &file]);
    assert_eq!(first.out, "agentremoteconfig/base created\nagentgroup/linux created\n", "{first:?}");
    let value = stub.world.lock().unwrap().objects["agentremoteconfigs/base"]["spec"]["value"].clone();
    assert_eq!(value, "receivers: {otlp: {}}  # 1.20 stays 1.20\n");
    stub.calls();
    let second = stub.run(&["apply", "-f", &file]);
    assert_eq!(second.out, "agentremoteconfig/base unchanged\nagentgroup/linux unchanged\n");
    assert!(stub.calls().iter().all(|call| call.starts_with("GET")));
    let file = stub.file("two.yaml", &TWO.replace("10", "20"));
    assert_eq!(
        stub.run(&["apply", "-f", &file]).out,
        "agentremoteconfig/base unchanged\nagentgroup/linux configured\n"
    );
}

#[test]
fn apply_reads_standard_input_and_sends_nothing_when_one_document_is_wrong() {
    let stub = Stub::start();
    let apply = |text: &str| {
        let mut command = stub.command(&["apply", "-f", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        said(child.wait_with_output().unwrap())
    };
    let bad = apply(&format!("{TWO}---\nkind: Deployment\nmetadata: {{name: x}}\n"));
    assert_eq!(bad.code, 1);
    assert!(bad.err.contains("standard input, document 3") && bad.err.contains("Deployment"), "{}", bad.err);
    assert!(stub.calls().is_empty());
    assert_eq!(apply(TWO).code, 0);
}

#[test]
fn push_waits_until_the_agent_has_applied() {
    let stub = Stub::with_agents(&[("u1", "a"), ("u2", "b")]);
    stub.world.lock().unwrap().verdict = Some(("APPLIED", ""));
    let file = stub.file("pipeline.yaml", "receivers: {otlp: {}}\n");
    let said = stub.run(&["config", "push", "-f", &file, "--agent", "u1"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(
        said.out,
        "agentremoteconfig/pipeline created\nagent/u1 a <- pipeline\nagent/u1 aabbccddeeff APPLIED\n"
    );
    let world = stub.world.lock().unwrap();
    assert_eq!(world.objects["agentremoteconfigs/pipeline"]["spec"]["value"], "receivers: {otlp: {}}\n");
    assert_eq!(world.objects["agents/u1"]["spec"]["remoteConfig"]["remoteConfigNames"][0], "pipeline");
    assert!(world.objects["agents/u2"]["status"]["desiredConfigHash"].is_null());
}

#[test]
fn push_takes_the_place_of_what_the_agent_had_unless_told_to_add() {
    let stub = Stub::with_agents(&[("u1", "a")]);
    stub.world.lock().unwrap().verdict = Some(("APPLIED", ""));
    let names = || {
        stub.world.lock().unwrap().objects["agents/u1"]["spec"]["remoteConfig"]["remoteConfigNames"].clone()
    };
    let file = stub.file("x.yaml", "receivers: {}\n");
    stub.run(&["config", "push", "-f", &file, "--agent", "u1", "--name", "one"]);
    let two = stub.run(&["config", "push", "-f", &file, "--agent", "u1", "--name", "two"]);
    assert!(two.out.contains("agent/u1 a <- two (was: one)"), "{}", two.out);
    assert_eq!(names(), serde_json::json!(["two"]));
    stub.run(&["config", "push", "-f", &file, "--agent", "u1", "--name", "three", "--add"]);
    assert_eq!(names(), serde_json::json!(["two", "three"]));
}

#[test]
fn push_exits_1_with_the_agent_s_words_when_it_failed() {
    let stub = Stub::with_agents(&[("u1", "a")]);
    stub.world.lock().unwrap().verdict =
        Some(("FAILED", "line 3: exporters \"kafka\u{1b}[2J\" is not available"));
    let file = stub.file("x.yaml", "receivers: {}\n");
    let said = stub.run(&["config", "push", "-f", &file, "--agent", "u1"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("FAILED: line 3: exporters \"kafka[2J\" is not available"), "{}", said.out);
    assert!(said.err.contains("1 of 1 failed"), "{}", said.err);
}

#[test]
fn push_gives_up_at_its_timeout_and_does_not_wait_when_told_so() {
    let stub = Stub::with_agents(&[("u1", "a")]);
    let file = stub.file("x.yaml", "receivers: {}\n");
    let said = stub.run(&["config", "push", "-f", &file, "--agent", "u1", "--timeout", "300ms"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("no answer in time"), "{}", said.out);
    assert_eq!(stub.run(&["config", "push", "-f", &file, "--agent", "u1", "--no-wait"]).code, 0);
}

#[test]
fn several_agents_are_counted_and_need_a_yes() {
    let stub = Stub::with_agents(&[("u1", "a"), ("u2", "b"), ("u3", "c")]);
    stub.world.lock().unwrap().verdict = Some(("APPLIED", ""));
    let file = stub.file("x.yaml", "receivers: {}\n");
    let asked = stub.run(&["config", "push", "-f", &file, "-l", "os.type=linux"]);
    assert_eq!(asked.code, 64);
    assert!(asked.err.contains("3 agents match") && asked.err.contains("--yes"), "{}", asked.err);
    assert!(stub.calls().iter().all(|call| call.starts_with("GET")), "nothing is written before the yes");
    let said = stub.run(&["config", "push", "-f", &file, "-l", "os.type=linux", "--yes"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.out.matches("APPLIED").count(), 3);
    let none = stub.run(&["config", "push", "-f", &file, "-l", "os.type=plan9"]);
    assert_eq!(none.code, 1);
    assert!(none.err.contains("no agent"), "{}", none.err);
}

#[test]
fn a_config_that_is_no_yaml_is_not_sent() {
    let stub = Stub::with_agents(&[("u1", "a")]);
    let file = stub.file("bad.yaml", "receivers:\n  otlp: {\n");
    let said = stub.run(&["config", "push", "-f", &file, "--agent", "u1"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("bad.yaml:") && said.err.contains("nothing was sent"), "{}", said.err);
    assert!(stub.calls().is_empty());
}

#[test]
fn restart_sends_the_time_and_nothing_else() {
    let stub = Stub::with_agents(&[("u1", "a")]);
    let said = stub.run(&["restart", "u1"]);
    assert_eq!((said.code, said.out.as_str()), (0, "agent/u1 restart requested\n"));
    assert_eq!(stub.calls().last().unwrap(), "PUT /api/v1/namespaces/default/agents/u1");
}

#[test]
fn delete_says_what_is_gone_and_what_was_not_there() {
    let stub = Stub::start();
    let file = stub.file("two.yaml", TWO);
    stub.run(&["apply", "-f", &file]);
    assert_eq!(stub.run(&["delete", "ag", "linux"]).out, "agentgroup/linux deleted\n");
    let again = stub.run(&["delete", "ag", "linux"]);
    assert_eq!((again.code, again.err.as_str()), (1, "opampctl: there is no agentgroup linux\n"));
}
