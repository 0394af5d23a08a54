//! Packages and their files: what operators write and upload, and what is left of an upload that fails.

use std::{io::Cursor, net::SocketAddr, path::Path};

use data_encoding::BASE64;
use minisign::KeyPair;
use opamp::server::Options;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    time::timeout,
};

use crate::{
    faults::{Broken, rest},
    harness::{Answer, Bench, WITHIN, http},
    process::{Running, program},
};

const PACKAGES: &str = "/api/v1/namespaces/default/agentpackages";
pub(crate) const FILES: &str = "/api/v1/packagefiles";

pub(crate) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

/// What lies in the directory of package files.
fn on_disk(data_dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(data_dir.join("packages")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Waits for what happens on the disk.
async fn until_disk(data_dir: &Path, wanted: impl Fn(&[String]) -> bool) {
    let looking = async {
        while !wanted(&on_disk(data_dir)) {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(WITHIN, looking).await.is_ok(), "there stay {:?}", on_disk(data_dir));
}

async fn upload_with(bench: &Bench, bytes: &[u8], more: &[(&str, &str)]) -> Answer {
    let bearer = format!("Bearer {}", bench.token);
    let mut headers = vec![("authorization", bearer.as_str())];
    headers.extend(more);
    http(bench.server.api, "POST", FILES, &headers, bytes).await
}

pub(crate) async fn upload(bench: &Bench, bytes: &[u8]) -> String {
    let answer = upload_with(bench, bytes, &[]).await;
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
    answer.json()["sha256"].as_str().unwrap().to_owned()
}

fn package(name: &str, file: &str) -> Value {
    json!({"kind": "AgentPackage", "apiVersion": "v1", "metadata": {"name": name}, "spec": {
        "packageType": "TopLevel", "version": "0.150.0",
        "variants": [{"os": "linux", "arch": "amd64", "file": file}]}})
}

#[tokio::test]
async fn agent_packages_round_trip_and_outlive_a_restart() {
    let bench = Bench::new().await;
    let file = upload(&bench, b"one").await;
    let made = bench.api("POST", PACKAGES, Some(package("otelcol", &file))).await;
    assert_eq!((made.status, made.headers["location"].as_str()), (201, &*format!("{PACKAGES}/otelcol")));
    let again = bench.api("POST", PACKAGES, Some(package("otelcol", &file))).await;
    assert_eq!((again.status, again.headers["content-type"].as_str()), (409, "application/problem+json"));
    let mut newer = package("otelcol", &upload(&bench, b"two").await);
    newer["spec"]["version"] = json!("0.151.0");
    let put = bench.api("PUT", &format!("{PACKAGES}/otelcol"), Some(newer.clone())).await;
    assert_eq!(put.status, 200, "{}", put.text());
    assert_eq!(bench.api("PUT", &format!("{PACKAGES}/gone"), Some(package("gone", &file))).await.status, 404);

    let bench = bench.restart().await;
    let kept = bench.get(&format!("{PACKAGES}/otelcol")).await;
    assert_eq!(
        (&kept["spec"]["variants"], &kept["spec"]["version"]),
        (&newer["spec"]["variants"], &json!("0.151.0"))
    );
    let types: Vec<_> =
        kept["status"]["conditions"].as_array().unwrap().iter().map(|one| one["message"].clone()).collect();
    assert_eq!(types, ["Agent package created", "Agent package updated"]);
    assert_eq!(bench.get(PACKAGES).await["items"][0], kept);
    assert_eq!(bench.api("DELETE", &format!("{PACKAGES}/otelcol"), None).await.status, 204);
    assert_eq!(bench.api("GET", &format!("{PACKAGES}/otelcol"), None).await.status, 404);
    assert_eq!(bench.api("DELETE", &format!("{PACKAGES}/otelcol"), None).await.status, 404);
}

#[tokio::test]
async fn a_package_that_names_a_file_that_is_not_there_is_refused_with_what_to_do() {
    let bench = Bench::new().await;
    let refused = bench.api("POST", PACKAGES, Some(package("otelcol", &hex(b"never")))).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    let fault = &refused.json()["errors"][0];
    assert_eq!(fault["location"], "body.spec.variants[0].file");
    assert!(fault["message"].as_str().unwrap().contains("POST it to /api/v1/packagefiles first"), "{fault}");
    let typo = bench.api("POST", PACKAGES, Some(package("otelcol", "../../server.db"))).await;
    assert_eq!(typo.status, 400);
    assert!(typo.json()["detail"].as_str().unwrap().contains("64 hexadecimal digits"), "{}", typo.text());
    assert_eq!(bench.get(PACKAGES).await["items"], json!([]));
    // A namespace with packages is not empty.
    let spaces = "/api/v1/namespaces";
    assert_eq!(bench.api("POST", spaces, Some(json!({"metadata": {"name": "team"}}))).await.status, 201);
    let file = upload(&bench, b"one").await;
    let there = "/api/v1/namespaces/team/agentpackages";
    assert_eq!(bench.api("POST", there, Some(package("otelcol", &file))).await.status, 201);
    let full = bench.api("DELETE", "/api/v1/namespaces/team", None).await;
    assert!(full.status == 409 && full.text().contains("has agent packages"), "{}", full.text());
}

#[tokio::test]
async fn the_same_bytes_twice_are_one_file_which_goes_only_when_no_package_names_it() {
    let bench = Bench::new().await;
    let first = upload_with(&bench, b"bytes", &[]).await;
    let (hash, dir) = (hex(b"bytes"), bench.dir.path().to_owned());
    let path = format!("{FILES}/{hash}");
    assert_eq!((first.status, first.json()), (201, json!({"sha256": hash, "size": 5})));
    assert_eq!(first.headers["location"], path);
    let again = upload_with(&bench, b"bytes", &[]).await;
    assert_eq!((again.status, again.json()), (200, first.json()));
    assert_eq!(on_disk(&dir), [hash.as_str()]);
    let mode = std::os::unix::fs::MetadataExt::mode(&dir.join("packages").join(&hash).metadata().unwrap());
    assert_eq!(mode & 0o777, 0o600);

    assert_eq!(bench.api("POST", PACKAGES, Some(package("otelcol", &hash))).await.status, 201);
    let shown = json!({"sha256": hash, "size": 5, "agentPackages": ["default/otelcol"]});
    assert_eq!(bench.get(&path).await, shown);
    assert_eq!(bench.get(FILES).await["items"], json!([shown]));
    let head = bench.api("HEAD", &path, None).await;
    assert_eq!((head.status, head.headers["content-length"] != "0"), (200, true));
    let used = bench.api("DELETE", &path, None).await;
    assert_eq!(used.status, 409);
    assert!(used.json()["detail"].as_str().unwrap().contains("default/otelcol"), "{}", used.text());
    assert_eq!(on_disk(&dir), [hash.as_str()]);

    assert_eq!(bench.api("DELETE", &format!("{PACKAGES}/otelcol"), None).await.status, 204);
    assert_eq!(bench.api("DELETE", &path, None).await.status, 204);
    for method in ["GET", "HEAD", "DELETE"] {
        assert_eq!(bench.api(method, &path, None).await.status, 404, "{method}");
    }
    assert!(on_disk(&dir).is_empty());
    assert_eq!(bench.api("POST", PACKAGES, Some(package("otelcol", &hash))).await.status, 400);
    assert_eq!(upload_with(&bench, b"bytes", &[]).await.status, 201, "it may come again");
}

/// Announces nothing, and sends these bytes in one chunk.
async fn chunked(bench: &Bench, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(bench.server.api).await.unwrap();
    let head = format!(
        "POST {FILES} HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
         transfer-encoding: chunked\r\n\r\n{:x}\r\n",
        bench.token,
        bytes.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.write_all(b"\r\n0\r\n\r\n").await.unwrap();
    let mut text = String::new();
    timeout(WITHIN, stream.read_to_string(&mut text)).await.expect("an answer in time").unwrap();
    text
}

#[tokio::test]
async fn what_is_too_large_or_empty_is_refused_and_leaves_nothing() {
    let bench = Bench::with(|options: &mut Options| options.package_limit = 1000).await;
    let refused = upload_with(&bench, &[7; 1001], &[]).await;
    assert_eq!(refused.status, 413);
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("1000 bytes") && detail.contains("--max-package-size"), "{detail}");
    let counted = chunked(&bench, &[7; 1001]).await;
    assert!(counted.starts_with("HTTP/1.1 413"), "{counted}");
    assert_eq!(upload_with(&bench, b"", &[]).await.status, 400);
    assert!(on_disk(bench.dir.path()).is_empty());
    let fits = chunked(&bench, &[7; 1000]).await;
    assert!(fits.starts_with("HTTP/1.1 201") && fits.contains(&hex(&[7; 1000])), "{fits}");
}

#[tokio::test]
async fn a_signature_that_comes_along_must_be_of_these_bytes() {
    let bench = Bench::new().await;
    let pair = KeyPair::generate_unencrypted_keypair().unwrap();
    let sign = |sha256: &str, size: usize| {
        let comment = format!(
            "name=otelcol version=0.150.0 os=linux arch=amd64 sha256={sha256} size={size} \
             expires=2030-01-01T00:00:00Z epoch=1"
        );
        minisign::sign(None, &pair.sk, Cursor::new(b"bytes"), Some(&comment), None).unwrap().into_string()
    };
    let good = sign(&hex(b"bytes"), 5);
    let cases = [
        (BASE64.encode(sign(&hex(b"other"), 5).as_bytes()), hex(b"other")),
        (BASE64.encode(sign(&hex(b"bytes"), 6).as_bytes()), "size=6, and this one has 5".to_owned()),
        (BASE64.encode(b"no signature"), "minisign".to_owned()),
        ("-".to_owned(), "base64".to_owned()),
    ];
    for (given, told) in cases {
        let refused = upload_with(&bench, b"bytes", &[("x-package-signature", &given)]).await;
        assert_eq!(refused.status, 400, "{told}");
        assert_eq!(refused.json()["errors"][0]["location"], "header.x-package-signature");
        assert!(refused.json()["detail"].as_str().unwrap().contains(&told), "{}", refused.text());
        assert!(on_disk(bench.dir.path()).is_empty());
    }
    let given = BASE64.encode(good.as_bytes());
    assert_eq!(upload_with(&bench, b"bytes", &[("x-package-signature", &given)]).await.status, 201);
    let mut signed = package("otelcol", &hex(b"bytes"));
    signed["spec"]["variants"][0]["signature"] = json!(good);
    let made = bench.api("POST", PACKAGES, Some(signed.clone())).await;
    assert_eq!((made.status, &made.json()["spec"]["variants"][0]["signature"]), (201, &json!(good)));
    signed["metadata"]["name"] = json!("other");
    let refused = bench.api("POST", PACKAGES, Some(signed)).await;
    assert_eq!(refused.json()["errors"][0]["location"], "body.spec.variants[0].signature");
}

/// Whoever is first wins: a package never names a file that was deleted beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_uploading_and_naming_a_file_at_once_leave_what_fits_together() {
    let bench = Bench::new().await;
    let hash = hex(b"bytes");
    let (file, named) = (format!("{FILES}/{hash}"), format!("{PACKAGES}/otelcol"));
    let (mut refused, mut taken) = (0, 0);
    for round in 0..40 {
        upload(&bench, b"bytes").await;
        let (again, deleted, made) = tokio::join!(
            async { if round % 2 == 0 { upload_with(&bench, b"bytes", &[]).await.status } else { 200 } },
            bench.api("DELETE", &file, None),
            bench.api("POST", PACKAGES, Some(package("otelcol", &hash))),
        );
        assert!(matches!(again, 200 | 201), "{again}");
        let there = bench.api("GET", &file, None).await.status == 200;
        assert_eq!(on_disk(bench.dir.path()).contains(&hash), there, "disk and memory agree");
        match (made.status, deleted.status) {
            (201, 204 | 409) => {
                assert!(there, "a package names it");
                taken += 1;
                assert_eq!(bench.api("DELETE", &named, None).await.status, 204);
            }
            (400, 204) => refused += 1,
            other => panic!("{other:?}: {}", made.text()),
        }
    }
    assert_eq!(taken + refused, 40);
}

#[tokio::test]
async fn a_file_that_was_taken_away_by_hand_is_told_at_start_and_may_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(program(dir.path(), &[])).await;
    let token = admin(dir.path());
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let (hash, path) = (hex(b"bytes"), dir.path().join("packages").join(hex(b"bytes")));
    assert_eq!(http(server.api, "POST", FILES, &headers, b"bytes").await.status, 201);
    let made = rest(server.api, &token, "POST", PACKAGES, Some(package("otelcol", &hash))).await;
    assert_eq!(made.status, 201);
    // Cut while the server runs: the same upload puts it right.
    std::fs::write(&path, "by").unwrap();
    assert_eq!(http(server.api, "POST", FILES, &headers, b"bytes").await.status, 201);
    assert_eq!(std::fs::read(&path).unwrap(), b"bytes");
    let (_, log) = server.terminate().await;
    assert!(!log.contains("names a file that is not there"), "{log}");
    std::fs::remove_file(&path).unwrap();
    let server = Running::start(program(dir.path(), &[])).await;
    assert_eq!(http(server.api, "POST", FILES, &headers, b"bytes").await.status, 201);
    let (_, log) = server.terminate().await;
    assert!(
        log.contains("default/otelcol") && log.contains(&hash) && log.contains("upload it again"),
        "{log}"
    );
}

/// An upload that stops in the middle, over a connection that stays open.
async fn half(api: SocketAddr, token: &str, dir: &Path) -> TcpStream {
    let mut stream = TcpStream::connect(api).await.unwrap();
    let head = format!(
        "POST {FILES} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-length: 2000000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[7; 1_000_000]).await.unwrap();
    let begun = |names: &[String]| names.iter().any(|name| name.ends_with(".part"));
    until_disk(dir, begun).await;
    stream
}

fn admin(data_dir: &Path) -> String {
    std::fs::read_to_string(data_dir.join("admin.token")).unwrap().trim().to_owned()
}

#[tokio::test]
async fn killed_in_the_middle_of_an_upload_nothing_is_left_of_it_and_what_was_whole_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Running::start(program(dir.path(), &[])).await;
    let token = admin(dir.path());
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    assert_eq!(http(server.api, "POST", FILES, &headers, b"whole").await.status, 201);
    let path = format!("/packages/{}", hex(b"whole"));
    assert_eq!(http(server.opamp, "GET", &path, &[], b"").await.body, b"whole");

    // A client that goes away, first.
    drop(half(server.api, &token, dir.path()).await);
    until_disk(dir.path(), |names| names == [hex(b"whole")]).await;

    let _open = half(server.api, &token, dir.path()).await;
    server.child.kill().await.unwrap();
    assert_eq!(on_disk(dir.path()).len(), 2, "what the kill left");
    let server = Running::start(program(dir.path(), &[])).await;
    assert_eq!(on_disk(dir.path()), [hex(b"whole")]);
    assert_eq!(http(server.opamp, "GET", &path, &[], b"").await.body, b"whole");
    let listed = rest(server.api, &token, "GET", FILES, None).await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_disk_that_is_full_or_broken_keeps_nothing_of_an_upload_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    // No file may have more than a mebibyte, as on a disk on which that is left.
    let plain = program(dir.path(), &[]);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\""]);
    command.arg(plain.as_std().get_program()).args(plain.as_std().get_args());
    command.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).kill_on_drop(true);
    let server = Running::start(command).await;
    let bearer = format!("Bearer {}", admin(dir.path()));
    let headers = [("authorization", bearer.as_str())];
    let full = http(server.api, "POST", FILES, &headers, &[7; 3_000_000]).await;
    assert_eq!(full.status, 507, "{}", full.text());
    let detail = full.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("disk") && detail.contains("nothing was kept"), "{detail}");
    assert!(on_disk(dir.path()).is_empty());

    for (error, status) in [("ENOSPC", 507), ("EDQUOT", 507), ("EIO", 503)] {
        let broken = Broken::make(server.child.id().unwrap(), "fsync", error).await;
        let refused = http(server.api, "POST", FILES, &headers, b"bytes").await;
        assert_eq!(refused.status, status, "{error}: {}", refused.text());
        assert!(on_disk(dir.path()).is_empty(), "{error}");
        broken.mend().await;
    }
    assert_eq!(http(server.api, "POST", FILES, &headers, b"bytes").await.status, 201);
}
