//! Downloads of packages on the agent plane: who may, what of a file is sent, and what it costs.

use serde_json::json;
use tokio::{io::AsyncReadExt, time::timeout};

use crate::{
    agent::Identity,
    harness::{Bench, WITHIN, http, open},
    packages::{FILES, hex, upload},
    process::{Running, program},
    secure::{Ca, Closed, credential, hello},
};

#[tokio::test]
async fn s_pk_05_each_range_is_answered_with_its_part() {
    let bench = Bench::new().await;
    let bytes: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    let hash = upload(&bench, &bytes).await;
    let (path, tag, size) = (format!("/packages/{hash}"), format!("\"{hash}\""), bytes.len());
    let get = |headers: Vec<(&'static str, String)>| {
        let path = path.clone();
        let at = bench.server.opamp;
        async move {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            http(at, "GET", &path, &headers, b"").await
        }
    };
    let whole = get(vec![]).await;
    assert_eq!((whole.status, whole.body == bytes), (200, true));
    let fixed = [
        ("etag", tag.as_str()),
        ("accept-ranges", "bytes"),
        ("content-type", "application/octet-stream"),
        ("content-length", "800000"),
    ];
    for (name, value) in fixed {
        assert_eq!(whole.headers[name], value);
    }
    for (text, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=0-99999", 0, 99_999),
        ("bytes=65536-", 65_536, size - 1),
        ("bytes=799999-900000", size - 1, size - 1),
        ("bytes=-70000", size - 70_000, size - 1),
        ("bytes=-9999999", 0, size - 1),
    ] {
        for same in [vec![], vec![("if-range", tag.clone())]] {
            let part = get([vec![("range", text.to_owned())], same].concat()).await;
            assert_eq!((part.status, part.body == bytes[first..=last]), (206, true), "{text}");
            assert_eq!(part.headers["content-range"], format!("bytes {first}-{last}/{size}"));
            assert_eq!(part.headers["etag"], tag);
        }
    }
    for (text, condition) in [
        ("bytes=0-1,5-6", None),
        ("lines=0-1", None),
        ("bytes=9-2", None),
        ("bytes=0-1", Some("\"other\"".to_owned())),
        ("bytes=0-1", Some(format!("W/{tag}"))),
        ("bytes=900000-", Some("\"other\"".to_owned())),
    ] {
        let condition = condition.map(|tag| ("if-range", tag));
        let answer = get([vec![("range", text.to_owned())], condition.into_iter().collect()].concat()).await;
        assert_eq!((answer.status, answer.body.len()), (200, size), "{text}");
        assert!(!answer.headers.contains_key("content-range"), "{text}");
    }
    for text in ["bytes=800000-", "bytes=900000-900001", "bytes=-0"] {
        let beyond = get(vec![("range", text.to_owned())]).await;
        assert_eq!((beyond.status, beyond.body.len()), (416, 0), "{text}");
        assert_eq!(beyond.headers["content-range"], "bytes */800000");
    }
    let head = http(bench.server.opamp, "HEAD", &path, &[("range", "bytes=0-1")], b"").await;
    assert_eq!((head.status, head.headers["content-length"].as_str()), (200, "800000"));
    assert_eq!(head.headers["etag"], tag);
}

#[tokio::test]
async fn only_files_of_packages_can_be_named() {
    let bench = Bench::new().await;
    let hash = upload(&bench, b"bytes").await;
    std::fs::write(bench.dir.path().join("packages/notes"), "x").unwrap();
    let at = bench.server.opamp;
    for name in [
        "notes",
        "..%2fserver.db",
        "..%2f..%2fetc%2fpasswd",
        "../server.db",
        "%00",
        "",
        &hex(b"other"),
        &hash[1..],
        &format!("{hash}0"),
        &format!("{hash}%2f"),
        &hash.to_uppercase(),
    ] {
        let answer = http(at, "GET", &format!("/packages/{name}"), &[], b"").await;
        assert_eq!(answer.status, 404, "{name:?}: {}", answer.text());
        if !name.is_empty() && !name.contains("../") {
            let answer = bench.api("GET", &format!("{FILES}/{name}"), None).await;
            assert_eq!(answer.status, 404, "{name:?}: {}", answer.text());
        }
    }
    let path = format!("/packages/{hash}");
    assert_eq!(http(at, "POST", &path, &[], b"x").await.status, 405);
    let page = http(at, "GET", &path, &[("origin", "https://evil.test")], b"").await;
    assert_eq!(page.status, 403);
    // A file that somebody took away by hand.
    std::fs::remove_file(bench.dir.path().join("packages").join(&hash)).unwrap();
    assert_eq!(http(at, "GET", &path, &[], b"").await.status, 404);
}

