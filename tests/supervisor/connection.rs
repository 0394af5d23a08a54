//! Another server, or other terms, by offer: tried by a real connection, kept when it proves itself, undone when it
//! does not.

use std::fs;

use nix::libc;
use opamp::wire::proto::{
    ConnectionSettingsOffers, ConnectionSettingsStatus, ConnectionSettingsStatuses as Status, Header,
    Headers, OpAmpConnectionSettings, ServerToAgent, TlsCertificate, TlsConnectionSettings,
};

use super::harness::{Ca, Gate, Host, Known, Rule, Server, der, fake_collector, kill};

/// A host that takes offers, with these lines under `server:`.
pub(super) fn host(server: &str) -> Host {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    Host::new_in(dir, "ws://unused", &fake_collector())
        .fake("")
        .server(server)
        .capability("accepts_opamp_connection_settings: true")
}

fn headers(authorization: &str) -> Option<Headers> {
    let header = Header { key: "Authorization".into(), value: authorization.into() };
    Some(Headers { headers: vec![header] })
}

pub(super) fn settings(endpoint: String) -> OpAmpConnectionSettings {
    OpAmpConnectionSettings {
        destination_endpoint: endpoint,
        heartbeat_interval_seconds: 30,
        ..Default::default()
    }
}

pub(super) async fn offer(server: &Server, hash: &[u8], opamp: OpAmpConnectionSettings) {
    let offers = ConnectionSettingsOffers { hash: hash.to_vec(), opamp: Some(opamp), ..Default::default() };
    server.say(ServerToAgent { connection_settings: Some(offers), ..Default::default() }).await;
}

fn told(known: &Known) -> ConnectionSettingsStatus {
    let status = known.view.as_ref().and_then(|view| view.report.connection_settings_status.clone());
    status.unwrap_or_default()
}

/// Waits for what came of an offer.
pub(super) async fn outcome(server: &Server, hash: &[u8], status: Status) -> ConnectionSettingsStatus {
    let is_it = |known: &Known| {
        let told = told(known);
        known.connected && told.last_connection_settings_hash == hash && told.status == status as i32
    };
    told(&server.until(&format!("offer {hash:?} is {status:?}"), is_it).await)
}

pub(super) fn state(host: &Host) -> String {
    ["state.json", "state.json.bak"].map(|name| fs::read_to_string(host.state().join(name)).unwrap()).concat()
}

/// A token to enrol with is given up for credentials of its own, on another server.
#[tokio::test]
async fn c_cs_01_02_03_04_05_06_09_c_tf_01_02_s_cs_04_an_offer_is_tried_kept_and_survives_a_restart() {
    let server = Server::start().await;
    let before = Gate::start(&server, Rule::Only("Bearer enrol-me"), None).await;
    let after = Gate::start(&server, Rule::Only("Bearer my-very-own"), None).await;
    let host = host(&format!(
        "endpoint: \"{}\", headers: {{Authorization: Bearer enrol-me}}",
        before.endpoint("ws")
    ));
    let supervisor = host.start();
    server.until("the agent is healthy", Known::healthy).await;
    let collector = host.collector_pid();

    let offered =
        OpAmpConnectionSettings { headers: headers("Bearer my-very-own"), ..settings(after.endpoint("ws")) };
    offer(&server, b"one", offered.clone()).await;
    outcome(&server, b"one", Status::Applied).await;
    let messages = server.messages();
    let goodbye = messages.iter().position(|message| message.agent_disconnect.is_some()).unwrap();
    let applying = messages.iter().position(|message| {
        let status = message.connection_settings_status.as_ref();
        status.is_some_and(|status| status.status == Status::Applying as i32)
    });
    assert!(applying.unwrap() <= goodbye, "it is told before the connection is left");
    assert_eq!(after.visitors().len(), 1);
    assert!(!host.log().contains("my-very-own") && !state(&host).contains("enrol-me"));
    let shown = host.command(&["status"]).await.with(0);
    assert!(shown.contains(&after.endpoint("ws")) && shown.contains("offered by the server"), "{shown}");
    assert!(!shown.contains("my-very-own"), "{shown}");

    // The same again touches nothing, and is answered from what is known.
    offer(&server, b"one", offered).await;
    offer(&server, b"", OpAmpConnectionSettings::default()).await;
    let answered = |known: &Known| told(known).last_connection_settings_hash != b"one";
    server.until("the one without a hash is answered", answered).await;
    assert_eq!((after.visitors().len(), before.visitors().len()), (1, 1));

    assert!(supervisor.stop().await.success());
    let supervisor = host.start();
    server.until("it is back", Known::healthy).await;
    assert_eq!((after.visitors().len(), before.visitors().len()), (2, 1), "the token is not used again");
    assert!(supervisor.stop().await.success());
    assert_ne!(host.written_down(), Some(collector));
}

