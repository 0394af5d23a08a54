//! What is refused: with its reason, with nothing run, and with nothing left behind.

use std::fs;

use opamp::wire::proto::PackageAvailable;

use super::{
    FAILED, INSTALLED, host, host_with, install, runs,
    store::{Says, Store, Way, archive, collector, offer},
};
use crate::harness::{Host, Server};

fn is_clean(host: &Host) {
    for place in ["versions", "staging"] {
        let directory = fs::read_dir(host.state().join(place)).into_iter().flatten().flatten();
        let left: Vec<_> = directory
            .map(|entry| entry.file_name().into_string().unwrap())
            .filter(|name| name.contains("part") || name.starts_with("x-") || place == "versions")
            .collect();
        assert_eq!(left, Vec::<String>::new(), "in {place}");
    }
}

fn file(package: &mut PackageAvailable) -> &mut opamp::wire::proto::DownloadableFile {
    package.file.as_mut().unwrap()
}

#[tokio::test]
async fn b_se_01_c_se_08_f_22_f_23_f_24_f_25_f_26_f_27_f_28_f_29_each_wrong_offer_is_refused_and_nothing_is_run()
 {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host(&server, &store);
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let done = host.deeds();
    let program = || collector("wrong_version=0.150.0");
    let good = Says::version("0.150.0");
    let stranger = Store::new().await;
    let other_arch = if good.arch == "amd64" { "arm64" } else { "amd64" };
    let with = |change: &dyn Fn(&mut PackageAvailable)| {
        let mut package = store.add(program(), &good);
        change(&mut package);
        package
    };
    let tampered = |package: &mut PackageAvailable| {
        let text = String::from_utf8(file(package).signature.clone()).unwrap();
        file(package).signature = text.replace("version=0.150.0", "version=0.160.0").into_bytes();
        package.version = "0.160.0".to_owned();
    };
    let cases: Vec<(&str, PackageAvailable, &str)> = vec![
        ("F-23", with(&|package| file(package).content_hash.truncate(20)), "content_hash has 20 bytes"),
        ("F-24", with(&|package| file(package).signature.clear()), "there is no signature"),
        (
            "F-24",
            with(&|package| file(package).signature = b"junk".to_vec()),
            "not the text of a minisign signature",
        ),
        ("F-24", stranger.add(program(), &good), "by a key that this host does not have"),
        (
            "F-24",
            with(&|package| file(package).signature = store.sign(b"another file", &good)),
            "the SHA-256",
        ),
        ("F-24", with(&tampered), "does not fit the file or its trusted comment"),
        ("F-25", store.add(program(), &Says { arch: other_arch, ..good.clone() }), "signed is arch"),
        (
            "F-25",
            store.add(program(), &Says { name: "another", ..good.clone() }),
            "signed is package another",
        ),
        (
            "F-26",
            store.add(program(), &Says { expires: "2026-01-01T00:00:00Z", ..good.clone() }),
            "expired at 2026-01-01",
        ),
        ("F-27", store.add(program(), &Says::version("0.148.0")), "0.148.0 is older than 0.149.0"),
        ("F-28", store.add(program(), &Says { epoch: 0, ..good.clone() }), "epoch 0 is revoked"),
        (
            "F-29",
            with(&|package| package.version = "0.151.0".to_owned()),
            "signed is version 0.150.0, offered is 0.151.0",
        ),
    ];
    for (fault, package, why) in &cases {
        let told = install(&server, package).await;
        assert!(told.status == FAILED && told.error_message.contains(why), "{fault} {why}: {told:?}");
        assert!(told.agent_has_version.is_empty() && !told.error_message.contains("hush"), "{fault}");
        is_clean(&host);
    }
    let fetched = store.asked.lock().unwrap().len();
    assert_eq!((host.deeds(), fetched), (done, 1), "what a signature shows is not even fetched");
    store.ways(&[Way::Garbled]);
    let told = install(&server, &with(&|_| {})).await;
    assert!(told.error_message.contains("the SHA-256 of what was downloaded is"), "F-22: {told:?}");
    is_clean(&host);
    assert_eq!(host.deeds(), done);
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_30_f_31_f_32_what_is_signed_and_harmful_all_the_same_is_refused() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = host(&server, &store);
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    let done = host.deeds();
    let good = Says::version("0.150.0");
    let mut up = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..12].copy_from_slice(b"../../escape");
    header.set_size(1);
    header.set_mode(0o644);
    header.set_cksum();
    up.append(&header, &b"x"[..]).unwrap();
    let up = up.into_inner().unwrap().finish().unwrap();
    let bomb = archive(&[("otelcol", 0o755, &vec![0; 64 << 20])]);
    assert!(bomb.len() < 400_000, "{}", bomb.len());
    let mut foreign = collector("");
    foreign[18] = 243;
    for (what, artefact, why) in [
        ("a path that leads out", up, "../../escape"),
        ("a bomb", bomb, "more than its size lets expect"),
        ("no executable", archive(&[("readme", 0o644, b"words")]), "there is no executable \"otelcol\""),
        ("a script", archive(&[("otelcol", 0o755, b"#!/bin/sh\nexit 0\n")]), "is a script"),
        ("neither", b"words".to_vec(), "neither .tar.gz nor .tar.zst"),
        ("for another machine", archive(&[("otelcol", 0o755, &foreign)]), "no format that this host runs"),
    ] {
        let told = install(&server, &store.add(artefact, &good)).await;
        assert!(told.status == FAILED && told.error_message.contains(why), "{what}: {told:?}");
    }
    assert_eq!(host.deeds(), done, "nothing of them was run");
    assert!(!host.state().join("escape").exists() && !host.dir.path().join("escape").exists());
    assert!(supervisor.stop().await.success());
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    is_clean(&host);
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn f_27_a_downgrade_is_a_matter_of_the_hosts_policy() {
    let (server, store) = (Server::start().await, Store::new().await);
    let rules = "trial: {first_health: 5s, healthy_for: 1s}, downgrade: within_minor";
    let host = host_with(&server, &store, rules);
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    assert_eq!(install(&server, &store.collector("0.150.2", "")).await.status, INSTALLED);
    let told = install(&server, &store.collector("0.149.9", "")).await;
    assert!(told.error_message.contains("0.149.9 is older than 0.150.2"), "{told:?}");
    assert_eq!(install(&server, &store.collector("0.150.1", "")).await.status, INSTALLED);
    runs(&server, "0.150.1").await;
    assert!(supervisor.stop().await.success());
}

#[tokio::test]
async fn c_cp_05_a_host_without_a_key_takes_nothing() {
    let (server, store) = (Server::start().await, Store::new().await);
    let host = Host::new(&server.endpoint, &crate::harness::fake_collector())
        .capability("accepts_packages: true")
        .fake("");
    let supervisor = host.start();
    runs(&server, "0.149.0").await;
    super::say(&server, &offer(&[("otelcol", &store.collector("0.150.0", ""))])).await;
    host.logs("it offers something that this agent does not accept").await;
    assert!(host.log().contains("has no effect without a key to verify packages with"));
    assert!(store.asked.lock().unwrap().is_empty());
    assert!(supervisor.stop().await.success());
}
