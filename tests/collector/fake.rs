//! The fake Collector answers as the real one does, and misbehaves as told.

use std::{fs, net::TcpListener, time::Duration};

use opamp::{
    collector::{
        binary::{Binary, Configs},
        bootstrap::learn,
        components::Section,
        probe::{Probe, probe},
        validate::{ValidateError, print_config, validate},
    },
    os::{
        child::{Child, Exit, Signal, Spawned},
        run::RunError,
    },
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::{DEADLINE, fake, in_time, write};

const GOOD: &str = "receivers: {nop: }\nexporters: {debug: }\n\
    service: {pipelines: {traces: {receivers: [nop], exporters: [debug]}}}\n";

fn switched(switches: &str) -> Binary {
    Binary { env: [("FAKE_COLLECTOR".to_owned(), switches.to_owned())].into(), ..fake() }
}

/// Starts it, and waits until it says a line on stderr that contains the words.
async fn started(binary: &Binary, layers: &[String], words: &str) -> Child {
    let configs = Configs { layers, overlay: None };
    let Spawned { child, stderr, .. } = Child::spawn(&binary.spec().args(binary.run_args(&configs))).unwrap();
    let mut lines = BufReader::new(stderr).lines();
    in_time(async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(words) {
                return;
            }
        }
        panic!("it ended without saying {words:?}");
    })
    .await;
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    child
}

#[tokio::test]
async fn it_is_learnt_as_a_collector() {
    let scratch = tempfile::tempdir().unwrap();
    let facts = in_time(learn(&fake(), scratch.path(), DEADLINE)).await.unwrap();
    assert!(facts.components.complete && facts.has_gate("service.AllowNoPipelines"));
    assert!(facts.components.has(Section::Receivers, "filelog"));
    let facts =
        in_time(learn(&switched("no_extension, wrong_version=9.9"), scratch.path(), DEADLINE)).await.unwrap();
    assert!(!facts.components.has(Section::Extensions, "opamp"));
    assert_eq!(facts.version, "9.9");
}

#[tokio::test]
async fn f_73_it_validates() {
    let verdict = async |texts: &[&str]| {
        let (_dir, layers) = write(texts);
        let verdict = in_time(validate(&fake(), &Configs { layers: &layers, overlay: None }, DEADLINE)).await;
        verdict.map_err(|error| error.to_string())
    };
    assert_eq!(verdict(&[GOOD]).await, Ok(()));
    assert_eq!(
        verdict(&[GOOD, "connectors: {zz/1: }"]).await.unwrap_err(),
        "'connectors' unknown type: \"zz\" for id: \"zz/1\" (valid values: [forward])"
    );
    assert!(verdict(&[GOOD, "a: ["]).await.unwrap_err().contains("1.yaml:"));
    let error = verdict(&["receivers: {nop: }"]).await.unwrap_err();
    assert_eq!(error, "service::pipelines: service must have at least one pipeline");
    let (_dir, layers) = write(&[GOOD, "exporters: {nop: }"]);
    let configs = Configs { layers: &layers, overlay: None };
    let printed = in_time(print_config(&fake(), &configs, &[], DEADLINE)).await.unwrap();
    assert!(printed.contains("debug:") && printed.contains("nop:"), "{printed}");
}

#[tokio::test]
async fn f_83_its_validate_can_hang() {
    let (binary, deadline) = (switched("hang_validate"), Duration::from_millis(300));
    let configs = Configs::default();
    let hung = in_time(validate(&binary, &configs, deadline)).await;
    assert!(matches!(hung, Err(ValidateError::CannotRun(RunError::TimedOut { .. }))), "{hung:?}");
}

