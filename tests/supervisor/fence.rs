//! Restricted mode on the built binary: a remote config that asks for more than the host allows is refused with
//! its place, and nothing is fetched, started or touched on the way.

use std::{fs, path::Path, time::Duration};

use nix::libc::SIGKILL;
use opamp::wire::proto::{RemoteConfigStatus, RemoteConfigStatuses};

use super::harness::{Host, Server, config, fake_collector, kill, real_collector};

const WITHIN: &str = "receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}\nexporters: {debug: {}}\n\
                      service: {telemetry: {metrics: {level: none}}, pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}\n";

const RESTRICTIONS: &str = "restrictions:\n  components: {receivers: [otlp], exporters: [debug, nop], extensions: [health_check]}\n  \
                            paths: {allow: [/var/log]}\n  endpoints: {allow: [127.0.0.1, \"*.good.example\"]}\n  env: {allow: [TOKEN]}\n";

fn is(status: &RemoteConfigStatus, wanted: RemoteConfigStatuses) -> bool {
    status.status == wanted as i32
}

fn restricted(server: &Server, executable: &Path) -> Host {
    Host::new(&server.endpoint, executable).top(RESTRICTIONS)
}

#[tokio::test]
async fn c_se_05_06_what_is_within_the_restrictions_is_applied_and_the_rest_touches_nothing() {
    let server = Server::start().await;
    let host = restricted(&server, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let status = server.push(&config("p.yaml", WITHIN)).await;
    assert!(is(&status, RemoteConfigStatuses::Applied), "{status:?}");
    let (collector, events) = (host.collector_pid(), host.deeds());
    for (change, place, words) in [
        (("debug: {}", "kafka: {}"), "p.yaml:2:13", "allowed is debug, nop"),
        (("127.0.0.1:0", "evil.example:80"), "p.yaml:1:", "evil.example:80 is not allowed"),
        (("debug: {}", "debug: {output_paths: [/etc/cron.d/x]}"), "p.yaml:2:", "allowed is /var/log"),
        (("debug: {}", "debug: {x: '${file:/etc/shadow}'}"), "p.yaml:2:", "${file:…}"),
        (("debug: {}", "debug: {x: '${env:SECRET}'}"), "p.yaml:2:", "allowed is TOKEN"),
        (("debug: {}", "debug: &a {}"), "p.yaml:2:", "an anchor"),
        (("service:", "extensions: {opamp: {}}\nservice:"), "p.yaml:3:14", "the supervisor's own"),
    ] {
        let status = server.push(&config("p.yaml", &WITHIN.replace(change.0, change.1))).await;
        assert!(is(&status, RemoteConfigStatuses::Failed), "{change:?}: {status:?}");
        let said = &status.error_message;
        assert!(said.contains(place) && said.contains(words), "{change:?}: {said}");
    }
    assert_eq!((host.collector_pid(), host.deeds()), (collector, events), "nothing was touched");
    assert!(supervisor.stop().await.success());
}

/// The Collector's own `validate` would resolve each of these.
#[tokio::test]
async fn f_81_nothing_is_fetched_when_a_config_is_judged() {
    let server = Server::start().await;
    let tempting = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    tempting.set_nonblocking(true).unwrap();
    let url = format!("http://{}/x", tempting.local_addr().unwrap());
    let host = restricted(&server, &real_collector()).env("SECRET", "s3cr3t-value");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let secret = host.dir.path().join("secret");
    fs::write(&secret, "s3cr3t-value").unwrap();
    let references =
        [format!("${{file:{}}}", secret.display()), format!("${{{url}}}"), "${env:SECRET}".to_owned()];
    for reference in references {
        let body = WITHIN.replace("debug: {}", &format!("debug: {{verbosity: '{reference}'}}"));
        let status = server.push(&config("p.yaml", &body)).await;
        assert!(is(&status, RemoteConfigStatuses::Failed), "{reference}: {status:?}");
        assert!(status.error_message.starts_with("p.yaml:2:"), "{}", status.error_message);
        assert!(!status.error_message.contains("s3cr3t"), "{}", status.error_message);
    }
    assert!(tempting.accept().is_err(), "nobody has knocked");
    assert!(supervisor.stop().await.success());
}

/// The real Collector ends a comment where YAML 1.2 does not: what it would run is not what a rule would see.
#[tokio::test]
async fn c_se_01_a_config_that_the_collector_reads_differently_is_refused() {
    let server = Server::start().await;
    let hidden =
        format!("{WITHIN}# harmless\u{85}extensions: {{health_check: {{endpoint: '127.0.0.1:0'}}}}\n");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.yaml");
    fs::write(&file, &hidden).unwrap();
    let printed = std::process::Command::new(real_collector())
        .args(["print-config", "--feature-gates=otelcol.printInitialConfig", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    let read = String::from_utf8_lossy(&printed.stdout);
    assert!(read.contains("health_check"), "the Collector sees more than the text shows: {read}");

    let host = restricted(&server, &real_collector());
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let status = server.push(&config("p.yaml", &hidden)).await;
    assert!(is(&status, RemoteConfigStatuses::Failed), "{status:?}");
    assert!(status.error_message.starts_with("p.yaml:4:11: two YAML parsers"), "{}", status.error_message);
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn a_stored_config_that_is_not_within_new_restrictions_is_not_run_again() {
    let server = Server::start().await;
    let host = Host::new(&server.endpoint, &fake_collector()).fake("");
    let supervisor = host.start();
    server.until("the agent is healthy", |known| known.healthy()).await;
    let offer = config("p.yaml", &WITHIN.replace("debug", "nop"));
    assert!(is(&server.push(&offer).await, RemoteConfigStatuses::Applied));
    let host = host.top("restrictions: {components: {exporters: [debug]}}\n");
    fs::write(host.dir.path().join("supervisor.yaml"), host.yaml()).unwrap();
    server
        .until("the reload is refused", |known| {
            let health = known.view.as_ref().and_then(|view| view.report.health.clone()).unwrap_or_default();
            let remark = health.component_health_map.get("supervisor:supervisor.yaml");
            remark.is_some_and(|remark| remark.last_error.contains("stored is not within them"))
        })
        .await;
    kill(supervisor.pid(), SIGKILL);
    supervisor.ended().await;

    let supervisor = host.start();
    let known = server.until("it runs without it, and says why", |known| {
        let failed = is(&known.status(), RemoteConfigStatuses::Failed);
        known.connections == 2 && known.healthy() && failed && !known.effective().contains("otlp")
    });
    let said = known.await.status().error_message;
    assert!(said.contains("exporter \"nop\" is not allowed; allowed is debug"), "{said}");
    assert!(host.log().contains("not within restrictions any more"));

    // Others come into force without a restart.
    let text = host.yaml().replace("[debug]", "[debug, nop]");
    fs::write(host.dir.path().join("supervisor.yaml"), text).unwrap();
    let looked_at = async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while !host.log().contains("restrictions changed") {
            tick.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looked_at).await.expect("the file is read again");
    let status = server.push(&config("q.yaml", &WITHIN.replace("debug", "nop"))).await;
    assert!(is(&status, RemoteConfigStatuses::Applied), "{status:?}");
    assert!(supervisor.stop().await.success());
}