#[tokio::test]
async fn s_tc_04_downloads_want_the_same_proof_as_opamp() {
    let server = Closed::new().await;
    let agents = server.agents();
    let path = format!("/packages/{}", upload(&server.bench, b"bytes").await);
    let get = async |proof: Option<&str>| {
        let headers: Vec<_> = proof.map(|proof| ("authorization", proof)).into_iter().collect();
        let answer = agents.http("GET", &path, &headers, b"").await;
        assert!(answer.status != 200 || answer.body == b"bytes");
        answer.status
    };
    assert_eq!((get(None).await, get(Some("Bearer guess")).await), (401, 401));
    let missing = agents.http("GET", "/packages/nothing", &[], b"").await;
    assert_eq!(missing.status, 401, "what is there is not told");

    let token = server.token(json!({"maxUses": 2})).await;
    assert_eq!(get(Some(&token)).await, 200);
    let mut agent = Identity::new(1);
    let own = credential(&server.post(&agents, Some(&token), &hello(&mut agent)).await.unwrap());
    assert_eq!(get(Some(&own)).await, 200);
    server.order("revoke", &server.identities().await[0]).await;
    assert_eq!(get(Some(&own)).await, 401);
}

#[tokio::test]
async fn s_tc_04_a_certificate_downloads_until_its_identity_is_revoked() {
    let ours = Ca::new("ours");
    let pem = ours.pem();
    let server = Closed::with(|options, files| {
        let path = files.join("ours.pem");
        std::fs::write(&path, &pem).unwrap();
        options.opamp.tls.as_mut().unwrap().client_cas = vec![path];
    })
    .await;
    let path = format!("/packages/{}", upload(&server.bench, b"bytes").await);
    let edge = server.agents().with(ours.client("edge-1"));
    let mut agent = Identity::new(1);
    server.post(&edge, None, &hello(&mut agent)).await.unwrap();
    let part = edge.http("GET", &path, &[("range", "bytes=1-2")], b"").await;
    assert_eq!((part.status, part.body.as_slice()), (206, b"yt".as_slice()));
    server.order("revoke", &server.identities().await[0]).await;
    assert_eq!(edge.http("GET", &path, &[], b"").await.status, 401);
}

#[tokio::test]
async fn s_tf_01_who_waits_for_approval_downloads_nothing_until_then() {
    let server = Closed::new().await;
    let agents = server.agents();
    let path = format!("/packages/{}", upload(&server.bench, b"bytes").await);
    let token = server.token(json!({"approval": "manual"})).await;
    let mut agent = Identity::new(1);
    let mut socket = agents.socket(Some(&token)).await.unwrap();
    socket.ask(&hello(&mut agent)).await;
    let by = |proof: String| {
        let (agents, path) = (agents.clone(), path.clone());
        async move { agents.http("GET", &path, &[("authorization", &proof)], b"").await.status }
    };
    assert_eq!(by(token).await, 401);
    server.order("approve", &server.identities().await[0]).await;
    let own = credential(&socket.recv().await);
    assert_eq!(by(own).await, 200);
}

/// The most memory that a process ever had, in KiB.
fn most_resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn a_large_file_is_never_in_memory() {
    const SIZE: u64 = 200 << 20;
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("packages")).unwrap();
    let hash = hex(b"not its own, which takes long to work out");
    let file = std::fs::File::create(dir.path().join("packages").join(&hash)).unwrap();
    file.set_len(SIZE).unwrap();
    let server = Running::start(program(dir.path(), &[])).await;
    let pid = server.child.id().unwrap();
    let before = most_resident(pid);
    let path = format!("/packages/{hash}");
    let (answer, mut body) = open(server.opamp, "GET", &path, &[], b"").await;
    assert_eq!((answer.status, answer.headers["content-length"].parse()), (200, Ok(SIZE)));
    // One that does not read, beside it.
    let (_, _idle) = open(server.opamp, "GET", &path, &[], b"").await;
    let (mut read, mut chunk) = (0, vec![0; 1 << 20]);
    while read < SIZE {
        let count = timeout(WITHIN, body.read(&mut chunk)).await.expect("bytes in time").unwrap();
        assert_ne!(count, 0, "cut after {read} bytes");
        read += count as u64;
    }
    let more = most_resident(pid) - before;
    assert!(more < 16 * 1024, "{more} KiB more for a file of {SIZE} bytes");
}
