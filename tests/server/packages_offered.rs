//! Packages on their way to agents: who is offered what and when, what agents say of it, and how an offer ends.

use opamp::wire::proto::{
    AgentToServer, DownloadableFile, PackageDownloadDetails, PackageStatus, PackageStatusEnum,
    PackageStatuses, PackagesAvailable, ServerToAgent,
};
use serde_json::{Value, json};

use crate::{
    agent::{CAPABILITIES, Identity, LIMIT, Socket, exchange},
    harness::{Bench, http},
    packages::upload,
    secure::{Closed, credential, taking_settings},
};

const PACKAGES: &str = "/api/v1/namespaces/default/agentpackages";
const OFFERS: &str = "/api/v1/namespaces/default/packageoffers";
/// Takes packages, and says what comes of them.
const ABLE: u64 = 0x8 | 0x10;

fn able(message: AgentToServer) -> AgentToServer {
    AgentToServer { capabilities: message.capabilities | ABLE, ..message }
}

/// The first message of an agent on a host of this kind.
fn hello(agent: &mut Identity, arch: &str) -> AgentToServer {
    let mut message = able(agent.full_report());
    let description = message.agent_description.as_mut().unwrap();
    description.non_identifying_attributes.push(opamp::wire::attrs::string("host.arch", arch));
    message
}

/// Says where the agent is with everything that it was offered.
fn says(
    agent: &mut Identity,
    offer: &PackagesAvailable,
    status: PackageStatusEnum,
    error: &str,
) -> AgentToServer {
    let one = |(name, package): (&String, &opamp::wire::proto::PackageAvailable)| {
        let has = status == PackageStatusEnum::Installed;
        let details = PackageDownloadDetails { download_percent: 40.0, download_bytes_per_second: 1024.0 };
        let said = PackageStatus {
            name: name.clone(),
            agent_has_version: if has { package.version.clone() } else { String::new() },
            agent_has_hash: if has { package.hash.clone() } else { Vec::new() },
            server_offered_version: package.version.clone(),
            server_offered_hash: package.hash.clone(),
            status: status as i32,
            error_message: error.to_owned(),
            download_details: (status == PackageStatusEnum::Downloading).then_some(details),
        };
        (name.clone(), said)
    };
    let statuses = PackageStatuses {
        packages: offer.packages.iter().map(one).collect(),
        server_provided_all_packages_hash: offer.all_packages_hash.clone(),
        error_message: String::new(),
    };
    able(AgentToServer { package_statuses: Some(statuses), ..agent.heartbeat() })
}

async fn post(bench: &Bench, path: &str, body: Value) -> Value {
    let answer = bench.api("POST", path, Some(body)).await;
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
    answer.json()
}

/// Uploads a file for one kind of host and makes a package of it.
async fn package(bench: &Bench, name: &str, version: &str, bytes: &[u8]) -> String {
    let file = upload(bench, bytes).await;
    let spec = json!({"packageName": "otelcol", "packageType": "TopLevel", "version": version,
        "variants": [{"os": "linux", "arch": "amd64", "file": file, "signature": ""}]});
    post(bench, PACKAGES, json!({"metadata": {"name": name}, "spec": spec})).await;
    file
}

async fn offer(bench: &Bench, name: &str, spec: Value) -> Value {
    post(bench, OFFERS, json!({"kind": "PackageOffer", "metadata": {"name": name}, "spec": spec})).await
}

/// The file of the only package.
fn only(offer: &PackagesAvailable) -> &DownloadableFile {
    assert_eq!(offer.packages.len(), 1);
    offer.packages.values().next().unwrap().file.as_ref().unwrap()
}

async fn phase(bench: &Bench, name: &str, wanted: &str) -> Value {
    bench.until(&format!("{OFFERS}/{name}"), |offer| offer["status"]["phase"] == wanted).await["status"]
        .clone()
}

