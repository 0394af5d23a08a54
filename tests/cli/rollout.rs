//! `opampctl package upload`, `offer`, `status`, `withdraw`, `retry`: with the real server, and agents that install what they
//! are offered, or do not.

use futures_util::{SinkExt, StreamExt};
use opamp::wire::{
    InstanceUid, attrs, frame,
    proto::{
        AgentDescription, AgentToServer, PackageDownloadDetails, PackageStatus, PackageStatusEnum,
        PackageStatuses, PackagesAvailable, ServerToAgent,
    },
};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use super::real::{SOON, Server};

const LIMIT: usize = 1 << 20;
/// Reports its state, takes packages and says what becomes of them.
const CAPABILITIES: u64 = 1 | 0x8 | 0x10;

fn uid(number: u8) -> InstanceUid {
    InstanceUid::from_bytes([number; 16])
}

/// What an agent does with what it is offered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Installs,
    Fails,
    /// It says that it downloads, and nothing more.
    Stalls,
}

/// An agent on linux/amd64 that lives until the server goes.
fn agent(server: &Server, number: u8, manner: Manner) {
    let url = format!("ws://{}/v1/opamp", server.opamp);
    let (heard, hearing) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
            let description = AgentDescription {
                identifying_attributes: vec![attrs::string("service.name", "otelcol")],
                non_identifying_attributes: vec![
                    attrs::string("os.type", "linux"),
                    attrs::string("host.arch", "amd64"),
                    attrs::string("host.name", format!("edge-{number}")),
                ],
            };
            let mut next = vec![AgentToServer { agent_description: Some(description), ..Default::default() }];
            let mut sequence_num = 0;
            loop {
                for message in next.drain(..) {
                    let (instance_uid, capabilities) = (uid(number).to_vec(), CAPABILITIES);
                    let message = AgentToServer { instance_uid, capabilities, sequence_num, ..message };
                    sequence_num += 1;
                    let bytes = frame::encode(&message, LIMIT).unwrap();
                    socket.send(Message::Binary(bytes.into())).await.unwrap();
                }
                let Some(Ok(received)) = socket.next().await else { return };
                let Message::Binary(bytes) = received else { continue };
                let _ = heard.send(());
                let received: ServerToAgent = frame::decode(&bytes, LIMIT).unwrap();
                if let Some(offer) = received.packages_available {
                    let said = |status| AgentToServer {
                        package_statuses: Some(statuses(&offer, status)),
                        ..Default::default()
                    };
                    next.push(said(PackageStatusEnum::Downloading));
                    match manner {
                        Manner::Installs => next.push(said(PackageStatusEnum::Installed)),
                        Manner::Fails => next.push(said(PackageStatusEnum::InstallFailed)),
                        Manner::Stalls => {}
                    }
                }
            }
        });
    });
    hearing.recv_timeout(SOON).expect("an answer of the server");
}

fn statuses(offer: &PackagesAvailable, status: PackageStatusEnum) -> PackageStatuses {
    let one = |(name, package): (&String, &opamp::wire::proto::PackageAvailable)| {
        let (done, failed) =
            (status == PackageStatusEnum::Installed, status == PackageStatusEnum::InstallFailed);
        let details =
            PackageDownloadDetails { download_percent: 40.0, download_bytes_per_second: 2.0 * 1_048_576.0 };
        let said = PackageStatus {
            name: name.clone(),
            agent_has_version: if done { package.version.clone() } else { String::new() },
            agent_has_hash: if done { package.hash.clone() } else { Vec::new() },
            server_offered_version: package.version.clone(),
            server_offered_hash: package.hash.clone(),
            status: status as i32,
            error_message: if failed { "no key\u{1b}[31m that is trusted".to_owned() } else { String::new() },
            download_details: (status == PackageStatusEnum::Downloading).then_some(details),
        };
        (name.clone(), said)
    };
    PackageStatuses {
        packages: offer.packages.iter().map(one).collect(),
        server_provided_all_packages_hash: offer.all_packages_hash.clone(),
        error_message: String::new(),
    }
}

