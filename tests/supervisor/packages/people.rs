//! What people on the host see and do: `status`, `rollback`, `pause`; and add-ons.

use std::fs;

use opamp::wire::proto::{PackageType, RemoteConfigStatuses};

use super::{
    FAILED, INSTALLED, host, host_with, install, push, runs, say,
    store::{Says, Store, archive, offer},
};
use crate::harness::{Server, config};

#[tokio::test]
async fn status_tells_versions_and_the_trial_and_rollback_ends_it() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host_with(&server, &store, "trial: {first_health: 20s, healthy_for: 600s}");
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    assert!(host.command(&["status", "-o", "json"]).await.json()["packages"].is_null());
    say(&server, &offer(&[("otelcol", &store.collector("0.150.0", ""))])).await;
    runs(&server, "0.150.0").await;
    let status = host.command(&["status", "-o", "json"]).await.json();
    let left = status["packages"]["trial"]["healthy_left_s"].as_u64().unwrap();
    assert!((1..=600).contains(&left), "{status}");
    assert_eq!(status["packages"]["packages"][0]["status"], "installing");
    assert_eq!(
        (&status["agent"]["version"], &status["packages"]["trial"]["tries_left"]),
        (&"0.150.0".into(), &2.into())
    );
    let shown = host.command(&["status"]).await.with(0);
    assert!(
        shown.contains("on trial    0.150.0, ") && shown.contains("`opamp-supervisor rollback` ends it"),
        "{shown}"
    );
    let said = host.command(&["rollback"]).await.with(0);
    assert!(
        said.contains("the trial is ended")
            && said.contains("0.149.0")
            && said.contains("is healthy with it"),
        "{said}"
    );
    let failed = |known: &crate::harness::Known| known.package("otelcol").status == FAILED;
    let known = server.until("the server hears of it", failed).await;
    assert!(known.package("otelcol").error_message.contains("rolled back by a person on the host"));
    runs(&server, "0.149.0").await;
    let shown = host.command(&["status"]).await.with(0);
    assert!(shown.contains("packages    otelcol not installed, offered 0.150.0: install failed"), "{shown}");
    assert!(supervisor.stop().await.success());
    let shown = host.command(&["status"]).await.with(3);
    assert!(shown.contains("otelcol not installed, offered 0.150.0: install failed"), "{shown}");
}