#[tokio::test]
async fn s_pk_01_02_04_an_agent_that_accepts_packages_is_offered_what_it_can_download() {
    let bench = Bench::new().await;
    let file = package(&bench, "otelcol-150", "0.150.0", b"collector").await;
    let (mut agent, mut other) = (Identity::new(1), Identity::new(2));
    let mut socket = Socket::connect(bench.server.opamp).await;
    assert_eq!(socket.ask(&hello(&mut agent, "amd64")).await.packages_available, None);
    let mut deaf = Socket::connect(bench.server.opamp).await;
    deaf.ask(&other.full_report()).await;
    let made = offer(&bench, "all", json!({"packages": ["otelcol-150"], "maxInFlight": "100%"})).await;
    assert_eq!((&made["status"]["phase"], &made["status"]["targets"]), (&json!("Progressing"), &json!(1)));
    assert_eq!(made["status"]["excluded"], 1);

    let offered = socket.recv().await.packages_available.unwrap();
    assert_eq!(offered.all_packages_hash.len(), 32);
    let package = &offered.packages["otelcol"];
    assert_eq!((package.version.as_str(), package.hash.len(), package.r#type), ("0.150.0", 32, 0));
    let from = only(&offered);
    assert_eq!(from.download_url, format!("http://{}/packages/{file}", bench.server.opamp));
    assert_eq!((data_encoding::HEXLOWER.encode(&from.content_hash), &from.headers), (file.clone(), &None));
    let path = from.download_url.split_once("/packages/").unwrap().1;
    let downloaded = http(bench.server.opamp, "GET", &format!("/packages/{path}"), &[], b"").await;
    assert_eq!(downloaded.body, b"collector");
    let numbers = bench.api("GET", "/metrics", None).await.text();
    for line in ["downloads_total 1", "download_bytes_total 9", "downloads_active 0", "offers_total 1"] {
        assert!(numbers.contains(&format!("\nopamp_server_package_{line}\n")), "{line} in {numbers}");
    }

    // The other one is told nothing, and operators why.
    let answer = deaf.ask(&other.heartbeat()).await;
    assert_eq!(answer.packages_available, None);
    let shown = bench.get(&other.path()).await["status"].clone();
    assert_eq!(
        (&shown["packagesState"], &shown["packageRefusals"][0]["offer"]),
        (&json!("Unmanaged"), &json!("all"))
    );
    assert!(shown["packageRefusals"][0]["message"].as_str().unwrap().contains("AcceptsPackages"), "{shown}");
    let mut strange = Identity::new(3);
    let mut socket = Socket::connect(bench.server.opamp).await;
    socket.ask(&hello(&mut strange, "riscv64")).await;
    let shown = bench.get(&strange.path()).await["status"].clone();
    assert_eq!(shown["packagesState"], "Unresolved");
    let problems = bench.get(&format!("{OFFERS}/all")).await["status"]["problems"].clone();
    assert_eq!(problems[0]["instanceUid"], json!(strange.uid));
    assert!(problems[0]["message"].as_str().unwrap().contains("no variant for linux/riscv64"), "{problems}");
}

#[tokio::test]
async fn s_pk_06_packages_are_offered_until_their_hash_is_echoed_and_what_the_agent_says_is_shown() {
    let bench = Bench::new().await;
    package(&bench, "otelcol-150", "0.150.0", b"collector").await;
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    socket.ask(&hello(&mut agent, "amd64")).await;
    offer(&bench, "all", json!({"packages": ["otelcol-150"]})).await;
    let offered = socket.recv().await.packages_available.unwrap();
    let heard = |answer: &ServerToAgent| answer.packages_available.is_some();
    assert!(!heard(&socket.ask(&able(agent.heartbeat())).await), "it is on its way");
    let mut stale = offered.clone();
    stale.all_packages_hash = vec![1];
    let report = says(&mut agent, &stale, PackageStatusEnum::Downloading, "");
    assert!(heard(&socket.ask(&report).await), "it names another hash");
    let report = says(&mut agent, &offered, PackageStatusEnum::Downloading, "");
    assert!(!heard(&socket.ask(&report).await), "it has heard");

    let shown = bench.get(&agent.path()).await["status"].clone();
    assert_eq!(shown["packagesState"], "Downloading");
    let hash = data_encoding::HEXLOWER.encode(&offered.packages["otelcol"].hash);
    assert_eq!(
        shown["packageStatuses"]["packages"]["otelcol"],
        json!({"name": "otelcol", "agentHasVersion": "", "agentHasHash": "", "serverOfferedVersion": "0.150.0",
            "serverOfferedHash": hash, "status": "Downloading", "errorMessage": "",
            "downloadDetails": {"downloadPercent": 40.0, "downloadBytesPerSecond": 1024.0}})
    );
    assert_eq!(shown["packageStatuses"]["serverProvidedAllPackagesHash"], shown["desiredPackagesHash"]);
    assert_eq!(shown["desiredPackages"]["otelcol"]["packageOffers"], json!(["all"]));
    let summary = bench.get(&format!("{OFFERS}/all/agents?view=summary")).await;
    assert_eq!(summary["items"][0]["status"]["desiredPackages"]["otelcol"]["state"], "Downloading");

    // Across a restart of the server, and on the other transport.
    drop(socket);
    let bench = bench.restart().await;
    assert_eq!(phase(&bench, "all", "Progressing").await["inFlight"], 1);
    let answer = exchange(bench.server.opamp, &able(agent.heartbeat())).await;
    assert!(!heard(&answer), "what it has heard is not said again");
    let installed = says(&mut agent, &offered, PackageStatusEnum::Installed, "");
    assert!(!heard(&exchange(bench.server.opamp, &installed).await));
    let status = phase(&bench, "all", "Complete").await;
    assert_eq!((&status["installed"], &status["targets"]), (&json!(1), &json!(1)));
    let conditions = bench.get(&agent.path()).await["status"]["conditions"].clone();
    let told = conditions.as_array().unwrap().iter().find(|one| one["type"] == "PackagesInstalled").unwrap();
    assert_eq!((&told["status"], &told["reason"]), (&json!("True"), &json!("Installed")));

    // Withdrawn, it is taken back once.
    assert_eq!(bench.api("DELETE", &format!("{OFFERS}/all"), None).await.status, 204);
    let none = exchange(bench.server.opamp, &able(agent.heartbeat())).await.packages_available.unwrap();
    assert_eq!((none.packages.len(), none.all_packages_hash.len()), (0, 32));
    let report = says(&mut agent, &none, PackageStatusEnum::Installed, "");
    assert!(!heard(&exchange(bench.server.opamp, &report).await));
    assert_eq!(bench.get(&agent.path()).await["status"]["packagesState"], "Unmanaged");
}

/// The agent whose turn it is.
async fn next_of(bench: &Bench, agents: &[(Identity, Socket)]) -> usize {
    let pending = |list: &Value| {
        let all = list["items"].as_array().into_iter().flatten();
        all.filter(|agent| agent["status"]["packagesState"] == "Pending").count() == 1
    };
    let list = bench.until(&format!("{OFFERS}/all/agents"), pending).await;
    let all = list["items"].as_array().unwrap();
    let one = all.iter().find(|agent| agent["status"]["packagesState"] == "Pending").unwrap();
    let found = agents.iter().position(|(agent, _)| one["metadata"]["instanceUid"] == json!(agent.uid));
    found.unwrap()
}

#[tokio::test]
async fn one_at_a_time_until_too_many_fail_and_on_when_somebody_tries_again() {
    let bench = Bench::new().await;
    package(&bench, "otelcol-150", "0.150.0", b"collector").await;
    let mut agents = Vec::new();
    for last in 1..=3 {
        let (mut agent, mut socket) = (Identity::new(last), Socket::connect(bench.server.opamp).await);
        socket.ask(&hello(&mut agent, "amd64")).await;
        agents.push((agent, socket));
    }
    offer(&bench, "all", json!({"packages": ["otelcol-150"], "maxInFlight": 1})).await;
    let status = phase(&bench, "all", "Progressing").await;
    assert_eq!((&status["inFlight"], &status["waiting"]), (&json!(1), &json!(2)));
    let first = next_of(&bench, &agents).await;
    let (agent, socket) = &mut agents[first];
    let offered = socket.recv().await.packages_available.unwrap();
    let report = says(agent, &offered, PackageStatusEnum::InstallFailed, "no space left on device");
    socket.ask(&report).await;
    let status = phase(&bench, "all", "Stopped").await;
    assert_eq!(
        (&status["failed"], &status["waiting"], &status["inFlight"]),
        (&json!(1), &json!(2), &json!(0))
    );
    assert!(status["reason"].as_str().unwrap().contains("no space left on device"), "{status}");
    let shown = bench.get(&agent.path()).await["status"].clone();
    assert_eq!(
        (&shown["packagesState"], &shown["desiredPackages"]["otelcol"]["errorMessage"]),
        (&json!("Failed"), &json!("no space left on device"))
    );
    let metrics = bench.api("GET", "/metrics", None).await.text();
    for line in
        ["opamp_server_packages{state=\"Failed\"} 1", "opamp_server_packageoffers{phase=\"Stopped\"} 1"]
    {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }

    let again = bench.api("POST", &format!("{OFFERS}/all/retry"), None).await;
    assert_eq!((again.status, &again.json()["status"]["phase"]), (200, &json!("Progressing")));
    let (agent, socket) = &mut agents[first];
    assert_eq!(socket.recv().await.packages_available.unwrap(), offered, "the same once more");
    let report = says(agent, &offered, PackageStatusEnum::Installed, "");
    socket.ask(&report).await;
    for installed in 2..=3 {
        let next = next_of(&bench, &agents).await;
        let (agent, socket) = &mut agents[next];
        let offered = socket.recv().await.packages_available.unwrap();
        let report = says(agent, &offered, PackageStatusEnum::Installed, "");
        socket.ask(&report).await;
        let done = |offer: &Value| offer["status"]["installed"] == installed;
        bench.until(&format!("{OFFERS}/all"), done).await;
    }
    phase(&bench, "all", "Complete").await;
    assert_eq!(bench.api("POST", &format!("{OFFERS}/gone/retry"), None).await.status, 404);
}

#[tokio::test]
async fn s_tc_04_a_pass_in_the_offer_lets_the_agent_download_that_file_alone() {
    let server = Closed::new().await;
    let bench = &server.bench;
    let file = package(bench, "otelcol-150", "0.150.0", b"collector").await;
    let another = upload(bench, b"another").await;
    let agents = server.agents();
    let token = server.token(json!({"maxUses": 2})).await;
    let mut agent = Identity::new(1);
    let first = taking_settings(hello(&mut agent, "amd64"));
    let first = AgentToServer { capabilities: first.capabilities | ABLE, ..first };
    let mut socket = agents.socket(Some(&token)).await.unwrap();
    let own = credential(&socket.ask(&first).await);
    offer(bench, "all", json!({"packages": ["otelcol-150"]})).await;
    let offered = socket.recv().await.packages_available.unwrap();
    let from = only(&offered);
    assert!(from.download_url.starts_with("https://localhost:"), "{}", from.download_url);
    let headers = &from.headers.as_ref().unwrap().headers;
    let pass = headers.iter().find(|header| header.key == "Authorization").unwrap().value.clone();
    assert!(pass.starts_with("Bearer odp_") && pass != own, "{pass}");
    let get = async |file: &str, proof: &str| {
        let answer = agents.http("GET", &format!("/packages/{file}"), &[("authorization", proof)], b"").await;
        (answer.status, answer.body)
    };
    assert_eq!(get(&file, &pass).await, (200, b"collector".to_vec()));
    let part = [("authorization", pass.as_str()), ("range", "bytes=2-3")];
    let part = agents.http("GET", &format!("/packages/{file}"), &part, b"").await;
    assert_eq!((part.status, part.body.as_slice()), (206, b"ll".as_slice()));
    assert_eq!(get(&another, &pass).await.0, 401, "it is for one file");
    let forged = format!("{}0", &pass[..pass.len() - 1]);
    let forged = if forged == pass { format!("{}1", &pass[..pass.len() - 1]) } else { forged };
    assert_eq!(get(&file, &forged).await.0, 401);
    assert_eq!(agents.socket(Some(&pass)).await.err(), Some(401), "it lets nobody speak");
    server.order("revoke", &server.identities().await[0]).await;
    assert_eq!(get(&file, &pass).await.0, 401, "nor download when the identity is cut off");
    // What the server shows and stores has no pass in it.
    let shown = bench.get(&agent.path()).await.to_string();
    assert!(!shown.contains("odp_"), "{shown}");
}

#[tokio::test]
async fn files_are_downloaded_by_the_way_that_agents_come() {
    let bench = Bench::new().await;
    let file = package(&bench, "otelcol-150", "0.150.0", b"collector").await;
    offer(&bench, "all", json!({"packages": ["otelcol-150"], "maxInFlight": 0})).await;
    // Behind a balancer at which TLS ends, over plain HTTP.
    let mut agent = Identity::new(1);
    let headers = [("x-forwarded-proto", "https")];
    let mut say = hello(&mut agent, "x86_64");
    let offered = loop {
        let bytes = opamp::wire::body::encode(&say, LIMIT).unwrap();
        let answer = crate::agent::post(bench.server.opamp, &headers, &bytes).await;
        let answer: ServerToAgent = opamp::wire::body::decode(&answer.body, None, LIMIT).unwrap();
        if let Some(offered) = answer.packages_available {
            break offered;
        }
        bench.until(&agent.path(), |agent| agent["status"]["packagesState"] == "Pending").await;
        say = able(agent.heartbeat());
    };
    assert_eq!(only(&offered).download_url, format!("https://{}/packages/{file}", bench.server.opamp));
    // Where operators say that agents shall connect.
    let Bench { server, dir, .. } = bench;
    server.stop().await.unwrap();
    let mut options = crate::harness::options(dir.path());
    options.advertise = Some("wss://opamp.example.com/east/v1/opamp".to_owned());
    let bench = Bench::on(dir, &options).await;
    let mut other = Identity::new(2);
    let mut socket = Socket::connect(bench.server.opamp).await;
    socket.ask(&hello(&mut other, "amd64")).await;
    let offered = socket.recv().await.packages_available.unwrap();
    assert_eq!(only(&offered).download_url, format!("https://opamp.example.com/east/packages/{file}"));
}

#[tokio::test]
async fn what_is_wrong_with_an_offer_is_said_with_its_place() {
    let bench = Bench::new().await;
    package(&bench, "otelcol-150", "0.150.0", b"collector").await;
    for (spec, place) in [
        (json!({"packages": []}), "body.spec.packages"),
        (json!({"packages": ["gone"]}), "body.spec.packages[0]"),
        (json!({"packages": ["otelcol-150"], "maxInFlight": "200%"}), "body"),
        (json!({"packages": ["otelcol-150"], "selektor": {}}), "body"),
    ] {
        let refused = bench.api("POST", OFFERS, Some(json!({"metadata": {"name": "x"}, "spec": spec}))).await;
        assert_eq!((refused.status, &refused.json()["errors"][0]["location"]), (400, &json!(place)));
    }
    offer(&bench, "all", json!({"packages": ["otelcol-150"], "maxInFlight": "20%", "maxFailed": 3})).await;
    let shown = bench.get(&format!("{OFFERS}/all")).await;
    assert_eq!((&shown["spec"]["maxInFlight"], &shown["spec"]["maxFailed"]), (&json!("20%"), &json!(3)));
    assert_eq!(shown["status"]["reason"], "no agent that could have it is known yet");
    let bench = bench.restart().await;
    assert_eq!(bench.get(OFFERS).await["items"][0]["spec"], shown["spec"]);
}

#[tokio::test]
async fn a_stop_outlives_a_restart_and_ends_when_the_offer_is_written_anew() {
    let bench = Bench::new().await;
    package(&bench, "otelcol-150", "0.150.0", b"collector").await;
    let mut agent = Identity::new(1);
    let mut socket = Socket::connect(bench.server.opamp).await;
    socket.ask(&hello(&mut agent, "amd64")).await;
    let spec = json!({"packages": ["otelcol-150"]});
    offer(&bench, "all", spec.clone()).await;
    let offered = socket.recv().await.packages_available.unwrap();
    let report = says(&mut agent, &offered, PackageStatusEnum::InstallFailed, "bad signature");
    socket.ask(&report).await;
    phase(&bench, "all", "Stopped").await;
    drop(socket);
    let bench = bench.restart().await;
    assert!(phase(&bench, "all", "Stopped").await["reason"].as_str().unwrap().contains("bad signature"));
    let body = json!({"metadata": {"name": "all"}, "spec": {"packages": ["otelcol-150"], "maxFailed": 1}});
    assert_eq!(bench.api("PUT", &format!("{OFFERS}/all"), Some(body)).await.status, 200);
    assert_eq!(phase(&bench, "all", "Complete").await["failed"], 1, "one may fail now");
    let body = json!({"metadata": {"name": "all"}, "spec": spec});
    assert_eq!(bench.api("PUT", &format!("{OFFERS}/all"), Some(body)).await.status, 200);
    phase(&bench, "all", "Stopped").await;
    assert_eq!(CAPABILITIES & ABLE, 0, "other tests have agents that take none");
}