/// A program for amd64, as far as its header goes, and its signature.
fn artefact(server: &Server, version: &str) -> String {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    bytes.extend(version.as_bytes());
    let path = server.dir.path().join(format!("otelcol-{version}"));
    std::fs::write(&path, bytes).unwrap();
    let path = path.to_str().unwrap().to_owned();
    let keys = server.dir.path().join("keys");
    let keys = keys.to_str().unwrap();
    server.run(&["package", "keygen", "--no-password", "-o", keys]);
    let key = format!("{keys}/minisign.key");
    let sign = ["package", "sign", &path, "--secret-key", &key, "--name", "otelcol", "--version", version];
    let said = server.run(&sign);
    assert_eq!(said.code, 0, "{said:?}");
    path
}

fn uploaded(server: &Server, version: &str) {
    let said = server.run(&["package", "upload", &artefact(server, version)]);
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn what_is_signed_is_uploaded_as_what_it_is_and_each_kind_of_host_extends_it() {
    let server = Server::start();
    let file = artefact(&server, "0.150.0");
    let made = server.run(&["package", "upload", &file]);
    assert_eq!((made.code, made.err.as_str()), (0, ""), "{made:?}");
    assert!(
        made.out
            .starts_with("agentpackage/otelcol-0.150.0 created: otelcol 0.150.0 for linux/amd64, 31 bytes"),
        "{made:?}"
    );
    let again = server.run(&["package", "upload", &file]);
    assert!(again.code == 0 && again.out.contains("unchanged"), "{again:?}");

    let arm = server.file("otelcol-arm", "another");
    let unsigned = server.run(&["package", "upload", &arm]);
    assert!(unsigned.code == 64 && unsigned.err.contains("--name is missing"), "{unsigned:?}");
    let told = ["package", "upload", &arm, "--name", "otelcol", "--version", "0.150.0", "--arch", "arm64"];
    let extended = server.run(&told);
    assert!(extended.code == 0 && extended.out.contains("extended"), "{extended:?}");
    assert!(extended.err.contains("not signed"), "{extended:?}");
    std::fs::write(&arm, "changed").unwrap();
    let changed = server.run(&told);
    assert!(changed.code == 64 && changed.err.contains("--replace"), "{changed:?}");
    let replaced = server.run(&[&told[..], &["--replace"]].concat());
    assert_eq!(replaced.code, 0, "{replaced:?}");
    let elsewhere =
        [&told[..6], &["0.151.0", "--arch", "arm64", "--url", "https://mirror.example/otelcol"]].concat();
    assert_eq!(server.run(&elsewhere).code, 0);

    let rows = server.run(&["get", "agentpackages"]).out;
    let rows: Vec<Vec<&str>> = rows.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["otelcol-0.150.0", "otelcol", "0.150.0", "TopLevel", "linux/amd64,linux/arm64"]);
    assert_eq!(rows[1], ["otelcol-0.151.0", "otelcol", "0.151.0", "TopLevel", "linux/arm64"]);
    let whole = server.run(&["get", "ap", "otelcol-0.150.0", "-o", "yaml"]).out;
    assert!(whole.contains("untrusted comment"), "{whole}");
    let whole = server.run(&["get", "ap", "otelcol-0.151.0", "-o", "yaml"]).out;
    assert!(whole.contains("downloadUrl: https://mirror.example/otelcol"), "{whole}");

    // What is signed is not told otherwise, and is not changed on the way.
    let lied = server.run(&["package", "upload", &file, "--version", "0.152.0"]);
    assert!(lied.code == 64 && lied.err.contains("the signature is for 0.150.0"), "{lied:?}");
    std::fs::write(&file, [&std::fs::read(&file).unwrap()[..], b"!"].concat()).unwrap();
    let tampered = server.run(&["package", "upload", &file, "--as", "other"]);
    assert!(tampered.code == 1 && tampered.err.contains("signature does not fit"), "{tampered:?}");
}