#[tokio::test]
async fn f_74_f_75_it_crashes_when_told() {
    let ends = async |switches: &str, top: &str| {
        let (_dir, layers) = write(&[GOOD, top]);
        let binary = switched(switches);
        let configs = Configs { layers: &layers, overlay: None };
        assert!(in_time(validate(&binary, &configs, DEADLINE)).await.is_ok());
        let spawned = Child::spawn(&binary.spec().args(binary.run_args(&configs))).unwrap();
        in_time(spawned.child.wait()).await.unwrap()
    };
    assert_eq!(ends("crash_at_start,exit_code=7", "").await, Exit::Code(7));
    assert_eq!(ends("crash_after=50ms", "").await, Exit::Code(1));
    assert_eq!(ends("", "# fake_collector: crash_at_start, exit_code=3").await, Exit::Code(3));
    assert_eq!(ends("config_marker=fail_marker", "# fail_marker").await, Exit::Code(1));
    assert_eq!(ends("oom=8", "").await, Exit::Code(2));
}

#[tokio::test]
async fn f_64_f_65_it_resists_its_end() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let events = dir.path().join("events");
    let mut binary = switched(&format!("ignore_term,fork_child={held}"));
    binary.env.insert("FAKE_COLLECTOR_EVENTS".to_owned(), events.display().to_string());
    let (_configs, layers) = write(&[GOOD]);
    let child = started(&binary, &layers, "Everything is ready").await;
    in_time(async {
        while !fs::read_to_string(&events).unwrap().contains("holding") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(TcpListener::bind(held).is_err());
    child.signal(Signal::SIGTERM).unwrap();
    let stopped = in_time(child.stop(Duration::from_millis(300))).await.unwrap();
    assert!(stopped.killed);
    assert!(TcpListener::bind(held).is_ok(), "the group was killed");
    let events = fs::read_to_string(&events).unwrap();
    assert!(events.contains("start") && events.contains("ready") && events.contains("SIGTERM"), "{events}");
}

#[tokio::test]
async fn f_71_a_taken_port_ends_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let top = format!("receivers: {{otlp: {{protocols: {{http: {{endpoint: '{address}'}}}}}}}}");
    let (_dir, layers) = write(&[GOOD, &top]);
    let child =
        started(&fake(), &layers, &format!("listen tcp {address}: bind: address already in use")).await;
    assert_eq!(in_time(child.wait()).await.unwrap(), Exit::Code(1));
}

#[tokio::test]
async fn it_serves_a_health_check_and_ends_in_order() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let top = format!(
        "extensions: {{health_check: {{endpoint: '{address}'}}}}\nservice: {{extensions: [health_check]}}"
    );
    let (_dir, layers) = write(&[GOOD, &top]);
    let child = started(&switched("no_extension"), &layers, "Everything is ready").await;
    assert_eq!(in_time(probe(address, "/", DEADLINE)).await, Probe::Up);
    let stopped = in_time(child.stop(DEADLINE)).await.unwrap();
    assert_eq!((stopped.exit, stopped.killed), (Exit::Code(0), false));
    let child = started(&switched("no_extension,never_healthy"), &layers, "Everything is ready").await;
    let Probe::Down { reason } = in_time(probe(address, "/", DEADLINE)).await else { panic!("it is up") };
    assert!(reason.ends_with("answers with status 503"), "{reason}");
    in_time(child.stop(DEADLINE)).await.unwrap();
}

#[tokio::test]
async fn f_70_it_floods() {
    let (_dir, layers) = write(&[GOOD]);
    let binary = switched("flood");
    let configs = Configs { layers: &layers, overlay: None };
    let Spawned { child, mut stdout, stderr: _open } =
        Child::spawn(&binary.spec().args(binary.run_args(&configs))).unwrap();
    let mut read = 0;
    let mut buffer = vec![0; 1 << 16];
    in_time(async {
        while read < 8 << 20 {
            match stdout.read(&mut buffer).await.unwrap() {
                0 => panic!("it stopped after {read} bytes"),
                more => read += more,
            }
        }
    })
    .await;
    in_time(child.kill()).await.unwrap();
}