#[tokio::test]
async fn c_cs_07_f_94_an_offer_that_does_not_work_is_undone_and_told() {
    let server = Server::start().await;
    let elsewhere = Gate::start(&server, Rule::Only("Bearer nobody-has-it"), None).await;
    let host = host(&format!("endpoint: \"{}\", settings_apply_timeout: 2s", server.endpoint));
    let supervisor = host.start();
    server.until("the agent is healthy", Known::healthy).await;
    let collector = host.collector_pid();

    let refused =
        OpAmpConnectionSettings { headers: headers("Bearer guessed"), ..settings(elsewhere.endpoint("ws")) };
    offer(&server, b"refused", refused).await;
    let failed = outcome(&server, b"refused", Status::Failed).await;
    assert!(failed.error_message.contains("401"), "{failed:?}");
    assert!(!state(&host).contains("guessed"), "what is not kept is forgotten");
    assert!(!elsewhere.visitors().is_empty());

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    offer(&server, b"nobody", settings(format!("ws://127.0.0.1:{port}/v1/opamp"))).await;
    let failed = outcome(&server, b"nobody", Status::Failed).await;
    assert!(failed.error_message.contains("in the time that a trial has"), "{failed:?}");
    assert!(failed.error_message.contains("refused"), "{failed:?}");

    // It said goodbye before each trial, and never told the failure to who had nothing to do with it.
    let known = server.until("it is back", Known::healthy).await;
    assert_eq!((known.connections, known.goodbyes), (3, 2));
    assert_eq!(host.collector_pid(), collector, "the Collector runs on");
    assert!(!host.log().contains("guessed"));
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn c_cs_03_a_trial_that_a_kill_cut_short_is_resumed_or_undone() {
    for (then, status) in
        [(Rule::Open, Status::Applied), (Rule::Only("Bearer nobody-has-it"), Status::Failed)]
    {
        let server = Server::start().await;
        let elsewhere = Gate::start(&server, Rule::Silent, None).await;
        let host = host(&format!("endpoint: \"{}\"", server.endpoint));
        let supervisor = host.start();
        server.until("the agent is healthy", Known::healthy).await;
        offer(&server, b"one", settings(elsewhere.endpoint("ws"))).await;
        elsewhere.visited(|_| true).await;
        kill(supervisor.pid(), libc::SIGKILL);
        supervisor.ended().await;
        elsewhere.rule(then);
        let came = elsewhere.visitors().len();
        let supervisor = host.start();
        outcome(&server, b"one", status).await;
        assert!(elsewhere.visitors().len() > came, "it is tried again first");
        assert!(supervisor.stop().await.success());
    }
}

#[tokio::test]
async fn the_file_has_the_last_word_over_what_was_offered_before() {
    let server = Server::start().await;
    let (first, offered, third) = (
        Gate::start(&server, Rule::Open, None).await,
        Gate::start(&server, Rule::Open, None).await,
        Gate::start(&server, Rule::Open, None).await,
    );
    let mut host = host(&format!("endpoint: \"{}\"", first.endpoint("ws")));
    let supervisor = host.start();
    server.until("the agent is healthy", Known::healthy).await;
    offer(&server, b"one", settings(offered.endpoint("ws"))).await;
    outcome(&server, b"one", Status::Applied).await;
    // Something else in the file is no reason to go back.
    host = host.agent("config_apply_timeout: 50s");
    host.write();
    host.logs("agent.config_apply_timeout changed").await;
    assert_eq!(first.visitors().len(), 1);
    host = host.server(&format!("endpoint: \"{}\"", third.endpoint("ws")));
    host.write();
    third.visited(|visitor| visitor.let_in).await;
    host.logs("what the server offered for its connection is forgotten").await;
    server.until("it is back", Known::healthy).await;
    assert!(supervisor.stop().await.success());
    assert!(!state(&host).contains(&offered.address.to_string()));
}

#[tokio::test]
async fn c_ct_01_02_08_09_b_ct_01_certificates_and_cas_are_replaced_by_those_that_worked() {
    let server = Server::start().await;
    let (old, new, clients) = (Ca::new("old"), Ca::new("new"), Ca::new("clients"));
    let before = Gate::start(&server, Rule::Open, Some(old.acceptor(None))).await;
    let after = Gate::start(&server, Rule::Open, Some(new.acceptor(Some(&clients)))).await;
    let ca_file = tempfile::NamedTempFile::new().unwrap();
    fs::write(ca_file.path(), &old.pem).unwrap();
    let host = host(&format!(
        "endpoint: \"{}\", tls: {{ca_file: \"{}\"}}",
        before.endpoint("wss"),
        ca_file.path().display()
    ));
    let supervisor = host.start();
    server.until("the agent is healthy", Known::healthy).await;

    // Without TLS, without a check, by a CA that is not known: never.
    let plain = settings(server.endpoint.clone());
    let unchecked = TlsConnectionSettings { insecure_skip_verify: true, ..Default::default() };
    let unchecked = OpAmpConnectionSettings { tls: Some(unchecked), ..settings(after.endpoint("wss")) };
    let weaker = [(plain, "without TLS"), (unchecked, "insecure_skip_verify")];
    for (number, (weaker, words)) in weaker.into_iter().enumerate() {
        let hash = format!("weaker {number}");
        offer(&server, hash.as_bytes(), weaker).await;
        let failed = outcome(&server, hash.as_bytes(), Status::Failed).await;
        assert!(failed.error_message.contains(words), "{failed:?}");
    }
    offer(&server, b"stranger", settings(after.endpoint("wss"))).await;
    let failed = outcome(&server, b"stranger", Status::Failed).await;
    assert!(failed.error_message.contains("nobody who is trusted vouches"), "{failed:?}");
    assert_eq!(after.visitors(), []);

    let offered = |(cert, key): &(String, String)| {
        let certificate = TlsCertificate {
            cert: cert.clone().into(),
            private_key: key.clone().into(),
            ..Default::default()
        };
        let tls = TlsConnectionSettings {
            ca_pem_contents: new.pem.clone(),
            min_version: "TLSv1.3".into(),
            ..Default::default()
        };
        OpAmpConnectionSettings {
            certificate: Some(certificate),
            tls: Some(tls),
            ..settings(after.endpoint("wss"))
        }
    };
    let (one, two) = (clients.issue("one"), clients.issue("two"));
    offer(&server, b"mtls", offered(&one)).await;
    outcome(&server, b"mtls", Status::Applied).await;
    assert_eq!(after.visitors()[0].certificate, Some(der(&one.0)));

    // Only a header: certificate and CA stay. Only a certificate: it takes the place of the one before.
    offer(
        &server,
        b"header",
        OpAmpConnectionSettings { headers: headers("Bearer x-y-z"), ..settings(String::new()) },
    )
    .await;
    outcome(&server, b"header", Status::Applied).await;
    let came = after.visited(|visitor| visitor.authorization.is_some()).await;
    assert_eq!((came.authorization.as_deref(), came.certificate), (Some("Bearer x-y-z"), Some(der(&one.0))));
    let certificate = offered(&two).certificate;
    offer(&server, b"cert", OpAmpConnectionSettings { certificate, ..settings(String::new()) }).await;
    outcome(&server, b"cert", Status::Applied).await;
    let came = after.visited(|visitor| visitor.certificate == Some(der(&two.0))).await;
    assert_eq!(came.authorization.as_deref(), Some("Bearer x-y-z"));
    let (state, first) = (state(&host), one.1.lines().nth(1).unwrap());
    assert!(!state.contains(first), "the first key is forgotten");
    let secret = two.1.lines().nth(1).unwrap();
    let bundle = host.dir.path().join("diag.tar.gz");
    host.command(&["diag", "--output", bundle.to_str().unwrap()]).await.with(0);
    assert!(state.contains(secret) && !host.log().contains(secret));
    let unpacked = std::process::Command::new("tar").arg("xzOf").arg(&bundle).output().unwrap();
    let unpacked = String::from_utf8_lossy(&unpacked.stdout);
    assert!(unpacked.contains("instance_uid") && !unpacked.contains(secret) && !unpacked.contains("x-y-z"));
    assert!(supervisor.stop().await.success());
}