#[test]
fn an_offer_is_followed_until_all_have_it_and_its_exit_code_says_so() {
    let server = Server::start();
    uploaded(&server, "0.150.0");
    (1..=3).for_each(|number| agent(&server, number, Manner::Installs));
    let offer = ["package", "offer", "otelcol-0.150.0", "-l", "os.type=linux,service.name=otelcol", "--yes"];
    let done = server.run(&[&offer[..], &["--max-in-flight", "1", "--wait", "--timeout", "20s"]].concat());
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.starts_with("packageoffer/otelcol-0.150.0 created\n"), "{done:?}");
    assert!(done.out.ends_with("packageoffer/otelcol-0.150.0 Complete: 3 of 3 installed\n"), "{done:?}");
    for number in 1..=3 {
        assert!(done.out.contains(&format!("agent/{} otelcol 0.150.0 Installed\n", uid(number))), "{done:?}");
    }
    let spec: Value =
        serde_json::from_str(&server.run(&["get", "po", "otelcol-0.150.0", "-o", "json"]).out).unwrap();
    let selector = serde_json::json!({"identifyingAttributes": {"service.name": "otelcol"},
        "nonIdentifyingAttributes": {"os.type": "linux"}});
    assert_eq!((&spec["spec"]["selector"], &spec["spec"]["maxInFlight"]), (&selector, &serde_json::json!(1)));
    let again = server.run(&offer);
    assert!(again.out.contains("configured"), "{again:?}");
    let rows = server.run(&["get", "packageoffers"]).out;
    let row: Vec<&str> = rows.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, ["otelcol-0.150.0", "Complete", "otelcol-0.150.0", "3", "0", "0", "3", "0"]);
    let status = server.run(&["package", "status"]);
    assert_eq!(status.code, 0, "{status:?}");
    let row: Vec<&str> = status.out.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(row[1..], ["edge-1", "otelcol", "0.150.0", "0.150.0", "Installed", "-", "-", "-"]);
    let withdrawn = server.run(&["package", "withdraw", "otelcol-0.150.0"]);
    assert_eq!(withdrawn.out, "packageoffer/otelcol-0.150.0 withdrawn\n", "{withdrawn:?}");
    let gone = server.run(&["package", "withdraw", "otelcol-0.150.0"]);
    assert!(gone.code == 1 && gone.err.contains("there is no packageoffer"), "{gone:?}");
}

#[test]
fn an_offer_that_fails_is_stopped_and_says_why_and_retry_has_it_go_on() {
    let server = Server::start();
    uploaded(&server, "0.150.0");
    agent(&server, 1, Manner::Fails);
    let offer = ["package", "offer", "otelcol-0.150.0", "--agent", &uid(1).to_string(), "--name", "canary"];
    let failed = server.run(&[&offer[..], &["--wait"]].concat());
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.out.contains("canary Stopped: 0 of 1 installed, 1 failed"), "{failed:?}");
    assert!(
        failed.err.contains("no key[31m that is trusted") && !failed.err.contains('\u{1b}'),
        "{failed:?}"
    );
    let status = server.run(&["package", "status", "canary", "-o", "json"]);
    assert_eq!(status.code, 1, "{status:?}");
    let shown: Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!(shown[0]["agents"][0]["status"], "Failed");
    assert_eq!(shown[0]["packageOffer"]["status"]["phase"], "Stopped");
    let again = server.run(&["package", "retry", "canary"]);
    assert!(again.code == 0 && again.out.contains("goes on: 1 agents are at it"), "{again:?}");
    let watched = server.run(&["package", "status", "canary", "--watch"]);
    assert_eq!(watched.code, 1, "it fails again: {watched:?}");
    assert_eq!(server.run(&["package", "retry", "gone"]).code, 1);
}