#[tokio::test]
async fn rollback_of_a_package_goes_back_at_once_tells_the_server_and_lasts() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host(&server, &store);
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let said = host.command(&["rollback", "--package"]).await.with(1);
    assert!(said.contains("there is no Collector to go back to"), "{said}");
    assert_eq!(install(&server, &store.collector("0.150.0", "")).await.status, INSTALLED);
    let shown = host.command(&["status"]).await.with(0);
    assert!(shown.contains("`rollback --package` goes back to agent.executable"), "{shown}");
    let said = host.command(&["rollback", "--package"]).await.with(0);
    assert!(said.contains("back from otelcol-fake 0.150.0 to otelcol-fake 0.149.0"), "{said}");
    assert!(said.contains("is healthy with it"), "{said}");
    let status = host.command(&["status", "-o", "json"]).await.json();
    assert_eq!(status["agent"]["version"], "0.149.0");
    assert!(supervisor.stop().await.success());
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let known = server.until("the server is told", |known| known.package("otelcol").status == FAILED).await;
    assert!(known.package("otelcol").error_message.contains("rolled back by a person on the host"));
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn c_pk_05_an_add_on_is_there_by_its_path_and_goes_when_it_is_offered_no_more() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host(&server, &store);
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let add_on = |version: &'static str| {
        let files = archive(&[("db/cities.mmdb", 0o644, version.as_bytes())]);
        let mut package = store.add(files, &Says { name: "geoip", ..Says::version(version) });
        package.r#type = PackageType::Addon as i32;
        package
    };
    let path = host.state().join("addons/geoip/current/db/cities.mmdb");
    let pid = host.collector_pid();
    let one = offer(&[("geoip", &add_on("1.0.0"))]);
    assert_eq!(push(&server, &one).await.package("geoip").status, INSTALLED);
    assert_eq!(fs::read_to_string(&path).unwrap(), "1.0.0");
    assert_eq!(host.collector_pid(), pid, "nobody reads it yet, so nobody is disturbed");
    let named = format!(
        "receivers: {{nop: }}\nexporters: {{nop: }}\n# {}\nservice: {{pipelines: {{traces: {{receivers: [nop], exporters: [nop]}}}}}}\n",
        path.display()
    );
    let pushed = config("a", &named);
    assert_eq!(server.push(&pushed).await.status, RemoteConfigStatuses::Applied as i32);
    let pid = host.collector_pid();
    let two = offer(&[("geoip", &add_on("2.0.0"))]);
    let told = push(&server, &two).await.package("geoip");
    assert_eq!((told.status, told.agent_has_version.as_str()), (INSTALLED, "2.0.0"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "2.0.0");
    server.until("it is well with it", |known| known.healthy()).await;
    assert!(host.runs_another(pid), "who reads it reads it anew");
    let none = offer(&[]);
    server.offer_packages(&none).await;
    host.logs("stays while a config names it").await;
    assert!(path.exists());
    let other = config("b", &named.replace("/db/cities.mmdb", "").replace("addons", "elsewhere"));
    assert_eq!(server.push(&other).await.status, RemoteConfigStatuses::Applied as i32);
    assert!(supervisor.stop().await.success());
    let supervisor = host.start();
    server.until("it is gone", |known| known.connections == 2 && known.packages().packages.is_empty()).await;
    assert!(!host.state().join("addons/geoip").exists());
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn an_add_on_that_the_collector_is_not_well_with_is_taken_back() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host(&server, &store);
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let path = host.state().join("addons/rules/current");
    let body = format!(
        "receivers: {{nop: }}\nexporters: {{nop: }}\n# {}\nservice: {{pipelines: {{traces: {{receivers: [nop], exporters: [nop]}}}}}}\n",
        path.display()
    );
    assert_eq!(server.push(&config("a", &body)).await.status, RemoteConfigStatuses::Applied as i32);
    let files = archive(&[("rules.yaml", 0o644, b"broken")]);
    let mut package = store.add(files, &Says { name: "rules", ..Says::version("1.0.0") });
    package.r#type = PackageType::Addon as i32;
    fs::write(host.dir.path().join("switches"), "crash_at_start").unwrap();
    let offered = offer(&[("rules", &package)]);
    say(&server, &offered).await;
    host.happens("exit 1").await;
    let told =
        server.until("it failed", |known| known.package("rules").status == FAILED).await.package("rules");
    assert!(
        told.error_message.contains("twice") && told.error_message.contains("rules is taken away again"),
        "{told:?}"
    );
    assert!(!path.exists());
    fs::write(host.dir.path().join("switches"), "").unwrap();
    server.until("it is well again", |known| known.healthy()).await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn a_config_that_comes_with_an_add_on_waits_for_it() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host(&server, &store);
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let files = archive(&[("cities.mmdb", 0o644, b"1")]);
    let mut package = store.add(files, &Says { name: "geoip", ..Says::version("1.0.0") });
    package.r#type = PackageType::Addon as i32;
    let path = host.state().join("addons/geoip/current/cities.mmdb");
    let pushed = config("a", &format!("receivers: {{nop: }}\nexporters: {{nop: }}\n# {}\n", path.display()));
    let together = opamp::wire::proto::ServerToAgent {
        packages_available: Some(offer(&[("geoip", &package)])),
        remote_config: Some(pushed.clone()),
        ..Default::default()
    };
    server.say(together).await;
    host.logs("the offered config waits for the package").await;
    let known = server.until("the config is applied", |known| known.settled(&pushed)).await;
    assert_eq!(
        (known.status().status, known.package("geoip").status),
        (RemoteConfigStatuses::Applied as i32, INSTALLED)
    );
    assert!(path.exists() && supervisor.stop().await.success());
}
