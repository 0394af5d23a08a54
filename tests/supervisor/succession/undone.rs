//! What fails once it runs: the one before runs again.

use std::fs;

use nix::libc::SIGKILL;

use super::{
    super::harness::{Gate, Host, Rule, Server, alive, built_supervisor, fake_collector, gone, kill},
    Dole, another,
    output::nothing_is_lost,
    runs, script, status, without_file,
};

const TRIAL: &str = "packages: {supervisor_trial: 5s}";

#[tokio::test]
async fn f_110_one_that_cannot_begin_gives_all_back_as_it_was_and_the_collector_runs_on() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("tally");
    // The start, the dry run, the new one, and the one before again.
    let dole = Dole::start(&host, &["good", "good", "b\na\nd", "good"]);
    let host = host.server(&dole.server(&server.endpoint));
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let (collector, new) = (host.collector_pid(), another(&host, "new"));
    let said = without_file(&host, &["reexec", "--executable", new.to_str().unwrap()]).await.with(1);
    assert!(said.contains("was undone") && said.contains("server.headers"), "{said}");
    assert_eq!((runs(&supervisor), host.collector_pid()), (built_supervisor(), collector));
    assert!(alive(collector));
    let last = status(&host).await["supervisor"]["last"].clone();
    assert_eq!(last["outcome"], "undone", "{last}");
    assert!(without_file(&host, &["status"]).await.with(0).contains("undone: "));
    server.until("it is there again", |known| known.connections == 2 && known.healthy()).await;
    assert!(supervisor.stop().await.success());
    nothing_is_lost(&host, 100);
}

#[tokio::test]
async fn one_that_does_not_reach_the_server_in_time_goes_back_and_the_collector_runs_on() {
    let server = Server::start().await;
    let gate = Gate::start(&server, Rule::Open, None).await;
    let host = Host::new(&gate.endpoint("ws"), &fake_collector()).fake("").top(TRIAL);
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let collector = host.collector_pid();
    let at = |name: &str| host.dir.path().join(name).display().to_string();
    let (came, go) = (at("came"), at("go"));
    let late = format!("> {came}; while [ ! -e {go} ]; do sleep 0.02; done; exec $real \"$@\"");
    let late = script(&host, "late", &late);
    let words = ["reexec", "--executable", late.to_str().unwrap()];
    let (said, ()) = tokio::join!(host.command(&words), async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(10));
        while !std::path::Path::new(&came).exists() {
            tick.tick().await;
        }
        // Just while the new one begins, nobody reaches the server any more.
        gate.rule(Rule::Silent);
        fs::write(&go, "").unwrap();
        host.logs("this supervisor is given up").await;
        gate.rule(Rule::Open);
    });
    let said = said.with(1);
    assert!(said.contains("was undone: the server was not reached within 5s"), "{said}");
    server.until("it is there again", |known| known.connections == 2 && known.healthy()).await;
    assert_eq!((runs(&supervisor), host.collector_pid()), (built_supervisor(), collector));
    assert!(alive(collector));
    let state = fs::read_to_string(host.state().join("state.json")).unwrap();
    assert!(state.contains("\"failed\"") && !state.contains("\"trial\""), "{state}");
    assert!(supervisor.stop().await.success());
    // It is the active one from now on: no start tries the other again.
    let again = host.start();
    server.until("it is back", |known| known.connections == 3 && known.healthy()).await;
    assert_eq!(runs(&again), built_supervisor());
    assert!(again.stop().await.success());
}

#[tokio::test]
async fn where_the_server_was_away_before_standing_for_the_time_is_enough() {
    let host = Host::new("ws://127.0.0.1:9/v1/opamp", &fake_collector()).fake("").top(TRIAL);
    let supervisor = host.start();
    host.happens("ready").await;
    let (collector, new) = (host.collector_pid(), another(&host, "new"));
    let said = host.command(&["reexec", "--executable", new.to_str().unwrap()]).await.with(0);
    assert!(said.contains("proven"), "{said}");
    assert_eq!((runs(&supervisor), host.collector_pid()), (new, collector));
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_10_f_11_one_that_is_killed_in_its_trial_is_started_three_times_in_all() {
    let host = Host::new("ws://127.0.0.1:9/v1/opamp", &fake_collector())
        .fake("")
        .top("packages: {supervisor_trial: 1h}");
    let mut supervisor = host.start();
    host.happens("ready").await;
    let new = another(&host, "new");
    let words = ["reexec", "--executable", new.to_str().unwrap()];
    let reexec = host.command(&words);
    tokio::select! {
        said = reexec => panic!("it has an hour: {said:?}"),
        () = host.logs("runs on under this supervisor") => {}
    }
    for left in [2, 1, 0] {
        assert_eq!(runs(&supervisor), new);
        let trial = status(&host).await["supervisor"]["trial"].clone();
        assert_eq!(trial["tries_left"], left, "{trial}");
        assert!(trial["left_s"].as_u64().unwrap() > 3000);
        let collector = host.collector_pid();
        kill(supervisor.pid(), SIGKILL);
        let _ = supervisor.ended().await;
        gone(collector).await;
        supervisor = host.start();
        let (mut tick, pid) = (tokio::time::interval(std::time::Duration::from_millis(20)), supervisor.pid());
        let answers = async {
            while host.command(&["status", "-o", "json"]).await.json()["supervisor"]["pid"] != pid {
                tick.tick().await;
            }
        };
        tokio::time::timeout(super::super::harness::DEADLINE, answers).await.expect("it answers");
    }
    assert_eq!(runs(&supervisor), built_supervisor());
    let last = status(&host).await["supervisor"]["last"].clone();
    assert_eq!(last["outcome"], "undone");
    assert!(last["error"].as_str().unwrap().contains("ended 3 times"), "{last}");
    let state = fs::read_to_string(host.state().join("state.json")).unwrap();
    assert!(state.contains("\"failed\""), "it is remembered: {state}");
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn one_that_dies_at_once_is_replaced_by_the_packaged_one() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let collector = host.collector_pid();
    let dies = script(&host, "dies", "exit 3");
    let _ = host.command(&["reexec", "--executable", dies.to_str().unwrap()]).await;
    assert_eq!(supervisor.ended().await.0.code(), Some(3));
    gone(collector).await;
    // Whoever runs services starts it again and again.
    for _ in 0..2 {
        assert_eq!(host.start().ended().await.0.code(), Some(3), "another try");
    }
    let again = host.start();
    server.until("the packaged one runs", |known| known.connections == 2 && known.healthy()).await;
    assert_eq!(runs(&again), built_supervisor());
    assert!(again.stop().await.success());
}