#[test]
fn what_is_under_way_is_shown_as_far_as_it_is_and_is_not_over() {
    let server = Server::start();
    uploaded(&server, "0.150.0");
    agent(&server, 1, Manner::Stalls);
    let made = server.run(&["package", "offer", "otelcol-0.150.0", "--all", "--wait", "--timeout", "2s"]);
    assert_eq!(made.code, 75, "{made:?}");
    assert!(made.err.contains("0 of 1 agents have what is in it"), "{made:?}");
    let status = server.run(&["package", "status", "otelcol-0.150.0"]);
    assert_eq!(status.code, 75, "{status:?}");
    let row: Vec<&str> = status.out.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(row[1..], ["edge-1", "otelcol", "-", "0.150.0", "Downloading", "40%", "2.0", "MiB/s", "-"]);
}

const OBJECTS: &str = "
kind: PackageOffer
metadata: {name: fleet}
spec: {packages: [otelcol-0.150.0], maxInFlight: 20%, paused: true}
";

#[test]
fn offers_are_applied_and_what_is_wrong_is_said() {
    let server = Server::start();
    let file = server.file("offer.yaml", OBJECTS);
    let early = server.run(&["apply", "-f", &file]);
    assert!(early.code == 1 && early.err.contains("no such agent package"), "{early:?}");
    uploaded(&server, "0.150.0");
    assert_eq!(server.run(&["apply", "-f", &file]).out, "packageoffer/fleet created\n");
    assert_eq!(server.run(&["apply", "-f", &file]).out, "packageoffer/fleet unchanged\n");
    let nobody = server.run(&["package", "offer", "otelcol-0.150.0", "--all"]);
    assert!(nobody.code == 1 && nobody.err.contains("no agent"), "{nobody:?}");
    agent(&server, 1, Manner::Installs);
    let wrong = server.run(&["package", "offer", "otelcol-0.150.0", "--all", "--max-failed", "many"]);
    assert!(
        wrong.code == 1 && wrong.err.contains("neither a number of agents nor a percentage"),
        "{wrong:?}"
    );
    uploaded(&server, "0.151.0");
    for (package, code) in [("otelcol-0.150.0", 0), ("otelcol-0.151.0", 1)] {
        let said = server.run(&["package", "offer", package, "--all", "--wait", "--timeout", "20s"]);
        assert_eq!(said.code, code, "{said:?}");
        let why = "otelcol-0.150.0 and otelcol-0.151.0 give different packages";
        assert_eq!(said.err.contains(why), code == 1, "{said:?}");
    }
    let unknown = server.run(&["package", "offer", "otelcol-0.99.0", "--all"]);
    assert!(unknown.code == 1 && unknown.err.contains("get agentpackages"), "{unknown:?}");
    let status = server.run(&["package", "status", "fleet"]);
    assert!(status.code == 75 && status.out.contains("fleet Paused"), "{status:?}");
    assert_eq!(server.run(&["delete", "po", "fleet"]).out, "packageoffer/fleet deleted\n");
}

/// What a terminal shows of `opampctl`, and its exit code.
fn on_a_terminal(server: &Server, line: &str) -> (String, i32) {
    let shell = format!("exec {} {} {line}", env!("CARGO_BIN_EXE_opampctl"), server.flags());
    let output =
        std::process::Command::new("script").args(["-qec", &shell, "/dev/null"]).output().expect("script");
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code().unwrap())
}

#[test]
fn a_terminal_has_bars_that_move_and_nothing_else_has() {
    let server = Server::start();
    let file = artefact(&server, "0.150.0");
    let (shown, code) = on_a_terminal(&server, &format!("package upload {file}"));
    assert!(code == 0 && shown.contains("[########################] 100%"), "{shown}");
    agent(&server, 1, Manner::Stalls);
    let (shown, code) = on_a_terminal(&server, "package offer otelcol-0.150.0 --all --wait --timeout 2s");
    assert_eq!(code, 75, "{shown}");
    assert!(shown.contains("[#########---------------] 40%") && shown.contains("2.0 MiB/s"), "{shown}");
    assert!(shown.contains("\u{1b}[H\u{1b}[J"), "each picture takes the place of the one before: {shown}");
    let plain = server.run(&["package", "status", "otelcol-0.150.0"]);
    assert!(!plain.out.contains('[') && !plain.out.contains('\u{1b}'), "{plain:?}");
}
